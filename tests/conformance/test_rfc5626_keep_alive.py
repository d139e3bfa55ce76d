"""Keep-alives on connections: RFC 5626 §3.5.1 and §4.4.1."""

import pytest

from sidestream.sip.framing import PING, PONG, Ping, Pong, StreamFramer
from sidestream.sip.serializer import serialize
from sip_script import request

MESSAGE = serialize(request("OPTIONS"))


def test_section_3_5_1_a_double_crlf_is_a_ping() -> None:
    assert StreamFramer().feed(PING) == [Ping()]


def test_section_3_5_1_a_ping_is_answered_by_a_single_crlf() -> None:
    assert PONG == b"\r\n"


@pytest.mark.parametrize("split", range(1, len(PING)))
def test_section_3_5_1_a_ping_may_come_in_pieces(split: int) -> None:
    framer = StreamFramer()
    assert framer.feed(PING[:split]) + framer.feed(PING[split:]) == [Ping()]


def test_section_3_5_1_pings_stand_between_messages_only() -> None:
    body = serialize(request("MESSAGE")).replace(b"Content-Length: 0", b"Content-Length: 4") + PING
    assert StreamFramer().feed(MESSAGE + PING + body + PING) == [MESSAGE, Ping(), body, Ping()]


def test_section_4_4_1_a_pong_is_told_at_once_to_whom_it_is_owed() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert framer.feed(PONG) == [Pong()]


def test_section_4_4_1_a_pong_before_a_message() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert framer.feed(PONG + MESSAGE) == [Pong(), MESSAGE]


def test_section_4_4_1_a_pong_and_the_peers_own_ping() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert framer.feed(PONG + PING) == [Pong(), Ping()]


def test_rfc3261_section_7_5_other_line_breaks_before_a_message_are_ignored() -> None:
    assert StreamFramer().feed(b"\r\n" + MESSAGE) == [MESSAGE]
