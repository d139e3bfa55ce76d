from sidestream.sip.hop import Hop
from sip_script import PEER, PEER_TCP


def test_only_datagrams_are_unreliable() -> None:
    assert not Hop("udp", "a", 1).reliable
    assert Hop("tcp", "a", 1).reliable
    assert Hop("tls", "a", 1).reliable


def test_the_way_back_to_a_sender() -> None:
    assert PEER_TCP.hop == Hop("tcp", "192.0.2.9", 49152, flow=7)
    assert PEER.hop == Hop("udp", "192.0.2.9", 5090, flow=1)
