"""Session descriptions of a recording session, judged and made."""

import pytest

from sidestream import sdp
from sidestream.tools.recorder_findings import Finding, Level
from sidestream.tools.recorder_sdp import RecordedLine, choose, describe, judge_answer, judge_offer, judge_sdp
from siprec_client import describe as offer_text

OFFER = offer_text((40_000, 40_002))
ORIGIN = sdp.Origin("-", 1, 1, "h")


def parsed(text: str) -> sdp.SessionDescription:
    return sdp.parse(text.encode())


def codes(found: list[Finding], level: Level = Level.VIOLATION) -> list[str]:
    return [finding.code for finding in found if finding.level is level]


def test_the_usual_offer_is_without_fault() -> None:
    description, found = judge_sdp(OFFER.encode())
    assert description is not None
    assert not [*found, *judge_offer(description, None)]


def test_srtp_needs_a_key_that_can_be_used() -> None:
    text = OFFER.replace("RTP/AVP", "RTP/SAVP", 1)
    assert "crypto" in codes(judge_offer(parsed(text), None), Level.VIOLATION)
    keyed = text.replace("a=label", "a=crypto:1 AEAD_AES_128_GCM inline:" + "A" * 38 + "\r\na=label", 1)
    assert "crypto" not in codes(judge_offer(parsed(keyed), None), Level.VIOLATION)


def test_what_is_not_recorded_is_remarked() -> None:
    text = OFFER.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF", 1).replace("m=audio 40002", "m=video 40003")
    assert codes(judge_offer(parsed(text), None), Level.REMARK) == [
        "protocol",
        "not-audio",
        "port-odd",
        "one-stream",
    ]


def test_a_removed_stream_needs_no_label_and_may_come_back() -> None:
    removed = parsed(offer_text((40_000, 0), version=2).replace("a=label:2\r\n", ""))
    assert not judge_offer(removed, parsed(OFFER))
    assert not judge_offer(parsed(offer_text((40_000, 40_002), version=3)), removed)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("o=- 4711 1", "o=- 4712 2"), "origin"),
        (("a=ptime:20", "a=ptime:30"), "origin-version"),
        (("o=- 4711 1", "o=- 4711 3"), "origin-version"),
        (("o=- 4711 1", "o=- 4711 0"), "origin-version"),
    ],
)
def test_versions_go_on_one_by_one(change: tuple[str, str], code: str) -> None:
    assert codes(judge_offer(parsed(OFFER.replace(*change)), parsed(OFFER))) == [code]


def test_a_label_that_changes_is_remarked() -> None:
    changed = offer_text((40_000, 40_002), version=2).replace("a=label:2", "a=label:b")
    assert codes(judge_offer(parsed(changed), parsed(OFFER)), Level.REMARK) == ["label-changed"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (offer_text((40_000, 40_002), direction="sendrecv"), "direction"),
        (offer_text((40_000, 40_002), direction="recvonly"), "direction"),
        (OFFER[: OFFER.rindex("m=audio")], "answer-lines"),
    ],
)
def test_answers_of_the_client_are_judged(text: str, code: str) -> None:
    description = parsed(OFFER)
    ours = describe([line(50_000, "1"), line(50_002, "2")], description, "127.0.0.2", ORIGIN)
    assert code in codes(judge_answer(parsed(text), ours, description))


def test_an_answer_to_inactive_must_not_send() -> None:
    description = parsed(OFFER)
    still = line(50_000, "1", sdp.Direction.INACTIVE)
    ours = describe([still, RecordedLine(0)], description, "127.0.0.2", ORIGIN)
    assert codes(judge_answer(description, ours, description)) == [
        "answer-direction",
        "answer-port",
    ]


def line(port: int, label: str, direction: sdp.Direction = sdp.Direction.RECVONLY) -> RecordedLine:
    return RecordedLine(port, direction, sdp.Codec("PCMA", 8_000, 1, 8), 101, label)


def test_our_answer_names_one_codec_and_the_key_presses() -> None:
    lines = [line(50_000, "1"), RecordedLine(0)]
    made = describe(lines, parsed(OFFER), "127.0.0.2", sdp.Origin("-", 9, 2, "127.0.0.2"))
    assert sdp.serialize(made).decode().splitlines() == [
        "v=0",
        "o=- 9 2 IN IP4 127.0.0.2",
        "s=-",
        "c=IN IP4 127.0.0.2",
        "t=0 0",
        "m=audio 50000 RTP/AVP 8 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=recvonly",
        "a=label:1",
        "m=audio 0 RTP/AVP 8 101",
    ]


def test_the_first_codec_that_is_taken_decides() -> None:
    media = parsed(OFFER.replace("RTP/AVP 8 101", "RTP/AVP 9 8 0")).media[0]
    both, one = choose(media, ("PCMU", "PCMA")), choose(media, ("PCMU",))
    assert both is not None
    assert both[0].name == "PCMA"
    assert one is not None
    assert one[0].name == "PCMU"
    assert choose(media, ()) is None
