"""What a stream session hears (past tense) and what it orders (imperative)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sidestream.stream.messages import Body, Close, MetadataData, PausedBy
from sidestream.stream.verdicts import AttemptFailure, StreamSlug, StreamVerdict


@dataclass(frozen=True, slots=True)
class Connected:
    """The engine has a WebSocket connection and sends on it."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """One attempt to connect came to nothing."""

    failure: AttemptFailure
    detail: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection is gone; `clean` means by the endpoint's own Close 1000."""

    reason: str
    detail: str
    clean: bool


@dataclass(frozen=True, slots=True)
class TextReceived:
    """The endpoint sent a text frame that is not a valid acknowledgement."""

    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FactLearned:
    """Something about the call or the stream that the endpoint is told as `metadata`."""

    type: str
    data: MetadataData
    at: datetime
    participant_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A participant pressed a key; `body` is the whole message."""

    body: Body


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """The API, the endpoint or a policy wants the media to stop."""

    by: PausedBy
    at: datetime


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """The one who paused the stream wants the media back."""

    by: PausedBy
    at: datetime


@dataclass(frozen=True, slots=True)
class EndAsked:
    """The stream shall end: deliver what is queued, then `close` with the reason of this slug."""

    slug: StreamSlug
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AbortAsked:
    """The stream shall end at once, delivered or not."""

    slug: StreamSlug
    detail: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The instant that `timer()` named has come."""


@dataclass(frozen=True, slots=True)
class EngineClosed:
    """The engine has let go of the stream; nothing comes after it."""

    close_sent: bool


SessionEvent = (
    AbortAsked
    | AttemptFailed
    | Connected
    | ConnectionLost
    | EndAsked
    | EngineClosed
    | FactLearned
    | KeyPressed
    | PauseAsked
    | ResumeAsked
    | TextReceived
    | TimerFired
)


@dataclass(frozen=True, slots=True)
class ConnectEndpoint:
    """Make one attempt at `endpoint`, a URL; `connection` counts from 1."""

    endpoint: str
    connection: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Queue a control message; it is never dropped."""

    event: Literal["metadata", "dtmf"]
    body: Body


@dataclass(frozen=True, slots=True)
class PauseMedia:
    """Stop the media of every channel (`on`), or let it go on."""

    on: bool


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Flush, send `close` and the WebSocket Close with `code`; draining takes `drain_ms` at most."""

    body: Close
    code: int
    drain_ms: int


@dataclass(frozen=True, slots=True)
class AbortStream:
    """Let go of the stream at once."""


@dataclass(frozen=True, slots=True)
class FinishStream:
    """The stream has ended; given exactly once, and last."""

    verdict: StreamVerdict


SessionCommand = AbortStream | CloseStream | ConnectEndpoint | FinishStream | PauseMedia | SendMessage
