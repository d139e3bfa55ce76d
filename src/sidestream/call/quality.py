"""What the figures of a call's media mean: a score for each party, and sentences about what went wrong.

Pure. Figures come from the media engine; what counts as bad stands in constants here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidestream.call.emodel import IMPAIRMENTS, burst_ratio, equipment_impairment, mean_opinion_score, rating
from sidestream.call.facts import Role

ONE_WAY_S: Final = 5.0
"""Seconds from the answer after which a party should have been heard."""
LOOKED_AT_MIN: Final = 25
"""Packets to be looked at (5 s of them) before their level tells anything."""
DEAD_AIR_S: Final = 15.0
LOSS_PERCENT: Final = 3.0
JITTER_MS: Final = 50.0
DELAY_MS: Final = 300.0
CLIPPED_PERCENT: Final = 10.0
LOUD_DBOV: Final = -9.0
QUIET_DBOV: Final = -45.0
JITTER_BUFFER: Final = 2.0
"""A far side's buffer is taken as so many times the jitter."""
PACKET_MS: Final = 20.0
"""Taken for the audio in a packet."""


class NoteSlug(StrEnum):
    """Everything that is said about a call's media."""

    ONE_WAY_AUDIO = "one-way-audio"
    NO_AUDIO = "no-audio"
    SILENCE = "silence"
    WRONG_KEY = "wrong-key"
    DEAD_AIR = "dead-air"
    LOSS = "loss"
    FAR_LOSS = "far-loss"
    JITTER = "jitter"
    DELAY = "delay"
    CLIPPING = "clipping"
    TOO_LOUD = "too-loud"
    TOO_QUIET = "too-quiet"


@dataclass(frozen=True, slots=True)
class QualityNote:
    """One thing that went wrong, for people."""

    slug: NoteSlug
    leg: Role | None
    """The party whose audio it is about; None: both."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFigures:
    """What is known of one party's audio, as it came to the gateway."""

    packets: int = 0
    since_answer: int = 0
    """Of these, those that came after the answer."""
    lost: int = 0
    bursts: int = 0
    jitter_ms: float = 0.0
    jitter_max_ms: float = 0.0
    round_trip_ms: float | None = None
    sent: int = 0
    """Packets sent to it."""
    far_lost: int | None = None
    """Packets that it misses of those, by its own reports."""
    measured: int = 0
    """Packets that were looked at for their level."""
    silent: int = 0
    clipped: int = 0
    level_dbov: float | None = None
    alien: int = 0
    unauthentic: int = 0
    codec: str = ""
    address: str = ""
    """Where its media was to come from, as it said; empty when it said nothing."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """How well a party could be heard by the other."""

    packets: int
    lost: int
    loss_percent: float
    burst_ratio: float | None
    jitter_ms: float
    jitter_max_ms: float
    round_trip_ms: float | None
    """By RTCP; None when it was never measured, and then no delay of the network counts."""
    delay_ms: float
    """Mouth to ear, estimated."""
    far_loss_percent: float | None
    level_dbov: float | None
    silent_percent: float | None
    rating: float | None
    mos: float | None
    """None without packets, and for codecs that the model has no figures for."""


@dataclass(frozen=True, slots=True)
class CallQuality:
    """How well the parties of a call could hear each other."""

    caller: LegQuality
    callee: LegQuality
    dead_air_s: float
    notes: tuple[QualityNote, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """What else is known.

    Attributes:
        talked_s: seconds since the answer; 0: never answered.
        dead_air_s: longest time in which neither party was heard.
        held: whether somebody has held the other: a silent party may be right then.
    """

    talked_s: float
    dead_air_s: float
    held: bool


def judge(caller: LegFigures, callee: LegFigures, talk: Talk) -> CallQuality:
    """Return what the figures mean."""
    network_ms = ((caller.round_trip_ms or 0.0) + (callee.round_trip_ms or 0.0)) / 2
    legs = ((Role.CALLER, caller, callee), (Role.CALLEE, callee, caller))
    caller_quality, callee_quality = (_leg(figures, network_ms) for _, figures, _ in legs)
    notes = _missing(caller, callee, talk)
    for (role, figures, other), quality in zip(legs, (caller_quality, callee_quality), strict=True):
        notes += _leg_notes(role, figures, other, quality)
    if talk.dead_air_s >= DEAD_AIR_S and caller.measured and callee.measured:
        notes.append(
            QualityNote(NoteSlug.DEAD_AIR, None, f"Neither party was heard for {talk.dead_air_s:.0f} s.")
        )
    return CallQuality(caller_quality, callee_quality, round(talk.dead_air_s, 1), tuple(notes))


def _leg(figures: LegFigures, network_ms: float) -> LegQuality:
    loss = _percent(figures.lost, figures.packets + figures.lost)
    ratio = burst_ratio(figures.lost, figures.packets, figures.bursts)
    delay_ms = network_ms + PACKET_MS + JITTER_BUFFER * figures.jitter_ms
    codec = IMPAIRMENTS.get(figures.codec.upper())
    r = None
    if codec is not None and figures.packets:
        r = rating(delay_ms, equipment_impairment(codec, loss, ratio or 1.0))
    far = figures.far_lost
    return LegQuality(
        packets=figures.packets,
        lost=figures.lost,
        loss_percent=round(loss, 2),
        burst_ratio=None if ratio is None else round(ratio, 2),
        jitter_ms=round(figures.jitter_ms, 2),
        jitter_max_ms=round(figures.jitter_max_ms, 2),
        round_trip_ms=None if figures.round_trip_ms is None else round(figures.round_trip_ms, 1),
        delay_ms=round(delay_ms, 1),
        far_loss_percent=None if far is None else round(_percent(max(0, far), figures.sent), 2),
        level_dbov=None if figures.level_dbov is None else round(figures.level_dbov, 1),
        silent_percent=round(_percent(figures.silent, figures.measured), 1) if figures.measured else None,
        rating=None if r is None else round(r, 1),
        mos=None if r is None else round(mean_opinion_score(r), 2),
    )


def _missing(caller: LegFigures, callee: LegFigures, talk: Talk) -> list[QualityNote]:
    """Say who was never heard."""
    if talk.talked_s < ONE_WAY_S:
        return []
    if not caller.since_answer and not callee.since_answer:
        return [QualityNote(NoteSlug.NO_AUDIO, None, "No packet came from either party after the answer.")]
    notes = []
    for role, figures, other in ((Role.CALLER, caller, callee), (Role.CALLEE, callee, caller)):
        if not figures.since_answer and not talk.held:
            notes.append(_never_heard(role, figures))
        elif _all_silent(figures) and not _all_silent(other) and other.measured >= LOOKED_AT_MIN:
            text = f"The {role.value} sent packets, and all that were looked at were silence."
            notes.append(QualityNote(NoteSlug.SILENCE, role, text))
    return notes


def _never_heard(role: Role, figures: LegFigures) -> QualityNote:
    begin = f"The {role.value} was never heard"
    if figures.unauthentic:
        text = f"{begin}: {figures.unauthentic} packets came, and none was made with the agreed key."
        return QualityNote(NoteSlug.WRONG_KEY, role, text)
    source = f" from {figures.address}" if figures.address else ""
    others = f"; {figures.alien} came from other addresses" if figures.alien else ""
    text = f"{begin}: no packet came{source} after the answer{others}."
    return QualityNote(NoteSlug.ONE_WAY_AUDIO, role, text)


def _all_silent(figures: LegFigures) -> bool:
    return figures.measured >= LOOKED_AT_MIN and figures.silent == figures.measured


def _leg_notes(role: Role, figures: LegFigures, other: LegFigures, quality: LegQuality) -> list[QualityNote]:
    who = role.value
    audible = figures.measured - figures.silent
    level = figures.level_dbov if audible >= LOOKED_AT_MIN else None
    clipped = _percent(figures.clipped, audible) if audible >= LOOKED_AT_MIN else 0.0
    far = quality.far_loss_percent or 0.0
    found = (
        (
            NoteSlug.LOSS,
            quality.loss_percent >= LOSS_PERCENT,
            f"{quality.loss_percent:.1f} % of the {who}'s packets were lost on their way to the gateway.",
        ),
        (
            NoteSlug.FAR_LOSS,
            far >= LOSS_PERCENT and other.packets > 0,
            f"The {who} missed {far:.1f} % of the packets that were sent to it, by its own reports.",
        ),
        (
            NoteSlug.JITTER,
            quality.jitter_ms >= JITTER_MS,
            f"The {who}'s packets came unevenly: jitter of {quality.jitter_ms:.0f} ms.",
        ),
        (
            NoteSlug.DELAY,
            (figures.round_trip_ms or 0.0) / 2 >= DELAY_MS,
            f"The way to the {who} and back took {figures.round_trip_ms or 0:.0f} ms.",
        ),
        (
            NoteSlug.CLIPPING,
            clipped >= CLIPPED_PERCENT,
            f"The {who} was distorted: {clipped:.0f} % of what was looked at reached the end of the scale.",
        ),
        (
            NoteSlug.TOO_LOUD,
            level is not None and level > LOUD_DBOV,
            f"The {who} was too loud: {level or 0:.0f} dBov.",
        ),
        (
            NoteSlug.TOO_QUIET,
            level is not None and level < QUIET_DBOV,
            f"The {who} was very quiet: {level or 0:.0f} dBov.",
        ),
    )  # fmt: skip
    return [QualityNote(slug, role, text) for slug, holds, text in found if holds]


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole > 0 else 0.0
