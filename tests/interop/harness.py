"""Runs the gateway and SIPp as processes of their own, for tests that only look at them from outside."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).parent / "scenarios"
GATEWAY_HOST = "127.0.0.1"
CARRIER_HOST = "127.0.0.2"
DESK_HOST = "127.0.0.3"

needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="SIPp is not installed")


def free_port(host: str = GATEWAY_HOST, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port that is free at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def sip_port(host: str) -> int:
    """Return a port that is free for UDP and TCP."""
    for _ in range(50):
        port = free_port(host)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free for both UDP and TCP")


def media_port(host: str) -> int:
    """Return a port below the ephemeral ones that is free with the three above it, as SIPp wants them."""
    for _ in range(200):
        first = random.randrange(6000, 20_000, 4)
        with contextlib.ExitStack() as bound, contextlib.suppress(OSError):
            for port in range(first, first + 4):
                probe = bound.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                probe.bind((host, port))
            return first
    raise AssertionError(f"no four ports in a row are free on {host}")


@dataclass(frozen=True)
class Footprint:
    """What a gateway holds: open descriptors, resident memory, running tasks, bound RTP ports."""

    descriptors: int
    resident_kb: int
    tasks: int
    ports: int


@dataclass
class Gateway:
    """A running `sidestream serve`."""

    process: subprocess.Popen[str]
    sip: int
    api: int
    carrier: int
    desk: int
    directory: Path
    lines: list[str] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """Return every sample of `/metrics` by its name with labels."""
        with urllib.request.urlopen(f"http://{GATEWAY_HOST}:{self.api}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def records(self) -> list[dict[str, object]]:
        """Return the call records written so far."""
        found: list[dict[str, object]] = []
        for path in sorted(self.directory.rglob("*.jsonl")):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return found

    def wait_idle(self, seconds: float = 10.0) -> None:
        """Wait until no call is active and every record is written."""
        deadline = time.monotonic() + seconds
        while (now := self.metrics()) and (
            now["sidestream_calls_active"] or now["sidestream_journal_waiting"]
        ):
            assert time.monotonic() < deadline, f"calls are left behind: {now}"
            time.sleep(0.05)

    def wait_traced(self, calls: int, seconds: float = 20.0) -> None:
        """Wait until the traces of so many calls are on disk; the first one opens their file."""
        deadline = time.monotonic() + seconds
        while self.metrics()['sidestream_trace_calls_total{outcome="written"}'] < calls:
            assert time.monotonic() < deadline, "traces are not written"
            time.sleep(0.05)

    def footprint(self) -> "Footprint":
        """Return what the gateway holds at this moment."""
        process = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        metrics = self.metrics()
        return Footprint(
            descriptors=len(list((process / "fd").iterdir())),
            resident_kb=int(status["VmRSS"].split()[0]),
            tasks=int(metrics["sidestream_tasks"]),
            ports=int(metrics["sidestream_media_ports_in_use"]),
        )

    def log(self) -> str:
        """Return what the gateway has written to its output and its log."""
        return "".join(self.lines)

    def wait_for_log(self, words: str, seconds: float = 10.0) -> None:
        """Wait until the gateway has written some words."""
        deadline = time.monotonic() + seconds
        while words not in self.log():
            assert time.monotonic() < deadline, f"{words!r} is not in\n{self.log()}"
            time.sleep(0.05)


CONFIG = """\
node:
  name: test-gw
  sip: [udp://127.0.0.1:{sip}, tcp://127.0.0.1:{sip}]
  media: {{address: 127.0.0.1, ports: {media}, threads: auto}}
  api: http://127.0.0.1:{api}
  database: sqlite:///{directory}/sidestream.db
  limits: {{max_calls: {max_calls}, calls_per_second: 200, max_call_duration: 1h}}
  drain_timeout: 2s
{node}
accounts:
  - name: acme
    subscriptions: [voice-integration]
{account_keys}
    voice_services:
      - name: carrier
        kind: carrier
        trunk:
          peers: [{{uri: "sip:127.0.0.2:{carrier};transport={transport}"}}]
          match: [127.0.0.2/32]
          codecs: [PCMU, PCMA, telephone-event]
{carrier_keys}
      - name: support-desk
        kind: contact_center
        trunk:
          peers: [{peers}]
          match: [127.0.0.3/32]
          codecs: [PCMU, PCMA, telephone-event]
{trunk}
{integrations}
    routes:
      - {{from: carrier, to: support-desk}}
      - {{from: support-desk, to: carrier}}
"""


@dataclass(frozen=True)
class Setup:
    """What a test wants of its gateway."""

    transport: str = "udp"
    first_peer: str | None = None
    """URI of a peer that is tried before the callee."""
    peers: str = ""
    """Peers of the desk, in place of `first_peer` and the callee."""
    node: str = ""
    """Further YAML at the indentation of the node's keys."""
    trunk: str = ""
    """The same for the desk's trunk."""
    carrier: str = ""
    """The same for the carrier's trunk."""
    account: str = ""
    """The same for the account's keys."""
    integrations: str = ""
    """YAML at the indentation of a voice service's keys."""
    max_calls: int = 2000
    media_ports: str = "10000-17999"
    environment: dict[str, str] = field(default_factory=dict)
    rewrite: Callable[[str], str] = str
    """Has the last word about the configuration."""


@contextlib.contextmanager
def gateway(directory: Path, setup: Setup | None = None) -> Iterator[Gateway]:
    """Run a gateway between a carrier on 127.0.0.2 and a desk on 127.0.0.3; end it when the block is left."""
    setup = setup or Setup()
    ports = {
        "sip": sip_port(GATEWAY_HOST),
        "api": free_port(kind=socket.SOCK_STREAM),
        "carrier": sip_port(CARRIER_HOST),
        "desk": sip_port(DESK_HOST),
    }
    last = f'{{uri: "sip:{DESK_HOST}:{ports["desk"]};transport={setup.transport}", priority: 2}}'
    first = f'{{uri: "{setup.first_peer}", priority: 1}}, ' if setup.first_peer else ""
    config = directory / "gateway.yaml"
    text = CONFIG.format(
        **ports,
        media=setup.media_ports,
        directory=directory,
        transport=setup.transport,
        peers=setup.peers or first + last,
        node=setup.node,
        trunk=setup.trunk,
        carrier_keys=setup.carrier,
        account_keys=setup.account,
        integrations=setup.integrations,
        max_calls=setup.max_calls,
    )
    config.write_text(setup.rewrite(text))
    process = subprocess.Popen(
        [sys.executable, "-m", "sidestream", "serve", "--role", "gateway", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        env={**os.environ, **setup.environment},
    )
    running = Gateway(process, ports["sip"], ports["api"], ports["carrier"], ports["desk"], directory)
    ready = threading.Event()
    reader = threading.Thread(target=_collect, args=(running, ready), daemon=True)
    reader.start()
    try:
        assert ready.wait(20), f"the gateway did not become ready:\n{running.log()}"
        assert "ready\n" in running.lines, f"the gateway ended:\n{running.log()}"
        yield running
    finally:
        _end(process)
        reader.join(5)


def _collect(running: Gateway, ready: threading.Event) -> None:
    assert running.process.stdout is not None
    with running.process.stdout as output:
        for line in output:
            running.lines.append(line)
            if line.strip() == "ready":
                ready.set()
    ready.set()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
        raise


@dataclass(frozen=True)
class SipMessage:
    """One message as SIPp wrote it down."""

    sent: bool
    text: str

    @property
    def first_line(self) -> str:
        """Request line or status line."""
        return self.text.splitlines()[0]

    def header(self, name: str) -> str:
        """Return the value of a header's first line; empty when there is none."""
        lines = self.text.partition("\n\n")[0].splitlines()[1:]
        values = (line.partition(":") for line in lines)
        return next((value.strip() for key, _, value in values if key.lower() == name.lower()), "")


@dataclass
class Sipp:
    """One SIPp process."""

    process: subprocess.Popen[bytes]
    directory: Path
    name: str

    def finish(self, seconds: float = 30.0) -> None:
        """Wait for its end and assert that each of its calls followed the scenario."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            raise AssertionError(f"{self.name} did not end\n{self.errors()}") from None
        assert code == 0, f"{self.name} ended with {code}\n{self.errors()}"

    def messages(self) -> list[SipMessage]:
        """Return what it sent and received, in order; it must have run with `Load.trace`."""
        text = (self.directory / f"{self.name}-messages.txt").read_text(errors="replace").replace("\r", "")
        parts = re.split(r"^-{20,} .*\n", text, flags=re.MULTILINE)[1:]
        heads = (part.partition("\n\n") for part in parts)
        return [SipMessage(" sent " in head, message) for head, _, message in heads]

    def received(self, begin: str, cseq: str) -> list[SipMessage]:
        """Return the messages received whose first line begins so and whose CSeq ends so."""
        return [
            each
            for each in self.messages()
            if not each.sent and each.first_line.startswith(begin) and each.header("CSeq").endswith(cseq)
        ]

    def errors(self) -> str:
        """Return what SIPp complained about."""
        logs = sorted(self.directory.glob(f"{Path(self.name).name}*.log"))
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in logs)


@dataclass(frozen=True)
class Load:
    """How many calls SIPp makes and how."""

    calls: int = 1
    rate: int = 10
    pause_ms: int = 500
    transport: str = "u1"
    media_port: int = 0
    """0: any that is free."""
    options: tuple[str, ...] = ()
    trace: bool = False
    """Whether every message is written down, for `Sipp.messages`."""


def _wait_bound(running: Sipp, host: str, port: int) -> None:
    """Wait until a program listens on its port; a caller that is through already need not."""
    packed = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    local = f" {packed:08X}:{port:04X} "
    tables = [Path("/proc/net/udp"), Path("/proc/net/tcp")]
    deadline = time.monotonic() + 5
    while running.process.poll() is None and not any(local in table.read_text() for table in tables):
        assert time.monotonic() < deadline, f"nothing listens on {host}:{port}"
        time.sleep(0.01)
    code = running.process.poll()
    assert code in (None, 0, 1), f"{running.name} could not start: {code}\n{running.errors()}"


@contextlib.contextmanager
def sipp(
    scenario: str,
    directory: Path,
    local: tuple[str, int],
    remote: int | None = None,
    load: Load | None = None,
) -> Iterator[Sipp]:
    """Run a scenario; a caller when `remote` (the gateway's port) is given, else a callee."""
    load = load or Load()
    command = [
        "sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"),
        "-i", local[0], "-mi", local[0], "-p", str(local[1]),
        "-m", str(load.calls), "-r", str(load.rate), "-d", str(load.pause_ms), "-t", load.transport,
        "-mp", str(load.media_port or media_port(local[0])), "-s", "+15559870001",
        "-nostdin", "-trace_err", "-error_file",
        str(directory / f"{scenario}-errors.log"), *load.options,
    ]  # fmt: skip
    if load.trace:
        command += ["-trace_msg", "-message_file", str(directory / f"{scenario}-messages.txt")]
    if remote is not None:
        command += ["-timeout", "60", "-timeout_error", f"{GATEWAY_HOST}:{remote}"]
    process = subprocess.Popen(
        command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    running = Sipp(process, directory, scenario)
    try:
        _wait_bound(running, *local)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(5)


@contextlib.contextmanager
def new_records(site: Gateway) -> Iterator[list[dict[str, object]]]:
    """Collect the records of the calls that end within the block."""
    before = len(site.records())
    found: list[dict[str, object]] = []
    yield found
    site.wait_idle()
    found += site.records()[before:]


def verdict_of(record: dict[str, object]) -> str:
    """Return the slug of a record's verdict."""
    verdict = record["verdict"]
    assert isinstance(verdict, dict)
    return str(verdict["slug"])


def run_pair(
    site: Gateway,
    directory: Path,
    caller: str,
    callee: str,
    loads: tuple[Load, Load] = (Load(), Load()),
) -> tuple[Sipp, Sipp]:
    """Let a caller's scenario meet a callee's until both are through, and return both."""
    with (
        sipp(callee, directory, (DESK_HOST, site.desk), load=loads[1]) as called,
        sipp(caller, directory, (CARRIER_HOST, site.carrier), site.sip, loads[0]) as calling,
    ):
        calling.finish(60)
        called.finish(10)
    return calling, called
