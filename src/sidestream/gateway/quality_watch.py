"""Watches how a call's media goes: notices at once when a party is not heard, and judges it at the end."""

import asyncio
from collections.abc import Callable
from typing import Final

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import CallAnswered, CallHeld, Fact
from sidestream.call.quality import ONE_WAY_S, CallQuality, LegFigures, LegQuality, NoteSlug, Talk, judge
from sidestream.call.setup import CallSetup
from sidestream.call.side import Side
from sidestream.gateway.engine_messages import CallClosed, CallStats, SideStats
from sidestream.gateway.hep_exporter import HepExporter
from sidestream.observe import metrics
from sidestream.observe.hep import QualityReport
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metrics

_AT_ONCE: Final = frozenset({NoteSlug.ONE_WAY_AUDIO, NoteSlug.WRONG_KEY, NoteSlug.NO_AUDIO})
"""What is told while there is still somebody to help."""
_MARGIN_S: Final = 0.5


class QualityWatch:
    """The media of one call.

    Args:
        ask: has the engine tell the call's figures, to `learn`.
        log: bound to the call.
    """

    def __init__(self, ask: Callable[[], None], log: Logger) -> None:
        self._ask = ask
        self._log = log
        self._legs: dict[Side, UpdateLegMedia] = {}
        self._sides: dict[Side, SideStats] = {}
        self._before: dict[Side, int] = {}
        self._answered_at: float | None = None
        self._dead_air_s = 0.0
        self._held = False
        self._looked = False
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, fact: Fact) -> None:
        """Take note of a fact."""
        if isinstance(fact, CallAnswered):
            loop = asyncio.get_running_loop()
            self._answered_at = loop.time()
            self._timer = loop.call_later(ONE_WAY_S + _MARGIN_S, self._look)
            self._ask()
        elif isinstance(fact, CallHeld):
            self._held = True

    def hear_media(self, update: UpdateLegMedia) -> None:
        """Take note of what was agreed on a leg."""
        self._legs[update.side] = update

    def learn(self, told: CallStats | CallClosed) -> None:
        """Take the figures of now."""
        self._sides = {Side(each.side): each for each in told.sides} or self._sides
        self._dead_air_s = told.dead_air_ms / 1000
        if self._answered_at is None:
            return
        if not self._before:
            self._before = {side: each.received_packets for side, each in self._sides.items()}
        elif self._looked and isinstance(told, CallStats):
            self._looked = False
            self._tell_at_once()

    def close(self) -> None:
        """Ask for nothing more; the last figures may still come."""
        if self._timer is not None:
            self._timer.cancel()
        # Without this ring the whole call is let go of at its end; else it waits for the collector.
        self._ask = _ask_nobody

    def quality(self, talked_s: float) -> CallQuality | None:
        """Return how the media went, None when nothing is known of it.

        Args:
            talked_s: seconds since the answer; 0: never answered.
        """
        if not self._sides:
            return None
        return judge(
            self._figures(Side.A), self._figures(Side.B), Talk(talked_s, self._dead_air_s, self._held)
        )

    def export(self, hep: HepExporter, setup: CallSetup, quality: CallQuality) -> None:
        """Report each party's audio to a collector, as from where it should have come."""
        for side, leg, quality_of_leg in (
            (Side.A, setup.caller, quality.caller),
            (Side.B, setup.callee, quality.callee),
        ):
            stats, agreed = self._sides.get(side), self._legs.get(side)
            if stats is None or agreed is None or agreed.remote is None:
                continue
            report = QualityReport(
                packets=quality_of_leg.packets,
                lost=quality_of_leg.lost,
                jitter_ms=quality_of_leg.jitter_ms,
                round_trip_ms=quality_of_leg.round_trip_ms,
                sent=stats.sent_packets,
                far_lost=stats.remote_lost,
                mos=quality_of_leg.mos,
            )
            party = (agreed.remote.host, agreed.remote.rtcp_port)
            hep.report(setup.call_id, report, party, (leg.media.host, leg.media.rtcp_port))

    def _look(self) -> None:
        self._timer = None
        self._looked = True
        self._ask()

    def _tell_at_once(self) -> None:
        quality = self.quality(ONE_WAY_S)
        for note in quality.notes if quality else ():
            if note.slug in _AT_ONCE:
                self._log.warning("a party is not heard", note=note.slug.value, detail=note.text)

    def _figures(self, side: Side) -> LegFigures:
        stats = self._sides.get(side)
        if stats is None:
            return LegFigures()
        leg = self._legs.get(side)
        remote = leg.remote if leg else None
        return LegFigures(
            packets=stats.received_packets - stats.duplicate,
            since_answer=stats.received_packets - self._before.get(side, 0),
            lost=stats.lost,
            bursts=stats.loss_bursts,
            jitter_ms=stats.jitter_ms,
            jitter_max_ms=stats.jitter_max_ms,
            round_trip_ms=stats.rtt_ms,
            sent=stats.sent_packets,
            far_lost=stats.remote_lost,
            measured=stats.measured,
            silent=stats.silent,
            clipped=stats.clipped,
            level_dbov=stats.level_dbov,
            alien=stats.alien,
            unauthentic=stats.unauthentic,
            codec=leg.codecs[0].name if leg and leg.codecs else "",
            address=f"{remote.host}:{remote.rtp_port}" if remote else "",
        )


def _ask_nobody() -> None:
    """Ask for no figures: the call has ended."""


def count_quality(counted: Metrics, quality: CallQuality) -> None:
    """Put a call's quality into the metrics."""
    for leg in (quality.caller, quality.callee):
        if leg.packets:
            _count_leg(counted, leg)
    for note in quality.notes:
        counted.count(metrics.QUALITY_NOTES, note.slug.value)


def _count_leg(counted: Metrics, leg: LegQuality) -> None:
    counted.observe(metrics.LEG_LOSS_RATIO, leg.loss_percent / 100)
    counted.observe(metrics.LEG_JITTER_SECONDS, leg.jitter_ms / 1000)
    if leg.mos is not None:
        counted.observe(metrics.LEG_MOS, leg.mos)
    if leg.round_trip_ms is not None:
        counted.observe(metrics.LEG_ROUND_TRIP_SECONDS, leg.round_trip_ms / 1000)
