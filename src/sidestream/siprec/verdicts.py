"""How recordings and their sessions end: closed lists, each ending decided where it is understood."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """Why one recording session failed or ended; failovers are counted by it."""

    UNREACHABLE = "unreachable"
    """The server could not be reached, or its name not be resolved."""
    NO_ANSWER = "no-answer"
    """Nothing at all came back in time."""
    SILENT = "silent"
    """A provisional response, and then nothing in time."""
    BUSY = "busy"
    """486, 480, 503, 600: not now."""
    SERVER_ERROR = "server-error"
    """Another 5xx."""
    DECLINED = "declined"
    """A code that stops failover: this call is not to be recorded."""
    REJECTED = "rejected"
    """Another 4xx or 6xx."""
    UNAUTHORIZED = "unauthorized"
    NOT_A_RECORDER = "not-a-recorder"
    """420: the server does not know SIPREC."""
    REDIRECTED = "redirected"
    """A redirection that leads nowhere, or a second one."""
    MEDIA_REFUSED = "media-refused"
    """488, or every stream refused."""
    BODY_REFUSED = "body-refused"
    """415: neither name of the metadata's type is known there."""
    ANSWER_UNUSABLE = "answer-unusable"
    """A 2xx without a usable session description."""
    DIALOG_LOST = "dialog-lost"
    """481 or 408 in mid-call."""
    ENDED_BY_RECORDER = "ended-by-recorder"
    """BYE from the recorder."""
    EXPIRED = "expired"
    """Its session timer ran out (RFC 4028)."""
    NOT_ACKNOWLEDGED = "not-acknowledged"
    """Our 2xx to the recorder was never acknowledged."""
    PEER_LOST = "peer-lost"
    """The network says that the recorder is gone."""
    NO_RESPONSE = "no-response"
    """A request in mid-call was never answered."""
    MEDIA_FAILED = "media-failed"
    """The media engine refused or lost the copy."""
    INTERNAL_ERROR = "internal-error"


class SessionSlug(StrEnum):
    """How one recording session ended, beside the causes of failing."""

    COMPLETED = "completed"
    """Taken to its end, and said goodbye to."""
    ABANDONED = "abandoned"
    """Given up before the server answered, for the call or the recording had ended."""
    FAILED = "failed"
    """Never established; the cause says why."""
    LOST = "lost"
    """Established, and then lost; the cause says why."""


@dataclass(frozen=True, slots=True)
class SessionVerdict:
    """The one ending of a recording session."""

    slug: SessionSlug
    cause: Cause | None = None
    detail: str = ""
    status: int | None = None
    """The SIP status that decided it, where there was one."""


class RecordingResult(StrEnum):
    """The class of a recording's verdict."""

    COMPLETED = "completed"
    """Every copy holds the whole of what was to be recorded."""
    PARTIAL = "partial"
    """Something is missing."""
    STOPPED = "stopped"
    """Ended on purpose before the call did."""
    NOT_RECORDED = "not-recorded"
    """Nothing was recorded."""


class RecordingSlug(StrEnum):
    """Every way a recording can end."""

    COMPLETED = "completed"
    COMPLETED_AFTER_FAILOVER = "completed-after-failover"
    COPY_MISSING = "copy-missing"
    STARTED_LATE = "started-late"
    INTERRUPTED = "interrupted"
    RECORDER_LOST = "recorder-lost"
    ENDED_BY_RECORDER = "ended-by-recorder"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    INTEGRATION_REMOVED = "integration-removed"
    CALL_TOO_SHORT = "call-too-short"
    NO_SERVER = "no-server"
    UNREACHABLE = "unreachable"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    DECLINED = "declined"
    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"
    NOT_A_RECORDER = "not-a-recorder"
    MEDIA_REFUSED = "media-refused"
    ANSWER_UNUSABLE = "answer-unusable"
    MEDIA_FAILED = "media-failed"
    INTERNAL_ERROR = "internal-error"

    @property
    def result(self) -> RecordingResult:
        """The class this verdict belongs to."""
        return _RESULTS.get(self, RecordingResult.NOT_RECORDED)


_RESULTS: Final = {
    RecordingSlug.COMPLETED: RecordingResult.COMPLETED,
    RecordingSlug.COMPLETED_AFTER_FAILOVER: RecordingResult.PARTIAL,
    RecordingSlug.COPY_MISSING: RecordingResult.PARTIAL,
    RecordingSlug.STARTED_LATE: RecordingResult.PARTIAL,
    RecordingSlug.INTERRUPTED: RecordingResult.PARTIAL,
    RecordingSlug.RECORDER_LOST: RecordingResult.PARTIAL,
    RecordingSlug.ENDED_BY_RECORDER: RecordingResult.PARTIAL,
    RecordingSlug.STOPPED: RecordingResult.STOPPED,
    RecordingSlug.SHUTDOWN: RecordingResult.STOPPED,
    RecordingSlug.INTEGRATION_REMOVED: RecordingResult.STOPPED,
}

SENTENCES: Final[dict[RecordingSlug, str]] = {
    RecordingSlug.COMPLETED: "The call was recorded to its end.",
    RecordingSlug.COMPLETED_AFTER_FAILOVER: "A recorder was lost; another one took over at once.",
    RecordingSlug.COPY_MISSING: "One copy is whole, another one is not.",
    RecordingSlug.STARTED_LATE: "No recorder was there at first; the rest of the call was recorded.",
    RecordingSlug.INTERRUPTED: "The recorder was lost, and for a while there was none.",
    RecordingSlug.RECORDER_LOST: "The recorder was lost, and no other one took over.",
    RecordingSlug.ENDED_BY_RECORDER: "The recorder ended the recording before the call had ended.",
    RecordingSlug.STOPPED: "The recording was stopped.",
    RecordingSlug.SHUTDOWN: "The gateway shut down.",
    RecordingSlug.INTEGRATION_REMOVED: "The integration was removed.",
    RecordingSlug.CALL_TOO_SHORT: "The call had ended before a recorder answered.",
    RecordingSlug.NO_SERVER: "No recording server is in service.",
    RecordingSlug.UNREACHABLE: "No recording server could be reached.",
    RecordingSlug.NO_ANSWER: "No recording server answered in time.",
    RecordingSlug.BUSY: "Every recording server was busy or out of order.",
    RecordingSlug.DECLINED: "The recorder declined to record this call.",
    RecordingSlug.REJECTED: "The recorder rejected the recording session.",
    RecordingSlug.UNAUTHORIZED: "The recorder asked for credentials that the integration does not have.",
    RecordingSlug.NOT_A_RECORDER: "The server does not know SIPREC.",
    RecordingSlug.MEDIA_REFUSED: "The recorder accepted none of the streams.",
    RecordingSlug.ANSWER_UNUSABLE: "The recorder's answer could not be used.",
    RecordingSlug.MEDIA_FAILED: "The media engine could not fork the call.",
    RecordingSlug.INTERNAL_ERROR: "The gateway failed to handle the recording.",
}

_BY_CAUSE: Final = {
    Cause.UNREACHABLE: RecordingSlug.UNREACHABLE,
    Cause.NO_ANSWER: RecordingSlug.NO_ANSWER,
    Cause.SILENT: RecordingSlug.NO_ANSWER,
    Cause.BUSY: RecordingSlug.BUSY,
    Cause.SERVER_ERROR: RecordingSlug.BUSY,
    Cause.DECLINED: RecordingSlug.DECLINED,
    Cause.REJECTED: RecordingSlug.REJECTED,
    Cause.UNAUTHORIZED: RecordingSlug.UNAUTHORIZED,
    Cause.NOT_A_RECORDER: RecordingSlug.NOT_A_RECORDER,
    Cause.REDIRECTED: RecordingSlug.REJECTED,
    Cause.MEDIA_REFUSED: RecordingSlug.MEDIA_REFUSED,
    Cause.BODY_REFUSED: RecordingSlug.REJECTED,
    Cause.ANSWER_UNUSABLE: RecordingSlug.ANSWER_UNUSABLE,
    Cause.MEDIA_FAILED: RecordingSlug.MEDIA_FAILED,
    Cause.INTERNAL_ERROR: RecordingSlug.INTERNAL_ERROR,
    Cause.ENDED_BY_RECORDER: RecordingSlug.ENDED_BY_RECORDER,
}


def slug_of_cause(cause: Cause) -> RecordingSlug:
    """What a recording is called that ends for this cause, when nothing else is left to try."""
    return _BY_CAUSE.get(cause, RecordingSlug.RECORDER_LOST)


@dataclass(frozen=True, slots=True)
class RecordingVerdict:
    """The one ending of a recording, or of one of its copies; `detail` is for people."""

    slug: RecordingSlug
    detail: str = ""

    @property
    def result(self) -> RecordingResult:
        """The class of the verdict."""
        return self.slug.result

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return self.detail or SENTENCES[self.slug]
