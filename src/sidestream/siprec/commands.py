"""What a recording session wants done, in the imperative, and the facts that it reports."""

from __future__ import annotations

from dataclasses import dataclass

from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response
from sidestream.siprec.events import TimerName
from sidestream.siprec.offer import Note, StreamResult
from sidestream.siprec.profile import ServerMemory
from sidestream.siprec.verdicts import Cause, SessionVerdict


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send a request in a new client transaction; what comes of it carries its `request_id`.

    Attributes:
        session: which session.
        request: complete but for Via.
        next_hop: URI to resolve (RFC 3263).
        request_id: unique within the session.
        heard_from: where the recorder was last heard from: its flow is to be used again where it fits.
    """

    session: int
    request: Request
    next_hop: str
    request_id: int
    heard_from: Hop | None = None


@dataclass(frozen=True, slots=True)
class SendAck:
    """Send an ACK for a 2xx, outside any transaction."""

    session: int
    request: Request
    next_hop: str
    heard_from: Hop | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an INVITE sent before; the transaction layer waits for a provisional response by itself."""

    session: int
    request_id: int


@dataclass(frozen=True, slots=True)
class Respond:
    """Send a response on a server transaction."""

    session: int
    key: ServerKey
    response: Response


@dataclass(frozen=True, slots=True)
class ConfirmAnswer:
    """The 2xx sent on this key needs no more re-sending."""

    session: int
    key: ServerKey


@dataclass(frozen=True, slots=True)
class StartMedia:
    """Send these streams as agreed; streams that flow already go on by what is new."""

    session: int
    copy: int
    streams: tuple[StreamResult, ...]


@dataclass(frozen=True, slots=True)
class StopMedia:
    """Send nothing more on these streams; their clocks run on."""

    session: int
    copy: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Arm a timer, in place of the one of the same name; `at` is in monotonic seconds."""

    session: int
    name: TimerName
    at: float


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Disarm a timer."""

    session: int
    name: TimerName


# --- facts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InviteSent:
    """A server is asked to record."""

    server: str
    sip_call_id: str
    local_tag: str
    """Requests of the recorder whose Call-ID and To tag these are belong to this session."""


@dataclass(frozen=True, slots=True)
class Established:
    """The server records, or will when it is ready."""

    server: str
    streams: tuple[StreamResult, ...]
    setup_s: float
    """From the first INVITE to the answer."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The server does not record this call."""

    server: str
    cause: Cause
    detail: str
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The recorder was recording and does no more."""

    server: str
    cause: Cause
    detail: str
    noticed_at: float | None = None
    """Monotonic seconds when that was noticed; None: just now."""


@dataclass(frozen=True, slots=True)
class StreamsAgreed:
    """What is sent on each stream is another than before."""

    streams: tuple[StreamResult, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """A description of the recorder was odd in these ways."""

    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class DocumentSent:
    """A metadata document went out."""

    method: str
    revision: int
    document: bytes
    with_offer: bool


@dataclass(frozen=True, slots=True)
class DocumentRefused:
    """The recorder turned a document down, or the change it went with; the session is as before."""

    method: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class PauseSignalled:
    """The recorder knows whether the recording is paused. Media had stopped before."""

    paused: bool


@dataclass(frozen=True, slots=True)
class PauseNotSignalled:
    """The recorder did not take a pause or a resumption: media stays off either way."""

    paused: bool
    status: int


@dataclass(frozen=True, slots=True)
class SnapshotRequested:
    """The recorder asked for a complete document; `reason` is its own word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Collided:
    """Our change and the recorder's met (491): the latest state is sent later."""

    method: str


@dataclass(frozen=True, slots=True)
class MemoryLearned:
    """The server has shown something that the next session should know."""

    server: str
    memory: ServerMemory


SessionFact = (
    InviteSent
    | Established
    | AttemptFailed
    | SessionLost
    | StreamsAgreed
    | Noted
    | DocumentSent
    | DocumentRefused
    | PauseSignalled
    | PauseNotSignalled
    | SnapshotRequested
    | Collided
    | MemoryLearned
)


@dataclass(frozen=True, slots=True)
class Report:
    """Tell a fact to whoever listens."""

    session: int
    fact: SessionFact


@dataclass(frozen=True, slots=True)
class Finish:
    """Forget the session: its last command, exactly once."""

    session: int
    verdict: SessionVerdict


SessionCommand = (
    SendRequest
    | SendAck
    | Cancel
    | Respond
    | ConfirmAnswer
    | StartMedia
    | StopMedia
    | SetTimer
    | ClearTimer
    | Report
    | Finish
)
