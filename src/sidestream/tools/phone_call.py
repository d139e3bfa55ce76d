"""One call of the scripted phone: its dialog, its offers and answers, its audio."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sidestream import sdp
from sidestream.errors import Fault, SidestreamError
from sidestream.sdp.protection import Protection
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import Dialog
from sidestream.sip.events import ClientKey, ServerKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response
from sidestream.tools.g711 import Law
from sidestream.tools.phone_sdp import AgreedMedia, agreed, answer_to, crypto_of_offer, describe
from sidestream.tools.rtp_session import RtpSession

REQUEST_TIMEOUT_S = 35.0
"""A little over 64*T1, after which the transaction itself gives up (RFC 3261 section 17.1.1.2)."""
GLARE_ATTEMPTS = 3
SDP_TYPE = "application/sdp"


class CallFailedError(SidestreamError):
    """The call, or a change of it, was refused or not answered; `status` is the SIP status."""

    fault = Fault.PEER

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Phase(Enum):
    """Where a call stands."""

    SETTING_UP = "setting up"
    ANSWERED = "answered"
    OVER = "over"


class Line(Protocol):
    """What a call needs of the phone that it is on."""

    @property
    def contact(self) -> str:
        """The Contact value."""
        ...

    @property
    def law(self) -> Law:
        """The preferred G.711 law."""
        ...

    async def request(self, call: PhoneCall, request: Request, to: str) -> ClientKey:
        """Send a request to where a URI leads; raises CallFailedError when it leads nowhere."""
        ...

    def respond(self, key: ServerKey, response: Response) -> None:
        """Answer a request."""
        ...

    def acknowledge(self, call: PhoneCall, ack: Request, to: str) -> None:
        """Send an ACK to where a URI leads, or else where the answer came from."""
        ...

    def cancel(self, key: ClientKey) -> None:
        """Give up an INVITE."""
        ...

    def confirm(self, key: ServerKey) -> None:
        """Take note of the ACK to a 2xx."""
        ...


@dataclass(slots=True)
class PhoneCall:
    """One call, made or received.

    Attributes:
        line: the phone.
        media: the audio session.
        call_id: the Call-ID.
        phase: where it stands.
        ending: why it is over, in words; empty before.
        status: the final status of the INVITE; 0 before.
        statuses: every status of the INVITE in order.
        agreed: the media agreed on; None before.
        held_by_us: whether we put it on hold.
        held_by_peer: whether the peer did.
        ringing: set by a 180 or 183.
        settled: set when it was answered or failed.
        acknowledged: set by the ACK of our answer, or when we sent ours.
        over: set when it has ended.
    """

    line: Line
    media: RtpSession
    call_id: str
    origin: sdp.Origin
    protection: Protection = field(default_factory=Protection)
    exchange: sdp.OfferAnswer = field(default_factory=sdp.OfferAnswer)
    dialog: Dialog | None = None
    phase: Phase = Phase.SETTING_UP
    ending: str = ""
    status: int = 0
    statuses: list[int] = field(default_factory=list)
    agreed: AgreedMedia | None = None
    held_by_us: bool = False
    held_by_peer: bool = False
    ringing: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    invite: Request | None = None
    """The INVITE that made it."""
    client_key: ClientKey | None = None
    server_key: ServerKey | None = None
    local_tag: str = ""
    contact: str = ""
    """Our Contact value in it; the phone's own when empty."""
    heard_from: Hop | None = None
    """Where the peer was last heard from."""
    _waiting: dict[ClientKey, tuple[Request, asyncio.Future[Response]]] = field(default_factory=dict)
    _answers: dict[int, ServerKey] = field(default_factory=dict)

    async def answered(self, timeout_s: float = 60.0) -> None:
        """Wait until the call is answered.

        Raises:
            CallFailedError: it was refused, or not answered in time.
        """
        try:
            await asyncio.wait_for(self.settled.wait(), timeout_s)
        except TimeoutError:
            raise CallFailedError(f"no answer within {timeout_s:g} s", status=408) from None
        if self.status >= 300 or self.phase is Phase.OVER:
            raise CallFailedError(f"the call failed: {self.ending}", status=self.status)
        if self.agreed is None and self.acknowledged.is_set():
            raise CallFailedError(self.ending or "no audio was agreed on", status=488)

    async def ended(self, timeout_s: float) -> bool:
        """Wait until the call is over; False when the time ran out."""
        try:
            await asyncio.wait_for(self.over.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def ring(self) -> None:
        """Answer an incoming call's INVITE with 180."""
        self._respond_invite(180)

    def answer(self) -> None:
        """Answer an incoming call.

        Raises:
            NegotiationError: its offer has nothing for us; the call is refused with 488.
        """
        if self.phase is not Phase.SETTING_UP:
            return
        if self.exchange.state is sdp.State.HAVE_REMOTE_OFFER:
            try:
                body = self._answer_offer()
            except sdp.NegotiationError:
                self.reject(488)
                raise
        else:
            body = sdp.serialize(self._offer())
        self.phase = Phase.ANSWERED
        if self.dialog is not None:
            self.dialog.confirmed = True
        self._respond_invite(200, body)
        self.settled.set()

    def reject(self, status: int = 486) -> None:
        """Refuse an incoming call."""
        if self.phase is Phase.SETTING_UP:
            self._respond_invite(status)
            self.finish(f"refused with {status}")

    async def hold(self) -> None:
        """Put the peer on hold; queued audio waits until `resume`.

        Raises:
            CallFailedError: the peer does not agree.
        """
        await self._change_hold(held=True)

    async def resume(self) -> None:
        """Take the peer back.

        Raises:
            CallFailedError: the peer does not agree.
        """
        await self._change_hold(held=False)

    async def change_law(self, law: Law) -> None:
        """Go on in another G.711 law, by re-INVITE (RFC 3264 section 8.3.2).

        Raises:
            CallFailedError: the peer does not agree; the call goes on in the old law.
        """
        await self._change_media((law,))

    async def hang_up(self) -> None:
        """End the call from our side, whatever its phase, and wait until that is done."""
        if self.phase is Phase.OVER:
            return
        if self.phase is Phase.SETTING_UP:
            await self._abandon()
            return
        self.finish("we hung up")
        await self._exchange_request("BYE")

    def finish(self, ending: str) -> None:
        """The call is over; nothing is sent any more."""
        if self.phase is Phase.OVER:
            return
        self.phase = Phase.OVER
        self.ending = ending
        self.media.set_sending(False)
        self.settled.set()
        self.over.set()

    def take_response(self, key: ClientKey, response: Response) -> None:
        """Take a response to one of our requests."""
        if key == self.client_key:
            self._take_invite_response(response)
            return
        if key not in self._waiting or response.status < 200:
            return
        request, future = self._waiting[key]
        if request.method == "INVITE" and response.status < 300:
            self._acknowledge(request)
        if not future.done():
            future.set_result(response)

    def take_failure(self, key: ClientKey, status: int) -> None:
        """One of our requests came to nothing: it is as if `status` had come (RFC 3261 section 8.1.3.1)."""
        why = "no answer in time" if status == 408 else "it could not be sent"
        if key == self.client_key and self.phase is Phase.SETTING_UP:
            self.status = status
            self.finish(f"{status}: {why}")
        elif key in self._waiting and not self._waiting[key][1].done():
            self._waiting[key][1].set_result(Response(status, why))

    def take_request(self, key: ServerKey, request: Request) -> None:
        """Take a request inside the dialog."""
        if self.dialog is not None and not self.dialog.accept_remote_cseq(request.cseq.number):
            self.line.respond(key, response_to(request, 500, "Out Of Order"))
            return
        match request.method:
            case "BYE":
                self.line.respond(key, response_to(request, 200))
                self.finish("the far side hung up")
            case "INVITE" | "UPDATE":
                self._take_change(key, request)
            case _:
                self.line.respond(key, response_to(request, 200))

    def take_ack(self, request: Request) -> None:
        """Take the ACK of a 2xx of ours; it may hold the answer to our offer."""
        key = self._answers.pop(request.cseq.number, None)
        if key is not None:
            self.line.confirm(key)
        if request.body and self.exchange.state is sdp.State.HAVE_LOCAL_OFFER:
            self._take_answer(request.body)
        self.acknowledged.set()

    def take_cancel(self) -> None:
        """The caller gave up."""
        if self.phase is Phase.SETTING_UP:
            self._respond_invite(487)
            self.finish("cancelled by the caller")

    def take_offer(self, offer: sdp.SessionDescription) -> None:
        """Take the peer's offer, but for what our rules bar."""
        self.exchange.receive_offer(self.protection.admitted(offer))

    async def renew_keys(self) -> None:
        """Go on under new keys of ours, by re-INVITE (RFC 4568 section 7.1.4).

        Raises:
            CallFailedError: the peer does not agree; the call goes on under the old ones.
        """
        before, self.protection = self.protection, self.protection.anew()
        try:
            await self._change_media()
        except CallFailedError:
            self.protection = before
            raise

    def first_offer(self) -> bytes:
        """Return the offer for an INVITE of ours."""
        return sdp.serialize(self._offer())

    def _take_invite_response(self, response: Response) -> None:
        self.statuses.append(response.status)
        invite = self.invite
        if invite is None or response.status == 100:
            return
        if response.status < 200:
            self._take_provisional(response)
        elif response.status >= 300:
            self.status = response.status
            self.finish(f"{response.status} {response.reason}")
        elif self.phase is Phase.SETTING_UP:
            self.status = response.status
            self.dialog = Dialog.from_invite_uac(invite, response)
            self.phase = Phase.ANSWERED
            self._take_answer(response.body)
            self._acknowledge(invite)
            self.acknowledged.set()
            self.settled.set()
        else:
            self._acknowledge(invite)  # It came again: so must the ACK (RFC 3261 section 13.2.2.4).

    def _take_provisional(self, response: Response) -> None:
        self.ringing.set()
        if response.body and self.exchange.state is sdp.State.HAVE_LOCAL_OFFER:
            try:
                self.exchange.receive_preview(sdp.parse(response.body))
                self._apply()
            except sdp.SdpError:
                return  # The answer that counts is in the 2xx.

    def _take_answer(self, body: bytes) -> None:
        try:
            self.exchange.receive_answer(sdp.parse(body))
            self._apply()
        except sdp.SdpError as error:
            self.agreed = None
            self.media.set_sending(False)
            self.ending = f"the answer cannot be used: {error}"

    def _take_change(self, key: ServerKey, request: Request) -> None:
        if self.dialog is not None:
            self.dialog.update_target(request)
        try:
            body = self._change_by_peer(request)
        except sdp.SdpError as error:
            self.line.respond(key, response_to(request, error.sip_status))
            return
        response = response_to(request, 200)
        response.headers.add("Contact", self.contact or self.line.contact)
        if body:
            response.headers.add("Content-Type", SDP_TYPE)
            response.body = body
        if request.method == "INVITE":
            self._answers[request.cseq.number] = key
        self.line.respond(key, response)

    def _change_by_peer(self, request: Request) -> bytes:
        if request.body:
            self.take_offer(sdp.parse(request.body))
            try:
                return self._answer_offer()
            except sdp.SdpError:
                self.exchange.reject()
                raise
        return b"" if request.method == "UPDATE" else sdp.serialize(self._offer())

    def _respond_invite(self, status: int, body: bytes = b"") -> None:
        if self.invite is None or self.server_key is None:
            return
        response = response_to(self.invite, status, to_tag=self.local_tag)
        if status < 300:
            response.headers.add("Contact", self.contact or self.line.contact)
        if body:
            response.headers.add("Content-Type", SDP_TYPE)
            response.body = body
        self.statuses.append(status)
        if status >= 200:
            self.status = status
            self._answers[self.invite.cseq.number] = self.server_key
        self.line.respond(self.server_key, response)

    def _acknowledge(self, invite: Request) -> None:
        if self.dialog is not None:
            ack = self.dialog.create_ack(invite.cseq.number)
            self.line.acknowledge(self, ack, self.dialog.next_hop_uri())

    async def _abandon(self) -> None:
        if self.client_key is None:
            self.reject(603)
            return
        self.line.cancel(self.client_key)
        if not await self.ended(REQUEST_TIMEOUT_S):
            self.finish("cancelled, and never answered")
        elif self.status == 487:
            self.ending = "cancelled by us"

    async def _change_hold(self, *, held: bool) -> None:
        before, self.held_by_us = self.held_by_us, held
        self.media.set_sending(self._may_send)
        try:
            await self._change_media()
        except CallFailedError:
            self.held_by_us = before
            self.media.set_sending(self._may_send)
            raise

    async def _change_media(self, laws: Iterable[Law] = ()) -> None:
        for attempt in range(1, GLARE_ATTEMPTS + 1):
            response = await self._exchange_request("INVITE", sdp.serialize(self._offer(laws)))
            if response.status < 300:
                self._take_answer(response.body)
                return
            self.exchange.reject()
            if response.status != 491 or attempt == GLARE_ATTEMPTS:
                break
            # RFC 3261 section 14.1: the owner of the Call-ID waits longer than the other side.
            own = self.client_key is not None
            await asyncio.sleep(random.uniform(2.1, 4.0) if own else random.uniform(0.0, 2.0))  # noqa: S311
        raise CallFailedError(
            f"the change was refused with {response.status} {response.reason}", status=response.status
        )

    async def _exchange_request(self, method: str, body: bytes = b"") -> Response:
        if self.dialog is None:
            raise CallFailedError(f"there is no dialog for a {method}")
        request = self.dialog.create_request(method)
        if body:
            request.headers.add("Content-Type", SDP_TYPE)
            request.body = body
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        key = await self.line.request(self, request, self.dialog.next_hop_uri())
        self._waiting[key] = (request, future)
        try:
            return await asyncio.wait_for(future, REQUEST_TIMEOUT_S)
        except TimeoutError:
            return Response(408, "no answer in time")
        finally:
            if method != "INVITE":
                del self._waiting[key]  # A re-INVITE's 2xx may come again and wants its ACK each time.

    @property
    def _may_send(self) -> bool:
        return self.agreed is not None and self.agreed.sends and not self.held_by_us

    @property
    def _direction(self) -> sdp.Direction:
        return sdp.Direction.SENDONLY if self.held_by_us else sdp.Direction.SENDRECV

    @property
    def _law(self) -> Law:
        return self.line.law if self.agreed is None else self.agreed.law

    @property
    def _address(self) -> tuple[str, int]:
        return self.media.host, self.media.port

    def _offer(self, laws: Iterable[Law] = ()) -> sdp.SessionDescription:
        laws = laws or (self._law,)
        crypto = crypto_of_offer(self.protection)
        made = describe(self._address, laws, self._direction, self.origin, crypto=crypto)
        return self.exchange.send_offer(made)

    def _answer_offer(self) -> bytes:
        offer = self.exchange.pending
        if offer is None:
            raise sdp.NegotiationError("there is no offer to answer")
        answer = self.exchange.send_answer(
            answer_to(
                offer, self._address, self._law, self._direction, self.origin, protection=self.protection
            )
        )
        self._apply()
        return sdp.serialize(answer)

    def _apply(self) -> None:
        """Make the media do what was agreed on."""
        local, remote = self.exchange.local, self.exchange.remote
        if local is None or remote is None:
            return
        self.agreed = agreed(local, remote, we_answered=self.exchange.we_answered)
        self.held_by_peer = remote.audio is not None and sdp.is_held(remote.audio)
        self.protection.note_use(self.agreed.srtp, with_audio=True)
        self.media.srtp.agree(self.agreed.srtp)
        self.media.configure(self.agreed.remote, self.agreed.payload_type, self.agreed.event_payload_type)
        self.media.set_sending(self._may_send)
