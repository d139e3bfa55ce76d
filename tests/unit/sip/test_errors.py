from sidestream.sip.errors import IllegalMoveError, NotRoutableError, ParseError, SipError
from sidestream.sip.framing import FramingError
from sidestream.sip.message import Request


def test_one_family() -> None:
    for error in (ParseError, IllegalMoveError, NotRoutableError, FramingError):
        assert issubclass(error, SipError)


def test_a_parse_error_says_what_to_answer_and_to_what() -> None:
    request = Request("INVITE", "sip:a")
    error = ParseError(400, "Missing To", request)
    assert (error.status, error.reason, error.partial) == (400, "Missing To", request)
    assert str(error) == "400 Missing To"
