"""Health, readiness and metrics over HTTP: three routes and nothing else."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from typing import Any, Final

import uvicorn

from sidestream.config.values import ApiListener
from sidestream.errors import Fault, SidestreamError
from sidestream.observe.metrics import CONTENT_TYPE, Metrics

CONNECTIONS_MAX: Final = 64
KEEP_ALIVE_S: Final = 15
STOP_S: Final = 2.0

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ApiListenError(SidestreamError):
    """The address of the API cannot be listened on."""

    fault = Fault.OPERATOR


class OpsApplication:
    """Answers the three routes (ASGI).

    Args:
        ready: whether new calls are taken.
        metrics: what `/metrics` tells.
        details: lines that `/readyz` adds: they say more, and do not change the status.
    """

    def __init__(
        self, ready: Callable[[], bool], metrics: Metrics, details: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._ready = ready
        self._metrics = metrics
        self._details = details

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP is left unanswered."""
        if scope["type"] != "http":
            return
        status, content_type, body = self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if path not in {"/healthz", "/readyz", "/metrics"}:
            return 404, "text/plain", b"not found\n"
        if method not in {"GET", "HEAD"}:
            return 405, "text/plain", b"method not allowed\n"
        if path == "/metrics":
            return 200, CONTENT_TYPE, self._metrics.expose()
        if path == "/healthz":
            return 200, "text/plain", b"ok\n"
        status, word = (200, "ok") if self._ready() else (503, "draining")
        return status, "text/plain", "".join(f"{line}\n" for line in (word, *self._details())).encode()


class _Server(uvicorn.Server):
    """A server that leaves signals to the process it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class OpsServer:
    """Serves the application on a socket of its own."""

    def __init__(self, listener: ApiListener, application: OpsApplication) -> None:
        self._listener = listener
        config = uvicorn.Config(
            application,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen, and return the URL with the real port.

        Raises:
            ApiListenError: the address is taken or not ours.
        """
        sock = _listen(self._listener)
        self._task = asyncio.get_running_loop().create_task(self._server.serve([sock]), name="ops")
        host, port = sock.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and let go of connections."""
        if self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=STOP_S)
        if not done:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _listen(listener: ApiListener) -> socket.socket:
    family = socket.AF_INET6 if listener.host.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(listener.host), listener.port))
        # At once: whoever reads `ready` may connect before the server's task has run.
        sock.listen(CONNECTIONS_MAX)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ApiListenError(
            f"cannot listen on {listener}: {error.strerror}",
            hint="choose another address for node.api, or stop the program that listens there",
        ) from error
    return sock
