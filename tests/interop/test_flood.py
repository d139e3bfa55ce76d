"""Calls while strangers flood the SIP port: none fails, and nothing grows."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    gateway,
    needs_sipp,
    new_records,
    run_pair,
    sipp,
    verdict_of,
)

pytestmark = [pytest.mark.interop, needs_sipp]

RATE = 5000
SECONDS = 3.0
CALLS = 10
GROWTH_KB = 20_000
"""What a Python process may take in such a time without keeping anything of the flood."""


def turned_away(site: Gateway) -> dict[str, float]:
    prefix = 'sidestream_sip_turned_away_total{reason="'
    return {
        name.removeprefix(prefix).partition('"')[0]: value
        for name, value in site.metrics().items()
        if name.startswith(prefix)
    }


def flooded(site: Gateway, directory: Path) -> int:
    """Carry calls through a flood; returns how many datagrams it had."""
    talk = Load(calls=CALLS, rate=20, pause_ms=int(SECONDS * 1000) - 500)
    with (
        sipp("basic_callee", directory, (DESK_HOST, site.desk), load=talk) as callee,
        sipp("basic_caller", directory, (CARRIER_HOST, site.carrier), site.sip, talk) as caller,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "sidestream.testing.flood", f"127.0.0.1:{site.sip}"),
                *("--rate", str(RATE), "--seconds", str(SECONDS)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        ) as generator,
    ):
        said, _ = generator.communicate(timeout=60)
        caller.finish(60)
        callee.finish(10)
    return int(json.loads(said)["sent"])


@pytest.mark.parametrize("strangers", ["refuse", "drop"])
def test_no_call_fails_and_nothing_grows(tmp_path: Path, strangers: str) -> None:
    node = f"  protection: {{unknown_sources: {strangers}}}"
    with gateway(tmp_path, Setup(node=node)) as site, new_records(site) as records:
        run_pair(site, tmp_path, "basic_caller", "basic_callee")
        before = site.footprint()
        sent = flooded(site, tmp_path)
        site.wait_idle()
        after, turned = site.footprint(), turned_away(site)
        # The machine may be slow, but a flood it was.
        assert sent > 0.5 * RATE * SECONDS
        deadline = time.monotonic() + 10
        while site.metrics()["sidestream_sip_transactions"] > 400 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert site.metrics()["sidestream_sip_transactions"] < 400
    carried = [record for record in records if verdict_of(record) == "caller-hung-up"]
    assert len(carried) == CALLS + 1
    assert {verdict_of(record) for record in records} <= {"caller-hung-up", "unknown-trunk"}
    assert after.descriptors <= before.descriptors
    assert after.ports == 0
    assert after.resident_kb - before.resident_kb < GROWTH_KB
    assert turned["scanner"] > 0
    assert turned["not-sip"] > 0
    assert sum(turned.values()) > 0.9 * sent - 1000
    if strangers == "drop":
        assert turned["unknown-source"] > 0
        assert len(records) == CALLS + 1
