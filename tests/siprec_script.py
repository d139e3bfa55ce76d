"""A recorder and a call for tests of recording sessions, without sockets: it answers what it is sent."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sidestream.sdp import Direction, MediaAddress, SessionDescription, parse, serialize
from sidestream.sdp.codecs import Codec
from sidestream.sdp.crypto import CryptoLine, CryptoSuite, KeyMaterial, usable_lines
from sidestream.sip.builder import response_to
from sidestream.sip.events import ServerKey
from sidestream.sip.message import Headers, Request, Response
from sidestream.siprec.body import read_body
from sidestream.siprec.check import Checker
from sidestream.siprec.commands import Report, SendRequest, SessionFact
from sidestream.siprec.context import ClientIdentity, SessionSetup, WallClock
from sidestream.siprec.events import RequestArrived, ResponseArrived, SessionEvent, WideEvent
from sidestream.siprec.ledger import Ledger, LedgerSetup, Party
from sidestream.siprec.offer import StreamSource, labels_of
from sidestream.siprec.profile import Server, ServerMemory, ServerProfile
from sidestream.siprec.session import RecordingSession

BEGIN = datetime(2026, 3, 3, 9, 15, tzinfo=UTC)
PCMA = Codec("PCMA", 8000, 1, 8)
PCMU = Codec("PCMU", 8000, 1, 0)
G722 = Codec("G722", 8000, 1, 9)
OPUS = Codec("opus", 48000, 2, 111, "useinbandfec=1")
EVENT = Codec("telephone-event", 8000, 1, 101, "0-16")
SERVER = "sip:rec@127.0.0.9:5070;transport=tcp"

T = TypeVar("T")


def sources(
    codec: Codec | None = PCMA, event: Codec | None = EVENT, port: int = 40000
) -> tuple[StreamSource, ...]:
    """The two streams of a call."""
    return tuple(
        StreamSource(label, MediaAddress("127.0.0.1", port + 2 * index, port + 2 * index + 1), codec, event)
        for index, label in enumerate(("1", "2"))
    )


def tokens() -> Callable[[], str]:
    """Distinct tokens, the same in each run."""
    counter = itertools.count(1)
    return lambda: f"tok{next(counter):04d}"


def identity(**changes: object) -> ClientIdentity:
    """Who we are."""
    values: dict[str, object] = {
        "from_uri": "sip:sidestream@127.0.0.1",
        "contact_uri": "sip:sidestream@127.0.0.1:5060;transport=tcp",
        "token": tokens(),
        "chance": lambda: 0.5,
    }
    return ClientIdentity(**{**values, **changes})  # type: ignore[arg-type]


def ledger(seed: int = 1, **changes: object) -> Ledger:
    """A call that began at `BEGIN`."""
    values: dict[str, object] = {
        "started_at": BEGIN,
        "caller": Party("sip:+3225550100@carrier.example", "Alice"),
        "callee": Party("sip:200@pbx.example"),
        "call_id": "0192-call",
        "sip_call_id": "a84b@pc33",
        "account": "acme",
        "voice_service": "support-desk",
        "direction": "inbound",
        "random": random.Random(seed).randbytes,
    }
    return Ledger(LedgerSetup(**{**values, **changes}))  # type: ignore[arg-type]


def at(seconds: float) -> datetime:
    """The instant so many seconds into the call."""
    return BEGIN + timedelta(seconds=seconds)


def find(commands: Sequence[object], kind: type[T]) -> list[T]:
    """The commands of one kind."""
    return [command for command in commands if isinstance(command, kind)]


def only(commands: Sequence[object], kind: type[T]) -> T:
    """The one command of a kind."""
    (found,) = find(commands, kind)
    return found


def facts(commands: Sequence[object]) -> list[SessionFact]:
    """What was reported."""
    return [report.fact for report in find(commands, Report)]


def fact(commands: Sequence[object], kind: type[T]) -> T:
    """The one fact of a kind."""
    return only(facts(commands), kind)


def offer_of(request: Request) -> SessionDescription:
    """The offer in a request."""
    description = read_body(request).description
    assert description is not None
    return description


def recorders_key(suite: CryptoSuite) -> KeyMaterial:
    """The key that the recorder sends with."""
    return KeyMaterial(suite, b"r" * suite.key_salt_length)


def answer_sdp(
    offer: SessionDescription,
    *,
    direction: str | None = "recvonly",
    ports: Sequence[int] = (50000, 50002),
    host: str = "127.0.0.9",
    labels: bool = True,
    sections: int | None = None,
    formats: str | None = None,
    crypto: bool = False,
) -> bytes:
    """The answer of a recorder, in all its forms."""
    lines = ["v=0", "o=SRS 1 1 IN IP4 127.0.0.9", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    count = len(offer.media) if sections is None else sections
    for index in range(count):
        media = offer.media[min(index, len(offer.media) - 1)]
        port = ports[index] if index < len(ports) else 50000 + 2 * index
        protocol = "RTP/SAVP" if crypto else "RTP/AVP"
        lines.append(f"m=audio {port} {protocol} {formats or ' '.join(media.formats)}")
        if crypto:
            first = usable_lines(media)[0]
            lines.append(
                f"a=crypto:{CryptoLine(first.tag, recorders_key(first.material.suite)).attribute.value}"
            )
        if formats is None:
            lines += [f"a=rtpmap:{codec.rtpmap}" for codec in media.codecs]
        if direction is not None and port:
            inactive = direction == "recvonly" and media.direction is Direction.INACTIVE
            lines.append(f"a={'inactive' if inactive else direction}")
        if labels and media.label:
            lines.append(f"a=label:{media.label}")
    return "".join(f"{line}\r\n" for line in lines).encode()


@dataclass
class Script:
    """One recording session with its recorder; each document that it sends is judged at once."""

    session: RecordingSession
    ledger: Ledger
    now: float = 0.0
    sent: list[SendRequest] = field(default_factory=list)
    commands: list[object] = field(default_factory=list)
    """Of the last event."""
    checker: Checker = field(default_factory=Checker)
    documents: list[bytes] = field(default_factory=list)
    _keys: int = 0
    _cseq: int = 100

    def start(self) -> SendRequest:
        """Begin; returns the INVITE."""
        self._take(self.session.start(self.now))
        return self.last("INVITE")

    def apply(self, event: SessionEvent | WideEvent, after: float = 0.01) -> list[object]:
        """Tell the session something; returns its commands."""
        self.now += after
        return self._take(self.session.apply(event, self.now))

    def _take(self, commands: Sequence[object]) -> list[object]:
        self.commands = list(commands)
        for sent in find(commands, SendRequest):
            self.sent.append(sent)
            self._judge(sent.request)
        return self.commands

    def _judge(self, request: Request) -> None:
        body = read_body(request)
        if body.metadata is None:
            return
        self.documents.append(body.metadata)
        labels = labels_of(body.description) if body.description is not None else None
        assert self.checker.check(body.metadata, labels) == []

    def last(self, method: str) -> SendRequest:
        """The newest request of a method."""
        return next(sent for sent in reversed(self.sent) if sent.request.method == method)

    def respond(
        self,
        sent: SendRequest,
        status: int = 200,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        content_type: str = "application/sdp",
    ) -> list[object]:
        """The recorder answers; a 2xx to an offer has an answer unless `body` says otherwise."""
        response = make_response(sent.request, status, headers)
        if body is None and 200 <= status < 300 and read_body(sent.request).description is not None:
            body = answer_sdp(offer_of(sent.request))
        if body:
            response.headers.add("Content-Type", content_type)
            response.body = body
        return self.apply(ResponseArrived(sent.session, sent.request_id, response))

    def request(
        self,
        method: str,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        content_type: str = "application/sdp",
    ) -> list[object]:
        """The recorder sends a request within the dialog."""
        self._keys += 1
        self._cseq += 1
        event = RequestArrived(
            self.session.setup.number,
            ServerKey(self._keys),
            self.in_dialog(method, self._cseq, body, headers, content_type),
        )
        return self.apply(event)

    def in_dialog(
        self,
        method: str,
        cseq: int,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        content_type: str = "application/sdp",
    ) -> Request:
        """A request of the recorder as it arrives."""
        call_id, tag = self.session.dialog_id
        lines = [
            ("Via", "SIP/2.0/TCP 127.0.0.9:5070;branch=z9hG4bKsrs"),
            ("From", "<sip:rec@127.0.0.9>;tag=srs"),
            ("To", f"<sip:sidestream@127.0.0.1>;tag={tag}"),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", "<sip:rec@127.0.0.9:5070;transport=tcp>;+sip.srs"),
            *headers,
        ]
        request = Request(method, "sip:sidestream@127.0.0.1:5060", Headers(lines), body)
        if body:
            request.headers.add("Content-Type", content_type)
        return request

    def up(self) -> Script:
        """Begin, and be accepted."""
        self.respond(self.start())
        assert self.session.up
        return self


def make_response(request: Request, status: int, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """A response of the recorder."""
    full = request.copy()
    full.headers.prepend("Via", "SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKus")
    response = response_to(full, status, to_tag="srs")
    if status < 300 and request.method in {"INVITE", "UPDATE"}:
        response.headers.add("Contact", "<sip:rec@127.0.0.9:5070;transport=tcp>;+sip.srs")
    for name, value in headers:
        response.headers.add(name, value)
    return response


def script(
    profile: ServerProfile | None = None,
    memory: ServerMemory | None = None,
    streams: tuple[StreamSource, ...] | None = None,
    **changes: object,
) -> Script:
    """A session that has not begun."""
    values: dict[str, object] = {
        "number": 1,
        "copy": 0,
        "server": Server(uri=SERVER, profile=profile or ServerProfile()),
        "identity": identity(),
        "sources": streams or sources(),
        "clock": WallClock(BEGIN, 0.0),
        "memory": memory or ServerMemory(),
    }
    book = ledger()
    setup = SessionSetup(**{**values, **changes})  # type: ignore[arg-type]
    return Script(RecordingSession(setup, book, 0.0), book)


def described(data: bytes) -> SessionDescription:
    """Bytes as a description, and back they are the same."""
    description = parse(data)
    assert serialize(description) == data
    return description
