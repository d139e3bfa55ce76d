"""An endpoint that knows nothing of our code: the `websockets` library on a thread, and plain JSON."""

import base64
import contextlib
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from sidestream.tools.certificates import ensure_certificates

Message = dict[str, Any]


@dataclass
class Connection:
    """One connection to the endpoint, as it was seen."""

    headers: dict[str, str]
    path: str
    messages: list[Message] = field(default_factory=list)
    close_code: int | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def events(self) -> list[str]:
        """Return the messages' events in order."""
        return [str(message["event"]) for message in self.messages]

    def audio(self, channel: int) -> list[bytes]:
        """Return the payloads of a channel in order."""
        media = (message["media"] for message in self.messages if message["event"] == "media")
        return [
            base64.b64decode(part["payload"], validate=True) for part in media if part["channel"] == channel
        ]

    def digest(self, channel: int) -> str:
        """Return the SHA-256 of a channel's payloads."""
        return hashlib.sha256(b"".join(self.audio(channel))).hexdigest()


@dataclass
class Endpoint:
    """A running endpoint."""

    server: Server
    ca: Path
    port: int
    connections: list[Connection] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL for an integration."""
        return f"wss://127.0.0.1:{self.port}/calls?tenant=acme"

    def stream(self, seconds: float = 10.0) -> Connection:
        """Return the one connection, once it is over."""
        assert len(self.connections) == 1, f"{len(self.connections)} connections"
        assert self.connections[0].over.wait(seconds), "the connection is not over"
        return self.connections[0]


@contextlib.contextmanager
def endpoint(directory: Path) -> Iterator[Endpoint]:
    """Run an endpoint over TLS on a free port until the block is left."""
    files = ensure_certificates(directory / "tls")
    running: list[Endpoint] = []

    def receive(websocket: ServerConnection) -> None:
        request = websocket.request
        assert request is not None
        connection = Connection(dict(request.headers.raw_items()), request.path)
        running[0].connections.append(connection)
        try:
            for text in websocket:
                connection.messages.append(json.loads(text))
        except ConnectionClosed:
            pass  # How it was closed is in the close code.
        connection.close_code = websocket.close_code
        connection.over.set()

    context: ssl.SSLContext = files.server_context()
    with serve(receive, "127.0.0.1", 0, ssl=context, subprotocols=["sidestream.v1"]) as server:  # type: ignore[list-item]
        running.append(Endpoint(server, files.ca, int(server.socket.getsockname()[1])))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield running[0]
        server.shutdown()
        thread.join(5)
