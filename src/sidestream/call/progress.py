"""What the caller has heard before its answer, and what of it must be acknowledged (RFC 3262 section 3).

One reliable response is under way at a time; what comes meanwhile waits in a bounded queue.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from sidestream.call.features import Features, Use
from sidestream.call.leg import Exchange
from sidestream.call.pending import Acknowledgement
from sidestream.sip import reliability
from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response

MAX_WAITING: Final = 16
"""Provisional responses that wait for the PRACK of the one before; what comes beyond is taken as lost."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A provisional response of the callee's side."""

    response: Response
    source: Source
    rseq: int | None
    """Its number when it is reliable."""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A reliable response that the caller has not acknowledged."""

    rseq: int
    has_session: bool
    """Whether it has a session description: no 2xx may be sent before its PRACK."""
    exchange: Exchange | None
    """The offer in it, which the PRACK must answer."""
    owed: Acknowledgement | None
    """The PRACK that we owe to the callee's side for it."""


@dataclass(slots=True)
class Progress:
    """The provisional responses to the caller's INVITE."""

    reliable: bool
    """Whether they are sent reliably."""
    required: bool
    """Whether the caller takes no others."""
    rseq: int = 0
    """Number of the last reliable one."""
    outstanding: Outstanding | None = None
    waiting: deque[Heard] = field(default_factory=deque)

    @staticmethod
    def for_invite(invite: Request, features: Features) -> "Progress":
        """What a caller's INVITE asks for, as far as its trunk goes along."""
        reliable = features.prack is not Use.OFF and reliability.supports(invite, reliability.TAG)
        return Progress(reliable, reliable and reliability.requires(invite, reliability.TAG))

    @property
    def blocks_answer(self) -> bool:
        """Whether a 2xx must wait (RFC 3262 section 3)."""
        return self.outstanding is not None and self.outstanding.has_session

    def acknowledges(self, rack: reliability.RAck, invite: Request) -> bool:
        """Whether a PRACK is for the response under way."""
        known = self.outstanding
        return known is not None and rack == reliability.RAck(known.rseq, invite.cseq.number, "INVITE")
