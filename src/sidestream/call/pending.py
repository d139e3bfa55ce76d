"""Requests that a call has sent and whose final response it awaits."""

from dataclasses import dataclass, field
from datetime import datetime

from sidestream.call.commands import NextHop
from sidestream.call.leg import Exchange
from sidestream.call.record import AttemptRecord
from sidestream.call.setup import PeerHop
from sidestream.call.side import Side
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.session import OfferAnswer
from sidestream.sip.dialog import Dialog
from sidestream.sip.digest_client import NotAnswered, Trail
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Hop, Source
from sidestream.sip.message import Request, Response

MAX_EARLY_DIALOGS = 16
"""Early dialogs kept per INVITE: a forking proxy rings a handful of phones."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A PRACK that is due, or on its way (RFC 3262 4)."""

    dialog: Dialog
    hop: Hop
    rseq: int
    cseq: int
    """Number of the INVITE."""


@dataclass(slots=True)
class Attempt:
    """The INVITE to one peer."""

    number: int
    peer: PeerHop
    request: Request
    request_id: int
    started_at: datetime
    exchange: Exchange | None
    """The caller's offer; None when the callee is to offer (a delayed offer)."""
    session: OfferAnswer
    """The offer/answer state that every fork begins with."""
    reliable: bool = False
    """Whether the peer was told that we know reliable provisional responses."""
    early: dict[str, Dialog] = field(default_factory=dict)
    """Early dialogs by the peer's tag: more than one when a proxy forked the INVITE (RFC 3261 12.1)."""
    previews: dict[str, SessionDescription] = field(default_factory=dict)
    """Answers told ahead of time in provisional responses, by the peer's tag."""
    sessions: dict[str, OfferAnswer] = field(default_factory=dict)
    """Offer/answer states by the peer's tag: each fork answers for itself."""
    numbers: dict[str, int] = field(default_factory=dict)
    """RSeq of the last reliable response in order, by the peer's tag."""
    asked: Exchange | None = None
    """The callee's offer in a reliable response to an INVITE without one."""
    asked_by: str = ""
    """The tag of the fork that made it."""
    settled: bool = False
    """Whether its answer has gone back in the PRACK."""
    held_answer: tuple[Response, Source] | None = None
    """A 2xx that waits for the caller's PRACK (RFC 3262 3)."""
    given_up: bool = False
    """Cancelled, or answered by another fork: whatever it answers, the call goes on without it."""
    foreign: bool = False
    """Whether a redirection led it away from the hosts of the trunk, which our credentials are for."""
    again: bool = False
    """Whether the same peer was asked before, for SRTP."""
    ended_at: datetime | None = None
    status: int | None = None
    detail: str = ""
    trail: Trail = ()
    """What the INVITE was challenged for so far."""
    unanswered: NotAnswered | None = None
    """Why the last challenge could not be answered."""

    @property
    def side(self) -> Side:
        """Where the INVITE goes."""
        return Side.B

    @property
    def place(self) -> str:
        """What its nonces are kept by."""
        return self.peer.uri

    @property
    def record(self) -> AttemptRecord:
        """The attempt for the call's record."""
        return AttemptRecord(
            self.peer.uri, self.request.call_id, self.started_at, self.ended_at, self.status, self.detail
        )


@dataclass(slots=True)
class Crossing:
    """A request from one party within the call, passed on to the other."""

    side: Side
    """Where it came from."""
    key: ServerKey
    request: Request
    """As it came."""
    sent: Request
    """As it was passed on; an UPDATE may cross as an INVITE."""
    exchange: Exchange | None = None
    """The offer that it brought."""
    place: str = ""
    """What nonces of where it goes are kept by."""
    cancelled: bool = False
    """Whether its sender gave it up."""
    trail: Trail = ()
    """What it was challenged for so far."""

    @property
    def renegotiates(self) -> bool:
        """Whether it may change the session: while it is open, no other such request may start."""
        return self.sent.method == "INVITE" or self.exchange is not None


@dataclass(slots=True)
class Goodbye:
    """A BYE that we sent."""

    side: Side
    request: Request
    next_hop: NextHop
    place: str
    """What nonces of where it goes are kept by."""
    trail: Trail = ()
    """What it was challenged for so far."""


@dataclass(slots=True)
class Refresh:
    """A request of ours that refreshes a session (RFC 4028)."""

    side: Side
    request: Request
    place: str
    """What nonces of where it goes are kept by."""
    trail: Trail = ()
    """What it was challenged for so far."""


Pending = Attempt | Crossing | Goodbye | Acknowledgement | Refresh
