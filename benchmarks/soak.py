"""Keeps calls coming and going for a long time, and looks for what a gateway leaves behind.

    .venv/bin/python benchmarks/soak.py --minutes 20 --calls 300

Calls are answered, talk both ways, are streamed, and end at random after 15 to 45 seconds; the endpoint of
their streams is killed and started again at random. Each ten seconds the gateway's memory, descriptors, tasks
and ports are read. The first two minutes after the warm-up are compared with the last two: by their means,
and memory by its least, for it rises while the endpoint is away (queues fill) and must fall back.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from rig import GATEWAY, Bench, BenchmarkError, Plan, Program, build_load, machine, running

SAMPLE_SECONDS = 10.0
HOLD_MS, SPREAD_MS = 15_000, 30_000
ENDPOINT_UP = (20.0, 60.0)
ENDPOINT_AWAY = (0.5, 8.0)
WARM_UP_SECONDS = 60.0
COMPARED_SECONDS = 120.0
COMPARED = (
    ("resident_kb", min, 0.10),
    ("descriptors", fmean, 0.05),
    ("tasks", fmean, 0.05),
    ("ports", fmean, 0.05),
)
"""What is compared, how, and by which share it differs by chance: by the number of calls that close at a
moment, and by what an allocator keeps between live pages."""
METRICS = ("sidestream_tasks", "sidestream_media_ports_in_use", "sidestream_calls_active")


@dataclass(frozen=True)
class Sample:
    """What the gateway holds at one moment."""

    at: float
    resident_kb: float
    descriptors: float
    tasks: float
    ports: float
    calls: float


def read_metrics(port: int) -> dict[str, float]:
    """Return the gauges that are watched."""
    with urllib.request.urlopen(f"http://{GATEWAY}:{port}/metrics", timeout=10) as answer:
        lines = [
            line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")
        ]
    return {name: float(value) for name, value in lines if name in METRICS}


def take_sample(gateway: Program, port: int, began: float) -> Sample:
    """Look at the gateway once."""
    values = read_metrics(port)
    return Sample(
        round(time.monotonic() - began, 1),
        gateway.resident_kb(),
        gateway.descriptors(),
        *(values[name] for name in METRICS),
    )


@contextlib.contextmanager
def sink(bench: Bench, directory: Path, port: int) -> Iterator[Program]:
    """Run the streams' endpoint."""
    command = [str(bench.load), "sink", "--listen", f"{GATEWAY}:{port}"]
    command += ["--certificate", str(directory / "cert.pem"), "--key", str(directory / "key.pem")]
    with running("sink", command, bench.other_cpus) as program:
        program.line(10)
        yield program


def soak(bench: Bench, calls: int, seconds: float, seed: int) -> tuple[list[Sample], dict[str, object]]:
    """Run the whole time; return the samples and what the callers saw."""
    chance = random.Random(seed)  # noqa: S311 -- repeatable on purpose
    plan = Plan(calls, streams=True)
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with bench.site(plan, directory, own_sink=True) as site:
            rate = calls / ((HOLD_MS + SPREAD_MS / 2) / 1000) * 1.2
            hold = ("--rate", f"{rate:.1f}", "--hold-ms", str(HOLD_MS), "--hold-spread-ms", str(SPREAD_MS))
            with bench.caller(plan, site, *hold) as load:
                began = time.monotonic()
                next_sample = began + WARM_UP_SECONDS
                while time.monotonic() - began < seconds:
                    with sink(bench, directory, site.ports["sink"]):
                        until = time.monotonic() + chance.uniform(*ENDPOINT_UP)
                        next_sample = watch(
                            (site.gateway, site.ports["api"]), samples, (began, next_sample, until)
                        )
                    time.sleep(chance.uniform(*ENDPOINT_AWAY))
                load.tell("report")
                report = load.answer("report")
    return samples, report


def watch(gateway: tuple[Program, int], samples: list[Sample], times: tuple[float, float, float]) -> float:
    """Take samples as they come due, until the endpoint is to be killed; return when the next is due."""
    began, due, until = times
    while time.monotonic() < until:
        if time.monotonic() >= due:
            samples.append(take_sample(*gateway, began))
            print(json.dumps(asdict(samples[-1])), flush=True)
            due += SAMPLE_SECONDS
        time.sleep(0.2)
    return due


def judge(samples: list[Sample]) -> list[str]:
    """Compare the time after the warm-up with the last; return what has grown."""
    window = int(COMPARED_SECONDS / SAMPLE_SECONDS)
    first, last = samples[:window], samples[-window:]
    grown = []
    for name, of, tolerance in COMPARED:
        before, after = (of([getattr(sample, name) for sample in part]) for part in (first, last))
        print(
            f"{name:12} {before:12.1f} -> {after:12.1f}  {(after / before - 1) * 100 if before else 0:+.1f} %"
        )
        if after > before * (1 + tolerance) + 1:
            grown.append(name)
    return grown


def main() -> int:
    """Run the soak."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="how long; five at least to mean anything"
    )
    parser.add_argument("--calls", type=int, default=300, help="calls at a time")
    parser.add_argument("--seed", type=int, default=1, help="of the endpoint's restarts")
    options = parser.parse_args()
    print(json.dumps(machine()), flush=True)
    try:
        samples, report = soak(Bench(build_load()), options.calls, options.minutes * 60, options.seed)
    except BenchmarkError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report))
    grown = judge(samples)
    print("nothing has grown" if not grown else f"grown: {', '.join(grown)}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
