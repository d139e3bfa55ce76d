import pytest

from sidestream.sip.message import Headers, Request, Response
from sidestream.sip.serializer import serialize


def test_content_length_is_always_right_and_last() -> None:
    request = Request("INFO", "sip:a", Headers([("l", "99"), ("X-A", "é")]), b"body")
    assert serialize(request) == "INFO sip:a SIP/2.0\r\nX-A: é\r\nContent-Length: 4\r\n\r\nbody".encode()


def test_a_response_without_a_phrase_keeps_its_space() -> None:
    assert serialize(Response(200, "")) == b"SIP/2.0 200 \r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "message", [Request("INFO", "sip:a\r\nX: y"), Response(200, "OK\nX: y"), Request("A\r\nB", "c")]
)
def test_the_start_line_cannot_be_broken(message: Request | Response) -> None:
    with pytest.raises(ValueError, match="line break"):
        serialize(message)


def test_what_is_no_character_cannot_stop_a_message() -> None:
    assert b"X-A: ?\r\n" in serialize(Request("INFO", "sip:a", Headers([("X-A", "\udcff")])))
