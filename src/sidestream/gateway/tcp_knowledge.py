"""Which peers listen on TCP beside UDP, found out in the background (RFC 3261 §18.1.1).

A request of more than 1,300 bytes is to go over TCP. A peer whose URI says UDP may have none, and to find
that out while the request waits would cost every call up to a connection time-out. So the first large request
goes over UDP, in fragments, and has a connection tried beside it; when it stands, later ones go over TCP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sidestream.gateway.clock import Clock
from sidestream.gateway.tasks import TaskOwner

LISTENS_S: Final = 600.0
"""How long a peer that took a connection counts as listening."""
REFUSES_S: Final = 300.0
"""How long one that took none is not tried again."""
KEPT: Final = 1024
ATTEMPTS_MAX: Final = 16

Place = tuple[str, int]


class TcpKnowledge:
    """What is known of TCP at addresses and ports.

    Args:
        connect: opens a connection and closes it again; raises OSError when it cannot be had.
        timeout: seconds for one attempt.
        clock: gives the time.
    """

    def __init__(self, connect: Callable[[str, int], Awaitable[None]], timeout: float, clock: Clock) -> None:
        self._connect = connect
        self._timeout = timeout
        self._now = clock.monotonic
        self._tasks = TaskOwner("tcp probes")
        self._known: dict[Place, tuple[bool, float]] = {}
        self._trying: set[Place] = set()

    def listens(self, host: str, port: int) -> bool:
        """Whether a peer is known to take connections."""
        listens, until = self._known.get((host, port), (False, 0.0))
        return listens and self._now() < until

    def wanted(self, host: str, port: int) -> None:
        """Take note that a large request went to a peer over UDP: find out whether TCP is to be had."""
        place = (host, port)
        known = self._known.get(place)
        if (known is not None and self._now() < known[1]) or place in self._trying:
            return
        if self._tasks.closed or len(self._trying) >= ATTEMPTS_MAX:
            return
        self._trying.add(place)
        self._tasks.spawn(self._try(place), f"connect {host}:{port}")

    async def close(self) -> None:
        """End what is being tried."""
        await self._tasks.close()

    async def _try(self, place: Place) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._connect(*place)
        except (OSError, TimeoutError):
            self._note(place, listens=False)
        else:
            self._note(place, listens=True)
        finally:
            self._trying.discard(place)

    def _note(self, place: Place, *, listens: bool) -> None:
        self._known.pop(place, None)
        if len(self._known) >= KEPT:
            del self._known[next(iter(self._known))]
        self._known[place] = (listens, self._now() + (LISTENS_S if listens else REFUSES_S))
