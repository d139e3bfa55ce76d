from ipaddress import ip_address

import pytest

from sidestream.config.uris import UriError, check_endpoint, host_of, is_secure, parse_peer, split_listener
from sidestream.sip.uri import SipUri
from sidestream.stream.upgrade import parse_endpoint

PEERS = {
    "sip:192.0.2.1": ("192.0.2.1", 5060, "udp"),
    "sip:pbx.example:5070;transport=TCP": ("pbx.example", 5070, "tcp"),
    "sip:[2001:db8::1]:5080;transport=udp;lr": ("2001:db8::1", 5080, "udp"),
    "sip:trunk-1@sbc_1.example.": ("sbc_1.example.", 5060, "udp"),
    "sips:pbx.example": ("pbx.example", 5061, "tls"),
    "sip:pbx.example;transport=tls": ("pbx.example", 5061, "tls"),
}


@pytest.mark.parametrize("text", PEERS)
def test_peers_are_read_as_the_protocol_reads_them(text: str) -> None:
    peer = parse_peer(text)
    assert (peer.host, peer.port, peer.transport) == PEERS[text]
    uri = SipUri.parse(text)
    assert uri.host.strip("[]") == peer.host
    assert uri.port in {None, peer.port}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "192.0.2.1",
            "tel:+1",
            "sip:",
            "sip:a b",
            "sip:host:0",
            "sip:host:70000",
            "sip:[::g]",
            "sip:1.2.3",
        ),
        *("sip:host;transport=sctp", "sip:host?X=y", "sip:host\n", "sip:" + "a" * 3000, "http://host"),
    ],
)
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(UriError):
        parse_peer(text)


def test_listeners_have_a_scheme_an_address_and_a_port() -> None:
    assert split_listener("udp://127.0.0.2:5060") == ("udp", ip_address("127.0.0.2"), 5060)
    assert split_listener("HTTP://[::1]/") == ("http", ip_address("::1"), None)
    for text in (
        "udp:127.0.0.1",
        "udp://host:1",
        "udp://127.0.0.1:99999",
        "udp://127.0.0.1:5060/x",
        "127.0.0.1:5060",
    ):
        with pytest.raises(UriError):
            split_listener(text)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("wss://transcribe.example/calls?x=1", "transcribe.example"),
        ("wss://127.0.0.1:8443", "127.0.0.1"),
        ("WSS://[::1]:8443/", "::1"),
        ("ws://receiver_1:80/a/b%20c", "receiver_1"),
    ],
)
def test_endpoints_are_read_as_the_stream_reads_them(url: str, host: str) -> None:
    check_endpoint(url)
    assert host_of(url) == host == parse_endpoint(url).host
    assert is_secure(url) is parse_endpoint(url).secure


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "wss://",
            "wss:///x",
            "http://a/",
            "https://a/",
            "ftp://a/",
            "wss://a b/",
            "wss://a/#f",
            "wss://a:0/",
        ),
        *(
            "wss://u@a/",
            "wss://u:p@a/",
            "wss://a:99999/",
            "wss://[::1/",
            "wss://ä.example/",
            "wss://999.1.1.1/",
        ),
        *("wss://a/\n", "wss://" + "a" * 3000, "a.example", "wss://-a/"),
    ],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(UriError):
        check_endpoint(url)
