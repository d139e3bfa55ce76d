"""What crosses the boundary to the media engine as JSON: orders with structure, and events.

The engine reads and writes the same shapes with serde (`crates/media/src/orders.rs` and `events.rs`). Keys
are camelCase; `side` is `"a"` (the caller's leg) or `"b"`.
"""

from base64 import b64encode
from typing import Literal

import msgspec
from msgspec import Struct

from sidestream.sdp.crypto import KeyMaterial, SrtpKeys

SideName = Literal["a", "b"]


class _Wire(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """What all shapes share."""


class EngineSpec(_Wire, frozen=True, kw_only=True):
    """How the engine runs."""

    address: str
    """IP address that the legs bind."""
    port_min: int
    port_max: int
    """Inclusive range of UDP ports; RTP takes even ones, RTCP the odd one above."""
    threads: int = 0
    """Worker threads; 0: one for each core."""
    media_timeout_ms: int = 0
    """`media_timeout` comes when neither leg of a bridged, unheld call had media for so long; 0: never."""
    learning_ms: int = 1000
    """How long a leg waits for the negotiated source before it takes another one that came alone."""
    max_streams: int = 20_000
    version: str = ""
    """For `User-Agent`-like diagnostics only."""


class RemoteAddress(_Wire, frozen=True, kw_only=True):
    """Where a party wants its media; `host` is an IP address."""

    host: str
    rtp_port: int
    rtcp_port: int


class LegCodec(_Wire, frozen=True, kw_only=True):
    """One format agreed on a leg, as `sdp.negotiate.NegotiatedCodec`."""

    name: str
    clock_rate: int
    channels: int
    local_pt: int
    """Payload type of packets that the party sends to us."""
    remote_pt: int
    """Payload type of packets that we send to the party."""


class SrtpKey(_Wire, frozen=True, kw_only=True):
    """What one direction is protected with (RFC 3711). Never shown."""

    suite: str
    """As in SDP, such as `AES_CM_128_HMAC_SHA1_80`."""
    key_salt: str
    """Master key and master salt one after the other, in base64."""
    lifetime: int | None = None
    """Packets that it may protect; None: as many as the suite allows."""

    @classmethod
    def of(cls, material: KeyMaterial) -> "SrtpKey":
        """The same as SDP agreed on it."""
        key_salt = b64encode(material.key_salt).decode("ascii")
        return cls(suite=material.suite.value, key_salt=key_salt, lifetime=material.lifetime)

    def __repr__(self) -> str:
        """Without the key."""
        return f"SrtpKey({self.suite})"


class SrtpPair(_Wire, frozen=True, kw_only=True):
    """The keys of both directions.

    Keys that are the same as before change nothing; after others, packets under the former ones are still
    taken for as long as they may be on their way.
    """

    send: SrtpKey
    receive: SrtpKey

    @classmethod
    def of(cls, keys: SrtpKeys) -> "SrtpPair":
        """The same as SDP agreed on it."""
        return cls(send=SrtpKey.of(keys.send), receive=SrtpKey.of(keys.receive))


def srtp_of(keys: SrtpKeys | None) -> SrtpPair | None:
    """What SDP agreed on; None for plain RTP."""
    return None if keys is None else SrtpPair.of(keys)


class LegSpec(_Wire, frozen=True, kw_only=True):
    """What was agreed on a leg. Sent again whenever it changes."""

    side: SideName
    remote: RemoteAddress | None
    """None: nothing is sent to it."""
    codecs: list[LegCodec]
    ptime_ms: int
    held: bool
    """Silence of this leg is due to a hold."""
    srtp: SrtpPair | None = None
    """The keys of SRTP; None: plain RTP."""


class ChannelSpec(_Wire, frozen=True, kw_only=True):
    """One tapped side."""

    channel: int
    side: SideName
    participant: str


class StreamSpec(_Wire, frozen=True, kw_only=True):
    """The shape and bounds of a stream. Sample 0 of every channel is the instant of the order."""

    stream_id: str
    encoding: Literal["PCMU", "PCMA", "L16"]
    sample_rate: int
    frame_ms: int
    layout: Literal["separate", "interleaved", "mixed"]
    channels: list[ChannelSpec]
    started_at_unix_ms: int
    """Wall clock of sample 0; the engine makes the `at` of its own metadata from it."""
    start_ns: int
    """CLOCK_MONOTONIC of sample 0."""
    jitter_window_ms: int = 60
    flush_ms: int = 20
    """0: each frame at once."""
    queue_ms: int = 10_000
    """Bound of audio not yet handed to the network; beyond it the oldest media is dropped."""
    replay_ms: int = 10_000
    """Bound of audio kept after it was handed to the network, for replay to an endpoint that acknowledges."""
    ping_ms: int = 15_000
    missed_pongs: int = 2
    stats_ms: int = 10_000


class ConnectAttempt(_Wire, frozen=True, kw_only=True):
    """One attempt to connect a stream."""

    addresses: list[str]
    """IP addresses to try in order, each within the one deadline."""
    port: int
    server_name: str | None
    """For SNI and certificate verification (a DNS name or an IP address); None: no TLS (`ws://`)."""
    ca_pem: str | None
    """Trust anchors in place of the system's."""
    host_header: str
    path: str
    """With the query."""
    headers: list[tuple[str, str]]
    subprotocol: str
    connect: str
    """Body of the `connect` message, JSON."""
    start: str
    """Body of the `start` message, JSON."""
    timeout_ms: int = 5000
    """For TCP, TLS and the upgrade together."""


class RecordedStream(_Wire, frozen=True, kw_only=True):
    """One side as a stream of a recording session: an RTP source of its own (RFC 7866 section 8)."""

    label: str
    """Names it in targets, events and statistics; as in SDP (RFC 4574)."""
    side: SideName
    cname: str
    """Its canonical name in RTCP (RFC 7022), 1 to 255 bytes."""
    ssrc: int | None = None
    """None: the engine takes one by chance."""


class RecordingSpec(_Wire, frozen=True, kw_only=True):
    """One recording session of a call; copies of one recording have the same `start_ns`."""

    recording_id: str
    """For diagnostics only."""
    streams: list[RecordedStream]
    """1 to 8, with different labels and sources."""
    dtmf: Literal["relay", "suppress"]
    """Whether key presses by RFC 4733 are sent as events; silence stands in the audio for them either way."""
    start_ns: int = 0
    """CLOCK_MONOTONIC of the streams' zero: all of them count from it. 0: the instant of the order."""
    early_ms: int = 1000
    """Bound of what is kept until the recorder has answered, up to 5000; then sent at five times its pace."""


class RecordingCodec(_Wire, frozen=True, kw_only=True):
    """What a stream is sent in."""

    name: str
    """PCMU and PCMA are made of what the call has; anything else must be the call's own."""
    payload_type: int
    clock_rate: int
    channels: int = 1


class RecordingStreamTarget(_Wire, frozen=True, kw_only=True):
    """What was agreed with the recorder about one stream."""

    label: str
    remote: RemoteAddress | None
    """None: nowhere."""
    on: bool
    """False: nothing is sent (`inactive`, refused, port 0); the stream's clock runs on."""
    codec: RecordingCodec | None
    """None: nothing is sent."""
    event_payload_type: int | None = None
    """Of telephone-event at the codec's clock rate; None: key presses are not sent."""
    ptime_ms: int = 20
    srtp: SrtpPair | None = None
    """The keys of SRTP; None: plain RTP."""
    """Milliseconds of audio in a packet of PCMU or PCMA, 10 to 200."""


class RecordingTarget(_Wire, frozen=True, kw_only=True):
    """What was agreed with the recorder. Streams that are not named stay as they are."""

    streams: list[RecordingStreamTarget]


class SideStats(_Wire, frozen=True, kw_only=True):
    """What one leg received and sent since the call began."""

    side: SideName
    received_packets: int
    received_bytes: int
    sent_packets: int
    sent_bytes: int
    lost: int
    late: int
    duplicate: int
    alien: int
    """Packets from another source than the locked one."""
    malformed: int
    unauthentic: int = 0
    """SRTP and SRTCP packets that were not made with the agreed key."""
    replayed: int = 0
    """SRTP and SRTCP packets whose number was there before."""
    unsent: int
    """Packets that the network did not take, or that could not be protected."""
    ssrc_changes: int
    jitter_ms: float
    jitter_max_ms: float = 0.0
    """The highest that it has been."""
    loss_bursts: int = 0
    """How often one or more packets in a row did not come, or came late."""
    remote_lost: int | None = None
    """Packets that the party misses of what was sent to it, by its last report."""
    remote_jitter_ms: float | None = None
    """Jitter that the party sees, by its last report."""
    measured: int = 0
    """Packets that were looked at for their level: five a second of PCMU, PCMA and L16."""
    silent: int = 0
    """Of these, those below -55 dBov."""
    clipped: int = 0
    """Of these, those of which 2 % of the samples are at the end of the scale."""
    level_dbov: float | None = None
    """Mean level of what was no silence, in dB to the overload point; None when there was nothing."""
    mos: float | None
    """Estimated (E-model); None before anything was received."""
    rtt_ms: float | None
    """From RTCP; None when never measured."""


class CallStats(_Wire, frozen=True, kw_only=True, tag="call_stats", tag_field="event"):
    """The answer to `query_call`."""

    call: int
    sides: list[SideStats]
    dead_air_ms: int = 0
    """The longest time in which neither party was heard; what is held is left out."""


class CallClosed(_Wire, frozen=True, kw_only=True, tag="call_closed", tag_field="event"):
    """The legs are closed; nothing of the call itself comes after it (streams may still be draining)."""

    call: int
    sides: list[SideStats]
    dead_air_ms: int = 0
    """The longest time in which neither party was heard; what is held is left out."""


class MediaTimeout(_Wire, frozen=True, kw_only=True, tag="media_timeout", tag_field="event"):
    """Neither leg had media for the limit. Told once until media comes again."""

    call: int
    idle_ms: int


class CallFailed(_Wire, frozen=True, kw_only=True, tag="call_failed", tag_field="event"):
    """The engine lost the call (a panic in its code, a dead socket); `call_closed` follows."""

    call: int
    detail: str


class KeyPress(_Wire, frozen=True, kw_only=True, tag="dtmf", tag_field="event"):
    """A key press by RFC 4733, at its end, once for each stream that taps the side."""

    call: int
    stream: int
    side: SideName
    channel: int
    participant: str
    digit: str
    duration_ms: int
    timestamp: int
    """Begin of the press in samples on the stream's clock."""


class StreamConnected(_Wire, frozen=True, kw_only=True, tag="connected", tag_field="event"):
    """A connection stands and is sent on."""

    stream: int
    address: str
    tls_version: str
    """Empty without TLS."""
    connect_ms: int


class StreamConnectFailed(_Wire, frozen=True, kw_only=True, tag="connect_failed", tag_field="event"):
    """One attempt came to nothing; `reason` is a value of `stream.verdicts.AttemptFailure`."""

    stream: int
    reason: str
    detail: str
    http_status: int | None = None


class StreamLost(_Wire, frozen=True, kw_only=True, tag="connection_lost", tag_field="event"):
    """The connection is gone.

    `reason` is one of `closed_by_endpoint`, `tcp_closed`, `tcp_reset`, `tls_error`, `protocol_error`,
    `pong_timeout`.
    """

    stream: int
    reason: str
    detail: str
    close_code: int | None = None
    """The endpoint's WebSocket Close code, if it sent one; a Close 1000 is a clean end."""


class StreamText(_Wire, frozen=True, kw_only=True, tag="text", tag_field="event"):
    """The endpoint sent a text frame that is not a valid `ack` (those are consumed by the engine)."""

    stream: int
    text: str


class StreamCodecUnsupported(_Wire, frozen=True, kw_only=True, tag="codec_unsupported", tag_field="event"):
    """A side sends audio that the taps can't decode; its channel is silence."""

    stream: int
    side: SideName


class ChannelTotals(_Wire, frozen=True, kw_only=True):
    """As in `close.totals` of the protocol."""

    channel: int
    participant_id: str
    chunks: int
    samples: int
    silence_samples: int
    dropped_samples: int
    sha256: str


class StreamClosed(_Wire, frozen=True, kw_only=True, tag="stream_closed", tag_field="event"):
    """The engine has let go of the stream; nothing of it comes after."""

    stream: int
    close_sent: bool
    """Whether `close` was handed to the network in full."""
    close_code: int | None
    """The endpoint's answer to our WebSocket Close."""
    totals: list[ChannelTotals]
    messages: int
    """Sequence numbers given out."""
    sent_bytes: int
    max_queue_ms: int
    gap_samples: dict[str, int]
    """By cause, over all channels."""


class RecordedStreamStats(_Wire, frozen=True, kw_only=True):
    """What one stream of a recording has come to."""

    label: str
    side: SideName
    ssrc: int
    packets: int
    octets: int
    """Of payload."""
    samples: int
    """Audio sent, in units of the codec's clock."""
    silence_samples: int
    """Silence sent where the side had no audio."""
    gap_samples: dict[str, int]
    """What of the side's time has no audio, by cause: `loss`, `silence`, `hold`, `paused`, `drift`."""
    first_packet_ms: int | None
    """From the recording's start to the first packet; None before it."""
    unsent: int
    """Packets that the network did not take."""
    icmp_errors: int
    late: int
    """Packets of the call whose place had been filled."""
    duplicate: int
    early_dropped: int
    """Packets of the call that came too early to be kept for the recorder."""
    unfit: int
    """Packets of the call in a format that could be neither sent as it was nor transcoded."""
    events_sent: int
    """Packets of telephone-events."""
    events_withheld: int
    rtcp_received: int
    remote_lost: int | None
    """Packets that the recorder misses; None before it has reported."""
    remote_jitter_ms: float | None
    rtt_ms: float | None


class RecordingFirstPacket(_Wire, frozen=True, kw_only=True, tag="recording_first_packet", tag_field="event"):
    """A stream's first packet to this address was sent."""

    recording: int
    label: str
    after_set_ms: int
    """From the order that gave the address."""
    after_start_ms: int


class RecordingUnreachable(_Wire, frozen=True, kw_only=True, tag="recording_unreachable", tag_field="event"):
    """The network says again and again that nobody takes the packets. Told once for each address."""

    recording: int
    label: str
    detail: str


class RecordingCodecUnsupported(
    _Wire, frozen=True, kw_only=True, tag="recording_codec_unsupported", tag_field="event"
):
    """A side sends audio that can't be turned into the recorder's codec: silence is sent. Told once."""

    recording: int
    label: str


class RecordingStats(_Wire, frozen=True, kw_only=True, tag="recording_stats", tag_field="event"):
    """The answer to `query_recording`."""

    recording: int
    streams: list[RecordedStreamStats]


class RecordingClosed(_Wire, frozen=True, kw_only=True, tag="recording_closed", tag_field="event"):
    """The engine has let go of the recording; nothing of it comes after."""

    recording: int
    streams: list[RecordedStreamStats]
    failure: str | None
    """What broke when the engine lost it by an error of its own; `streams` is then empty."""


RecordingEvent = (
    RecordingClosed | RecordingCodecUnsupported | RecordingFirstPacket | RecordingStats | RecordingUnreachable
)

CallEvent = CallClosed | CallFailed | CallStats | MediaTimeout

StreamEvent = (
    KeyPress
    | StreamClosed
    | StreamCodecUnsupported
    | StreamConnected
    | StreamConnectFailed
    | StreamLost
    | StreamText
)

EngineEvent = CallEvent | RecordingEvent | StreamEvent


class EngineTotals(_Wire, frozen=True, kw_only=True):
    """Counters since the engine began, and gauges of now."""

    calls: int
    """Open now."""
    streams: int
    """Open now."""
    recordings: int
    """Open now."""
    ports_in_use: int
    ports_total: int
    received_packets: int
    sent_packets: int
    malformed_packets: int
    alien_packets: int
    unauthentic_packets: int = 0
    replayed_packets: int = 0
    unsent_packets: int
    rtcp_received: int
    rtcp_sent: int
    stream_messages: int
    stream_bytes: int
    stream_dropped_samples: int
    recording_packets: int
    """RTP packets sent to recorders."""
    recording_unsent: int
    """Packets to recorders that the network did not take."""
    events_dropped: int
    """Events that could not wait because the queue was full; never a terminal one."""


_encoder = msgspec.json.Encoder()
_events = msgspec.json.Decoder(list[EngineEvent])
_totals = msgspec.json.Decoder(EngineTotals)


def encode(
    spec: EngineSpec | LegSpec | StreamSpec | ConnectAttempt | RecordingSpec | RecordingTarget | SrtpPair,
) -> bytes:
    """Return an order's structure as JSON."""
    return _encoder.encode(spec)


def decode_events(data: bytes) -> list[EngineEvent]:
    """Read a batch of events.

    Raises:
        msgspec.DecodeError: the engine and this module disagree about a shape.
    """
    return _events.decode(data)


def decode_totals(data: bytes) -> EngineTotals:
    """Read the engine's counters.

    Raises:
        msgspec.DecodeError: the engine and this module disagree about a shape.
    """
    return _totals.decode(data)
