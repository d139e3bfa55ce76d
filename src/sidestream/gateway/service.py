"""A gateway as one running thing: opens its parts, says that it is ready, and ends them in order."""

import asyncio
import gc
import os
import random
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

import uvloop

from sidestream import __version__
from sidestream._media import Engine, MediaError
from sidestream.call import features
from sidestream.call.events import HangUpBy
from sidestream.call.routing import PeerAddress
from sidestream.call.setup import SECURE_CONTACT, ServerIdentity
from sidestream.config.model import Configuration
from sidestream.config.problems import Problem
from sidestream.config.signalling import Dns
from sidestream.config.uris import is_sips, parse_peer
from sidestream.config.values import milliseconds
from sidestream.errors import Fault, SidestreamError
from sidestream.gateway import media as media_module
from sidestream.gateway import protection
from sidestream.gateway.admin_token import admin_token
from sidestream.gateway.admission import Admission
from sidestream.gateway.api import Api
from sidestream.gateway.call_book import CallBook
from sidestream.gateway.call_runner import CallTools
from sidestream.gateway.call_store import CallStore, StoreLimits
from sidestream.gateway.calls import Calls, CallsParts
from sidestream.gateway.clock import SYSTEM_CLOCK
from sidestream.gateway.dns_cache import CacheLimits
from sidestream.gateway.doorkeeper import TrunkKey
from sidestream.gateway.drain import drain
from sidestream.gateway.engine_messages import EngineSpec, encode
from sidestream.gateway.hep_exporter import HepExporter
from sidestream.gateway.ids import new_token
from sidestream.gateway.journal import Journal
from sidestream.gateway.media import Media
from sidestream.gateway.names import Names
from sidestream.gateway.ops import OpsApplication, OpsServer
from sidestream.gateway.options_probes import Asker, ProbeEvent
from sidestream.gateway.peer_pings import PeerPings
from sidestream.gateway.protection import Pulse, make_guard, stream_limits
from sidestream.gateway.recording_plan import choose_recordings
from sidestream.gateway.recordings import BODIES, OPTION_TAGS, Recordings, RecordingsParts
from sidestream.gateway.registrations import Registrations, RegistrationTools
from sidestream.gateway.sip_options import DnsOptions, ListenAddress, StackOptions
from sidestream.gateway.sip_stack import SipStack
from sidestream.gateway.sip_tls import SipTls
from sidestream.gateway.stream_runner import StreamTools
from sidestream.gateway.tasks import TaskOwner
from sidestream.gateway.tls_care import TlsCare, tls_of
from sidestream.gateway.tls_care import read_metrics as read_tls_metrics
from sidestream.gateway.trace import Traces
from sidestream.observe import logging, metrics
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metric, Metrics, Reading
from sidestream.sip.events import SipEvent
from sidestream.sip.timers import TimerProfile

JOURNAL_DIRECTORY: Final = "journal"
"""Below the directory of the database."""
TRACE_DIRECTORY: Final = "trace"
"""There too."""

USER_AGENT: Final = f"Sidestream/{__version__}"
PEER_LOOKUP_S: Final = 60.0
"""How often the names of peers are looked up, by which their calls are known."""
FIRST_LOOKUP_S: Final = 3.0
"""How long the start waits for those names."""
DESCRIPTORS: Final = 65_536
"""Wanted limit of open files: four sockets a call and one a stream."""


COLLECTOR_THRESHOLDS: Final = (20_000, 10, 10)
"""New objects before a collection of the youngest, and how many of those before one of the older."""


class StartError(SidestreamError):
    """The gateway cannot start."""

    fault = Fault.OPERATOR


def run(configuration: Configuration, warnings: Sequence[Problem] = ()) -> int:
    """Run a gateway until a signal ends it, and return the process's exit code.

    Args:
        configuration: what it runs from.
        warnings: what its file says and probably does not mean; each is a line of the log.

    Raises:
        SidestreamError: it cannot start; the message and the hint are for the operator.
    """
    return uvloop.run(serve(configuration, warnings))


async def serve(configuration: Configuration, warnings: Sequence[Problem] = ()) -> int:
    """Run a gateway on the running loop. See `run`."""
    logging.configure(os.environ)
    gateway = Gateway(configuration)
    for warning in warnings:
        gateway.log.warning("configuration doubtful", detail=str(warning))
    stopping = asyncio.Event()
    at_once = asyncio.Event()

    def on_signal() -> None:
        (at_once if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload)
    try:
        lines = await gateway.start()
        for line in (*lines, "ready"):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        gateway.log.info("gateway ready", version=__version__)
        await stopping.wait()
        return await gateway.end(at_once)
    finally:
        await gateway.close()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


class Gateway:
    """The parts of a gateway.

    Args:
        configuration: what it runs from.
    """

    def __init__(self, configuration: Configuration) -> None:
        node = configuration.node
        self._configuration = configuration
        self._tasks = TaskOwner("gateway")
        self._metrics = Metrics()
        self.log = logger(node=node.name)
        self._pings = PeerPings(configuration, chance=random.random, clock=SYSTEM_CLOCK, log=self.log)
        self._admission = Admission(configuration, time.monotonic(), health=self._pings.book)
        self._guard = make_guard(configuration, self._admission.trunk_at)
        self._names = Names()
        self._journal = Journal(node.database.parent / JOURNAL_DIRECTORY)
        trace = node.trace
        directory = node.database.parent / TRACE_DIRECTORY
        self._store = CallStore(directory, StoreLimits(trace.retention, trace.size))
        self._hep = HepExporter(node.hep, node.name) if node.hep else None
        home = str(node.advertise or node.media.address)
        export = self._hep.message if self._hep else None
        self._traces = Traces(node.name, home, trace, self._store, export)
        self._media: Media | None = None
        self._stack: SipStack | None = None
        self._tls: SipTls | None = None
        self._tls_care: TlsCare | None = None
        self._calls: Calls | None = None
        self._recordings: Recordings | None = None
        self._registrations: Registrations | None = None
        self._ops: OpsServer | None = None
        self._early: deque[SipEvent] = deque()

    @property
    def recordings(self) -> Recordings | None:
        """The table of recordings, which controls them; None before the start."""
        return self._recordings

    @property
    def calls(self) -> Calls | None:
        """The table of calls; None before the start."""
        return self._calls

    async def start(self) -> list[str]:
        """Open everything; returns a line for each socket that is listened on.

        Raises:
            SidestreamError: something cannot be opened; `close` lets go of the rest.
        """
        node = self._configuration.node
        _raise_descriptor_limit()
        self._open_journal()
        self._store.open()
        if self._hep is not None:
            self._hep.open()
        media = self._media = self._open_media()
        tls = self._tls = tls_of(self._configuration)
        options = StackOptions(
            allowed_methods=features.ALLOWED_METHODS,
            supported=features.OPTION_TAGS | OPTION_TAGS,
            bodies=BODIES,
            profile=TimerProfile(patience=node.response_timeout),
            dns=_dns_options(node.dns),
            guard=self._guard,
            streams=stream_limits(node),
            advertise=str(node.advertise) if node.advertise else None,
            tap=self._traces.tap if self._traces.listens else None,
            tls=tls,
        )
        listeners = [ListenAddress(one.transport, str(one.host), one.port) for one in node.sip]
        stack = self._stack = await SipStack.open(listeners, self._on_sip, options)
        recordings = self._recordings = self._make_recordings(media, stack)
        registrations = self._registrations = self._make_registrations(stack)
        self._admission.way_of = registrations.way_of
        self._calls = self._make_calls(media, stack, recordings)
        lines = [f"sip {bound.transport} {_place(bound)}" for bound in stack.bound]
        if node.api is not None:
            self._ops = OpsServer(node.api, self._make_application(self._calls))
            lines.append(f"api {await self._ops.start()}")
        self._metrics.read_from(self._read_metrics)
        self._tasks.spawn(Pulse(self._admission.overload, self._metrics, self.log).run(), "pulse")
        self._tasks.spawn(recordings.probes.run(), "recorder probes")
        self._pings.attach(stack, partial(_asker, stack.contacts))
        self._tasks.spawn(self._pings.run(), "peer pings")
        if tls is not None:
            self._tls_care = TlsCare(tls)
            self._tasks.spawn(self._tls_care.run(), "certificates")
        await self._know_peers(stack)
        calm_collector()
        self._take_early_events()
        registrations.start()
        return lines

    def reload(self) -> None:
        """Take the files of certificates anew; calls and connections go on."""
        if self._tls_care is not None:
            self._tls_care.reload()

    async def end(self, at_once: asyncio.Event) -> int:
        """Drain, unless or until `at_once` is set; returns the exit code."""
        calls = self._calls
        if calls is None:
            return 0
        timeout_s = self._configuration.node.drain_timeout
        draining = self._tasks.spawn(self._drain(calls, timeout_s), "drain")
        hurry = self._tasks.spawn(_wait(at_once), "second signal")
        await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
        clean = calls.active == 0
        if not clean:
            self.log.warning("calls are cut off", calls=calls.active)
        return 0 if clean else 1

    async def close(self) -> None:
        """Let go of everything that was opened; nothing is left behind."""
        if self._calls is not None:
            self._admission.draining = True
            self._calls.hang_up_all(HangUpBy.SHUTDOWN, "the gateway stops at once")
            self._calls.abandon_all()
        await self._tasks.close()
        if self._registrations is not None:
            await self._registrations.close()
        if self._stack is not None:
            await self._stack.close()
        if self._ops is not None:
            await self._ops.stop()
        if self._media is not None:
            self._media.stop()
        self._names.close()
        self._traces.close()
        if not await asyncio.to_thread(self._store.close):
            self.log.warning("traces of calls are lost", calls=self._store.waiting)
        if self._hep is not None:
            await asyncio.to_thread(self._hep.close)
        if not await asyncio.to_thread(self._journal.close):
            self.log.error("call records are lost", records=self._journal.waiting)
        self.log.info("gateway stopped")

    async def _drain(self, calls: Calls, timeout_s: float) -> None:
        """Drain, and have calls go elsewhere from the begin."""
        leaving = () if self._registrations is None else (self._registrations.stop(),)
        await asyncio.gather(drain(calls, self._admission, timeout_s, self.log), *leaving)

    def _make_application(self, calls: Calls) -> OpsApplication:
        token = admin_token(os.environ, self._configuration.node.database.parent, self.log)
        api = Api(token, CallBook(calls, self._traces, self._store))
        return OpsApplication(lambda: not self._admission.draining, self._metrics, self._pings.lines, api=api)

    def _open_journal(self) -> None:
        try:
            self._journal.open()
        except OSError as error:
            raise StartError(
                f"the journal cannot be written: {error}",
                hint="name a directory that can be written in node.database",
            ) from error

    def _open_media(self) -> Media:
        node = self._configuration.node
        spec = EngineSpec(
            address=str(node.media.address),
            port_min=node.media.ports.first,
            port_max=node.media.ports.last,
            threads=node.media.threads or 0,
            media_timeout_ms=milliseconds(node.media_timeout) if node.media_timeout else 0,
            version=__version__,
        )
        try:
            media = Media(Engine(encode(spec)))
        except MediaError as error:
            raise StartError(
                f"the media engine cannot start: {error}", hint="see node.media.address and node.media.ports"
            ) from error
        media.start()
        return media

    def _make_recordings(self, media: Media, stack: SipStack) -> Recordings:
        recordings = Recordings(
            RecordingsParts(
                node=self._configuration.node,
                sip=stack,
                contacts=stack.contacts,
                user_agent=USER_AGENT,
                media=media,
                names=self._names,
                metrics=self._metrics,
                traces=self._traces,
                clock=SYSTEM_CLOCK,
                log=self.log,
            )
        )
        for account, service in self._configuration.services():
            for choice in choose_recordings(service, service):
                recordings.prepare(account.name, choice)
        return recordings

    def _make_registrations(self, stack: SipStack) -> Registrations:
        tools = RegistrationTools(
            sip=stack,
            contacts=stack.contacts,
            user_agent=USER_AGENT,
            clients=self._admission.clients,
            metrics=self._metrics,
            clock=SYSTEM_CLOCK,
            log=self.log,
        )
        return Registrations(self._configuration, tools)

    def _make_calls(self, media: Media, stack: SipStack, recordings: Recordings) -> Calls:
        node = self._configuration.node
        stream_tools = StreamTools(
            media=media,
            names=self._names,
            metrics=self._metrics,
            denied=node.deny_endpoints,
            ca_pem=_authorities,
        )
        parts = CallsParts(
            node=node,
            identity=ServerIdentity(contacts=stack.contacts, user_agent=USER_AGENT),
            admission=self._admission,
            tools=CallTools(
                sip=stack,
                media=media,
                names=self._names,
                metrics=self._metrics,
                on_fact=self._pings.hear,
            ),
            stream_tools=stream_tools,
            recordings=recordings,
            journal=self._journal,
            traces=self._traces,
            hep=self._hep,
            clock=SYSTEM_CLOCK,
            log=self.log,
            acquaint=lambda host: self._guard.acquaint(host, time.monotonic()),
        )
        return Calls(parts)

    def _on_sip(self, event: SipEvent) -> None:
        if self._calls is None or self._early:
            self._early.append(event)
        else:
            self._bring(event)

    def _bring(self, event: SipEvent) -> None:
        """Bring an event to the ping, registration, recording or else the call that it concerns."""
        taken = isinstance(event, ProbeEvent) and self._pings.take(event)
        taken = taken or (self._registrations is not None and self._registrations.take(event))
        taken = taken or (self._recordings is not None and self._recordings.take(event))
        if not taken and self._calls is not None:
            self._calls.on_event(event)

    def _take_early_events(self) -> None:
        """Bring what came while the parts were being put together."""
        while self._early and self._calls is not None:
            self._bring(self._early[0])
            self._early.popleft()

    async def _know_peers(self, stack: SipStack) -> None:
        """Look up peers that are named, now and from time to time, so that their calls are known."""
        if not self._admission.named_peers():
            return
        first = self._tasks.spawn(self._look_up_peers(stack), "peer names, first")
        await asyncio.wait({first}, timeout=FIRST_LOOKUP_S)
        self._tasks.spawn(self._watch_peers(stack), "peer names")

    async def _watch_peers(self, stack: SipStack) -> None:
        while True:
            await asyncio.sleep(PEER_LOOKUP_S)
            await self._look_up_peers(stack)

    async def _look_up_peers(self, stack: SipStack) -> None:
        found: dict[TrunkKey, list[PeerAddress]] = {}
        complete: dict[TrunkKey, bool] = {}
        for key, uri in self._admission.named_peers():
            hops = await stack.resolve(uri)
            found.setdefault(key, []).extend(PeerAddress(hop.host, hop.port) for hop in hops)
            complete[key] = complete.get(key, True) and bool(hops)
        for key, addresses in found.items():
            if complete[key]:
                self._admission.learn_peers(key, tuple(addresses))

    def _read_metrics(self) -> dict[Metric, Reading]:
        counts = self._journal.counts
        readings: dict[Metric, Reading] = {
            metrics.INFO: {(__version__, self._configuration.node.name): 1},
            metrics.READY: 0 if self._admission.draining else 1,
            metrics.PEERS_UP: self._pings.up(),
            metrics.PEER_PINGS: {(outcome,): number for outcome, number in self._pings.pings.items()},
            metrics.PEER_CHANGES: {(to.value,): number for to, number in self._pings.changes.items()},
            metrics.SIP_AUTH: {(outcome,): count for outcome, count in self._admission.door.counts.items()},
            metrics.TASKS: len(asyncio.all_tasks()),
            metrics.JOURNAL_WAITING: self._journal.waiting,
            metrics.JOURNAL_WRITTEN: counts.written,
            metrics.JOURNAL_ERRORS: counts.errors,
            metrics.JOURNAL_LOST: counts.lost,
            metrics.TRACE_MESSAGES: self._traces.counts.messages,
            metrics.TRACE_OMITTED: self._traces.counts.omitted,
            metrics.TRACE_MEMORY: self._traces.kept_bytes,
            metrics.TRACE_DISK: self._store.counts.used_bytes,
            metrics.TRACE_CALLS: {
                ("written",): self._store.counts.written,
                ("lost",): self._store.counts.lost,
                ("deleted",): self._store.counts.deleted,
            },
        }
        readings |= protection.read_metrics(self._guard, self._admission.overload)
        if self._hep is not None:
            sent = self._hep.counts
            readings[metrics.HEP_PACKETS] = {("sent",): sent.sent, ("dropped",): sent.dropped}
        if self._calls is not None:
            readings |= self._calls.read_metrics()
        if self._recordings is not None:
            readings |= self._recordings.read_metrics()
        if self._registrations is not None:
            readings |= self._registrations.read_metrics()
        if self._media is not None:
            readings |= media_module.read_metrics(self._media.totals())
        if self._stack is not None:
            readings |= _read_sip(self._stack)
            if self._tls is not None:
                readings |= read_tls_metrics(self._tls, self._stack)
        return readings


def calm_collector() -> None:
    """Have the collector of cyclic garbage leave alone what lives on, and look at the rest seldom.

    Calls leave no cycles behind when all goes well, so there is little to find. At the usual thresholds,
    looking took a tenth of all time, in pauses of up to 170 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _read_sip(stack: SipStack) -> dict[Metric, Reading]:
    counts = stack.counts
    return {
        metrics.SIP_MESSAGES: {
            **{("received", transport): number for transport, number in counts.received.items()},
            **{("sent", transport): number for transport, number in counts.sent.items()},
        },
        metrics.SIP_TRANSACTIONS: stack.transactions,
        metrics.SIP_MALFORMED: counts.layer.malformed,
        metrics.SIP_STRAY_RESPONSES: counts.layer.stray_responses,
        metrics.SIP_UNREACHABLE: counts.unreachable,
        metrics.SIP_DROPPED: counts.dropped,
        metrics.SIP_HANDLER_FAILURES: counts.handler_failures,
        metrics.DNS_QUERIES: {tuple(key): number for key, number in counts.dns.queries.items()},
        metrics.DNS_STALE: counts.dns.stale,
        metrics.SIP_CONNECTIONS: {(transport,): number for transport, number in counts.connections.items()},
        metrics.SIP_CONNECTIONS_CLOSED: {(reason.value,): number for reason, number in counts.closed.items()},
    }


def _asker(contacts: Mapping[str, str], uri: str) -> Asker:
    """Who asks a peer for a sign of life."""
    key = SECURE_CONTACT if is_sips(uri) else parse_peer(uri).transport
    contact = contacts.get(key) or next(iter(contacts.values()))
    return Asker(
        from_uri=contact.partition(";")[0], contact=f"<{contact}>", user_agent=USER_AGENT, token=new_token
    )


def _dns_options(dns: Dns) -> DnsOptions:
    limits = CacheLimits(deadline=dns.timeout, ttl_min=dns.ttl_min, ttl_max=dns.ttl_max, stale=dns.stale)
    return DnsOptions(servers=tuple((str(one.host), one.port) for one in dns.servers), limits=limits)


def _place(bound: ListenAddress) -> str:
    return f"[{bound.host}]:{bound.port}" if ":" in bound.host else f"{bound.host}:{bound.port}"


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


@cache
def _authorities(path: Path | None) -> str | None:
    """Return the text of a bundle of authorities, read once."""
    return None if path is None else path.read_text(encoding="ascii", errors="replace")


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
