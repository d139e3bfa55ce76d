import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.message import Headers
from sidestream.sip.multipart import MAX_PARTS, BodyPart, build_multipart, parse_multipart

TYPE = 'multipart/mixed;boundary="b 1"'


def body(*parts: bytes, end: bytes = b"--b 1--\r\n") -> bytes:
    return b"".join(b"--b 1\r\n" + part + b"\r\n" for part in parts) + end


def test_parts_with_their_headers_and_contents() -> None:
    first, second = parse_multipart(
        TYPE,
        body(
            b"Content-Type: Application/SDP\r\nContent-Disposition: session;\r\n handling=required\r\n\r\n"
            b"v=0\r\n",
            b"\r\nplain\r\n\r\ntext",
        ),
    )
    assert (first.content_type, first.disposition, first.content) == (
        "application/sdp",
        "session",
        b"v=0\r\n",
    )
    assert first.headers.get("Content-Disposition") == "session; handling=required"
    assert (second.content_type, second.disposition, second.content) == (
        "text/plain",
        None,
        b"plain\r\n\r\ntext",
    )


def test_preamble_and_epilogue_are_dropped() -> None:
    (part,) = parse_multipart(TYPE, b"preamble\r\n" + body(b"\r\nx") + b"epilogue")
    assert part.content == b"x"


def test_a_boundary_inside_a_line_is_content() -> None:
    (part,) = parse_multipart(TYPE, body(b"\r\nx --b 1\r\n--b 12"))
    assert part.content == b"x --b 1\r\n--b 12"


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/plain", b""),
        ("multipart/mixed", body(b"\r\nx")),
        ("multipart/mixed;boundary=" + "b" * 71, body(b"\r\nx")),
        (TYPE, b""),
        (TYPE, body(b"\r\nx", end=b"")),
        (TYPE, body(b"no header end")),
        (TYPE, body(b"bad header\r\n\r\nx")),
        (TYPE, body(b"A: \xff\r\n\r\nx")),
        (TYPE, body(b"A: b\nc\r\n\r\nx")),
        (TYPE, body(*[b"\r\nx"] * (MAX_PARTS + 1))),
    ],
)
def test_bodies_that_are_refused(content_type: str, data: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_multipart(content_type, data)
    assert caught.value.status == 400


def test_the_most_parts_there_may_be() -> None:
    assert len(parse_multipart(TYPE, body(*[b"\r\nx"] * MAX_PARTS))) == MAX_PARTS


def test_what_is_built_is_read_back() -> None:
    parts = [BodyPart(Headers([("Content-Type", "text/plain")]), b"a\r\n--b"), BodyPart(Headers(), b"")]
    content_type, data = build_multipart(parts, "b 1", subtype="alternative")
    assert content_type == 'multipart/alternative;boundary="b 1"'
    assert parse_multipart(content_type, data) == parts


@pytest.mark.parametrize("boundary", ["x", "", "é".encode().decode("latin-1") + "\r"])
def test_an_unusable_boundary_is_an_error_of_the_caller(boundary: str) -> None:
    with pytest.raises(ValueError, match=r"unusable|can't encode"):
        build_multipart([BodyPart(content=b"a --x b")], boundary)
