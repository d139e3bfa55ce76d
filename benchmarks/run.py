"""Measures a gateway from outside: CPU and memory per call, loss, latency; set-ups per second.

    make bench                                   everything; takes some minutes
    .venv/bin/python benchmarks/run.py --only media --calls 500 --seconds 10

The gateway is the real one (`sidestream serve`) in a process of its own, pinned to CPU 0 where there are
two or more; calls, audio and the TLS endpoint are made by the native program in `benchmarks/load` on the
other CPUs. CPU time is what the kernel accounts to the gateway's process. Results are printed and kept under
`benchmarks/results/`, with the machine and the date.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidestream.tools.certificates import ensure_certificates

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TICKS = os.sysconf("SC_CLK_TCK")
GATEWAY, CARRIER, DESK = "127.0.0.1", "127.0.0.2", "127.0.0.3"
READY_SECONDS = 30.0
LADDER = (750, 1000, 1250, 1500, 2000)
"""Numbers of calls tried for the largest without loss."""

CONFIG = """\
node:
  name: bench
  sip: [udp://{gateway}:{sip}]
  media: {{address: {gateway}, ports: 16384-32767, threads: {threads}}}
  api: http://{gateway}:{api}
  database: sqlite:///{directory}/sidestream.db
  limits: {{max_calls: 5000, calls_per_second: 5000, max_call_duration: 4h}}
  drain_timeout: 1s
accounts:
  - name: bench
    subscriptions: [voice-integration]
    voice_services:
      - name: carrier
        kind: carrier
        trunk:
          peers: [{{uri: "sip:{carrier}:{carrier_port};transport=udp"}}]
          codecs: [PCMU]
          max_calls: 5000
      - name: desk
        kind: contact_center
        trunk:
          peers: [{{uri: "sip:{desk}:{desk_port};transport=udp"}}]
          codecs: [PCMU]
          max_calls: 5000
{integrations}
    routes:
      - {{from: carrier, to: desk}}
"""
STREAM = """\
        integrations:
          - name: sink
            type: media_stream
            url: wss://{gateway}:{sink}/calls
            ca: {ca}
            encoding: PCMU
            sample_rate: 8000
            flush: {flush}
"""


class BenchmarkError(Exception):
    """Something that the measurement needs did not come about."""


def free_port(host: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port that is free at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass
class Program:
    """One process of the measurement: lines of JSON out, commands in."""

    process: subprocess.Popen[bytes]
    name: str
    pending: bytes = b""

    def line(self, seconds: float) -> str:
        """Return its next line of output."""
        deadline = time.monotonic() + seconds
        assert self.process.stdout is not None
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise BenchmarkError(f"{self.name} said nothing for {seconds:.0f} s")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise BenchmarkError(f"{self.name} has ended")
            self.pending += chunk
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def answer(self, key: str, seconds: float = 20.0) -> dict[str, Any]:
        """Return the object under a key of the next line that has it."""
        deadline = time.monotonic() + seconds
        while True:
            value: dict[str, Any] = json.loads(self.line(max(deadline - time.monotonic(), 0.01)))
            if key in value:
                found: dict[str, Any] = value[key]
                return found

    def tell(self, command: str) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def cpu_seconds(self) -> float:
        """Return user and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_kb(self) -> int:
        """Return the resident memory, in kB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def descriptors(self) -> int:
        """Return how many descriptors are open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@contextlib.contextmanager
def running(name: str, command: list[str], cpus: set[int]) -> Iterator[Program]:
    """Run a program on some CPUs; end it when the block is left."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),  # noqa: PLW1509 -- no threads here
    )
    try:
        yield Program(process, name)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@dataclass(frozen=True)
class Plan:
    """One measurement."""

    calls: int
    streams: bool = True
    flush: str = "20ms"
    seconds: float = 10.0
    warm_up: float = 3.0
    threads: int = 1


@dataclass
class Bench:
    """Where the programs are and what was measured."""

    load: Path
    results: dict[str, Any] = field(default_factory=dict)
    cpus: list[int] = field(default_factory=lambda: sorted(os.sched_getaffinity(0)))

    @property
    def gateway_cpus(self) -> set[int]:
        """The CPU of the gateway."""
        return {self.cpus[0]}

    @property
    def other_cpus(self) -> set[int]:
        """The CPUs of everything else."""
        return set(self.cpus[1:]) or {self.cpus[0]}

    @contextlib.contextmanager
    def site(
        self, plan: Plan, directory: Path, *, own_sink: bool = False
    ) -> Iterator[tuple[Program, Program | None, dict[str, int]]]:
        """Run a gateway, and a sink where streams are wanted, unless the caller has its own."""
        ports = {
            "sip": free_port(GATEWAY),
            "api": free_port(GATEWAY, socket.SOCK_STREAM),
            "carrier_port": free_port(CARRIER),
            "desk_port": free_port(DESK),
            "sink": free_port(GATEWAY, socket.SOCK_STREAM),
        }
        files = ensure_certificates(directory)
        integrations = (
            STREAM.format(gateway=GATEWAY, sink=ports["sink"], ca=files.ca, flush=plan.flush)
            if plan.streams
            else ""
        )
        config = directory / "gateway.yaml"
        values = {"gateway": GATEWAY, "carrier": CARRIER, "desk": DESK, "directory": directory}
        config.write_text(CONFIG.format(**values, **ports, integrations=integrations, threads=plan.threads))
        with contextlib.ExitStack() as stack:
            sink = None
            if plan.streams and not own_sink:
                command = [str(self.load), "sink", "--listen", f"{GATEWAY}:{ports['sink']}"]
                command += ["--certificate", str(files.certificate), "--key", str(files.key)]
                sink = stack.enter_context(running("sink", command, self.other_cpus))
                sink.line(READY_SECONDS)
            serve = [
                sys.executable,
                "-m",
                "sidestream",
                "serve",
                "--role",
                "gateway",
                "--config",
                str(config),
            ]
            gateway = stack.enter_context(running("gateway", serve, self.gateway_cpus))
            while gateway.line(READY_SECONDS) != "ready":
                pass
            yield gateway, sink, ports

    def caller(
        self, plan: Plan, ports: dict[str, int], *options: str
    ) -> contextlib.AbstractContextManager[Program]:
        """Run the load generator."""
        command = [
            str(self.load),
            "calls",
            "--calls",
            str(plan.calls),
            "--gateway",
            f"{GATEWAY}:{ports['sip']}",
        ]
        command += [
            "--carrier-port",
            str(ports["carrier_port"]),
            "--desk-port",
            str(ports["desk_port"]),
            *options,
        ]
        return running("load", command, self.other_cpus)

    def media(self, plan: Plan) -> dict[str, Any]:
        """Hold calls with RTP both ways and measure the gateway."""
        with (
            tempfile.TemporaryDirectory() as directory,
            self.site(plan, Path(directory)) as (gateway, sink, ports),
        ):
            before_kb = gateway.resident_kb()
            with self.caller(plan, ports, "--rate", "100") as load:
                load.answer("ready", 30 + plan.calls / 50)
                time.sleep(plan.warm_up)
                programs = [program for program in (load, sink) if program]
                for program in programs:
                    program.tell("reset")
                cpu, began = gateway.cpu_seconds(), time.monotonic()
                time.sleep(plan.seconds)
                cpu, elapsed = gateway.cpu_seconds() - cpu, time.monotonic() - began
                for program in programs:
                    program.tell("report")
                rtp = load.answer("report")["rtp"]
                streamed = sink.answer("report") if sink else None
                memory_kb = (gateway.resident_kb() - before_kb) / plan.calls
                load.tell("finish")
                finished = load.answer("finished", 60)
        return self._media_row(plan, (cpu, elapsed, memory_kb), rtp, streamed, finished)

    @staticmethod
    def _media_row(
        plan: Plan,
        measured: tuple[float, float, float],
        rtp: dict[str, Any],
        streamed: dict[str, Any] | None,
        finished: dict[str, Any],
    ) -> dict[str, Any]:
        cpu, elapsed, memory_kb = measured
        per_minute = cpu / (plan.calls * elapsed / 60)
        row = {
            "calls": plan.calls,
            "streams": plan.streams,
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
        }
        if streamed is not None:
            row["stream"] = {
                key: streamed[key]
                for key in ("connections", "media", "holes", "audio_breaks", "silence", "bad")
            }
            row["stream_ms"] = streamed["stream_ms"]
        return row

    def signalling(self, rate: int, seconds: float) -> dict[str, Any]:
        """Make and end calls at a rate, without audio, and measure the gateway."""
        plan = Plan(calls=max(200, rate * 2), streams=False)
        with (
            tempfile.TemporaryDirectory() as directory,
            self.site(plan, Path(directory)) as (gateway, _sink, ports),
        ):
            options = ("--rate", str(rate), "--hold-ms", "500", "--media", "false")
            with self.caller(plan, ports, *options) as load:
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
    what = f"relay + stream {row['flush']}" if row["streams"] else "relay alone"
    line = (
        f"{what:22} N={row['calls']:<5} cpu {row['cpu_s_per_call_minute']:.4f} s/call-min  "
        f"{row['calls_per_core'] or 0:>6} calls/core  lost {row['lost']}/{row['sent']}  "
        f"relay p50 {relay['p50']} p99 {relay['p99']} p99.9 {relay['p999']} ms  "
        f"{row['memory_kb_per_call']} kB/call"
    )
    if "stream_ms" in row:
        stream, latency = row["stream"], row["stream_ms"]
        line += f"  stream p50 {latency['p50']} p99 {latency['p99']} ms  breaks {stream['audio_breaks']}"
    print(line, flush=True)


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
    return not (row["lost"] or row["wrong"] or row["failed_calls"] or breaks)


def machine() -> dict[str, Any]:
    """Describe where it was measured."""
    info = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")),
        "unknown",
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def build_load() -> Path:
    """Build the load generator and return its path."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "load"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "load"


def measure(bench: Bench, options: argparse.Namespace) -> None:
    """Run what was asked for."""
    media: list[dict[str, Any]] = []
    if options.only in (None, "media"):
        for calls in options.calls or (50, 200, 500):
            for streams in (True, False):
                media.append(
                    bench.media(Plan(calls, streams=streams, flush=options.flush, seconds=options.seconds))
                )
                show_media(media[-1])
        if not options.calls:
            for calls in LADDER:
                row = bench.media(Plan(calls, flush=options.flush, seconds=options.seconds))
                media.append(row)
                show_media(row)
                if not clean(row):
                    break
    bench.results["media"] = media
    if options.only in (None, "signalling"):
        rows = []
        for rate in options.rate or (100, 300, 500, 700):
            rows.append(bench.signalling(rate, options.seconds))
            show_signalling(rows[-1])
        bench.results["signalling"] = rows


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("media", "signalling"), help="measure just this")
    parser.add_argument(
        "--calls", type=int, action="append", help="number of calls; may be given more than once"
    )
    parser.add_argument(
        "--rate", type=int, action="append", help="calls per second; may be given more than once"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--flush", default="20ms", help="flush interval of the streams")
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
