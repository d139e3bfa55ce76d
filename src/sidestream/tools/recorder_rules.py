"""What a recording client's requests must look like (RFC 7866, RFC 9806, RFC 3261), header by header. Pure.

The judge shares nothing with what makes such requests: it reads the message as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.headers import NameAddr, media_type
from sidestream.sip.message import Message, Request
from sidestream.sip.multipart import BodyPart, parse_multipart
from sidestream.sip.uri import SipUri
from sidestream.tools.recorder_findings import Finding, remark, violation

SDP_TYPE: Final = "application/sdp"
METADATA_TYPE: Final = "application/rs-metadata+xml"
OLD_METADATA_TYPE: Final = "application/rs-metadata"
DISPOSITION: Final = "recording-session"
FEATURE_TAG: Final = "+sip.src"
MAX_CLOCK_SKEW_S: Final = 60.0
UDP_LIMIT_BYTES: Final = 1_300
"""RFC 3261 section 18.1.1: a larger request goes by a transport that controls congestion."""

_DATE: Final = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"\d{4} \d\d:\d\d:\d\d GMT"
)
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(slots=True)
class ReadBody:
    """The parts of a recording client's body, and what is wrong with how they are put together.

    Attributes:
        sdp: the session description as it came, None when there is none.
        metadata: the metadata document as it came, None when there is none.
        findings: broken rules and remarks.
    """

    sdp: bytes | None = None
    metadata: bytes | None = None
    findings: list[Finding] = field(default_factory=list)


def judge_invite(request: Request, size: int, now: datetime) -> list[Finding]:
    """Judge the header fields of the INVITE that asks for a recording session.

    Args:
        request: the request.
        size: bytes of the message on the wire.
        now: the time of day, with its zone.
    """
    found = [*_judge_require(request), *judge_contact(request), *judge_date(request, now)]
    found += _judge_abilities(request)
    found += _judge_addresses(request)
    if size > UDP_LIMIT_BYTES and request.top_via.transport.upper() == "UDP":
        text = f"an INVITE of {size} bytes came over UDP, where it is cut into fragments; use TCP or TLS"
        found.append(remark("large-over-udp", text, "RFC 3261 section 18.1.1"))
    return found


def judge_change(request: Request) -> list[Finding]:
    """Judge the header fields of a re-INVITE or UPDATE."""
    found = list(judge_contact(request))
    if "siprec" not in _tags(request, "Require"):
        text = f"{request.method} within the session lacks Require: siprec"
        found.append(remark("require-siprec", text, "RFC 7866 figure 13"))
    return found


def judge_bye(request: Request) -> list[Finding]:
    """Judge a BYE; a body in it is what RFC 8068 shows and RFC 7866 does not list."""
    if not request.body:
        return []
    text = "metadata came in a BYE, which not every recorder reads"
    return [remark("metadata-in-bye", text, "RFC 7866 section 9.1")]


def _judge_require(request: Request) -> Iterator[Finding]:
    if "siprec" in _tags(request, "Require"):
        return
    only = "; it stands in Supported" if "siprec" in _tags(request, "Supported") else ""
    yield violation("require-siprec", f"the INVITE lacks Require: siprec{only}", "RFC 7866 section 6.1.1")


def judge_contact(message: Message) -> Iterator[Finding]:
    """Judge the Contact of a message that makes or changes the dialog, a response to ours included."""
    rule = "RFC 7866 section 6.1.1"
    try:
        contacts = message.contacts
    except ParseError as error:
        yield violation("contact", f"Contact cannot be read: {error.reason}", "RFC 3261 section 20.10")
        return
    if len(contacts) != 1:
        yield violation("contact", f"{len(contacts)} Contact addresses, not one", "RFC 3261 section 8.1.1.8")
        return
    contact = contacts[0]
    if FEATURE_TAG in contact.params:
        return
    if isinstance(contact.uri, SipUri) and FEATURE_TAG in contact.uri.params:
        text = "+sip.src stands inside the angle brackets of Contact, where it is part of the URI"
    elif "src" in contact.params:
        text = "the feature tag in Contact is called src, not +sip.src"
    else:
        text = "Contact lacks the feature tag +sip.src"
    yield violation("contact-src", text, rule)


def judge_date(message: Message, now: datetime) -> Iterator[Finding]:
    """Judge the Date header, which says when the recording session began (RFC 7865 has no element for it)."""
    value = message.headers.get("Date")
    if value is None:
        yield remark("date", "no Date says when the recording session began", "RFC 3261 section 20.17")
        return
    instant = None
    if _DATE.fullmatch(value.strip()):
        try:
            instant = parsedate_to_datetime(value.strip())
        except ValueError:
            instant = None
    if instant is None or _WEEKDAYS[instant.weekday()] != value.strip()[:3]:
        yield violation("date", f"Date is not of RFC 3261: {value[:60]!r}", "RFC 3261 section 20.17")
    elif abs((instant - now).total_seconds()) > MAX_CLOCK_SKEW_S:
        skew = (instant - now).total_seconds()
        yield remark("date-skew", f"Date is {skew:+.0f} s away from this recorder's clock")


def _judge_abilities(request: Request) -> Iterator[Finding]:
    accepted = {media_type(value) for value in _list(request, "Accept")}
    if not accepted & {METADATA_TYPE, OLD_METADATA_TYPE, "application/*", "*/*"}:
        text = f"Accept does not list {METADATA_TYPE}, so a snapshot cannot be asked for"
        yield remark("accept", text, "RFC 7866 section 9.2")
    if "UPDATE" not in {value.upper() for value in _list(request, "Allow")}:
        text = "Allow does not list UPDATE, by which a snapshot is asked for"
        yield remark("allow-update", text, "RFC 7866 section 9.2")


def _judge_addresses(request: Request) -> Iterator[Finding]:
    if _place(request.from_) == _place(request.to):
        text = "From and To are the same, so that recording clients cannot be told apart"
        yield remark("from-is-to", text, "RFC 7866 section 6.1.1")


def _place(address: NameAddr) -> tuple[str, ...]:
    uri = address.uri
    return (uri.user or "", uri.host.lower()) if isinstance(uri, SipUri) else (str(uri),)


def _tags(message: Message, name: str) -> set[str]:
    return {value.strip().lower() for value in _list(message, name)}


def _list(message: Message, name: str) -> list[str]:
    try:
        return message.headers.values(name)
    except ParseError:
        return []


def read_body(message: Message) -> ReadBody:
    """Take a body apart: `multipart/mixed`, or SDP or metadata alone (RFC 7866 section 9.1)."""
    read = ReadBody()
    if not message.body:
        return read
    content_type = message.headers.get("Content-Type")
    if content_type is None:
        read.findings.append(violation("body-type", "a body without Content-Type", "RFC 3261 section 20.15"))
        return read
    kind = media_type(content_type)
    if not kind.startswith("multipart/"):
        part = BodyPart(
            message.headers.only(frozenset({"content-type", "content-disposition"})), message.body
        )
        _take_part(read, part, alone=True)
        return read
    if kind != "multipart/mixed":
        text = f"the body is {kind[:60]}, not multipart/mixed"
        read.findings.append(violation("body-type", text, "RFC 7866 section 9.1"))
    try:
        parts = parse_multipart(content_type, message.body)
    except ParseError as error:
        text = f"the multipart body is malformed: {error.reason}"
        read.findings.append(violation("multipart", text, "RFC 2046 section 5.1"))
        return read
    for part in parts:
        _take_part(read, part, alone=False)
    return read


def _take_part(read: ReadBody, part: BodyPart, *, alone: bool) -> None:
    kind = part.content_type
    if kind == SDP_TYPE:
        if read.sdp is not None:
            read.findings.append(violation("body-parts", "two session descriptions in one body"))
            return
        read.sdp = part.content
    elif kind in {METADATA_TYPE, OLD_METADATA_TYPE}:
        if read.metadata is not None:
            read.findings.append(violation("body-parts", "two metadata documents in one body"))
            return
        read.metadata = part.content
        read.findings += _judge_metadata_part(part, kind)
    elif alone:
        text = f"the body is {kind[:60]}, neither a session description nor metadata"
        read.findings.append(violation("body-type", text, "RFC 7866 section 9.1"))
    else:
        read.findings.append(remark("body-parts", f"a part of type {kind[:60]} was left aside"))


def _judge_metadata_part(part: BodyPart, kind: str) -> Iterator[Finding]:
    if part.disposition != DISPOSITION:
        stated = "no disposition" if part.disposition is None else f"disposition {part.disposition[:40]!r}"
        text = f"the metadata has {stated}, not {DISPOSITION}"
        yield violation("metadata-disposition", text, "RFC 7866 section 9")
    if kind == OLD_METADATA_TYPE:
        text = f"the metadata is called {OLD_METADATA_TYPE}, which RFC 9806 replaced by {METADATA_TYPE}"
        yield remark("metadata-type", text, "RFC 9806")


def judge_first_body(body: ReadBody, content_type: str | None) -> Iterator[Finding]:
    """Judge what the first INVITE must bring: an offer and a snapshot, side by side."""
    if body.sdp is None:
        yield violation("sdp-missing", "the INVITE has no session description", "RFC 7866 section 7.1.1")
    if body.metadata is None:
        text = f"the INVITE has no metadata; its body is {media_type(content_type or 'nothing')[:60]}"
        yield violation("metadata-missing", text, "RFC 7866 section 9.1")
