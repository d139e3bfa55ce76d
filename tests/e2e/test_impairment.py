"""A bad network: the stream keeps its clock, accounts for every sample and invents none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e2e.endpoint import Heard, endpoint
from e2e.test_gateway import FRAME, site_with, the_record
from interop.harness import CARRIER_HOST, DESK_HOST, Gateway
from sidestream.gateway.sip_options import ListenAddress
from sidestream.testing.impairment import Impairment, ImpairmentProxy, Profile
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import PhoneCall
from sidestream.tools.rtp import RtpPacket, parse_rtp

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

BAD = Profile(loss=0.05, reorder=0.05, duplicate=0.02, jitter=0.04)
FRAMES = 600
SEEDS = ((1, 2), (4, 5))
"""Of both directions of both parties. First and last packet arrive with these, so that every loss shows."""
FRAME_S = 0.02
SILENCE = b"\xff" * FRAME
APART_MAX = 8 * (100 + 20)
"""Samples that the channels may be apart (stream protocol section 3: 100 ms and one frame)."""


@dataclass
class Party:
    """What one phone says and hears behind its bad network."""

    host: str
    proxy: ImpairmentProxy
    phone: Phone
    audio: socket.socket
    said: list[bytes] = field(default_factory=lambda: [os.urandom(FRAME) for _ in range(FRAMES)])
    heard: list[bytes] = field(default_factory=list)

    def connect(self, call: PhoneCall) -> None:
        """Take the address that the gateway wants this party's audio at."""
        assert call.agreed is not None
        self.proxy.connect(near=self.audio.getsockname(), far=call.agreed.remote)

    async def speak(self) -> None:
        """Send the frames on a monotonic schedule."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for index, payload in enumerate(self.said):
            packet = RtpPacket(0, 7000 + index, 50_000 + index * FRAME, 0x5EED, payload, index == 0)
            self.audio.sendto(packet.serialize(), self.proxy.near_address)
            await asyncio.sleep(max(0.0, begin + (index + 1) * FRAME_S - loop.time()))

    def hear(self) -> None:
        """Take a packet that has come."""
        self.heard.append(parse_rtp(self.audio.recv(2048)).payload)


class ProxiedPhone(Phone):
    """A phone whose descriptions name its proxy for audio."""

    audio_port: int

    async def _new_call(self, call_id: str) -> PhoneCall:
        call = await super()._new_call(call_id)
        call.media.port = self.audio_port
        return call


@contextlib.asynccontextmanager
async def party(host: str, port: int, seeds: tuple[int, int]) -> AsyncIterator[Party]:
    loop = asyncio.get_running_loop()
    impairments = [Impairment(BAD, seed) for seed in seeds]
    proxy = await ImpairmentProxy.open(host, *impairments)
    phone = await ProxiedPhone.open(PhoneOptions(ListenAddress("udp", host, port)))
    assert isinstance(phone, ProxiedPhone)
    phone.audio_port = proxy.far_address[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as audio:
        audio.bind((host, 0))
        audio.setblocking(False)
        made = Party(host, proxy, phone, audio)
        loop.add_reader(audio, made.hear)
        try:
            yield made
        finally:
            loop.remove_reader(audio)
            proxy.close()
            await phone.close()


async def converse(site: Gateway, caller: Party, callee: Party) -> None:
    """Have both speak at once for the whole call."""
    outgoing = await caller.phone.dial(f"sip:+15551234@127.0.0.1:{site.sip}")
    incoming = await callee.phone.wait_call(10)
    assert incoming is not None, site.log()
    incoming.answer()
    await outgoing.answered(10)
    await asyncio.wait_for(incoming.acknowledged.wait(), 10)
    caller.connect(outgoing)
    callee.connect(incoming)
    await asyncio.gather(caller.speak(), callee.speak())
    await asyncio.sleep(0.3)
    await outgoing.hang_up()


def check_clock(stream: Heard) -> None:
    """One frame for each 20 ms on both channels, never far apart, for as long as the stream was."""
    latest = {0: 0, 1: 0}
    apart = 0
    for part in stream.of("media"):
        expected = latest[part["channel"]]
        assert part["timestamp"] == expected, "a frame is missing or comes twice"
        latest[part["channel"]] = expected + FRAME
        apart = max(apart, abs(latest[0] - latest[1]))
    assert apart <= APART_MAX, f"the channels were {apart / 8:.0f} ms apart"
    (close,) = stream.of("close")
    for channel in (0, 1):
        assert abs(latest[channel] / 8 - close["durationMs"]) <= 40, "the stream is not as long as it lasted"


def named_by_gaps(stream: Heard, channel: int) -> dict[int, str]:
    """Return the frames that are told as gaps, each with its cause; none is told twice."""
    named: dict[int, str] = {}
    for gap in (each["data"] for each in stream.told("media.gap")):
        if gap["channel"] == channel:
            for at in range(gap["fromTimestamp"], gap["fromTimestamp"] + gap["samples"], FRAME):
                assert at not in named, f"the frame at {at} is told twice"
                named[at] = gap["cause"]
    return named


def check_channel(stream: Heard, channel: int, who: Party) -> None:
    """Every frame is what was sent at its place, or silence with a name."""
    index_of = {payload: index for index, payload in enumerate(who.said)}
    media = stream.media(channel)
    heard = {at: index_of[payload] for at, payload in media.items() if payload in index_of}
    named = named_by_gaps(stream, channel)
    silent = {at for at, payload in media.items() if payload == SILENCE}
    invented = set(media) - set(heard) - silent
    assert not invented, f"{len(invented)} frames were never sent"
    assert set(named) == silent, "gaps and silence are not the same frames"
    # A whole frame that a clock drifted would move all later ones, and be told.
    origins = {at - index * FRAME for at, index in heard.items()}
    assert len(origins) == 1, f"frames lie where they were not sent: {sorted(origins)}"
    (origin,) = origins
    sent_and_named = [cause for at, cause in named.items() if 0 <= at - origin < FRAMES * FRAME]
    assert len(heard) + len(sent_and_named) == FRAMES, "what was sent is neither there nor told"
    lost = who.proxy.outward.lost
    assert lost > FRAMES // 50, "the network was not bad"
    # Jitter and disorder together are more than the window of 60 ms: a few come too late besides.
    assert lost <= len(sent_and_named) <= lost + FRAMES // 50
    totals = stream.totals(channel)
    assert totals["silenceSamples"] == len(silent) * FRAME
    assert totals["chunks"] == len(media)
    assert totals["droppedSamples"] == 0


async def test_a_bad_network_is_accounted_for_to_the_sample(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        stream = listener.heard
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with (
                party(CARRIER_HOST, site.carrier, SEEDS[0]) as caller,
                party(DESK_HOST, site.desk, SEEDS[1]) as callee,
            ):
                await converse(site, caller, callee)
                record = await the_record(site)
        await asyncio.wait_for(stream.over.wait(), 5)
    check_clock(stream)
    check_channel(stream, 0, caller)
    check_channel(stream, 1, callee)
    for speaker, listening in ((caller, callee), (callee, caller)):
        assert set(listening.heard) <= set(speaker.said), "the relay invented something"
        assert len(listening.heard) > 0.85 * FRAMES
    assert record["streams"][0]["verdict"] == "completed"
    received = {side["side"]: side for side in record["media"]}
    for side, who in (("a", caller), ("b", callee)):
        network = who.proxy.outward
        assert received[side]["lost"] == network.lost
        assert received[side]["duplicate"] == network.duplicated
        assert received[side]["received_packets"] == FRAMES - network.lost + network.duplicated
    statistics = stream.told("stream.stats")
    assert statistics, "nothing was told in 12 s"
