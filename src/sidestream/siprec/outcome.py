"""What a recording orders and reports beside its sessions' commands, and how its verdict is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from sidestream.siprec.commands import SessionCommand
from sidestream.siprec.events import StopBy
from sidestream.siprec.offer import StreamSource
from sidestream.siprec.profile import Server
from sidestream.siprec.session import RecordingSession
from sidestream.siprec.verdicts import (
    SENTENCES,
    Cause,
    RecordingResult,
    RecordingSlug,
    RecordingVerdict,
    slug_of_cause,
)

OnLoss = Literal["continue", "warn", "hang_up"]
"""What the loss of a mandatory recording means for its call."""


class RecordingTimer(StrEnum):
    """The timers of a recording; one of each for a copy at most."""

    DEADLINE = "deadline"
    """A mandatory recording must be confirmed by now."""
    RETRY = "retry"
    """A copy without a recorder looks for one again."""


@dataclass(frozen=True, slots=True)
class SetRecordingTimer:
    """Arm a timer of the recording, in place of the same one; `at` is in monotonic seconds."""

    name: RecordingTimer
    copy: int
    at: float


@dataclass(frozen=True, slots=True)
class ClearRecordingTimer:
    """Disarm a timer of the recording."""

    name: RecordingTimer
    copy: int


@dataclass(frozen=True, slots=True)
class RecordingTimerFired:
    """A timer set by `SetRecordingTimer` came due."""

    name: RecordingTimer
    copy: int


@dataclass(frozen=True, slots=True)
class RecordingConfirmed:
    """A recorder records: a call that waits for that may go on. Given once."""

    server: str
    setup_s: float


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """No recorder was found in time, or any more: a call that must be recorded is refused with 503.

    Attributes:
        verdict: why.
        reason: `Reason` header value (RFC 3326) for the refusal.
    """

    verdict: RecordingVerdict
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingLost:
    """Nothing records any more in mid-call, and no server took over.

    Attributes:
        action: what that means for the call; `continue` unless the recording is mandatory.
        verdict: why.
        reason: `Reason` header value for a call that is ended for it.
    """

    action: OnLoss
    verdict: RecordingVerdict
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingRestored:
    """After a loss, or a start without recorder, one records again."""

    server: str


@dataclass(frozen=True, slots=True)
class FailedOver:
    """A copy goes on to another server; counted by cause."""

    copy: int
    cause: Cause
    source: str
    target: str
    mid_call: bool


@dataclass(frozen=True, slots=True)
class GapMeasured:
    """A copy lacks so much of the call, between one recorder and the next."""

    copy: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FirstPacket:
    """The first packet of a copy went out.

    Attributes:
        copy: which copy.
        after_answer_s: seconds since the call was answered; 0 when it came before; None while unanswered.
    """

    copy: int
    after_answer_s: float | None


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """What became of one copy."""

    copy: int
    verdict: RecordingVerdict
    servers: tuple[str, ...]
    """Those that recorded, in order."""
    attempts: int
    failovers: int
    gap_s: float


@dataclass(frozen=True, slots=True)
class FinishRecording:
    """Forget the recording: its last command, exactly once."""

    verdict: RecordingVerdict
    copies: tuple[CopyRecord, ...]


RecordingCommand = (
    SessionCommand
    | SetRecordingTimer
    | ClearRecordingTimer
    | RecordingConfirmed
    | RecordingFailed
    | RecordingLost
    | RecordingRestored
    | FailedOver
    | GapMeasured
    | FirstPacket
    | FinishRecording
)


def reason_of(verdict: RecordingVerdict) -> str:
    """The `Reason` value that tells a party why its call was not carried (RFC 3326)."""
    text = SENTENCES[verdict.slug].replace('"', "'")
    return f'SIP;cause=503;text="Recording required: {text}"'


class CopyState(StrEnum):
    """Where a copy stands."""

    TRYING = "trying"
    UP = "up"
    WAITING = "waiting"
    """Without a recorder, until it looks again."""
    OVER = "over"
    """Nothing is tried any more."""


@dataclass(slots=True)
class Copy:
    """One copy of a recording, over all the servers that it was with."""

    index: int
    sources: tuple[StreamSource, ...]
    state: CopyState = CopyState.TRYING
    session: RecordingSession | None = None
    candidates: list[Server] = field(default_factory=list)
    deadline: float = 0.0
    tried: set[str] = field(default_factory=set)
    """URIs asked in this round."""
    excluded: set[str] = field(default_factory=set)
    """URIs that do not want this call any more."""
    servers: list[str] = field(default_factory=list)
    attempts: int = 0
    failovers: int = 0
    down_since: float | None = None
    gap_s: float = 0.0
    first_packet: bool = False
    cause: Cause | None = None
    """Of the last failure."""
    detail: str = ""
    late: bool = False
    """A whole round failed before the first recorder was found."""
    interrupted: bool = False
    """A whole round failed after one was lost."""

    @property
    def recorded(self) -> bool:
        """Whether anything of the call was recorded."""
        return bool(self.servers)

    def verdict(self, stopped: StopBy | None) -> RecordingVerdict:
        """How the copy ended, when it does so now."""
        slug = self._slug(stopped)
        return RecordingVerdict(slug, self.detail if slug.result is not RecordingResult.COMPLETED else "")

    def _slug(self, stopped: StopBy | None) -> RecordingSlug:
        if stopped is not None and (self.recorded or self.cause is None):
            return _STOPS[stopped]
        if self.state is CopyState.UP:
            if self.interrupted:
                return RecordingSlug.INTERRUPTED
            if self.late:
                return RecordingSlug.STARTED_LATE
            took_over = len(self.servers) > 1
            return RecordingSlug.COMPLETED_AFTER_FAILOVER if took_over else RecordingSlug.COMPLETED
        if self.recorded:
            ended = self.cause is Cause.ENDED_BY_RECORDER
            return RecordingSlug.ENDED_BY_RECORDER if ended else RecordingSlug.RECORDER_LOST
        if self.cause is not None:
            return slug_of_cause(self.cause)
        return RecordingSlug.CALL_TOO_SHORT if self.attempts else RecordingSlug.NO_SERVER

    def record(self, stopped: StopBy | None) -> CopyRecord:
        """The copy for the recording's record."""
        return CopyRecord(
            self.index,
            self.verdict(stopped),
            tuple(self.servers),
            self.attempts,
            self.failovers,
            round(self.gap_s, 3),
        )


_STOPS: Final = {
    StopBy.OPERATOR: RecordingSlug.STOPPED,
    StopBy.SHUTDOWN: RecordingSlug.SHUTDOWN,
    StopBy.INTEGRATION_REMOVED: RecordingSlug.INTEGRATION_REMOVED,
}

_RANK: Final = (
    RecordingSlug.COMPLETED,
    RecordingSlug.COMPLETED_AFTER_FAILOVER,
    RecordingSlug.STARTED_LATE,
    RecordingSlug.INTERRUPTED,
    RecordingSlug.ENDED_BY_RECORDER,
    RecordingSlug.RECORDER_LOST,
    *_STOPS.values(),
)
"""From the best on; what is not here recorded nothing."""


def overall(copies: Sequence[CopyRecord]) -> RecordingVerdict:
    """The verdict of a recording: of its best copy, unless that one alone is whole."""
    ranks = [_RANK.index(each.verdict.slug) if each.verdict.slug in _RANK else len(_RANK) for each in copies]
    best = copies[ranks.index(min(ranks))]
    if best.verdict.slug is RecordingSlug.COMPLETED and max(ranks) > 0:
        lacking = copies[ranks.index(max(ranks))]
        detail = f"copy {lacking.copy + 1}: {lacking.verdict.sentence}"
        return RecordingVerdict(RecordingSlug.COPY_MISSING, detail)
    return best.verdict
