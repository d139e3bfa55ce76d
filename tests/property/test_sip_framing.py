"""A TCP stream: however it is cut into reads, the same comes out, and it stays bounded."""

from hypothesis import given
from hypothesis import strategies as st

from sidestream.sip.framing import PING, Framed, FramingError, Ping, StreamFramer
from sidestream.sip.message import Message
from sidestream.sip.serializer import serialize
from sip_strategies import messages, nearly_sip

LIMIT = 4096
things = st.lists(messages.map(serialize) | st.just(PING), max_size=5)
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=30)


def in_pieces(stream: bytes, sizes: list[int]) -> list[Framed]:
    framer = StreamFramer(LIMIT)
    events: list[Framed] = []
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        events += framer.feed(stream[at : at + size])
        assert len(framer._buffer) <= LIMIT + size
        at += size
        turn += 1
    return events


def comparable(events: list[Framed]) -> list[object]:
    return [(event.status, event.reason) if isinstance(event, FramingError) else event for event in events]


@given(things, cuts)
def test_whole_messages_come_out_as_they_were(stream: list[bytes], sizes: list[int]) -> None:
    expected = [Ping() if thing == PING else thing for thing in stream]
    assert in_pieces(b"".join(stream), sizes) == expected


@given(things, nearly_sip | st.binary(max_size=200), things, cuts)
def test_any_split_gives_the_same_events(
    before: list[bytes], junk: bytes, after: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join([*before, junk, *after])
    assert comparable(in_pieces(stream, sizes)) == comparable(StreamFramer(LIMIT).feed(stream))


@given(nearly_sip, cuts)
def test_an_error_is_the_last_event(stream: bytes, sizes: list[int]) -> None:
    events = in_pieces(stream * 3, sizes)
    errors = [index for index, event in enumerate(events) if isinstance(event, FramingError)]
    assert errors in ([], [len(events) - 1])


@given(messages, st.integers(0, 400))
def test_a_truncated_message_is_waited_for(message: Message, kept: int) -> None:
    wire = serialize(message)
    framer = StreamFramer(LIMIT)
    assert framer.feed(wire[: min(kept, len(wire) - 1)]) == []
    assert framer.mid_message == (kept > 0)
