"""The endpoint's messages: what is understood, and what is said about the rest."""

import re

import pytest

from sidestream.stream.inbound import (
    Clear,
    InboundMessage,
    MalformedMessageError,
    Mark,
    Media,
    Pause,
    Resume,
    SendDtmf,
    Stop,
    parse_inbound,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"event":"pause"}', Pause()),
        ('{"event":"resume","resume":{},"extra":1}', Resume()),
        ('{"event":"stop","stop":{"reason":"enough"}}', Stop(reason="enough")),
        ('{"event":"stop","reason":"flat"}', Stop(reason="flat")),
        ('{"event":"stop"}', Stop()),
        ('{"event":"media","media":{"channel":1,"payload":"AA=="}}', Media(channel=1, payload="AA==")),
        ('{"event":"mark","mark":{"name":"hello"}}', Mark(name="hello")),
        ('{"event":"clear","clear":{"channel":0}}', Clear(channel=0)),
        ('{"event":"dtmf","dtmf":{"channel":0,"digits":"12#"}}', SendDtmf(channel=0, digits="12#")),
    ],
)
def test_well_formed(text: str, message: InboundMessage) -> None:
    assert parse_inbound(text) == message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not one JSON object"),
        ("nonsense", "not one JSON object"),
        ('{"event":"pause"} {}', "not one JSON object"),
        ('{"event":"stop","stop":' + "[" * 20_000, "not one JSON object"),
        ("[]", "needs an 'event'"),
        ('{"event":7}', "needs an 'event'"),
        ("{}", "needs an 'event'"),
        ('{"event":"dance"}', "unknown event 'dance'"),
        ('{"event":"ack","ack":{"sequenceNumber":-1}}', "'ack' needs"),
        ('{"event":"pause","pause":null}', "body of 'pause'"),
        ('{"event":"stop","stop":{"reason":7}}', "body of 'stop'"),
        ('{"event":"media","media":{"channel":0}}', "body of 'media'"),
        ('{"event":"media","media":{"channel":2,"payload":""}}', "'channel' is 0 or 1"),
        ('{"event":"mark","mark":{"name":""}}', "1 to 256"),
        ('{"event":"dtmf","dtmf":{"channel":0,"digits":"x"}}', "'digits'"),
    ],
)
def test_malformed(text: str, said: str) -> None:
    with pytest.raises(MalformedMessageError, match=re.escape(said)):
        parse_inbound(text)


def test_a_long_reason_is_cut() -> None:
    message = parse_inbound('{"event":"stop","stop":{"reason":"' + "x" * 1000 + '"}}')
    assert message == Stop(reason="x" * 256)
