"""A scripted phone on the product's own SIP stack: makes and takes calls, plays and records G.711."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from sidestream import sdp
from sidestream.call.commands import NextHop
from sidestream.call.setup import SECURE_CONTACT
from sidestream.config.values import Srtp
from sidestream.errors import SidestreamError
from sidestream.gateway.next_hop import hops_of
from sidestream.gateway.sip_options import ListenAddress, StackOptions, TlsMaker
from sidestream.gateway.sip_stack import SipStack
from sidestream.sdp.protection import Protection
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import MAX_FORWARDS, Dialog, DialogId, id_from_request
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
from sidestream.sip.headers import NameAddr
from sidestream.sip.hop import Hop
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.secure import wants_secure_contact
from sidestream.sip.serializer import serialize
from sidestream.sip.uri import SipUri, wire_host
from sidestream.tools.g711 import Law
from sidestream.tools.phone_call import SDP_TYPE, CallFailedError, PhoneCall
from sidestream.tools.rtp_session import RtpSession

METHODS = frozenset({"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO"})
ALLOW = ", ".join(sorted(METHODS))
MAX_WAITING = 16
"""Incoming calls that wait to be taken; more are answered with 486."""
MAX_TRACE = 10_000
OPEN_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One SIP message that the phone sent or received; `at` in seconds of the event loop's clock."""

    at: float
    direction: Literal["sent", "received"]
    first_line: str
    cseq: str
    text: str


@dataclass(frozen=True, slots=True)
class PhoneOptions:
    """How a phone presents itself.

    Attributes:
        listen: where it listens; port 0 for any free one.
        user: user part of its address.
        display_name: name shown to the other side.
        law: the codec that it prefers.
        srtp: whether it offers and takes SRTP, or nothing else.
        tls: makes the TLS of its connections; without it there is none.
    """

    listen: ListenAddress = field(default_factory=lambda: ListenAddress("udp", "127.0.0.1", 0))
    user: str = "phone"
    display_name: str = ""
    law: Law = "PCMU"
    srtp: Srtp = Srtp.OFF
    tls: TlsMaker | None = None


@dataclass(slots=True)
class Phone:
    """A phone. Make one with `Phone.open`, and close it.

    Attributes:
        options: how it presents itself.
        calls: every call since it was opened.
        trace: its SIP messages, bounded.
    """

    options: PhoneOptions
    calls: list[PhoneCall] = field(default_factory=list)
    trace: list[TraceEntry] = field(default_factory=list)
    _incoming: asyncio.Queue[PhoneCall] = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))
    _by_client: dict[ClientKey, PhoneCall] = field(default_factory=dict)
    _by_server: dict[ServerKey, PhoneCall] = field(default_factory=dict)
    _arriving: set[asyncio.Task[None]] = field(default_factory=set)
    _cancelled: set[ServerKey] = field(default_factory=set)
    _opened: SipStack | None = None

    @classmethod
    async def open(cls, options: PhoneOptions) -> Phone:
        """Bind the phone's sockets.

        Raises:
            ListenError: its address cannot be bound.
        """
        phone = cls(options)
        phone._opened = await SipStack.open(
            [options.listen], phone.take, StackOptions(allowed_methods=METHODS, tls=options.tls)
        )
        return phone

    @property
    def law(self) -> Law:
        """The codec that it prefers."""
        return self.options.law

    @property
    def _stack(self) -> SipStack:
        if self._opened is None:
            raise SidestreamError("the phone has not been opened")
        return self._opened

    @property
    def contact(self) -> str:
        """The Contact value."""
        return self.contact_by(self.options.listen.transport)

    @property
    def secure_contact(self) -> str:
        """The Contact value of a `sips` call, where it listens on TLS; else as `contact`."""
        return self.contact_by(SECURE_CONTACT if SECURE_CONTACT in self._stack.contacts else "")

    def contact_by(self, key: str) -> str:
        """The Contact value by a transport or `SECURE_CONTACT`."""
        uri = SipUri.parse(self._stack.contacts[key or self.options.listen.transport])
        return f"<{replace(uri, user=self.options.user)}>"

    @property
    def address(self) -> NameAddr:
        """Its own address as in From."""
        own = self._stack.bound[0]
        uri = SipUri("sip", self.options.user, wire_host(own.host), own.port)
        return NameAddr(uri, self.options.display_name)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._stack.bound[0].port

    async def close(self) -> None:
        """Close all sockets; calls are let go without a word."""
        for task in self._arriving:
            task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        for call in self.calls:
            call.finish("the phone was closed")
            await call.media.close()
        await self._stack.close()

    async def dial(self, uri: str, headers: Iterable[tuple[str, str]] = ()) -> PhoneCall:
        """Send an INVITE; the call is settled later.

        Args:
            uri: whom to call.
            headers: further header lines.

        Raises:
            ParseError: the URI is none.
            CallFailedError: it leads nowhere.
        """
        target = SipUri.parse(uri)
        call = await self._new_call(f"{secrets.token_hex(12)}@{self.options.listen.host}")
        call.local_tag = secrets.token_hex(6)
        if target.scheme == "sips":
            call.contact = self.secure_contact
        invite = Request("INVITE", str(target.without_headers()), Headers())
        for name, value in (
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", str(self.address.with_tag(call.local_tag))),
            ("To", f"<{target.without_headers()}>"),
            ("Call-ID", call.call_id),
            ("CSeq", "1 INVITE"),
            ("Contact", call.contact or self.contact),
            ("Allow", ALLOW),
            ("User-Agent", "sidestream-call"),
            ("Content-Type", SDP_TYPE),
            *headers,
        ):
            invite.headers.add(name, value)
        invite.body = call.first_offer()
        call.invite = invite
        call.client_key = await self.request(call, invite, str(target))
        return call

    async def wait_call(self, timeout_s: float) -> PhoneCall | None:
        """Return the next incoming call; None when none came in time."""
        try:
            return await asyncio.wait_for(self._incoming.get(), timeout_s)
        except TimeoutError:
            return None

    async def request(self, call: PhoneCall, request: Request, to: str) -> ClientKey:
        """Send a request of a call to where a URI leads; raises CallFailedError when it leads nowhere."""
        hops = hops_of(NextHop(uri=to, heard_from=call.heard_from), await self._stack.resolve(to))
        if not hops:
            raise CallFailedError(f"{to} leads nowhere", hint="Name an IP address, or a host that resolves.")
        self._note("sent", request)
        key = self._stack.send_request(request, hops)
        self._by_client[key] = call
        return key

    def respond(self, key: ServerKey, response: Response) -> None:
        """Answer a request."""
        self._note("sent", response)
        self._stack.respond(key, response)

    def acknowledge(self, call: PhoneCall, ack: Request, to: str) -> None:
        """Send an ACK to where a URI leads, or else where the answer came from."""
        hops = hops_of(NextHop(uri=to, heard_from=call.heard_from), self._stack.resolve_now(to) or ())
        if hops:
            self._note("sent", ack)
            self._stack.send_ack(ack, hops[0])

    def cancel(self, key: ClientKey) -> None:
        """Give up an INVITE."""
        self._stack.cancel(key)

    def confirm(self, key: ServerKey) -> None:
        """Take note of the ACK to a 2xx."""
        self._stack.confirm_2xx(key)

    def take(self, event: SipEvent) -> None:
        """Take an event of the SIP stack."""
        match event:
            case ResponseReceived(key=key, response=response, source=source):
                self._note("received", response)
                if (call := self._by_client.get(key)) is not None:
                    call.heard_from = source.hop
                    call.take_response(key, response)
            case ClientTimedOut(key=key) | ClientTransportFailed(key=key):
                if (call := self._by_client.get(key)) is not None:
                    call.take_failure(key, 408 if isinstance(event, ClientTimedOut) else 503)
            case ClientSilent():
                pass  # one destination only: it has its whole time
            case _:
                self._take_from_server(event)

    def _take_from_server(
        self,
        event: RequestReceived
        | AckReceived
        | CancelReceived
        | AckTimedOut
        | PrackTimedOut
        | ServerTransportFailed,
    ) -> None:
        match event:
            case RequestReceived(key=key, request=request, source=source):
                self._note("received", request)
                self._take_request(key, request, source.hop)
            case AckReceived(request=request):
                self._note("received", request)
                if (call := self._call_of(id_from_request(request))) is not None:
                    call.take_ack(request)
            case CancelReceived(key=key, request=request):
                self._note("received", request)
                if (call := self._by_server.get(key)) is None:
                    self._cancelled.add(key)
                else:
                    call.take_cancel()
            case AckTimedOut(key=key) | PrackTimedOut(key=key) | ServerTransportFailed(key=key):
                if (call := self._by_server.get(key)) is not None:
                    call.finish("our answer was never acknowledged")

    def _take_request(self, key: ServerKey, request: Request, hop: Hop) -> None:
        if request.to_tag is not None:
            call = self._call_of(id_from_request(request))
            if call is None:
                self.respond(key, response_to(request, 481))
            else:
                call.heard_from = hop
                call.take_request(key, request)
        elif request.method == "INVITE":
            task = asyncio.get_running_loop().create_task(
                self._arrive(key, request, hop), name="phone arrive"
            )
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
        else:
            answer = response_to(request, 200 if request.method == "OPTIONS" else 481)
            answer.headers.add("Allow", ALLOW)
            self.respond(key, answer)

    async def _arrive(self, key: ServerKey, request: Request, hop: Hop) -> None:
        """Make a call of an INVITE; whoever waits for it decides."""
        call = await self._new_call(request.call_id)
        call.local_tag = secrets.token_hex(6)
        call.invite = request
        call.server_key = key
        call.heard_from = hop
        if wants_secure_contact(request):
            call.contact = self.secure_contact
        call.dialog = Dialog.from_invite_uas(request, call.local_tag, call.contact or self.contact)
        self._by_server[key] = call
        try:
            if key in self._cancelled:
                self._cancelled.discard(key)
                call.take_cancel()
                return
            if request.body:
                call.take_offer(sdp.parse(request.body))
            self._incoming.put_nowait(call)
        except sdp.SdpError as error:
            call.reject(error.sip_status)
        except asyncio.QueueFull:
            call.reject(486)

    async def _new_call(self, call_id: str) -> PhoneCall:
        host = self.options.listen.host
        try:
            media = await asyncio.wait_for(RtpSession.open(host), OPEN_TIMEOUT_S)
        except OSError as error:
            raise SidestreamError(f"cannot open RTP on {host}: {error}") from error
        origin = sdp.Origin("-", secrets.randbits(62), 1, host)
        policy = self.options.srtp
        protection = Protection(
            plain=policy is not Srtp.REQUIRED, secure=policy is not Srtp.OFF, secret=secrets.token_bytes
        )
        call = PhoneCall(self, media, call_id, origin, protection)
        self.calls.append(call)
        return call

    def _call_of(self, dialog: DialogId) -> PhoneCall | None:
        return next(
            (call for call in self.calls if call.dialog is not None and call.dialog.id == dialog), None
        )

    def _note(self, direction: Literal["sent", "received"], message: Message) -> None:
        if len(self.trace) >= MAX_TRACE:
            return
        first = (
            f"{message.method} {message.uri}"
            if isinstance(message, Request)
            else f"{message.status} {message.reason}"
        )
        text = serialize(message).decode(errors="replace")
        at = asyncio.get_running_loop().time()
        self.trace.append(TraceEntry(at, direction, first, str(message.cseq), text))
