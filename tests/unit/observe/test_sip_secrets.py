import pytest

from sidestream.observe.sip_secrets import mask_message
from trace_script import SDP, sip

DIGEST = (
    'Digest username="al", realm="r, \\"s\\"", nonce="n0nce", uri="sip:x", qop=auth, nc=00000001, '
    'cnonce="cn0nce", response="deadbeef", opaque="op"'
)


def test_a_message_without_secrets_is_the_same() -> None:
    message = sip("INVITE sip:+15551234@127.0.0.1 SIP/2.0", SDP)
    assert mask_message(message) is message


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "proxy-authorization", "AUTHORIZATION ", "Authorization\t"],
)
def test_a_digest_shows_who_and_where_but_nothing_to_guess_a_password_by(name: str) -> None:
    masked = mask_message(sip("INVITE sip:x SIP/2.0", headers=(f"{name}: {DIGEST}",))).decode()
    for secret in ("n0nce", "deadbeef", "00000001"):
        assert secret not in masked
    for shown in ('username="al"', 'realm="r, \\"s\\""', "qop=auth", "response=***"):
        assert shown in masked


def test_folded_lines_belong_to_the_header() -> None:
    header = (
        'Authorization: Digest username="al",\r\n\tresponse="deadbeef",\r\n cnonce="cn0nce"\r\nX-Next: there'
    )
    masked = mask_message(sip("INVITE sip:x SIP/2.0", headers=(header,)))
    assert b"deadbeef" not in masked
    assert b"cn0nce" not in masked
    assert b"\r\nX-Next: there\r\n" in masked


@pytest.mark.parametrize(
    "value", ["Basic YWw6c2VjcmV0", "Bearer secret", "secret", "Digest secret", " Basic\tsecret"]
)
def test_other_schemes_show_their_name_only(value: str) -> None:
    masked = mask_message(sip("INVITE sip:x SIP/2.0", headers=(f"Authorization: {value}",)))
    assert b"secret" not in masked
    assert b"YWw6" not in masked
    assert b"\r\nContent-Length: 0\r\n" in masked


def test_what_the_server_proves_is_masked_too() -> None:
    header = 'Authentication-Info: rspauth="deadbeef", cnonce="cn0nce", qop=auth'
    masked = mask_message(sip("SIP/2.0 200 OK", headers=(header,)))
    assert b"deadbeef" not in masked
    assert b"qop=auth" in masked


@pytest.mark.parametrize(
    "line",
    [
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:32 FEC_ORDER=FEC_SRTP",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0;inline:c2VjcmV0",
        "A=CRYPTO:1 X INLINE:c2VjcmV0",
        "a=crypto:1 X other:c2VjcmV0",
        "a=key-mgmt:mikey c2VjcmV0",
        "k=base64:c2VjcmV0",
    ],
)
def test_keys_of_srtp_are_masked_and_the_body_stays_as_long(line: str) -> None:
    message = sip("INVITE sip:x SIP/2.0", SDP + line + "\r\na=sendrecv\r\n")
    masked = mask_message(message)
    assert b"c2VjcmV0" not in masked
    assert len(masked) == len(message)
    assert masked.endswith(b"\r\na=sendrecv\r\n")


def test_what_is_not_the_key_of_a_crypto_line_stays() -> None:
    line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:32 FEC_ORDER=FEC_SRTP"
    masked = mask_message(sip("INVITE sip:x SIP/2.0", SDP + line)).decode()
    assert masked.endswith("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:********|2^20|1:32 FEC_ORDER=FEC_SRTP")


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "e: gzip", "Content-Transfer-Encoding: base64"])
def test_a_body_that_is_no_text_is_masked_whole(header: str) -> None:
    message = sip("INVITE sip:x SIP/2.0", "c2VjcmV0", (header,))
    assert mask_message(message) == message.replace(b"c2VjcmV0", b"********")


@pytest.mark.parametrize("uri", ["sip:al:s3cret@h", "SIPS:al:s3cret@h:5061", "sip:al:my-sip:s3cret@h"])
def test_passwords_in_uris_are_masked(uri: str) -> None:
    masked = mask_message(sip("INVITE sip:x SIP/2.0", headers=(f"Contact: <{uri}>",)))
    assert b"s3cret" not in masked
    assert b"@h" in masked


def test_hostile_messages_take_no_longer_than_others() -> None:
    for text in (
        "sip:a:" * 10_000,
        "Authorization: Digest " + "a" * 60_000,
        "a=crypto:" + "inline:" * 8_000,
        "\r\n " * 20_000,
    ):
        mask_message(("INVITE sip:x SIP/2.0\r\n" + text + "\r\n\r\n" + text).encode())
