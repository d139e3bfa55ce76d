"""Messages to bytes (RFC 3261 §7)."""

from __future__ import annotations

from sidestream.sip.message import Message, Request


def serialize(message: Message) -> bytes:
    """Write a message; Content-Length is always right, other headers go out in order and as they are."""
    if isinstance(message, Request):
        start = f"{message.method} {message.uri} SIP/2.0"
    else:
        start = f"SIP/2.0 {message.status:03d} {message.reason}"
    if "\r" in start or "\n" in start:
        raise ValueError("line break in the start line")
    lines = [start, *message.headers.lines_without("Content-Length")]
    lines.append(f"Content-Length: {len(message.body)}\r\n\r\n")
    # What is no character (a lone surrogate) cannot be on the wire.
    return "\r\n".join(lines).encode("utf-8", "replace") + message.body
