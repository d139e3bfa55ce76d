"""Bodies with SDP and metadata, in the forms that recorders send."""

import pytest

from sidestream.errors import RemoteError
from sidestream.sip.message import Headers, Request
from sidestream.siprec.body import MetadataType, make_body, read_body, read_or_none
from sidestream.siprec.errors import RecordingBodyError
from siprec_script import described, tokens

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
XML = b"<recording/>"


def message(content_type: str | None, body: bytes, *headers: tuple[str, str]) -> Request:
    request = Request("INVITE", "sip:a@b", Headers(headers), body)
    if content_type is not None:
        request.headers.add("Content-Type", content_type)
    return request


def multipart(*parts: tuple[str, bytes], boundary: str = "b") -> bytes:
    chunks = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join(chunks) + f"--{boundary}--\r\n".encode()


@pytest.mark.parametrize("kind", MetadataType)
def test_both_parts_are_made_and_read_back(kind: MetadataType) -> None:
    made = make_body(described(SDP), XML, kind, tokens())
    assert made is not None
    request = message(None, b"")
    made.put_on(request)
    assert request.content_type == "multipart/mixed"
    read = read_body(request)
    assert (read.description, read.metadata) == (described(SDP), XML)
    # The line end before a boundary is the boundary's: SDP keeps its own (RFC 2046 section 5.1.1).
    assert b"RTP/AVP 8\r\n\r\n--" in request.body
    assert (
        f"Content-Type: {kind.value}\r\nContent-Disposition: recording-session\r\n".encode() in request.body
    )


def test_one_part_needs_no_container() -> None:
    alone = make_body(None, XML, MetadataType.XML, tokens())
    assert alone is not None
    assert (alone.content_type, alone.disposition) == ("application/rs-metadata+xml", "recording-session")
    sdp = make_body(described(SDP), None, MetadataType.XML, tokens())
    assert sdp is not None
    assert (sdp.content_type, sdp.disposition) == ("application/sdp", None)
    assert make_body(None, None, MetadataType.XML, tokens()) is None


def test_a_boundary_is_in_neither_part() -> None:
    draws = iter(["x", "y"])
    made = make_body(described(SDP), b"<rsx/>", MetadataType.XML, lambda: next(draws))
    assert made is not None
    assert made.content_type == "multipart/mixed;boundary=rsy"
    with pytest.raises(ValueError, match="random"):
        make_body(described(SDP), b"<rsx/>", MetadataType.XML, lambda: "x")


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/mixed; boundary="a b"', "a b"),
        ("Multipart/Mixed ;\tboundary=b", "b"),
        ("multipart/mixed;charset=utf-8; boundary=b", "b"),
    ],
)
def test_boundaries_are_read_in_all_their_spellings(content_type: str, boundary: str) -> None:
    body = multipart(
        ("Content-Type: application/rs-metadata", XML),
        ("Content-Type: application/gtd\r\nContent-Length: 2", b"GT"),
        ("Content-Disposition: session;handling=required\r\nContent-Type: application/sdp", SDP),
        boundary=boundary,
    )
    read = read_body(message(content_type, body))
    assert (read.description, read.metadata) == (described(SDP), XML)


def test_a_body_without_type_is_sdp_and_none_is_none() -> None:
    assert read_body(message(None, SDP)).description == described(SDP)
    assert read_body(message("application/sdp", b"")).description is None
    assert read_body(message("application/rs-metadata-request", XML)).metadata == XML


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (message("text/plain", b"hello"), 415),
        (message("application/sdp", SDP, ("Content-Encoding", "gzip")), 415),
        (message("multipart/mixed", b"--b"), 400),
        (message("multipart/mixed;boundary=b", b"--b\r\n"), 400),
        (
            message(
                "multipart/mixed;boundary=b",
                multipart(("Content-Type: image/png\r\nContent-Disposition: icon;handling=required", b"x")),
            ),
            415,
        ),
    ],
)
def test_what_cannot_be_handled_says_how_to_answer(request_: Request, status: int) -> None:
    with pytest.raises(RecordingBodyError) as caught:
        read_body(request_)
    assert caught.value.sip_status == status
    assert read_or_none(request_).description is None


def test_malformed_sdp_is_an_error_of_the_peer() -> None:
    with pytest.raises(RemoteError):
        read_body(message("application/sdp", b"v=1\r\n"))
