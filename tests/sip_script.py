"""A transaction layer under a clock that only the test moves, and the messages of the peers around it."""

from collections.abc import Mapping
from itertools import count

from sidestream.sip.builder import response_to
from sidestream.sip.events import RequestReceived, SipEvent
from sidestream.sip.hop import Hop, Outgoing, Source, Transport
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.parser import parse_message
from sidestream.sip.timers import TimerProfile
from sidestream.sip.transactions import TransactionLayer

METHODS = frozenset({"INVITE", "BYE", "OPTIONS", "INFO", "UPDATE", "REGISTER", "MESSAGE"})
PEER = Source("udp", "192.0.2.9", 5090, flow=1)
PEER_TCP = Source("tcp", "192.0.2.9", 49152, flow=7)
TO_PEER = Hop("udp", "192.0.2.9", 5090)
TO_PEER_TCP = Hop("tcp", "192.0.2.9", 5090)
NEVER = 3600.0
"""Patience with silent hops in tests that are not about it."""
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class OneAddress:
    """A machine of one address."""

    def via(self, transport: Transport, hop: Hop) -> tuple[str, int]:
        """Return it, with the default port of the transport."""
        del hop
        return "192.0.2.1", 5061 if transport == "tls" else 5060


class Bench:
    """A layer, its clock and what it said so far."""

    def __init__(
        self,
        *,
        profile: TimerProfile | None = None,
        methods: frozenset[str] = METHODS,
        supported: frozenset[str] = frozenset({"100rel", "timer"}),
        max_transactions: int = 1000,
    ) -> None:
        numbers = count(1)
        self.layer = TransactionLayer(
            profile=profile or TimerProfile(patience=NEVER),
            local=OneAddress(),
            branch=lambda: f"z9hG4bKours{next(numbers)}",
            allowed_methods=methods,
            supported=supported,
            max_transactions=max_transactions,
        )
        self.now = 1000.0

    def events(self) -> list[SipEvent]:
        """Take the events."""
        events: list[SipEvent] = []
        while (event := self.layer.next_event()) is not None:
            events.append(event)
        return events

    def sent(self) -> list[Message]:
        """Take what was sent, parsed."""
        return [parse_message(outgoing.data) for outgoing in self.layer.outgoing()]

    def sent_raw(self) -> list[Outgoing]:
        """Take what was sent, with its hops."""
        return self.layer.outgoing()

    def receive(self, message: Message | bytes, source: Source = PEER) -> list[SipEvent]:
        """Have a message arrive; returns the events it made."""
        if isinstance(message, bytes):
            self.layer.receive_bytes(message, source, self.now)
        else:
            self.layer.receive(message.copy(), source, self.now)
        return self.events()

    def request(self, request: Request, source: Source = PEER) -> RequestReceived:
        """Have a request arrive that must reach the user."""
        (event,) = self.receive(request, source)
        assert isinstance(event, RequestReceived)
        return event

    def refused(self, message: Request | bytes, source: Source = PEER) -> Response:
        """Have a request arrive that the layer must refuse by itself; returns the refusal."""
        assert self.receive(message, source) == []
        (response,) = self.sent()
        assert isinstance(response, Response)
        return response

    def advance(self, seconds: float) -> list[float]:
        """Let time pass, each timer fired when it is due; returns when something was sent.

        The times are in seconds from the call, and the messages are gone.
        """
        start, end = self.now, self.now + seconds
        times: list[float] = []
        while (due := self.layer.timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.layer.on_timer(self.now)
            times += [round(self.now - start, 6)] * len(self.layer.outgoing())
        self.now = end
        return times

    def answer(self, event: RequestReceived, status: int, to_tag: str = "ours") -> None:
        """Respond to a request."""
        self.layer.respond(event.key, response_to(event.request, status, to_tag=to_tag), self.now)


def request(method: str = "INVITE", **changes: str | None) -> Request:
    """Make a peer's request outside a dialog; `changes` are headers, `_` for `-`, None for none."""
    lines: dict[str, str | None] = {
        "Via": "SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bKtheirs1;rport",
        "Max-Forwards": "70",
        "From": "Alice <sip:alice@192.0.2.9>;tag=theirs",
        "To": "<sip:bob@192.0.2.1>",
        "Call-ID": "call1@192.0.2.9",
        "CSeq": f"1 {method}",
        "Contact": "<sip:alice@192.0.2.9:5090>",
    }
    lines.update({name.replace("_", "-"): value for name, value in changes.items()})
    headers = Headers([(name, value) for name, value in lines.items() if value is not None])
    return Request(method, "sip:bob@192.0.2.1", headers)


def outbound(method: str = "INVITE", **changes: str | None) -> Request:
    """Make a request of ours, without Via."""
    ours: Mapping[str, str | None] = {
        "Via": None,
        "From": "<sip:gw@192.0.2.1>;tag=ours",
        "To": "<sip:bob@192.0.2.9>",
        "Contact": "<sip:gw@192.0.2.1:5060>",
    }
    made = request(method, **{**{name.replace("-", "_"): value for name, value in ours.items()}, **changes})
    made.uri = "sip:bob@192.0.2.9:5090"
    return made


def reply(sent: Message, status: int, to_tag: str | None = "theirs") -> Response:
    """Make the peer's response to what we sent."""
    assert isinstance(sent, Request)
    return response_to(sent, status, to_tag=to_tag)


def ack(invite: Request, response: Message, branch: str | None = None) -> Request:
    """Make the peer's ACK of our final response: in the INVITE's transaction unless a branch is given."""
    made = request(
        "ACK", Call_ID=invite.call_id, To=response.headers.get("To"), CSeq=f"{invite.cseq.number} ACK"
    )
    via = invite.vias[0]
    made.headers.set("Via", str(via if branch is None else via.with_params(branch=branch)))
    return made


def cancel(invite: Request) -> Request:
    """Make the peer's CANCEL of its INVITE."""
    return request("CANCEL", Via=str(invite.vias[0]), CSeq=f"{invite.cseq.number} CANCEL", Contact=None)


def statuses(messages: list[Message]) -> list[int]:
    """Return the status codes of responses."""
    return [message.status for message in messages if isinstance(message, Response)]


def methods(messages: list[Message]) -> list[str]:
    """Return the methods of requests."""
    return [message.method for message in messages if isinstance(message, Request)]


def short(message: object) -> str:
    """Return a request's method or a response's status."""
    assert message is not None
    return message.method if isinstance(message, Request) else str(getattr(message, "status", ""))
