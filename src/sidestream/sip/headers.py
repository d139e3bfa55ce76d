"""Typed values of the headers the core itself reads: name-addr, Via, CSeq (RFC 3261 §20)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import (
    format_params,
    leading_quoted,
    parse_digits,
    parse_params,
    quote,
    unquote,
)
from sidestream.sip.uri import LARGEST_CACHED, Uri, parse_hostport, parse_uri

MAX_CSEQ = 2**31 - 1
"""RFC 3261 §8.1.1.5: the sequence number is below 2**31."""

MAGIC_COOKIE = "z9hG4bK"
"""RFC 3261 §8.1.1.7: a branch that begins so is unique across space and time."""

_SENT_PROTOCOL = re.compile(
    r"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+", re.IGNORECASE
)
_CSEQ = re.compile(r"([0-9]+)[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)\Z")
_AROUND_COLON = re.compile(r"(?<![ \t])[ \t]*:[ \t]*")
_BARE_DISPLAY = re.compile(r'[^"<>,;@:\\]*\Z')
_PLAIN_DISPLAY = re.compile(r"[A-Za-z0-9\-.!%*_+`'~ ]+\Z")


@dataclass(frozen=True, slots=True)
class NameAddr:
    """`"Display" <uri>;params` as in From, To, Contact, Route (RFC 3261 §20.10).

    Attributes:
        uri: the address.
        display_name: display name with quotes and escapes undone; empty when absent.
        params: header parameters, names lower-cased, values as written.
    """

    uri: Uri
    display_name: str = ""
    params: Mapping[str, str | None] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> NameAddr:
        """See `parse_name_addr`."""
        return parse_name_addr(text)

    @property
    def tag(self) -> str | None:
        """The `tag` parameter (RFC 3261 §19.3)."""
        return self.params.get("tag")

    def with_tag(self, tag: str) -> NameAddr:
        """The same address with this tag."""
        return replace(self, params={**self.params, "tag": tag})

    def without_params(self) -> NameAddr:
        """The same address without header parameters."""
        return replace(self, params={})

    def __str__(self) -> str:
        text = f"<{self.uri}>{format_params(self.params)}"
        if not self.display_name:
            return text
        name = self.display_name
        plain = _PLAIN_DISPLAY.match(name) is not None and name == name.strip()
        return f"{name if plain else quote(name)} {text}"


def parse_name_addr(text: str, field_name: str = "address") -> NameAddr:
    """Read a name-addr or addr-spec with its header parameters (RFC 3261 §20.10).

    Raises:
        ParseError: 400 naming the field.
    """
    if len(text) <= LARGEST_CACHED:
        return _cached_name_addr(text, field_name)
    return _parse_name_addr(text, field_name)


def _parse_name_addr(text: str, field_name: str) -> NameAddr:
    text = text.strip(" \t")
    if text.startswith('"'):
        display, rest = leading_quoted(text)
        rest = rest.lstrip(" \t")
        if not rest.startswith("<"):
            raise ParseError(400, f"Invalid {field_name}")
    else:
        before, bracket, after = text.partition("<")
        if not bracket:
            address, semicolon, params = text.partition(";")
            if "?" in address or "," in address:
                raise ParseError(400, f"Invalid {field_name}")
            parsed = parse_params((semicolon + params).rstrip(" \t"), field_name)
            return NameAddr(parse_uri(address.rstrip(" \t")), "", parsed)
        display, rest = before.rstrip(" \t"), bracket + after
        if _BARE_DISPLAY.match(display) is None:
            raise ParseError(400, f"Invalid {field_name} display name")
    address, closing, params = rest[1:].partition(">")
    if not closing:
        raise ParseError(400, f"Invalid {field_name}")
    return NameAddr(parse_uri(address), display, parse_params(params.strip(" \t"), field_name))


# The addresses of a call come again in each of its messages.
_cached_name_addr = lru_cache(maxsize=4096)(_parse_name_addr)


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value (RFC 3261 §20.42, RFC 3581).

    Attributes:
        transport: "UDP", "TCP", "TLS", … upper-cased.
        host: sent-by host; an IPv6 address keeps its brackets.
        port: sent-by port, None when absent.
        params: parameters, names lower-cased, values as written.
    """

    transport: str
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> Via:
        """See `parse_via`."""
        return parse_via(text)

    @property
    def branch(self) -> str | None:
        """The transaction's branch, None in an RFC 2543 request that has none."""
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The source address the next hop saw (RFC 3261 §18.2.1)."""
        return self.params.get("received")

    @property
    def rport(self) -> int | None:
        """The source port the next hop saw (RFC 3581), None when absent or not yet filled."""
        value = self.params.get("rport")
        return int(value) if value is not None else None

    @property
    def wants_rport(self) -> bool:
        """Whether the `rport` parameter is present, filled or not (RFC 3581 §3)."""
        return "rport" in self.params

    @property
    def sent_by(self) -> str:
        """`host:port` in lower case with the default port filled in, for matching (RFC 3261 §17.2.3)."""
        default = 5061 if self.transport == "TLS" else 5060
        return f"{self.host.lower()}:{default if self.port is None else self.port}"

    def with_params(self, **params: str | None) -> Via:
        """The same Via with these parameters set."""
        return replace(self, params={**self.params, **params})

    def __str__(self) -> str:
        where = self.host if self.port is None else f"{self.host}:{self.port}"
        return f"SIP/2.0/{self.transport} {where}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """Read one Via value.

    Raises:
        ParseError: 400 when it is malformed.
    """
    found = _SENT_PROTOCOL.match(text)
    if found is None:
        raise ParseError(400, "Invalid Via")
    where, semicolon, params = text[found.end() :].partition(";")
    # White space may stand around the colon of the port (RFC 3261 §25.1, COLON).
    where = where.strip(" \t")
    if " " in where or "\t" in where:
        where = _AROUND_COLON.sub(":", where)
    host, port = parse_hostport(where, "Via")
    parsed = parse_params((semicolon + params).rstrip(" \t"), "Via")
    rport = parsed.get("rport")
    if rport is not None:
        parse_digits(rport, "Via rport", 65535)
    return Via(found[1].upper(), host, port, parsed)


@dataclass(frozen=True, slots=True)
class CSeq:
    """The CSeq header (RFC 3261 §20.16)."""

    number: int
    method: str

    @staticmethod
    def parse(text: str) -> CSeq:
        """See `parse_cseq`."""
        return parse_cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq value.

    Raises:
        ParseError: 400 when it is malformed or the number is 2**31 or more.
    """
    found = _CSEQ.match(text)
    if found is None:
        raise ParseError(400, "Invalid CSeq")
    return CSeq(parse_digits(found[1], "CSeq", MAX_CSEQ), found[2])


def media_type(text: str) -> str:
    """The lower-cased `type/subtype` of a Content-Type value without parameters."""
    return text.partition(";")[0].strip(" \t").lower()


def media_params(text: str) -> dict[str, str]:
    """The parameters of a Content-Type or Content-Disposition value, quotes undone.

    Raises:
        ParseError: 400 when they are malformed.
    """
    _, semicolon, params = text.partition(";")
    parsed = parse_params((semicolon + params).rstrip(" \t"), "Content-Type")
    return {name: unquote(value or "") for name, value in parsed.items()}
