import re
from collections import Counter
from ipaddress import ip_network
from random import Random

import pytest

from sidestream.call.routing import PeerAddress, Route, TrunkSources, first_route, match_trunk, order_peers
from sidestream.call.setup import PeerHop


def trunk(name: str, *networks: str, peers: tuple[PeerAddress, ...] = ()) -> TrunkSources:
    return TrunkSources(name, "acme", tuple(ip_network(network) for network in networks), peers)


def found(trunks: list[TrunkSources], host: str, port: int = 5060) -> str | None:
    match = match_trunk(trunks, host, port)
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
