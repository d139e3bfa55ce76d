from pathlib import Path

import pytest

from sidestream.gateway.call_book import CallBook, CallsUnreadableError
from unit.gateway.fake_gateway import FakeGateway
from unit.gateway.samples import request

pytestmark = pytest.mark.asyncio


def book_of(gateway: FakeGateway) -> CallBook:
    return CallBook(gateway.calls, gateway.traces, gateway.store)


BOTH = frozenset({"active", "ended"})


async def test_a_call_is_found_while_it_lives_when_it_has_ended_and_when_it_is_stored(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    book = book_of(gateway)
    dialog = gateway.answered_call()
    (live,) = await book.page(BOTH, "", "", 10)
    call_id = live["call_id"]
    assert (live["state"], live["phase"], live["verdict"], live["caller"]["number"]) == (
        "active",
        "talking",
        None,
        "+14155550100",
    )
    record = await book.call(call_id)
    assert record is not None
    assert (record["state"], record["verdict"], record["source"]) == ("talking", None, "udp:192.0.2.1:5080")

    gateway.receive(dialog.create_request("BYE"), key=2)
    gateway.answer(200)
    gateway.media_closed()
    (ended,) = await book.page(BOTH, "", "", 10)
    assert (ended["call_id"], ended["state"], ended["verdict"]) == (call_id, "ended", "caller-hung-up")
    assert await book.page(frozenset({"active"}), "", "", 10) == []

    gateway.traces.close()
    assert (await book.call(call_id)) is not None
    assert (await book.trace(call_id)) is not None
    gateway.store.open()
    assert gateway.store.close()
    (stored,) = await book.page(BOTH, "", "+1415555", 10)
    assert stored == ended
    assert await book.page(BOTH, call_id, "", 10) == []
    record, trace = await book.call(call_id), await book.trace(call_id)
    assert record is not None
    assert record["verdict"]["slug"] == "caller-hung-up"
    assert trace is not None
    assert [event.name for event in trace.events][-1] == "call ended"


async def test_refused_calls_are_found_too(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    gateway.receive(request(), host="203.0.113.99")
    (found,) = await book_of(gateway).page(BOTH, "", "", 10)
    assert (found["verdict"], found["account"]) == ("unknown-trunk", "")


async def test_live_calls_are_searched_by_party_and_come_in_pages(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    book = book_of(gateway)
    for number in range(5):
        invite = request(called=f"+1555{number}")
        invite.headers.set("Call-ID", f"{number}@x")
        gateway.receive(invite, key=number)
    first = await book.page(BOTH, "", "", 2)
    second = await book.page(BOTH, first[-1]["call_id"], "", 10)
    ids = [call["call_id"] for call in first + second]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 5
    (found,) = await book.page(BOTH, "", "+15553", 10)
    assert found["callee"]["number"] == "+15553"


async def test_nothing_is_known_of_other_calls(tmp_path: Path) -> None:
    book = book_of(FakeGateway(tmp_path))
    assert (await book.call("x"), await book.trace("x")) == (None, None)


async def test_a_broken_store_is_told(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path)
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / "calls.db").write_text("this is no database" * 100)
    with pytest.raises(CallsUnreadableError):
        await book_of(gateway).call("x")
