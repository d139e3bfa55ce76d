import asyncio
from pathlib import Path

import pytest

from sidestream.gateway import call_runner
from sidestream.sip.events import CancelReceived, ServerKey
from unit.gateway.fake_gateway import FakeGateway
from unit.gateway.samples import OFFER, configuration, request


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def slug(gateway: FakeGateway) -> str:
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    return str(record["verdict"]["slug"])


def second_peer(gateway: FakeGateway) -> None:
    """Have the first peer, which is numeric, refuse: the second one has a name."""
    gateway.receive(request())
    gateway.answer(503)


@pytest.mark.asyncio
async def test_orders_wait_for_a_look_up_and_keep_their_order(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    second_peer(gateway)
    await settle()
    assert (len(gateway.sip.sent), gateway.sip.looked_up) == (1, ["sip:desk.example:5090"])
    gateway.calls.on_event(CancelReceived(ServerKey(1), request("CANCEL", body="")))
    assert gateway.statuses == []
    gateway.sip.answered.set()
    await settle()
    key, _, hops = gateway.sip.sent[1]
    assert [hop.host for hop in hops] == ["203.0.113.5"]
    assert gateway.sip.cancelled == [key]
    assert gateway.statuses == [487]


@pytest.mark.asyncio
async def test_a_name_that_leads_nowhere_is_a_peer_out_of_reach(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.sip.hops = ()
    gateway.sip.answered.set()
    second_peer(gateway)
    await settle()
    assert gateway.statuses == [503]
    gateway.media_closed()
    assert slug(gateway) in {"peer-failed", "peer-unreachable"}


@pytest.mark.asyncio
async def test_a_look_up_is_cut_short_when_too_many_orders_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_runner, "QUEUE_MAX", 0)
    gateway = FakeGateway(tmp_path)
    second_peer(gateway)
    await settle()
    gateway.calls.on_event(CancelReceived(ServerKey(1), request("CANCEL", body="")))
    await settle()
    assert gateway.statuses == [487]
    gateway.media_closed()
    assert gateway.calls.active == 0


@pytest.mark.asyncio
async def test_a_media_address_that_is_a_name_is_looked_up_in_our_family(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    named = OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 media.example")
    gateway.receive(request(body=named))
    gateway.answer(200, OFFER)
    await settle()
    legs = {leg["side"]: leg["remote"]["host"] for leg in gateway.fake.all_of("set_leg")}
    assert legs == {"a": "203.0.113.9", "b": "192.0.2.1"}
    assert 200 in gateway.statuses


@pytest.mark.asyncio
async def test_a_media_address_that_does_not_resolve_ends_the_call(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.receive(request(body=OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 nowhere.example")))
    gateway.answer(200, OFFER)
    await settle()
    gateway.calls.abandon_all()
    assert slug(gateway) == "media-failed"


@pytest.mark.asyncio
async def test_timers_of_the_call_are_armed_and_gone_with_its_end(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path, configuration(stream=""))
    dialog = gateway.answered_call()
    (runner,) = gateway.calls._entries
    assert [name.value for name in runner._timers] == ["max-duration"]
    gateway.receive(dialog.create_request("BYE"), key=2)
    gateway.answer(200)
    assert runner._timers == {}
    gateway.media_closed()
    assert runner._watchdog is not None
    assert runner._watchdog.cancelled()


@pytest.mark.asyncio
async def test_a_call_whose_end_the_engine_never_tells_is_let_go(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    dialog = gateway.answered_call()
    gateway.receive(dialog.create_request("BYE"), key=2)
    gateway.answer(200)
    (runner,) = gateway.calls._entries
    runner._overdue()
    assert gateway.calls.active == 0
    assert slug(gateway) == "caller-hung-up"
