"""What an endpoint's absence costs: nothing within the buffers, one gap beyond them, never the call."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from e2e.endpoint import Heard, endpoint
from e2e.test_gateway import FRAME, Talk, heard, site_with, talk, the_record

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

IN_FLIGHT_MAX = 10
"""Messages that the kernel may hold when a connection breaks: 100 ms of both channels."""

needs_patience = pytest.mark.skipif(
    not os.environ.get("SIDESTREAM_LONG"), reason="takes a minute; SIDESTREAM_LONG=1 runs it"
)


async def outage(call: Talk, away: asyncio.Task[None], frames: int) -> tuple[list[bytes], list[bytes]]:
    """Talk through an outage, and hang up; both parties have heard all of it."""
    said = await call.say(frames)
    await away
    await call.caller.hang_up()
    assert await call.callee.ended(5)
    assert (heard(call.callee), heard(call.caller)) == said, "the call itself was touched"
    return said


def check_openings(stream: Heard, connections: int) -> None:
    """Each connection began with `connect` and `start`, and said which it is."""
    openings = [each["event"] for each in stream.messages if each["event"] in {"connect", "start"}]
    assert openings == ["connect", "start"] * connections
    connects = stream.of("connect")
    assert [each["connection"] for each in connects] == list(range(1, connections + 1))
    assert [each["resumed"] for each in connects] == [False] + [True] * (connections - 1)
    starts = stream.of("start")
    assert starts == [starts[0]] * connections, "a repeated start says the same"


async def test_an_outage_within_the_replay_buffer_loses_nothing(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with talk(site) as call:
                away = asyncio.create_task(listener.away(after_s=1.0, for_s=5.0))
                said = await outage(call, away, frames=450)
                record = await the_record(site)
        stream = listener.heard
        await asyncio.wait_for(stream.over.wait(), 5)
    assert record["streams"][0]["verdict"] == "completed"
    assert record["streams"][0]["connections"] == 2
    assert stream.numbers() == list(range(1, len(stream.numbers()) + 1))
    assert stream.gaps("reconnect") == []
    for channel in (0, 1):
        media = stream.media(channel)
        assert sorted(media) == list(range(0, FRAME * len(media), FRAME))
        stream.accounts_for(channel, said[channel])
        totals = stream.totals(channel)
        assert totals["sha256"] == hashlib.sha256(stream.audio(channel)).hexdigest()
        assert (totals["chunks"], totals["droppedSamples"]) == (len(media), 0)
    check_openings(stream, 2)


async def test_without_acks_an_outage_loses_at_most_what_the_network_had_in_hand(tmp_path: Path) -> None:
    async with endpoint(tmp_path, acknowledges=False) as listener:
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with talk(site) as call:
                away = asyncio.create_task(listener.away(after_s=0.8, for_s=2.0))
                await outage(call, away, frames=200)
                record = await the_record(site)
        stream = listener.heard
        await asyncio.wait_for(stream.over.wait(), 5)
    assert record["streams"][0]["connections"] == 2
    numbers = [message["sequenceNumber"] for message in stream.messages]
    resumed = next(
        index for index, each in enumerate(stream.messages) if each["event"] == "connect" and index
    )
    before, after = numbers[:resumed], numbers[resumed + 2 :]
    assert before == list(range(1, resumed + 1))
    lost = after[0] - before[-1] - 1
    assert 0 <= lost <= IN_FLIGHT_MAX
    expected = set(range(after[0], max(numbers) + 1)) - set(numbers[resumed : resumed + 2])
    assert after == sorted(expected), "what was made in the outage did not come in order and whole"
    for channel in (0, 1):
        assert stream.totals(channel)["droppedSamples"] == 0
        assert len(stream.media(channel)) >= stream.totals(channel)["chunks"] - lost
    check_openings(stream, 2)


@pytest.mark.parametrize("acknowledges", [True, False], ids=["with acks", "without acks"])
async def test_an_outage_beyond_the_buffers_is_one_gap_that_accounts_for_what_is_missing(
    tmp_path: Path, acknowledges: bool
) -> None:
    async with endpoint(tmp_path, acknowledges=acknowledges) as listener:
        stream = listener.heard
        with site_with(tmp_path, listener.integrations(encoding="PCMU", queue="1s", replay="1s")) as site:
            async with talk(site) as call:
                away = asyncio.create_task(listener.away(after_s=0.7, for_s=3.2))
                await outage(call, away, frames=280)
                await the_record(site)
        await asyncio.wait_for(stream.over.wait(), 5)
    check_one_gap(stream, at_least_frames=50, in_hand=0 if acknowledges else IN_FLIGHT_MAX)


@needs_patience
@pytest.mark.timeout(180)
@pytest.mark.parametrize("acknowledges", [True, False], ids=["with acks", "without acks"])
async def test_forty_seconds_without_an_endpoint_are_one_gap(tmp_path: Path, acknowledges: bool) -> None:
    """All bounds as they are unless set."""
    async with endpoint(tmp_path, acknowledges=acknowledges) as listener:
        stream = listener.heard
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with talk(site) as call:
                away = asyncio.create_task(listener.away(after_s=5.0, for_s=40.0))
                await outage(call, away, frames=2600)
                await the_record(site)
        await asyncio.wait_for(stream.over.wait(), 10)
    check_one_gap(stream, at_least_frames=1200, in_hand=0 if acknowledges else IN_FLIGHT_MAX)
    check_openings(stream, 2)


def check_one_gap(stream: Heard, at_least_frames: int, in_hand: int) -> None:
    """Each channel has one gap of cause `reconnect`, and it names each frame that is missing.

    Args:
        stream: what the endpoint holds.
        at_least_frames: how long the gap is at least.
        in_hand: frames before the gap that the network may have lost, as no acknowledgement asked for them.
    """
    for channel in (0, 1):
        media = stream.media(channel)
        missing = sorted(set(range(0, max(media) + FRAME, FRAME)) - set(media))
        (gap,) = stream.gaps("reconnect", channel)
        named = list(range(gap["fromTimestamp"], gap["fromTimestamp"] + gap["samples"], FRAME))
        unnamed = sorted(set(missing) - set(named))
        assert set(named) <= set(missing), "a frame that came was told as missing"
        assert len(unnamed) <= in_hand
        assert len(named) >= at_least_frames
        totals = stream.totals(channel)
        assert totals["droppedSamples"] == gap["samples"]
        assert totals["chunks"] == len(media) + len(unnamed)
