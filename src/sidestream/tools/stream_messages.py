"""What a receiver reads of `sidestream.v1`: decoded leniently (unknown keys are ignored, protocol section 1).

The tools decode with their own model, apart from the one the gateway encodes with: the one proves the other.
"""

from __future__ import annotations

import base64
import binascii
from array import array
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from sidestream.errors import RemoteError
from sidestream.tools import g711, wav

BYTES_PER_SAMPLE = {"PCMU": 1, "PCMA": 1, "L16": 2}


class MessageError(RemoteError):
    """A frame is not a message of the protocol."""


class _Received(Struct, frozen=True, kw_only=True, rename="camel"):
    """What all received objects share."""


class Connect(_Received, frozen=True, kw_only=True):
    """The first message of each connection."""

    protocol: str
    version: str
    integration_id: str
    integration_name: str
    connection: int
    resumed: bool


class Participant(_Received, frozen=True, kw_only=True):
    """One side of the call."""

    id: str
    role: str
    channel: int
    uri: str = ""
    number: str = ""
    display_name: str = ""


class MediaFormat(_Received, frozen=True, kw_only=True):
    """The stream's audio format."""

    encoding: str
    sample_rate: int
    frame_duration_ms: int
    layout: str
    channels: list[int]


class Start(_Received, frozen=True, kw_only=True):
    """The second message of each connection."""

    call_id: str
    account_id: str
    account_name: str
    voice_service: str
    direction: str
    sip_call_id: str
    started_at: str
    participants: list[Participant]
    media: MediaFormat
    trunk: str = ""
    parameters: dict[str, str] = {}


class Media(_Received, frozen=True, kw_only=True):
    """One frame of one channel; `payload` is base64."""

    channel: int
    participant_id: str
    chunk: int
    timestamp: int
    payload: str


class Dtmf(_Received, frozen=True, kw_only=True):
    """One key press."""

    channel: int
    participant_id: str
    digit: str
    duration_ms: int
    timestamp: int
    source: str


class Metadata(_Received, frozen=True, kw_only=True):
    """A new fact; `data` depends on the type and is kept as it came."""

    type: str
    at: str
    timestamp: int | None = None
    participant_id: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Gap(_Received, frozen=True, kw_only=True):
    """The data of a `media.gap`."""

    channel: int
    from_timestamp: int
    samples: int
    cause: str


class Totals(_Received, frozen=True, kw_only=True):
    """What was sent on one channel."""

    channel: int
    participant_id: str
    chunks: int
    samples: int
    silence_samples: int
    dropped_samples: int
    sha256: str


class Close(_Received, frozen=True, kw_only=True):
    """The last message of a stream."""

    reason: str
    ended_at: str
    duration_ms: int
    totals: list[Totals]
    detail: str = ""


class Envelope(_Received, frozen=True, kw_only=True):
    """One message: its number, its stream, and the body under the key named like the event."""

    event: str
    sequence_number: int
    stream_id: str
    connect: Connect | None = None
    start: Start | None = None
    media: Media | None = None
    metadata: Metadata | None = None
    dtmf: Dtmf | None = None
    close: Close | None = None


_EVENTS = frozenset({"connect", "start", "media", "metadata", "dtmf", "close"})
_DECODER = msgspec.json.Decoder(Envelope)
_GAP_DECODER = msgspec.json.Decoder(Gap)


def decode(text: str | bytes) -> Envelope:
    """Decode one text frame; raises MessageError naming the key that is wrong."""
    try:
        envelope = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"not a message of sidestream.v1: {error}") from error
    if envelope.event in _EVENTS and getattr(envelope, envelope.event) is None:
        raise MessageError(
            f"a message of event {envelope.event} has no object under the key {envelope.event!r}"
        )
    return envelope


def decode_gap(metadata: Metadata) -> Gap:
    """Decode the data of a `media.gap`."""
    try:
        return _GAP_DECODER.decode(metadata.data)
    except msgspec.DecodeError as error:
        raise MessageError(f"media.gap: {error}") from error


def payload_of(media: Media) -> bytes:
    """Return the audio bytes of a media message (RFC 4648 base64 with padding)."""
    try:
        return base64.b64decode(media.payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(f"media.payload is not base64: {error}") from error


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How payload bytes become samples."""

    encoding: str
    sample_rate: int
    frame_ms: int
    layout: str

    @property
    def frame_samples(self) -> int:
        """Samples of one channel in a frame."""
        return self.sample_rate * self.frame_ms // 1_000

    @property
    def frame_bytes(self) -> int:
        """Bytes of one message's payload."""
        channels = 2 if self.layout == "interleaved" else 1
        return self.frame_samples * channels * BYTES_PER_SAMPLE.get(self.encoding, 1)

    @property
    def wav_channels(self) -> int:
        """Channels of a recording: caller left and callee right, or one that is mixed."""
        return 1 if self.layout == "mixed" else 2

    def channels(self, channel: int, payload: bytes) -> list[tuple[int, array[int]]]:
        """Return the samples of a payload by recording channel."""
        if self.encoding == "L16":
            samples = wav.from_little_endian(payload[: len(payload) // 2 * 2])
        else:
            samples = g711.decode(g711.law_of(self.encoding), payload)
        if self.layout == "interleaved":
            return [(0, samples[0::2]), (1, samples[1::2])]
        return [(max(channel, 0), samples)]


def audio_format(start: Start) -> AudioFormat:
    """Return the format that a `start` names; raises MessageError for one that the tools can't play."""
    media = start.media
    if media.encoding not in BYTES_PER_SAMPLE:
        raise MessageError(f"the tools cannot decode {media.encoding}; use PCMU, PCMA or L16")
    return AudioFormat(media.encoding, media.sample_rate, media.frame_duration_ms, media.layout)
