"""SIP messages: what is written is read back, and hostile bytes have one kind of error."""

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import leading_quoted, quote, split_list, unquote
from sidestream.sip.headers import NameAddr, Via
from sidestream.sip.message import Headers, Message
from sidestream.sip.multipart import BodyPart, build_multipart, parse_multipart
from sidestream.sip.parser import parse_message, validate
from sidestream.sip.serializer import serialize
from sidestream.sip.uri import Uri, parse_uri, uris_match
from sip_script import PEER, PEER_TCP, Bench
from sip_strategies import bodies, extra_headers, messages, name_addrs, nearly_sip, texts, uris, vias

mutations = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(["cut", "set", "insert"]), st.binary(max_size=2)
    ),
    min_size=1,
    max_size=5,
)


def mutated(data: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    for place, kind, piece in changes:
        at = int(place * (len(data) + 1))
        if kind == "cut":
            data = data[:at] + data[at + 1 :]
        elif kind == "set":
            data = data[:at] + piece + data[at + len(piece) :]
        else:
            data = data[:at] + piece + data[at:]
    return data


def readable(data: bytes) -> Message | ParseError:
    """What the parser makes of it; anything else it raises fails the test."""
    try:
        message = parse_message(data)
        validate(message)
    except ParseError as error:
        return error
    return message


@given(messages)
def test_what_is_written_is_read_back(message: Message) -> None:
    assert parse_message(serialize(message)) == message


@given(messages)
def test_what_is_read_is_written_to_the_same_bytes(message: Message) -> None:
    wire = serialize(message)
    assert serialize(parse_message(wire)) == wire


@given(messages)
def test_well_formed_messages_pass_validation(message: Message) -> None:
    validate(parse_message(serialize(message)))


@given(messages, st.sampled_from([" ", "\t", " \r\n ", "\r\n\t"]))
def test_folding_and_compact_names_mean_the_same(message: Message, space: str) -> None:
    compact = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Length": "l"}
    start = serialize(message).split(b"\r\n", 1)[0]
    lines = [f"{compact.get(name, name)} :{space}{value}".encode() for name, value in message.headers]
    assert parse_message(b"\r\n".join([start, *lines, b"", message.body])) == message


@given(st.binary(max_size=300) | nearly_sip)
@example(b"INVITE sip:a SIP/2.0\r\nVia: \xff\r\n\r\n")
def test_any_bytes_are_a_message_or_one_kind_of_error(data: bytes) -> None:
    message = readable(data)
    if isinstance(message, ParseError):
        assert 400 <= message.status < 600
        assert not {"\r", "\n"} & set(message.reason)
        return
    _ = (
        message.vias,
        message.from_,
        message.to,
        message.cseq,
        message.contacts,
        message.routes,
        message.call_id,
    )
    again = parse_message(serialize(message))
    assert again.headers.get_all("Via") == message.headers.get_all("Via")


@given(messages, mutations, st.sampled_from([PEER, PEER_TCP]))
def test_nearly_messages_never_break_the_layer(
    message: Message, changes: list[tuple[float, str, bytes]], source: object
) -> None:
    bench = Bench()
    assert source in {PEER, PEER_TCP}
    bench.receive(mutated(serialize(message), changes), PEER if source is PEER else PEER_TCP)
    for sent in bench.sent():
        validate_answer(sent)


def validate_answer(sent: Message) -> None:
    """What goes out is well formed as far as what came in was."""
    assert sent.headers.get("Via")
    assert parse_message(serialize(sent)).headers.get_all("Via") == sent.headers.get_all("Via")


@given(nearly_sip)
def test_any_bytes_never_break_the_layer(data: bytes) -> None:
    bench = Bench()
    bench.receive(data)
    bench.sent()


@given(uris)
def test_uris_are_read_back_and_match_themselves(uri: Uri) -> None:
    again = parse_uri(str(uri))
    assert again == uri
    assert uris_match(again, uri)


@given(uris, uris)
def test_uris_match_both_ways_or_not_at_all(one: Uri, other: Uri) -> None:
    assert uris_match(one, other) == uris_match(other, one)


@given(name_addrs)
def test_addresses_are_read_back(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address


@given(vias)
def test_vias_are_read_back(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(st.lists(name_addrs, max_size=4))
def test_a_comma_list_is_the_same_as_its_lines(addresses: list[NameAddr]) -> None:
    one_line = Headers([("Contact", ", ".join(map(str, addresses)))])
    lines = Headers([("Contact", str(address)) for address in addresses])
    assert one_line.values("Contact") == lines.values("Contact")


@given(texts)
def test_quoting_is_undone(text: str) -> None:
    assert unquote(quote(text)) == text
    assert leading_quoted(quote(text) + " rest") == (text, " rest")


@given(st.lists(texts.map(quote), max_size=5))
def test_quoted_elements_survive_a_list(elements: list[str]) -> None:
    assert split_list(",".join(elements)) == elements


parts = st.builds(
    BodyPart,
    headers=extra_headers.map(lambda lines: Headers([("Content-Type", "text/plain"), *lines])),
    content=bodies,
)


@given(st.lists(parts, min_size=1, max_size=4))
def test_multipart_bodies_are_read_back(made: list[BodyPart]) -> None:
    content_type, body = build_multipart(made, "a-boundary-that-no-part-has")
    assert parse_multipart(content_type, body) == made


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"\r\n", b"--b", b"--", b"x: y", b"\r\n\r\n"])).map(b"".join)
)
def test_any_body_is_parts_or_one_kind_of_error(body: bytes) -> None:
    with suppress(ParseError):
        assert len(parse_multipart("multipart/mixed;boundary=b", body)) <= 32
