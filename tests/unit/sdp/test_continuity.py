from sidestream.sdp.codecs import CodecKey
from sidestream.sdp.continuity import (
    continue_numbers,
    continue_sections,
    continue_version,
    remember_numbers,
)
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.parser import parse

EVENTS = CodecKey("TELEPHONE-EVENT", 8000, 1)
OPUS = CodecKey("OPUS", 48000, 2)


def describe(*lines: str, origin: str = "- 1 1") -> SessionDescription:
    text = ("v=0", f"o={origin} IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", *lines)
    return parse("\r\n".join(text).encode())


def test_the_first_description_is_as_it_is() -> None:
    first = describe("m=audio 4000 RTP/AVP 0")
    assert continue_version(None, first) is first
    assert continue_sections(None, first) is first


def test_the_version_grows_only_with_a_change() -> None:
    last = describe("m=audio 4000 RTP/AVP 0", origin="us 77 5")
    same = continue_version(last, describe("m=audio 4000 RTP/AVP 0", origin="us 99 1"))
    assert same == last
    changed = continue_version(last, describe("m=audio 4000 RTP/AVP 8", origin="us 99 1"))
    assert (changed.origin.session_id, changed.origin.version) == (77, 6)


def test_sections_are_never_fewer_and_never_moved() -> None:
    last = describe("m=video 0 RTP/AVP 31", "m=audio 4000 RTP/AVP 0", "m=image 0 udptl t38")
    offer = continue_sections(last, describe("m=audio 6000 RTP/AVP 8"))
    assert [(media.kind, media.port) for media in offer.media] == [
        ("video", 0),
        ("audio", 6000),
        ("image", 0),
    ]


def test_audio_returns_to_its_refused_place() -> None:
    offer = continue_sections(describe("m=audio 0 RTP/AVP 0"), describe("m=audio 6000 RTP/AVP 8"))
    assert [media.port for media in offer.media] == [6000]


def test_audio_is_added_to_a_leg_that_never_had_it() -> None:
    offer = continue_sections(describe("m=video 0 RTP/AVP 31"), describe("m=audio 6000 RTP/AVP 8"))
    assert [media.kind for media in offer.media] == ["video", "audio"]


def test_codecs_keep_the_numbers_they_had() -> None:
    offer = describe(
        "m=audio 4000 RTP/AVP 0 96 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-15",
        "a=rtpmap:101 opus/48000/2",
        "a=ptime:20",
    )
    renumbered = continue_numbers(offer, {101: (EVENTS, "0-16"), 96: (OPUS, None)})
    assert [f"{line.type}={line.value}" for line in renumbered.media[0].lines] == [
        "m=audio 4000 RTP/AVP 0 101 96",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:96 opus/48000/2",
        "a=ptime:20",
    ]


def test_a_new_codec_gets_a_number_that_the_leg_has_not_used() -> None:
    offer = describe("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 opus/48000/2")
    assert continue_numbers(offer, {101: (EVENTS, None)}).media[0].formats == ("96",)
    assert continue_numbers(offer, {101: (EVENTS, None), 96: (EVENTS, None)}).media[0].formats == ("97",)


def test_a_codec_without_a_free_number_is_left_out() -> None:
    used = dict.fromkeys(range(128), (EVENTS, None))
    offer = describe("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 opus/48000/2", "a=rtpmap:0 PCMU/8000")
    used[0] = (CodecKey("PCMU", 8000, 1), None)
    assert continue_numbers(offer, used).media[0].formats == ("0",)


def test_an_offer_that_fits_is_not_rewritten() -> None:
    offer = describe("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
    used: dict[int, tuple[CodecKey, str | None]] = {}
    remember_numbers(offer, used)
    assert used[101] == (EVENTS, None)
    assert continue_numbers(offer, used) is offer


def test_without_audio_there_is_nothing_to_number() -> None:
    offer = describe("m=video 0 RTP/AVP 31")
    used: dict[int, tuple[CodecKey, str | None]] = {}
    remember_numbers(offer, used)
    assert not used
    assert continue_numbers(offer, used) is offer
