"""Names to addresses, for endpoints and for media, with a deadline and a list of forbidden ones."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from sidestream.errors import SidestreamError

LOOKUP_DEADLINE_S: Final = 5.0
"""How long a name may take: two tries of a resolver with its usual time-out of 2 s, and some."""

CACHE_S: Final = 10.0
"""A storm of reconnections asks the resolver once, and a changed address is still seen soon."""

CACHE_MAX: Final = 1000

DENIED_NETWORKS: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host, under another name
        "100.100.100.200/32",  # metadata service of a cloud
        "169.254.0.0/16",  # link-local, with the metadata services of most clouds
        "192.0.0.192/32",  # metadata service of a cloud
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fd00:ec2::254/128",  # metadata service of a cloud
        "fe80::/10",
        "ff00::/8",
    )
)
"""Where no endpoint is: link-local, metadata services, multicast, and addresses that are none."""

Lookup = Callable[[str], Awaitable[Sequence[str]]]
Address = IPv4Address | IPv6Address


class NameNotResolvedError(SidestreamError):
    """A name has no address, or its resolver did not answer in time."""


class AddressDeniedError(SidestreamError):
    """Every address of a name is on the list of forbidden ones."""


def numeric(host: str) -> Address | None:
    """Return the address that a host is, without brackets; None when it is a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_denied(address: Address) -> bool:
    """Whether nothing may be connected to this address; an IPv4 address inside IPv6 counts as itself."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_denied(inner)
    return any(address.version == network.version and address in network for network in DENIED_NETWORKS)


@dataclass(slots=True)
class _Known:
    answer: asyncio.Task[Sequence[str]]
    until: float


class Names:
    """Looks names up; simultaneous questions for one name are asked once.

    Args:
        lookup: asks the system's resolver; tests give another.
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

    async def allowed_addresses(self, host: str) -> list[str]:
        """Return the addresses of a host that may be connected to.

        Raises:
            NameNotResolvedError: as `addresses`.
            AddressDeniedError: none of them may.
        """
        found = await self.addresses(host)
        allowed = [text for text in found if not is_denied(ip_address(text))]
        if not allowed:
            raise AddressDeniedError(f"{host!r} is {', '.join(found)}, where no endpoint may be")
        return allowed

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
