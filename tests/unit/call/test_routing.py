import re
from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from random import Random

import pytest

from sidestream.call.routing import PeerAddress, Route, TrunkSources, first_route, match_trunk, order_peers
from sidestream.call.setup import PeerHop
from sidestream.sip.domain_certificate import CertificateNames
from sidestream.sip.hop import Source


def trunk(name: str, *networks: str, peers: tuple[PeerAddress, ...] = ()) -> TrunkSources:
    return TrunkSources(name, "acme", tuple(ip_network(network) for network in networks), peers)


def found(trunks: list[TrunkSources], host: str, port: int = 5060) -> str | None:
    match = match_trunk(trunks, Source("udp", host, port))
    return None if match is None else match.trunk


def test_the_longest_network_wins() -> None:
    trunks = [
        trunk("wide", "192.0.0.0/8"),
        trunk("narrow", "192.0.2.0/24"),
        trunk("other", "198.51.100.0/24"),
    ]
    assert found(trunks, "192.0.2.7") == "narrow"
    assert found(trunks, "192.9.9.9") == "wide"
    assert found(trunks, "203.0.113.1") is None


def test_the_first_of_two_equal_networks_wins() -> None:
    assert found([trunk("one", "192.0.2.0/24"), trunk("two", "192.0.2.0/24")], "192.0.2.7") == "one"


def test_a_peers_own_socket_wins_over_everything() -> None:
    trunks = [
        trunk("host", "127.0.0.1/32"),
        trunk("first", peers=(PeerAddress("127.0.0.1", 5080),)),
        trunk("second", peers=(PeerAddress("127.0.0.1", 5090),)),
    ]
    assert found(trunks, "127.0.0.1", 5090) == "second"
    assert found(trunks, "127.0.0.1", 5080) == "first"
    assert found(trunks, "127.0.0.1", 49152) == "host"


def test_a_peer_is_known_by_any_port() -> None:
    assert found([trunk("tcp", peers=(PeerAddress("192.0.2.7", 5060),))], "192.0.2.7", 49152) == "tcp"


@pytest.mark.parametrize("host", ["::ffff:192.0.2.7", "192.0.2.7"])
def test_a_mapped_address_is_ipv4(host: str) -> None:
    assert found([trunk("v4", "192.0.2.0/24")], host) == "v4"


def test_ipv6_is_matched_with_its_zone_aside() -> None:
    assert found([trunk("v4", "0.0.0.0/0"), trunk("v6", "fe80::/10")], "fe80::1%eth0") == "v6"


@pytest.mark.parametrize("host", ["", "gw.example", "300.1.1.1"])
def test_what_is_no_address_is_nobodys(host: str) -> None:
    assert found([trunk("all", "0.0.0.0/0", "::/0")], host) is None


def test_the_first_route_that_matches_is_taken() -> None:
    routes = [
        Route("desk", "carrier", re.compile(r"^\+?[0-9]+$")),
        Route("desk", "voicemail", re.compile("^vm")),
        Route("carrier", "desk"),
    ]
    assert first_route(routes, "carrier", "anything") == routes[2]
    assert first_route(routes, "desk", "+4930") == routes[0]
    assert first_route(routes, "desk", "vm7") == routes[1]
    assert first_route(routes, "desk", "sales") is None
    assert first_route(routes, "unknown", "+4930") is None


def test_peers_go_by_priority_first() -> None:
    peers = [PeerHop("sip:c", priority=3), PeerHop("sip:a", priority=1), PeerHop("sip:b", priority=2)]
    assert [peer.uri for peer in order_peers(peers, Random(1))] == ["sip:a", "sip:b", "sip:c"]


def test_peers_of_one_priority_go_by_weight() -> None:
    peers = [PeerHop("sip:heavy", weight=3), PeerHop("sip:light", weight=1), PeerHop("sip:spare", weight=0)]
    randomness = Random(7)
    orders = [tuple(peer.uri for peer in order_peers(peers, randomness)) for _ in range(4000)]
    first = Counter(order[0] for order in orders)
    assert first["sip:spare"] == 0
    assert 0.7 < first["sip:heavy"] / 4000 < 0.8
    assert all(len(set(order)) == 3 and order[-1] == "sip:spare" for order in orders)


def test_no_peers_have_no_order() -> None:
    assert order_peers([], Random(1)) == ()


CARRIER = CertificateNames(uris=("sip:carrier.example",), has_alternatives=True)
STRANGER = CertificateNames(dns=("elsewhere.example",), has_alternatives=True)


def by_tls(
    trunks: list[TrunkSources], certificate: CertificateNames | None, host: str = "192.0.2.7"
) -> str | None:
    match = match_trunk(trunks, Source("tls", host, 40_000, certificate=certificate))
    return None if match is None else match.trunk


def test_who_proves_a_name_belongs_to_its_trunk_wherever_he_is() -> None:
    named = replace(trunk("named"), names=("carrier.example",))
    trunks = [trunk("host", "192.0.2.7/32"), named]
    assert by_tls(trunks, CARRIER) == by_tls(trunks, CARRIER, "203.0.113.9") == "named"
    assert by_tls(trunks, STRANGER) == by_tls(trunks, None) == "host"
    assert by_tls(trunks, STRANGER, "203.0.113.9") is None


def test_of_two_trunks_with_one_name_the_address_decides() -> None:
    trunks = [
        replace(trunk("one", "192.0.2.0/28"), names=("carrier.example",)),
        replace(trunk("two", "192.0.2.64/28"), names=("carrier.example",)),
    ]
    assert by_tls(trunks, CARRIER, "192.0.2.65") == "two"
    assert by_tls(trunks, CARRIER, "203.0.113.9") == "one"


def test_a_trunk_that_names_certificates_takes_no_other_by_its_address() -> None:
    strict = replace(trunk("strict", "192.0.2.0/24"), names=("carrier.example",), only_named=True)
    assert by_tls([strict], STRANGER) is None
    assert by_tls([strict], CARRIER) == "strict"
    # Where no certificate was asked for, none can be missed.
    assert by_tls([strict], None) == "strict"


def test_a_trunk_by_tls_only_takes_nothing_in_the_clear() -> None:
    secure = replace(trunk("secure", "192.0.2.0/24"), only_tls=True)
    assert found([secure], "192.0.2.7") is None
    assert found([secure, trunk("plain", "192.0.0.0/8")], "192.0.2.7") == "plain"
    assert by_tls([secure], None) == "secure"
