"""A receiver that trusts nothing: it checks each rule of a media stream that shows from outside. Pure.

It holds no audio. Each `accept` says whether a message is new and what audio it brought; `verdict` says at
any time what was proven.
"""

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from sidestream.tools.stream_messages import (
    AudioFormat,
    Close,
    Connect,
    Dtmf,
    Envelope,
    Gap,
    Media,
    MessageError,
    Metadata,
    Start,
    Totals,
    audio_format,
    decode_gap,
    payload_of,
)

MAX_FINDINGS = 100
MISSING_CAUSES = frozenset({"overflow", "reconnect"})
"""Causes of a gap whose media messages never come; the others are filled with silence, or make none."""
HOLE_CAUSES = MISSING_CAUSES | {"paused"}
"""Causes of a gap over which the timestamp jumps."""


class Status(Enum):
    """What the receiver proved about a stream or a channel."""

    OPEN = "OPEN"
    """No `close` has come."""
    OK = "OK"
    """Everything that was sent was received, once and in order, and the digest proves it."""
    INCOMPLETE = "INCOMPLETE"
    """Audio is missing, and the stream itself accounts for it in `media.gap`."""
    MISMATCH = "MISMATCH"
    """Something is missing or wrong that the stream does not account for."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio of one message: `position` in samples on the stream's clock, `payload` in the stream's format."""

    channel: int
    position: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a message was: `duplicate` when its number was received before, and the audio it brought."""

    duplicate: bool
    audio: Audio | None = None


@dataclass(frozen=True, slots=True)
class ChannelVerdict:
    """One channel against its line in `close.totals`."""

    channel: int
    participant_id: str
    status: Status
    chunks: int
    samples: int
    silence_samples: int
    dropped_samples: int
    missing_chunks: int
    sha256: str
    detail: str


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """What was proven about a stream."""

    status: Status
    messages: int
    duplicates: int
    connections: int
    channels: tuple[ChannelVerdict, ...]
    findings: tuple[str, ...]


@dataclass(slots=True)
class NumberSet:
    """Received sequence numbers as ranges, so that memory grows with holes and not with the call."""

    ranges: list[list[int]] = field(default_factory=list)

    def add(self, number: int) -> bool:
        """Add a number; say whether it is new."""
        for index in range(len(self.ranges) - 1, -1, -1):
            first, last = self.ranges[index]
            if first <= number <= last:
                return False
            if number > last:
                self._insert_after(index, number)
                return True
        self._insert_after(-1, number)
        return True

    def _insert_after(self, index: int, number: int) -> None:
        joins_left = index >= 0 and self.ranges[index][1] == number - 1
        joins_right = index + 1 < len(self.ranges) and self.ranges[index + 1][0] == number + 1
        if joins_left and joins_right:
            self.ranges[index][1] = self.ranges.pop(index + 1)[1]
        elif joins_left:
            self.ranges[index][1] = number
        elif joins_right:
            self.ranges[index + 1][0] = number
        else:
            self.ranges.insert(index + 1, [number, number])

    @property
    def count(self) -> int:
        """How many numbers were received."""
        return sum(last - first + 1 for first, last in self.ranges)

    @property
    def missing(self) -> int:
        """How many numbers between 1 and the highest were not received."""
        return self.ranges[-1][1] - self.count if self.ranges else 0


@dataclass(slots=True)
class _Channel:
    participant_id: str
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    chunks: int = 0
    bytes: int = 0
    last_chunk: int = 0
    next_timestamp: int | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)


class StreamReceiver:
    """The state of one stream over all its connections."""

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        self.connect: Connect | None = None
        self.start: Start | None = None
        self.close: Close | None = None
        self.format: AudioFormat | None = None
        self.metadata: list[Metadata] = []
        self.presses: list[Dtmf] = []
        self.gaps: list[Gap] = []
        self.acknowledge: int | None = None
        """The number that an `ack` may name now: everything up to it was received or will never come."""
        self._numbers = NumberSet()
        self._channels: dict[int, _Channel] = {}
        self._findings: list[str] = []
        self._findings_total = 0
        self._duplicates = 0
        self._connections = 0
        self._position = 0
        self._last_number = 0

    def connected(self) -> None:
        """A connection of this stream was opened; its first message is the next one."""
        self._connections += 1
        self._position = 0
        self._last_number = 0

    def accept(self, message: Envelope) -> Accepted:
        """Take the next message of the present connection."""
        self._position += 1
        number = message.sequence_number
        duplicate = not self._numbers.add(number)
        if duplicate:
            self._duplicates += 1
        self._check_order(message, duplicate=duplicate)
        if self._position > 2:
            self._last_number = number
            self.acknowledge = number
        if duplicate:
            return Accepted(duplicate=True)
        return Accepted(duplicate=False, audio=self._take(message))

    def find(self, finding: str) -> None:
        """Record something that breaks the protocol."""
        self._findings_total += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)

    def _check_order(self, message: Envelope, *, duplicate: bool) -> None:
        number, event = message.sequence_number, message.event
        expected = {1: "connect", 2: "start"}.get(self._position)
        if expected is not None and event != expected:
            self.find(
                f"message {self._position} of connection {self._connections} is {event}, not {expected}"
            )
        elif expected is None and event in {"connect", "start"}:
            self.find(f"{event} (sequenceNumber {number}) in mid connection")
        if self.close is not None and not duplicate:
            self.find(f"{event} (sequenceNumber {number}) after close")
        if self._connections <= 1 and duplicate:
            self.find(f"sequenceNumber {number} came twice on one connection")
        if self._connections <= 1 and expected is not None and number != self._position:
            self.find(f"{event} has sequenceNumber {number}, not {self._position}")
        if self._position > 2 and number <= self._last_number:
            self.find(f"sequenceNumber {number} came after {self._last_number} on one connection")

    def _take(self, message: Envelope) -> Audio | None:
        if message.connect is not None:
            self._take_connect(message.connect)
        elif message.start is not None:
            self._take_start(message.start)
        elif message.media is not None:
            return self._take_media(message.media)
        elif message.metadata is not None:
            self._take_metadata(message.metadata)
        elif message.dtmf is not None:
            self.presses.append(message.dtmf)
        elif message.close is not None:
            self.close = message.close
        return None

    def _take_connect(self, connect: Connect) -> None:
        if (connect.protocol, connect.version.split(".")[0]) != ("sidestream", "1"):
            self.find(f"connect names {connect.protocol} {connect.version}, not sidestream 1")
        if connect.resumed != (connect.connection > 1):
            self.find(f"connect says resumed {connect.resumed} on connection {connect.connection}")
        self.connect = connect

    def _take_start(self, start: Start) -> None:
        if self.start is not None and (start.media, start.started_at) != (
            self.start.media,
            self.start.started_at,
        ):
            self.find("a repeated start differs from the first in its media or startedAt")
        try:
            self.format = audio_format(start)
        except MessageError as error:
            self.find(str(error))
        self.start = start
        ids = {participant.channel: participant.id for participant in start.participants}
        for channel in self._wire_channels(start):
            self._channels.setdefault(channel, _Channel(ids.get(channel, "")))

    @staticmethod
    def _wire_channels(start: Start) -> list[int]:
        match start.media.layout:
            case "interleaved":
                return [-1]
            case "mixed":
                return [0]
            case _:
                return start.media.channels

    def _take_metadata(self, metadata: Metadata) -> None:
        self.metadata.append(metadata)
        if metadata.type == "media.gap":
            try:
                self.gaps.append(decode_gap(metadata))
            except MessageError as error:
                self.find(str(error))

    def _take_media(self, media: Media) -> Audio | None:
        channel = self._channels.get(media.channel)
        if channel is None or self.format is None:
            self.find(f"media on channel {media.channel}, which start does not name")
            return None
        try:
            payload = payload_of(media)
        except MessageError as error:
            self.find(str(error))
            return None
        if len(payload) != self.format.frame_bytes:
            self.find(
                f"chunk {media.chunk} of channel {media.channel} has {len(payload)} bytes, "
                f"not {self.format.frame_bytes}"
            )
        self._check_continuity(channel, media, self.format.frame_samples)
        channel.digest.update(payload)
        channel.chunks += 1
        channel.bytes += len(payload)
        return Audio(media.channel, media.timestamp, payload)

    def _check_continuity(self, channel: _Channel, media: Media, frame_samples: int) -> None:
        name = f"chunk {media.chunk} of channel {media.channel}"
        if media.chunk <= channel.last_chunk:
            self.find(f"{name} came after chunk {channel.last_chunk}")
        expected = channel.next_timestamp if channel.next_timestamp is not None else 0
        if media.timestamp < expected:
            self.find(f"{name} has timestamp {media.timestamp}, below {expected}")
        elif media.timestamp > expected:
            channel.holes.append((expected, media.timestamp))
        channel.last_chunk = max(channel.last_chunk, media.chunk)
        channel.next_timestamp = media.timestamp + frame_samples

    def missing_samples(self, channel: int) -> int:
        """Samples over which the timestamp of a channel jumped."""
        holes = self._channels[channel].holes if channel in self._channels else []
        return sum(end - begin for begin, end in holes)

    def verdict(self) -> StreamVerdict:
        """Return what is proven now; final once `close` has come."""
        findings = list(self._findings)
        channels = tuple(self._judge(channel, totals, findings) for channel, totals in self._totals(findings))
        if self.close is not None and self._numbers.missing and not self._accounts_for_missing():
            findings.append(
                f"{self._numbers.missing} messages are missing and no media.gap accounts for them"
            )
        if self.close is None:
            status = Status.OPEN
        elif findings or any(channel.status is Status.MISMATCH for channel in channels):
            status = Status.MISMATCH
        elif any(channel.status is Status.INCOMPLETE for channel in channels):
            status = Status.INCOMPLETE
        else:
            status = Status.OK
        if self._findings_total > MAX_FINDINGS:
            findings.append(f"and {self._findings_total - MAX_FINDINGS} more")
        return StreamVerdict(
            status, self._numbers.count, self._duplicates, self._connections, channels, tuple(findings)
        )

    def _accounts_for_missing(self) -> bool:
        return any(gap.cause in MISSING_CAUSES for gap in self.gaps)

    def _totals(self, findings: list[str]) -> list[tuple[int, Totals | None]]:
        totals = {line.channel: line for line in self.close.totals} if self.close is not None else {}
        if self.close is not None:
            findings.extend(
                f"close.totals names channel {line}, which start does not"
                for line in set(totals) - set(self._channels)
            )
        return [(channel, totals.get(channel)) for channel in sorted(self._channels)]

    def _judge(self, number: int, totals: Totals | None, findings: list[str]) -> ChannelVerdict:
        channel = self._channels[number]
        digest = channel.digest.hexdigest()
        samples = self._samples(channel)
        findings.extend(
            f"channel {number}: samples {begin} to {end} are missing and no media.gap accounts for them"
            for begin, end in channel.holes
            if self.close is not None and not self._covered(number, begin, end)
        )
        if totals is None:
            closed = self.close is not None
            status = Status.MISMATCH if closed else Status.OPEN
            detail = "close.totals has no line for it" if closed else "no close yet"
            return ChannelVerdict(
                number, channel.participant_id, status, channel.chunks, samples, 0, 0, 0, digest, detail
            )
        status, detail = self._compare(channel, totals, digest, samples)
        return ChannelVerdict(
            *(number, channel.participant_id, status, channel.chunks, samples),
            *(totals.silence_samples, totals.dropped_samples, totals.chunks - channel.chunks, digest, detail),
        )

    def _samples(self, channel: _Channel) -> int:
        if self.format is None or self.format.frame_bytes == 0:
            return 0
        return channel.bytes * self.format.frame_samples // self.format.frame_bytes

    def _compare(self, channel: _Channel, totals: Totals, digest: str, samples: int) -> tuple[Status, str]:
        missing = totals.chunks - channel.chunks
        if missing == 0 and totals.samples == samples and totals.sha256 == digest:
            return Status.OK, "chunks, samples and sha256 agree"
        if missing > 0 and self._accounts_for_missing():
            return Status.INCOMPLETE, f"{missing} chunks are missing, accounted for by media.gap"
        if missing != 0:
            return Status.MISMATCH, f"{channel.chunks} chunks received, close.totals says {totals.chunks}"
        if totals.samples != samples:
            return Status.MISMATCH, f"{samples} samples received, close.totals says {totals.samples}"
        return Status.MISMATCH, f"sha256 {digest} received, close.totals says {totals.sha256}"

    def _covered(self, channel: int, begin: int, end: int) -> bool:
        separate = self.format is not None and self.format.layout == "separate"
        spans = sorted(
            (gap.from_timestamp, gap.from_timestamp + gap.samples)
            for gap in self.gaps
            if gap.cause in HOLE_CAUSES and (gap.channel == channel or not separate)
        )
        for first, last in spans:
            if first <= begin < last:
                begin = last
        return begin >= end
