"""Where messages go: RFC 3261 §18, RFC 3581, RFC 3263 §4.3 and the sizes of §18.1.1."""

import pytest

from sidestream.sip.errors import NotRoutableError
from sidestream.sip.events import ClientTransportFailed, ResponseReceived, ServerTransportFailed
from sidestream.sip.hop import Hop, Source
from sidestream.sip.message import Request
from sidestream.sip.parser import parse_message
from sip_script import PEER, PEER_TCP, TO_PEER, TO_PEER_TCP, Bench, outbound, reply, request, statuses


def answered(via: str, source: Source) -> tuple[Hop, str]:
    """The hop of the response to a request with this Via, and the Via it carries."""
    bench = Bench()
    event = bench.request(request("OPTIONS", Via=via), source)
    bench.answer(event, 200)
    (outgoing,) = bench.sent_raw()
    return outgoing.hop, parse_message(outgoing.data).headers.get("Via") or ""


# §18.2.1, §18.2.2: responses over UDP


def test_section_18_2_2_over_udp_to_the_sent_by_port() -> None:
    hop, via = answered("SIP/2.0/UDP 192.0.2.9:5080;branch=z9hG4bK1", PEER)
    assert hop == Hop("udp", "192.0.2.9", 5080, flow=1)
    assert via == "SIP/2.0/UDP 192.0.2.9:5080;branch=z9hG4bK1"


def test_section_18_2_2_over_udp_to_the_default_port() -> None:
    hop, _ = answered("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1", PEER)
    assert hop.port == 5060


def test_section_18_2_1_received_is_added_when_sent_by_is_another_host() -> None:
    for host in ("phone.example.com", "10.0.0.4"):
        hop, via = answered(f"SIP/2.0/UDP {host}:5080;branch=z9hG4bK1", PEER)
        assert (hop.host, hop.port) == ("192.0.2.9", 5080)
        assert via == f"SIP/2.0/UDP {host}:5080;branch=z9hG4bK1;received=192.0.2.9"


def test_section_18_2_1_a_received_that_the_sender_made_up_is_replaced() -> None:
    hop, via = answered("SIP/2.0/UDP 192.0.2.9:5080;branch=z9hG4bK1;received=203.0.113.1", PEER)
    assert hop.host == "192.0.2.9"
    assert "203.0.113.1" not in via


def test_section_18_2_2_maddr_is_not_followed() -> None:
    hop, _ = answered("SIP/2.0/UDP 192.0.2.9:5080;branch=z9hG4bK1;maddr=203.0.113.1", PEER)
    assert hop.host == "192.0.2.9"


def test_section_18_2_2_over_a_connection_back_through_it_or_to_sent_by() -> None:
    hop, _ = answered("SIP/2.0/TCP 192.0.2.9:5080;branch=z9hG4bK1", PEER_TCP)
    assert hop == Hop("tcp", "192.0.2.9", 5080, flow=7)
    hop, _ = answered(
        "SIP/2.0/TLS host.example.com;branch=z9hG4bK1", Source("tls", "192.0.2.9", 40000, flow=8)
    )
    assert hop == Hop("tls", "192.0.2.9", 5061, flow=8)


def test_section_18_2_1_further_vias_on_the_line_are_kept() -> None:
    below = "SIP/2.0/TCP 192.0.2.8;branch=z9hG4bK0"
    _, via = answered(f"SIP/2.0/UDP host.example.com;branch=z9hG4bK1, {below}", PEER)
    assert via == f"SIP/2.0/UDP host.example.com;branch=z9hG4bK1;received=192.0.2.9, {below}"


def test_rfc5118_ipv6_addresses_in_via_and_received() -> None:
    source = Source("udp", "2001:db8::9", 5090, flow=1)
    hop, via = answered("SIP/2.0/UDP [2001:db8::9]:5080;branch=z9hG4bK1", source)
    assert (hop.host, hop.port) == ("2001:db8::9", 5080)
    assert "received" not in via
    _, via = answered("SIP/2.0/UDP [2001:db8::7]:5080;branch=z9hG4bK1", source)
    assert via.endswith(";received=2001:db8::9")


# RFC 3581


def test_rfc3581_section_4_rport_gets_the_source_port_and_always_received() -> None:
    source = Source("udp", "192.0.2.9", 61234, flow=1)
    hop, via = answered("SIP/2.0/UDP 192.0.2.9:5080;rport;branch=z9hG4bK1", source)
    assert hop == Hop("udp", "192.0.2.9", 61234, flow=1)
    assert via == "SIP/2.0/UDP 192.0.2.9:5080;rport=61234;branch=z9hG4bK1;received=192.0.2.9"


def test_rfc3581_section_4_a_value_that_the_sender_made_up_is_replaced() -> None:
    hop, via = answered("SIP/2.0/UDP 192.0.2.9:5080;rport=1;branch=z9hG4bK1", PEER)
    assert hop.port == 5090
    assert "rport=5090" in via


def test_rfc3581_section_3_our_requests_ask_for_rport() -> None:
    bench = Bench()
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    assert sent.top_via.wants_rport
    assert sent.top_via.rport is None


def test_rfc3581_a_response_with_filled_parameters_is_matched() -> None:
    bench = Bench()
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    response = reply(sent, 200)
    response.replace_top_via(response.top_via.with_params(rport="4711", received="203.0.113.7"))
    assert [type(event) for event in bench.receive(response)] == [ResponseReceived]


# §18.1.1: sizes, and hops in order


def large(method: str = "OPTIONS") -> Request:
    made = outbound(method)
    made.body = b"x" * 1300
    return made


def test_section_18_1_1_above_1300_bytes_a_request_goes_over_tcp_where_the_peer_has_it() -> None:
    bench = Bench()
    bench.layer.send_request(large(), [TO_PEER, TO_PEER_TCP], bench.now)
    (outgoing,) = bench.sent_raw()
    assert outgoing.hop == TO_PEER_TCP
    assert parse_message(outgoing.data).top_via.transport == "TCP"


def test_section_18_1_1_a_request_of_1300_bytes_stays_on_udp() -> None:
    bench = Bench()
    made = outbound("OPTIONS")
    bench.layer.send_request(made, [TO_PEER, TO_PEER_TCP], bench.now)
    (outgoing,) = bench.sent_raw()
    # The length of the body itself takes three more digits.
    made.body = b"x" * (1300 - len(outgoing.data) - 3)
    bench.layer.send_request(made, [TO_PEER, TO_PEER_TCP], bench.now)
    (outgoing,) = bench.sent_raw()
    assert len(outgoing.data) == 1300
    assert outgoing.hop == TO_PEER


def test_section_18_1_1_back_to_udp_when_tcp_cannot_be_had() -> None:
    bench = Bench()
    key = bench.layer.send_request(large(), [TO_PEER, TO_PEER_TCP], bench.now)
    bench.sent()
    bench.layer.transport_failed(TO_PEER_TCP, bench.now)
    (outgoing,) = bench.sent_raw()
    assert outgoing.hop == TO_PEER
    (event,) = bench.receive(reply(parse_message(outgoing.data), 200))
    assert isinstance(event, ResponseReceived)
    assert event.key == key


def test_section_18_1_1_without_tcp_a_large_request_goes_over_udp() -> None:
    bench = Bench()
    bench.layer.send_request(large(), [TO_PEER], bench.now)
    assert [outgoing.hop for outgoing in bench.sent_raw()] == [TO_PEER]


def test_rfc3263_4_3_the_next_hop_is_tried_as_a_new_transaction() -> None:
    bench = Bench()
    second = Hop("tcp", "192.0.2.10", 5060)
    key = bench.layer.send_request(outbound(), [TO_PEER_TCP, second], bench.now)
    (first,) = bench.sent()
    bench.layer.transport_failed(TO_PEER_TCP, bench.now)
    (again,) = bench.sent()
    assert again.top_via.branch != first.top_via.branch
    assert (again.call_id, again.cseq, again.from_tag) == (first.call_id, first.cseq, first.from_tag)
    assert bench.receive(reply(first, 200)) == []
    (event,) = bench.receive(reply(again, 200))
    assert isinstance(event, ResponseReceived)
    assert event.key == key


def test_section_8_1_3_1_when_no_hop_is_left_the_user_is_told_once() -> None:
    bench = Bench()
    second = Hop("tcp", "192.0.2.10", 5060)
    key = bench.layer.send_request(outbound(), [TO_PEER_TCP, second], bench.now)
    bench.layer.transport_failed(TO_PEER_TCP, bench.now)
    bench.layer.transport_failed(second, bench.now)
    assert bench.events() == [ClientTransportFailed(key)]
    assert bench.layer.client_count == 0
    assert bench.layer.timer() is None


def test_a_cancelled_invite_is_not_tried_elsewhere() -> None:
    bench = Bench()
    key = bench.layer.send_request(outbound(), [TO_PEER_TCP, TO_PEER], bench.now)
    bench.sent()
    bench.layer.cancel(key, bench.now)
    bench.layer.transport_failed(TO_PEER_TCP, bench.now)
    assert bench.events() == [ClientTransportFailed(key)]
    assert bench.sent() == []


def test_what_goes_elsewhere_does_not_fail_with_a_hop() -> None:
    bench = Bench()
    bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    bench.layer.transport_failed(Hop("udp", "192.0.2.77", 5090), bench.now)
    bench.layer.transport_failed(TO_PEER_TCP, bench.now)
    assert bench.events() == []


def test_a_request_over_one_connection_fails_with_that_connection_only() -> None:
    bench = Bench()
    hop = Hop("tcp", "192.0.2.9", 5090, flow=4)
    key = bench.layer.send_request(outbound(), [hop], bench.now)
    bench.layer.transport_failed(Hop("tcp", "192.0.2.9", 5090, flow=5), bench.now)
    assert bench.events() == []
    bench.layer.transport_failed(hop, bench.now)
    assert bench.events() == [ClientTransportFailed(key)]


def test_without_hop_a_request_cannot_be_sent() -> None:
    bench = Bench()
    with pytest.raises(NotRoutableError):
        bench.layer.send_request(outbound(), [], bench.now)


def test_section_18_2_2_a_closed_connection_does_not_fail_a_server_transaction() -> None:
    bench = Bench()
    event = bench.request(request(), PEER_TCP)
    bench.layer.transport_failed(PEER_TCP.hop, bench.now)
    assert bench.events() == []
    bench.answer(event, 486)
    assert statuses(bench.sent()) == [486]


def test_section_17_2_4_a_peer_that_cannot_be_reached_fails_a_server_transaction() -> None:
    bench = Bench()
    event = bench.request(request(), PEER_TCP)
    bench.answer(event, 180)
    bench.layer.transport_failed(Hop("tcp", "192.0.2.9", 5090), bench.now)
    assert bench.events() == [ServerTransportFailed(event.key)]


def test_the_request_given_is_not_changed() -> None:
    bench = Bench()
    made = outbound()
    bench.layer.send_request(made, [TO_PEER], bench.now)
    assert "Via" not in made.headers


def test_section_13_2_2_4_an_ack_of_a_2xx_has_a_branch_of_its_own_and_no_transaction() -> None:
    bench = Bench()
    bench.layer.send_request(outbound(), [TO_PEER], bench.now)
    (invite,) = bench.sent()
    bench.receive(reply(invite, 200))
    count = bench.layer.client_count
    for _ in range(2):
        bench.layer.send_ack(outbound("ACK", CSeq="1 ACK"), TO_PEER, bench.now)
    first, second = bench.sent()
    assert len({invite.top_via.branch, first.top_via.branch, second.top_via.branch}) == 3
    assert bench.layer.client_count == count
