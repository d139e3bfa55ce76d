from sidestream.sip.headers import Via
from sidestream.sip.hop import Hop, Source
from sidestream.sip.reply_path import response_hop, stamp_via, via_for
from sip_script import PEER, PEER_TCP, request


def test_a_via_that_says_it_all_is_left_as_it_is() -> None:
    made = request(Via="SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK1")
    assert stamp_via(made, PEER) == made.top_via
    assert made.headers.get("Via") == "SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK1"


def test_the_stamp_is_what_is_read_afterwards() -> None:
    made = request(Via="SIP/2.0/UDP h;rport;branch=z9hG4bK1")
    via = stamp_via(made, PEER)
    assert (via.received, via.rport) == ("192.0.2.9", 5090)
    assert made.top_via == via


def test_on_a_stream_rport_does_not_choose_the_port_of_a_new_connection() -> None:
    via = Via("TCP", "h", 5070, {"rport": "49152", "branch": "z9hG4bK1"})
    assert response_hop(via, PEER_TCP) == Hop("tcp", "192.0.2.9", 5070, flow=7)


def test_default_ports() -> None:
    assert response_hop(Via("UDP", "h"), PEER).port == 5060
    assert response_hop(Via("TLS", "h"), Source("tls", "192.0.2.9", 1)).port == 5061


def test_our_via() -> None:
    assert (
        str(via_for("udp", ("192.0.2.1", 5060), "z9hG4bKx"))
        == "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKx"
    )
    assert via_for("tls", ("2001:db8::1", 5061), "z9hG4bKx").host == "[2001:db8::1]"
