//! One channel's bytes between its timeline and the stream: whole frames to be taken, and the begin of the
//! next one.
use super::gap::{Cause, Gap, GapTracker};
use super::packet::{Audio, Sink};
use super::transcode::Transcoder;
use crate::codec::Encoding;

/// Frames taken before the buffer is moved to its front.
const COMPACT_AFTER: usize = 8;

/// The shape of a track's frames.
#[derive(Debug, Clone, Copy)]
pub struct TrackShape {
    /// The stream's encoding.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate: u32,
    /// Samples of a frame.
    pub frame: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Track {
    shape: TrackShape,
    transcoder: Transcoder,
    /// Encoded samples, and for each whether it is silence that nobody sent.
    bytes: Vec<u8>,
    silent: Vec<u8>,
    /// Samples at the front that have been taken.
    taken: usize,
    /// Position of the first sample not taken.
    front: u64,
    gaps: GapTracker,
    reports: Vec<Gap>,
    dropped: u64,
}

impl Track {
    /// An empty track at position 0.
    pub fn new(shape: TrackShape) -> Self {
        let room = (COMPACT_AFTER + 16) * shape.frame;
        Self {
            shape,
            transcoder: Transcoder::new(shape.encoding, shape.rate),
            bytes: Vec::with_capacity(room * shape.encoding.sample_size()),
            silent: Vec::with_capacity(room),
            taken: 0,
            front: 0,
            gaps: GapTracker::new(shape.rate),
            reports: Vec::with_capacity(8),
            dropped: 0,
        }
    }

    /// Whether a whole frame waits.
    pub fn has_frame(&self) -> bool {
        self.silent.len() - self.taken >= self.shape.frame
    }

    /// Position of the front frame.
    pub const fn front(&self) -> u64 {
        self.front
    }

    /// The encoded front frame; empty when there is none.
    pub fn frame(&self) -> &[u8] {
        let size = self.shape.encoding.sample_size();
        let range = self.taken * size..(self.taken + self.shape.frame) * size;
        self.bytes.get(range).unwrap_or_default()
    }

    /// For each sample of the front frame 1 if it is silence that nobody sent, else 0.
    pub fn silence(&self) -> &[u8] {
        self.silent
            .get(self.taken..self.taken + self.shape.frame)
            .unwrap_or_default()
    }

    /// Takes the front frame away.
    pub fn advance(&mut self) {
        self.taken += self.shape.frame;
        self.front += self.shape.frame as u64;
        if self.taken >= self.silent.len() {
            self.taken = 0;
            self.bytes.clear();
            self.silent.clear();
        } else if self.taken >= COMPACT_AFTER * self.shape.frame {
            self.bytes
                .drain(..self.taken * self.shape.encoding.sample_size());
            self.silent.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Ends the gap now open.
    pub fn end_gap(&mut self) {
        let reports = &mut self.reports;
        self.gaps.end(&mut |gap| reports.push(gap));
    }

    /// The gaps to be told since this was last asked.
    pub fn take_gaps(&mut self) -> std::vec::Drain<'_, Gap> {
        self.reports.drain(..)
    }

    /// The samples left out since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn extend_gap(&mut self, at: u64, samples: u64, cause: Cause) {
        let reports = &mut self.reports;
        self.gaps
            .extend(at, samples, cause, &mut |gap| reports.push(gap));
    }
}

impl Sink for Track {
    fn audio(&mut self, _at: u64, audio: &Audio<'_>) {
        self.end_gap();
        self.transcoder.append(audio, &mut self.bytes);
        self.silent
            .resize(self.silent.len() + audio.take as usize, 0);
    }

    fn silence(&mut self, at: u64, samples: u64, cause: Cause) {
        self.extend_gap(at, samples, cause);
        self.transcoder.interrupt();
        self.shape
            .encoding
            .push_silence(samples as usize, &mut self.bytes);
        self.silent.resize(self.silent.len() + samples as usize, 1);
    }

    fn dropped(&mut self, at: u64, samples: u64, cause: Cause) {
        if cause == Cause::Paused {
            // Nothing is made for this stretch: the next frame begins behind it.
            self.extend_gap(at, samples, cause);
            self.transcoder.interrupt();
            self.front = at + samples;
            return;
        }
        self.end_gap();
        self.reports.push(Gap {
            from: at,
            samples,
            cause,
            ended: true,
        });
        self.dropped += samples;
    }
}
