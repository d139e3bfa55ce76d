"""How the SIP stack is set up, and what it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sidestream.gateway.clock import SYSTEM_CLOCK, Clock
from sidestream.gateway.dns_cache import CacheLimits, DnsCounts
from sidestream.gateway.dns_client import DnsServer
from sidestream.gateway.hosts_file import HOSTS
from sidestream.gateway.tls_session import TlsSession
from sidestream.sip.admission import BODIES
from sidestream.sip.domain_certificate import CertificateNames
from sidestream.sip.guard import Guard
from sidestream.sip.hop import Hop, Source, Transport
from sidestream.sip.parser import MAX_MESSAGE
from sidestream.sip.runner import LayerCounts
from sidestream.sip.timers import TimerProfile
from sidestream.sip.tls_failure import TlsFailure
from sidestream.sip.transactions import MAX_TRANSACTIONS

Tap = Callable[[bool, bytes, Source], None]
"""Hears every message: whether it was sent, its bytes, and the peer with our own address."""

DEFAULT_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}
"""RFC 3261 §19.1.2."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A socket that SIP is listened on.

    Attributes:
        transport: "udp", "tcp" or "tls".
        host: IP address to bind, without brackets; `0.0.0.0` or `::` for every interface.
        port: port to bind; 0 lets the system choose one.
    """

    transport: Transport
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Bounds of TCP and TLS connections; times in seconds.

    Attributes:
        max_connections: connections in all, those being opened included; more are refused.
        max_per_source: accepted connections of one address; more are refused.
        max_message_bytes: largest message on a stream.
        max_unsent_bytes: what may wait to be sent on one connection; above it the connection is dropped.
        connect_timeout: to open one (RFC 3261 names no figure; 4 s lets the next hop still answer in time).
        message_timeout: for one whole message, from its first byte, and for the first message of an accepted
            connection.
        send_timeout: for a peer to read on after it stopped reading.
        idle_timeout: without a message or the peer's keep-alive.
        ping_interval: without traffic before we send a keep-alive on a connection that we opened
            (RFC 5626 §4.4.1); 0 sends none.
        pong_timeout: for the answer to it, from peers that have answered one before (RFC 5626 §4.4.1).
        max_handshakes: TLS handshakes of peers that may be open; one more, and the oldest is given up.
        max_handshakes_per_source: of one address.
        handshake_timeout: for the TLS handshake of a peer that connects; ours count to `connect_timeout`.
    """

    max_connections: int = 4096
    max_per_source: int = 256
    max_message_bytes: int = MAX_MESSAGE
    max_unsent_bytes: int = 1024 * 1024
    connect_timeout: float = 4.0
    message_timeout: float = 30.0
    send_timeout: float = 30.0
    idle_timeout: float = 600.0
    ping_interval: float = 30.0
    pong_timeout: float = 10.0
    max_handshakes: int = 512
    max_handshakes_per_source: int = 64
    handshake_timeout: float = 5.0


class TlsMaker(Protocol):
    """Makes the TLS of connections."""

    def accept(self) -> TlsSession:
        """For one that a peer opened."""
        ...

    def connect(self, hop: Hop) -> TlsSession:
        """For one that we open to a hop, whose domain, or else address, the peer must prove to be.

        Raises:
            TlsError: there is nothing to verify it with.
        """
        ...

    def proves(self, certificate: CertificateNames, hop: Hop) -> bool:
        """Whether the holder of a certificate is who a hop leads to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsOptions:
    """Whom names are asked of.

    Attributes:
        servers: address and port of DNS servers; none: the system's.
        hosts: the file of the machine's own names.
        limits: bounds of the cache.
    """

    servers: tuple[DnsServer, ...] = ()
    hosts: Path = HOSTS
    limits: CacheLimits = field(default_factory=CacheLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """How a stack behaves.

    Attributes:
        allowed_methods: methods that reach the user (`call.features.ALLOWED_METHODS` for a gateway); others
            get 405 or 501.
        supported: option tags, lower-cased, that a request may require; others get 420.
        bodies: media types that are understood, by method; others get 415. A method not named takes any.
        advertise: address or name for Via and Contact when it differs from the bound one.
        profile: timer values of the transactions.
        max_transactions: server transactions before new calls get 503.
        udp_buffer_bytes: wanted size of each socket buffer; the system may give less.
        streams: bounds of TCP and TLS.
        dns: whom names are asked of.
        guard: says which messages are looked at; None: all.
        clock: where the time comes from.
        tap: hears every message that is received or sent.
        tls: makes the TLS of connections; without it `tls` is neither listened on nor connected to.
    """

    allowed_methods: frozenset[str]
    supported: frozenset[str] = frozenset()
    bodies: Mapping[str, frozenset[str]] = field(default_factory=lambda: BODIES)
    advertise: str | None = None
    profile: TimerProfile = field(default_factory=TimerProfile)
    max_transactions: int = MAX_TRANSACTIONS
    udp_buffer_bytes: int = 4 * 1024 * 1024
    streams: StreamLimits = field(default_factory=StreamLimits)
    dns: DnsOptions = field(default_factory=DnsOptions)
    guard: Guard | None = None
    clock: Clock = SYSTEM_CLOCK
    tap: Tap | None = None
    tls: TlsMaker | None = None


class CloseReason(StrEnum):
    """Why a connection ended."""

    PEER = "peer"
    """The peer closed or reset it, or the network lost it."""
    IDLE = "idle"
    SLOW_MESSAGE = "slow_message"
    """A message, or the first one, did not come in time."""
    SLOW_READER = "slow_reader"
    """The peer does not read what we send."""
    NO_PONG = "no_pong"
    GARBAGE = "garbage"
    """What came cannot be cut into messages."""
    REFUSED = "refused"
    """There were too many."""
    SHUTDOWN = "shutdown"


@dataclass(slots=True)
class StackCounts:
    """What went through a stack since it was opened.

    Attributes:
        layer: what the transaction layer refused and could not match.
        received: whole messages and datagrams, by transport.
        sent: messages handed to the system or to a connection, by transport.
        unreachable: times a hop was found not to be reachable.
        dropped: messages dropped at a bound (socket queue, datagram size, connection being opened).
        handler_failures: events whose handler raised.
        connections: open connections, by transport.
        accepted: connections that peers opened, by transport.
        opened: connections that we opened, by transport.
        closed: ended connections, by reason.
        dns: questions to the DNS.
        handshakes: TLS handshakes that succeeded, by direction ("accepted", "opened") and version.
        handshakes_open: TLS handshakes going on.
        tls_failures: TLS handshakes that failed and TLS connections that broke, by direction and failure.
        aliases: requests sent back over a connection that the peer had opened for that, too (RFC 5923).
    """

    layer: LayerCounts = field(default_factory=LayerCounts)
    received: Counter[Transport] = field(default_factory=Counter)
    sent: Counter[Transport] = field(default_factory=Counter)
    unreachable: int = 0
    dropped: int = 0
    handler_failures: int = 0
    connections: Counter[Transport] = field(default_factory=Counter)
    accepted: Counter[Transport] = field(default_factory=Counter)
    opened: Counter[Transport] = field(default_factory=Counter)
    closed: Counter[CloseReason] = field(default_factory=Counter)
    dns: DnsCounts = field(default_factory=DnsCounts)
    handshakes: Counter[tuple[str, str]] = field(default_factory=Counter)
    handshakes_open: int = 0
    tls_failures: Counter[tuple[str, TlsFailure]] = field(default_factory=Counter)
    aliases: int = 0
