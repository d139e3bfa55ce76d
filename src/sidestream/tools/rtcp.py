"""RTCP as a recorder needs it: reads sender reports, writes receiver reports (RFC 3550 section 6). Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sidestream.errors import RemoteError

SR, RR, SDES, BYE = 200, 201, 202, 203
CNAME: Final = 1
NTP_EPOCH_S: Final = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970."""
_HEADER: Final = struct.Struct(">BBH")
_SENDER: Final = struct.Struct(">IIIIII")
_BLOCK: Final = struct.Struct(">IIIIII")
MAX_BLOCKS: Final = 31


class RtcpError(RemoteError):
    """A datagram is not a compound RTCP packet."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender's report on itself.

    Attributes:
        ssrc: the sender.
        ntp_s: wall-clock time of the report in seconds since 1970, as the sender tells it.
        ntp_middle: the middle 32 bits of the NTP timestamp, which a receiver report gives back.
        rtp_timestamp: the same instant on the clock of the stream.
        packets: packets sent.
        octets: bytes of payload sent.
    """

    ssrc: int
    ntp_s: float
    ntp_middle: int
    rtp_timestamp: int
    packets: int
    octets: int


@dataclass(slots=True)
class Compound:
    """What one compound packet says.

    Attributes:
        senders: sender reports.
        names: CNAME by SSRC.
        left: sources that said BYE.
        starts_with_report: whether it begins with SR or RR, as section 6.1 wants.
    """

    senders: list[SenderReport] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    starts_with_report: bool = False


def parse_rtcp(data: bytes) -> Compound:
    """Parse a compound packet.

    Raises:
        RtcpError: it is none.
    """
    compound = Compound()
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size or data[offset] >> 6 != 2:
            raise RtcpError("not an RTCP packet: shorter than its header, or its version is not 2")
        first, kind, words = _HEADER.unpack_from(data, offset)
        body = data[offset + 4 : offset + 4 + 4 * words]
        if len(body) < 4 * words or not SR <= kind <= 207:
            raise RtcpError("the RTCP packet is cut off, or is of no known kind")
        if offset == 0:
            compound.starts_with_report = kind in {SR, RR}
        _take(compound, kind, first & 0x1F, body)
        offset += 4 + 4 * words
    if not data:
        raise RtcpError("an empty RTCP packet")
    return compound


def _take(compound: Compound, kind: int, count: int, body: bytes) -> None:
    if kind == SR:
        if len(body) < _SENDER.size:
            raise RtcpError("the sender report is cut off")
        ssrc, seconds, fraction, timestamp, packets, octets = _SENDER.unpack_from(body)
        middle = (seconds & 0xFFFF) << 16 | fraction >> 16
        wall = seconds - NTP_EPOCH_S + fraction / 2**32
        compound.senders.append(SenderReport(ssrc, wall, middle, timestamp, packets, octets))
    elif kind == SDES:
        _take_names(compound, count, body)
    elif kind == BYE:
        if len(body) < 4 * count:
            raise RtcpError("the BYE is cut off")
        compound.left += struct.unpack_from(f">{count}I", body)


def _take_names(compound: Compound, count: int, body: bytes) -> None:
    offset = 0
    for _ in range(count):
        if len(body) < offset + 4:
            raise RtcpError("the source description is cut off")
        (ssrc,) = struct.unpack_from(">I", body, offset)
        offset += 4
        while offset < len(body) and body[offset] != 0:
            length = body[offset + 1] if offset + 1 < len(body) else 0
            text = body[offset + 2 : offset + 2 + length]
            if len(text) < length or offset + 2 > len(body):
                raise RtcpError("the source description is cut off")
            if body[offset] == CNAME:
                compound.names[ssrc] = text.decode("utf-8", "replace")
            offset += 2 + length
        offset += 4 - offset % 4  # The list ends with one to four zero bytes.


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver has to say about one source (section 6.4.1).

    Attributes:
        ssrc: the source.
        fraction_lost: since the last report, of 256.
        lost: in all, negative where duplicates came.
        highest: extended highest sequence number.
        jitter: in ticks of the RTP clock.
        last_report: middle bits of the last sender report, 0 before the first.
        delay: since that report, in 1/65,536 s.
    """

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


def receiver_report(ssrc: int, cname: str, blocks: Sequence[ReportBlock], *, bye: bool = False) -> bytes:
    """Return a compound packet: a receiver report, our name and, at the end, BYE."""
    blocks = blocks[:MAX_BLOCKS]
    report = struct.pack(">I", ssrc)
    for block in blocks:
        lost = max(min(block.lost, 0x7F_FFFF), -0x80_0000) & 0xFF_FFFF
        report += _BLOCK.pack(
            block.ssrc,
            (block.fraction_lost & 0xFF) << 24 | lost,
            block.highest & 0xFFFF_FFFF,
            block.jitter & 0xFFFF_FFFF,
            block.last_report,
            min(block.delay, 0xFFFF_FFFF),
        )
    name = cname.encode()[:255]
    item = struct.pack(">I", ssrc) + bytes((CNAME, len(name))) + name
    item += bytes(4 - len(item) % 4)
    packets = [_packet(RR, len(blocks), report), _packet(SDES, 1, item)]
    if bye:
        packets.append(_packet(BYE, 1, struct.pack(">I", ssrc)))
    return b"".join(packets)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(2 << 6 | count, kind, len(body) // 4) + body
