"""One recording at work: brings events to its `Recording`, and carries out what that orders."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from sidestream.call.side import Side
from sidestream.gateway.ids import new_token
from sidestream.gateway.media import CallMedia, Media
from sidestream.gateway.names import Names
from sidestream.gateway.nobody import nobody
from sidestream.gateway.recording_log import RecordingLog
from sidestream.gateway.recording_media import RecordingMedia
from sidestream.gateway.recording_plan import (
    RecordingChoice,
    on_loss_of,
    recording_spec,
    sources_of,
    x_headers_of,
)
from sidestream.gateway.recording_records import (
    CopyOfRecord,
    RecordingRecord,
    describe_recording,
    sent_streams,
)
from sidestream.gateway.recording_sip import RecordingSip
from sidestream.gateway.sip_orders import SipOrders
from sidestream.gateway.stream_plan import CallFacts
from sidestream.gateway.stream_runner import CallClock
from sidestream.gateway.turns import Turns
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metrics
from sidestream.sip.events import ClientKey
from sidestream.siprec.commands import (
    Cancel,
    ClearTimer,
    ConfirmAnswer,
    Finish,
    InviteSent,
    Report,
    Respond,
    SendAck,
    SendRequest,
    SetTimer,
    StartMedia,
    StopMedia,
)
from sidestream.siprec.context import ClientIdentity, WallClock
from sidestream.siprec.events import (
    CallEnded,
    CodecsChanged,
    FirstPacketSent,
    PauseAsked,
    PeerSuspected,
    ProtectionNeeded,
    ResumeAsked,
    SessionEvent,
    SnapshotDue,
    StopAsked,
    StopBy,
    StreamCodec,
    TimerFired,
    WideEvent,
)
from sidestream.siprec.group import ServerGroup
from sidestream.siprec.ledger import Ledger
from sidestream.siprec.metadata import Reason
from sidestream.siprec.outcome import (
    ClearRecordingTimer,
    FailedOver,
    FinishRecording,
    FirstPacket,
    GapMeasured,
    RecordingCommand,
    RecordingConfirmed,
    RecordingFailed,
    RecordingLost,
    RecordingRestored,
    RecordingTimerFired,
    SetRecordingTimer,
)
from sidestream.siprec.profile import Server
from sidestream.siprec.recording import Recording, RecordingSetup, State
from sidestream.siprec.verdicts import RecordingResult, RecordingSlug, RecordingVerdict

GRACE_S: Final = 0.01
"""How much later than its time a timer is acted on. An answer that lay in the socket when a busy loop came to
its timers must not be taken for missing: a recorder would be given up that has done nothing wrong."""

Step = Callable[[], None]
Guard = Callable[[Step], None]
Event = SessionEvent | WideEvent | RecordingTimerFired | FirstPacketSent


class RecordingTable(Protocol):
    """Where the dialogs and transactions of recordings are looked up."""

    def add_client(self, key: ClientKey, runner: "RecordingRunner", session: int, request_id: int) -> None:
        """Note that what is heard on `key` is for a request of a session."""
        ...

    def add_dialog(self, dialog: tuple[str, str], runner: "RecordingRunner", session: int) -> None:
        """Note that requests with this Call-ID and To tag are for a session."""
        ...

    def drop_session(self, runner: "RecordingRunner", session: int) -> None:
        """Forget a session."""
        ...

    def drop(self, runner: "RecordingRunner") -> None:
        """Forget every session of a recording."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingTools:
    """What all recordings share."""

    sip: SipOrders
    media: Media
    names: Names
    metrics: Metrics
    table: RecordingTable
    group: Callable[[str, RecordingChoice], ServerGroup]
    """Gives the servers of an account's integration: one group for all calls."""
    identify: Callable[[Server], ClientIdentity]
    media_host: str
    """Our address in descriptions."""
    turns: Turns
    """Shares the signalling loop with the calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingIdentity:
    """One recording: its name, its call, and what is known when it begins."""

    recording_id: str
    call: CallFacts
    choice: RecordingChoice
    ledger: Ledger
    codecs: dict[Side, StreamCodec]
    """Of each side, where it is known."""
    started_at: datetime
    secure: bool = False
    """Whether it is sent by SRTP only, from the begin."""


class RecordingOwner(Protocol):
    """Whom a recording tells what concerns its call."""

    def confirmed(self, runner: "RecordingRunner") -> None:
        """A recorder records."""
        ...

    def failed(self, runner: "RecordingRunner", verdict: RecordingVerdict, reason: str) -> None:
        """No recorder was found."""
        ...

    def lost(self, runner: "RecordingRunner", lost: RecordingLost) -> None:
        """Nothing records any more."""
        ...

    def over(self, runner: "RecordingRunner") -> None:
        """The recording has its verdict, and its media are closed."""
        ...


@dataclass(slots=True)
class _Pauses:
    """From when to when a recording left out what was said."""

    closed: list[list[datetime]] = field(default_factory=list)
    since: datetime | None = None

    def begin(self, at: datetime) -> None:
        self.since = self.since or at

    def end(self, at: datetime) -> None:
        if self.since is not None:
            self.closed.append([self.since, at])
            self.since = None


class RecordingRunner:
    """One recording.

    It may raise from any method: whoever calls it is the seam that keeps its errors away from the call.

    Args:
        tools: what all recordings share.
        identity: its name, call and integration.
        clock: the call's time.
        owner: is told what concerns the call.
        log: bound to the call.
    """

    def __init__(
        self,
        tools: RecordingTools,
        identity: RecordingIdentity,
        clock: CallClock,
        owner: RecordingOwner,
        log: Logger,
    ) -> None:
        self.identity = identity
        self.ledger = identity.ledger
        self.verdict: RecordingVerdict | None = None
        self.is_over = False
        self._tools = tools
        self._clock = clock
        self._owner = owner
        bound = log.bind(recording_id=identity.recording_id, integration=identity.choice.integration.name)
        self._log = RecordingLog(bound, tools.metrics)
        self._guard: Guard = lambda step: step()
        self._sip = RecordingSip(tools.sip, self._note, self._soon, self._guarded, bound)
        self._media = RecordingMedia(
            tools.media,
            tools.names,
            tools.media_host,
            tell=self._soon,
            guard=self._guarded,
            in_turn=self._begin_in_turn,
            log=bound,
        )
        self._recording: Recording | None = None
        self._queue: deque[RecordingCommand] = deque()
        self._executing = False
        self._timers: dict[tuple[object, ...], asyncio.TimerHandle] = {}
        self._codecs = dict(identity.codecs)
        self._changed: dict[Side, StreamCodec] = {}
        self._told = self.ledger.revision
        self._flush: asyncio.Handle | None = None
        self._pauses = _Pauses()
        self._confirmed_at: datetime | None = None
        self._ended_at: datetime | None = None
        self._copies: list[CopyOfRecord] = []

    # --- begin ---------------------------------------------------------------------------------------------

    def begin(self, legs: CallMedia, guard: Guard) -> None:
        """Open the copies in the engine and look for recorders.

        Args:
            legs: the call's media.
            guard: runs what comes later (timers, events, look-ups) and keeps its errors.

        Raises:
            MediaError: the engine refused it.
        """
        self._guard = guard
        choice = self.identity.choice
        if self.identity.secure:
            self._media.require_srtp()
        integration = choice.integration
        self._tools.metrics.count(metrics.RECORDINGS_DUE, integration.name)
        cnames = {side: new_token() for side in Side}
        spec = recording_spec(self.identity.recording_id, cnames, integration, time.monotonic_ns())
        ports = self._media.open(legs, [spec] * integration.copies)
        self._log.log.info("recording begun", policy=integration.policy.value, copies=integration.copies)
        setup = RecordingSetup(
            sources=tuple(
                sources_of(
                    self._tools.media_host,
                    each,
                    self._codecs,
                    integration.dtmf,
                    secure=self.identity.secure,
                )
                for each in ports
            ),
            identify=self._tools.identify,
            clock=WallClock(self._clock.started_at, self._clock.began),
            mandatory=choice.mandatory,
            on_loss=on_loss_of(integration),
            x_headers=x_headers_of(self.identity.call, choice),
        )
        group = self._tools.group(self.identity.call.account, choice)
        self._recording = Recording(setup, self.ledger, group, time.monotonic())
        self._begin_in_turn(self._look_for_recorders)

    def _look_for_recorders(self) -> None:
        """Ask the first servers; the engine keeps what is heard until one has answered."""
        if self.verdict is None and self._recording is not None and self._recording.state is State.SETTING_UP:
            self._carry_out(self._recording.start(time.monotonic()))

    # --- what is told --------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether it leaves out what is said now."""
        return self._recording is not None and self._recording.paused

    @property
    def confirmed(self) -> bool:
        """Whether a recorder has ever agreed to record."""
        return self._confirmed_at is not None

    @property
    def state(self) -> str:
        """Where it stands, in words."""
        if self.verdict is not None or self._recording is None:
            return State.ENDED.value
        return "paused" if self.paused else self._recording.state.value

    def bring(self, event: Event) -> None:
        """Bring an event that concerns this recording, from the SIP stack or the clock; never raises."""
        self._guarded(partial(self.apply, event))

    def _begin_in_turn(self, step: Step) -> None:
        """Take a first step now, or when other recordings have had their turn; calls go before either."""
        self._tools.turns.begin(partial(self._guarded, step))

    def apply(self, event: Event) -> None:
        """Bring an event to the recording."""
        if self.verdict is None and self._recording is not None:
            self._carry_out(self._recording.apply(event, time.monotonic()))

    def change(self, change: Callable[[Ledger], object]) -> None:
        """Have a change of the call written down, and told soon, together with others of the same instant."""
        change(self.ledger)
        if self.ledger.revision != self._told:
            self._flush_soon()

    def codec(self, side: Side, codec: StreamCodec) -> None:
        """A side sends in this codec from now on."""
        if self._codecs.get(side) == codec:
            return
        self._codecs[side] = self._changed[side] = codec
        self.ledger.codec_changed("a" if side is Side.A else "b", codec.codec.name)
        self._flush_soon()

    def protect(self) -> None:
        """Send by SRTP only from now on: what is recorded is SRTP, and nothing leaves less protected."""
        if not self._media.srtp_required:
            self._log.log.info("recording by SRTP from now on")
            self._media.require_srtp()
            self.apply(ProtectionNeeded())

    def suspect(self, server: str) -> None:
        """A probe of a server failed: ask the sessions that it has, when it is their turn."""
        self._begin_in_turn(partial(self._suspect, server))

    def _suspect(self, server: str) -> None:
        for number, session in list(self._log.sessions.items()):
            if session.server == server and not session.verdict and session.setup_s is not None:
                self.apply(PeerSuspected(number))

    # --- what is asked -------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Leave out what is said from now on: media stops first, then the recorders are told."""
        if self.verdict is None and not self.paused:
            self._media.pause()
            self._pauses.begin(self._clock.wall())
            self._log.log.info("recording paused")
            self.apply(PauseAsked())

    def resume(self) -> None:
        """Go on recording, when the recorders have been told."""
        if self.verdict is None and self.paused:
            self._media.resume()
            self._pauses.end(self._clock.wall())
            self._log.log.info("recording resumed")
            self.apply(ResumeAsked())

    def stop(self, by: StopBy, detail: str = "") -> None:
        """End the recording before its call ends."""
        self._log.log.info("recording stopped", by=by.value, detail=detail)
        self.apply(StopAsked(by, detail))

    def end(self, at: datetime, reason: Reason) -> None:
        """The call is over."""
        self.ledger.ended(at, reason)
        self._told = self.ledger.revision
        self.apply(CallEnded(reason))

    def fail(self, detail: str) -> None:
        """End after an error of ours; asks nobody."""
        self._finish(RecordingVerdict(RecordingSlug.INTERNAL_ERROR, detail))
        self._let_go()

    def refuse(self, verdict: RecordingVerdict) -> None:
        """End a recording that could not begin."""
        self._finish(verdict)
        self._let_go()

    def give_up(self, detail: str) -> None:
        """Let go of it at once, whatever the recorders still wait for."""
        self._finish(RecordingVerdict(RecordingSlug.SHUTDOWN, detail))
        self._let_go()

    def let_go(self) -> None:
        """Forget whom it would tell: it is over, and its record is written."""
        self._media.let_go()
        self._guard = nobody

    # --- orders --------------------------------------------------------------------------------------------

    def _note(self, key: ClientKey, session: int, request_id: int) -> None:
        self._tools.table.add_client(key, self, session, request_id)

    def _guarded(self, step: Step) -> None:
        self._guard(step)

    def _soon(self, event: Event) -> None:
        """Bring an event after the orders at hand are carried out, when it is its turn."""
        self._tools.turns.add(partial(self.bring, event))

    def _flush_soon(self) -> None:
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self._guarded, self._flush_now)

    def _flush_now(self) -> None:
        """Tell what has changed since the last time, in one go."""
        self._flush = None
        changed, self._changed = tuple(self._changed.values()), {}
        told, self._told = self._told, self.ledger.revision
        if changed:
            self.apply(CodecsChanged(changed))
        elif self.ledger.revision != told:
            self.apply(SnapshotDue())

    def _carry_out(self, commands: list[RecordingCommand]) -> None:
        self._queue.extend(commands)
        if self._executing:
            return
        self._executing = True
        try:
            while self._queue:
                self._execute(self._queue.popleft())
        finally:
            self._executing = False

    def _execute(self, command: RecordingCommand) -> None:  # noqa: C901, PLR0912 - one case for each order
        match command:
            case SendRequest() | SendAck() | Cancel() | Respond() | ConfirmAnswer():
                self._sip.execute(command)
            case StartMedia():
                self._media.start(command)
            case StopMedia():
                self._stop_media(command)
            case SetTimer(session=session, name=name, at=at):
                self._set_timer((session, name), at, TimerFired(session, name))
            case ClearTimer(session=session, name=name):
                self._clear_timer((session, name))
            case SetRecordingTimer(name=name, copy=copy, at=at):
                self._set_timer((name, copy), at, RecordingTimerFired(name, copy))
            case ClearRecordingTimer(name=name, copy=copy):
                self._clear_timer((name, copy))
            case Report():
                self._report(command)
            case Finish(session=session):
                self._log.finished(command)
                self._sip.drop(session)
                self._tools.table.drop_session(self, session)
            case RecordingConfirmed():
                self._confirmed_at = self._clock.wall()
                self._owner.confirmed(self)
            case RecordingFailed(verdict=verdict, reason=reason):
                self._log.log.warning("no recorder was found", **describe_recording(verdict))
                self._owner.failed(self, verdict, reason)
            case RecordingLost():
                self._log.milestone(command)
                self._owner.lost(self, command)
            case FailedOver() | FirstPacket() | GapMeasured() | RecordingRestored():
                self._log.milestone(command)
            case FinishRecording():
                self._conclude(command)

    def _report(self, report: Report) -> None:
        if isinstance(report.fact, InviteSent):
            dialog = (report.fact.sip_call_id, report.fact.local_tag)
            self._tools.table.add_dialog(dialog, self, report.session)
        self._log.report(report)

    def _stop_media(self, order: StopMedia) -> None:
        """Stop streams; at the end of a recording what was heard before is sent first."""
        if self._recording is not None and self._recording.state is State.ENDING:
            self._media.close(order.copy)
        else:
            self._media.stop(order)

    def _set_timer(self, key: tuple[object, ...], at: float, event: Event) -> None:
        self._clear_timer(key)
        delay = max(0.0, at - time.monotonic())
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self._on_timer, key, event)

    def _clear_timer(self, key: tuple[object, ...]) -> None:
        handle = self._timers.pop(key, None)
        if handle is not None:
            handle.cancel()

    def _on_timer(self, key: tuple[object, ...], event: Event) -> None:
        """Let what has arrived go first: a loop that is late runs its timers before it reads its sockets."""
        step = partial(self._guarded, partial(self._be_due, key, self._timers.get(key), event))
        asyncio.get_running_loop().call_later(GRACE_S, self._tools.turns.run, step)

    def _be_due(self, key: tuple[object, ...], timer: asyncio.TimerHandle | None, event: Event) -> None:
        """Act on a timer, unless it was cleared or set anew in the meantime."""
        if timer is not None and self._timers.get(key) is timer:
            del self._timers[key]
            self.apply(event)

    # --- end -----------------------------------------------------------------------------------------------

    def _conclude(self, command: FinishRecording) -> None:
        self._copies = [
            CopyOfRecord(
                copy=each.copy,
                verdict=each.verdict.slug.value,
                servers=list(each.servers),
                attempts=each.attempts,
                failovers=each.failovers,
                gap_s=each.gap_s,
            )
            for each in command.copies
        ]
        self._finish(command.verdict)
        self._media.close_all(self._check_over)
        self._check_over()

    def _finish(self, verdict: RecordingVerdict) -> None:
        """Take the verdict, once, and let go of everything but the media."""
        if self.verdict is not None:
            return
        self.verdict, self._ended_at = verdict, self._clock.wall()
        self._pauses.end(self._ended_at)
        for key in list(self._timers):
            self._clear_timer(key)
        if self._flush is not None:
            self._flush.cancel()
        self._sip.close()
        self._queue.clear()
        self._tools.table.drop(self)
        self._tools.metrics.count(metrics.RECORDINGS, verdict.slug.value, verdict.result.value)
        usual = {RecordingResult.COMPLETED, RecordingResult.STOPPED}
        write = self._log.log.info if verdict.result in usual else self._log.log.warning
        write("recording ended", **describe_recording(verdict), session_id=str(self.ledger.session_id))

    def _let_go(self) -> None:
        self._media.abandon()
        self._be_over()

    def _check_over(self) -> None:
        if self._media.all_closed:
            self._be_over()

    def _be_over(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._owner.over(self)

    def record(self) -> RecordingRecord:
        """Return the recording for the call's record."""
        verdict = self.verdict or RecordingVerdict(RecordingSlug.INTERNAL_ERROR, "the recording has no end")
        closed = self._media.closed()
        choice = self.identity.choice
        return RecordingRecord(
            recording_id=self.identity.recording_id,
            integration=choice.integration.name,
            voice_service=choice.service,
            policy=choice.integration.policy.value,
            session_id=str(self.ledger.session_id),
            started_at=self.identity.started_at,
            confirmed_at=self._confirmed_at,
            ended_at=self._ended_at or self._clock.wall(),
            verdict=verdict.slug.value,
            result=verdict.result.value,
            detail=verdict.sentence,
            copies=[replace(each, streams=sent_streams(closed.get(each.copy))) for each in self._copies],
            sessions=list(self._log.sessions.values()),
            paused=self._pauses.closed,
        )
