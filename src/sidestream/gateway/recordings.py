"""All recordings of a gateway: brings SIP events to the one concerned, keeps its servers, and controls them.

Dialogs of recordings are looked up before those of calls: a request of a recorder belongs to its recording
session whatever address it comes from, and no other request of a recorder is let in as a trunk's.
"""

import random
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from sidestream.call.setup import SECURE_CONTACT
from sidestream.config.model import Node
from sidestream.gateway.clock import Clock
from sidestream.gateway.ids import new_token
from sidestream.gateway.media import CallMedia, Media
from sidestream.gateway.names import Names
from sidestream.gateway.recorder import CallRecordings, RecordingError, RecordingView
from sidestream.gateway.recorder_probes import RecorderProbes
from sidestream.gateway.recording_plan import RecordingChoice, group_of
from sidestream.gateway.recording_runner import RecordingRunner, RecordingTools
from sidestream.gateway.sip_orders import SipOrders
from sidestream.gateway.stream_plan import CallFacts
from sidestream.gateway.stream_runner import CallClock
from sidestream.gateway.trace import Traces
from sidestream.gateway.turns import Turns
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metric, Metrics, Reading
from sidestream.sip.admission import BODIES as SESSION_BODIES
from sidestream.sip.builder import response_to
from sidestream.sip.digest import credentials_of
from sidestream.sip.digest_client import Again, DigestClient
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
from sidestream.sip.message import Request, Response
from sidestream.sip.uri import SipUri
from sidestream.siprec import events
from sidestream.siprec.body import METADATA_TYPES
from sidestream.siprec.context import ClientIdentity, as_it_is, no_credentials
from sidestream.siprec.events import SessionEvent, StopBy
from sidestream.siprec.group import Circuit, ServerGroup
from sidestream.siprec.profile import Server

OPTION_TAGS: Final = frozenset({"siprec", "timer"})
"""What a recorder may require; what may be required of calls says `call.features`."""

BODIES: Final[Mapping[str, frozenset[str]]] = {
    method: kinds | METADATA_TYPES for method, kinds in SESSION_BODIES.items()
}
"""What a recorder may send; a call answers metadata by 415."""

KEYS_MAX: Final = 32
"""Transactions that a session remembers of either kind; the latest ones count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingsParts:
    """What the table works with."""

    node: Node
    sip: SipOrders
    contacts: Mapping[str, str]
    """Our Contact URI by transport."""
    user_agent: str
    media: Media
    names: Names
    metrics: Metrics
    traces: Traces
    clock: Clock
    log: Logger
    turns: Turns = field(default_factory=Turns)
    """Shares the signalling loop with the calls."""


@dataclass(slots=True)
class _Session:
    """What the table holds of one recording session."""

    runner: RecordingRunner
    number: int
    dialogs: set[tuple[str, str]] = field(default_factory=set)
    clients: deque[ClientKey] = field(default_factory=deque)
    servers: deque[ServerKey] = field(default_factory=deque)


class Recordings:
    """The table of recordings."""

    def __init__(self, parts: RecordingsParts) -> None:
        self._parts = parts
        self._calls: dict[str, CallRecordings] = {}
        self._sessions: dict[RecordingRunner, dict[int, _Session]] = {}
        self._dialogs: dict[tuple[str, str], _Session] = {}
        self._clients: dict[ClientKey, tuple[_Session, int]] = {}
        self._servers: dict[ServerKey, _Session] = {}
        self._groups: dict[tuple[str, str], ServerGroup] = {}
        self._turns = parts.turns
        self._tools = RecordingTools(
            sip=parts.sip,
            media=parts.media,
            names=parts.names,
            metrics=parts.metrics,
            table=self,
            group=self.group,
            identify=self._identify,
            media_host=str(parts.node.advertise or parts.node.media.address),
            turns=self._turns,
        )
        self.probes = RecorderProbes(
            parts.sip, self._identify, self.suspect, clock=parts.clock, log=parts.log
        )

    # --- calls ---------------------------------------------------------------------------------------------

    def follow(
        self,
        call: CallFacts,
        choices: list[RecordingChoice],
        media: CallMedia,
        clock: CallClock,
        log: Logger,
    ) -> CallRecordings:
        """Return the recordings of a call that begins."""
        recordings = CallRecordings(self._tools, call, choices, media, clock=clock, log=log)
        if choices:
            self._calls[call.call_id] = recordings
        return recordings

    def forget(self, recordings: CallRecordings) -> None:
        """Forget a call whose record is written."""
        self._calls.pop(recordings.call_id, None)
        recordings.let_go()

    # --- control -------------------------------------------------------------------------------------------

    def views(self, call_id: str) -> list[RecordingView]:
        """The recordings of a live call, in the order of their begin; none when it has none."""
        recordings = self._calls.get(call_id)
        return recordings.views() if recordings is not None else []

    def start(self, call_id: str, integration: str) -> RecordingView:
        """Begin a recording of a live call. See `CallRecordings.start`.

        Raises:
            RecordingError: it cannot be begun.
        """
        return self._of_call(call_id).start(integration)

    def pause(self, call_id: str, recording_id: str) -> RecordingView:
        """Leave out what is said from now on. See `CallRecordings.pause`.

        Raises:
            RecordingError: there is no such recording, or it has ended.
        """
        return self._of_call(call_id).pause(recording_id)

    def resume(self, call_id: str, recording_id: str) -> RecordingView:
        """Go on recording. See `CallRecordings.resume`.

        Raises:
            RecordingError: there is no such recording, or it has ended.
        """
        return self._of_call(call_id).resume(recording_id)

    def stop(self, call_id: str, recording_id: str, by: StopBy = StopBy.OPERATOR) -> RecordingView:
        """End a recording; its call goes on. See `CallRecordings.stop`.

        Raises:
            RecordingError: there is no such recording, or it has ended.
        """
        return self._of_call(call_id).stop(recording_id, by)

    def _of_call(self, call_id: str) -> CallRecordings:
        recordings = self._calls.get(call_id)
        if recordings is None:
            hint = "name a live call of a voice service with a siprec integration"
            raise RecordingError(f"no call {call_id!r} can be recorded", hint=hint)
        return recordings

    # --- servers -------------------------------------------------------------------------------------------

    def prepare(self, account: str, choice: RecordingChoice) -> None:
        """Know the servers of an integration before its first call, so that they are probed."""
        self.group(account, choice)

    def group(self, account: str, choice: RecordingChoice) -> ServerGroup:
        """Return the servers of an account's integration: one group for all calls."""
        key = account, choice.integration.name
        if key not in self._groups:
            self._groups[key] = group_of(choice.integration, random.random)
            self.probes.watch(key, self._groups[key])
        return self._groups[key]

    def suspect(self, server: str) -> None:
        """A probe of a server failed: have each session with it ask whether it is there."""
        for runner in list(self._sessions):
            runner.suspect(server)

    def read_metrics(self) -> dict[Metric, Reading]:
        """Return the gauges of recordings and their servers."""
        now = self._parts.clock.monotonic()
        return {
            metrics.RECORDINGS_ACTIVE: sum(each.active_count for each in self._calls.values()),
            metrics.RECORDERS_UP: {
                (*key, server.uri): float(group.circuit(server.uri, now) is Circuit.CLOSED)
                for key, group in self._groups.items()
                for server in group.servers
            },
        }

    def _identify(self, server: Server) -> ClientIdentity:
        """Who we are to a server: reached by its own transport."""
        uri = SipUri.parse(server.uri)
        transport = SECURE_CONTACT if uri.scheme == "sips" else (uri.transport or "udp").lower()
        contacts = self._parts.contacts
        contact = contacts.get(transport) or next(iter(contacts.values()))
        name = self._parts.node.name
        own = SipUri.parse(contact)
        return ClientIdentity(
            from_uri=f"{own.scheme}:{name}@{own.host}",
            contact_uri=str(replace(own, user=name)),
            token=new_token,
            chance=random.random,
            secret=secrets.token_bytes,
            user_agent=self._parts.user_agent,
            authorize=no_credentials if server.auth is None else partial(_authorize, server.auth, server.uri),
            dress=as_it_is if server.auth is None else partial(server.auth.dress, place=server.uri),
        )

    # --- the table, see `recording_runner.RecordingTable` -------------------------------------------------

    def add_client(self, key: ClientKey, runner: RecordingRunner, session: int, request_id: int) -> None:
        """Note that what is heard on `key` is for a request of a session."""
        entry = self._entry(runner, session)
        self._clients[key] = entry, request_id
        entry.clients.append(key)
        if len(entry.clients) > KEYS_MAX:
            self._clients.pop(entry.clients.popleft(), None)

    def add_dialog(self, dialog: tuple[str, str], runner: RecordingRunner, session: int) -> None:
        """Note that requests with this Call-ID and To tag are for a session."""
        entry = self._entry(runner, session)
        entry.dialogs.add(dialog)
        self._dialogs[dialog] = entry
        identity = runner.identity
        name = identity.choice.integration.name
        self._parts.traces.claim(identity.call.call_id, dialog[0], "recording", name)

    def drop_session(self, runner: RecordingRunner, session: int) -> None:
        """Forget a session."""
        sessions = self._sessions.get(runner, {})
        entry = sessions.pop(session, None)
        if entry is None:
            return
        if not sessions:
            del self._sessions[runner]
        for dialog in entry.dialogs:
            self._dialogs.pop(dialog, None)
        for client in entry.clients:
            self._clients.pop(client, None)
        for server in entry.servers:
            self._servers.pop(server, None)

    def drop(self, runner: RecordingRunner) -> None:
        """Forget every session of a recording."""
        for session in list(self._sessions.get(runner, {})):
            self.drop_session(runner, session)

    def _entry(self, runner: RecordingRunner, session: int) -> _Session:
        return self._sessions.setdefault(runner, {}).setdefault(session, _Session(runner, session))

    # --- events --------------------------------------------------------------------------------------------

    def take(self, event: SipEvent) -> bool:
        """Bring what the SIP stack tells to the recording that it concerns; false when it concerns none.

        The recording acts on it when it is its turn: recorders answer hundreds of sessions at once.
        """
        match event:
            case RequestReceived(key=key, request=request):
                entry = self._dialog(request.call_id, request.to_tag)
                if entry is not None:
                    self._parts.metrics.count(metrics.SIP_EVENTS, request.method)
                    self._add_server(entry, key)
                    self._turns.run(partial(self._bring_request, entry, event))
                return entry is not None
            case AckReceived(request=request):
                entry = self._dialog(request.call_id, request.to_tag)
                if entry is not None:
                    self._bring(entry, events.AckArrived(entry.number, request))
                return entry is not None
            case CancelReceived(key=key):
                return key in self._servers  # whatever it cancels has its answer already
            case AckTimedOut(key=key) | ServerTransportFailed(key=key):
                return self._on_server(event, key)
            case ClientSilent(key=key):
                return self.probes.take(event) or key in self._clients  # a recording has its own patience
            case PrackTimedOut():
                return False  # a recording session sends no provisional responses
            case _:
                return self._on_client(event)

    def _bring(self, entry: _Session, event: SessionEvent) -> None:
        self._turns.run(partial(entry.runner.bring, event))

    def _bring_request(self, entry: _Session, event: RequestReceived) -> None:
        """Bring a request to its session; one that has ended since is unknown, as it is to later requests."""
        if self._sessions.get(entry.runner, {}).get(entry.number) is entry:
            entry.runner.bring(events.RequestArrived(entry.number, event.key, event.request))
        else:
            self._parts.sip.respond(event.key, response_to(event.request, 481))

    def _dialog(self, call_id: str, tag: str | None) -> _Session | None:
        return None if tag is None else self._dialogs.get((call_id, tag))

    def _add_server(self, entry: _Session, key: ServerKey) -> None:
        self._servers[key] = entry
        entry.servers.append(key)
        if len(entry.servers) > KEYS_MAX:
            self._servers.pop(entry.servers.popleft(), None)

    def _on_server(self, event: AckTimedOut | ServerTransportFailed, key: ServerKey) -> bool:
        entry = self._servers.get(key)
        if entry is None:
            return False
        told: SessionEvent
        if isinstance(event, AckTimedOut):
            told = events.AckTimedOut(entry.number, key)
        else:
            told = events.PeerSuspected(entry.number)
        self._bring(entry, told)
        return True

    def _on_client(self, event: ResponseReceived | ClientTimedOut | ClientTransportFailed) -> bool:
        if self.probes.take(event):
            return True
        found = self._clients.get(event.key)
        if found is None:
            return False
        entry, request_id = found
        told: SessionEvent
        match event:
            case ResponseReceived(response=response, source=source):
                self._count(response)
                told = events.ResponseArrived(entry.number, request_id, response, source)
            case ClientTimedOut():
                told = events.RequestTimedOut(entry.number, request_id)
            case ClientTransportFailed(trouble=trouble):
                detail = "" if trouble is None else str(trouble)
                told = events.RequestTransportFailed(entry.number, request_id, detail)
        self._bring(entry, told)
        return True

    def _count(self, response: Response) -> None:
        if response.status >= 200:
            label = f"{response.status // 100}xx"
            self._parts.metrics.count(metrics.SIP_RESPONSES, response.cseq.method, label)


def _authorize(
    client: DigestClient, place: str, request: Request, response: Response
) -> tuple[str, str] | None:
    """Answer a recorder's challenge; the session sends the request again, once."""
    outcome = client.answer(request, response, place)
    if not isinstance(outcome, Again):
        return None
    return next(iter(credentials_of(outcome.request)), None)
