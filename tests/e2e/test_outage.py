"""What an endpoint's absence costs: nothing within the buffers, one gap beyond them, never the call."""

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from e2e.test_gateway import FRAME, heard, site_with, talk, the_record, unbroken
from interop.harness import free_port
from sidestream.tools.certificates import CertificateFiles, ensure_certificates

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

STREAM = """\
        integrations:
          - {{name: live, type: media_stream, url: "wss://127.0.0.1:{port}/", ca: {ca}, {settings}}}
"""

Message = dict[str, Any]


@dataclass
class Endpoint:
    """An endpoint that can be away for a while; it acknowledges everything while it is there."""

    files: CertificateFiles
    port: int
    messages: list[Message] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    reading: bool = True
    _server: Server | None = None

    async def appear(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        if not self.reading:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._server = await serve(self._receive, sock=listening, ssl=self.files.server_context())

    async def vanish(self) -> None:
        """Go without a word, as a machine that lost its power."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        for connection in self.connections:
            connection.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _receive(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        if not self.reading:
            await connection.wait_closed()
            return
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                message: Message = json.loads(text)
                self.messages.append(message)
                number = message["sequenceNumber"]
                # What came before the gateway's Close is read on when no more can be said.
                with contextlib.suppress(ConnectionClosed):
                    await connection.send(json.dumps({"event": "ack", "ack": {"sequenceNumber": number}}))
                if message["event"] == "close":
                    self.over.set()

    def numbers(self) -> list[int]:
        return sorted({message["sequenceNumber"] for message in self.messages})

    def media(self, channel: int) -> dict[int, bytes]:
        """Return the payloads of a channel by the position of their first sample, repeated ones once."""
        parts = [message["media"] for message in self.messages if message["event"] == "media"]
        mine = (part for part in parts if part["channel"] == channel)
        return {part["timestamp"]: base64.b64decode(part["payload"]) for part in mine}

    def gaps(self, cause: str) -> list[Message]:
        told = [message["metadata"] for message in self.messages if message["event"] == "metadata"]
        gaps = [each["data"] for each in told if each["type"] == "media.gap"]
        return [gap for gap in gaps if gap["cause"] == cause]

    def silence(self, channel: int) -> int:
        """Return the samples of a channel that were told as silence."""
        return sum(gap["samples"] for gap in self.gaps("silence") if gap["channel"] == channel)

    def totals(self, channel: int) -> Message:
        totals: list[Message] = self.messages[-1]["close"]["totals"]
        return next(one for one in totals if one["channel"] == channel)


@contextlib.asynccontextmanager
async def endpoint(directory: Path, *, reading: bool = True) -> AsyncIterator[Endpoint]:
    made = Endpoint(
        ensure_certificates(directory / "tls"), free_port(kind=socket.SOCK_STREAM), reading=reading
    )
    await made.appear()
    try:
        yield made
    finally:
        await made.vanish()


async def absent(listener: Endpoint, after_s: float, for_s: float) -> None:
    await asyncio.sleep(after_s)
    await listener.vanish()
    await asyncio.sleep(for_s)
    await listener.appear()


async def test_an_outage_within_the_replay_buffer_loses_nothing(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        stream = STREAM.format(port=listener.port, ca=listener.files.ca, settings="encoding: PCMU")
        with site_with(tmp_path, stream) as site:
            async with talk(site) as call:
                away = asyncio.create_task(absent(listener, after_s=1.0, for_s=5.0))
                said = await call.say(450)
                await away
                await call.caller.hang_up()
                assert (heard(call.callee), heard(call.caller)) == said
                record = await the_record(site)
        await asyncio.wait_for(listener.over.wait(), 5)
    assert record["streams"][0]["verdict"] == "completed"
    assert record["streams"][0]["connections"] == 2
    assert listener.numbers() == list(range(1, len(listener.numbers()) + 1))
    assert listener.gaps("reconnect") == []
    for channel in (0, 1):
        media = listener.media(channel)
        assert sorted(media) == list(range(0, FRAME * len(media), FRAME))
        whole = b"".join(media[at] for at in sorted(media))
        assert unbroken([media[at] for at in sorted(media)], said[channel], listener.silence(channel))
        totals = listener.totals(channel)
        assert totals["sha256"] == hashlib.sha256(whole).hexdigest()
        assert (totals["chunks"], totals["droppedSamples"]) == (len(media), 0)
    openings = [message["event"] for message in listener.messages if message["event"] in {"connect", "start"}]
    assert openings == ["connect", "start"] * 2
    resumed = [
        message["connect"]["resumed"] for message in listener.messages if message["event"] == "connect"
    ]
    assert resumed == [False, True]


async def test_an_outage_beyond_the_buffers_is_one_gap_that_accounts_for_what_is_missing(
    tmp_path: Path,
) -> None:
    settings = "encoding: PCMU, queue: 1s, replay: 1s"
    async with endpoint(tmp_path) as listener:
        stream = STREAM.format(port=listener.port, ca=listener.files.ca, settings=settings)
        with site_with(tmp_path, stream) as site:
            async with talk(site) as call:
                away = asyncio.create_task(absent(listener, after_s=1.0, for_s=4.0))
                said = await call.say(400)
                await away
                await call.caller.hang_up()
                assert (heard(call.callee), heard(call.caller)) == said
                await the_record(site)
        await asyncio.wait_for(listener.over.wait(), 5)
    for channel in (0, 1):
        media = listener.media(channel)
        missing = sorted(set(range(0, max(media) + FRAME, FRAME)) - set(media))
        (gap,) = [gap for gap in listener.gaps("reconnect") if gap["channel"] == channel]
        assert missing == list(range(gap["fromTimestamp"], gap["fromTimestamp"] + gap["samples"], FRAME))
        assert len(missing) > 50
        assert listener.totals(channel)["droppedSamples"] == gap["samples"]
        assert listener.totals(channel)["chunks"] == len(media)


async def test_an_endpoint_that_reads_nothing_costs_the_call_nothing(tmp_path: Path) -> None:
    settings = "encoding: L16, sample_rate: 48000, queue: 1s, replay: 0s"
    async with endpoint(tmp_path, reading=False) as listener:
        stream = STREAM.format(port=listener.port, ca=listener.files.ca, settings=settings)
        with site_with(tmp_path, stream) as site:
            async with talk(site) as call:
                said = await call.say(400)
                memory = site.metrics()["process_resident_memory_bytes"]
                said_again = await call.say(100)
                grown = site.metrics()["process_resident_memory_bytes"] - memory
                dropped = site.metrics()["sidestream_stream_dropped_samples_total"]
                await call.caller.hang_up()
                assert await call.callee.ended(5)
                assert heard(call.callee) == said[0] + said_again[0]
                assert heard(call.caller) == said[1] + said_again[1]
                record = await the_record(site)
    assert dropped > 0
    assert grown < 5_000_000
    assert record["verdict"]["slug"] == "caller-hung-up"
    assert record["streams"][0]["verdict"] == "endpoint-stalled"
