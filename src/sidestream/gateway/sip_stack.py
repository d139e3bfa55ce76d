"""The SIP stack of a process: sockets below, the transaction layer inside, events above."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from sidestream.gateway.dns_cache import DnsCache
from sidestream.gateway.dns_client import DnsClient
from sidestream.gateway.hosts_file import HostsFile
from sidestream.gateway.ids import new_token
from sidestream.gateway.resolve import ResolveError, Resolver, families_of
from sidestream.gateway.sip_addresses import OwnAddresses
from sidestream.gateway.sip_connections import Connections
from sidestream.gateway.sip_options import ListenAddress, StackCounts, StackOptions
from sidestream.gateway.sip_pump import Pump
from sidestream.gateway.sip_sockets import ListenError, family_of, listen_tcp, listen_udp, outgoing_tcp
from sidestream.gateway.sip_udp import UdpListener
from sidestream.gateway.tcp_knowledge import TcpKnowledge
from sidestream.sip.client_side import LARGEST_DATAGRAM
from sidestream.sip.events import ClientKey, ServerKey, SipEvent
from sidestream.sip.headers import MAGIC_COOKIE
from sidestream.sip.hop import Hop, Outgoing
from sidestream.sip.message import Request, Response
from sidestream.sip.transactions import TransactionLayer

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_DRAIN_STEP_S = 0.005
_RESPONSE = b"SIP/2.0 "


def new_branch() -> str:
    """A branch that is unique across space and time (RFC 3261 §8.1.1.7)."""
    return MAGIC_COOKIE + new_token()


class SipStack:
    """Sends and receives SIP for whoever opened it. Used from the loop's thread only.

    `on_event` is called from the loop, never from inside a method of the stack. It may call every method.
    What it raises is logged and counted, and the stack goes on.

    Attributes:
        bound: the listening addresses with their real ports, in the order given.
        contacts: our Contact URI by transport, as `call.setup.ServerIdentity` wants it.
        counts: what went through.
    """

    def __init__(
        self,
        sockets: Sequence[tuple[ListenAddress, socket.socket]],
        on_event: Callable[[SipEvent], None],
        options: StackOptions,
    ) -> None:
        """Use `open`."""
        flows = itertools.count(1)
        numbered = [(next(flows), address, sock) for address, sock in sockets]
        self.bound: tuple[ListenAddress, ...] = tuple(address for address, _ in sockets)
        self.counts = StackCounts()
        own = self._own = OwnAddresses(
            self.bound,
            options.advertise,
            {flow: address for flow, address, _ in numbered if address.transport == "udp"},
        )
        self.contacts: Mapping[str, str] = own.contacts()
        self._guard = options.guard
        layer = self._layer = TransactionLayer(
            profile=options.profile,
            local=own,
            branch=new_branch,
            allowed_methods=options.allowed_methods,
            supported=options.supported,
            max_transactions=options.max_transactions,
            bodies=options.bodies,
        )
        self.counts.layer = layer.counts
        self._pump = Pump(
            layer,
            self._transmit,
            on_event,
            clock=options.clock,
            counts=self.counts,
            guard=options.guard,
            tap=options.tap,
        )
        self._connections = Connections(
            self._pump,
            options.streams,
            counts=self.counts,
            clock=options.clock,
            flows=flows,
            source_host=own.source_host,
            tls=options.tls,
        )
        hosts = HostsFile(options.dns.hosts, options.clock.monotonic)
        limits = options.dns.limits
        client = DnsClient(hosts, servers=options.dns.servers, deadline=limits.deadline)
        cache = self._dns = DnsCache(client, limits, options.clock)
        self.counts.dns = cache.counts
        self._tcp = TcpKnowledge(self._try_tcp, options.streams.connect_timeout, options.clock)
        self._resolver = Resolver(
            cache,
            families=families_of([one.host for one in self.bound]),
            listened={one.transport for one in self.bound},
            tcp=self._tcp,
        )
        self._udp = {
            flow: UdpListener(sock, address, flow, self._pump, self.counts)
            for flow, address, sock in numbered
            if address.transport == "udp"
        }
        self._udp_by_address = {
            address: self._udp[flow] for flow, address, _ in numbered if address.transport == "udp"
        }
        self._servers: list[asyncio.Server] = []

    @classmethod
    async def open(
        cls,
        listeners: Sequence[ListenAddress],
        on_event: Callable[[SipEvent], None],
        options: StackOptions,
    ) -> SipStack:
        """Bind every listener and begin to receive.

        Args:
            listeners: at least one.
            on_event: hears every event, from the loop.
            options: how to behave.

        Raises:
            ListenError: when one of them cannot be bound; none is left open.
        """
        if not listeners:
            raise ListenError("nothing to listen on", hint="name one address at least")
        if options.tls is None and any(one.transport == "tls" for one in listeners):
            raise ListenError(
                "TLS is listened on without a certificate", hint="give a certificate and its key"
            )
        with contextlib.ExitStack() as opened:
            sockets = []
            for address in listeners:
                udp = address.transport == "udp"
                sock = listen_udp(address, options.udp_buffer_bytes) if udp else listen_tcp(address)
                opened.callback(sock.close)
                sockets.append((replace(address, port=int(sock.getsockname()[1])), sock))
            stack = cls(sockets, on_event, options)
            try:
                await stack._serve(sockets)
            except BaseException:
                await stack.close(drain=0.0)
                raise
            opened.pop_all()
        return stack

    @property
    def transactions(self) -> int:
        """How many transactions live, those waiting out their timers included."""
        return self._layer.client_count + self._layer.server_count

    def send_request(self, request: Request, hops: Sequence[Hop]) -> ClientKey:
        """See `TransactionLayer.send_request`; the hops' hosts are IP addresses, as `resolve` gives them."""
        key = self._layer.send_request(request, hops, self._pump.now())
        self._pump.push()
        return key

    def send_ack(self, ack: Request, hop: Hop) -> None:
        """See `TransactionLayer.send_ack`."""
        self._layer.send_ack(ack, hop, self._pump.now())
        self._pump.push()

    def cancel(self, key: ClientKey, reason: str | None = None) -> None:
        """See `TransactionLayer.cancel`."""
        self._layer.cancel(key, self._pump.now(), reason)
        self._pump.push()

    def respond(self, key: ServerKey, response: Response) -> None:
        """See `TransactionLayer.respond`."""
        self._layer.respond(key, response, self._pump.now())
        self._pump.push()

    def confirm_1xx(self, key: ServerKey) -> None:
        """See `TransactionLayer.confirm_1xx`."""
        self._layer.confirm_1xx(key, self._pump.now())
        self._pump.push()

    def confirm_2xx(self, key: ServerKey) -> None:
        """See `TransactionLayer.confirm_2xx`."""
        self._layer.confirm_2xx(key, self._pump.now())
        self._pump.push()

    def resolve_now(self, uri: str) -> tuple[Hop, ...] | None:
        """As `resolve`, without waiting: None when a name must be looked up first."""
        try:
            hops = self._resolver.resolve_now(uri)
        except ResolveError as error:
            return _unresolved(uri, error)
        return None if hops is None else self._without_refused(hops)

    async def resolve(self, uri: str) -> tuple[Hop, ...]:
        """The hops of a URI in order of preference (RFC 3263; see `gateway.resolve`).

        A TCP hop beside a UDP one is left out for a minute after it could not be connected to, so that no
        large request waits for the same refusal again.

        Returns:
            None at all when the URI leads nowhere, or not in time; the log says why.
        """
        try:
            return self._without_refused(await self._resolver.resolve(uri))
        except ResolveError as error:
            return _unresolved(uri, error)

    async def drain(self, within: float) -> bool:
        """Wait until all that was sent has left this process.

        Args:
            within: seconds to wait at most.

        Returns:
            Whether it has.
        """
        deadline = self._pump.now() + within
        while self._unsent():
            if self._pump.now() >= deadline:
                return False
            await asyncio.sleep(_DRAIN_STEP_S)
        return True

    async def close(self, drain: float = 1.0) -> None:
        """Close every socket; no event comes after it. Safe to call again.

        Args:
            drain: seconds that unsent messages may take to leave.
        """
        for server in self._servers:
            server.close()
        await self.drain(drain)
        self._pump.close()
        await self._tcp.close()
        await self._resolver.close()
        await self._connections.close()
        for listener in self._udp.values():
            listener.close()

    async def _serve(self, sockets: Sequence[tuple[ListenAddress, socket.socket]]) -> None:
        loop = asyncio.get_running_loop()
        for address, sock in sockets:
            if address.transport == "udp":
                continue
            accept = self._acceptor(address)
            self._servers.append(await loop.create_server(accept, sock=sock, backlog=1024))

    def _acceptor(self, address: ListenAddress) -> Callable[[], asyncio.BaseProtocol]:
        return lambda: self._connections.accept(address.transport)

    def _transmit(self, outgoing: Outgoing) -> None:
        hop, data = outgoing.hop, outgoing.data
        is_request = not data.startswith(_RESPONSE)
        if self._guard is not None and is_request:
            self._guard.acquaint(hop.host, self._pump.now())
        if hop.transport != "udp":
            self._connections.send(data, hop)
            return
        listener = None if hop.flow is None else self._udp.get(hop.flow)
        if listener is None:
            address = self._own.listener("udp", hop.host)
            listener = None if address is None else self._udp_by_address[address]
        if listener is None:
            self._pump.transport_failed(Hop("udp", hop.host, hop.port))
            return
        if self._guard is not None and not is_request:
            allowed = self._guard.answer(data, hop.host, self._pump.now())
            if allowed is None:
                return
            data = allowed
        listener.send(data, hop.host, hop.port)
        if is_request and len(data) > LARGEST_DATAGRAM:
            self._tcp.wanted(hop.host, hop.port)

    async def _try_tcp(self, host: str, port: int) -> None:
        """Open a connection and close it again."""
        family = family_of(host)
        if family is None or "tcp" not in self.contacts:
            raise OSError(f"no TCP to {host}")
        with contextlib.closing(outgoing_tcp(family, self._own.source_host("tcp", host))) as sock:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))

    def _without_refused(self, hops: tuple[Hop, ...]) -> tuple[Hop, ...]:
        if hops[0].transport != "udp":
            return hops
        refused = self._connections.refused_lately
        return tuple(hop for hop in hops if hop.transport == "udp" or not refused(hop))

    def _unsent(self) -> bool:
        return self._connections.unsent or any(listener.unsent for listener in self._udp.values())


def _unresolved(uri: str, error: ResolveError) -> tuple[Hop, ...]:
    _log.warning("sip_uri_unresolved", uri=uri, reason=str(error), hint=error.hint)
    return ()
