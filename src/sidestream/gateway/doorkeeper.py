"""Asks callers for credentials, and knows a trunk by them where its address says nothing.

A trunk with `require_auth` is asked for its own credentials. Who calls from an address of no trunk is asked
for those of some trunk with `any_source`, if there is one. Requests within a dialog are not asked again, ACK
and CANCEL never (RFC 3261 section 22.1).
"""

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidestream.call.routing import TrunkSources
from sidestream.call.verdict import Slug
from sidestream.config.model import Configuration, TrunkAuth
from sidestream.sip.digest import Algorithm
from sidestream.sip.digest_server import (
    Accepted,
    Denied,
    DigestServer,
    NonceCounts,
    Nonces,
    Realm,
    Reason,
    realms_named,
)
from sidestream.sip.hop import Source
from sidestream.sip.message import Request
from sidestream.sip.uri import SipUri, Uri

GUESSES: Final = 10
"""Wrong credentials that an address may show at once."""
GUESSES_PER_S: Final = 0.2
"""How fast it may show more."""
GUESSERS: Final = 4096
"""Addresses that are remembered; the one longest silent goes."""

TrunkKey = tuple[str, str]
"""Account and voice service."""
HeaderLines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The caller is to show credentials first, or better ones: no call yet, and nothing to record."""

    status: int
    headers: HeaderLines = ()
    phrase: str | None = None
    """Reason phrase; None for the registered one."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The caller showed wrong credentials."""

    slug: Slug
    detail: str
    headers: HeaderLines = ()


@dataclass(slots=True)
class _Allowance:
    tokens: float
    at: float


class GuessLimit:
    """How often an address may be wrong."""

    def __init__(self) -> None:
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()

    def blocked(self, host: str, now: float) -> bool:
        """Whether an address has been wrong too often of late."""
        known = self._allowances.get(host)
        return known is not None and self._at(known, now) < 1.0

    def note(self, host: str, now: float) -> None:
        """An address was wrong."""
        known = self._allowances.pop(host, None) or _Allowance(GUESSES, now)
        known.tokens, known.at = max(0.0, self._at(known, now) - 1.0), now
        self._allowances[host] = known
        while len(self._allowances) > GUESSERS:
            self._allowances.popitem(last=False)

    @staticmethod
    def _at(known: _Allowance, now: float) -> float:
        return min(float(GUESSES), known.tokens + (now - known.at) * GUESSES_PER_S)


@dataclass(slots=True)
class _Users:
    """Whoever may call from anywhere, by the names of one realm."""

    algorithms: tuple[Algorithm, ...]
    trunks: dict[str, TrunkSources] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)


class Doorkeeper:
    """Decides whose a request is by its credentials.

    Args:
        configuration: trunks and their credentials.
        random: makes unguessable bytes.
    """

    def __init__(self, configuration: Configuration, random: Callable[[int], bytes] = os.urandom) -> None:
        self._server = DigestServer(Nonces(random(32), random), NonceCounts())
        self._own: dict[TrunkKey, Realm] = {}
        self._roaming: dict[str, _Users] = {}
        self._guesses = GuessLimit()
        self.counts: Counter[str] = Counter()
        """Requests that were to be authenticated, by what came of it."""
        for key, auth in _asking(configuration):
            realm, algorithms = configuration.node.realm_of(auth), _algorithms_of(auth)
            passwords = {auth.username: auth.password.reveal()}
            self._own[key] = Realm(realm, passwords.get, algorithms)
            if auth.any_source:
                users = self._roaming.setdefault(realm, _Users(algorithms))
                users.trunks[auth.username] = TrunkSources(key[1], key[0])
                users.passwords.update(passwords)

    def identify(
        self, request: Request, source: Source, trunk: TrunkSources | None, now: float
    ) -> TrunkSources | Asked | Rejected | None:
        """Say whose a request outside of dialogs is.

        Args:
            request: the request.
            source: where it came from.
            trunk: the trunk that this address belongs to.
            now: monotonic seconds.

        Returns:
            The trunk, None when it is nobody's, or what to answer first.
        """
        if trunk is not None:
            realm = self._own.get((trunk.account, trunk.trunk))
            if realm is None:
                return trunk
            judged = self._judge(request, source, realm, now)
            return trunk if isinstance(judged, Accepted) else judged
        if not self._roaming:
            return None
        name = self._realm_for(request)
        users = self._roaming[name]
        realm = Realm(name, users.passwords.get, users.algorithms)
        found = self._judge(request, source, realm, now)
        return users.trunks[found.username] if isinstance(found, Accepted) else found

    def _judge(
        self, request: Request, source: Source, realm: Realm, now: float
    ) -> Accepted | Asked | Rejected:
        if "Authorization" in request.headers and self._guesses.blocked(source.host, now):
            self.counts["blocked"] += 1
            return Rejected(Slug.TOO_MANY_GUESSES, f"{source.host} showed wrong credentials too often")
        judged = self._server.judge(request, realm, source.host, now)
        if isinstance(judged, Accepted):
            self.counts["accepted"] += 1
            return judged
        self.counts[judged.reason.value] += 1
        if judged.reason is Reason.MALFORMED:
            return Asked(400, phrase=judged.detail)
        stale = judged.reason is Reason.STALE
        lines = self._server.challenges(realm, source.host, now, stale=stale)
        headers = tuple(("WWW-Authenticate", line) for line in lines)
        if judged.reason is not Reason.WRONG:
            return Asked(401, headers)
        return self._wrong(judged, source, realm, headers, now)

    def _wrong(
        self, judged: Denied, source: Source, realm: Realm, headers: HeaderLines, now: float
    ) -> Rejected:
        # Whoever writes another's address never sees our nonces, and must not have that other one blocked.
        if judged.answers_us:
            self._guesses.note(source.host, now)
        user = judged.username[:64]
        return Rejected(Slug.WRONG_CREDENTIALS, f"user {user!r} of realm {realm.name!r}", headers)

    def _realm_for(self, request: Request) -> str:
        """The realm whose credentials a stranger shows, or else the one that its request is about."""
        shown = (name for name in realms_named(request) if name in self._roaming)
        about = (host for host in _hosts(request) if host in self._roaming)
        return next(shown, None) or next(about, None) or next(iter(self._roaming))


def _asking(configuration: Configuration) -> Iterator[tuple[TrunkKey, TrunkAuth]]:
    for account, service in configuration.services():
        auth = service.trunk.auth if service.trunk else None
        if auth is not None and auth.require_auth:
            yield (account.name, service.name), auth


def _algorithms_of(auth: TrunkAuth) -> tuple[Algorithm, ...]:
    return tuple(Algorithm(each.value) for each in auth.algorithms)


def _hosts(request: Request) -> Iterator[str]:
    uris: tuple[Uri, ...] = (request.to.uri, request.from_.uri)
    return (uri.host.lower() for uri in uris if isinstance(uri, SipUri))


def passwords_of(configuration: Configuration) -> Mapping[TrunkKey, TrunkAuth]:
    """The credentials of each trunk that has some, for what its peers ask."""
    return {
        (account.name, service.name): service.trunk.auth
        for account, service in configuration.services()
        if service.trunk is not None and service.trunk.auth is not None
    }
