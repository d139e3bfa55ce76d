from datetime import UTC, datetime

import msgspec
import pytest

from sidestream.call.participants import callee_of, caller_of
from sidestream.config.model import MediaStreamIntegration, VoiceService
from sidestream.config.values import VoiceServiceKind
from sidestream.gateway.stream_plan import (
    CallFacts,
    Connection,
    StreamChoice,
    StreamFormat,
    StreamIdentity,
    choose_streams,
    connect_attempt,
    format_of,
    forwarded,
    stream_spec,
    template_values,
)
from sidestream.sdp.negotiate import NegotiatedCodec
from sidestream.stream.upgrade import parse_endpoint
from unit.gateway.samples import STREAM, configuration, request

AT = datetime(2026, 11, 23, 10, 15, 30, 120_000, tzinfo=UTC)


def integration(text: str = STREAM) -> MediaStreamIntegration:
    desk = configuration(stream=text).accounts[0].service("desk")
    assert desk is not None
    return desk.media_streams[0]


def service(name: str, *integrations: MediaStreamIntegration) -> VoiceService:
    return VoiceService(name=name, kind=VoiceServiceKind.CONTACT_CENTER, integrations=integrations)


def codec(name: str, rate: int = 8000, channels: int = 1) -> NegotiatedCodec:
    return NegotiatedCodec(name, rate, channels, 0, 0, None)


def stream(text: str = STREAM, layout: str = "separate") -> StreamIdentity:
    chosen = integration(text.replace("forward_headers", f"layout: {layout}, forward_headers"))
    form = format_of(chosen, None)
    assert form is not None
    invite = request()
    call = CallFacts(
        node="gw",
        version="1.2",
        call_id="call",
        account="acme",
        sip_call_id=invite.call_id,
        traceparent="00-a-b-01",
        caller=caller_of(invite),
        callee=callee_of(invite),
        invite=invite.headers,
    )
    choice = StreamChoice(integration=chosen, service="desk", direction="inbound")
    return StreamIdentity(
        stream_id="stream", call=call, choice=choice, format=form, started_at=AT, start_ns=123
    )


def test_integrations_of_both_services_are_used_and_the_same_one_once() -> None:
    one, other = integration(), integration(STREAM.replace("live", "second"))
    chosen = choose_streams(service("a", one, other), service("b", one))
    assert [(choice.integration.name, choice.service, choice.direction) for choice in chosen] == [
        ("live", "b", "inbound"),
        ("second", "a", "outbound"),
    ]


def test_equal_names_with_other_settings_are_two_integrations() -> None:
    one, other = integration(), integration(STREAM.replace("PCMU", "PCMA"))
    assert len(choose_streams(service("a", one), service("b", other))) == 2


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (codec("pcmu"), StreamFormat("PCMU", 8000, 20, "separate")),
        (codec("PCMA"), StreamFormat("PCMA", 8000, 20, "separate")),
        (codec("L16", 16000), StreamFormat("L16", 16000, 20, "separate")),
        (codec("L16", 44100), None),
        (codec("L16", 16000, 2), None),
        (codec("G722"), None),
        (codec("opus", 48000, 2), None),
        (None, None),
    ],
)
def test_encoding_call_follows_the_codec_of_the_call(
    used: NegotiatedCodec | None, expected: StreamFormat | None
) -> None:
    assert format_of(integration(STREAM.replace("PCMU", "call")), used) == expected


def test_a_named_encoding_does_not_depend_on_the_call() -> None:
    wide = integration(STREAM.replace("PCMU", "L16, sample_rate: 24000, frame: 10ms"))
    assert format_of(wide, codec("G722")) == StreamFormat("L16", 24000, 10, "separate")


def test_values_of_templates_come_from_call_and_first_header_line() -> None:
    one = stream()
    one.call.invite.add("X-Queue", "silver")
    values = template_values(one.call, one.choice)
    assert values["sip.header.x-queue"] == "gold"
    assert (values["caller.number"], values["caller.name"]) == ("+14155550100", "Ada")
    assert (values["account.name"], values["service.name"], values["call.direction"]) == (
        "acme",
        "desk",
        "inbound",
    )


def test_forwarded_headers_keep_the_configured_spelling_and_all_values() -> None:
    headers = (("X-queue", "a"), ("X-Other", "b"), ("x-Queue", "c"))
    assert forwarded(headers, ("X-Queue", "Diversion")) == {"X-Queue": ["a", "c"]}


@pytest.mark.parametrize(("layout", "channels"), [("separate", [0, 1]), ("mixed", [0])])
def test_the_attempt_carries_both_opening_messages(layout: str, channels: list[int]) -> None:
    one = stream(layout=layout)
    connection = Connection(
        endpoint=parse_endpoint("wss://endpoint.example/calls?a=1"),
        addresses=["192.0.2.7"],
        ca_pem=None,
        number=2,
        resumed=True,
    )
    attempt = connect_attempt(one, connection)
    assert (attempt.server_name, attempt.port, attempt.path) == ("endpoint.example", 443, "/calls?a=1")
    connect, start = (msgspec.json.decode(body) for body in (attempt.connect, attempt.start))
    assert (connect["connection"], connect["resumed"], connect["integrationName"]) == (2, True, "live")
    assert start["startedAt"] == "2026-11-23T10:15:30.120Z"
    assert start["direction"] == "inbound"
    assert start["parameters"] == {"queue": "gold", "from": "+14155550100"}
    assert start["media"] == {
        "encoding": "PCMU",
        "sampleRate": 8000,
        "frameDurationMs": 20,
        "layout": layout,
        "channels": channels,
    }
    assert [(each["id"], each["channel"]) for each in start["participants"]] == [("caller", 0), ("callee", 1)]


def test_credentials_and_templates_become_headers() -> None:
    text = STREAM.replace(
        "encoding",
        "auth: {bearer: abc, headers: {X-Key: k}}, headers: {X-For: '{account.name}'}, encoding",
    )
    endpoint = parse_endpoint("ws://127.0.0.1:9000/")
    attempt = connect_attempt(
        stream(text),
        Connection(endpoint=endpoint, addresses=["127.0.0.1"], ca_pem=None, number=1, resumed=False),
    )
    assert attempt.server_name is None
    assert {("Authorization", "Bearer abc"), ("X-Key", "k"), ("X-For", "acme")} <= set(attempt.headers)


def test_the_engine_is_told_clock_and_bounds() -> None:
    spec = stream_spec(stream(STREAM.replace("encoding", "flush: 0ms, queue: 5s, replay: 0s, encoding")))
    assert (spec.start_ns, spec.started_at_unix_ms) == (123, round(AT.timestamp() * 1000))
    assert (spec.flush_ms, spec.queue_ms, spec.replay_ms, spec.jitter_window_ms) == (0, 5000, 0, 60)
    assert [(one.channel, one.side, one.participant) for one in spec.channels] == [
        (0, "a", "caller"),
        (1, "b", "callee"),
    ]
