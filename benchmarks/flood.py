"""Calls between two SIPp phones while strangers flood the SIP port: what fails, what grows, what it costs.

    .venv/bin/python benchmarks/flood.py                     100 calls, 30 s of 5,000 datagrams a second
    .venv/bin/python benchmarks/flood.py --rate 20000 --drop more of them, and strangers get no answer

The flood is `sidestream.testing.flood`: garbage, scans, half and oversize messages, calls and registrations
of nobody, from 32 addresses. Gateway, phones and flood share the machine, so its load is part of the figures.
Exits 1 when a call failed or the gateway grew by more than 20 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from interop.harness import (  # noqa: E402 - the path to it is set above
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    gateway,
    run_pair,
    sipp,
    verdict_of,
)

GROWTH_KB: Final = 20_000
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """What a run showed."""

    calls: int
    failed: int
    sent: int
    turned_away: dict[str, int]
    refused: int
    cpu_percent: float
    idle_cpu_percent: float
    resident_before_kb: int
    resident_after_kb: int
    lag_p99_ms: float
    transactions_at_the_end: int

    @property
    def good(self) -> bool:
        """Whether no call failed and nothing grew."""
        return self.failed == 0 and self.resident_after_kb - self.resident_before_kb < GROWTH_KB


def cpu_seconds(site: Gateway) -> float:
    """Processor time that the gateway has used."""
    fields = Path(f"/proc/{site.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def lag_p99(before: dict[str, float], after: dict[str, float]) -> float:
    """Upper bound, in ms, of the lateness that 99 % of the samples between two scrapes stay within."""
    prefix = 'sidestream_loop_lag_seconds_bucket{le="'
    rises = sorted(
        (float(name.removeprefix(prefix).rstrip('"}')), value - before.get(name, 0.0))
        for name, value in after.items()
        if name.startswith(prefix)
    )
    total = rises[-1][1] if rises else 0.0
    return next((bound * 1000 for bound, count in rises if total and count >= 0.99 * total), 0.0)


def measure(asked: argparse.Namespace, directory: Path) -> Figures:
    """Run the calls, first in peace and then through the flood."""
    strangers = "drop" if asked.drop else "refuse"
    setup = Setup(node=f"  protection: {{unknown_sources: {strangers}}}")
    talk = Load(calls=asked.calls, rate=20, pause_ms=int(asked.seconds * 1000))
    quiet, loud = directory / "quiet", directory / "loud"
    quiet.mkdir()
    loud.mkdir()
    with gateway(directory, setup) as site:
        run_pair(site, quiet, "basic_caller", "basic_callee")
        began, used = time.monotonic(), cpu_seconds(site)
        run_pair(site, quiet, "basic_caller", "basic_callee", (Load(calls=asked.calls, rate=20),) * 2)
        idle = 100 * (cpu_seconds(site) - used) / (time.monotonic() - began)
        site.wait_idle()
        held, lags, known = site.footprint(), site.metrics(), len(site.records())
        command = [sys.executable, "-m", "sidestream.testing.flood", f"127.0.0.1:{site.sip}"]
        command += ["--rate", str(asked.rate), "--seconds", str(asked.seconds)]
        with (
            sipp("basic_callee", loud, (DESK_HOST, site.desk), load=talk) as callee,
            sipp("basic_caller", loud, (CARRIER_HOST, site.carrier), site.sip, talk) as caller,
        ):
            began, used = time.monotonic(), cpu_seconds(site)
            flooding = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
            busy = 100 * (cpu_seconds(site) - used) / (time.monotonic() - began)
            after = site.footprint()
            caller.finish(asked.seconds + 120)
            callee.finish(30)
        site.wait_idle(30)
        metrics, records = site.metrics(), site.records()[known:]
    verdicts = Counter(verdict_of(record) for record in records)
    carried = verdicts.pop("caller-hung-up", 0)
    refused = verdicts.pop("unknown-trunk", 0)
    prefix = 'sidestream_sip_turned_away_total{reason="'
    return Figures(
        calls=asked.calls,
        failed=asked.calls - carried + verdicts.total(),
        sent=json.loads(flooding.stdout)["sent"],
        turned_away={
            name.removeprefix(prefix).rstrip('"}'): int(value)
            for name, value in metrics.items()
            if name.startswith(prefix)
        },
        refused=refused,
        cpu_percent=round(busy, 1),
        idle_cpu_percent=round(idle, 1),
        resident_before_kb=held.resident_kb,
        resident_after_kb=after.resident_kb,
        lag_p99_ms=lag_p99(lags, metrics),
        transactions_at_the_end=int(metrics["sidestream_sip_transactions"]),
    )


def main() -> int:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rate", type=int, default=5000, help="datagrams a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--drop", action="store_true", help="with unknown_sources: drop")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(asked, Path(directory))
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    return 0 if figures.good else 1


if __name__ == "__main__":
    sys.exit(main())
