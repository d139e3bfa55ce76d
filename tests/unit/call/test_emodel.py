"""The E-model against the values that ITU-T tables."""

import pytest

from sidestream.call.emodel import (
    IMPAIRMENTS,
    burst_ratio,
    delay_impairment,
    equipment_impairment,
    mean_opinion_score,
    rating,
)


def test_the_default_connection_has_the_rating_that_g107_names() -> None:
    assert rating(0, 0) == pytest.approx(93.2, abs=0.05)


@pytest.mark.parametrize(("r", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_scores_are_those_of_g107_table_b1(r: float, score: float) -> None:
    assert mean_opinion_score(r) == pytest.approx(score, abs=0.01)


def test_scores_stay_on_their_scale() -> None:
    assert [mean_opinion_score(r) for r in (-5, 0, 6.5, 100, 120)] == [1, 1, 1, 4.5, 4.5]
    scores = [mean_opinion_score(r / 2) for r in range(13, 200)]
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("delay_ms", "r"),
    [
        (0, 94),
        (50, 93),
        (100, 92),
        (150, 90),
        (200, 87),
        (250, 80),
        (300, 74),
        (350, 68),
        (400, 63),
        (450, 59),
    ],
)
def test_delay_costs_what_planning_tables_say(delay_ms: float, r: float) -> None:
    # TIA TSB-116 table 4, for G.711 without loss; it begins 0.8 above the default of today's G.107.
    assert rating(delay_ms, 0) == pytest.approx(r - 0.8, abs=1.0)


@pytest.mark.parametrize(
    ("codec", "tabled", "within"),
    [
        ("G729", {0: 11, 0.5: 13, 1: 15, 1.5: 17, 2: 19, 3: 23, 4: 26, 8: 36, 16: 49}, 0.6),
        ("G723", {0: 15, 0.5: 17, 1: 19, 1.5: 22, 2: 24, 3: 27, 4: 32, 8: 41, 16: 55}, 1.6),
        ("PCMU", {0: 0, 1: 5, 2: 7, 3: 10, 5: 15, 7: 20, 10: 25, 15: 35, 20: 45}, 3.0),
    ],
)
def test_random_loss_costs_what_g113_tables(codec: str, tabled: dict[float, float], within: float) -> None:
    for loss, ie in tabled.items():
        assert equipment_impairment(IMPAIRMENTS[codec], loss) == pytest.approx(ie, abs=within)


def test_loss_in_bursts_costs_more_and_never_more_than_all() -> None:
    g711 = IMPAIRMENTS["PCMA"]
    costs = [equipment_impairment(g711, 5, ratio) for ratio in (0.2, 1, 2, 4, 1000)]
    assert costs[0] == costs[1] < costs[2] < costs[3] < costs[4]
    assert equipment_impairment(g711, 100, 1000) == 95


def test_delay_below_100_ms_costs_echo_only_and_beyond_it_grows() -> None:
    costs = [delay_impairment(delay) for delay in range(0, 2000, 10)]
    assert costs == sorted(costs)
    assert costs[10] < 3
    assert costs[-1] < 65


@pytest.mark.parametrize(
    ("lost", "received", "bursts", "ratio"),
    [
        (0, 100, 0, None),
        (5, 0, 1, None),
        (5, 95, 0, None),
        (5, 95, 5, 1.0),
        (10, 90, 2, 4.5),
        (1, 99, 1, 1.0),
    ],
)
def test_the_burst_ratio_compares_with_random_loss(
    lost: int, received: int, bursts: int, ratio: float | None
) -> None:
    assert burst_ratio(lost, received, bursts) == ratio
