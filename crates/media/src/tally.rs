//! Counters of a worker: plain in its own hands, published once a turn for whoever asks.
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What a worker's calls and streams have done since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// RTP packets accepted.
    pub received_packets: u64,
    /// RTP packets sent.
    pub sent_packets: u64,
    /// Packets that are no RTP or RTCP, too long, or of a payload type that was not agreed on.
    pub malformed_packets: u64,
    /// Packets from a source that is not the party's.
    pub alien_packets: u64,
    /// Packets of SRTP or SRTCP that were not made with the agreed key.
    pub unauthentic_packets: u64,
    /// Packets of SRTP or SRTCP whose number was there before.
    pub replayed_packets: u64,
    /// Packets that the network did not take.
    pub unsent_packets: u64,
    /// RTCP packets accepted.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// Messages of streams.
    pub stream_messages: u64,
    /// Bytes of streams handed to the network.
    pub stream_bytes: u64,
    /// Samples that streams had to drop.
    pub stream_dropped_samples: u64,
    /// RTP packets sent to recorders.
    pub recording_packets: u64,
    /// Packets to recorders that the network did not take.
    pub recording_unsent: u64,
}

/// How many counters there are.
const COUNTERS: usize = 14;

impl Tally {
    const fn as_array(&self) -> [u64; COUNTERS] {
        [
            self.received_packets,
            self.sent_packets,
            self.malformed_packets,
            self.alien_packets,
            self.unauthentic_packets,
            self.replayed_packets,
            self.unsent_packets,
            self.rtcp_received,
            self.rtcp_sent,
            self.stream_messages,
            self.stream_bytes,
            self.stream_dropped_samples,
            self.recording_packets,
            self.recording_unsent,
        ]
    }

    const fn from_array(values: [u64; COUNTERS]) -> Self {
        Self {
            received_packets: values[0],
            sent_packets: values[1],
            malformed_packets: values[2],
            alien_packets: values[3],
            unauthentic_packets: values[4],
            replayed_packets: values[5],
            unsent_packets: values[6],
            rtcp_received: values[7],
            rtcp_sent: values[8],
            stream_messages: values[9],
            stream_bytes: values[10],
            stream_dropped_samples: values[11],
            recording_packets: values[12],
            recording_unsent: values[13],
        }
    }

    /// Adds another worker's counters.
    pub fn add(&mut self, other: &Self) {
        let mut sums = self.as_array();
        for (sum, value) in sums.iter_mut().zip(other.as_array()) {
            *sum += value;
        }
        *self = Self::from_array(sums);
    }
}

/// A tally that other threads may read.
#[derive(Debug, Default)]
pub struct SharedTally([AtomicU64; COUNTERS]);

impl SharedTally {
    /// Shows the numbers of now; only the owning worker calls it.
    pub fn publish(&self, tally: &Tally) {
        for (shared, value) in self.0.iter().zip(tally.as_array()) {
            shared.store(value, Ordering::Relaxed);
        }
    }

    /// The numbers last shown.
    pub fn read(&self) -> Tally {
        let mut values = [0; COUNTERS];
        for (value, shared) in values.iter_mut().zip(&self.0) {
            *value = shared.load(Ordering::Relaxed);
        }
        Tally::from_array(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_survives_publishing_and_adding() {
        let mut values = [0; COUNTERS];
        for (index, value) in values.iter_mut().enumerate() {
            *value = index as u64 + 1;
        }
        let tally = Tally::from_array(values);
        let shared = SharedTally::default();
        shared.publish(&tally);
        assert_eq!(shared.read(), tally);
        let mut sum = tally;
        sum.add(&tally);
        assert_eq!(sum.as_array(), values.map(|value| value * 2));
    }
}
