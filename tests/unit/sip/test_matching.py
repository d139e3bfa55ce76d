import pytest

from sidestream.sip.builder import response_to
from sidestream.sip.matching import client_match, is_unique, merge_match, server_match
from sip_script import ack, cancel, outbound, reply, request


@pytest.mark.parametrize(
    ("branch", "unique"),
    [("z9hG4bKa", True), ("Z9HG4BKa", True), ("z9hG4bK", False), ("1", False), (None, False)],
)
def test_unique_branches(branch: str | None, unique: bool) -> None:
    assert is_unique(branch) is unique


def test_ack_and_cancel_match_their_invite() -> None:
    invite = request()
    assert server_match(ack(invite, response_to(invite, 486, to_tag="t")), "INVITE") == server_match(
        invite, "INVITE"
    )
    assert server_match(cancel(invite), "INVITE") == server_match(invite, "INVITE")
    assert server_match(cancel(invite), "CANCEL") != server_match(invite, "INVITE")


def test_sent_by_is_compared_without_case_and_with_its_default_port() -> None:
    one = request(Via="SIP/2.0/UDP Host;branch=z9hG4bKa")
    other = request(Via="SIP/2.0/UDP host:5060;branch=z9hG4bKa;rport")
    assert server_match(one, "INVITE") == server_match(other, "INVITE")


def test_a_response_is_matched_by_branch_and_method() -> None:
    sent = outbound("INFO", Via="SIP/2.0/UDP a;branch=z9hG4bK1")
    assert client_match(reply(sent, 200)) == ("z9hG4bK1", "INFO")
    sent.headers.set("Via", "SIP/2.0/UDP a")
    assert client_match(reply(sent, 200)) is None


def test_requests_inside_dialogs_do_not_merge() -> None:
    assert merge_match(request(To="<sip:b>;tag=1")) is None
    assert merge_match(request()) == merge_match(request(Via="SIP/2.0/UDP other;branch=z9hG4bKx"))
