from collections.abc import MutableMapping
from typing import Any

import pytest

from sidestream.gateway.ops import OpsApplication
from sidestream.observe.metrics import Metrics


async def ask(path: str, *, method: str = "GET", ready: bool = True) -> tuple[int, bytes, dict[bytes, bytes]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("no route reads a body")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    application = OpsApplication(lambda: ready, Metrics())
    await application({"type": "http", "method": method, "path": path}, receive, send)
    start, body = sent
    return start["status"], body["body"], dict(start["headers"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "ready", "status"),
    [
        ("/healthz", True, 200),
        ("/healthz", False, 200),
        ("/readyz", True, 200),
        ("/readyz", False, 503),
        ("/metrics", False, 200),
        ("/", True, 404),
        ("/metrics/", True, 404),
    ],
)
async def test_routes(path: str, ready: bool, status: int) -> None:
    assert (await ask(path, ready=ready))[0] == status


@pytest.mark.asyncio
async def test_metrics_are_in_the_text_format() -> None:
    status, body, headers = await ask("/metrics")
    assert (status, headers[b"content-type"]) == (200, b"text/plain; version=0.0.4; charset=utf-8")
    assert b"# TYPE sidestream_calls_total counter" in body
    assert headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.asyncio
async def test_a_head_request_gets_no_body_and_others_are_refused() -> None:
    status, body, headers = await ask("/healthz", method="HEAD")
    assert (status, body, headers[b"content-length"]) == (200, b"", b"3")
    status, _, headers = await ask("/healthz", method="POST")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")


@pytest.mark.asyncio
async def test_readiness_tells_details_that_do_not_change_it() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("no route reads a body")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    application = OpsApplication(lambda: True, Metrics(), lambda: ["peer acme/carrier sip:192.0.2.1 down"])
    await application({"type": "http", "method": "GET", "path": "/readyz"}, receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"ok\npeer acme/carrier sip:192.0.2.1 down\n")
