"""The recordings of one call: when they begin, what they are told, when they end, and the seam around them.

Whatever goes wrong in a recording ends here: it is logged and counted, and it ends that recording. The call
hears of a recording in three ways only, all of them its policy: it may go on, it is refused, it is ended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import (
    CallAnswered,
    CallEnding,
    CallHeld,
    CallResumed,
    EarlyMediaStarted,
    Fact,
    Participant,
    ParticipantUpdated,
)
from sidestream.call.side import Side
from sidestream.config.values import StartOn
from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.ids import new_id
from sidestream.gateway.media import CallMedia, MediaError
from sidestream.gateway.recording_plan import (
    SIDE_NAMES,
    RecordingChoice,
    ledger_of,
    on_loss_of,
    party_of,
    reason_of,
    stream_codec,
)
from sidestream.gateway.recording_records import RecordingRecord
from sidestream.gateway.recording_runner import RecordingIdentity, RecordingRunner, RecordingTools, Step
from sidestream.gateway.stream_plan import CallFacts
from sidestream.gateway.stream_runner import CallClock
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.siprec.events import StopBy, StreamCodec
from sidestream.siprec.ledger import Ledger
from sidestream.siprec.outcome import RecordingLost
from sidestream.siprec.outcome import reason_of as header_of
from sidestream.siprec.verdicts import RecordingSlug, RecordingVerdict

RECORDINGS_MAX: Final = 16
"""Recordings of one call, those that ended included: started by hand, they would have no bound."""


class RecordingError(SidestreamError):
    """What was asked of a recording cannot be done; the call is as before."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class Gate:
    """What a call waits for that must be recorded.

    Attributes:
        proceed: lets it go on; called once at most.
        refuse: turns it down, with a sentence and a `Reason` header value; called once at most, and never
            after `proceed`.
    """

    proceed: Callable[[], None]
    refuse: Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingView:
    """A recording as it stands, for whoever controls it."""

    recording_id: str
    call_id: str
    integration: str
    voice_service: str
    state: str
    """`setting up`, `recording`, `paused`, `down`, `ending` or `ended`."""
    session_id: str
    verdict: str
    """Slug; empty while it has none."""


class CallRecordings:
    """The recordings of one call. No method raises, but those that an operator calls.

    Args:
        tools: what all recordings share.
        call: what is known about the call.
        choices: the integrations that record it.
        media: the call's legs.
        clock: the call's time.
        log: bound to the call.
    """

    def __init__(
        self,
        tools: RecordingTools,
        call: CallFacts,
        choices: list[RecordingChoice],
        media: CallMedia,
        *,
        clock: CallClock,
        log: Logger,
    ) -> None:
        self._tools = tools
        self._call = call
        self._choices = tuple(choices)
        self._waiting = list(choices)
        self._media = media
        self._clock = clock
        self._log = log
        self._on_over: Callable[[], None] = lambda: None
        self._hang_up: Callable[[str], None] = lambda _: None
        self._gate: Gate | None = None
        self._unconfirmed: set[RecordingRunner] = set()
        self._runners: list[RecordingRunner] = []
        self._legs: dict[Side, UpdateLegMedia] = {}
        self._held: dict[Side, bool] = {}
        """Sides that hold the other one, and whether they go on sending."""
        self._parties: dict[Side, Participant] = {each.side: each for each in (call.caller, call.callee)}
        self._answered_at: datetime | None = None
        self._ended = False

    @property
    def call_id(self) -> str:
        """The call."""
        return self._call.call_id

    def attach(self, on_over: Callable[[], None], hang_up: Callable[[str], None]) -> None:
        """Take whom to tell.

        Args:
            on_over: called when a recording is over.
            hang_up: ends the call, by policy, with a sentence.
        """
        self._on_over, self._hang_up = on_over, hang_up

    @property
    def open_count(self) -> int:
        """How many recordings are not over."""
        return sum(not runner.is_over for runner in self._runners)

    @property
    def active_count(self) -> int:
        """How many recordings have no verdict yet."""
        return sum(runner.verdict is None for runner in self._runners)

    def open_ids(self) -> frozenset[str]:
        """The ids of the recordings that have no verdict yet."""
        return frozenset(runner.identity.recording_id for runner in self.runners())

    def records(self) -> list[RecordingRecord]:
        """The recordings for the call's record."""
        return [runner.record() for runner in self._runners]

    def runners(self) -> tuple[RecordingRunner, ...]:
        """The recordings that have no verdict yet."""
        return tuple(runner for runner in self._runners if runner.verdict is None)

    # --- the call ------------------------------------------------------------------------------------------

    def admit(self, gate: Gate) -> None:
        """Let the call go on, at once or when all recordings that it must have are confirmed."""
        due = [choice for choice in self._waiting if choice.mandatory]
        if not due:
            gate.proceed()
            return
        self._gate = gate
        for choice in due:
            if self._gate is not None:
                self._begin(choice)
        self._see_gate()

    def hear_media(self, update: UpdateLegMedia) -> None:
        """Take note of what was agreed on a leg."""
        self._legs[update.side] = update
        for runner in self.runners():
            if update.srtp is not None and runner.identity.choice.follows_srtp:
                self._guard(runner, runner.protect)
            codec = stream_codec(update, runner.identity.choice.integration.dtmf)
            if codec is not None:
                self._guard(runner, partial(runner.codec, update.side, codec))

    def hear(self, fact: Fact) -> None:
        """Take note of a fact: begin, tell or end recordings."""
        match fact:
            case EarlyMediaStarted():
                self._begin_due(early=True)
            case CallAnswered(at=at):
                self._answered_at = at
                self._change(lambda ledger: ledger.answered(at))
                self._begin_due(early=False)
            case CallHeld(side=side, sends=sends):
                self._held[side] = sends
                self._change(lambda ledger: ledger.held(SIDE_NAMES[side], sends=sends))
            case CallResumed(side=side):
                self._held.pop(side, None)
                self._change(lambda ledger: ledger.resumed(SIDE_NAMES[side]))
            case ParticipantUpdated(at=at, participant=participant):
                self._party(participant, at)
            case CallEnding(at=at, verdict=ending):
                self._ended = True
                self._gate = None
                self._waiting.clear()
                for runner in self.runners():
                    self._guard(runner, partial(runner.end, at, reason_of(ending)))
            case _:
                pass

    def give_up(self, detail: str) -> None:
        """Let go of every recording at once, whatever the recorders still wait for."""
        self._ended = True
        self._gate = None
        self._waiting.clear()
        for runner in self._runners:
            if not runner.is_over:
                self._guard(runner, partial(runner.give_up, detail))

    def let_go(self) -> None:
        """Forget the recordings: the call's record is written."""
        for runner in self._runners:
            runner.let_go()
        self._runners.clear()

    # --- control -------------------------------------------------------------------------------------------

    def views(self) -> list[RecordingView]:
        """The call's recordings as they stand, in the order of their begin."""
        return [self._view(runner) for runner in self._runners]

    def start(self, integration: str) -> RecordingView:
        """Begin a recording by an integration of the call's voice services that records it no more.

        Raises:
            RecordingError: there is no such integration, it records already, or the call has ended.
        """
        choice = next((each for each in self._choices if each.integration.name == integration), None)
        if choice is None:
            hint = "name a siprec integration of one of the call's voice services"
            raise RecordingError(f"no integration {integration!r} records this call", hint=hint)
        if self._ended:
            raise RecordingError("the call has ended", hint="start a recording on a call that is live")
        if any(runner.identity.choice == choice for runner in self.runners()):
            raise RecordingError(f"{integration!r} records this call already", hint="stop that one first")
        if len(self._runners) >= RECORDINGS_MAX:
            raise RecordingError(
                f"the call has had {RECORDINGS_MAX} recordings",
                hint="pause and resume instead",
            )
        if choice in self._waiting:
            self._waiting.remove(choice)
        return self._view(self._begin(choice))

    def pause(self, recording_id: str) -> RecordingView:
        """Leave out what is said from now on.

        Raises:
            RecordingError: there is no such recording, or it has ended.
        """
        return self._control(recording_id, RecordingRunner.pause)

    def resume(self, recording_id: str) -> RecordingView:
        """Go on recording.

        Raises:
            RecordingError: there is no such recording, or it has ended.
        """
        return self._control(recording_id, RecordingRunner.resume)

    def stop(self, recording_id: str, by: StopBy = StopBy.OPERATOR) -> RecordingView:
        """End a recording; its call goes on.

        Raises:
            RecordingError: there is no such recording, or it has ended.
        """
        return self._control(recording_id, lambda runner: runner.stop(by))

    def _control(self, recording_id: str, act: Callable[[RecordingRunner], None]) -> RecordingView:
        found = next((each for each in self._runners if each.identity.recording_id == recording_id), None)
        if found is None:
            raise RecordingError(f"the call has no recording {recording_id!r}")
        if found.verdict is not None:
            raise RecordingError("the recording has ended", hint="start another one while the call is live")
        self._guard(found, partial(act, found))
        return self._view(found)

    def _view(self, runner: RecordingRunner) -> RecordingView:
        choice = runner.identity.choice
        return RecordingView(
            recording_id=runner.identity.recording_id,
            call_id=self._call.call_id,
            integration=choice.integration.name,
            voice_service=choice.service,
            state=runner.state,
            session_id=str(runner.ledger.session_id),
            verdict=runner.verdict.slug.value if runner.verdict else "",
        )

    # --- what recordings tell, see `recording_runner.RecordingOwner` --------------------------------------

    def confirmed(self, runner: RecordingRunner) -> None:
        """A recorder records."""
        self._unconfirmed.discard(runner)
        self._see_gate()

    def failed(self, runner: RecordingRunner, verdict: RecordingVerdict, reason: str) -> None:
        """No recorder was found: a call that must be recorded is refused, any other one goes on."""
        if self._gate is not None and runner in self._unconfirmed:
            gate, self._gate = self._gate, None
            gate.refuse(f"The call must be recorded: {verdict.sentence}", reason)

    def lost(self, runner: RecordingRunner, lost: RecordingLost) -> None:
        """Nothing records any more: what the policy says comes to pass."""
        if lost.action == "hang_up" and not self._ended and runner.identity.choice.mandatory:
            self._hang_up(f"The recording was lost: {lost.verdict.sentence}")

    def over(self, runner: RecordingRunner) -> None:
        """A recording has its verdict, and its media are closed."""
        self._unconfirmed.discard(runner)
        self._on_over()

    def _see_gate(self) -> None:
        if self._gate is not None and not self._unconfirmed:
            gate, self._gate = self._gate, None
            gate.proceed()

    # --- begin ---------------------------------------------------------------------------------------------

    def _begin_due(self, *, early: bool) -> None:
        due = [
            choice
            for choice in self._waiting
            if not early or choice.integration.start_on is StartOn.EARLY_MEDIA
        ]
        for choice in due:
            self._begin(choice)

    def _begin(self, choice: RecordingChoice) -> RecordingRunner:
        if choice in self._waiting:
            self._waiting.remove(choice)
        identity = RecordingIdentity(
            recording_id=new_id(),
            call=self._call,
            choice=choice,
            ledger=self._ledger(choice),
            codecs=self._codecs(choice),
            started_at=self._clock.wall(),
            secure=choice.is_secure
            or (choice.follows_srtp and any(leg.srtp is not None for leg in self._legs.values())),
        )
        runner = RecordingRunner(self._tools, identity, self._clock, self, self._log)
        self._runners.append(runner)
        if self._gate is not None and choice.mandatory:
            self._unconfirmed.add(runner)
        self._guard(runner, partial(self._open, runner))
        return runner

    def _open(self, runner: RecordingRunner) -> None:
        try:
            runner.begin(self._media, partial(self._guard, runner))
        except MediaError as error:
            verdict = RecordingVerdict(RecordingSlug.MEDIA_FAILED, f"the media engine refused it: {error}")
            self._break(runner, verdict, runner.refuse)

    def _ledger(self, choice: RecordingChoice) -> Ledger:
        """Write down what is known of the call by now."""
        ledger = ledger_of(self._call, choice, self._clock.started_at)
        for side, participant in self._parties.items():
            ledger.party_updated(SIDE_NAMES[side], party_of(participant))
        for side, codec in self._codecs(choice).items():
            ledger.codec_changed(SIDE_NAMES[side], codec.codec.name)
        if self._answered_at is not None:
            ledger.answered(self._answered_at)
        for side, sends in self._held.items():
            ledger.held(SIDE_NAMES[side], sends=sends)
        return ledger

    def _codecs(self, choice: RecordingChoice) -> dict[Side, StreamCodec]:
        found = {side: stream_codec(leg, choice.integration.dtmf) for side, leg in self._legs.items()}
        return {side: codec for side, codec in found.items() if codec is not None}

    # --- changes -------------------------------------------------------------------------------------------

    def _change(self, change: Callable[[Ledger], object]) -> None:
        for runner in self.runners():
            self._guard(runner, partial(runner.change, change))

    def _party(self, participant: Participant, at: datetime) -> None:
        """A party is known by another name; by another address in mid-call, it is another one (RFC 4916)."""
        side = SIDE_NAMES[participant.side]
        before = self._parties[participant.side]
        self._parties[participant.side] = participant
        party = party_of(participant)
        answered = self._answered_at
        transferred = answered is not None and at > answered and participant.uri != before.uri
        if transferred:
            self._change(lambda ledger: ledger.party_replaced(side, party, at))
        else:
            self._change(lambda ledger: ledger.party_updated(side, party))

    # --- the seam ------------------------------------------------------------------------------------------

    def _guard(self, runner: RecordingRunner, step: Step) -> None:
        """Run a step of a recording; its errors end that recording and nothing else."""
        try:
            step()
        except Exception:  # noqa: BLE001 - the one seam between recordings and their call
            self._log.exception("an error in the handling of a recording")
            self._tools.metrics.count(metrics.RECORDING_FAULTS)
            detail = "an error in the handling of the recording"
            verdict = RecordingVerdict(RecordingSlug.INTERNAL_ERROR, detail)
            self._break(runner, verdict, lambda _: runner.fail(detail))

    def _break(
        self,
        runner: RecordingRunner,
        verdict: RecordingVerdict,
        end: Callable[[RecordingVerdict], None],
    ) -> None:
        """End a recording that we failed; the call is told what its policy says about that."""
        waited, running = runner in self._unconfirmed, runner.verdict is None
        try:
            end(verdict)
        except Exception:  # noqa: BLE001 - nothing is left to try: the call goes on
            self._log.exception("an error in the end of a recording")
        if waited:
            self._unconfirmed.add(runner)
            self.failed(runner, verdict, header_of(verdict))
            self._unconfirmed.discard(runner)
        elif running and runner.identity.choice.mandatory and not self._ended:
            action = on_loss_of(runner.identity.choice.integration)
            self.lost(runner, RecordingLost(action, verdict, header_of(verdict)))
