"""What is known of a recording session once it is over, and the verdict on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from sidestream.tools.recorder_findings import Finding, remark, violation, violations
from sidestream.tools.recorder_metadata import Party
from sidestream.tools.recorder_track import PlacedFrame, Track, TrackCounts
from sidestream.tools.stream_receiver import Status

MAX_SKEW_S: Final = 3_600.0
"""Streams that begin further apart than this are put together as if they began at once."""
REPORTS_DUE_S: Final = 10.0
"""A sender reports after 7.5 s at the latest (RFC 3550 section 6.2)."""


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """One metadata document of the history.

    Attributes:
        number: from 1.
        at: when it came.
        message: the message that brought it: `INVITE`, `re-INVITE`, `UPDATE`, `BYE` or `200`.
        mode: `complete`, `partial`, or `invalid` when it cannot be read.
        accepted: whether the message was accepted.
        findings: what is wrong with it.
        file: the document, None past the bound.
    """

    number: int
    at: datetime
    message: str
    mode: str
    accepted: bool
    findings: tuple[Finding, ...]
    file: Path | None

    def to_json(self) -> dict[str, object]:
        """Return the entry as an object of `metadata.jsonl`."""
        return {
            "number": self.number,
            "at": stamp(self.at),
            "message": self.message,
            "mode": self.mode,
            "accepted": self.accepted,
            "findings": [finding.to_json() for finding in self.findings],
            "file": self.file.name if self.file is not None else None,
        }


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """One stream once nothing of it will come any more.

    Attributes:
        number: of its m-line, from 1.
        label: its label.
        file: its audio, None when none came.
        begin_s: where its first sample lies in the recording, in seconds.
        samples: its length.
        sha256: of its samples, 16-bit little-endian.
        ssrcs: sources in the order in which they came.
        cnames: names that they gave themselves.
        counts: packets of each kind.
        reports_sent: receiver reports that it got.
        presses: (position, key) of each key press.
        refused: whether the recorder refused it from beginning to end.
        frames: every frame, where the recorder was asked to keep them.
        suite: the crypto suite of SRTP that it last came by; empty for plain RTP.
    """

    number: int
    label: str
    file: Path | None
    begin_s: float
    samples: int
    sha256: str
    ssrcs: tuple[int, ...]
    cnames: tuple[str, ...]
    counts: TrackCounts
    reports_sent: int
    presses: tuple[tuple[int, str], ...]
    refused: bool
    frames: tuple[PlacedFrame, ...]
    suite: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the stream as an object of `summary.json`."""
        return {
            "number": self.number,
            "label": self.label,
            "file": self.file.name if self.file is not None else None,
            "begin": round(self.begin_s, 6),
            "samples": self.samples,
            "sha256": self.sha256,
            "ssrcs": [f"{ssrc:08x}" for ssrc in self.ssrcs],
            "cnames": list(self.cnames),
            "packets": msgspec.to_builtins(self.counts),
            "receiverReports": self.reports_sent,
            "refused": self.refused,
            "srtp": self.suite or None,
            "dtmf": [{"sample": position, "digit": key} for position, key in self.presses],
        }


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What is known of a recording session once it is over.

    Attributes:
        name: of its directory.
        call_id: its Call-ID.
        peer: address of the client.
        directory: where its files are.
        status: OK, INCOMPLETE or MISMATCH.
        reasons: why it is not OK, in words.
        ending: how it ended, in words.
        invite_status: final status of its INVITE.
        began_at: when the INVITE came.
        ended_at: when it ended.
        headers: header lines of the INVITE.
        streams: what was recorded.
        documents: its metadata.
        parties: participants, as the documents together describe them.
        findings: broken rules and remarks.
    """

    name: str
    call_id: str
    peer: str
    directory: Path
    status: Status
    reasons: tuple[str, ...]
    ending: str
    invite_status: int
    began_at: datetime
    ended_at: datetime
    headers: tuple[tuple[str, str], ...]
    streams: tuple[RecordedStream, ...]
    documents: tuple[MetadataEntry, ...]
    parties: tuple[Party, ...]
    findings: tuple[Finding, ...]

    @property
    def why(self) -> str:
        """One line that explains the status."""
        if not self.reasons:
            return "every rule was kept, and all that was sent came"
        more = len(self.reasons) - 1
        return self.reasons[0] + (f" (and {more} more)" if more else "")

    def to_json(self) -> dict[str, object]:
        """Return the content of `summary.json`."""
        return {
            "session": self.name,
            "callId": self.call_id,
            "peer": self.peer,
            "status": self.status.value,
            "why": self.why,
            "reasons": list(self.reasons),
            "ending": self.ending,
            "inviteStatus": self.invite_status,
            "beganAt": stamp(self.began_at),
            "endedAt": stamp(self.ended_at),
            "xHeaders": {name: value for name, value in self.headers if name.upper().startswith("X-")},
            "streams": [stream.to_json() for stream in self.streams],
            "participants": [party.to_json() for party in self.parties],
            "metadata": [entry.to_json() for entry in self.documents],
            "findings": [finding.to_json() for finding in self.findings],
        }


def stamp(at: datetime) -> str:
    """Return a time of day in UTC by RFC 3339."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session knows about itself at its end; see `SessionResult` for the words."""

    call_id: str
    peer: str
    ending: str
    wanted_end: bool
    """Whether it ended by a BYE of the client, or as the recorder was told to."""
    ended_by_recorder: bool
    invite_status: int
    began_at: datetime
    headers: tuple[tuple[str, str], ...]
    parties: tuple[Party, ...]
    metadata_ended: bool
    """Whether the last document gives every session an end."""


def judge_tracks(tracks: Sequence[Track]) -> Iterator[Finding]:
    """Judge the streams of a session beside each other (RFC 7866 section 8.1)."""
    owners: dict[int, int] = {}
    names: dict[str, int] = {}
    for track in tracks:
        for ssrc in track.ssrcs:
            if owners.setdefault(ssrc, track.number) != track.number:
                text = f"streams {owners[ssrc]} and {track.number} have the same SSRC {ssrc:08x}"
                yield violation("ssrc-shared", text, "RFC 7866 section 8.1.3")
        for name in sorted(set(track.cnames.values())):
            if names.setdefault(name, track.number) != track.number:
                text = f"streams {names[name]} and {track.number} have the same CNAME"
                yield remark("cname-shared", text, "RFC 7866 section 8.3.1")
        lasted = 0.0 if track.first_at is None or track.last_at is None else track.last_at - track.first_at
        if lasted > REPORTS_DUE_S and track.begin_by_reports is None:
            text = f"no sender report came on stream {track.number} in {lasted:.0f} s of audio"
            yield violation("rtcp-missing", text, "RFC 7866 section 8.1.1")


def begins(tracks: Sequence[Track]) -> list[float]:
    """Return where each stream begins in the recording, in seconds from the first sample of all.

    By the sender's reports where every stream that has audio has one, or else by arrival.
    """
    heard = [track for track in tracks if track.begin_by_arrival is not None]
    reported = [track.begin_by_reports for track in heard]
    by_reports = all(begin is not None for begin in reported)
    instants = [
        (track.begin_by_reports if by_reports else track.begin_by_arrival) if track in heard else None
        for track in tracks
    ]
    known = [instant for instant in instants if instant is not None]
    if not known or max(known) - min(known) > MAX_SKEW_S:
        return [0.0] * len(tracks)
    return [0.0 if instant is None else instant - min(known) for instant in instants]


def judge(
    facts: Facts, streams: Sequence[RecordedStream], findings: Sequence[Finding]
) -> tuple[Status, tuple[str, ...]]:
    """Return the verdict and why: a broken rule is a MISMATCH, anything missing is INCOMPLETE."""
    broken = violations(findings)
    missing = tuple(_missing(facts, streams))
    if broken:
        return Status.MISMATCH, (*map(str, broken), *missing)
    return (Status.INCOMPLETE, missing) if missing else (Status.OK, ())


def _missing(facts: Facts, streams: Sequence[RecordedStream]) -> Iterator[str]:
    if facts.invite_status != 200:
        yield f"the session was refused with {facts.invite_status}"
        return
    if not facts.wanted_end:
        yield f"the session did not end by a BYE: {facts.ending}"
    if not facts.parties:
        yield "no metadata describes a participant"
    elif facts.wanted_end and not facts.ended_by_recorder and not facts.metadata_ended:
        yield "no metadata tells the end of the session (stop-time)"
    for stream in streams:
        if stream.refused:
            yield f"stream {stream.number} was refused"
        elif not stream.samples:
            yield f"no audio came on stream {stream.number}"
        if stream.counts.lost:
            yield f"{stream.counts.lost} packets of stream {stream.number} are missing"
