import pytest

from sidestream.sip.framing import PING, PONG, Framed, FramingError, Ping, Pong, StreamFramer
from sidestream.sip.message import Request

HEAD = b"OPTIONS sip:gw@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1\r\n"


def message(body: bytes = b"", length: bytes | None = None) -> bytes:
    declared = str(len(body)).encode() if length is None else length
    return HEAD + b"Content-Length: " + declared + b"\r\n\r\n" + body


def refused(stream: bytes, limit: int = 65536) -> FramingError:
    framer = StreamFramer(limit)
    events = framer.feed(stream)
    assert framer.broken
    assert isinstance(events[-1], FramingError)
    return events[-1]


def test_messages_are_cut_by_content_length() -> None:
    first, second = message(b"body\r\n\r\nmore"), message()
    assert StreamFramer().feed(first + second) == [first, second]


def test_a_message_waits_for_its_last_byte() -> None:
    framer = StreamFramer()
    whole = message(b"body")
    for index in range(len(whole) - 1):
        assert framer.feed(whole[index : index + 1]) == []
        assert framer.mid_message
    assert framer.feed(whole[-1:]) == [whole]
    assert not framer.mid_message


def test_the_compact_and_the_folded_length_are_understood() -> None:
    compact = HEAD + b"l : 4\r\n\r\nbody"
    folded = HEAD + b"Content-Length:\r\n 4\r\n\r\nbody"
    assert StreamFramer().feed(compact + folded) == [compact, folded]


def test_a_length_inside_a_folded_line_is_text_of_that_line() -> None:
    whole = HEAD + b"Subject: a\r\n l: 9\r\nl: 4\r\n\r\nbody"
    assert StreamFramer().feed(whole) == [whole]


def test_the_same_length_twice_does_not_lose_the_framing() -> None:
    whole = HEAD + b"l: 4\r\nContent-Length: 4\r\n\r\nbody"
    assert StreamFramer().feed(whole) == [whole]


def test_two_line_breaks_between_messages_are_a_ping() -> None:
    whole = message()
    assert StreamFramer().feed(whole + PING + PING + whole) == [whole, Ping(), Ping(), whole]


def test_a_ping_in_two_halves_is_one_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == []
    assert not framer.mid_message
    assert framer.feed(b"\r") == []
    assert framer.feed(b"\n") == [Ping()]


def test_one_line_break_before_a_message_means_nothing() -> None:
    whole = message()
    assert StreamFramer().feed(b"\r\n" + whole) == [whole]
    assert StreamFramer().feed(b"\n" + whole) == [whole]


def test_an_expected_pong_is_told_at_once_and_only_once() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert framer.feed(b"\r") == []
    assert framer.feed(b"\n") == [Pong()]
    assert framer.feed(PING) == [Ping()]


def test_the_answer_to_a_ping_is_one_line_break() -> None:
    far = StreamFramer()
    far.expect_pong()
    assert far.feed(PONG) == [Pong()]


def test_a_message_without_length_ends_the_framing_and_can_be_answered() -> None:
    framer = StreamFramer()
    events: list[Framed] = framer.feed(message() + HEAD + b"\r\n")
    assert events[0] == message()
    error = events[1]
    assert isinstance(error, FramingError)
    assert (error.status, error.reason) == (400, "Missing Content-Length")
    assert isinstance(error.partial, Request)
    assert error.partial.top_via.branch == "z9hG4bK1"
    assert framer.feed(message()) == []


def test_lengths_that_say_nothing_are_refused() -> None:
    for length in (b"-1", b"+4", b"four", b"", b"4, 4", b"4 4", "٤".encode()):
        assert refused(message(b"body", length)).reason == "Invalid Content-Length"
    conflict = HEAD + b"l: 4\r\nContent-Length: 5\r\n\r\nbodyx"
    assert refused(conflict).reason == "Conflicting Content-Length"


def test_what_is_too_large_is_refused_before_it_has_arrived() -> None:
    assert refused(message(b"", b"65536")).status == 513
    assert refused(message(b"", b"9" * 400)).status == 513
    assert refused(HEAD + b"X: " + b"x" * 65536).status == 513
    assert refused(message(b"x" * 100), limit=200).status == 513


def test_a_message_of_exactly_the_limit_passes() -> None:
    whole = message(b"x" * 100)
    assert StreamFramer(len(whole)).feed(whole) == [whole]
    assert refused(whole, limit=len(whole) - 1).status == 513


def test_what_is_no_sip_is_refused_at_its_first_byte() -> None:
    assert refused(b"\x16").reason == "Not SIP"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("junk", [b" ", b"\r\n ", b"l", b"\r\nl: ", b"\r\nl:\r\n ", b"\r", b"\n", b":"])
def test_hostile_repetition_takes_time_in_proportion(junk: bytes) -> None:
    many = junk * (60_000 // len(junk))
    for start in (b"A", b"A\r\nl: 1", b"A\r\nl"):
        events = StreamFramer().feed(start + many + b"x\r\n\r\n")
        assert events
        assert len(events) < 3


def test_one_byte_at_a_time_takes_time_in_proportion() -> None:
    framer = StreamFramer()
    whole = HEAD + b"X: " + b"x" * 50_000 + b"\r\nl: 0\r\n\r\n"
    assert [event for byte in whole for event in framer.feed(bytes([byte]))] == [whole]
