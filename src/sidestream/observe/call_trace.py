"""What is kept of a call for troubleshooting: its SIP messages and what happened between them. Pure.

One value is kept, stored and served; `observe.ladder` and `observe.pcap` make pictures and captures of it.
"""

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

Leg = Literal["caller", "callee", "recording"]

TRACE_VERSION: Final = 1
"""Keys are only ever added within a version."""


class TracedMessage(Struct, frozen=True):
    """One SIP message as it was on the wire, but for masked secrets."""

    at_us: int
    """Microseconds since 1970."""
    leg: Leg
    party: str
    """The trunk, or the integration of a recording."""
    sent: bool
    """By the gateway."""
    transport: str
    """`udp`, `tcp` or `tls`."""
    local_host: str
    local_port: int
    remote_host: str
    remote_port: int
    data: bytes


class TracedEvent(Struct, frozen=True):
    """Something that happened in the gateway."""

    at_us: int
    level: str
    name: str
    detail: dict[str, str] = {}


class CallTrace(Struct, frozen=True):
    """Everything that is kept of one call, each list in order of time."""

    call_id: str
    node: str
    messages: list[TracedMessage] = []
    events: list[TracedEvent] = []
    omitted: int = 0
    """Messages and events that were left out at a bound, from the middle of the call."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(CallTrace)


def pack(trace: CallTrace) -> bytes:
    """Return a trace as bytes for a store."""
    return _encoder.encode(trace)


def unpack(data: bytes) -> CallTrace:
    """Read what `pack` made.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return _decoder.decode(data)


def instant(at_us: int) -> str:
    """Return microseconds since 1970 as an instant of RFC 3339 in UTC."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def place(host: str, port: int) -> str:
    """Return an address and port as they are usually written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def to_document(trace: CallTrace) -> dict[str, Any]:
    """Return a trace as the API serves it."""
    return {
        "version": TRACE_VERSION,
        "call_id": trace.call_id,
        "node": trace.node,
        "omitted": trace.omitted,
        "messages": [_message_document(message) for message in trace.messages],
        "events": [
            {"at": instant(event.at_us), "level": event.level, "event": event.name, "detail": event.detail}
            for event in trace.events
        ],
    }


def _message_document(message: TracedMessage) -> dict[str, Any]:
    try:
        content = {"message": message.data.decode()}
    except UnicodeDecodeError:
        content = {
            "message": message.data.decode(errors="replace"),
            "message_base64": b64encode(message.data).decode("ascii"),
        }
    return {
        "at": instant(message.at_us),
        "leg": message.leg,
        "party": message.party,
        "direction": "out" if message.sent else "in",
        "transport": message.transport,
        "local": {"host": message.local_host, "port": message.local_port},
        "remote": {"host": message.remote_host, "port": message.remote_port},
        **content,
    }


class _Address(Struct, frozen=True):
    host: str
    port: int


class _Message(Struct, frozen=True):
    at: datetime
    leg: Leg
    party: str
    direction: Literal["in", "out"]
    transport: str
    local: _Address
    remote: _Address
    message: str
    message_base64: str | None = None

    def read(self) -> TracedMessage:
        data = b64decode(self.message_base64) if self.message_base64 is not None else self.message.encode()
        return TracedMessage(
            at_us=_microseconds(self.at),
            leg=self.leg,
            party=self.party,
            sent=self.direction == "out",
            transport=self.transport,
            local_host=self.local.host,
            local_port=self.local.port,
            remote_host=self.remote.host,
            remote_port=self.remote.port,
            data=data,
        )


class _Event(Struct, frozen=True):
    at: datetime
    level: str
    event: str
    detail: dict[str, str]


class _Document(Struct, frozen=True):
    call_id: str
    node: str
    omitted: int
    messages: list[_Message]
    events: list[_Event]


def from_document(document: object) -> CallTrace:
    """Read what `to_document` made.

    Raises:
        msgspec.ValidationError: it has another shape.
        ValueError: its base64 is none.
    """
    read = msgspec.convert(document, _Document)
    return CallTrace(
        call_id=read.call_id,
        node=read.node,
        messages=[message.read() for message in read.messages],
        events=[
            TracedEvent(_microseconds(each.at), each.level, each.event, each.detail) for each in read.events
        ],
        omitted=read.omitted,
    )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(at: datetime) -> int:
    span = at.astimezone(UTC) - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
