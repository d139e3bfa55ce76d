"""Which trunk a call comes from, where it goes, and in what order the peers there are tried."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol

from sidestream.call.numbers import NUMBER_MAX, NumberRules
from sidestream.call.setup import PeerHop
from sidestream.sip.hop import Source

Network = IPv4Network | IPv6Network


class Randomness(Protocol):
    """The part of `random.Random` that choosing a peer needs."""

    def random(self) -> float:
        """A number from 0 up to but not including 1."""
        ...


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A resolved address of one of a trunk's peers."""

    host: str
    """Numeric address."""
    port: int


@dataclass(frozen=True, slots=True)
class TrunkSources:
    """The addresses from which calls are accepted as coming from a trunk."""

    trunk: str
    """Name of the voice service; with `account` it identifies the trunk."""
    account: str
    networks: tuple[Network, ...] = ()
    peers: tuple[PeerAddress, ...] = ()
    """The trunk's own peers are always accepted."""
    names: tuple[str, ...] = ()
    """Domains or addresses that the certificates of its peers name."""
    only_named: bool = False
    """Whether a certificate that names none of them is somebody else's, whatever address it comes from."""
    only_tls: bool = False
    """Whether its calls come over TLS only."""


_EXACT_PEER = (129, 0)
"""Outranks the longest prefix (128): one of the peer's own sockets, which tells trunks on one host apart."""


_NAMED = 1000
"""Outranks every address: a certificate is no matter of routing."""


def match_trunk(trunks: Iterable[TrunkSources], source: Source) -> TrunkSources | None:
    """The trunk that a source belongs to.

    Whoever proved by a certificate who he is belongs to a trunk that has his name, wherever he is; of several
    the one whose addresses fit best. Else the address decides: a peer's exact address and port wins, then the
    longest matching network, then a peer's address with another port (connections come from ephemeral ports);
    the first in the order given wins a tie.

    Args:
        trunks: Every trunk of every account.
        source: Where it came from; IPv4-mapped IPv6 addresses count as IPv4.
    """
    try:
        address = ip_address(source.host.split("%", 1)[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    best: TrunkSources | None = None
    best_rank = (-1, -1)
    certificate = source.certificate
    for trunk in trunks:
        if trunk.only_tls and source.transport != "tls":
            continue
        rank = _rank(trunk, address, source.port)
        if certificate is not None:
            if certificate.proves_any(trunk.names):
                rank = (rank[0] + _NAMED, rank[1])
            elif trunk.only_named:
                continue
        if rank > best_rank:
            best, best_rank = trunk, rank
    return best


def _rank(trunk: TrunkSources, address: IPv4Address | IPv6Address, port: int) -> tuple[int, int]:
    rank = (-1, -1)
    for network in trunk.networks:
        if address.version == network.version and address in network:
            rank = max(rank, (network.prefixlen, 1))
    for peer in trunk.peers:
        if ip_address(peer.host) == address:
            rank = max(rank, _EXACT_PEER if peer.port == port else (address.max_prefixlen, 0))
    return rank


@dataclass(frozen=True, slots=True)
class Route:
    """One route of an account."""

    source: str
    """Trunk that the call comes from."""
    target: str
    """Trunk that it goes to."""
    pattern: re.Pattern[str] | None = None
    """Searched in the called number; None matches any."""
    numbers: NumberRules = field(default_factory=NumberRules)
    """What becomes of the numbers of its calls."""


CALLED_MAX = NUMBER_MAX
"""Characters; what is longer fits no pattern, and costs the search no time."""


def first_route(routes: Sequence[Route], source: str, called: str) -> Route | None:
    """The first route from a trunk that matches the called number.

    Args:
        routes: The account's routes, in order.
        source: Name of the trunk that the call came from.
        called: User part of the Request-URI (or the number of a tel URI), as the trunk's rules made it.
    """
    for route in routes:
        if route.source == source and (route.pattern is None or _fits(route.pattern, called)):
            return route
    return None


def _fits(pattern: re.Pattern[str], called: str) -> bool:
    return len(called) <= CALLED_MAX and pattern.search(called) is not None


def order_peers(peers: Sequence[PeerHop], randomness: Randomness) -> tuple[PeerHop, ...]:
    """The order in which peers are tried: by priority (low first), within one by drawn weight (RFC 2782).

    A peer of weight 0 comes first only when no other of its priority is left.
    """
    if len(peers) < 2:
        return tuple(peers)
    ordered: list[PeerHop] = []
    for priority in sorted({peer.priority for peer in peers}):
        group = [peer for peer in peers if peer.priority == priority]
        while group:
            ordered.append(group.pop(_draw(group, randomness)))
    return tuple(ordered)


@dataclass(frozen=True, slots=True)
class Way:
    """How calls to a registered trunk go."""

    registrar: str
    """URI of the registrar that took the registration; when it is one of the peers, it is tried first."""
    routes: tuple[str, ...] = ()
    """Route values: the service route of the registration (RFC 3608 5.1), or an outbound proxy."""


def by_way(peers: Sequence[PeerHop], way: Way | None) -> tuple[PeerHop, ...]:
    """The peers in the order of a registration, reached by its routes."""
    if way is None:
        return tuple(peers)
    ordered = sorted(peers, key=lambda peer: peer.uri != way.registrar)
    return tuple(replace(peer, routes=way.routes) for peer in ordered)


def _draw(group: Sequence[PeerHop], randomness: Randomness) -> int:
    total = sum(max(peer.weight, 0) for peer in group)
    ticket = randomness.random() * total
    for index, peer in enumerate(group):
        if peer.weight > 0 and ticket < peer.weight:
            return index
        ticket -= max(peer.weight, 0)
    return 0
