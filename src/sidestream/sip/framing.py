"""A byte stream to whole messages and keep-alives (RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1, §4.4.1).

On a stream only Content-Length says where a message ends. What the framer cuts out goes to
`TransactionLayer.receive_bytes`, which answers what cannot be parsed; what cannot even be cut out loses the
framing for good, so the connection must be closed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidestream.sip.errors import ParseError
from sidestream.sip.parser import MAX_MESSAGE, salvage

PING = b"\r\n\r\n"
"""Keep-alive a client sends (RFC 5626 §3.5.1)."""
PONG = b"\r\n"
"""The answer to it."""

_END_OF_HEAD = b"\r\n\r\n"
_BREAKS = b"\r\n"
_TOKEN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
# A header line begins right after a line break; white space there continues the line before (§7.3.1).
_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)(?=\r\n|\Z)", re.IGNORECASE
)
_DIGITS = re.compile(rb"[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Ping:
    """The peer's keep-alive: answer it by `PONG` on the same connection (RFC 5626 §4.4.1)."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The peer's answer to our `PING`."""


class FramingError(ParseError):
    """The stream cannot be cut into messages any more.

    Give it to `TransactionLayer.receive_malformed`, which answers when `partial` lets it, send what is
    outgoing, and close the connection.
    """


Framed = bytes | Ping | Pong | FramingError
"""One whole message, a keep-alive, or the end of all framing."""


class StreamFramer:
    """Cuts what is read from one connection into messages. The events do not depend on how it was read.

    It keeps at most one unfinished message of `max_message_bytes`.

    Args:
        max_message_bytes: largest message accepted, head and body together.

    Attributes:
        broken: whether framing is lost; no further events come.
    """

    __slots__ = ("_awaits_pong", "_buffer", "_max", "_need", "_searched", "broken")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE) -> None:
        self._buffer = bytearray()
        self._max = max_message_bytes
        self._need = 0
        self._searched = 0
        self._awaits_pong = False
        self.broken = False

    @property
    def mid_message(self) -> bool:
        """Whether a message has begun and its rest is awaited: put a deadline on it."""
        return bool(self._buffer.lstrip(_BREAKS))

    def expect_pong(self) -> None:
        """A `PING` was sent: the next line break between messages is its answer.

        Unless a pong is expected a single line break means nothing, two are the peer's ping.
        """
        self._awaits_pong = True

    def feed(self, data: bytes) -> list[Framed]:
        """Take in what was read; returns what it completes, in order.

        A `FramingError` is the last event there is.
        """
        if self.broken:
            return []
        self._buffer += data
        events: list[Framed] = []
        while (event := self._next()) is not None:
            events.append(event)
            if isinstance(event, FramingError):
                self.broken = True
                self._buffer.clear()
                break
        return events

    def _next(self) -> Framed | None:
        if not self._need:
            keep_alive = self._take_breaks()
            if keep_alive is not None:
                return keep_alive
            error = self._measure()
            if error is not None:
                return error
        if not self._need or len(self._buffer) < self._need:
            return None
        message = bytes(self._buffer[: self._need])
        del self._buffer[: self._need]
        self._need = 0
        return message

    def _take_breaks(self) -> Ping | Pong | None:
        """Consume line breaks between messages (RFC 3261 §7.5) as far as they are complete."""
        buffer = self._buffer
        while buffer and buffer[0] in _BREAKS:
            if self._awaits_pong and buffer.startswith(PONG):
                del buffer[:2]
                self._awaits_pong = False
                return Pong()
            if buffer.startswith(PING):
                del buffer[:4]
                return Ping()
            if PING.startswith(buffer):
                return None
            del buffer[: 2 if buffer.startswith(PONG) else 1]
        return None

    def _measure(self) -> FramingError | None:
        """Find out how long the message is that the buffer begins with; leaves it in `_need` when known."""
        buffer = self._buffer
        if not buffer or buffer[0] in _BREAKS:
            return None
        if buffer[0] not in _TOKEN_BYTES:
            return FramingError(400, "Not SIP")
        end = buffer.find(_END_OF_HEAD, self._searched, self._max)
        if end < 0:
            self._searched = max(0, len(buffer) - len(_END_OF_HEAD) + 1)
            return self._too_large() if len(buffer) >= self._max else None
        self._searched = 0
        head = bytes(buffer[:end])
        length = _content_length(head)
        if isinstance(length, str):
            return FramingError(400, length, salvage(head))
        need = end + len(_END_OF_HEAD) + length
        if need > self._max:
            return FramingError(513, "Message Too Large", salvage(head))
        self._need = need
        return None

    def _too_large(self) -> FramingError:
        return FramingError(513, "Message Too Large", salvage(bytes(self._buffer[: self._max])))


def _content_length(head: bytes) -> int | str:
    """The length the head declares, or why none can be relied on (RFC 3261 §18.3, §20.14)."""
    values = {value.strip(b" \t\r\n") for value in _LENGTH.findall(head)}
    if not values:
        return "Missing Content-Length"
    if len(values) > 1:
        return "Conflicting Content-Length"
    value = values.pop()
    if _DIGITS.match(value) is None:
        return "Invalid Content-Length"
    # A number of more digits than any limit is as good as the largest of that many.
    return int(value[:12])
