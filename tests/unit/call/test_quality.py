from dataclasses import replace

import pytest

from sidestream.call.facts import Role
from sidestream.call.quality import CallQuality, LegFigures, NoteSlug, Talk, judge

GOOD = LegFigures(
    packets=3000, since_answer=3000, jitter_ms=1.0, jitter_max_ms=2.0, round_trip_ms=40.0, sent=3000,
    far_lost=0, measured=300, silent=150, level_dbov=-26.0, codec="PCMU", address="192.0.2.1:4000",
)  # fmt: skip
TALK = Talk(60.0, 2.0, held=False)


def texts(quality: CallQuality) -> list[str]:
    return [note.text for note in quality.notes]


def notes(
    callee: LegFigures, talk: Talk = TALK, caller: LegFigures = GOOD
) -> list[tuple[NoteSlug, Role | None]]:
    return [(note.slug, note.leg) for note in judge(caller, callee, talk).notes]


def test_a_good_call_has_good_scores_and_nothing_to_say() -> None:
    quality = judge(GOOD, GOOD, TALK)
    assert quality.notes == ()
    assert quality.caller.mos is not None
    assert 4.3 < quality.caller.mos < 4.5
    assert (quality.caller.delay_ms, quality.caller.silent_percent) == (62.0, 50.0)


def test_who_was_never_heard_is_named_with_where_he_should_have_come_from() -> None:
    silent = LegFigures(sent=3000, codec="PCMU", address="10.0.0.5:4000")
    quality = judge(GOOD, silent, TALK)
    assert texts(quality) == [
        "The callee was never heard: no packet came from 10.0.0.5:4000 after the answer."
    ]
    assert [(note.slug, note.leg) for note in quality.notes] == [(NoteSlug.ONE_WAY_AUDIO, Role.CALLEE)]
    assert quality.callee.mos is None
    swapped = judge(silent, GOOD, TALK)
    assert texts(swapped) == [
        "The caller was never heard: no packet came from 10.0.0.5:4000 after the answer."
    ]


def test_early_media_before_the_answer_is_no_proof_of_being_heard() -> None:
    assert notes(replace(GOOD, packets=200, since_answer=0)) == [(NoteSlug.ONE_WAY_AUDIO, Role.CALLEE)]


def test_packets_that_came_from_elsewhere_or_with_another_key_explain_it() -> None:
    lost = LegFigures(sent=3000, alien=250, address="10.0.0.5:4000")
    assert texts(judge(GOOD, lost, TALK))[0].endswith("after the answer; 250 came from other addresses.")
    assert notes(replace(lost, unauthentic=250)) == [(NoteSlug.WRONG_KEY, Role.CALLEE)]


@pytest.mark.parametrize(
    "talk", [Talk(0.0, 0.0, held=False), Talk(4.9, 0.0, held=False), Talk(60.0, 0.0, held=True)]
)
def test_a_call_too_short_or_held_says_nothing_of_a_silent_party(talk: Talk) -> None:
    assert notes(LegFigures(sent=100), talk) == []


def test_a_call_without_any_packet_is_told_once() -> None:
    assert notes(LegFigures(), TALK, LegFigures()) == [(NoteSlug.NO_AUDIO, None)]


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"silent": 300}, NoteSlug.SILENCE),
        ({"lost": 200, "bursts": 150}, NoteSlug.LOSS),
        ({"far_lost": 150}, NoteSlug.FAR_LOSS),
        ({"jitter_ms": 60.0}, NoteSlug.JITTER),
        ({"round_trip_ms": 700.0}, NoteSlug.DELAY),
        ({"clipped": 40}, NoteSlug.CLIPPING),
        ({"level_dbov": -5.0}, NoteSlug.TOO_LOUD),
        ({"level_dbov": -50.0}, NoteSlug.TOO_QUIET),
    ],
)
def test_each_thing_that_goes_wrong_is_said_of_the_right_party(
    change: dict[str, float], slug: NoteSlug
) -> None:
    bad = replace(GOOD, **change)  # type: ignore[arg-type]
    assert notes(bad) == [(slug, Role.CALLEE)]
    assert notes(GOOD, TALK, bad) == [(slug, Role.CALLER)]
    assert all(text.endswith(".") for text in texts(judge(GOOD, bad, TALK)))


def test_too_little_to_look_at_says_nothing() -> None:
    assert notes(replace(GOOD, measured=20, silent=20)) == []
    assert notes(replace(GOOD, measured=160, silent=150, clipped=10, level_dbov=-3.0)) == []


def test_dead_air_is_told_when_levels_are_known() -> None:
    long = Talk(60.0, 23.4, held=False)
    assert notes(GOOD, long) == [(NoteSlug.DEAD_AIR, None)]
    assert texts(judge(GOOD, GOOD, long)) == ["Neither party was heard for 23 s."]
    assert notes(replace(GOOD, measured=0, silent=0, level_dbov=None, codec="opus"), long) == []


def test_codecs_without_figures_have_no_score() -> None:
    assert judge(GOOD, replace(GOOD, codec="opus"), TALK).callee.mos is None
    assert judge(GOOD, replace(GOOD, codec="pcma"), TALK).callee.mos is not None


def test_loss_lowers_the_score_and_bursts_do_so_more() -> None:
    scores = [judge(GOOD, replace(GOOD, lost=100, bursts=bursts), TALK).callee.mos for bursts in (100, 5)]
    assert scores[0] is not None
    assert scores[1] is not None
    assert 3.0 < scores[1] < scores[0] < 4.3
