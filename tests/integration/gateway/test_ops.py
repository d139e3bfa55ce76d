"""Health and metrics on a real socket."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from sidestream.config.values import ApiListener
from sidestream.gateway.ops import ApiListenError, OpsApplication, OpsServer
from sidestream.observe.metrics import Metrics

pytestmark = pytest.mark.asyncio


def server(port: int = 0) -> OpsServer:
    return OpsServer(ApiListener(ip_address("127.0.0.1"), port), OpsApplication(lambda: True, Metrics()))


async def test_whoever_is_told_the_address_may_connect_at_once() -> None:
    ops = server()
    url = await ops.start()
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 1) as connection:
        # Connected before the server's task has run once.
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok\n")
    await ops.stop()


async def test_an_address_that_is_taken_is_told_at_once() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ApiListenError, match="cannot listen"),
    ):
        await server(taken.getsockname()[1]).start()
