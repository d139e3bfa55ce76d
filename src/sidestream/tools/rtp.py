"""RTP packets (RFC 3550 section 5.1), telephone-events (RFC 4733) and a recorder that orders them. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from sidestream.errors import RemoteError
from sidestream.tools import g711

VERSION = 2
HEADER_BYTES = 12
CLOCK_RATE = 8_000
FRAME_MS = 20
FRAME_SAMPLES = CLOCK_RATE * FRAME_MS // 1_000
"""Samples of one frame at the telephone clock rate: 160."""

EVENT_SYMBOLS = "0123456789*#ABCD"
"""RFC 4733 section 3.2: event codes 0 to 15."""
EVENT_VOLUME_DBM0 = 10
EVENT_END = 0x80
EVENT_BYTES = 4

MAX_RECORDED_PACKETS = 360_000
"""Two hours of one direction; a scripted phone is not a recorder."""


class RtpError(RemoteError):
    """A datagram is not an RTP packet."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet; `sequence` and `timestamp` are the wire's, modulo 2**16 and 2**32."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def serialize(self) -> bytes:
        """Return the datagram."""
        return (
            bytes((VERSION << 6, self.marker << 7 | self.payload_type))
            + (self.sequence & 0xFFFF).to_bytes(2, "big")
            + (self.timestamp & 0xFFFF_FFFF).to_bytes(4, "big")
            + self.ssrc.to_bytes(4, "big")
            + self.payload
        )


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse a datagram; header extension, CSRC list and padding are taken off (RFC 3550 section 5.1)."""
    if len(data) < HEADER_BYTES or data[0] >> 6 != VERSION:
        raise RtpError("not an RTP packet: shorter than 12 bytes, or its version is not 2")
    begin = HEADER_BYTES + 4 * (data[0] & 0x0F)
    if data[0] & 0x10:
        if len(data) < begin + 4:
            raise RtpError("the RTP header extension is cut off")
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    if begin > end:
        raise RtpError("the RTP packet is shorter than its header says")
    return RtpPacket(
        payload_type=data[1] & 0x7F,
        sequence=int.from_bytes(data[2:4], "big"),
        timestamp=int.from_bytes(data[4:8], "big"),
        ssrc=int.from_bytes(data[8:12], "big"),
        payload=data[begin:end],
        marker=bool(data[1] & 0x80),
    )


def event_payload(digit: str, duration: int, *, end: bool) -> bytes:
    """Return a telephone-event payload (RFC 4733 section 2.3); `duration` is in clock ticks."""
    code = EVENT_SYMBOLS.index(digit)
    return bytes((code, (EVENT_END if end else 0) | EVENT_VOLUME_DBM0)) + min(duration, 0xFFFF).to_bytes(
        2, "big"
    )


def unwrap(value: int, near: int, bits: int) -> int:
    """Return the number congruent to `value` modulo 2**bits that is nearest to `near`."""
    span = 1 << bits
    return near + (value - near + span // 2) % span - span // 2


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """Audio of one packet; `sequence` and `timestamp` are unwrapped, so they only grow in one source.

    `at` is when it came, in seconds of the clock that `RtpRecorder.receive` is given.
    """

    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes
    at: float = 0.0


@dataclass(slots=True)
class RtpRecorder:
    """Collects what one RTP session received.

    `packets` counts every audio and event packet, `duplicates` those seen before, `disordered` those behind
    a newer one, `malformed` what was no RTP, and `discarded` what came past the recorder's bound. `jitter_ms`
    is the interarrival jitter of audio (RFC 3550 section 6.4.1).
    """

    event_payload_type: int | None = None
    packets: int = 0
    duplicates: int = 0
    disordered: int = 0
    malformed: int = 0
    discarded: int = 0
    sources: list[int] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    jitter_ms: float = 0.0
    _transit_ms: float | None = None
    _frames: dict[tuple[int, int], ReceivedFrame] = field(default_factory=dict)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _highest: dict[int, tuple[int, int]] = field(default_factory=dict)
    _last_event: tuple[int, int] | None = None

    def receive(self, data: bytes, at: float = 0.0) -> None:
        """Take one datagram that came at `at` seconds; what is no RTP is counted and otherwise ignored."""
        try:
            packet = parse_rtp(data)
        except RtpError:
            self.malformed += 1
            return
        self.packets += 1
        if packet.ssrc not in self._highest:
            self.sources.append(packet.ssrc)
            self._transit_ms = None
            self._highest[packet.ssrc] = (packet.sequence, packet.timestamp)
        sequence, timestamp = self._unwrapped(packet)
        key = (packet.ssrc, sequence)
        if key in self._seen:
            self.duplicates += 1
        elif len(self._seen) >= MAX_RECORDED_PACKETS:
            self.discarded += 1
        else:
            self._seen.add(key)
            if packet.payload_type == self.event_payload_type:
                self._hear_event(packet)
            else:
                self._measure(timestamp, at)
                self._frames[key] = ReceivedFrame(
                    sequence, timestamp, packet.payload_type, packet.payload, at
                )

    def _unwrapped(self, packet: RtpPacket) -> tuple[int, int]:
        near_sequence, near_timestamp = self._highest[packet.ssrc]
        sequence = unwrap(packet.sequence, near_sequence, 16)
        timestamp = unwrap(packet.timestamp, near_timestamp, 32)
        if sequence >= near_sequence:
            self._highest[packet.ssrc] = (sequence, timestamp)
        else:
            self.disordered += 1
        return sequence, timestamp

    def _measure(self, timestamp: int, at: float) -> None:
        transit_ms = at * 1_000 - timestamp * 1_000 / CLOCK_RATE
        if self._transit_ms is not None:
            self.jitter_ms += (abs(transit_ms - self._transit_ms) - self.jitter_ms) / 16
        self._transit_ms = transit_ms

    def _hear_event(self, packet: RtpPacket) -> None:
        press = (packet.ssrc, packet.timestamp)
        if len(packet.payload) < EVENT_BYTES or packet.payload[0] >= len(EVENT_SYMBOLS):
            self.malformed += 1
        elif press != self._last_event:
            # RFC 4733 section 2.5.1.2: packets of one event share its timestamp, the retransmitted ends too.
            self._last_event = press
            self.digits.append(EVENT_SYMBOLS[packet.payload[0]])

    def frames(self) -> Iterator[ReceivedFrame]:
        """Yield the audio frames of each source in the order in which they were sent."""
        order = {ssrc: position for position, ssrc in enumerate(self.sources)}
        for key in sorted(self._frames, key=lambda key: (order[key[0]], key[1])):
            yield self._frames[key]

    @property
    def lost(self) -> int:
        """Packets that the sequence numbers say were sent and that never came."""
        lost = 0
        for ssrc in self.sources:
            sequences = [sequence for source, sequence in self._seen if source == ssrc]
            lost += max(sequences) - min(sequences) + 1 - len(sequences) if sequences else 0
        return lost

    def samples(self, law: g711.Law) -> array[int]:
        """Return the audio placed by RTP timestamps; gaps are silence, and sources follow each other."""
        audio = array("h")
        begin: int | None = None
        offset = 0
        previous: int | None = None
        for frame in self.frames():
            if begin is None or (previous is not None and frame.sequence < previous):
                begin, offset = frame.timestamp, len(audio)
            previous = frame.sequence
            position = offset + frame.timestamp - begin
            if position > len(audio):
                audio.extend(array("h", bytes(2 * (position - len(audio)))))
            decoded = g711.decode(law, frame.payload)
            audio[position : position + len(decoded)] = decoded
        return audio
