"""What a recorder keeps of one recording session, and its verdict.

```text
<root>/<Call-ID>/
    metadata-001.xml  every metadata document as it came
    metadata.jsonl    when each came, in which message, and what is wrong with it
    messages.txt      every SIP message of the session
    stream-1.wav      each stream from its first packet on, named by its m-line
    call.wav          the first two streams left and right, at their places in time
    summary.json      the verdict and why, streams, participants, findings
```
"""

from __future__ import annotations

import contextlib
import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from sidestream.tools.recorder_findings import Findings, violation
from sidestream.tools.recorder_result import (
    Facts,
    MetadataEntry,
    RecordedStream,
    SessionResult,
    begins,
    judge,
    judge_tracks,
    stamp,
)
from sidestream.tools.recorder_track import Track
from sidestream.tools.rtp import CLOCK_RATE
from sidestream.tools.stream_store import new_directory, safe_name
from sidestream.tools.wav import HEADER_BYTES, WavError, WavWriter, from_little_endian

MAX_DOCUMENTS: Final = 1_000
MAX_MESSAGES: Final = 10_000
CHANNELS: Final = 2
_CHUNK_SAMPLES: Final = 10 * CLOCK_RATE


@dataclass(slots=True)
class SessionStore:
    """The files of one session.

    Attributes:
        directory: where they are.
        documents: the history so far.
        findings: what was found so far.
    """

    directory: Path
    documents: list[MetadataEntry] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    _told: int = 0
    _wavs: dict[int, WavWriter] = field(default_factory=dict)

    @classmethod
    def open(cls, root: Path, call_id: str) -> SessionStore:
        """Make the directory of a session.

        Raises:
            OSError: it cannot be written.
        """
        return cls(new_directory(root, safe_name(call_id)))

    def keep_message(self, at: datetime, direction: str, data: bytes) -> None:
        """Keep a SIP message, up to a bound."""
        if self._told < MAX_MESSAGES:
            self._told += 1
            self._append("messages.txt", f"--- {stamp(at)} {direction}\n".encode() + data.rstrip() + b"\n\n")

    def keep_document(self, data: bytes, entry: MetadataEntry) -> MetadataEntry:
        """Keep a document; returns the entry with its file. Past the bound it is left out."""
        if len(self.documents) >= MAX_DOCUMENTS:
            return entry
        file = self.directory / f"metadata-{entry.number:03}.xml"
        try:
            file.write_bytes(data)
        except OSError as error:
            self.findings.add(violation("disk", f"{file.name} cannot be kept: {error.strerror or error}"))
        entry = replace(entry, file=file)
        self.documents.append(entry)
        self._append("metadata.jsonl", msgspec.json.encode(entry.to_json()) + b"\n")
        return entry

    def _append(self, name: str, data: bytes) -> None:
        """Append to a file; none stays open, for there may be thousands of sessions."""
        try:
            with (self.directory / name).open("ab") as file:
                file.write(data)
        except OSError as error:
            self.findings.add(violation("disk", f"{name} cannot be kept: {error.strerror or error}"))

    def write(self, number: int, position: int, samples: array[int]) -> None:
        """Place samples of a stream."""
        wav = self._wavs.get(number)
        if wav is None:
            wav = self._wavs[number] = WavWriter(self._file(number), CLOCK_RATE, 1)
        try:
            wav.place(0, position, samples)
            wav.flush()
        except (WavError, OSError) as error:
            self.findings.add(violation("disk", f"stream {number} cannot be kept: {error}"))

    def _file(self, number: int) -> Path:
        return self.directory / f"stream-{number}.wav"

    def finish(self, facts: Facts, tracks: Sequence[FinishedTrack]) -> SessionResult:
        """Close the files, put the call together, and judge. Takes time: it reads every stream once more."""
        for wav in self._wavs.values():
            with contextlib.suppress(OSError):
                wav.close()
        all_tracks = [each.track for each in tracks]
        for track in all_tracks:
            for finding in track.findings:
                self.findings.add(replace(finding, where=f"stream {track.number}"))
        for finding in judge_tracks(all_tracks):
            self.findings.add(finding)
        streams = tuple(
            self._stream(each, begin) for each, begin in zip(tracks, begins(all_tracks), strict=True)
        )
        try:
            self._put_together(streams)
        except (WavError, OSError) as error:
            self.findings.add(violation("disk", f"call.wav cannot be written: {error}"))
        return self._result(facts, streams)

    def _stream(self, finished: FinishedTrack, begin: float) -> RecordedStream:
        track = finished.track
        file = self._file(track.number) if track.number in self._wavs else None
        return RecordedStream(
            number=track.number,
            label=track.label,
            file=file,
            begin_s=begin,
            samples=track.samples,
            sha256=_digest(file),
            ssrcs=track.ssrcs,
            cnames=tuple(dict.fromkeys(track.cnames.values())),
            counts=track.counts,
            suite=track.suite,
            reports_sent=finished.reports_sent,
            presses=tuple(track.presses),
            refused=finished.refused,
            frames=tuple(track.frames),
        )

    def _put_together(self, streams: Sequence[RecordedStream]) -> None:
        chosen = [each for each in enumerate(streams[:CHANNELS]) if each[1].file is not None]
        if not chosen:
            return
        with WavWriter(self.directory / "call.wav", CLOCK_RATE, CHANNELS) as call:
            for channel, stream in chosen:
                _copy(stream, call, channel)

    def _result(self, facts: Facts, streams: tuple[RecordedStream, ...]) -> SessionResult:
        status, reasons = judge(facts, streams, list(self.findings))
        result = SessionResult(
            name=self.directory.name,
            call_id=facts.call_id,
            peer=facts.peer,
            directory=self.directory,
            status=status,
            reasons=reasons,
            ending=facts.ending,
            invite_status=facts.invite_status,
            began_at=facts.began_at,
            ended_at=datetime.now(UTC),
            headers=facts.headers,
            streams=streams,
            documents=tuple(self.documents),
            parties=facts.parties,
            findings=tuple(self.findings),
        )
        content = msgspec.json.format(msgspec.json.encode(result.to_json()), indent=2)
        with contextlib.suppress(OSError):
            (self.directory / "summary.json").write_bytes(content + b"\n")
        return result


@dataclass(frozen=True, slots=True)
class FinishedTrack:
    """A track that nothing comes on any more, with what only its port knows."""

    track: Track
    reports_sent: int = 0
    refused: bool = False


def _copy(stream: RecordedStream, call: WavWriter, channel: int) -> None:
    if stream.file is None:
        return
    position = round(stream.begin_s * CLOCK_RATE)
    with stream.file.open("rb") as source:
        source.seek(HEADER_BYTES)
        while pcm := source.read(2 * _CHUNK_SAMPLES):
            samples = from_little_endian(pcm)
            call.place(channel, position, samples)
            position += len(samples)


def _digest(file: Path | None) -> str:
    digest = hashlib.sha256()
    if file is not None:
        with file.open("rb") as source:
            source.seek(HEADER_BYTES)
            while pcm := source.read(2 * _CHUNK_SAMPLES):
                digest.update(pcm)
    return digest.hexdigest()
