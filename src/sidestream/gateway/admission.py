"""Who may call and where calls go: trunk by source address, route by number, limits by count and rate."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Final

from sidestream.call.numbers import Numbering
from sidestream.call.overload import Overload, marks_for
from sidestream.call.participants import called_number
from sidestream.call.peer_health import PeerBook
from sidestream.call.routing import (
    PeerAddress,
    Randomness,
    Route,
    TrunkSources,
    Way,
    by_way,
    first_route,
    match_trunk,
    order_peers,
)
from sidestream.call.setup import PeerHop
from sidestream.call.verdict import RULES, Slug
from sidestream.config.model import Account, Configuration, Peer, PeerTls, Trunk, VoiceService
from sidestream.config.values import PeerUri, Verify
from sidestream.gateway.doorkeeper import Asked, Doorkeeper, HeaderLines, Rejected, TrunkKey, passwords_of
from sidestream.gateway.ids import new_token
from sidestream.gateway.names import numeric
from sidestream.gateway.numbering import inbound_of, outbound_of, rules_of
from sidestream.gateway.token_bucket import TokenBucket
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.guard import SourceTable
from sidestream.sip.hop import Source
from sidestream.sip.message import Request
from sidestream.sip.secure import is_secure
from sidestream.sip.uri import loose

RETRY_AFTER_S: Final[Mapping[Slug, int]] = {
    Slug.CALL_LIMIT: 5,
    Slug.RATE_LIMIT: 1,
    Slug.DRAINING: 60,
    Slug.NO_MEDIA_PORTS: 5,
}
"""What `Retry-After` says (RFC 3261 section 20.33), by the reason of a 503."""

SOURCES_CACHED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A call that may go on. It counts against the limits until `Admission.release`."""

    account: Account
    caller: VoiceService
    callee: VoiceService
    peers: tuple[PeerHop, ...]
    """In the order to try them."""
    caller_auth: DigestClient | None = None
    """Answers what the caller's trunk asks, in requests that we send there."""
    callee_auth: DigestClient | None = None
    """Answers what the callee's trunk asks."""
    numbering: Numbering = field(default_factory=Numbering)
    """What becomes of its numbers."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that may not."""

    slug: Slug
    account: str = ""
    trunk: str = ""
    """The voice service that it came from, when that is known."""
    detail: str = ""
    headers: HeaderLines = ()
    """What its answer carries besides."""
    wait: int | None = None
    """Seconds for `Retry-After` where they are not those of the slug."""

    @property
    def retry_after(self) -> int | None:
        """Seconds for `Retry-After`."""
        return RETRY_AFTER_S.get(self.slug) if self.wait is None else self.wait


class Admission:
    """Decides about each new call.

    Args:
        configuration: trunks, routes and limits.
        now: monotonic seconds.
        randomness: draws among peers of one priority.
        health: which peers are up; those that are not come last.
    """

    def __init__(
        self,
        configuration: Configuration,
        now: float,
        randomness: Randomness | None = None,
        health: PeerBook | None = None,
    ) -> None:
        self._health = health or PeerBook({})
        marks = marks_for(configuration.node.protection.overload_lag)
        self.overload = Overload(marks, randomness or random.Random())  # noqa: S311 - keeps no secret
        self._limits = configuration.node.limits
        self._bucket = TokenBucket(self._limits.calls_per_second, now)
        self._randomness = randomness or random.Random()  # noqa: S311 - spreads calls, keeps no secret
        self._accounts = {account.name: account for account in configuration.accounts}
        self._routes = {account.name: _routes_of(account) for account in configuration.accounts}
        self._sources = {
            (account.name, service.name): _with_peers(
                _sources_of(account.name, service.name, service.trunk), service.trunk.neighbours, ()
            )
            for account, service in configuration.services()
            if service.trunk is not None
        }
        self._peers = {
            (account.name, service.name): tuple(
                PeerHop(
                    str(peer.uri),
                    (),
                    peer.priority,
                    peer.weight,
                    _through(service.trunk),
                    secure=_is_secure(peer, service.trunk),
                )
                for peer in service.trunk.peers
            )
            for account, service in configuration.services()
            if service.trunk is not None
        }
        self._rules = {
            (account.name, service.name): (inbound_of(service.trunk), outbound_of(service.trunk))
            for account, service in configuration.services()
        }
        self.clients: Mapping[TrunkKey, DigestClient] = {
            key: DigestClient(auth.username, auth.password.reveal(), auth.realm, new_token)
            for key, auth in passwords_of(configuration).items()
        }
        self.way_of: Callable[[TrunkKey], Way | None] | None = None
        """Says by which way calls to a registered trunk go."""
        self.door = Doorkeeper(configuration)
        """Asks callers for credentials."""
        self._matched: dict[tuple[object, ...], TrunkSources | None] = {}
        self._table = self._make_table()
        self._by_trunk: Counter[TrunkKey] = Counter()
        self.calls = 0
        """Admitted and not yet released."""
        self.draining = False

    def named_peers(self) -> list[tuple[TrunkKey, str]]:
        """Peers whose addresses have to be looked up: trunk and URI."""
        return [
            (key, str(uri))
            for key in self._sources
            for uri in self._neighbours(key)
            if numeric(uri.host) is None
        ]

    def learn_peers(self, key: TrunkKey, addresses: tuple[PeerAddress, ...]) -> None:
        """Take what the named peers of a trunk resolved to; it replaces what was known."""
        sources = _with_peers(self._sources[key], self._neighbours(key), addresses)
        if sources != self._sources[key]:
            self._sources[key] = sources
            self._matched.clear()
            self._table = self._make_table()

    def trunk_at(self, host: str) -> TrunkKey | None:
        """A trunk that an IP address belongs to, whatever the port; None when it is nobody's."""
        return self._table.find(host)

    def trunk_of(self, source: Source) -> TrunkSources | None:
        """The trunk that a source address belongs to."""
        place = (source.transport, source.host, source.port, source.certificate)
        if place not in self._matched:
            if len(self._matched) >= SOURCES_CACHED:
                self._matched.clear()
            self._matched[place] = match_trunk(self._sources.values(), source)
        return self._matched[place]

    def ask(self, request: Request, source: Source, now: float) -> Asked | Rejected | None:
        """What a request that is no call and in no dialog is to be answered first; None for nothing.

        Strangers are not asked: they learn no more than that something is here.
        """
        trunk = self.trunk_of(source)
        found = None if trunk is None else self.door.identify(request, source, trunk, now)
        return found if isinstance(found, Asked | Rejected) else None

    def admit(self, invite: Request, source: Source, now: float) -> Admitted | Refused | Asked:
        """Decide about an INVITE that begins a call; `now` is in monotonic seconds."""
        trunk = self.trunk_of(source)
        if trunk is not None and self._accounts[trunk.account].suspended:
            return _suspended(trunk)
        found = self.door.identify(invite, source, trunk, now)
        if isinstance(found, Asked):
            return found
        if isinstance(found, Rejected):
            account_name, name = (trunk.account, trunk.trunk) if trunk else ("", "")
            return Refused(found.slug, account_name, name, found.detail, found.headers)
        if found is None:
            return Refused(Slug.UNKNOWN_TRUNK, detail=_stranger(source))
        return self._admit(invite, found, now)

    def _admit(self, invite: Request, trunk: TrunkSources, now: float) -> Admitted | Refused:
        account = self._accounts[trunk.account]
        if account.suspended:
            return _suspended(trunk)
        slug = self._overload(trunk)
        if slug is not None:
            wait = self.overload.retry_after() if slug is Slug.OVERLOAD else None
            return Refused(slug, account.name, trunk.trunk, wait=wait)
        inbound, _ = self._rules[trunk.account, trunk.trunk]
        called = inbound.called(called_number(invite))
        route = first_route(self._routes[account.name], trunk.trunk, called)
        if route is None:
            return Refused(Slug.NO_ROUTE, account.name, trunk.trunk, f"no route for {called!r}")
        caller, callee = account.service(trunk.trunk), account.service(route.target)
        if caller is None or callee is None or callee.trunk is None or not callee.trunk.peers:
            return Refused(Slug.NO_PEER, account.name, trunk.trunk)
        peers = self._peers_to((account.name, callee.name), secure=is_secure(invite.uri))
        if not peers:
            return Refused(Slug.SIPS_NOT_ALLOWED, account.name, trunk.trunk)
        if self._is_full(account.name, callee):
            return Refused(
                Slug.CALL_LIMIT, account.name, trunk.trunk, f"trunk {callee.name!r} has no free line"
            )
        if not self._bucket.take(now):
            return Refused(Slug.RATE_LIMIT, account.name, trunk.trunk)
        _, outbound = self._rules[account.name, callee.name]
        numbering = Numbering((inbound, route.numbers, outbound), callee.trunk.caller_id)
        taken = self._take(account, caller, callee, self._health.order(peers, now))
        return replace(taken, numbering=numbering)

    def release(self, admitted: Admitted) -> None:
        """Take the call out of the counts."""
        self.calls -= 1
        for service in (admitted.caller, admitted.callee):
            key = (admitted.account.name, service.name)
            self._by_trunk[key] -= 1
            if self._by_trunk[key] <= 0:
                del self._by_trunk[key]

    def _take(
        self, account: Account, caller: VoiceService, callee: VoiceService, peers: tuple[PeerHop, ...]
    ) -> Admitted:
        self.calls += 1
        for service in (caller, callee):
            self._by_trunk[account.name, service.name] += 1
        key = (account.name, callee.name)
        return Admitted(
            account=account,
            caller=caller,
            callee=callee,
            peers=peers,
            caller_auth=self.clients.get((account.name, caller.name)),
            callee_auth=self.clients.get(key),
        )

    def _make_table(self) -> SourceTable:
        entries = [
            (network, key)
            for key, sources in self._sources.items()
            for network in (*sources.networks, *(ip_network(peer.host) for peer in sources.peers))
        ]
        return SourceTable(entries)

    def _peers_to(self, key: TrunkKey, *, secure: bool) -> tuple[PeerHop, ...]:
        """The peers of a trunk in the order of their priorities, or those of them that may carry `sips`."""
        peers = tuple(peer for peer in self._peers[key] if peer.secure or not secure)
        peers = order_peers(peers, self._randomness)
        return peers if self.way_of is None else by_way(peers, self.way_of(key))

    def _overload(self, trunk: TrunkSources) -> Slug | None:
        if self.draining:
            return Slug.DRAINING
        if self.overload.sheds():
            return Slug.OVERLOAD
        service = self._accounts[trunk.account].service(trunk.trunk)
        if self.calls >= self._limits.max_calls or (service and self._is_full(trunk.account, service)):
            return Slug.CALL_LIMIT
        return None

    def _is_full(self, account: str, service: VoiceService) -> bool:
        most = service.trunk.max_calls if service.trunk else None
        return most is not None and self._by_trunk[account, service.name] >= most

    def _neighbours(self, key: TrunkKey) -> tuple[PeerUri, ...]:
        service = self._accounts[key[0]].service(key[1])
        return service.trunk.neighbours if service and service.trunk else ()


def _suspended(trunk: TrunkSources) -> Refused:
    reason = RULES[Slug.ACCOUNT_SUSPENDED].reason or ""
    return Refused(Slug.ACCOUNT_SUSPENDED, trunk.account, trunk.trunk, headers=(("Reason", reason),))


def _sources_of(account: str, name: str, trunk: Trunk) -> TrunkSources:
    """What a trunk is known by, but for the addresses of its peers."""
    tls = trunk.tls or PeerTls()
    own = tuple(peer.uri.host for peer in trunk.peers if peer.uri.transport == "tls")
    return TrunkSources(
        name,
        account,
        trunk.match,
        names=tls.names or (own if tls.verify is Verify.NAME else ()),
        only_named=bool(tls.names),
        only_tls=trunk.require_tls,
    )


def _is_secure(peer: Peer, trunk: Trunk) -> bool:
    """Whether a peer is reached over TLS and must prove its name (RFC 3261 26.2.2)."""
    through = trunk.outbound_proxy or peer.uri
    verified = trunk.tls is None or trunk.tls.verify is Verify.NAME
    return peer.uri.transport == through.transport == "tls" and verified


def _stranger(source: Source) -> str:
    """Say who is no trunk's."""
    told = f"no trunk has the address {source.host}"
    if source.certificate is not None:
        return f"{told} or takes the certificate of {source.certificate}"
    return told


def _routes_of(account: Account) -> tuple[Route, ...]:
    return tuple(
        Route(route.source, route.target, route.match, rules_of(route.numbers)) for route in account.routes
    )


def _through(trunk: Trunk) -> tuple[str, ...]:
    """The preloaded route of a trunk with an outbound proxy (RFC 3261 section 8.1.2)."""
    return () if trunk.outbound_proxy is None else (f"<{loose(str(trunk.outbound_proxy))}>",)


def _with_peers(
    sources: TrunkSources, neighbours: tuple[PeerUri, ...], learnt: tuple[PeerAddress, ...]
) -> TrunkSources:
    own = [
        PeerAddress(str(address), uri.port)
        for uri in neighbours
        if (address := numeric(uri.host)) is not None
    ]
    return replace(sources, peers=(*own, *learnt))
