"""Every TCP and TLS connection: found again, opened, bounded and given up (RFC 3261 §18, RFC 5626)."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sidestream.gateway.clock import Clock
from sidestream.gateway.sip_options import CloseReason, StackCounts, StreamLimits
from sidestream.gateway.sip_pump import Upstream
from sidestream.gateway.sip_sockets import family_of, outgoing_tcp
from sidestream.gateway.sip_stream import StreamConnection
from sidestream.gateway.tasks import TaskOwner
from sidestream.sip.hop import Hop, Transport

_LONGEST_SWEEP_S = 1.0
_STALE_FLOWS = 64
_FAILURES_KEPT = 1024
_FAILURE_REMEMBERED_S = 60.0

PeerKey = tuple[Transport, str, int]


@dataclass(slots=True)
class _Dial:
    """A connection being opened and what waits for it."""

    connection: StreamConnection
    waiting: list[bytes] = field(default_factory=list)
    waiting_bytes: int = 0


class Connections:
    """Keeps the connections of one stack.

    A message to a hop goes over the hop's flow while that lives, else over any connection with the same peer
    address and port, else over a new one. What waits for a connection that cannot be opened is lost, and the
    layer is told so that it tries the next hop.

    Args:
        upstream: hears what comes and what fails.
        limits: bounds.
        counts: where to count.
        clock: gives the time.
        flows: gives the next flow number.
        source_host: the address to connect to a hop from, None for the system's choice.
        tls: for outgoing TLS; without it such hops fail.
    """

    def __init__(
        self,
        upstream: Upstream,
        limits: StreamLimits,
        *,
        counts: StackCounts,
        clock: Clock,
        flows: itertools.count[int],
        source_host: Callable[[Transport, str], str | None],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._upstream = upstream
        self._limits = limits
        self._counts = counts
        self._clock = clock
        self._flows = flows
        self._source_host = source_host
        self._tls = tls
        self._tasks = TaskOwner("sip_connections")
        self._alive: set[StreamConnection] = set()
        self._by_flow: dict[int, StreamConnection] = {}
        self._by_peer: dict[PeerKey, StreamConnection] = {}
        self._accepted_from: Counter[str] = Counter()
        self._dials: dict[PeerKey, _Dial] = {}
        self._refused_at: dict[PeerKey, float] = {}
        self._closed = False
        self._tasks.spawn(self._sweep(), "sweep")

    def __len__(self) -> int:
        return len(self._alive)

    @property
    def unsent(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._dials) or any(one.unsent_bytes for one in self._alive)

    def accept(self, transport: Transport) -> StreamConnection:
        """Make the protocol of a connection that a peer opens."""
        return self._make(transport, None)

    def refused_lately(self, hop: Hop) -> bool:
        """Whether a connection to this hop could not be opened within the last minute."""
        at = self._refused_at.get(_key(hop))
        return at is not None and self._clock.monotonic() - at < _FAILURE_REMEMBERED_S

    def send(self, data: bytes, hop: Hop) -> None:
        """Send a message over the best connection there is, or open one."""
        connection = None if hop.flow is None else self._by_flow.get(hop.flow)
        if connection is None or connection.transport != hop.transport:
            connection = self._by_peer.get(_key(hop))
        if connection is not None:
            self._note_stale(connection, hop)
            connection.send(data)
            return
        dial = self._dials.get(_key(hop)) or self._dial(hop)
        if dial is None:
            self._upstream.transport_failed(Hop(hop.transport, hop.host, hop.port))
        elif dial.waiting_bytes + len(data) > self._limits.max_unsent_bytes:
            self._counts.dropped += 1
        else:
            self._note_stale(dial.connection, hop)
            dial.waiting.append(data)
            dial.waiting_bytes += len(data)

    async def close(self) -> None:
        """Close all of them and wait until their sockets are gone, for a second at most."""
        self._closed = True
        await self._tasks.close()
        self._dials.clear()
        for connection in list(self._alive):
            if connection.unsent_bytes:
                connection.abort(CloseReason.SHUTDOWN)
            else:
                connection.close(CloseReason.SHUTDOWN)
        deadline = self._clock.monotonic() + 1.0
        while self._alive and self._clock.monotonic() < deadline:  # noqa: ASYNC110 - a millisecond, once
            await asyncio.sleep(0.001)
        for connection in list(self._alive):
            connection.abort(CloseReason.SHUTDOWN)
        await asyncio.sleep(0)

    def opened(self, connection: StreamConnection) -> bool:
        """See `ConnectionOwner.opened`."""
        host = connection.hop.host
        if self._closed or (connection.dialed is None and self._full(host)):
            self._counts.closed[CloseReason.REFUSED] += 1
            return False
        self._alive.add(connection)
        self._by_flow[connection.flow] = connection
        self._by_peer[_key(connection.hop)] = connection
        self._counts.connections[connection.transport] += 1
        if connection.dialed is None:
            self._counts.accepted[connection.transport] += 1
            self._accepted_from[host] += 1
            return True
        self._counts.opened[connection.transport] += 1
        self._refused_at.pop(_key(connection.hop), None)
        dial = self._dials.pop(_key(connection.hop), None)
        for data in dial.waiting if dial is not None else ():
            connection.send(data)
        return True

    def let_go(self, connection: StreamConnection, reason: CloseReason) -> None:
        """See `ConnectionOwner.let_go`."""
        self._counts.closed[reason] += 1
        hop = connection.hop
        self._by_flow.pop(connection.flow, None)
        if self._by_peer.get(_key(hop)) is connection:
            del self._by_peer[_key(hop)]
        self._upstream.transport_failed(hop)
        for flow in connection.stale_flows:
            self._upstream.transport_failed(Hop(hop.transport, hop.host, hop.port, flow))

    def lost(self, connection: StreamConnection) -> None:
        """See `ConnectionOwner.lost`."""
        self._alive.discard(connection)
        self._counts.connections[connection.transport] -= 1
        if connection.dialed is None:
            host = connection.hop.host
            self._accepted_from[host] -= 1
            if not self._accepted_from[host]:
                del self._accepted_from[host]

    def _make(self, transport: Transport, dialed: Hop | None) -> StreamConnection:
        return StreamConnection(
            transport,
            next(self._flows),
            dialed,
            owner=self,
            upstream=self._upstream,
            limits=self._limits,
            counts=self._counts,
            clock=self._clock,
        )

    def _full(self, host: str) -> bool:
        limits = self._limits
        total = len(self._alive) + len(self._dials)
        return total >= limits.max_connections or self._accepted_from[host] >= limits.max_per_source

    def _note_stale(self, connection: StreamConnection, hop: Hop) -> None:
        """Remember a flow that is gone and whose messages go over another, to tell when that breaks too."""
        if (
            hop.flow is not None
            and hop.flow != connection.flow
            and len(connection.stale_flows) < _STALE_FLOWS
        ):
            connection.stale_flows.add(hop.flow)

    def _dial(self, hop: Hop) -> _Dial | None:
        """Begin to open a connection; None when that is not possible."""
        family = family_of(hop.host)
        total = len(self._alive) + len(self._dials)
        if self._closed or family is None or total >= self._limits.max_connections:
            return None
        if hop.transport == "tls" and self._tls is None:
            return None
        target = Hop(hop.transport, hop.host, hop.port)
        dial = self._dials[_key(hop)] = _Dial(self._make(hop.transport, target))
        self._tasks.spawn(self._open(target, dial), f"connect {hop.host}:{hop.port}")
        return dial

    async def _open(self, hop: Hop, dial: _Dial) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                await self._connect(hop, dial.connection)
        except (OSError, TimeoutError):
            self._dials.pop(_key(hop), None)
            self._remember_refusal(hop)
            self._upstream.transport_failed(hop)

    async def _connect(self, hop: Hop, connection: StreamConnection) -> None:
        loop = asyncio.get_running_loop()
        family = family_of(hop.host)
        if family is None:
            raise OSError(f"{hop.host} is not an IP address")
        sock = outgoing_tcp(family, self._source_host(hop.transport, hop.host))
        try:
            await loop.sock_connect(sock, (hop.host, hop.port))
        except BaseException:
            sock.close()
            raise
        tls = self._tls if hop.transport == "tls" else None
        name = hop.host if tls is not None else None
        # From here on the loop's transport owns the socket and closes it when this fails or is cancelled.
        await loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=name)

    def _remember_refusal(self, hop: Hop) -> None:
        if len(self._refused_at) >= _FAILURES_KEPT:
            self._refused_at.clear()
        self._refused_at[_key(hop)] = self._clock.monotonic()

    async def _sweep(self) -> None:
        """Ask each connection whether its time is up; the shortest limit is kept to within a quarter."""
        limits = self._limits
        times = (limits.message_timeout, limits.send_timeout, limits.idle_timeout, limits.pong_timeout)
        shortest = min(*times, limits.ping_interval or limits.idle_timeout)
        while True:
            await asyncio.sleep(min(_LONGEST_SWEEP_S, shortest / 4))
            now = self._clock.monotonic()
            for connection in list(self._alive):
                reason = connection.judge(now)
                if reason is CloseReason.IDLE:
                    connection.close(reason)
                elif reason is not None:
                    connection.abort(reason)
                elif connection.wants_ping(now):
                    connection.ping(now)


def _key(hop: Hop) -> PeerKey:
    return hop.transport, hop.host, hop.port
