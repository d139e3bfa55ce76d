"""What `sidestream record` can be told to do to its clients, to see how they take it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from e2e.recorder_bench import codes, one_result, port_of, recording, session
from sidestream.tools.recorder_options import Behaviour
from sidestream.tools.stream_receiver import Status
from siprec_client import (
    Ids,
    describe,
    dialling,
    held,
    snapshot,
    speech,
    stopped,
    talk,
    voices,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]


async def test_it_can_begin_inactive_and_ask_for_the_media_later(tmp_path: Path) -> None:
    async with recording(tmp_path, behaviour=Behaviour(inactive_for_s=0.1)) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                both, ids = (sources[0].port, sources[1].port), Ids()
                answer = await client.ask(client.invite(ids, both))
                assert answer.sdp.count("a=inactive") == 2
                request = await client.expect("INVITE")
                assert request.sdp.count("a=recvonly") == 2
                assert request.get("Require") == "siprec"
                assert request.get("Contact").endswith("+sip.srs")
                client.answer(request, sdp=describe(both, version=1))
                await client.expect("ACK")
                await talk(sources, request.ports, [speech(0, 5), speech(1, 5)])
                await client.update(stopped(ids))
                await client.bye()
                result = await one_result(recorder)
    assert result.status is Status.OK, result.reasons
    assert [stream.samples for stream in result.streams] == [800, 800]


async def test_a_client_that_answers_wrongly_is_told(tmp_path: Path) -> None:
    async with recording(tmp_path, behaviour=Behaviour(inactive_for_s=0.05)) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                both = (sources[0].port, sources[1].port)
                await client.ask(client.invite(Ids(), both))
                request = await client.expect("INVITE")
                client.answer(request, sdp=describe(both, version=2, direction="sendrecv"), contact=False)
                await client.expect("ACK")
                await client.bye()
                result = await one_result(recorder)
    assert codes(result) == {"contact", "direction"}


async def test_a_crossing_reinvite_is_refused_with_491(tmp_path: Path) -> None:
    async with recording(tmp_path, behaviour=Behaviour(inactive_for_s=0.05)) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                both, ids = (sources[0].port, sources[1].port), Ids()
                await client.ask(client.invite(ids, both))
                request = await client.expect("INVITE")
                crossing = await client.reoffer(
                    describe(both, version=2, direction="inactive"), snapshot(ids)
                )
                assert crossing.status == 491
                client.answer(request, "491 Request Pending")
                request = await client.expect("INVITE")
                client.answer(request, sdp=describe(both))
                await client.expect("ACK")
                await client.bye()
                assert not codes(await one_result(recorder))


async def test_a_stream_can_be_refused(tmp_path: Path) -> None:
    behaviour = Behaviour(refuse_streams=(2,), no_labels=True)
    async with recording(tmp_path, behaviour=behaviour) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            assert ports[0] > 0
            assert ports[1] == 0
            await talk(sources[:1], ports[:1], [speech(0, 5)])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    assert (result.status, result.why) == (Status.INCOMPLETE, "stream 2 was refused")


async def test_all_streams_refused_is_488(tmp_path: Path) -> None:
    with voices() as sources:
        async with (
            recording(tmp_path, behaviour=Behaviour(refuse_streams=(1, 2))) as recorder,
            dialling(port_of(recorder)) as client,
        ):
            answer = await client.ask(client.invite(Ids(), (sources[0].port, sources[1].port)))
            result = await one_result(recorder)
    assert answer.status == 488
    assert result.invite_status == 488


async def test_answers_can_be_multipart_and_without_labels(tmp_path: Path) -> None:
    behaviour = Behaviour(multipart_answer=True, no_labels=True)
    async with recording(tmp_path, behaviour=behaviour) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                answer = await client.ask(client.invite(Ids(), (sources[0].port, sources[1].port)))
    assert answer.get("Content-Type").startswith("multipart/mixed;boundary=")
    assert b"application/rs-metadata+xml" in answer.body
    assert "a=label" not in answer.sdp
    assert len(answer.ports) == 2


@pytest.mark.parametrize("answered", [True, False])
async def test_it_can_ask_for_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    monkeypatch.setattr("sidestream.tools.recorder_behaviour.SNAPSHOT_WAIT_S", 0.3)
    async with recording(tmp_path, behaviour=Behaviour(snapshot_after_s=0.05)) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            request = await client.expect("UPDATE")
            assert b"<requestsnapshot" in request.body
            assert request.get("Content-Disposition") == "recording-session"
            if answered:
                assert (await client.update(snapshot(ids, labels=False))).status == 200
            await talk(sources, ports, [speech(0, 25), speech(1, 25)])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    assert codes(result) == (set() if answered else {"snapshot-missing"})


async def test_it_can_end_the_session(tmp_path: Path) -> None:
    async with (
        recording(tmp_path, behaviour=Behaviour(bye_after_s=0.15)) as recorder,
        session(recorder) as (client, sources, ports, _),
    ):
        await talk(sources, ports, [speech(0, 5), speech(1, 5)])
        await client.expect("BYE")
        result = await one_result(recorder)
    assert result.ending == "the recorder said BYE, as told"
    assert result.status is Status.OK, result.reasons


async def test_it_can_let_an_invite_wait_and_takes_a_cancel(tmp_path: Path) -> None:
    async with recording(tmp_path, behaviour=Behaviour(answer_delay_s=3)) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                draft = client.invite(Ids(), (sources[0].port, sources[1].port))
                client.transmit(draft.wire())
                waiting = await asyncio.wait_for(client.responses.get(), 2)
                assert waiting.status == 100
                head = draft.head[: draft.head.index("Date:")].replace("INVITE", "CANCEL")
                client.transmit(f"{head}Content-Length: 0\r\n\r\n".encode())
                answer = await client.final("INVITE")
                client.acknowledge(answer, draft)
                result = await one_result(recorder)
    assert answer.status == 487
    assert result.ending == "the client gave up before the answer"


async def test_it_can_reject_and_refuse_updates(tmp_path: Path) -> None:
    async with (
        recording(tmp_path / "a", behaviour=Behaviour(refuse_update=True)) as recorder,
        session(recorder) as (client, _, _, ids),
    ):
        assert (await client.update(held(ids))).status == 488
        await client.bye()
    async with recording(tmp_path / "b", behaviour=Behaviour(reject=503)) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                answer = await client.ask(client.invite(Ids(), (sources[0].port, sources[1].port)))
                result = await one_result(recorder)
    assert answer.status == 503
    assert (result.status, result.why) == (Status.INCOMPLETE, "the session was refused with 503")
