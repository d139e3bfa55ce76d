"""What happens to a call: the events a `B2bua` is told, in the past tense.

The gateway makes them from `sip.transactions` events: it keeps the map from its client keys to the
`request_id`
of the `SendRequest` command that caused them.
"""

from dataclasses import dataclass
from enum import StrEnum

from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response
from sidestream.sip.tls_failure import TlsTrouble


class HangUpBy(StrEnum):
    """Who wants the call ended from outside its two parties."""

    OPERATOR = "operator"
    SHUTDOWN = "shutdown"
    POLICY = "policy"


class TimerName(StrEnum):
    """The timers of a call; each is armed at most once at a time."""

    __hash__ = str.__hash__  # an enum's own is written in Python

    RING = "ring"
    """A peer has been tried for long enough."""
    MAX_DURATION = "max-duration"
    """The longest call allowed, counted from the answer."""
    SESSION_A = "session-a"
    """The session timer of the caller's leg."""
    SESSION_B = "session-b"
    """The session timer of the callee's leg."""
    TEARDOWN = "teardown"
    """Patience with peers that answer neither CANCEL nor BYE."""


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A request within one of the call's dialogs (any method but ACK and CANCEL)."""

    key: ServerKey
    request: Request
    source: Source


@dataclass(frozen=True, slots=True)
class AckArrived:
    """An ACK for a 2xx that we sent (RFC 3261 13.3.1.4)."""

    request: Request
    source: Source


@dataclass(frozen=True, slots=True)
class CancelArrived:
    """A CANCEL for an INVITE from one of the parties; it has been answered 200 already (RFC 3261 9.2)."""

    key: ServerKey
    """The INVITE's server transaction."""
    request: Request
    """The CANCEL itself; its `Reason` is passed on."""


@dataclass(frozen=True, slots=True)
class AnswerNotAcknowledged:
    """A 2xx to an INVITE was never acknowledged within 64*T1."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class ProgressNotAcknowledged:
    """A reliable provisional response to the caller's INVITE got no PRACK within 64*T1 (RFC 3262 3)."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class ResponseTransportFailed:
    """A response could not be sent (RFC 3261 17.2.4)."""

    key: ServerKey


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """A response, provisional or final; a 2xx to INVITE arrives again each time it is re-sent."""

    request_id: int
    response: Response
    source: Source


@dataclass(frozen=True, slots=True)
class RequestSilent:
    """An INVITE has had no response at all for a while; it goes on until it times out."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestTimedOut:
    """No final response came within the transaction's time."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestTransportFailed:
    """The request could not be sent to any of its hops, or none could be resolved.

    `trouble` says why the last one failed, where that was TLS.
    """

    request_id: int
    trouble: TlsTrouble | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` came due."""

    name: TimerName


@dataclass(frozen=True, slots=True)
class MediaTimedOut:
    """Neither party has sent media for the limit."""

    idle_ms: int


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """The media engine refused an order or lost the call."""

    detail: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody outside the call wants it ended."""

    by: HangUpBy
    reason: str
    """Plain words, for the verdict's detail."""


@dataclass(frozen=True, slots=True)
class RecordingRefused:
    """The call must be recorded, and no recorder agreed to it before the call could be passed on."""

    detail: str
    """Plain words, for the verdict's detail."""
    reason: str
    """`Reason` header value (RFC 3326) for the refusal."""


CallEvent = (
    RequestArrived
    | AckArrived
    | CancelArrived
    | AnswerNotAcknowledged
    | ProgressNotAcknowledged
    | ResponseTransportFailed
    | ResponseArrived
    | RequestSilent
    | RequestTimedOut
    | RequestTransportFailed
    | TimerFired
    | MediaTimedOut
    | MediaFailed
    | HangUp
    | RecordingRefused
)
