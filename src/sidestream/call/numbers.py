"""Telephone numbers as each side writes them: rules that rewrite who is called and who calls.

Rules are bounded three times over: their expressions are held to what cannot run away when they are
configured, a number longer than `NUMBER_MAX` is left alone, and so is one that a rule would leave empty or
make longer than that.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import split_list
from sidestream.sip.headers import parse_name_addr
from sidestream.sip.uri import OpaqueUri, SipUri, Uri, parse_uri

NUMBER_MAX: Final = 128
"""Characters; what is longer is no number."""

E164_MAX: Final = 15
"""Digits of an international number (ITU-T E.164 6.2)."""

SHORT_MAX: Final = 6
"""Digits of what is taken for a short code or an extension, which has no international form."""

IDENTITIES_MAX: Final = 4
"""Identities looked at in one header line; RFC 3325 9.1 knows two."""

_DIGITS: Final = re.compile(r"[0-9]+\Z")
_ANONYMOUS_HOST: Final = "anonymous.invalid"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One rule: what the pattern finds first is replaced."""

    pattern: re.Pattern[str]
    replacement: str
    """As `re.sub` takes it: `\\1` is the first group."""


@dataclass(frozen=True, slots=True)
class E164:
    """How a national numbering plan writes numbers (ITU-T E.164)."""

    country: str
    """Country code, digits."""
    national_prefix: str = "0"
    """What is dialled before a national number; empty where nothing is."""
    international_prefix: str = "00"
    """What is dialled before a country code."""

    def apply(self, number: str) -> str:
        """The number as `+`, country code and national number; unchanged where it has no such form.

        It has none when it begins with `+` already, is no number of digits alone, is a short code, has
        neither prefix, or would be too long.
        """
        if _DIGITS.match(number) is None or len(number) <= SHORT_MAX:
            return number
        if number.startswith(self.international_prefix):
            digits = number.removeprefix(self.international_prefix)
            return number if digits.startswith("0") else _international(digits, number)
        if number.startswith(self.national_prefix):
            return _international(self.country + number.removeprefix(self.national_prefix), number)
        return number


@dataclass(frozen=True, slots=True)
class NumberRules:
    """What one place of a call's way makes of its numbers: E.164 first, then the first rule that fits."""

    e164: E164 | None = None
    called_rules: tuple[Rewrite, ...] = ()
    calling_rules: tuple[Rewrite, ...] = ()

    def called(self, number: str) -> str:
        """The called number from here on."""
        return self._apply(number, self.called_rules)

    def calling(self, number: str) -> str:
        """The calling number from here on."""
        return self._apply(number, self.calling_rules)

    def _apply(self, number: str, rules: tuple[Rewrite, ...]) -> str:
        if not number or len(number) > NUMBER_MAX:
            return number
        known = number if self.e164 is None else self.e164.apply(number)
        for rule in rules:
            if rule.pattern.search(known) is not None:
                changed = rule.pattern.sub(rule.replacement, known, count=1)
                return changed if 0 < len(changed) <= NUMBER_MAX else known
        return known


@dataclass(frozen=True, slots=True)
class Numbering:
    """What becomes of a call's numbers on its way from the caller's trunk to the callee's."""

    steps: tuple[NumberRules, ...] = ()
    """In order: of the caller's trunk, of the route, of the callee's trunk."""
    caller_id: str | None = None
    """Number that From presents in place of the caller's."""
    _ways: tuple[NumberRules, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ways", tuple(each for each in self.steps if each != NumberRules()))

    def called(self, number: str) -> str:
        """The called number as the callee's trunk gets it."""
        for step in self._ways:
            number = step.called(number)
        return number

    def calling(self, number: str) -> str:
        """The calling number as the callee's trunk gets it."""
        for step in self._ways:
            number = step.calling(number)
        return number

    def caller(self, uri: Uri) -> Uri:
        """The URI of From: with `caller_id` where there is one, but never in place of an anonymous caller."""
        if isinstance(uri, SipUri) and uri.host.lower() == _ANONYMOUS_HOST:
            return uri
        if self.caller_id is None:
            return renumbered(uri, self.calling)
        number = self.caller_id
        return replace(uri, user=number) if isinstance(uri, SipUri) else OpaqueUri("tel", number)

    def identities(self, value: str) -> str:
        """A header line of the caller's identities, such as P-Asserted-Identity, with their numbers changed.

        It stays as it is where nothing changes, where it cannot be read, and where it has more than
        `IDENTITIES_MAX`.
        """
        if not self._ways:
            return value
        try:
            elements = split_list(value)
            known = [parse_name_addr(each) for each in elements] if len(elements) <= IDENTITIES_MAX else []
        except ParseError:
            return value
        changed = [replace(each, uri=renumbered(each.uri, self.calling)) for each in known]
        return value if changed == known else ", ".join(map(str, changed))


def number_in(uri: Uri) -> str:
    """The number of a URI, else its user part, else nothing."""
    return uri.number or (uri.user if isinstance(uri, SipUri) else None) or ""


def renumbered(uri: Uri, rewrite: Callable[[str], str]) -> Uri:
    """The URI with another number, without the parameters of the former one.

    It is left alone where the number stays, where there is none, and where the new one could not stand in it.
    """
    known = number_in(uri)
    number = rewrite(known) if known else known
    if number == known:
        return uri
    changed = replace(uri, user=number) if isinstance(uri, SipUri) else OpaqueUri(uri.scheme, number)
    try:
        return parse_uri(str(changed))
    except ParseError:
        return uri


def _international(digits: str, number: str) -> str:
    return f"+{digits}" if len(digits) <= E164_MAX else number
