"""Sections about telephone numbers: how a trunk or a route has them rewritten."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from sidestream.config.kinds import Pattern, Text
from sidestream.config.shapes import Key, ListOf

_REPLACEMENT: Final = Text(
    r'at most 64 of A-Z a-z 0-9 + * # . _ - and groups of the match, such as "+49\\1"',
    r"(?:[A-Za-z0-9+*#._-]|\\[1-9]){0,64}",
)
_COUNTRY: Final = Text("a country code of 1 to 3 digits, without a plus, such as 49", r"[1-9][0-9]{0,2}")
_NATIONAL: Final = Text('at most 4 digits, such as "0", or "" for none', r"[0-9]{0,4}")
_INTERNATIONAL: Final = Text('1 to 5 digits, such as "00"', r"[0-9]{1,5}")
NUMBER: Final = Text('a number of 1 to 32 digits, such as "+4930123456"', r"\+?[0-9]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class E164:
    """The numbering plan by which numbers are brought to their international form, `+` and country code.

    Numbers with a plus, of six digits and fewer, with other characters than digits, with neither prefix, and
    such as would have more than 15 digits stay as they are.
    """

    country: Annotated[str, _COUNTRY]
    """Country code."""
    national_prefix: Annotated[str, _NATIONAL] = "0"
    """What stands before a national number. Where it is empty, every number without the international prefix
    is a national one."""
    international_prefix: Annotated[str, _INTERNATIONAL] = "00"
    """What stands before a country code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One rule of rewriting."""

    match: Annotated[re.Pattern[str], Pattern()]
    """Regular expression that is searched in the number."""
    replace: Annotated[str, _REPLACEMENT]
    r"""What takes the place of what was found; `\1` to `\9` are its groups. A number that would be left empty
    stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What becomes of the numbers of a call: the international form first, then the first rule that matches.

    The calling number is that in `From`, `P-Asserted-Identity`, `P-Preferred-Identity` and `Remote-Party-ID`;
    the called one is in the Request-URI, and in `To` where that has the same.
    """

    e164: E164 | None = None
    """Numbering plan for both numbers; without it they stay in the form they have."""
    called: Annotated[tuple[Rewrite, ...], ListOf(None, 0, 64)] = ()
    """Rules for the called number."""
    calling: Annotated[tuple[Rewrite, ...], ListOf(None, 0, 64)] = ()
    """Rules for the calling number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkNumbers:
    """How numbers are rewritten on a trunk, by direction."""

    inbound: Annotated[Numbers | None, Key("in")] = None
    """For calls that come from it, before a route is looked for."""
    outbound: Annotated[Numbers | None, Key("out")] = None
    """For calls that go to it, after what the route does."""
