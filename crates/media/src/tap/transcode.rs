//! From RTP payloads to the stream's bytes: untouched where the codec is the stream's own, else decoded,
//! resampled and encoded.
use super::packet::Audio;
use crate::codec::resample::Resampler;
use crate::codec::{l16, AudioFormat, Coding, Decoder, Encoding};

/// Samples that rounding may carry from one packet to the next.
const MAX_CARRY: usize = 8;

/// Writes one channel's audio in the stream's encoding.
#[derive(Debug)]
pub struct Transcoder {
    encoding: Encoding,
    rate: u32,
    format: Option<AudioFormat>,
    decoder: Decoder,
    resampler: Option<Resampler>,
    decoded: Vec<i16>,
    /// Audio at the stream's rate: the current packet's, after what rounding left of the one before.
    converted: Vec<i16>,
    /// Samples of `converted` that belong to the current packet.
    current: usize,
}

impl Transcoder {
    /// A transcoder into `encoding` at `rate` samples a second.
    pub fn new(encoding: Encoding, rate: u32) -> Self {
        Self {
            encoding,
            rate,
            format: None,
            decoder: Decoder::default(),
            resampler: None,
            decoded: Vec::new(),
            converted: Vec::new(),
            current: 0,
        }
    }

    /// Appends exactly `audio.take` encoded samples to `out`.
    pub fn append(&mut self, audio: &Audio<'_>, out: &mut Vec<u8>) {
        let end = out.len() + audio.take as usize * self.encoding.sample_size();
        if self.encoding.carries(self.rate, &audio.format) {
            self.copy(audio, out);
        } else {
            self.follow(audio.format);
            if audio.first {
                self.convert(audio);
            }
            let begin = (audio.skip as usize).min(self.current);
            let stop = (begin + audio.take as usize).min(self.current);
            self.encoding.encode(&self.converted[begin..stop], out);
        }
        let missing = end.saturating_sub(out.len()) / self.encoding.sample_size();
        self.encoding.push_silence(missing, out);
    }

    /// Forgets the past of the signal, as silence in between makes it meaningless.
    pub fn interrupt(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
        self.converted.clear();
        self.current = 0;
    }

    fn copy(&self, audio: &Audio<'_>, out: &mut Vec<u8>) {
        let size = self.encoding.sample_size();
        let begin = (audio.skip as usize * size).min(audio.payload.len());
        let stop = (begin + audio.take as usize * size).min(audio.payload.len());
        let bytes = &audio.payload[begin..stop];
        match self.encoding {
            Encoding::L16 => l16::swap(bytes, out),
            Encoding::Pcmu | Encoding::Pcma => out.extend_from_slice(bytes),
        }
    }

    fn follow(&mut self, format: AudioFormat) {
        if self.format == Some(format) {
            return;
        }
        let from = format.sample_rate();
        self.resampler = (from != self.rate).then(|| Resampler::new(from, self.rate));
        if self.format.map(|old| old.coding) != Some(format.coding) || format.coding == Coding::G722
        {
            self.decoder = Decoder::default();
        }
        self.converted.clear();
        self.current = 0;
        self.format = Some(format);
    }

    /// Makes exactly `audio.total` samples of the payload. Rounding may yield one sample more, which waits
    /// for the next packet, or one fewer, which repeats the last.
    fn convert(&mut self, audio: &Audio<'_>) {
        self.converted
            .drain(..self.current.min(self.converted.len()));
        self.decoded.clear();
        self.decoder
            .decode(&audio.format, audio.payload, &mut self.decoded);
        match &mut self.resampler {
            Some(resampler) => resampler.process(&self.decoded, &mut self.converted),
            None => self.converted.extend_from_slice(&self.decoded),
        }
        self.current = audio.total as usize;
        let last = self.converted.last().copied().unwrap_or_default();
        if self.converted.len() < self.current {
            self.converted.resize(self.current, last);
        }
        self.converted.truncate(self.current + MAX_CARRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio<'a>(name: &str, rate: u32, payload: &'a [u8], total: u64) -> Audio<'a> {
        let format = AudioFormat::from_sdp(name, rate, 1).unwrap();
        Audio {
            format,
            payload,
            total,
            skip: 0,
            take: total,
            first: true,
        }
    }

    #[test]
    fn the_streams_own_codec_is_copied() {
        let payload: Vec<u8> = (0..=255).collect();
        for (name, encoding) in [("PCMU", Encoding::Pcmu), ("PCMA", Encoding::Pcma)] {
            let mut out = Vec::new();
            let part = Audio {
                skip: 6,
                take: 200,
                ..audio(name, 8000, &payload, 256)
            };
            Transcoder::new(encoding, 8000).append(&part, &mut out);
            assert_eq!(out, payload[6..206]);
        }
        let mut out = Vec::new();
        Transcoder::new(Encoding::L16, 48_000)
            .append(&audio("L16", 48_000, &[1, 2, 3, 4], 2), &mut out);
        assert_eq!(out, [2, 1, 4, 3]);
    }

    #[test]
    fn the_two_laws_are_turned_into_each_other() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let quiet = [0xFFu8; 160];
        Transcoder::new(Encoding::Pcma, 8000).append(&audio("PCMU", 8000, &quiet, 160), &mut there);
        assert_eq!(there, [0xD5; 160]);
        Transcoder::new(Encoding::Pcmu, 8000).append(&audio("PCMA", 8000, &there, 160), &mut back);
        assert_eq!(back.len(), 160);
    }

    #[test]
    fn every_packet_makes_exactly_its_samples_whatever_the_rounding() {
        for (name, from, to, ticks) in [
            ("PCMU", 8000, 48_000, 80),
            ("G722", 8000, 24_000, 160),
            ("L16", 44_100, 8000, 441),
            ("L16", 48_000, 8000, 961),
        ] {
            let mut transcoder = Transcoder::new(Encoding::L16, to);
            let (mut out, mut end) = (Vec::new(), 0u64);
            let payload = vec![0x11u8; ticks * if name == "L16" { 2 } else { 1 }];
            for packet in 1..=500u64 {
                let next = packet * ticks as u64 * u64::from(to) / u64::from(from);
                transcoder.append(&audio(name, from, &payload, next - end), &mut out);
                end = next;
                assert_eq!(out.len() as u64, 2 * end, "{name} {from} to {to}");
                assert!(transcoder.converted.len() <= transcoder.current + 1);
            }
        }
    }
}
