"""Where a track puts what arrives, with invented arrival times."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import pytest

from sidestream.tools import g711
from sidestream.tools.recorder_track import Track
from sidestream.tools.rtcp import Compound, SenderReport
from sidestream.tools.rtp import RtpPacket

FRAME = 160


@dataclass
class Desk:
    """A track, a sender with a clock of its own, and what was written."""

    written: array[int] = field(default_factory=lambda: array("h"))
    sequence: int = 65_500
    timestamp: int = 0xFFFF_F000
    ssrc: int = 1
    now: float = 100.0
    track: Track = field(init=False)

    def __post_init__(self) -> None:
        self.track = Track(1, self.write)
        self.track.open("PCMU", 0, 101)

    def write(self, position: int, samples: array[int]) -> None:
        if position + len(samples) > len(self.written):
            self.written.extend(array("h", bytes(2 * (position + len(samples) - len(self.written)))))
        self.written[position : position + len(samples)] = samples

    def packet(self, code: int, payload_type: int = 0) -> RtpPacket:
        payload = bytes((code,)) * FRAME
        made = RtpPacket(
            payload_type, self.sequence & 0xFFFF, self.timestamp & 0xFFFF_FFFF, self.ssrc, payload
        )
        self.sequence += 1
        self.timestamp += FRAME
        return made

    def say(self, codes: range, *, late: float = 0.0) -> None:
        for code in codes:
            self.track.receive(self.packet(code), self.now + late)
            self.now += 0.02

    def silence(self, frames: int, *, stands_still: bool = False) -> None:
        self.now += frames * 0.02
        if not stands_still:
            self.timestamp += frames * FRAME

    @property
    def heard(self) -> list[int]:
        """The code of each frame that was written, 255 for silence; positions must be whole frames."""
        self.track.finish()
        silent = array("h", bytes(2 * FRAME))
        codes = {bytes(g711.decode("PCMU", bytes((code,)) * FRAME)): code for code in range(128)}
        codes[bytes(silent)] = 255
        frames = [self.written[at : at + FRAME] for at in range(0, len(self.written), FRAME)]
        return [codes[bytes(frame)] for frame in frames]


def test_numbers_that_wrap_are_followed() -> None:
    desk = Desk()
    desk.say(range(100))
    assert desk.heard == list(range(100))
    assert desk.track.counts.lost == 0


def test_a_gap_is_silence_of_its_length() -> None:
    desk = Desk()
    desk.say(range(3))
    desk.silence(100)
    desk.say(range(3, 6))
    assert desk.heard == [0, 1, 2, *[255] * 100, 3, 4, 5]
    assert not desk.track.findings


def test_a_timestamp_that_stood_still_does_not_shrink_the_recording() -> None:
    desk = Desk()
    desk.say(range(30))
    desk.silence(50, stands_still=True)
    desk.say(range(30, 70))
    assert desk.heard == [*range(30), *[255] * 50, *range(30, 70)]
    (finding,) = desk.track.findings
    assert finding.code == "timestamp"
    assert "1000 ms" in finding.text


def test_a_stall_of_the_machine_moves_nothing() -> None:
    desk = Desk()
    desk.say(range(30))
    for code in range(30, 50):  # What came while it stood still is read at once.
        desk.track.receive(desk.packet(code), desk.now + 0.4)
    desk.now += 0.4
    desk.say(range(50, 80))
    assert desk.heard == list(range(80))
    assert not desk.track.findings


def test_a_jump_of_the_timestamp_is_placed_by_arrival() -> None:
    desk = Desk()
    desk.say(range(30))
    desk.timestamp += 8_000 * 3_600
    desk.say(range(30, 60))
    assert desk.heard == list(range(60))
    assert [finding.code for finding in desk.track.findings] == ["timestamp"]


def test_another_source_is_placed_by_arrival() -> None:
    desk = Desk()
    desk.say(range(30))
    desk.silence(10)
    desk.ssrc, desk.sequence, desk.timestamp = 2, 7, 7
    desk.say(range(30, 60))
    assert desk.heard == [*range(30), *[255] * 10, *range(30, 60)]
    assert [finding.code for finding in desk.track.findings] == ["ssrc-changed"]
    assert desk.track.counts.lost == 0


def test_disorder_and_duplicates_change_nothing() -> None:
    desk = Desk()
    packets = [desk.packet(code) for code in range(6)]
    for index in (1, 0, 2, 4, 3, 3, 5):
        desk.track.receive(packets[index], desk.now)
        desk.now += 0.01
    assert desk.heard == [0, 1, 2, 3, 4, 5]
    assert (desk.track.counts.disordered, desk.track.counts.duplicates) == (2, 1)


def test_what_comes_in_a_pause_is_not_kept_but_what_was_under_way_is() -> None:
    desk = Desk()
    desk.say(range(3))
    desk.track.pause(desk.now)
    desk.say(range(3, 5))  # within the grace
    desk.silence(20)
    desk.say(range(5, 8))
    desk.track.open("PCMU", 0, 101)
    desk.say(range(8, 10))
    assert desk.heard == [0, 1, 2, 3, 4, *[255] * 23, 8, 9]
    assert desk.track.counts.paused == 3
    assert desk.track.counts.lost == 0
    assert [finding.code for finding in desk.track.findings] == ["media-while-paused"]


def test_clocks_that_drift_apart_are_no_fault() -> None:
    desk = Desk()
    for _ in range(40):  # 500 ppm: over 40 s that is as much as a gap would be suspected for
        for code in range(50):
            desk.track.receive(desk.packet(code), desk.now)
            desk.now += 0.02 * 1.0005
        desk.silence(15)
    assert len(desk.heard) == 40 * 65 - 15
    assert not desk.track.findings


def test_a_payload_type_that_was_not_agreed_on_is_told() -> None:
    desk = Desk()
    desk.say(range(2))
    desk.track.receive(desk.packet(9, payload_type=96), desk.now)
    assert [finding.code for finding in desk.track.findings] == ["payload-type"]


def test_a_report_says_what_was_lost_since_the_last() -> None:
    desk = Desk()
    desk.say(range(10))
    desk.track.blocks(desk.now)
    desk.packet(0), desk.packet(0)
    desk.say(range(2))
    (block,) = desk.track.blocks(desk.now)
    assert (block.fraction_lost, block.lost) == (128, 2)
    assert block.highest == 65_500 + 13


def report(ntp_s: float, timestamp: int) -> Compound:
    sender = SenderReport(1, ntp_s, 0xABCD, timestamp & 0xFFFF_FFFF, 1, 160)
    return Compound([sender], {1: "name"}, [], starts_with_report=True)


def test_sender_reports_say_when_the_stream_began() -> None:
    desk = Desk()
    begin = desk.timestamp
    desk.say(range(10))
    desk.track.report(report(1_000.2, begin + 1_600), desk.now)
    desk.say(range(10, 20))
    desk.track.report(report(1_000.4, begin + 3_200), desk.now)
    desk.track.finish()
    assert desk.track.begin_by_reports == pytest.approx(1_000.0)
    assert desk.track.begin_by_arrival == pytest.approx(100.0)
    assert not desk.track.findings
    (block,) = desk.track.blocks(desk.now + 0.5)
    assert (block.last_report, block.delay) == (0xABCD, 32_768)


def test_sender_reports_that_disagree_are_told() -> None:
    desk = Desk()
    begin = desk.timestamp
    desk.say(range(10))
    desk.track.report(report(1_000.2, begin + 1_600), desk.now)
    desk.track.report(report(1_000.9, begin + 3_200), desk.now)
    assert [finding.code for finding in desk.track.findings] == ["sender-report"]


def test_reports_without_a_name_or_out_of_order_are_told() -> None:
    desk = Desk()
    desk.say(range(2))
    nameless = report(1.0, 0)
    nameless.names.clear()
    nameless.starts_with_report = False
    desk.track.report(nameless, desk.now)
    assert {finding.code for finding in desk.track.findings} == {"cname-missing", "rtcp-compound"}
