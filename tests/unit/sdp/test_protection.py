from itertools import count

import pytest

from sidestream.errors import StateError
from sidestream.sdp.crypto import OFFERED, CryptoLine, CryptoSuite, KeyMaterial, SrtpKeys
from sidestream.sdp.protection import Protection
from unit.sdp.test_crypto import KEY, SUITE, section


def counted() -> Protection:
    """Keys 1, 2, 3, ..."""
    numbers = count(1)
    return Protection(plain=True, secure=True, secret=lambda length: bytes([next(numbers)]) * length)


def used(line: CryptoLine) -> SrtpKeys:
    suite = line.material.suite
    return SrtpKeys(line.material, KeyMaterial(suite, b"\xff" * suite.key_salt_length))


def test_an_offer_has_a_key_for_each_suite_and_stays_the_same() -> None:
    protection = counted()
    lines = protection.proposals()
    assert [(line.tag, line.material.suite) for line in lines] == list(enumerate(OFFERED, 1))
    assert len({line.material.key_salt[:1] for line in lines}) == len(lines)
    protection.note_use(used(lines[1]), with_audio=True)
    assert protection.proposals() == lines


def test_tags_of_32_bits_are_not_offered_but_taken() -> None:
    protection = counted()
    assert CryptoSuite.AES_CM_128_HMAC_SHA1_32 not in {line.material.suite for line in protection.proposals()}
    answer = protection.answer(section(f"5 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"))
    assert answer is not None
    assert (answer.tag, answer.material.suite) == (5, CryptoSuite.AES_CM_128_HMAC_SHA1_32)


def test_the_first_usable_line_is_answered_under_its_tag() -> None:
    offer = section(f"1 X inline:{KEY}", f"7 {SUITE} inline:{KEY}", f"8 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")
    protection = counted()
    answer = protection.answer(offer)
    assert answer is not None
    assert (answer.tag, answer.material.suite.value) == (7, SUITE)
    assert protection.answer(offer) == answer


def test_a_key_that_was_in_use_is_never_used_again() -> None:
    protection = counted()
    first = protection.proposals()
    protection.note_use(used(first[0]), with_audio=True)
    protection.note_use(used(first[3]), with_audio=True)
    second = protection.proposals()
    assert second[0].material.key_salt != first[0].material.key_salt
    assert second[1:] == first[1:]
    protection.note_use(None, with_audio=False)
    assert protection.proposals()[3] != first[3]


def test_a_session_without_srtp_stays_so_and_one_without_audio_does_not_lose_it() -> None:
    protection = counted()
    protection.note_use(used(protection.proposals()[0]), with_audio=True)
    protection.note_use(None, with_audio=False)
    assert protection.proposals()
    protection.note_use(None, with_audio=True)
    assert protection.proposals() == ()


def test_after_falling_back_plain_rtp_is_offered_and_another_peer_begins_anew() -> None:
    protection = counted()
    keys = protection.proposals()
    assert protection.may_fall_back
    protection.fell_back = True
    assert protection.proposals() == ()
    other = protection.anew()
    assert {line.material.key_salt for line in other.proposals()}.isdisjoint(
        line.material.key_salt for line in keys
    )


def test_without_srtp_no_key_is_made() -> None:
    protection = Protection()
    assert protection.proposals() == ()
    assert protection.answer(section(f"1 {SUITE} inline:{KEY}", protocol="RTP/AVP")) is None
    assert not protection.may_fall_back
    assert not Protection(plain=True, secure=True, fell_back=True).may_fall_back
    assert not Protection(plain=False, secure=True).may_fall_back
    with pytest.raises(StateError):
        protection.secret(30)
