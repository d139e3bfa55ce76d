"""One recording session at a development recorder: its dialog, its judgements, its streams.

Whatever comes is taken in order by one task, `run`. Requests of our own go out beside it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Protocol

from sidestream import sdp
from sidestream.errors import SidestreamError
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import Dialog
from sidestream.sip.errors import ParseError
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientKey,
    RequestReceived,
    ServerKey,
    ServerTransportFailed,
)
from sidestream.sip.hop import Source
from sidestream.sip.message import Message, Request, Response
from sidestream.sip.serializer import serialize
from sidestream.tools import recorder_answers as answers
from sidestream.tools.recorder_behaviour import start_behaviour
from sidestream.tools.recorder_events import Changed, RecorderEvent
from sidestream.tools.recorder_findings import Finding, remark, violation, violations
from sidestream.tools.recorder_judge import Judge
from sidestream.tools.recorder_lines import Lines
from sidestream.tools.recorder_options import RecorderOptions
from sidestream.tools.recorder_result import Facts, SessionResult
from sidestream.tools.recorder_rules import (
    read_body,
)
from sidestream.tools.recorder_store import SessionStore
from sidestream.tools.recorder_timer import Timer, agree

INBOX: Final = 64
"""Messages of one session that may wait; a client that sends more is refused with 500."""
REQUEST_TIMEOUT_S: Final = 35.0
"""A little over 64*T1, after which the transaction itself gives up (RFC 3261 section 17.1.1.2)."""
ACK_TIMEOUT_S: Final = 40.0


class Phase(Enum):
    """Where a session stands."""

    SETTING_UP = "setting up"
    UP = "up"
    OVER = "over"


class RequestFailedError(SidestreamError):
    """A request of ours leads nowhere."""


class Board(Protocol):
    """What a session needs of the recorder that it is at."""

    @property
    def options(self) -> RecorderOptions:
        """How the recorder works."""
        ...

    async def request(self, session: RecordingSession, request: Request, to: str) -> ClientKey:
        """Send a request to where a URI leads; raises RequestFailedError when it leads nowhere."""
        ...

    def respond(self, key: ServerKey, response: Response) -> None:
        """Answer a request."""
        ...

    def acknowledge(self, session: RecordingSession, ack: Request, to: str) -> None:
        """Send an ACK to where a URI leads, or else where the answer came from."""
        ...

    def confirm(self, key: ServerKey) -> None:
        """Take note of the ACK to a 2xx."""
        ...

    def tell(self, event: RecorderEvent) -> None:
        """Tell whoever watches."""
        ...


SessionEvent = RequestReceived | AckReceived | CancelReceived | AckTimedOut | ServerTransportFailed


@dataclass(slots=True)
class RecordingSession:
    """A session, from its INVITE on.

    Attributes:
        board: the recorder.
        source: where the INVITE came from.
        host: our address as the client reaches it.
        contact: our Contact value.
        store: its files.
        judge: judges its messages.
        lines: its streams.
        inbox: what has come and was not taken yet.
        phase: where it stands.
        ending: why it is over, in words.
        dialog: its dialog; None before it is accepted.
        timer: its session timer; None for none.
        result: what is known of it, once it is over.
    """

    board: Board
    source: Source
    host: str
    contact: str
    store: SessionStore
    lines: Lines
    judge: Judge
    inbox: asyncio.Queue[SessionEvent | None] = field(default_factory=lambda: asyncio.Queue(INBOX))
    phase: Phase = Phase.SETTING_UP
    ending: str = ""
    dialog: Dialog | None = None
    timer: Timer | None = None
    result: SessionResult | None = None
    _invite: Request | None = None
    _invite_key: ServerKey | None = None
    _status: int = 0
    _began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _wanted_end: bool = False
    _ended_by_us: bool = False
    _answers: dict[int, ServerKey] = field(default_factory=dict)
    _offered_in_answer: bool = False
    _asking: bool = False
    _waiting: dict[ClientKey, tuple[Request, asyncio.Future[Response]]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.store.directory.name

    @property
    def options(self) -> RecorderOptions:
        """How the recorder works."""
        return self.board.options

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.phase is Phase.OVER

    # --- what has come --------------------------------------------------------------------------------------

    async def run(self, invite: RequestReceived) -> SessionResult:
        """Take what comes until the session is over; returns what is known of it then."""
        try:
            await self._take_invite(invite)
            while not self.over:
                event = await self._next()
                if event is not None:
                    await self._take(event)
                elif not self.over:
                    self.end("the ACK of our answer never came")
                    await self._goodbye()
        finally:
            result = await self._finish()
        return result

    async def _next(self) -> SessionEvent | None:
        if self.phase is Phase.UP:
            return await self.inbox.get()
        try:
            return await asyncio.wait_for(self.inbox.get(), ACK_TIMEOUT_S)
        except TimeoutError:
            return None

    def put(self, event: SessionEvent) -> None:
        """Take what came for this session; never waits."""
        try:
            self.inbox.put_nowait(event)
        except asyncio.QueueFull:
            if isinstance(event, RequestReceived):
                self.board.respond(event.key, response_to(event.request, 500))

    async def _take(self, event: SessionEvent) -> None:
        match event:
            case RequestReceived(key=key, request=request, source=source):
                self.source = source
                await self._take_request(key, request)
            case AckReceived(request=request):
                self._take_ack(request)
            case CancelReceived():
                pass  # Our final answer crossed it.
            case AckTimedOut():
                if self.phase is not Phase.OVER:
                    self.end("our answer was never acknowledged")
                    await self._goodbye()
            case ServerTransportFailed():
                self.end("our answer could not be sent")

    # --- the first INVITE -----------------------------------------------------------------------------------

    async def _take_invite(self, event: RequestReceived) -> None:
        request, behaviour = event.request, self.options.behaviour
        self._invite, self._invite_key = request, event.key
        wire = self._keep("received", request)
        read = self.judge.invite(request, len(wire))
        if await self._cancelled(behaviour.answer_delay_s):
            self._respond(event.key, request, response_to(request, 487, to_tag=secrets.token_hex(6)))
            self.end("the client gave up before the answer", status=487)
            return
        if behaviour.reject is not None:
            self._refuse(event.key, request, behaviour.reject, [])
        elif not read.accepted:
            self._refuse(event.key, request, 400, violations(read.findings))
        elif read.description is None:
            self._refuse(event.key, request, 488, read.findings)
        else:
            await self._accept_invite(event.key, request, read.description)

    async def _accept_invite(self, key: ServerKey, request: Request, offer: sdp.SessionDescription) -> None:
        try:
            body = await self.lines.answer(offer, self.host)
        except (OSError, SidestreamError) as error:
            self.board.tell(Changed(self.name, "failed", f"no ports for the media: {error}"))
            self._refuse(key, request, 500, [])
            return
        if self.lines.refused_all:
            self._refuse(key, request, 488, [violation("codec", "no stream can be recorded")])
            return
        tag = secrets.token_hex(6)
        self.dialog = Dialog.from_invite_uas(request, tag, self.contact)
        self.dialog.confirmed = True
        response = response_to(request, 200, to_tag=tag)
        self.timer = agree(request, response, self.options.behaviour.session_expires_s)
        self._put_answer(response, sdp.serialize(body))
        self._answers[request.cseq.number] = key
        self._status = 200
        self._respond(key, request, response)
        self.board.tell(Changed(self.name, "answered", self.lines.words))

    async def _cancelled(self, delay_s: float) -> bool:
        """Let the client wait; true when it gave up."""
        if delay_s <= 0:
            return False
        loop = asyncio.get_running_loop()
        until = loop.time() + delay_s
        while (left := until - loop.time()) > 0:
            try:
                event = await asyncio.wait_for(self.inbox.get(), left)
            except TimeoutError:
                return False
            if event is None or isinstance(event, CancelReceived):
                return True
        return False

    def _put_answer(self, response: Response, body: bytes) -> None:
        behaviour = self.options.behaviour
        metadata = read_body(self._invite).metadata if behaviour.multipart_answer and self._invite else None
        answers.put_session(response, body, metadata)

    # --- requests within the session ------------------------------------------------------------------------

    async def _take_request(self, key: ServerKey, request: Request) -> None:
        self._keep("received", request)
        dialog = self.dialog
        if dialog is None or self.phase is Phase.OVER:
            self._respond(key, request, response_to(request, 481))
        elif not dialog.accept_remote_cseq(request.cseq.number):
            self.judge.note(request.method, violation("cseq", "CSeq went back", "RFC 3261 section 12.2.2"))
            self._respond(key, request, response_to(request, 500))
        elif request.method == "BYE":
            self._take_bye(key, request)
        elif request.method in {"INVITE", "UPDATE"}:
            await self._take_change(key, request)
        else:
            self._respond(key, request, response_to(request, 200))

    def _take_bye(self, key: ServerKey, request: Request) -> None:
        self.judge.bye(request)
        self._respond(key, request, response_to(request, 200))
        reason = request.headers.get("Reason")
        self.end("the client said BYE" + (f": {reason[:80]}" if reason else ""), wanted=True)

    async def _take_change(self, key: ServerKey, request: Request) -> None:
        if request.method == "UPDATE" and self.options.behaviour.refuse_update:
            self._respond(key, request, response_to(request, 488))
            self.board.tell(Changed(self.name, "refused", "an UPDATE with 488, as told"))
            return
        if self._asking and (request.method == "INVITE" or read_body(request).sdp is not None):
            self._respond(key, request, response_to(request, 491))
            return
        read = self.judge.change(request, self.lines.theirs)
        if not read.accepted:
            self._refuse(key, request, 400, violations(read.findings))
            return
        await self._accept_change(key, request, read.description)

    async def _accept_change(
        self, key: ServerKey, request: Request, offer: sdp.SessionDescription | None
    ) -> None:
        if self.dialog is not None:
            self.dialog.update_target(request)
        response = response_to(request, 200)
        if offer is not None:
            try:
                said = await self.lines.answer(offer, self.host)
            except (OSError, SidestreamError):
                self._respond(key, request, response_to(request, 500))
                return
            self._put_answer(response, sdp.serialize(said))
            self.board.tell(Changed(self.name, request.method, self.lines.words))
        elif request.method == "INVITE":
            self._offered_in_answer = True
            self._put_answer(response, sdp.serialize(self.lines.offer(self.host)))
        renewed = agree(request, response, self.options.behaviour.session_expires_s)
        if self.timer is not None and renewed is not None:
            self.timer.renew(renewed)
        if request.method == "INVITE":
            self._answers[request.cseq.number] = key
        self._respond(key, request, response)

    def _take_ack(self, request: Request) -> None:
        self._keep("received", request)
        key = self._answers.pop(request.cseq.number, None)
        if key is not None:
            self.board.confirm(key)
        if self._offered_in_answer and request.body:
            self._offered_in_answer = False
            self._take_answer("ACK", request)
        if self.phase is Phase.SETTING_UP and self.dialog is not None:
            self.phase = Phase.UP
            start_behaviour(self)

    # --- requests of our own --------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Let something go on beside the session; it ends with the session at the latest."""
        task = asyncio.get_running_loop().create_task(work, name=f"recorder {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, method: str, content: answers.Content | None = None) -> Response:
        """Send a request within the session; a 408 or 503 of our own stands for what never came."""
        if self.dialog is None:
            return Response(503, "No Dialog")
        request = self.dialog.create_request(method)
        if method in {"INVITE", "UPDATE"}:
            request.headers.add("Require", "siprec")
            answers.put_abilities(request)
        if content is not None:
            content.put_on(request)
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._keep("sent", request)
        try:
            key = await self.board.request(self, request, self.dialog.next_hop_uri())
        except RequestFailedError as error:
            return Response(503, str(error))
        self._waiting[key] = (request, future)
        try:
            return await asyncio.wait_for(future, REQUEST_TIMEOUT_S)
        except TimeoutError:
            return Response(408, "no answer in time")

    async def reoffer(self) -> int:
        """Offer by re-INVITE what `lines` says now; returns the final status."""
        self._asking = True
        try:
            content = answers.Content(answers.SDP_TYPE, sdp.serialize(self.lines.offer(self.host)))
            response = await self.ask("INVITE", content)
        finally:
            self._asking = False
        if response.status == 200:
            self._take_answer("200", response)
        self.board.tell(Changed(self.name, "re-INVITE", f"{response.status}: {self.lines.words}"))
        return response.status

    def _take_answer(self, name: str, message: Message) -> None:
        """Take the client's answer to an offer of ours."""
        description = self.judge.answer(name, message, self.lines.ours, self.lines.theirs)
        if description is not None:
            self.lines.take_answer(description)

    def take_response(self, key: ClientKey, response: Response) -> None:
        """Take a response to a request of ours; a 2xx to INVITE is acknowledged each time it comes."""
        if key not in self._waiting or response.status < 200:
            return
        request, future = self._waiting[key]
        if not future.done():
            self._keep("received", response)
        if request.method == "INVITE" and response.status < 300 and self.dialog is not None:
            self.dialog.update_target(response)
            ack = self.dialog.create_ack(request.cseq.number)
            self.board.acknowledge(self, ack, self.dialog.next_hop_uri())
        if not future.done():
            future.set_result(response)

    def take_failure(self, key: ClientKey, status: int) -> None:
        """A request of ours came to nothing: it is as if `status` had come (RFC 3261 section 8.1.3.1)."""
        if key in self._waiting and not self._waiting[key][1].done():
            self._waiting[key][1].set_result(Response(status, "no answer" if status == 408 else "not sent"))

    # --- its end --------------------------------------------------------------------------------------------

    def end(self, ending: str, *, wanted: bool = False, by_us: bool = False, status: int = 0) -> None:
        """The session is over; `run` comes to its end."""
        if self.phase is Phase.OVER:
            return
        self.phase = Phase.OVER
        self.ending, self._wanted_end, self._ended_by_us = ending, wanted, by_us
        self._status = status or self._status
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def hang_up(self, ending: str, *, wanted: bool) -> None:
        """End the session by a BYE of ours."""
        if self.phase is Phase.OVER:
            return
        set_up = self.dialog is not None
        self.end(ending, wanted=wanted, by_us=True)
        if set_up:
            await self._goodbye()
        self.wake()

    def wake(self) -> None:
        """Let `run` see that the session is over."""
        if not self.inbox.full():
            self.inbox.put_nowait(None)

    async def _goodbye(self) -> None:
        response = await self.ask("BYE")
        if response.status != 200:
            text = f"our BYE was answered with {response.status}"
            self.judge.note("BYE", remark("bye-unanswered", text))

    async def _finish(self) -> SessionResult:
        self.end(self.ending or "the recorder failed")
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        await asyncio.gather(*tasks, return_exceptions=True)
        tracks = await self.lines.close()
        headers = tuple(self._invite.headers) if self._invite is not None else ()
        facts = Facts(
            call_id=self._invite.call_id if self._invite is not None else "",
            peer=f"{self.source.host}:{self.source.port}",
            ending=self.ending,
            wanted_end=self._wanted_end,
            ended_by_recorder=self._ended_by_us,
            invite_status=self._status,
            began_at=self._began,
            headers=headers,
            parties=self.judge.history.parties,
            metadata_ended=self.judge.history.ended,
        )
        self.result = await asyncio.to_thread(self.store.finish, facts, tracks)
        return self.result

    # --- how it speaks --------------------------------------------------------------------------------------

    def _refuse(self, key: ServerKey, request: Request, status: int, why: list[Finding]) -> None:
        response = response_to(request, status, to_tag=secrets.token_hex(6))
        answers.put_refusal(response, why, self.host)
        self._respond(key, request, response)
        self.board.tell(Changed(self.name, "refused", f"{request.method} with {status}"))
        if self.dialog is None:
            self.end(f"refused with {status}", status=status)

    def _respond(self, key: ServerKey, request: Request, response: Response) -> None:
        if response.status < 300 and request.method in {"INVITE", "UPDATE"}:
            response.headers.add("Contact", self.contact)
            answers.put_abilities(response)
        self._keep("sent", response)
        self.board.respond(key, response)

    def _keep(self, direction: str, message: Message) -> bytes:
        try:
            data = serialize(message)
        except ParseError:
            return b""
        self.store.keep_message(datetime.now(UTC), direction, data)
        return data
