"""Authentication in SIP: RFC 3261 §22, with the worked examples of draft-smith-sipping-auth-examples-01."""

import pytest

from sidestream.sip.builder import ack_for
from sidestream.sip.digest import Algorithm, Credentials, Qop, credentials_of, expected_response, secret_hash
from sidestream.sip.digest_client import Again, DigestClient, NotAnswered
from sidestream.sip.message import Headers, Request
from sidestream.sip.parser import parse_message
from sidestream.sip.serializer import serialize
from sip_script import outbound, reply

BODY = "\r\n".join(
    (
        *("v=0", "o=bob 2890844526 2890844526 IN IP4 media.biloxi.com", "s=-", "c=IN IP4 media.biloxi.com"),
        *("t=0 0", "m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 51372 RTP/AVP 31"),
        *("a=rtpmap:31 H261/90000", "m=video 53000 RTP/AVP 32", "a=rtpmap:32 MPV/90000", ""),
    )
).encode()


@pytest.mark.parametrize(
    ("algorithm", "qop", "response"),
    [
        (None, None, "bf57e4e0d0bffc0fbaedce64d59add5e"),
        (None, Qop.AUTH, "89eb0059246c02b2f6ee02c7961d5ea3"),
        (None, Qop.AUTH_INT, "bdbeebb2da6adb6bca02599c2239e192"),
        (Algorithm.MD5_SESS, Qop.AUTH, "e4e4ea61d186d07a92c9e1f6919902e9"),
    ],
)
def test_section_22_4_the_worked_examples(
    algorithm: Algorithm | None, qop: Qop | None, response: str
) -> None:
    nonce, cnonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b"
    one = Credentials("bob", "biloxi.com", nonce, "sip:bob@biloxi.com", "", algorithm, qop, 1, cnonce)
    secret = secret_hash(one.effective_algorithm, "bob", "biloxi.com", "zanzibar")
    assert expected_response(one, secret, "INVITE", BODY) == response


def challenged(request: Request, status: int, *realms: str) -> Again | NotAnswered:
    response = reply(request, status)
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    for realm in realms:
        response.headers.add(name, f'Digest realm="{realm}", nonce="n-{realm}", qop="auth"')
    return DigestClient("u", "p", "*", lambda: "c").answer(request, response, "")


def again(request: Request, status: int, *realms: str) -> Request:
    outcome = challenged(request, status, *realms)
    assert isinstance(outcome, Again)
    return outcome.request


@pytest.mark.parametrize(("status", "name"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_section_22_2_and_22_3_the_request_goes_again_as_part_of_the_same_dialog(
    status: int, name: str
) -> None:
    first = outbound()
    first.body = BODY
    second = again(first, status, "r")
    assert (second.call_id, second.from_tag, second.to_tag) == (first.call_id, first.from_tag, first.to_tag)
    assert second.cseq.number == first.cseq.number + 1
    assert second.body == first.body
    assert second.headers.count(name) == 1


def test_section_22_3_several_proxies_each_get_a_line_and_lines_are_never_joined() -> None:
    sent = again(outbound(), 407, "one", "two")
    sent.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
    lines = [line for line in serialize(sent).split(b"\r\n") if line.startswith(b"Proxy-Authorization: ")]
    assert len(lines) == 2
    assert all(line.count(b"Digest") == 1 for line in lines)


def test_section_7_3_1_a_comma_within_credentials_does_not_part_them() -> None:
    sent = again(outbound(), 401, "a, b")
    sent.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
    read = parse_message(serialize(sent))
    (line,) = read.headers.get_all("Authorization")
    assert 'realm="a, b"' in line


def test_section_22_1_the_ack_of_a_refused_invite_repeats_its_credentials() -> None:
    sent = again(outbound(), 401, "r")
    sent.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
    ack = ack_for(sent, reply(sent, 486))
    assert credentials_of(ack) == credentials_of(sent) != ()
    assert ack.cseq.number == sent.cseq.number


def test_section_22_1_a_challenge_without_one_that_can_be_answered_is_not_answered() -> None:
    assert challenged(outbound(), 401) is NotAnswered.UNUSABLE


def test_section_22_4_the_digest_is_of_the_request_uri() -> None:
    sent = again(outbound(), 401, "r")
    assert f'uri="{sent.uri}"' in (sent.headers.get("Authorization") or "")


def test_section_22_4_header_lines_of_another_scheme_are_left_alone() -> None:
    request = outbound()
    response = reply(request, 401)
    response.headers = Headers([*response.headers, ("WWW-Authenticate", 'Basic realm="r"')])
    assert DigestClient("u", "p", "*", str).answer(request, response, "") is NotAnswered.UNUSABLE
