"""Requests of RFC 2543, which have no unique branch: matched as RFC 3261 §17.2.3 says."""

import pytest

from sidestream.sip.events import AckReceived, CancelReceived, RequestReceived
from sidestream.sip.message import Request
from sip_script import PEER, Bench, ack, cancel, request, statuses

VIAS = [
    "SIP/2.0/UDP 192.0.2.9:5090",
    "SIP/2.0/UDP 192.0.2.9:5090;branch=1",
    "SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK",
]


def old(method: str = "INVITE", via: str = VIAS[0], **changes: str | None) -> Request:
    return request(method, Via=via, **changes)


@pytest.mark.parametrize("via", VIAS)
def test_section_17_2_3_a_repeated_request_is_one_transaction(via: str) -> None:
    bench = Bench()
    event = bench.request(old(via=via))
    bench.answer(event, 180)
    bench.sent()
    assert bench.receive(old(via=via)) == []
    assert statuses(bench.sent()) == [180]
    assert bench.layer.server_count == 1


@pytest.mark.parametrize("via", VIAS)
def test_section_17_2_3_the_ack_of_a_refusal_is_found_by_the_to_tag_of_the_answer(via: str) -> None:
    bench = Bench()
    bench.answer(bench.request(old(via=via)), 486)
    (response,) = bench.sent()
    assert bench.receive(ack(old(via=via), response)) == []
    assert bench.advance(4.9) == []
    assert bench.events() == []


def test_section_17_2_3_an_ack_with_another_to_tag_is_not_of_this_transaction() -> None:
    bench = Bench()
    bench.answer(bench.request(old()), 486)
    (response,) = bench.sent()
    response.headers.set("To", "<sip:bob@192.0.2.1>;tag=other")
    (event,) = bench.receive(ack(old(), response))
    assert isinstance(event, AckReceived)
    assert bench.advance(0.5) == [0.5]


@pytest.mark.parametrize("via", VIAS)
def test_section_17_2_3_the_ack_of_a_2xx_is_told(via: str) -> None:
    bench = Bench()
    bench.answer(bench.request(old(via=via)), 200)
    (response,) = bench.sent()
    (event,) = bench.receive(ack(old(via=via), response))
    assert isinstance(event, AckReceived)


@pytest.mark.parametrize("via", VIAS)
def test_section_9_2_cancel_finds_its_invite(via: str) -> None:
    bench = Bench()
    event = bench.request(old(via=via))
    bench.answer(event, 180)
    (told,) = bench.receive(cancel(old(via=via)))
    assert isinstance(told, CancelReceived)
    assert told.key == event.key


@pytest.mark.parametrize(
    "change",
    [
        {"CSeq": "2 OPTIONS"},
        {"Call_ID": "other"},
        {"From": "<sip:alice@192.0.2.9>;tag=other"},
        {"Via": "SIP/2.0/UDP 192.0.2.9:5091"},
        {"Via": "SIP/2.0/TCP 192.0.2.9:5090"},
    ],
)
def test_section_17_2_3_each_part_of_the_match_counts(change: dict[str, str]) -> None:
    bench = Bench()
    bench.request(old("OPTIONS"))
    (event,) = bench.receive(
        request("OPTIONS", **{"Via": VIAS[0], "To": "<sip:bob@192.0.2.1>;tag=x", **change})
    )
    assert isinstance(event, RequestReceived)


def test_section_17_2_3_the_request_uri_counts() -> None:
    bench = Bench()
    bench.request(old("OPTIONS", To="<sip:bob@192.0.2.1>;tag=x"))
    other = old("OPTIONS", To="<sip:bob@192.0.2.1>;tag=x")
    other.uri = "sip:carol@192.0.2.1"
    bench.request(other)


def test_a_request_without_tags_makes_one_transaction() -> None:
    bench = Bench()
    made = old(From="<sip:alice@192.0.2.9>", Contact=None, Max_Forwards=None)
    event = bench.request(made, PEER)
    assert event.request.from_tag is None
    assert bench.receive(made) == []


def test_the_answer_goes_back_with_the_via_as_it_came() -> None:
    bench = Bench()
    bench.answer(bench.request(old()), 200)
    (response,) = bench.sent()
    assert response.headers.get("Via") == VIAS[0]
