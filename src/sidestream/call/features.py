"""What a trunk wants of SIP beyond RFC 3261: the extensions that a leg speaks."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidestream.sip import reliability, session_timer

BASE_METHODS: Final = frozenset({"ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "OPTIONS", "UPDATE"})
"""Methods that every leg takes."""


class Use(StrEnum):
    """Whether an extension is used on a leg."""

    OFF = "off"
    SUPPORTED = "supported"
    """Where the far side knows it."""
    REQUIRED = "required"
    """With far sides that know it only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The extensions of one leg."""

    prack: Use = Use.SUPPORTED
    """Reliable provisional responses (RFC 3262)."""
    timer: Use = Use.SUPPORTED
    """Session timers (RFC 4028)."""
    session_expires: int = 1800
    """Interval that the leg asks for, in seconds."""
    min_se: int = session_timer.MIN_SE_S
    """Shortest interval that the leg takes, in seconds."""

    follow_redirects: bool = False
    """Whether the contacts of a 3xx are tried; else the caller is told them."""

    @property
    def methods(self) -> frozenset[str]:
        """Methods that a party of the leg may send."""
        return BASE_METHODS | ({"PRACK"} if self.prack is not Use.OFF else frozenset())

    @property
    def allow(self) -> str:
        """The `Allow` value."""
        return ", ".join(sorted(self.methods))

    @property
    def options(self) -> tuple[str, ...]:
        """The option tags that the leg knows: what `Supported` lists, and what may be required of it."""
        uses = ((reliability.TAG, self.prack), (session_timer.TAG, self.timer))
        return tuple(tag for tag, use in uses if use is not Use.OFF)

    def unknown(self, required: Iterable[str]) -> tuple[str, ...]:
        """The option tags among those required that the leg does not know."""
        return tuple(tag for tag in required if tag.lower() not in self.options)


EVERYTHING: Final = Features()
"""What the gateway can do, before it is known which trunk is meant."""

ALLOWED_METHODS: Final = EVERYTHING.methods
"""Methods that reach calls; the trunk of each decides about the rest."""

OPTION_TAGS: Final = frozenset(EVERYTHING.options)
"""Option tags that reach calls; the trunk of each decides."""
