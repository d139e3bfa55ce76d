"""What a UAS checks before its user sees a request (RFC 3261 §8.2), and requests that cannot be read."""

import pytest

from sidestream.sip.builder import response_to
from sidestream.sip.events import AckReceived, RequestReceived
from sidestream.sip.message import Request
from sidestream.sip.serializer import serialize
from sip_script import PEER, PEER_TCP, SDP, TO_PEER, Bench, ack, cancel, outbound, reply, request


def with_body(kind: str | None, body: bytes = SDP, method: str = "INVITE", **changes: str | None) -> Request:
    made = request(method, Content_Type=kind, **changes)
    made.body = body
    return made


def changed(before: str, after: str, method: str = "OPTIONS") -> bytes:
    """A peer's request on the wire with one text replaced."""
    wire = serialize(request(method)).decode()
    assert before in wire
    return wire.replace(before, after).encode("utf-8", "surrogateescape")


def test_section_8_2_1_a_known_method_that_is_not_allowed_gets_405_with_allow() -> None:
    refusal = Bench(methods=frozenset({"INVITE", "BYE"})).refused(request("SUBSCRIBE"))
    assert refusal.status == 405
    assert refusal.headers.values("Allow") == ["ACK", "BYE", "CANCEL", "INVITE"]


def test_section_21_5_2_an_unknown_method_gets_501() -> None:
    assert Bench().refused(request("FROBNICATE")).status == 501


def test_section_7_1_methods_are_case_sensitive() -> None:
    assert Bench().refused(request("invite")).status == 501


def test_section_8_2_2_1_an_unknown_scheme_gets_416() -> None:
    made = request("OPTIONS")
    made.uri = "http://192.0.2.1/"
    assert Bench().refused(made).status == 416


def test_section_8_2_2_1_tel_is_taken() -> None:
    made = request("OPTIONS")
    made.uri = "tel:+15550100"
    Bench().request(made)


def test_section_26_2_2_sips_gets_416_and_is_never_weakened_to_sip() -> None:
    made = request()
    made.uri = "sips:bob@192.0.2.1"
    assert Bench().refused(made).status == 416


def test_section_19_1_1_headers_in_the_request_uri_are_refused() -> None:
    made = request("OPTIONS")
    made.uri = "sip:bob@192.0.2.1?Subject=x"
    assert Bench().refused(made).status == 400


def test_section_8_2_2_2_a_merged_request_gets_482() -> None:
    bench = Bench()
    bench.request(request())
    other_path = request(Via="SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKotherpath")
    refusal = bench.refused(other_path)
    assert (refusal.status, refusal.reason) == (482, "Merged Request")


def test_section_8_2_2_2_requests_inside_a_dialog_are_never_merged() -> None:
    bench = Bench()
    bench.request(request("INFO", To="<sip:bob@192.0.2.1>;tag=ours"))
    via = "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKotherpath"
    bench.request(request("INFO", To="<sip:bob@192.0.2.1>;tag=ours", Via=via))


def test_section_8_2_2_2_after_the_transaction_the_same_request_is_new() -> None:
    bench = Bench()
    event = bench.request(request("OPTIONS"))
    bench.answer(event, 200)
    bench.advance(32.0)
    bench.sent()
    bench.request(request("OPTIONS", Via="SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKotherpath"))


def test_section_8_2_2_3_an_unknown_option_gets_420_with_unsupported() -> None:
    refusal = Bench().refused(request(Require="timer, magic, 100rel, spell"))
    assert refusal.status == 420
    assert refusal.headers.values("Unsupported") == ["magic", "spell"]


def test_section_8_2_2_3_options_are_compared_without_case() -> None:
    Bench().request(request(Require="Timer"))


def test_section_8_2_2_3_require_is_ignored_in_ack_and_cancel() -> None:
    bench = Bench()
    invite = request()
    bench.answer(bench.request(invite), 180)
    bench.sent()
    abandoned = cancel(invite)
    abandoned.headers.add("Require", "magic")
    assert len(bench.receive(abandoned)) == 1
    acknowledged = ack(invite, response_to(invite, 200, to_tag="ours"), branch="z9hG4bKack")
    acknowledged.headers.add("Require", "magic")
    (event,) = bench.receive(acknowledged)
    assert isinstance(event, AckReceived)


def test_section_8_2_3_a_body_that_is_not_understood_gets_415_with_accept() -> None:
    refusal = Bench().refused(with_body("application/xml"))
    assert refusal.status == 415
    assert refusal.headers.values("Accept") == ["application/sdp", "multipart/*"]


def test_section_8_2_3_an_encoded_body_gets_415_with_accept_encoding() -> None:
    refusal = Bench().refused(with_body("application/sdp", Content_Encoding="gzip"))
    assert refusal.status == 415
    assert refusal.headers.get("Accept-Encoding") == "identity"


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("application/sdp", {}),
        ("Application/SDP;charset=utf-8", {}),
        ("multipart/mixed;boundary=x", {}),
        (None, {}),
        ("application/sdp", {"Content-Encoding": "identity"}),
        ("application/xml", {"Content-Disposition": "render;handling=optional"}),
    ],
)
def test_section_8_2_3_bodies_that_pass(kind: str | None, extra: dict[str, str]) -> None:
    made = with_body(kind)
    for name, value in extra.items():
        made.headers.add(name, value)
    Bench().request(made)


def test_section_8_2_3_a_body_without_a_rule_is_for_the_user_to_judge() -> None:
    Bench().request(with_body("application/dtmf-relay", b"Signal=1\r\n", method="INFO"))


@pytest.mark.parametrize("accept", ["text/plain", "text/plain, text/html", ""])
def test_section_20_1_who_takes_no_session_descriptions_gets_406(accept: str) -> None:
    assert Bench().refused(request(Accept=accept)).status == 406


@pytest.mark.parametrize(
    "accept", ["application/sdp", "text/plain, Application/SDP;level=1", "*/*", "application/*"]
)
def test_section_20_1_who_takes_session_descriptions_passes(accept: str) -> None:
    Bench().request(request(Accept=accept))


def test_section_16_3_no_forwards_left_gets_483() -> None:
    assert Bench().refused(request(Max_Forwards="0")).status == 483


@pytest.mark.parametrize("method", ["OPTIONS", "BYE"])
def test_section_16_3_what_only_asks_or_ends_is_not_refused_at_the_last_hop(method: str) -> None:
    Bench().request(request(method, Max_Forwards="0"))


def test_section_8_1_1_6_without_max_forwards_a_request_is_of_rfc_2543_and_passes() -> None:
    assert Bench().request(request(Max_Forwards=None)).request.max_forwards is None


@pytest.mark.parametrize("name", ["Call-ID", "CSeq", "From", "To"])
def test_section_8_1_1_a_missing_header_gets_400_that_names_it(name: str) -> None:
    made = request("OPTIONS")
    made.headers.remove(name)
    refusal = Bench().refused(made)
    assert (refusal.status, refusal.reason) == (400, f"Missing {name}")


def test_section_8_1_1_without_via_nothing_can_be_answered() -> None:
    bench = Bench()
    assert bench.receive(request("OPTIONS", Via=None)) == []
    assert bench.sent() == []
    assert bench.layer.counts.malformed == 1


@pytest.mark.parametrize(
    "name",
    ["Call-ID", "CSeq", "From", "To", "Max-Forwards", "Content-Type", "Date", "Expires", "Session-Expires"],
)
def test_section_7_3_1_what_may_stand_once_may_not_stand_twice(name: str) -> None:
    made = request("OPTIONS")
    value = made.headers.get(name) or "1"
    made.headers.remove(name)
    made.headers.add(name, value)
    made.headers.add(name, value)
    refusal = Bench().refused(made)
    assert (refusal.status, refusal.reason) == (400, f"Repeated {name}")


MALFORMED = [
    ("CSeq: 1 OPTIONS", "CSeq: 1 BYE", 400, "CSeq method mismatch"),
    ("CSeq: 1 OPTIONS", "CSeq: -1 OPTIONS", 400, "Invalid CSeq"),
    ("CSeq: 1 OPTIONS", "CSeq: 2147483648 OPTIONS", 400, "Invalid CSeq"),
    ("CSeq: 1 OPTIONS", "CSeq: OPTIONS", 400, "Invalid CSeq"),
    ("CSeq: 1 OPTIONS", "CSeq: 1 OPT IONS", 400, "Invalid CSeq"),
    ("CSeq: 1 OPTIONS", "CSeq: \u0661 OPTIONS", 400, "Invalid CSeq"),
    ("Max-Forwards: 70", "Max-Forwards: 256", 400, "Invalid Max-Forwards"),
    ("Max-Forwards: 70", "Max-Forwards: many", 400, "Invalid Max-Forwards"),
    ("Content-Length: 0", "Content-Length: -1", 400, "Invalid Content-Length"),
    ("Content-Length: 0", "Content-Length: 0\r\nl: 1", 400, "Conflicting Content-Length"),
    ("Content-Length: 0", "Content-Length: 0\r\nl: 0", 400, "Repeated Content-Length"),
    ("Content-Length: 0", "Content-Length: 1", 400, "Content-Length exceeds the body"),
    ("Content-Length: 0", "Content-Length: 99999999", 513, "Message Too Large"),
    ("From: Alice ", "From: Alice, B ", 400, "Invalid From display name"),
    (";tag=theirs", ";tag=", 400, "Invalid From parameter"),
    (";tag=theirs", ";tag=a b", 400, "Invalid From parameter"),
    (";tag=theirs", ";tag=a;tag=b", 400, "Repeated From parameter"),
    ("<sip:bob@192.0.2.1>", "<sip:bob@192.0.2.1", 400, "Invalid To"),
    ("<sip:bob@192.0.2.1>", "<sip:b b@192.0.2.1>", 400, "Invalid URI user"),
    ("<sip:alice@192.0.2.9:5090>", "<sip:alice@192.0.2.9:65536>", 400, "Invalid URI port"),
    ("Call-ID: call1@192.0.2.9", "Call-ID: two words", 400, "Invalid Call-ID"),
    ("Call-ID: call1@192.0.2.9", "Call-ID:", 400, "Missing Call-ID"),
    ("Call-ID: call1@192.0.2.9", "Call-ID", 400, "Invalid header line"),
    ("Call-ID: call1@192.0.2.9", "Call-ID: a\r\nNo name: b", 400, "Invalid header line"),
    ("Call-ID: call1@192.0.2.9", "Call-ID: a\nX: b", 400, "Bare CR or LF"),
    ("Call-ID: call1@192.0.2.9", "Call-ID: a\rX: b", 400, "Bare CR or LF"),
    ("Call-ID: call1@192.0.2.9", "Record-Route: <tel:1>\r\nCall-ID: a", 400, "Invalid Record-Route scheme"),
    ("Call-ID: call1@192.0.2.9", 'Route: <sip:a>, "\r\nCall-ID: a', 400, "Unbalanced quote or bracket"),
    ("Call-ID: call1@192.0.2.9", 'Require: "\r\nCall-ID: a', 420, "Bad Extension"),
    ("Call-ID: call1@192.0.2.9", 'Require: ",\r\nCall-ID: a', 400, "Unbalanced quote or bracket"),
    ("5090;branch", "5090 x;branch", 400, "Invalid Via port"),
    ("UDP 192.0.2.9:5090", "UDP 192.0.2.9:x", 400, "Invalid Via port"),
    ("UDP 192.0.2.9:5090", "UDP [2001:db8::g]:5060", 400, "Invalid Via host"),
    ("SIP/2.0/UDP", "SIP/1.0/UDP", 400, "Invalid Via"),
    ("OPTIONS sip:bob@192.0.2.1 SIP/2.0", "OPTIONS sip:bob@192.0.2.1 SIP/3.0", 505, "Version Not Supported"),
    ("OPTIONS sip:bob@192.0.2.1 SIP/2.0", "OPTIONS  sip:bob@192.0.2.1 SIP/2.0", 400, "Invalid Request-URI"),
    ("OPTIONS sip:bob@192.0.2.1 SIP/2.0", "OPTIONS sip:bob@192.0.2.1", 400, "Invalid request line"),
    ("OPTIONS sip:bob@192.0.2.1 SIP/2.0", "OPTIONS sip:bob@ SIP/2.0", 400, "Invalid Request-URI"),
    ("sip:bob@192.0.2.1 SIP", f"sip:{'b' * 9000}@192.0.2.1 SIP", 414, "Request-URI Too Long"),
    ("Max-Forwards: 70", "X: " + "x" * 9000 + "\r\nMax-Forwards: 70", 400, "Header line too long"),
    ("Max-Forwards: 70", "X: x\r\n" * 300 + "Max-Forwards: 70", 400, "Too many headers"),
]


@pytest.mark.parametrize(
    ("before", "after", "status", "reason"), MALFORMED, ids=lambda value: str(value)[:40]
)
def test_section_8_2_what_is_malformed_is_refused_and_named(
    before: str, after: str, status: int, reason: str
) -> None:
    refusal = Bench().refused(changed(before, after))
    assert (refusal.status, refusal.reason) == (status, reason)


def test_a_message_without_an_end_of_headers_is_refused() -> None:
    refusal = Bench().refused(serialize(request("OPTIONS"))[:-4])
    assert (refusal.status, refusal.reason) == (400, "Missing end of headers")


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"\0\0", b"\r\n", b""])
def test_rfc5626_4_4_keep_alives_in_datagrams_are_silent(data: bytes) -> None:
    bench = Bench()
    assert bench.receive(data) == []
    assert bench.sent() == []
    assert bench.layer.counts.malformed == 0


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01\x00\x00", b"SIP/2.0 99 x\r\n\r\n", b"\xff" * 2000]
)
def test_what_is_no_sip_is_counted_and_not_answered(data: bytes) -> None:
    bench = Bench()
    assert bench.receive(data) == []
    assert bench.sent() == []
    assert bench.layer.counts.malformed == 1


def test_a_malformed_ack_is_never_answered() -> None:
    bench = Bench()
    assert bench.receive(changed("CSeq: 1 ACK", "CSeq: x", "ACK")) == []
    assert bench.sent() == []


def test_a_malformed_response_is_dropped() -> None:
    bench = Bench()
    bench.layer.send_request(outbound("OPTIONS"), [TO_PEER], bench.now)
    (sent,) = bench.sent()
    response = reply(sent, 200)
    response.headers.set("CSeq", "x")
    assert bench.receive(response) == []
    assert bench.layer.counts.malformed == 1


def test_section_8_2_7_a_stateless_refusal_is_the_same_each_time() -> None:
    bench = Bench()
    bad = changed("CSeq: 1 OPTIONS", "CSeq: x")
    assert bench.refused(bad) == bench.refused(bad)
    assert bench.layer.server_count == 0


def test_section_8_2_6_2_a_refusal_copies_what_the_sender_needs_and_has_a_tag() -> None:
    refusal = Bench().refused(request("SUBSCRIBE"))
    sent = request("SUBSCRIBE")
    for name in ("From", "Call-ID", "CSeq"):
        assert refusal.headers.get_all(name) == sent.headers.get_all(name)
    assert refusal.to_tag


def test_a_refused_request_that_comes_again_is_answered_again_by_its_transaction() -> None:
    bench = Bench()
    first = bench.refused(request("SUBSCRIBE"))
    assert bench.refused(request("SUBSCRIBE")) == first
    assert bench.layer.server_count == 1


def test_overload_refuses_new_calls_first_and_all_requests_at_twice_the_limit() -> None:
    bench = Bench(max_transactions=2)
    for number in range(2):
        via = f"SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK{number}"
        bench.request(request("OPTIONS", Via=via, CSeq=f"{number} OPTIONS"))
    refusal = bench.refused(request())
    assert refusal.status == 503
    assert refusal.headers.get("Retry-After") == "5"
    inside = "<sip:bob@192.0.2.1>;tag=ours"
    for number in range(2, 4):
        via = f"SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK{number}"
        bench.request(request("BYE", Via=via, To=inside, CSeq=f"{number} BYE"))
    via = "SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bKlast"
    assert bench.refused(request("BYE", Via=via, To=inside, CSeq="9 BYE")).status == 503
    assert bench.layer.counts.overload == 2


def test_overload_does_not_keep_calls_from_being_cancelled() -> None:
    bench = Bench(max_transactions=1)
    bench.answer(bench.request(request()), 180)
    assert len(bench.receive(cancel(request()))) == 1


def test_a_request_over_tcp_is_answered_over_its_connection() -> None:
    bench = Bench()
    bench.receive(request("SUBSCRIBE"), PEER_TCP)
    (outgoing,) = bench.sent_raw()
    assert outgoing.hop.flow == PEER_TCP.flow


def test_what_reaches_the_user_is_validated() -> None:
    (event,) = Bench().receive(serialize(request()), PEER)
    assert isinstance(event, RequestReceived)
    received = event.request
    assert received.cseq.method == "INVITE"
    assert received.from_tag == "theirs"
    assert received.contacts[0].params == {}
