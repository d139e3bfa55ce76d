import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.uri import (
    OpaqueUri,
    SipUri,
    bare_host,
    loose,
    parse_hostport,
    parse_uri,
    uris_match,
    wire_host,
)


def sip(text: str) -> SipUri:
    return SipUri.parse(text)


def test_all_parts_of_a_uri() -> None:
    uri = sip("SIPS:al%69ce;x=1:pass@Example.COM:5071;Transport=TCP;lr;maddr=192.0.2.1?Subject=a&b=c")
    assert uri.scheme == "sips"
    assert (uri.user, uri.password) == ("al%69ce;x=1", "pass")
    assert (uri.host, uri.port) == ("Example.COM", 5071)
    assert uri.params == {"transport": "TCP", "lr": None, "maddr": "192.0.2.1"}
    assert uri.transport == "tcp"
    assert uri.loose_router
    assert uri.headers == "Subject=a&b=c"


@pytest.mark.parametrize(
    "text",
    [
        "sip:a",
        "sip:a@b",
        "sip:a:@b",
        "sips:a:b@c:1;d;e=f?g=h",
        "sip:[2001:db8::1]:5060",
        "sip:+1(555)01@h",
        "tel:+1-555-01",
    ],
)
def test_uris_go_out_as_they_came_in(text: str) -> None:
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip",
        "1sip:a",
        "sip:@a",
        "sip:a@",
        "sip:a b@c",
        "sip:a@b:",
        "sip:a@b:65536",
        "sip:a@b:x",
        "sip:a@-b",
        "sip:a@b c",
        "sip:a@[::1",
        "sip:a@[::g]",
        "sip:a@::1",
        "sip:%zz@a",
        "sip:a@b;",
        "sip:a@b;x=",
        "sip:a@b;x;X",
        "sip:a@b?x y",
        "sip:a@b@c",
        "tel:",
        "tel:1 2",
        "sip:" + "h" * 256,
        "sip:a<b>@c",
        "http:a b",
    ],
)
def test_uris_that_are_refused(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_uri(text)
    assert caught.value.status == 400


def test_another_scheme_is_carried_or_refused_as_416() -> None:
    assert parse_uri("URN:service:sos") == OpaqueUri("urn", "service:sos")
    with pytest.raises(ParseError, match="416"):
        SipUri.parse("urn:service:sos")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("sip:+1-(555).01@h", "+155501"),
        ("sip:%2B15550100;phone-context=x@h", "+15550100"),
        ("sip:*31%23@h", "*31#"),
        ("sip:alice@h", None),
        ("sip:h", None),
        ("tel:+1-555-01;ext=1", "+155501"),
        ("urn:service:sos", None),
    ],
)
def test_the_number_of_a_uri(text: str, number: str | None) -> None:
    assert parse_uri(text).number == number


# RFC 3261 §19.1.4: its own examples.
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=a",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=a",
        ),
        ("sip:alice@atlanta.com?subject=a&priority=b", "sip:alice@atlanta.com?priority=b&subject=a"),
    ],
)
def test_uris_that_match(one: str, other: str) -> None:
    assert uris_match(parse_uri(one), parse_uri(other))
    assert uris_match(parse_uri(other), parse_uri(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com:6000;transport=tcp", "sip:bob@biloxi.com"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next"),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sips:a@b", "sip:a@b"),
        ("sip:a:p@b", "sip:a@b"),
        ("sip:a@b;lr", "sip:a@b;lr=on"),
        ("tel:+1", "sip:+1@b"),
    ],
)
def test_uris_that_do_not_match(one: str, other: str) -> None:
    assert not uris_match(parse_uri(one), parse_uri(other))
    assert not uris_match(parse_uri(other), parse_uri(one))


def test_escaped_parameter_names_are_their_plain_ones() -> None:
    assert sip("sip:a;%6Cr").loose_router
    assert sip("sip:a;%00=1").params == {"%00": "1"}


def test_for_a_request_uri_headers_and_method_go() -> None:
    assert str(sip("sip:a@b;method=INVITE;user=phone?x=y").without_headers()) == "sip:a@b;user=phone"


def test_hosts_and_brackets() -> None:
    assert parse_hostport("[2001:db8::1]:5060", "Via") == ("[2001:db8::1]", 5060)
    assert sip("sip:[2001:db8::1]").address == "2001:db8::1"
    assert bare_host("[::1]") == "::1"
    assert bare_host("a") == "a"
    assert wire_host("::1") == "[::1]"
    assert wire_host("[::1]") == "[::1]"
    assert wire_host("192.0.2.1") == "192.0.2.1"


def test_long_uris_are_read_though_not_kept() -> None:
    assert len(sip(f"sip:{'a' * 1000}@b").user or "") == 1000


@pytest.mark.parametrize(
    ("uri", "routed"),
    [
        ("sip:192.0.2.9", "sip:192.0.2.9;lr"),
        ("sip:proxy.example:5070;transport=tcp", "sip:proxy.example:5070;transport=tcp;lr"),
        ("sip:192.0.2.9;lr", "sip:192.0.2.9;lr"),
        ("sip:192.0.2.9;lr=on", "sip:192.0.2.9;lr=on"),
    ],
)
def test_a_proxy_in_a_route_is_a_loose_router(uri: str, routed: str) -> None:
    assert loose(uri) == routed
