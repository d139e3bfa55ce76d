"""From a URI to the targets that a request for it is sent to (RFC 3263, RFC 2782, RFC 7984), without I/O.

`locate` is a function of what is known: it returns the targets in the order in which they are to be tried, or
the questions whose answers it lacks. Whoever has a resolver asks them and calls it again; it never asks for
what it was told before, so it needs three rounds at most: NAPTR, then SRV, then addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, Protocol

from sidestream.sip.errors import NoTargetError
from sidestream.sip.hop import Transport
from sidestream.sip.uri import SipUri

DEFAULT_PORTS: Final[dict[Transport, int]] = {"udp": 5060, "tcp": 5060, "tls": 5061}
"""RFC 3261 section 19.1.2."""

TARGETS_MAX: Final = 64
"""Most targets of one URI: what a zone lists beyond them is never tried."""

QueryKind = Literal["NAPTR", "SRV", "A", "AAAA"]
Family = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the DNS.

    Attributes:
        kind: type of the records.
        name: owner name, in lower case and without a final dot.
    """

    kind: QueryKind
    name: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (RFC 3403)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (RFC 2782); a target of `.` says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str
"""An address is its text."""

Known = Callable[[Query], Sequence[Record] | None]
"""The records of an answer, none when there are none, or None when the question must be asked."""


class Randomness(Protocol):
    """The part of `random.Random` that weights need."""

    def random(self) -> float:
        """A number from 0 up to but not including 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What we can do.

    Attributes:
        transports: what we speak, in the order in which we like it where the peer leaves the choice.
        families: IP versions that we have a way out for, in the order in which we like them (RFC 7984).
    """

    transports: tuple[Transport, ...] = ("udp", "tcp", "tls")
    families: tuple[Family, ...] = (4, 6)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request may be sent to.

    Attributes:
        transport: how.
        address: IP address without brackets.
        port: port.
    """

    transport: Transport
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Located:
    """Where a request may be sent to.

    Attributes:
        targets: at least one, in the order in which they are to be tried.
        free: neither the URI nor the DNS names the transport: UDP is but the default, and TCP may be tried on
            the same address and port.
    """

    targets: tuple[Target, ...]
    free: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """What must be asked before more can be said; the questions are independent of each other."""

    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class _Service:
    """A transport, and the SRV name or else the host that serves it."""

    transport: Transport
    name: str
    host: str = ""
    port: int = 0


class _NotKnownError(Exception):
    """Something has to be asked first."""

    def __init__(self, queries: Iterable[Query]) -> None:
        super().__init__("not known yet")
        self.queries = tuple(dict.fromkeys(queries))


def locate(uri: SipUri, known: Known, abilities: Abilities, randomness: Randomness) -> Located | Unknown:
    """Return the targets of a URI in order, or what has to be asked first.

    Args:
        uri: the URI of the next hop.
        known: what the DNS has said so far.
        abilities: what we can do.
        randomness: draws among SRV records of one priority.

    Raises:
        NoTargetError: the URI leads nowhere that we can send to.
    """
    try:
        located = _located(uri, _Dns(known, abilities.families, randomness), abilities)
    except _NotKnownError as error:
        return Unknown(error.queries)
    if not located.targets:
        raise NoTargetError(f"{_host(uri)} has no address that can be sent to")
    return located


@dataclass(frozen=True, slots=True)
class _Dns:
    """What is known, as the steps below want it."""

    known: Known
    families: tuple[Family, ...]
    randomness: Randomness

    def naptr(self, name: str) -> list[Naptr]:
        records = self._ask((Query("NAPTR", name),))[0]
        return [record for record in records if isinstance(record, Naptr)]

    def srv(self, names: Sequence[str]) -> list[list[Srv]]:
        """The records of each name, in the order to try them."""
        found = self._ask([Query("SRV", name) for name in names])
        return [
            order_services([record for record in records if isinstance(record, Srv)], self.randomness)
            for records in found
        ]

    def addresses(self, hosts: Iterable[str]) -> dict[str, list[str]]:
        """The addresses of each host, of the families that we have, in the order of these."""
        kinds: list[QueryKind] = ["A" if family == 4 else "AAAA" for family in self.families]
        hosts = list(dict.fromkeys(hosts))
        named = [host for host in hosts if _family(host) is None]
        answers = iter(self._ask([Query(kind, host) for host in named for kind in kinds]))
        found: dict[str, list[str]] = {}
        for host in hosts:
            family = _family(host)
            if family is not None:
                found[host] = [host] if family in self.families else []
            else:
                found[host] = [str(address) for _ in kinds for address in next(answers)]
        return found

    def _ask(self, queries: Sequence[Query]) -> list[Sequence[Record]]:
        answers = [self.known(query) for query in queries]
        missing = [query for query, answer in zip(queries, answers, strict=True) if answer is None]
        if missing:
            raise _NotKnownError(missing)
        return [answer for answer in answers if answer is not None]


def _located(uri: SipUri, dns: _Dns, abilities: Abilities) -> Located:
    host = _host(uri)
    named = _family(host) is None and uri.port is None
    asked = _asked_transport(uri, abilities)
    if named:
        services = _services(host, asked, uri.scheme == "sips", dns, abilities)
        if services is not None:
            return Located(_spread(services, dns), free=False)
    transport = asked or ("tls" if uri.scheme == "sips" else "udp")
    if transport not in abilities.transports:
        raise NoTargetError(f"{uri} wants {transport}, which is not to be had")
    alone = _Service(transport, "", host, uri.port or DEFAULT_PORTS[transport])
    return Located(_spread([alone], dns), free=asked is None and transport == "udp")


def _host(uri: SipUri) -> str:
    """TARGET (RFC 3263 section 4): `maddr` in place of the host."""
    maddr = uri.params.get("maddr")
    host = maddr.strip("[]") if maddr else uri.address
    return host.lower().rstrip(".") or host


def _family(host: str) -> Family | None:
    try:
        return 4 if ip_address(host).version == 4 else 6
    except ValueError:
        return None


def _asked_transport(uri: SipUri, abilities: Abilities) -> Transport | None:
    """RFC 3263 section 4.1: what the URI itself demands."""
    asked = uri.params.get("transport")
    if "transport" not in uri.params:
        return None
    asked = (asked or "").lower()
    if uri.scheme == "sips":
        if asked not in {"tcp", "tls"}:
            raise NoTargetError(f"{uri} wants TLS over {asked or 'nothing'}")
        asked = "tls"
    for transport in abilities.transports:
        if transport == asked:
            return transport
    raise NoTargetError(f"{uri} wants transport {asked or 'nothing'}, which is not to be had")


_NAPTR_SERVICES: Final[dict[str, Transport]] = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}
_SRV_PREFIXES: Final[dict[Transport, str]] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


def _services(
    host: str, asked: Transport | None, secure: bool, dns: _Dns, abilities: Abilities
) -> list[_Service] | None:
    """What the zone offers (sections 4.1, 4.2), in order; None when it says nothing by NAPTR and SRV."""
    if asked is not None:
        candidates = [_Service(asked, f"{_SRV_PREFIXES[asked]}.{host}")]
    else:
        usable = tuple(one for one in abilities.transports if one == "tls" or not secure)
        candidates = _by_naptr(dns.naptr(host), usable) or [
            _Service(transport, f"{_SRV_PREFIXES[transport]}.{host}") for transport in usable
        ]
    answers = dns.srv([candidate.name for candidate in candidates])
    if not any(answers):
        return None
    return [
        _Service(candidate.transport, candidate.name, record.target, record.port)
        for candidate, records in zip(candidates, answers, strict=True)
        for record in records
        if record.target not in {"", "."}
    ]


def _by_naptr(records: list[Naptr], usable: tuple[Transport, ...]) -> list[_Service]:
    """The services that we support, of the lowest order that has one (RFC 3403 section 4.1)."""
    fitting = [
        (record.order, record.preference, transport, record.replacement)
        for record in records
        if record.flags.lower() == "s"
        and (transport := _NAPTR_SERVICES.get(record.service.lower())) in usable
        and record.replacement not in {"", "."}
    ]
    fitting.sort(key=lambda one: one[:2])
    return [
        _Service(transport, _plain(name)) for order, _, transport, name in fitting if order == fitting[0][0]
    ]


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


def _spread(services: list[_Service], dns: _Dns) -> tuple[Target, ...]:
    """Every address of every service, in order and once."""
    addresses = dns.addresses(_plain(service.host) for service in services)
    targets = dict.fromkeys(
        Target(service.transport, address, service.port)
        for service in services
        for address in addresses[_plain(service.host)]
    )
    return tuple(targets)[:TARGETS_MAX]


def order_services(records: Sequence[Srv], randomness: Randomness) -> list[Srv]:
    """Put SRV records in the order to try them: by priority, within one by drawn weight (RFC 2782)."""
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in records}):
        # "Arrange all SRV RRs in any order, except that all those with weight 0 are placed at the beginning."
        group = sorted(
            (record for record in records if record.priority == priority), key=lambda one: one.weight > 0
        )
        while group:
            ordered.append(group.pop(_drawn(group, randomness)))
    return ordered


def _drawn(group: Sequence[Srv], randomness: Randomness) -> int:
    """The first whose running sum of weights is at least a number drawn from 0 to the sum, both included."""
    number = int(randomness.random() * (sum(record.weight for record in group) + 1))
    running = 0
    for index, record in enumerate(group):
        running += record.weight
        if running >= number:
            return index
    return len(group) - 1
