"""Which of our addresses a peer is told."""

import pytest

from sidestream.gateway.sip_addresses import OwnAddresses
from sidestream.gateway.sip_options import ListenAddress
from sidestream.sip.hop import Hop, Transport

FIRST = ListenAddress("udp", "192.0.2.1", 5060)
SECOND = ListenAddress("udp", "192.0.2.2", 5062)
STREAM = ListenAddress("tcp", "192.0.2.1", 5064)
SIX = ListenAddress("tcp", "2001:db8::5", 5066)
OWN = OwnAddresses((FIRST, SECOND, STREAM, SIX), None, {1: FIRST, 2: SECOND})


@pytest.mark.parametrize(
    ("transport", "hop", "told"),
    [
        ("udp", Hop("udp", "198.51.100.1", 5060, flow=2), ("192.0.2.2", 5062)),
        ("tcp", Hop("tcp", "198.51.100.1", 5060), ("192.0.2.1", 5064)),
        ("tcp", Hop("tcp", "198.51.100.1", 5060, flow=2), ("192.0.2.1", 5064)),
        ("tcp", Hop("tcp", "2001:db8::9", 5060), ("2001:db8::5", 5066)),
    ],
)
def test_via_names_the_listener_of_the_way(transport: Transport, hop: Hop, told: tuple[str, int]) -> None:
    assert OWN.via(transport, hop) == told


def test_each_transport_has_a_contact_by_its_first_listener() -> None:
    assert OWN.contacts() == {"udp": "sip:192.0.2.1:5060", "tcp": "sip:192.0.2.1:5064;transport=tcp"}
    six = OwnAddresses((SIX,), None, {})
    assert six.contacts() == {"tcp": "sip:[2001:db8::5]:5066;transport=tcp"}


def test_what_is_advertised_takes_the_place_of_every_address() -> None:
    own = OwnAddresses((FIRST, STREAM), "gw.example.com", {1: FIRST})
    assert own.via("udp", Hop("udp", "198.51.100.1", 5060)) == ("gw.example.com", 5060)
    assert own.contacts()["tcp"] == "sip:gw.example.com:5064;transport=tcp"


def test_connections_are_made_from_the_address_that_is_listened_on() -> None:
    assert OWN.source_host("tcp", "198.51.100.1") == "192.0.2.1"
    assert OWN.source_host("tls", "198.51.100.1") is None
    anywhere = OwnAddresses((ListenAddress("tcp", "::", 5060),), None, {})
    assert anywhere.source_host("tcp", "2001:db8::9") is None


def test_a_transport_without_listener_has_its_own_port() -> None:
    own = OwnAddresses((FIRST,), "gw.example.com", {1: FIRST})
    assert own.via("tls", Hop("tls", "198.51.100.1", 5061)) == ("gw.example.com", 5061)


def test_an_advertised_address_is_told_to_peers_of_its_own_family_only() -> None:
    own = OwnAddresses((FIRST, STREAM, SIX), "203.0.113.7", {1: FIRST})
    assert own.via("tcp", Hop("tcp", "198.51.100.1", 5060)) == ("203.0.113.7", 5064)
    assert own.via("tcp", Hop("tcp", "2001:db8::9", 5060)) == ("2001:db8::5", 5066)
