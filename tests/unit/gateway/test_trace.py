import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sidestream.config.observing import Trace
from sidestream.gateway import trace as module
from sidestream.gateway.call_store import CallStore, EndedCall, StoreLimits
from sidestream.gateway.trace import UNKNOWN_MAX, Traces, call_id_of
from sidestream.observe.call_trace import TracedMessage
from sidestream.sip.hop import Source
from trace_script import SDP, sip

PEER = Source("udp", "192.0.2.1", 5080, 1, "127.0.0.1", 5060)
INVITE = sip("INVITE sip:x SIP/2.0", SDP)
SIP_ID = "call-1@192.0.2.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound
CALL = "019aa000-0000-7000-8000-000000000001"

pytestmark = pytest.mark.asyncio


def ended(call_id: str = CALL) -> EndedCall:
    return EndedCall(call_id=call_id, ended_us=1, parties="", record=b"{}", trace=None, size=100)


def traces(
    tmp_path: Path, options: Trace | None = None, export: Callable[[str, TracedMessage], None] | None = None
) -> tuple[Traces, CallStore]:
    store = CallStore(tmp_path, StoreLimits(3600, 16 * 1024 * 1024))
    return Traces("gw", "203.0.113.9", options or Trace(), store, export), store


async def test_messages_before_their_call_is_known_are_its_too(tmp_path: Path) -> None:
    kept, _ = traces(tmp_path)
    kept.tap(False, INVITE, PEER)
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    kept.tap(True, sip("SIP/2.0 100 Trying"), PEER)
    kept.note(CALL, "info", "call started", {"caller": "+1"})
    found = kept.trace(CALL)
    assert found is not None
    assert [(each.sent, each.leg, each.party) for each in found.messages] == [
        (False, "caller", "carrier"),
        (True, "caller", "carrier"),
    ]
    assert found.messages[0].data == INVITE
    assert [event.name for event in found.events] == ["call started"]


async def test_secrets_are_masked_before_anything_is_kept(tmp_path: Path) -> None:
    exported: list[TracedMessage] = []
    kept, _ = traces(tmp_path, export=lambda _, message: exported.append(message))
    for at in range(2):
        kept.tap(
            False,
            sip(
                "INVITE sip:x SIP/2.0",
                SDP + "a=crypto:1 X inline:c2VjcmV0\r\n",
                ("Authorization: Basic c2VjcmV0",),
            ),
            PEER,
        )
        assert b"c2VjcmV0" not in repr([each.messages for each in kept._unknown.values()]).encode()
        if not at:
            kept.claim(CALL, SIP_ID, "caller", "carrier")
    found = kept.trace(CALL)
    assert found is not None
    assert len(found.messages) == len(exported) == 2
    assert all(b"c2VjcmV0" not in each.data for each in (*found.messages, *exported))


async def test_a_wildcard_listener_is_shown_by_our_address(tmp_path: Path) -> None:
    kept, _ = traces(tmp_path)
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    kept.tap(False, INVITE, Source("udp", "192.0.2.1", 5080, 1, ANYWHERE, 5060))
    found = kept.trace(CALL)
    assert found is not None
    assert (found.messages[0].local_host, found.messages[0].local_port) == ("203.0.113.9", 5060)


async def test_the_middle_of_a_long_call_is_left_out(tmp_path: Path) -> None:
    kept, _ = traces(tmp_path, Trace(per_call=16 * 1024))
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    for number in range(1, 201):
        kept.tap(False, sip("OPTIONS sip:x SIP/2.0", cseq=f"{number} OPTIONS"), PEER)
        kept.note(CALL, "info", f"event {number}", {})
    found = kept.trace(CALL)
    assert found is not None
    assert b"CSeq: 1 OPTIONS" in found.messages[0].data
    assert b"CSeq: 200 OPTIONS" in found.messages[-1].data
    assert (found.events[0].name, found.events[-1].name) == ("event 1", "event 200")
    assert found.omitted == 400 - len(found.messages) - len(found.events)
    assert kept.kept_bytes <= 16 * 1024 * 5 // 4
    assert kept.counts.omitted == found.omitted


async def test_all_calls_together_stay_within_the_memory(tmp_path: Path) -> None:
    kept, _ = traces(tmp_path, Trace(memory=1024 * 1024, per_call=256 * 1024))
    for number in range(20):
        kept.claim(f"call {number}", f"{number}@x", "caller", "carrier")
        for _ in range(300):
            kept.tap(False, INVITE.replace(SIP_ID.encode(), b"%d@x" % number), PEER)
    assert kept.kept_bytes <= 1024 * 1024
    last = kept.trace("call 19")
    assert last is not None
    assert (last.messages, last.omitted) == ([], 300)


async def test_messages_of_no_call_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kept, _ = traces(tmp_path)
    for number in range(UNKNOWN_MAX + 50):
        kept.tap(False, INVITE.replace(SIP_ID.encode(), b"%d@x" % number), PEER)
    assert len(kept._unknown) == UNKNOWN_MAX
    now = 106.0
    kept.tap(False, INVITE, PEER)
    assert list(kept._unknown) == [SIP_ID]
    for _ in range(module.UNKNOWN_BYTES // 200_000 + 1):
        kept.tap(False, INVITE + b"x" * 200_000, PEER)
    assert (kept.kept_bytes, len(kept._unknown)) == (0, 0)


async def test_an_ended_call_lingers_for_its_last_messages_then_goes_to_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.01)
    kept, store = traces(tmp_path)
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    kept.tap(False, INVITE, PEER)
    kept.finished(ended())
    kept.tap(True, sip("SIP/2.0 200 OK", cseq="2 BYE"), PEER)
    assert list(kept.recent()) == [CALL]
    stored = asyncio.Event()
    put = store.put

    def noted(call: EndedCall) -> None:
        put(call)
        stored.set()

    monkeypatch.setattr(store, "put", noted)
    await asyncio.wait_for(stored.wait(), 5)
    waiting = store.waiting_call(CALL)
    assert waiting is not None
    assert waiting.trace is not None
    assert len(waiting.trace.messages) == 2
    assert kept.trace(CALL) is None
    assert kept.kept_bytes == store.waiting_bytes == waiting.size
    assert kept._dialogs == {}


async def test_at_the_end_of_the_gateway_all_goes_to_the_store(tmp_path: Path) -> None:
    kept, store = traces(tmp_path)
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    kept.finished(ended())
    kept.finished(ended("of nobody"))
    kept.close()
    assert store.waiting == 2


async def test_switched_off_nothing_is_kept_but_the_record(tmp_path: Path) -> None:
    kept, store = traces(tmp_path, Trace(enabled=False))
    assert not kept.listens
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    kept.note(CALL, "info", "call started", {})
    assert kept.trace(CALL) is None
    kept.finished(ended())
    kept.close()
    waiting = store.waiting_call(CALL)
    assert waiting is not None
    assert waiting.trace is None


async def test_switched_off_the_exporter_still_gets_all(tmp_path: Path) -> None:
    exported: list[str] = []
    kept, _ = traces(tmp_path, Trace(enabled=False), lambda call_id, _: exported.append(call_id))
    assert kept.listens
    kept.tap(False, INVITE, PEER)
    kept.claim(CALL, SIP_ID, "caller", "carrier")
    kept.tap(False, INVITE, PEER)
    assert exported == [CALL, CALL]
    assert kept.kept_bytes == 0


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"Call-ID: a@b", "a@b"),
        (b"CALL-ID:a@b ", "a@b"),
        (b"i : a@b", "a@b"),
        (b"Call-ID: \xff@b", "\xff@b"),
        (b"Call-ID: " + b"x" * 300, "x" * 256),
        (b"Call: x", None),
    ],
)
async def test_the_call_id_is_found_in_any_spelling(header: bytes, found: str | None) -> None:
    assert call_id_of(b"INVITE sip:x SIP/2.0\r\n" + header + b"\r\nCSeq: 1 INVITE\r\n\r\n") == found
