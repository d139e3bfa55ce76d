"""Hops that have just failed and are tried last for a while (RFC 3263 §4.3, RFC 3261 §21.5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidestream.sip.hop import Hop, Transport

SILENCE_S: Final = 30.0
"""How long a hop that did not answer, or could not be reached, is put last."""
RETRY_AFTER_MAX_S: Final = 300.0
"""A server that wants to be left alone for longer is tried again after this."""
KEPT: Final = 4096

HopKey = tuple[Transport, str, int]


class Avoidance:
    """Remembers failing hops. It only changes an order: the last hop that is left is tried all the same."""

    def __init__(self) -> None:
        self._until: dict[HopKey, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def failed(self, hop: Hop, now: float, seconds: float = SILENCE_S) -> None:
        """Put a hop last for a while."""
        key = _key(hop)
        self._until.pop(key, None)
        if len(self._until) >= KEPT:
            del self._until[next(iter(self._until))]
        self._until[key] = now + min(seconds, RETRY_AFTER_MAX_S)

    def answered(self, hop: Hop) -> None:
        """Take a hop back: it answered."""
        self._until.pop(_key(hop), None)

    def order(self, hops: Sequence[Hop], now: float) -> Sequence[Hop]:
        """The hops with those that failed lately last, otherwise as they were."""
        if not self._until or len(hops) < 2:
            return hops
        return sorted(hops, key=lambda hop: self._avoided(_key(hop), now))

    def _avoided(self, key: HopKey, now: float) -> bool:
        until = self._until.get(key)
        if until is not None and until <= now:
            del self._until[key]
            return False
        return until is not None


def _key(hop: Hop) -> HopKey:
    return hop.transport, hop.host, hop.port
