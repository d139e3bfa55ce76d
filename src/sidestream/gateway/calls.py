"""All calls of a gateway: begins them, brings SIP events to the one concerned, and records its end."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from secrets import token_bytes
from typing import Any, Final, assert_never

import msgspec

from sidestream import __version__
from sidestream.call.events import (
    AckArrived,
    AnswerNotAcknowledged,
    CallEvent,
    CancelArrived,
    HangUp,
    HangUpBy,
    ProgressNotAcknowledged,
    RequestArrived,
    RequestSilent,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseArrived,
    ResponseTransportFailed,
)
from sidestream.call.features import EVERYTHING, Features, Use
from sidestream.call.messages import dressed_response, warning_about
from sidestream.call.participants import callee_of, caller_of
from sidestream.call.record import CallSnapshot, LegRecord
from sidestream.call.setup import CallLimits, CallSetup, LegSetup, ServerIdentity
from sidestream.call.verdict import RULES, Slug, Verdict, verdict
from sidestream.config.model import Node, Trunk, VoiceService
from sidestream.config.values import Redirect, Srtp
from sidestream.gateway.admission import Admission, Admitted, Refused
from sidestream.gateway.call_log import log_ending
from sidestream.gateway.call_runner import CallEnd, CallRunner, CallStart, CallTools
from sidestream.gateway.clock import Clock
from sidestream.gateway.doorkeeper import Asked, HeaderLines
from sidestream.gateway.followers import CallFollowers
from sidestream.gateway.hep_exporter import HepExporter
from sidestream.gateway.ids import new_id, new_token, new_traceparent
from sidestream.gateway.journal import Journal
from sidestream.gateway.media import CallMedia, MediaError
from sidestream.gateway.nobody import nobody
from sidestream.gateway.quality_watch import count_quality
from sidestream.gateway.recording_plan import choose_recordings
from sidestream.gateway.recordings import Recordings
from sidestream.gateway.records import (
    Followed,
    MediaFigures,
    encode_record,
    ended_call,
    parties_of,
    still_open,
)
from sidestream.gateway.stream_plan import CallFacts, choose_streams
from sidestream.gateway.stream_runner import CallClock, StreamTools
from sidestream.gateway.streamer import CallStreams
from sidestream.gateway.token_bucket import TokenBucket
from sidestream.gateway.trace import Traces
from sidestream.gateway.traced_log import TracedLog
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metric, Reading
from sidestream.sdp.negotiate import MediaAddress
from sidestream.sdp.protection import Protection
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientKey,
    ClientSilent,
    ClientTimedOut,
    ClientTransportFailed,
    PrackTimedOut,
    RequestReceived,
    ResponseReceived,
    ServerKey,
    ServerTransportFailed,
    SipEvent,
)
from sidestream.sip.message import Request
from sidestream.sip.reliability import option_tags
from sidestream.sip.secure import SIPS_NOT_ALLOWED

REFRESH_S: Final = 0.5
"""How long the media engine may take to tell what it knows of a call."""

SERVER_KEYS_MAX: Final = 64
"""Received requests that a call remembers: a CANCEL or a failure concerns the latest ones only."""

STRANGER_RECORDS_PER_S: Final = 10
"""Refused calls from unknown addresses that get a log line and a record each second. Scanners send hundreds;
all of them are counted."""

_BY_STRANGERS: Final = frozenset({Slug.UNKNOWN_TRUNK, Slug.WRONG_CREDENTIALS, Slug.TOO_MANY_GUESSES})

_MEDIA_REFUSALS: Final = {"stopped": Slug.DRAINING}


@dataclass(slots=True)
class _Entry:
    """What the table holds of one call."""

    admitted: Admitted
    followers: CallFollowers
    log: Logger
    dialogs: set[tuple[str, str]] = field(default_factory=set)
    clients: set[ClientKey] = field(default_factory=set)
    servers: deque[ServerKey] = field(default_factory=deque)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsParts:
    """What the table works with."""

    node: Node
    identity: ServerIdentity
    admission: Admission
    tools: CallTools
    stream_tools: StreamTools
    recordings: Recordings
    journal: Journal
    traces: Traces
    hep: HepExporter | None = None
    clock: Clock
    log: Logger
    acquaint: Callable[[str], None] = nobody
    """Told the address of a request that belongs to a call: it is no stranger."""


class Calls:
    """The table of calls."""

    def __init__(self, parts: CallsParts) -> None:
        self._parts = parts
        self._entries: dict[CallRunner, _Entry] = {}
        self._by_id: dict[str, CallRunner] = {}
        self._dialogs: dict[tuple[str, str], CallRunner] = {}
        self._clients: dict[ClientKey, tuple[CallRunner, int]] = {}
        self._servers: dict[ServerKey, CallRunner] = {}
        self._strangers = TokenBucket(STRANGER_RECORDS_PER_S, parts.clock.monotonic())

    @property
    def active(self) -> int:
        """Calls whose record is not written yet."""
        return len(self._entries)

    def read_metrics(self) -> dict[Metric, Reading]:
        """Return the gauges of calls and streams."""
        return {
            metrics.CALLS_ACTIVE: len(self._entries),
            metrics.CALLS_CLOSING: sum(runner.end is not None for runner in self._entries),
            metrics.STREAMS_ACTIVE: sum(
                entry.followers.streams.open_count for entry in self._entries.values()
            ),
        }

    def ids(self) -> list[str]:
        """Return the ids of all calls whose record is not written yet."""
        return list(self._by_id)

    async def refresh(self, call_id: str) -> None:
        """Have a live call's media figures be those of now."""
        runner = self._by_id.get(call_id)
        if runner is not None and runner.end is None:
            await runner.refresh(REFRESH_S)

    def view(self, call_id: str, party: str = "") -> dict[str, Any] | None:
        """Return a live call as its record would be now, None when it is none.

        Args:
            call_id: the call.
            party: in lower case; None is returned also when no party's number, name or URI contains it.
        """
        runner = self._by_id.get(call_id)
        if runner is None:
            return None
        snapshot = runner.snapshot()
        if party and party not in parties_of(snapshot):
            return None
        followers = self._entries[runner].followers
        followed = Followed(followers.streams.records(), followers.recordings.records())
        media = MediaFigures(runner.sides, runner.quality)
        record = encode_record(self._parts.node.name, snapshot, media, followed, runner.source)
        return still_open(msgspec.json.decode(record), followers.open_ids())

    def hang_up_all(self, by: HangUpBy, reason: str) -> None:
        """End every call that has not ended."""
        for runner in list(self._entries):
            runner.apply(HangUp(by, reason))

    def abandon_all(self) -> None:
        """Let go of every call, ended or not, and write the records."""
        for runner in list(self._entries):
            runner.abandon()

    def on_event(self, event: SipEvent) -> None:  # noqa: C901 - one case for each event
        """Bring what the SIP stack tells to the call that it concerns."""
        match event:
            case RequestReceived():
                self._on_request(event)
            case AckReceived(request=request, source=source):
                runner = self._dialogs.get((request.call_id, request.to_tag or ""))
                self._bring(runner, AckArrived(request, source))
            case CancelReceived(key=key, request=request):
                self._bring(self._servers.get(key), CancelArrived(key, request))
            case ResponseReceived():
                self._on_response(event)
            case ClientSilent(key=key):
                runner, number = self._client(key)
                self._bring(runner, RequestSilent(number))
            case ClientTimedOut(key=key):
                runner, number = self._client(key)
                self._bring(runner, RequestTimedOut(number))
            case ClientTransportFailed(key=key, trouble=trouble):
                runner, number = self._client(key)
                self._bring(runner, RequestTransportFailed(number, trouble))
            case AckTimedOut(key=key):
                self._bring(self._servers.get(key), AnswerNotAcknowledged(key))
            case PrackTimedOut(key=key):
                self._bring(self._servers.get(key), ProgressNotAcknowledged(key))
            case ServerTransportFailed(key=key):
                self._bring(self._servers.get(key), ResponseTransportFailed(key))
            case _:
                assert_never(event)

    def add_client(self, key: ClientKey, runner: CallRunner, request_id: int) -> None:
        """See `call_runner.Keys`."""
        self._clients[key] = (runner, request_id)
        self._entries[runner].clients.add(key)

    def add_dialogs(self, runner: CallRunner, dialogs: Iterable[tuple[str, str]]) -> None:
        """See `call_runner.Keys`."""
        entry = self._entries.get(runner)
        if entry is None or runner.end is not None:
            return
        for dialog in dialogs:
            if dialog not in entry.dialogs:
                entry.dialogs.add(dialog)
                self._dialogs[dialog] = runner
                setup = runner.setup
                self._parts.traces.claim(setup.call_id, dialog[0], "callee", setup.callee.trunk)

    def ended(self, runner: CallRunner, end: CallEnd) -> None:
        """See `call_runner.Keys`."""
        entry = self._entries[runner]
        for dialog in entry.dialogs:
            self._dialogs.pop(dialog, None)
        for client in entry.clients:
            self._clients.pop(client, None)
        for server in entry.servers:
            self._servers.pop(server, None)
        self._parts.admission.release(entry.admitted)
        self._count_end(end.verdict)
        if end.snapshot.answered_at is not None:
            self._parts.tools.metrics.observe(metrics.CALL_DURATION_SECONDS, end.snapshot.duration_s)
        log_ending(entry.log, end.verdict, end.snapshot.duration_s)

    def finished(self, runner: CallRunner, end: CallEnd) -> None:
        """See `call_runner.Keys`."""
        followers = self._entries.pop(runner).followers
        self._by_id.pop(runner.setup.call_id, None)
        followed = Followed(followers.streams.records(), followers.recordings.records())
        self._parts.recordings.forget(followers.recordings)
        quality = runner.quality
        if quality is not None and end.snapshot.answered_at is not None:
            count_quality(self._parts.tools.metrics, quality)
        if quality is not None and self._parts.hep is not None:
            runner.watch.export(self._parts.hep, runner.setup, quality)
        media = MediaFigures(end.sides, quality)
        record = encode_record(self._parts.node.name, end.snapshot, media, followed, runner.source)
        self._keep(end.snapshot, record)

    def _keep(self, snapshot: CallSnapshot, record: bytes) -> None:
        """Write a call's record, and have it found again."""
        self._parts.journal.append(record)
        self._parts.traces.finished(ended_call(snapshot, record, self._parts.clock.wall()))

    def _bring(self, runner: CallRunner | None, event: CallEvent) -> None:
        if runner is not None:
            runner.apply(event)

    def _client(self, key: ClientKey) -> tuple[CallRunner | None, int]:
        return self._clients.get(key, (None, 0))

    def _on_response(self, event: ResponseReceived) -> None:
        response = event.response
        runner, number = self._client(event.key)
        method = response.cseq.method
        self._parts.log.debug(
            "sip response",
            method=method,
            status=response.status,
            reason=response.reason,
            sip_call_id=response.call_id,
        )
        if response.status >= 200:
            label = f"{response.status // 100}xx"
            self._parts.tools.metrics.count(metrics.SIP_RESPONSES, method, label)
        self._bring(runner, ResponseArrived(number, response, event.source))
        if response.status >= 200 and method != "INVITE" and runner is not None:
            self._clients.pop(event.key, None)
            entry = self._entries.get(runner)
            if entry is not None:
                entry.clients.discard(event.key)

    def _on_request(self, event: RequestReceived) -> None:
        request, source = event.request, event.source
        self._parts.tools.metrics.count(metrics.SIP_EVENTS, request.method)
        self._parts.log.debug(
            "sip request",
            method=request.method,
            uri=request.uri,
            sip_call_id=request.call_id,
            source=f"{source.transport}:{source.host}:{source.port}",
        )
        arrived = RequestArrived(event.key, request, event.source)
        if request.to_tag is not None:
            runner = self._dialogs.get((request.call_id, request.to_tag))
            if runner is None:
                self._answer(arrived, 481)
            else:
                self._parts.acquaint(source.host)
                self._add_server(runner, event.key)
                runner.apply(arrived)
        elif request.method == "INVITE":
            self._on_invite(arrived)
        elif unknown := EVERYTHING.unknown(option_tags(request, "Require")):
            self._answer(arrived, 420, (("Unsupported", ", ".join(unknown)),))
        elif request.method == "OPTIONS":
            self._on_options(arrived)
        else:
            self._answer(arrived, 405 if request.method == "MESSAGE" else 481)

    def _add_server(self, runner: CallRunner, key: ServerKey) -> None:
        self._servers[key] = runner
        servers = self._entries[runner].servers
        servers.append(key)
        if len(servers) > SERVER_KEYS_MAX:
            self._servers.pop(servers.popleft(), None)

    def _answer(
        self, arrived: RequestArrived, status: int, extra: HeaderLines = (), phrase: str | None = None
    ) -> None:
        response = dressed_response(arrived.request, status, phrase, new_token(), self._parts.identity)
        for name, value in extra:
            response.headers.add(name, value)
        self._parts.tools.sip.respond(arrived.key, response)

    def _on_options(self, arrived: RequestArrived) -> None:
        """A sign of life that is asked for (RFC 3261 section 11.2), answered as an INVITE would be."""
        now = self._parts.clock.monotonic()
        asked = self._parts.admission.ask(arrived.request, arrived.source, now)
        if asked is None:
            self._answer(arrived, 503 if self._parts.admission.draining else 200)
        elif isinstance(asked, Asked):
            self._answer(arrived, asked.status, asked.headers, asked.phrase)
        else:
            self._answer(arrived, RULES[asked.slug].status, asked.headers)

    def _on_invite(self, arrived: RequestArrived) -> None:
        now = self._parts.clock.monotonic()
        decision = self._parts.admission.admit(arrived.request, arrived.source, now)
        if isinstance(decision, Asked):
            self._answer(arrived, decision.status, decision.headers, decision.phrase)
            return
        if isinstance(decision, Refused):
            self._refuse(arrived, decision)
            return
        try:
            media = self._parts.tools.media.open_call()
        except MediaError as error:
            self._parts.admission.release(decision)
            slug = _MEDIA_REFUSALS.get(error.kind, Slug.NO_MEDIA_PORTS)
            self._refuse(arrived, Refused(slug, decision.account.name, decision.caller.name, str(error)))
            return
        self._begin(arrived, decision, media)

    def _begin(self, arrived: RequestArrived, admitted: Admitted, media: CallMedia) -> None:
        parts = self._parts
        parts.acquaint(arrived.source.host)
        clock = CallClock(time.monotonic(), parts.clock.wall())
        setup = self._setup(admitted, media, clock)
        parts.traces.claim(setup.call_id, arrived.request.call_id, "caller", admitted.caller.name)
        note = partial(parts.traces.note, setup.call_id)
        log = TracedLog.of(parts.log.bind(call_id=setup.call_id, account=setup.account), note)
        facts = self._facts(setup, arrived.request)
        choices = choose_streams(admitted.caller, admitted.callee)
        streams = CallStreams(parts.stream_tools, facts, choices, media, clock=clock, log=log)
        recording = choose_recordings(admitted.caller, admitted.callee)
        recordings = parts.recordings.follow(facts, recording, media, clock, log)
        followers = CallFollowers(streams, recordings)
        start = CallStart(
            setup=setup, began=clock.began, media=media, invite=arrived, followers=followers, log=log
        )
        runner = CallRunner(parts.tools, self, start)
        self._entries[runner] = _Entry(admitted, followers, log)
        self._by_id[setup.call_id] = runner
        self._add_server(runner, arrived.key)
        runner.start()

    def _setup(self, admitted: Admitted, media: CallMedia, clock: CallClock) -> CallSetup:
        return CallSetup(
            call_id=new_id(),
            account=admitted.account.name,
            started_at=clock.started_at,
            caller=self._leg(admitted.caller, media.caller_port, admitted.caller_auth),
            callee=self._leg(admitted.callee, media.callee_port, admitted.callee_auth),
            peers=admitted.peers,
            numbering=admitted.numbering,
            identity=self._parts.identity,
            token=new_token,
            limits=CallLimits(max_duration=self._parts.node.limits.max_call_duration),
        )

    def _leg(self, service: VoiceService, port: int, auth: DigestClient | None) -> LegSetup:
        node = self._parts.node
        host = str(node.advertise or node.media.address)
        trunk = service.trunk or Trunk()
        protection = Protection(
            plain=trunk.srtp is not Srtp.REQUIRED, secure=trunk.srtp is not Srtp.OFF, secret=token_bytes
        )
        return LegSetup(
            trunk=service.name,
            codecs=trunk.codecs,
            media=MediaAddress(host, port, port + 1),
            protection=protection,
            features=_features(trunk),
            trusted=trunk.trusted,
            auth=auth,
        )

    def _facts(self, setup: CallSetup, invite: Request) -> CallFacts:
        return CallFacts(
            node=self._parts.node.name,
            version=__version__,
            call_id=setup.call_id,
            account=setup.account,
            sip_call_id=invite.call_id,
            traceparent=new_traceparent(),
            caller=caller_of(invite, trusted=setup.caller.trusted),
            callee=callee_of(invite),
            invite=invite.headers,
        )

    def _refuse(self, arrived: RequestArrived, refused: Refused) -> None:
        """Answer a call that is not carried; it too has a verdict and, but in a flood, a record."""
        ending = verdict(refused.slug, detail=refused.detail)
        wait = refused.retry_after
        extra = () if wait is None else (("Retry-After", str(wait)),)
        if refused.slug is Slug.SIPS_NOT_ALLOWED:
            extra = (warning_about(SIPS_NOT_ALLOWED),)
        self._answer(arrived, RULES[refused.slug].status, (*refused.headers, *extra))
        self._count_end(ending)
        now = self._parts.clock.monotonic()
        if refused.slug in _BY_STRANGERS and not self._strangers.take(now):
            return
        snapshot = self._refused_call(arrived.request, refused, ending)
        source = arrived.source
        place = f"{source.transport}:{source.host}:{source.port}"
        traces = self._parts.traces
        traces.claim(snapshot.call_id, arrived.request.call_id, "caller", refused.trunk)
        log = self._parts.log.bind(call_id=snapshot.call_id, account=refused.account, source=place)
        log_ending(TracedLog.of(log, partial(traces.note, snapshot.call_id)), ending, 0.0)
        record = encode_record(self._parts.node.name, snapshot, MediaFigures(), Followed(), place)
        self._keep(snapshot, record)

    def _refused_call(self, invite: Request, refused: Refused, ending: Verdict) -> CallSnapshot:
        now = self._parts.clock.wall()
        return CallSnapshot(
            call_id=new_id(),
            account=refused.account,
            state="ended",
            caller=LegRecord(
                refused.trunk, caller_of(invite, trusted=bool(refused.trunk)), invite.call_id, ""
            ),
            callee=LegRecord("", callee_of(invite), "", ""),
            started_at=now,
            rang_at=None,
            answered_at=None,
            ended_at=now,
            duration_s=0.0,
            attempts=(),
            verdict=ending,
        )

    def _count_end(self, ending: Verdict) -> None:
        self._parts.tools.metrics.count(metrics.CALLS, ending.slug.value, ending.result.value)


def _features(trunk: Trunk) -> Features:
    return Features(
        prack=Use(trunk.prack.value),
        timer=Use(trunk.session_timer.value),
        session_expires=round(trunk.session_expires),
        min_se=round(trunk.min_se),
        follow_redirects=trunk.redirect is Redirect.FOLLOW,
    )
