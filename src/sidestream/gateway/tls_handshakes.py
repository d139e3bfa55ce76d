"""Every TLS handshake that is open: bounded in number and time, and taken in turns."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import structlog

from sidestream.gateway.clock import Clock
from sidestream.gateway.sip_options import StackCounts, StreamLimits
from sidestream.gateway.tls_wire import TlsWire
from sidestream.gateway.token_bucket import TokenBucket
from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

SLICE_S: Final = 0.002
"""What handshakes take of the loop at a time, and one step more: some 0.3 ms with a key on P-256, 1 ms with
RSA of 2048 bits. Whatever else is ready has its turn in between."""
LOG_LINES_PER_S: Final = 5
"""Failures of strangers that get a line each second; all of them are counted."""


class Handshakes:
    """See `tls_wire.HandshakeKeeper`. When there are too many, the oldest one makes room.

    A flood therefore costs a peer that means it nothing as long as it is done before as many newer ones have
    come; were new ones refused instead, a handful of idle connections would lock everybody out.

    Args:
        limits: bounds.
        counts: where to count.
        clock: gives the time of deadlines.
        refuse: whether a connection of this address is one too many at all.
        on_failure: hears of a connection that we opened, or that stood, and failed.
    """

    def __init__(
        self,
        limits: StreamLimits,
        counts: StackCounts,
        clock: Clock,
        refuse: Callable[[str], bool],
        on_failure: Callable[[TlsWire, TlsTrouble], None],
    ) -> None:
        self._limits = limits
        self._counts = counts
        self._now = clock.monotonic
        self._refuse = refuse
        self._on_failure = on_failure
        self._open: dict[TlsWire, float] = {}
        self._accepted_from: Counter[str] = Counter()
        self._accepted = 0
        self._ours: deque[TlsWire] = deque()
        self._theirs: deque[TlsWire] = deque()
        self._turning = False
        self._log_lines = TokenBucket(LOG_LINES_PER_S, clock.monotonic())
        self._unlogged = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def accepted(self) -> int:
        """Those of peers that connected."""
        return self._accepted

    def begun(self, wire: TlsWire) -> bool:
        """See `HandshakeKeeper.begun`."""
        if not wire.dialed:
            if self._refuse(wire.host):
                return False
            self._make_room(wire.host)
            self._accepted_from[wire.host] += 1
            self._accepted += 1
        self._open[wire] = self._now()
        self._counts.handshakes_open = len(self._open)
        return True

    def give_turn(self, wire: TlsWire) -> None:
        """See `HandshakeKeeper.give_turn`: those that we opened go first, a call waits for them."""
        (self._ours if wire.dialed else self._theirs).append(wire)
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._take_turns)

    def done(self, wire: TlsWire) -> None:
        """See `HandshakeKeeper.done`."""
        self._forget(wire)
        self._counts.handshakes[_direction(wire), wire.session.version] += 1
        _log.debug(
            "sip_tls_established",
            peer=wire.peer,
            direction=_direction(wire),
            version=wire.session.version,
            cipher=wire.session.cipher,
            certificate=str(wire.session.certificate or ""),
        )

    def failed(self, wire: TlsWire, trouble: TlsTrouble) -> None:
        """See `HandshakeKeeper.failed`."""
        self._forget(wire)
        self._counts.tls_failures[_direction(wire), trouble.failure] += 1
        if wire.dialed or wire.session.established or self._may_log():
            _log.warning(
                "sip_tls_failed",
                peer=wire.peer,
                direction=_direction(wire),
                failure=trouble.failure.value,
                detail=trouble.detail,
                unlogged=self._unlogged,
            )
            self._unlogged = 0
        self._on_failure(wire, trouble)

    def sweep(self, now: float) -> None:
        """Give up what takes too long."""
        deadline = now - self._limits.handshake_timeout
        for wire in [wire for wire, since in self._open.items() if since < deadline and not wire.dialed]:
            wire.give_up(TlsTrouble(TlsFailure.TIMEOUT, "the handshake was not done in time"))

    def close(self) -> None:
        """Give up all of them."""
        for wire in list(self._open):
            self._forget(wire)
            wire.abort()

    def _make_room(self, host: str) -> None:
        limits = self._limits
        victim = None
        if self._accepted_from[host] >= limits.max_handshakes_per_source:
            victim = next((wire for wire in self._open if wire.host == host and not wire.dialed), None)
        elif self._accepted >= limits.max_handshakes:
            victim = next((wire for wire in self._open if not wire.dialed), None)
        if victim is not None:
            victim.give_up(TlsTrouble(TlsFailure.CROWDED_OUT, "too many handshakes are open"))

    def _forget(self, wire: TlsWire) -> None:
        if self._open.pop(wire, None) is None:
            return
        self._counts.handshakes_open = len(self._open)
        if not wire.dialed:
            self._accepted -= 1
            self._accepted_from[wire.host] -= 1
            if not self._accepted_from[wire.host]:
                del self._accepted_from[wire.host]

    def _take_turns(self) -> None:
        end = time.monotonic() + SLICE_S
        while self._ours or self._theirs:
            (self._ours or self._theirs).popleft().take_turn()
            if time.monotonic() >= end:
                break
        self._turning = bool(self._ours or self._theirs)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._take_turns)

    def _may_log(self) -> bool:
        may = self._log_lines.take(self._now())
        if not may:
            self._unlogged += 1
        return may


def _direction(wire: TlsWire) -> str:
    return "opened" if wire.dialed else "accepted"
