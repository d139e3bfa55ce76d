import pytest

from sidestream.sdp.codecs import DYNAMIC, KNOWN_NAMES, OFFERABLE, STATIC, Codec, CodecKey, matching


@pytest.mark.parametrize(
    ("number", "key"),
    [
        (0, CodecKey("PCMU", 8000, 1)),
        (3, CodecKey("GSM", 8000, 1)),
        (4, CodecKey("G723", 8000, 1)),
        (8, CodecKey("PCMA", 8000, 1)),
        (9, CodecKey("G722", 8000, 1)),
        (10, CodecKey("L16", 44100, 2)),
        (13, CodecKey("CN", 8000, 1)),
        (18, CodecKey("G729", 8000, 1)),
    ],
)
def test_static_payload_types_are_those_of_rfc_3551(number: int, key: CodecKey) -> None:
    assert STATIC[number] == key


def test_the_key_ignores_case_number_and_parameters() -> None:
    assert Codec("opus", 48000, 2, 96, "a=1").key == Codec("OPUS", 48000, 2, 111).key


def test_one_channel_is_not_written() -> None:
    assert Codec("PCMU", 8000, 1, 0).rtpmap == "0 PCMU/8000"
    assert Codec("opus", 48000, 2, 96).rtpmap == "96 opus/48000/2"


def test_key_presses_and_comfort_noise_follow() -> None:
    assert Codec("telephone-event", 8000, 1, 101).is_follower
    assert Codec("CN", 8000, 1, 13).is_follower
    assert not Codec("G722", 8000, 1, 9).is_follower


def test_dynamic_numbers_stay_clear_of_rtcp() -> None:
    assert DYNAMIC[0] == 96
    assert not set(DYNAMIC) & set(range(64, 96))


def test_offerable_codecs_have_numbers_of_their_own() -> None:
    numbers = [codec.payload_type for codec in OFFERABLE.values()]
    assert len(set(numbers)) == len(numbers)
    assert "OPUS" in KNOWN_NAMES


def test_matching_prefers_the_number_then_the_parameters_then_the_first() -> None:
    small = Codec("iLBC", 8000, 1, 97, "mode=20")
    large = Codec("iLBC", 8000, 1, 98, "mode=30")
    candidates = [small, large]
    assert matching(Codec("ilbc", 8000, 1, 98, "mode=20"), candidates) is large
    assert matching(Codec("ilbc", 8000, 1, 120, "mode=30"), candidates) is large
    assert matching(Codec("ilbc", 8000, 1, 120, None), candidates) is small
    assert matching(Codec("ilbc", 16000, 1, 97), candidates) is None
