"""A table of calls with both far sides faked: what a call sends is noted, what it hears a test says."""

import asyncio
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sidestream.call.setup import ServerIdentity
from sidestream.config.model import Configuration
from sidestream.gateway.admission import Admission
from sidestream.gateway.call_runner import CallTools
from sidestream.gateway.call_store import CallStore, StoreLimits
from sidestream.gateway.calls import Calls, CallsParts
from sidestream.gateway.clock import Clock
from sidestream.gateway.journal import Journal
from sidestream.gateway.media import Media
from sidestream.gateway.names import Names
from sidestream.gateway.recordings import Recordings, RecordingsParts
from sidestream.gateway.stream_runner import StreamTools
from sidestream.gateway.trace import Traces
from sidestream.gateway.turns import Turns
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metrics
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import Dialog
from sidestream.sip.events import (
    AckReceived,
    ClientKey,
    RequestReceived,
    ResponseReceived,
    ServerKey,
    SipEvent,
)
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response
from unit.gateway.fake_engine import FakeEngine
from unit.gateway.samples import OFFER, configuration, request, source

PEER = source("192.0.2.33", 5090)


@dataclass
class FakeSip:
    """Notes what a call sends; resolves numeric hosts at once and names when a test says so."""

    sent: list[tuple[ClientKey, Request, tuple[Hop, ...]]] = field(default_factory=list)
    answers: list[tuple[ServerKey, Response]] = field(default_factory=list)
    acks: list[Request] = field(default_factory=list)
    cancelled: list[ClientKey] = field(default_factory=list)
    confirmed: list[ServerKey] = field(default_factory=list)
    failure: Exception | None = None
    looked_up: list[str] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    hops: tuple[Hop, ...] = (Hop("udp", "203.0.113.5", 5090),)
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    def resolve_now(self, uri: str) -> tuple[Hop, ...] | None:
        return None if "example" in uri else (Hop("udp", "192.0.2.33", 5090),)

    async def resolve(self, uri: str) -> tuple[Hop, ...]:
        self.looked_up.append(uri)
        await self.answered.wait()
        return self.hops

    def send_request(self, request: Request, hops: tuple[Hop, ...]) -> ClientKey:
        key = ClientKey(next(self.keys))
        self.sent.append((key, request, hops))
        return key

    def send_ack(self, ack: Request, hop: Hop) -> None:
        assert hop.port
        self.acks.append(ack)

    def cancel(self, key: ClientKey, reason: str | None = None) -> None:
        assert reason is None or reason
        self.cancelled.append(key)

    def respond(self, key: ServerKey, response: Response) -> None:
        if self.failure is not None:
            raise self.failure
        self.answers.append((key, response))

    def confirm_1xx(self, key: ServerKey) -> None:
        self.confirmed.append(key)

    def confirm_2xx(self, key: ServerKey) -> None:
        self.confirmed.append(key)


async def lookup(host: str) -> list[str]:
    if host == "media.example":
        return ["2001:db8::1", "203.0.113.9"]
    raise OSError("no such name")


class FakeGateway:
    """A table of calls between a fake SIP stack and a fake engine."""

    def __init__(self, directory: Path, conf: Configuration | None = None) -> None:
        conf = conf or configuration(stream="")
        self.now = 1000.0
        self.sip, self.fake, self.metrics = FakeSip(), FakeEngine(), Metrics()
        self.media = Media(self.fake.engine)
        self.admission = Admission(conf, self.now)
        self.journal = Journal(directory)
        self.directory = directory
        names = Names(lookup)
        self.store = CallStore(directory / "trace", StoreLimits(3600, 16 * 1024 * 1024))
        self.traces = Traces(conf.node.name, "127.0.0.1", conf.node.trace, self.store)
        self.turns = Turns(slice_s=math.inf)
        self.recordings = Recordings(
            RecordingsParts(
                node=conf.node,
                sip=self.sip,
                contacts={
                    "udp": "sip:127.0.0.1:5060",
                    "tcp": "sip:127.0.0.1:5060;transport=tcp",
                },
                user_agent="Sidestream/1",
                media=self.media,
                names=names,
                metrics=self.metrics,
                traces=self.traces,
                clock=Clock(monotonic=lambda: self.now),
                log=logger(),
                turns=self.turns,
            )
        )
        self.calls = Calls(
            CallsParts(
                node=conf.node,
                identity=ServerIdentity(contacts={"udp": "sip:127.0.0.1:5060"}, user_agent="Sidestream/1"),
                admission=self.admission,
                tools=CallTools(sip=self.sip, media=self.media, names=names, metrics=self.metrics),
                stream_tools=StreamTools(
                    media=self.media, names=names, metrics=self.metrics, denied=(), ca_pem=lambda _: None
                ),
                recordings=self.recordings,
                journal=self.journal,
                traces=self.traces,
                clock=Clock(monotonic=lambda: self.now),
                log=logger(),
            )
        )

    def tell(self, event: SipEvent) -> None:
        """Bring an event as the gateway does."""
        if not self.recordings.take(event):
            self.calls.on_event(event)

    def receive(self, message: Request, key: int = 1, host: str = "192.0.2.1") -> None:
        self.tell(RequestReceived(ServerKey(key), message, source(host)))

    def answer(self, status: int, body: str = "", tag: str = "peer") -> None:
        """Answer the last request that was sent."""
        key, sent, _ = self.sip.sent[-1]
        response = response_to(sent, status, None, tag)
        response.headers.set("Contact", "<sip:192.0.2.33:5090>")
        if body:
            response.headers.set("Content-Type", "application/sdp")
            response.body = body.encode()
        self.tell(ResponseReceived(key, response, PEER))

    @property
    def statuses(self) -> list[int]:
        return [response.status for _, response in self.sip.answers]

    def answered_call(self) -> Dialog:
        """Bring a call up and return the caller's dialog."""
        invite = request()
        self.receive(invite)
        self.answer(200, OFFER)
        (answer,) = [response for _, response in self.sip.answers if response.status == 200]
        dialog = Dialog.from_invite_uac(invite, answer)
        ack = dialog.create_ack(invite.cseq.number)
        self.calls.on_event(AckReceived(ack, source()))
        return dialog

    def media_closed(self) -> None:
        closed = [handle for verb, handle, _ in self.fake.orders if verb == "close_call"]
        for handle in closed:
            self.fake.tell(event="call_closed", call=handle, sides=[])
        self.media.take_events()

    def records(self) -> list[dict[str, object]]:
        if not self.journal._thread.is_alive():
            self.journal.open()
        assert self.journal.close()
        path = self.directory / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]
