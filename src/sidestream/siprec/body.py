"""Bodies of a recording session: SDP and metadata side by side (RFC 7866 sections 9.1 and 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidestream.errors import RemoteError
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.parser import parse as parse_sdp
from sidestream.sdp.serializer import serialize as serialize_sdp
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import media_params, media_type
from sidestream.sip.message import Headers, Message
from sidestream.sip.multipart import BodyPart, build_multipart, parse_multipart
from sidestream.siprec.errors import RecordingBodyError

SDP: Final = "application/sdp"
DISPOSITION: Final = "recording-session"
"""Content-Disposition of metadata (RFC 7866 section 9.1)."""
BOUNDARY_DRAWS: Final = 8


class MetadataType(StrEnum):
    """How recorders call the type of metadata."""

    XML = "application/rs-metadata+xml"
    """RFC 7865 section 12 and RFC 9806."""
    PLAIN = "application/rs-metadata"
    """RFC 7866 section 9 as it was printed."""

    @property
    def other(self) -> MetadataType:
        """The other name of the same."""
        return MetadataType.PLAIN if self is MetadataType.XML else MetadataType.XML


METADATA_TYPES: Final = frozenset({*(each.value for each in MetadataType), "application/rs-metadata-request"})
"""What is read as metadata; the last one is of drafts and of RFC 8068."""


@dataclass(frozen=True, slots=True)
class MadeBody:
    """A body with the header fields that tell what it is."""

    content_type: str
    content: bytes
    disposition: str | None = None

    def put_on(self, message: Message) -> None:
        """Make this the message's body."""
        message.headers.set("Content-Type", self.content_type)
        if self.disposition is not None:
            message.headers.set("Content-Disposition", self.disposition)
        message.body = self.content


@dataclass(frozen=True, slots=True)
class ReadBody:
    """What a message of a recorder carries.

    Attributes:
        description: its session description.
        metadata: its metadata as bytes.
    """

    description: SessionDescription | None = None
    metadata: bytes | None = None


def make_body(
    description: SessionDescription | None,
    metadata: bytes | None,
    kind: MetadataType,
    token: Callable[[], str],
) -> MadeBody | None:
    """Put together what is there: both in `multipart/mixed`, one by itself, None of nothing.

    Args:
        description: the offer.
        metadata: the document.
        kind: how the recorder calls its type.
        token: gives another random token each time, for the boundary.
    """
    if metadata is None:
        return None if description is None else MadeBody(SDP, serialize_sdp(description))
    if description is None:
        return MadeBody(kind.value, metadata, DISPOSITION)
    parts = [
        BodyPart(Headers([("Content-Type", SDP)]), serialize_sdp(description)),
        BodyPart(Headers([("Content-Type", kind.value), ("Content-Disposition", DISPOSITION)]), metadata),
    ]
    content_type, content = build_multipart(parts, _boundary(parts, token))
    return MadeBody(content_type, content)


def _boundary(parts: list[BodyPart], token: Callable[[], str]) -> str:
    for _ in range(BOUNDARY_DRAWS):
        boundary = f"rs{token()}"
        if not any(boundary.encode() in part.content for part in parts):
            return boundary
    raise ValueError("the tokens are not random")


def read_body(message: Message) -> ReadBody:
    """Read the body of a recorder's message: SDP, metadata, or several parts in any order.

    A body without a type is taken as SDP. Parts that are neither are left aside unless they insist on being
    handled (RFC 3261 section 20.11).

    Raises:
        RecordingBodyError: it is something else (415) or malformed (400).
        SdpError: the session description is malformed.
    """
    if not message.body:
        return ReadBody()
    encoding = message.headers.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise RecordingBodyError(f"the body is encoded as {encoding[:40]}", sip_status=415)
    content_type = message.headers.get("Content-Type") or SDP
    if not media_type(content_type).startswith("multipart/"):
        headers = Headers([("Content-Type", content_type)])
        return _read_parts([BodyPart(headers, message.body)], alone=True)
    try:
        return _read_parts(parse_multipart(content_type, message.body), alone=False)
    except ParseError as error:
        raise RecordingBodyError(f"the multipart body is malformed: {error.reason}") from error


def _read_parts(parts: list[BodyPart], *, alone: bool) -> ReadBody:
    description: SessionDescription | None = None
    metadata: bytes | None = None
    for part in parts:
        kind = media_type(part.headers.get("Content-Type") or "text/plain")
        if kind == SDP:
            description = description or parse_sdp(part.content)
        elif kind in METADATA_TYPES:
            metadata = part.content if metadata is None else metadata
        elif alone or _must_be_handled(part):
            raise RecordingBodyError(f"a body of type {kind[:80]} cannot be handled", sip_status=415)
    return ReadBody(description, metadata)


def _must_be_handled(part: BodyPart) -> bool:
    disposition = part.headers.get("Content-Disposition")
    if disposition is None:
        return False
    return media_params(disposition).get("handling", "").lower() == "required"


def read_or_none(message: Message) -> ReadBody:
    """Like `read_body`, where an unusable body is as good as none."""
    try:
        return read_body(message)
    except RemoteError:
        return ReadBody()
