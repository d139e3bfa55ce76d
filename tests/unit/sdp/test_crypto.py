from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidestream.sdp.crypto import (
    MAX_LIFETIME,
    MIN_LIFETIME,
    CryptoError,
    CryptoLine,
    CryptoSuite,
    KeyMaterial,
    agreed_keys,
    barred,
    parse_crypto,
    usable_lines,
)
from sidestream.sdp.errors import NegotiationError
from sidestream.sdp.model import MediaDescription, SessionDescription, masked
from sidestream.sdp.parser import parse

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
OTHER = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
SUITE = "AES_CM_128_HMAC_SHA1_80"


def describe(*lines: str) -> SessionDescription:
    text = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", *lines)
    return parse("\r\n".join(text).encode())


def section(*crypto: str, protocol: str = "RTP/SAVP") -> MediaDescription:
    lines = (f"m=audio 4000 {protocol} 0", *(f"a=crypto:{line}" for line in crypto))
    return describe(*lines).media[0]


def material(suite: CryptoSuite, byte: int = 7) -> KeyMaterial:
    return KeyMaterial(suite, bytes([byte]) * suite.key_salt_length)


@given(
    st.integers(0, 999_999_999),
    st.sampled_from(list(CryptoSuite)),
    st.binary(min_size=46, max_size=46),
    st.none() | st.integers(MIN_LIFETIME, MAX_LIFETIME) | st.integers(20, 48).map(lambda power: 2**power),
)
def test_what_is_written_is_read_back(
    tag: int, suite: CryptoSuite, secret: bytes, lifetime: int | None
) -> None:
    line = CryptoLine(tag, KeyMaterial(suite, secret[: suite.key_salt_length], lifetime))
    assert parse_crypto(line.attribute.value or "") == line


@given(st.text(max_size=120) | st.text("0123456789 inlecAESCM_HMACSHA180:|^=;-/+", max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        line = parse_crypto(text)
    except CryptoError:
        return
    assert parse_crypto(line.attribute.value or "") == line


@pytest.mark.parametrize(
    ("rest", "lifetime"),
    [("", None), ("|2^20", 2**20), ("|2^48", 2**48), ("|1048577", 1_048_577), ("|2^31 WSH=64 -x=1", 2**31)],
)
def test_lifetimes_and_hints_are_accepted(rest: str, lifetime: int | None) -> None:
    assert parse_crypto(f"1 {SUITE} inline:{KEY}{rest}").material.lifetime == lifetime


def test_padding_may_be_left_out() -> None:
    suite = CryptoSuite.AEAD_AES_128_GCM
    text = b64encode(b"k" * 28).decode().rstrip("=")
    assert parse_crypto(f"3 {suite.value} INLINE:{text}").material.key_salt == b"k" * 28


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "needs a tag"),
        (f"1 {SUITE}", "needs a tag"),
        (f"x {SUITE} inline:{KEY}", "no number"),
        (f"1234567890 {SUITE} inline:{KEY}", "no number"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", "not known"),
        (f"1 {SUITE} uri:{KEY}", "not inline"),
        (f"1 {SUITE} inline:{KEY}*", "not in base64"),
        (f"1 {SUITE} inline:WVNf", "which AES_CM_128_HMAC_SHA1_80 has not"),
        (f"1 AEAD_AES_256_GCM inline:{KEY}", "which AEAD_AES_256_GCM has not"),
        (f"1 {SUITE} inline:{KEY}|2^20|1:4", "identifiers"),
        (f"1 {SUITE} inline:{KEY}|1:4", "identifiers"),
        (f"1 {SUITE} inline:{KEY}|2^20|2^21", "identifiers"),
        (f"1 {SUITE} inline:{KEY};inline:{OTHER}", "several keys"),
        (f"1 {SUITE} inline:{KEY}|2^19", "between 2^20 and 2^48"),
        (f"1 {SUITE} inline:{KEY}|2^49", "between 2^20 and 2^48"),
        (f"1 {SUITE} inline:{KEY}|2^999999999999", "between 2^20 and 2^48"),
        (f"1 {SUITE} inline:{KEY}|soon", "no number"),
        (f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTCP", "UNENCRYPTED_SRTCP is not accepted"),
        (f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP is not accepted"),
        (f"1 {SUITE} inline:{KEY} UNAUTHENTICATED_SRTP", "UNAUTHENTICATED_SRTP is not accepted"),
        (f"1 {SUITE} inline:{KEY} KDR=24", "KDR is not accepted"),
        (f"1 {SUITE} inline:{KEY} FEC_KEY=inline:{OTHER}", "FEC_KEY is not accepted"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason_and_without_its_key(value: str, why: str) -> None:
    with pytest.raises(CryptoError, match=why.replace("^", "\\^")) as caught:
        parse_crypto(value)
    assert caught.value.sip_status == 488
    assert KEY not in str(caught.value)
    assert OTHER not in str(caught.value)


def test_a_key_is_not_shown() -> None:
    line = parse_crypto(f"1 {SUITE} inline:{KEY}")
    assert "YS__" not in repr(line)
    assert KEY not in repr(line)


def test_a_description_shows_no_key() -> None:
    shown = repr(section(f"1 {SUITE} inline:{KEY}|2^20")) + repr(
        section(f"1 {SUITE} inline:{KEY}").attributes
    )
    assert KEY not in shown
    assert "inline:***|2^20" in shown


def test_keys_are_masked_in_text() -> None:
    text = f"a=crypto:1 {SUITE} inline:{KEY}|2^31\r\na=crypto:2 {SUITE} INLINE:{OTHER}\r\na=sendrecv\r\n"
    assert masked(text) == (
        f"a=crypto:1 {SUITE} inline:***|2^31\r\na=crypto:2 {SUITE} INLINE:***\r\na=sendrecv\r\n"
    )


def test_lines_that_cannot_be_used_are_passed_over() -> None:
    lines = usable_lines(
        section(
            f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
            f"2 {SUITE} inline:{KEY}|2^31|1:1",
            f"3 {SUITE} inline:{KEY}|2^31",
            f"3 {SUITE} inline:{OTHER}",
            f"4 AES_CM_128_HMAC_SHA1_32 inline:{OTHER}",
        )
    )
    assert [(line.tag, line.material.suite.value) for line in lines] == [
        (3, SUITE),
        (4, "AES_CM_128_HMAC_SHA1_32"),
    ]
    assert lines[0].material.lifetime == 2**31


def test_each_side_sends_with_the_key_that_it_said() -> None:
    offer = section(f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}", f"2 {SUITE} inline:{KEY}")
    answer = section(f"2 {SUITE} inline:{OTHER}")
    keys = agreed_keys(answer, offer, we_answered=True)
    assert keys is not None
    assert keys.send == parse_crypto(f"2 {SUITE} inline:{OTHER}").material
    assert keys.receive == parse_crypto(f"2 {SUITE} inline:{KEY}").material
    turned = agreed_keys(offer, answer, we_answered=False)
    assert turned is not None
    assert (turned.send, turned.receive) == (keys.receive, keys.send)


def test_plain_rtp_has_no_keys() -> None:
    plain = section(protocol="RTP/AVP")
    assert agreed_keys(plain, plain, we_answered=True) is None
    best_effort = section(f"1 {SUITE} inline:{KEY}", protocol="RTP/AVP")
    assert agreed_keys(plain, best_effort, we_answered=True) is None
    assert agreed_keys(best_effort, best_effort, we_answered=True) is not None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((), "without a key"),
        ((f"1 {SUITE} inline:{KEY}", f"2 {SUITE} inline:{KEY}"), "more than one"),
        ((f"9 {SUITE} inline:{KEY}",), "none of those offered"),
        ((f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}",), "none of those offered"),
        ((f"1 {SUITE} inline:x",), "can't be used"),
        ((f"1 {SUITE} inline:{KEY} UNENCRYPTED_SRTCP",), "can't be used"),
    ],
)
def test_an_answer_that_takes_no_offered_line_is_refused(answer: tuple[str, ...], why: str) -> None:
    with pytest.raises(NegotiationError, match=why):
        agreed_keys(section(f"1 {SUITE} inline:{OTHER}"), section(*answer), we_answered=False)


@pytest.mark.parametrize(
    ("lines", "plain", "secure", "usable"),
    [
        (("m=audio 4 RTP/AVP 0",), True, False, 0),
        (("m=audio 4 RTP/AVP 0",), False, True, None),
        (("m=audio 4 RTP/AVP 0", f"a=crypto:1 {SUITE} inline:{KEY}"), False, True, 0),
        (("m=audio 4 RTP/SAVP 0", f"a=crypto:1 {SUITE} inline:{KEY}"), True, False, None),
        (("m=audio 4 RTP/SAVPF 0", f"a=crypto:1 {SUITE} inline:{KEY}"), True, True, 0),
        (("m=audio 4 RTP/SAVP 0", "a=crypto:1 X inline:x"), True, True, None),
        (("m=audio 4 RTP/SAVP 0", f"a=crypto:1 {SUITE} inline:{KEY}", "m=audio 6 RTP/AVP 0"), True, False, 1),
        (("m=audio 4 RTP/AVP 0", "m=audio 6 RTP/SAVP 0", f"a=crypto:1 {SUITE} inline:{KEY}"), False, True, 1),
    ],
)
def test_what_a_trunk_does_not_allow_is_not_used(
    lines: tuple[str, ...], *, plain: bool, secure: bool, usable: int | None
) -> None:
    offer = describe(*lines)
    admitted = barred(offer, plain=plain, secure=secure)
    assert admitted.audio_index == usable
    assert admitted == offer


def test_material_has_the_length_of_its_suite() -> None:
    for suite in CryptoSuite:
        assert len(material(suite).key_salt) == suite.key_salt_length
        with pytest.raises(CryptoError):
            KeyMaterial(suite, b"short")
