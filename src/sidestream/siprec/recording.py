"""One recording of one call: its copies over a group of servers, its policy, and its verdict.

Each copy is a recording session of its own, and another one after it when the first is lost. What happens to
them concerns the call in two ways only, both of them orders that its gateway translates: `RecordingFailed`,
and `RecordingLost` with what the policy says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sidestream.errors import StateError
from sidestream.siprec.commands import (
    AttemptFailed,
    Established,
    Finish,
    MemoryLearned,
    Report,
    SessionCommand,
    SessionLost,
)
from sidestream.siprec.context import ClientIdentity, SessionSetup, WallClock
from sidestream.siprec.events import (
    CallEnded,
    CodecsChanged,
    FirstPacketSent,
    PauseAsked,
    ProtectionNeeded,
    ResumeAsked,
    SessionEvent,
    SnapshotDue,
    StopAsked,
    StopBy,
    WideEvent,
)
from sidestream.siprec.group import ServerGroup
from sidestream.siprec.ledger import Ledger
from sidestream.siprec.offer import StreamSource
from sidestream.siprec.outcome import (
    ClearRecordingTimer,
    Copy,
    CopyState,
    FailedOver,
    FinishRecording,
    FirstPacket,
    GapMeasured,
    OnLoss,
    RecordingCommand,
    RecordingConfirmed,
    RecordingFailed,
    RecordingLost,
    RecordingRestored,
    RecordingTimer,
    RecordingTimerFired,
    SetRecordingTimer,
    overall,
    reason_of,
)
from sidestream.siprec.profile import Server
from sidestream.siprec.session import RecordingSession
from sidestream.siprec.verdicts import Cause

COPIES_MAX: Final = 3

_WIDE: Final = (SnapshotDue, CodecsChanged, ProtectionNeeded, PauseAsked, ResumeAsked, StopAsked, CallEnded)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSetup:
    """What a recording is made from.

    Attributes:
        sources: the streams of each copy: as many copies as entries, each with addresses of its own.
        identify: who we are to a server, for its transport.
        clock: the call's time.
        mandatory: whether the call must be recorded; else it goes on whatever happens here.
        on_loss: what the loss of a mandatory recording means for the call.
        x_headers: headers for the recorders, at most five.

    Raises:
        ValueError: there are no copies, or too many.
    """

    sources: tuple[tuple[StreamSource, ...], ...]
    identify: Callable[[Server], ClientIdentity]
    clock: WallClock
    mandatory: bool = False
    on_loss: OnLoss = "continue"
    x_headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.sources) <= COPIES_MAX:
            raise ValueError(f"a recording has 1 to {COPIES_MAX} copies")


class State(Enum):
    """Where a recording stands."""

    SETTING_UP = "setting up"
    RECORDING = "recording"
    DOWN = "down"
    ENDING = "ending"
    ENDED = "ended"


class Trigger(Enum):
    """What moves a recording."""

    CONFIRM = "confirm"
    EXHAUST = "exhaust"
    END = "end"
    FINISH = "finish"


MOVES: Final[dict[tuple[State, Trigger], State]] = {
    (State.SETTING_UP, Trigger.CONFIRM): State.RECORDING,
    (State.SETTING_UP, Trigger.EXHAUST): State.DOWN,
    (State.SETTING_UP, Trigger.END): State.ENDING,
    (State.RECORDING, Trigger.EXHAUST): State.DOWN,
    (State.RECORDING, Trigger.END): State.ENDING,
    (State.DOWN, Trigger.CONFIRM): State.RECORDING,
    (State.DOWN, Trigger.END): State.ENDING,
    (State.ENDING, Trigger.FINISH): State.ENDED,
}


class Recording:
    """One recording. It does nothing by itself: events in, commands out.

    Args:
        setup: what it is made from.
        ledger: what is told of the call; shared with the call's other recordings.
        group: the servers; shared with other calls.
        now: monotonic seconds.
    """

    def __init__(self, setup: RecordingSetup, ledger: Ledger, group: ServerGroup, now: float) -> None:
        self.setup = setup
        self.state = State.SETTING_UP
        self._ledger = ledger
        self._group = group
        self._began = self._now = now
        self._copies = [Copy(index, sources) for index, sources in enumerate(setup.sources)]
        self._sessions: dict[int, tuple[Copy, RecordingSession]] = {}
        self._numbers = 0
        self._paused = False
        self._stopped: StopBy | None = None
        self._confirmed = False
        self._timers: set[tuple[RecordingTimer, int]] = set()
        self._out: list[RecordingCommand] = []

    # --- what the driver asks --------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether `FinishRecording` has been given."""
        return self.state is State.ENDED

    @property
    def paused(self) -> bool:
        """Whether the recording leaves out what is said now."""
        return self._paused

    @property
    def confirmed(self) -> bool:
        """Whether a recorder has ever agreed to record."""
        return self._confirmed

    def failures(self) -> list[Exception]:
        """Failures of ours in the sessions that are open, for the driver's log."""
        return [each.failure for _, each in self._sessions.values() if each.failure is not None]

    def dialog_ids(self) -> dict[tuple[str, str], int]:
        """(Call-ID, our tag) of every open dialog, and its session: where the recorders' requests belong."""
        return {session.dialog_id: number for number, (_, session) in self._sessions.items()}

    def start(self, now: float) -> list[RecordingCommand]:
        """Look for recorders. To be called once, before any event."""
        self._now = now
        if self.setup.mandatory:
            self._set_timer(RecordingTimer.DEADLINE, 0, self._group.policy.setup_deadline_s)
        for copy in self._copies:
            self._begin_round(copy)
        self._conclude()
        return self._take()

    def apply(
        self, event: SessionEvent | WideEvent | RecordingTimerFired | FirstPacketSent, now: float
    ) -> list[RecordingCommand]:
        """Take an event in and say what is to be done about it.

        After `FinishRecording` every event is answered with nothing.

        Args:
            event: what happened.
            now: monotonic seconds.
        """
        if self.ended:
            return []
        self._now = now
        match event:
            case RecordingTimerFired():
                self._on_timer(event)
            case FirstPacketSent():
                self._on_first_packet(event)
            case _ if isinstance(event, _WIDE):
                self._on_wide(event)
            case _:
                self._on_session(event)
        return self._take()

    # --- events ----------------------------------------------------------------------------------------

    def _on_session(self, event: SessionEvent) -> None:
        found = self._sessions.get(event.session)
        if found is not None:
            copy, session = found
            self._carry_out(copy, session.apply(event, self._now))
            self._conclude()

    def _on_wide(self, event: WideEvent) -> None:
        match event:
            case PauseAsked():
                self._paused = True
            case ResumeAsked():
                self._paused = False
            case CodecsChanged(codecs):
                changed = {each.label: each for each in codecs}
                for copy in self._copies:
                    copy.sources = tuple(
                        changed[source.label].within(source) if source.label in changed else source
                        for source in copy.sources
                    )
            case ProtectionNeeded():
                for copy in self._copies:
                    copy.sources = tuple(replace(source, secure=True) for source in copy.sources)
            case StopAsked() | CallEnded():
                self._on_end(event)
            case SnapshotDue():
                pass
        for copy, session in list(self._sessions.values()):
            self._carry_out(copy, session.apply(event, self._now))
        self._conclude()

    def _on_end(self, event: StopAsked | CallEnded) -> None:
        if self.state is State.ENDING:
            return
        if isinstance(event, StopAsked):
            self._stopped = event.by
        self._move(Trigger.END)
        self._clear_timers()

    def _on_timer(self, event: RecordingTimerFired) -> None:
        key = event.name, event.copy
        if key not in self._timers:
            return
        self._timers.discard(key)
        if event.name is RecordingTimer.RETRY:
            self._begin_round(self._copies[event.copy])
            self._conclude()
        elif not self._confirmed and self.state is State.SETTING_UP:
            for copy in self._copies:
                copy.cause, copy.detail = copy.cause or Cause.NO_ANSWER, copy.detail or "the deadline is over"
            self._exhaust()
            self._conclude()

    def _on_first_packet(self, event: FirstPacketSent) -> None:
        found = self._sessions.get(event.session)
        if found is None or found[0].first_packet:
            return
        found[0].first_packet = True
        answered = self._ledger.answered_at
        after = (self.setup.clock.at(self._now) - answered).total_seconds() if answered is not None else None
        self._out.append(FirstPacket(found[0].index, None if after is None else max(after, 0.0)))

    # --- sessions --------------------------------------------------------------------------------------

    def _carry_out(self, copy: Copy, commands: list[SessionCommand]) -> None:
        """Pass a session's commands on, and act on what it reports."""
        for command in commands:
            self._out.append(command)
            match command:
                case Report(session=number, fact=fact):
                    current = copy.session is not None and copy.session.setup.number == number
                    match fact:
                        case Established():
                            self._on_established(copy, fact)
                        case AttemptFailed():
                            self._group.failed(fact.server, fact.cause, self._now, fact.retry_after_s)
                            if current:
                                self._on_failed(copy, fact)
                        case SessionLost():
                            self._group.failed(fact.server, fact.cause, self._now)
                            if current:
                                self._on_lost(copy, fact)
                        case MemoryLearned(server, memory):
                            self._group.remember(server, memory)
                        case _:
                            pass
                case Finish(session=number):
                    self._sessions.pop(number, None)
                case _:
                    pass

    def _on_established(self, copy: Copy, fact: Established) -> None:
        self._group.succeeded(fact.server)
        copy.state = CopyState.UP
        copy.servers.append(fact.server)
        if copy.down_since is not None:
            gap, copy.down_since = self._now - copy.down_since, None
            copy.gap_s += gap
            self._out.append(GapMeasured(copy.index, round(gap, 3)))
        restored = self.state is State.DOWN
        if self.state in {State.SETTING_UP, State.DOWN}:
            self._move(Trigger.CONFIRM)
        if not self._confirmed:
            self._confirmed = True
            self._clear_timer(RecordingTimer.DEADLINE, 0)
            self._out.append(RecordingConfirmed(fact.server, round(self._now - self._began, 3)))
        if restored:
            self._out.append(RecordingRestored(fact.server))

    def _on_failed(self, copy: Copy, fact: AttemptFailed) -> None:
        copy.session = None
        copy.cause, copy.detail = fact.cause, f"{fact.server}: {fact.detail}"
        if self.state is State.ENDING:
            return
        if fact.cause in {Cause.DECLINED, Cause.MEDIA_FAILED}:  # no other server can help
            copy.candidates, copy.state = [], CopyState.OVER
            self._exhausted(copy)
        else:
            self._try_next(copy, fact.cause, fact.server)

    def _on_lost(self, copy: Copy, fact: SessionLost) -> None:
        copy.session = None
        copy.cause, copy.detail = fact.cause, f"{fact.server}: {fact.detail}"
        copy.state, copy.down_since = CopyState.TRYING, fact.noticed_at or self._now
        if self.state is State.ENDING:
            return
        if fact.cause in {
            Cause.ENDED_BY_RECORDER,
            Cause.MEDIA_REFUSED,
        }:  # it does not want this call any more
            copy.excluded.add(fact.server)
        if fact.cause is Cause.MEDIA_FAILED:  # no other server can help
            copy.state = CopyState.OVER
            self._exhausted(copy)
        else:
            self._begin_round(copy, lost=fact)

    # --- rounds ----------------------------------------------------------------------------------------

    def _begin_round(self, copy: Copy, lost: SessionLost | None = None) -> None:
        """Ask the servers of the group in order; one that was lost just now comes last."""
        copy.state = CopyState.TRYING
        copy.tried = set()
        copy.deadline = self._now + self._group.policy.setup_deadline_s
        order = self._group.order(self._now)
        last = lost.server if lost is not None else None
        wanted = [server for server in order if server.uri not in copy.excluded]
        copy.candidates = sorted(wanted, key=lambda server: server.uri == last)
        if lost is not None:
            self._try_next(copy, lost.cause, lost.server, mid_call=True)
        else:
            self._try_next(copy)

    def _try_next(
        self, copy: Copy, cause: Cause | None = None, source: str = "", *, mid_call: bool = False
    ) -> None:
        """Ask the next server; one that serves another copy already only when there is no other."""
        if not copy.candidates:
            self._exhausted(copy)
            return
        busy = {other.session.setup.server.uri for other in self._copies if other.session is not None}
        server = min(copy.candidates, key=lambda each: each.uri in busy)
        share = self._group.attempt_s(copy.deadline - self._now, len(copy.candidates))
        copy.candidates.remove(server)
        if cause is not None:
            copy.failovers += 1
            self._out.append(FailedOver(copy.index, cause, source, server.uri, mid_call or copy.recorded))
        self._ask(copy, server, share)

    def _ask(self, copy: Copy, server: Server, deadline_s: float) -> None:
        self._numbers += 1
        copy.attempts += 1
        self._group.attempted(server.uri, self._now)
        session = RecordingSession(
            SessionSetup(
                number=self._numbers,
                copy=copy.index,
                server=server,
                identity=self.setup.identify(server),
                sources=copy.sources,
                clock=self.setup.clock,
                memory=self._group.memory(server.uri),
                deadline_s=deadline_s,
                stop_codes=self._group.policy.stop_codes,
                x_headers=self.setup.x_headers,
                paused=self._paused,
            ),
            self._ledger,
            self._now,
        )
        copy.session = session
        self._sessions[self._numbers] = copy, session
        self._carry_out(copy, session.start(self._now))

    def _exhausted(self, copy: Copy) -> None:
        """No server takes a copy: later again, unless that is settled."""
        if copy.recorded:
            copy.interrupted = True
        else:
            copy.late = True
        retry = self._group.policy.retry_s
        may_retry = copy.state is not CopyState.OVER and not self._is_settled(copy)
        if retry is not None and may_retry:
            copy.state = CopyState.WAITING
            self._set_timer(RecordingTimer.RETRY, copy.index, retry)
        else:
            copy.state = CopyState.OVER
        if all(each.state in {CopyState.WAITING, CopyState.OVER} for each in self._copies):
            self._exhaust()

    def _is_settled(self, copy: Copy) -> bool:
        """Whether looking again cannot help: no server is left, or the call is about to be refused."""
        unwanted = all(server.uri in copy.excluded for server in self._group.servers)
        return unwanted or (self.setup.mandatory and not self._confirmed)

    def _exhaust(self) -> None:
        """No copy has a recorder: what that means for the call."""
        if self.state not in {State.SETTING_UP, State.RECORDING}:
            return
        before = self.state
        self._move(Trigger.EXHAUST)
        verdict = overall([copy.record(None) for copy in self._copies])
        if before is State.SETTING_UP:
            self._out.append(RecordingFailed(verdict, reason_of(verdict)))
            if self.setup.mandatory:  # the call is refused: nothing is tried any more
                self._abandon()
        else:
            action: OnLoss = self.setup.on_loss if self.setup.mandatory else "continue"
            self._out.append(RecordingLost(action, verdict, reason_of(verdict)))

    def _abandon(self) -> None:
        for copy in self._copies:
            copy.state = CopyState.OVER
        self._clear_timers()
        self._move(Trigger.END)
        for copy, session in list(self._sessions.values()):
            self._carry_out(copy, session.apply(StopAsked(), self._now))

    # --- the end ---------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        """End the recording when nothing is open and nothing will be tried any more."""
        if self._sessions or self.state is State.ENDED:
            return
        if self.state is not State.ENDING:
            if any(copy.state is not CopyState.OVER for copy in self._copies):
                return
            self._move(Trigger.END)
        for copy in self._copies:
            if copy.down_since is not None:
                copy.gap_s += self._now - copy.down_since
                copy.down_since = None
        self._clear_timers()
        self._move(Trigger.FINISH)
        records = tuple(copy.record(self._stopped) for copy in self._copies)
        self._out.append(FinishRecording(overall(records), records))

    # --- means -----------------------------------------------------------------------------------------

    def _move(self, trigger: Trigger) -> None:
        target = MOVES.get((self.state, trigger))
        if target is None:
            raise StateError(f"a recording that is {self.state.value} cannot take '{trigger.value}'")
        self.state = target

    def _take(self) -> list[RecordingCommand]:
        commands, self._out = self._out, []
        return commands

    def _set_timer(self, name: RecordingTimer, copy: int, delay_s: float) -> None:
        self._timers.add((name, copy))
        self._out.append(SetRecordingTimer(name, copy, self._now + delay_s))

    def _clear_timer(self, name: RecordingTimer, copy: int) -> None:
        if (name, copy) in self._timers:
            self._timers.discard((name, copy))
            self._out.append(ClearRecordingTimer(name, copy))

    def _clear_timers(self) -> None:
        for name, copy in sorted(self._timers):
            self._clear_timer(name, copy)
