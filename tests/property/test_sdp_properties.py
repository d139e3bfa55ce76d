from hypothesis import given
from hypothesis import strategies as st

from sidestream.sdp import (
    MediaAddress,
    NegotiationError,
    OfferAnswer,
    Origin,
    SdpError,
    SdpParseError,
    leg_codecs,
    parse,
    relay_answer,
    relay_offer,
    serialize,
)

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
LOCAL = MediaAddress("198.51.100.1", 30000, 30001)
ORIGIN = Origin("sidestream", 1, 1, "198.51.100.1")
TRUNK = ["PCMU", "PCMA", "G722", "opus", "telephone-event", "CN"]

text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=40).map(str.encode)
ports = st.sampled_from([0, 9, 4000, 65535])
payload_types = st.lists(st.integers(0, 127), min_size=1, max_size=6, unique=True)
encodings = st.sampled_from(
    ["PCMU/8000", "opus/48000/2", "telephone-event/8000", "telephone-event/48000", "CN/8000", "G729", "x/y/z"]
)
directions = st.sampled_from([b"", b"a=sendonly\r\n", b"a=inactive\r\n", b"a=recvonly\r\n", b"a=bogus:1\r\n"])


def check_status(error: SdpError, expected: set[int]) -> None:
    assert error.sip_status in expected


@st.composite
def sections(draw: st.DrawFn) -> bytes:
    numbers = draw(payload_types)
    kind = draw(st.sampled_from(["audio", "audio", "video", "image"]))
    protocol = draw(st.sampled_from(["RTP/AVP", "RTP/AVP", "RTP/SAVP", "udptl"]))
    lines = [f"m={kind} {draw(ports)} {protocol} {' '.join(map(str, numbers))}"]
    lines += [f"a=rtpmap:{number} {draw(encodings)}" for number in numbers if draw(st.booleans())]
    lines += [f"a=fmtp:{number} mode={draw(st.integers(0, 3))}" for number in numbers if draw(st.booleans())]
    return "".join(f"{line}\r\n" for line in lines).encode() + draw(directions)


descriptions = st.lists(sections(), max_size=4).map(lambda found: HEAD + b"".join(found))
lines = st.tuples(st.sampled_from(b"iabcmokx".decode()).map(str.encode), text).map(b"=".join)


@given(descriptions)
def test_what_is_parsed_is_serialized_to_the_same_bytes(data: bytes) -> None:
    assert serialize(parse(data)) == data


@given(
    st.one_of(
        st.binary(max_size=200), st.lists(lines, max_size=8).map(lambda found: HEAD + b"\r\n".join(found))
    )
)
def test_any_bytes_are_a_description_or_one_kind_of_error(data: bytes) -> None:
    try:
        description = parse(data)
    except SdpParseError as error:
        check_status(error, {400, 413})
        return
    assert parse(serialize(description)) == description
    for media in description.media:
        assert media.codecs is not None
        assert media.direction is not None
        assert media.rtcp_port >= 0


@given(descriptions, descriptions)
def test_negotiation_agrees_or_is_refused_with_488(offer_data: bytes, answer_data: bytes) -> None:
    offer, answer = parse(offer_data), parse(answer_data)
    try:
        relayed = relay_offer(offer, LOCAL, TRUNK, ORIGIN)
        result = relay_answer(offer, relayed, answer, LOCAL, ORIGIN)
    except NegotiationError as error:
        check_status(error, {488})
        return
    assert parse(serialize(relayed)) == relayed
    assert parse(serialize(result)) == result
    assert [media.kind for media in result.media] == [media.kind for media in offer.media]
    assert sum(media.port > 0 for media in result.media) <= 1
    if result.audio:
        assert offer.audio is not None
        assert set(result.audio.formats) <= set(offer.audio.formats)
        assert leg_codecs(result.audio, offer.audio)


@given(st.lists(st.tuples(st.booleans(), descriptions, descriptions), max_size=6))
def test_no_number_of_ours_ever_changes_its_meaning_and_no_line_its_place(
    exchanges: list[tuple[bool, bytes, bytes]],
) -> None:
    leg, meanings, places = OfferAnswer(), dict[int, str](), list[str]()
    for _, offer_data, answer_data in exchanges:
        try:
            sent = leg.send_offer(relay_offer(parse(offer_data), LOCAL, TRUNK, ORIGIN))
        except SdpError:
            continue
        assert sent.audio is not None
        assert [media.kind for media in sent.media][: len(places)] == places
        places = [media.kind for media in sent.media]
        for codec in sent.audio.codecs:
            assert meanings.setdefault(codec.payload_type, str(codec.key)) == str(codec.key)
        leg.receive_answer(parse(answer_data))
        assert {codec.local_pt for codec in leg.codecs()} <= set(meanings)
