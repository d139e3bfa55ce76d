//! What a stream's tap is told, and what it tells.
use super::gap::Gap;
use crate::clock::Nanos;
use crate::codec::{AudioFormat, Encoding};
use crate::error::{MediaError, Result};

/// How a stream carries the sides of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Each frame holds one channel.
    Separate,
    /// Samples of both channels by turns; the frame's channel is -1 and its participant is empty.
    Interleaved,
    /// All channels summed; the frame's channel is 0 and its participant `mixed`.
    Mixed,
}

/// One tapped side of the call.
#[derive(Debug, Clone)]
pub struct ChannelSpec {
    /// The channel's number on the stream.
    pub channel: i32,
    /// Who is heard on it.
    pub participant: String,
}

/// The shape of a stream.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// The encoding of the payloads.
    pub encoding: Encoding,
    /// Samples a second of each channel.
    pub sample_rate: u32,
    /// Milliseconds of one frame.
    pub frame_ms: u32,
    /// How the channels are carried.
    pub layout: Layout,
    /// How long a packet waits for an earlier one, in milliseconds.
    pub jitter_window_ms: u32,
    /// The tapped sides; their index in this list names them in every call of the tap.
    pub channels: Vec<ChannelSpec>,
}

impl StreamSpec {
    /// Samples of one frame of one channel.
    pub const fn frame_samples(&self) -> u64 {
        self.sample_rate as u64 * self.frame_ms as u64 / 1000
    }

    /// Refuses a shape that no stream can have.
    pub fn validate(&self) -> Result<()> {
        let rate_fits = match self.encoding {
            Encoding::Pcmu | Encoding::Pcma => self.sample_rate == 8_000,
            Encoding::L16 => matches!(self.sample_rate, 8_000 | 16_000 | 24_000 | 48_000),
        };
        if !rate_fits {
            let detail = format!(
                "{:?} has no sample rate of {}",
                self.encoding, self.sample_rate
            );
            return Err(MediaError::bad_spec(detail));
        }
        if !(5..=200).contains(&self.frame_ms) {
            return Err(MediaError::bad_spec("frame_ms must lie between 5 and 200"));
        }
        if self.jitter_window_ms > 1_000 {
            return Err(MediaError::bad_spec(
                "jitter_window_ms must be 1000 at most",
            ));
        }
        let count = self.channels.len();
        let count_fits = match self.layout {
            Layout::Interleaved => count == 2,
            Layout::Separate | Layout::Mixed => (1..=2).contains(&count),
        };
        if !count_fits {
            let detail = format!("layout {:?} can't have {count} channels", self.layout);
            return Err(MediaError::bad_spec(detail));
        }
        Ok(())
    }
}

/// What packets of one RTP payload type carry, as far as the tap can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapCodec {
    /// Audio that the tap decodes.
    Audio(AudioFormat),
    /// Telephone-events (RFC 4733).
    Event {
        /// Ticks of the timestamp a second.
        clock_rate: u32,
    },
    /// Comfort noise (RFC 3389): silence.
    Noise {
        /// Ticks of the timestamp a second.
        clock_rate: u32,
    },
    /// A codec that the tap can't decode: its channel is silence, and the stream should fail with
    /// `codec_unsupported`.
    Unsupported {
        /// Ticks of the timestamp a second.
        clock_rate: u32,
    },
}

impl TapCodec {
    /// Reads the name of an SDP `rtpmap`.
    pub fn from_sdp(name: &str, clock_rate: u32, channels: u8) -> Self {
        if name.eq_ignore_ascii_case("telephone-event") {
            return Self::Event { clock_rate };
        }
        if name.eq_ignore_ascii_case("CN") {
            return Self::Noise { clock_rate };
        }
        AudioFormat::from_sdp(name, clock_rate, channels)
            .map_or(Self::Unsupported { clock_rate }, Self::Audio)
    }

    /// Ticks of the timestamp a second.
    pub const fn clock_rate(&self) -> u32 {
        match self {
            Self::Audio(format) => format.clock_rate,
            Self::Event { clock_rate }
            | Self::Noise { clock_rate }
            | Self::Unsupported { clock_rate } => *clock_rate,
        }
    }

    /// Whether audio of this codec can't be streamed.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

/// One RTP packet of a tapped side. Every packet of the side belongs here, telephone-events too: a number
/// left out would be taken for loss.
#[derive(Debug, Clone, Copy)]
pub struct TapPacket<'a> {
    /// What the payload is.
    pub codec: TapCodec,
    /// Synchronization source.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// The RTP payload without padding.
    pub payload: &'a [u8],
}

/// One frame of the stream, ready to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The stream's channel: a side's own, -1 for both interleaved, 0 for all mixed.
    pub channel: i32,
    /// Who is heard; empty for both interleaved, `mixed` for all mixed.
    pub participant: &'a str,
    /// Counts the frames of the channel from 1.
    pub chunk: u64,
    /// Position of the first sample since the stream's start.
    pub timestamp: u64,
    /// The encoded audio.
    pub payload: &'a [u8],
    /// Samples of the channel's clock in the frame.
    pub samples: u32,
    /// Those of them that no side has filled with audio.
    pub silence_samples: u32,
}

/// Takes what a tap tells.
pub trait TapSink {
    /// A frame, in order on its channel.
    fn media(&mut self, frame: Frame<'_>);
    /// A stretch of one side's clock without audio of its own; `channel` is the side's number in every
    /// layout. A gap of cause drift may also tell of audio left out, see [`TapSink::dropped`].
    fn gap(&mut self, channel: i32, gap: Gap);
    /// Audio of a side that was left out to follow its sender's clock, besides the gap that tells it.
    fn dropped(&mut self, channel: i32, samples: u64);
    /// Audio that can't be decoded has begun on the side of this index; told once until audio that can
    /// be has come.
    fn unsupported(&mut self, index: usize);
}

/// What went wrong on the way into one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelCounters {
    /// Packets that came after their place had been filled.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
}

/// When nothing is due.
pub const NEVER: Nanos = Nanos::MAX;
