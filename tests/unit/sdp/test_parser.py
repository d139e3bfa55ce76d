import pytest

from sidestream.sdp.errors import SdpParseError
from sidestream.sdp.parser import MAX_BYTES, MAX_FORMATS, MAX_LINE_BYTES, MAX_LINES, MAX_MEDIA, parse
from sidestream.sdp.serializer import serialize

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


def test_lines_that_nobody_understands_are_kept() -> None:
    data = (HEAD + "a=x-thing: 1 :2\r\nm=audio 1 RTP/AVP 0\r\nk=clear:x\r\na=\r\n").encode()
    assert serialize(parse(data)) == data


def test_bare_line_feeds_and_blank_ends_are_tolerated() -> None:
    description = parse(HEAD.replace("\r\n", "\n").encode() + b"m=audio 1 RTP/AVP 0\n\r\n\n")
    assert description == parse((HEAD + "m=audio 1 RTP/AVP 0\r\n").encode())


def test_missing_name_and_times_are_tolerated() -> None:
    assert parse(b"v=0\r\no=- 1 1 IN IP4 h\r\n").media == ()


def test_spaces_at_the_end_of_a_line_are_tolerated() -> None:
    media = parse((HEAD + "m=audio 1 RTP/AVP 0 \r\nc=IN IP4 10.0.0.1 \r\n").encode()).media[0]
    assert media.connection is not None
    assert media.connection.host == "10.0.0.1"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("", 1),
        ("\r\n", 1),
        ("o=- 1 1 IN IP4 h\r\nv=0\r\n", 1),
        ("v=1\r\no=- 1 1 IN IP4 h\r\n", 1),
        ("v=0\r\ns=-\r\n", 0),
        ("v=0\r\no=-\r\n", 2),
        ("v=0\r\no=- x 1 IN IP4 h\r\n", 2),
        ("v=0\r\no=- 1 1 XX IP4 h\r\n", 2),
        ("v=0\r\no=a b 1 1 IN IP4 h\r\n", 2),
        (HEAD + "o=- 1 1 IN IP4 h\r\n", 0),
        (HEAD + "c=IN IP4 192.0.2.1\r\n", 0),
        (HEAD + "q=what\r\n", 6),
        (HEAD + "nonsense\r\n", 6),
        (HEAD + " a=x\r\n", 6),
        (HEAD + "\r\na=x\r\n", 6),
        (HEAD + "a=x\0y\r\n", 6),
        (HEAD + "a=x\ry\r\n", 6),
        (HEAD + "b=AS\r\n", 6),
        (HEAD + "b=AS:many\r\n", 6),
        (HEAD + "m=audio\r\n", 6),
        (HEAD + "m=audio 1 RTP/AVP\r\n", 6),
        (HEAD + "m=audio -1 RTP/AVP 0\r\n", 6),
        (HEAD + "m=audio 65536 RTP/AVP 0\r\n", 6),
        (HEAD + "m=audio 1/0 RTP/AVP 0\r\n", 6),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nt=0 0\r\n", 7),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nc=IN IP4 300.1.1.1\r\n", 7),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nc=IN IP4 2001:db8::1\r\n", 7),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nc=IN IP6 2001:::1\r\n", 7),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nc=IN IP4\r\n", 7),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nc=IN IP4 -bad-\r\n", 7),
        (HEAD + "m=audio 1 RTP/AVP 0\r\nc=XX IP4 192.0.2.1\r\n", 7),
        ("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n", 0),
    ],
)
def test_malformed_descriptions_are_refused_with_400_and_their_line(data: str, line: int) -> None:
    with pytest.raises(SdpParseError) as caught:
        parse(data.encode())
    assert caught.value.sip_status == 400
    assert caught.value.line == line


def test_a_refused_section_needs_no_connection() -> None:
    assert parse(b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n").media[0].port == 0


@pytest.mark.parametrize(
    "data",
    [
        HEAD + "a=" + "x" * MAX_BYTES,
        HEAD + "a=" + "x" * MAX_LINE_BYTES,
        HEAD + "a=x\r\n" * MAX_LINES,
        HEAD + "m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        HEAD + "m=audio 1 RTP/AVP" + " 0" * (MAX_FORMATS + 1),
    ],
)
def test_limits_are_refused_with_413(data: str) -> None:
    with pytest.raises(SdpParseError) as caught:
        parse(data.encode())
    assert caught.value.sip_status == 413


def test_what_just_fits_is_taken() -> None:
    assert len(parse((HEAD + "m=audio 1 RTP/AVP 0\r\n" * MAX_MEDIA).encode()).media) == MAX_MEDIA
