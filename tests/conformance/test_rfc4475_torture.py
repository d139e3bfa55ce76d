"""The 49 messages of RFC 4475, as the bytes of its archive, each with the treatment that the RFC names."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.events import RequestReceived
from sidestream.sip.framing import FramingError, StreamFramer
from sidestream.sip.headers import media_type
from sidestream.sip.hop import Hop, Source
from sidestream.sip.matching import is_unique
from sidestream.sip.message import Request, Response
from sidestream.sip.multipart import parse_multipart
from sidestream.sip.parser import parse_message, validate
from sidestream.sip.serializer import serialize
from sidestream.sip.uri import OpaqueUri, SipUri, parse_uri
from sip_script import Bench

DATA = Path(__file__).parents[1] / "data" / "rfc4475"
SENDER = Source("udp", "192.0.2.200", 5060, flow=1)


def wire(name: str) -> bytes:
    return (DATA / f"{name}.dat").read_bytes()


def accepted(name: str) -> Request:
    """The request as the user of the layer gets it."""
    (event,) = Bench().receive(wire(name), SENDER)
    assert isinstance(event, RequestReceived)
    return event.request


def refused(name: str) -> Response:
    """What the layer answers by itself."""
    return Bench().refused(wire(name), SENDER)


def dropped(name: str) -> Bench:
    """A bench that neither told nor sent anything."""
    bench = Bench()
    assert bench.receive(wire(name), SENDER) == []
    assert bench.sent() == []
    return bench


def response(name: str) -> Response:
    message = parse_message(wire(name))
    validate(message)
    assert isinstance(message, Response)
    return message


def sip_uri(text: str) -> SipUri:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


def test_all_49_messages_are_here_and_named_in_a_test() -> None:
    names = {path.stem for path in DATA.glob("*.dat")}
    assert len(names) == 49
    source = Path(__file__).read_text()
    assert [name for name in sorted(names) if f'"{name}"' not in source] == []


# 3.1.1 Valid messages


def test_3_1_1_1_wsinv_a_short_tortuous_invite() -> None:
    request = accepted("wsinv")
    assert request.to.tag == "1918181833n"
    assert request.from_.display_name == 'J Rosenberg \\"'
    assert request.from_.tag == "98asjd8"
    assert request.max_forwards == 68
    assert (request.cseq.number, request.cseq.method) == (9, "INVITE")
    assert [(via.transport, via.host, via.branch) for via in request.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert request.headers.get("Subject") == ""
    assert request.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert request.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (route,) = request.routes
    assert isinstance(route.uri, SipUri)
    assert route.uri.params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}
    (contact,) = request.contacts
    assert contact.display_name == 'Quoted string ""'
    assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert len(request.body) == 150


def test_3_1_1_2_intmeth_wide_range_of_valid_characters() -> None:
    message = parse_message(wire("intmeth"))
    validate(message)
    assert isinstance(message, Request)
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert sip_uri(message.uri).user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert sip_uri(message.uri).password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert message.from_.params["fromparam''~+*_!.-%"] == '"работающий"'
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    refusal = refused("intmeth")
    assert refusal.status == 501
    assert refusal.cseq.method == message.method


def test_3_1_1_3_esc01_valid_use_of_the_escaping_mechanism() -> None:
    request = accepted("esc01")
    assert sip_uri(request.uri).user == "sips%3Auser%40example.com"
    assert sip_uri(request.uri).host == "example.net"
    (contact,) = request.contacts
    assert isinstance(contact.uri, SipUri)
    assert contact.uri.loose_router
    assert contact.uri.params["name"] == "v%61lue%25%34%31"


def test_3_1_1_4_escnull_escaped_nulls_in_uris() -> None:
    request = accepted("escnull")
    assert isinstance(request.to.uri, SipUri)
    assert request.to.uri.user == "null-%00-null"
    assert [str(contact) for contact in request.contacts] == [
        "<sip:%00@host5.example.com>",
        "<sip:%00%00@host5.example.com>",
    ]


def test_3_1_1_5_esc02_a_percent_sign_that_escapes_nothing() -> None:
    message = parse_message(wire("esc02"))
    assert isinstance(message, Request)
    assert message.method == "RE%47IST%45R"
    assert message.to.display_name == "%Z%45"
    assert len(message.contacts) == 2
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"
    assert refused("esc02").status == 501


def test_3_1_1_6_lwsdisp_no_space_before_the_bracket() -> None:
    assert accepted("lwsdisp").from_.display_name == "caller"


def test_3_1_1_7_longreq_long_values() -> None:
    request = accepted("longreq")
    assert len(request.vias) == 34
    assert request.vias[0].host == "sip33.example.com"
    assert request.vias[-1].received == "192.0.2.5"
    assert isinstance(request.to.uri, SipUri)
    assert request.to.uri.port == 6000
    assert len(request.body) == 150


def test_3_1_1_8_dblreq_what_follows_in_the_datagram_is_ignored() -> None:
    request = accepted("dblreq")
    assert request.method == "REGISTER"
    assert request.body == b""


def test_3_1_1_8_dblreq_on_a_stream_both_are_requests() -> None:
    messages = [
        parse_message(piece) for piece in StreamFramer().feed(wire("dblreq")) if isinstance(piece, bytes)
    ]
    assert [message.cseq.method for message in messages] == ["REGISTER", "INVITE"]


def test_3_1_1_9_semiuri_semicolons_in_the_user_part() -> None:
    uri = sip_uri(accepted("semiuri").uri)
    assert (uri.user, uri.host, uri.params) == ("user;par=u%40example.net", "example.com", {})


def test_3_1_1_10_transports_varied_and_unknown() -> None:
    transports = [via.transport for via in accepted("transports").vias]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_3_1_1_11_mpart01_multipart_with_binary() -> None:
    request = accepted("mpart01")
    kind = request.headers.get("Content-Type") or ""
    text, signature = parse_multipart(kind, request.body)
    assert media_type(kind) == "multipart/mixed"
    assert (text.content_type, text.content) == ("text/plain", b"Hello")
    assert signature.content_type == "application/octet-stream"
    assert signature.content[:2] == b"\x30\x82"
    assert len(signature.content) == 342


def test_3_1_1_12_unreason_unusual_reason_phrase() -> None:
    message = response("unreason")
    assert message.status == 200
    assert message.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"


def test_3_1_1_13_noreason_empty_reason_phrase() -> None:
    message = response("noreason")
    assert (message.status, message.reason) == (100, "")


# 3.1.2 Invalid messages


@dataclass(frozen=True)
class Refused:
    """A request that is answered with a failure."""

    section: str
    name: str
    status: int
    reason: str


REFUSED = [
    Refused("3.1.2.1", "badinv01", 400, "Invalid Via parameter"),
    Refused("3.1.2.2", "clerr", 400, "Content-Length exceeds the body"),
    Refused("3.1.2.3", "ncl", 400, "Invalid Content-Length"),
    Refused("3.1.2.4", "scalar02", 400, "Invalid CSeq"),
    Refused("3.1.2.6", "quotbal", 400, "Unbalanced quote"),
    Refused("3.1.2.7", "ltgtruri", 400, "Invalid Request-URI"),
    Refused("3.1.2.8", "lwsruri", 400, "Invalid Request-URI"),
    Refused("3.1.2.9", "lwsstart", 400, "Invalid Request-URI"),
    Refused("3.1.2.10", "trws", 400, "Invalid request line"),
    Refused("3.1.2.11", "escruri", 400, "Headers in Request-URI"),
    Refused("3.1.2.13", "regbadct", 400, "Invalid Contact"),
    Refused("3.1.2.14", "badaspec", 400, "Invalid URI"),
    Refused("3.1.2.15", "baddn", 400, "Invalid From display name"),
    Refused("3.1.2.16", "badvers", 505, "Version Not Supported"),
    Refused("3.1.2.17", "mismatch01", 400, "CSeq method mismatch"),
    Refused("3.1.2.18", "mismatch02", 501, "Not Implemented"),
    Refused("3.3.1", "insuf", 400, "Missing Call-ID"),
    Refused("3.3.2", "unkscm", 416, "Unsupported URI Scheme"),
    Refused("3.3.3", "novelsc", 416, "Unsupported URI Scheme"),
    Refused("3.3.5", "bext01", 420, "Bad Extension"),
    Refused("3.3.6", "invut", 415, "Unsupported Media Type"),
    Refused("3.3.8", "multi01", 400, "Repeated Max-Forwards"),
    Refused("3.3.9", "mcl01", 400, "Conflicting Content-Length"),
    Refused("3.3.15", "sdp01", 406, "Not Acceptable"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.section}-{case.name}")
def test_the_request_is_refused_with_its_status(case: Refused) -> None:
    refusal = refused(case.name)
    assert (refusal.status, refusal.reason) == (case.status, case.reason)
    sent = wire(case.name)
    for name in ("Call-ID", "CSeq"):
        for value in refusal.headers.get_all(name):
            assert value.encode() in sent


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.section}-{case.name}")
def test_the_refusal_goes_to_the_sender(case: Refused) -> None:
    bench = Bench()
    bench.receive(wire(case.name), SENDER)
    (outgoing,) = bench.sent_raw()
    assert (outgoing.hop.host, outgoing.hop.flow) == ("192.0.2.200", 1)


def test_3_1_2_2_clerr_on_a_stream_waits_for_the_rest() -> None:
    assert StreamFramer().feed(wire("clerr")) == []


@pytest.mark.parametrize("name", ["ncl", "mcl01"])
def test_3_1_2_3_and_3_3_9_a_length_that_cannot_be_right_ends_a_stream(name: str) -> None:
    (error,) = StreamFramer().feed(wire(name))
    assert isinstance(error, FramingError)
    bench = Bench()
    bench.layer.receive_malformed(error, Source("tcp", "192.0.2.200", 40000, flow=3))
    (outgoing,) = bench.sent_raw()
    assert outgoing.data.startswith(b"SIP/2.0 400 ")
    assert outgoing.hop == Hop("tcp", "192.0.2.200", 5060, flow=3)


def test_3_1_2_5_scalarlg_a_response_with_overlarge_numbers_is_dropped() -> None:
    assert dropped("scalarlg").layer.counts.malformed == 1


def test_3_1_2_12_baddate_an_unreadable_date_does_no_harm() -> None:
    assert accepted("baddate").headers.get("Date") == "Fri, 01 Jan 2010 16:00:00 EST"


def test_3_1_2_19_bigcode_a_response_with_an_impossible_status_is_dropped() -> None:
    with pytest.raises(ParseError):
        parse_message(wire("bigcode"))
    assert dropped("bigcode").layer.counts.malformed == 1


# 3.2 Transaction layer semantics


def test_3_2_1_badbranch_the_bare_cookie_is_no_branch() -> None:
    assert not is_unique(accepted("badbranch").top_via.branch)
    # Two requests that share it are still two requests.
    bench = Bench()
    assert len(bench.receive(wire("badbranch"), SENDER)) == 1
    other = wire("badbranch").replace(b"CSeq: 8 ", b"CSeq: 9 ")
    assert len(bench.receive(other, SENDER)) == 1
    assert bench.receive(wire("badbranch"), SENDER) == []


# 3.3 Application layer semantics


def test_3_3_4_unksm2_unknown_schemes_in_addresses_are_carried() -> None:
    request = accepted("unksm2")
    assert request.to.uri == OpaqueUri("isbn", "2983792873")
    assert str(request.from_.uri) == "http://www.example.com"


def test_3_3_5_bext01_names_what_is_not_supported() -> None:
    assert refused("bext01").headers.values("Unsupported") == [
        "nothingSupportsThis",
        "nothingSupportsThisEither",
    ]


def test_3_3_6_invut_names_what_is_understood() -> None:
    assert refused("invut").headers.values("Accept") == ["application/sdp", "multipart/*"]


def test_3_3_7_regaut01_an_unknown_authorization_scheme_is_carried() -> None:
    assert accepted("regaut01").headers.get("Authorization") == "NoOneKnowsThisScheme opaque-data=here"


def test_3_3_10_bcast_a_response_that_has_another_via_is_dropped() -> None:
    assert dropped("bcast").layer.counts.stray_responses == 1


def test_3_3_11_zeromf_options_at_the_last_hop_is_answered() -> None:
    assert accepted("zeromf").max_forwards == 0


def test_3_3_12_cparam01_a_parameter_of_the_header() -> None:
    (contact,) = accepted("cparam01").contacts
    assert contact.params == {"unknownparam": None}
    assert str(contact.uri) == "sip:+19725552222@gw1.example.net"


def test_3_3_13_cparam02_a_parameter_of_the_uri() -> None:
    (contact,) = accepted("cparam02").contacts
    assert contact.params == {}
    assert str(contact.uri) == "sip:+19725552222@gw1.example.net;unknownparam"


def test_3_3_14_regescrt_headers_in_a_contact_are_kept() -> None:
    (contact,) = accepted("regescrt").contacts
    assert isinstance(contact.uri, SipUri)
    assert contact.uri.headers == "Route=%3Csip:sip.example.com%3E"


# 3.4 Backward compatibility


def test_3_4_1_inv2543_a_request_of_rfc_2543() -> None:
    bench = Bench()
    (event,) = bench.receive(wire("inv2543"), SENDER)
    assert isinstance(event, RequestReceived)
    assert event.request.from_tag is None
    assert event.request.top_via.branch is None
    assert event.request.body.startswith(b"v=0")
    assert bench.receive(wire("inv2543"), SENDER) == []
    assert bench.layer.server_count == 1


VALID = (
    "wsinv intmeth esc01 escnull esc02 lwsdisp longreq semiuri transports mpart01 unreason noreason inv2543 "
    "cparam01 cparam02 regescrt"
)


@pytest.mark.parametrize("name", VALID.split())
def test_what_is_valid_survives_being_written_and_read(name: str) -> None:
    once = parse_message(wire(name))
    again = parse_message(serialize(once))
    once.headers.remove("Content-Length")
    again.headers.remove("Content-Length")
    assert again == once
