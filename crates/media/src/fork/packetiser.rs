//! From a timeline's stretches to the payloads of packets, in G.711: one sample is one byte and one tick.
use std::collections::VecDeque;

use super::stats::Gaps;
use crate::codec::Encoding;
use crate::tap::packet::{Audio, Sink};
use crate::tap::transcode::Transcoder;
use crate::tap::Cause;

/// Samples a second of G.711.
pub const RATE: u32 = 8_000;
/// Room for what may wait: a packet not yet full, and a stretch of 500 ms.
const ROOM: usize = 8 * 1024;

/// Neighbouring samples that are all audio, or all silence.
#[derive(Debug, Clone, Copy)]
struct Run {
    samples: usize,
    audio: bool,
}

/// A payload that is ready.
#[derive(Debug, Clone, Copy)]
pub struct Ready<'a> {
    /// Position of its first sample.
    pub position: u64,
    /// The encoded samples.
    pub payload: &'a [u8],
    /// How many of them are audio of the side.
    pub audio: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Packetiser {
    encoding: Encoding,
    transcoder: Transcoder,
    samples: usize,
    bytes: Vec<u8>,
    /// Bytes at the front that have been taken.
    taken: usize,
    runs: VecDeque<Run>,
    /// Position of the first byte not taken.
    front: u64,
    gaps: Gaps,
}

impl Packetiser {
    /// Makes packets of so many samples, from position `front` on.
    pub fn new(encoding: Encoding, samples: usize, front: u64) -> Self {
        Self {
            encoding,
            transcoder: Transcoder::new(encoding, RATE),
            samples: samples.max(1),
            bytes: Vec::with_capacity(ROOM),
            taken: 0,
            runs: VecDeque::with_capacity(64),
            front,
            gaps: Gaps::default(),
        }
    }

    /// Goes on in another shape; what is left of the former must have been taken.
    pub fn change(&mut self, encoding: Encoding, samples: usize) {
        if encoding != self.encoding {
            self.encoding = encoding;
            self.transcoder = Transcoder::new(encoding, RATE);
        }
        self.samples = samples.max(1);
    }

    /// Where the side's time has no audio.
    pub const fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// Takes a full payload out.
    pub fn take(&mut self) -> Option<Ready<'_>> {
        (self.waiting() >= self.samples).then(|| self.take_samples(self.samples))
    }

    /// Takes what is left, however short it is.
    pub fn take_rest(&mut self) -> Option<Ready<'_>> {
        let waiting = self.waiting();
        (waiting > 0).then(|| self.take_samples(waiting))
    }

    fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn take_samples(&mut self, samples: usize) -> Ready<'_> {
        let audio = self.take_runs(samples);
        let position = self.front;
        let begin = self.taken;
        self.front += samples as u64;
        self.taken += samples;
        Ready {
            position,
            payload: &self.bytes[begin..begin + samples],
            audio,
        }
    }

    /// Forgets the runs of so many samples; returns how many were audio.
    fn take_runs(&mut self, samples: usize) -> usize {
        let (mut left, mut audio) = (samples, 0);
        while left > 0 {
            let Some(run) = self.runs.front_mut() else {
                break;
            };
            let part = run.samples.min(left);
            audio += if run.audio { part } else { 0 };
            left -= part;
            run.samples -= part;
            if run.samples == 0 {
                self.runs.pop_front();
            }
        }
        audio
    }

    /// Makes room for more by letting go of what was taken.
    fn compact(&mut self) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    fn extend_runs(&mut self, samples: u64, audio: bool) {
        let samples = samples as usize;
        match self.runs.back_mut() {
            Some(run) if run.audio == audio => run.samples += samples,
            _ => self.runs.push_back(Run { samples, audio }),
        }
    }
}

impl Sink for Packetiser {
    fn audio(&mut self, _at: u64, audio: &Audio<'_>) {
        self.compact();
        self.transcoder.append(audio, &mut self.bytes);
        self.extend_runs(audio.take, true);
    }

    fn silence(&mut self, _at: u64, samples: u64, cause: Cause) {
        self.compact();
        self.gaps.add(cause, samples);
        self.transcoder.interrupt();
        self.encoding
            .push_silence(samples as usize, &mut self.bytes);
        self.extend_runs(samples, false);
    }

    fn dropped(&mut self, at: u64, samples: u64, cause: Cause) {
        self.gaps.add(cause, samples);
        if cause == Cause::Paused {
            // Nothing is made for this stretch: what comes next begins behind it.
            self.transcoder.interrupt();
            self.bytes.clear();
            self.taken = 0;
            self.runs.clear();
            self.front = at + samples;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::AudioFormat;

    fn audio(packetiser: &mut Packetiser, at: u64, payload: &[u8]) {
        let samples = payload.len() as u64;
        let audio = Audio {
            format: AudioFormat::from_sdp("PCMU", 8000, 1).unwrap(),
            payload,
            total: samples,
            skip: 0,
            take: samples,
            first: true,
        };
        packetiser.audio(at, &audio);
    }

    fn all(packetiser: &mut Packetiser) -> Vec<(u64, usize, usize)> {
        std::iter::from_fn(|| {
            packetiser
                .take()
                .map(|ready| (ready.position, ready.payload.len(), ready.audio))
        })
        .collect()
    }

    #[test]
    fn packets_of_any_length_are_cut_from_stretches_of_any_length() {
        let mut packetiser = Packetiser::new(Encoding::Pcmu, 240, 0);
        audio(&mut packetiser, 0, &[1; 160]);
        assert_eq!(all(&mut packetiser), []);
        packetiser.silence(160, 200, Cause::Loss);
        audio(&mut packetiser, 360, &[2; 160]);
        assert_eq!(all(&mut packetiser), [(0, 240, 160), (240, 240, 120)]);
        let rest = packetiser.take_rest().unwrap();
        assert_eq!((rest.position, rest.payload), (480, &[2; 40][..]));
        assert!(packetiser.take_rest().is_none());
        assert_eq!(packetiser.gaps().named(), [("loss", 200)].into());
    }

    #[test]
    fn after_a_pause_it_goes_on_behind_it() {
        let mut packetiser = Packetiser::new(Encoding::Pcma, 160, 320);
        packetiser.dropped(320, 1600, Cause::Paused);
        packetiser.silence(1920, 160, Cause::Hold);
        assert_eq!(all(&mut packetiser), [(1920, 160, 0)]);
        assert_eq!(
            packetiser.gaps().named(),
            [("paused", 1600), ("hold", 160)].into()
        );
    }

    #[test]
    fn another_law_and_length_may_be_taken_up() {
        let mut packetiser = Packetiser::new(Encoding::Pcmu, 160, 0);
        audio(&mut packetiser, 0, &[0xFF; 160]);
        assert_eq!(packetiser.take().unwrap().payload, [0xFF; 160]);
        packetiser.change(Encoding::Pcma, 80);
        audio(&mut packetiser, 160, &[0xFF; 160]);
        assert_eq!(packetiser.take().unwrap().payload, [0xD5; 80]);
        assert_eq!(packetiser.take().unwrap().position, 240);
    }
}
