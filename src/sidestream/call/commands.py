"""What a call wants done: the orders of a `B2bua` to its gateway, in the imperative.

They must be executed in order. None of them fails back into the call except through the events that say so.
"""

from dataclasses import dataclass

from sidestream.call.events import TimerName
from sidestream.call.facts import Fact
from sidestream.call.record import CallSnapshot
from sidestream.call.side import Side
from sidestream.call.verdict import Verdict
from sidestream.sdp.crypto import SrtpKeys
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a request of the call is to go."""

    uri: str
    """URI to resolve (RFC 3263) when `hops` is empty: the peer's, the topmost Route or the remote target."""
    hops: tuple[Hop, ...] = ()
    """Hops already known, in order of preference."""
    heard_from: Hop | None = None
    """Where the leg's peer was last heard from: its flow is to be re-used when `uri` leads to the same
    transport and
    host, and its address is the last resort when `uri` cannot be resolved."""


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send a request in a new client transaction.

    The answer comes back as `ResponseArrived`, `RequestTimedOut` or `RequestTransportFailed` with the
    `request_id`.
    """

    side: Side
    request: Request
    """Complete but for Via."""
    next_hop: NextHop
    request_id: int
    """Unique within the call."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Cancel an INVITE sent before.

    The transaction layer waits for its first provisional response by itself (RFC 3261 9.1).
    """

    request_id: int
    reason: str | None
    """Value of the CANCEL's `Reason` header."""


@dataclass(frozen=True, slots=True)
class SendAck:
    """Send an ACK for a 2xx, outside any transaction."""

    side: Side
    request: Request
    next_hop: NextHop


@dataclass(frozen=True, slots=True)
class Respond:
    """Send a response on a server transaction."""

    key: ServerKey
    response: Response


@dataclass(frozen=True, slots=True)
class ConfirmAnswer:
    """The 2xx sent on this key needs no more re-sending."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class ConfirmProgress:
    """The reliable provisional response sent on this key needs no more re-sending (RFC 3262 3)."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class UpdateLegMedia:
    """Tell the media engine what was agreed on a leg."""

    side: Side
    remote: MediaAddress | None
    """Where the party wants its media; None when it wants none (port 0 or the old form of hold)."""
    codecs: tuple[NegotiatedCodec, ...]
    """The first is the one in use."""
    ptime_ms: int
    held: bool
    """Either party holds the other: silence from this leg is due to that."""
    srtp: SrtpKeys | None = None
    """The keys of its media; None: plain RTP."""


@dataclass(frozen=True, slots=True)
class BridgeMedia:
    """Relay media between the legs, or stop it."""

    on: bool


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Arm a timer, in place of the one of the same name."""

    name: TimerName
    at: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Disarm a timer."""

    name: TimerName


@dataclass(frozen=True, slots=True)
class Report:
    """Tell a fact to whoever listens."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class EndCall:
    """Forget the call: the last command, exactly once.

    No timer is armed and no answer is awaited any more.
    """

    verdict: Verdict
    record: CallSnapshot


Command = (
    SendRequest
    | CancelRequest
    | SendAck
    | Respond
    | ConfirmAnswer
    | ConfirmProgress
    | UpdateLegMedia
    | BridgeMedia
    | SetTimer
    | ClearTimer
    | Report
    | EndCall
)
