//! What the engine tells, as JSON with camelCase keys (ADR 1). The same shapes are declared in
//! `src/sidestream/gateway/engine_messages.py`.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::fork::RecordedStreamStats;
use crate::orders::Side;

/// Events gathered in one turn of a worker.
pub type Events = Vec<Event>;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// The answer to a query.
    CallStats {
        /// The call.
        call: u64,
        /// Both legs.
        sides: Vec<SideStats>,
        /// The longest time in which neither party was heard.
        dead_air_ms: u64,
    },
    /// The legs are closed.
    CallClosed {
        /// The call.
        call: u64,
        /// Both legs' final numbers.
        sides: Vec<SideStats>,
        /// The longest time in which neither party was heard.
        dead_air_ms: u64,
    },
    /// Neither leg had media for the limit.
    MediaTimeout {
        /// The call.
        call: u64,
        /// How long there was none.
        idle_ms: u64,
    },
    /// The engine lost the call; `call_closed` follows.
    CallFailed {
        /// The call.
        call: u64,
        /// What happened.
        detail: String,
    },
    /// A key press has ended, once for each stream that taps the side.
    #[serde(rename = "dtmf")]
    KeyPress {
        /// The call.
        call: u64,
        /// The stream.
        stream: u64,
        /// The side that was tapped.
        side: Side,
        /// Its channel on the stream.
        channel: i32,
        /// Who pressed.
        participant: String,
        /// One of `0-9 * # A-D`.
        digit: char,
        /// How long the key was held.
        duration_ms: u32,
        /// Begin of the press in samples on the stream's clock.
        timestamp: u64,
    },
    /// A connection stands.
    #[serde(rename = "connected")]
    StreamConnected {
        /// The stream.
        stream: u64,
        /// The endpoint's address and port.
        address: String,
        /// Empty without TLS.
        tls_version: String,
        /// How long TCP, TLS and upgrade took.
        connect_ms: u64,
    },
    /// One attempt came to nothing.
    #[serde(rename = "connect_failed")]
    StreamConnectFailed {
        /// The stream.
        stream: u64,
        /// A value of `stream.verdicts.AttemptFailure`.
        reason: &'static str,
        /// What happened.
        detail: String,
        /// The endpoint's answer, when it was an HTTP response.
        http_status: Option<u16>,
    },
    /// The connection is gone.
    #[serde(rename = "connection_lost")]
    StreamLost {
        /// The stream.
        stream: u64,
        /// One of `closed_by_endpoint`, `tcp_closed`, `tcp_reset`, `tls_error`, `protocol_error`,
        /// `pong_timeout`.
        reason: &'static str,
        /// What happened.
        detail: String,
        /// The endpoint's WebSocket Close code.
        close_code: Option<u16>,
    },
    /// The endpoint sent a text frame that is no valid `ack`.
    #[serde(rename = "text")]
    StreamText {
        /// The stream.
        stream: u64,
        /// The text.
        text: String,
    },
    /// A side sends audio that the taps can't decode.
    #[serde(rename = "codec_unsupported")]
    StreamCodecUnsupported {
        /// The stream.
        stream: u64,
        /// The side.
        side: Side,
    },
    /// The engine has let go of the stream.
    StreamClosed {
        /// The stream.
        stream: u64,
        /// Whether `close` was handed to the network in full.
        close_sent: bool,
        /// The endpoint's answer to our WebSocket Close.
        close_code: Option<u16>,
        /// As in `close.totals`.
        totals: Vec<ChannelTotals>,
        /// Sequence numbers given out.
        messages: u64,
        /// Bytes handed to the network.
        sent_bytes: u64,
        /// The longest that audio has waited for the network.
        max_queue_ms: u64,
        /// Samples by cause, over all channels.
        gap_samples: BTreeMap<&'static str, u64>,
    },
    /// A stream's first packet to an address was sent.
    RecordingFirstPacket {
        /// The recording.
        recording: u64,
        /// The stream.
        label: String,
        /// From the order that gave the address.
        after_set_ms: u64,
        /// From the recording's start.
        after_start_ms: u64,
    },
    /// The network says again and again that nobody takes the packets.
    RecordingUnreachable {
        /// The recording.
        recording: u64,
        /// The stream.
        label: String,
        /// What the network says.
        detail: String,
    },
    /// A side sends audio that can't be turned into the recorder's codec.
    RecordingCodecUnsupported {
        /// The recording.
        recording: u64,
        /// The stream.
        label: String,
    },
    /// The answer to a query.
    RecordingStats {
        /// The recording.
        recording: u64,
        /// Its streams.
        streams: Vec<RecordedStreamStats>,
    },
    /// The engine has let go of the recording.
    RecordingClosed {
        /// The recording.
        recording: u64,
        /// Its streams.
        streams: Vec<RecordedStreamStats>,
        /// What broke.
        failure: Option<String>,
    },
}

impl Event {
    /// Whether somebody waits for this event to let go of something: it is never dropped.
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::CallClosed { .. }
                | Self::CallFailed { .. }
                | Self::StreamClosed { .. }
                | Self::StreamConnected { .. }
                | Self::StreamConnectFailed { .. }
                | Self::StreamLost { .. }
                | Self::RecordingClosed { .. }
        )
    }
}

/// What one leg received and sent since the call began.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideStats {
    /// Which leg.
    pub side: Side,
    /// RTP packets accepted.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// RTP packets sent.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after a newer one.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Packets from another source than the locked one.
    pub alien: u64,
    /// Packets that are no RTP, too long, or of a payload type that was not agreed on.
    pub malformed: u64,
    /// Packets of SRTP or SRTCP that were not made with the agreed key, or after it was used up.
    pub unauthentic: u64,
    /// Packets of SRTP or SRTCP whose number was there before, or is too old to tell.
    pub replayed: u64,
    /// Packets that the network did not take, or that could not be protected: a repeated number, or a key used up.
    pub unsent: u64,
    /// How often the source changed.
    pub ssrc_changes: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// The highest that it has been.
    pub jitter_max_ms: f64,
    /// How often one or more packets in a row did not come, or came late.
    pub loss_bursts: u64,
    /// Packets that the party misses of what we sent, by its last report.
    pub remote_lost: Option<i32>,
    /// Jitter that the party sees, by its last report.
    pub remote_jitter_ms: Option<f64>,
    /// Packets that were looked at for their level.
    pub measured: u32,
    /// Of these, those that were silence.
    pub silent: u32,
    /// Of these, those at the end of the scale.
    pub clipped: u32,
    /// Mean level of what was no silence, in dB to the overload point.
    pub level_dbov: Option<f64>,
    /// Estimated opinion score; none before anything was received.
    pub mos: Option<f64>,
    /// Round trip by RTCP; none when never measured.
    pub rtt_ms: Option<f64>,
}

/// What one channel of a stream came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelTotals {
    /// The channel's number on the stream.
    pub channel: i32,
    /// Who was heard on it.
    pub participant_id: String,
    /// Media messages.
    pub chunks: u64,
    /// Samples in them.
    pub samples: u64,
    /// Samples of them that are silence.
    pub silence_samples: u64,
    /// Samples that were dropped.
    pub dropped_samples: u64,
    /// SHA-256 of all payload bytes, in hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_those_of_the_boundary() {
        let lost = Event::StreamLost {
            stream: 3,
            reason: "tcp_closed",
            detail: String::new(),
            close_code: None,
        };
        let json = serde_json::to_string(&lost).unwrap();
        assert_eq!(
            json,
            r#"{"event":"connection_lost","stream":3,"reason":"tcp_closed","detail":"","closeCode":null}"#
        );
        let timeout = Event::MediaTimeout {
            call: 1,
            idle_ms: 9,
        };
        let json = serde_json::to_string(&timeout).unwrap();
        assert_eq!(json, r#"{"event":"media_timeout","call":1,"idleMs":9}"#);
        assert!(lost.is_terminal() && !timeout.is_terminal());
    }
}
