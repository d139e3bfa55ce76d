"""HEP version 3, by which collectors such as HOMER are told of packets: one message as bytes. Pure.

A packet is `HEP3`, its length, and chunks of vendor, type, length and value, all in network byte order
(github.com/sipcapture/HEP, "HEP3 Network Protocol Specification", revision 36).
"""

import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

LENGTH_MAX: Final = 65_535
"""What the length of a packet and of a chunk can say."""
_HEAD: Final = struct.Struct(">4sH")
_CHUNK: Final = struct.Struct(">HHH")
_GENERIC: Final = 0
_IPV4, _IPV6 = 2, 10
_TCP, _UDP = 6, 17
_PASSWORD_MAX: Final = 256
_NAME_MAX: Final = 64


class Payload(IntEnum):
    """What a packet carries (chunk 11)."""

    SIP = 1
    RTCP_JSON = 5
    """RTCP as JSON, as HOMER's own agents make it."""


class _Type(IntEnum):
    """The generic chunks that are used."""

    FAMILY = 1
    PROTOCOL = 2
    IPV4_SOURCE = 3
    IPV4_TARGET = 4
    IPV6_SOURCE = 5
    IPV6_TARGET = 6
    SOURCE_PORT = 7
    TARGET_PORT = 8
    SECONDS = 9
    MICROSECONDS = 10
    PAYLOAD_TYPE = 11
    AGENT = 12
    PASSWORD = 14
    PAYLOAD = 15
    CORRELATION = 17
    NODE_NAME = 19


@dataclass(frozen=True, slots=True)
class HepAgent:
    """Who sends.

    Attributes:
        node_id: number of the gateway in the collector.
        name: its name there.
        password: what the collector knows it by; empty for none. Not shown.
    """

    node_id: int
    name: str
    password: str = ""

    def __repr__(self) -> str:
        return f"HepAgent({self.node_id}, {self.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class HepPacket:
    """One packet as it was on the wire.

    Attributes:
        at_us: microseconds since 1970.
        source: address and port of the sender.
        target: address and port of the receiver.
        tcp: whether it went over TCP (or TLS).
        kind: what it carries.
        data: that.
        correlation: joins packets of one call, whatever their Call-IDs.
    """

    at_us: int
    source: tuple[str, int]
    target: tuple[str, int]
    tcp: bool
    kind: Payload
    data: bytes
    correlation: str


def encode(packet: HepPacket, agent: HepAgent) -> bytes | None:
    """Return a packet as HEP, None when it is too long for it."""
    source, target = _address(packet.source[0]), _address(packet.target[0])
    if source is None or target is None or source.version != target.version:
        source = target = IPv4Address(0)
    six = source.version == 6
    seconds, micros = divmod(packet.at_us, 1_000_000)
    chunks = [
        _chunk(_Type.FAMILY, bytes([_IPV6 if six else _IPV4])),
        _chunk(_Type.PROTOCOL, bytes([_TCP if packet.tcp else _UDP])),
        _chunk(_Type.IPV6_SOURCE if six else _Type.IPV4_SOURCE, source.packed),
        _chunk(_Type.IPV6_TARGET if six else _Type.IPV4_TARGET, target.packed),
        _chunk(_Type.SOURCE_PORT, struct.pack(">H", packet.source[1] & 0xFFFF)),
        _chunk(_Type.TARGET_PORT, struct.pack(">H", packet.target[1] & 0xFFFF)),
        _chunk(_Type.SECONDS, struct.pack(">I", seconds & 0xFFFFFFFF)),
        _chunk(_Type.MICROSECONDS, struct.pack(">I", micros)),
        _chunk(_Type.PAYLOAD_TYPE, bytes([packet.kind])),
        _chunk(_Type.AGENT, struct.pack(">I", agent.node_id & 0xFFFFFFFF)),
        _chunk(_Type.NODE_NAME, agent.name.encode()[:_NAME_MAX]),
        _chunk(_Type.CORRELATION, packet.correlation.encode()[:_NAME_MAX]),
    ]
    if agent.password:
        chunks.append(_chunk(_Type.PASSWORD, agent.password.encode()[:_PASSWORD_MAX]))
    length = _HEAD.size + sum(map(len, chunks)) + _CHUNK.size + len(packet.data)
    if length > LENGTH_MAX:
        return None
    return _HEAD.pack(b"HEP3", length) + b"".join(chunks) + _chunk(_Type.PAYLOAD, packet.data)


def _chunk(kind: _Type, value: bytes) -> bytes:
    return _CHUNK.pack(_GENERIC, kind, _CHUNK.size + len(value)) + value


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """What is reported of one party's audio at the end of its call.

    Attributes:
        packets: packets that came from it.
        lost: packets that did not.
        jitter_ms: interarrival jitter.
        round_trip_ms: by RTCP; None when never measured.
        sent: packets sent to it.
        far_lost: packets that it misses of those, by its own reports; None when it made none.
        mos: estimated score, None when there is none.
    """

    packets: int
    lost: int
    jitter_ms: float
    round_trip_ms: float | None
    sent: int
    far_lost: int | None
    mos: float | None


def report_json(report: QualityReport, clock_rate: int = 8000) -> bytes:
    """Return a report as RTCP in JSON: the fields of a receiver report, with `mos` and the round trip beside.

    Args:
        report: the figures.
        clock_rate: ticks a second of the jitter's unit.
    """
    expected = report.packets + report.lost
    block: dict[str, object] = {
        "source_ssrc": 0,
        "fraction_lost": min(255, report.lost * 256 // expected) if expected else 0,
        "packets_lost": report.lost,
        "highest_seq_no": 0,
        "ia_jitter": round(report.jitter_ms * clock_rate / 1000),
        "lsr": 0,
        "dlsr": 0,
    }
    document: dict[str, object] = {
        "type": 200,
        "ssrc": 0,
        "report_count": 1,
        "sender_information": {"packets": report.packets, "octets": 0},
        "report_blocks": [block],
        "packets_sent": report.sent,
    }
    optional = {"mos": report.mos, "round_trip_ms": report.round_trip_ms, "far_packets_lost": report.far_lost}
    document |= {name: value for name, value in optional.items() if value is not None}
    return json.dumps(document, separators=(",", ":")).encode()
