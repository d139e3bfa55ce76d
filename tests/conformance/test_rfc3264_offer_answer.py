"""Offer/answer across the gateway, by the scenarios of RFC 4317 and the rules of RFC 3264.

Alice is on leg A and Bob on leg B of one call; the gateway stands between them with an exchange per leg.
"""

from collections.abc import Sequence

import pytest

from sidestream.sdp import (
    GlareError,
    MediaAddress,
    NegotiationError,
    OfferAnswer,
    Origin,
    SessionDescription,
    is_held,
    parse,
    relay_answer,
    relay_offer,
    remote_address,
    serialize,
)

CODECS = ("PCMU", "PCMA", "iLBC", "G722", "opus", "telephone-event")
ALICE = "host.atlanta.example.com"
BOB = "host.biloxi.example.com"


class Gateway:
    """Two legs, as the call logic drives them; everything crosses the wire format."""

    def __init__(self, codecs: Sequence[str] = CODECS) -> None:
        self.codecs = codecs
        self.legs = {ALICE: OfferAnswer(), BOB: OfferAnswer()}
        self.addresses = {
            ALICE: MediaAddress("198.51.100.1", 30000, 30001),
            BOB: MediaAddress("198.51.100.2", 40000, 40001),
        }
        self.origins = {
            ALICE: Origin("sidestream", 111, 1, "198.51.100.1"),
            BOB: Origin("sidestream", 222, 1, "198.51.100.2"),
        }

    def offer(self, by: str, offer: SessionDescription) -> SessionDescription:
        """Take the offer of one side and return what the other is offered."""
        other = BOB if by == ALICE else ALICE
        self.legs[by].receive_offer(offer)
        relayed = relay_offer(offer, self.addresses[other], self.codecs, self.origins[other])
        return parse(serialize(self.legs[other].send_offer(relayed)))

    def answer(self, by: str, answer: SessionDescription) -> SessionDescription:
        """Take the answer of one side and return what the other is answered."""
        other = BOB if by == ALICE else ALICE
        original, relayed = self.legs[other].pending, self.legs[by].pending
        assert original is not None
        assert relayed is not None
        self.legs[by].receive_answer(answer)
        back = relay_answer(original, relayed, answer, self.addresses[other], self.origins[other])
        return parse(serialize(self.legs[other].send_answer(back)))


def describe(host: str, *lines: str, version: int = 1) -> SessionDescription:
    head = ("v=0", f"o=user 2890844526 {version} IN IP4 {host}", "s= ", f"c=IN IP4 {host}", "t=0 0")
    return parse("".join(f"{line}\r\n" for line in (*head, *lines)).encode())


def m_lines(description: SessionDescription) -> list[str]:
    return [media.lines[0].value for media in description.media]


AUDIO_VIDEO_OFFER = (
    "m=audio 49170 RTP/AVP 0 8 97",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:97 iLBC/8000",
    "m=video 51372 RTP/AVP 31 32",
    "a=rtpmap:31 H261/90000",
    "a=rtpmap:32 MPV/90000",
)


def test_rfc4317_2_1_audio_is_carried_and_video_refused() -> None:
    gateway = Gateway()
    offered = gateway.offer(ALICE, describe(ALICE, *AUDIO_VIDEO_OFFER))
    assert m_lines(offered) == ["audio 40000 RTP/AVP 0 8 97"]
    answered = gateway.answer(BOB, describe(BOB, "m=audio 49174 RTP/AVP 0", "a=rtpmap:0 PCMU/8000"))
    assert m_lines(answered) == ["audio 30000 RTP/AVP 0", "video 0 RTP/AVP 31 32"]


def test_rfc4317_2_2_several_codecs_may_be_answered_and_the_first_is_in_use() -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, *AUDIO_VIDEO_OFFER))
    answered = gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0 8"))
    assert m_lines(answered)[0] == "audio 30000 RTP/AVP 0 8"
    assert [codec.name for codec in gateway.legs[ALICE].codecs()] == ["PCMU", "PCMA"]
    assert gateway.legs[BOB].codecs()[0].name == "PCMU"


def test_rfc4317_2_4_of_two_audio_streams_the_first_is_taken() -> None:
    gateway = Gateway()
    offer = describe(
        ALICE,
        *AUDIO_VIDEO_OFFER[:4],
        "m=audio 49172 RTP/AVP 98",
        "a=rtpmap:98 telephone-event/8000",
        "a=sendonly",
    )
    assert m_lines(gateway.offer(ALICE, offer)) == ["audio 40000 RTP/AVP 0 8 97"]
    answered = gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 97", "a=rtpmap:97 iLBC/8000"))
    assert m_lines(answered) == ["audio 30000 RTP/AVP 97", "audio 0 RTP/AVP 98"]


def test_rfc4317_2_6_a_second_offer_locks_one_codec() -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, *AUDIO_VIDEO_OFFER[:4]))
    gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0 8"))
    locked = gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 8", version=2))
    assert m_lines(locked) == ["audio 40000 RTP/AVP 8"]
    assert locked.origin.version == 2
    gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 8", version=2))
    assert [codec.name for codec in gateway.legs[BOB].codecs()] == ["PCMA"]


@pytest.mark.parametrize(
    ("hold", "resumed"),
    [
        (("a=sendonly",), ("a=sendrecv",)),
        (("a=inactive",), ()),
        (("c=IN IP4 0.0.0.0",), ()),
    ],
)
def test_rfc4317_3_1_hold_and_unhold(hold: tuple[str, ...], resumed: tuple[str, ...]) -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0"))
    held = gateway.offer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0", *hold, version=2))
    assert is_held(held.media[0])
    assert held.origin == Origin("sidestream", 111, 2, "198.51.100.1")
    reply = "a=inactive" if held.media[0].direction.value == "inactive" else "a=recvonly"
    answered = gateway.answer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0", reply, version=2))
    assert answered.media[0].direction.value == reply.removeprefix("a=")
    back = gateway.offer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0", *resumed, version=3))
    assert not is_held(back.media[0])
    gateway.answer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0", version=3))
    assert all(codec.name == "PCMU" for codec in gateway.legs[BOB].codecs())


def test_rfc4317_4_1_a_stream_that_is_added_is_refused_and_keeps_its_place() -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0"))
    more = describe(BOB, "m=audio 49172 RTP/AVP 0", "m=video 49168 RTP/AVP 31", version=2)
    assert m_lines(gateway.offer(BOB, more)) == ["audio 30000 RTP/AVP 0"]
    answered = gateway.answer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0", version=1))
    assert m_lines(answered) == ["audio 40000 RTP/AVP 0", "video 0 RTP/AVP 31"]
    # From now on the leg to Bob has two places, whoever offers (RFC 3264 section 8).
    again = gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 8", version=2))
    assert m_lines(again) == ["audio 40000 RTP/AVP 8", "video 0 RTP/AVP 31"]
    answer = describe(BOB, "m=audio 49172 RTP/AVP 8", "m=video 0 RTP/AVP 31", version=3)
    assert m_lines(gateway.answer(BOB, answer)) == ["audio 30000 RTP/AVP 8"]


def test_section_5_1_numbers_may_differ_between_offerer_and_answerer() -> None:
    gateway = Gateway()
    offer = describe(
        ALICE,
        "m=audio 49170 RTP/AVP 96 0 101",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
    )
    gateway.offer(ALICE, offer)
    answer = describe(
        BOB,
        "m=audio 49172 RTP/AVP 111 99",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:99 telephone-event/8000",
    )
    assert m_lines(gateway.answer(BOB, answer)) == ["audio 30000 RTP/AVP 96 101"]
    alice = [(codec.name, codec.local_pt, codec.remote_pt) for codec in gateway.legs[ALICE].codecs()]
    bob = [(codec.name, codec.local_pt, codec.remote_pt) for codec in gateway.legs[BOB].codecs()]
    assert alice == [("opus", 96, 96), ("telephone-event", 101, 101)]
    assert bob == [("opus", 96, 111), ("telephone-event", 101, 99)]


def test_section_8_3_2_a_number_never_changes_its_meaning_on_a_leg() -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, "m=audio 1000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"))
    gateway.answer(BOB, describe(BOB, "m=audio 2000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"))
    # Bob offers with his own numbers: 101 means opus to him, but telephone-event to Alice.
    offer = describe(
        BOB,
        "m=audio 2000 RTP/AVP 101 0 96",
        "a=rtpmap:101 opus/48000/2",
        "a=rtpmap:96 telephone-event/8000",
        version=2,
    )
    offered = gateway.offer(BOB, offer)
    assert {codec.name: codec.payload_type for codec in offered.media[0].codecs} == {
        "opus": 96,
        "PCMU": 0,
        "telephone-event": 101,
    }
    answer = describe(
        ALICE,
        "m=audio 1000 RTP/AVP 96 101",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
    )
    assert m_lines(gateway.answer(ALICE, answer)) == ["audio 40000 RTP/AVP 101 96"]
    bob = [(codec.name, codec.local_pt, codec.remote_pt) for codec in gateway.legs[BOB].codecs()]
    assert bob == [("opus", 101, 101), ("telephone-event", 96, 96)]


def test_section_8_the_same_description_keeps_its_version() -> None:
    gateway = Gateway()
    first = gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0"))
    refreshed = gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    assert refreshed == first


def test_rfc3261_13_2_1_a_delayed_offer_goes_the_other_way() -> None:
    gateway = Gateway()
    offered = gateway.offer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 8 0"))
    assert m_lines(offered) == ["audio 30000 RTP/AVP 8 0"]
    answered = gateway.answer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    assert m_lines(answered) == ["audio 40000 RTP/AVP 0"]


def test_rfc3261_14_2_glare_is_refused_and_the_open_offer_goes_on() -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    with pytest.raises(GlareError):
        gateway.offer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0"))
    assert m_lines(gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0"))) == ["audio 30000 RTP/AVP 0"]


def test_rfc3261_14_1_a_refused_re_invite_leaves_the_session_as_it_was() -> None:
    gateway = Gateway()
    gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0"))
    gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0"))
    gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 8", version=2))
    for leg in gateway.legs.values():
        leg.reject()
        assert [codec.name for codec in leg.codecs()] == ["PCMU"]


def test_t38_fax_is_refused_with_488() -> None:
    gateway = Gateway()
    with pytest.raises(NegotiationError) as caught:
        gateway.offer(ALICE, describe(ALICE, "m=image 49170 udptl t38", "a=T38FaxVersion:0"))
    assert caught.value.sip_status == 488


def test_rfc3605_rtcp_goes_where_the_attribute_says() -> None:
    offer = describe(ALICE, "m=audio 49170 RTP/AVP 0", "a=rtcp:53020 IN IP4 126.16.64.4")
    assert remote_address(offer, offer.media[0]) == MediaAddress(ALICE, 49170, 53020)


def test_rfc4733_2_5_1_1_key_presses_have_the_clock_of_their_codec() -> None:
    gateway = Gateway(codecs=("opus", "telephone-event"))
    offer = describe(
        ALICE,
        "m=audio 49170 RTP/AVP 0 96 101 102",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
    )
    assert m_lines(gateway.offer(ALICE, offer)) == ["audio 40000 RTP/AVP 96 102"]


def test_rfc5761_multiplexed_rtcp_is_not_agreed_to() -> None:
    gateway = Gateway()
    offered = gateway.offer(ALICE, describe(ALICE, "m=audio 49170 RTP/AVP 0", "a=rtcp-mux"))
    answered = gateway.answer(BOB, describe(BOB, "m=audio 49172 RTP/AVP 0", "a=rtcp-mux"))
    assert b"rtcp-mux" not in serialize(offered) + serialize(answered)


def test_ipv6_addresses_are_carried() -> None:
    offer = parse(
        b"v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n"
    )
    assert remote_address(offer, offer.media[0]) == MediaAddress("2001:db8::1", 4000, 4001)
