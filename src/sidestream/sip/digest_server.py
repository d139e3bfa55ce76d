"""Asks for credentials and judges them: the server's half of digest authentication (RFC 3261 §22, RFC 7616).

Nonces are not kept: each holds the time it was made at and a keyed hash that nobody else can make. What is
kept is how often a nonce was used by whoever knew the password, so that no set of credentials is taken twice.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidestream.sip.digest import (
    Algorithm,
    Challenge,
    Credentials,
    Qop,
    expected_response,
    parse_credentials,
    secret_hash,
)
from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request
from sidestream.sip.uri import OpaqueUri, SipUri, Uri, parse_uri

NONCE_LIFE_S: Final = 300.0
"""How long a nonce may be used. A longer life saves exchanges, a shorter one bounds what is kept."""
MAX_NONCES: Final = 20_000
"""Used nonces remembered. At the bound the oldest go, and what is as old as they are counts as stale."""
COUNT_WINDOW: Final = 64
"""How far a nonce count may lag behind the highest: requests overtake one another over UDP."""
MAX_LINES: Final = 16
"""Authorization lines looked at in one request."""

_TIME_BYTES: Final = 6
_RANDOM_BYTES: Final = 8
_PLACE_BYTES: Final = 6
_HEAD_BYTES: Final = _TIME_BYTES + _RANDOM_BYTES + _PLACE_BYTES
_TAG_BYTES: Final = 16


class Reason(StrEnum):
    """Why credentials are not accepted."""

    MISSING = "missing"
    """There are none for the realm: the usual first request."""
    STALE = "stale"
    """They are right but for the nonce: too old, not of this process, or used before with that count."""
    WRONG = "wrong"
    """The password or the user is wrong. Which of the two is not told."""
    MALFORMED = "malformed"
    """They can't be read, or are for another Request-URI, algorithm or qop than was asked for."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Credentials that do not count."""

    reason: Reason
    detail: str = ""
    """What to say to the client, of what is malformed: the reason phrase of a 400."""
    username: str = ""
    """As the client wrote it; empty where it could not be read."""
    answers_us: bool = False
    """Whether the nonce was given to this client's address: it hears what is sent there."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Credentials that count, once."""

    username: str


@dataclass(frozen=True, slots=True)
class Realm:
    """What a request is asked for.

    Attributes:
        name: the realm.
        password_of: the password of a user, None for one that is not known.
        algorithms: what is offered, the one wanted most first (RFC 8760 §2.4).
    """

    name: str
    password_of: Callable[[str], str | None]
    algorithms: Sequence[Algorithm]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a nonce says of itself."""

    made_at: float
    """Seconds."""
    same_host: bool
    """Whether it was given to the address that it comes from."""


class Nonces:
    """Makes nonces and knows them again (RFC 7616 §3.3).

    Args:
        key: secret of this process.
        random: makes unguessable bytes, the number of which it is given.
    """

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random

    def make(self, realm: str, host: str, now: float) -> str:
        """A new nonce.

        Args:
            realm: what it is for.
            host: whom it is given to.
            now: seconds of a clock that never goes back.
        """
        head = int(now * 1000).to_bytes(_TIME_BYTES) + self._random(_RANDOM_BYTES) + self._place(host)
        return urlsafe_b64encode(head + self._tag(head, realm)).decode()

    def known(self, nonce: str, realm: str, host: str) -> Origin | None:
        """Where a nonce came from; None when it is none of ours for this realm."""
        try:
            data = urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return None
        head, tag = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
        # Base 64 has several spellings of one value; only ours is the nonce that is counted.
        if not hmac.compare_digest(tag, self._tag(head, realm)) or urlsafe_b64encode(data).decode() != nonce:
            return None
        made_at = int.from_bytes(head[:_TIME_BYTES]) / 1000
        return Origin(made_at, head[-_PLACE_BYTES:] == self._place(host))

    def _tag(self, head: bytes, realm: str) -> bytes:
        return hmac.digest(self._key, head + realm.encode("utf-8", "surrogatepass"), "sha256")[:_TAG_BYTES]

    def _place(self, host: str) -> bytes:
        return hmac.digest(self._key, b"place:" + host.encode(), "sha256")[:_PLACE_BYTES]


@dataclass(slots=True)
class _Counted:
    """How a nonce was used: the highest count, and which of those below it, as bits."""

    made_at: float
    highest: int = 0
    seen: int = 0


class NonceCounts:
    """Remembers which count each nonce was used with (RFC 7616 §3.4.5, §5.13); bounded.

    Args:
        life: how long a nonce may be used, in seconds.
        most: nonces remembered.
    """

    def __init__(self, life: float = NONCE_LIFE_S, most: int = MAX_NONCES) -> None:
        self._life = life
        self._most = most
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        self._forgotten = float("-inf")

    def __len__(self) -> int:
        return len(self._counted)

    def take(self, nonce: str, made_at: float, count: int, now: float) -> bool:
        """Use a nonce with a count; false when it is too old, was used so before, or that can't be told."""
        if not 0 <= now - made_at <= self._life:
            return False
        known = self._counted.get(nonce)
        if known is None:
            if made_at <= self._forgotten:
                return False
            known = self._remember(nonce, made_at, now)
        return _is_new(known, count)

    def _remember(self, nonce: str, made_at: float, now: float) -> _Counted:
        while self._counted:
            oldest = next(iter(self._counted))
            if len(self._counted) < self._most and now - self._counted[oldest].made_at <= self._life:
                break
            # What was made before it and is used for the first time now can't be told from a repetition.
            self._forgotten = max(self._forgotten, self._counted.pop(oldest).made_at)
        known = self._counted[nonce] = _Counted(made_at)
        return known


def _is_new(known: _Counted, count: int) -> bool:
    """Mark a count as used; false when it was, or is too far behind to know."""
    ahead = count - known.highest
    if ahead > 0:
        known.seen = (known.seen << min(ahead, COUNT_WINDOW) | 1) & ((1 << COUNT_WINDOW) - 1)
        known.highest = count
        return True
    bit = 1 << -ahead
    if -ahead >= COUNT_WINDOW or known.seen & bit:
        return False
    known.seen |= bit
    return True


class DigestServer:
    """Challenges requests and judges what comes back.

    Args:
        nonces: makes them.
        counts: remembers how they were used.
    """

    def __init__(self, nonces: Nonces, counts: NonceCounts) -> None:
        self._nonces = nonces
        self._counts = counts

    def challenges(self, realm: Realm, host: str, now: float, *, stale: bool = False) -> list[str]:
        """The values of WWW-Authenticate, one line for each algorithm (RFC 8760 §2.4), all of one nonce.

        Args:
            realm: what is asked for.
            host: the client's address.
            now: seconds.
            stale: whether the client's credentials were right but for their nonce.
        """
        nonce = self._nonces.make(realm.name, host, now)
        return [
            str(Challenge(realm.name, nonce, algorithm, (Qop.AUTH,), stale=stale))
            for algorithm in realm.algorithms
        ]

    def judge(self, request: Request, realm: Realm, host: str, now: float) -> Accepted | Denied:
        """Judge the Authorization of a request; an unknown user takes as long as a wrong password.

        Args:
            request: the request.
            realm: what was asked for.
            host: the client's address.
            now: seconds.
        """
        try:
            credentials = _credentials_for(request, realm.name)
            if credentials is None:
                return Denied(Reason.MISSING)
            count = _checked(credentials, request, realm)
        except ParseError as error:
            return Denied(Reason.MALFORMED, error.reason)
        password = realm.password_of(credentials.username)
        secret = secret_hash(
            credentials.effective_algorithm, credentials.username, realm.name, password or ""
        )
        expected = expected_response(credentials, secret, request.method, request.body)
        right = hmac.compare_digest(expected.encode(), credentials.response.encode())
        origin = self._nonces.known(credentials.nonce, realm.name, host)
        if password is None or not right:
            answers_us = origin is not None and origin.same_host
            return Denied(Reason.WRONG, username=credentials.username, answers_us=answers_us)
        if origin is None or not self._counts.take(credentials.nonce, origin.made_at, count, now):
            return Denied(Reason.STALE, username=credentials.username)
        return Accepted(credentials.username)


def realms_named(request: Request) -> list[str]:
    """The realms that a request shows credentials for; what can't be read is left out."""
    found: list[str] = []
    for line in request.headers.get_all("Authorization")[:MAX_LINES]:
        with suppress(ParseError):
            credentials = parse_credentials(line)
            if credentials is not None:
                found.append(credentials.realm)
    return found


def _credentials_for(request: Request, realm: str) -> Credentials | None:
    """The credentials of a realm: other lines are for other servers on the way (RFC 3261 §22.1).

    Raises:
        ParseError: 400 when the only ones there are malformed.
    """
    malformed: ParseError | None = None
    for line in request.headers.get_all("Authorization")[:MAX_LINES]:
        try:
            credentials = parse_credentials(line)
        except ParseError as error:
            malformed = error
            continue
        if credentials is not None and credentials.realm == realm:
            return credentials
    if malformed is not None:
        raise malformed
    return None


def _checked(credentials: Credentials, request: Request, realm: Realm) -> int:
    """The nonce count of credentials that answer what was asked.

    Raises:
        ParseError: 400: another algorithm or qop than was offered, or another Request-URI (RFC 7616 §3.4.6).
    """
    if credentials.effective_algorithm not in realm.algorithms:
        raise ParseError(400, "Digest algorithm not offered")
    if credentials.qop is not Qop.AUTH or credentials.nonce_count is None:
        raise ParseError(400, "Digest qop not offered")
    if credentials.uri != request.uri and not _lead_to_one(
        parse_uri(credentials.uri), parse_uri(request.uri)
    ):
        raise ParseError(400, "Digest uri is not the Request-URI")
    return credentials.nonce_count


def _lead_to_one(one: Uri, other: Uri) -> bool:
    """Whether two URIs are of one user at one host; a proxy on the way may add parameters and a port."""
    if isinstance(one, OpaqueUri) or isinstance(other, OpaqueUri):
        return one == other
    return _user_at(one) == _user_at(other)


def _user_at(uri: SipUri) -> tuple[str, str | None, str]:
    return uri.scheme, uri.user, uri.host.lower()
