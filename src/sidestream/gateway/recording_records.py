"""The journal's record of one recording: what it came to, and what joins it with the recorder's own files."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from sidestream.gateway.engine_messages import RecordingClosed
from sidestream.siprec.verdicts import RecordingVerdict


@dataclass(slots=True, kw_only=True)
class SessionRecord:
    """One dialog with one recording server."""

    server: str
    sip_call_id: str
    """Call-ID of the recording session: what the recorder knows it by."""
    verdict: str = ""
    cause: str = ""
    """Why it failed or was lost; empty when it did neither."""
    status: int | None = None
    setup_s: float | None = None
    """From the first INVITE to the answer; None when none came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOfRecord:
    """One copy of a recording."""

    copy: int
    verdict: str
    servers: list[str]
    """Those that recorded, in order."""
    attempts: int
    failovers: int
    gap_s: float
    """What of the call it lacks between one recorder and the next."""
    streams: list[dict[str, object]] = field(default_factory=list)
    """What the engine sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRecord:
    """One recording of a call."""

    recording_id: str
    integration: str
    voice_service: str
    policy: str
    session_id: str
    """The call's id in the metadata (`session_id` of RFC 7865): the same on all copies and servers."""
    started_at: datetime
    confirmed_at: datetime | None
    """When the first server agreed to record; None: none did."""
    ended_at: datetime
    verdict: str
    """Slug."""
    result: str
    detail: str
    copies: list[CopyOfRecord]
    sessions: list[SessionRecord]
    paused: list[list[datetime]]
    """From when to when it left out what was said."""


def sent_streams(closed: RecordingClosed | None) -> list[dict[str, object]]:
    """Return what the engine counted of a copy, for its record."""
    return [] if closed is None else [msgspec.structs.asdict(stream) for stream in closed.streams]


def describe_recording(verdict: RecordingVerdict) -> dict[str, str]:
    """Return a recording's verdict as fields of a log line."""
    return {"verdict": verdict.slug.value, "result": verdict.result.value, "detail": verdict.sentence}
