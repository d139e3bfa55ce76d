"""How peers go down, come up and are quarantined; a walk over every move of the table."""

import random

import pytest

from sidestream.call.peer_health import MOVES, HealthPolicy, PeerBook, PeerState, Sign
from sidestream.call.setup import PeerHop

A, B = "sip:192.0.2.1", "sip:192.0.2.2"
POLICY = HealthPolicy()


class Peers:
    """A book and a clock that the test moves."""

    def __init__(self, *, asked: bool = True) -> None:
        self.book = PeerBook({A: asked, B: asked})
        self.now = 1000.0

    def fail(self, times: int = 1, uri: str = A) -> None:
        for _ in range(times):
            self.book.failed(uri, self.now, "no answer")

    def answer(self, times: int = 1, uri: str = A) -> None:
        for _ in range(times):
            self.book.answered(uri, self.now)

    def state(self, uri: str = A) -> PeerState:
        return self.book.state(uri, self.now)

    def down(self) -> "Peers":
        self.fail(POLICY.failures)
        assert self.state() is PeerState.DOWN
        return self

    def flapped(self) -> "Peers":
        self.down().answer(POLICY.answers)
        self.fail(POLICY.failures)
        assert self.state() is PeerState.QUARANTINED
        return self


def test_the_table_has_a_row_for_every_move_that_the_tests_below_make() -> None:
    assert set(MOVES) == {
        (PeerState.UP, Sign.FAILED),
        (PeerState.UP, Sign.FLAPPED),
        (PeerState.DOWN, Sign.ANSWERED),
        (PeerState.DOWN, Sign.TRIED_LATER),
        (PeerState.QUARANTINED, Sign.ANSWERED),
        (PeerState.QUARANTINED, Sign.TRIED_LATER),
    }


def test_one_failure_is_none_and_an_answer_forgets_it() -> None:
    peers = Peers()
    for _ in range(5):
        peers.fail()
        peers.answer()
    assert peers.state() is PeerState.UP


def test_failures_in_a_row_take_a_peer_down_and_are_told_once() -> None:
    peers = Peers()
    changes = [peers.book.failed(A, peers.now, f"reason {number}") for number in range(4)]
    assert [change is not None for change in changes] == [False, True, False, False]
    told = changes[1]
    assert told is not None
    assert (told.uri, told.state, told.reason) == (A, PeerState.DOWN, "reason 1")
    assert peers.state(B) is PeerState.UP


def test_answers_in_a_row_bring_it_up() -> None:
    peers = Peers().down()
    peers.answer()
    peers.fail()
    peers.answer()
    assert peers.state() is PeerState.DOWN
    peers.answer()
    assert peers.state() is PeerState.UP


def test_a_call_that_was_answered_counts_for_all() -> None:
    peers = Peers().down()
    change = peers.book.answered(A, peers.now, a_call=True)
    assert change is not None
    assert peers.state() is PeerState.UP


def test_what_fails_soon_after_it_came_up_is_quarantined_whatever_it_answers() -> None:
    peers = Peers().flapped()
    peers.answer(10)
    assert peers.state() is PeerState.QUARANTINED
    peers.now += POLICY.quarantine - 0.1
    peers.answer()
    assert peers.state() is PeerState.QUARANTINED
    peers.now += 0.2
    peers.answer()
    assert peers.state() is PeerState.UP


def test_each_further_quarantine_is_twice_as_long_up_to_a_bound() -> None:
    peers = Peers().flapped()
    lengths = []
    for _ in range(6):
        start = peers.now
        while peers.state() is PeerState.QUARANTINED:
            peers.now += 1
            peers.answer()
        lengths.append(peers.now - start)
        peers.fail(POLICY.failures)
    assert lengths == pytest.approx([60, 120, 240, 480, 600, 600], abs=1)


def test_a_peer_that_was_steady_between_does_not_flap() -> None:
    peers = Peers().flapped()
    peers.now += POLICY.quarantine
    peers.answer(POLICY.answers)
    peers.now += POLICY.steady
    peers.fail(POLICY.failures)
    assert peers.state() is PeerState.DOWN


def test_a_peer_that_nobody_asks_is_tried_again_and_backs_off_when_that_fails() -> None:
    peers = Peers(asked=False)
    peers.down()
    peers.now += POLICY.hold - 0.1
    assert peers.state() is PeerState.DOWN
    peers.now += 0.2
    assert peers.state() is PeerState.UP
    peers.fail()
    assert peers.state() is PeerState.QUARANTINED
    peers.now += POLICY.quarantine + 1
    assert peers.state() is PeerState.UP
    peers.answer()
    peers.fail()
    assert peers.state() is PeerState.UP


def test_a_peer_that_is_asked_does_not_come_up_by_itself() -> None:
    peers = Peers().down()
    peers.now += 10_000
    assert peers.state() is PeerState.DOWN


def test_peers_that_are_not_up_come_last_in_their_order_and_none_is_left_out() -> None:
    peers = Peers().down()
    hops = [PeerHop(A, priority=1), PeerHop(B, priority=2), PeerHop("sip:192.0.2.3", priority=3)]
    assert [hop.uri for hop in peers.book.order(hops, peers.now)] == [B, "sip:192.0.2.3", A]
    peers.fail(2, B)
    assert [hop.uri for hop in peers.book.order(hops, peers.now)] == ["sip:192.0.2.3", A, B]
    alone = hops[:1]
    assert peers.book.order(alone, peers.now) == tuple(alone)


def test_a_report_says_how_long_and_why() -> None:
    peers = Peers().down()
    peers.now += 12
    first, second = peers.book.report(peers.now)
    assert (first.uri, first.state, first.seconds, first.reason) == (A, PeerState.DOWN, 12, "no answer")
    assert (second.state, second.seconds, second.reason) == (PeerState.UP, None, "")


def test_a_peer_that_is_not_in_the_book_is_up() -> None:
    book = PeerBook({})
    assert book.failed(A, 0.0, "x") is None
    assert book.answered(A, 0.0) is None
    assert book.state(A, 0.0) is PeerState.UP


def test_no_order_of_signs_makes_an_unlisted_move() -> None:
    randomness = random.Random(3)
    for asked in (True, False):
        peers = Peers(asked=asked)
        for _ in range(20_000):
            peers.now += randomness.choice([0.1, 5.0, 40.0, 400.0])
            if randomness.random() < 0.5:
                peers.fail()
            else:
                peers.book.answered(A, peers.now, a_call=randomness.random() < 0.3)
            assert peers.state() in PeerState
