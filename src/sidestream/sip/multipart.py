"""Multipart bodies (RFC 2046 §5.1, RFC 5621)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidestream.sip.errors import ParseError
from sidestream.sip.grammar import is_token, quote
from sidestream.sip.headers import media_params, media_type
from sidestream.sip.message import Headers

MAX_PARTS = 32
"""Most parts of one body; SIP uses two or three."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]\Z")
_FOLD = re.compile(r"(?<![ \t])[ \t]*\r\n[ \t]+")


@dataclass(slots=True)
class BodyPart:
    """One part of a multipart body.

    Attributes:
        headers: its header lines.
        content: its content, untouched.
    """

    headers: Headers = field(default_factory=Headers)
    content: bytes = b""

    @property
    def content_type(self) -> str:
        """Lower-cased media type; text/plain when it names none (RFC 2046 §5.1)."""
        return media_type(self.headers.get("Content-Type") or "text/plain")

    @property
    def disposition(self) -> str | None:
        """Lower-cased Content-Disposition without parameters, None when absent."""
        value = self.headers.get("Content-Disposition")
        return None if value is None else media_type(value)


def parse_multipart(content_type: str, body: bytes) -> list[BodyPart]:
    """Split a multipart body into its parts; preamble and epilogue are dropped.

    Args:
        content_type: the whole Content-Type value, with its `boundary` parameter.
        body: the body.

    Raises:
        ParseError: 400 when it is no multipart type, the boundary is missing or the body does not close.
    """
    if not media_type(content_type).startswith("multipart/"):
        raise ParseError(400, "Not a multipart body")
    boundary = media_params(content_type).get("boundary", "")
    if _BOUNDARY.match(boundary) is None:
        raise ParseError(400, "Invalid multipart boundary")
    mark = b"\r\n--" + boundary.encode("ascii")
    pieces = re.split(re.escape(mark) + rb"(--)?[ \t]*(?=\r\n|\Z)", b"\r\n" + body, maxsplit=MAX_PARTS + 2)
    # Pieces alternate with the closing dashes: preamble, dashes, part, dashes, …, epilogue.
    contents, closings = pieces[2::2], pieces[1::2]
    if b"--" not in closings:
        raise ParseError(400, "Multipart body does not end")
    count = closings.index(b"--")
    if count > MAX_PARTS:
        raise ParseError(400, "Too many body parts")
    return [_parse_part(piece) for piece in contents[:count]]


def _parse_part(piece: bytes) -> BodyPart:
    head, blank, content = piece.partition(b"\r\n\r\n")
    if not blank:
        raise ParseError(400, "Invalid body part")
    part = BodyPart(content=content)
    try:
        text = _FOLD.sub(" ", head.decode())
    except UnicodeDecodeError:
        raise ParseError(400, "Invalid body part header") from None
    for line in text.split("\r\n"):
        if not line:
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not is_token(name) or "\r" in value or "\n" in value:
            raise ParseError(400, "Invalid body part header")
        part.headers.append_wire(name, value.strip(" \t"))
    return part


def build_multipart(parts: Sequence[BodyPart], boundary: str, subtype: str = "mixed") -> tuple[str, bytes]:
    """Join parts; returns the Content-Type value and the body.

    Args:
        parts: the parts in order.
        boundary: a text that occurs in none of them.
        subtype: "mixed" unless the parts are alternatives or related.
    """
    mark = b"--" + boundary.encode("ascii")
    if _BOUNDARY.match(boundary) is None or any(mark in part.content for part in parts):
        raise ValueError("unusable multipart boundary")
    chunks: list[bytes] = []
    for part in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
        chunks += [mark, b"\r\n", head.encode(), b"\r\n", part.content, b"\r\n"]
    chunks += [mark, b"--\r\n"]
    parameter = boundary if is_token(boundary) else quote(boundary)
    return f"multipart/{subtype};boundary={parameter}", b"".join(chunks)
