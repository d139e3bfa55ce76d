"""A media-stream endpoint for development: any number of streams, each kept and verified."""

from __future__ import annotations

import asyncio
import hmac
import http
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from sidestream.errors import Fault, SidestreamError
from sidestream.tools.certificates import DEFAULT_NAMES, CertificateFiles, ensure_certificates
from sidestream.tools.stream_messages import Envelope, MessageError
from sidestream.tools.stream_store import StreamResult, StreamStore, decode_frame

SUBPROTOCOL = Subprotocol("sidestream.v1")
MAX_MESSAGE_BYTES = 1 << 20
"""The longest frame, 200 ms of 48 kHz L16 in both channels, is 52 KB in base64."""
MAX_STREAMS = 10_000
MAX_RESULTS = 100_000
ACK_EVERY_S = 0.5
CLOSE_TIMEOUT_S = 2.0
SUPERSEDED = 1008


class ListenerError(SidestreamError):
    """The endpoint cannot be opened."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """How the endpoint listens.

    Attributes:
        directory: where streams are kept.
        host: address to bind.
        port: port to bind; 0 for any free one.
        certificates: directory of the certificates; `<directory>/tls` when None.
        names: further names of the server's certificate.
        token: bearer token that every connection must carry, None for none.
        acknowledge: send `ack` twice a second and at the close.
        keep_media: keep payloads in the transcript.
        resume_wait_s: how long a stream that lost its connection is awaited.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 8443
    certificates: Path | None = None
    names: tuple[str, ...] = ()
    token: str | None = None
    acknowledge: bool = False
    keep_media: bool = True
    resume_wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was accepted; `peer` is its address, `tls` the version of TLS."""

    peer: str
    path: str
    subprotocol: str | None
    tls: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A connection was refused because its token is missing or wrong."""

    peer: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a stream was kept."""

    store: StreamStore
    message: Envelope
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame was no message of the protocol."""

    stream_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection ended; `clean` when `close` had come before."""

    stream_id: str
    code: int | None
    clean: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing of a stream will come any more."""

    result: StreamResult


ListenerEvent = Connected | Refused | Received | Malformed | Disconnected | Finished
Observer = Callable[[ListenerEvent], None]


@dataclass(slots=True)
class _Open:
    """A stream that is not over: its store, its connection, and the end of the wait for the next one."""

    store: StreamStore
    connection: ServerConnection | None = None
    expiry: asyncio.TimerHandle | None = None
    acked: int = 0
    acked_at: float = 0.0


@dataclass(slots=True)
class Listener:
    """The endpoint. `start` it, hand out `url` and `ca`, `stop` it, read `results`.

    Attributes:
        options: how it listens.
        observer: is told every event, at once and on the event loop.
        results: streams that are over, oldest first.
    """

    options: ListenerOptions
    observer: Observer = field(default=lambda _event: None)
    results: deque[StreamResult] = field(default_factory=lambda: deque(maxlen=MAX_RESULTS))
    finished: int = 0
    """Streams that are over, counted from the start."""
    _files: CertificateFiles | None = None
    _server: Server | None = None
    _streams: dict[str, _Open] = field(default_factory=dict)
    _unnamed: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Make the certificates that are missing and listen.

        Raises:
            ListenerError: the port is taken, or a directory cannot be written.
        """
        options = self.options
        names = tuple(dict.fromkeys((*DEFAULT_NAMES, *_names_of(options.host), *options.names)))
        certificates = options.certificates or options.directory / "tls"
        try:
            self._files = ensure_certificates(certificates, names)
            context = self._files.server_context()
        except OSError as error:
            raise ListenerError(
                f"cannot use the certificates in {certificates}: {error.strerror or error}",
                hint="Choose another --out or --tls, or correct what is there.",
            ) from error
        try:
            self._server = await serve(
                self._handle,
                options.host,
                options.port,
                ssl=context,
                process_request=self._admit,
                select_subprotocol=_select_subprotocol,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                close_timeout=CLOSE_TIMEOUT_S,
                server_header="sidestream-listen",
            )
        except OSError as error:
            raise ListenerError(
                f"cannot listen on {options.host}:{options.port}: {error.strerror or error}",
                hint="Choose another --port, or end the program that has it.",
            ) from error

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._server is None:
            return self.options.port
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The endpoint's URL, for an integration's `url`."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.options.host, self.options.host)  # noqa: S104
        return f"wss://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{self.port}/"

    @property
    def ca(self) -> Path:
        """The certificate to trust, for an integration's `ca`."""
        if self._files is None:
            raise ListenerError("the endpoint has not been started")
        return self._files.ca

    @property
    def open_streams(self) -> list[StreamStore]:
        """Streams that are not over."""
        return [stream.store for stream in self._streams.values()]

    async def wait_finished(self, count: int, timeout_s: float | None = None) -> bool:
        """Wait until so many streams are over; False when the time ran out."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self.finished >= count)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> list[StreamResult]:
        """Close all connections, finish all streams, return every result. A second stop does nothing more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        for stream_id in list(self._streams):
            self._finish(stream_id)
        if self._tasks:
            await asyncio.gather(*self._tasks)
        return list(self.results)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.options.token is None:
            return None
        given = request.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self.options.token}".encode()):
            return None
        self.observer(Refused(_peer(connection)))
        answer = connection.respond(http.HTTPStatus.UNAUTHORIZED, "a bearer token is required\n")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    async def _handle(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request is not None else "/"
        self.observer(Connected(_peer(connection), path, connection.subprotocol, _tls_of(connection)))
        stream: _Open | None = None
        try:
            async for frame in connection:
                if stream is not None and stream.connection is not connection:
                    break  # A newer connection has the stream; what is left here will be replayed there.
                stream = await self._take(connection, frame, stream)
        except ConnectionClosed:
            pass  # The code is told below.
        except OSError as error:
            if stream is not None:
                stream.store.receiver.find(f"cannot be kept: {error.strerror or error}")
            await connection.close(1011, "cannot write")
        finally:
            if stream is not None and stream.connection is connection:
                self._left(stream, connection)

    async def _take(
        self, connection: ServerConnection, frame: str | bytes, stream: _Open | None
    ) -> _Open | None:
        now = datetime.now(UTC)
        try:
            message, text = decode_frame(frame)
        except MessageError as error:
            stream = stream or self._stream(connection, self._name_of(connection))
            stream.store.reject(frame, str(error), now)
            self.observer(Malformed(stream.store.stream_id, str(error)))
            return stream
        if stream is None:
            stream = self._stream(connection, message.stream_id)
        if message.stream_id != stream.store.stream_id:
            why = f"streamId {message.stream_id!r} on a connection of another stream"
            stream.store.reject(text, why, now)
            self.observer(Malformed(stream.store.stream_id, why))
            return stream
        accepted = stream.store.take(message, text, now)
        self.observer(Received(stream.store, message, accepted.duplicate))
        if self.options.acknowledge:
            await self._acknowledge(stream, connection, final=message.close is not None)
        return stream

    def _stream(self, connection: ServerConnection, stream_id: str) -> _Open:
        """Find or make the stream that a connection belongs to; the newest connection has it."""
        stream = self._streams.get(stream_id)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                raise OSError(f"more than {MAX_STREAMS} streams are open")
            headers = connection.request.headers if connection.request is not None else {}
            call_id = headers.get("Sidestream-Call-Id", "")
            store = StreamStore(stream_id, self.options.directory, call_id, self.options.keep_media)
            stream = self._streams[stream_id] = _Open(store)
        if stream.expiry is not None:
            stream.expiry.cancel()
            stream.expiry = None
        former, stream.connection = stream.connection, connection
        if former is not None:
            self._spawn(former.close(SUPERSEDED, "another connection of this stream came"))
        stream.store.connected()
        if connection.subprotocol is None:
            stream.store.receiver.find(f"the upgrade did not ask for the subprotocol {SUBPROTOCOL}")
        return stream

    def _name_of(self, connection: ServerConnection) -> str:
        headers = connection.request.headers if connection.request is not None else {}
        self._unnamed += 1
        return headers.get("Sidestream-Stream-Id") or f"unnamed-{self._unnamed}"

    async def _acknowledge(self, stream: _Open, connection: ServerConnection, *, final: bool) -> None:
        number = stream.store.receiver.acknowledge
        now = asyncio.get_running_loop().time()
        if number is None or number <= stream.acked or not (final or now - stream.acked_at >= ACK_EVERY_S):
            return
        stream.store.flush()
        stream.acked, stream.acked_at = number, now
        ack = {"event": "ack", "ack": {"sequenceNumber": number}}
        await connection.send(msgspec.json.encode(ack).decode())

    def _left(self, stream: _Open, connection: ServerConnection) -> None:
        stream.connection = None
        stream_id = stream.store.stream_id
        clean = stream.store.receiver.close is not None
        if clean and connection.close_code not in {1000, 1001}:
            stream.store.receiver.find(
                f"the connection ended with {connection.close_code}, not 1000, after close"
            )
        self.observer(Disconnected(stream_id, connection.close_code, clean))
        if clean:
            self._finish(stream_id)
        else:
            stream.store.flush()
            loop = asyncio.get_running_loop()
            stream.expiry = loop.call_later(self.options.resume_wait_s, self._finish, stream_id)

    def _finish(self, stream_id: str) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        if stream.expiry is not None:
            stream.expiry.cancel()
        result = stream.store.finish()
        self.results.append(result)
        self.finished += 1
        self.observer(Finished(result))
        self._spawn(self._announce())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="listener")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _peer(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"


def _tls_of(connection: ServerConnection) -> str:
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    return (tls.version() if tls is not None else None) or ""


def _names_of(host: str) -> tuple[str, ...]:
    return () if host in {"", "0.0.0.0", "::"} else (host,)  # noqa: S104
