"""A SIPREC recording server for development: any number of sessions, each judged strictly and kept."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sidestream.call.commands import NextHop
from sidestream.call.setup import SECURE_CONTACT
from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.next_hop import hops_of
from sidestream.gateway.sip_options import StackOptions
from sidestream.gateway.sip_sockets import ListenError, is_wildcard, local_address_towards
from sidestream.gateway.sip_stack import SipStack
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import DialogId, id_from_request
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientKey,
    ClientTimedOut,
    ClientTransportFailed,
    RequestReceived,
    ResponseReceived,
    ServerKey,
    ServerTransportFailed,
    SipEvent,
)
from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response
from sidestream.sip.secure import wants_secure_contact
from sidestream.sip.uri import SipUri
from sidestream.tools.recorder_answers import METHODS, put_abilities
from sidestream.tools.recorder_events import Changed, Ended, Observer, Offered, RecorderEvent
from sidestream.tools.recorder_judge import Judge
from sidestream.tools.recorder_lines import Lines
from sidestream.tools.recorder_options import RecorderOptions
from sidestream.tools.recorder_result import SessionResult
from sidestream.tools.recorder_session import RecordingSession, RequestFailedError, SessionEvent
from sidestream.tools.recorder_store import SessionStore

MAX_RESULTS = 100_000
GOODBYE_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 10.0
_Key = TypeVar("_Key")


class RecorderError(SidestreamError):
    """The recorder cannot be opened."""

    fault = Fault.OPERATOR


@dataclass(slots=True)
class Recorder:
    """The recorder. `start` it, hand out `uris`, `stop` it, read `results`.

    Attributes:
        options: how it works.
        observer: is told every event, at once and on the event loop.
        results: sessions that are over, oldest first.
        ended: how many are over, counted from the start.
    """

    options: RecorderOptions
    observer: Observer = field(default=lambda _event: None)
    results: deque[SessionResult] = field(default_factory=lambda: deque(maxlen=MAX_RESULTS))
    ended: int = 0
    _opened: SipStack | None = None
    _tasks: dict[asyncio.Task[None], RecordingSession] = field(default_factory=dict)
    _by_server: dict[ServerKey, RecordingSession] = field(default_factory=dict)
    _by_client: dict[ClientKey, RecordingSession] = field(default_factory=dict)
    _by_dialog: dict[tuple[str, str], RecordingSession] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def start(self) -> None:
        """Listen.

        Raises:
            RecorderError: an address cannot be bound, or the directory not be written.
        """
        try:
            self.options.directory.mkdir(parents=True, exist_ok=True)
            self._opened = await SipStack.open(
                list(self.options.listen),
                self._take,
                StackOptions(
                    allowed_methods=METHODS,
                    supported=frozenset({"siprec", "timer"}),
                    bodies={},
                    tls=self.options.tls,
                ),
            )
        except ListenError as error:
            raise RecorderError(str(error), hint="Choose another --listen address.") from error
        except OSError as error:
            raise RecorderError(f"cannot write {self.options.directory}: {error.strerror}") from error

    @property
    def _stack(self) -> SipStack:
        if self._opened is None:
            raise RecorderError("the recorder has not been started")
        return self._opened

    @property
    def uris(self) -> tuple[str, ...]:
        """Where it is reached, in the order of `listen`, for the servers of an integration."""
        told = []
        for address in self._stack.bound:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - compared
            uri = SipUri("sip", None, f"[{host}]" if ":" in host else host, address.port)
            told.append(f"{uri};transport={address.transport}")
        return tuple(told)

    @property
    def sessions(self) -> list[RecordingSession]:
        """Sessions that are not over."""
        return list(self._tasks.values())

    async def wait_ended(self, count: int, timeout_s: float | None = None) -> bool:
        """Wait until so many sessions are over and written; false when the time ran out."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self.ended >= count)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> list[SessionResult]:
        """End every session by a BYE, write all, close; returns every result. A second stop does nothing."""
        if self._opened is None:
            return list(self.results)
        goodbyes = [
            asyncio.create_task(each.hang_up("the recorder was stopped", wanted=False))
            for each in self.sessions
        ]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=GOODBYE_TIMEOUT_S)
        for session in self.sessions:
            session.end("the recorder was stopped")
            session.wake()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CLOSE_TIMEOUT_S)
        for goodbye in goodbyes:
            goodbye.cancel()
        await asyncio.gather(*goodbyes, return_exceptions=True)
        await self._opened.close()
        self._opened = None
        return list(self.results)

    # --- what sessions need ---------------------------------------------------------------------------------

    async def request(self, session: RecordingSession, request: Request, to: str) -> ClientKey:
        """See `recorder_session.Board`."""
        heard = session.source.hop
        hops = hops_of(NextHop(uri=to, heard_from=heard), await self._stack.resolve(to))
        if not hops:
            raise RequestFailedError(f"{to} leads nowhere")
        key = self._stack.send_request(request, hops)
        self._by_client[key] = session
        return key

    def respond(self, key: ServerKey, response: Response) -> None:
        """See `recorder_session.Board`."""
        tag = response.to_tag
        if response.status == 200 and response.cseq.method == "INVITE" and tag is not None:
            session = self._by_server.get(key)
            if session is not None:
                self._by_dialog[response.call_id, tag] = session
        self._stack.respond(key, response)

    def acknowledge(self, session: RecordingSession, ack: Request, to: str) -> None:
        """See `recorder_session.Board`."""
        hops = hops_of(NextHop(uri=to, heard_from=session.source.hop), self._stack.resolve_now(to) or ())
        if hops:
            self._stack.send_ack(ack, hops[0])

    def confirm(self, key: ServerKey) -> None:
        """See `recorder_session.Board`."""
        self._stack.confirm_2xx(key)

    def tell(self, event: RecorderEvent) -> None:
        """See `recorder_session.Board`."""
        self.observer(event)

    # --- what comes -----------------------------------------------------------------------------------------

    def _take(self, event: SipEvent) -> None:
        match event:
            case ResponseReceived(key=key, response=response):
                if (session := self._by_client.get(key)) is not None:
                    session.take_response(key, response)
            case ClientTimedOut(key=key) | ClientTransportFailed(key=key):
                if (session := self._by_client.get(key)) is not None:
                    session.take_failure(key, 408 if isinstance(event, ClientTimedOut) else 503)
            case RequestReceived():
                self._take_request(event)
            case AckReceived(request=request):
                self._put(self._session_of(id_from_request(request)), event)
            case CancelReceived(key=key) | AckTimedOut(key=key) | ServerTransportFailed(key=key):
                self._put(self._by_server.get(key), event)

    @staticmethod
    def _put(session: RecordingSession | None, event: SessionEvent) -> None:
        if session is not None:
            session.put(event)

    def _session_of(self, dialog: DialogId) -> RecordingSession | None:
        return self._by_dialog.get(dialog[:2])

    def _take_request(self, event: RequestReceived) -> None:
        request = event.request
        if request.to_tag is not None:
            session = self._session_of(id_from_request(request))
            if session is None:
                self._stack.respond(event.key, response_to(request, 481))
            else:
                self._by_server[event.key] = session
                session.put(event)
        elif request.method == "INVITE":
            self._open_session(event)
        else:
            answer = response_to(request, 200 if request.method == "OPTIONS" else 481)
            put_abilities(answer)
            self._stack.respond(event.key, answer)

    def _open_session(self, event: RequestReceived) -> None:
        request, source = event.request, event.source
        if len(self._tasks) >= self.options.max_sessions:
            self._stack.respond(event.key, response_to(request, 503))
            return
        try:
            store = SessionStore.open(self.options.directory, request.call_id)
        except OSError as error:
            self.observer(Changed(request.call_id, "failed", f"cannot be kept: {error.strerror or error}"))
            self._stack.respond(event.key, response_to(request, 500))
            return
        ready = self.options.behaviour.inactive_for_s is None
        session = RecordingSession(
            board=self,
            source=source,
            host=self._host(source),
            contact=self._contact(request, source),
            store=store,
            lines=Lines(self.options, store, ready=ready),
            judge=Judge(store, self.options.strict, self.tell),
        )
        self._by_server[event.key] = session
        self.observer(Offered(session.name, f"{source.host}:{source.port}", str(request.from_.uri)))
        task = asyncio.get_running_loop().create_task(self._carry(session, event), name="recorder session")
        self._tasks[task] = session
        task.add_done_callback(self._forget)

    def _host(self, source: Source) -> str:
        if source.local_host and not is_wildcard(source.local_host):
            return source.local_host
        return local_address_towards(source.host) or self._stack.bound[0].host

    def _contact(self, request: Request, source: Source) -> str:
        secure = wants_secure_contact(request) and SECURE_CONTACT in self._stack.contacts
        uri = SipUri.parse(self._stack.contacts[SECURE_CONTACT if secure else source.transport])
        return f"<{replace(uri, user='record')}>;+sip.srs"

    async def _carry(self, session: RecordingSession, event: RequestReceived) -> None:
        result = await session.run(event)
        self.results.append(result)
        self.ended += 1
        self.observer(Ended(result))
        async with self._changed:
            self._changed.notify_all()

    def _forget(self, task: asyncio.Task[None]) -> None:
        session = self._tasks.pop(task)
        _drop(self._by_server, session)
        _drop(self._by_client, session)
        _drop(self._by_dialog, session)
        if not task.cancelled() and task.exception() is not None:
            self.observer(Changed(session.name, "failed", repr(task.exception())))


def _drop(known: dict[_Key, RecordingSession], session: RecordingSession) -> None:
    for key in [key for key, owner in known.items() if owner is session]:
        del known[key]
