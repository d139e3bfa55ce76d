"""Feeds the transaction layer, sends what it wants sent, tells its events and keeps its one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from sidestream.gateway.clock import Clock
from sidestream.gateway.sip_options import StackCounts, Tap
from sidestream.sip.events import SipEvent
from sidestream.sip.framing import FramingError
from sidestream.sip.guard import Guard
from sidestream.sip.hop import Hop, Outgoing, Source
from sidestream.sip.tls_failure import TlsTrouble
from sidestream.sip.transactions import TransactionLayer

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_SHORTEST_WAIT = 0.001
"""The loop's timers count in milliseconds; a shorter wait would only spin."""


class Upstream(Protocol):
    """What a transport driver tells."""

    def received(self, data: bytes, source: Source) -> None:
        """One datagram or one whole message came."""
        ...

    def sent(self, data: bytes, peer: Source) -> None:
        """One message was handed to the system, or to a connection; `peer` as if it had come from there."""
        ...

    def framing_lost(self, error: FramingError, source: Source) -> None:
        """A stream cannot be cut any more; what is answered goes out before this returns."""
        ...

    def transport_failed(self, hop: Hop, trouble: TlsTrouble | None = None) -> None:
        """See `TransactionLayer.transport_failed`."""
        ...


class Pump:
    """Turns the layer's crank after every input.

    Events are told from here only, never from inside a call of the user, so that the user always knows a key
    before he hears of it.

    Args:
        layer: the transaction layer.
        transmit: sends one message; it may call `transport_failed` at once.
        on_event: hears every event; what it raises is logged and counted.
        clock: gives `now`.
        counts: where to count.
        guard: says which messages are looked at; None: all.
        tap: is told every message: whether it was sent, its bytes, and the peer. What it raises is logged.
    """

    def __init__(
        self,
        layer: TransactionLayer,
        transmit: Callable[[Outgoing], None],
        on_event: Callable[[SipEvent], None],
        *,
        clock: Clock,
        counts: StackCounts,
        guard: Guard | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.layer = layer
        self._guard = guard
        self.now = clock.monotonic
        self._transmit = transmit
        self._on_event = on_event
        self._counts = counts
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._turning = False
        self._closed = False
        self._failed: list[tuple[Hop, TlsTrouble | None]] = []
        self._held: SipEvent | None = None
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def received(self, data: bytes, source: Source) -> None:
        """See `Upstream.received`."""
        self._counts.received[source.transport] += 1
        guard = self._guard
        if guard is not None:
            datagram = source.transport == "udp"
            proven = source.certificate is not None
            if not guard.admits(data, source.host, self.now(), datagram=datagram, proven=proven):
                return
        if self._tap is not None:
            self._tell_tap(self._tap, data, source, sent=False)
        try:
            self.layer.receive_bytes(data, source, self.now())
        except Exception:  # noqa: BLE001 - one message's fault must not stop the others
            self._bug("sip_input_failed", source=f"{source.host}:{source.port}")
        self.turn()

    def sent(self, data: bytes, peer: Source) -> None:
        """See `Upstream.sent`."""
        if self._tap is not None:
            self._tell_tap(self._tap, data, peer, sent=True)

    def framing_lost(self, error: FramingError, source: Source) -> None:
        """See `Upstream.framing_lost`."""
        self.layer.receive_malformed(error, source)
        self.turn()

    def transport_failed(self, hop: Hop, trouble: TlsTrouble | None = None) -> None:
        """See `Upstream.transport_failed`; noted, and acted on when the present step is done."""
        self._counts.unreachable += hop.flow is None
        self._failed.append((hop, trouble))
        self.turn()

    def turn(self) -> None:
        """Send all that is outgoing and tell all events."""
        if self._turning or self._closed:
            return
        self._turning = True
        try:
            self._send_all()
            while (event := self._next_event()) is not None:
                self._tell(event)
                self._send_all()
        finally:
            self._turning = False
        self._set_timer()

    def push(self) -> None:
        """Send what a call of the user made outgoing; its events are told in the loop's next turn."""
        if self._turning or self._closed:
            return
        self._turning = True
        try:
            self._send_all()
        finally:
            self._turning = False
        self._set_timer()
        if self._held is None:
            self._held = self.layer.next_event()
            if self._held is not None:
                self._soon = self._loop.call_soon(self._turn_soon)

    def close(self) -> None:
        """Stop: nothing is sent or told any more."""
        self._closed = True
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()

    def _turn_soon(self) -> None:
        self._soon = None
        self.turn()

    def _send_all(self) -> None:
        layer = self.layer
        while True:
            for outgoing in layer.outgoing():
                try:
                    self._transmit(outgoing)
                except Exception:  # noqa: BLE001 - one hop's fault must not stop the others
                    self._bug("sip_send_failed", hop=str(outgoing.hop))
            if not self._failed:
                return
            failed, self._failed = self._failed, []
            for hop, trouble in failed:
                layer.transport_failed(hop, self.now(), trouble)

    def _next_event(self) -> SipEvent | None:
        held, self._held = self._held, None
        return held or self.layer.next_event()

    def _tell(self, event: SipEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - one call's fault must not stop the others
            self._counts.handler_failures += 1
            self._bug("sip_event_handler_failed", sip_event=type(event).__name__)

    def _tell_tap(self, tap: Tap, data: bytes, peer: Source, *, sent: bool) -> None:
        try:
            tap(sent, data, peer)
        except Exception:  # noqa: BLE001 - who only listens must not stop a message
            self._bug("sip_tap_failed", peer=f"{peer.host}:{peer.port}")

    def _bug(self, what: str, **facts: str) -> None:
        _log.exception(what, **facts)

    def _set_timer(self) -> None:
        """Have the one handle fire no later than the layer wants; firing too early costs nothing."""
        due = self.layer.timer()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(due - self.now(), _SHORTEST_WAIT), self._fire)

    def _fire(self) -> None:
        self._timer = None
        try:
            self.layer.on_timer(self.now())
        except Exception:  # noqa: BLE001 - one transaction's fault must not stop the others
            self._bug("sip_timer_failed")
        self.turn()
