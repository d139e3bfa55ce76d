//! Frames of two channels made into one: interleaved by sample, or summed.
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
        if all_silent(second.silence()) {
            return first.frame();
        }
        if all_silent(first.silence()) {
            return second.frame();
        }
        for (linear, track) in self.linear.iter_mut().zip([first, second]) {
            linear.clear();
            encoding.decode(track.frame(), linear);
            // The code of silence isn't zero in every law.
            let silent = linear
                .iter_mut()
                .zip(track.silence())
                .filter(|(_, silent)| **silent != 0);
            silent.for_each(|(sample, _)| *sample = 0);
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
    let pairs = first.silence().iter().zip(second.silence());
    pairs.map(|(one, other)| u32::from(one & other)).sum()
}

/// Samples at which a track has no audio.
pub fn silence_of(track: &Track) -> u32 {
    track
        .silence()
        .iter()
        .map(|&silent| u32::from(silent))
        .sum()
}

fn all_silent(silence: &[u8]) -> bool {
    silence.iter().all(|&silent| silent != 0)
}
