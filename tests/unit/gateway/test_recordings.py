"""The table of recordings: what belongs to a recorder's session, and what is anybody's."""

import asyncio
from pathlib import Path

import pytest

from sidestream.gateway.recording_runner import GRACE_S
from sidestream.gateway.recordings import KEYS_MAX
from sidestream.sip.builder import response_to
from sidestream.sip.digest import parse_credentials
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientTimedOut,
    ClientTransportFailed,
    ResponseReceived,
    ServerKey,
    ServerTransportFailed,
)
from sidestream.siprec.events import TimerFired, TimerName
from sidestream.siprec.metadata import SnapshotRequest
from sidestream.siprec.xml import serialize
from unit.gateway.fake_gateway import FakeGateway
from unit.gateway.fake_recorder import FIRST, SECOND, RecordedCall, answer_to, from_recorder, recording
from unit.gateway.samples import configuration, request

pytestmark = pytest.mark.asyncio


async def test_a_request_of_a_recorder_is_its_sessions_wherever_it_comes_from(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept()
    response = call.ask(theirs, "OPTIONS")
    assert response is not None
    assert (response.status, response.to_tag) == (200, theirs.remote_tag)
    assert 'sidestream_sip_requests_total{method="OPTIONS"} 1.0' in call.gateway.metrics.expose().decode()


async def test_a_snapshot_is_asked_for_and_sent(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept()
    wish = serialize(SnapshotRequest()).decode()
    response = call.ask(theirs, "UPDATE", wish, "application/rs-metadata+xml")
    assert response is not None
    assert (response.status, response.body) == (200, b"")
    assert call.methods() == ["INVITE", "UPDATE"]
    assert "<datamode>complete" in call.documents()[-1]


async def test_a_recorder_that_was_not_ready_asks_by_re_invite(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept("inactive", "inactive")
    assert call.targets() == []
    _, invite = call.last("INVITE")
    response = call.ask(theirs, "INVITE", answer_to(invite))
    assert response is not None
    assert response.body.count(b"a=sendonly") == 2
    assert call.targets() == [[("1", True), ("2", True)]]
    ack = theirs.create_ack(theirs.local_cseq)
    assert call.gateway.recordings.take(AckReceived(ack, from_recorder()))
    assert len(call.gateway.sip.confirmed) == 2


async def test_a_re_invite_that_is_never_acknowledged_loses_the_session(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND))
    await call.answered()
    theirs = call.accept()
    _, invite = call.last("INVITE")
    call.ask(theirs, "INVITE", answer_to(invite))
    key, _ = call.gateway.sip.answers[-1]
    assert call.gateway.recordings.take(AckTimedOut(key))
    assert str(call.last("INVITE")[1].to.uri) == SECOND


async def test_a_response_that_does_not_arrive_has_the_recorder_asked(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept()
    call.ask(theirs, "OPTIONS")
    key, _ = call.gateway.sip.answers[-1]
    assert call.gateway.recordings.take(ServerTransportFailed(key))
    assert call.methods()[-1] == "OPTIONS"
    assert not call.gateway.recordings.take(ServerTransportFailed(ServerKey(4711)))


@pytest.mark.parametrize("event", [ClientTimedOut, ClientTransportFailed])
async def test_a_server_that_is_silent_or_out_of_reach_is_passed_over(
    tmp_path: Path, event: type[ClientTimedOut] | type[ClientTransportFailed]
) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND))
    await call.answered()
    key, _ = call.last("INVITE")
    call.gateway.tell(event(key))
    assert str(call.last("INVITE")[1].to.uri) == SECOND


async def test_a_cancel_of_what_is_answered_concerns_no_call(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept()
    call.ask(theirs, "OPTIONS")
    key, _ = call.gateway.sip.answers[-1]
    assert call.gateway.recordings.take(CancelReceived(key, request("CANCEL", body="")))
    assert not call.gateway.recordings.take(CancelReceived(ServerKey(4711), request("CANCEL", body="")))


async def test_only_the_latest_transactions_are_remembered(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept()
    for _ in range(KEYS_MAX + 5):
        call.ask(theirs, "OPTIONS")
    table = call.gateway.recordings
    ((session,),) = (each.values() for each in table._sessions.values())
    assert len(session.servers) == len(table._servers) == KEYS_MAX


@pytest.mark.parametrize("tag", ["siprec"])
async def test_what_recorders_may_require_calls_may_not(tmp_path: Path, tag: str) -> None:
    gateway = FakeGateway(tmp_path)
    invite = request()
    invite.headers.set("Require", tag)
    gateway.receive(invite)
    (_, response) = gateway.sip.answers[-1]
    assert (response.status, response.headers.get("Unsupported")) == (420, tag)
    assert gateway.sip.sent == []


async def test_metadata_from_a_trunk_is_no_body_of_a_call(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    invite = request(body="<recording/>")
    invite.headers.set("Content-Type", "application/rs-metadata+xml")
    gateway.receive(invite)
    assert gateway.statuses == [415]


async def test_calls_share_what_is_known_of_a_server(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    call.accept()
    table = call.gateway.recordings
    (recordings,) = table._calls.values()
    (runner,) = recordings.runners()
    (group,) = table._groups.values()
    assert table.group("acme", runner.identity.choice) is group
    assert [server.uri for server in group.servers] == [FIRST]


async def test_servers_and_recordings_are_gauged(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    readings = {metric.name: value for metric, value in call.gateway.recordings.read_metrics().items()}
    assert readings["sidestream_recordings_active"] == 1
    assert readings["sidestream_recorder_up"] == {("acme", "keep", FIRST): 1.0}


async def test_we_are_known_by_the_transport_of_the_server(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path, configuration(stream=recording("sip:192.0.2.41:5070;transport=udp")))
    gateway.answered_call()
    invite = next(sent for _, sent, _ in gateway.sip.sent if sent.headers.get("Require") == "siprec")
    assert invite.headers.get("Contact") == "<sip:gw@127.0.0.1:5060>;+sip.src"
    assert (invite.headers.get("From") or "").startswith("<sip:gw@127.0.0.1>")


async def test_a_recorder_that_asks_for_credentials_gets_those_of_its_server(tmp_path: Path) -> None:
    server = 'uri: "sip:192.0.2.41:5070;transport=udp", auth: {username: rec, password: secret}'
    text = f"{{name: keep, type: siprec, servers: [{{{server}}}]}}"
    gateway = FakeGateway(tmp_path, configuration(stream=text))
    gateway.answered_call()
    invites = [entry for entry in gateway.sip.sent if entry[1].headers.get("Require") == "siprec"]
    key, invite, _ = invites[0]
    response = response_to(invite, 401, to_tag="srs")
    response.headers.add("WWW-Authenticate", 'Digest realm="recorders", nonce="n", qop="auth"')
    gateway.tell(ResponseReceived(key, response, from_recorder()))
    _, again, _ = gateway.sip.sent[-1]
    credentials = parse_credentials(again.headers.get("Authorization") or "")
    assert credentials is not None
    assert (credentials.username, credentials.realm, credentials.uri) == ("rec", "recorders", again.uri)
    assert again.headers.get("Require") == "siprec"


async def test_a_request_that_waited_until_its_session_was_over_is_answered_481(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    await call.answered()
    theirs = call.accept()
    call.gateway.turns.add(lambda: None)
    assert call.ask(theirs, "OPTIONS") is None, "it was answered out of its turn"
    call.gateway.recordings._calls[call.call_id].give_up("the gateway stops")
    await call.settle()
    _, response = call.gateway.sip.answers[-1]
    assert (response.status, response.cseq.method) == (481, "OPTIONS")


async def test_a_call_that_ends_before_its_recording_had_its_turn_asks_no_recorder(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path)
    call.gateway.turns.add(lambda: None)
    dialog = call.gateway.answered_call()
    assert call.methods() == [], "the recorder was asked out of turn"
    assert call.gateway.fake.all_of("open_recording"), "what is heard meanwhile is not kept"
    await call.hang_up(dialog)
    call.close_media()
    await call.settle()
    assert call.methods() == []
    (record,) = call.gateway.records()
    assert [each["result"] for each in record["recordings"]] == ["not-recorded"]  # type: ignore[attr-defined]


async def test_a_timer_that_was_cleared_while_it_waited_does_nothing(tmp_path: Path) -> None:
    call = RecordedCall(tmp_path, recording(FIRST, SECOND))
    await call.answered()
    (runner,) = call.gateway.recordings._calls[call.call_id].runners()
    key = next(iter(runner._timers))
    call.gateway.turns.add(lambda: None)
    runner._on_timer(key, TimerFired(1, TimerName.SETUP))
    call.accept()
    runner._clear_timer(key)
    await asyncio.sleep(2 * GRACE_S)
    await call.settle()
    assert call.methods() == ["INVITE"], "another recorder was asked"
    assert runner.confirmed
