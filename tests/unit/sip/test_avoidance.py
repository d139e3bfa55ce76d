"""Hops that failed lately come last, for a while."""

from sidestream.sip.avoidance import KEPT, RETRY_AFTER_MAX_S, SILENCE_S, Avoidance
from sidestream.sip.hop import Hop

A, B, C = (Hop("udp", f"192.0.2.{number}", 5060) for number in (1, 2, 3))


def test_nothing_failed_leaves_the_order_alone() -> None:
    hops = [C, A, B]
    assert Avoidance().order(hops, 0.0) is hops


def test_what_failed_comes_last_in_its_own_order_until_its_time_is_over() -> None:
    avoidance = Avoidance()
    avoidance.failed(A, 100.0)
    avoidance.failed(C, 100.0, 10.0)
    assert avoidance.order([A, B, C], 105.0) == [B, A, C]
    assert avoidance.order([A, B, C], 110.0) == [B, C, A]
    assert avoidance.order([A, B, C], 100.0 + SILENCE_S) == [A, B, C]
    assert len(avoidance) == 0


def test_an_answer_takes_a_hop_back() -> None:
    avoidance = Avoidance()
    avoidance.failed(A, 0.0)
    avoidance.answered(A)
    assert avoidance.order([A, B], 0.0) == [A, B]


def test_transport_and_port_tell_hops_apart_and_the_flow_does_not() -> None:
    avoidance = Avoidance()
    avoidance.failed(Hop("udp", "192.0.2.1", 5060, flow=9), 0.0)
    others = [Hop("tcp", "192.0.2.1", 5060), Hop("udp", "192.0.2.1", 5061)]
    assert avoidance.order([A, *others], 1.0) == [*others, A]


def test_no_server_asks_for_more_than_the_bound() -> None:
    avoidance = Avoidance()
    avoidance.failed(A, 0.0, 1e9)
    assert avoidance.order([A, B], RETRY_AFTER_MAX_S) == [A, B]


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    avoidance = Avoidance()
    for number in range(KEPT + 5):
        avoidance.failed(Hop("udp", "192.0.2.1", number), 0.0)
    assert len(avoidance) == KEPT
    early, late = Hop("udp", "192.0.2.1", 4), Hop("udp", "192.0.2.1", 5)
    assert avoidance.order([late, early], 0.0) == [early, late]
