"""A session description as it was written (RFC 8866), with typed views on what offer/answer needs.

The truth is the ordered list of lines: what isn't understood is kept, and an untouched description is
serialized to the bytes it was parsed from. The typed properties read the lines, each one once; a changed
description is a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property, lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from sidestream.sdp.codecs import STATIC, Codec, CodecKey

#: Transport protocols without protection (RFC 3551, RFC 4585).
PLAIN_RTP: Final = frozenset({"RTP/AVP", "RTP/AVPF"})

#: Transport protocols with SRTP whose keys are in the description (RFC 3711, RFC 5124, RFC 4568).
SECURE_RTP: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})

#: Addresses that ask for no media.
UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- read from peers, never bound


class Direction(Enum):
    """The direction attribute of a stream, as its sender sees it (RFC 3264 section 5.1)."""

    __hash__ = object.__hash__  # an enum's own is written in Python

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the one who says this will send."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """Whether the one who says this wants to receive."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def reversed(self) -> Direction:
        """The same flow as the other side sees it."""
        return Direction.of(sends=self.receives, receives=self.sends)

    def within(self, offered: Direction) -> Direction:
        """Cut an answer to what the offer permits (RFC 3264 section 6.1)."""
        return Direction.of(sends=self.sends and offered.receives, receives=self.receives and offered.sends)

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Direction:
        """The direction of one who sends, receives, both or neither."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE


_DIRECTIONS: Final = {direction.value: direction for direction in Direction}


#: An SRTP key in a `crypto` attribute (RFC 4568 section 6.1), up to its lifetime.
_INLINE_KEY: Final = re.compile(r"(inline:)[A-Za-z0-9+/=]+", re.IGNORECASE)


def masked(text: str) -> str:
    """The same text with every SRTP key in it replaced by `***`."""
    return _INLINE_KEY.sub(r"\1***", text)


class Line(NamedTuple):
    """One line: its type letter and everything after the equals sign."""

    type: str
    value: str

    def __repr__(self) -> str:
        """As a call, without the keys that it holds."""
        return f"Line(type={self.type!r}, value={masked(self.value)!r})"


class Attribute(NamedTuple):
    """An `a=` line: a property (`value` is None) or a value attribute."""

    name: str
    value: str | None

    def __repr__(self) -> str:
        """As a call, without the keys that it holds."""
        value = masked(self.value) if self.value is not None else None
        return f"Attribute(name={self.name!r}, value={value!r})"

    @property
    def line(self) -> Line:
        """The line that says this."""
        return Line("a", self.name if self.value is None else f"{self.name}:{self.value}")


@dataclass(frozen=True, slots=True)
class Connection:
    """A `c=` line (RFC 8866 section 5.7).

    Attributes:
        family: `IP4` or `IP6`.
        host: IP address or domain name, without a multicast scope.
        scope: the part after the slash (TTL, address count), when there is one.
    """

    family: str
    host: str
    scope: str | None = None

    @classmethod
    def of(cls, host: str) -> Connection:
        """The connection of an address of ours."""
        return cls("IP6" if ":" in host else "IP4", host)

    @property
    def value(self) -> str:
        """The value of the line."""
        return f"IN {self.family} {self.host}" + (f"/{self.scope}" if self.scope else "")

    @property
    def is_unspecified(self) -> bool:
        """Whether it asks for no media: 0.0.0.0, `::` or a `.invalid` domain (RFC 3264 section 8.4)."""
        return self.host in UNSPECIFIED or self.host.lower().endswith(".invalid")

    @property
    def is_multicast(self) -> bool:
        """Whether the address is a multicast group, which a call never is."""
        return _is_multicast(self.host)


_CACHED = 1024
"""Hosts and codecs whose meaning is remembered: peers name the same ones in call after call."""


@lru_cache(_CACHED)
def _is_multicast(host: str) -> bool:
    try:
        address = IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return False
    return address.is_multicast


@dataclass(frozen=True, slots=True)
class Origin:
    """The `o=` line (RFC 8866 section 5.2): who made the description, and which revision it is."""

    username: str
    session_id: int
    version: int
    host: str

    @property
    def value(self) -> str:
        """The value of the line."""
        family = "IP6" if ":" in self.host else "IP4"
        return f"{self.username} {self.session_id} {self.version} IN {family} {self.host}"

    def with_version(self, version: int) -> Origin:
        """The same origin at another revision."""
        return replace(self, version=version)


def _attributes(lines: Iterable[Line]) -> tuple[Attribute, ...]:
    split = (line.value.partition(":") for line in lines if line.type == "a")
    return tuple(Attribute(name, value if colon else None) for name, colon, value in split)


def _direction(lines: Iterable[Line]) -> Direction | None:
    return next((_DIRECTIONS[line.value] for line in lines if _says_direction(line)), None)


def _says_direction(line: Line) -> bool:
    return line.type == "a" and line.value in _DIRECTIONS


def _connection(lines: Iterable[Line]) -> Connection | None:
    for line in lines:
        if line.type == "c":
            _, family, address = line.value.split()
            host, slash, scope = address.partition("/")
            return Connection(family.upper(), host, scope if slash else None)
    return None


@dataclass(frozen=True)
class MediaDescription:
    """One m-line and the lines below it.

    Attributes:
        lines: the section's lines; the first is the m-line.
        session_lines: the session's lines, whose connection and attributes this section inherits. Set by
            `SessionDescription`.
        barred: why it may not be used where it was received, although it could be carried; empty: it may.
    """

    lines: tuple[Line, ...]
    session_lines: tuple[Line, ...] = field(default=(), compare=False, repr=False)
    barred: str = field(default="", compare=False, repr=False)

    def barred_for(self, reason: str) -> MediaDescription:
        """The same section, not to be used."""
        return replace(self, barred=reason)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tuple(self.lines[0].value.split())

    @property
    def kind(self) -> str:
        """Media type: `audio`, `video`, `image`, ..."""
        return self._words[0].lower()

    @cached_property
    def port(self) -> int:
        """RTP port; 0 refuses the stream (RFC 3264 section 6)."""
        return int(self._words[1].partition("/")[0])

    @property
    def port_count(self) -> int:
        """Number of consecutive port pairs, 1 but for layered codings."""
        return int(self._words[1].partition("/")[2] or "1")

    @property
    def protocol(self) -> str:
        """Transport protocol in upper case, such as `RTP/AVP`."""
        return self._words[2].upper()

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats in the order of preference; payload types where the protocol is RTP."""
        return self._words[3:]

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """The section's own attributes in their order."""
        return _attributes(self.lines)

    def attribute(self, name: str) -> str | None:
        """Value of the first attribute of that name in this section; an empty string when it has none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute.value or ""
        return None

    @cached_property
    def connection(self) -> Connection | None:
        """The section's connection, or else the session's."""
        return _connection(self.lines) or _connection(self.session_lines)

    @cached_property
    def declared_direction(self) -> Direction:
        """The direction written here or for the session, or else `sendrecv` (RFC 3264 section 5.1)."""
        return _direction(self.lines) or _direction(self.session_lines) or Direction.SENDRECV

    @property
    def direction(self) -> Direction:
        """The direction that is meant: an unspecified address receives nothing, whatever else is written."""
        declared, connection = self.declared_direction, self.connection
        if connection is not None and connection.is_unspecified:
            return Direction.of(sends=declared.sends, receives=False)
        return declared

    @property
    def ptime_ms(self) -> int | None:
        """Wanted packet length in ms (RFC 8866 section 6.4)."""
        return self._milliseconds("ptime")

    @property
    def maxptime_ms(self) -> int | None:
        """Longest packet in ms that can be received."""
        return self._milliseconds("maxptime")

    def _milliseconds(self, name: str) -> int | None:
        # Some phones write "20.0"; a value that means nothing counts as not given, for it is only a wish.
        whole = (self.attribute(name) or "").strip().partition(".")[0]
        return int(whole) if whole.isascii() and whole.isdigit() and 0 < int(whole) <= 1000 else None

    @property
    def rtpmaps(self) -> dict[int, Codec]:
        """Formats that have a well-formed `rtpmap`, without their parameters, by payload type."""
        maps: dict[int, Codec] = {}
        for attribute in self.attributes:
            if attribute.name == "rtpmap" and (codec := _parse_rtpmap(attribute.value or "")):
                maps.setdefault(codec.payload_type, codec)
        return maps

    @property
    def fmtps(self) -> dict[int, str]:
        """Format parameters by payload type, as written."""
        parameters: dict[int, str] = {}
        for attribute in self.attributes:
            if attribute.name != "fmtp":
                continue
            number, _, value = (attribute.value or "").strip().partition(" ")
            if _is_payload_type(number):
                parameters.setdefault(int(number), value.strip())
        return parameters

    @cached_property
    def codecs(self) -> tuple[Codec, ...]:
        """The formats known by `rtpmap` or static assignment, in order of preference."""
        rtpmaps, fmtps = self.rtpmaps, self.fmtps
        found: dict[int, Codec] = {}
        for word in self.formats:
            if not _is_payload_type(word) or int(word) in found:
                continue
            number = int(word)
            named = rtpmaps.get(number)
            key = CodecKey(named.name, named.clock_rate, named.channels) if named else STATIC.get(number)
            fmtp = fmtps.get(number)
            if named is not None and fmtp is None:
                found[number] = named
            elif key:
                found[number] = Codec(*key, number, fmtp)
        return tuple(found.values())

    @property
    def label(self) -> str | None:
        """The `label` attribute (RFC 4574)."""
        return self.attribute("label")

    @property
    def rtcp_port(self) -> int:
        """RTCP port: the `rtcp` attribute (RFC 3605), or else the port above the RTP port."""
        word = (self.attribute("rtcp") or "").split(" ")[0]
        if word.isascii() and word.isdigit() and 0 < int(word) <= 65535:
            return int(word)
        return min(self.port + 1, 65535)

    @property
    def is_rtp(self) -> bool:
        """Whether its transport is RTP, or SRTP with keys in the description (RFC 4568)."""
        if self.protocol in SECURE_RTP:
            return self.attribute("crypto") is not None
        return self.protocol in PLAIN_RTP

    @cached_property
    def is_usable_audio(self) -> bool:
        """Whether Sidestream may carry this section: unicast RTP or SRTP audio, not refused or barred."""
        return (
            self.kind == "audio" and self.port > 0 and self.is_rtp and not self.barred and self._is_reachable
        )

    @property
    def _is_reachable(self) -> bool:
        connection = self.connection
        return connection is not None and not connection.is_multicast and self.port_count == 1


@dataclass(frozen=True)
class SessionDescription:
    """A whole session description.

    Attributes:
        lines: the session's lines, up to the first m-line.
        media: the media sections in their order.
    """

    lines: tuple[Line, ...]
    media: tuple[MediaDescription, ...] = ()

    def __post_init__(self) -> None:
        inherited = tuple(MediaDescription(media.lines, self.lines, media.barred) for media in self.media)
        object.__setattr__(self, "media", inherited)

    @cached_property
    def origin(self) -> Origin:
        """The `o=` line."""
        username, session_id, version, _, _, host = self._value("o").split()
        return Origin(username, int(session_id), int(version), host)

    @property
    def name(self) -> str:
        """The `s=` line; `-` when there is none or it is empty (RFC 8866 section 5.3)."""
        return next((line.value for line in self.lines if line.type == "s" and line.value.strip()), "-")

    @cached_property
    def connection(self) -> Connection | None:
        """The session's connection."""
        return _connection(self.lines)

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """The session's attributes in their order."""
        return _attributes(self.lines)

    @cached_property
    def audio_index(self) -> int | None:
        """Position of the first audio section that can be carried."""
        return next((index for index, media in enumerate(self.media) if media.is_usable_audio), None)

    @cached_property
    def audio(self) -> MediaDescription | None:
        """The first audio section that can be carried; None when there is none."""
        index = self.audio_index
        return None if index is None else self.media[index]

    def with_origin(self, origin: Origin) -> SessionDescription:
        """The same description with another `o=` line."""
        lines = (Line("o", origin.value) if line.type == "o" else line for line in self.lines)
        return SessionDescription(tuple(lines), self.media)

    def _value(self, letter: str) -> str:
        return next(line.value for line in self.lines if line.type == letter)


def _is_payload_type(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= 127


@lru_cache(_CACHED)
def _parse_rtpmap(value: str) -> Codec | None:
    """Read `<pt> <name>/<clock>[/<channels>]`; None when malformed, which makes the format unknown."""
    number, _, encoding = value.strip().partition(" ")
    name, clock_rate, channels = (
        [*encoding.strip().split("/"), "1", "1"][:3] if "/" in encoding else ("", "", "")
    )
    if not (name and _is_payload_type(number) and _is_count(clock_rate) and _is_count(channels)):
        return None
    return Codec(name, int(clock_rate), int(channels), int(number))


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9 and int(word) > 0
