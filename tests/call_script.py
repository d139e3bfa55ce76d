"""A call with both of its parties played by real messages, under a clock that only the test moves.

Whatever the call sends goes over the wire form and is validated as a peer would; the promises of `B2bua` are
checked after each step: one final response for each request, nothing after `EndCall`, no timer left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import TypeVar

from sidestream.call.b2bua import B2bua
from sidestream.call.commands import (
    CancelRequest,
    ClearTimer,
    Command,
    EndCall,
    Report,
    Respond,
    SendAck,
    SendRequest,
    SetTimer,
    UpdateLegMedia,
)
from sidestream.call.events import (
    AckArrived,
    CallEvent,
    CancelArrived,
    RequestArrived,
    RequestTimedOut,
    ResponseArrived,
    TimerFired,
    TimerName,
)
from sidestream.call.facts import Fact
from sidestream.call.features import Features
from sidestream.call.numbers import Numbering
from sidestream.call.setup import CallLimits, CallSetup, LegSetup, PeerHop, ServerIdentity
from sidestream.call.side import Side
from sidestream.call.verdict import Verdict
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.negotiate import MediaAddress
from sidestream.sdp.parser import parse as parse_sdp
from sidestream.sdp.protection import Protection
from sidestream.sip.builder import cancel_for, response_to
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Source
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.parser import parse_message, validate
from sidestream.sip.serializer import serialize

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CALLER = Source("udp", "192.0.2.10", 5060, flow=1)
CALLEE = Source("udp", "192.0.2.20", 5060, flow=1)
WAYS = {Side.A: CALLER, Side.B: CALLEE}
OUR_CALLER_SIDE = MediaAddress("192.0.2.1", 20000, 20001)
OUR_CALLEE_SIDE = MediaAddress("192.0.2.1", 20002, 20003)
PEERS = tuple(PeerHop(f"sip:192.0.2.{20 + n}:5060;transport=udp") for n in range(3))

_Kind = TypeVar("_Kind")
_Header = tuple[str, str]


def sdp(
    formats: str = "0 8 101",
    *,
    port: int = 4000,
    direction: str = "sendrecv",
    host: str = "192.0.2.10",
    version: int = 1,
    crypto: Sequence[str] = (),
    protocol: str = "",
) -> bytes:
    """A session description of a party."""
    maps = {"8": "PCMA/8000", "0": "PCMU/8000", "9": "G722/8000", "101": "telephone-event/8000"}
    protocol = protocol or ("RTP/SAVP" if crypto else "RTP/AVP")
    lines = [
        "v=0",
        f"o=party 7 {version} IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} {protocol} {formats}",
        *(f"a=rtpmap:{number} {maps[number]}" for number in formats.split()),
        *(f"a=crypto:{line}" for line in crypto),
        f"a={direction}",
    ]
    return "\r\n".join([*lines, ""]).encode()


OFFER = sdp()
ANSWER = sdp("0 101", port=5000, host="192.0.2.20")


@dataclass
class Party:
    """What a phone knows of its dialog with the call."""

    side: Side
    call_id: str
    tag: str
    our_tag: str = ""
    cseq: int = 1
    contact: str = ""

    def __post_init__(self) -> None:
        self.contact = self.contact or f"sip:{self.side.value}@{WAYS[self.side].host}:5060"


class CallBench:
    """One call, its two parties, and everything that was ordered so far.

    Args:
        offer: Body of the INVITE; empty for a delayed offer.
        headers: Further headers of the INVITE.
        peers: How many peers the route has.
        limits: The call's times.
        content_type: Of the INVITE's body.
        codecs: Of both trunks.
        routes: Route values of the callee's peers.
        srtp: Protection of the caller's and the callee's leg.
        features: Of the caller's trunk and the callee's.
        auth: Credentials of the trunks, by side.
        uri: Request-URI of the INVITE; the bench's own when None.
        trusted: Whether the caller's and the callee's trunk are trusted.
        numbering: What becomes of the numbers.
    """

    def __init__(  # noqa: PLR0913 - a test names the few that it is about
        self,
        *,
        offer: bytes = OFFER,
        headers: Sequence[_Header] = (),
        peers: int = 1,
        limits: CallLimits | None = None,
        content_type: str = "application/sdp",
        codecs: tuple[str, ...] = ("PCMU", "PCMA", "telephone-event"),
        routes: tuple[str, ...] = (),
        srtp: tuple[Protection, Protection] | None = None,
        features: tuple[Features, Features] = (Features(), Features()),
        auth: Mapping[Side, DigestClient] | None = None,
        uri: str | None = None,
        trusted: tuple[bool, bool] = (True, True),
        numbering: Numbering | None = None,
    ) -> None:
        tokens = count(1)
        auth = auth or {}
        of_caller, of_callee = srtp or (Protection(), Protection())
        self.now = 100.0
        self.keys = count(1)
        self.branches = count(1)
        self.log: list[Command] = []
        self.out: list[Command] = []
        self.timers: dict[TimerName, float] = {}
        self.may_fail = False
        self.caller = Party(Side.A, "caller-call-id", "ta")
        self.callee = Party(Side.B, "", "tb")
        self.setup = CallSetup(
            call_id="call-1",
            account="acme",
            started_at=BEGAN,
            caller=LegSetup(
                trunk="carrier",
                codecs=codecs,
                media=OUR_CALLER_SIDE,
                protection=of_caller,
                features=features[0],
                auth=auth.get(Side.A),
                trusted=trusted[0],
            ),
            callee=LegSetup(
                trunk="desk",
                codecs=codecs,
                media=OUR_CALLEE_SIDE,
                protection=of_callee,
                features=features[1],
                auth=auth.get(Side.B),
                trusted=trusted[1],
            ),
            peers=tuple(replace(peer, routes=routes) for peer in PEERS[:peers]),
            identity=ServerIdentity(
                contacts={
                    "udp": "sip:192.0.2.1:5060",
                    "tcp": "sip:192.0.2.1:5060;transport=tcp",
                    "tls": "sip:192.0.2.1:5061;transport=tls",
                    "sips": "sips:192.0.2.1:5061",
                },
                user_agent="Sidestream",
            ),
            token=lambda: f"tok{next(tokens)}",
            limits=limits or CallLimits(),
            numbering=numbering or Numbering(),
        )
        self.invite = self._new_request(self.caller, "INVITE", offer, headers, content_type)
        self.invite.uri = uri or self.invite.uri
        self.invite_key = ServerKey(next(self.keys))
        self.b2bua = B2bua(self.setup, RequestArrived(self.invite_key, self.invite, CALLER), self.now)
        self.caller.our_tag = self.b2bua.dialog_ids()[0][1]

    # What the parties do.

    def start(self) -> "CallBench":
        """The INVITE arrives."""
        self._take(self.b2bua.start())
        return self

    def talk(self, answer: bytes = ANSWER, headers: Sequence[_Header] = ()) -> "CallBench":
        """Go on to the confirmed call."""
        self.start()
        self.ring()
        self.answer(answer, headers=headers)
        self.ack()
        return self

    def ring(self, status: int = 180, body: bytes = b"", tag: str = "tb", **more: str) -> None:
        """The peer sends a provisional response."""
        self.reply(self.invited, status, body, tag=tag, headers=_headers(more))

    def ring_reliably(
        self, rseq: int = 1, body: bytes = b"", *, status: int = 183, tag: str = "tb", **more: str
    ) -> None:
        """The peer sends a reliable provisional response."""
        headers = [("Require", "100rel"), ("RSeq", str(rseq)), *_headers(more)]
        self.callee.tag = tag or self.callee.tag
        self.reply(self.invited, status, body, tag=tag, headers=headers)

    def prack(self, body: bytes = b"", *, rack: str | None = None, side: Side = Side.A) -> ServerKey:
        """The caller acknowledges our last provisional response."""
        rack = rack or f"{self.responses()[-1].headers.get('RSeq')} 1 INVITE"
        return self.request(side, "PRACK", body, headers=[("RAck", rack)])

    def answer(self, body: bytes = ANSWER, *, tag: str = "tb", headers: Sequence[_Header] = ()) -> None:
        """The peer answers the call."""
        self.callee.tag = tag
        self.reply(self.invited, 200, body, tag=tag, headers=headers)

    def ack(self, body: bytes = b"", *, side: Side = Side.A, cseq: int | None = None) -> None:
        """A party acknowledges our 2xx."""
        ack = self._new_request(self.party(side), "ACK", body, cseq=cseq or self.party(side).cseq)
        self.apply(AckArrived(ack, WAYS[side]))

    def cancel(self, key: ServerKey | None = None, **more: str) -> None:
        """The caller cancels its INVITE."""
        cancel = cancel_for(self.invite)
        for name, value in _headers(more):
            cancel.headers.add(name, value)
        self.apply(CancelArrived(key or self.invite_key, over_the_wire(cancel, Request)))

    def request(
        self,
        side: Side,
        method: str,
        body: bytes = b"",
        *,
        content_type: str = "application/sdp",
        cseq: int | None = None,
        headers: Sequence[_Header] = (),
    ) -> ServerKey:
        """A party sends a request within its dialog."""
        party = self.party(side)
        if cseq is None:
            party.cseq += 1
        key = ServerKey(next(self.keys))
        request = self._new_request(party, method, body, headers, content_type, cseq=cseq)
        self.apply(RequestArrived(key, request, WAYS[side]))
        return key

    def reply(
        self,
        sent: SendRequest,
        status: int,
        body: bytes = b"",
        *,
        tag: str | None = None,
        content_type: str = "application/sdp",
        headers: Sequence[_Header] = (),
    ) -> None:
        """A party answers a request of ours."""
        party = self.party(sent.side)
        request = over_the_wire(with_via(sent.request, "z9hG4bKours"), Request)
        response = response_to(request, status, None, party.tag if tag is None else tag)
        response.headers.set("Contact", f"<{party.contact}>")
        for name, value in headers:
            response.headers.set(name, value)
        if body:
            response.headers.set("Content-Type", content_type)
            response.body = body
        heard = over_the_wire(response, Response)
        self.apply(ResponseArrived(sent.request_id, heard, WAYS[sent.side]))

    def time_out(self, sent: SendRequest) -> None:
        """A request of ours is never answered."""
        self.apply(RequestTimedOut(sent.request_id))

    def fire(self, name: TimerName) -> None:
        """An armed timer comes due."""
        self.now = self.timers.pop(name)
        self.apply(TimerFired(name))

    def apply(self, event: CallEvent) -> None:
        """Tell the call an event."""
        self._take(self.b2bua.apply(event, self.now))

    # What the call said.

    def party(self, side: Side) -> Party:
        """The party of a side."""
        return self.caller if side is Side.A else self.callee

    @property
    def invited(self) -> SendRequest:
        """The INVITE to the last peer."""
        return next(sent for sent in reversed(self.requests("INVITE")) if not sent.request.to_tag)

    def requests(self, method: str | None = None, side: Side | None = None) -> list[SendRequest]:
        """The requests that the call sent, in order."""
        return [
            sent
            for sent in every(self.log, SendRequest)
            if method in {None, sent.request.method} and side in {None, sent.side}
        ]

    def sent(self, method: str, side: Side = Side.B) -> Request:
        """The last request of a method that was sent to a side."""
        return self.requests(method, side)[-1].request

    def acks(self, side: Side = Side.B) -> list[Request]:
        """The ACKs sent to a side."""
        return [ack.request for ack in every(self.log, SendAck) if ack.side is side]

    def responses(self, key: ServerKey | None = None) -> list[Response]:
        """What a request of a party was answered; the INVITE by default."""
        chosen = self.invite_key if key is None else key
        return [each.response for each in every(self.log, Respond) if each.key == chosen]

    def final(self, key: ServerKey | None = None) -> Response:
        """The final response to a request of a party; the INVITE by default."""
        finals = [response for response in self.responses(key) if response.status >= 200]
        assert len(finals) == 1, f"{len(finals)} final responses"
        return finals[0]

    def cancels(self) -> list[CancelRequest]:
        """The CANCELs ordered."""
        return every(self.log, CancelRequest)

    def facts(self, kind: type[_Kind]) -> list[_Kind]:
        """The facts of a kind."""
        return every([report.fact for report in every(self.log, Report)], kind)

    def fact_names(self) -> list[str]:
        """The kinds of all facts in order."""
        return [type(report.fact).__name__ for report in every(self.log, Report)]

    @property
    def verdict(self) -> Verdict:
        """The verdict of the ended call."""
        endings = every(self.log, EndCall)
        assert len(endings) == 1, "the call has not ended"
        assert endings[0].verdict == endings[0].record.verdict
        return endings[0].verdict

    def finish(self) -> Verdict:
        """Answer every BYE that waits and the cancelled INVITEs, and give the verdict."""
        answered: set[int] = set()
        for sent in self.requests("BYE"):
            if not self.b2bua.ended and sent.request_id not in answered:
                answered.add(sent.request_id)
                self.reply(sent, 200)
        if not self.b2bua.ended and self.cancels():
            self.reply(self.invited, 487)
        return self.verdict

    # How it is played.

    def _new_request(
        self,
        party: Party,
        method: str,
        body: bytes = b"",
        headers: Sequence[_Header] = (),
        content_type: str = "application/sdp",
        *,
        cseq: int | None = None,
    ) -> Request:
        request = Request(method, "sip:+4930123456@192.0.2.1:5060", Headers())
        tag = f";tag={party.our_tag}" if party.our_tag else ""
        request.headers.add("Max-Forwards", "70")
        request.headers.add("From", f"<sip:+49{party.side.value.encode()[0]}@example.net>;tag={party.tag}")
        request.headers.add("To", f'"Desk" <sip:+4930123456@192.0.2.1>{tag}')
        request.headers.add("Call-ID", party.call_id)
        request.headers.add("CSeq", f"{cseq or party.cseq} {method}")
        request.headers.add("Contact", f"<{party.contact}>")
        if party.side is Side.A:
            request.headers.add("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, INFO, OPTIONS")
        for name, value in headers:
            request.headers.set(name, value)
        if body:
            request.headers.set("Content-Type", content_type)
            request.body = body
        return over_the_wire(with_via(request, f"z9hG4bK{next(self.branches)}"), Request)

    def _take(self, commands: list[Command]) -> None:
        if not self.may_fail and self.b2bua.failure is not None:
            raise self.b2bua.failure
        self.out = commands
        for command in commands:
            assert not every(self.log, EndCall), "a command after EndCall"
            self.log.append(command)
            match command:
                case SetTimer(name, at):
                    assert at >= self.now
                    self.timers[name] = at
                case ClearTimer(name):
                    self.timers.pop(name, None)
                case SendRequest() | SendAck():
                    self._check_request(command)
                case Respond(key, response):
                    over_the_wire(response, Response)
                    finals = [each for each in self.responses(key) if each.status >= 200]
                    assert not finals or (len(finals) == 1 and finals[0] is response)
                case EndCall():
                    assert not self.timers
                case _:
                    pass

    def _check_request(self, command: SendRequest | SendAck) -> None:
        request = over_the_wire(with_via(command.request, "z9hG4bKours"), Request)
        if command.side is Side.B and request.method == "INVITE" and not request.to_tag:
            self.callee = replace(
                self.callee, call_id=request.call_id, our_tag=request.from_tag or "", cseq=1
            )
        assert (request.call_id, request.from_tag) in self.b2bua.dialog_ids()


def every(items: Sequence[object], kind: type[_Kind]) -> list[_Kind]:
    """The items of a kind."""
    return [item for item in items if isinstance(item, kind)]


def session(message: Message) -> SessionDescription:
    """The session description in a message."""
    return parse_sdp(message.body)


def media_port(order: UpdateLegMedia) -> int | None:
    """The port that the media engine is told to send to."""
    return order.remote.rtp_port if order.remote else None


def with_via(request: Request, branch: str) -> Request:
    """The request as it leaves a transaction layer."""
    sent = request.copy()
    sent.headers.prepend("Via", f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch}")
    return sent


def over_the_wire(message: Message, kind: type[_Kind]) -> _Kind:
    """The message as it arrives: written, read and validated."""
    read = parse_message(serialize(message))
    validate(read)
    assert isinstance(read, kind)
    return read


def told(facts: Sequence[Fact]) -> list[str]:
    """The kinds of facts."""
    return [type(fact).__name__ for fact in facts]


def _headers(named: dict[str, str]) -> list[_Header]:
    return [(name.replace("_", "-"), value) for name, value in named.items()]
