"""What recordings and their sessions are told, in the past tense.

`session` is the number of the recording session that an event is about: it comes from the command that the
event answers, or from the dialog that a request belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from sidestream.sdp.codecs import Codec
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response
from sidestream.siprec.metadata import Reason
from sidestream.siprec.offer import StreamSource


class TimerName(StrEnum):
    """The timers of a recording session; each is armed at most once at a time."""

    SETUP = "setup"
    """The server has had its time to answer, whatever it said in between."""
    REQUEST = "request"
    """A request in mid-call has had its time."""
    BACKOFF = "backoff"
    """After a collision (RFC 3261 section 14.1)."""
    REFRESH = "refresh"
    """Our turn to refresh the session (RFC 4028)."""
    EXPIRY = "expiry"
    """The recorder should have refreshed the session."""
    FAREWELL = "farewell"
    """The last document has had its time."""
    TEARDOWN = "teardown"
    """CANCEL or BYE has had its time."""


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """A response, provisional or final; a 2xx to INVITE arrives again each time it is re-sent."""

    session: int
    request_id: int
    response: Response
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class RequestTimedOut:
    """No final response came within the transaction's time."""

    session: int
    request_id: int


@dataclass(frozen=True, slots=True)
class RequestTransportFailed:
    """The request could not be sent to any hop, or none could be resolved."""

    session: int
    request_id: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A request within the session's dialog (any method but ACK and CANCEL)."""

    session: int
    key: ServerKey
    request: Request


@dataclass(frozen=True, slots=True)
class AckArrived:
    """The ACK for a 2xx that we sent."""

    session: int
    request: Request


@dataclass(frozen=True, slots=True)
class AckTimedOut:
    """A 2xx of ours was never acknowledged (RFC 3261 section 13.3.1.4)."""

    session: int
    key: ServerKey


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` came due."""

    session: int
    name: TimerName


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The network says that the recorder is gone (ICMP unreachable on RTP, for one)."""

    session: int
    detail: str
    noticed_at: float | None = field(default=None, compare=False)
    """Monotonic seconds when that was noticed, where it is told only later: what is missing begins there."""


@dataclass(frozen=True, slots=True)
class PeerSuspected:
    """The recorder may be gone (its connection closed, a probe failed): ask it within the dialog."""

    session: int


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """The media engine refused or lost this copy."""

    session: int
    detail: str


@dataclass(frozen=True, slots=True)
class SnapshotDue:
    """The ledger has a new revision."""


@dataclass(frozen=True, slots=True)
class StreamCodec:
    """What a participant sends now."""

    label: str
    codec: Codec
    event: Codec | None = None
    fallbacks: tuple[str, ...] | None = None
    """What it can be transcoded to; None: as before."""

    def within(self, source: StreamSource) -> StreamSource:
        """The stream with what is new."""
        fallbacks = source.fallbacks if self.fallbacks is None else self.fallbacks
        return replace(source, codec=self.codec, event=self.event, fallbacks=fallbacks)


@dataclass(frozen=True, slots=True)
class CodecsChanged:
    """Participants send in other codecs than before."""

    codecs: tuple[StreamCodec, ...]


@dataclass(frozen=True, slots=True)
class ProtectionNeeded:
    """What is recorded is SRTP from now on, and so must the recording be."""


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """The recording shall leave out what is said from now on."""


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """The recording shall go on."""


class StopBy(StrEnum):
    """Who ends a recording before its call has ended."""

    OPERATOR = "operator"
    SHUTDOWN = "shutdown"
    INTEGRATION_REMOVED = "integration-removed"


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The recording shall end now."""

    by: StopBy = StopBy.OPERATOR
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over; the ledger has been told before."""

    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class FirstPacketSent:
    """The engine sent the first packet of a session to the recorder."""

    session: int


SessionEvent = (
    ResponseArrived
    | RequestTimedOut
    | RequestTransportFailed
    | RequestArrived
    | AckArrived
    | AckTimedOut
    | TimerFired
    | PeerLost
    | PeerSuspected
    | MediaFailed
)
"""Events of one session."""

WideEvent = SnapshotDue | CodecsChanged | ProtectionNeeded | PauseAsked | ResumeAsked | StopAsked | CallEnded
"""Events that concern every session of a recording."""
