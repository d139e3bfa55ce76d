"""From a URI to the hops that a request for it is sent to (RFC 3263, without NAPTR and SRV).

What the URI says decides: `sips` means TLS, `;transport=` its transport, else UDP. A numeric host or a port
rules out SRV records by RFC 3263 §4.2, and without them a name means its addresses (§4.2, last resort).
`maddr` is not followed: it would let a peer aim our requests at third parties.

Where the URI does not fix the transport, every UDP hop is followed by the TCP hop of the same address and
port, so that the layer can take TCP for large requests (RFC 3261 §18.1.1) and when UDP is refused. A URI that
says `transport=udp` gets none: whoever writes that has no TCP.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.clock import SYSTEM_CLOCK, Clock
from sidestream.gateway.sip_options import DEFAULT_PORTS
from sidestream.gateway.sip_sockets import family_of
from sidestream.gateway.tasks import TaskOwner
from sidestream.sip.errors import ParseError
from sidestream.sip.hop import Hop, Transport
from sidestream.sip.uri import SipUri

_TRANSPORTS: dict[str, Transport] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}

Lookup = Callable[[str], Awaitable[Collection[str]]]
"""The IP addresses of a name, in order of preference.

Raises:
    OSError: when there are none.
"""


class ResolveError(SidestreamError):
    """A URI leads to no hop."""

    fault = Fault.PEER


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverLimits:
    """Bounds; times in seconds.

    Attributes:
        deadline: for one name.
        ttl: how long an answer is taken for true. The system's resolver does not tell the records' own.
        stale: how long an answer may still serve when the name cannot be looked up any more.
        names: answers kept.
        lookups: names looked up at the same time; more fail at once.
    """

    deadline: float = 3.0
    ttl: float = 30.0
    stale: float = 3600.0
    names: int = 1024
    lookups: int = 64


async def system_lookup(name: str) -> list[str]:
    """Ask the system's resolver (hosts file, DNS). See `Lookup`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class _Target:
    """What a URI asks for."""

    host: str
    port: int
    transports: tuple[Transport, ...]


class Resolver:
    """Resolves URIs, with a small cache of names.

    Args:
        families: address families that we have a way out for; others are left out.
        with_tcp: whether to add a TCP hop where the URI leaves the transport open.
        lookup: looks a name up.
        limits: bounds.
        clock: gives the time.
    """

    def __init__(
        self,
        *,
        families: Collection[socket.AddressFamily],
        with_tcp: bool,
        lookup: Lookup = system_lookup,
        limits: ResolverLimits | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._families = frozenset(families)
        self._open_transports: tuple[Transport, ...] = ("udp", "tcp") if with_tcp else ("udp",)
        self._lookup = lookup
        self._limits = limits or ResolverLimits()
        self._now = clock.monotonic
        self._tasks = TaskOwner("resolver")
        self._targets: dict[str, _Target] = {}
        self._answers: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._lookups: dict[str, asyncio.Task[None]] = {}

    def resolve_now(self, uri: str) -> tuple[Hop, ...] | None:
        """The hops of a URI with a numeric host or a name that is known; None when it must be looked up.

        Raises:
            ResolveError: when it leads nowhere.
        """
        target = self._target(uri)
        addresses = self._known(target.host, self._limits.ttl)
        return None if addresses is None else self._hops(target, addresses)

    async def resolve(self, uri: str) -> tuple[Hop, ...]:
        """The hops of a URI, at least one, in order of preference.

        Raises:
            ResolveError: when it leads nowhere, or not in time.
        """
        target = self._target(uri)
        addresses = self._known(target.host, self._limits.ttl)
        if addresses is None:
            await self._ask(target.host)
            addresses = self._known(target.host, self._limits.stale)
        if addresses is None:
            raise ResolveError(f"{target.host} cannot be resolved", hint="check the name and the DNS servers")
        return self._hops(target, addresses)

    async def close(self) -> None:
        """End what is being looked up."""
        await self._tasks.close()

    def _target(self, uri: str) -> _Target:
        target = self._targets.get(uri)
        if target is None:
            target = self._read(uri)
            if len(self._targets) >= self._limits.names:
                self._targets.clear()
            self._targets[uri] = target
        return target

    def _read(self, uri: str) -> _Target:
        try:
            parsed = SipUri.parse(uri)
        except ParseError as error:
            raise ResolveError(f"{uri} is no SIP URI", hint="a SIP URI is like sip:192.0.2.1:5060") from error
        transports = self._transports(parsed)
        return _Target(parsed.address.lower(), parsed.port or DEFAULT_PORTS[transports[0]], transports)

    def _transports(self, uri: SipUri) -> tuple[Transport, ...]:
        asked = (uri.params.get("transport") or "").lower()
        if uri.scheme == "sips":
            if asked not in {"", "tcp", "tls"}:
                raise ResolveError(f"{uri} wants TLS over {asked}", hint="sips needs tcp or no transport")
            return ("tls",)
        if "transport" not in uri.params:
            return self._open_transports
        if asked not in _TRANSPORTS:
            raise ResolveError(f"{uri} wants transport {asked}", hint="transports are udp, tcp and tls")
        return (_TRANSPORTS[asked],)

    def _known(self, host: str, age: float) -> tuple[str, ...] | None:
        if family_of(host) is not None:
            return (host,)
        answer = self._answers.get(host)
        return answer[1] if answer is not None and self._now() - answer[0] < age else None

    def _hops(self, target: _Target, addresses: Collection[str]) -> tuple[Hop, ...]:
        hops = tuple(
            Hop(transport, address, target.port)
            for address in addresses
            if family_of(address) in self._families
            for transport in target.transports
        )
        if not hops:
            raise ResolveError(f"{target.host} has no address of a family that is listened on")
        return hops

    async def _ask(self, name: str) -> None:
        """Look a name up, together with whoever asks for the same one, until the deadline."""
        running = self._lookups.get(name)
        if running is None:
            if self._tasks.closed or len(self._lookups) >= self._limits.lookups:
                return
            running = self._tasks.spawn(self._look_up(name), f"look up {name}")
            self._lookups[name] = running
        await asyncio.wait((running,), timeout=self._limits.deadline)

    async def _look_up(self, name: str) -> None:
        try:
            async with asyncio.timeout(self._limits.deadline):
                found = tuple(await self._lookup(name))
        except (OSError, UnicodeError, TimeoutError):
            return
        finally:
            self._lookups.pop(name, None)
        if name not in self._answers and len(self._answers) >= self._limits.names:
            del self._answers[next(iter(self._answers))]
        if found:
            self._answers[name] = (self._now(), found)
