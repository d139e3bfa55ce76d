//! One channel's bytes between its timeline and the stream: whole frames to be taken, and the begin of the
//! next one.
use std::collections::VecDeque;
use std::ops::Range;

use super::gap::{Cause, Gap, GapTracker};
use super::packet::{Audio, Sink};
use super::transcode::Transcoder;
use crate::codec::Encoding;
use crate::pool;

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

/// So many samples in a row of one kind.
#[derive(Debug, Clone, Copy)]
struct Run {
    samples: usize,
    /// They are silence that nobody sent.
    silent: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Track {
    shape: TrackShape,
    transcoder: Transcoder,
    /// Encoded samples; lent only while there are any.
    bytes: Vec<u8>,
    /// Samples at the front that have been taken.
    taken: usize,
    /// What the others are, in order.
    runs: VecDeque<Run>,
    /// How many those are.
    waiting: usize,
    /// Position of the first sample not taken.
    front: u64,
    gaps: GapTracker,
    reports: Vec<Gap>,
    dropped: u64,
}

impl Track {
    /// An empty track at position 0.
    pub fn new(shape: TrackShape) -> Self {
        Self {
            shape,
            transcoder: Transcoder::new(shape.encoding, shape.rate),
            bytes: Vec::new(),
            taken: 0,
            runs: VecDeque::new(),
            waiting: 0,
            front: 0,
            gaps: GapTracker::new(shape.rate),
            reports: Vec::new(),
            dropped: 0,
        }
    }

    /// Whether a whole frame waits.
    pub const fn has_frame(&self) -> bool {
        self.waiting >= self.shape.frame
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

    /// Where the front frame is silence that nobody sent: stretches of its samples, in order.
    pub fn silence(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let (frame, mut end) = (self.shape.frame, 0);
        self.runs
            .iter()
            .map_while(move |run| {
                let begin = end;
                end = (begin + run.samples).min(frame);
                (begin < frame).then_some((begin..end, run.silent))
            })
            .filter_map(|(stretch, silent)| silent.then_some(stretch))
    }

    /// Whether the front frame is nothing but that.
    pub fn is_silent(&self) -> bool {
        let silent: usize = self.silence().map(|stretch| stretch.len()).sum();
        silent == self.shape.frame
    }

    /// Takes the front frame away.
    pub fn advance(&mut self) {
        let (frame, size) = (self.shape.frame, self.shape.encoding.sample_size());
        self.taken += frame;
        self.front += frame as u64;
        self.waiting = self.waiting.saturating_sub(frame);
        let mut left = frame;
        while let Some(run) = self.runs.front_mut().filter(|_| left > 0) {
            let part = run.samples.min(left);
            run.samples -= part;
            left -= part;
            if run.samples == 0 {
                self.runs.pop_front();
            }
        }
        if self.waiting == 0 {
            self.taken = 0;
            pool::give_back(std::mem::take(&mut self.bytes));
        } else if self.taken >= COMPACT_AFTER * frame {
            self.bytes.drain(..self.taken * size);
            self.taken = 0;
        }
    }

    fn append(&mut self, samples: usize, silent: bool) {
        self.waiting += samples;
        match self.runs.back_mut() {
            Some(run) if run.silent == silent => run.samples += samples,
            _ => self.runs.push_back(Run { samples, silent }),
        }
    }

    fn borrow_buffer(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool::lend();
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
        self.borrow_buffer();
        self.transcoder.append(audio, &mut self.bytes);
        self.append(audio.take as usize, false);
    }

    fn silence(&mut self, at: u64, samples: u64, cause: Cause) {
        self.extend_gap(at, samples, cause);
        self.transcoder.interrupt();
        self.borrow_buffer();
        self.shape
            .encoding
            .push_silence(samples as usize, &mut self.bytes);
        self.append(samples as usize, true);
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
