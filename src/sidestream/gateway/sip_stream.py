"""SIP over one TCP or TLS connection (RFC 3261 §18.3, RFC 5626 §3.5.1 and §4.4.1)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol, cast

from sidestream.gateway.clock import Clock
from sidestream.gateway.sip_options import CloseReason, StackCounts, StreamLimits
from sidestream.gateway.sip_pump import Upstream
from sidestream.gateway.tls_wire import CERTIFICATE
from sidestream.sip.domain_certificate import CertificateNames
from sidestream.sip.framing import PING, PONG, Framed, FramingError, Ping, Pong, StreamFramer
from sidestream.sip.hop import Hop, Source, Transport
from sidestream.sip.tls_failure import TlsTrouble

_HIGH_WATER = 64 * 1024
"""Unsent bytes above which we read no more from the peer until he has read from us."""
_LAST_WORDS_S = 5.0
"""How long a connection that is being closed may take to send what it still has."""


class ConnectionOwner(Protocol):
    """Who keeps the connections."""

    def opened(self, connection: StreamConnection) -> bool:
        """A connection stands; false when it is not wanted."""
        ...

    def let_go(self, connection: StreamConnection, reason: CloseReason) -> None:
        """Nothing more can be sent on a connection; told once for each that was opened."""
        ...

    def lost(self, connection: StreamConnection) -> None:
        """The socket is closed; told once for each that was opened."""
        ...

    def heard_first(self, connection: StreamConnection, message: bytes) -> None:
        """The first message came from a peer that showed a certificate; told before it is acted on."""
        ...


class StreamConnection(asyncio.Protocol):
    """One connection, accepted or opened by us.

    It knows its own deadlines (`judge`) but has no timer: its owner asks about all of them at intervals.

    Args:
        transport: "tcp" or "tls".
        flow: its name in hops and sources.
        dialed: the hop it was opened for, None when the peer opened it.
        owner: keeps it.
        upstream: hears what comes.
        limits: its bounds.
        counts: where to count.
        clock: gives the time.

    Attributes:
        stale_flows: flows that are gone and whose messages go over this one now.
        trouble: what broke it, where that was TLS.
    """

    __slots__ = (
        "_answers_pings", "_certified", "_clock", "_closing_since", "_counts", "_framer", "_let_go",
        "_limits", "_owner", "_pinged_at", "_refused", "_source", "_stalled_since", "_upstream", "_used_at",
        "_waiting_since", "_wire", "_wire_used_at", "dialed", "flow", "stale_flows", "transport", "trouble",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        flow: int,
        dialed: Hop | None,
        *,
        owner: ConnectionOwner,
        upstream: Upstream,
        limits: StreamLimits,
        counts: StackCounts,
        clock: Clock,
    ) -> None:
        self.transport = transport
        self.flow = flow
        self.dialed = dialed
        self.stale_flows: set[int] = set()
        self.trouble: TlsTrouble | None = None
        self._owner = owner
        self._upstream = upstream
        self._limits = limits
        self._counts = counts
        self._clock = clock
        self._framer = StreamFramer(limits.max_message_bytes)
        self._wire: asyncio.Transport | None = None
        self._source = Source(transport, "", 0, flow)
        self._certified = False
        self._let_go = False
        self._refused = False
        self._answers_pings = False
        now = clock.monotonic()
        self._used_at = self._wire_used_at = now
        self._waiting_since: float | None = now if dialed is None else None
        self._stalled_since: float | None = None
        self._pinged_at: float | None = None
        self._closing_since: float | None = None

    @property
    def hop(self) -> Hop:
        """The way to the peer over this very connection."""
        if self.dialed is not None:
            return replace(self.dialed, flow=self.flow)
        return Hop(self.transport, self._source.host, self._source.port, self.flow)

    @property
    def certificate(self) -> CertificateNames | None:
        """What the certificate says that the peer proved itself by; None without one."""
        return self._source.certificate

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent."""
        return 0 if self._wire is None else self._wire.get_write_buffer_size()

    def send(self, data: bytes) -> None:
        """Send bytes; a peer that leaves too many unread loses the connection."""
        wire = self._wire
        if wire is None or self._let_go:
            self._counts.dropped += 1
            return
        if wire.get_write_buffer_size() + len(data) > self._limits.max_unsent_bytes:
            self.abort(CloseReason.SLOW_READER)
            return
        wire.write(data)
        self._counts.sent[self.transport] += 1
        self._upstream.sent(data, self._source)
        self._used_at = self._wire_used_at = self._clock.monotonic()

    def ping(self, now: float) -> None:
        """Send a keep-alive, so that boxes on the way remember the connection (RFC 5626 §4.4.1)."""
        if self._wire is None or self._let_go:
            return
        self._wire.write(PING)
        self._framer.expect_pong()
        self._wire_used_at = now
        if self._pinged_at is None:
            self._pinged_at = now

    def wants_ping(self, now: float) -> bool:
        """Whether a keep-alive is due: on connections that we opened, after a time without traffic."""
        interval = self._limits.ping_interval
        idle = self.dialed is not None and not self._let_go
        return idle and interval > 0 and now - self._wire_used_at >= interval

    def judge(self, now: float) -> CloseReason | None:
        """Why the connection is to be aborted or, for IDLE, closed; None when all is well."""
        limits = self._limits
        if self._closing_since is not None:
            return CloseReason.SLOW_READER if now - self._closing_since > _LAST_WORDS_S else None
        if _older(self._stalled_since, limits.send_timeout, now):
            return CloseReason.SLOW_READER
        if _older(self._waiting_since, limits.message_timeout, now):
            return CloseReason.SLOW_MESSAGE
        if self._answers_pings and _older(self._pinged_at, limits.pong_timeout, now):
            return CloseReason.NO_PONG
        return CloseReason.IDLE if now - self._used_at > limits.idle_timeout else None

    def close(self, reason: CloseReason) -> None:
        """Send what is still to be sent, then close."""
        self._end(reason)
        if self._wire is not None and self._closing_since is None:
            self._closing_since = self._clock.monotonic()
            self._wire.close()

    def abort(self, reason: CloseReason) -> None:
        """Close at once."""
        self._end(reason)
        if self._wire is not None:
            self._wire.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        wire = self._wire = cast("asyncio.Transport", transport)
        wire.set_write_buffer_limits(high=_HIGH_WATER)
        peer, own = wire.get_extra_info("peername"), wire.get_extra_info("sockname")
        if peer and own:
            shown = wire.get_extra_info(CERTIFICATE)
            self._certified = shown is not None
            self._source = Source(self.transport, peer[0], peer[1], self.flow, own[0], own[1], shown)
        if not peer or not self._owner.opened(self):
            self._refused = self._let_go = True
            wire.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._let_go:
            return
        now = self._wire_used_at = self._clock.monotonic()
        pings = messages = 0
        for framed in self._framer.feed(data):
            messages += isinstance(framed, bytes)
            pings += isinstance(framed, Ping)
            if not self._take(framed, now):
                return
        if pings and self._wire is not None:
            self._answer(pings)
        if messages or self._waiting_since is None:
            self._waiting_since = now if self._framer.mid_message else None

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: whoever does not read is not read from either."""
        self._stalled_since = self._clock.monotonic()
        if self._wire is not None and not self._wire.is_closing():
            self._wire.pause_reading()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stalled_since = None
        if self._wire is not None and not self._wire.is_closing():
            self._wire.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason is the same to SIP
        """See `asyncio.Protocol`."""
        if self._refused:
            return
        self._end(CloseReason.PEER)
        self._wire = None
        self._owner.lost(self)

    def _take(self, framed: Framed, now: float) -> bool:
        """Act on what was cut out; false when the connection has ended by it."""
        if isinstance(framed, bytes):
            self._used_at = now
            if self._certified:
                self._certified = False
                self._owner.heard_first(self, framed)
            self._upstream.received(framed, self._source)
        elif isinstance(framed, Ping):
            self._used_at = now
        elif isinstance(framed, Pong):
            self._answers_pings = True
            self._pinged_at = None
        else:
            self._lose_framing(framed)
        return not self._let_go

    def _answer(self, pings: int) -> None:
        if self._wire is not None and self.unsent_bytes <= _HIGH_WATER:
            self._wire.write(PONG * pings)

    def _lose_framing(self, error: FramingError) -> None:
        self._upstream.framing_lost(error, self._source)
        self.close(CloseReason.GARBAGE)

    def _end(self, reason: CloseReason) -> None:
        if not self._let_go:
            self._let_go = True
            self._owner.let_go(self, reason)


def _older(since: float | None, limit: float, now: float) -> bool:
    return since is not None and now - since > limit
