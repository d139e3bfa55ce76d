"""The two sides of a call: `a` called us, `b` is who we called for it."""

from enum import StrEnum


class Side(StrEnum):
    """One side of a call; the value is the name the media engine uses for the leg."""

    __hash__ = str.__hash__  # an enum's own is written in Python

    A = "a"
    """The caller's leg: we are the user agent server of its INVITE."""
    B = "b"
    """The callee's leg: we are the user agent client of its INVITE."""

    @property
    def other(self) -> "Side":
        """The side across the call."""
        return Side.B if self is Side.A else Side.A
