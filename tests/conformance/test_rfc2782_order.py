"""The order of SRV records: RFC 2782, "Usage rules"."""

import random
from collections import Counter

import pytest

from sidestream.sip.errors import NoTargetError
from sidestream.sip.routing import Abilities, Query, Record, Srv, locate, order_services
from sidestream.sip.uri import SipUri


class Draws:
    """Gives what a test says, in turn."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def targets(records: list[Srv], *draws: float) -> list[str]:
    return [record.target for record in order_services(records, Draws(*draws))]


def test_lower_priorities_come_first_whatever_their_weight() -> None:
    records = [Srv(20, 100, 5060, "c"), Srv(10, 0, 5060, "a"), Srv(15, 1, 5060, "b")]
    for seed in range(20):
        assert [one.target for one in order_services(records, random.Random(seed))] == ["a", "b", "c"]


def test_weight_zero_is_placed_at_the_beginning_and_drawn_by_zero_only() -> None:
    records = [Srv(1, 9, 5060, "heavy"), Srv(1, 0, 5060, "zero")]
    assert targets(records, 0.0, 0.0) == ["zero", "heavy"]
    assert targets(records, 0.11, 0.0) == ["heavy", "zero"]


def test_the_running_sum_decides() -> None:
    records = [Srv(1, 1, 5060, "a"), Srv(1, 2, 5060, "b"), Srv(1, 3, 5060, "c")]
    # 0 to 6 may be drawn: 0 and 1 take a, 2 and 3 take b, 4 to 6 take c.
    first = [targets(records, number / 7 + 0.01, 0.0, 0.0)[0] for number in range(7)]
    assert first == ["a", "a", "b", "b", "c", "c", "c"]


def test_shares_follow_the_weights() -> None:
    randomness = random.Random(4)
    records = [Srv(1, 60, 5060, "a"), Srv(1, 30, 5060, "b"), Srv(1, 10, 5060, "c")]
    first = Counter(order_services(records, randomness)[0].target for _ in range(10_000))
    assert first["a"] == pytest.approx(6000, abs=250)
    assert first["b"] == pytest.approx(3000, abs=250)
    assert first["c"] == pytest.approx(1000, abs=250)


def test_records_of_weight_zero_alone_are_all_used() -> None:
    records = [Srv(1, 0, 5060, name) for name in "abc"]
    for seed in range(10):
        assert sorted(one.target for one in order_services(records, random.Random(seed))) == ["a", "b", "c"]


def test_a_target_of_a_dot_says_that_there_is_no_service() -> None:
    def known(query: Query) -> list[Record]:
        return [Srv(0, 0, 0, ".")] if query.kind == "SRV" else ["192.0.2.1"] if query.kind == "A" else []

    with pytest.raises(NoTargetError):
        locate(
            SipUri.parse("sip:example.com"),
            known,
            Abilities(transports=("udp",), families=(4,)),
            Draws(*[0.0] * 9),
        )
