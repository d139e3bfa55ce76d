"""An endpoint on the `websockets` library that a test can stall, take away, bring back and let speak."""

import asyncio
import base64
import contextlib
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from interop.harness import free_port
from sidestream.tools.certificates import CertificateFiles, ensure_certificates

STREAM = """\
          - {{name: {name}, type: media_stream, url: "{url}", ca: {ca}, {settings}}}
"""

Message = dict[str, Any]


@dataclass
class Heard:
    """What came on one path of the endpoint, over all connections of one stream."""

    messages: list[Message] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by `start`."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by `close`."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no connection stands any more."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, event: str) -> list[Message]:
        """Return the bodies of the messages of one event, in order."""
        return [message[event] for message in self.messages if message["event"] == event]

    def numbers(self) -> list[int]:
        """Return the sequence numbers that came, each once."""
        return sorted({message["sequenceNumber"] for message in self.messages})

    def media(self, channel: int) -> dict[int, bytes]:
        """Return the payloads of a channel by the position of their first sample, repeated ones once."""
        mine = (part for part in self.of("media") if part["channel"] == channel)
        return {part["timestamp"]: base64.b64decode(part["payload"], validate=True) for part in mine}

    def audio(self, channel: int) -> bytes:
        """Return what is held of a channel."""
        media = self.media(channel)
        return b"".join(media[at] for at in sorted(media))

    def told(self, kind: str) -> list[Message]:
        """Return the metadata of one type."""
        return [each for each in self.of("metadata") if each["type"] == kind]

    def gaps(self, cause: str, channel: int | None = None) -> list[Message]:
        """Return what was told of gaps with a cause; of one channel, or of all."""
        gaps = [each["data"] for each in self.told("media.gap")]
        return [gap for gap in gaps if gap["cause"] == cause and channel in (None, gap["channel"])]

    def totals(self, channel: int) -> Message:
        """Return what `close` says of a channel."""
        (close,) = self.of("close")
        totals: list[Message] = close["totals"]
        return next(one for one in totals if one["channel"] == channel)

    async def say(self, message: object) -> None:
        """Send something to the gateway on the latest connection; text goes as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self.connections[-1].send(text)

    def add(self, message: Message) -> None:
        """Take a message that came."""
        self.messages.append(message)
        if message["event"] == "start":
            self.begun.set()
        if message["event"] == "close":
            self.over.set()
        self._news.set()

    async def wait_told(self, kind: str, count: int = 1, seconds: float = 5.0) -> Message:
        """Wait until metadata of a type came so often, and return the latest of it."""
        async with asyncio.timeout(seconds):
            while len(self.told(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.told(kind)[count - 1]

    def accounts_for(self, channel: int, said: list[bytes], part: slice = slice(None)) -> None:
        """Check that all that was said is there in order, or else told as a gap of silence.

        A phone that a busy machine held up by more than 100 ms finds the places of its frames filled.

        Args:
            channel: of the messages.
            said: the frames as they are to be in the messages.
            part: which bytes of a message are meant; all, unless it is interleaved.
        """
        media = self.media(channel)
        places = {payload[part]: at for at, payload in media.items()}
        arrived = [places[frame] for frame in said if frame in places]
        assert arrived, "nothing that was said has arrived"
        assert arrived == sorted(arrived), "what was said has lost its order"
        first, last = arrived[0], arrived[-1]
        step = min(later - earlier for earlier, later in pairwise(sorted(media)))
        told = sum(
            min(gap["fromTimestamp"] + gap["samples"], last) - max(gap["fromTimestamp"], first)
            for gap in self.gaps("silence")
            if gap["fromTimestamp"] < last and gap["fromTimestamp"] + gap["samples"] > first
        )
        lost = (len(said) - len(arrived)) * step
        assert lost <= told, f"{lost} samples are missing, and {told} were told as silence"


@dataclass
class Endpoint:
    """A server on one port; each path of it is one integration's."""

    files: CertificateFiles
    port: int
    acknowledges: bool = True
    """Whether each message is acknowledged at once."""
    paths: defaultdict[str, Heard] = field(default_factory=lambda: defaultdict(Heard))
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is read while this is not set."""
    _server: Server | None = None

    @property
    def heard(self) -> Heard:
        """What came on the path of the only integration."""
        return self.paths["/live"]

    def integrations(self, *several: str, **settings: str) -> str:
        """Return the YAML of integrations: the only one, `live`, or several by `name: settings`."""
        wanted = dict(entry.split(": ", 1) for entry in several) if several else {}
        if settings or not wanted:
            wanted["live"] = ", ".join(f"{key}: {value}" for key, value in settings.items())
        lines = (
            STREAM.format(
                name=name, url=f"wss://127.0.0.1:{self.port}/{name}", ca=self.files.ca, settings=text
            )
            for name, text in wanted.items()
        )
        return "        integrations:\n" + "".join(lines)

    async def appear(self) -> None:
        """Listen."""
        listening = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        if not self.reads.is_set():
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        context = self.files.server_context()
        # A stalled endpoint takes no more than a few frames off the network.
        queue = 16 if self.reads.is_set() else 1
        self._server = await serve(
            self._receive, sock=listening, ssl=context, max_queue=queue, ping_interval=None
        )

    async def vanish(self) -> None:
        """Go without a word, as a machine that lost its power."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        for heard in self.paths.values():
            for connection in heard.connections:
                connection.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def away(self, after_s: float, for_s: float) -> None:
        """Vanish after a while, and appear again."""
        await asyncio.sleep(after_s)
        await self.vanish()
        await asyncio.sleep(for_s)
        await self.appear()

    async def _receive(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        heard = self.paths[connection.request.path]
        heard.connections.append(connection)
        heard.ended.clear()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._wait_to_read(connection)
                await self._take(heard, connection, json.loads(await connection.recv()))
        heard.ended.set()

    async def _wait_to_read(self, connection: ServerConnection) -> None:
        if not self.reads.is_set():
            waits = [
                asyncio.ensure_future(self.reads.wait()),
                asyncio.ensure_future(connection.wait_closed()),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()

    async def _take(self, heard: Heard, connection: ServerConnection, message: Message) -> None:
        heard.add(message)
        if self.acknowledges:
            ack = {"event": "ack", "ack": {"sequenceNumber": message["sequenceNumber"]}}
            # What came before the gateway's Close is read on when no more can be said.
            with contextlib.suppress(ConnectionClosed):
                await connection.send(json.dumps(ack))


@contextlib.asynccontextmanager
async def endpoint(
    directory: Path, *, reading: bool = True, acknowledges: bool = True
) -> AsyncIterator[Endpoint]:
    """Run an endpoint on a free port until the block is left."""
    files = ensure_certificates(directory / "tls")
    made = Endpoint(files, free_port(kind=socket.SOCK_STREAM), acknowledges=acknowledges)
    if reading:
        made.reads.set()
    await made.appear()
    try:
        yield made
    finally:
        await made.vanish()
