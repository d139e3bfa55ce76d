"""What an endpoint keeps of one stream: a WAV file, every message, and what was proven about it.

```text
<root>/<callId>-<streamId>/
    call.wav          caller left, callee right, each sample at its place on the stream's clock
    transcript.jsonl  every message as it came, with `receivedAt` and `connection` added
    verdict.json      what was proven: status, totals, findings
```
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedWriter
from pathlib import Path

import msgspec

from sidestream.tools import stream_messages
from sidestream.tools.stream_messages import AudioFormat, Envelope, Gap, MessageError
from sidestream.tools.stream_receiver import Accepted, Audio, Status, StreamReceiver, StreamVerdict
from sidestream.tools.wav import WavError, WavWriter

MAX_SAMPLE_RATE = 192_000
MAX_FRAME_MS = 1_000
MAX_KEPT_TEXT = 4_096
"""Characters kept of a frame that is no message of the protocol."""
MAX_PENDING_LINES = 16
"""Lines that wait for `start`, which names the call and so the directory."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_MAX_NAME = 80


def safe_name(text: str) -> str:
    """Return a file name for an identifier that came from outside; never empty, hidden or a path."""
    return _UNSAFE.sub("_", text)[:_MAX_NAME].lstrip(".") or "unknown"


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What is known of a stream once nothing of it will come any more.

    Attributes:
        stream_id: the stream.
        call_id: its call, as `start` or else the upgrade request named it.
        directory: where its files are.
        status: OK, INCOMPLETE (also when no `close` came) or MISMATCH.
        verdict: the proof in detail.
        close_reason: reason of `close`, empty when none came.
        presses: (channel, digit) of each key press in order.
        gaps: every `media.gap`.
    """

    stream_id: str
    call_id: str
    directory: Path
    status: Status
    verdict: StreamVerdict
    close_reason: str
    presses: tuple[tuple[int, str], ...]
    gaps: tuple[Gap, ...]

    @property
    def why(self) -> str:
        """One line that explains the status."""
        if self.verdict.findings:
            more = len(self.verdict.findings) - 1
            return self.verdict.findings[0] + (f" (and {more} more findings)" if more else "")
        details = [
            f"channel {channel.channel}: {channel.detail}"
            for channel in self.verdict.channels
            if channel.status is not Status.OK
        ]
        if self.verdict.status is Status.OPEN:
            return "no close came"
        return "; ".join(details) or "every chunk, sample and digest agrees"

    def to_json(self) -> dict[str, object]:
        """Return the content of `verdict.json`."""
        return {
            "streamId": self.stream_id,
            "callId": self.call_id,
            "status": self.status.value,
            "why": self.why,
            "closeReason": self.close_reason,
            "messages": self.verdict.messages,
            "duplicates": self.verdict.duplicates,
            "connections": self.verdict.connections,
            "channels": [
                {
                    "channel": line.channel,
                    "participantId": line.participant_id,
                    "status": line.status.value,
                    "chunks": line.chunks,
                    "samples": line.samples,
                    "silenceSamples": line.silence_samples,
                    "droppedSamples": line.dropped_samples,
                    "missingChunks": line.missing_chunks,
                    "sha256": line.sha256,
                    "detail": line.detail,
                }
                for line in self.verdict.channels
            ],
            "gaps": [msgspec.to_builtins(gap) for gap in self.gaps],
            "dtmf": [{"channel": channel, "digit": digit} for channel, digit in self.presses],
            "findings": list(self.verdict.findings),
        }


def transcript_line(text: str, received_at: datetime, connection: int, *, keep_media: bool = True) -> str:
    """Return a message as one line of `transcript.jsonl`; `text` is one JSON object.

    Without media, a payload is replaced by its length under `payloadBytes`.
    """
    body = text.strip()
    if not keep_media and '"payload"' in body:
        body = _without_payload(body)
    elif "\n" in body or "\r" in body:
        body = msgspec.json.encode(msgspec.json.decode(body)).decode()
    separator = "" if body[1:-1].strip() == "" else ","
    stamp = received_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f'{body[:-1]}{separator}"receivedAt":"{stamp}","connection":{connection}}}\n'


def _without_payload(body: str) -> str:
    message = msgspec.json.decode(body)
    media = message.get("media")
    if isinstance(media, dict) and isinstance(media.get("payload"), str):
        payload: str = media.pop("payload")
        media["payloadBytes"] = len(payload) * 3 // 4 - payload[-2:].count("=")
    return msgspec.json.encode(message).decode()


@dataclass(slots=True)
class StreamStore:
    """The files and the proof of one stream over all its connections.

    Attributes:
        stream_id: the stream.
        root: directory that the stream's own is made in.
        call_id: as the upgrade request named it, replaced by the one in `start`.
        keep_media: whether payloads stay in the transcript.
        receiver: the state of the stream.
        directory: where its files are; None until it is known which call it belongs to.
    """

    stream_id: str
    root: Path
    call_id: str = ""
    keep_media: bool = True
    receiver: StreamReceiver = field(init=False)
    directory: Path | None = None
    connections: int = 0
    chunks: dict[int, int] = field(default_factory=dict)
    position: int = 0
    _transcript: BufferedWriter | None = None
    _wav: WavWriter | None = None
    _pending: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = StreamReceiver(self.stream_id)

    def connected(self) -> None:
        """A connection of this stream was opened."""
        self.connections += 1
        self.receiver.connected()

    def take(self, message: Envelope, text: str, received_at: datetime) -> Accepted:
        """Keep one message that was decoded from `text`.

        Raises:
            OSError: the disk does not take it.
        """
        accepted = self.receiver.accept(message)
        if message.start is not None:
            self._open(message.start.call_id)
        self._write(transcript_line(text, received_at, self.connections, keep_media=self.keep_media))
        if accepted.audio is not None:
            self._place(accepted.audio)
        return accepted

    def reject(self, frame: str | bytes, why: str, received_at: datetime) -> None:
        """Keep a frame that is no message of the protocol, cut to a bound, and remember why.

        Raises:
            OSError: the disk does not take it.
        """
        self.receiver.find(why)
        text = frame if isinstance(frame, str) else frame[:MAX_KEPT_TEXT].hex()
        body = msgspec.json.encode({"malformed": text[:MAX_KEPT_TEXT], "why": why}).decode()
        self._write(transcript_line(body, received_at, self.connections))

    def flush(self) -> None:
        """Bring everything taken so far to the files, so that it may be acknowledged."""
        if self._transcript is not None:
            self._transcript.flush()
        if self._wav is not None:
            self._wav.flush()

    def finish(self) -> StreamResult:
        """Close the files and return the result; what the disk does not take is a finding."""
        directory = self.root
        try:
            directory = self._open(self.call_id)
            for file in (self._wav, self._transcript):
                if file is not None:
                    file.close()
        except OSError as error:
            self.receiver.find(f"cannot be kept: {error.strerror or error}")
        result = self._result(directory)
        content = msgspec.json.format(msgspec.json.encode(result.to_json()), indent=2)
        with contextlib.suppress(OSError):
            (directory / "verdict.json").write_bytes(content + b"\n")
        return result

    def _result(self, directory: Path) -> StreamResult:
        verdict = self.receiver.verdict()
        close = self.receiver.close
        return StreamResult(
            stream_id=self.stream_id,
            call_id=self.call_id,
            directory=directory,
            status=_final(verdict),
            verdict=verdict,
            close_reason=close.reason if close is not None else "",
            presses=tuple((press.channel, press.digit) for press in self.receiver.presses),
            gaps=tuple(self.receiver.gaps),
        )

    def _open(self, call_id: str) -> Path:
        if self.directory is None:
            self.call_id = call_id or self.call_id
            self.directory = new_directory(
                self.root, f"{safe_name(self.call_id)}-{safe_name(self.stream_id)}"
            )
            self._transcript = (self.directory / "transcript.jsonl").open("wb")
            self._transcript.writelines(line.encode(errors="backslashreplace") for line in self._pending)
            self._pending.clear()
        if self._wav is None and self.receiver.format is not None:
            self._wav = self._open_wav(self.directory, self.receiver.format)
        return self.directory

    def _open_wav(self, directory: Path, layout: AudioFormat) -> WavWriter | None:
        if not (0 < layout.sample_rate <= MAX_SAMPLE_RATE and 0 < layout.frame_ms <= MAX_FRAME_MS):
            self.receiver.find(f"start names {layout.sample_rate} Hz in frames of {layout.frame_ms} ms")
            return None
        return WavWriter(directory / "call.wav", layout.sample_rate, layout.wav_channels)

    def _write(self, line: str) -> None:
        if self._transcript is None:
            self._pending.append(line)
            if len(self._pending) > MAX_PENDING_LINES:
                self._open(self.call_id)
        else:
            self._transcript.write(line.encode(errors="backslashreplace"))

    def _place(self, audio: Audio) -> None:
        layout = self.receiver.format
        self.chunks[audio.channel] = self.chunks.get(audio.channel, 0) + 1
        if self._wav is None or layout is None:
            return
        if audio.position < 0 or audio.channel >= layout.wav_channels:
            self.receiver.find(f"audio of channel {audio.channel} at {audio.position} has no place in a call")
            return
        try:
            for channel, samples in layout.channels(audio.channel, audio.payload):
                self._wav.place(channel, audio.position, samples)
        except WavError as error:
            self.receiver.find(str(error))
            return
        self.position = max(self.position, audio.position + layout.frame_samples)


def decode_frame(frame: str | bytes) -> tuple[Envelope, str]:
    """Decode what came in one WebSocket frame.

    Raises:
        MessageError: it is binary, or no message of the protocol.
    """
    if isinstance(frame, bytes):
        raise MessageError(f"a binary frame of {len(frame)} bytes; every message is a text frame")
    return stream_messages.decode(frame), frame


def _final(verdict: StreamVerdict) -> Status:
    if verdict.status is Status.OPEN:
        return Status.MISMATCH if verdict.findings else Status.INCOMPLETE
    return verdict.status


def new_directory(root: Path, name: str) -> Path:
    """Make a directory of that name, or with a number behind it where there is one; raises OSError."""
    for attempt in range(1, 1_000):
        directory = root / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise FileExistsError(f"{root / name} exists a thousand times")


def worst(results: Sequence[StreamResult]) -> Status:
    """Return the worst status of several streams; OK for none."""
    order = (Status.MISMATCH, Status.INCOMPLETE)
    return next((status for status in order if any(r.status is status for r in results)), Status.OK)
