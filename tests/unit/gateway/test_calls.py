import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sidestream._media import MediaError
from sidestream.call.events import HangUpBy
from sidestream.gateway import calls as module
from sidestream.gateway.drain import drain
from sidestream.observe.logging import logger
from sidestream.sip.builder import response_to
from sidestream.sip.events import (
    CancelReceived,
    ClientTimedOut,
    ClientTransportFailed,
    ResponseReceived,
    ServerKey,
)
from unit.gateway.fake_gateway import PEER, FakeGateway
from unit.gateway.samples import configuration, request


@pytest.mark.asyncio
async def test_a_call_from_invite_to_record(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    dialog = gateway.answered_call()
    assert gateway.fake.verbs == ["open_call", "set_leg", "set_leg", "bridge", "query_call"]
    assert (gateway.calls.active, gateway.admission.calls) == (1, 1)
    assert len(gateway.sip.acks) == 1

    gateway.receive(dialog.create_request("BYE"), key=2)
    assert gateway.sip.sent[-1][1].method == "BYE"
    gateway.answer(200)
    assert (gateway.calls.active, gateway.admission.calls) == (1, 0)
    gateway.media_closed()
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    verdict = record["verdict"]
    assert isinstance(verdict, dict)
    assert (verdict["slug"], record["account"], record["source"]) == (
        "caller-hung-up",
        "acme",
        "udp:192.0.2.1:5080",
    )
    exposed = gateway.metrics.expose().decode()
    assert 'sidestream_calls_total{result="completed",verdict="caller-hung-up"} 1.0' in exposed
    assert 'sidestream_sip_responses_total{class="2xx",method="INVITE"} 1.0' in exposed


@pytest.mark.asyncio
async def test_nothing_of_an_ended_call_is_kept(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    dialog = gateway.answered_call()
    bye = dialog.create_request("BYE")
    gateway.receive(bye, key=2)
    gateway.answer(200)
    gateway.media_closed()
    calls = gateway.calls
    assert [len(table) for table in (calls._entries, calls._dialogs, calls._clients, calls._servers)] == [
        0
    ] * 4
    gateway.receive(bye, key=3)
    assert gateway.statuses[-1] == 481


@pytest.mark.asyncio
async def test_an_ended_call_leaves_nothing_for_the_collector(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    dialog = gateway.answered_call()
    runner = weakref.ref(next(iter(gateway.calls._entries)))
    gc.disable()
    try:
        gateway.receive(dialog.create_request("BYE"), key=2)
        gateway.answer(200)
        gateway.media_closed()
        await asyncio.sleep(0)
        assert runner() is None
    finally:
        gc.enable()


Refusal = tuple[Callable[[FakeGateway], None], int, str, str | None]


def draining(gateway: FakeGateway) -> None:
    gateway.admission.draining = True


def no_ports(gateway: FakeGateway) -> None:
    error = MediaError("no ports")
    error.kind = "ports_exhausted"
    gateway.fake.refuse["open_call"] = error


def full(gateway: FakeGateway) -> None:
    gateway.admission.calls = 100


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arrange", "status", "slug", "retry_after"),
    [
        (draining, 503, "draining", "60"),
        (no_ports, 503, "no-media-ports", "5"),
        (full, 503, "call-limit", "5"),
    ],
)
async def test_a_refused_call_is_answered_and_has_its_record(
    tmp_path: Path, arrange: Callable[[FakeGateway], None], status: int, slug: str, retry_after: str
) -> None:
    gateway = FakeGateway(tmp_path)
    arrange(gateway)
    before = gateway.admission.calls
    gateway.receive(request())
    ((_, response),) = gateway.sip.answers
    assert (response.status, response.headers.get("Retry-After")) == (status, retry_after)
    assert gateway.admission.calls == before
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == slug
    assert record["account"] == "acme"


@pytest.mark.asyncio
async def test_strangers_are_all_refused_and_counted_but_not_all_recorded(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    for key in range(50):
        gateway.receive(request(), key=key, host="198.51.100.7")
    assert gateway.statuses == [403] * 50
    assert 'verdict="unknown-trunk"} 50.0' in gateway.metrics.expose().decode()
    assert len(gateway.records()) == module.STRANGER_RECORDS_PER_S


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "to_tag", "status"),
    [
        ("OPTIONS", "", 200),
        ("BYE", "", 481),
        ("UPDATE", "", 481),
        ("INFO", "", 481),
        ("MESSAGE", "", 405),
        ("BYE", "unknown", 481),
        ("INVITE", "unknown", 481),
        ("OPTIONS", "unknown", 481),
    ],
)
async def test_requests_outside_of_calls(tmp_path: Path, method: str, to_tag: str, status: int) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.receive(request(method, to_tag=to_tag, body=""))
    ((_, response),) = gateway.sip.answers
    assert response.status == status
    if status in {200, 405}:
        assert "INVITE" in (response.headers.get("Allow") or "")
    assert gateway.fake.orders == []


@pytest.mark.asyncio
async def test_options_tell_that_the_gateway_drains(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    draining(gateway)
    gateway.receive(request("OPTIONS", body=""))
    assert gateway.statuses == [503]


@pytest.mark.asyncio
async def test_a_cancel_finds_its_call(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.receive(request())
    gateway.calls.on_event(CancelReceived(ServerKey(1), request("CANCEL", body="")))
    assert gateway.sip.cancelled == [gateway.sip.sent[0][0]]
    assert gateway.statuses == [487]
    gateway.answer(487)
    gateway.media_closed()
    assert gateway.calls.active == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [ClientTimedOut, ClientTransportFailed])
async def test_a_silent_or_unreachable_peer_ends_the_call(
    tmp_path: Path, failure: type[ClientTimedOut] | type[ClientTransportFailed]
) -> None:
    whole = configuration(stream="")
    (account,) = whole.accounts
    carrier, desk = account.voice_services
    assert desk.trunk is not None
    single = replace(desk, trunk=replace(desk.trunk, peers=desk.trunk.peers[1:]))
    account = replace(account, voice_services=(carrier, single))
    gateway = FakeGateway(tmp_path, replace(whole, accounts=(account,)))
    gateway.receive(request())
    gateway.calls.on_event(failure(gateway.sip.sent[0][0]))
    assert gateway.statuses == [408 if failure is ClientTimedOut else 503]
    gateway.media_closed()
    assert gateway.calls.active == 0


@pytest.mark.asyncio
async def test_shutting_down_hangs_up_and_abandoning_leaves_nothing(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.answered_call()
    gateway.calls.hang_up_all(HangUpBy.SHUTDOWN, "test")
    assert [sent.method for _, sent, _ in gateway.sip.sent[1:]] == ["BYE", "BYE"]
    assert gateway.calls.active == 1
    gateway.calls.abandon_all()
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == "shutdown"


@pytest.mark.asyncio
async def test_a_drain_ends_at_once_without_calls(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    assert await drain(gateway.calls, gateway.admission, 30.0, logger())
    assert gateway.admission.draining


@pytest.mark.asyncio
async def test_a_drain_hangs_up_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidestream.gateway.drain.FAREWELL_S", 0.0)
    gateway = FakeGateway(tmp_path)
    gateway.answered_call()
    assert not await drain(gateway.calls, gateway.admission, 0.0, logger())
    assert [sent.method for _, sent, _ in gateway.sip.sent[1:]] == ["BYE", "BYE"]


@pytest.mark.asyncio
async def test_the_media_engine_ends_a_call_that_it_lost(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.answered_call()
    gateway.fake.tell(event="call_failed", call=1, detail="a panic")
    gateway.fake.tell(event="call_closed", call=1, sides=[])
    error = MediaError("gone")
    gateway.fake.refuse["close_call"] = error
    gateway.media.take_events()
    for key, sent, _ in gateway.sip.sent[1:]:
        gateway.calls.on_event(ResponseReceived(key, response_to(sent, 200), PEER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == "media-failed"


@pytest.mark.asyncio
async def test_an_error_of_ours_ends_this_call_only(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    dialog = gateway.answered_call()

    gateway.sip.failure = RuntimeError("a bug")
    gateway.receive(dialog.create_request("BYE"), key=9)
    gateway.media_closed()
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] in {"internal-error", "caller-hung-up"}
    assert "sidestream_call_faults_total 1.0" in gateway.metrics.expose().decode()
