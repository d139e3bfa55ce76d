"""Bytes to messages: one whole message at a time, with strict limits (RFC 3261 §7, §18.3)."""

from __future__ import annotations

import re
from collections.abc import Callable

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import is_token
from sidestream.sip.message import KNOWN_METHODS, Headers, Message, Request, Response, header_key

MAX_MESSAGE = 64 * 1024
"""Largest message in bytes: what a UDP datagram can carry (RFC 3261 §18.1.1)."""
MAX_LINE = 8 * 1024
"""Longest header line in characters, folded parts counted together."""
MAX_HEADERS = 256
"""Most header lines in a message."""

_END_OF_HEAD = b"\r\n\r\n"
# Looking behind keeps it from trying at each of many spaces, which would take time by their square.
_FOLD = re.compile(r"(?<![ \t])[ \t]*\r\n[ \t]+")
_SALVAGED_FOLD = re.compile(r"(?<![ \t])[ \t]*\n[ \t]+")
_HEADER_LINE = re.compile(r"^([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*:[ \t]*([^\r\n]*)", re.MULTILINE)
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+\Z")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
_URI_TEXT = re.compile(r"[^\x00-\x20<>\"\x7f]+\Z")
# RFC 3261 §7.3.1 and §20: these may stand once only.
_SINGLE = frozenset(
    {
        "call-id", "content-disposition", "content-encoding", "content-length", "content-type",
        "cseq", "date", "event", "expires", "from", "max-forwards", "mime-version", "min-expires",
        "min-se", "rack", "refer-to", "replaces", "rseq", "session-expires", "timestamp", "to",
    }
)  # fmt: skip
_CALL_ID = re.compile(r"[!-~]+\Z")


def parse_message(data: bytes) -> Message:
    """Read one datagram; the body is what Content-Length says, or the rest (RFC 3261 §18.3).

    Header values are read later, on demand; `validate` reads the mandatory ones.

    Raises:
        ParseError: with the status to answer and, for a request, what was understood of it.
    """
    data = data.lstrip(b"\r\n")
    if len(data) > MAX_MESSAGE:
        raise ParseError(513, "Message Too Large")
    end = data.find(_END_OF_HEAD)
    if end < 0:
        raise ParseError(400, "Missing end of headers", salvage(data))
    message = _parse_head(data[:end])
    body = data[end + 4 :]
    length = content_length(message)
    if length is None:
        message.body = body
    elif length > len(body):
        raise _blame(message, ParseError(400, "Content-Length exceeds the body"))
    else:
        message.body = body[:length]
    return message


def content_length(message: Message) -> int | None:
    """The Content-Length, None when absent.

    Raises:
        ParseError: 400 when it is negative, no number or doubled; 513 when above the limit.
    """
    values = message.headers.get_all("Content-Length")
    if not values:
        return None
    if len(values) > 1 and len(set(values)) > 1:
        raise _blame(message, ParseError(400, "Conflicting Content-Length"))
    value = values[0]
    if not (value.isascii() and value.isdigit()):
        raise _blame(message, ParseError(400, "Invalid Content-Length"))
    if len(value) > 9 or int(value) > MAX_MESSAGE:
        raise _blame(message, ParseError(513, "Message Too Large"))
    return int(value)


def _blame(message: Message, error: ParseError) -> ParseError:
    """Give the error the request it is about, so that it can be answered."""
    if isinstance(message, Request):
        error.partial = message
    return error


def _decode(head: bytes) -> str:
    try:
        return head.decode()
    except UnicodeDecodeError:
        # Lines that are not UTF-8, as RFC 3261 §25.1 demands, are Latin-1 display names in practice.
        return "\r\n".join(_decode_line(line) for line in head.split(b"\r\n"))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _parse_head(head: bytes) -> Message:
    """Read start line and header lines; everything but the body."""
    text = _decode(head)
    start, _, rest = text.partition("\r\n")
    if not text.count("\n") == text.count("\r") == text.count("\r\n"):
        raise ParseError(400, "Bare CR or LF", salvage(head))
    if "\r\n " in text or "\r\n\t" in text:
        rest = _unfold(rest)
    message = _parse_start(start)
    try:
        _parse_headers(rest, message.headers)
    except ParseError as error:
        raise _blame(message, error) from None
    if isinstance(message, Request):
        _check_request_line(message, start)
    elif len(start) > MAX_LINE:
        raise ParseError(400, "Start line too long")
    return message


def _unfold(lines: str) -> str:
    """Undo line folding: a line break with leading white space is one space (RFC 3261 §7.3.1)."""
    if lines[:1] in {" ", "\t"}:
        raise ParseError(400, "Folded start line")
    return _FOLD.sub(" ", lines)


def _parse_start(line: str) -> Message:
    """Read the start line far enough to know what it is; a bad Request-URI is judged after the headers."""
    if line[:4].upper() == "SIP/":
        found = _STATUS_LINE.match(line)
        if found is None:
            raise ParseError(400, "Invalid status line")
        return Response(int(found[1]), found[2] or "")
    method, _, rest = line.partition(" ")
    if method not in KNOWN_METHODS and not is_token(method):
        raise ParseError(400, "Invalid start line")
    return Request(method, rest.rpartition(" ")[0])


def _check_request_line(request: Request, line: str) -> None:
    """RFC 3261 §7.1: method, Request-URI and version apart by single spaces, and nothing more."""
    if len(line) > MAX_LINE:
        raise ParseError(414, "Request-URI Too Long", request)
    version = line.rpartition(" ")[2].upper()
    if version != "SIP/2.0":
        if _VERSION.match(version) is None:
            raise ParseError(400, "Invalid request line", request)
        raise ParseError(505, "Version Not Supported", request)
    if _URI_TEXT.match(request.uri) is None:
        raise ParseError(400, "Invalid Request-URI", request)


def _parse_headers(lines: str, headers: Headers) -> None:
    """Read header lines; those that are well formed are kept even when another is not."""
    found = _HEADER_LINE.findall(lines)
    headers.extend_wire(found[:MAX_HEADERS])
    expected = lines.count("\r\n") + 1 if lines else 0
    if len(found) > MAX_HEADERS:
        raise ParseError(400, "Too many headers")
    if len(found) != expected:
        raise ParseError(400, "Invalid header line")
    if len(lines) > MAX_LINE and any(len(line) > MAX_LINE for line in lines.split("\r\n")):
        raise ParseError(400, "Header line too long")


def salvage(data: bytes) -> Request | None:
    """What can be understood of a request whose framing is broken, None when nothing can be answered."""
    text = _decode(data[:MAX_MESSAGE]).replace("\r\n", "\n").replace("\r", "\n").partition("\n\n")[0]
    start, _, rest = text.partition("\n")
    try:
        message = _parse_start(start)
    except ParseError:
        return None
    if not isinstance(message, Request):
        return None
    found = _HEADER_LINE.findall(_SALVAGED_FOLD.sub(" ", rest))
    message.headers.extend_wire([line for line in found if len(line[1]) <= MAX_LINE][:MAX_HEADERS])
    return message


# What is read where it is present; absent ones read as empty.
_OPTIONAL: dict[str, Callable[[Message], object]] = {
    "contact": lambda message: message.contacts,
    "record-route": lambda message: message.record_routes,
    "route": lambda message: message.routes,
    "max-forwards": lambda message: message.max_forwards,
}


def validate(message: Message) -> None:
    """Check what every message must have and that all headers the core reads are well formed.

    After it returned, no typed property of the message raises.

    Raises:
        ParseError: 400 naming the header; for a request with itself as `partial`.
    """
    try:
        _check_singles(message.headers)
        _check_call_id(message.call_id)
        # Reading is the check; the results stay cached for whoever asks next.
        _ = message.vias, message.from_, message.to, message.cseq
        for name, read in _OPTIONAL.items():
            if name in message.headers:
                read(message)
    except ParseError as error:
        raise _blame(message, error) from None


def validate_request(request: Request) -> None:
    """Check a request: `validate`, and that CSeq names the request's method (RFC 3261 §8.1.1.5).

    Raises:
        ParseError: 400 naming the header, or 501 for an unknown method, with the request as `partial`.
    """
    validate(request)
    if request.cseq.method != request.method:
        # RFC 4475 §3.1.2.18: that the method is unknown says more than that CSeq names another.
        if request.method not in KNOWN_METHODS:
            raise ParseError(501, "Not Implemented", request)
        raise ParseError(400, "CSeq method mismatch", request)


def _check_call_id(call_id: str) -> None:
    if _CALL_ID.match(call_id) is None:
        raise ParseError(400, "Invalid Call-ID")


def _check_singles(headers: Headers) -> None:
    for key in headers.repeated():
        if key in _SINGLE:
            raise ParseError(400, f"Repeated {header_key(key)[1]}")
