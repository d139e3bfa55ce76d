import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.headers import (
    CSeq,
    NameAddr,
    Via,
    media_params,
    media_type,
    parse_cseq,
    parse_name_addr,
    parse_via,
)
from sidestream.sip.uri import parse_uri

URI = "sip:alice@192.0.2.9"


@pytest.mark.parametrize(
    ("text", "display", "tag"),
    [
        (f"<{URI}>", "", None),
        (f"{URI};tag=a", "", "a"),
        (f"Alice B. <{URI}> ; tag = a", "Alice B.", "a"),
        (f'"Alice \\"A\\" B"<{URI}>;tag=a', 'Alice "A" B', "a"),
        (f'"" <{URI}>', "", None),
        (f"Ærø <{URI}>", "Ærø", None),
        (f' "a, b" <{URI}> ', "a, b", None),
    ],
)
def test_addresses_in_their_forms(text: str, display: str, tag: str | None) -> None:
    address = parse_name_addr(text, "From")
    assert (str(address.uri), address.display_name, address.tag) == (URI, display, tag)


def test_outside_of_brackets_parameters_are_of_the_header() -> None:
    assert parse_name_addr("sip:a@b;tag=1").params == {"tag": "1"}
    assert str(parse_name_addr("<sip:a@b;x=1>;tag=1").uri) == "sip:a@b;x=1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        f"<{URI}",
        f"{URI}?a=b",
        f"a@b <{URI}>",
        f'"a <{URI}>',
        f'"a" {URI}',
        f"<{URI}> x",
        f"< {URI}>",
        "sip:a,b@c",
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_name_addr(text, "From")
    assert caught.value.status == 400


def test_names_are_quoted_where_they_must_be() -> None:
    assert str(NameAddr(parse_uri(URI), "Alice B.")) == f"Alice B. <{URI}>"
    assert str(NameAddr(parse_uri(URI), 'A, "B"')) == f'"A, \\"B\\"" <{URI}>'
    assert str(NameAddr(parse_uri(URI), " A")) == f'" A" <{URI}>'


def test_an_address_with_other_parameters() -> None:
    address = parse_name_addr(f"<{URI}>;tag=a;x=1")
    assert address.with_tag("b").params == {"tag": "b", "x": "1"}
    assert str(address.without_params()) == f"<{URI}>"


def test_long_addresses_are_read_though_not_kept() -> None:
    address = parse_name_addr(f'"{"x" * 300}" <{URI}>;tag=a')
    assert (len(address.display_name), address.tag) == (300, "a")


def test_via_values() -> None:
    via = parse_via("sip / 2.0 / udp [2001:db8::1] : 5070 ;branch=z9hG4bKa;rport;received=2001:db8::2")
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "[2001:db8::1]", 5070, "z9hG4bKa")
    assert via.wants_rport
    assert via.rport is None
    assert via.received == "2001:db8::2"
    assert Via("UDP", "h").branch is None
    assert Via.parse("SIP/2.0/UDP h;rport=9").rport == 9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 h",
        "SIP/3.0/UDP h",
        "SIP/2.0/UDP ;branch=a",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h h",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP h;rport=65536",
        "SIP/2.0/UDP h;rport=x",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP [::1",
    ],
)
def test_vias_that_are_refused(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_via(text)
    assert caught.value.status == 400


def test_sent_by_has_its_default_port_filled_in() -> None:
    assert Via("UDP", "Host").sent_by == "host:5060"
    assert Via("TLS", "host").sent_by == "host:5061"
    assert Via("TCP", "host", 5070).sent_by == "host:5070"


def test_a_via_with_other_parameters() -> None:
    via = parse_via("SIP/2.0/UDP h:1;rport;branch=a").with_params(rport="5", received="192.0.2.1")
    assert str(via) == "SIP/2.0/UDP h:1;rport=5;branch=a;received=192.0.2.1"


def test_cseq() -> None:
    assert parse_cseq("0009  INVITE") == CSeq(9, "INVITE")
    assert str(CSeq.parse("2147483647 BYE")) == "2147483647 BYE"


@pytest.mark.parametrize("text", ["", "1", "INVITE", "2147483648 BYE", "-1 BYE", "1 BY E", "1BYE", "1 BYE x"])
def test_cseqs_that_are_refused(text: str) -> None:
    with pytest.raises(ParseError, match="400 Invalid CSeq"):
        parse_cseq(text)


def test_media_types() -> None:
    value = 'Multipart/Mixed ; boundary = "a b" ; x=1'
    assert media_type(value) == "multipart/mixed"
    assert media_params(value) == {"boundary": "a b", "x": "1"}
    with pytest.raises(ParseError):
        media_params("a/b;;")
