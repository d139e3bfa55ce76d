"""Bodies and header fields of what a development recorder sends, and its words for people. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidestream.sip.grammar import quote
from sidestream.sip.message import Headers, Message, Response
from sidestream.sip.multipart import BodyPart, build_multipart
from sidestream.siprec.metadata import NAMESPACE, Recording
from sidestream.tools.recorder_findings import Finding
from sidestream.tools.recorder_metadata import Party
from sidestream.tools.recorder_rules import DISPOSITION, METADATA_TYPE, SDP_TYPE
from sidestream.tools.screen import printable

METHODS: Final = frozenset({"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO"})
ALLOW: Final = ", ".join(sorted(METHODS))
ACCEPT: Final = f"{SDP_TYPE}, {METADATA_TYPE}, application/rs-metadata"
USER_AGENT: Final = "sidestream-record"
MAX_WARNINGS: Final = 8
MAX_WARNING_TEXT: Final = 160
_MISCELLANEOUS: Final = 399
"""Warning code of RFC 3261 section 20.43 for what has none of its own."""


@dataclass(frozen=True, slots=True)
class Content:
    """A body with its type."""

    content_type: str
    body: bytes
    disposition: str | None = None

    def put_on(self, message: Message) -> None:
        """Make this the message's body."""
        message.headers.set("Content-Type", self.content_type)
        if self.disposition is not None:
            message.headers.set("Content-Disposition", self.disposition)
        message.body = self.body


def snapshot_request(why: str) -> Content:
    """Return the wish for a complete document (RFC 7866 section 9.2)."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<requestsnapshot xmlns="{NAMESPACE}">'
        f'<requestreason xml:lang="en">{why}</requestreason></requestsnapshot>\n'
    )
    return Content(METADATA_TYPE, text.encode(), DISPOSITION)


def put_session(response: Response, description: bytes, metadata: bytes | None) -> None:
    """Put a session description on an answer; with metadata beside it, in `multipart/mixed`."""
    if metadata is None:
        Content(SDP_TYPE, description).put_on(response)
        return
    parts = [
        BodyPart(Headers([("Content-Type", METADATA_TYPE), ("Content-Disposition", DISPOSITION)]), metadata),
        BodyPart(Headers([("Content-Type", SDP_TYPE)]), description),
    ]
    content_type, body = build_multipart(parts, f"srs-{secrets.token_hex(8)}")
    Content(content_type, body).put_on(response)


def put_refusal(response: Response, why: Sequence[Finding], host: str) -> None:
    """Say in Warning headers, and in a body for people, why a request is refused."""
    response.headers.add("Server", USER_AGENT)
    if response.status in {400, 488}:
        response.headers.add("Accept", ACCEPT)
    agent = f"[{host}]" if ":" in host else host
    for finding in why[:MAX_WARNINGS]:
        text = printable(str(finding))[:MAX_WARNING_TEXT]
        response.headers.add("Warning", f"{_MISCELLANEOUS} {agent} {quote(text)}")
    if why:
        lines = "".join(f"{printable(str(finding))}\r\n" for finding in why)
        Content("text/plain;charset=utf-8", lines.encode()).put_on(response)


def put_abilities(message: Message) -> None:
    """Say what the recorder can."""
    message.headers.add("Allow", ALLOW)
    message.headers.add("Accept", ACCEPT)
    message.headers.add("Supported", "timer")
    message.headers.add("Server" if isinstance(message, Response) else "User-Agent", USER_AGENT)


def words_of(document: Recording | None, parties: Sequence[Party]) -> str:
    """Return what the metadata says now, in one line."""
    if document is None:
        return "a document that cannot be read"
    told = []
    for party in parties:
        doing = [f"sends {' '.join(party.sends)}"] if party.sends else []
        doing += [f"hears {' '.join(party.hears)}"] if party.hears else []
        doing += ["has left"] if party.gone else []
        told.append(f"{party.name or party.aor} {' and '.join(doing) or 'is silent'}")
    ended = any(session.stop_time is not None for session in document.sessions)
    mode = "complete" if document.is_complete else "partial"
    return f"{mode}: {'; '.join(told) or 'nobody'}{'; the session has ended' if ended else ''}"


__all__ = [
    "ACCEPT",
    "ALLOW",
    "METHODS",
    "SDP_TYPE",
    "Content",
    "put_abilities",
    "put_refusal",
    "put_session",
    "snapshot_request",
    "words_of",
]
