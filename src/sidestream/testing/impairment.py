"""A bad network on demand: a UDP proxy that loses, doubles, reorders and delays datagrams.

It does so the same way each time for a seed. What happens to a datagram is decided by `Impairment`,
which is pure; `ImpairmentProxy` carries it out between two addresses. It is made for tests: a handful of
calls, not a load.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

Address = tuple[str, int]

MAX_WAITING = 10_000
"""Datagrams on their way through one proxy; more are lost, and counted as overflow."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How bad the network is; shares are between 0 and 1, times in seconds.

    Attributes:
        loss: share of datagrams that never arrive.
        duplicate: share that arrives twice.
        reorder: share that is held back so that later ones overtake it.
        reorder_delay: how long those are held back.
        jitter: every datagram is delayed by a time drawn evenly between 0 and this; they keep their order.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_delay: float = 0.03
    jitter: float = 0.0


@dataclass(slots=True)
class Impairment:
    """Decides what becomes of each datagram of one direction.

    The draws depend on the seed and the count of datagrams only, so that a test meets the same network again.
    """

    profile: Profile
    seed: int
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    _chance: random.Random = field(init=False)
    _latest: float = 0.0

    def __post_init__(self) -> None:
        """Begin the draws."""
        self._chance = random.Random(self.seed)  # noqa: S311 -- repeatable on purpose

    def plan(self, now: float) -> list[float]:
        """Return when a datagram sent at `now` arrives: never, once or twice; on the clock of `now`."""
        fate, double, overtaken, jitter = (self._chance.random() for _ in range(4))
        profile = self.profile
        if fate < profile.loss:
            self.lost += 1
            return []
        arrival = max(now + jitter * profile.jitter, self._latest)
        if overtaken < profile.reorder:
            self.reordered += 1
            arrival += profile.reorder_delay
        else:
            self._latest = arrival
        if double < profile.duplicate:
            self.duplicated += 1
            return [arrival, arrival]
        return [arrival]


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, address: tuple[str | int, ...]) -> None:
        self._received(data, (str(address[0]), int(address[1])))


@dataclass(slots=True)
class ImpairmentProxy:
    """Stands between a near party and a far one, each of which knows only the proxy's socket on its side.

    A party is found by the first datagram that comes from it, or by `connect`. Make one with
    `ImpairmentProxy.open`, and close it.
    """

    outward: Impairment
    """From the near party to the far one."""
    inward: Impairment
    overflow: int = 0
    _near: asyncio.DatagramTransport | None = None
    _far: asyncio.DatagramTransport | None = None
    _near_party: Address | None = None
    _far_party: Address | None = None
    _waiting: set[asyncio.TimerHandle] = field(default_factory=set)

    @classmethod
    async def open(cls, host: str, outward: Impairment, inward: Impairment) -> "ImpairmentProxy":
        """Bind both sockets on an address."""
        proxy = cls(outward, inward)
        loop = asyncio.get_running_loop()
        proxy._near, _ = await loop.create_datagram_endpoint(lambda: _Side(proxy._from_near), (host, 0))
        proxy._far, _ = await loop.create_datagram_endpoint(lambda: _Side(proxy._from_far), (host, 0))
        return proxy

    @property
    def near_address(self) -> Address:
        """Where the near party sends to."""
        return _local(self._near)

    @property
    def far_address(self) -> Address:
        """Where the far party sends to, and hears the near one from."""
        return _local(self._far)

    def connect(self, near: Address | None = None, far: Address | None = None) -> None:
        """Say where the parties are."""
        self._near_party = near or self._near_party
        self._far_party = far or self._far_party

    def close(self) -> None:
        """Close both sockets; what is on its way is lost."""
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
        for transport in (self._near, self._far):
            if transport is not None:
                transport.close()

    def _from_near(self, data: bytes, source: Address) -> None:
        self._near_party = self._near_party or source
        self._pass_on(self.outward, data, lambda: (self._far, self._far_party))

    def _from_far(self, data: bytes, source: Address) -> None:
        self._far_party = self._far_party or source
        self._pass_on(self.inward, data, lambda: (self._near, self._near_party))

    def _pass_on(
        self,
        impairment: Impairment,
        data: bytes,
        target: Callable[[], tuple[asyncio.DatagramTransport | None, Address | None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        for arrival in impairment.plan(loop.time()):
            if len(self._waiting) >= MAX_WAITING:
                self.overflow += 1
                continue
            self._deliver_at(arrival, data, target)

    def _deliver_at(
        self,
        arrival: float,
        data: bytes,
        target: Callable[[], tuple[asyncio.DatagramTransport | None, Address | None]],
    ) -> None:
        handles: list[asyncio.TimerHandle] = []

        def deliver() -> None:
            self._waiting.discard(handles[0])
            transport, party = target()
            if transport is not None and party is not None:
                transport.sendto(data, party)

        handles.append(asyncio.get_running_loop().call_at(arrival, deliver))
        self._waiting.add(handles[0])


def _local(transport: asyncio.DatagramTransport | None) -> Address:
    assert transport is not None, "the proxy is open"  # noqa: S101 -- made by `open` only
    host, port = transport.get_extra_info("sockname")[:2]
    return str(host), int(port)
