"""Lexical pieces shared by every header (RFC 3261 §25.1): tokens, quoted strings, lists, parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidestream.sip.errors import ParseError

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
"""`token` of RFC 3261 §25.1."""

# An element of a list: quoted strings and angle brackets hide commas. The alternatives begin with different
# characters and nothing follows, so that it never goes back.
_ELEMENT = re.compile(r'(?:[^,"<]+|"(?:[^"\\]|\\.)*"|<[^<>]*>)*', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Values are wider than `gen-value` by the characters of URIs and addresses, which peers leave unquoted.
_PARAM = re.compile(
    r";[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*"
    r'(?:=[ \t]*([^\x00-\x20\x7f"<>,;]+|"(?:[^"\\]|\\.)*")[ \t]*)?',
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LWS = " \t"


def is_token(text: str) -> bool:
    """Whether the text is one or more token characters."""
    return TOKEN.match(text) is not None


def parse_digits(text: str, field: str, limit: int) -> int:
    """Read an unsigned decimal of at most `limit`.

    Raises:
        ParseError: 400 naming `field` when the text is empty, signed, not ASCII digits or too large.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or (number := int(text)) > limit:
        raise ParseError(400, f"Invalid {field}")
    return number


def split_list(text: str) -> list[str]:
    """Split a comma list (RFC 3261 §7.3.1), quote and bracket aware; empty elements are dropped.

    Raises:
        ParseError: 400 when a quote or an angle bracket is never closed.
    """
    if "," not in text:
        text = text.strip(_LWS)
        return [text] if text else []
    if '"' not in text and "<" not in text:
        return [piece for part in text.split(",") if (piece := part.strip(_LWS))]
    pieces: list[str] = []
    at = 0
    while at <= len(text):
        found = _ELEMENT.match(text, at)
        end = found.end() if found is not None else at
        if end < len(text) and text[end] != ",":
            raise ParseError(400, "Unbalanced quote or bracket")
        if piece := text[at:end].strip(_LWS):
            pieces.append(piece)
        at = end + 1
    return pieces


def parse_params(text: str, field: str) -> dict[str, str | None]:
    """Read `;name=value` parameters; names lower-cased, values as written (quotes kept).

    Args:
        text: what follows the value, trimmed: empty or beginning with a semicolon.
        field: the header's name, for the error.

    Raises:
        ParseError: 400 for an empty or doubled name, a value that is empty or needs quotes, or text that is
            no parameter list.
    """
    params: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        found = _PARAM.match(text, at)
        if found is None:
            raise ParseError(400, f"Invalid {field} parameter")
        name = found[1].lower()
        if name in params:
            raise ParseError(400, f"Repeated {field} parameter")
        params[name] = found[2]
        at = found.end()
    return params


def format_params(params: Mapping[str, str | None]) -> str:
    """Write parameters as `;name=value` or `;name`."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params.items())


def unquote(text: str) -> str:
    """The text inside a quoted string with its escapes undone; other text unchanged."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1]
        return _ESCAPED.sub(r"\1", text) if "\\" in text else text
    return text


def quote(text: str) -> str:
    """Make a quoted string (RFC 3261 §25.1)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def leading_quoted(text: str) -> tuple[str, str]:
    """Split a text that begins with a quoted string into its content (unescaped) and the rest.

    Raises:
        ParseError: 400 when the quote is never closed.
    """
    found = _QUOTED.match(text)
    if found is None:
        raise ParseError(400, "Unbalanced quote")
    return _ESCAPED.sub(r"\1", found[1]), text[found.end() :]
