"""Health, readiness and metrics over HTTP, and the calls below `/v1`."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from typing import Any, Final

import uvicorn

from sidestream.config.values import ApiListener
from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.api import Answer, Api, ApiRequest, problem
from sidestream.observe.logging import logger
from sidestream.observe.metrics import CONTENT_TYPE, Metrics

CONNECTIONS_MAX: Final = 64
KEEP_ALIVE_S: Final = 15
STOP_S: Final = 2.0
TEXT: Final = "text/plain"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ApiListenError(SidestreamError):
    """The address of the API cannot be listened on."""

    fault = Fault.OPERATOR


class OpsApplication:
    """Answers the three routes of operations, and hands the API's on (ASGI).

    Args:
        ready: whether new calls are taken.
        metrics: what `/metrics` tells.
        details: lines that `/readyz` adds: they say more, and do not change the status.
        api: answers what is below `/v1`; None: nothing is there.
    """

    def __init__(
        self,
        ready: Callable[[], bool],
        metrics: Metrics,
        details: Callable[[], Sequence[str]] = tuple,
        *,
        api: Api | None = None,
    ) -> None:
        self._api = api
        self._ready = ready
        self._metrics = metrics
        self._details = details

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP is left unanswered."""
        if scope["type"] != "http":
            return
        if self._api is not None and scope["path"].startswith("/v1/"):
            answer = await _of_api(self._api, scope)
        else:
            answer = self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *((name.encode(), value.encode()) for name, value in answer.headers),
        ]
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, method: str, path: str) -> Answer:
        if path not in {"/healthz", "/readyz", "/metrics"}:
            return Answer(404, TEXT, b"not found\n")
        if method not in {"GET", "HEAD"}:
            return Answer(405, TEXT, b"method not allowed\n", (("allow", "GET, HEAD"),))
        if path == "/metrics":
            return Answer(200, CONTENT_TYPE, self._metrics.expose())
        if path == "/healthz":
            return Answer(200, TEXT, b"ok\n")
        status, word = (200, "ok") if self._ready() else (503, "draining")
        return Answer(status, TEXT, "".join(f"{line}\n" for line in (word, *self._details())).encode())


async def _of_api(api: Api, scope: Message) -> Answer:
    """Ask the API; an error of ours is one answer, and none of the caller's business."""
    request = ApiRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
    )
    try:
        return await api.answer(request)
    except Exception:  # noqa: BLE001 - one request's fault must not be another's
        logger(part="api").exception("an error in the answering of a request", path=request.path)
        return problem(500, "internal-error", "The gateway failed to answer; its log says why.")


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
