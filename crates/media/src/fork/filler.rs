//! Silence in codecs that are not made here: packets that any decoder of the codec plays as silence.
use super::spec::RecordingCodec;

/// The G.722 codes, by turns, that keep a decoder silent and bring it to rest after speech: of all pairs those that stray
/// least from zero.
const G722_SILENCE: [u8; 2] = [0xFA, 0xFC];
/// An Opus frame of 20 ms of silence (RFC 6716 section 3.1: CELT, full band, mono), as any encoder makes of zeros.
const OPUS_SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];
/// Payloads are kept below this, so that no packet is split on its way.
const MAX_PAYLOAD: u32 = 1_400;

/// A packet of silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filler {
    /// Its payload.
    pub payload: Vec<u8>,
    /// How long it lasts, in ticks of the codec's clock.
    pub ticks: u32,
}

impl Filler {
    /// Silence in a codec, if it is known how that sounds.
    pub fn of(codec: &RecordingCodec) -> Option<Self> {
        let rate = codec.clock_rate;
        match codec.name.to_ascii_uppercase().as_str() {
            "L16" => {
                let size = 2 * u32::from(codec.channels);
                let lengths = [20, 10, 5].map(|ms| rate * ms / 1000);
                let ticks = lengths
                    .into_iter()
                    .find(|ticks| ticks * size <= MAX_PAYLOAD)?;
                Some(Self::repeated(&[0], ticks * size, ticks))
            }
            "G722" if rate == 8_000 => Some(Self::repeated(&G722_SILENCE, 160, 160)),
            "OPUS" if rate == 48_000 => Some(Self {
                payload: OPUS_SILENCE.into(),
                ticks: 960,
            }),
            _ => None,
        }
    }

    fn repeated(pattern: &[u8], size: u32, ticks: u32) -> Self {
        let bytes = pattern.iter().copied().cycle();
        Self {
            payload: bytes.take(size as usize).collect(),
            ticks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{AudioFormat, Decoder};
    use crate::random::Random;

    fn filler(name: &str, clock_rate: u32, channels: u8) -> Option<Filler> {
        Filler::of(&RecordingCodec {
            name: name.into(),
            payload_type: 96,
            clock_rate,
            channels,
        })
    }

    #[test]
    fn silence_is_silent() {
        for (name, rate) in [("L16", 16_000), ("g722", 8_000)] {
            let filler = filler(name, rate, 1).unwrap();
            let format = AudioFormat::from_sdp(name, rate, 1).unwrap();
            assert_eq!(format.ticks_in(filler.payload.len()), filler.ticks);
            let mut decoder = Decoder::default();
            let mut peak = |payload: &[u8], times: usize| {
                let mut out = Vec::new();
                (0..times).for_each(|_| decoder.decode(&format, payload, &mut out));
                out.iter().map(|sample| sample.saturating_abs()).max()
            };
            assert!(peak(&filler.payload, 50) < Some(8), "{name}");
            let mut noise = Random::seeded(5);
            let speech: Vec<u8> = (0..640).map(|_| noise.next_u64() as u8).collect();
            assert!(peak(&speech, 1) > Some(1000), "{name}");
            peak(&filler.payload, 25);
            assert!(peak(&filler.payload, 25) < Some(64), "{name}");
        }
    }

    #[test]
    fn packets_of_silence_fit_and_last_as_long_as_they_say() {
        let stereo = filler("L16", 48_000, 2).unwrap();
        assert_eq!((stereo.payload.len(), stereo.ticks), (960, 240));
        assert_eq!(filler("opus", 48_000, 2).unwrap().ticks, 960);
        assert_eq!(filler("G729", 8_000, 1), None);
        assert_eq!(filler("L16", 192_000, 8), None);
    }
}
