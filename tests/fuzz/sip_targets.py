"""SIP as bytes: messages, streams of them, values of header fields, multipart bodies."""

from collections.abc import Callable
from contextlib import suppress

from fuzz.target import Target
from sidestream.call.body import session_or_none
from sidestream.sip.digest import Algorithm, parse_challenge, parse_credentials
from sidestream.sip.digest_client import Again, DigestClient
from sidestream.sip.digest_server import Denied, DigestServer, NonceCounts, Nonces, Realm
from sidestream.sip.errors import ParseError
from sidestream.sip.framing import FramingError, StreamFramer
from sidestream.sip.grammar import split_list
from sidestream.sip.headers import CSeq, NameAddr, Via, media_params, media_type
from sidestream.sip.message import Message, Request
from sidestream.sip.multipart import MAX_PARTS, build_multipart, parse_multipart
from sidestream.sip.parser import MAX_MESSAGE, parse_message, validate, validate_request
from sidestream.sip.serializer import serialize
from sidestream.sip.uri import parse_uri, uris_match
from sip_script import PEER, PEER_TCP, Bench, outbound, reply

_FRAMER_LIMIT = 2048


def sip_message(data: bytes) -> None:
    """A datagram is a message, the same again once it is written, or an error that says what to answer."""
    for source in (PEER, PEER_TCP):
        bench = Bench()
        bench.receive(data, source)
        bench.sent()
    try:
        message = parse_message(data)
    except ParseError as error:
        check_error(error)
        return
    wire = serialize(message)
    if len(wire) <= MAX_MESSAGE:
        assert _same(parse_message(wire), message)
        assert serialize(parse_message(wire)) == wire
    try:
        if isinstance(message, Request):
            validate_request(message)
        else:
            validate(message)
    except ParseError as error:
        check_error(error)
        return
    read_all(message)
    session_or_none(message)


def check_error(error: ParseError) -> None:
    """An error can be answered: by a failure, on one line."""
    assert 400 <= error.status < 600
    assert not {"\r", "\n"} & set(error.reason)


def read_all(message: Message) -> None:
    """No typed property of a valid message raises."""
    _ = (message.vias, message.from_tag, message.to_tag, message.cseq, message.contacts, message.routes)
    _ = (message.record_routes, message.call_id, message.content_type, message.max_forwards)
    message.replace_top_via(message.top_via.with_params(received="192.0.2.1", rport="1"))
    assert parse_message(serialize(message)).top_via == message.top_via


def _same(one: Message, other: Message) -> bool:
    """Whether two messages are the same but for Content-Length, which is always written as it is."""
    one, other = one.copy(), other.copy()
    for message in (one, other):
        message.headers.remove("Content-Length")
    return one == other


def sip_stream(data: bytes) -> None:
    """However a stream is read, the same comes out; the first bytes are the sizes of the reads."""
    sizes, stream = data[:4], data[4:]
    whole = StreamFramer(_FRAMER_LIMIT).feed(stream)
    pieces = StreamFramer(_FRAMER_LIMIT)
    found, at, turn = [], 0, 0
    while at < len(stream):
        size = max(1, sizes[turn % len(sizes)])
        found += pieces.feed(stream[at : at + size])
        assert len(pieces._buffer) <= _FRAMER_LIMIT + size
        at, turn = at + size, turn + 1
    assert list(map(_comparable, found)) == list(map(_comparable, whole))
    for event in whole:
        if isinstance(event, bytes):
            with suppress(ParseError):
                parse_message(event)


def _comparable(event: object) -> object:
    return (event.status, event.reason) if isinstance(event, FramingError) else event


def _uri(text: str) -> None:
    uri = parse_uri(text)
    assert parse_uri(str(uri)) == uri
    assert uris_match(uri, uri)
    _ = uri.number


def _two_uris(text: str) -> None:
    first, _, second = text.partition("\t")
    one, other = parse_uri(first), parse_uri(second)
    assert uris_match(one, other) == uris_match(other, one)


def _name_addr(text: str) -> None:
    address = NameAddr.parse(text)
    assert NameAddr.parse(str(address)) == address


def _via(text: str) -> None:
    via = Via.parse(text)
    assert Via.parse(str(via)) == via
    _ = (via.sent_by, via.rport, via.branch)


def _cseq(text: str) -> None:
    cseq = CSeq.parse(text)
    assert CSeq.parse(str(cseq)) == cseq


def _list(text: str) -> None:
    pieces = split_list(text)
    assert split_list(",".join(pieces)) == pieces


def _media_type(text: str) -> None:
    assert media_type(media_type(text)) == media_type(text)
    media_params(text)


_GRAMMARS: tuple[Callable[[str], None], ...] = (
    _uri, _two_uris, _name_addr, _via, _cseq, _list, _media_type,
)  # fmt: skip


def sip_value(data: bytes) -> None:
    """The value of a header field is read back from what it writes; the first byte names the grammar."""
    text = data[1:].decode("utf-8", "replace").replace("\r", "").replace("\n", "")
    try:
        _GRAMMARS[data[0] % len(_GRAMMARS) if data else 0](text)
    except ParseError as error:
        check_error(error)


def multipart(data: bytes) -> None:
    """A body is parts, the same again once joined, or one kind of error; its type is the first line."""
    kind, _, body = data.partition(b"\n")
    content_type = kind.decode("utf-8", "replace").strip("\r")
    try:
        parts = parse_multipart(content_type, body)
    except ParseError as error:
        check_error(error)
        return
    assert len(parts) <= MAX_PARTS
    _ = [(part.content_type, part.disposition) for part in parts]
    if parts and b"--unheard-of" not in body:
        assert parse_multipart(*build_multipart(parts, "unheard-of")) == parts


def digest(data: bytes) -> None:
    """A line of authentication is read back from what it writes; a challenge is answered or refused.

    The same line is also judged as the credentials of a request.
    """
    text = data.decode("utf-8", "replace").replace("\r", "").replace("\n", "")
    for parse in (parse_challenge, parse_credentials):
        try:
            found = parse(text)
        except ParseError as error:
            check_error(error)
            continue
        assert found is None or parse(str(found)) == found
    request = outbound()
    response = reply(request, 401)
    response.headers.add("WWW-Authenticate", text)
    outcome = DigestClient("u", "p", "*", lambda: "c").answer(request, response, "")
    if isinstance(outcome, Again):
        (line,) = outcome.request.headers.get_all("Authorization")
        assert parse_credentials(line) is not None
    request.headers.add("Authorization", text)
    realm = Realm("r", {"u": "p"}.get, (Algorithm.SHA_256, Algorithm.MD5))
    judged = DigestServer(Nonces(b"k", bytes), NonceCounts()).judge(request, realm, "h", 1.0)
    assert isinstance(judged, Denied)


TARGETS = (
    Target("sip_message", sip_message, "message", short_runs=1500),
    Target("sip_stream", sip_stream, "message", short_runs=4000),
    Target("sip_value", sip_value, "value", max_bytes=512, short_runs=15000),
    Target("digest", digest, "digest", max_bytes=1024, short_runs=6000),
    Target("multipart", multipart, "multipart", max_bytes=2048, short_runs=8000),
)
