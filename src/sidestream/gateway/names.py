"""Names to addresses, for endpoints and for media, with a deadline."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from sidestream.errors import SidestreamError

LOOKUP_DEADLINE_S: Final = 5.0
"""How long a name may take: two tries of a resolver with its usual time-out of 2 s, and some."""

CACHE_S: Final = 10.0
"""A storm of reconnections asks the resolver once, and a changed address is still seen soon."""

CACHE_MAX: Final = 1000

Lookup = Callable[[str], Awaitable[Sequence[str]]]
Address = IPv4Address | IPv6Address


class NameNotResolvedError(SidestreamError):
    """A name has no address, or its resolver did not answer in time."""


@lru_cache(4096)
def numeric(host: str) -> Address | None:
    """Return the address that a host is, without brackets; None when it is a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


@dataclass(slots=True)
class _Known:
    answer: asyncio.Task[Sequence[str]]
    until: float


class Names:
    """Looks names up; simultaneous questions for one name are asked once.

    Args:
        lookup: asks the system's resolver unless given.
    """

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._lookup = lookup or _ask_system
        self._known: dict[str, _Known] = {}

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host in the order to try them.

        Raises:
            NameNotResolvedError: there is none, or no answer came within the deadline.
        """
        address = numeric(host)
        if address is not None:
            return [str(address)]
        try:
            async with asyncio.timeout(LOOKUP_DEADLINE_S):
                found = await asyncio.shield(self._ask(host))
        except TimeoutError as error:
            raise NameNotResolvedError(f"no answer for {host!r} within {LOOKUP_DEADLINE_S:g} s") from error
        except (OSError, UnicodeError) as error:
            raise NameNotResolvedError(f"{host!r} does not resolve: {error}") from error
        if not found:
            raise NameNotResolvedError(f"{host!r} has no address")
        return list(found)

    def close(self) -> None:
        """Let go of questions that are still open."""
        for known in self._known.values():
            known.answer.cancel()
        self._known.clear()

    def _ask(self, host: str) -> asyncio.Task[Sequence[str]]:
        loop = asyncio.get_running_loop()
        known = self._known.get(host)
        if known is not None and (not known.answer.done() or _is_fresh(known, loop.time())):
            return known.answer
        if len(self._known) >= CACHE_MAX:
            self._known = {name: entry for name, entry in self._known.items() if not entry.answer.done()}
        task = loop.create_task(_as_coroutine(self._lookup(host)), name=f"lookup {host}")
        task.add_done_callback(_look_at_failure)
        self._known[host] = _Known(task, loop.time() + CACHE_S)
        return task


def _is_fresh(known: _Known, now: float) -> bool:
    answer = known.answer
    return now < known.until and not answer.cancelled() and answer.exception() is None


def _look_at_failure(task: asyncio.Task[Sequence[str]]) -> None:
    """Take note of an exception that nobody waits for any more, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()


async def _as_coroutine(question: Awaitable[Sequence[str]]) -> Sequence[str]:
    return await question


async def _ask_system(host: str) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]).partition("%")[0] for *_, sockaddr in answers))
