"""The upgrade request's URL and headers."""

import pytest

from sidestream.stream.upgrade import (
    Credentials,
    Endpoint,
    EndpointUrlError,
    UpgradeFacts,
    parse_endpoint,
    upgrade_headers,
)

FACTS = UpgradeFacts("0.1.0", "stream", "call", "account", "00-trace-span-01")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("wss://Example.com/calls?x=1#y", Endpoint(True, "example.com", 443, "example.com", "/calls?x=1")),
        ("wss://127.0.0.1:8443", Endpoint(True, "127.0.0.1", 8443, "127.0.0.1:8443", "/")),
        ("ws://[::1]:80/a", Endpoint(False, "::1", 80, "[::1]:80", "/a")),
        ("wss://bücher.example/", Endpoint(True, "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/")),
    ],
)
def test_urls(url: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(url) == endpoint


@pytest.mark.parametrize("url", ["http://a/", "wss:///x", "wss://a:x/", "wss://u:p@a/", "", "wss://[::1/"])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(EndpointUrlError):
        parse_endpoint(url)


def test_headers_name_the_stream_and_carry_every_credential() -> None:
    credentials = Credentials("token", ("user", "pass"), (("X-Key", "k"),))
    assert upgrade_headers(FACTS, credentials, [("X-Tenant", "acme")]) == [
        ("User-Agent", "Sidestream/0.1.0"),
        ("Sidestream-Stream-Id", "stream"),
        ("Sidestream-Call-Id", "call"),
        ("Sidestream-Account-Id", "account"),
        ("traceparent", "00-trace-span-01"),
        ("Authorization", "Bearer token"),
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("X-Key", "k"),
        ("X-Tenant", "acme"),
    ]


def test_custom_headers_can_neither_break_the_request_nor_pretend() -> None:
    custom = [
        ("X-A", "a\r\nEvil: 1\x00"),
        ("Host", "b"),
        ("Sec-WebSocket-Key", "c"),
        ("Sidestream-Call-Id", "d"),
    ]
    assert upgrade_headers(FACTS, Credentials(), custom)[5:] == [("X-A", "a  Evil: 1")]


def test_credentials_are_never_printed() -> None:
    assert "token" not in repr(Credentials("token"))
