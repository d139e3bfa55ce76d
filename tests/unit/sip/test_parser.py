import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request, Response
from sidestream.sip.parser import MAX_MESSAGE, parse_message, salvage, validate, validate_request

HEAD = (
    b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
)


def parsed(extra: bytes = b"", body: bytes = b"") -> Request:
    message = parse_message(HEAD + extra + b"\r\n" + body)
    assert isinstance(message, Request)
    return message


def test_a_request() -> None:
    request = parsed(b"l: 4\r\n", b"bodyxxx")
    assert (request.method, request.uri, request.body) == ("INVITE", "sip:bob@192.0.2.1", b"body")
    validate_request(request)


def test_a_response() -> None:
    message = parse_message(b"sip/2.0 180 Ringing now\r\nVia: SIP/2.0/UDP h\r\n\r\n")
    assert message == Response(180, "Ringing now", message.headers)
    bare = parse_message(b"SIP/2.0 180\r\nVia: SIP/2.0/UDP h\r\n\r\n")
    assert isinstance(bare, Response)
    assert bare.reason == ""


@pytest.mark.parametrize(
    "line", [b"SIP/2.0 99 x", b"SIP/2.0 700 x", b"SIP/2.0 2000 x", b"SIP/3.0 200 OK", b"SIP/2.0"]
)
def test_status_lines_that_are_refused(line: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_message(line + b"\r\nA: b\r\n\r\n")
    assert caught.value.partial is None


def test_without_length_the_rest_of_the_datagram_is_the_body() -> None:
    assert parsed(body=b"all of it").body == b"all of it"


def test_line_breaks_before_a_message_are_ignored() -> None:
    assert parse_message(b"\r\n\r\n" + HEAD + b"\r\n") == parsed()


def test_folded_lines_become_one() -> None:
    request = parsed(b"Subject: I know\r\n  you're there,\r\n\tpick up\r\n")
    assert request.headers.get("Subject") == "I know you're there, pick up"


def test_white_space_around_the_colon_and_after_the_value_is_dropped() -> None:
    assert parsed(b"Subject \t:\t x y \t\r\n").headers.get("Subject") == "x y"


def test_a_folded_start_line_is_refused() -> None:
    with pytest.raises(ParseError, match="Folded start line"):
        parse_message(b"INVITE sip:a SIP/2.0\r\n x: y\r\n\r\n")


def test_utf_8_is_kept_and_what_is_none_is_read_as_latin_1_line_by_line() -> None:
    request = parsed("Subject: Grüße\r\n".encode() + "Organization: Bäcker\r\n".encode("latin-1"))
    assert request.headers.get("Subject") == "Grüße"
    assert request.headers.get("Organization") == "Bäcker"


def test_a_refused_request_can_be_answered() -> None:
    with pytest.raises(ParseError) as caught:
        parsed(b"no colon\r\n")
    assert caught.value.partial is not None
    assert caught.value.partial.call_id == "c"


def test_the_limits() -> None:
    for extra, status in (
        (b"A: " + b"x" * 8190 + b"\r\n", 400),
        (b"A: b\r\n" * 300, 400),
        (b"Content-Length: 65537\r\n", 513),
        (b"Content-Length: " + b"9" * 1000 + b"\r\n", 513),
    ):
        with pytest.raises(ParseError) as caught:
            parsed(extra)
        assert caught.value.status == status
        assert caught.value.partial is not None
    with pytest.raises(ParseError, match="513"):
        parse_message(b"x" * (MAX_MESSAGE + 1))


def test_a_message_of_the_largest_size_is_read() -> None:
    body = b"x" * (MAX_MESSAGE - len(HEAD) - 2)
    assert parsed(body=body).body == body


def test_validation_names_what_is_wrong() -> None:
    request = parsed()
    request.headers.remove("To")
    with pytest.raises(ParseError, match="400 Missing To") as caught:
        validate(request)
    assert caught.value.partial is request
    response = parse_message(b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n")
    with pytest.raises(ParseError) as caught:
        validate(response)
    assert caught.value.partial is None


def test_salvage_takes_what_it_can() -> None:
    partial = salvage(
        b"INVITE sip:a SIP/2.0\nVia: SIP/2.0/UDP h\r\n ;branch=x\nbroken\nCall-ID: c\n\nbody: x"
    )
    assert partial is not None
    assert partial.top_via.branch == "x"
    assert partial.call_id == "c"
    assert "body" not in partial.headers
    assert salvage(b"SIP/2.0 200 OK\r\nVia: x") is None
    assert salvage(b"") is None
    assert salvage(b"\xff\xfe") is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "junk", [b" ", b"\r\n ", b"a", b":", b"\t\r\n\t", b'"', b"<", b",", b";", b"a,", b'"",', b"\\"]
)
def test_hostile_repetition_takes_time_in_proportion(junk: bytes) -> None:
    many = junk * (60_000 // len(junk))
    for line in (b"A" + many, b"A: x" + many + b"x", b"Via: SIP/2.0/UDP a" + many + b"b", b"m: <" + many):
        with pytest.raises(ParseError):
            validate(parse_message(b"INVITE sip:a SIP/2.0\r\n" + line + b"\r\n\r\n"))
