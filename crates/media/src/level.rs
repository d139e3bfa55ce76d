//! How loud a party is: one packet in five a second is looked at, so that it costs next to nothing.
use crate::clock::{Nanos, MILLISECOND};
use crate::codec::{g711, AudioFormat, Coding};

/// From one packet that is looked at to the next.
const INTERVAL: Nanos = 200 * MILLISECOND;
/// Mean square below which a packet is silence: -55 dBov, above the idle noise of G.711 and of comfort noise.
const SILENCE: u64 = 3_396;
/// Magnitude of a sample at the end of the scale: the last step of µ-law and A-law.
const FULL_SCALE: u32 = 32_000;
/// A packet is clipped when one of so many samples is at the end of the scale.
const CLIPPED_SHARE: usize = 50;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    due: Nanos,
    /// Packets that were looked at.
    pub measured: u32,
    /// Of these, those that were silence.
    pub silent: u32,
    /// Of these, those at the end of the scale.
    pub clipped: u32,
    /// Sum of the mean squares of packets that were no silence.
    energy: u64,
}

impl Level {
    /// Looks at a packet when it is time to. Says whether somebody was heard in it.
    pub fn observe(&mut self, format: &AudioFormat, payload: &[u8], now: Nanos) -> bool {
        if now < self.due {
            return false;
        }
        let Some(power) = power(format.coding, payload) else {
            return false;
        };
        self.due = now + INTERVAL;
        self.measured = self.measured.saturating_add(1);
        if power.mean_square < SILENCE {
            self.silent = self.silent.saturating_add(1);
            return false;
        }
        self.energy = self.energy.saturating_add(power.mean_square);
        if power.at_full_scale * CLIPPED_SHARE >= power.samples {
            self.clipped = self.clipped.saturating_add(1);
        }
        true
    }

    /// Mean level of what was no silence, in dB to the overload point; none when nothing was heard.
    pub fn dbov(&self) -> Option<f64> {
        let audible = self.measured.saturating_sub(self.silent);
        if audible == 0 {
            return None;
        }
        let mean = self.energy as f64 / f64::from(audible);
        Some(10.0 * (mean / (32_768.0 * 32_768.0)).log10())
    }
}

/// The power of one payload.
struct Power {
    samples: usize,
    mean_square: u64,
    at_full_scale: usize,
}

/// The power of a payload that needs no state to be read; none of others, and of an empty one.
fn power(coding: Coding, payload: &[u8]) -> Option<Power> {
    match coding {
        Coding::Pcmu => sum(payload.iter().map(|&code| g711::linear_of_ulaw(code))),
        Coding::Pcma => sum(payload.iter().map(|&code| g711::linear_of_alaw(code))),
        Coding::L16 => sum(payload
            .chunks_exact(2)
            .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))),
        Coding::G722 => None,
    }
}

fn sum(samples: impl Iterator<Item = i16>) -> Option<Power> {
    let (mut count, mut squares, mut at_full_scale) = (0usize, 0u64, 0usize);
    for sample in samples {
        let magnitude = u32::from(sample.unsigned_abs());
        count += 1;
        squares += u64::from(magnitude * magnitude);
        at_full_scale += usize::from(magnitude >= FULL_SCALE);
    }
    let mean_square = squares.checked_div(count as u64)?;
    Some(Power {
        samples: count,
        mean_square,
        at_full_scale,
    })
}

/// The longest time in which neither party was heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadAir {
    since: Option<Nanos>,
    longest: Nanos,
}

impl DeadAir {
    /// Of a call that can't be heard yet.
    pub const fn new() -> Self {
        Self {
            since: None,
            longest: 0,
        }
    }

    /// The call may be heard from now on: it is bridged and nobody holds it. The time is counted from here.
    pub fn begin(&mut self, now: Nanos) {
        if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// Somebody was heard.
    pub fn heard(&mut self, now: Nanos) {
        if let Some(since) = self.since {
            self.longest = self.longest.max(now.saturating_sub(since));
            self.since = Some(now);
        }
    }

    /// The call can't be heard: silence means nothing until it begins again.
    pub fn pause(&mut self, now: Nanos) {
        self.heard(now);
        self.since = None;
    }

    /// The longest time so far.
    pub fn longest(&self, now: Nanos) -> Nanos {
        let present = self.since.map_or(0, |since| now.saturating_sub(since));
        self.longest.max(present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::codec::Encoding;

    fn format(coding: Coding) -> AudioFormat {
        AudioFormat {
            coding,
            clock_rate: 8_000,
            channels: 1,
        }
    }

    fn tone(peak: f64) -> Vec<i16> {
        let step = std::f64::consts::TAU / 16.0;
        (0..160)
            .map(|at| (peak * (f64::from(at) * step).sin()) as i16)
            .collect()
    }

    fn encoded(encoding: Encoding, samples: &[i16]) -> Vec<u8> {
        let mut out = Vec::new();
        encoding.encode(samples, &mut out);
        out
    }

    #[test]
    fn a_tone_has_its_level_in_each_coding() {
        let samples = tone(8_192.0);
        let linear: Vec<u8> = samples.iter().flat_map(|each| each.to_be_bytes()).collect();
        let payloads = [
            (Coding::Pcmu, encoded(Encoding::Pcmu, &samples)),
            (Coding::Pcma, encoded(Encoding::Pcma, &samples)),
            (Coding::L16, linear),
        ];
        for (coding, payload) in payloads {
            let mut level = Level::default();
            assert!(level.observe(&format(coding), &payload, 0));
            // A quarter of the scale is -12 dB, a sine another 3 dB below its peak.
            let dbov = level.dbov().unwrap();
            assert!((dbov + 15.05).abs() < 0.2, "{coding:?}: {dbov}");
            assert_eq!((level.measured, level.silent, level.clipped), (1, 0, 0));
        }
    }

    #[test]
    fn silence_is_none_heard_and_clipping_is_counted() {
        let mut level = Level::default();
        let pcmu = format(Coding::Pcmu);
        assert!(!level.observe(&pcmu, &[g711::ULAW_SILENCE; 160], 0));
        assert_eq!(level.dbov(), None);
        assert!(level.observe(&pcmu, &encoded(Encoding::Pcmu, &tone(60_000.0)), SECOND));
        assert_eq!((level.measured, level.silent, level.clipped), (2, 1, 1));
    }

    #[test]
    fn few_packets_are_looked_at_and_those_that_can_not_be_read_are_left_out() {
        let mut level = Level::default();
        let payload = encoded(Encoding::Pcmu, &tone(8_192.0));
        for packet in 0..50u64 {
            level.observe(&format(Coding::Pcmu), &payload, packet * 20 * MILLISECOND);
        }
        assert_eq!(level.measured, 5);
        let mut level = Level::default();
        assert!(!level.observe(&format(Coding::G722), &payload, 0));
        assert!(!level.observe(&format(Coding::Pcmu), &[], 0));
        assert_eq!(level.measured, 0);
    }

    #[test]
    fn dead_air_is_the_longest_time_that_nobody_is_heard() {
        let mut air = DeadAir::default();
        air.heard(SECOND);
        assert_eq!(air.longest(9 * SECOND), 0);
        air.begin(10 * SECOND);
        air.heard(12 * SECOND);
        air.begin(13 * SECOND);
        air.heard(13 * SECOND);
        assert_eq!(air.longest(14 * SECOND), 2 * SECOND);
        air.pause(16 * SECOND);
        assert_eq!(air.longest(99 * SECOND), 3 * SECOND);
        air.begin(100 * SECOND);
        assert_eq!(air.longest(107 * SECOND), 7 * SECOND);
    }
}
