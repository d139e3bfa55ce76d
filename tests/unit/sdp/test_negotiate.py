import pytest

from sidestream.sdp.errors import NegotiationError, WarningCode
from sidestream.sdp.model import Direction, Origin, SessionDescription
from sidestream.sdp.negotiate import (
    LEG_ATTRIBUTES,
    MediaAddress,
    NegotiatedCodec,
    initial_offer,
    is_held,
    leg_codecs,
    relay_answer,
    relay_offer,
    remote_address,
)
from sidestream.sdp.parser import parse
from sidestream.sdp.serializer import serialize

OURS_A = MediaAddress("198.51.100.1", 30000, 30001)
OURS_B = MediaAddress("198.51.100.1", 40000, 40001)
ORIGIN_A = Origin("sidestream", 1, 1, "198.51.100.1")
ORIGIN_B = Origin("sidestream", 2, 1, "198.51.100.1")
#: Attributes that are written anew from what they mean.
REWRITTEN = {"sendrecv", "sendonly", "recvonly", "inactive", "rtpmap", "fmtp"}
TRUNK = ["PCMU", "PCMA", "G722", "opus", "telephone-event"]


def describe(*lines: str, host: str = "192.0.2.1", session: tuple[str, ...] = ()) -> SessionDescription:
    text = ("v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", *session, *lines)
    return parse("\r\n".join(text).encode())


def offered_on(*lines: str, allowed: list[str] | None = None, session: tuple[str, ...] = ()) -> list[str]:
    """Lines of the audio section that the other leg is offered."""
    relayed = relay_offer(describe(*lines, session=session), OURS_B, allowed or TRUNK, ORIGIN_B)
    assert len(relayed.media) == 1
    return [f"{line.type}={line.value}" for line in relayed.media[0].lines]


def answered(offer: SessionDescription, answer: SessionDescription) -> SessionDescription:
    relayed = relay_offer(offer, OURS_B, TRUNK, ORIGIN_B)
    return relay_answer(offer, relayed, answer, OURS_A, ORIGIN_A)


def test_a_whole_offer_is_offered_on_with_our_addresses() -> None:
    offer = describe("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", session=("b=AS:80",))
    assert serialize(relay_offer(offer, OURS_B, TRUNK, ORIGIN_B)).decode().split("\r\n") == [
        "v=0",
        "o=sidestream 2 1 IN IP4 198.51.100.1",
        "s=-",
        "c=IN IP4 198.51.100.1",
        "b=AS:80",
        "t=0 0",
        "m=audio 40000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=sendrecv",
        "",
    ]


def test_codecs_are_cut_to_the_trunks_in_the_order_of_the_offer() -> None:
    lines = offered_on("m=audio 4000 RTP/AVP 18 8 3 0", allowed=["pcmu", "Pcma"])
    assert lines[0] == "m=audio 40000 RTP/AVP 8 0"


def test_unknown_dynamic_formats_are_not_offered_on() -> None:
    assert offered_on("m=audio 4000 RTP/AVP 0 96")[0] == "m=audio 40000 RTP/AVP 0"


def test_parameters_and_packet_times_are_kept() -> None:
    lines = offered_on(
        "m=audio 4000 RTP/AVP 96",
        "i=the line",
        "b=TIAS:64000",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 maxplaybackrate=16000; useinbandfec=1",
        "a=ptime:20",
        "a=maxptime:60",
        "a=silenceSupp:off - - - -",
        "a=label:1",
    )
    assert lines == [
        "m=audio 40000 RTP/AVP 96",
        "i=the line",
        "b=TIAS:64000",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 maxplaybackrate=16000; useinbandfec=1",
        "a=ptime:20",
        "a=maxptime:60",
        "a=silenceSupp:off - - - -",
        "a=label:1",
        "a=sendrecv",
    ]


def test_a_codec_that_is_listed_for_two_clocks_keeps_both() -> None:
    lines = offered_on(
        "m=audio 4000 RTP/AVP 96 0 101 102",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
    )
    assert lines[0] == "m=audio 40000 RTP/AVP 96 0 101 102"


def test_key_presses_go_with_the_last_codec_of_their_clock() -> None:
    lines = offered_on(
        "m=audio 4000 RTP/AVP 96 0 101 102",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
        allowed=["PCMU", "telephone-event"],
    )
    assert lines[0] == "m=audio 40000 RTP/AVP 0 101"


def test_key_presses_of_a_clock_without_codec_stay_as_offered() -> None:
    lines = offered_on(
        "m=audio 4000 RTP/AVP 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000"
    )
    assert lines[0] == "m=audio 40000 RTP/AVP 96 101"


def test_comfort_noise_passes_where_the_trunk_lists_it() -> None:
    assert offered_on("m=audio 4000 RTP/AVP 0 13")[0] == "m=audio 40000 RTP/AVP 0"
    assert offered_on("m=audio 4000 RTP/AVP 0 13", allowed=["PCMU", "CN"])[0] == "m=audio 40000 RTP/AVP 0 13"


def test_formats_that_name_other_payload_types_are_never_offered_on() -> None:
    lines = offered_on(
        "m=audio 4000 RTP/AVP 96 0", "a=rtpmap:96 red/8000", "a=fmtp:96 0/0", allowed=["red", "PCMU"]
    )
    assert lines[0] == "m=audio 40000 RTP/AVP 0"


@pytest.mark.parametrize("name", sorted(LEG_ATTRIBUTES - REWRITTEN))
def test_what_belongs_to_one_leg_is_not_passed_on(name: str) -> None:
    lines = offered_on("m=audio 4000 RTP/AVP 0", f"a={name}:0 x", session=(f"a={name}:0 x",))
    assert lines == ["m=audio 40000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendrecv"]


def test_our_rtcp_port_is_told_when_it_is_not_the_next() -> None:
    offer = describe("m=audio 4000 RTP/AVP 0", "a=rtcp:4005")
    relayed = relay_offer(offer, MediaAddress("2001:db8::1", 40000, 40007), TRUNK, ORIGIN_B)
    assert relayed.media[0].rtcp_port == 40007
    assert relayed.media[0].connection is not None
    assert relayed.media[0].connection.value == "IN IP6 2001:db8::1"


@pytest.mark.parametrize(
    ("lines", "session", "direction"),
    [
        (("a=sendonly",), (), Direction.SENDONLY),
        (("a=inactive",), (), Direction.INACTIVE),
        ((), ("a=sendonly",), Direction.SENDONLY),
        ((), ("a=inactive",), Direction.INACTIVE),
        (("c=IN IP4 0.0.0.0",), (), Direction.SENDONLY),
        (("c=IN IP4 0.0.0.0", "a=recvonly"), (), Direction.INACTIVE),
        (("a=recvonly",), ("a=sendonly",), Direction.RECVONLY),
    ],
)
def test_hold_in_all_its_forms_is_offered_on(
    lines: tuple[str, ...], session: tuple[str, ...], direction: Direction
) -> None:
    offer = describe("m=audio 4000 RTP/AVP 0", *lines, session=session)
    relayed = relay_offer(offer, OURS_B, TRUNK, ORIGIN_B)
    assert relayed.media[0].direction is direction
    assert relayed.media[0].connection is not None
    assert relayed.media[0].connection.host == "198.51.100.1"
    assert is_held(offer.media[0]) is not direction.receives


def test_hold_by_a_session_address() -> None:
    offer = describe("m=audio 4000 RTP/AVP 0", host="0.0.0.0")  # noqa: S104 -- a peer's address
    assert is_held(offer.media[0])
    assert remote_address(offer, offer.media[0]) is None


def test_extra_sections_are_not_offered_on_and_refused_in_their_places() -> None:
    offer = describe(
        "m=video 5000 RTP/AVP 31",
        "m=audio 4000 RTP/AVP 0",
        "m=image 6000 udptl t38",
        "m=audio 7000 RTP/AVP 8",
    )
    answer = answered(offer, describe("m=audio 9000 RTP/AVP 0", host="203.0.113.1"))
    assert [media.lines[0].value for media in answer.media] == [
        "video 0 RTP/AVP 31",
        "audio 30000 RTP/AVP 0",
        "image 0 UDPTL t38",
        "audio 0 RTP/AVP 8",
    ]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (("m=video 5000 RTP/AVP 31",), WarningCode.MEDIA_TYPE_NOT_AVAILABLE),
        (("m=audio 0 RTP/AVP 0",), WarningCode.MEDIA_TYPE_NOT_AVAILABLE),
        ((), WarningCode.MEDIA_TYPE_NOT_AVAILABLE),
        (("m=audio 4000 RTP/SAVP 0",), WarningCode.INCOMPATIBLE_TRANSPORT_PROTOCOL),
        (("m=audio 4000 UDP/TLS/RTP/SAVPF 0",), WarningCode.INCOMPATIBLE_TRANSPORT_PROTOCOL),
        (("m=audio 4000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"), WarningCode.MULTICAST_NOT_AVAILABLE),
        (("m=audio 4000/2 RTP/AVP 0",), WarningCode.MULTICAST_NOT_AVAILABLE),
        (("m=audio 4000 RTP/AVP 18",), WarningCode.INCOMPATIBLE_MEDIA_FORMAT),
        (("m=audio 4000 RTP/AVP 96",), WarningCode.INCOMPATIBLE_MEDIA_FORMAT),
        (
            ("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"),
            WarningCode.INCOMPATIBLE_MEDIA_FORMAT,
        ),
    ],
)
def test_offers_without_usable_audio_get_488_with_their_warning(lines: tuple[str, ...], warning: int) -> None:
    with pytest.raises(NegotiationError) as caught:
        relay_offer(describe(*lines), OURS_B, TRUNK, ORIGIN_B)
    assert caught.value.sip_status == 488
    assert caught.value.warning == warning


def test_plain_audio_beside_an_encrypted_line_is_taken() -> None:
    offer = describe("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0")
    answer = answered(offer, describe("m=audio 9000 RTP/AVP 0"))
    assert [media.port for media in answer.media] == [0, 30000]


def test_feedback_profile_is_answered_in_kind_and_not_offered_on() -> None:
    offer = describe("m=audio 4000 RTP/AVPF 0", "a=rtcp-fb:* nack")
    assert relay_offer(offer, OURS_B, TRUNK, ORIGIN_B).media[0].protocol == "RTP/AVP"
    assert answered(offer, describe("m=audio 9000 RTP/AVP 0")).media[0].protocol == "RTP/AVPF"


def test_the_answer_takes_the_offerers_numbers() -> None:
    offer = describe(
        "m=audio 4000 RTP/AVP 97 0 100",
        "a=rtpmap:97 opus/48000/2",
        "a=fmtp:97 useinbandfec=1",
        "a=rtpmap:100 telephone-event/8000",
        "a=rtcp-mux",
    )
    answer = describe(
        "m=audio 9000 RTP/AVP 0 120 111",
        "a=rtpmap:111 OPUS/48000/2",
        "a=fmtp:111 stereo=1",
        "a=rtpmap:120 telephone-event/8000",
        "a=fmtp:120 0-15",
        "a=ptime:40",
    )
    result = answered(offer, answer)
    assert [f"{line.type}={line.value}" for line in result.media[0].lines] == [
        "m=audio 30000 RTP/AVP 0 100 97",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:100 telephone-event/8000",
        "a=fmtp:100 0-15",
        "a=rtpmap:97 opus/48000/2",
        "a=fmtp:97 stereo=1",
        "a=ptime:40",
        "a=sendrecv",
    ]


def test_codecs_of_one_name_are_told_apart_by_their_parameters() -> None:
    offer = describe(
        "m=audio 4000 RTP/AVP 97 98",
        "a=rtpmap:97 AMR/8000",
        "a=fmtp:97 octet-align=1",
        "a=rtpmap:98 AMR/8000",
        "a=fmtp:98 octet-align=0",
    )
    relayed = relay_offer(offer, OURS_B, ["AMR"], ORIGIN_B)
    answer = describe("m=audio 9000 RTP/AVP 98", "a=rtpmap:98 AMR/8000", "a=fmtp:98 octet-align=0")
    assert relay_answer(offer, relayed, answer, OURS_A, ORIGIN_A).media[0].formats == ("98",)


@pytest.mark.parametrize(
    ("offered", "answer", "expected"),
    [
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "recvonly", "recvonly"),
        ("sendonly", "sendrecv", "recvonly"),
        ("inactive", "sendrecv", "inactive"),
        ("recvonly", "sendonly", "sendonly"),
        ("sendonly", "inactive", "inactive"),
    ],
)
def test_the_answers_direction_is_kept_within_the_offer(offered: str, answer: str, expected: str) -> None:
    offer = describe("m=audio 4000 RTP/AVP 0", f"a={offered}")
    result = answered(offer, describe("m=audio 9000 RTP/AVP 0", f"a={answer}"))
    assert result.media[0].direction.value == expected


def test_a_hold_by_address_in_the_answer_is_answered_as_direction() -> None:
    offer = describe("m=audio 4000 RTP/AVP 0")
    result = answered(offer, describe("m=audio 9000 RTP/AVP 0", "c=IN IP4 0.0.0.0"))
    assert result.media[0].direction is Direction.SENDONLY


def test_refused_audio_is_refused_to_the_offerer() -> None:
    offer = describe("m=audio 4000 RTP/AVP 0 8", "m=video 4 RTP/AVP 31")
    result = answered(offer, describe("m=audio 0 RTP/AVP 0"))
    assert [media.port for media in result.media] == [0, 0]
    assert result.media[0].formats == ("0", "8")


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("m=audio 9000 RTP/SAVP 0",),
        ("m=video 9000 RTP/AVP 31",),
        ("m=audio 9000 RTP/AVP 18",),
        ("m=audio 9000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"),
    ],
)
def test_answers_that_fit_nothing_are_refused(lines: tuple[str, ...]) -> None:
    offer = describe("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
    with pytest.raises(NegotiationError):
        answered(offer, describe(*lines))


def test_leg_codecs_pair_numbers_of_both_sides() -> None:
    local = describe(
        "m=audio 1 RTP/AVP 0 8 101 97", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:97 opus/48000/2"
    ).media[0]
    remote = describe(
        "m=audio 1 RTP/AVP 100 111 8 18",
        "a=rtpmap:100 telephone-event/8000",
        "a=fmtp:100 0-15",
        "a=rtpmap:111 opus/48000/2",
    ).media[0]
    opus = NegotiatedCodec("opus", 48000, 2, 97, 111, None)
    pcma = NegotiatedCodec("PCMA", 8000, 1, 8, 8, None)
    events = NegotiatedCodec("telephone-event", 8000, 1, 101, 100, "0-15")
    assert leg_codecs(local, remote) == [opus, pcma, events]
    assert leg_codecs(local, remote, answerer="local") == [pcma, opus, events]


def test_the_remote_address_follows_rtcp_and_refusal() -> None:
    description = describe("m=audio 4000 RTP/AVP 0", "a=rtcp:5000", "m=audio 0 RTP/AVP 0")
    assert remote_address(description, description.media[0]) == MediaAddress("192.0.2.1", 4000, 5000)
    assert remote_address(description, description.media[1]) is None


def test_an_offer_of_our_own_lists_what_is_allowed() -> None:
    offer = initial_offer(OURS_A, ["opus", "PCMA", "telephone-event", "X-unknown"], ORIGIN_A)
    assert parse(serialize(offer)) == offer
    assert [f"{line.type}={line.value}" for line in offer.media[0].lines] == [
        "m=audio 30000 RTP/AVP 96 8 101 104",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=rtpmap:104 telephone-event/48000",
        "a=fmtp:104 0-16",
        "a=sendrecv",
    ]


@pytest.mark.parametrize("allowed", [[], ["telephone-event"], ["X-unknown"]])
def test_an_offer_of_our_own_needs_a_voice(allowed: list[str]) -> None:
    with pytest.raises(NegotiationError):
        initial_offer(OURS_A, allowed, ORIGIN_A)
