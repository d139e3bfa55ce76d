"""Delays and the endpoint list."""

import pytest

from sidestream.stream.reconnect import Outage, ReconnectPolicy


def test_delays_double_from_a_quarter_second_to_five_with_jitter_to_both_sides() -> None:
    policy = ReconnectPolicy()
    assert [policy.delay(failures, 0.5) for failures in range(8)] == [0, 0.25, 0.5, 1, 2, 4, 5, 5]
    assert policy.delay(1, 0.0) == pytest.approx(0.2)
    assert policy.delay(10**9, 0.999) == pytest.approx(6.0, rel=0.01)


def test_an_outage_needs_an_endpoint() -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Outage(ReconnectPolicy(), [], lambda: 0.5, 0.0)


def test_a_new_outage_begins_again_at_the_head_of_the_list() -> None:
    outage = Outage(ReconnectPolicy(), ["a", "b"], lambda: 0.5, 0.0)
    outage.failed(0.0, final=False)
    assert outage.endpoint() == "b"
    outage.connected(1.0)
    assert outage.lost(100.0) == 100.0
    assert outage.endpoint() == "a"
    assert outage.deadline == 160.0


def test_the_deadline_only_moves_forward() -> None:
    outage = Outage(ReconnectPolicy(window_s=10), ["a"], lambda: 0.5, 0.0)
    outage.shorten(5.0)
    outage.shorten(8.0)
    assert outage.deadline == 5.0
