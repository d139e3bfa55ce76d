"""Who listens on TCP is found out beside the calls; connections and clock are invented."""

import asyncio

import pytest

from sidestream.gateway.clock import Clock
from sidestream.gateway.tcp_knowledge import ATTEMPTS_MAX, LISTENS_S, REFUSES_S, TcpKnowledge

pytestmark = pytest.mark.asyncio


class Network:
    """Where connections can be had, and where they hang."""

    def __init__(self) -> None:
        self.listening = {("192.0.2.1", 5060)}
        self.hanging = False
        self.tried: list[tuple[str, int]] = []
        self.now = 10.0
        self.tcp = TcpKnowledge(self.connect, 0.01, Clock(monotonic=lambda: self.now))

    async def connect(self, host: str, port: int) -> None:
        self.tried.append((host, port))
        if self.hanging:
            await asyncio.sleep(3600)
        if (host, port) not in self.listening:
            raise ConnectionRefusedError

    async def want(self, host: str) -> None:
        self.tcp.wanted(host, 5060)
        for _ in range(4):
            await asyncio.sleep(0)


async def test_nothing_is_known_before_it_is_wanted() -> None:
    network = Network()
    assert not network.tcp.listens("192.0.2.1", 5060)
    assert not network.tried


async def test_a_peer_that_takes_a_connection_listens_for_a_while() -> None:
    network = Network()
    await network.want("192.0.2.1")
    assert network.tcp.listens("192.0.2.1", 5060)
    await network.want("192.0.2.1")
    assert len(network.tried) == 1
    network.now += LISTENS_S
    assert not network.tcp.listens("192.0.2.1", 5060)
    await network.want("192.0.2.1")
    assert len(network.tried) == 2
    await network.tcp.close()


async def test_a_peer_that_refuses_is_left_alone_for_a_while() -> None:
    network = Network()
    await network.want("192.0.2.2")
    await network.want("192.0.2.2")
    assert not network.tcp.listens("192.0.2.2", 5060)
    assert len(network.tried) == 1
    network.now += REFUSES_S
    network.listening.add(("192.0.2.2", 5060))
    await network.want("192.0.2.2")
    assert network.tcp.listens("192.0.2.2", 5060)
    await network.tcp.close()


async def test_a_peer_that_says_nothing_counts_as_one_that_refuses() -> None:
    network = Network()
    network.hanging = True
    await network.want("192.0.2.1")
    await asyncio.sleep(0.05)
    network.hanging = False
    await network.want("192.0.2.1")
    assert len(network.tried) == 1
    assert not network.tcp.listens("192.0.2.1", 5060)
    await network.tcp.close()


async def test_attempts_are_bounded_and_end_with_the_owner() -> None:
    network = Network()
    network.hanging = True
    for number in range(ATTEMPTS_MAX + 5):
        await network.want(f"192.0.2.{number}")
    assert len(network.tried) == ATTEMPTS_MAX
    await network.tcp.close()
    await network.want("192.0.2.250")
    assert len(network.tried) == ATTEMPTS_MAX
