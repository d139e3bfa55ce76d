import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import CallAnswered, CallHeld
from sidestream.call.quality import NoteSlug
from sidestream.call.side import Side
from sidestream.gateway import quality_watch as module
from sidestream.gateway.engine_messages import CallClosed, CallStats, SideStats
from sidestream.gateway.quality_watch import QualityWatch, count_quality
from sidestream.gateway.traced_log import TracedLog
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metrics
from sidestream.sdp.negotiate import MediaAddress, NegotiatedCodec

pytestmark = pytest.mark.asyncio
AT = datetime(2026, 1, 1, tzinfo=UTC)


def side(name: str, packets: int) -> SideStats:
    counts = "received_bytes sent_packets sent_bytes lost late duplicate alien malformed unsent ssrc_changes"
    values = {**dict.fromkeys(counts.split(), 0), "jitter_ms": 1.0, "mos": None, "rtt_ms": None}
    return msgspec.convert(
        {
            "side": name,
            "receivedPackets": packets,
            **{_camel(key): each for key, each in values.items()},
        },
        SideStats,
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


class Watched:
    def __init__(self) -> None:
        self.asked = 0
        self.notes: list[dict[str, str]] = []
        log = TracedLog.of(logger(), lambda _level, _event, detail: self.notes.append(detail))
        self.watch = QualityWatch(self.ask, log)
        for each, host in ((Side.A, "192.0.2.1"), (Side.B, "10.0.0.5")):
            codec = NegotiatedCodec("PCMU", 8000, 1, 0, 0, "")
            self.watch.hear_media(
                UpdateLegMedia(
                    side=each, remote=MediaAddress(host, 4000, 4001), codecs=(codec,), ptime_ms=20, held=False
                )
            )

    def ask(self) -> None:
        self.asked += 1

    def tell(self, caller: int, callee: int) -> None:
        self.watch.learn(CallStats(call=1, sides=[side("a", caller), side("b", callee)]))


async def test_a_party_that_is_not_heard_is_told_while_the_call_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ONE_WAY_S", 5.0)
    watched = Watched()
    timers: list[Any] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, call: timers.append((delay, call)))
    watched.watch.hear(CallAnswered(AT))
    assert watched.asked == 1
    watched.tell(10, 3)
    assert watched.notes == []
    ((delay, look),) = timers
    assert delay > 5
    look()
    assert watched.asked == 2
    watched.tell(260, 3)
    (note,) = watched.notes
    assert note["note"] == "one-way-audio"
    assert note["detail"] == "The callee was never heard: no packet came from 10.0.0.5:4000 after the answer."
    watched.tell(300, 3)
    assert len(watched.notes) == 1


async def test_what_came_before_the_answer_does_not_count() -> None:
    watched = Watched()
    watched.watch.hear(CallAnswered(AT))
    watched.tell(100, 200)
    watched.watch.learn(CallClosed(call=1, sides=[side("a", 500), side("b", 200)], dead_air_ms=21_000))
    quality = watched.watch.quality(20.0)
    assert quality is not None
    assert [note.slug for note in quality.notes] == [NoteSlug.ONE_WAY_AUDIO]
    assert quality.dead_air_s == 21.0
    watched.watch.close()


async def test_nothing_is_known_before_the_engine_has_told() -> None:
    assert Watched().watch.quality(0.0) is None


async def test_a_held_call_accuses_nobody() -> None:
    watched = Watched()
    watched.watch.hear(CallAnswered(AT))
    watched.tell(0, 0)
    watched.watch.hear(CallHeld(AT, Side.A))
    watched.tell(900, 0)
    quality = watched.watch.quality(20.0)
    assert quality is not None
    assert quality.notes == ()
    watched.watch.close()


async def test_quality_is_counted() -> None:
    watched = Watched()
    watched.watch.hear(CallAnswered(AT))
    watched.tell(0, 0)
    watched.tell(900, 0)
    quality = watched.watch.quality(20.0)
    assert quality is not None
    counted = Metrics()
    count_quality(counted, quality)
    text = counted.expose().decode()
    assert 'sidestream_quality_notes_total{note="one-way-audio"} 1.0' in text
    assert "sidestream_leg_mos_count 1.0" in text
    assert "sidestream_leg_round_trip_seconds_count 0.0" in text
    watched.watch.close()
