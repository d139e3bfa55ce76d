"""The bad network: its shares are what was asked for, and it is the same for a seed."""

import itertools

import pytest

from sidestream.testing.impairment import Impairment, Profile

PACKETS = 20_000


def arrivals(profile: Profile, seed: int = 1) -> list[list[float]]:
    impairment = Impairment(profile, seed)
    return [impairment.plan(index * 0.02) for index in range(PACKETS)]


def test_a_good_network_delivers_each_at_once() -> None:
    assert arrivals(Profile()) == [[index * 0.02] for index in range(PACKETS)]


def test_shares_are_as_asked_for() -> None:
    impairment = Impairment(Profile(loss=0.05, duplicate=0.02, reorder=0.05, jitter=0.04), 7)
    plans = [impairment.plan(index * 0.02) for index in range(PACKETS)]
    assert impairment.lost == sum(not plan for plan in plans)
    assert impairment.lost / PACKETS == pytest.approx(0.05, abs=0.006)
    assert impairment.duplicated / PACKETS == pytest.approx(0.02 * 0.95, abs=0.004)
    assert impairment.reordered / PACKETS == pytest.approx(0.05 * 0.95, abs=0.006)


def test_the_same_seed_is_the_same_network_and_another_is_not() -> None:
    profile = Profile(loss=0.1, jitter=0.04)
    assert arrivals(profile, 3) == arrivals(profile, 3)
    assert arrivals(profile, 3) != arrivals(profile, 4)


def test_jitter_alone_keeps_the_order_and_stays_in_its_bound() -> None:
    plans = arrivals(Profile(jitter=0.04))
    times = [plan[0] for plan in plans]
    assert times == sorted(times)
    assert all(0 <= at - index * 0.02 <= 0.04 for index, at in enumerate(times))


def test_what_is_reordered_is_overtaken() -> None:
    plans = arrivals(Profile(reorder=0.05, reorder_delay=0.03))
    times = [plan[0] for plan in plans]
    overtaken = sum(later < earlier for earlier, later in itertools.pairwise(times))
    assert overtaken > PACKETS * 0.03
