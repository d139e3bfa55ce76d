"""SIP and other URIs (RFC 3261 §19.1, RFC 3966)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import unquote_to_bytes

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import parse_digits

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
# Wider than the RFC's user-unreserved by "#" and "^", which dial strings use unescaped in practice.
_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#^|{}\[\]]|%[0-9A-Fa-f]{2})+\Z")
_PASSWORD = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_\-.]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])\Z")
_PARAM = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]|%[0-9A-Fa-f]{2})+\Z")
_HEADERS = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$=&]|%[0-9A-Fa-f]{2})*\Z")
_OPAQUE = re.compile(r"[!#-;=?-~]+\Z")
_VISUAL_SEPARATORS = str.maketrans("", "", "-.() ")
_NUMBER = re.compile(r"\+?[0-9*#A-Da-d]+\Z")
# RFC 3261 §19.1.4: these never match when only one side has them.
_DECISIVE_PARAMS = ("user", "ttl", "method", "maddr", "transport")


LARGEST_CACHED = 256
"""Longest text in characters that is kept with what it was read as, so that caches stay small."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:` or `sips:` URI; every part as written, escapes kept, so it goes out as it came in.

    Attributes:
        scheme: "sip" or "sips".
        user: user part, still escaped; None when absent.
        password: password, still escaped; None when absent.
        host: name or address; an IPv6 address keeps its brackets.
        port: port, None when absent.
        params: uri-parameters, names lower-cased; None for a parameter without value.
        headers: what follows the question mark, raw; empty when absent.
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    password: str | None = None
    params: Mapping[str, str | None] = field(default_factory=dict)
    headers: str = ""

    @staticmethod
    def parse(text: str) -> SipUri:
        """Read a SIP or SIPS URI.

        Raises:
            ParseError: 416 for another scheme, 400 for a malformed URI.
        """
        uri = parse_uri(text)
        if isinstance(uri, OpaqueUri):
            raise ParseError(416, "Unsupported URI Scheme")
        return uri

    @property
    def number(self) -> str | None:
        """The telephone number in the user part (digits, `+`, `*`, `#`), None when it is no number."""
        return None if self.user is None else _number_of(self.user)

    @property
    def address(self) -> str:
        """The host without the brackets of an IPv6 reference."""
        return bare_host(self.host)

    @property
    def transport(self) -> str | None:
        """The `transport` parameter, lower-cased."""
        value = self.params.get("transport")
        return None if value is None else value.lower()

    @property
    def loose_router(self) -> bool:
        """Whether the `lr` parameter is present (RFC 3261 §19.1.1)."""
        return "lr" in self.params

    def without_headers(self) -> SipUri:
        """The URI as it may stand in a Request-URI (RFC 3261 §19.1.1, table 1)."""
        params = {name: value for name, value in self.params.items() if name != "method"}
        return replace(self, params=params, headers="")

    def __str__(self) -> str:
        text = f"{self.scheme}:"
        if self.user is not None:
            text += self.user if self.password is None else f"{self.user}:{self.password}"
            text += "@"
        text += self.host if self.port is None else f"{self.host}:{self.port}"
        for name, value in self.params.items():
            text += f";{name}" if value is None else f";{name}={value}"
        return f"{text}?{self.headers}" if self.headers else text


@dataclass(frozen=True, slots=True)
class OpaqueUri:
    """A URI of another scheme (`tel:`, `urn:`, …), carried and not interpreted.

    Attributes:
        scheme: scheme, lower-cased.
        rest: all that follows the colon, as written.
    """

    scheme: str
    rest: str

    @property
    def number(self) -> str | None:
        """The telephone number of a `tel:` URI (RFC 3966), else None."""
        return _number_of(self.rest) if self.scheme == "tel" else None

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | OpaqueUri


def parse_uri(text: str) -> Uri:
    """Read any absolute URI.

    Raises:
        ParseError: 400 when it is malformed.
    """
    return _cached_uri(text) if len(text) <= LARGEST_CACHED else _parse_uri(text)


def _parse_uri(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    if not colon or not rest or _SCHEME.match(scheme) is None:
        raise ParseError(400, "Invalid URI")
    scheme = scheme.lower()
    if scheme not in {"sip", "sips"}:
        if _OPAQUE.match(rest) is None:
            raise ParseError(400, "Invalid URI")
        return OpaqueUri(scheme, rest)
    user, password, rest = _split_userinfo(rest)
    rest, _, headers = rest.partition("?")
    hostport, semicolon, params = rest.partition(";")
    host, port = parse_hostport(hostport, "URI")
    if headers and _HEADERS.match(headers) is None:
        raise ParseError(400, "Invalid URI headers")
    return SipUri(scheme, user, host, port, password, _parse_uri_params(params) if semicolon else {}, headers)


# The same few URIs come again in each message of a call; what is read is immutable.
_cached_uri = lru_cache(maxsize=4096)(_parse_uri)


def _split_userinfo(rest: str) -> tuple[str | None, str | None, str]:
    userinfo, at, hostpart = rest.rpartition("@")
    if not at:
        return None, None, rest
    user, colon, password = userinfo.partition(":")
    if _USER.match(user) is None or _PASSWORD.match(password) is None:
        raise ParseError(400, "Invalid URI user")
    return user, password if colon else None, hostpart


def _parse_uri_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        name = _plain_name(name)
        if _PARAM.match(name) is None or name in params or (equals and _PARAM.match(value) is None):
            raise ParseError(400, "Invalid URI parameter")
        params[name] = value if equals else None
    return params


def _plain_name(name: str) -> str:
    """A parameter's name by which it is known: `%6C%72` is `lr` (RFC 3261 §19.1.4, RFC 4475 §3.1.1.3)."""
    if "%" in name:
        plain = unquote_to_bytes(name).decode("latin-1")
        if _PARAM.match(plain) is not None and "%" not in plain:
            return plain.lower()
    return name.lower()


def parse_hostport(text: str, field_name: str) -> tuple[str, int | None]:
    """Read `host` or `host:port`; an IPv6 address stands in brackets.

    Raises:
        ParseError: 400 naming `field_name`.
    """
    return (
        _cached_hostport(text, field_name)
        if len(text) <= LARGEST_CACHED
        else _parse_hostport(text, field_name)
    )


def _parse_hostport(text: str, field_name: str) -> tuple[str, int | None]:
    if text.startswith("["):
        end = text.find("]") + 1
        host, rest = text[:end], text[end:]
        if rest and rest[0] != ":":
            raise ParseError(400, f"Invalid {field_name} host")
        port_text, colon = rest[1:], bool(rest)
    else:
        host, mark, port_text = text.partition(":")
        colon = bool(mark)
    if len(host) > 255 or _HOST.match(host) is None or (host[0] == "[" and not _is_ipv6(host[1:-1])):
        raise ParseError(400, f"Invalid {field_name} host")
    return host, parse_digits(port_text, f"{field_name} port", 65535) if colon else None


_cached_hostport = lru_cache(maxsize=4096)(_parse_hostport)


def _is_ipv6(address: str) -> bool:
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


def bare_host(host: str) -> str:
    """The host without the brackets of an IPv6 reference."""
    return host[1:-1] if host.startswith("[") else host


def wire_host(host: str) -> str:
    """The host as it stands in a message: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def uris_match(one: Uri, other: Uri) -> bool:
    """Compare two URIs by RFC 3261 §19.1.4 (escapes undone, case where it counts)."""
    if isinstance(one, OpaqueUri) or isinstance(other, OpaqueUri):
        return one == other
    if (one.scheme, one.host.lower(), one.port) != (other.scheme, other.host.lower(), other.port):
        return False
    if _unescape(one.user) != _unescape(other.user) or _unescape(one.password) != _unescape(other.password):
        return False
    if _header_set(one.headers) != _header_set(other.headers):
        return False
    return _params_match(one.params, other.params)


def _params_match(one: Mapping[str, str | None], other: Mapping[str, str | None]) -> bool:
    for name in _DECISIVE_PARAMS:
        if (name in one) != (name in other):
            return False
    return all(_same_param(one[name], other[name]) for name in one.keys() & other.keys())


def _same_param(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return (_unescape(one) or b"").lower() == (_unescape(other) or b"").lower()


def _header_set(text: str) -> frozenset[bytes]:
    return frozenset(unquote_to_bytes(piece) for piece in text.split("&")) if text else frozenset()


def _unescape(text: str | None) -> bytes | None:
    return None if text is None else unquote_to_bytes(text)


def _number_of(user: str) -> str | None:
    plain = unquote_to_bytes(user.partition(";")[0]).decode("utf-8", "replace")
    digits = plain.translate(_VISUAL_SEPARATORS)
    return digits if _NUMBER.match(digits) is not None else None


def loose(uri: str) -> str:
    """A proxy's URI as it stands in a Route: with `lr` (RFC 3261 §16.12, §19.1.1)."""
    parsed = SipUri.parse(uri)
    return uri if parsed.loose_router else str(replace(parsed, params={**parsed.params, "lr": None}))
