"""What an endpoint says and does, right or wrong, is its stream's affair and never the call's."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest

from e2e.endpoint import Endpoint, Heard, endpoint
from e2e.test_gateway import FRAME, Talk, heard, site_with, talk, the_record
from interop.harness import Gateway
from sidestream.tools.phone_call import PhoneCall

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

MALFORMED = (
    "this is no JSON",
    "[]",
    "{}",
    '{"event":"unheard-of"}',
    '{"event":7}',
    '{"event":"stop","stop":{"reason":7}}',
    '{"event":"ack"}',
    '{"event":"ack","ack":{"sequenceNumber":1000000}}',
    '{"event":"media","media":{"channel":0,"payload":"AAAA"}}',
    '{"event":"dtmf","dtmf":{"channel":0,"digits":"1"}}',
)
"""No message of the protocol, or one for duplex streams only."""


@dataclass
class Scene:
    """A gateway, an endpoint and a call between two phones."""

    site: Gateway
    listener: Endpoint
    call: Talk

    @property
    def stream(self) -> Heard:
        return self.listener.heard

    async def hang_up(self) -> dict[str, Any]:
        """End the call, which must still be up, and return its record."""
        assert not self.call.callee.over.is_set(), "the call had ended before"
        await self.call.caller.hang_up()
        assert await self.call.callee.ended(5)
        return await the_record(self.site)


@contextlib.asynccontextmanager
async def scene(directory: Path, **settings: str) -> AsyncIterator[Scene]:
    """Run a call whose stream is up."""
    settings.setdefault("encoding", "PCMU")
    async with endpoint(directory) as listener:
        with site_with(directory, listener.integrations(**settings)) as site:
            async with talk(site) as call:
                await asyncio.wait_for(listener.heard.begun.wait(), 5)
                yield Scene(site, listener, call)


async def still_talks(call: Talk, frames: int = 10) -> None:
    """Assert that both parties hear each other bit for bit."""
    before = len(heard(call.caller)), len(heard(call.callee))
    said = await call.say(frames)
    assert (heard(call.callee)[before[1] :], heard(call.caller)[before[0] :]) == said


async def test_close_1000_ends_the_stream_and_not_the_call(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await still_talks(at.call)
        await at.stream.connections[0].close(1000)
        await still_talks(at.call, 50)
        assert len(at.stream.connections) == 1, "an endpoint that closed with 1000 was connected again"
        record = await at.hang_up()
    (stream,) = record["streams"]
    assert (stream["verdict"], stream["result"]) == ("stopped-by-endpoint", "stopped")
    assert record["verdict"]["slug"] == "caller-hung-up"


@pytest.mark.parametrize("code", [1001, 1011, 4000])
async def test_any_other_close_is_a_lost_connection_and_nothing_is_lost(tmp_path: Path, code: int) -> None:
    async with scene(tmp_path) as at:
        said = asyncio.create_task(at.call.say(60))
        await asyncio.sleep(0.5)
        await at.stream.connections[0].close(code)
        both = await said
        record = await at.hang_up()
        await asyncio.wait_for(at.stream.over.wait(), 5)
    assert [each["resumed"] for each in at.stream.of("connect")] == [False, True]
    for channel in (0, 1):
        at.stream.accounts_for(channel, both[channel])
        assert at.stream.totals(channel)["droppedSamples"] == 0
    assert (record["streams"][0]["verdict"], record["streams"][0]["connections"]) == ("completed", 2)


async def test_stop_ends_the_stream_with_its_reason_and_not_the_call(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await still_talks(at.call)
        await at.stream.say({"event": "stop", "stop": {"reason": "enough heard"}})
        await asyncio.wait_for(at.stream.over.wait(), 5)
        await asyncio.wait_for(at.stream.ended.wait(), 5)
        await still_talks(at.call)
        record = await at.hang_up()
    (close,) = at.stream.of("close")
    assert (close["reason"], close["detail"]) == ("stopped-by-endpoint", "enough heard")
    assert at.stream.connections[0].close_code == 1000
    assert record["streams"][0]["verdict"] == "stopped-by-endpoint"
    assert record["verdict"]["slug"] == "caller-hung-up"


async def test_pause_leaves_a_gap_in_the_media_that_the_clock_runs_through(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        await at.call.say(20)
        await at.stream.say({"event": "pause"})
        await at.stream.wait_told("stream.paused")
        await asyncio.sleep(0.1)
        before = len(at.stream.of("media"))
        unheard = await at.call.say(50)
        assert len(at.stream.of("media")) == before, "media came while the stream was paused"
        await at.stream.say({"event": "resume"})
        await at.stream.wait_told("stream.resumed")
        again = await at.call.say(20)
        assert heard(at.call.callee)[-70:] == unheard[0] + again[0]
        record = await at.hang_up()
        await asyncio.wait_for(at.stream.over.wait(), 5)
    assert [each["data"] for each in at.stream.told("stream.paused")] == [{"by": "endpoint"}]
    assert [each["data"] for each in at.stream.told("stream.resumed")] == [{"by": "endpoint"}]
    for channel in (0, 1):
        at.stream.accounts_for(channel, again[channel])
        media = at.stream.media(channel)
        assert not set(unheard[channel]) & set(media.values())
        missing = set(range(0, max(media) + FRAME, FRAME)) - set(media)
        told = [
            at
            for gap in at.stream.gaps("paused", channel)
            for at in range(gap["fromTimestamp"], gap["fromTimestamp"] + gap["samples"], FRAME)
        ]
        assert sorted(told) == sorted(missing), "each missing frame is named, once"
        assert len(missing) >= 50
    assert record["streams"][0]["verdict"] == "completed"


async def test_what_is_malformed_is_answered_and_ignored(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        for text in MALFORMED:
            await at.stream.say(text)
        await at.stream.wait_told("stream.error", count=len(MALFORMED))
        await still_talks(at.call)
        record = await at.hang_up()
        await asyncio.wait_for(at.stream.over.wait(), 5)
    errors = at.stream.told("stream.error")
    assert len(errors) == len(MALFORMED), "each is answered once"
    assert all(error["data"]["message"] for error in errors)
    assert (record["streams"][0]["malformed"], record["streams"][0]["verdict"]) == (
        len(MALFORMED),
        "completed",
    )


async def test_a_hundred_malformed_messages_end_the_stream_and_not_the_call(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        for _ in range(99):
            await at.stream.say("{")
        await at.stream.wait_told("stream.error", count=99)
        assert not at.stream.over.is_set(), "99 are borne"
        await at.stream.say("{")
        await asyncio.wait_for(at.stream.over.wait(), 5)
        await still_talks(at.call)
        record = await at.hang_up()
    assert at.stream.of("close")[0]["reason"] == "error"
    assert record["streams"][0]["verdict"] == "too-many-errors"
    assert record["streams"][0]["malformed"] == 100
    assert record["verdict"]["slug"] == "caller-hung-up"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x00\x01", 1003), ("x" * 70_000, 1009)],
    ids=["binary", "too long"],
)
async def test_what_no_websocket_message_may_be_costs_the_connection_only(
    tmp_path: Path, data: bytes | str, code: int
) -> None:
    async with scene(tmp_path) as at:
        said = asyncio.create_task(at.call.say(60))
        await asyncio.sleep(0.3)
        await at.stream.connections[0].send(data)
        both = await said
        await at.hang_up()
        await asyncio.wait_for(at.stream.over.wait(), 5)
    assert at.stream.connections[0].close_code == code
    assert [each["resumed"] for each in at.stream.of("connect")] == [False, True]
    for channel in (0, 1):
        at.stream.accounts_for(channel, both[channel])


def delays_ms(sender: PhoneCall, receiver: PhoneCall, said: list[bytes]) -> list[float]:
    """Return how long each frame was on its way from one phone to the other."""
    left = {frame.payload: frame.at for frame in sender.media.sent}
    came = {frame.payload: frame.at for frame in receiver.media.recorder.frames()}
    return [(came[payload] - left[payload]) * 1000 for payload in said]


def resident_bytes(site: Gateway) -> float:
    return site.metrics()["process_resident_memory_bytes"]


async def test_an_endpoint_that_reads_nothing_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """It reads all at the end, and finds every sample that it did not get accounted for."""
    async with endpoint(tmp_path, reading=False) as listener:
        settings = listener.integrations(encoding="L16", sample_rate="48000", queue="1s", replay="0s")
        with site_with(tmp_path, settings) as site:
            async with talk(site) as call:
                said = await call.say(350)
                memory = resident_bytes(site)
                again = await call.say(150)
                grown = resident_bytes(site) - memory
                at_once = delays_ms(call.caller, call.callee, said[0][:25])
                stalled = delays_ms(call.caller, call.callee, again[0])
                listener.reads.set()
                await call.caller.hang_up()
                assert await call.callee.ended(5)
                record = await the_record(site)
                assert heard(call.callee) == said[0] + again[0]
                assert heard(call.caller) == said[1] + again[1]
        stream = listener.heard
        await asyncio.wait_for(stream.over.wait(), 5)
    assert grown < 2_000_000, f"{grown / 1e6:.1f} MB more in 3 s of a stalled stream"
    assert median(stalled) < median(at_once) + 5, (median(at_once), median(stalled))
    assert quantiles(stalled, n=10)[-1] < 20, "the relay waits for the endpoint"
    samples = 48 * 20
    for channel in (0, 1):
        media = stream.media(channel)
        missing = set(range(0, max(media) + samples, samples)) - set(media)
        told = [
            at
            for gap in stream.gaps("overflow", channel)
            for at in range(gap["fromTimestamp"], gap["fromTimestamp"] + gap["samples"], samples)
        ]
        assert len(missing) > 50
        assert sorted(told) == sorted(missing), "each missing frame is named, once"
        totals = stream.totals(channel)
        assert totals["droppedSamples"] == len(missing) * samples
        assert (totals["chunks"], totals["samples"]) == (len(media), len(media) * samples)
    assert stream.told("stream.lag"), "the endpoint was not told that it lags"
    assert record["streams"][0]["verdict"] == "completed"


async def test_an_endpoint_that_never_reads_is_a_verdict_of_its_own(tmp_path: Path) -> None:
    async with endpoint(tmp_path, reading=False) as listener:
        settings = listener.integrations(encoding="L16", sample_rate="48000", queue="1s", replay="0s")
        with site_with(tmp_path, settings) as site:
            async with talk(site) as call:
                said = await call.say(250)
                await call.caller.hang_up()
                assert await call.callee.ended(5)
                assert (heard(call.callee), heard(call.caller)) == said
                record = await the_record(site)
    assert record["verdict"]["slug"] == "caller-hung-up"
    assert (record["streams"][0]["verdict"], record["streams"][0]["result"]) == ("endpoint-stalled", "failed")


async def test_the_second_endpoint_of_a_list_takes_over(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    async with endpoint(tmp_path / "first") as first, endpoint(tmp_path / "second") as second:
        bundle = tmp_path / "both.pem"
        bundle.write_text(first.files.ca.read_text() + second.files.ca.read_text())
        urls = json.dumps([f"wss://127.0.0.1:{each.port}/live" for each in (first, second)])
        stream = (
            f"          - {{name: live, type: media_stream, url: {urls}, ca: {bundle}, encoding: PCMU}}\n"
        )
        with site_with(tmp_path, "        integrations:\n" + stream) as site:
            async with talk(site) as call:
                await asyncio.wait_for(first.heard.begun.wait(), 5)
                before = await call.say(40)
                await first.vanish()
                after = await call.say(80)
                await call.caller.hang_up()
                record = await the_record(site)
        await asyncio.wait_for(second.heard.over.wait(), 5)
    assert [each["resumed"] for each in second.heard.of("connect")] == [True]
    for channel in (0, 1):
        second.heard.accounts_for(channel, after[channel])
        whole = first.heard.media(channel) | second.heard.media(channel)
        assert sorted(whole) == list(range(0, FRAME * len(whole), FRAME)), (
            "the two hold the call between them"
        )
        assert len(set(before[channel]) - set(whole.values())) == 0
    assert record["streams"][0]["verdict"] == "completed"


async def test_an_endpoint_that_drops_each_connection_at_once_is_not_hammered(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        times: list[float] = []

        async def dropper() -> None:
            seen = 0
            while True:
                await asyncio.sleep(0.005)
                while len(listener.heard.connections) > seen:
                    times.append(asyncio.get_running_loop().time())
                    listener.heard.connections[seen].transport.abort()
                    seen += 1

        task = asyncio.create_task(dropper())
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with talk(site) as call:
                said = await call.say(150)
                assert (heard(call.callee), heard(call.caller)) == said
                task.cancel()
                await call.caller.hang_up()
                await the_record(site)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert 2 <= len(times) <= 8, f"connections at {waits}"
    assert waits[-1] > 0.3, "the delay does not grow"
