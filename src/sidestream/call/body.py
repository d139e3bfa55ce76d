"""The session description in a message's body (RFC 3261 7.4 and 13.2, RFC 5621)."""

from sidestream.errors import RemoteError
from sidestream.sdp.errors import SdpError
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.parser import parse as parse_sdp
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import media_params, media_type
from sidestream.sip.message import Message
from sidestream.sip.multipart import BodyPart, parse_multipart

SDP = "application/sdp"


class BodyError(RemoteError):
    """The body is of a type that is not understood: 415 Unsupported Media Type."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sip_status=415)


def session_of(message: Message) -> SessionDescription | None:
    """The session description that a message carries, alone or as one part of several; None for no body.

    A body without a type is taken as a session description, as RFC 2543 peers mean it. Other parts of a
    multipart body
    are left aside unless they insist on being handled (RFC 3261 20.11).

    Raises:
        BodyError: The body, or a part that must be handled, is something else.
        SdpError: The session description is malformed.
    """
    if not message.body:
        return None
    encoding = message.headers.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise BodyError(f"the body is encoded as {encoding}")
    content_type = message.headers.get("Content-Type") or SDP
    kind = media_type(content_type)
    if kind == SDP:
        return parse_sdp(message.body)
    if not kind.startswith("multipart/"):
        raise BodyError(f"the body is {kind}, not {SDP}")
    try:
        parts = parse_multipart(content_type, message.body)
    except ParseError as error:
        raise BodyError(f"the multipart body is malformed: {error.reason}") from error
    return _session_among(parts)


def session_or_none(message: Message) -> SessionDescription | None:
    """Like `session_of`, where an unusable body is as good as none."""
    try:
        return session_of(message)
    except (BodyError, SdpError):
        return None


def _session_among(parts: list[BodyPart]) -> SessionDescription | None:
    session: SessionDescription | None = None
    for part in parts:
        kind = media_type(part.headers.get("Content-Type") or "text/plain")
        if kind == SDP and session is None:
            session = parse_sdp(part.content)
        elif _must_be_handled(part):
            raise BodyError(f"the part of type {kind} cannot be handled")
    if session is None:
        raise BodyError(f"the multipart body has no part of type {SDP}")
    return session


def _must_be_handled(part: BodyPart) -> bool:
    disposition = part.headers.get("Content-Disposition")
    try:
        return disposition is not None and media_params(disposition).get("handling", "").lower() == "required"
    except ParseError:
        return False
