"""The SIP orders of a recording: in order for each session, and never waited for by another one."""

import asyncio

import pytest

from sidestream.gateway import recording_sip
from sidestream.gateway.recording_sip import RecordingSip
from sidestream.observe.logging import logger
from sidestream.sip.builder import response_to
from sidestream.sip.events import ClientKey, ServerKey
from sidestream.sip.hop import Hop
from sidestream.siprec.commands import Cancel, ConfirmAnswer, Respond, SendAck, SendRequest
from sidestream.siprec.events import RequestTransportFailed, SessionEvent
from unit.gateway.fake_gateway import FakeSip
from unit.gateway.samples import request

pytestmark = pytest.mark.asyncio

NUMERIC, NAMED = "sip:192.0.2.41:5070", "sip:srs.example"


class Wire:
    """What one recording sends, on a fake stack."""

    def __init__(self) -> None:
        self.stack = FakeSip()
        self.told: list[SessionEvent] = []
        self.noted: list[tuple[int, int]] = []
        self.sip = RecordingSip(self.stack, self._note, self.told.append, lambda step: step(), logger())

    def _note(self, _key: ClientKey, session: int, request_id: int) -> None:
        self.noted.append((session, request_id))

    def send(self, session: int, number: int, uri: str, heard: Hop | None = None) -> None:
        self.sip.execute(SendRequest(session, request(), uri, number, heard))

    async def resolve(self) -> None:
        self.stack.answered.set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_messages_of_a_session_wait_for_its_look_up_in_order() -> None:
    wire = Wire()
    wire.send(1, 1, NAMED)
    wire.sip.execute(SendAck(1, request("ACK"), NUMERIC))
    wire.send(2, 1, NUMERIC)
    assert (wire.noted, wire.stack.acks) == ([(2, 1)], [])
    await asyncio.sleep(0)
    await wire.resolve()
    assert wire.noted == [(2, 1), (1, 1)]
    assert len(wire.stack.acks) == 1


async def test_the_way_that_a_recorder_was_heard_on_is_preferred() -> None:
    wire = Wire()
    heard = Hop("tcp", "192.0.2.33", 40000, 9)
    wire.stack.hops = (Hop("tcp", "192.0.2.33", 5070),)
    wire.send(1, 1, NAMED, heard)
    await asyncio.sleep(0)
    await wire.resolve()
    assert wire.stack.sent[0][2][0] == heard


async def test_what_leads_nowhere_is_told() -> None:
    wire = Wire()
    wire.stack.hops = ()
    wire.send(1, 1, NAMED)
    await asyncio.sleep(0)
    await wire.resolve()
    assert wire.told == [RequestTransportFailed(1, 1, f"{NAMED} leads nowhere")]
    wire.sip.execute(SendAck(1, request("ACK"), NAMED))
    await wire.resolve()
    assert wire.stack.acks == []


async def test_an_invite_is_cancelled_or_taken_back() -> None:
    wire = Wire()
    wire.send(1, 1, NUMERIC)
    wire.sip.execute(Cancel(1, 1))
    assert wire.stack.cancelled == [wire.stack.sent[0][0]]
    wire.send(2, 7, NAMED)
    wire.sip.execute(Cancel(2, 7))
    assert wire.told == [RequestTransportFailed(2, 7, "given up before it was sent")]
    await asyncio.sleep(0)
    await wire.resolve()
    assert len(wire.stack.sent) == 1


async def test_answers_never_wait() -> None:
    wire = Wire()
    wire.send(1, 1, NAMED)
    wire.sip.execute(Respond(1, ServerKey(5), response_to(request("OPTIONS"), 200)))
    wire.sip.execute(ConfirmAnswer(1, ServerKey(6)))
    assert [key for key, _ in wire.stack.answers] == [ServerKey(5)]
    assert wire.stack.confirmed == [ServerKey(6)]
    wire.sip.close()


async def test_too_many_messages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_sip, "QUEUE_MAX", 2)
    wire = Wire()
    for number in range(4):
        wire.send(1, number, NAMED)
    await asyncio.sleep(0)
    await wire.resolve()
    assert wire.noted == [(1, 0), (1, 1)]


async def test_a_session_that_is_over_sends_nothing_any_more() -> None:
    wire = Wire()
    wire.send(1, 1, NAMED)
    await asyncio.sleep(0)
    wire.sip.close()
    await wire.resolve()
    assert (wire.noted, wire.told) == ([], [])
