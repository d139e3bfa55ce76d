import itertools

import pytest

from sidestream.errors import StateError
from sidestream.sdp.errors import GlareError, OfferOverlapError
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.parser import parse
from sidestream.sdp.session import REFUSED, TABLE, Move, OfferAnswer, State


def describe(*lines: str, version: int = 1) -> SessionDescription:
    head = ("v=0", f"o=us 9 {version} IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0")
    return parse("\r\n".join((*head, *lines)).encode())


PCMU = describe("m=audio 4000 RTP/AVP 0")
PCMA = describe("m=audio 4000 RTP/AVP 8")


def leg_in(state: State) -> OfferAnswer:
    leg = OfferAnswer()
    if state is State.HAVE_LOCAL_OFFER:
        leg.send_offer(PCMU)
    elif state is State.HAVE_REMOTE_OFFER:
        leg.receive_offer(PCMU)
    assert leg.state is state
    return leg


def make(leg: OfferAnswer, move: Move) -> None:
    match move:
        case Move.SEND_OFFER:
            leg.send_offer(PCMA)
        case Move.SEND_ANSWER:
            leg.send_answer(PCMA)
        case Move.SEND_PREVIEW:
            leg.send_preview(PCMA)
        case Move.RECEIVE_OFFER:
            leg.receive_offer(PCMA)
        case Move.RECEIVE_ANSWER:
            leg.receive_answer(PCMA)
        case Move.RECEIVE_PREVIEW:
            leg.receive_preview(PCMA)
        case Move.SEND_REJECTION | Move.RECEIVE_REJECTION:
            leg.reject()


def in_force(leg: OfferAnswer) -> tuple[SessionDescription | None, ...]:
    assert leg.can_offer is (leg.pending is None)
    return leg.local, leg.remote, leg.pending


REJECTIONS = {Move.SEND_REJECTION, Move.RECEIVE_REJECTION}
MOVES = [step for step in itertools.product(State, Move) if step[1] not in REJECTIONS or step in TABLE]


@pytest.mark.parametrize(("state", "move"), MOVES)
def test_every_move_is_listed_refused_or_a_bug(state: State, move: Move) -> None:
    leg = leg_in(state)
    if (state, move) in TABLE:
        make(leg, move)
        assert leg.state is TABLE[state, move]
        return
    expected = REFUSED.get((state, move), StateError)
    with pytest.raises(expected):
        make(leg, move)
    assert leg.state is state


def test_rejection_needs_an_open_exchange() -> None:
    with pytest.raises(StateError):
        OfferAnswer().reject()


def test_glare_is_491_and_an_overlapping_offer_500() -> None:
    with pytest.raises(GlareError) as glare:
        leg_in(State.HAVE_LOCAL_OFFER).receive_offer(PCMU)
    assert glare.value.sip_status == 491
    with pytest.raises(OfferOverlapError) as overlap:
        leg_in(State.HAVE_REMOTE_OFFER).receive_offer(PCMU)
    assert (overlap.value.sip_status, overlap.value.retry_after) == (500, (0, 10))


def test_our_offer_and_its_answer_come_into_force_together() -> None:
    leg = OfferAnswer()
    leg.send_offer(PCMU)
    assert in_force(leg) == (None, None, PCMU)
    leg.receive_answer(PCMU)
    assert in_force(leg) == (PCMU, PCMU, None)
    assert [codec.name for codec in leg.codecs()] == ["PCMU"]


def test_a_rejected_offer_changes_nothing_in_force() -> None:
    leg = OfferAnswer()
    leg.send_offer(PCMU)
    leg.receive_answer(PCMU)
    leg.send_offer(PCMA)
    leg.receive_preview(PCMA)
    assert [codec.name for codec in leg.codecs()] == ["PCMA"]
    leg.reject()
    assert leg.local == PCMU
    assert [codec.name for codec in leg.codecs()] == ["PCMU"]


def test_a_preview_lets_media_flow_before_the_answer() -> None:
    leg = OfferAnswer()
    leg.receive_offer(PCMU)
    preview = leg.send_preview(PCMU)
    assert [codec.name for codec in leg.codecs()] == ["PCMU"]
    assert leg.state is State.HAVE_REMOTE_OFFER
    assert leg.send_answer(PCMU) == preview


def test_a_repeated_answer_is_ignored() -> None:
    leg = OfferAnswer()
    leg.send_offer(PCMU)
    leg.receive_answer(PCMU)
    leg.receive_answer(PCMA)
    assert leg.remote == PCMU


def test_the_version_counts_what_was_sent_even_if_refused() -> None:
    leg = OfferAnswer()
    assert leg.send_offer(PCMU).origin.version == 1
    leg.receive_answer(PCMU)
    assert leg.send_offer(PCMU).origin.version == 1
    leg.receive_answer(PCMU)
    assert leg.send_offer(PCMA).origin.version == 2
    leg.reject()
    assert leg.send_offer(PCMU).origin.version == 3


def test_a_new_offer_keeps_the_places_and_numbers_of_the_leg() -> None:
    leg = OfferAnswer()
    first = describe("m=video 5000 RTP/AVP 31", "m=audio 4000 RTP/AVP 101", "a=rtpmap:101 opus/48000/2")
    leg.receive_offer(first)
    leg.send_answer(describe("m=video 0 RTP/AVP 31", "m=audio 6000 RTP/AVP 101", "a=rtpmap:101 opus/48000/2"))
    offer = leg.send_offer(
        describe(
            "m=audio 6000 RTP/AVP 101 97", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:97 opus/48000/2"
        )
    )
    assert [media.lines[0].value for media in offer.media] == [
        "video 0 RTP/AVP 31",
        "audio 6000 RTP/AVP 96 101",
    ]


def test_the_answers_order_decides_the_codec_in_use() -> None:
    both = describe("m=audio 4000 RTP/AVP 0 8")
    reordered = describe("m=audio 4000 RTP/AVP 8 0")
    leg = OfferAnswer()
    leg.receive_offer(both)
    leg.send_answer(reordered)
    assert leg.codecs()[0].name == "PCMA"


def test_without_audio_there_are_no_codecs() -> None:
    assert OfferAnswer().codecs() == []
