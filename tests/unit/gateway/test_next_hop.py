from sidestream.call.commands import NextHop
from sidestream.gateway.next_hop import hops_of
from sidestream.sip.hop import Hop

UDP = Hop("udp", "192.0.2.1", 5060)
TCP = Hop("tcp", "192.0.2.1", 5060)
OTHER = Hop("udp", "192.0.2.9", 5060)


def test_known_hops_are_taken_as_they_are() -> None:
    assert hops_of(NextHop("sip:x", (OTHER,), UDP), (TCP,)) == (OTHER,)


def test_what_was_resolved_is_taken_when_nothing_was_heard() -> None:
    assert hops_of(NextHop("sip:x"), (UDP, TCP)) == (UDP, TCP)
    assert hops_of(NextHop("sip:x"), ()) == ()


def test_what_cannot_be_resolved_goes_the_way_it_came() -> None:
    heard = Hop("udp", "192.0.2.1", 40000, 1)
    assert hops_of(NextHop("sip:x", (), heard), ()) == (heard,)


def test_over_udp_the_uri_names_the_port_and_the_flow_our_socket() -> None:
    heard = Hop("udp", "192.0.2.1", 40000, 1)
    assert hops_of(NextHop("sip:x", (), heard), (UDP, TCP)) == (Hop("udp", "192.0.2.1", 5060, 1), TCP)


def test_a_connection_is_used_again_and_the_uri_is_second() -> None:
    heard = Hop("tcp", "192.0.2.1", 40000, 7)
    assert hops_of(NextHop("sip:x", (), heard), (TCP, OTHER)) == (heard, TCP, OTHER)


def test_another_host_or_transport_does_not_use_the_flow() -> None:
    heard = Hop("tcp", "192.0.2.1", 40000, 7)
    assert hops_of(NextHop("sip:x", (), heard), (OTHER,)) == (OTHER,)
    assert hops_of(NextHop("sip:x", (), heard), (UDP,)) == (UDP,)
