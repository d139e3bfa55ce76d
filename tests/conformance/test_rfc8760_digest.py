"""Digest algorithms of SIP: RFC 8760."""

import pytest

from sidestream.sip.digest import Algorithm, Challenge, Qop, parse_challenge, parse_credentials
from sidestream.sip.digest_client import Again, DigestClient
from sidestream.sip.digest_server import Accepted, DigestServer, NonceCounts, Nonces, Realm
from sidestream.sip.message import Request, Response
from sip_script import outbound, reply

PREFERENCE = (Algorithm.SHA_512_256, Algorithm.SHA_256, Algorithm.MD5)
REALM = Realm("gw", {"u": "p"}.get, PREFERENCE)


def challenge(request: Request, *lines: str) -> Response:
    response = reply(request, 401)
    for line in lines:
        response.headers.add("WWW-Authenticate", line)
    return response


def test_section_2_2_the_length_of_the_response_is_that_of_the_algorithm() -> None:
    assert {each: each.hex_digits for each in PREFERENCE} == {
        Algorithm.SHA_512_256: 64,
        Algorithm.SHA_256: 64,
        Algorithm.MD5: 32,
    }


def test_section_2_4_the_server_offers_each_algorithm_on_a_line_of_its_own_by_preference() -> None:
    lines = DigestServer(Nonces(b"k", bytes), NonceCounts()).challenges(REALM, "h", 1.0)
    offered = [parse_challenge(line) for line in lines]
    assert [each.algorithm for each in offered if each] == list(PREFERENCE)
    assert all(each is not None and each.qop == (Qop.AUTH,) for each in offered)


@pytest.mark.parametrize("known", [1, 2, 3])
def test_section_2_4_the_client_passes_over_algorithms_that_it_does_not_know(known: int) -> None:
    request = outbound()
    strange = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-1024'
    offered = [str(Challenge("r", "n", each, (Qop.AUTH,))) for each in PREFERENCE[-known:]]
    outcome = DigestClient("u", "p", "*", lambda: "c").answer(
        request, challenge(request, strange, *offered), ""
    )
    assert isinstance(outcome, Again)
    (line,) = outcome.request.headers.get_all("Authorization")
    credentials = parse_credentials(line)
    assert credentials is not None
    assert credentials.algorithm is PREFERENCE[-known]


@pytest.mark.parametrize("algorithm", PREFERENCE)
def test_section_2_5_what_the_client_makes_the_server_takes(algorithm: Algorithm) -> None:
    server = DigestServer(Nonces(b"k", bytes), NonceCounts())
    lines = [line for line in server.challenges(REALM, "h", 1.0) if f"algorithm={algorithm}," in line]
    assert len(lines) == 1
    request = outbound()
    outcome = DigestClient("u", "p", "*", lambda: "c").answer(request, challenge(request, *lines), "")
    assert isinstance(outcome, Again)
    assert server.judge(outcome.request, REALM, "h", 2.0) == Accepted("u")


def test_section_2_6_a_client_without_qop_in_the_challenge_sends_none() -> None:
    request = outbound()
    line = str(Challenge("r", "n", Algorithm.SHA_256))
    outcome = DigestClient("u", "p", "*", lambda: "c").answer(request, challenge(request, line), "")
    assert isinstance(outcome, Again)
    answer = outcome.request.headers.get("Authorization") or ""
    assert "qop" not in answer
    assert "cnonce" not in answer
