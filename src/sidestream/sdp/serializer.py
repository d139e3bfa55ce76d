"""Session description to bytes (RFC 8866)."""

from __future__ import annotations

from itertools import chain

from sidestream.sdp.model import SessionDescription


def serialize(description: SessionDescription) -> bytes:
    """Write a description: its lines in their order, each ended by CRLF.

    Returns:
        A body of type `application/sdp` that `parse` turns into an equal description.
    """
    lines = chain(description.lines, *(media.lines for media in description.media))
    return "".join(f"{line.type}={line.value}\r\n" for line in lines).encode("utf-8", "surrogateescape")
