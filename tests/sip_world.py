"""One transaction layer, its user and the peer, in any order of what each can do."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidestream.sip.builder import response_to
from sidestream.sip.events import (
    ClientKey,
    ClientTimedOut,
    ClientTransportFailed,
    RequestReceived,
    ResponseReceived,
    SipEvent,
)
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request
from sidestream.sip.parser import parse_message
from sidestream.sip.timers import TimerProfile
from sip_script import PEER, PEER_TCP, TO_PEER, TO_PEER_TCP, Bench, ack, cancel, outbound, reply, request

ELSEWHERE = Hop("udp", "192.0.2.10", 5060)
METHODS = ["INVITE", "OPTIONS", "BYE"]
STATUSES = [100, 180, 200, 302, 404, 487, 503, 600]
AFTER_ALL_TIME = 200.0
ACTIONS = ["send", "request", "respond", "reply", "ack", "cancel in", "cancel out", "confirm", "fail", "wait"]


@dataclass
class World:
    """One layer, its user, and the peer; each action picks among what there is."""

    streams: bool = True
    bench: Bench = field(default_factory=lambda: Bench(profile=TimerProfile()))
    keys: list[ClientKey] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)
    got: list[Request] = field(default_factory=list)
    asked: list[RequestReceived] = field(default_factory=list)
    told: list[SipEvent] = field(default_factory=list)
    answers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def act(self, action: str, pick: int, status: int) -> None:
        """Do one thing, where there is something to do it to, and take note of what follows."""
        if action in {"send", "request", "fail", "wait"}:
            getattr(self, action)(pick, status)
        else:
            chosen: dict[str, Sequence[object]] = {
                "respond": self.asked,
                "confirm": self.asked,
                "reply": self.sent,
                "cancel out": self.keys,
                "cancel in": self.got,
                "ack": self.got,
            }
            self.follow_up(action, chosen[action], pick, status)
        self.note()

    def send(self, pick: int, status: int) -> None:
        """Our user sends a request."""
        routes = [[TO_PEER], [TO_PEER_TCP], [TO_PEER_TCP, TO_PEER], [TO_PEER, ELSEWHERE, TO_PEER_TCP]]
        hops = routes[pick % 4]
        self.keys.append(self.bench.layer.send_request(outbound(METHODS[status % 3]), hops, self.bench.now))

    def request(self, pick: int, status: int) -> None:
        """The peer sends a request, perhaps not for the first time."""
        method = METHODS[status % 3]
        via = f"SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK{pick}{method}"
        made = request(method, Via=via, Call_ID=f"c{pick % 3}", CSeq=f"{pick} {method}")
        self.got.append(made)
        source = PEER_TCP if pick % 2 and self.streams else PEER
        self.bench.layer.receive(made.copy(), source, self.bench.now)

    def fail(self, pick: int, status: int) -> None:
        """A transport fails."""
        del status
        hops = [TO_PEER, TO_PEER_TCP, Hop("tcp", "192.0.2.9", 5090, flow=7)]
        self.bench.layer.transport_failed(hops[pick % 3], self.bench.now)

    def wait(self, pick: int, status: int) -> None:
        """Time passes."""
        del status
        self.pass_time(pick * 1.7)

    def follow_up(self, action: str, chosen: Sequence[object], pick: int, status: int) -> None:
        """Do something about a request that was sent or received before."""
        if not chosen:
            return
        layer, now = self.bench.layer, self.bench.now
        match chosen[pick % len(chosen)]:
            case RequestReceived() as event if action == "respond":
                layer.respond(event.key, response_to(event.request, status, to_tag="ours"), now)
            case RequestReceived() as event:
                layer.confirm_2xx(event.key, now)
            case Request() as made if action == "reply":
                layer.receive(reply(made, status), PEER, now)
            case Request() as made if action == "ack":
                layer.receive(ack(made, response_to(made, 486, to_tag="ours")), PEER, now)
            case Request() as made:
                layer.receive(cancel(made), PEER, now)
            case int() as key:
                layer.cancel(ClientKey(key), now)

    def pass_time(self, seconds: float) -> None:
        """Fire what falls due."""
        end = self.bench.now + seconds
        while (due := self.bench.layer.timer()) is not None and due <= end:
            assert due >= self.bench.now - 1e-9
            self.bench.now = max(due, self.bench.now)
            self.bench.layer.on_timer(self.bench.now)
            self.note()
        self.bench.now = end

    def note(self) -> None:
        """Keep what was told and sent."""
        for event in self.bench.events():
            self.told.append(event)
            if isinstance(event, RequestReceived):
                self.asked.append(event)
        for outgoing in self.bench.sent_raw():
            message = parse_message(outgoing.data)
            if isinstance(message, Request):
                self.sent.append(message)
            elif message.status >= 200:
                self.answers[f"{message.top_via.branch} {message.cseq.method}"].add(message.status)

    def finish(self) -> None:
        """The user ends what it must end, as its own limits have it, and all time passes."""
        for key in self.keys:
            self.bench.layer.cancel(key, self.bench.now)
        for event in self.asked:
            if event.request.method == "INVITE":
                self.bench.layer.respond(
                    event.key, response_to(event.request, 500, to_tag="ours"), self.bench.now
                )
        self.note()
        self.pass_time(AFTER_ALL_TIME)


def run(script: list[tuple[str, int, int]]) -> World:
    """Play a script to its end."""
    world = World()
    for action, pick, status in script:
        world.act(action, pick, status)
    world.finish()
    return world


def check_idle(world: World) -> None:
    """All transactions have ended, and no timer is left."""
    layer = world.bench.layer
    assert layer.client_count == 0
    assert layer.server_count == 0
    assert layer.timer() is None
    assert len(layer._runner._schedule) == 0
    assert not layer._servers._by_match
    assert not layer._servers._by_merge
    assert not layer._clients._by_match
    assert not layer._clients._by_key


def check_endings(world: World) -> None:
    """Each request we sent has ended once."""
    for key in world.keys:
        endings = [ending(event) for event in world.told if getattr(event, "key", None) == key]
        finals = [word for word in endings if word]
        if "2xx" in finals:
            # Only an INVITE hears of further 2xx, and then of nothing else (RFC 3261 §13.2.2.4).
            assert set(finals) == {"2xx"}
        else:
            assert len(finals) == 1


def ending(event: SipEvent) -> str:
    """What an event ends a client transaction with; empty when it ends nothing."""
    if isinstance(event, ResponseReceived):
        if event.response.status < 200:
            return ""
        return "2xx" if event.response.status < 300 else "failure"
    return type(event).__name__ if isinstance(event, ClientTimedOut | ClientTransportFailed) else ""
