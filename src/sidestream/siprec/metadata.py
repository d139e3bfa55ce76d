"""The metadata model of a recording (RFC 7865 section 6) as frozen values.

Fields stand in the order of the schema (RFC 7865 section 9), which is also the order on the wire. Ids are
base64 of 16 octets (section 6.10), times carry their zone (section 6.9).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Final, NewType

NAMESPACE: Final = "urn:ietf:params:xml:ns:recording:1"
"""RFC 7865 section 6.11: version 1."""

Id = NewType("Id", str)
"""A unique id: base64 of 16 octets, 24 characters (RFC 7865 section 6.10)."""

ID_OCTETS: Final = 16

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?(?:(Z)|([+-])(\d\d):(\d\d))", re.ASCII
)


def make_id(octets: bytes) -> Id:
    """Make an id of 16 random octets, marked as a random UUID (RFC 4122 section 4.4).

    Raises:
        ValueError: they are not 16.
    """
    if len(octets) != ID_OCTETS:
        raise ValueError("an id is made of 16 octets")
    marked = bytearray(octets)
    marked[6] = (marked[6] & 0x0F) | 0x40
    marked[8] = (marked[8] & 0x3F) | 0x80
    return Id(base64.b64encode(bytes(marked)).decode("ascii"))


def is_id(text: str) -> bool:
    """Whether a text is base64, strictly, of exactly 16 octets."""
    try:
        octets = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(octets) == ID_OCTETS and base64.b64encode(octets).decode("ascii") == text


def format_time(instant: datetime) -> str:
    """Write an instant by RFC 3339 in UTC, ending in `Z`; parts of a second only where there are any.

    Raises:
        ValueError: the instant has no zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant without a zone is none (RFC 7865 section 6.9)")
    utc = instant.astimezone(UTC)
    text = utc.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{text}{fraction}Z"


def parse_time(text: str) -> datetime | None:
    """Read an instant of RFC 3339, with `T` and a zone; None for anything else.

    Parts of a second beyond a microsecond are cut off. The result is in UTC.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    moment, fraction, zulu, sign, hours, minutes = found.groups()
    zone: timezone = UTC
    if not zulu:
        if int(hours) > 23 or int(minutes) > 59:
            return None
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(-offset if sign == "-" else offset)
    try:
        instant = datetime.fromisoformat(moment).replace(
            microsecond=int((fraction or "0").ljust(6, "0")[:6]), tzinfo=zone
        )
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class DataMode(Enum):
    """Whether a document says everything or what has changed (RFC 7865 section 6.1)."""

    COMPLETE = "complete"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Extension:
    """An element of another namespace, with all that is in it.

    Attributes:
        name: `{namespace}local`; the namespace is neither empty nor that of RFC 7865.
        attributes: names (with their namespace where they have one) and values.
        text: the text before the first child.
        children: the elements inside.
        tail: the text after the element inside of its parent; empty for an outermost one.
    """

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    children: tuple[Extension, ...] = ()
    tail: str = ""


Extensions = tuple[Extension, ...]


@dataclass(frozen=True, slots=True)
class LangText:
    """A text with its language (`xml:lang`), when that is told."""

    text: str
    lang: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A communication session group: calls that belong together (RFC 7865 section 6.2)."""

    group_id: Id
    associate_time: datetime | None = None
    disassociate_time: datetime | None = None
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a session ended (RFC 7865 section 6.3, after RFC 3326)."""

    cause: int
    text: str = ""
    protocol: str = "SIP"


@dataclass(frozen=True, slots=True)
class Session:
    """A communication session: the call that is recorded (RFC 7865 section 6.3).

    Attributes:
        session_id: its id.
        sip_session_ids: Session-ID values of RFC 7989; never a Call-ID.
        reasons: why it ended.
        group_ref: the group that it belongs to.
        start_time: when it began.
        stop_time: when it ended.
        extensions: data of others.
    """

    session_id: Id
    sip_session_ids: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    group_ref: Id | None = None
    start_time: datetime | None = None
    stop_time: datetime | None = None
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class NameId:
    """One address of a participant and the name that goes with it."""

    aor: str
    name: LangText | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """A party of the call (RFC 7865 section 6.5); it has one address at least."""

    participant_id: Id
    names: tuple[NameId, ...]
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """A media stream (RFC 7865 section 6.7); `label` names its m-line (RFC 4574)."""

    stream_id: Id
    session_id: Id | None = None
    label: str | None = None
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class SessionRecording:
    """When a session is part of this recording (RFC 7865 section 6.4)."""

    session_id: Id
    associate_time: datetime | None = None
    disassociate_time: datetime | None = None
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class Param:
    """A capability of a participant (RFC 7865 section 6.6, after RFC 4235)."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ParticipantSession:
    """When a participant takes part in a session (RFC 7865 section 6.6)."""

    participant_id: Id
    session_id: Id
    associate_time: datetime | None = None
    disassociate_time: datetime | None = None
    params: tuple[Param, ...] = ()
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class ParticipantStream:
    """Which streams a participant contributes to and which it hears (RFC 7865 section 6.8)."""

    participant_id: Id
    send: tuple[Id, ...] = ()
    recv: tuple[Id, ...] = ()
    associate_time: datetime | None = None
    disassociate_time: datetime | None = None
    extensions: Extensions = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """A metadata document (RFC 7865 section 6.1).

    Attributes:
        mode: None is taken as complete.
        groups: calls that belong together.
        sessions: the calls.
        participants: their parties.
        streams: their media.
        session_recordings: which sessions this recording holds, and when.
        participant_sessions: who takes part in which.
        participant_streams: who contributes to and hears which stream.
        extensions: data of others.
    """

    mode: DataMode | None = None
    groups: tuple[Group, ...] = ()
    sessions: tuple[Session, ...] = ()
    participants: tuple[Participant, ...] = ()
    streams: tuple[Stream, ...] = ()
    session_recordings: tuple[SessionRecording, ...] = ()
    participant_sessions: tuple[ParticipantSession, ...] = ()
    participant_streams: tuple[ParticipantStream, ...] = ()
    extensions: Extensions = ()

    @property
    def is_complete(self) -> bool:
        """Whether the document replaces all before it."""
        return self.mode is not DataMode.PARTIAL

    @property
    def names_labels(self) -> bool:
        """Whether it names labels, so that an offer must travel with it (RFC 7866 section 9.1)."""
        return any(stream.label is not None for stream in self.streams)


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """The recorder's wish for a complete document (RFC 7865 section 7)."""

    reason: LangText | None = None
    extensions: Extensions = ()


Document = Recording | SnapshotRequest
