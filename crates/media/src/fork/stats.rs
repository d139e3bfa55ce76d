//! What one stream of a recording has come to.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::orders::Side;
use crate::tap::Cause;

/// Causes of gaps that a recording can have.
const CAUSES: [Cause; 5] = [
    Cause::Loss,
    Cause::Silence,
    Cause::Hold,
    Cause::Paused,
    Cause::Drift,
];

/// Ticks of the stream's clock without audio of the side, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gaps([u64; CAUSES.len()]);

impl Gaps {
    /// Accounts for a stretch. Causes that only a connection can have do not come here.
    pub fn add(&mut self, cause: Cause, ticks: u64) {
        if let Some(index) = CAUSES.iter().position(|&other| other == cause) {
            self.0[index] += ticks;
        }
    }

    fn sum(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own += more;
        }
    }

    /// All causes that came up.
    pub fn named(&self) -> BTreeMap<&'static str, u64> {
        let pairs = CAUSES.iter().zip(self.0);
        pairs
            .filter(|(_, ticks)| *ticks > 0)
            .map(|(cause, ticks)| (cause.as_str(), ticks))
            .collect()
    }
}

/// What a stream counts while it makes packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ticks of audio sent.
    pub samples: u64,
    /// Ticks of silence sent.
    pub silence: u64,
    /// Ticks without audio.
    pub gaps: Gaps,
    /// Packets whose place had been filled.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Packets of a format that could be neither sent nor transcoded.
    pub unfit: u64,
    /// Telephone-event packets sent.
    pub events_sent: u64,
    /// Telephone-event packets withheld.
    pub events_withheld: u64,
}

impl Counters {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.gaps.sum(&other.gaps);
        let pairs = [
            (&mut self.samples, other.samples),
            (&mut self.silence, other.silence),
            (&mut self.late, other.late),
            (&mut self.duplicate, other.duplicate),
            (&mut self.unfit, other.unfit),
            (&mut self.events_sent, other.events_sent),
            (&mut self.events_withheld, other.events_withheld),
        ];
        for (own, more) in pairs {
            *own += more;
        }
    }
}

/// As the boundary tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedStreamStats {
    /// Which stream.
    pub label: String,
    /// The side that is heard on it.
    pub side: Side,
    /// Its source.
    pub ssrc: u32,
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent.
    pub octets: u64,
    /// Ticks of audio sent.
    pub samples: u64,
    /// Ticks of silence sent.
    pub silence_samples: u64,
    /// Ticks without audio of the side, by cause.
    pub gap_samples: BTreeMap<&'static str, u64>,
    /// From the recording's start to the first packet.
    pub first_packet_ms: Option<u64>,
    /// Packets that the network did not take.
    pub unsent: u64,
    /// Times that the network said that nobody takes them.
    pub icmp_errors: u64,
    /// Packets of the call whose place had been filled.
    pub late: u64,
    /// Packets of the call seen before.
    pub duplicate: u64,
    /// Packets of the call that came too early to be kept.
    pub early_dropped: u64,
    /// Packets of the call that could be neither sent nor transcoded.
    pub unfit: u64,
    /// Telephone-event packets sent.
    pub events_sent: u64,
    /// Telephone-event packets withheld.
    pub events_withheld: u64,
    /// RTCP packets of the recorder.
    pub rtcp_received: u64,
    /// Packets that the recorder misses.
    pub remote_lost: Option<i32>,
    /// Jitter that it sees.
    pub remote_jitter_ms: Option<f64>,
    /// Round trip to it.
    pub rtt_ms: Option<f64>,
}
