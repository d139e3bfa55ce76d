"""Turning new calls away: the rate rises while there is too much to do, and falls when there is not."""

import random

import pytest

from sidestream.call.overload import LOSS_MAX, Overload, OverloadPolicy, marks_for


def overload(policy: OverloadPolicy | None = None) -> Overload:
    return Overload(policy or OverloadPolicy(smoothing=1.0), random.Random(1))


def test_a_loop_that_is_well_turns_nothing_away() -> None:
    one = overload()
    for _ in range(100):
        assert not one.measured(0.01, 0.5)
        assert not one.sheds()
    assert one.loss == 0.0


@pytest.mark.parametrize(("lag", "busy"), [(0.5, 0.1), (0.0, 0.99)])
def test_lateness_or_a_full_processor_raise_the_rate_step_by_step_to_its_bound(
    lag: float, busy: float
) -> None:
    one = overload()
    assert one.measured(lag, busy)
    rates = [one.loss]
    for _ in range(20):
        assert not one.measured(lag, busy)
        rates.append(one.loss)
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[-1] == LOSS_MAX
    assert sum(one.sheds() for _ in range(1000)) == pytest.approx(950, abs=30)


def test_between_the_marks_the_rate_stays_and_below_them_it_falls_to_nothing() -> None:
    one = overload()
    for _ in range(4):
        one.measured(0.5, 0.1)
    for _ in range(50):
        one.measured(0.15, 0.1)
    assert one.loss == pytest.approx(0.4)
    ends = [one.measured(0.0, 0.1) for _ in range(10)]
    assert one.loss == 0.0
    assert ends.count(True) == 1


def test_one_late_turn_is_smoothed_away() -> None:
    one = overload(OverloadPolicy())
    one.measured(0.5, 0.1)
    assert one.loss == 0.0
    for _ in range(5):
        one.measured(0.5, 0.1)
    assert one.loss > 0.0


def test_those_turned_away_are_told_to_come_back_at_different_times() -> None:
    one = overload()
    times = {one.retry_after() for _ in range(200)}
    assert (min(times), max(times)) == (5, 14)


def test_off_is_off() -> None:
    one = overload(marks_for(None))
    for _ in range(50):
        one.measured(100.0, 1.0)
    assert one.loss == 0.0
    assert marks_for(0.05).lag_high == 0.05
