"""Measures a gateway from outside: CPU and memory per call, loss, latency; set-ups per second.

    make bench                                   everything; takes some minutes
    .venv/bin/python benchmarks/run.py --only media --calls 500 --seconds 10
    .venv/bin/python benchmarks/run.py --only failover --calls 200

The gateway is the real one (`sidestream serve`) in a process of its own, pinned to CPU 0 where there are
two or more; calls, audio, the TLS endpoint and the recording servers are made by the native program in
`benchmarks/load` on the other CPUs. CPU time is what the kernel accounts to the gateway's process. Results
are printed and kept under `benchmarks/results/`, with the machine and the date.
"""

import argparse
import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from recording import failover, set_up, show_failover, show_set_up
from rig import ROOT, Bench, BenchmarkError, Plan, build_load, machine

RESULTS = ROOT / "benchmarks" / "results"
LADDER = (750, 1000, 1250, 1500, 2000)
"""Numbers of calls tried for the largest without loss."""
STREAM_COUNTS = ("connections", "media", "holes", "audio_breaks", "silence", "bad")
RECORDER_COUNTS = ("flowing", "packets", "lost", "disordered", "wrong", "audio_breaks", "silence")
FAILOVER_RATE = 50
"""Calls a second as they are set up: none shall lose its first recorder by its own haste."""
PACKETS_PER_MINUTE = 6000
"""Of both sides of a call, 20 ms each."""


def media(bench: Bench, plan: Plan) -> dict[str, Any]:
    """Hold calls with RTP both ways and measure the gateway."""
    with tempfile.TemporaryDirectory() as directory, bench.site(plan, Path(directory)) as site:
        gateway = site.gateway
        before_kb = gateway.resident_kb()
        with bench.caller(plan, site, "--rate", str(plan.rate)) as load:
            load.answer("ready", 30 + plan.calls / 50)
            time.sleep(plan.warm_up)
            programs = [program for program in (load, site.sink, *site.recorders) if program]
            for program in programs:
                program.tell("reset")
            cpu, began = gateway.cpu_seconds(), time.monotonic()
            time.sleep(plan.seconds)
            cpu, elapsed = gateway.cpu_seconds() - cpu, time.monotonic() - began
            for program in programs:
                program.tell("report")
            rtp = load.answer("report")["rtp"]
            streamed = site.sink.answer("report") if site.sink else None
            recorded = [recorder.answer("report") for recorder in site.recorders]
            memory_kb = (gateway.resident_kb() - before_kb) / plan.calls
            load.tell("finish")
            finished = load.answer("finished", 60)
    row = _media_row(plan, (cpu, elapsed, memory_kb), rtp, finished)
    if streamed is not None:
        row["stream"] = {name: streamed[name] for name in STREAM_COUNTS}
        row["stream_ms"] = streamed["stream_ms"]
    if recorded:
        row["recording"] = {name: recorded[0][name] for name in RECORDER_COUNTS}
        row["record_ms"] = recorded[0]["record_ms"]
    return row


def _media_row(
    plan: Plan, measured: tuple[float, float, float], rtp: dict[str, Any], finished: dict[str, Any]
) -> dict[str, Any]:
    cpu, elapsed, memory_kb = measured
    per_minute = cpu / (plan.calls * elapsed / 60)
    return {
        "what": plan.name,
        "calls": plan.calls,
        "streams": plan.streams,
        "recorded": plan.recorders > 0,
        "flush": plan.flush if plan.streams else None,
        "cpu_s_per_call_minute": round(per_minute, 5),
        "calls_per_core": round(60 / per_minute) if per_minute else None,
        "core_share": round(cpu / elapsed, 3),
        "lost": rtp["lost"] + rtp["unsent"],
        "wrong": rtp["wrong"],
        "sent": rtp["sent"],
        "late_ticks": rtp["late_ticks"],
        "relay_ms": rtp["relay_ms"],
        "memory_kb_per_call": round(memory_kb, 1),
        "failed_calls": finished["signalling"]["failed"],
        "load_average": os.getloadavg()[0],
    }


def floor(bench: Bench, calls: int) -> dict[str, float]:
    """Return what the bare system calls cost: CPU seconds per call-minute of relay, stream and recording."""
    command = ["cargo", "bench", "--locked", "--quiet", "-p", "media", "--bench", "path"]
    command += ["--", "floor", str(calls)]
    printed = subprocess.run(
        command,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, set(bench.cpus)),
    ).stdout
    found = re.findall(r"^floor of (\w+) .*: +([\d.]+) ns a packet$", printed, re.MULTILINE)
    return {what: round(float(nanos) * PACKETS_PER_MINUTE / 1e9, 5) for what, nanos in found}


def signalling(bench: Bench, rate: int, seconds: float) -> dict[str, Any]:
    """Make and end calls at a rate, without audio, and measure the gateway."""
    plan = Plan(calls=max(200, rate * 2), streams=False)
    with tempfile.TemporaryDirectory() as directory, bench.site(plan, Path(directory)) as site:
        gateway = site.gateway
        options = ("--rate", str(rate), "--hold-ms", "500", "--media", "false")
        with bench.caller(plan, site, *options) as load:
            time.sleep(2.0)
            load.tell("reset")
            cpu, began = gateway.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            load.tell("report")
            report = load.answer("report")["signalling"]
            cpu, elapsed = gateway.cpu_seconds() - cpu, time.monotonic() - began
    completed = report["completed"]
    return {
        "rate": rate,
        "completed_per_second": round(completed / elapsed, 1),
        "failed": report["failed"],
        "resent": report["resent"],
        "cpu_ms_per_call": round(cpu * 1000 / completed, 3) if completed else None,
        "core_share": round(cpu / elapsed, 3),
        "setup_ms": report["setup_ms"],
    }


def show_media(row: dict[str, Any]) -> None:
    """Print one measurement of media."""
    relay = row["relay_ms"]
    line = (
        f"{row['what']:30} N={row['calls']:<5} cpu {row['cpu_s_per_call_minute']:.4f} s/call-min  "
        f"{row['calls_per_core'] or 0:>6} calls/core  lost {row['lost']}/{row['sent']}  "
        f"relay p50 {relay['p50']} p99 {relay['p99']} p99.9 {relay['p999']} ms  "
        f"{row['memory_kb_per_call']} kB/call"
    )
    if "stream_ms" in row:
        stream, latency = row["stream"], row["stream_ms"]
        line += f"  stream p50 {latency['p50']} p99 {latency['p99']} ms  breaks {stream['audio_breaks']}"
    if "record_ms" in row:
        recording, latency = row["recording"], row["record_ms"]
        line += (
            f"  recorder {recording['flowing']} streams lost {recording['lost']}/{recording['packets']} "
            f"silence {recording['silence']} breaks {recording['audio_breaks']} "
            f"p50 {latency['p50']} p99 {latency['p99']} ms"
        )
    print(line, flush=True)


def show_ratios(rows: list[dict[str, Any]], floors: dict[str, float]) -> None:
    """Print what the recording of so many calls adds, beside what its system calls alone take."""
    costs = {row["what"]: row["cpu_s_per_call_minute"] for row in rows}
    for what, cost in costs.items():
        base = costs.get(what.removesuffix(" + recording"))
        if what.endswith(" + recording") and base:
            print(f"{what:30} / without: {cost / base:.2f}, + {cost - base:.4f} s/call-min", flush=True)
    shown = ", ".join(f"{what} {cost:.4f}" for what, cost in floors.items())
    print(f"bare system calls, s/call-min: {shown}", flush=True)


def show_signalling(row: dict[str, Any]) -> None:
    """Print one measurement of signalling."""
    setup = row["setup_ms"]
    print(
        f"signalling at {row['rate']}/s: {row['completed_per_second']} calls/s complete, "
        f"{row['failed']} failed, {row['resent']} re-sent, cpu {row['cpu_ms_per_call']} ms/call "
        f"({row['core_share'] * 100:.0f} % of the core), set-up p50 {setup['p50']} p99 {setup['p99']} ms",
        flush=True,
    )


def clean(row: dict[str, Any]) -> bool:
    """Whether nothing was lost."""
    breaks = row["stream"]["audio_breaks"] if "stream" in row else 0
    breaks += row["recording"]["lost"] if "recording" in row else 0
    return not (row["lost"] or row["wrong"] or row["failed_calls"] or breaks)


def measure(bench: Bench, options: argparse.Namespace) -> None:
    """Run what was asked for."""
    if options.only in (None, "media"):
        bench.results["media"], bench.results["floor"] = measure_media(bench, options)
    if options.only in (None, "set-up"):
        rows = []
        for recorders in (0, 1):
            for calls in options.calls or (500,):
                plan = Plan(calls, streams=False, recorders=recorders, rate=options.setup_rate)
                rows.append(set_up(bench, plan))
                show_set_up(rows[-1])
        bench.results["set_up"] = rows
    if options.only in (None, "failover"):
        rows = []
        for calls in options.calls or (50, 200, 500):
            plan = Plan(
                calls, streams=options.streams, recorders=2, seconds=options.seconds, rate=FAILOVER_RATE
            )
            rows.append(failover(bench, plan))
            show_failover(rows[-1])
        bench.results["failover"] = rows
    if options.only in (None, "signalling"):
        rows = []
        for rate in options.rate or (100, 300, 500, 700):
            rows.append(signalling(bench, rate, options.seconds))
            show_signalling(rows[-1])
        bench.results["signalling"] = rows


def measure_media(
    bench: Bench, options: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[int, dict[str, float]]]:
    """Measure each number of calls, streamed and recorded and not; return the rows, and the floors."""
    rows: list[dict[str, Any]] = []
    floors: dict[int, dict[str, float]] = {}
    for calls in options.calls or (50, 200, 500):
        these = []
        for streams, recorders in ((True, 1), (True, 0), (False, 1), (False, 0)):
            plan = Plan(
                calls, streams=streams, recorders=recorders, flush=options.flush, seconds=options.seconds
            )
            these.append(media(bench, plan))
            show_media(these[-1])
        floors[calls] = floor(bench, calls)
        show_ratios(these, floors[calls])
        rows += these
    if not options.calls:
        for calls in LADDER:
            rows.append(media(bench, Plan(calls, flush=options.flush, seconds=options.seconds)))
            show_media(rows[-1])
            if not clean(rows[-1]):
                break
    return rows, floors


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", choices=("media", "set-up", "failover", "signalling"), help="measure just this"
    )
    parser.add_argument(
        "--calls", type=int, action="append", help="number of calls; may be given more than once"
    )
    parser.add_argument(
        "--rate", type=int, action="append", help="calls per second; may be given more than once"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--flush", default="20ms", help="flush interval of the streams")
    parser.add_argument("--streams", action="store_true", help="stream calls too while recorders fail over")
    parser.add_argument("--setup-rate", type=int, default=1000, help="calls a second when all begin at once")
    parser.add_argument("--no-save", action="store_true", help="keep no result file")
    options = parser.parse_args()
    bench = Bench(build_load())
    bench.results["machine"] = machine()
    print(json.dumps(bench.results["machine"]), flush=True)
    try:
        measure(bench, options)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    if not options.no_save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H%M%SZ}.json"
        path.write_text(json.dumps(bench.results, indent=1) + "\n")
        print(f"kept in {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
