//! Frames of two channels made into one: interleaved by sample, or summed.
use std::ops::Range;

use super::track::Track;
use crate::codec::Encoding;

/// The joined frame, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Joiner {
    payload: Vec<u8>,
    linear: [Vec<i16>; 2],
}

impl Joiner {
    /// The front frames' samples by turns.
    pub fn interleave(&mut self, encoding: Encoding, first: &Track, second: &Track) -> &[u8] {
        let size = encoding.sample_size();
        self.payload.clear();
        for (one, other) in first
            .frame()
            .chunks_exact(size)
            .zip(second.frame().chunks_exact(size))
        {
            self.payload.extend_from_slice(one);
            self.payload.extend_from_slice(other);
        }
        &self.payload
    }

    /// The front frames' sum, clipped. A frame beside pure silence is kept bit for bit.
    pub fn mix<'a>(
        &'a mut self,
        encoding: Encoding,
        first: &'a Track,
        second: &'a Track,
    ) -> &'a [u8] {
        if second.is_silent() {
            return first.frame();
        }
        if first.is_silent() {
            return second.frame();
        }
        for (linear, track) in self.linear.iter_mut().zip([first, second]) {
            linear.clear();
            encoding.decode(track.frame(), linear);
            // The code of silence isn't zero in every law.
            for stretch in track.silence() {
                if let Some(silent) = linear.get_mut(stretch) {
                    silent.fill(0);
                }
            }
        }
        let [sum, other] = &mut self.linear;
        for (sample, addend) in sum.iter_mut().zip(other.iter()) {
            *sample = sample.saturating_add(*addend);
        }
        self.payload.clear();
        encoding.encode(sum, &mut self.payload);
        &self.payload
    }
}

/// Samples at which no track has audio.
pub fn common_silence(first: &Track, second: &Track) -> u32 {
    let overlap = |one: &Range<usize>, other: Range<usize>| {
        let (begin, end) = (one.start.max(other.start), one.end.min(other.end));
        end.saturating_sub(begin) as u32
    };
    let with_second =
        |one: Range<usize>| -> u32 { second.silence().map(|other| overlap(&one, other)).sum() };
    first.silence().map(with_second).sum()
}

/// Samples at which a track has no audio.
pub fn silence_of(track: &Track) -> u32 {
    track.silence().map(|stretch| stretch.len() as u32).sum()
}
