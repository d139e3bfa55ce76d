"""One recorded stream: RTP in, audio at its place on the stream's own clock out. Pure.

Position 0 is the first packet. A packet's place is what its RTP timestamp says, so that a gap is silence of
the same length. Where timestamps cannot be followed (another source, or a clock that stood still over a pause
or jumped), the place is what the arrival says: recorded time never shrinks, whatever the sender does.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sidestream.tools import g711
from sidestream.tools.recorder_findings import MAX_FINDINGS, Finding, remark, violation
from sidestream.tools.rtcp import Compound, ReportBlock, SenderReport
from sidestream.tools.rtp import CLOCK_RATE, EVENT_BYTES, EVENT_SYMBOLS, RtpPacket, unwrap

BATCH_FRAMES: Final = 50
"""Frames that wait to be put in order and written at once: one second."""
WINDOW: Final = 2_048
"""Sequence numbers that are remembered to tell a duplicate from a straggler: 40 s."""
GAP_S: Final = 0.2
"""An arrival later than this after the one before is a gap, over which timestamps are compared with time."""
STOOD_STILL_S: Final = 0.15
AHEAD_S: Final = 5.0
JUDGED_AFTER: Final = 25
"""Packets after a gap by which it is judged: a stall of a machine is over by then, a wrong clock is not."""
PAUSE_GRACE_S: Final = 0.1
"""A packet that comes so long after the pause was asked for was under way before."""
MAX_POSITION: Final = 24 * 3_600 * CLOCK_RATE
MAX_PRESSES: Final = 1_000
DRIFT_S: Final = 0.05
MIDDLE_S: Final = 65_536


@dataclass(frozen=True, slots=True)
class PlacedFrame:
    """Audio at its place, as it came; `at` is when, in seconds of the recorder's clock."""

    position: int
    payload: bytes
    law: g711.Law
    at: float


Write = Callable[[int, "array[int]"], None]
"""Takes samples at a position; later ones may lie before earlier ones."""


@dataclass(slots=True)
class TrackCounts:
    """What a track received.

    `lost` is what sequence numbers say was sent and never came; `paused` came while nothing might be sent;
    `unknown` had a payload type that was not agreed on; `elsewhere` came from another address than the one
    described (RFC 4961); `unauthentic` was SRTP or SRTCP that was not made with the agreed key.
    """

    packets: int = 0
    audio: int = 0
    events: int = 0
    lost: int = 0
    duplicates: int = 0
    disordered: int = 0
    late: int = 0
    malformed: int = 0
    unauthentic: int = 0
    paused: int = 0
    unknown: int = 0
    elsewhere: int = 0
    reports: int = 0


@dataclass(slots=True)
class _Source:
    """One SSRC: its sequence numbers (RFC 3550 appendix A.1) and its jitter."""

    ssrc: int
    first: int
    highest: int
    timestamp: int
    received: int = 0
    seen: set[int] = field(default_factory=set)
    transit: float | None = None
    jitter: float = 0.0
    expected_before: int = 0
    received_before: int = 0
    report: SenderReport | None = None
    report_at: float = 0.0
    last_event: int | None = None

    @property
    def expected(self) -> int:
        return self.highest - self.first + 1

    @property
    def lost(self) -> int:
        return max(self.expected - self.received, 0)


@dataclass(slots=True)
class _Segment:
    """Frames whose timestamps follow each other; `base` is what turns a timestamp into a position.

    While `base` is None the frames wait until it is known where they belong.
    """

    source: _Source
    first_timestamp: int
    base: int | None
    expected: int | None
    """Position of the first frame by its timestamp, None where timestamps say nothing (another source)."""
    waiting: list[PlacedFrame] = field(default_factory=list)
    earliest: float = float("inf")
    """The least of arrival minus timestamp, in samples."""


@dataclass(slots=True)
class Track:
    """A stream of the recording session.

    Attributes:
        number: of its m-line, from 1.
        write: takes the samples.
        keep: keep every frame in `frames`, for comparing them with what was sent.
        laws: G.711 laws by payload type.
        event_payload_type: of key presses, None for none.
        label: its label, as the newest offer has it.
        suite: the crypto suite of SRTP that it comes by; empty for plain RTP.
        receiving: whether the client may send now.
        paused_since: since when it may not; None while it may.
        cnames: names that its sources gave themselves.
        first_at: when the first audio came, in seconds of the recorder's clock.
        last_at: when the last came.
        samples: length of what was written.
    """

    number: int
    write: Write
    keep: bool = False
    laws: dict[int, g711.Law] = field(default_factory=dict)
    event_payload_type: int | None = None
    label: str = ""
    suite: str = ""
    receiving: bool = False
    paused_since: float | None = None
    counts: TrackCounts = field(default_factory=TrackCounts)
    frames: list[PlacedFrame] = field(default_factory=list)
    cnames: dict[int, str] = field(default_factory=dict)
    first_at: float | None = None
    last_at: float | None = None
    samples: int = 0
    _sources: dict[int, _Source] = field(default_factory=dict)
    _segment: _Segment | None = None
    _batch: list[PlacedFrame] = field(default_factory=list)
    _presses: list[tuple[int | None, str]] = field(default_factory=list)
    _origin: int | None = None
    _floor: float = float("inf")
    _recent: float = float("inf")
    _since: int = 0
    _walls: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    _findings: list[Finding] = field(default_factory=list)

    # --- what the session decides ---------------------------------------------------------------------------

    def open(self, law: g711.Law, payload_type: int, events: int | None) -> None:
        """The client may send in this law; what was agreed on before is still understood on its way."""
        self.laws[payload_type] = law
        self.event_payload_type = events
        self.receiving = True
        self.paused_since = None

    def pause(self, at: float) -> None:
        """The client may not send from now on."""
        if self.receiving or self.paused_since is None:
            self.paused_since = at
        self.receiving = False

    # --- what arrives ---------------------------------------------------------------------------------------

    def receive(self, packet: RtpPacket, at: float) -> None:
        """Take a packet that came at `at` seconds."""
        self.counts.packets += 1
        source, sequence, timestamp = self._locate(packet)
        if not self._is_new(source, sequence):
            return
        if self.paused_since is not None and at > self.paused_since + PAUSE_GRACE_S:
            # What the client masked is not to be kept (RFC 7866 section 7.1.1.1).
            self.counts.paused += 1
        elif packet.payload_type == self.event_payload_type:
            self._hear_event(source, packet, timestamp)
        elif (law := self.laws.get(packet.payload_type)) is None:
            self.counts.unknown += 1
        else:
            self._hear_audio(source, PlacedFrame(timestamp, packet.payload, law, at))

    def report(self, compound: Compound, at: float) -> None:
        """Take an RTCP packet."""
        self.counts.reports += 1
        self.cnames.update(compound.names)
        if not compound.starts_with_report:
            self._find_once(
                violation(
                    "rtcp-compound", "a compound RTCP packet starts with no report", "RFC 3550 section 6.1"
                )
            )
        for report in compound.senders:
            if report.ssrc not in compound.names:
                text = "a sender report comes without a CNAME"
                self._find_once(violation("cname-missing", text, "RFC 3550 section 6.1"))
            if (source := self._sources.get(report.ssrc)) is not None:
                source.report, source.report_at = report, at
                self._map(source, report)

    def _locate(self, packet: RtpPacket) -> tuple[_Source, int, int]:
        source = self._sources.get(packet.ssrc)
        if source is None:
            if self._sources:
                text = f"the stream goes on with another SSRC, {packet.ssrc:08x}"
                self._find_once(remark("ssrc-changed", text, "RFC 3550 section 8"))
            source = _Source(packet.ssrc, packet.sequence, packet.sequence - 1, packet.timestamp)
            self._sources[packet.ssrc] = source
            return source, packet.sequence, packet.timestamp
        sequence = unwrap(packet.sequence, source.highest, 16)
        timestamp = unwrap(packet.timestamp, source.timestamp, 32)
        return source, sequence, timestamp

    def _is_new(self, source: _Source, sequence: int) -> bool:
        if sequence in source.seen:
            self.counts.duplicates += 1
            return False
        if sequence <= source.highest - WINDOW:
            self.counts.late += 1
            return False
        if sequence <= source.highest:
            self.counts.disordered += 1
        source.seen.add(sequence)
        if len(source.seen) > 2 * WINDOW:
            source.seen = {each for each in source.seen if each > sequence - WINDOW}
        source.received += 1
        source.first = min(source.first, sequence)
        source.highest = max(source.highest, sequence)
        return True

    def _hear_event(self, source: _Source, packet: RtpPacket, timestamp: int) -> None:
        self.counts.events += 1
        if len(packet.payload) < EVENT_BYTES or packet.payload[0] >= len(EVENT_SYMBOLS):
            self.counts.malformed += 1
        elif timestamp != source.last_event and len(self._presses) < MAX_PRESSES:
            source.last_event = timestamp
            segment = self._segment
            known = segment is not None and segment.source is source and segment.base is not None
            position = timestamp + (segment.base or 0) if known and segment is not None else None
            self._presses.append((position, EVENT_SYMBOLS[packet.payload[0]]))

    def _hear_audio(self, source: _Source, frame: PlacedFrame) -> None:
        self.counts.audio += 1
        self._measure(source, frame)
        segment = self._segment_of(source, frame)
        source.timestamp = max(source.timestamp, frame.position)
        self.first_at = frame.at if self.first_at is None else self.first_at
        self.last_at = frame.at
        segment.earliest = min(segment.earliest, frame.at * CLOCK_RATE - frame.position)
        segment.waiting.append(frame)
        if segment.base is None and len(segment.waiting) >= JUDGED_AFTER:
            self._settle(segment)
        if segment.base is not None:
            self._place(segment)

    def _measure(self, source: _Source, frame: PlacedFrame) -> None:
        transit = frame.at * CLOCK_RATE - frame.position
        if source.transit is not None:
            source.jitter += (abs(transit - source.transit) - source.jitter) / 16
        source.transit = transit

    # --- where it belongs -----------------------------------------------------------------------------------

    def _segment_of(self, source: _Source, frame: PlacedFrame) -> _Segment:
        segment = self._segment
        if segment is None:
            self._segment = segment = _Segment(source, frame.position, 0, frame.position)
            return segment
        if segment.source is not source:
            return self._new_segment(source, frame, None)
        if segment.base is None or self.last_at is None:
            return segment
        late = frame.at * CLOCK_RATE - (frame.position + segment.base) - self._least_transit
        gap = frame.at - self.last_at >= GAP_S
        if (gap and late > STOOD_STILL_S * CLOCK_RATE) or late < -AHEAD_S * CLOCK_RATE:
            return self._new_segment(source, frame, frame.position + segment.base)
        return segment

    def _new_segment(self, source: _Source, frame: PlacedFrame, expected: int | None) -> _Segment:
        if self._segment is not None and self._segment.base is None:
            self._settle(self._segment)
        if self._segment is not None:
            self._place(self._segment)
        self._segment = _Segment(source, frame.position, None, expected)
        return self._segment

    @property
    def _least_transit(self) -> float:
        """Of late: sender and recorder have clocks of their own, which drift apart."""
        return min(self._floor, self._recent)

    def _settle(self, segment: _Segment) -> None:
        """Decide where a segment belongs; enough of it is there to tell a stall from a wrong clock."""
        by_arrival = round(segment.earliest - self._least_transit)
        if segment.expected is None:
            segment.base = by_arrival
            return
        by_timestamp = segment.expected - segment.first_timestamp
        shift = by_arrival - by_timestamp
        if -AHEAD_S * CLOCK_RATE <= shift <= STOOD_STILL_S * CLOCK_RATE:
            segment.base = by_timestamp
            return
        segment.base = by_arrival
        milliseconds = round(abs(shift) * 1_000 / CLOCK_RATE)
        if shift > 0:
            text = f"the RTP timestamp stood still for {milliseconds} ms in which nothing was sent"
        else:
            text = f"the RTP timestamp jumped ahead by {milliseconds} ms"
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(violation("timestamp", text, "RFC 3550 section 5.1"))

    def _place(self, segment: _Segment) -> None:
        base = segment.base or 0
        for frame in segment.waiting:
            position = frame.position + base
            transit = frame.at * CLOCK_RATE - position
            self._recent = min(self._recent, transit)
            self._batch.append(PlacedFrame(position, frame.payload, frame.law, frame.at))
        self._since += len(segment.waiting)
        segment.waiting.clear()
        if self._since >= 10 * BATCH_FRAMES:
            self._floor, self._recent, self._since = self._recent, float("inf"), 0
        if len(self._batch) >= BATCH_FRAMES:
            self.flush()

    def flush(self) -> None:
        """Write what waits to be put in order."""
        if not self._batch:
            return
        self._batch.sort(key=lambda frame: frame.position)
        if self._origin is None:
            self._origin = self._batch[0].position
        for position, samples in self._runs(self._origin):
            self.write(position, samples)
            self.samples = max(self.samples, position + len(samples))
        self._batch.clear()

    def _runs(self, origin: int) -> Iterator[tuple[int, array[int]]]:
        """Yield runs of samples without a gap."""
        begin, run = 0, array("h")
        for frame in self._batch:
            position = frame.position - origin
            if not 0 <= position <= MAX_POSITION:
                self.counts.late += 1
                continue
            if self.keep:
                self.frames.append(PlacedFrame(position, frame.payload, frame.law, frame.at))
            if position != begin + len(run):
                if run:
                    yield begin, run
                begin, run = position, array("h")
            run.extend(g711.decode(frame.law, frame.payload))
        if run:
            yield begin, run

    def finish(self) -> None:
        """Nothing comes any more."""
        if self._segment is not None:
            if self._segment.base is None:
                self._settle(self._segment)
            self._place(self._segment)
        self.flush()
        self.counts.lost = sum(source.lost for source in self._sources.values())

    # --- what it means --------------------------------------------------------------------------------------

    def _map(self, source: _Source, report: SenderReport) -> None:
        """Remember which time of day sample 0 has by this report; the reports must agree."""
        segment = self._segment
        if segment is None or segment.source is not source or segment.base is None:
            return
        position = unwrap(report.rtp_timestamp, source.timestamp, 32) + segment.base
        wall = report.ntp_s - position / CLOCK_RATE
        first, low, high = self._walls.get(source.ssrc, (wall, wall, wall))
        self._walls[source.ssrc] = (first, min(low, wall), max(high, wall))

    @property
    def presses(self) -> list[tuple[int, str]]:
        """(position, key) of each key press in order; those before any audio lie at 0."""
        origin = self._origin or 0
        return [(max((position or origin) - origin, 0), key) for position, key in self._presses]

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """Its sources in the order in which they came."""
        return tuple(self._sources)

    @property
    def begin_by_reports(self) -> float | None:
        """Time of day of sample 0 by the sender's reports, in seconds since 1970; None without one."""
        for first, _, _ in self._walls.values():
            return first + (self._origin or 0) / CLOCK_RATE
        return None

    @property
    def begin_by_arrival(self) -> float | None:
        """When sample 0 would have come at the least delay, in seconds of the recorder's clock."""
        if self._origin is None:
            return None
        return (self._least_transit + self._origin) / CLOCK_RATE

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with what came."""
        found = list(self._findings)
        counts = self.counts
        if counts.paused:
            text = f"{counts.paused} packets came while the stream was paused"
            found.append(violation("media-while-paused", text, "RFC 7866 section 7.1.1.1"))
        if counts.unknown:
            text = f"{counts.unknown} packets have a payload type that was not agreed on"
            found.append(violation("payload-type", text, "RFC 3264 section 6.1"))
        if counts.elsewhere:
            text = f"{counts.elsewhere} packets came from another address than the one described"
            found.append(violation("not-symmetric", text, "RFC 7866 section 8.1.8"))
        if counts.malformed:
            found.append(violation("rtp", f"{counts.malformed} datagrams are no RTP or RTCP", "RFC 3550"))
        for ssrc, (_, low, high) in self._walls.items():
            if high - low > DRIFT_S:
                text = f"sender reports of {ssrc:08x} disagree by {(high - low) * 1_000:.0f} ms"
                found.append(violation("sender-report", text, "RFC 3550 section 6.4.1"))
        return found

    def blocks(self, at: float) -> list[ReportBlock]:
        """Return what is to be reported on its sources since the last time."""
        blocks = []
        for source in self._sources.values():
            expected = source.expected - source.expected_before
            received = source.received - source.received_before
            source.expected_before, source.received_before = source.expected, source.received
            fraction = max(expected - received, 0) * 256 // expected if expected > 0 else 0
            heard = source.report
            blocks.append(
                ReportBlock(
                    ssrc=source.ssrc,
                    fraction_lost=min(fraction, 255),
                    lost=source.expected - source.received,
                    highest=source.highest,
                    jitter=int(source.jitter),
                    last_report=heard.ntp_middle if heard is not None else 0,
                    delay=int((at - source.report_at) * MIDDLE_S) if heard is not None else 0,
                )
            )
        return blocks

    def _find_once(self, finding: Finding) -> None:
        if all(each.code != finding.code for each in self._findings):
            self._findings.append(finding)
