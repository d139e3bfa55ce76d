"""Every TCP and TLS connection: found again, opened, bounded and given up (RFC 3261 §18, RFC 5626)."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sidestream.gateway.clock import Clock
from sidestream.gateway.sip_options import DEFAULT_PORTS, CloseReason, StackCounts, StreamLimits, TlsMaker
from sidestream.gateway.sip_pump import Upstream
from sidestream.gateway.sip_sockets import family_of, outgoing_tcp
from sidestream.gateway.sip_stream import StreamConnection
from sidestream.gateway.tasks import TaskOwner
from sidestream.gateway.tls_handshakes import Handshakes
from sidestream.gateway.tls_session import TlsError
from sidestream.gateway.tls_wire import TlsWire
from sidestream.sip.errors import ParseError
from sidestream.sip.hop import Hop, Transport
from sidestream.sip.message import Request
from sidestream.sip.parser import parse_message
from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

_LONGEST_SWEEP_S = 1.0
_STALE_FLOWS = 64
_FAILURES_KEPT = 1024
_ALIASES = 4096
_FAILURE_REMEMBERED_S = 60.0

PeerKey = tuple[Transport, str, int, str]
"""Transport, address, port, and who the peer has proven to be."""


@dataclass(slots=True)
class _Dial:
    """A connection being opened and what waits for it."""

    connection: StreamConnection
    waiting: list[bytes] = field(default_factory=list)
    waiting_bytes: int = 0
    wire: TlsWire | None = None
    settled: asyncio.Future[None] | None = None
    """Set when the handshake is done, or with what it failed by; None without TLS."""


class Connections:
    """Keeps the connections of one stack.

    A message to a hop goes over the hop's flow while that lives, else over any connection with the same peer
    address and port, else over a new one. Over TLS, one that the peer has opened and means for our requests
    too serves as well, when its certificate proves who the hop leads to (RFC 5923 §5). What waits for a
    connection that cannot be opened is lost, and the layer is told so that it tries the next hop.

    Args:
        upstream: hears what comes and what fails.
        limits: bounds.
        counts: where to count.
        clock: gives the time.
        flows: gives the next flow number.
        source_host: the address to connect to a hop from, None for the system's choice.
        tls: makes the TLS of connections; without it such hops fail.
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
        tls: TlsMaker | None,
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
        self._aliases: dict[tuple[str, int], StreamConnection] = {}
        self._handshakes = Handshakes(limits, counts, clock, self._full, self._tls_failed)
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

    def accept(self, transport: Transport) -> asyncio.Protocol:
        """Make the protocol of a connection that a peer opens."""
        connection = self._make(transport, None)
        if transport != "tls" or self._tls is None:
            return connection
        return TlsWire(self._tls.accept(), connection, self._handshakes, dialed=False)

    def refused_lately(self, hop: Hop) -> bool:
        """Whether a connection to this hop could not be opened within the last minute."""
        at = self._refused_at.get(_key(hop))
        return at is not None and self._clock.monotonic() - at < _FAILURE_REMEMBERED_S

    def send(self, data: bytes, hop: Hop) -> None:
        """Send a message over the best connection there is, or open one."""
        connection = None if hop.flow is None else self._by_flow.get(hop.flow)
        if connection is None or connection.transport != hop.transport:
            connection = self._by_peer.get(_key(hop)) or self._alias(hop)
        if connection is not None:
            self._note_stale(connection, hop)
            connection.send(data)
            return
        try:
            dial = self._dials.get(_key(hop)) or self._dial(hop)
        except TlsError as error:
            self._upstream.transport_failed(replace(hop, flow=None), error.trouble)
            return
        if dial is None:
            self._upstream.transport_failed(replace(hop, flow=None))
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
        self._handshakes.close()
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
        if dial is not None and dial.settled is not None and not dial.settled.done():
            dial.settled.set_result(None)
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
        for alias in [place for place, one in self._aliases.items() if one is connection]:
            del self._aliases[alias]
        self._upstream.transport_failed(hop, connection.trouble)
        for flow in connection.stale_flows:
            self._upstream.transport_failed(replace(hop, flow=flow), connection.trouble)

    def lost(self, connection: StreamConnection) -> None:
        """See `ConnectionOwner.lost`."""
        self._alive.discard(connection)
        self._counts.connections[connection.transport] -= 1
        if connection.dialed is None:
            host = connection.hop.host
            self._accepted_from[host] -= 1
            if not self._accepted_from[host]:
                del self._accepted_from[host]

    def heard_first(self, connection: StreamConnection, message: bytes) -> None:
        """See `ConnectionOwner.heard_first`: its Via may let us send requests over it, too (RFC 5923 §5.2).

        Only of a peer that has proven by its certificate who it is; and what is sent there is only what is
        meant for whom the certificate names.
        """
        if connection.dialed is not None or connection.certificate is None:
            return
        try:
            request = parse_message(message)
            via = request.top_via
        except ParseError:
            return
        if isinstance(request, Request) and "alias" in via.params and len(self._aliases) < _ALIASES:
            self._aliases[connection.hop.host, via.port or DEFAULT_PORTS["tls"]] = connection

    def _alias(self, hop: Hop) -> StreamConnection | None:
        connection = self._aliases.get((hop.host, hop.port)) if hop.transport == "tls" else None
        if connection is None or connection.certificate is None or self._tls is None:
            return None
        if not self._tls.proves(connection.certificate, hop):
            return None
        self._counts.aliases += 1
        return connection

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
        total = len(self._alive) + len(self._dials) + self._handshakes.accepted
        return (
            self._closed
            or total >= limits.max_connections
            or self._accepted_from[host] >= limits.max_per_source
        )

    def _note_stale(self, connection: StreamConnection, hop: Hop) -> None:
        """Remember a flow that is gone and whose messages go over another, to tell when that breaks too."""
        if (
            hop.flow is not None
            and hop.flow != connection.flow
            and len(connection.stale_flows) < _STALE_FLOWS
        ):
            connection.stale_flows.add(hop.flow)

    def _dial(self, hop: Hop) -> _Dial | None:
        """Begin to open a connection; None when that is not possible.

        Raises:
            TlsError: there is nothing to verify its peer with.
        """
        family = family_of(hop.host)
        total = len(self._alive) + len(self._dials)
        if self._closed or family is None or total >= self._limits.max_connections:
            return None
        target = replace(hop, flow=None)
        dial = _Dial(self._make(hop.transport, target))
        if hop.transport == "tls":
            if self._tls is None:
                return None
            session = self._tls.connect(target)
            dial.wire = TlsWire(session, dial.connection, self._handshakes, dialed=True)
            dial.settled = asyncio.get_running_loop().create_future()
        self._dials[_key(hop)] = dial
        self._tasks.spawn(self._open(target, dial), f"connect {hop.host}:{hop.port}")
        return dial

    async def _open(self, hop: Hop, dial: _Dial) -> None:
        trouble = None
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                await self._connect(hop, dial)
        except TlsError as error:
            trouble = error.trouble
        except (OSError, TimeoutError):
            if dial.wire is not None and dial.wire.peer:
                trouble = TlsTrouble(TlsFailure.TIMEOUT, "the handshake was not done in time")
                dial.wire.give_up(trouble)
        else:
            return
        self._dials.pop(_key(hop), None)
        self._remember_refusal(hop)
        self._upstream.transport_failed(hop, trouble)

    def _tls_failed(self, wire: TlsWire, trouble: TlsTrouble) -> None:
        """A handshake failed, or a connection broke in its TLS."""
        connection = wire.above
        if not isinstance(connection, StreamConnection):
            return
        connection.trouble = trouble
        dial = self._dials.get(_key(connection.dialed)) if connection.dialed is not None else None
        if dial is not None and dial.wire is wire and dial.settled is not None and not dial.settled.done():
            dial.settled.set_exception(TlsError(trouble))

    async def _connect(self, hop: Hop, dial: _Dial) -> None:
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
        protocol = dial.wire or dial.connection
        # From here on the loop's transport owns the socket and closes it when this fails or is cancelled.
        await loop.create_connection(lambda: protocol, sock=sock)
        if dial.settled is not None:
            await dial.settled

    def _remember_refusal(self, hop: Hop) -> None:
        if len(self._refused_at) >= _FAILURES_KEPT:
            self._refused_at.clear()
        self._refused_at[_key(hop)] = self._clock.monotonic()

    async def _sweep(self) -> None:
        """Ask each connection whether its time is up; the shortest limit is kept to within a quarter."""
        limits = self._limits
        shortest = min(
            limits.message_timeout,
            limits.send_timeout,
            limits.idle_timeout,
            limits.pong_timeout,
            limits.handshake_timeout,
            limits.ping_interval or limits.idle_timeout,
        )
        while True:
            await asyncio.sleep(min(_LONGEST_SWEEP_S, shortest / 4))
            now = self._clock.monotonic()
            self._handshakes.sweep(now)
            for connection in list(self._alive):
                reason = connection.judge(now)
                if reason is CloseReason.IDLE:
                    connection.close(reason)
                elif reason is not None:
                    connection.abort(reason)
                elif connection.wants_ping(now):
                    connection.ping(now)


def _key(hop: Hop) -> PeerKey:
    return hop.transport, hop.host, hop.port, hop.domain or ""
