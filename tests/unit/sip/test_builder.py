import pytest

from sidestream.sip.builder import ack_for, cancel_for, reason_phrase, response_to
from sip_script import outbound, reply, request


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(100, "Trying"), (487, "Request Terminated"), (499, "Bad Request"), (599, "Server Internal Error")],
)
def test_reason_phrases_are_the_registered_ones_or_those_of_the_class(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase


def test_a_response_copies_what_it_must() -> None:
    made = request(Record_Route="<sip:a;lr>", Timestamp="5", Subject="x")
    made.headers.add("Via", "SIP/2.0/UDP h;branch=z9hG4bK0")
    response = response_to(made, 180, to_tag="t")
    for name in ("Via", "From", "Call-ID", "CSeq", "Record-Route"):
        assert response.headers.get_all(name) == made.headers.get_all(name)
    assert response.headers.get("To") == "<sip:bob@192.0.2.1>;tag=t"
    assert "Timestamp" not in response.headers
    assert "Subject" not in response.headers
    assert response.reason == "Ringing"


def test_a_100_has_the_timestamp_and_no_tag_of_ours() -> None:
    response = response_to(request(Timestamp="5", Record_Route="<sip:a;lr>"), 100, to_tag="t")
    assert response.headers.get("Timestamp") == "5"
    assert response.to_tag is None
    assert "Record-Route" not in response.headers


def test_a_failure_carries_no_record_route() -> None:
    assert "Record-Route" not in response_to(request(Record_Route="<sip:a;lr>"), 486).headers


def test_a_tag_that_is_there_stays() -> None:
    made = request(To="<sip:bob@192.0.2.1>;tag=there")
    assert response_to(made, 200, to_tag="t").to_tag == "there"


def test_a_to_that_cannot_be_read_goes_back_as_it_came() -> None:
    assert response_to(request(To='"'), 400, to_tag="t").headers.get("To") == '"'
    assert response_to(request(To=None), 400, "Missing To", "t").headers.get("To") is None


def test_the_ack_of_a_refusal_has_the_to_of_the_response() -> None:
    invite = outbound(Via="SIP/2.0/UDP a;branch=z9hG4bK1", Route="<sip:r;lr>")
    ack = ack_for(invite, reply(invite, 486, "t"))
    assert (ack.method, ack.uri, ack.to_tag) == ("ACK", invite.uri, "t")
    assert [name for name, _ in ack.headers] == [
        "Via",
        "Route",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
    ]


def test_a_cancel_has_the_to_of_the_invite_and_its_reason() -> None:
    invite = outbound(Via="SIP/2.0/UDP a;branch=z9hG4bK1")
    assert cancel_for(invite, "SIP;cause=200").headers.get("Reason") == "SIP;cause=200"
    assert cancel_for(invite).to_tag is None
    assert str(cancel_for(invite).cseq) == "1 CANCEL"
