//! What a leg has received and sent, by the arithmetic of RFC 3550 (sections 6.4.1, A.3 and A.8).
use crate::clock::{Nanos, SECOND};
use crate::sequence::{Arrival, Sequence};

/// Reception of one source at a time; totals run on over a change of SSRC.
#[derive(Debug, Clone, Default)]
pub struct Reception {
    ssrc: Option<u32>,
    sequence: Sequence,
    first_number: i64,
    unique_of_source: u64,
    past_lost: u64,
    transit: Option<i64>,
    jitter_units: f64,
    clock_rate: u32,
    report: ReportMark,
    /// Packets accepted, duplicates included.
    pub packets: u64,
    /// Bytes of RTP accepted, headers included.
    pub bytes: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Packets that came after a newer one.
    pub late: u64,
    /// How often the source changed after the first.
    pub ssrc_changes: u64,
    /// How often one or more numbers in a row were skipped.
    pub bursts: u64,
    jitter_max_ms: f64,
}

/// The counters at the last report (RFC 3550 A.3, fraction lost).
#[derive(Debug, Clone, Copy, Default)]
struct ReportMark {
    expected: u64,
    received: u64,
}

/// The facts of one packet that the arithmetic needs.
#[derive(Debug, Clone, Copy)]
pub struct PacketFacts {
    /// Synchronization source.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// Ticks of the timestamp a second.
    pub clock_rate: u32,
    /// Bytes of the packet.
    pub length: usize,
}

/// Numbers for a report block (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportNumbers {
    /// The source reported on.
    pub ssrc: u32,
    /// Share lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the source began, clamped to 24 signed bits.
    pub cumulative_lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Jitter in timestamp units.
    pub jitter: u32,
}

impl Reception {
    /// Accounts for one accepted packet. Says whether the source has changed.
    pub fn observe(&mut self, packet: &PacketFacts, now: Nanos) -> bool {
        let changed = self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc);
        if changed {
            self.ssrc_changes += 1;
        }
        if self.ssrc != Some(packet.ssrc) {
            self.forget_source();
            self.ssrc = Some(packet.ssrc);
        }
        self.packets += 1;
        self.bytes += packet.length as u64;
        self.count(packet.sequence);
        self.measure_jitter(packet, now);
        changed
    }

    fn count(&mut self, sequence: u16) {
        let first = self.sequence.newest().is_none();
        let lost_before = self.lost_of_source();
        match self.sequence.observe(sequence) {
            Arrival::Newer { skipped } => {
                self.unique_of_source += 1;
                self.bursts += u64::from(skipped > 0);
            }
            Arrival::Late => {
                self.unique_of_source += 1;
                self.late += 1;
            }
            Arrival::Duplicate => self.duplicate += 1,
            Arrival::Suspect => {}
            Arrival::Restarted => {
                self.past_lost += lost_before;
                // The suspect before this one belongs to the new run of numbers.
                self.first_number = i64::from(sequence) - 1;
                self.unique_of_source = 2;
                self.report = ReportMark::default();
            }
        }
        if first {
            self.first_number = i64::from(sequence);
        }
    }

    /// RFC 3550 A.8; telephone events repeat their timestamp and are left to the caller to keep out.
    fn measure_jitter(&mut self, packet: &PacketFacts, now: Nanos) {
        if packet.clock_rate == 0 {
            return;
        }
        if self.clock_rate != packet.clock_rate {
            self.clock_rate = packet.clock_rate;
            self.transit = None;
        }
        let arrival = units(now, packet.clock_rate);
        let transit = i64::from((arrival as u32).wrapping_sub(packet.timestamp) as i32);
        if let Some(before) = self.transit {
            let difference = (transit - before)
                .unsigned_abs()
                .min(u64::from(packet.clock_rate) * 10);
            self.jitter_units += (difference as f64 - self.jitter_units) / 16.0;
            self.jitter_max_ms = self.jitter_max_ms.max(self.jitter_ms());
        }
        self.transit = Some(transit);
    }

    fn forget_source(&mut self) {
        self.past_lost += self.lost_of_source();
        self.sequence = Sequence::default();
        self.unique_of_source = 0;
        self.transit = None;
        self.jitter_units = 0.0;
        self.report = ReportMark::default();
    }

    fn expected(&self) -> u64 {
        self.sequence
            .newest()
            .map_or(0, |newest| (newest - self.first_number + 1).max(0) as u64)
    }

    fn lost_of_source(&self) -> u64 {
        self.expected().saturating_sub(self.unique_of_source)
    }

    /// Packets that never came, over all sources.
    pub fn lost(&self) -> u64 {
        self.past_lost + self.lost_of_source()
    }

    /// Interarrival jitter in milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        if self.clock_rate == 0 {
            return 0.0;
        }
        self.jitter_units * 1000.0 / f64::from(self.clock_rate)
    }

    /// The highest that the jitter has been, in milliseconds.
    pub const fn jitter_max_ms(&self) -> f64 {
        self.jitter_max_ms
    }

    /// Numbers for the next report block; moves the mark that "since the last report" counts from.
    pub fn report(&mut self) -> Option<ReportNumbers> {
        let ssrc = self.ssrc?;
        let expected = self.expected();
        let expected_now = expected.saturating_sub(self.report.expected);
        let received_now = self.unique_of_source.saturating_sub(self.report.received);
        self.report = ReportMark {
            expected,
            received: self.unique_of_source,
        };
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        let cumulative = expected as i64 - self.unique_of_source as i64;
        Some(ReportNumbers {
            ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: self.sequence.newest().unwrap_or(0) as u32,
            jitter: self.jitter_units as u32,
        })
    }
}

/// What a leg has sent: enough for its sender reports.
#[derive(Debug, Clone, Default)]
pub struct Transmission {
    /// Source of the packets now relayed to this leg.
    pub ssrc: Option<u32>,
    /// Packets of that source (RFC 3550: reset when the SSRC changes).
    pub source_packets: u32,
    /// Payload bytes of that source.
    pub source_octets: u32,
    /// Timestamp of the last packet.
    pub timestamp: u32,
    /// When it was sent.
    pub sent_at: Nanos,
    /// Ticks of the timestamp a second.
    pub clock_rate: u32,
    /// All packets ever sent on the leg.
    pub packets: u64,
    /// All bytes ever sent on the leg, headers included.
    pub bytes: u64,
}

impl Transmission {
    /// Accounts for one packet handed to the network.
    pub fn observe(&mut self, packet: &PacketFacts, payload: usize, now: Nanos) {
        if self.ssrc != Some(packet.ssrc) {
            self.ssrc = Some(packet.ssrc);
            self.source_packets = 0;
            self.source_octets = 0;
        }
        self.source_packets = self.source_packets.wrapping_add(1);
        self.source_octets = self.source_octets.wrapping_add(payload as u32);
        self.timestamp = packet.timestamp;
        self.sent_at = now;
        self.clock_rate = packet.clock_rate;
        self.packets += 1;
        self.bytes += packet.length as u64;
    }

    /// Timestamp units of what is sent, in milliseconds; none before anything was sent.
    pub fn ms_of(&self, units: u32) -> Option<f64> {
        (self.clock_rate > 0).then(|| f64::from(units) * 1000.0 / f64::from(self.clock_rate))
    }

    /// The media timestamp that belongs to `now` (RFC 3550 section 6.4.1).
    pub fn timestamp_at(&self, now: Nanos) -> u32 {
        self.timestamp
            .wrapping_add(units(now.saturating_sub(self.sent_at), self.clock_rate) as u32)
    }
}

/// An estimate of the mean opinion score by the E-model of ITU-T G.107 for G.711 without concealment:
/// loss in percent, jitter and round trip in milliseconds.
pub fn estimate_mos(loss_percent: f64, jitter_ms: f64, rtt_ms: f64) -> f64 {
    const BASE: f64 = 93.2;
    const LOSS_ROBUSTNESS: f64 = 4.3;
    let delay = rtt_ms / 2.0 + 2.0 * jitter_ms + 20.0;
    let delay_impairment = 0.024 * delay
        + if delay > 177.3 {
            0.11 * (delay - 177.3)
        } else {
            0.0
        };
    let loss_impairment = 95.0 * loss_percent / (loss_percent + LOSS_ROBUSTNESS);
    let rating = (BASE - delay_impairment - loss_impairment).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    (score.clamp(1.0, 4.5) * 100.0).round() / 100.0
}

fn units(span: Nanos, rate: u32) -> u64 {
    let rate = u64::from(rate);
    span / SECOND * rate + span % SECOND * rate / SECOND
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> PacketFacts {
        PacketFacts {
            ssrc,
            sequence,
            timestamp,
            clock_rate: 8000,
            length: 172,
        }
    }

    #[test]
    fn loss_disorder_and_duplicates_are_counted_once_each() {
        let mut reception = Reception::default();
        for number in [1u16, 2, 4, 3, 3, 7] {
            reception.observe(&packet(1, number, u32::from(number) * 160), 0);
        }
        assert_eq!((reception.packets, reception.lost()), (6, 2));
        assert_eq!(reception.bursts, 2);
        assert_eq!((reception.late, reception.duplicate), (1, 1));
        let report = reception.report().unwrap();
        assert_eq!(
            (report.cumulative_lost, report.fraction_lost, report.highest),
            (2, 73, 7)
        );
        assert_eq!(reception.report().unwrap().fraction_lost, 0);
    }

    #[test]
    fn totals_run_on_over_a_change_of_source() {
        let mut reception = Reception::default();
        for (ssrc, number) in [(1, 1), (1, 3), (2, 500), (2, 501), (2, 503)] {
            reception.observe(&packet(ssrc, number, 0), 0);
        }
        assert_eq!((reception.lost(), reception.ssrc_changes), (2, 1));
    }

    #[test]
    fn a_restart_of_the_numbers_is_no_loss() {
        let mut reception = Reception::default();
        for number in [1u16, 2, 30_000, 30_001, 30_002] {
            reception.observe(&packet(1, number, 0), 0);
        }
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn steady_arrival_has_no_jitter_and_uneven_has() {
        let run = |uneven: u64| {
            let mut reception = Reception::default();
            for step in 0..200u64 {
                let delay = if step % 2 == 0 {
                    0
                } else {
                    uneven * MILLISECOND
                };
                let now = step * 20 * MILLISECOND + delay;
                reception.observe(&packet(1, step as u16, step as u32 * 160), now);
            }
            assert!(reception.jitter_max_ms() >= reception.jitter_ms());
            reception.jitter_ms()
        };
        assert!(run(0) < 0.01);
        assert!((run(8) - 8.0).abs() < 0.5, "{}", run(8));
    }

    #[test]
    fn mos_falls_with_loss_and_delay() {
        assert!(estimate_mos(0.0, 0.0, 0.0) > 4.3);
        assert!(estimate_mos(5.0, 0.0, 0.0) < estimate_mos(1.0, 0.0, 0.0));
        assert!(estimate_mos(100.0, 500.0, 2000.0) >= 1.0);
    }
}
