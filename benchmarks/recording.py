"""Recordings by the hundred: all set up at once, and all failing over at once, under calls that go on.

Beside the calls that are recorded others are made and ended, neither recorded nor streamed: how long their
set-up takes shows what the recordings' signalling does to that of calls.
"""

import math
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from rig import Bench, BenchmarkError, Plan, Program, Site

PROBES_PER_SECOND = 20
PATIENCE_S = 60.0
FRAME_MS = 20
LAST_WORDS_S = 2.0
"""How long is watched after the last stream flows again: what is still said goodbye to belongs to it."""


def set_up(bench: Bench, plan: Plan) -> dict[str, Any]:
    """Begin many calls within a moment; measure until all are answered, and recorded where they are to be."""
    with (
        tempfile.TemporaryDirectory() as directory,
        bench.site(plan, Path(directory)) as site,
        bench.prober(site, PROBES_PER_SECOND) as prober,
    ):
        before = probe(prober, 4.0)
        costs, began = Costs(site), time.time_ns()
        with bench.caller(plan, site, "--rate", str(plan.rate)) as load:
            ready = load.answer("ready", 30 + plan.calls / 20)
            answered_s = (time.time_ns() - began) / 1e9
            flowing = wait_for_streams(site.recorders[0], 2 * plan.calls) if site.recorders else None
            cpu = costs.so_far()
            during = probe(prober, 0.0)
            load.tell("finish")
            finished = load.answer("finished", 60)
    recorded = None if flowing is None else round((flowing["newest_at_ns"] - began) / 1e9, 3)
    return {
        "calls": plan.calls,
        "recorded": bool(plan.recorders),
        "all_answered_s": round(answered_s, 3),
        "all_recorded_s": recorded,
        "failed_calls": ready["signalling"]["failed"] + finished["signalling"]["failed"],
        "resent": ready["signalling"]["resent"],
        "setup_ms": ready["signalling"]["setup_ms"],
        **cpu,
        "probes": {"before": before, "during": during},
    }


def failover(bench: Bench, plan: Plan) -> dict[str, Any]:
    """Kill the recorder of all calls; measure until another one has them all, and what each one lacks."""
    with tempfile.TemporaryDirectory() as directory, bench.site(plan, Path(directory)) as site:
        first, second = site.recorders
        with (
            bench.prober(site, PROBES_PER_SECOND) as prober,
            bench.caller(plan, site, "--rate", str(plan.rate)) as load,
        ):
            load.answer("ready", 30 + plan.calls / 20)
            wait_for_streams(first, 2 * plan.calls)
            time.sleep(plan.warm_up)
            quiet_rtp, quiet_probes = watch(load, prober, plan.seconds)
            costs = Costs(site)
            first.tell("die")
            died_ns = first.answer("died")["at_ns"]
            flowing = wait_for_streams(second, 2 * plan.calls)
            cpu = costs.so_far()
            rtp, probes = watch(load, prober, LAST_WORDS_S)
            heard = [streams_of(recorder) for recorder in (first, second)]
            load.tell("finish")
            finished = load.answer("finished", 60)
        records = site.records(plan.calls)
    return {
        "calls": plan.calls,
        "what": plan.name,
        "failed_calls": finished["signalling"]["failed"],
        "all_recorded_again_s": round((flowing["newest_at_ns"] - died_ns) / 1e9, 3),
        "gap_heard_ms": distribution(gaps_heard(heard[0], heard[1], plan.calls)),
        "gap_told_ms": distribution([gap_told(record) * 1000 for record in records]),
        "verdicts": tally([record["recordings"][0]["verdict"] for record in records]),
        "call_verdicts": tally([verdict_of(record) for record in records]),
        **cpu,
        "relay": {"before": relayed(quiet_rtp), "during": relayed(rtp)},
        "probes": {"before": quiet_probes, "during": probes},
    }


class Costs:
    """What the gateway spends from now on."""

    def __init__(self, site: Site) -> None:
        self._gateway = site.gateway
        self._site = site
        self._lags = lags(site.metrics())
        self._began = time.monotonic()
        self._signalling = self._gateway.main_thread_seconds()
        self._all = self._gateway.cpu_seconds()

    def so_far(self) -> dict[str, Any]:
        """Return CPU seconds of the signalling's thread and of all, and how often its loop woke up late."""
        signalling = self._gateway.main_thread_seconds() - self._signalling
        everything = self._gateway.cpu_seconds() - self._all
        elapsed = time.monotonic() - self._began
        after = lags(self._site.metrics())
        return {
            "seconds": round(elapsed, 3),
            "signalling_cpu_s": round(signalling, 3),
            "cpu_s": round(everything, 3),
            "loop_lag_s": {bound: after[bound] - self._lags[bound] for bound in after},
        }


def lags(samples: dict[str, float]) -> dict[str, float]:
    """Return how many wake-ups of the signalling loop were at most so late, by that bound."""
    name = 'sidestream_loop_lag_seconds_bucket{le="'
    return {
        each.removeprefix(name).removesuffix('"}'): value
        for each, value in samples.items()
        if each.startswith(name)
    }


def report_of(program: Program) -> dict[str, Any]:
    """Return what a program has counted."""
    program.tell("report")
    return program.answer("report")


def streams_of(recorder: Program) -> list[list[int]]:
    """Return call, side, first and last packet of each stream that a recorder has heard."""
    recorder.tell("detail")
    streams: list[list[int]] = recorder.answer("detail")["streams"]
    return streams


def probe(prober: Program, seconds: float) -> dict[str, Any]:
    """Return how the calls of the last seconds fared, and begin to count anew."""
    time.sleep(seconds)
    counted = report_of(prober)["signalling"]
    prober.tell("reset")
    return {key: counted[key] for key in ("completed", "failed", "resent", "setup_ms")}


def watch(load: Program, prober: Program, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return RTP and probes since they were last asked for, after some seconds more; begin to count anew."""
    probes = probe(prober, seconds)
    rtp: dict[str, Any] = report_of(load)["rtp"]
    load.tell("reset")
    return rtp, probes


def wait_for_streams(recorder: Program, streams: int) -> dict[str, Any]:
    """Return a recorder's report once so many streams flow."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        report = report_of(recorder)
        if report["flowing"] >= streams:
            return report
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{report['flowing']} of {streams} streams are recorded")
        time.sleep(0.02)


def gaps_heard(before: list[list[int]], after: list[list[int]], calls: int) -> list[float]:
    """Return for each call how much of its longer gap neither recorder heard, in ms.

    Args:
        before: the streams of the recorder that died.
        after: those of the one that took over.
        calls: how many there are.
    """
    last = {(call, side): end for call, side, _, end in before}
    gaps: dict[int, float] = {}
    for call, side, begin, _ in after:
        if (call, side) in last:
            gap = max(0, begin - last[call, side] - 1) * FRAME_MS
            gaps[call] = max(gaps.get(call, 0.0), float(gap))
    if len(gaps) < calls:
        raise BenchmarkError(f"only {len(gaps)} of {calls} calls were heard by both recorders")
    return list(gaps.values())


def gap_told(record: dict[str, Any]) -> float:
    """Return the gap that the gateway itself wrote down, in seconds."""
    return float(record["recordings"][0]["copies"][0]["gap_s"])


def verdict_of(record: dict[str, Any]) -> str:
    """Return how a call ended."""
    verdict = record["verdict"]
    return str(verdict["slug"] if isinstance(verdict, dict) else verdict)


def relayed(rtp: dict[str, Any]) -> dict[str, Any]:
    """Return what matters of the relay: loss and latency."""
    return {
        "sent": rtp["sent"],
        "lost": rtp["lost"] + rtp["unsent"],
        "late_ticks": rtp["late_ticks"],
        **rtp["relay_ms"],
    }


def distribution(values: list[float]) -> dict[str, float]:
    """Return where values lie, by nearest rank."""
    if not values:
        return {"count": 0}
    ranked = sorted(values)
    at = {f"p{share}": ranked[math.ceil(share / 100 * len(ranked)) - 1] for share in (10, 90, 99)}
    named = {"min": ranked[0], "p10": at["p10"], "p50": median(ranked)}
    named |= {"p90": at["p90"], "p99": at["p99"], "max": ranked[-1]}
    return {"count": len(ranked), **{name: round(value, 1) for name, value in named.items()}}


def tally(words: list[str]) -> dict[str, int]:
    """Return how often each word comes."""
    return {word: words.count(word) for word in sorted(set(words))}


def show_set_up(row: dict[str, Any]) -> None:
    """Print one measurement of calls that begin at once."""
    what = f"recorded after {row['all_recorded_s']} s" if row["recorded"] else "not recorded"
    print(
        f"set-up at once N={row['calls']}: all answered after {row['all_answered_s']} s, {what}, "
        f"{row['failed_calls']} failed, {row['resent']} re-sent, "
        f"set-up p50 {row['setup_ms']['p50']} p99 {row['setup_ms']['p99']} ms, "
        f"signalling cpu {row['signalling_cpu_s']} s of {row['seconds']} s{_probes(row)}",
        flush=True,
    )


def show_failover(row: dict[str, Any]) -> None:
    """Print one measurement of a recorder's death."""
    relay = row["relay"]
    print(
        f"failover of {row['calls']} ({row['what']}): "
        f"all recorded again after {row['all_recorded_again_s']} s, "
        f"{row['failed_calls']} calls failed {row['call_verdicts']}, recordings {row['verdicts']}\n"
        f"  gap heard ms {row['gap_heard_ms']}\n  gap told ms  {row['gap_told_ms']}\n"
        f"  relay before: lost {relay['before']['lost']}/{relay['before']['sent']} "
        f"p99 {relay['before']['p99']} max {relay['before']['max']} ms; "
        f"during: lost {relay['during']['lost']}/{relay['during']['sent']} "
        f"p99 {relay['during']['p99']} max {relay['during']['max']} ms\n"
        f"  signalling cpu {row['signalling_cpu_s']} s of {row['seconds']} s{_probes(row)}",
        flush=True,
    )


def _probes(row: dict[str, Any]) -> str:
    lines = []
    for when, seen in row["probes"].items():
        setup = seen["setup_ms"]
        lines.append(
            f"\n  other calls {when}: {setup['count']} set up, {seen['failed']} failed, {seen['resent']} "
            f"re-sent, p50 {setup['p50']} p99 {setup['p99']} max {setup['max']} ms"
        )
    return "".join(lines)
