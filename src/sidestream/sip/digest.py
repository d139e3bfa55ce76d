"""Digest access authentication: its headers and its arithmetic (RFC 3261 §22.4, RFC 7616, RFC 8760).

A header line holds one challenge or one set of credentials; unlike other lists they are never joined by
commas (RFC 3261 §7.3.1, §20.44), so each line is read by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote as percent_decoded

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import is_token, quote, unquote
from sidestream.sip.message import Request

ANSWER_HEADERS: Final = ("Authorization", "Proxy-Authorization")
"""The headers that carry credentials."""
MAX_PARAMS: Final = 32
"""Parameters of one header line; RFC 7616 has eleven."""

MAX_VALUE: Final = 1024
"""Characters of one value; nonces of servers in the field stay below 200."""

_SCHEME = re.compile(r"[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+")
# Values that ought to be quoted and are not are taken as they come, up to white space or a comma.
_AUTH_PARAM = re.compile(
    r"[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*=[ \t]*"
    r'("(?:[^"\\]|\\.)*"|[^\x00-\x20\x7f",]+)[ \t]*(,|\Z)',
    re.DOTALL,
)
_HEX: Final = re.compile(r"[0-9A-Fa-f]+\Z")
_EXTENDED_NAME: Final = re.compile(
    r"UTF-8'[^']*'((?:[A-Za-z0-9!#$&+\-.^_`|~]|%[0-9A-Fa-f]{2})*)\Z", re.IGNORECASE
)


class Algorithm(StrEnum):
    """Hash algorithms in the order of their strength (RFC 7616 §6.1, RFC 8760 §2.1)."""

    MD5 = "MD5"
    MD5_SESS = "MD5-sess"
    SHA_256 = "SHA-256"
    SHA_256_SESS = "SHA-256-sess"
    SHA_512_256 = "SHA-512-256"
    SHA_512_256_SESS = "SHA-512-256-sess"

    @property
    def is_session(self) -> bool:
        """Whether A1 takes in the nonces (RFC 7616 §3.4.2)."""
        return self.value.endswith("-sess")

    @property
    def hex_digits(self) -> int:
        """Length of its output as it is written."""
        return 32 if self in {Algorithm.MD5, Algorithm.MD5_SESS} else 64

    @property
    def strength(self) -> int:
        """Higher is stronger."""
        return _STRENGTH[self]


_STRENGTH: Final = {algorithm: number for number, algorithm in enumerate(Algorithm)}
_BY_NAME: Final = {algorithm.value.lower(): algorithm for algorithm in Algorithm}
_HASHES: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class Qop(StrEnum):
    """Quality of protection (RFC 7616 §3.3)."""

    AUTH = "auth"
    AUTH_INT = "auth-int"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants answered: one WWW-Authenticate or Proxy-Authenticate line."""

    realm: str
    nonce: str
    algorithm: Algorithm | None = None
    """None when it names none, which means MD5."""
    qop: tuple[Qop, ...] = ()
    """Those it offers that are known; none in the form of RFC 2069."""
    opaque: str | None = None
    stale: bool = False
    """The credentials were right and only their nonce too old."""

    @property
    def effective_algorithm(self) -> Algorithm:
        """The algorithm to answer with."""
        return self.algorithm or Algorithm.MD5

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        if self.algorithm is not None:
            parts.append(f"algorithm={self.algorithm}")
        if self.qop:
            parts.append(f'qop="{",".join(self.qop)}"')
        return f"Digest {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The answer to a challenge: one Authorization or Proxy-Authorization line."""

    username: str
    realm: str
    nonce: str
    uri: str
    """The Request-URI as the client sent it."""
    response: str = field(repr=False)
    """Lower-case hexadecimal."""
    algorithm: Algorithm | None = None
    qop: Qop | None = None
    nonce_count: int | None = None
    """How often the client has used the nonce; there with `qop` only, like `cnonce`."""
    cnonce: str | None = None
    opaque: str | None = None

    @property
    def effective_algorithm(self) -> Algorithm:
        """The algorithm that `response` was made with."""
        return self.algorithm or Algorithm.MD5

    def __str__(self) -> str:
        parts = [
            f"username={quote(self.username)}",
            f"realm={quote(self.realm)}",
            f"nonce={quote(self.nonce)}",
            f"uri={quote(self.uri)}",
            f'response="{self.response}"',
        ]
        if self.algorithm is not None:
            parts.append(f"algorithm={self.algorithm}")
        if self.cnonce is not None:
            parts.append(f"cnonce={quote(self.cnonce)}")
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.qop is not None:
            parts.append(f"qop={self.qop}")
        if self.nonce_count is not None:
            parts.append(f"nc={self.nonce_count:08x}")
        return f"Digest {', '.join(parts)}"


def parse_challenge(text: str) -> Challenge | None:
    """Read one challenge; None when it is of another scheme, or of an algorithm or qop that is not known.

    Raises:
        ParseError: 400 when it is malformed.
    """
    params = _digest_params(text, "challenge")
    if params is None:
        return None
    algorithm = _algorithm(params)
    if algorithm is None and "algorithm" in params:
        return None
    names = [word.strip(" \t").lower() for word in params.get("qop", "").split(",")]
    qop = tuple(each for each in Qop if each.value in names)
    if not qop and "qop" in params:
        return None
    return Challenge(
        realm=_needed(params, "realm", "challenge"),
        nonce=_needed(params, "nonce", "challenge"),
        algorithm=algorithm,
        qop=qop,
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
    )


def parse_credentials(text: str) -> Credentials | None:
    """Read one set of credentials; None when it is of another scheme.

    Raises:
        ParseError: 400 when it is malformed, incomplete, or of an algorithm or qop that is not known.
    """
    params = _digest_params(text, "credentials")
    if params is None:
        return None
    algorithm = _algorithm(params)
    if algorithm is None and "algorithm" in params:
        raise ParseError(400, "Unknown digest algorithm")
    if params.get("userhash", "false").lower() != "false":
        raise ParseError(400, "Digest userhash not offered")
    response = _needed(params, "response", "credentials").lower()
    if len(response) != (algorithm or Algorithm.MD5).hex_digits or _HEX.match(response) is None:
        raise ParseError(400, "Invalid digest response")
    qop = _qop_of(params)
    return Credentials(
        username=_username(params),
        realm=_needed(params, "realm", "credentials"),
        nonce=_needed(params, "nonce", "credentials"),
        uri=_needed(params, "uri", "credentials"),
        response=response,
        algorithm=algorithm,
        qop=qop,
        nonce_count=_nonce_count(params) if qop is not None else None,
        cnonce=_needed(params, "cnonce", "credentials") if qop is not None else None,
        opaque=params.get("opaque"),
    )


def credentials_of(request: Request) -> tuple[tuple[str, str], ...]:
    """The lines with credentials, which the ACK of an INVITE repeats (RFC 3261 §22.1)."""
    return tuple((name, value) for name in ANSWER_HEADERS for value in request.headers.get_all(name))


def _digest_params(text: str, what: str) -> dict[str, str] | None:
    """The parameters, names lower-cased and quotes undone; None for another scheme."""
    found = _SCHEME.match(text)
    if found is None:
        if is_token(text.strip(" \t")):
            return None  # a scheme without parameters
        raise ParseError(400, f"Invalid {what}")
    if found[1].lower() != "digest":
        return None
    params: dict[str, str] = {}
    at = found.end()
    while at < len(text):
        piece = _AUTH_PARAM.match(text, at)
        if piece is None:
            if not text[at:].strip(" \t,"):
                break
            raise ParseError(400, f"Invalid digest {what}")
        name = piece[1].lower()
        if name in params or len(params) >= MAX_PARAMS:
            raise ParseError(400, f"Repeated parameter in digest {what}")
        value = unquote(piece[2])
        if len(value) > MAX_VALUE:
            raise ParseError(400, f"Value too long in digest {what}")
        params[name] = value
        at = piece.end()
    return params


def _needed(params: Mapping[str, str], name: str, what: str) -> str:
    value = params.get(name)
    if not value:
        raise ParseError(400, f"Missing {name} in digest {what}")
    return value


def _algorithm(params: Mapping[str, str]) -> Algorithm | None:
    return _BY_NAME.get(params.get("algorithm", "").lower())


def _qop_of(params: Mapping[str, str]) -> Qop | None:
    name = params.get("qop")
    if name is None:
        return None
    found = next((each for each in Qop if each.value == name.lower()), None)
    if found is None:
        raise ParseError(400, "Unknown digest qop")
    return found


def _nonce_count(params: Mapping[str, str]) -> int:
    text = _needed(params, "nc", "credentials")
    if len(text) != 8 or _HEX.match(text) is None or (count := int(text, 16)) == 0:
        raise ParseError(400, "Invalid nc in digest credentials")
    return count


def _username(params: Mapping[str, str]) -> str:
    """The name, or that of `username*` (RFC 7616 §3.4, RFC 8187 §3.2); one of them stands there."""
    extended = params.get("username*")
    if extended is None:
        return _needed(params, "username", "credentials")
    found = _EXTENDED_NAME.match(extended)
    if found is None or "username" in params:
        raise ParseError(400, "Invalid username in digest credentials")
    try:
        name = percent_decoded(found[1], errors="strict")
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise ParseError(400, "Invalid username in digest credentials")
    return name


def _hash(algorithm: Algorithm, data: bytes) -> str:
    """H of RFC 7616 §3.4, in hexadecimal."""
    name = _HASHES[algorithm.value.removesuffix("-sess")]
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


def _text(*parts: str) -> bytes:
    # What YAML or the environment gave may hold lone surrogates; they hash to something, and to no match.
    return ":".join(parts).encode("utf-8", "surrogatepass")


def secret_hash(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """H(A1) without the nonces of a `-sess` algorithm (RFC 7616 §3.4.2). As secret as the password."""
    return _hash(algorithm, _text(username, realm, password))


def expected_response(credentials: Credentials, secret: str, method: str, body: bytes) -> str:
    """The `response` that these credentials ought to have (RFC 7616 §3.4.1).

    Args:
        credentials: all but their `response` counts.
        secret: `secret_hash` of the user.
        method: method of the request.
        body: its body, which `auth-int` protects.
    """
    algorithm, qop = credentials.effective_algorithm, credentials.qop
    cnonce = credentials.cnonce or ""
    if algorithm.is_session:
        secret = _hash(algorithm, _text(secret, credentials.nonce, cnonce))
    request = _text(method, credentials.uri)
    if qop is Qop.AUTH_INT:
        request += b":" + _hash(algorithm, body).encode()
    hashed_request = _hash(algorithm, request)
    if qop is None:  # RFC 2069
        return _hash(algorithm, _text(secret, credentials.nonce, hashed_request))
    count = f"{credentials.nonce_count or 0:08x}"
    return _hash(algorithm, _text(secret, credentials.nonce, count, cnonce, qop.value, hashed_request))
