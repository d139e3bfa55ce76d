"""Measures what signalling costs without a network: complete calls played to a gateway's own code.

    .venv/bin/python benchmarks/signalling.py            cost of a call, and of each of its stages
    .venv/bin/python benchmarks/signalling.py --profile  the functions behind it

Everything but sockets and media engine is the real thing: SIP stack, transactions, admission, B2BUA, orders
to the engine, log lines, metrics, journal. The parties are played here, with the messages of the native load
generator (`benchmarks/load`), and their time is not counted. A call is INVITE, 180, 200 and ACK on both legs,
then BYE and its 200: six messages in and seven out. Times are CPU times, so that other programs on the
machine disturb them little.
"""

import argparse
import asyncio
import contextlib
import cProfile
import functools
import itertools
import json
import os
import pstats
import sys
import tempfile
import time
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import uvloop

from sidestream import __version__
from sidestream.call.b2bua import B2bua
from sidestream.call.features import ALLOWED_METHODS
from sidestream.call.setup import ServerIdentity
from sidestream.config.load import load
from sidestream.config.model import Configuration
from sidestream.gateway import call_runner, calls
from sidestream.gateway.admission import Admission
from sidestream.gateway.call_runner import CallTools
from sidestream.gateway.call_store import CallStore, StoreLimits
from sidestream.gateway.calls import Calls, CallsParts
from sidestream.gateway.clock import SYSTEM_CLOCK
from sidestream.gateway.journal import Journal
from sidestream.gateway.media import Media
from sidestream.gateway.names import Names
from sidestream.gateway.recordings import Recordings, RecordingsParts
from sidestream.gateway.service import calm_collector
from sidestream.gateway.sip_options import ListenAddress, StackOptions
from sidestream.gateway.sip_stack import SipStack
from sidestream.gateway.stream_runner import StreamTools
from sidestream.gateway.trace import Traces
from sidestream.observe import logging
from sidestream.observe.metrics import Metrics
from sidestream.sip.events import SipEvent
from sidestream.sip.hop import Outgoing, Source
from sidestream.sip.transactions import TransactionLayer

GATEWAY, CARRIER, DESK = "127.0.0.1", "127.0.0.2", "127.0.0.3"
CARRIER_PORT, DESK_PORT = 5070, 5080
PARTIES, ELSEWHERE = "parties", "loop, garbage collection, hand-over between stages"
UNDER_WAY: Final = 20
"""Calls that are up at a time."""

CONFIG = """\
node:
  name: bench
  sip: [udp://127.0.0.1:5060]
  media: {{address: 127.0.0.1, ports: 16384-32767, threads: 1}}
  database: sqlite:///{directory}/sidestream.db
  limits: {{max_calls: 100000, calls_per_second: 10000, max_call_duration: 4h}}
accounts:
  - name: bench
    subscriptions: [voice-integration]
    voice_services:
      - name: carrier
        kind: carrier
        trunk: {{peers: [{{uri: "sip:127.0.0.2:5070;transport=udp"}}], codecs: [PCMU]}}
      - name: desk
        kind: contact_center
        trunk: {{peers: [{{uri: "sip:127.0.0.3:5080;transport=udp"}}], codecs: [PCMU]}}
    routes:
      - {{from: carrier, to: desk}}
"""


class NullEngine:
    """A media engine that has every order done at once, without sockets or threads."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._calls = 0
        self._closed: list[int] = []

    def fileno(self) -> int:
        """See `Engine`."""
        return self._reader

    def open_call(self) -> tuple[int, int, int]:
        """See `Engine`."""
        self._calls += 1
        return self._calls, 16384, 16386

    def set_leg(self, call: int, spec: bytes) -> None:
        """See `Engine`."""

    def bridge(self, call: int, on: bool, /) -> None:
        """See `Engine`."""

    def query_call(self, call: int) -> None:
        """See `Engine`."""

    def close_call(self, call: int) -> None:
        """See `Engine`."""
        self._closed.append(call)

    def events(self) -> bytes:
        """See `Engine`."""
        closed, self._closed = self._closed, []
        return json.dumps([_closed(call) for call in closed]).encode()

    def shutdown(self) -> None:
        """See `Engine`."""
        os.close(self._reader)
        os.close(self._writer)


def _closed(call: int) -> dict[str, Any]:
    counts = "receivedPackets receivedBytes sentPackets sentBytes lost late duplicate alien malformed unsent"
    side = {**dict.fromkeys(counts.split(), 0), "ssrcChanges": 0, "jitterMs": 0.0, "mos": None, "rttMs": None}
    return {"event": "call_closed", "call": call, "sides": [{"side": "a", **side}, {"side": "b", **side}]}


class ReplayStack(SipStack):
    """A SIP stack whose messages come from and go to this program instead of its socket."""

    sent: list[Outgoing]

    def deliver(self, data: bytes, source: Source) -> list[Outgoing]:
        """Have a datagram arrive, and return what goes out for it."""
        self.sent = []
        self._pump.received(data, source)
        return self.sent

    def _transmit(self, outgoing: Outgoing) -> None:
        self.sent.append(outgoing)


class Site:
    """A gateway's signalling, put together as `gateway.service` does."""

    def __init__(self, configuration: Configuration, directory: Path) -> None:
        self._configuration = configuration
        self._journal = Journal(directory)
        node = configuration.node
        self._store = CallStore(directory / "trace", StoreLimits(node.trace.retention, node.trace.size))
        self._traces = Traces(node.name, GATEWAY, node.trace, self._store)
        self.engine = NullEngine()
        self.media = Media(self.engine)  # type: ignore[arg-type]  # as much of the engine as signalling orders
        self.names = Names()
        self.metrics = Metrics()
        self.calls: Calls | None = None

    async def open(self) -> ReplayStack:
        """Open the parts and return the stack."""
        node = self._configuration.node
        self._journal.open()
        self._store.open()
        options = StackOptions(
            allowed_methods=ALLOWED_METHODS, max_transactions=10_000_000, tap=self._traces.tap
        )
        stack = await ReplayStack.open([ListenAddress("udp", GATEWAY, 0)], self._on_sip, options)
        assert isinstance(stack, ReplayStack)
        tools = StreamTools(
            media=self.media,
            names=self.names,
            metrics=self.metrics,
            denied=node.deny_endpoints,
            ca_pem=lambda _: None,
        )
        parts = CallsParts(
            node=node,
            identity=ServerIdentity(contacts=stack.contacts, user_agent=f"Sidestream/{__version__}"),
            admission=Admission(self._configuration, time.monotonic()),
            tools=CallTools(sip=stack, media=self.media, names=self.names, metrics=self.metrics),
            stream_tools=tools,
            recordings=self._recordings(stack),
            journal=self._journal,
            traces=self._traces,
            clock=SYSTEM_CLOCK,
            log=logging.logger(node=node.name),
        )
        self.calls = Calls(parts)
        return stack

    def _recordings(self, stack: ReplayStack) -> Recordings:
        return Recordings(
            RecordingsParts(
                node=self._configuration.node,
                sip=stack,
                contacts=stack.contacts,
                user_agent=f"Sidestream/{__version__}",
                media=self.media,
                names=self.names,
                metrics=self.metrics,
                traces=self._traces,
                clock=SYSTEM_CLOCK,
                log=logging.logger(node=self._configuration.node.name),
            )
        )

    async def close(self, stack: ReplayStack) -> None:
        """Close what was opened."""
        await stack.close(drain=0.0)
        self._traces.close()
        self._store.close()
        self._journal.close()
        self.engine.shutdown()

    def _on_sip(self, event: SipEvent) -> None:
        if self.calls is not None:
            self.calls.on_event(event)


class Parties:
    """The caller and the callee of every call.

    Attributes:
        seconds: CPU time that making their messages took.
    """

    def __init__(self, gateway: str, flow: int) -> None:
        self._gateway = gateway
        self.seconds = 0.0
        host, _, port = gateway.partition(":")
        self.caller = Source("udp", CARRIER, CARRIER_PORT, flow, host, int(port))
        self.callee = Source("udp", DESK, DESK_PORT, flow, host, int(port))

    def invite(self, number: int) -> bytes:
        """The INVITE of a call."""
        uri = f"sip:+15550000@{self._gateway}"
        return self._request("INVITE", number, (1, f"<{uri}>", uri), _session(CARRIER))

    def ack(self, number: int, answer: bytes) -> bytes:
        """The ACK of the gateway's 200."""
        return self._request("ACK", number, (1, _header(answer, "To"), _contact(answer)), "")

    def bye(self, number: int, answer: bytes) -> bytes:
        """The BYE of a call that was answered."""
        return self._request("BYE", number, (2, _header(answer, "To"), _contact(answer)), "")

    def ringing(self, invite: bytes) -> bytes:
        """The callee rings."""
        return self._response(invite, "180 Ringing", "")

    def answer(self, request: bytes) -> bytes:
        """The callee answers an INVITE or a BYE."""
        return self._response(request, "200 OK", _session(DESK) if request.startswith(b"INVITE") else "")

    def _request(self, method: str, number: int, dialog: tuple[int, str, str], body: str) -> bytes:
        began = time.thread_time()
        cseq, to, target = dialog
        local = f"{CARRIER}:{CARRIER_PORT}"
        content = "Content-Type: application/sdp\r\n" if body else ""
        made = (
            f"{method} {target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {local};branch=z9hG4bK-7-{number}-{cseq}-{method};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:+1444{number:06}@{local}>;tag=c7-{number}\r\nTo: {to}\r\n"
            f"Call-ID: 7-{number}@load\r\nCSeq: {cseq} {method}\r\nContact: <sip:load@{local}>\r\n"
            f"X-Load-Call: {number}\r\n{content}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self.seconds += time.thread_time() - began
        return made

    def _response(self, request: bytes, status: str, body: str) -> bytes:
        began = time.thread_time()
        lines = [f"SIP/2.0 {status}"]
        for line in request.decode().split("\r\n\r\n")[0].split("\r\n")[1:]:
            name = line.split(":")[0].lower()
            if name == "to" and "tag=" not in line:
                line += ";tag=callee"  # noqa: PLW2901 - the same line, completed
            if name in {"via", "from", "to", "call-id", "cseq"}:
                lines.append(line)
        lines.append(f"Contact: <sip:desk@{DESK}:{DESK_PORT}>")
        if body:
            lines.append("Content-Type: application/sdp")
        made = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()
        self.seconds += time.thread_time() - began
        return made


def _session(host: str) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        "a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def _header(message: bytes, name: str) -> str:
    lines = message.decode().split("\r\n")
    return next(line.partition(": ")[2] for line in lines if line.startswith(f"{name}: "))


def _contact(message: bytes) -> str:
    return _header(message, "Contact").strip("<>")


class Replay:
    """Plays calls to a gateway."""

    def __init__(self, site: Site, stack: ReplayStack) -> None:
        self._site = site
        self._stack = stack
        self.parties = Parties(f"{GATEWAY}:{stack.bound[0].port}", 1)
        self._numbers = itertools.count()

    async def run(self, count: int) -> None:
        """Play `count` calls, some of them at a time."""
        up: list[tuple[int, bytes]] = []
        for number in itertools.islice(self._numbers, count):
            up.append((number, self._set_up(number)))
            if len(up) > UNDER_WAY:
                self._hang_up(*up.pop(0))
            await asyncio.sleep(0)
            self._site.media.take_events()
        for each in up:
            self._hang_up(*each)
        await asyncio.sleep(0)
        self._site.media.take_events()

    def _set_up(self, number: int) -> bytes:
        parties, deliver = self.parties, self._stack.deliver
        (invite,) = deliver(parties.invite(number), parties.caller)
        (_ringing,) = deliver(parties.ringing(invite.data), parties.callee)
        ack, answer = deliver(parties.answer(invite.data), parties.callee)
        assert ack.data.startswith(b"ACK "), ack.data
        assert answer.data.startswith(b"SIP/2.0 200 "), answer.data
        deliver(parties.ack(number, answer.data), parties.caller)
        return answer.data

    def _hang_up(self, number: int, answer: bytes) -> None:
        parties, deliver = self.parties, self._stack.deliver
        sent = deliver(parties.bye(number, answer), parties.caller)
        (bye,) = [one for one in sent if one.data.startswith(b"BYE ")]
        assert len(sent) == 2, sent
        deliver(parties.answer(bye.data), parties.callee)


class Stages:
    """Divides CPU time among stages: each function's own, without what it calls of others."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._turns: Counter[str] = Counter()
        self._within = [ELSEWHERE]
        self._since = time.thread_time()
        self._undo: list[tuple[object, str, Callable[..., object]]] = []

    def watch(self, owner: object, name: str, stage: str) -> None:
        """Count what a function takes to a stage."""
        function: Callable[..., object] = getattr(owner, name)

        def counted(*args: object, **kwargs: object) -> object:
            self._turn()
            self._within.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._turn()
                self._within.pop()

        self._undo.append((owner, name, function))
        setattr(owner, name, counted)

    def undo(self) -> None:
        """Take the watches away."""
        for owner, name, function in self._undo:
            setattr(owner, name, function)

    def microseconds(self, calls: int) -> dict[str, float]:
        """Return each stage's time for one call, without what the watching itself takes."""
        cost = _cost_of_a_turn()
        return {
            stage: max(0.0, seconds - self._turns[stage] * cost) / calls * 1e6
            for stage, seconds in self._seconds.items()
        }

    def _turn(self) -> None:
        now = time.thread_time()
        self._seconds[self._within[-1]] += now - self._since
        self._turns[self._within[-1]] += 1
        self._since = now


@functools.cache
def _cost_of_a_turn() -> float:
    """Return the seconds that one watched entry or exit adds, the smallest of several measurements."""
    watched_one = types.SimpleNamespace(do_nothing=lambda: None)
    tries = []
    for _ in range(20):
        stages = Stages()
        stages.watch(watched_one, "do_nothing", "nothing")
        began = time.thread_time()
        for _ in range(500):
            watched_one.do_nothing()
        tries.append((time.thread_time() - began) / 1000)
        stages.undo()
    return min(tries)


@contextlib.contextmanager
def watched() -> Iterator[Stages]:
    """Watch every stage."""
    stages = Stages()
    watches: list[tuple[object, str, str]] = [
        (ReplayStack, "deliver", "driver: pump, timer, sends"),
        (TransactionLayer, "receive_bytes", "receive: parse, check, match transactions"),
        (TransactionLayer, "send_request", "send: requests"),
        (TransactionLayer, "send_ack", "send: requests"),
        (TransactionLayer, "respond", "send: responses"),
        (Calls, "on_event", "calls: table, admission, commands"),
        (B2bua, "__init__", "B2BUA"),
        (B2bua, "start", "B2BUA"),
        (B2bua, "apply", "B2BUA"),
        (Media, "set_leg", "media engine's orders and events"),
        (Media, "bridge", "media engine's orders and events"),
        (Media, "open_call", "media engine's orders and events"),
        (Media, "close_call", "media engine's orders and events"),
        (Media, "take_events", "media engine's orders and events"),
        (call_runner, "log_fact", "log"),
        (calls, "log_ending", "log"),
        (Metrics, "count", "metrics"),
        (Metrics, "observe", "metrics"),
        (Calls, "finished", "record and journal"),
        (Parties, "invite", PARTIES),
        (Parties, "ringing", PARTIES),
        (Parties, "answer", PARTIES),
        (Parties, "ack", PARTIES),
        (Parties, "bye", PARTIES),
    ]
    for owner, name, stage in watches:
        stages.watch(owner, name, stage)
    try:
        yield stages
    finally:
        stages.undo()


async def measure(directory: Path, count: int, *, profile: bool) -> dict[str, Any]:
    """Play `count` calls after a warm-up, and return what they cost; again, watched, for the stages."""
    path = directory / "gateway.yaml"
    path.write_text(CONFIG.format(directory=directory))
    site = Site(load(path), directory)
    stack = await site.open()
    replay = Replay(site, stack)
    await replay.run(200)
    calm_collector()
    if profile:
        with cProfile.Profile() as profiler:
            await replay.run(count)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    before_kb = resident_kb()
    cpu, parties = time.process_time(), replay.parties.seconds
    await replay.run(count)
    cpu, parties = time.process_time() - cpu, replay.parties.seconds - parties
    memory_kb = (resident_kb() - before_kb) / count
    with watched() as stages:
        await replay.run(count)
    await site.close(stack)
    return {
        "call": (cpu - parties) / count * 1e6,
        "memory_kb": memory_kb,
        "stages": stages.microseconds(count),
    }


def resident_kb() -> int:
    """Return this process's resident memory, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def report(results: list[dict[str, Any]]) -> None:
    """Print the best of several runs, for each stage too."""
    stages = {
        name: min(result["stages"].get(name, 0.0) for result in results) for name in results[0]["stages"]
    }
    for name, microseconds in sorted(stages.items(), key=lambda each: -each[1]):
        if name != PARTIES:
            print(f"  {microseconds:7.0f} µs  {name}")
    best = min(result["call"] for result in results)
    print(f"  {best:7.0f} µs  a whole call, measured without the stages' clocks, every thread counted")
    memory = min(result["memory_kb"] for result in results)
    print(f"  {memory:7.1f} kB  that an ended call still holds, for at most 32 s")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000, help="calls of each run")
    parser.add_argument("--runs", type=int, default=5, help="runs; of each stage the best one counts")
    parser.add_argument("--profile", action="store_true", help="print the functions that take the time")
    options = parser.parse_args()
    results = []
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - the log's lines, made and dropped
        logging.configure({}, nowhere)
        for _ in range(1 if options.profile else options.runs):
            with tempfile.TemporaryDirectory() as directory:
                work = measure(Path(directory), options.calls, profile=options.profile)
                results.append(uvloop.run(work))
    print(f"signalling, {options.calls} complete calls, best of {len(results)}:")
    report(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
