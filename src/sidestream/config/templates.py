"""Texts with facts of a call in them: `{account.name}`, `{sip.header.X-Queue}`; `{{` and `}}` are braces.

Read when the configuration is read, so that what is left at run time cannot fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidestream.errors import Fault, SidestreamError

MAX_CHARACTERS: Final = 256
"""The longest value that a template gives; what a SIP peer sent may be longer and is cut."""

HEADER_PREFIX: Final = "sip.header."

VARIABLES: Final[Mapping[str, str]] = {
    "call.id": "the gateway's own name of the call, as in the log and the journal",
    "call.direction": "`inbound` when the call goes to the voice service, `outbound` when it comes from it",
    "call.sip_call_id": "`Call-ID` of the caller's leg",
    "account.id": "identifier of the account (its name, in a configuration from a file)",
    "account.name": "name of the account",
    "service.name": "name of the voice service that has the integration",
    "integration.name": "name of the integration",
    "node.name": "name of the gateway",
    "caller.number": "the caller's number, empty when the URI has none",
    "caller.uri": "the caller's URI",
    "caller.name": "the caller's display name",
    "callee.number": "the called number, empty when the URI has none",
    "callee.uri": "the called URI",
    "callee.name": "the callee's display name",
    "sip.header.NAME": "the first value of header `NAME` in the caller's INVITE, empty when it has none",
}
"""Every variable and its meaning."""

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!%*_+`'~.-]{1,64}\Z")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class TemplateError(SidestreamError):
    """A text that is no template; `hint` says what would be right."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class Variable:
    """A place to be filled.

    Attributes:
        name: a key of `VARIABLES`, or `sip.header.` with a header name in lower case.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """A text with variables.

    Attributes:
        text: as it was written.
        parts: literal texts and variables, in order.
    """

    text: str
    parts: tuple[str | Variable, ...]

    @staticmethod
    def parse(text: str) -> Template:
        """Read a template.

        Raises:
            TemplateError: a variable is not known, a brace stands alone, or the literal text is too long or
                has line breaks or control characters.
        """
        parts: list[str | Variable] = []
        end = 0
        for token in _TOKEN.finditer(text):
            parts.append(text[end : token.start()])
            parts.append(_part(token))
            end = token.end()
        parts.append(text[end:])
        merged = _merged(parts)
        _check_literals(merged)
        return Template(text, merged)

    @property
    def variables(self) -> frozenset[str]:
        """The names that `render` looks up."""
        return frozenset(part.name for part in self.parts if isinstance(part, Variable))

    @property
    def headers(self) -> frozenset[str]:
        """The SIP headers that `render` wants, in lower case."""
        prefixed = (name for name in self.variables if name.startswith(HEADER_PREFIX))
        return frozenset(name.removeprefix(HEADER_PREFIX) for name in prefixed)

    def render(self, values: Mapping[str, str]) -> str:
        """Fill the places.

        Args:
            values: facts by name; headers as `sip.header.<name in lower case>`. What is not there is empty.

        Returns:
            At most `MAX_CHARACTERS` characters, without line breaks and control characters.
        """
        filled = "".join(
            part if isinstance(part, str) else values.get(part.name, "")[:MAX_CHARACTERS]
            for part in self.parts
        )
        return _UNPRINTABLE.sub("", filled)[:MAX_CHARACTERS]


def _part(token: re.Match[str]) -> str | Variable:
    whole, name = token.group(0), token.group(1)
    if name is not None:
        return Variable(_known_name(name.strip()))
    if whole in {"{{", "}}"}:
        return whole[0]
    raise TemplateError(f"a {whole!r} stands alone", hint=f"Write {whole * 2} for the character itself")


def _known_name(name: str) -> str:
    if name.lower().startswith(HEADER_PREFIX):
        header = name[len(HEADER_PREFIX) :]
        if not _HEADER_NAME.match(header):
            raise TemplateError(
                f"{header!r} is no header name", hint="Write a name such as {sip.header.X-Queue}"
            )
        return HEADER_PREFIX + header.lower()
    if name not in VARIABLES:
        known = ", ".join(f"{{{each}}}" for each in VARIABLES)
        raise TemplateError(f"{{{name}}} is no variable", hint=f"Use one of {known}")
    return name


def _merged(parts: list[str | Variable]) -> tuple[str | Variable, ...]:
    merged: list[str | Variable] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif part != "":
            merged.append(part)
    return tuple(merged)


def _check_literals(parts: tuple[str | Variable, ...]) -> None:
    literal = "".join(part for part in parts if isinstance(part, str))
    if _UNPRINTABLE.search(literal):
        raise TemplateError("the value has a line break or control character", hint="Write it on one line")
    if len(literal) > MAX_CHARACTERS:
        raise TemplateError(
            f"the value has {len(literal)} characters", hint=f"Write {MAX_CHARACTERS} characters at most"
        )
