//! What a stream has sent and what it has not: `close.totals` and the samples of its gaps.
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::outbox::Landed;
use crate::events::ChannelTotals;
use crate::prefetch::prefetch;
use crate::tap::Cause;

/// One channel as the media messages show it.
#[derive(Debug)]
struct Lane {
    channel: i32,
    participant: String,
    chunks: u64,
    samples: u64,
    silence_samples: u64,
    dropped_samples: u64,
    hash: Sha256,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    lanes: Vec<Lane>,
    dropped_samples: u64,
    gap_samples: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// Nothing has been sent on these lanes: each is a channel with its participant.
    pub fn new(lanes: impl Iterator<Item = (i32, String)>) -> Self {
        let lane = |(channel, participant)| Lane {
            channel,
            participant,
            chunks: 0,
            samples: 0,
            silence_samples: 0,
            dropped_samples: 0,
            hash: Sha256::new(),
        };
        Self {
            lanes: lanes.map(lane).collect(),
            dropped_samples: 0,
            gap_samples: BTreeMap::new(),
        }
    }

    /// Asks for the memory that a frame needs.
    pub fn prefetch(&self) {
        self.lanes.iter().for_each(prefetch);
    }

    /// A frame has been handed to the network for the first time.
    pub fn sent(&mut self, landed: &Landed<'_>) {
        let Some(lane) = self.lanes.get_mut(landed.facts.lane) else {
            return;
        };
        lane.chunks += 1;
        lane.samples += u64::from(landed.facts.samples);
        lane.silence_samples += u64::from(landed.facts.silence_samples);
        lane.hash.update(landed.payload);
    }

    /// Samples that will never be sent.
    pub fn dropped(&mut self, lane: usize, samples: u64) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.dropped_samples += samples;
            self.dropped_samples += samples;
        }
    }

    /// A gap, or a part of one, has been told.
    pub fn gap(&mut self, cause: Cause, samples: u64) {
        *self.gap_samples.entry(cause.as_str()).or_default() += samples;
    }

    /// Samples that will never be sent, over all lanes.
    pub const fn dropped_samples(&self) -> u64 {
        self.dropped_samples
    }

    /// Samples of gaps by cause.
    pub fn gap_samples(&self) -> BTreeMap<&'static str, u64> {
        self.gap_samples.clone()
    }

    /// `close.totals` as of now.
    pub fn totals(&self) -> Vec<ChannelTotals> {
        let totals = |lane: &Lane| ChannelTotals {
            channel: lane.channel,
            participant_id: lane.participant.clone(),
            chunks: lane.chunks,
            samples: lane.samples,
            silence_samples: lane.silence_samples,
            dropped_samples: lane.dropped_samples,
            sha256: hexadecimal(&lane.hash.clone().finalize()),
        };
        self.lanes.iter().map(totals).collect()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xF)]);
    bytes
        .iter()
        .flat_map(|&byte| [digit(byte >> 4), digit(byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::entry::MediaFacts;

    #[test]
    fn totals_are_of_each_lane_alone() {
        let mut ledger =
            Ledger::new([(0, "caller".to_owned()), (1, "callee".to_owned())].into_iter());
        let facts = MediaFacts {
            lane: 1,
            chunk: 1,
            timestamp: 0,
            samples: 3,
            silence_samples: 1,
        };
        ledger.sent(&Landed {
            facts: &facts,
            payload: b"a",
        });
        ledger.sent(&Landed {
            facts: &facts,
            payload: b"bc",
        });
        ledger.dropped(0, 160);
        ledger.gap(Cause::Overflow, 160);
        ledger.gap(Cause::Overflow, 2);
        let [first, second] = ledger.totals().try_into().unwrap();
        assert_eq!((first.chunks, first.dropped_samples), (0, 160));
        assert_eq!(
            first.sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            (second.chunks, second.samples, second.silence_samples),
            (2, 6, 2)
        );
        assert_eq!(
            second.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(ledger.gap_samples()["overflow"], 162);
        assert_eq!(ledger.dropped_samples(), 160);
    }
}
