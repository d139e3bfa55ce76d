"""Answers challenges: the credentials of one user, and the nonces that servers gave for them.

A request that is challenged is sent again with credentials (RFC 3261 §22.2, §22.3). The nonce is kept, so
that later requests to the same place carry credentials at once, its count raised each time (RFC 7616 §3.4.5).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sidestream.sip.digest import (
    ANSWER_HEADERS,
    Challenge,
    Credentials,
    Qop,
    expected_response,
    parse_challenge,
    secret_hash,
)
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import CSeq
from sidestream.sip.message import Request, Response

MAX_SPACES: Final = 64
"""Nonces kept of one user: places times realms. The one longest unused goes."""
MAX_CHALLENGES: Final = 16
"""Challenges read in one response."""
MAX_REPEATS: Final = 4
"""How often a request is sent again: a proxy, another one, the server, and one nonce that was too old."""
MAX_COUNT: Final = 0xFFFF_FFFF

_ANSWERS: Final = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}

Space = tuple[str, str]
"""Header that answers, and realm: what one set of credentials in a request is for (RFC 3261 §22.1)."""
Trail = tuple[Space, ...]
"""What a request has been challenged for so far, over all its repetitions."""


class NotAnswered(StrEnum):
    """Why a challenge is not answered."""

    REJECTED = "rejected"
    """The server wants other credentials than those it got."""
    OTHER_REALM = "other-realm"
    """It is for a realm that the credentials are not for."""
    UNUSABLE = "unusable"
    """There is none that can be read, or none of a scheme, an algorithm and a qop that are known."""


@dataclass(frozen=True, slots=True)
class Again:
    """The request as it is to be sent again: the same but for credentials and a CSeq one higher."""

    request: Request
    trail: Trail


@dataclass(slots=True)
class _Known:
    """A challenge that was answered, and how often its nonce was used since."""

    challenge: Challenge
    cnonce: str
    secret: str
    count: int = 0


class DigestClient:
    """One user.

    Args:
        username: its name.
        password: its password.
        realm: the realm that they are for; `*` for any.
        token: makes unguessable words, for the cnonce.
    """

    def __init__(self, username: str, password: str, realm: str, token: Callable[[], str]) -> None:
        self.username = username
        self._password = password
        self._realm = realm
        self._token = token
        self._known: OrderedDict[tuple[str, Space], _Known] = OrderedDict()

    def dress(self, request: Request, place: str) -> None:
        """Put credentials into a request for all that this place has challenged before, and only for that.

        Args:
            request: complete but for Via; ACK takes those of its INVITE and CANCEL none (RFC 3261 §22.1).
            place: where it goes, in the user's own words; nonces of one place are not used at another.
        """
        for name in ANSWER_HEADERS:
            request.headers.remove(name)
        for key, known in list(self._known.items()):
            if key[0] != place:
                continue
            if known.count >= MAX_COUNT:
                del self._known[key]
                continue
            known.count += 1
            header = key[1][0]
            request.headers.add(header, str(self._credentials(known, request)))

    def answer(
        self, request: Request, response: Response, place: str, trail: Trail = ()
    ) -> Again | NotAnswered:
        """Answer a 401 or 407.

        A nonce that was used before may have become too old, whether the response says so by `stale` or not:
        the first challenge for a realm is always answered, a second one only if it says `stale`.

        Args:
            request: what was challenged, as it was sent.
            response: the challenge.
            place: see `dress`.
            trail: `Again.trail` of the request, if it was sent again before.
        """
        source, header = _ANSWERS[response.status]
        chosen: dict[Space, Challenge] = {}
        foreign = False
        for challenge in _readable(response.headers.get_all(source)):
            space = (header, challenge.realm)
            if self._realm not in {"*", challenge.realm}:
                foreign = True
            elif space not in chosen or _strength(challenge) > _strength(chosen[space]):
                chosen[space] = challenge
        if not chosen:
            return NotAnswered.OTHER_REALM if foreign else NotAnswered.UNUSABLE
        for space, challenge in chosen.items():
            seen = trail.count(space)
            if seen > 1 or (seen == 1 and not challenge.stale) or len(trail) >= MAX_REPEATS:
                self._known.pop((place, space), None)
                return NotAnswered.REJECTED
            self._learn((place, space), challenge)
        again = request.copy()
        again.headers.set("CSeq", str(CSeq(request.cseq.number + 1, request.method)))
        self.dress(again, place)
        return Again(again, (*trail, *chosen))

    def _learn(self, key: tuple[str, Space], challenge: Challenge) -> None:
        secret = secret_hash(challenge.effective_algorithm, self.username, challenge.realm, self._password)
        self._known[key] = _Known(challenge, self._token(), secret)
        self._known.move_to_end(key)
        while len(self._known) > MAX_SPACES:
            self._known.popitem(last=False)

    def _credentials(self, known: _Known, request: Request) -> Credentials:
        challenge = known.challenge
        qop = _preferred(challenge)
        plain = Credentials(
            username=self.username,
            realm=challenge.realm,
            nonce=challenge.nonce,
            uri=request.uri,
            response="",
            algorithm=challenge.algorithm,
            qop=qop,
            nonce_count=None if qop is None else known.count,
            cnonce=None if qop is None else known.cnonce,
            opaque=challenge.opaque,
        )
        return replace(plain, response=expected_response(plain, known.secret, request.method, request.body))


def _readable(lines: list[str]) -> list[Challenge]:
    """The challenges that can be answered; one that is malformed does not spoil those beside it."""
    found: list[Challenge] = []
    for line in lines[:MAX_CHALLENGES]:
        try:
            challenge = parse_challenge(line)
        except ParseError:
            continue
        # A session's key is made from the cnonce, which only goes with a qop.
        if challenge is not None and (challenge.qop or not challenge.effective_algorithm.is_session):
            found.append(challenge)
    return found


def _strength(challenge: Challenge) -> int:
    # The order of the lines is the server's wish (RFC 8760 §2.4); whoever is in between may not change it.
    return challenge.effective_algorithm.strength


def _preferred(challenge: Challenge) -> Qop | None:
    """`auth` where there is a choice: whoever rewrites session descriptions on the way breaks `auth-int`."""
    if not challenge.qop:
        return None
    return Qop.AUTH if Qop.AUTH in challenge.qop else challenge.qop[0]
