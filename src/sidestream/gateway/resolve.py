"""From a URI to the hops that a request for it is sent to (RFC 3263; the rules are in `sip.routing`).

Where neither the URI nor the DNS names the transport, every UDP hop is followed by the TCP hop of the same
address and port, so that the layer can take TCP for large requests (RFC 3261 §18.1.1) and when UDP is
refused.
Where they name UDP, it is followed by TCP as soon as the peer is known to listen there: a large request has
that found out in the background (`TcpKnowledge`), and nothing waits for it.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Sequence
from typing import Final

from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.dns_cache import DnsCache
from sidestream.gateway.sip_sockets import family_of
from sidestream.gateway.tcp_knowledge import TcpKnowledge
from sidestream.sip.errors import NoTargetError, ParseError
from sidestream.sip.hop import Hop, Transport
from sidestream.sip.routing import (
    Abilities,
    Family,
    Located,
    Query,
    Randomness,
    Record,
    Target,
    Unknown,
    locate,
)
from sidestream.sip.uri import SipUri

ROUNDS: Final = 4
"""NAPTR, SRV and addresses, and one for what changed meanwhile."""
URIS_KEPT: Final = 4096

_FAMILIES: Final[dict[socket.AddressFamily, Family]] = {socket.AF_INET: 4, socket.AF_INET6: 6}


class ResolveError(SidestreamError):
    """A URI leads to no hop."""

    fault = Fault.PEER


class Resolver:
    """Resolves URIs by what the cache knows, and has it ask for the rest.

    Args:
        cache: answers of the DNS.
        families: address families that we have a way out for, in the order in which they are liked.
        listened: transports that are listened on; where the peer leaves the choice, it is among these.
        tcp: who is known to listen on TCP.
        randomness: draws among SRV records.
    """

    def __init__(
        self,
        cache: DnsCache,
        *,
        families: Sequence[socket.AddressFamily],
        listened: Collection[Transport],
        tcp: TcpKnowledge,
        randomness: Randomness | None = None,
    ) -> None:
        told = tuple(dict.fromkeys(_FAMILIES[family] for family in families))
        liked: tuple[Transport, ...] = ("udp", "tcp", "tls")
        self._demanded = Abilities(families=told)
        self._chosen = Abilities(transports=tuple(one for one in liked if one in listened), families=told)
        self._cache = cache
        self._tcp = tcp
        self._with_tcp = "tcp" in listened
        self._randomness = randomness or random.Random()  # noqa: S311 - spreads calls, keeps no secret
        self._uris: dict[str, SipUri] = {}

    def resolve_now(self, uri: str) -> tuple[Hop, ...] | None:
        """The hops of a URI for which nothing has to be asked; None when something must.

        Raises:
            ResolveError: when it leads nowhere.
        """
        parsed = self._read(uri)
        located = self._locate(parsed, frozenset())
        return None if isinstance(located, Unknown) else self._hops(located, parsed)

    async def resolve(self, uri: str) -> tuple[Hop, ...]:
        """The hops of a URI, at least one, in order of preference.

        Raises:
            ResolveError: when it leads nowhere, or not in time.
        """
        parsed = self._read(uri)
        asked: frozenset[Query] = frozenset()
        for _ in range(ROUNDS):
            located = self._locate(parsed, asked)
            if isinstance(located, Located):
                return self._hops(located, parsed)
            await self._cache.ask(located.queries)
            asked |= set(located.queries)
        raise ResolveError(f"{parsed.address} cannot be resolved", hint="check the name and the DNS servers")

    async def close(self) -> None:
        """End what is being looked up."""
        await self._cache.close()

    def _read(self, uri: str) -> SipUri:
        parsed = self._uris.get(uri)
        if parsed is None:
            try:
                parsed = SipUri.parse(uri)
            except ParseError as error:
                hint = "a SIP URI is like sip:192.0.2.1:5060"
                raise ResolveError(f"{uri} is no SIP URI", hint=hint) from error
            if len(self._uris) >= URIS_KEPT:
                self._uris.clear()
            self._uris[uri] = parsed
        return parsed

    def _locate(self, uri: SipUri, asked: frozenset[Query]) -> Located | Unknown:
        def known(query: Query) -> Sequence[Record] | None:
            records = self._cache.known(query)
            return self._cache.last_resort(query) if records is None and query in asked else records

        demanded = "transport" in uri.params or uri.scheme == "sips"
        abilities = self._demanded if demanded else self._chosen
        try:
            return locate(uri, known, abilities, self._randomness)
        except NoTargetError as error:
            hint = "check the name, its transport and the families that are listened on"
            raise ResolveError(str(error), hint=hint) from error

    def _hops(self, located: Located, uri: SipUri) -> tuple[Hop, ...]:
        """The hops; those over TLS have to prove the name in the URI (RFC 5922), not what it led to."""
        domain = uri.address.lower() if family_of(uri.address) is None else None
        hops: list[Hop] = []
        for target in located.targets:
            hops.append(_hop(target, domain if target.transport == "tls" else None))
            if target.transport == "udp" and self._has_tcp(target, free=located.free):
                hops.append(Hop("tcp", target.address, target.port))
        return tuple(dict.fromkeys(hops))

    def _has_tcp(self, target: Target, *, free: bool) -> bool:
        return self._with_tcp and (free or self._tcp.listens(target.address, target.port))


def _hop(target: Target, domain: str | None) -> Hop:
    return Hop(target.transport, target.address, target.port, None, domain)


def families_of(hosts: Collection[str]) -> tuple[socket.AddressFamily, ...]:
    """The address families of listening addresses, in their order."""
    found = (family_of(host) for host in hosts)
    return tuple(dict.fromkeys(family for family in found if family is not None))
