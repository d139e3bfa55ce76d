"""One recording over a group of servers: copies, failover, policy and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sidestream.errors import StateError
from sidestream.sip.events import ServerKey
from sidestream.sip.message import Headers, Request
from sidestream.siprec.body import read_body
from sidestream.siprec.check import Checker
from sidestream.siprec.commands import Cancel, SendRequest, StartMedia, StopMedia
from sidestream.siprec.context import WallClock
from sidestream.siprec.events import (
    CallEnded,
    CodecsChanged,
    FirstPacketSent,
    MediaFailed,
    PauseAsked,
    PeerLost,
    RequestArrived,
    RequestTransportFailed,
    ResponseArrived,
    ResumeAsked,
    SnapshotDue,
    StopAsked,
    StopBy,
    StreamCodec,
    TimerFired,
    TimerName,
)
from sidestream.siprec.group import GroupPolicy, ServerGroup
from sidestream.siprec.ledger import Ledger
from sidestream.siprec.offer import labels_of
from sidestream.siprec.outcome import (
    ClearRecordingTimer,
    FailedOver,
    FinishRecording,
    FirstPacket,
    GapMeasured,
    RecordingConfirmed,
    RecordingFailed,
    RecordingLost,
    RecordingRestored,
    RecordingTimer,
    RecordingTimerFired,
    SetRecordingTimer,
)
from sidestream.siprec.profile import Server
from sidestream.siprec.recording import MOVES, Recording, RecordingSetup, State, Trigger
from sidestream.siprec.verdicts import Cause, RecordingResult, RecordingSlug
from siprec_script import (
    BEGIN,
    PCMU,
    answer_sdp,
    at,
    find,
    identity,
    ledger,
    make_response,
    offer_of,
    only,
    sources,
)

A, B, C = (Server(uri=f"sip:{name}@127.0.0.9", priority=rank) for rank, name in enumerate("abc", 1))


@dataclass
class Play:
    """A recording whose servers do as they are told."""

    recording: Recording
    group: ServerGroup
    ledger: Ledger
    now: float = 0.0
    commands: list[object] = field(default_factory=list)
    sent: list[SendRequest] = field(default_factory=list)
    history: list[object] = field(default_factory=list)

    def start(self) -> Play:
        return self._took(self.recording.start(self.now))

    def apply(self, event: object, after: float = 0.1) -> Play:
        self.now += after
        return self._took(self.recording.apply(event, self.now))  # type: ignore[arg-type]

    def _took(self, commands: Sequence[object]) -> Play:
        self.commands = list(commands)
        self.history += commands
        self.sent += find(commands, SendRequest)
        return self

    def invites(self) -> list[SendRequest]:
        return [each for each in self.sent if each.request.method == "INVITE" and each.request.to_tag is None]

    def targets(self) -> list[str]:
        return [each.next_hop[4:5] for each in self.invites()]

    def respond(self, sent: SendRequest, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Play:
        response = make_response(sent.request, status, headers)
        if status == 200 and read_body(sent.request).description is not None:
            response.headers.add("Content-Type", "application/sdp")
            response.body = answer_sdp(offer_of(sent.request))
        return self.apply(ResponseArrived(sent.session, sent.request_id, response))

    def accept(self, index: int = -1) -> Play:
        return self.respond(self.invites()[index])

    def bye(self, session: int) -> Play:
        (call_id, tag) = next(
            name for name, number in self.recording.dialog_ids().items() if number == session
        )
        lines = [
            ("Via", "SIP/2.0/TCP 127.0.0.9;branch=z9hG4bKx"),
            ("From", "<sip:rec@127.0.0.9>;tag=srs"),
            ("To", f"<sip:us@127.0.0.1>;tag={tag}"),
            ("Call-ID", call_id),
            ("CSeq", "9 BYE"),
        ]
        return self.apply(RequestArrived(session, ServerKey(1), Request("BYE", "sip:us", Headers(lines))))

    def end(self) -> FinishRecording:
        """End the call; every recorder confirms what it is told."""
        self.ledger.ended(at(self.now))
        self.apply(CallEnded())
        for _ in range(12):
            if self.recording.ended:
                break
            for sent in [each for each in self.sent if each.request.method in {"UPDATE", "BYE"}]:
                self.respond(sent)
            for sent in self.invites():
                self.respond(sent, 487)
        return only(self.history, FinishRecording)


def play(*servers: Server, copies: int = 1, policy: GroupPolicy | None = None, **setup: object) -> Play:
    group = ServerGroup(servers, policy or GroupPolicy(failures_to_open=10), lambda: 0.5)
    book = ledger()
    ours = identity()
    made = RecordingSetup(
        sources=tuple(sources(port=40000 + 10 * index) for index in range(copies)),
        identify=lambda _server: ours,
        clock=WallClock(BEGIN, 0.0),
        **setup,  # type: ignore[arg-type]
    )
    return Play(Recording(made, book, group, 0.0), group, book)


def slug_of(finish: FinishRecording) -> RecordingSlug:
    return finish.verdict.slug


def test_the_table_is_whole() -> None:
    assert {state for state, _ in MOVES} == set(State) - {State.ENDED}
    assert set(MOVES.values()) == set(State) - {State.SETTING_UP}
    with pytest.raises(StateError):
        play(A).recording._move(Trigger.FINISH)
    for copies in (0, 4):
        with pytest.raises(ValueError, match="1 to 3"):
            play(A, copies=copies)


def test_a_recorder_that_accepts_records_to_the_end() -> None:
    scene = play(A).start().accept()
    assert only(scene.commands, RecordingConfirmed) == RecordingConfirmed(A.uri, 0.1)
    assert scene.recording.confirmed
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.COMPLETED
    (copy,) = finish.copies
    assert (copy.servers, copy.attempts, copy.failovers, copy.gap_s) == ((A.uri,), 1, 0, 0)
    assert scene.apply(SnapshotDue()).commands == []


# --- setup -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 420, 480, 486, 500, 503])
def test_a_refusal_tries_the_next_server(status: int) -> None:
    scene = play(A, B).start()
    scene.respond(scene.invites()[-1], status)
    over = only(scene.commands, FailedOver)
    assert (over.source, over.target, over.mid_call) == (A.uri, B.uri, False)
    scene.accept()
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.COMPLETED  # nothing of the call was lost
    assert finish.copies[0].failovers == 1


def test_100_then_silence_tries_the_next_server_within_the_deadline() -> None:
    scene = play(A, B, policy=GroupPolicy(setup_deadline_s=5.0)).start()
    scene.respond(scene.invites()[0], 100)
    scene.apply(TimerFired(1, TimerName.SETUP), 2.4)
    assert only(scene.commands, FailedOver).cause is Cause.SILENT
    only(scene.commands, Cancel)
    assert scene.targets() == ["a", "b"]
    assert scene.now < 5.0


def test_a_slow_recorder_has_the_whole_deadline_when_it_is_the_only_one() -> None:
    scene = play(A, policy=GroupPolicy(setup_deadline_s=5.0)).start()
    scene.apply(SnapshotDue(), 4.5)
    scene.accept()
    only(scene.commands, RecordingConfirmed)


@pytest.mark.parametrize("status", [403, 603])
def test_a_server_that_declines_speaks_for_the_group(status: int) -> None:
    scene = play(A, B).start()
    scene.respond(scene.invites()[0], status)
    assert scene.targets() == ["a"]
    assert find(scene.commands, SetRecordingTimer) == []
    finish = only(scene.commands, FinishRecording)
    assert slug_of(finish) is RecordingSlug.DECLINED
    assert finish.verdict.result is RecordingResult.NOT_RECORDED


def test_without_a_recorder_the_call_goes_on_and_one_is_looked_for_again() -> None:
    scene = play(A, policy=GroupPolicy(retry_s=30, failures_to_open=10)).start()
    scene.respond(scene.invites()[0], 503)
    assert only(scene.commands, RecordingFailed).verdict.slug is RecordingSlug.BUSY
    timer = only(scene.commands, SetRecordingTimer)
    assert (timer.name, timer.at) == (RecordingTimer.RETRY, scene.now + 30)
    scene.apply(RecordingTimerFired(RecordingTimer.RETRY, 0), 30)
    scene.accept()
    assert only(scene.commands, RecordingRestored).server == A.uri
    assert slug_of(scene.end()) is RecordingSlug.STARTED_LATE


def test_no_second_look_when_that_is_not_wanted() -> None:
    scene = play(A, policy=GroupPolicy(retry_s=None)).start()
    scene.respond(scene.invites()[0], 486)
    assert slug_of(only(scene.commands, FinishRecording)) is RecordingSlug.BUSY


def test_a_group_that_is_down_is_not_asked() -> None:
    scene = play(A, policy=GroupPolicy(failures_to_open=1, retry_s=None))
    scene.group.failed(A.uri, Cause.UNREACHABLE, 0.0)
    scene.start()
    assert scene.sent == []
    assert slug_of(only(scene.commands, FinishRecording)) is RecordingSlug.NO_SERVER


def test_retry_after_keeps_the_server_from_being_asked() -> None:
    scene = play(A, B).start()
    scene.respond(scene.invites()[0], 503, [("Retry-After", "60")])
    assert [server.uri for server in scene.group.order(scene.now)] == [B.uri]


def test_the_second_server_is_not_asked_about_what_the_first_had_taught() -> None:
    scene = play(A).start()
    scene.respond(scene.invites()[0], 415)
    scene.accept()
    assert scene.group.memory(A.uri).metadata_type == "application/rs-metadata"


# --- mandatory -------------------------------------------------------------------------------------------


def test_a_mandatory_recording_that_is_confirmed_clears_its_deadline() -> None:
    scene = play(A, mandatory=True).start()
    assert only(scene.commands, SetRecordingTimer) == SetRecordingTimer(RecordingTimer.DEADLINE, 0, 5.0)
    scene.accept()
    assert only(scene.commands, ClearRecordingTimer).name is RecordingTimer.DEADLINE
    only(scene.commands, RecordingConfirmed)


def test_a_mandatory_recording_without_recorder_fails_with_a_reason_and_ends() -> None:
    scene = play(A, B, mandatory=True).start()
    scene.respond(scene.invites()[0], 486)
    assert find(scene.commands, RecordingFailed) == []
    scene.respond(scene.invites()[1], 503)
    failed = only(scene.commands, RecordingFailed)
    assert failed.verdict.slug is RecordingSlug.BUSY
    assert failed.reason == (
        'SIP;cause=503;text="Recording required: Every recording server was busy or out of order."'
    )
    assert isinstance(scene.commands[-1], FinishRecording)


def test_a_mandatory_recording_does_not_wait_longer_than_its_deadline() -> None:
    scene = play(A, B, C, mandatory=True).start()
    scene.apply(RecordingTimerFired(RecordingTimer.DEADLINE, 0), 5.0)
    assert only(scene.commands, RecordingFailed).verdict.slug is RecordingSlug.NO_ANSWER
    only(scene.commands, Cancel)
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.NO_ANSWER


def test_a_mandatory_recording_with_every_circuit_open_fails_at_once() -> None:
    scene = play(A, mandatory=True, policy=GroupPolicy(failures_to_open=1))
    scene.group.failed(A.uri, Cause.UNREACHABLE, 0.0)
    scene.start()
    assert only(scene.commands, RecordingFailed).verdict.slug is RecordingSlug.NO_SERVER


@pytest.mark.parametrize("on_loss", ["continue", "warn", "hang_up"])
def test_the_loss_of_a_mandatory_recording_acts_as_its_policy_says(on_loss: str) -> None:
    scene = play(A, mandatory=True, on_loss=on_loss, policy=GroupPolicy(failures_to_open=1)).start().accept()
    scene.apply(PeerLost(1, "unreachable"))
    lost = only(scene.commands, RecordingLost)
    assert lost.action == on_loss
    assert lost.verdict.slug is RecordingSlug.RECORDER_LOST
    assert lost.reason.startswith('SIP;cause=503;text="Recording required')


def test_the_loss_of_one_that_is_not_mandatory_never_acts() -> None:
    scene = play(A, on_loss="hang_up", policy=GroupPolicy(failures_to_open=1)).start().accept()
    scene.apply(PeerLost(1, "unreachable"))
    assert only(scene.commands, RecordingLost).action == "continue"


# --- mid-call failover -----------------------------------------------------------------------------------


def test_a_lost_recorder_is_replaced_by_the_next_with_the_same_ids() -> None:
    scene = play(A, B).start().accept()
    first = read_body(scene.invites()[0].request).metadata or b""
    scene.apply(PeerLost(1, "unreachable"), 10)
    kinds = [type(each) for each in scene.commands]
    assert kinds.index(StopMedia) < kinds.index(FailedOver)
    assert only(scene.commands, FailedOver).mid_call
    second = read_body(scene.invites()[1].request).metadata or b""
    assert first.split(b"<sessionrecordingassoc")[0] == second.split(b"<sessionrecordingassoc")[0]
    assert b"09:15:10.1Z" in second.split(b"<sessionrecordingassoc")[1]
    scene.accept()
    assert only(scene.commands, GapMeasured) == GapMeasured(0, 0.1)
    assert only(scene.commands, StartMedia).session == 2
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.COMPLETED_AFTER_FAILOVER
    assert finish.copies[0].gap_s == pytest.approx(0.1)
    assert finish.copies[0].servers == (A.uri, B.uri)


def test_a_gap_begins_when_the_loss_was_noticed_and_not_when_it_was_told() -> None:
    scene = play(A, B).start().accept()
    scene.apply(PeerLost(1, "unreachable", noticed_at=scene.now + 2.0), 10)
    scene.accept()
    assert only(scene.commands, GapMeasured) == GapMeasured(0, 8.1)


def test_a_recorder_that_ends_the_session_is_not_asked_again() -> None:
    scene = play(A, B).start().accept()
    scene.bye(1)
    assert only(scene.commands, FailedOver).cause is Cause.ENDED_BY_RECORDER
    assert scene.targets() == ["a", "b"]
    alone = play(A).start().accept()
    alone.bye(1)
    assert alone.targets() == ["a"]
    assert slug_of(only(alone.commands, FinishRecording)) is RecordingSlug.ENDED_BY_RECORDER


def test_a_recorder_that_was_lost_is_asked_again_after_the_others() -> None:
    scene = play(A, B).start().accept()
    scene.apply(PeerLost(1, "unreachable"))
    scene.respond(scene.invites()[-1], 500)
    assert scene.targets() == ["a", "b", "a"]


def test_a_while_without_recorder_is_an_interruption() -> None:
    scene = play(A, policy=GroupPolicy(retry_s=30, failures_to_open=10)).start().accept()
    scene.apply(PeerLost(1, "unreachable"))
    scene.respond(scene.invites()[-1], 503)
    assert only(scene.commands, RecordingLost).action == "continue"
    scene.apply(RecordingTimerFired(RecordingTimer.RETRY, 0), 30)
    scene.accept()
    only(scene.commands, RecordingRestored)
    assert slug_of(scene.end()) is RecordingSlug.INTERRUPTED


def test_a_loss_to_the_end_of_the_call_is_a_loss() -> None:
    scene = play(A, policy=GroupPolicy(failures_to_open=1)).start().accept()
    scene.apply(PeerLost(1, "unreachable"))
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.RECORDER_LOST
    assert finish.copies[0].gap_s > 0


def test_a_failure_of_the_media_is_not_carried_to_another_server() -> None:
    scene = play(A, B).start().accept()
    scene.apply(MediaFailed(1, "io"))
    assert scene.targets() == ["a"]
    assert slug_of(scene.end()) is RecordingSlug.RECORDER_LOST
    starting = play(A, B).start()
    starting.apply(MediaFailed(1, "ports exhausted"))
    assert slug_of(starting.end()) is RecordingSlug.MEDIA_FAILED


def test_a_pause_is_kept_over_a_failover() -> None:
    scene = play(A, B).start().accept()
    scene.apply(PauseAsked())
    assert scene.recording.paused
    scene.apply(PeerLost(1, "unreachable"))
    assert offer_of(scene.invites()[-1].request).media[0].declared_direction.value == "inactive"
    scene.accept()
    assert find(scene.commands, StartMedia) == []
    scene.apply(ResumeAsked())
    scene.respond(scene.sent[-1])
    assert len(only(scene.commands, StartMedia).streams) == 2


def test_a_codec_change_is_known_to_the_server_that_takes_over() -> None:
    scene = play(A, B).start().accept()
    scene.apply(CodecsChanged((StreamCodec("1", PCMU),)))
    scene.apply(PeerLost(1, "unreachable"))
    assert offer_of(scene.invites()[-1].request).media[0].codecs[0].name == "PCMU"


# --- copies ----------------------------------------------------------------------------------------------


def test_copies_are_sessions_of_their_own_on_servers_of_their_own_with_the_same_ids() -> None:
    scene = play(A, B, C, copies=2).start()
    assert scene.targets() == ["a", "b"]
    one, two = (each.request for each in scene.invites())
    assert one.call_id != two.call_id
    assert read_body(one).metadata == read_body(two).metadata
    assert offer_of(one).media[0].port != offer_of(two).media[0].port
    scene.accept(0).accept(1)
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.COMPLETED
    assert [copy.servers for copy in finish.copies] == [(A.uri,), (B.uri,)]


def test_one_server_may_serve_two_copies() -> None:
    assert play(A, copies=2).start().targets() == ["a", "a"]


def test_a_copy_that_is_missing_is_told() -> None:
    scene = play(A, B, copies=2, policy=GroupPolicy(retry_s=None)).start()
    scene.respond(scene.invites()[1], 486)
    scene.respond(scene.invites()[2], 486)
    scene.accept(0)
    finish = scene.end()
    assert slug_of(finish) is RecordingSlug.COPY_MISSING
    assert "copy 2" in finish.verdict.detail
    assert finish.copies[1].verdict.slug is RecordingSlug.BUSY


def test_the_loss_of_one_copy_is_no_loss_of_the_recording() -> None:
    scene = play(A, copies=2, mandatory=True, on_loss="hang_up", policy=GroupPolicy(retry_s=None)).start()
    scene.accept(0).accept(1)
    scene.bye(1)
    assert find(scene.commands, RecordingLost) == []
    scene.bye(2)
    assert only(scene.commands, RecordingLost).action == "hang_up"


# --- ends ------------------------------------------------------------------------------------------------


def test_a_call_that_ends_before_the_answer_was_too_short() -> None:
    scene = play(A).start()
    assert slug_of(scene.end()) is RecordingSlug.CALL_TOO_SHORT


@pytest.mark.parametrize(
    ("by", "slug"),
    [
        (StopBy.OPERATOR, RecordingSlug.STOPPED),
        (StopBy.SHUTDOWN, RecordingSlug.SHUTDOWN),
        (StopBy.INTEGRATION_REMOVED, RecordingSlug.INTEGRATION_REMOVED),
    ],
)
def test_a_recording_that_is_stopped_says_by_whom(by: StopBy, slug: RecordingSlug) -> None:
    scene = play(A).start().accept()
    scene.apply(StopAsked(by))
    finish = scene.end()
    assert (slug_of(finish), finish.verdict.result) == (slug, RecordingResult.STOPPED)


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (401, RecordingSlug.UNAUTHORIZED),
        (420, RecordingSlug.NOT_A_RECORDER),
        (404, RecordingSlug.REJECTED),
        (302, RecordingSlug.REJECTED),
        (500, RecordingSlug.BUSY),
    ],
)
def test_the_last_failure_names_the_verdict(status: int, slug: RecordingSlug) -> None:
    scene = play(A, policy=GroupPolicy(retry_s=None)).start()
    scene.respond(scene.invites()[-1], status)
    assert slug_of(only(scene.commands, FinishRecording)) is slug


def test_the_other_verdicts_of_never_having_recorded() -> None:
    unreached = play(A, policy=GroupPolicy(retry_s=None)).start()
    unreached.apply(RequestTransportFailed(1, 1, "refused"))
    assert slug_of(only(unreached.commands, FinishRecording)) is RecordingSlug.UNREACHABLE
    for body, slug in ((b"", RecordingSlug.ANSWER_UNUSABLE), (None, RecordingSlug.MEDIA_REFUSED)):
        scene = play(A, policy=GroupPolicy(retry_s=None)).start()
        invite = scene.invites()[0]
        response = make_response(invite.request, 200)
        if body is None:
            response.headers.add("Content-Type", "application/sdp")
            response.body = answer_sdp(offer_of(invite.request), ports=(0, 0))
        scene.apply(ResponseArrived(1, invite.request_id, response))
        assert slug_of(scene.end()) is slug


def test_a_failure_of_ours_is_called_so_and_tries_the_next_server() -> None:
    scene = play(Server(uri="nowhere"), policy=GroupPolicy(retry_s=None)).start()
    assert slug_of(only(scene.commands, FinishRecording)) is RecordingSlug.INTERNAL_ERROR
    other = play(Server(uri="nowhere", priority=0), B).start()
    assert other.targets() == ["b"]


# --- facts -----------------------------------------------------------------------------------------------


def test_the_time_from_the_answer_to_the_first_packet() -> None:
    scene = play(A).start().accept()
    scene.ledger.answered(at(0.05))
    assert only(scene.apply(FirstPacketSent(1)).commands, FirstPacket).after_answer_s == pytest.approx(0.15)
    assert scene.apply(FirstPacketSent(1)).commands == []
    early = play(A).start().accept()
    assert early.apply(FirstPacketSent(1)).commands == [FirstPacket(0, None)]


def test_every_server_gets_documents_without_a_flaw() -> None:
    scene = play(A, B, copies=2).start().accept(0).accept(1)
    scene.ledger.answered(at(1))
    scene.apply(SnapshotDue())
    scene.apply(PeerLost(1, "gone"))
    scene.accept()
    scene.end()
    checkers: dict[int, Checker] = {}
    for sent in scene.sent:
        body = read_body(sent.request)
        if body.metadata is not None:
            labels = labels_of(body.description) if body.description is not None else None
            assert checkers.setdefault(sent.session, Checker()).check(body.metadata, labels) == []
    assert len(checkers) == 3
