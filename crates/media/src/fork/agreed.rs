//! What was agreed with the recorder about one stream, made ready for its packets.
use super::spec::{RecordingCodec, StreamTarget};
use crate::codec::Encoding;
use crate::orders::LegCodec;

/// How packets are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// G.711: out of the side's samples, frame by frame.
    Frames(Encoding),
    /// Any other codec: out of the side's packets.
    Passage,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Agreed {
    /// How packets are made.
    pub kind: Kind,
    /// The codec.
    pub codec: RecordingCodec,
    /// Payload type of telephone-events, if they are relayed.
    pub event: Option<u8>,
    /// Milliseconds of audio in a packet.
    pub ptime_ms: u32,
    /// Payload types of the party's packets that are of the codec: bit n for type n.
    fitting: u128,
}

impl Agreed {
    /// What a target says, if it says in what to send.
    pub fn of(target: &StreamTarget, relay: bool) -> Option<Self> {
        let codec = target.codec.clone()?;
        let named = |name: &str| codec.name.eq_ignore_ascii_case(name);
        let telephone = codec.clock_rate == 8_000 && codec.channels == 1;
        let kind = match telephone {
            true if named("PCMU") => Kind::Frames(Encoding::Pcmu),
            true if named("PCMA") => Kind::Frames(Encoding::Pcma),
            _ => Kind::Passage,
        };
        Some(Self {
            kind,
            codec,
            event: target.event_payload_type.filter(|_| relay),
            ptime_ms: target.ptime_ms,
            fitting: 0,
        })
    }

    /// Whether packets are made in the same way as of the other.
    pub fn is_like(&self, other: &Self) -> bool {
        let format = |codec: &RecordingCodec| {
            let name = codec.name.to_ascii_uppercase();
            (name, codec.clock_rate, codec.channels)
        };
        match (self.kind, other.kind) {
            (Kind::Frames(_), Kind::Frames(_)) => true,
            (Kind::Passage, Kind::Passage) => format(&self.codec) == format(&other.codec),
            _ => false,
        }
    }

    /// Learns what the party's payload types mean.
    pub fn map_formats(&mut self, formats: &[LegCodec]) {
        let same = |format: &&LegCodec| {
            format.name.eq_ignore_ascii_case(&self.codec.name)
                && format.clock_rate == self.codec.clock_rate
                && format.channels == self.codec.channels
                && format.local_pt < 128
        };
        let bits = formats
            .iter()
            .filter(same)
            .map(|format| 1 << format.local_pt);
        self.fitting = bits.fold(0, |all, bit: u128| all | bit);
    }

    /// Whether a payload type of the party's is of the codec.
    pub const fn fits(&self, payload_type: u8) -> bool {
        self.fitting >> (payload_type & 0x7F) & 1 != 0
    }

    /// Ticks of the codec's clock in one packet.
    pub const fn packet_ticks(&self) -> u32 {
        (self.ptime_ms as u64 * self.codec.clock_rate as u64 / 1000) as u32
    }
}
