import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sidestream._media import MediaError
from sidestream.call.events import HangUpBy
from sidestream.call.setup import ServerIdentity
from sidestream.config.model import Configuration
from sidestream.gateway import calls as module
from sidestream.gateway.admission import Admission
from sidestream.gateway.call_runner import CallTools
from sidestream.gateway.calls import Calls, CallsParts
from sidestream.gateway.clock import Clock
from sidestream.gateway.drain import drain
from sidestream.gateway.journal import Journal
from sidestream.gateway.media import Media
from sidestream.gateway.names import Names
from sidestream.gateway.stream_runner import StreamTools
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metrics
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import Dialog
from sidestream.sip.events import (
    AckReceived,
    CancelReceived,
    ClientKey,
    ClientTimedOut,
    ClientTransportFailed,
    RequestReceived,
    ResponseReceived,
    ServerKey,
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
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    def resolve_now(self, uri: str) -> tuple[Hop, ...] | None:
        return None if "example" in uri else (Hop("udp", "192.0.2.33", 5090),)

    async def resolve(self, uri: str) -> tuple[Hop, ...]:
        raise AssertionError(f"{uri} is not looked up here")

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

    def confirm_2xx(self, key: ServerKey) -> None:
        self.confirmed.append(key)


class Gateway:
    """A table of calls between a fake SIP stack and a fake engine."""

    def __init__(self, directory: Path, conf: Configuration | None = None) -> None:
        conf = conf or configuration(stream="")
        self.now = 1000.0
        self.sip, self.fake, self.metrics = FakeSip(), FakeEngine(), Metrics()
        self.media = Media(self.fake.engine)
        self.admission = Admission(conf, self.now)
        self.journal = Journal(directory)
        self.directory = directory
        names = Names()
        self.calls = Calls(
            CallsParts(
                node=conf.node,
                identity=ServerIdentity(contacts={"udp": "sip:127.0.0.1:5060"}, user_agent="Sidestream/1"),
                admission=self.admission,
                tools=CallTools(sip=self.sip, media=self.media, names=names, metrics=self.metrics),
                stream_tools=StreamTools(
                    media=self.media, names=names, metrics=self.metrics, denied=(), ca_pem=lambda _: None
                ),
                journal=self.journal,
                clock=Clock(monotonic=lambda: self.now),
                log=logger(),
            )
        )

    def receive(self, message: Request, key: int = 1, host: str = "192.0.2.1") -> None:
        self.calls.on_event(RequestReceived(ServerKey(key), message, source(host)))

    def answer(self, status: int, body: str = "", tag: str = "peer") -> None:
        """Answer the last request that was sent."""
        key, sent, _ = self.sip.sent[-1]
        response = response_to(sent, status, None, tag)
        response.headers.set("Contact", "<sip:192.0.2.33:5090>")
        if body:
            response.headers.set("Content-Type", "application/sdp")
            response.body = body.encode()
        self.calls.on_event(ResponseReceived(key, response, PEER))

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


@pytest.mark.asyncio
async def test_a_call_from_invite_to_record(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    dialog = gateway.answered_call()
    assert gateway.fake.verbs == ["open_call", "set_leg", "set_leg", "bridge"]
    assert (gateway.calls.active, gateway.admission.calls) == (1, 1)
    assert len(gateway.sip.acks) == 1

    gateway.receive(dialog.create_request("BYE"), key=2)
    assert gateway.sip.sent[-1][1].method == "BYE"
    gateway.answer(200)
    assert (gateway.calls.active, gateway.admission.calls) == (1, 0)
    gateway.media_closed()
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    verdict = record["verdict"]
    assert isinstance(verdict, dict)
    assert (verdict["slug"], record["account"], record["source"]) == (
        "caller-hung-up",
        "acme",
        "udp:192.0.2.1:5080",
    )
    exposed = gateway.metrics.expose().decode()
    assert 'sidestream_calls_total{result="completed",verdict="caller-hung-up"} 1.0' in exposed
    assert 'sidestream_sip_responses_total{class="2xx",method="INVITE"} 1.0' in exposed


@pytest.mark.asyncio
async def test_nothing_of_an_ended_call_is_kept(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    dialog = gateway.answered_call()
    bye = dialog.create_request("BYE")
    gateway.receive(bye, key=2)
    gateway.answer(200)
    gateway.media_closed()
    calls = gateway.calls
    assert [len(table) for table in (calls._entries, calls._dialogs, calls._clients, calls._servers)] == [
        0
    ] * 4
    gateway.receive(bye, key=3)
    assert gateway.statuses[-1] == 481


Refusal = tuple[Callable[[Gateway], None], int, str, str | None]


def draining(gateway: Gateway) -> None:
    gateway.admission.draining = True


def no_ports(gateway: Gateway) -> None:
    error = MediaError("no ports")
    error.kind = "ports_exhausted"
    gateway.fake.refuse["open_call"] = error


def full(gateway: Gateway) -> None:
    gateway.admission.calls = 100


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arrange", "status", "slug", "retry_after"),
    [
        (draining, 503, "draining", "60"),
        (no_ports, 503, "no-media-ports", "5"),
        (full, 503, "call-limit", "5"),
    ],
)
async def test_a_refused_call_is_answered_and_has_its_record(
    tmp_path: Path, arrange: Callable[[Gateway], None], status: int, slug: str, retry_after: str
) -> None:
    gateway = Gateway(tmp_path)
    arrange(gateway)
    before = gateway.admission.calls
    gateway.receive(request())
    ((_, response),) = gateway.sip.answers
    assert (response.status, response.headers.get("Retry-After")) == (status, retry_after)
    assert gateway.admission.calls == before
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == slug
    assert record["account"] == "acme"


@pytest.mark.asyncio
async def test_strangers_are_all_refused_and_counted_but_not_all_recorded(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    for key in range(50):
        gateway.receive(request(), key=key, host="198.51.100.7")
    assert gateway.statuses == [403] * 50
    assert 'verdict="unknown-trunk"} 50.0' in gateway.metrics.expose().decode()
    assert len(gateway.records()) == module.STRANGER_RECORDS_PER_S


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "to_tag", "status"),
    [
        ("OPTIONS", "", 200),
        ("BYE", "", 481),
        ("UPDATE", "", 481),
        ("INFO", "", 481),
        ("MESSAGE", "", 405),
        ("BYE", "unknown", 481),
        ("INVITE", "unknown", 481),
        ("OPTIONS", "unknown", 481),
    ],
)
async def test_requests_outside_of_calls(tmp_path: Path, method: str, to_tag: str, status: int) -> None:
    gateway = Gateway(tmp_path)
    gateway.receive(request(method, to_tag=to_tag, body=""))
    ((_, response),) = gateway.sip.answers
    assert response.status == status
    if status in {200, 405}:
        assert "INVITE" in (response.headers.get("Allow") or "")
    assert gateway.fake.orders == []


@pytest.mark.asyncio
async def test_options_tell_that_the_gateway_drains(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    draining(gateway)
    gateway.receive(request("OPTIONS", body=""))
    assert gateway.statuses == [503]


@pytest.mark.asyncio
async def test_a_cancel_finds_its_call(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.receive(request())
    gateway.calls.on_event(CancelReceived(ServerKey(1), request("CANCEL", body="")))
    assert gateway.sip.cancelled == [gateway.sip.sent[0][0]]
    assert gateway.statuses == [487]
    gateway.answer(487)
    gateway.media_closed()
    assert gateway.calls.active == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [ClientTimedOut, ClientTransportFailed])
async def test_a_silent_or_unreachable_peer_ends_the_call(
    tmp_path: Path, failure: type[ClientTimedOut] | type[ClientTransportFailed]
) -> None:
    whole = configuration(stream="")
    (account,) = whole.accounts
    carrier, desk = account.voice_services
    assert desk.trunk is not None
    single = replace(desk, trunk=replace(desk.trunk, peers=desk.trunk.peers[1:]))
    account = replace(account, voice_services=(carrier, single))
    gateway = Gateway(tmp_path, replace(whole, accounts=(account,)))
    gateway.receive(request())
    gateway.calls.on_event(failure(gateway.sip.sent[0][0]))
    assert gateway.statuses == [408 if failure is ClientTimedOut else 503]
    gateway.media_closed()
    assert gateway.calls.active == 0


@pytest.mark.asyncio
async def test_shutting_down_hangs_up_and_abandoning_leaves_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.answered_call()
    gateway.calls.hang_up_all(HangUpBy.SHUTDOWN, "test")
    assert [sent.method for _, sent, _ in gateway.sip.sent[1:]] == ["BYE", "BYE"]
    assert gateway.calls.active == 1
    gateway.calls.abandon_all()
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == "shutdown"


@pytest.mark.asyncio
async def test_a_drain_ends_at_once_without_calls(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    assert await drain(gateway.calls, gateway.admission, 30.0, logger())
    assert gateway.admission.draining


@pytest.mark.asyncio
async def test_a_drain_hangs_up_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidestream.gateway.drain.FAREWELL_S", 0.0)
    gateway = Gateway(tmp_path)
    gateway.answered_call()
    assert not await drain(gateway.calls, gateway.admission, 0.0, logger())
    assert [sent.method for _, sent, _ in gateway.sip.sent[1:]] == ["BYE", "BYE"]


@pytest.mark.asyncio
async def test_the_media_engine_ends_a_call_that_it_lost(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.answered_call()
    gateway.fake.tell(event="call_failed", call=1, detail="a panic")
    gateway.fake.tell(event="call_closed", call=1, sides=[])
    error = MediaError("gone")
    gateway.fake.refuse["close_call"] = error
    gateway.media.take_events()
    for key, sent, _ in gateway.sip.sent[1:]:
        gateway.calls.on_event(ResponseReceived(key, response_to(sent, 200), PEER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == "media-failed"


@pytest.mark.asyncio
async def test_an_error_of_ours_ends_this_call_only(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    dialog = gateway.answered_call()

    gateway.sip.failure = RuntimeError("a bug")
    gateway.receive(dialog.create_request("BYE"), key=9)
    gateway.media_closed()
    assert gateway.calls.active == 0
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] in {"internal-error", "caller-hung-up"}
    assert "sidestream_call_faults_total 1.0" in gateway.metrics.expose().decode()
