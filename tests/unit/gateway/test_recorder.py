"""The recordings of a call: begin, policy, changes, control, and the seam around them."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from sidestream._media import MediaError
from sidestream.gateway.recorder import RECORDINGS_MAX, RecordingError
from sidestream.gateway.recording_runner import RecordingRunner
from sidestream.sip.events import AckReceived, CancelReceived, ServerKey
from sidestream.sip.message import Request
from sidestream.siprec.check import check
from unit.gateway.fake_recorder import FIRST, SECOND, RecordedCall, recording
from unit.gateway.samples import OFFER, request, source

pytestmark = pytest.mark.asyncio

HELD = OFFER.replace("o=- 1 1", "o=- 1 2") + "a=sendonly\r\n"
MANDATORY = recording(policy="mandatory")


def record_of(call: RecordedCall) -> dict[str, Any]:
    """Return the record of the only recording, with the slug of its call."""
    (record,) = call.gateway.records()
    recordings = record["recordings"]
    assert isinstance(recordings, list)
    (found,) = recordings
    assert isinstance(found, dict)
    assert isinstance(record["verdict"], dict)
    return {**found, "call": record["verdict"]["slug"]}


def counted(call: RecordedCall, sample: str) -> bool:
    return sample in call.gateway.metrics.expose().decode()


async def test_a_recording_from_the_answer_to_the_record(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(x_headers='{X-Tenant: "{account.name}", X-Ref: "{call.id}"}'))
    dialog = await call.answered()
    _, invite = call.last("INVITE")
    assert invite.headers.get("Require") == "siprec"
    assert invite.headers.get("X-Tenant") == "acme"
    assert invite.headers.get("X-Ref") == call.call_id
    assert (invite.headers.get("Contact") or "").endswith(";transport=tcp>;+sip.src")
    assert call.targets() == []
    call.accept()
    assert call.targets() == [[("1", True), ("2", True)]]
    assert (call.view().state, len(call.gateway.sip.acks)) == ("recording", 2)

    await call.hang_up(dialog)
    assert call.methods() == ["INVITE", "UPDATE"]
    assert "stop-time" in call.documents()[-1]
    call.answer_last("UPDATE")
    call.answer_last("BYE")
    assert call.gateway.calls.active == 1
    call.close_media()
    assert call.gateway.calls.active == 0
    record = record_of(call)
    assert (record["verdict"], record["result"]) == ("completed", "completed")
    assert record["sessions"][0]["sip_call_id"] == invite.call_id
    assert record["session_id"] in call.documents()[0]
    assert record["copies"][0]["servers"] == [FIRST]
    assert counted(call, 'sidestream_recording_attempts_total{outcome="established"} 1.0')
    assert counted(call, 'sidestream_recordings_due_total{integration="keep"} 1.0')
    assert [check(document.encode(), ("1", "2")) for document in call.documents()] == [[], []]


async def test_nothing_of_an_ended_recording_is_kept(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    dialog = await call.answered()
    theirs = call.accept()
    await call.hang_up(dialog)
    call.answer_last("UPDATE")
    call.answer_last("BYE")
    call.close_media()
    table = call.gateway.recordings
    held = (table._calls, table._sessions, table._dialogs, table._clients, table._servers)
    assert [len(each) for each in held] == [0] * 5
    late = call.ask(theirs, "BYE")
    assert late is not None
    assert late.status == 481


async def test_an_ended_recording_leaves_nothing_for_the_collector(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    dialog = await call.answered()
    call.accept()
    (recordings,) = call.gateway.recordings._calls.values()
    runner = weakref.ref(recordings.runners()[0])
    del recordings
    gc.disable()
    try:
        await call.hang_up(dialog)
        call.answer_last("UPDATE")
        call.answer_last("BYE")
        call.close_media()
        await call.settle()
        assert runner() is None
    finally:
        gc.enable()


async def test_the_call_is_neither_touched_nor_delayed_by_best_effort(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND))
    await call.answered()
    assert call.gateway.statuses[-1] == 200
    for status in (486, 503):
        call.refuse(status)
    assert call.view().state == "down"
    assert call.gateway.calls.active == 1
    assert [str(sent.to.uri) for _, sent in call.asked] == [FIRST, SECOND]
    assert counted(call, 'sidestream_recording_failovers_total{cause="busy",when="setup"} 1.0')


async def test_a_mandatory_recording_is_confirmed_before_the_far_leg_is_invited(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, MANDATORY)
    call.begin()
    assert call.gateway.statuses == [100]
    assert [str(sent.to.uri) for _, sent, _ in call.gateway.sip.sent] == [FIRST]
    call.accept()
    assert [sent.method for _, sent, _ in call.gateway.sip.sent] == ["INVITE", "INVITE"]
    assert "desk" not in call.gateway.sip.sent[1][1].uri
    call.gateway.answer(200, OFFER)
    await call.settle()
    assert call.gateway.statuses == [100, 200]
    told = [document for document in call.documents() if "participantsessionassoc" in document]
    assert len(told) == 2
    assert call.methods()[1:] == ["UPDATE"]


@pytest.mark.parametrize("status", [403, 486, 488, 503, 603])
async def test_without_a_recorder_a_call_that_must_be_recorded_is_refused(
    tmp_path: Path, status: int
) -> None:
    call = RecordedCall(tmp_path, MANDATORY)
    call.begin()
    while call.gateway.statuses == [100]:
        call.refuse(status)
    (_, answer) = call.gateway.sip.answers[-1]
    assert answer.status == 503
    assert 'SIP;cause=503;text="Recording required' in (answer.headers.get("Reason") or "")
    assert len(call.asked) == len(call.gateway.sip.sent)
    await call.settle()
    call.close_media()
    assert record_of(call)["call"] == "recording-required"


async def test_a_caller_who_gives_up_while_a_recorder_is_looked_for_is_let_go(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, MANDATORY)
    call.begin()
    call.gateway.tell(CancelReceived(ServerKey(1), request("CANCEL", body="")))
    assert call.gateway.statuses == [100, 487]
    key, invite = call.last("INVITE")
    assert call.gateway.sip.cancelled == [key]
    call.respond(key, invite, 487)
    call.close_media()
    record = record_of(call)
    assert (record["call"], record["verdict"]) == ("cancelled-by-caller", "call-too-short")


@pytest.mark.parametrize(("on_loss", "ends"), [("continue", False), ("warn", False), ("hang_up", True)])
async def test_what_a_loss_in_mid_call_means(tmp_path: Path, on_loss: str, ends: bool) -> None:
    call = RecordedCall(tmp_path, recording(policy="mandatory", on_loss=on_loss))
    call.begin()
    theirs = call.accept()
    call.gateway.answer(200, OFFER)
    await call.settle()
    call.answer_last("UPDATE")
    response = call.ask(theirs, "BYE")
    assert response is not None
    assert response.status == 200
    await call.settle()
    byes = [sent for _, sent, _ in call.gateway.sip.sent if sent.method == "BYE"]
    assert bool(byes) is ends
    if ends:
        assert 'text="Ended by policy"' in (byes[0].headers.get("Reason") or "")


async def test_the_next_server_takes_over_in_mid_call(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND))
    await call.answered()
    theirs = call.accept()
    call.ask(theirs, "BYE")
    _, invite = call.last("INVITE")
    assert str(invite.to.uri) == SECOND
    call.accept()
    first, second = call.documents()
    session = first.partition('session_id="')[2][:24]
    assert session in second
    assert counted(
        call, 'sidestream_recording_failovers_total{cause="ended-by-recorder",when="mid-call"} 1.0'
    )
    assert counted(call, "sidestream_recording_gap_seconds_count 1.0")


async def test_hold_resume_identity_and_codec_are_told(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    dialog = await call.answered()
    call.accept()
    send = call.gateway

    def reinvite(body: str, key: int) -> Request:
        sent = dialog.create_request("INVITE")
        sent.headers.set("Content-Type", "application/sdp")
        sent.headers.set("P-Asserted-Identity", "<sip:+4930123456@192.0.2.1>")
        sent.body = body.encode()
        send.receive(sent, key=key)
        return sent

    held = reinvite(HELD, 50)
    send.answer(200, OFFER.replace("o=- 1 1", "o=- 1 2") + "a=recvonly\r\n")
    send.tell(AckReceived(dialog.create_ack(held.cseq.number), source()))
    await call.settle()
    document = call.documents()[-1]
    assert "+4930123456" in document
    assert document.count("<send>") == 1
    call.answer_last("UPDATE")
    back = reinvite(OFFER.replace("o=- 1 1", "o=- 1 3"), 51)
    send.answer(200, OFFER.replace("o=- 1 1", "o=- 1 3"))
    send.tell(AckReceived(dialog.create_ack(back.cseq.number), source()))
    await call.settle()
    assert call.documents()[-1].count("<send>") == 2


async def test_pause_stops_media_first_and_stays_when_the_recorder_refuses(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    call.accept()
    table, fake = call.gateway.recordings, call.gateway.fake
    view = table.pause(call.call_id, call.view().recording_id)
    verbs = fake.verbs
    assert verbs.index("pause_recording") < len(verbs) - 1
    assert (view.state, call.offers()[-1]) == ("paused", "inactive/inactive")
    assert call.targets()[-1] == [("1", False), ("2", False)]
    call.refuse(488)
    assert call.targets()[-1] == [("1", False), ("2", False)]
    view = table.resume(call.call_id, view.recording_id)
    assert (view.state, call.offers()[-1]) == ("recording", "sendonly/sendonly")
    call.accept()
    assert call.targets()[-1] == [("1", True), ("2", True)]
    assert fake.all_of("pause_recording") == [True, False]


async def test_a_recording_is_stopped_and_another_one_started(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    call.accept()
    table = call.gateway.recordings
    first = call.view()
    with pytest.raises(RecordingError, match="already"):
        table.start(call.call_id, "keep")
    table.stop(call.call_id, first.recording_id)
    call.answer_last("UPDATE")
    call.answer_last("BYE")
    assert call.view().verdict == "stopped"
    with pytest.raises(RecordingError, match="ended"):
        table.pause(call.call_id, first.recording_id)
    second = table.start(call.call_id, "keep")
    call.accept()
    views = table.views(call.call_id)
    assert [view.state for view in views] == ["ended", "recording"]
    assert second.recording_id != first.recording_id
    assert "participantsessionassoc" in call.documents()[-1]


async def test_what_cannot_be_controlled_is_refused_in_words(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    table = call.gateway.recordings
    assert table.views("nobody") == []
    with pytest.raises(RecordingError, match="no call"):
        table.stop("nobody", "x")
    with pytest.raises(RecordingError, match="no recording"):
        table.stop(call.call_id, "x")
    with pytest.raises(RecordingError, match="no integration"):
        table.start(call.call_id, "else")
    for _ in range(RECORDINGS_MAX - 1):
        table.stop(call.call_id, table.views(call.call_id)[-1].recording_id)
        key, invite = call.last("INVITE")
        call.respond(key, invite, 487)
        table.start(call.call_id, "keep")
    table.stop(call.call_id, table.views(call.call_id)[-1].recording_id)
    key, invite = call.last("INVITE")
    call.respond(key, invite, 487)
    with pytest.raises(RecordingError, match=f"has had {RECORDINGS_MAX}"):
        table.start(call.call_id, "keep")


async def test_copies_have_one_identity_and_dialogs_of_their_own(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND, copies="2"))
    await call.answered()
    sent = [each for _, each in call.asked]
    assert {str(each.to.uri) for each in sent} == {FIRST, SECOND}
    assert len({each.call_id for each in sent}) == 2
    assert len({document.partition("<stream")[2] for document in call.documents()}) == 1
    specs = call.gateway.fake.all_of("open_recording")
    assert specs[0] == specs[1]


async def test_an_engine_that_refuses_ends_the_recording_only(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    error = MediaError("no ports")
    error.kind = "ports_exhausted"
    call.gateway.fake.refuse["open_recording"] = error
    dialog = await call.answered()
    assert call.gateway.statuses[-1] == 200
    await call.hang_up(dialog)
    call.close_media()
    assert record_of(call)["verdict"] == "media-failed"


async def test_an_engine_that_refuses_refuses_a_call_that_must_be_recorded(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, MANDATORY)
    error = MediaError("no ports")
    error.kind = "ports_exhausted"
    call.gateway.fake.refuse["open_recording"] = error
    call.begin()
    assert call.gateway.statuses == [503]


@pytest.mark.parametrize("policy", ["best_effort", "mandatory"])
async def test_an_error_of_ours_ends_the_recording_and_follows_its_policy(
    tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    call = RecordedCall(tmp_path, recording(policy=policy))
    monkeypatch.setattr(RecordingRunner, "begin", broken)
    call.begin()
    if policy == "mandatory":
        assert call.gateway.statuses == [503]
    else:
        call.gateway.answer(200, OFFER)
        assert call.gateway.statuses == [200]
    assert counted(call, "sidestream_recording_faults_total 1.0")


async def test_an_error_in_mid_call_ends_the_call_where_the_policy_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    call = RecordedCall(tmp_path, recording(policy="mandatory", on_loss="hang_up"))
    call.begin()
    call.accept()
    call.gateway.answer(200, OFFER)
    await call.settle()
    monkeypatch.setattr(RecordingRunner, "apply", broken)
    call.answer_last("UPDATE")
    await call.settle()
    assert "BYE" in [sent.method for _, sent, _ in call.gateway.sip.sent]


async def test_early_media_may_be_recorded(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(start_on="early_media"))
    call.begin()
    call.peer(183)
    await call.settle()
    assert call.methods() == ["INVITE"]
    (document,) = call.documents()
    assert document.count("<participantsessionassoc") == 1
    call.accept()
    call.peer(200)
    await call.settle()
    assert call.documents()[-1].count("<participantsessionassoc") == 2


async def test_a_recorder_that_wants_one_stream_gets_one(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    call.accept("recvonly", "refused")
    assert call.targets() == [[("1", True)]]
    assert counted(call, "sidestream_recording_streams_refused_total 1.0")
    assert call.view().state == "recording"


async def test_a_recorder_that_takes_no_media_is_lost(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND))
    await call.answered()
    call.accept()
    call.tell(event="recording_unreachable", recording=2, label="1", detail="connection refused")
    await call.settle()
    _, invite = call.last("INVITE")
    assert str(invite.to.uri) == SECOND


async def test_first_packet_is_measured_from_the_answer(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    call.accept()
    call.tell(event="recording_first_packet", recording=2, label="1", afterSetMs=3, afterStartMs=9)
    await call.settle()
    assert counted(call, "sidestream_recording_first_packet_seconds_count 1.0")


async def test_the_record_is_json_with_what_joins_it_to_the_recorder(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    dialog = await call.answered()
    call.accept()
    view = call.gateway.recordings.pause(call.call_id, call.view().recording_id)
    call.accept("inactive", "inactive")
    await call.hang_up(dialog)
    call.answer_last("UPDATE")
    call.answer_last("BYE")
    call.close_media()
    record = record_of(call)
    assert json.dumps(record)
    assert record["recording_id"] == view.recording_id
    assert len(record["paused"]) == 1
