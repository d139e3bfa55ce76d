"""What is said about a call's media, with SIPp as the phones: who was not heard, and how well one was."""

import json
import math
from pathlib import Path
from typing import Any, cast

import pytest

from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    gateway,
    media_port,
    needs_sipp,
    new_records,
    run_pair,
)
from sidestream.tools.g711 import encode

pytestmark = [pytest.mark.interop, needs_sipp]

TALK_MS = 7_000


def tone(seconds: float) -> bytes:
    """Return a tone of -15 dBov in PCMU."""
    step = math.tau * 440 / 8000
    return encode("PCMU", [round(8192 * math.sin(at * step)) for at in range(round(8000 * seconds))])


def spoken(site: Gateway, directory: Path, callee: str) -> dict[str, Any]:
    """Carry a call whose caller plays a tone for 7 s, and return its record."""
    for name in ("caller", "callee"):
        (directory / f"{name}.raw").write_bytes(tone(TALK_MS / 1000))
    loads = tuple(Load(pause_ms=TALK_MS, media_port=media_port(host)) for host in (CARRIER_HOST, DESK_HOST))
    with new_records(site) as records:
        run_pair(site, directory, "random_audio_caller", callee, (loads[0], loads[1]))
    (record,) = records
    return cast("dict[str, Any]", record)


def test_a_callee_that_sends_nothing_is_told_at_once_and_in_the_record(tmp_path: Path) -> None:
    with gateway(tmp_path) as site:
        record = spoken(site, tmp_path, "basic_callee")
        metrics = site.metrics()
        warnings = [json.loads(line) for line in site.log().splitlines() if "a party is not heard" in line]
    (note,) = record["quality"]["notes"]
    assert (note["slug"], note["leg"]) == ("one-way-audio", "callee")
    assert note["text"].startswith(f"The callee was never heard: no packet came from {DESK_HOST}:")
    assert note["text"].endswith(" after the answer.")
    assert [(each["note"], each["detail"], each["call_id"]) for each in warnings] == [
        ("one-way-audio", note["text"], record["call_id"])
    ]
    assert metrics['sidestream_quality_notes_total{note="one-way-audio"}'] == 1
    caller, callee = record["quality"]["caller"], record["quality"]["callee"]
    assert caller["packets"] >= 300
    assert caller["mos"] > 4.0
    assert caller["level_dbov"] == pytest.approx(-15, abs=0.5)
    assert (callee["packets"], callee["mos"], callee["level_dbov"]) == (0, None, None)
    assert [leg["mos"] for leg in record["media"]] == [caller["mos"], None]


def test_a_call_that_both_hear_has_nothing_to_say(tmp_path: Path) -> None:
    with gateway(tmp_path) as site:
        record = spoken(site, tmp_path, "random_audio_callee")
        metrics = site.metrics()
    assert record["quality"]["notes"] == []
    assert all(record["quality"][leg]["mos"] > 4.0 for leg in ("caller", "callee"))
    assert record["quality"]["dead_air_s"] < 2
    assert metrics["sidestream_leg_mos_count"] == 2
    assert metrics["sidestream_leg_loss_ratio_count"] == 2
