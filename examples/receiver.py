#!/usr/bin/env python3
"""The smallest endpoint that loses nothing: one file of audio for each channel, proven by its digest.

    pip install websockets
    python3 receiver.py --certificate cert.pem --key key.pem [--port 8443] [--out DIR] [--token TOKEN]

`sidestream listen` makes certificates and does much more; this is a page of code to start your own from.
What it does that a receiver must (docs/stream-protocol.md):

* messages are put in order and de-duplicated by `sequenceNumber`, over all connections of a stream;
* `ack` says what is stored, so that a lost connection costs nothing;
* `close.totals` is compared with what was stored.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import signal
import ssl
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

ACK_EVERY = 50
"""Messages: one second of two channels. Acknowledging each of them would be as good, and more traffic."""


def say(text: str) -> None:
    """Print a line at once; what came from outside is JSON or a UUID and can't play tricks on a terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Stream:
    """What was received of one stream, over all its connections."""

    def __init__(self, stream_id: str, out: Path) -> None:
        self.stream_id = stream_id
        self.out = out
        self.last = 0
        self.files: dict[int, BinaryIO] = {}
        self.digests: dict[int, hashlib._Hash] = {}

    def take(self, message: dict) -> str | None:
        """Store a message; the verdict when it was the last one."""
        number, event = message["sequenceNumber"], message["event"]
        # `connect` and `start` of a later connection come before the replayed messages, with higher numbers.
        if event in {"connect", "start"}:
            return None
        if number <= self.last:
            return None
        self.last = number
        body = message[event]
        if event == "media":
            self.store(body["channel"], base64.b64decode(body["payload"], validate=True))
        elif event == "close":
            return self.verdict(body)
        else:
            say(f"{self.stream_id} {event} {json.dumps(body)}")
        return None

    def store(self, channel: int, payload: bytes) -> None:
        """Append one frame of a channel to its file: headerless audio in the encoding that `start` named."""
        if channel not in self.files:
            self.files[channel] = (self.out / f"{self.stream_id}-{channel}.raw").open("wb")
            self.digests[channel] = hashlib.sha256()
        self.files[channel].write(payload)
        self.digests[channel].update(payload)

    def verdict(self, close: dict) -> str:
        """Say whether what was stored is what was sent."""
        for file in self.files.values():
            file.close()
        empty = hashlib.sha256().hexdigest()
        sent = {each["channel"]: each["sha256"] for each in close["totals"]}
        stored = {channel: digest.hexdigest() for channel, digest in self.digests.items()}
        whole = all(stored.get(channel, empty) == digest for channel, digest in sent.items())
        return f"{self.stream_id} closed: {close['reason']}; {'all stored' if whole else 'AUDIO IS MISSING'}"


class Receiver:
    """Takes streams, and connections of the same stream one after another."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.streams: dict[str, Stream] = {}

    async def handle(self, connection: ServerConnection) -> None:
        """Read one connection to its end."""
        unacknowledged = 0
        try:
            async for text in connection:
                message = json.loads(text)
                # The identifier becomes a file's name, so nothing but a UUID will do.
                stream_id = str(uuid.UUID(message["streamId"]))
                stream = self.streams.setdefault(stream_id, Stream(stream_id, self.out))
                verdict = stream.take(message)
                unacknowledged += 1
                if verdict or unacknowledged >= ACK_EVERY:
                    await connection.send(json.dumps({"event": "ack", "sequenceNumber": stream.last}))
                    unacknowledged = 0
                if verdict:
                    say(verdict)
                    del self.streams[stream_id]
        except ConnectionClosed:
            pass  # it comes back, and goes on where we acknowledged
        except (ValueError, KeyError, TypeError) as error:
            say(f"a message that is none of the protocol: {error!r}")
            await connection.close(1007)


def checked(token: str) -> Callable[[ServerConnection, Request], Response | None]:
    """Return a hook that answers connections without the token with 401, which is not tried again."""

    def check(connection: ServerConnection, request: Request) -> Response | None:
        given = request.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return None
        return connection.respond(401, "the bearer token is missing or wrong\n")

    return check


async def main(options: argparse.Namespace) -> None:
    """Serve until told to end."""
    options.out.mkdir(parents=True, exist_ok=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serve(
        Receiver(options.out).handle,
        options.host,
        options.port,
        ssl=context,
        subprotocols=[Subprotocol("sidestream.v1")],
        process_request=checked(options.token) if options.token else None,
        max_size=1_000_000,
        compression=None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        say(f"wss://{options.host}:{port}")
        await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Receive media streams of Sidestream.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--out", type=Path, default=Path("received"))
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--token", help="bearer token that connections must have")
    asyncio.run(main(parser.parse_args()))
