"""Messages from Sidestream to an endpoint: the bodies of `sidestream.v1` (protocol sections 2 and 3).

Keys are camelCase on the wire; wall-clock instants are RFC 3339 UTC with milliseconds. `media` messages are
made by the media engine, which also numbers every message and appends the totals to `close`.
"""

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

PROTOCOL: Final = "sidestream"
VERSION: Final = "1.0"
SUBPROTOCOL: Final = "sidestream.v1"

EventName = Literal["connect", "start", "metadata", "dtmf", "media", "close"]
Direction = Literal["inbound", "outbound"]
Layout = Literal["separate", "interleaved", "mixed"]
CloseReason = Literal[
    "call-ended",
    "stopped",
    "stopped-by-endpoint",
    "integration-removed",
    "account-suspended",
    "max-duration",
    "shutdown",
    "error",
]
GapCause = Literal["loss", "silence", "hold", "overflow", "reconnect", "paused", "drift"]
PausedBy = Literal["api", "endpoint", "policy"]
DtmfSource = Literal["rfc4733", "sip-info", "inband"]


class Body(Struct, frozen=True, kw_only=True, rename="camel"):
    """What all message bodies share: immutable, built by keyword, camelCase on the wire."""


class Connect(Body, frozen=True, kw_only=True):
    """The session has connected to the endpoint named in the configuration.

    `connection` counts the connections of this stream from 1; `resumed` is true from the second on.
    """

    integration_id: str
    integration_name: str
    connection: int
    resumed: bool
    protocol: str = PROTOCOL
    version: str = VERSION


class Participant(Body, frozen=True, kw_only=True):
    """One person or machine heard on the stream; `id` is stable and unique for the stream's life."""

    id: str
    role: str
    channel: int
    uri: str
    number: str
    display_name: str


class MediaFormat(Body, frozen=True, kw_only=True):
    """The audio format of the stream, fixed for its life; `sample_rate` in Hz."""

    encoding: str
    sample_rate: int
    frame_duration_ms: int
    layout: str
    channels: list[int]


class Start(Body, frozen=True, kw_only=True):
    """The session is ready and will begin streaming; `started_at` is the instant of sample 0."""

    call_id: str
    account_id: str
    account_name: str
    voice_service: str
    trunk: str
    direction: Direction
    sip_call_id: str
    started_at: str
    participants: list[Participant]
    media: MediaFormat
    parameters: dict[str, str]


class CallAnsweredData(Body, frozen=True, kw_only=True):
    """`call.answered`: when the call was answered."""

    answered_at: str


class CallHeadersData(Body, frozen=True, kw_only=True):
    """`call.headers`: the forwarded SIP headers, each name with all its values in order."""

    headers: dict[str, list[str]]


class MediaGapData(Body, frozen=True, kw_only=True):
    """`media.gap`: `samples` of the channel from `from_timestamp` on are filled or missing."""

    channel: int
    from_timestamp: int
    samples: int
    cause: str


class StreamPausedData(Body, frozen=True, kw_only=True):
    """`stream.paused` and `stream.resumed`: who asked for it."""

    by: PausedBy


class StreamLagData(Body, frozen=True, kw_only=True):
    """`stream.lag`: milliseconds of audio that wait in the send queue, and its bound."""

    queued_ms: int
    bound_ms: int


class ChannelStats(Body, frozen=True, kw_only=True):
    """Reception quality of one channel since the start of the stream."""

    channel: int
    participant_id: str
    packets_received: int
    lost: int
    late: int
    duplicate: int
    jitter_ms: float
    mos: float | None


class StreamStatsData(Body, frozen=True, kw_only=True):
    """`stream.stats`: per channel quality, the send queue and the last ping's round trip in milliseconds."""

    channels: list[ChannelStats]
    queue_ms: int
    rtt_ms: float | None


class StreamErrorData(Body, frozen=True, kw_only=True):
    """`stream.error`: why an inbound message was not obeyed."""

    message: str


class EmptyData(Body, frozen=True, kw_only=True):
    """`call.held` and `call.resumed` carry no data of their own."""


MetadataData = (
    CallAnsweredData
    | CallHeadersData
    | EmptyData
    | MediaGapData
    | Participant
    | StreamErrorData
    | StreamLagData
    | StreamPausedData
    | StreamStatsData
)


class Metadata(Body, frozen=True, kw_only=True):
    """A new fact about the call or the stream; `timestamp` in samples since `startedAt`."""

    type: str
    at: str
    timestamp: int
    data: MetadataData
    participant_id: str | UnsetType = UNSET


class Dtmf(Body, frozen=True, kw_only=True):
    """A participant pressed a key; sent once per press, at its end."""

    channel: int
    participant_id: str
    digit: str
    duration_ms: int
    timestamp: int
    source: DtmfSource


class Close(Body, frozen=True, kw_only=True):
    """The session has ended. The media engine adds `totals` when it has sent the last frame."""

    reason: CloseReason
    detail: str
    ended_at: str
    duration_ms: int


_encoder = msgspec.json.Encoder()


def encode(body: Body) -> bytes:
    """Return the body as one JSON object in UTF-8."""
    return _encoder.encode(body)


def rfc3339(instant: datetime) -> str:
    """Return an instant as RFC 3339 in UTC with exactly three decimals, such as `2026-11-23T10:15:30.120Z`.

    Raises:
        ValueError: when the instant names no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone; pass datetime(..., tzinfo=UTC)")
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
