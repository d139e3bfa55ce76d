"""The life of one stream, from its first attempt to connect to its verdict, as a table.

The media engine owns the connection and the queue; this machine decides where and when to connect, what to
answer to the endpoint's messages, when to give up, and what the stream's end is called (protocol sections 4
and 6). It does no I/O: events in, commands out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, assert_never

from sidestream.errors import StateError
from sidestream.stream.events import (
    AbortAsked,
    AbortStream,
    AttemptFailed,
    CloseStream,
    Connected,
    ConnectEndpoint,
    ConnectionLost,
    EndAsked,
    EngineClosed,
    FactLearned,
    FinishStream,
    KeyPressed,
    PauseAsked,
    PauseMedia,
    ResumeAsked,
    SendMessage,
    SessionCommand,
    SessionEvent,
    TextReceived,
    TimerFired,
)
from sidestream.stream.inbound import MalformedMessageError, Pause, Resume, Stop, parse_inbound
from sidestream.stream.messages import (
    Close,
    Metadata,
    MetadataData,
    PausedBy,
    StreamErrorData,
    StreamPausedData,
    rfc3339,
)
from sidestream.stream.reconnect import Outage, ReconnectPolicy
from sidestream.stream.verdicts import FINAL_SLUGS, AttemptFailure, StreamSlug, StreamVerdict, slug_of_failure

MALFORMED_MAX: Final = 100
"""Inbound messages that could not be obeyed before the stream ends with reason `error` (protocol section
4)."""

DRAIN_MS: Final = 5000
"""How long the engine may take to send what is queued before the `close`."""

CLOSE_MARGIN_S: Final = 5.0
"""Added to draining: 2 s for the endpoint's Close (protocol section 3) and the engine's own delays."""

UNCONNECTED_GRACE_S: Final = 5.0
"""How long a stream that never had a connection goes on trying after the end of its call: a short call must
not lose its audio to a slow handshake, nor leave its stream behind for a whole reconnection window."""

ATTEMPT_MAX_S: Final = 30.0
"""A guard above every connect timeout: an attempt of which nothing is heard any more has failed."""

ABORT_WAIT_S: Final = 5.0
"""How long the engine may take to confirm an abort before the stream is taken as ended anyway."""

CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001


class State(Enum):
    """Where a stream is. The `CLOSING` states have their end decided and still deliver what is queued."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    STREAMING = "streaming"
    CLOSING = "closing"
    CLOSING_CONNECTING = "closing, connecting"
    CLOSING_WAITING = "closing, waiting"
    ABORTING = "aborting"
    CLOSED = "closed"


class Trigger(Enum):
    """What moves a stream."""

    CONNECTED = "connected"
    ATTEMPT_FAILED = "attempt failed"
    RETRY_DUE = "retry due"
    LOST = "connection lost"
    END = "end asked"
    GIVE_UP = "given up"
    ENGINE_CLOSED = "engine closed"


_TO: Final = Trigger
MOVES: Final[dict[tuple[State, Trigger], State]] = {
    (State.CONNECTING, _TO.CONNECTED): State.STREAMING,
    (State.CONNECTING, _TO.ATTEMPT_FAILED): State.WAITING,
    (State.CONNECTING, _TO.END): State.CLOSING_CONNECTING,
    (State.CONNECTING, _TO.GIVE_UP): State.ABORTING,
    (State.CONNECTING, _TO.ENGINE_CLOSED): State.CLOSED,
    (State.WAITING, _TO.RETRY_DUE): State.CONNECTING,
    (State.WAITING, _TO.END): State.CLOSING_WAITING,
    (State.WAITING, _TO.GIVE_UP): State.ABORTING,
    (State.WAITING, _TO.ENGINE_CLOSED): State.CLOSED,
    (State.STREAMING, _TO.LOST): State.WAITING,
    (State.STREAMING, _TO.END): State.CLOSING,
    (State.STREAMING, _TO.GIVE_UP): State.ABORTING,
    (State.STREAMING, _TO.ENGINE_CLOSED): State.CLOSED,
    (State.CLOSING, _TO.LOST): State.CLOSING_WAITING,
    (State.CLOSING, _TO.GIVE_UP): State.ABORTING,
    (State.CLOSING, _TO.ENGINE_CLOSED): State.CLOSED,
    (State.CLOSING_CONNECTING, _TO.CONNECTED): State.CLOSING,
    (State.CLOSING_CONNECTING, _TO.ATTEMPT_FAILED): State.CLOSING_WAITING,
    (State.CLOSING_CONNECTING, _TO.GIVE_UP): State.ABORTING,
    (State.CLOSING_CONNECTING, _TO.ENGINE_CLOSED): State.CLOSED,
    (State.CLOSING_WAITING, _TO.RETRY_DUE): State.CLOSING_CONNECTING,
    (State.CLOSING_WAITING, _TO.GIVE_UP): State.ABORTING,
    (State.CLOSING_WAITING, _TO.ENGINE_CLOSED): State.CLOSED,
    (State.ABORTING, _TO.ENGINE_CLOSED): State.CLOSED,
}

OPEN_STATES: Final = frozenset({State.CONNECTING, State.WAITING, State.STREAMING})
LINKED_STATES: Final = frozenset({State.STREAMING, State.CLOSING})
ATTEMPTING_STATES: Final = frozenset({State.CONNECTING, State.CLOSING_CONNECTING})
WAITING_STATES: Final = frozenset({State.WAITING, State.CLOSING_WAITING})
OVER_STATES: Final = frozenset({State.ABORTING, State.CLOSED})


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """The fixed facts of a stream: its endpoint URLs in order, its clock and its patience."""

    endpoints: Sequence[str]
    started_at: datetime
    sample_rate: int
    policy: ReconnectPolicy = field(default_factory=ReconnectPolicy)


class StreamSession:
    """One stream's life. Every event may come in every state; what a state has no use for is ignored.

    After `FinishStream` no command is given any more.
    """

    def __init__(self, setup: SessionSetup, chance: Callable[[], float], now: float) -> None:
        self._setup = setup
        self._outage = Outage(setup.policy, setup.endpoints, chance, now)
        self._retry_at = now
        self._attempt_deadline = now + ATTEMPT_MAX_S
        self._close_deadline: float | None = None
        self._verdict: StreamVerdict | None = None
        self._last_failure: StreamVerdict | None = None
        self._pausers: set[PausedBy] = set()
        self.state = State.CONNECTING
        self.connections = 0
        self.malformed = 0

    @property
    def paused(self) -> bool:
        """Whether anybody has paused the media."""
        return bool(self._pausers)

    @property
    def last_failure(self) -> StreamVerdict | None:
        """Why the last attempt failed or the last connection was lost."""
        return self._last_failure

    def start(self) -> list[SessionCommand]:
        """Return the first commands: the first attempt."""
        return [self._attempt()]

    def timer(self) -> float | None:
        """Return when `TimerFired` is due on the caller's monotonic clock, or `None`."""
        if self.state in WAITING_STATES:
            return min(self._retry_at, self._outage.deadline)
        if self.state in {State.CLOSING, State.ABORTING}:
            return self._close_deadline
        if self.state in ATTEMPTING_STATES:
            return self._attempt_deadline
        return None

    def apply(self, event: SessionEvent, now: float) -> list[SessionCommand]:  # noqa: C901, PLR0911, PLR0912
        """Take one event and return what to do; `now` is in seconds on a monotonic clock."""
        # One case for each event: splitting the match would only hide that it is complete.
        match event:
            case EngineClosed():
                return self._on_engine_closed(event)
            case _ if self.state in OVER_STATES and not isinstance(event, TimerFired):
                return []
            case Connected():
                return self._on_connected(now)
            case AttemptFailed():
                return self._on_attempt_failed(event, now)
            case ConnectionLost():
                return self._on_lost(event, now)
            case EndAsked():
                return self._on_end(event, now)
            case AbortAsked():
                return self._give_up(StreamVerdict(event.slug, event.detail), now)
            case TimerFired():
                return self._on_timer(now)
            case TextReceived():
                return self._on_text(event, now)
            case PauseAsked():
                return self._on_pause(event)
            case ResumeAsked():
                return self._on_resume(event)
            case FactLearned():
                return self._tell(event.type, event.data, event.at, event.participant_id)
            case KeyPressed():
                return [SendMessage("dtmf", event.body)] if self.state in OPEN_STATES else []
            case _:
                assert_never(event)

    def _move(self, trigger: Trigger) -> None:
        target = MOVES.get((self.state, trigger))
        if target is None:
            raise StateError(f"a stream that is {self.state.value} cannot take '{trigger.value}'")
        self.state = target

    def _attempt(self) -> ConnectEndpoint:
        return ConnectEndpoint(self._outage.endpoint(), self.connections + 1, resumed=self.connections > 0)

    def _on_connected(self, now: float) -> list[SessionCommand]:
        if self.state not in ATTEMPTING_STATES:
            return []
        self._move(Trigger.CONNECTED)
        self.connections += 1
        self._outage.connected(now)
        if self.state is State.CLOSING:
            self._close_deadline = now + DRAIN_MS / 1000 + CLOSE_MARGIN_S
        return []

    def _on_attempt_failed(self, event: AttemptFailed, now: float) -> list[SessionCommand]:
        if self.state not in ATTEMPTING_STATES:
            return []
        slug = slug_of_failure(event.failure, event.http_status)
        failure = StreamVerdict(slug, event.detail)
        self._last_failure = failure
        self._retry_at = self._outage.failed(now, final=slug in FINAL_SLUGS)
        if self._outage.exhausted:
            return self._give_up(failure, now)
        self._move(Trigger.ATTEMPT_FAILED)
        return self._retry(now)

    def _on_lost(self, event: ConnectionLost, now: float) -> list[SessionCommand]:
        if self.state not in LINKED_STATES:
            return []
        if event.clean:
            verdict = StreamVerdict(
                StreamSlug.STOPPED_BY_ENDPOINT, "the endpoint closed the connection with 1000"
            )
            return self._give_up(verdict, now)
        self._last_failure = StreamVerdict(StreamSlug.ENDPOINT_LOST, f"{event.reason}: {event.detail}")
        self._retry_at = self._outage.lost(now)
        self._move(Trigger.LOST)
        return self._retry(now)

    def _retry(self, now: float) -> list[SessionCommand]:
        """Connect again when it is time for it, or give up when the window is over."""
        if now >= self._outage.deadline:
            return self._give_up(self._outage_verdict(), now)
        if now < self._retry_at:
            return []
        self._move(Trigger.RETRY_DUE)
        self._attempt_deadline = now + ATTEMPT_MAX_S
        return [self._attempt()]

    def _outage_verdict(self) -> StreamVerdict:
        """Return what an outage that did not end is called."""
        failure = self._last_failure
        if self.connections > 0:
            detail = (
                f"no connection within the reconnection window; last: {failure.detail}" if failure else ""
            )
            return StreamVerdict(StreamSlug.ENDPOINT_LOST, detail)
        return failure or StreamVerdict(StreamSlug.NOT_CONNECTED, "no attempt to connect had come to its end")

    def _on_timer(self, now: float) -> list[SessionCommand]:
        due = self.timer()
        if due is None or now < due:
            return []
        if self.state in WAITING_STATES:
            return self._retry(now)
        if self.state in ATTEMPTING_STATES:
            silence = AttemptFailed(AttemptFailure.TIMEOUT, "the attempt did not come to an end")
            return self._on_attempt_failed(silence, now)
        if self.state is State.CLOSING:
            return self._give_up(self._stalled(), now)
        return self._on_engine_closed(EngineClosed(close_sent=True))

    def _stalled(self) -> StreamVerdict:
        return StreamVerdict(StreamSlug.ENDPOINT_STALLED, "the endpoint did not take what was queued in time")

    def _on_end(self, event: EndAsked, now: float) -> list[SessionCommand]:
        if self.state not in OPEN_STATES:
            return []
        self._verdict = StreamVerdict(event.slug, event.detail)
        self._move(Trigger.END)
        self._close_deadline = now + DRAIN_MS / 1000 + CLOSE_MARGIN_S
        if self.connections == 0:
            self._outage.shorten(now + UNCONNECTED_GRACE_S)
        duration = event.at - self._setup.started_at
        body = Close(
            reason=event.slug.close_reason,
            detail=event.detail,
            ended_at=rfc3339(event.at),
            duration_ms=max(0, round(duration.total_seconds() * 1000)),
        )
        code = CLOSE_GOING_AWAY if event.slug is StreamSlug.SHUTDOWN else CLOSE_NORMAL
        return [CloseStream(body, code, DRAIN_MS)]

    def _give_up(self, verdict: StreamVerdict, now: float) -> list[SessionCommand]:
        self._verdict = verdict
        self._move(Trigger.GIVE_UP)
        self._close_deadline = now + ABORT_WAIT_S
        return [AbortStream()]

    def _on_engine_closed(self, event: EngineClosed) -> list[SessionCommand]:
        if self.state is State.CLOSED:
            return []
        verdict = self._verdict or StreamVerdict(
            StreamSlug.ENGINE_ERROR, "the media engine let go of the stream"
        )
        if self.state is State.CLOSING and not event.close_sent:
            verdict = self._stalled()
        elif self.state in {State.CLOSING_CONNECTING, State.CLOSING_WAITING} and not event.close_sent:
            verdict = self._outage_verdict()
        self._move(Trigger.ENGINE_CLOSED)
        return [FinishStream(verdict)]

    def _on_text(self, event: TextReceived, now: float) -> list[SessionCommand]:
        if self.state not in OPEN_STATES:
            return []
        try:
            message = parse_inbound(event.text)
        except MalformedMessageError as error:
            return self._refuse(str(error), event.at, now)
        match message:
            case Pause():
                return self._on_pause(PauseAsked("endpoint", event.at))
            case Resume():
                return self._on_resume(ResumeAsked("endpoint", event.at))
            case Stop(reason=reason):
                detail = reason or "the endpoint sent stop"
                return self._on_end(EndAsked(StreamSlug.STOPPED_BY_ENDPOINT, detail, event.at), now)
            case _:
                name = type(message).__name__.removeprefix("Send").lower()
                return self._refuse(f"this stream is not duplex, so {name!r} cannot be obeyed", event.at, now)

    def _refuse(self, message: str, at: datetime, now: float) -> list[SessionCommand]:
        """Answer a message that cannot be obeyed; too many of them end the stream."""
        self.malformed += 1
        commands = self._tell("stream.error", StreamErrorData(message=message), at)
        if self.malformed >= MALFORMED_MAX:
            detail = f"{self.malformed} messages of the endpoint could not be obeyed; the last: {message}"
            commands += self._on_end(EndAsked(StreamSlug.TOO_MANY_ERRORS, detail, at), now)
        return commands

    def _on_pause(self, event: PauseAsked) -> list[SessionCommand]:
        first = not self._pausers
        self._pausers.add(event.by)
        if not first or self.state not in OPEN_STATES:
            return []
        return [PauseMedia(on=True), *self._tell("stream.paused", StreamPausedData(by=event.by), event.at)]

    def _on_resume(self, event: ResumeAsked) -> list[SessionCommand]:
        """Let media go on when nobody else wants it stopped: an endpoint cannot undo the API's pause."""
        if event.by not in self._pausers:
            return []
        self._pausers.discard(event.by)
        if self._pausers or self.state not in OPEN_STATES:
            return []
        return [PauseMedia(on=False), *self._tell("stream.resumed", StreamPausedData(by=event.by), event.at)]

    def _tell(
        self, kind: str, data: MetadataData, at: datetime, participant_id: str | None = None
    ) -> list[SessionCommand]:
        """Queue a metadata message, unless `close` was ordered: nothing comes after it."""
        if self.state not in OPEN_STATES:
            return []
        elapsed = (at - self._setup.started_at).total_seconds()
        timestamp = max(0, round(elapsed * self._setup.sample_rate))
        body = Metadata(type=kind, at=rfc3339(at), timestamp=timestamp, data=data)
        if participant_id is not None:
            body = Metadata(
                type=kind, at=body.at, timestamp=timestamp, data=data, participant_id=participant_id
            )
        return [SendMessage("metadata", body)]
