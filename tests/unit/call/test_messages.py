import pytest

from call_script import CallBench
from sidestream.call.border import Border
from sidestream.call.features import EVERYTHING
from sidestream.call.headers_policy import HeaderPolicy
from sidestream.call.messages import (
    carry_body,
    contact_value,
    dress_request,
    dressed_response,
    first_invite,
    target_uri,
    warning_value,
)
from sidestream.call.setup import ServerIdentity
from sidestream.sdp.errors import NegotiationError, WarningCode
from sidestream.sip.message import Headers, Request, Response

IDENTITY = ServerIdentity(
    contacts={"udp": "sip:192.0.2.1", "tcp": "sip:192.0.2.1;transport=tcp"}, user_agent="S"
)


@pytest.mark.parametrize(
    ("requested", "peer", "expected"),
    [
        ("sip:+4930@gw.example:5061;user=phone", "sip:192.0.2.7:5080", "sip:+4930@192.0.2.7:5080"),
        ("sip:sales@gw", "sip:192.0.2.7;transport=tcp", "sip:sales@192.0.2.7;transport=tcp"),
        ("tel:+49-30", "sip:192.0.2.7", "sip:+4930@192.0.2.7;user=phone"),
        ("sip:gw.example", "sip:192.0.2.7", "sip:192.0.2.7"),
        ("sip:+4930@gw.example", "sip:queue@192.0.2.7", "sip:queue@192.0.2.7"),
    ],
)
def test_the_called_user_goes_to_the_peers_host(requested: str, peer: str, expected: str) -> None:
    assert target_uri(requested, peer) == expected


def test_our_contact_is_that_of_the_transport() -> None:
    assert contact_value(IDENTITY, "tcp") == "<sip:192.0.2.1;transport=tcp>"
    assert contact_value(IDENTITY, "tls") == "<sip:192.0.2.1>"


@pytest.mark.parametrize(("came", "goes"), [(None, "70"), ("70", "69"), ("1", "0"), ("0", "0")])
def test_max_forwards_counts_on(came: str | None, goes: str) -> None:
    original = CallBench().invite
    original.headers.remove("Max-Forwards")
    if came is not None:
        original.headers.add("Max-Forwards", came)
    assert first_invite(original, "sip:x", "id", "tag").headers.get("Max-Forwards") == goes


def test_the_identities_of_the_first_invite_are_the_callers_with_our_tag() -> None:
    original = CallBench(headers=[("From", '"Ann" <sip:+491@a.example>;tag=theirs;x=y')]).invite
    invite = first_invite(original, "sip:x", "id", "ours")
    assert invite.headers.get("From") == "Ann <sip:+491@a.example>;tag=ours"
    assert invite.headers.get("To") == "Desk <sip:+4930123456@192.0.2.1>"
    assert (invite.call_id, invite.cseq.number) == ("id", 1)


@pytest.mark.parametrize(
    ("method", "allow"), [("INVITE", EVERYTHING.allow), ("UPDATE", EVERYTHING.allow), ("BYE", None)]
)
def test_what_a_request_says_about_us(method: str, allow: str | None) -> None:
    request = dress_request(
        Request(method, "sip:x"), IDENTITY, Border(HeaderPolicy()), Headers([("X-A", "1")])
    )
    assert request.headers.get("User-Agent") == "S"
    assert request.headers.get("Allow") == allow
    assert request.headers.get("X-A") == "1"


@pytest.mark.parametrize(
    ("status", "method", "allow", "accept"),
    [
        (405, "REFER", True, False),
        (200, "INVITE", True, False),
        (200, "OPTIONS", True, True),
        (200, "BYE", False, False),
        (415, "INVITE", False, True),
        (180, "INVITE", False, False),
    ],
)
def test_what_a_response_says_about_us(status: int, method: str, allow: bool, accept: bool) -> None:
    request = CallBench().invite.copy()
    request.method = method
    response = dressed_response(request, status, None, "ours", IDENTITY)
    assert ("Allow" in response.headers, "Accept" in response.headers) == (allow, accept)
    assert response.headers.get("Server") == "S"
    assert response.to_tag == "ours"


def test_a_body_crosses_with_what_says_what_it_is() -> None:
    source = Request("INFO", "sip:x", Headers([("Content-Type", "a/b"), ("Info-Package", "p"), ("Via", "v")]))
    target = Response(200, "OK")
    carry_body(source, target)
    assert (list(target.headers), target.body) == ([], b"")
    source.body = b"text"
    carry_body(source, target)
    assert list(target.headers) == [("Content-Type", "a/b"), ("Info-Package", "p")]
    assert target.body == b"text"


def test_a_warning_is_quoted() -> None:
    error = NegotiationError('the peer said "no"', warning=WarningCode.MEDIA_TYPE_NOT_AVAILABLE)
    assert warning_value(error) == r'304 gateway "the peer said \"no\""'
