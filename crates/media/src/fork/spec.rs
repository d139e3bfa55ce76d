//! What is ordered of a recording, as JSON with camelCase keys (ADR 1).
use std::net::IpAddr;

use serde::Deserialize;

use crate::error::{MediaError, Result};
use crate::orders::{RemoteAddress, Side};
use crate::srtp::SrtpKeys;

/// Streams of one recording session; a call has two sides, and more streams than these have no use.
const MAX_STREAMS: usize = 8;
/// Bytes of an SDES item (RFC 3550 section 6.5).
const MAX_CNAME: usize = 255;
/// Bound of what may be kept for a recorder that has not answered.
const MAX_EARLY_MS: u32 = 5_000;

/// What becomes of telephone-events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtmf {
    /// They are sent on.
    Relay,
    /// They are withheld.
    Suppress,
}

/// One side as a stream of a recording session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedStream {
    /// Names it; as in SDP (RFC 4574).
    pub label: String,
    /// Which side is heard on it.
    pub side: Side,
    /// Its canonical name in RTCP.
    pub cname: String,
    /// Its source; none: one is taken by chance.
    #[serde(default)]
    pub ssrc: Option<u32>,
}

/// One recording session of a call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingSpec {
    /// For diagnostics only.
    pub recording_id: String,
    /// Its streams.
    pub streams: Vec<RecordedStream>,
    /// What becomes of telephone-events.
    pub dtmf: Dtmf,
    /// `CLOCK_MONOTONIC` of the streams' zero; 0: the instant of the order.
    #[serde(default)]
    pub start_ns: u64,
    /// Bound of what is kept until the recorder has answered.
    #[serde(default = "defaults::early_ms")]
    pub early_ms: u32,
}

impl RecordingSpec {
    /// Refuses what no recording session can be.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_STREAMS).contains(&self.streams.len()) {
            return Err(MediaError::bad_spec("a recording has 1 to 8 streams"));
        }
        if self.early_ms > MAX_EARLY_MS {
            return Err(MediaError::bad_spec("early_ms must be 5000 at most"));
        }
        for (index, stream) in self.streams.iter().enumerate() {
            if stream.label.is_empty() || !(1..=MAX_CNAME).contains(&stream.cname.len()) {
                let detail = "a stream needs a label and a canonical name of 1 to 255 bytes";
                return Err(MediaError::bad_spec(detail));
            }
            let clashes = |other: &RecordedStream| {
                other.label == stream.label || (other.ssrc.is_some() && other.ssrc == stream.ssrc)
            };
            if self.streams[..index].iter().any(clashes) {
                let detail = "two streams have the same label or source";
                return Err(MediaError::bad_spec(detail));
            }
        }
        Ok(())
    }
}

/// What a stream is sent in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingCodec {
    /// The encoding name of the `rtpmap`.
    pub name: String,
    /// Its payload type at the recorder.
    pub payload_type: u8,
    /// Ticks of the RTP timestamp a second.
    pub clock_rate: u32,
    /// Audio channels.
    #[serde(default = "defaults::channels")]
    pub channels: u8,
}

/// What was agreed with the recorder about one stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamTarget {
    /// Which stream.
    pub label: String,
    /// Where it goes; none: nowhere.
    pub remote: Option<RemoteAddress>,
    /// Whether it is sent.
    pub on: bool,
    /// In what; none: it is not sent.
    pub codec: Option<RecordingCodec>,
    /// Payload type of telephone-events; none: they are withheld.
    #[serde(default)]
    pub event_payload_type: Option<u8>,
    /// Milliseconds of audio in a packet of G.711.
    #[serde(default = "defaults::ptime_ms")]
    pub ptime_ms: u32,
    /// The keys of SRTP; none: plain RTP.
    #[serde(default)]
    pub srtp: Option<SrtpKeys>,
}

/// What was agreed with the recorder. Streams that are not named stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingTarget {
    /// The streams.
    pub streams: Vec<StreamTarget>,
}

impl RecordingTarget {
    /// Refuses what no answer can mean, and addresses of another family than `local`.
    pub fn validate(&self, local: IpAddr) -> Result<()> {
        if self.streams.len() > MAX_STREAMS {
            return Err(MediaError::bad_spec("a recording has 1 to 8 streams"));
        }
        self.streams
            .iter()
            .try_for_each(|stream| stream.validate(local))
    }
}

impl StreamTarget {
    fn validate(&self, local: IpAddr) -> Result<()> {
        if let Some(remote) = &self.remote {
            remote.validate(local)?;
        }
        if !(10..=200).contains(&self.ptime_ms) {
            return Err(MediaError::bad_spec("ptime_ms must lie between 10 and 200"));
        }
        let types = [
            self.codec.as_ref().map(|codec| codec.payload_type),
            self.event_payload_type,
        ];
        if types.into_iter().flatten().any(|number| number > 127) {
            return Err(MediaError::bad_spec("payload types must be below 128"));
        }
        let Some(codec) = &self.codec else {
            return Ok(());
        };
        let known = (1_000..=192_000).contains(&codec.clock_rate) && codec.channels > 0;
        let audio = !["telephone-event", "CN"]
            .iter()
            .any(|name| codec.name.eq_ignore_ascii_case(name));
        if known && audio {
            return Ok(());
        }
        Err(MediaError::bad_spec("no codec of a recording"))
    }
}

/// What is assumed where an order is silent; the same as in `engine_messages.py`.
mod defaults {
    pub const fn early_ms() -> u32 {
        1_000
    }
    pub const fn channels() -> u8 {
        1
    }
    pub const fn ptime_ms() -> u32 {
        20
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::orders::read;

    /// A stream sent in a codec, nowhere yet.
    pub fn target(name: &str, clock_rate: u32, payload_type: u8, ptime_ms: u32) -> StreamTarget {
        StreamTarget {
            label: "1".into(),
            remote: None,
            on: true,
            codec: Some(RecordingCodec {
                name: name.into(),
                payload_type,
                clock_rate,
                channels: 1,
            }),
            event_payload_type: Some(96),
            ptime_ms,
            srtp: None,
        }
    }

    /// The usual one.
    pub fn pcmu(ptime_ms: u32) -> StreamTarget {
        target("PCMU", 8_000, 0, ptime_ms)
    }

    fn spec(streams: &str, early: u32) -> Result<()> {
        let json = format!(
            r#"{{"recordingId":"r","streams":[{streams}],"dtmf":"relay","earlyMs":{early}}}"#
        );
        read::<RecordingSpec>(json.as_bytes())?.validate()
    }

    #[test]
    fn a_recording_has_streams_that_can_be_told_apart() {
        let one = r#"{"label":"1","side":"a","cname":"x","ssrc":7}"#;
        let two = r#"{"label":"2","side":"b","cname":"y"}"#;
        assert!(spec(&format!("{one},{two}"), 5_000).is_ok());
        let same_source = two.replace("\"y\"", "\"y\",\"ssrc\":7");
        for (streams, early) in [
            (String::new(), 0),
            (format!("{one},{one}"), 0),
            (format!("{one},{same_source}"), 0),
            (one.replace("\"x\"", "\"\""), 0),
            (one.to_owned(), 5_001),
        ] {
            assert!(spec(&streams, early).is_err(), "{streams} {early}");
        }
    }

    #[test]
    fn a_target_is_what_an_answer_can_mean() {
        let judge = |codec: &str, ptime: u32, host: &str| {
            let json = format!(
                r#"{{"streams":[{{"label":"1","remote":{{"host":"{host}","rtpPort":4000,"rtcpPort":4001}},
                "on":true,"codec":{codec},"ptimeMs":{ptime}}}]}}"#
            );
            read::<RecordingTarget>(json.as_bytes())
                .unwrap()
                .validate("127.0.0.1".parse().unwrap())
        };
        let pcmu = r#"{"name":"PCMU","payloadType":0,"clockRate":8000}"#;
        assert!(judge(pcmu, 20, "127.0.0.2").is_ok());
        assert!(judge("null", 20, "127.0.0.2").is_ok());
        assert!(judge(pcmu, 9, "127.0.0.2").is_err());
        assert!(judge(pcmu, 20, "0.0.0.0").is_err());
        assert!(judge(pcmu, 20, "::1").is_err());
        for wrong in [
            pcmu.replace("8000", "0"),
            pcmu.replace("\"payloadType\":0", "\"payloadType\":128"),
            pcmu.replace("PCMU", "telephone-event"),
        ] {
            assert!(judge(&wrong, 20, "127.0.0.2").is_err(), "{wrong}");
        }
    }
}
