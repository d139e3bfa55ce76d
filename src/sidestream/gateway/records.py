"""The journal's record of one call: how it went, how it ended, its media, its streams and its recordings."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from sidestream.call.quality import CallQuality
from sidestream.call.record import CallSnapshot
from sidestream.gateway.call_store import EndedCall
from sidestream.gateway.engine_messages import SideStats, StreamClosed
from sidestream.gateway.recording_records import RecordingRecord
from sidestream.stream.verdicts import StreamVerdict

RECORD_COST: Final = 1024
"""Bytes of memory that a record takes beside its text."""

RECORD_VERSION: Final = 1
"""Keys are only ever added within a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """One media stream of a call."""

    stream_id: str
    integration: str
    voice_service: str
    started_at: datetime
    ended_at: datetime
    verdict: str
    """Slug."""
    result: str
    detail: str
    connections: int
    malformed: int
    """Messages of the endpoint that could not be obeyed."""
    delivered: dict[str, object] | None = None
    """What the engine counted: messages, bytes, the longest queue, gaps by cause and `close.totals`; None
    when it told nothing."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What was made of a call besides carrying it."""

    streams: list[StreamRecord] = field(default_factory=list)
    recordings: list[RecordingRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MediaFigures:
    """What is known of a call's media.

    Attributes:
        sides: statistics of both legs; empty when no media was reserved.
        quality: what they mean; None when there are none.
    """

    sides: list[SideStats] = field(default_factory=list)
    quality: CallQuality | None = None

    def legs(self) -> list[dict[str, Any]]:
        """Return the statistics with the scores of `quality`, which knows the codec."""
        legs = [msgspec.structs.asdict(side) for side in self.sides]
        if self.quality is not None:
            for leg in legs:
                leg["mos"] = (self.quality.caller if leg["side"] == "a" else self.quality.callee).mos
        return legs


def delivery(closed: StreamClosed) -> dict[str, object]:
    """Return what the engine counted of a stream, for its record."""
    return {
        "close_sent": closed.close_sent,
        "close_code": closed.close_code,
        "messages": closed.messages,
        "sent_bytes": closed.sent_bytes,
        "max_queue_ms": closed.max_queue_ms,
        "gap_samples": closed.gap_samples,
        "totals": [msgspec.structs.asdict(channel) for channel in closed.totals],
    }


def encode_record(
    node: str,
    snapshot: CallSnapshot,
    media: MediaFigures,
    followers: Followed,
    source: str,
) -> bytes:
    """Return the record as one JSON object without line breaks.

    Args:
        node: name of the gateway.
        snapshot: the call with its verdict.
        media: what is known of both legs' media.
        followers: every stream and recording that was begun or would have been.
        source: where the INVITE came from, as `udp:192.0.2.1:5060`.
    """
    record = {
        "version": RECORD_VERSION,
        "node": node,
        **{name: getattr(snapshot, name) for name in snapshot.__dataclass_fields__},
        "source": source,
        "media": media.legs(),
        "quality": media.quality,
        "streams": followers.streams,
        "recordings": followers.recordings,
    }
    return msgspec.json.encode(record)


def parties_of(snapshot: CallSnapshot) -> str:
    """Return what a search by party looks in, in lower case."""
    parties = (snapshot.caller.participant, snapshot.callee.participant)
    words = [word for party in parties for word in (party.number, party.uri, party.display_name)]
    return " ".join(words).lower()


def still_open(record: dict[str, Any], open_ids: frozenset[str]) -> dict[str, Any]:
    """Return a live call's record in which streams and recordings that go on have no end."""
    unknown = dict.fromkeys(("ended_at", "verdict", "result", "detail"))
    for name, key in (("streams", "stream_id"), ("recordings", "recording_id")):
        record[name] = [each | unknown if each[key] in open_ids else each for each in record[name]]
    return record


def ended_call(snapshot: CallSnapshot, record: bytes, now: datetime) -> EndedCall:
    """Return an ended call for the store, without its trace."""
    return EndedCall(
        call_id=snapshot.call_id,
        ended_us=round((snapshot.ended_at or now).timestamp() * 1_000_000),
        parties=parties_of(snapshot),
        record=record,
        trace=None,
        size=len(record) + RECORD_COST,
    )


def describe(verdict: StreamVerdict) -> dict[str, str]:
    """Return a stream's verdict as fields of a log line."""
    return {"verdict": verdict.slug.value, "result": verdict.result.value, "detail": verdict.detail}
