"""Writes SIP messages as a capture that Wireshark and its like read. Pure.

The frames are made up around what was kept: Ethernet, IPv4 or IPv6, and UDP or TCP with the addresses, ports
and times of the messages. A TCP connection begins with a handshake and its sequence numbers add up. What came
over TLS is written as UDP, in the clear as it was kept: on TCP port 5061 it would be taken for ciphertext.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from sidestream.observe.call_trace import TracedMessage

CONTENT_TYPE: Final = "application/vnd.tcpdump.pcap"

_MAGIC: Final = 0xA1B2C3D4  # microseconds
_SNAPLEN: Final = 262_144
_ETHERNET: Final = 1
_TYPES: Final = {4: 0x0800, 6: 0x86DD}
_TCP, _UDP = 6, 17
_SYN, _PUSH, _ACK = 2, 8, 16
_TTL: Final = 64
_WINDOW: Final = 65_535
_FIRST_SEQUENCE: Final = 1_000
SEGMENT: Final = 1_400
"""Bytes of one TCP segment."""
DATAGRAM: Final = 65_507
"""What UDP over IPv4 carries at most; longer ones, which only TLS can have brought, are cut."""

_Address = IPv4Address | IPv6Address
Endpoint = tuple[_Address, int]


def pcap(messages: Iterable[TracedMessage]) -> bytes:
    """Return a capture of the messages, in the order given."""
    out = [struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAPLEN, _ETHERNET)]
    connections: dict[tuple[Endpoint, Endpoint], _Connection] = {}
    for message in messages:
        local = _endpoint(message.local_host, message.local_port)
        remote = _endpoint(message.remote_host, message.remote_port, of=local[0])
        if local[0].version != remote[0].version:
            local = _unspecified(remote[0]), local[1]
        source, target = (local, remote) if message.sent else (remote, local)
        if message.transport == "tcp":
            known = connections.get((source, target)) or connections.get((target, source))
            if known is None:
                known = connections[source, target] = _Connection()
                out += [_record(message.at_us, frame) for frame in known.handshake(source, target)]
            frames = known.segments(source, target, message.data)
        else:
            frames = [_datagram(source, target, message.data[:DATAGRAM])]
        out += [_record(message.at_us, frame) for frame in frames]
    return b"".join(out)


def _endpoint(host: str, port: int, of: _Address | None = None) -> Endpoint:
    try:
        return ip_address(host.partition("%")[0]), port & 0xFFFF
    except ValueError:
        return _unspecified(of), port & 0xFFFF


def _unspecified(like: _Address | None) -> _Address:
    return IPv6Address(0) if like is not None and like.version == 6 else IPv4Address(0)


def _record(at_us: int, frame: bytes) -> bytes:
    seconds, micros = divmod(at_us, 1_000_000)
    return struct.pack("<IIII", seconds & 0xFFFFFFFF, micros, len(frame), len(frame)) + frame


@dataclass(slots=True)
class _Connection:
    """A TCP connection that looks as if all of it had been captured."""

    next: dict[Endpoint, int] = field(default_factory=dict)
    """The next sequence number of each end."""

    def handshake(self, client: Endpoint, server: Endpoint) -> list[bytes]:
        self.next = {client: _FIRST_SEQUENCE, server: 2 * _FIRST_SEQUENCE}
        first = self._segment(client, server, _SYN)
        second = self._segment(server, client, _SYN | _ACK)
        return [first, second, self._segment(client, server, _ACK)]

    def segments(self, source: Endpoint, target: Endpoint, data: bytes) -> list[bytes]:
        parts = [data[at : at + SEGMENT] for at in range(0, len(data), SEGMENT)]
        return [self._segment(source, target, _PUSH | _ACK, part) for part in parts]

    def _segment(self, source: Endpoint, target: Endpoint, flags: int, data: bytes = b"") -> bytes:
        sequence = self.next[source]
        self.next[source] = (sequence + len(data) + bool(flags & _SYN)) & 0xFFFFFFFF
        acknowledged = self.next[target] if flags & _ACK else 0
        head = struct.pack(
            ">HHIIBBHHH", source[1], target[1], sequence, acknowledged, 5 << 4, flags, _WINDOW, 0, 0
        )
        checksum = _checksum(_pseudo(source[0], target[0], _TCP, len(head) + len(data)) + head + data)
        return _packet(source[0], target[0], _TCP, head[:16] + struct.pack(">HH", checksum, 0) + data)


def _datagram(source: Endpoint, target: Endpoint, data: bytes) -> bytes:
    length = 8 + len(data)
    head = struct.pack(">HHHH", source[1], target[1], length, 0)
    # 0 would mean that there is none (RFC 768).
    checksum = _checksum(_pseudo(source[0], target[0], _UDP, length) + head + data) or 0xFFFF
    return _packet(source[0], target[0], _UDP, head[:6] + struct.pack(">H", checksum) + data)


def _packet(source: _Address, target: _Address, protocol: int, payload: bytes) -> bytes:
    ethernet = _mac(target) + _mac(source) + struct.pack(">H", _TYPES[source.version])
    if source.version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, _TTL) + source.packed + target.packed
        return ethernet + head + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, _TTL, protocol, 0)
    head += source.packed + target.packed
    return ethernet + head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + payload


def _mac(address: _Address) -> bytes:
    """Return a locally administered address that is the same for the same host."""
    return b"\x02\x00" + address.packed[-4:]


def _pseudo(source: _Address, target: _Address, protocol: int, length: int) -> bytes:
    if source.version == 6:
        return source.packed + target.packed + struct.pack(">II", length, protocol)
    return source.packed + target.packed + struct.pack(">BBH", 0, protocol, length)


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
