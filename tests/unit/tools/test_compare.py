"""The comparison finds every kind of difference, and no difference where there is none."""

from dataclasses import replace

import pytest

from sidestream.tools.compare import Frame, Span, compare, find_offset, join, lay_out, percentile
from stream_script import FRAME, distinct

SILENCE = 0xFF
QUIET = bytes((SILENCE,)) * FRAME


def said(count: int, first: int = 0) -> list[Frame]:
    return [Frame((first + index) * FRAME, distinct(first + index, 0), 1.0 + index) for index in range(count)]


def moved(frames: list[Frame], by: int) -> list[Frame]:
    return [replace(frame, position=frame.position + by, at=frame.at + 0.03) for frame in frames]


def test_the_same_audio_at_another_clock_is_equal() -> None:
    sent = said(20)
    found = compare(sent, [Frame(0, QUIET), *moved(sent, FRAME)], SILENCE)
    assert found.equal
    assert (found.offset, found.matched_samples, found.silent) == (FRAME, 20 * FRAME, (Span(0, FRAME),))
    assert found.latencies_ms == pytest.approx([30.0] * 20)
    assert "3,200 of 3,200 samples agree" in found.why


def test_the_offset_need_not_be_whole_frames() -> None:
    sent = said(10)
    assert compare(sent, moved(sent, 37), SILENCE).offset == 37


def test_one_changed_bit_is_a_difference() -> None:
    sent = said(20)
    arrived = moved(sent, 0)
    changed = bytes((arrived[7].payload[0] ^ 1,)) + arrived[7].payload[1:]
    arrived[7] = replace(arrived[7], payload=changed)
    found = compare(sent, arrived, SILENCE)
    assert not found.equal
    assert found.differing == (Span(7 * FRAME, 8 * FRAME),)
    assert "the first at 1,120" in found.why


def test_a_lost_frame_is_a_difference() -> None:
    sent = said(20)
    found = compare(sent, [*moved(sent[:9], 0), *moved(sent[10:], 0)], SILENCE)
    assert found.differing == (Span(9 * FRAME, 10 * FRAME),)


def test_a_lost_end_is_a_difference() -> None:
    sent = said(20)
    assert compare(sent, moved(sent[:-1], 0), SILENCE).differing == (Span(19 * FRAME, 20 * FRAME),)


def test_swapped_frames_are_a_difference() -> None:
    sent = said(20)
    arrived = moved(sent, 0)
    arrived[3], arrived[4] = (
        replace(arrived[3], payload=arrived[4].payload),
        replace(arrived[4], payload=arrived[3].payload),
    )
    assert compare(sent, arrived, SILENCE).differing == (Span(3 * FRAME, 5 * FRAME),)


def test_a_pause_of_the_sender_must_be_silence() -> None:
    sent = [*said(5), *said(5, first=8)]
    quiet = [*moved(sent[:5], 0), *(Frame(index * FRAME, QUIET) for index in (5, 6, 7)), *moved(sent[5:], 0)]
    found = compare(sent, quiet, SILENCE)
    assert found.equal
    assert found.silent == (Span(5 * FRAME, 8 * FRAME),)
    noisy = [
        replace(frame, payload=distinct(99, 9)) if frame.position == 6 * FRAME else frame for frame in quiet
    ]
    assert compare(sent, noisy, SILENCE).strange == (Span(5 * FRAME, 8 * FRAME),)


def test_audio_after_the_end_is_strange() -> None:
    sent = said(5)
    found = compare(sent, [*moved(sent, 0), Frame(5 * FRAME, distinct(77, 1))], SILENCE)
    assert not found.equal
    assert "neither silence nor sent" in found.why


def test_nothing_is_never_equal() -> None:
    assert not compare([], [Frame(0, QUIET)], SILENCE).equal
    assert compare(said(3), [Frame(0, QUIET)], SILENCE).offset is None


def test_silence_does_not_decide_the_offset() -> None:
    sent = [Frame(0, QUIET), *said(3, first=1)]
    assert (
        find_offset(sent, lay_out([Frame(0, QUIET), Frame(FRAME, QUIET), *moved(sent[1:], FRAME)], SILENCE))
        == FRAME
    )


def test_frames_are_laid_out_with_silence_between() -> None:
    assert lay_out([Frame(2, b"ab"), Frame(6, b"c")], SILENCE) == b"\xff\xffab\xff\xffc"


def test_spans_that_touch_are_joined() -> None:
    assert join([Span(0, 1), Span(1, 3), Span(4, 5)]) == (Span(0, 3), Span(4, 5))


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0)])
def test_percentile(share: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == value
