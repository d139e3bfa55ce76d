"""What every benchmark runs on: a real gateway in a process of its own, the native load, and where they are.

The gateway is pinned to the first CPU where there are two or more; calls, audio, the TLS endpoint and the
recording servers are made by the native program in `benchmarks/load` on the other CPUs.
"""

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
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidestream.tools.certificates import ensure_certificates

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
GATEWAY, CARRIER, DESK = "127.0.0.1", "127.0.0.2", "127.0.0.3"
PROBE_CARRIER, PROBE_DESK = "127.0.0.4", "127.0.0.5"
RECORDER = "127.0.0.6"
READY_SECONDS = 30.0

CONFIG = """\
node:
  name: bench
  sip: [udp://{gateway}:{sip}, tcp://{gateway}:{sip_tcp}]
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
        integrations: [{integrations}]
      - name: probe-carrier
        kind: carrier
        trunk: {{peers: [{{uri: "sip:{probe_carrier}:{probe_carrier_port};transport=udp"}}], codecs: [PCMU]}}
      - name: probe-desk
        kind: contact_center
        trunk: {{peers: [{{uri: "sip:{probe_desk}:{probe_desk_port};transport=udp"}}], codecs: [PCMU]}}
    routes:
      - {{from: carrier, to: desk}}
      - {{from: probe-carrier, to: probe-desk}}
"""
STREAM = (
    "{{name: sink, type: media_stream, url: 'wss://{gateway}:{sink}/calls', ca: {ca}, "
    "encoding: PCMU, sample_rate: 8000, flush: {flush}}}"
)
RECORDING = "{{name: keep, type: siprec, servers: [{servers}]}}"
SERVER = "{{uri: 'sip:{recorder}:{port};transport=tcp', priority: {priority}}}"


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
        return _cpu_seconds(Path(f"/proc/{self.process.pid}/stat"))

    def main_thread_seconds(self) -> float:
        """Return user and system time of the main thread so far: of a gateway, that of its signalling."""
        return _cpu_seconds(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat"))

    def resident_kb(self) -> int:
        """Return the resident memory, in kB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def descriptors(self) -> int:
        """Return how many descriptors are open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def _cpu_seconds(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


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
    recorders: int = 0
    """Recording servers, asked in this order; with any, calls are recorded."""
    flush: str = "20ms"
    seconds: float = 10.0
    warm_up: float = 3.0
    threads: int = 1
    rate: int = 100
    """Calls a second while they are set up."""

    @property
    def name(self) -> str:
        """What it measures, in words."""
        parts = ["relay"]
        parts += [f"stream {self.flush}"] if self.streams else []
        parts += ["recording"] if self.recorders else []
        return " + ".join(parts) if len(parts) > 1 else "relay alone"


@dataclass(frozen=True)
class Site:
    """A gateway that runs, with what it talks to."""

    gateway: Program
    sink: Program | None
    recorders: list[Program]
    ports: dict[str, int]
    directory: Path

    def metrics(self) -> dict[str, float]:
        """Return every sample of `/metrics` by its name with labels."""
        with urllib.request.urlopen(f"http://{GATEWAY}:{self.ports['api']}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def records(self, count: int, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Return the records of ended calls, as soon as the journal has so many, or when the time is up."""
        deadline = time.monotonic() + seconds
        while True:
            texts = (path.read_text() for path in sorted(self.directory.rglob("*.jsonl")))
            found = [json.loads(line) for text in texts for line in text.splitlines() if line.endswith("}")]
            recorded = [record for record in found if record.get("recordings")]
            if len(recorded) >= count or time.monotonic() > deadline:
                return recorded
            time.sleep(0.2)


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
    def site(self, plan: Plan, directory: Path, *, own_sink: bool = False) -> Iterator[Site]:
        """Run a gateway with what its calls are streamed and recorded to; with `own_sink`, all but a sink."""
        ports = {
            "sip": free_port(GATEWAY),
            "sip_tcp": free_port(GATEWAY, socket.SOCK_STREAM),
            "api": free_port(GATEWAY, socket.SOCK_STREAM),
            "carrier_port": free_port(CARRIER),
            "desk_port": free_port(DESK),
            "probe_carrier_port": free_port(PROBE_CARRIER),
            "probe_desk_port": free_port(PROBE_DESK),
            "sink": free_port(GATEWAY, socket.SOCK_STREAM),
        }
        with contextlib.ExitStack() as stack:
            recorders, servers = [], []
            for priority in range(plan.recorders):
                port = free_port(RECORDER, socket.SOCK_STREAM)
                command = [str(self.load), "recorder", "--listen", f"{RECORDER}:{port}"]
                recorders.append(stack.enter_context(running("recorder", command, self.other_cpus)))
                recorders[-1].line(READY_SECONDS)
                servers.append(SERVER.format(recorder=RECORDER, port=port, priority=priority))
            integrations = [RECORDING.format(servers=", ".join(servers))] if servers else []
            sink = None
            if plan.streams:
                files = ensure_certificates(directory)
                stream = STREAM.format(gateway=GATEWAY, sink=ports["sink"], ca=files.ca, flush=plan.flush)
                integrations.append(stream)
                command = [str(self.load), "sink", "--listen", f"{GATEWAY}:{ports['sink']}"]
                command += ["--certificate", str(files.certificate), "--key", str(files.key)]
                if not own_sink:
                    sink = stack.enter_context(running("sink", command, self.other_cpus))
                    sink.line(READY_SECONDS)
            config = directory / "gateway.yaml"
            config.write_text(_config(plan, directory, ports, integrations))
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
            yield Site(gateway, sink, recorders, ports, directory)

    def caller(self, plan: Plan, site: Site, *options: str) -> contextlib.AbstractContextManager[Program]:
        """Run the load generator."""
        hosts = (CARRIER, site.ports["carrier_port"]), (DESK, site.ports["desk_port"])
        return self._calls(plan.calls, site, hosts, options)

    def prober(self, site: Site, rate: int) -> contextlib.AbstractContextManager[Program]:
        """Make and end calls that are neither streamed nor recorded, to see how signalling fares."""
        hosts = (
            (PROBE_CARRIER, site.ports["probe_carrier_port"]),
            (PROBE_DESK, site.ports["probe_desk_port"]),
        )
        options = ("--rate", str(rate), "--hold-ms", "500", "--media", "false")
        return self._calls(rate * 10, site, hosts, options)

    def _calls(
        self,
        calls: int,
        site: Site,
        hosts: tuple[tuple[str, int], tuple[str, int]],
        options: tuple[str, ...],
    ) -> contextlib.AbstractContextManager[Program]:
        (carrier, carrier_port), (desk, desk_port) = hosts
        command = [str(self.load), "calls", "--calls", str(calls)]
        command += ["--gateway", f"{GATEWAY}:{site.ports['sip']}"]
        command += ["--carrier-host", carrier, "--carrier-port", str(carrier_port)]
        command += ["--desk-host", desk, "--desk-port", str(desk_port), *options]
        return running("load", command, self.other_cpus)


def _config(plan: Plan, directory: Path, ports: dict[str, int], integrations: list[str]) -> str:
    hosts = {"gateway": GATEWAY, "carrier": CARRIER, "desk": DESK}
    hosts |= {"probe_carrier": PROBE_CARRIER, "probe_desk": PROBE_DESK}
    return CONFIG.format(
        **hosts,
        **ports,
        directory=directory,
        integrations=", ".join(integrations),
        threads=plan.threads,
    )


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
