"""Bytes to session description (RFC 8866), within strict limits.

The structure and the lines that offer/answer depends on (v, o, c, b, m) are checked; attributes are kept as
written and judged where they are used. Tolerated as other implementations do: bare LF line ends, blank lines
at the end, and missing `s=` and `t=` lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from sidestream.sdp.errors import SdpParseError
from sidestream.sdp.model import Line, MediaDescription, SessionDescription

#: A description is one part of a SIP message, which ends at 64 KiB.
MAX_BYTES: Final = 65_536
#: The longest lines seen in the field are format parameters and candidates, far below 1 KiB.
MAX_LINE_BYTES: Final = 4_096
#: Bounds the work that one message can cause; conference offers reach a few hundred lines.
MAX_LINES: Final = 2_000
#: Offers of real endpoints have up to some ten sections.
MAX_MEDIA: Final = 32
#: There are 128 payload types.
MAX_FORMATS: Final = 128

_SESSION_LETTERS: Final = frozenset("vosiuepcbtrzka")
_MEDIA_LETTERS: Final = frozenset("micbka")
_LETTERS: Final = _SESSION_LETTERS | _MEDIA_LETTERS
_ORIGIN: Final = re.compile(r"\S+ \d{1,20} \d{1,20} IN IP[46] \S+")
_MEDIA: Final = re.compile(r"[!-~]+ +\d{1,5}(/[1-9]\d{0,3})? +[!-~]+( +[!-~]+)+ *")
_BANDWIDTH: Final = re.compile(r"[!-9;-~]+:\d{1,15}")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?\.?")


def parse(data: bytes) -> SessionDescription:
    """Parse a session description.

    Args:
        data: the body of type `application/sdp`. Bytes that aren't UTF-8 are kept as they are.

    Returns:
        The description; `serialize` gives the same bytes back when the line ends are CRLF.

    Raises:
        SdpParseError: 400 when it is malformed, 413 when it passes a limit.
    """
    sections: list[list[Line]] = [[]]
    letters = _SESSION_LETTERS
    for number, text in enumerate(_split(data), 1):
        line = _parse_line(text, number)
        if line.type == "m":
            sections.append([])
            letters = _MEDIA_LETTERS
            if len(sections) - 1 > MAX_MEDIA:
                raise SdpParseError(f"more than {MAX_MEDIA} media sections", line=number, sip_status=413)
        elif line.type not in letters:
            raise SdpParseError(f"a {line.type}= line may not stand here", line=number)
        check = _CHECKS.get(line.type)
        if check is not None:
            check(line.value, number)
        sections[-1].append(line)
    _check_session(sections[0])
    session = SessionDescription(
        tuple(sections[0]), tuple(MediaDescription(tuple(section)) for section in sections[1:])
    )
    _check_connections(session)
    return session


def _split(data: bytes) -> list[str]:
    if len(data) > MAX_BYTES:
        raise SdpParseError(f"the description has more than {MAX_BYTES} bytes", sip_status=413)
    # Surrogates keep text in another character set byte for byte (a=charset, RFC 8866 section 6.10).
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    lines = text.rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        raise SdpParseError(f"the description has more than {MAX_LINES} lines", sip_status=413)
    return lines


def _parse_line(text: str, number: int) -> Line:
    if len(text) > MAX_LINE_BYTES:
        raise SdpParseError(f"longer than {MAX_LINE_BYTES} characters", line=number, sip_status=413)
    if len(text) < 2 or text[1] != "=":
        raise SdpParseError("not of the form <letter>=<value>", line=number)
    if "\0" in text or "\r" in text:
        raise SdpParseError("holds a NUL or a bare CR", line=number)
    if text[0] not in _LETTERS:
        raise SdpParseError(f"unknown line type {text[0]!r}", line=number)
    return Line(text[0], text[2:])


def _check_version(value: str, number: int) -> None:
    if value.strip() != "0":
        raise SdpParseError("v= must be 0", line=number)


def _check_origin(value: str, number: int) -> None:
    if not _ORIGIN.fullmatch(value.rstrip()):
        raise SdpParseError("o= must be <user> <id> <version> IN IP4|IP6 <address>", line=number)


def _check_bandwidth(value: str, number: int) -> None:
    if not _BANDWIDTH.fullmatch(value.strip()):
        raise SdpParseError("b= must be <type>:<number>", line=number)


def _check_connection(value: str, number: int) -> None:
    fault = _connection_fault(value)
    if fault is not None:
        raise SdpParseError(fault, line=number)


@lru_cache(1024)  # peers name the same addresses in call after call
def _connection_fault(value: str) -> str | None:
    """What is wrong with the value of a c= line."""
    words = value.split()
    if len(words) != 3 or words[0] != "IN" or words[1] not in {"IP4", "IP6"}:
        return "c= must be IN IP4|IP6 <address>"
    host = words[2].partition("/")[0]
    numeric = ":" in host or host.replace(".", "").isdigit()
    try:
        if numeric and words[1] == "IP4":
            IPv4Address(host)
        elif numeric:
            IPv6Address(host)
        elif not _DOMAIN.fullmatch(host):
            return f"c= names no address: {host!r}"
    except AddressValueError:
        return f"c= holds no {words[1]} address: {host!r}"
    return None


def _check_media(value: str, number: int) -> None:
    if not _MEDIA.fullmatch(value):
        raise SdpParseError("m= must be <media> <port> <protocol> <formats>", line=number)
    words = value.split()
    if int(words[1].partition("/")[0]) > 65_535:
        raise SdpParseError(f"port {words[1]} is over 65535", line=number)
    if len(words) - 3 > MAX_FORMATS:
        raise SdpParseError(f"more than {MAX_FORMATS} formats", line=number, sip_status=413)


_CHECKS: Final[Mapping[str, Callable[[str, int], None]]] = {
    "v": _check_version,
    "o": _check_origin,
    "c": _check_connection,
    "b": _check_bandwidth,
    "m": _check_media,
}
"""How the value of a line is checked, by its letter; the others' may be anything."""


def _check_session(lines: list[Line]) -> None:
    letters = "".join(line.type for line in lines)
    if not letters.startswith("v"):
        raise SdpParseError("a description begins with v=0", line=1)
    for letter, least in (("v", 1), ("o", 1), ("s", 0), ("c", 0)):
        if not least <= letters.count(letter) <= 1:
            wanted = "exactly one" if least else "at most one"
            raise SdpParseError(f"a description has {wanted} {letter}= line")


def _check_connections(session: SessionDescription) -> None:
    for index, media in enumerate(session.media):
        if media.port and media.connection is None:
            raise SdpParseError(f"media section {index + 1} has no c= line and neither has the session")
