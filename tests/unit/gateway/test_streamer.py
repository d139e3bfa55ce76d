import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sidestream._media import MediaError
from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import (
    CallAnswered,
    CallEnding,
    CallHeld,
    CallStarted,
    DtmfReceived,
    EarlyMediaStarted,
    HeadersChanged,
    ParticipantUpdated,
)
from sidestream.call.participants import callee_of, caller_of
from sidestream.call.side import Side
from sidestream.call.verdict import Slug, verdict
from sidestream.config.denied import DENIED_NETWORKS
from sidestream.gateway.media import CallMedia, Media
from sidestream.gateway.names import Names
from sidestream.gateway.stream_plan import CallFacts, choose_streams
from sidestream.gateway.stream_runner import CallClock, StreamTools
from sidestream.gateway.streamer import CallStreams
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metrics
from sidestream.sdp.negotiate import NegotiatedCodec
from unit.gateway.fake_engine import FakeEngine
from unit.gateway.samples import STREAM, configuration, request

AT = datetime.now(UTC)
PCMU = NegotiatedCodec("PCMU", 8000, 1, 0, 0, None)
G722 = NegotiatedCodec("G722", 8000, 1, 9, 9, None)


async def lookup(host: str) -> list[str]:
    if host == "metadata.example":
        return ["169.254.169.254"]
    raise OSError("no such name")


class Call:
    """The streams of one call on a fake engine."""

    def __init__(self, stream: str = STREAM, *, answered: NegotiatedCodec = PCMU) -> None:
        account = configuration(stream=stream).accounts[0]
        carrier, desk = account.service("carrier"), account.service("desk")
        assert carrier is not None
        assert desk is not None
        self.invite = request()
        self.fake = FakeEngine()
        self.media = Media(self.fake.engine)
        self.metrics = Metrics()
        self.over = 0
        legs = self.media.open_call()
        self.facts = CallFacts(
            node="gw",
            version="1",
            call_id="call",
            account="acme",
            sip_call_id="x",
            traceparent="t",
            caller=caller_of(self.invite),
            callee=callee_of(self.invite),
            invite=self.invite.headers,
        )
        self.streams = self._streams(choose_streams(carrier, desk), legs)
        self.streams.attach(self._on_over)
        self.streams.hear(
            CallStarted(AT, self.facts.caller, self.facts.callee, (("X-Queue", "gold"), ("X-Else", "1")))
        )
        for side in Side:
            self.streams.hear_media(UpdateLegMedia(side, None, (answered,), 20, False))

    def _streams(self, choices: list[Any], legs: CallMedia) -> CallStreams:
        tools = StreamTools(
            media=self.media,
            names=Names(lookup),
            metrics=self.metrics,
            denied=DENIED_NETWORKS,
            ca_pem=lambda path: Path(path).read_text() if path else None,
        )
        clock = CallClock(asyncio.get_running_loop().time(), AT)
        return CallStreams(tools, self.facts, choices, legs, clock=clock, log=logger())

    def _on_over(self) -> None:
        self.over += 1

    async def answer(self) -> int:
        """Answer the call and return the stream's handle."""
        self.streams.hear(CallAnswered(AT))
        await self.settle()
        return max(handle for verb, handle, _ in self.fake.orders if verb == "connect_stream")

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def tell(self, **event: object) -> None:
        self.fake.tell(**event)
        self.media.take_events()

    def connected(self, stream: int) -> None:
        self.tell(event="connected", stream=stream, address="127.0.0.1:8443", tlsVersion="1.3", connectMs=2)

    def closed(self, stream: int, *, sent: bool = True) -> None:
        self.tell(
            event="stream_closed",
            stream=stream,
            closeSent=sent,
            closeCode=1000,
            totals=[],
            messages=9,
            sentBytes=99,
            maxQueueMs=0,
            gapSamples={"loss": 3},
        )

    def metadata(self) -> list[tuple[str, Any]]:
        sent = self.fake.all_of("send_on_stream")
        return [(body["type"], body["data"]) for kind, body in sent if kind == "metadata"]

    @property
    def verdicts(self) -> list[str]:
        return [record.verdict for record in self.streams.records()]

    def ending(self, slug: Slug = Slug.CALLER_HUNG_UP) -> None:
        self.streams.hear(CallEnding(AT + timedelta(seconds=3), verdict(slug)))


@pytest.mark.asyncio
async def test_a_stream_begins_on_the_answer_and_tells_headers_before_the_answer() -> None:
    call = Call()
    call.streams.hear(EarlyMediaStarted(AT))
    assert "open_stream" not in call.fake.verbs
    await call.answer()
    assert call.fake.verbs.count("open_stream") == 1
    assert [kind for kind, _ in call.metadata()] == ["call.headers", "call.answered"]
    assert call.metadata()[0][1] == {"headers": {"X-Queue": ["gold"]}}
    assert call.streams.open_count == 1


@pytest.mark.asyncio
async def test_a_stream_may_begin_with_early_media_and_only_once() -> None:
    call = Call(STREAM.replace("encoding", "start_on: early_media, encoding"))
    call.streams.hear(EarlyMediaStarted(AT))
    await call.answer()
    assert call.fake.verbs.count("open_stream") == 1


@pytest.mark.asyncio
async def test_the_end_of_the_call_closes_the_stream_and_gives_its_record() -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.ending()
    ((body, code, _),) = call.fake.all_of("close_stream")
    assert (body["reason"], body["detail"], code) == ("call-ended", "The caller hung up.", 1000)
    call.closed(stream)
    (record,) = call.streams.records()
    assert (record.verdict, record.result, record.connections) == ("completed", "completed", 1)
    assert record.delivered is not None
    assert record.delivered["gap_samples"] == {"loss": 3}
    assert (call.streams.open_count, call.over) == (0, 1)


@pytest.mark.asyncio
async def test_an_ended_stream_leaves_nothing_for_the_collector() -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.ending()
    runner = weakref.ref(call.streams._runners[0])
    gc.disable()
    try:
        call.closed(stream)
        call.streams._runners.clear()
        await asyncio.sleep(0)
        assert runner() is None
    finally:
        gc.enable()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("slug", "reason", "code"),
    [(Slug.SHUTDOWN, "shutdown", 1001), (Slug.MAX_DURATION, "max-duration", 1000)],
)
async def test_a_stream_ends_by_the_reason_of_its_call(slug: Slug, reason: str, code: int) -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.ending(slug)
    ((body, sent, _),) = call.fake.all_of("close_stream")
    assert (body["reason"], sent) == (reason, code)
    call.closed(stream)
    assert call.verdicts == [reason]


@pytest.mark.asyncio
async def test_facts_become_metadata_of_the_participant() -> None:
    call = Call()
    await call.answer()
    call.streams.hear(CallHeld(AT, Side.B))
    renamed = replace(call.facts.callee, display_name="Grace")
    call.streams.hear(ParticipantUpdated(AT, renamed))
    call.streams.hear(HeadersChanged(AT, Side.A, (("X-Queue", "silver"),)))
    bodies = [body for _, body in call.fake.all_of("send_on_stream")][2:]
    assert [(body["type"], body["participantId"]) for body in bodies] == [
        ("call.held", "callee"),
        ("participant.updated", "callee"),
        ("call.headers", "caller"),
    ]
    assert bodies[1]["data"]["displayName"] == "Grace"
    assert bodies[2]["data"] == {"headers": {"X-Queue": ["silver"]}}


@pytest.mark.asyncio
async def test_headers_are_told_again_only_when_they_change() -> None:
    call = Call()
    await call.answer()
    for headers in ((("X-Queue", "gold"),), (("X-Else", "2"),), ()):
        call.streams.hear(HeadersChanged(AT, Side.A, headers))
        call.streams.hear(HeadersChanged(AT, Side.B, ()))
    assert [kind for kind, _ in call.metadata()].count("call.headers") == 1


@pytest.mark.asyncio
async def test_a_key_heard_twice_is_one_press_and_a_key_by_info_has_its_place_on_the_clock() -> None:
    call = Call()
    stream = await call.answer()
    at = call.streams.records()[0].started_at + timedelta(seconds=2)
    call.streams.hear(DtmfReceived(at, Side.A, "5", 250))
    press = {"event": "dtmf", "call": 1, "stream": stream, "side": "a", "channel": 0, "participant": "caller"}
    call.tell(**press, digit="5", durationMs=240, timestamp=14000)
    call.tell(**press, digit="7", durationMs=100, timestamp=30000)
    presses = [body for kind, body in call.fake.all_of("send_on_stream") if kind == "dtmf"]
    assert presses == [
        {
            "channel": 0,
            "participantId": "caller",
            "digit": "5",
            "durationMs": 250,
            "timestamp": 14000,
            "source": "sip-info",
        },
        {
            "channel": 0,
            "participantId": "caller",
            "digit": "7",
            "durationMs": 100,
            "timestamp": 30000,
            "source": "rfc4733",
        },
    ]


@pytest.mark.asyncio
async def test_a_codec_that_cannot_be_streamed_is_a_verdict_without_a_connection() -> None:
    call = Call(STREAM.replace("PCMU", "call"), answered=G722)
    call.streams.hear(CallAnswered(AT))
    await call.settle()
    assert call.verdicts == ["codec-unsupported"]
    assert "open_stream" not in call.fake.verbs
    assert 'sidestream_streams_total{result="failed",verdict="codec-unsupported"} 1.0' in (
        call.metrics.expose().decode()
    )


@pytest.mark.asyncio
async def test_audio_that_cannot_be_decoded_ends_the_stream_with_an_error() -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.tell(event="codec_unsupported", stream=stream, side="b")
    ((body, _, _),) = call.fake.all_of("close_stream")
    assert (body["reason"], body["detail"]) == ("error", "the callee sends audio that cannot be streamed")
    call.closed(stream)
    assert call.verdicts == ["codec-unsupported"]


FAILURES = [
    ("nowhere.example", None, None, "name-not-resolved"),
    ("metadata.example", None, None, "address-denied"),
    ("127.0.0.1", "tcp_refused", None, "connection-refused"),
    ("127.0.0.1", "tls_certificate", None, "tls-certificate"),
    ("127.0.0.1", "http_status", 401, "unauthorized"),
    ("127.0.0.1", "of the future", None, "engine-error"),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("host", "reason", "status", "slug"), FAILURES)
async def test_each_way_not_to_connect_has_its_own_verdict(
    host: str, reason: str | None, status: int | None, slug: str
) -> None:
    # No window for another try: the first failure is the verdict.
    call = Call(STREAM.replace("127.0.0.1", host).replace("encoding", "reconnect_window: 0s, encoding"))
    call.streams.hear(CallAnswered(AT))
    await call.settle()
    if reason is not None:
        stream = max(handle for verb, handle, _ in call.fake.orders if verb == "connect_stream")
        call.tell(event="connect_failed", stream=stream, reason=reason, detail="why", httpStatus=status)
    assert call.fake.verbs[-1] == "abort_stream"
    call.closed(2, sent=False)
    assert call.verdicts == [slug]
    assert "sidestream_stream_connect_failures_total" in call.metrics.expose().decode()


@pytest.mark.asyncio
async def test_a_bundle_of_authorities_that_is_missing_is_a_certificate_that_is_not_trusted() -> None:
    call = Call(STREAM.replace("encoding", "reconnect_window: 0s, ca: missing/ca.pem, encoding"))
    call.streams.hear(CallAnswered(AT))
    await call.settle()
    call.closed(2, sent=False)
    (record,) = call.streams.records()
    assert record.verdict == "tls-certificate"
    assert "missing/ca.pem: No such file or directory" in record.detail


@pytest.mark.asyncio
async def test_a_lost_connection_is_made_again_as_resumed() -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.tell(event="connection_lost", stream=stream, reason="tcp_reset", detail="reset", closeCode=None)
    await call.settle()
    first, second = call.fake.all_of("connect_stream")
    assert '"connection":1,"resumed":false' in first["connect"]
    assert '"connection":2,"resumed":true' in second["connect"]
    assert first["start"] == second["start"]


@pytest.mark.asyncio
async def test_an_endpoint_that_closes_cleanly_ends_the_stream() -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.tell(event="connection_lost", stream=stream, reason="closed_by_endpoint", detail="", closeCode=1000)
    call.closed(stream, sent=False)
    assert call.verdicts == ["stopped-by-endpoint"]


@pytest.mark.asyncio
async def test_what_the_endpoint_says_is_obeyed() -> None:
    call = Call()
    stream = await call.answer()
    call.connected(stream)
    call.tell(event="text", stream=stream, text='{"event":"pause"}')
    call.tell(event="text", stream=stream, text="nonsense")
    call.tell(event="text", stream=stream, text='{"event":"resume"}')
    assert call.fake.all_of("pause_stream") == [True, False]
    assert [kind for kind, _ in call.metadata()][2:] == ["stream.paused", "stream.error", "stream.resumed"]


def refuse(verb: str, error: Exception) -> Callable[[Call], None]:
    return lambda call: call.fake.refuse.update({verb: error})


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [MediaError("refused"), RuntimeError("a bug")])
@pytest.mark.parametrize("verb", ["open_stream", "send_on_stream", "connect_stream", "close_stream"])
async def test_no_error_of_a_stream_reaches_the_call(verb: str, error: Exception) -> None:
    call = Call(STREAM.replace("encoding", "reconnect_window: 0s, encoding"))
    call.fake.refuse[verb] = error
    call.streams.hear(CallAnswered(AT))
    await call.settle()
    call.ending()
    await call.settle()
    if verb == "connect_stream":
        call.closed(2, sent=False)
    assert call.verdicts == ["engine-error"]
    assert (call.streams.open_count, call.over) == (0, 1)


@pytest.mark.asyncio
async def test_one_failing_stream_leaves_the_other_alone() -> None:
    call = Call(STREAM + ", " + STREAM.replace("live", "second").replace("127.0.0.1", "nowhere.example"))
    stream = await call.answer()
    call.connected(stream)
    call.fake.refuse["pause_stream"] = RuntimeError("a bug")
    call.tell(event="text", stream=stream, text='{"event":"pause"}')
    assert call.streams.open_count == 1
    assert sorted(record.integration for record in call.streams.records()) == ["live", "second"]


@pytest.mark.asyncio
async def test_giving_up_ends_everything_at_once() -> None:
    call = Call()
    await call.answer()
    call.streams.give_up("the gateway stops")
    assert call.fake.verbs[-1] == "abort_stream"
    assert (call.verdicts, call.streams.open_count) == (["shutdown"], 0)


@pytest.mark.asyncio
async def test_a_call_that_is_not_answered_has_no_stream() -> None:
    call = Call()
    call.ending(Slug.NO_ANSWER)
    call.streams.hear(CallAnswered(AT))
    assert call.streams.records() == []
