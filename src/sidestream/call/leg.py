"""One side of a call: its dialog, its offer/answer state, and what is open on it."""

from dataclasses import dataclass, field, replace

from sidestream.call.commands import NextHop, UpdateLegMedia
from sidestream.call.facts import HeaderList, Participant
from sidestream.call.headers_policy import end_to_end
from sidestream.call.setup import LegSetup
from sidestream.call.side import Side
from sidestream.call.state import LegPhase, checked_leg_move
from sidestream.sdp.model import Origin, SessionDescription
from sidestream.sdp.negotiate import NegotiatedCodec
from sidestream.sdp.protection import Protection
from sidestream.sdp.session import OfferAnswer
from sidestream.sip.dialog import Dialog
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Hop, Source
from sidestream.sip.message import Headers, Message, Request
from sidestream.sip.session_timer import SessionTimer


@dataclass(slots=True)
class Exchange:
    """One offer on its way across the call (RFC 3264)."""

    offerer: Side
    offer: SessionDescription
    """As its maker wrote it."""
    relayed: SessionDescription
    """As it was offered to the other side."""


@dataclass(frozen=True, slots=True)
class OwedAck:
    """A 2xx to our INVITE whose ACK waits for the other side's answer to its offer (RFC 3261 13.2.2.4)."""

    side: Side
    request_id: int
    to_tag: str
    cseq: int


@dataclass(slots=True)
class UnackedAnswer:
    """A 2xx that we sent to a leg's INVITE, and that it has not acknowledged."""

    key: ServerKey
    cseq: int
    initial: bool
    """Whether it answers the INVITE that began the leg: until its ACK no BYE may be sent (RFC 3261 15)."""
    exchange: Exchange | None = None
    """The offer in the 2xx, whose answer the ACK must bring; None when the INVITE brought the offer."""
    owed: OwedAck | None = None


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a leg is told at its end."""

    status: int
    """Final status for an INVITE without an answer."""
    phrase: str | None = None
    """Its reason phrase; None for the registered one."""
    headers: Headers | None = None
    """Of the message that ended the other side; what the policy passes goes on with ours."""
    reason: str | None = None
    """`Reason` header value of a BYE or CANCEL when `headers` brings none."""
    extra: HeaderList = ()
    """Further headers of the final response."""


@dataclass(slots=True)
class Leg:
    """One side of a call. Both sides are the same type; what differs is who sent the first INVITE."""

    side: Side
    setup: LegSetup
    local_tag: str
    origin: Origin
    participant: Participant
    protection: Protection
    phase: LegPhase = LegPhase.IDLE
    dialog: Dialog | None = None
    session: OfferAnswer = field(default_factory=OfferAnswer)
    heard_from: Hop | None = None
    allow: frozenset[str] = frozenset()
    """Methods that the party says it understands, from its last `Allow`."""
    headers: HeaderList = ()
    """End-to-end headers of its last INVITE or UPDATE."""
    holding: bool = False
    """Whether the party holds the other one."""
    timer: SessionTimer | None = None
    """Its session timer; None when the session does not expire."""
    refreshed_at: float = 0.0
    """When its interval began."""
    overdue: bool = False
    """Whether a refresh of ours is out: what comes next is the end of the interval."""
    least_interval: int = 0
    """The `Min-SE` of its party's last 422, in seconds."""
    refuses_update: bool = False
    """Whether its party turned an UPDATE down that only refreshed."""
    unacked: UnackedAnswer | None = None
    owes: OwedAck | None = None
    """The ACK that we owe to this leg's party."""
    farewell: Farewell | None = None
    """A BYE that waits for the ACK of the leg's first 2xx."""
    place: str = ""
    """What nonces of the leg's party are kept by: the URI of a peer, or nothing for whoever calls us."""
    ordered: UpdateLegMedia | None = None
    """What the media engine was last told."""

    def move(self, phase: LegPhase) -> None:
        """Go to another phase.

        Raises:
            StateError: The move is not in the table.
        """
        self.phase = checked_leg_move(self.phase, phase)

    def begin_as_server(self, invite: Request, contact: str) -> None:
        """The party sent us its first INVITE (RFC 3261 12.1.1)."""
        self.dialog = Dialog.from_invite_uas(invite, self.local_tag, contact)
        self.headers = tuple(end_to_end(invite.headers))
        self.move(LegPhase.INVITED)

    def begin_anew(self) -> None:
        """Forget the peer that was given up: the next one gets a new dialog and a new session."""
        if self.phase is LegPhase.INVITED:
            self.move(LegPhase.IDLE)
        self.dialog, self.session, self.ordered = None, OfferAnswer(), None
        self.protection = self.protection.anew()
        self.heard_from, self.allow = None, frozenset()
        self.timer, self.least_interval = None, 0
        self.origin = replace(self.origin, session_id=self.origin.session_id + 1)

    def hear(self, message: Message, source: Source) -> None:
        """Note where the party is and what it understands."""
        self.heard_from = source.hop
        if "Allow" in message.headers:
            self.allow = frozenset(word.upper() for word in message.headers.values("Allow"))

    @property
    def next_hop(self) -> NextHop:
        """Where requests within the dialog go."""
        return NextHop(self.dialog.next_hop_uri() if self.dialog else "", (), self.heard_from)

    @property
    def codec(self) -> NegotiatedCodec | None:
        """The codec in use; None while there is no audio."""
        return self.ordered.codecs[0] if self.ordered and self.ordered.codecs else None

    def owns(self, request: Request) -> bool:
        """Whether a request belongs to the leg's dialog (RFC 3261 12.2.2)."""
        dialog = self.dialog
        return (
            dialog is not None
            and request.call_id == dialog.call_id
            and request.to_tag == dialog.local_tag
            and request.from_tag == dialog.remote_tag
        )
