"""RTP that a stranger sends to the ports of a call is not heard by either party (source lock)."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.test_gateway import FRAME, Talk, heard, site_with, talk
from interop.harness import DESK_HOST
from sidestream.tools.rtp import RtpPacket

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

STRANGER = "127.0.9.66"
PAUSE_S = 0.005


def packet(number: int, payload: bytes) -> bytes:
    """A packet as a party might send it."""
    return RtpPacket(
        payload_type=0,
        sequence=number & 0xFFFF,
        timestamp=number * FRAME & 0xFFFFFFFF,
        ssrc=0x1234,
        payload=payload,
    ).serialize()


@contextlib.asynccontextmanager
async def injected(call: Talk, host: str) -> AsyncIterator[list[bytes]]:
    """Send packets from a host to both legs of a call all the while; gives what was sent."""
    sent: list[bytes] = []
    ports = [each.media._remote for each in (call.caller, call.callee)]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))

    async def inject() -> None:
        while True:
            sent.append(os.urandom(FRAME))
            for port in ports:
                assert port is not None
                sock.sendto(packet(len(sent), sent[-1]), port)
            await asyncio.sleep(PAUSE_S)

    running = asyncio.get_running_loop().create_task(inject())
    try:
        yield sent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        sock.close()


@pytest.mark.parametrize("host", [STRANGER, DESK_HOST], ids=["another-host", "another-port-of-the-party"])
@pytest.mark.parametrize("first", [True, False], ids=["before-the-parties", "in-mid-call"])
async def test_a_stranger_is_not_heard(tmp_path: Path, host: str, first: bool) -> None:
    with site_with(tmp_path) as site:
        async with talk(site) as call:
            before = ([], []) if first else await call.say(20)
            async with injected(call, host) as sent:
                said = await call.say(100)
            assert len(sent) > 50
            ours = [old + new for old, new in zip(before, said, strict=True)]
            # Packets of a busy machine may come late or go missing; none of the stranger's may come at all.
            for there, expected in ((call.callee, ours[0]), (call.caller, ours[1])):
                frames = heard(there)
                assert not set(frames) & set(sent)
                known = set(expected)
                voices = [frame for frame in frames if frame in known]
                assert len(voices) >= 0.9 * len(expected)
                assert voices == [frame for frame in expected if frame in set(voices)]
            await call.caller.hang_up()
