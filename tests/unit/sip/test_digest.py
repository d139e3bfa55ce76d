"""The headers and the arithmetic of digest authentication."""

import pytest

from sidestream.sip.digest import (
    MAX_VALUE,
    Algorithm,
    Challenge,
    Credentials,
    Qop,
    expected_response,
    parse_challenge,
    parse_credentials,
    secret_hash,
)
from sidestream.sip.errors import ParseError

GIVEN = 'username="u", realm="r", nonce="n", uri="sip:a@b", response="' + "0" * 32 + '"'


def test_a_challenge_is_read_whatever_its_order_case_and_space() -> None:
    text = (
        'digest  QOP="auth-int, auth" ,NONCE = "abc=", stale=TRUE,'
        'realm="a \\"b\\" c", opaque="", algorithm=sha-256'
    )
    assert parse_challenge(text) == Challenge(
        'a "b" c', "abc=", Algorithm.SHA_256, (Qop.AUTH, Qop.AUTH_INT), "", stale=True
    )


def test_a_challenge_may_leave_values_unquoted_and_end_with_a_comma() -> None:
    assert parse_challenge("Digest realm=example.com, nonce=YWJj==,") == Challenge("example.com", "YWJj==")


@pytest.mark.parametrize(
    "text",
    [
        'Basic realm="r"',
        "Negotiate",
        'Digest realm="r", nonce="n", algorithm=SHA-1',
        'Digest realm="r", nonce="n", qop="auth-conf"',
    ],
)
def test_what_is_of_another_kind_is_no_challenge_for_us(text: str) -> None:
    assert parse_challenge(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Digest ",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="", nonce="n"',
        'Digest realm="r", realm="s", nonce="n"',
        'Digest realm="r, nonce="n"',
        'Digest realm="r" nonce="n"',
        'Digest realm="r", nonce="n", Digest realm="s", nonce="m"',
        f'Digest realm="r", nonce="{"n" * (MAX_VALUE + 1)}"',
        "Digest " + ", ".join(f"p{number}=1" for number in range(40)),
    ],
)
def test_a_malformed_challenge_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_challenge(text)
    assert caught.value.status == 400


def test_two_challenges_joined_by_a_comma_are_none_as_they_may_not_be_joined() -> None:
    with pytest.raises(ParseError):
        parse_challenge('Digest realm="a", nonce="1", Digest realm="b", nonce="2"')


def test_credentials_are_read() -> None:
    text = f'Digest {GIVEN}, algorithm=MD5, qop=auth, nc=0000001f, cnonce="c", opaque="o"'
    assert parse_credentials(text) == Credentials(
        "u", "r", "n", "sip:a@b", "0" * 32, Algorithm.MD5, Qop.AUTH, 31, "c", "o"
    )


def test_credentials_of_the_old_form_have_neither_count_nor_cnonce() -> None:
    found = parse_credentials(f"Digest {GIVEN}, nc=junk")
    assert found is not None
    assert (found.qop, found.nonce_count, found.cnonce) == (None, None, None)


def test_a_username_may_come_in_the_extended_form() -> None:
    text = GIVEN.replace('username="u"', "username*=UTF-8''J%c3%a4s%C3%B8n%20Doe")
    found = parse_credentials(f"Digest {text}")
    assert found is not None
    assert found.username == "Jäsøn Doe"


@pytest.mark.parametrize(
    "text",
    [
        GIVEN.replace('username="u", ', ""),
        GIVEN.replace('realm="r", ', ""),
        GIVEN.replace('nonce="n", ', ""),
        GIVEN.replace('uri="sip:a@b", ', ""),
        GIVEN.replace('"' + "0" * 32, '"' + "0" * 31),
        GIVEN.replace('"' + "0" * 32, '"' + "x" * 32),
        f"{GIVEN}, algorithm=SHA-256",
        f"{GIVEN}, algorithm=ROT13",
        f"{GIVEN}, qop=auth",
        f'{GIVEN}, qop=auth, cnonce="c"',
        f'{GIVEN}, qop=auth, cnonce="c", nc=1',
        f'{GIVEN}, qop=auth, cnonce="c", nc=00000000',
        f'{GIVEN}, qop=auth, cnonce="c", nc=0000000g',
        f'{GIVEN}, qop=auth, nc=00000001, cnonce=""',
        f'{GIVEN}, qop=maybe, nc=00000001, cnonce="c"',
        f"{GIVEN}, userhash=true",
        f"{GIVEN}, username*=UTF-8''v",
        GIVEN.replace('username="u"', "username*=UTF-8''%ff"),
        GIVEN.replace('username="u"', "username*=UTF-8''"),
        GIVEN.replace('username="u"', "username*=latin1''u"),
    ],
)
def test_malformed_credentials_are_answered_400(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_credentials(f"Digest {text}")
    assert caught.value.status == 400


def test_credentials_of_another_scheme_are_not_ours() -> None:
    assert parse_credentials("Bearer abc.def") is None


def test_neither_response_nor_secret_is_shown() -> None:
    assert "0" * 32 not in repr(parse_credentials(f"Digest {GIVEN}"))


def test_algorithms_are_in_the_order_of_their_strength() -> None:
    assert min(Algorithm, key=lambda each: each.strength) is Algorithm.MD5
    assert Algorithm.SHA_512_256.strength > Algorithm.SHA_256.strength > Algorithm.MD5_SESS.strength
    assert {each for each in Algorithm if each.is_session} == {
        Algorithm.MD5_SESS,
        Algorithm.SHA_256_SESS,
        Algorithm.SHA_512_256_SESS,
    }


def test_auth_int_protects_the_body_and_auth_does_not() -> None:
    def made(qop: Qop, body: bytes) -> str:
        credentials = Credentials("u", "r", "n", "sip:a@b", "", None, qop, 1, "c")
        return expected_response(credentials, secret_hash(Algorithm.MD5, "u", "r", "p"), "INVITE", body)

    assert made(Qop.AUTH, b"a") == made(Qop.AUTH, b"b")
    assert made(Qop.AUTH_INT, b"a") != made(Qop.AUTH_INT, b"b")


def test_a_secret_with_lone_surrogates_has_a_hash() -> None:
    assert len(secret_hash(Algorithm.SHA_256, "u", "r", "p\udcff")) == 64
