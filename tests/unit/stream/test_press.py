"""A key press that is heard both ways is one."""

from sidestream.stream.messages import DtmfSource
from sidestream.stream.press import SAME_PRESS_S, PressMerger


def test_a_press_heard_by_both_sources_is_one() -> None:
    presses = PressMerger()
    assert presses.is_new("a", "5", "rfc4733", 1.0)
    assert not presses.is_new("a", "5", "sip-info", 1.2)


def test_two_quick_presses_heard_twice_each_are_two() -> None:
    presses = PressMerger()
    reports: list[tuple[DtmfSource, float]] = [
        ("rfc4733", 1.0),
        ("sip-info", 1.1),
        ("rfc4733", 1.2),
        ("sip-info", 1.3),
    ]
    heard = [presses.is_new("a", "5", source, at) for source, at in reports]
    assert heard == [True, False, True, False]


def test_one_source_alone_never_loses_a_press() -> None:
    presses = PressMerger()
    assert all(presses.is_new("a", "5", "rfc4733", at) for at in (1.0, 1.1, 1.2))


def test_another_digit_another_side_or_a_later_report_is_another_press() -> None:
    presses = PressMerger()
    assert presses.is_new("a", "5", "rfc4733", 1.0)
    assert presses.is_new("a", "6", "sip-info", 1.1)
    assert presses.is_new("b", "5", "sip-info", 1.1)
    assert presses.is_new("a", "5", "sip-info", 1.0 + SAME_PRESS_S + 0.01)
