"""RTP as the phone sends and hears it (RFC 3550, RFC 4733)."""

import pytest

from sidestream.tools.rtp import (
    FRAME_SAMPLES,
    RtpError,
    RtpPacket,
    RtpRecorder,
    event_payload,
    parse_rtp,
    unwrap,
)
from stream_script import distinct

EVENTS = 101


def packet(index: int, *, first: int = 65_530, ssrc: int = 7, payload: bytes | None = None) -> bytes:
    return RtpPacket(
        0,
        first + index,
        0xFFFF_FF00 + index * FRAME_SAMPLES,
        ssrc,
        distinct(index, 0) if payload is None else payload,
    ).serialize()


def key(digit: str, sequence: int, timestamp: int, *, end: bool = False) -> bytes:
    return RtpPacket(EVENTS, sequence, timestamp, 7, event_payload(digit, 800, end=end)).serialize()


def recorded(*packets: bytes) -> RtpRecorder:
    recorder = RtpRecorder(event_payload_type=EVENTS)
    for index, data in enumerate(packets):
        recorder.receive(data, index * 0.02)
    return recorder


def test_a_packet_is_read_as_it_was_written() -> None:
    sent = RtpPacket(101, 65_535, 2**32 - 1, 0xDEADBEEF, b"abc", marker=True)
    assert parse_rtp(sent.serialize()) == sent


def test_extension_sources_and_padding_are_taken_off() -> None:
    data = bytes((0xB2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3)) + b"\0" * 8 + b"\xbe\xde\x00\x01" + b"\0" * 4
    assert parse_rtp(data + b"voice" + b"\0\0\x03").payload == b"voice"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80" * 11, b"\x40" + b"\0" * 20, b"\x8f" + b"\0" * 20, b"\x90" + b"\0" * 13,
     b"\xa0" + b"\0" * 10 + b"\x00\xff"],
)  # fmt: skip
def test_what_is_no_rtp_is_refused(data: bytes) -> None:
    with pytest.raises(RtpError):
        parse_rtp(data)


@pytest.mark.parametrize(
    ("value", "near", "expected"),
    [(1, 65_535, 65_537), (65_535, 65_537, 65_535), (5, 3, 5), (0, 131_071, 131_072)],
)
def test_numbers_unwrap_to_the_nearest(value: int, near: int, expected: int) -> None:
    assert unwrap(value, near, 16) == expected


def test_frames_are_ordered_over_the_wrap_of_both_numbers() -> None:
    order = [0, 1, 3, 2, 4, 5, 6, 7, 9, 8]
    recorder = recorded(*(packet(index) for index in order))
    assert [frame.payload for frame in recorder.frames()] == [distinct(index, 0) for index in range(10)]
    assert (recorder.lost, recorder.disordered, recorder.duplicates) == (0, 2, 0)


def test_loss_and_duplicates_are_counted() -> None:
    recorder = recorded(packet(0), packet(1), packet(1), packet(4))
    assert (recorder.packets, recorder.lost, recorder.duplicates) == (4, 2, 1)


def test_the_end_packets_of_a_key_are_one_press() -> None:
    recorder = recorded(
        key("1", 1, 100), key("1", 2, 100), *(key("1", number, 100, end=True) for number in (3, 4, 5)),
        key("1", 6, 900, end=True), key("#", 7, 1_700, end=True),
    )  # fmt: skip
    assert recorder.digits == ["1", "1", "#"]


def test_garbage_is_counted() -> None:
    recorder = recorded(b"garbage", key("1", 1, 1)[:-4])
    assert recorder.malformed == 2


def test_a_steady_source_has_no_jitter_and_an_unsteady_one_has() -> None:
    steady, unsteady = RtpRecorder(), RtpRecorder()
    for index in range(100):
        steady.receive(packet(index), index * 0.02)
        unsteady.receive(packet(index), index * 0.02 + (index % 2) * 0.01)
    assert steady.jitter_ms < 0.001
    assert unsteady.jitter_ms == pytest.approx(10.0, rel=0.05)


def test_gaps_in_the_audio_are_silence() -> None:
    samples = recorded(packet(0), packet(2)).samples("PCMU")
    assert len(samples) == 3 * FRAME_SAMPLES
    assert set(samples[FRAME_SAMPLES : 2 * FRAME_SAMPLES]) == {0}


def test_a_second_source_follows_the_first() -> None:
    recorder = recorded(packet(0), packet(0, ssrc=8, first=5))
    assert recorder.sources == [7, 8]
    assert len(recorder.samples("PCMU")) == 2 * FRAME_SAMPLES
