//! Sample rate conversion by a polyphase windowed-sinc filter.
use std::collections::VecDeque;
use std::f64::consts::PI;

/// Zero crossings of the sinc on each side, in samples of the lower rate.
const HALF_WIDTH: usize = 16;
/// Kaiser window parameter: about 80 dB of attenuation beyond the transition.
const KAISER_BETA: f64 = 8.0;
/// Edge of the pass band as a share of the lower rate's half.
const PASS_BAND: f64 = 0.92;

/// Converts one channel from one rate to another, block by block. The output of all blocks together has
/// exactly `input * to / from` samples, rounded down; it lags by half the filter (2 ms at 8 kHz).
#[derive(Debug, Clone)]
pub struct Resampler {
    /// Output steps per `down` input steps, both without common factors.
    up: usize,
    down: usize,
    /// One row of `taps` coefficients per phase.
    phases: Vec<f32>,
    taps: usize,
    history: VecDeque<f32>,
    /// Position of the next output within the current input sample, in `1/up` of it.
    phase: usize,
}

impl Resampler {
    /// A converter between two rates; both must be above zero and below 192 kHz.
    pub fn new(from: u32, to: u32) -> Self {
        let (from, to) = (
            from.clamp(1, 192_000) as usize,
            to.clamp(1, 192_000) as usize,
        );
        let common = gcd(from, to);
        let (up, down) = (to / common, from / common);
        // Widths are in input samples; when the rate falls, the filter grows to cut below the lower rate.
        let taps = if down > up {
            2 * HALF_WIDTH * down.div_ceil(up)
        } else {
            2 * HALF_WIDTH
        };
        let cutoff = PASS_BAND
            * if down > up {
                up as f64 / down as f64
            } else {
                1.0
            };
        let history = std::iter::repeat_n(0.0, taps).collect();
        Self {
            up,
            down,
            phases: build_phases(up, taps, cutoff),
            taps,
            history,
            phase: 0,
        }
    }

    /// Converts a block and appends the result.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        for &sample in input {
            self.history.pop_front();
            self.history.push_back(f32::from(sample));
            while self.phase < self.up {
                out.push(self.output());
                self.phase += self.down;
            }
            self.phase -= self.up;
        }
    }

    /// Forgets the past, as after silence.
    pub fn reset(&mut self) {
        self.history.iter_mut().for_each(|sample| *sample = 0.0);
        self.phase = 0;
    }

    fn output(&self) -> i16 {
        let row = &self.phases[self.phase * self.taps..][..self.taps];
        let (older, newer) = self.history.as_slices();
        let (row_older, row_newer) = row.split_at(older.len());
        let sum = dot(older, row_older) + dot(newer, row_newer);
        sum.round().clamp(-32_768.0, 32_767.0) as i16
    }
}

fn dot(samples: &[f32], row: &[f32]) -> f32 {
    samples
        .iter()
        .zip(row)
        .map(|(sample, coefficient)| sample * coefficient)
        .sum()
}

/// Row `p` yields the value `p/up` of a sample after the middle of the history. Each row sums to one.
fn build_phases(up: usize, taps: usize, cutoff: f64) -> Vec<f32> {
    let half = taps as f64 / 2.0;
    let mut phases = Vec::with_capacity(up * taps);
    for phase in 0..up {
        let offset = phase as f64 / up as f64;
        let row: Vec<f64> = (0..taps)
            .map(|tap| {
                let distance = tap as f64 - (half - 1.0) - offset;
                sinc(cutoff * distance) * kaiser(distance / half)
            })
            .collect();
        let sum: f64 = row.iter().sum();
        phases.extend(row.iter().map(|value| (value / sum) as f32));
    }
    phases
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel(KAISER_BETA)
}

/// The modified Bessel function of the first kind, order zero, by its power series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        gcd(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds) as u32;
        (0..count)
            .map(|n| (10_000.0 * (2.0 * PI * hertz * f64::from(n) / f64::from(rate)).sin()) as i16)
            .collect()
    }

    /// Amplitude of one frequency in the middle of a signal.
    fn amplitude(signal: &[i16], rate: u32, hertz: f64) -> f64 {
        let middle = &signal[signal.len() / 4..signal.len() * 3 / 4];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in middle.iter().enumerate() {
            let angle = 2.0 * PI * hertz * n as f64 / f64::from(rate);
            re += f64::from(sample) * angle.cos();
            im += f64::from(sample) * angle.sin();
        }
        2.0 * (re * re + im * im).sqrt() / middle.len() as f64
    }

    fn convert(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
        let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
        for block in input.chunks(from as usize / 50) {
            resampler.process(block, &mut out);
        }
        out
    }

    #[test]
    fn every_pair_of_rates_keeps_the_count_and_a_tone_in_the_band() {
        let rates = [8_000, 16_000, 24_000, 44_100, 48_000];
        for from in rates {
            for to in rates {
                let out = convert(from, to, &tone(from, 1000.0, 1.0));
                assert_eq!(out.len(), to as usize, "{from} to {to}");
                let measured = amplitude(&out, to, 1000.0);
                assert!(
                    (measured - 10_000.0).abs() < 100.0,
                    "{from} to {to}: {measured}"
                );
            }
        }
    }

    #[test]
    fn a_tone_above_the_band_does_not_fold_back() {
        let out = convert(48_000, 8_000, &tone(48_000, 5_000.0, 1.0));
        assert!(amplitude(&out, 8_000, 3_000.0) < 10.0);
        let up = convert(8_000, 48_000, &tone(8_000, 1_000.0, 1.0));
        assert!(amplitude(&up, 48_000, 7_000.0) < 10.0);
    }

    #[test]
    fn loud_input_clips_without_wrapping() {
        let loud: Vec<i16> = (0..800)
            .map(|n| if n / 8 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let out = convert(8_000, 16_000, &loud);
        assert!(out.iter().max().is_some_and(|&peak| peak > 30_000));
    }
}
