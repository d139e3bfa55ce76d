"""Offers and answers of the scripted phone (RFC 3264)."""

import pytest

from sidestream import sdp
from sidestream.sdp.protection import Protection
from sidestream.tools.g711 import Law
from sidestream.tools.phone_sdp import agreed, answer_to, describe

ORIGIN = sdp.Origin("-", 1, 1, "127.0.0.1")
OURS, THEIRS = ("127.0.0.1", 4_000), ("127.0.0.2", 5_000)


def offer(
    *laws: Law, direction: sdp.Direction = sdp.Direction.SENDRECV, events: int | None = 101
) -> sdp.SessionDescription:
    return describe(THEIRS, laws, direction, ORIGIN, events)


def answer(
    offered: sdp.SessionDescription, law: Law = "PCMU", direction: sdp.Direction = sdp.Direction.SENDRECV
) -> sdp.SessionDescription:
    return answer_to(offered, OURS, law, direction, ORIGIN, protection=Protection())


@pytest.mark.parametrize(
    ("laws", "preferred", "expected"),
    [(("PCMU", "PCMA"), "PCMA", "PCMA"), (("PCMA",), "PCMU", "PCMA"), (("PCMA", "PCMU"), "PCMU", "PCMU")],
)
def test_the_preferred_law_is_taken_where_it_is_offered(
    laws: tuple[Law, ...], preferred: Law, expected: Law
) -> None:
    offered = offer(*laws)
    found = agreed(answer(offered, preferred), offered, we_answered=True)
    assert (found.law, found.remote) == (expected, THEIRS)


@pytest.mark.parametrize("events", [96, 101, None])
def test_key_presses_take_the_number_of_the_offer(events: int | None) -> None:
    offered = offer("PCMU", events=events)
    assert agreed(answer(offered), offered, we_answered=True).event_payload_type == events


@pytest.mark.parametrize(
    ("offered", "sends", "receives"),
    [
        ("sendrecv", True, True),
        ("sendonly", False, True),
        ("recvonly", True, False),
        ("inactive", False, False),
    ],
)
def test_a_direction_is_answered_within_what_is_offered(offered: str, sends: bool, receives: bool) -> None:
    description = offer("PCMU", direction=sdp.Direction(offered))
    found = agreed(answer(description), description, we_answered=True)
    assert (found.sends, found.receives) == (sends, receives)


def test_on_hold_we_send_nothing_and_hear_nothing() -> None:
    ours = describe(OURS, ("PCMU",), sdp.Direction.INACTIVE, ORIGIN)
    found = agreed(ours, offer("PCMU"), we_answered=False)
    assert (found.sends, found.receives) == (False, False)


def test_a_hold_by_address_leaves_nowhere_to_send() -> None:
    held = describe(("0.0.0.0", 5_000), ("PCMU",), sdp.Direction.SENDRECV, ORIGIN)  # noqa: S104 -- never bound
    found = agreed(answer(held), held, we_answered=True)
    assert (found.remote, found.sends) == (None, False)


def test_without_g711_there_is_no_answer() -> None:
    text = (
        sdp.serialize(offer("PCMU", events=None))
        .replace(b"RTP/AVP 0", b"RTP/AVP 9")
        .replace(b"0 PCMU/8000", b"9 G722/8000")
    )
    with pytest.raises(sdp.NegotiationError, match="neither PCMU nor PCMA"):
        answer(sdp.parse(text))


def test_other_media_is_refused_at_its_place() -> None:
    text = sdp.serialize(offer("PCMU")) + b"m=video 6000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    made = answer(sdp.parse(text))
    assert [(media.kind, media.port) for media in made.media] == [("audio", 4_000), ("video", 0)]


def test_a_refused_answer_is_no_agreement() -> None:
    refused = sdp.parse(sdp.serialize(offer("PCMU")).replace(b"audio 5000", b"audio 0"))
    with pytest.raises(sdp.NegotiationError, match="refused"):
        agreed(describe(OURS, ("PCMU",), sdp.Direction.SENDRECV, ORIGIN), refused, we_answered=False)
