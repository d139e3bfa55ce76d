"""Makes the messages of a stream as the protocol page says, apart from all code of the product."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

FRAME = 160
Message = dict[str, Any]


@dataclass
class Script:
    """One stream: each method returns the next message."""

    stream_id: str = "0192-stream"
    call_id: str = "0192-call"
    encoding: str = "PCMU"
    layout: str = "separate"
    sample_rate: int = 8000
    frame_ms: int = 20
    number: int = 0
    connection: int = 0
    chunks: dict[int, int] = field(default_factory=dict)
    sent: dict[int, bytes] = field(default_factory=dict)

    def message(self, event: str, body: Message) -> Message:
        """Return a message with the next number."""
        self.number += 1
        return {"event": event, "sequenceNumber": self.number, "streamId": self.stream_id, event: body}

    def connect(self) -> Message:
        """Return the first message of a connection."""
        self.connection += 1
        return self.message(
            "connect",
            {
                "protocol": "sidestream",
                "version": "1.0",
                "integrationId": "i-1",
                "integrationName": "live-transcript",
                "connection": self.connection,
                "resumed": self.connection > 1,
            },
        )

    def start(self) -> Message:
        """Return the second message of a connection."""
        party = {"uri": "sip:+1415@carrier.example", "number": "+1415", "displayName": ""}
        return self.message(
            "start",
            {
                "callId": self.call_id,
                "accountId": "a-1",
                "accountName": "acme",
                "voiceService": "support-desk",
                "trunk": "support-desk",
                "direction": "inbound",
                "sipCallId": "a84b@pc33",
                "startedAt": "2026-11-23T10:15:30.120Z",
                "participants": [
                    {"id": "caller", "role": "caller", "channel": 0, **party},
                    {"id": "callee", "role": "callee", "channel": 1, **party},
                ],
                "media": {
                    "encoding": self.encoding,
                    "sampleRate": self.sample_rate,
                    "frameDurationMs": self.frame_ms,
                    "layout": self.layout,
                    "channels": [0] if self.layout == "mixed" else [0, 1],
                },
                "parameters": {},
            },
        )

    def media(self, channel: int, payload: bytes, timestamp: int | None = None) -> Message:
        """Return the next frame of a channel; without a timestamp, in unbroken order."""
        chunk = self.chunks[channel] = self.chunks.get(channel, 0) + 1
        self.sent[channel] = self.sent.get(channel, b"") + payload
        return self.message(
            "media",
            {
                "channel": channel,
                "participantId": ("caller", "callee")[channel] if channel >= 0 else "",
                "chunk": chunk,
                "timestamp": FRAME * (chunk - 1) if timestamp is None else timestamp,
                "payload": base64.b64encode(payload).decode(),
            },
        )

    def dtmf(self, digit: str, channel: int = 0) -> Message:
        """Return a key press."""
        return self.message(
            "dtmf",
            {
                "channel": channel,
                "participantId": "caller",
                "digit": digit,
                "durationMs": 100,
                "timestamp": 0,
                "source": "rfc4733",
            },
        )

    def gap(self, channel: int, begin: int, samples: int, cause: str) -> Message:
        """Return the metadata that accounts for missing audio."""
        data = {"channel": channel, "fromTimestamp": begin, "samples": samples, "cause": cause}
        return self.message(
            "metadata",
            {"type": "media.gap", "at": "2026-11-23T10:16:02.480Z", "timestamp": begin, "data": data},
        )

    def close(self, **changes: object) -> Message:
        """Return the last message; `changes` falsify the totals of channel 0."""
        bytes_per_sample = 2 if self.encoding == "L16" else 1
        per_sample = bytes_per_sample * (2 if self.layout == "interleaved" else 1)
        totals: list[Message] = [
            {
                "channel": channel,
                "participantId": ("caller", "callee")[channel] if channel >= 0 else "",
                "chunks": self.chunks[channel],
                "samples": len(audio) // per_sample,
                "silenceSamples": 0,
                "droppedSamples": 0,
                "sha256": hashlib.sha256(audio).hexdigest(),
            }
            for channel, audio in sorted(self.sent.items())
        ]
        if totals:
            totals[0].update(changes)
        return self.message(
            "close",
            {
                "reason": "call-ended",
                "detail": "BYE from caller",
                "endedAt": "2026-11-23T10:17:30.120Z",
                "durationMs": 120000,
                "totals": totals,
            },
        )

    def conversation(self, frames: int) -> list[Message]:
        """Return a whole stream with so many distinct frames on each channel."""
        messages = [self.connect(), self.start()]
        for index in range(frames):
            messages += [self.media(channel, distinct(index, channel)) for channel in (0, 1)]
        return [*messages, self.close()]


def distinct(index: int, channel: int) -> bytes:
    """Return one G.711 frame that no other index and channel has."""
    return hashlib.shake_128(f"{channel}/{index}".encode()).digest(FRAME)


def text(message: Message) -> str:
    """Return a message as it goes over the wire."""
    return json.dumps(message, separators=(",", ":"))
