//! What goes into a timeline, and what comes out of it.
use std::borrow::Cow;

use super::gap::Cause;
use super::spec::{TapCodec, TapPacket};
use crate::clock::{Nanos, SECOND};
use crate::codec::AudioFormat;
use crate::dtmf::EventBlock;

/// What a packet carries.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// Audio in a format the tap reads.
    Audio {
        /// How to read it.
        format: AudioFormat,
        /// The RTP payload.
        payload: Cow<'a, [u8]>,
    },
    /// A telephone-event (RFC 4733): silence from the timestamp on.
    Event {
        /// Duration so far in timestamp units.
        duration: u16,
        /// Whether it has ended.
        end: bool,
    },
    /// Nothing for the ear: comfort noise, or a codec that the tap can't read.
    Nothing,
}

/// One packet as the timeline sees it.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// Synchronization source.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// Ticks of the timestamp a second.
    pub clock_rate: u32,
    /// What it carries.
    pub content: Content<'a>,
}

impl Packet<'_> {
    /// Ticks of the timestamp that the audio lasts.
    pub fn units(&self) -> u32 {
        match &self.content {
            Content::Audio { format, payload } => format.ticks_in(payload.len()),
            Content::Event { .. } | Content::Nothing => 0,
        }
    }

    /// How long the audio lasts.
    pub fn length(&self) -> Nanos {
        u64::from(self.units()) * SECOND / u64::from(self.clock_rate.max(1))
    }
}

impl<'a> From<&TapPacket<'a>> for Packet<'a> {
    fn from(packet: &TapPacket<'a>) -> Self {
        let content = match packet.codec {
            TapCodec::Audio(format) => Content::Audio {
                format,
                payload: Cow::Borrowed(packet.payload),
            },
            TapCodec::Event { .. } => {
                EventBlock::parse(packet.payload).map_or(Content::Nothing, |block| Content::Event {
                    duration: block.duration,
                    end: block.end,
                })
            }
            TapCodec::Noise { .. } | TapCodec::Unsupported { .. } => Content::Nothing,
        };
        Self {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            clock_rate: packet.codec.clock_rate(),
            content,
        }
    }
}

/// Audio for the channel: of the `total` samples that the payload makes at the stream's rate, the first
/// `skip` are left out and the next `take` are played.
#[derive(Debug, Clone, Copy)]
pub struct Audio<'a> {
    /// How to read the payload.
    pub format: AudioFormat,
    /// The RTP payload.
    pub payload: &'a [u8],
    /// Samples of the whole payload at the stream's rate.
    pub total: u64,
    /// Samples to leave out in front.
    pub skip: u64,
    /// Samples to play.
    pub take: u64,
    /// False when an earlier part of the same payload has been played.
    pub first: bool,
}

/// What a timeline tells: stretches that touch each other, in order.
pub trait Sink {
    /// Audio from position `at` on.
    fn audio(&mut self, at: u64, audio: &Audio<'_>);
    /// `samples` of silence from `at` on.
    fn silence(&mut self, at: u64, samples: u64, cause: Cause);
    /// Audio that is left out at `at`: it takes no place when the cause is drift, and is a hole of
    /// `samples` when the cause is a pause.
    fn dropped(&mut self, at: u64, samples: u64, cause: Cause);
}

/// What went wrong on the way in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets whose place had already been filled.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// How often a source was anchored.
    pub anchored: u64,
}

/// The shape of a timeline.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Samples a second of the stream.
    pub rate: u32,
    /// Samples of a frame.
    pub frame: u64,
    /// How long a packet waits for an earlier one.
    pub window: Nanos,
    /// When sample 0 was.
    pub start: Nanos,
}
