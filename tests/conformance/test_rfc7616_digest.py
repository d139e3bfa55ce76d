"""Digest access authentication: RFC 7616, and RFC 2617 and RFC 2069, which it replaces."""

from dataclasses import replace

import pytest

from sidestream.sip.digest import (
    Algorithm,
    Credentials,
    Qop,
    expected_response,
    parse_challenge,
    parse_credentials,
    secret_hash,
)
from sidestream.sip.digest_server import Accepted, DigestServer, NonceCounts, Nonces, Realm
from sip_script import outbound

FIRST = """Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5,
 nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
 cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
 response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
""".replace("\n", "")


def answer(credentials: Credentials, password: str, method: str = "GET", body: bytes = b"") -> str:
    algorithm = credentials.effective_algorithm
    secret = secret_hash(algorithm, credentials.username, credentials.realm, password)
    return expected_response(credentials, secret, method, body)


def test_section_3_9_1_md5() -> None:
    credentials = parse_credentials(FIRST)
    assert credentials is not None
    assert answer(credentials, "Circle of Life") == credentials.response


def test_section_3_9_1_sha_256() -> None:
    text = FIRST.replace("algorithm=MD5", "algorithm=SHA-256").replace(
        "8ca523f5e9506fed4657c9700eebdbec",
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    )
    credentials = parse_credentials(text)
    assert credentials is not None
    assert answer(credentials, "Circle of Life") == credentials.response


def test_section_3_9_2_sha_512_256_and_a_user_in_utf_8_as_erratum_4897_has_it() -> None:
    credentials = Credentials(
        username="Jäsøn Doe",
        realm="api@example.org",
        nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        uri="/doe.json",
        response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        algorithm=Algorithm.SHA_512_256,
        qop=Qop.AUTH,
        nonce_count=1,
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert answer(credentials, "Secret, or not?") == credentials.response


def test_rfc2617_section_3_5() -> None:
    credentials = parse_credentials(
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",'
        ' response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    assert credentials is not None
    assert answer(credentials, "Circle Of Life") == credentials.response


def test_rfc2069_section_2_4_as_its_erratum_has_it() -> None:
    credentials = parse_credentials(
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea",'
        ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    assert credentials is not None
    assert answer(credentials, "CircleOfLife") == credentials.response


def test_section_3_3_stale_and_qop_are_read_without_regard_to_case() -> None:
    challenge = parse_challenge('Digest realm="r", nonce="n", stale=TrUe, qop="AUTH,auth-int,token"')
    assert challenge is not None
    assert challenge.stale
    assert challenge.qop == (Qop.AUTH, Qop.AUTH_INT)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_section_3_4_2_a_session_takes_in_nonce_and_cnonce(algorithm: Algorithm) -> None:
    one = Credentials("u", "r", "n", "sip:a@b", "", algorithm, Qop.AUTH, 1, "c")
    secret = secret_hash(algorithm, "u", "r", "p")
    made = {expected_response(replace(one, cnonce=each), secret, "INVITE", b"") for each in ("c", "c", "d")}
    assert len(made) == 2
    assert len(answer(one, "p")) == algorithm.hex_digits


def test_section_3_4_6_another_uri_than_the_requests_is_400_and_the_same_is_taken() -> None:
    server = DigestServer(Nonces(b"k", bytes), NonceCounts())
    realm = Realm("gw", {"u": "p"}.get, (Algorithm.SHA_256,))
    challenge = parse_challenge(server.challenges(realm, "h", 5.0)[0])
    assert challenge is not None
    request = outbound()
    plain = Credentials("u", "gw", challenge.nonce, request.uri, "", Algorithm.SHA_256, Qop.AUTH, 1, "c")
    for uri, accepted in (("sip:eve@192.0.2.9", False), (request.uri, True)):
        one = replace(plain, uri=uri)
        request.headers.set("Authorization", str(replace(one, response=answer(one, "p", "INVITE"))))
        assert (server.judge(request, realm, "h", 5.0) == Accepted("u")) is accepted
