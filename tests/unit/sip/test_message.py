import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.headers import Via
from sidestream.sip.message import Headers, Request, Response, header_key


def test_compact_and_odd_spellings_are_one_name() -> None:
    for name in ("v", "V", "Via", "via", "VIA", "vIA"):
        assert header_key(name) == ("via", "Via")
    assert header_key("X-Mine") == ("x-mine", "X-Mine")


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        ("i", "Call-ID"),
        ("m", "Contact"),
        ("e", "Content-Encoding"),
        ("l", "Content-Length"),
        ("c", "Content-Type"),
        ("f", "From"),
        ("s", "Subject"),
        ("k", "Supported"),
        ("t", "To"),
        ("v", "Via"),
        ("o", "Event"),
        ("r", "Refer-To"),
        ("b", "Referred-By"),
        ("x", "Session-Expires"),
        ("y", "Identity"),
        ("u", "Allow-Events"),
    ],
)
def test_each_compact_form(compact: str, name: str) -> None:
    assert header_key(compact)[1] == name


def test_headers_are_an_ordered_multimap() -> None:
    headers = Headers([("X-A", "1"), ("X-B", "2"), ("x-a", "3")])
    assert headers.get("X-a") == "1"
    assert headers.get_all("X-A") == ["1", "3"]
    assert headers.get("X-C") is None
    assert headers.count("X-A") == 2
    assert len(headers) == 3
    assert "X-B" in headers
    assert "X-C" not in headers
    assert 1 not in headers
    assert list(headers) == [("X-A", "1"), ("X-B", "2"), ("x-a", "3")]


def test_lines_are_changed_in_place() -> None:
    headers = Headers([("X-A", "1"), ("X-B", "2"), ("X-A", "3")])
    headers.set("X-A", "4")
    assert list(headers) == [("X-A", "4"), ("X-B", "2")]
    headers.prepend("X-A", "0")
    headers.set_first("X-A", "5")
    assert headers.get_all("X-A") == ["5", "4"]
    headers.remove_first("X-A")
    assert headers.get_all("X-A") == ["4"]
    headers.remove("X-A")
    headers.remove("X-A")
    headers.remove_first("X-A")
    assert list(headers) == [("X-B", "2")]
    headers.set("X-C", "1")
    headers.set_first("X-D", "2")
    assert [name for name, _ in headers] == ["X-B", "X-C", "X-D"]


@pytest.mark.parametrize(
    ("name", "value"), [("A", "x\r\nB: y"), ("A", "x\ny"), ("A B", "x"), ("", "x"), ("A:", "x")]
)
def test_what_would_forge_lines_is_refused(name: str, value: str) -> None:
    headers = Headers()
    for change in (headers.add, headers.prepend, headers.set, headers.set_first):
        with pytest.raises(ValueError, match="not a header line"):
            change(name, value)
    assert len(headers) == 0


def test_a_copy_is_independent() -> None:
    headers = Headers([("A", "1")])
    other = headers.copy()
    other.add("A", "2")
    assert headers.get_all("A") == ["1"]
    assert headers != other
    assert headers == Headers([("a", "1")])
    assert not headers == "A: 1"  # noqa: SIM201 - equality itself is tried


def test_lists_are_split_over_all_lines() -> None:
    headers = Headers([("Allow", "INVITE, ACK"), ("Allow", "BYE")])
    assert headers.values("Allow") == ["INVITE", "ACK", "BYE"]


def test_typed_reads_are_kept_until_the_header_changes() -> None:
    request = Request("INVITE", "sip:a", Headers([("Max-Forwards", "70"), ("CSeq", "1 INVITE")]))
    assert request.cseq is request.cseq
    assert hops(request) == 70
    request.headers.set("Max-Forwards", "5")
    assert hops(request) == 5
    request.headers.set_first("Max-Forwards", "6")
    assert hops(request) == 6
    request.headers.remove("Max-Forwards")
    assert hops(request) is None
    request.headers.append_wire("Max-Forwards", "9")
    assert hops(request) == 9
    request.headers.extend_wire([("Max-Forwards", "8 ")])
    assert request.headers.get_all("Max-Forwards") == ["9", "8"]


def hops(request: Request) -> int | None:
    return request.max_forwards


def test_a_failed_read_is_not_kept() -> None:
    request = Request("INVITE", "sip:a", Headers([("CSeq", "x")]))
    with pytest.raises(ParseError):
        _ = request.cseq
    request.headers.set("CSeq", "1 INVITE")
    assert request.cseq.number == 1


def test_a_star_is_no_contact() -> None:
    request = Request("REGISTER", "sip:a", Headers([("Contact", "*"), ("Contact", "<sip:b>, <sip:c>")]))
    assert [str(contact) for contact in request.contacts] == ["<sip:b>", "<sip:c>"]


@pytest.mark.parametrize("name", ["call_id", "cseq", "from_", "to", "vias", "top_via"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ParseError, match="400 Missing"):
        getattr(Response(200, "OK"), name)


def test_the_topmost_via_is_replaced_and_the_rest_of_its_line_kept() -> None:
    request = Request(
        "INVITE", "sip:a", Headers([("Via", "SIP/2.0/UDP a;x=1, SIP/2.0/UDP b"), ("Via", "SIP/2.0/UDP c")])
    )
    request.replace_top_via(Via("TCP", "d"))
    assert [via.host for via in request.vias] == ["d", "b", "c"]
    assert request.headers.count("Via") == 2


def test_content_type_is_lower_cased_and_bare() -> None:
    assert Request("INFO", "sip:a", Headers([("c", "Application/SDP;x=1")])).content_type == "application/sdp"
    assert Request("INFO", "sip:a").content_type is None


def test_copies_of_messages_are_independent() -> None:
    for message in (Request("INFO", "sip:a"), Response(200, "OK")):
        other = message.copy()
        assert other == message
        other.headers.add("A", "1")
        assert other != message
