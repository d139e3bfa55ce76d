//! Codecs of the tap: what a leg's packets carry, and what a stream carries.
pub mod g711;
pub mod g722;
pub mod l16;
pub mod resample;

/// An audio coding whose payload the tap can read, with its RTP clock (RFC 3551 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Linear 16-bit samples in network byte order.
    L16,
    /// G.722 at 64 kbit/s: 16000 samples a second on a clock of 8000 (RFC 3551 section 4.5.2).
    G722,
}

/// What the payload of one RTP payload type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// The coding.
    pub coding: Coding,
    /// Ticks of the RTP timestamp a second.
    pub clock_rate: u32,
    /// Interleaved channels, 1 or 2.
    pub channels: u8,
}

impl AudioFormat {
    /// The format of a codec named in SDP, if the tap can read it.
    pub fn from_sdp(name: &str, clock_rate: u32, channels: u8) -> Option<Self> {
        let coding = match name.to_ascii_uppercase().as_str() {
            "PCMU" => Coding::Pcmu,
            "PCMA" => Coding::Pcma,
            "L16" => Coding::L16,
            "G722" => Coding::G722,
            _ => return None,
        };
        let possible = match coding {
            Coding::G722 => clock_rate == 8_000 && channels == 1,
            _ => (8_000..=48_000).contains(&clock_rate) && (1..=2).contains(&channels),
        };
        possible.then_some(Self {
            coding,
            clock_rate,
            channels,
        })
    }

    /// Ticks of the RTP timestamp in so many payload bytes.
    pub fn ticks_in(&self, bytes: usize) -> u32 {
        let size = usize::from(self.channels) * if self.coding == Coding::L16 { 2 } else { 1 };
        (bytes / size.max(1)) as u32
    }

    /// Samples a second once decoded.
    pub const fn sample_rate(&self) -> u32 {
        match self.coding {
            Coding::G722 => 2 * self.clock_rate,
            _ => self.clock_rate,
        }
    }
}

/// Turns the payloads of one source into linear samples.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    g722: g722::Decoder,
}

impl Decoder {
    /// Decodes a payload and appends it to `out`, both channels of a stereo payload averaged.
    pub fn decode(&mut self, format: &AudioFormat, payload: &[u8], out: &mut Vec<i16>) {
        let start = out.len();
        match format.coding {
            Coding::Pcmu => g711::decode_ulaw(payload, out),
            Coding::Pcma => g711::decode_alaw(payload, out),
            Coding::L16 => l16::decode_network(payload, out),
            Coding::G722 => self.g722.decode(payload, out),
        }
        if format.channels == 2 {
            average_pairs(start, out);
        }
    }
}

fn average_pairs(start: usize, out: &mut Vec<i16>) {
    let pairs = (out.len() - start) / 2;
    for pair in 0..pairs {
        let (left, right) = (out[start + 2 * pair], out[start + 2 * pair + 1]);
        out[start + pair] = ((i32::from(left) + i32::from(right)) / 2) as i16;
    }
    out.truncate(start + pairs);
}

/// The encoding of a media stream's payloads; always one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Encoding {
    /// G.711 µ-law at 8000 Hz.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.711 A-law at 8000 Hz.
    #[serde(rename = "PCMA")]
    Pcma,
    /// Signed 16-bit samples, little-endian.
    L16,
}

impl Encoding {
    /// Bytes of one sample.
    pub const fn sample_size(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => 1,
            Self::L16 => 2,
        }
    }

    /// Appends `samples` encoded samples of digital silence.
    pub fn push_silence(self, samples: usize, out: &mut Vec<u8>) {
        let byte = match self {
            Self::Pcmu => g711::ULAW_SILENCE,
            Self::Pcma => g711::ALAW_SILENCE,
            Self::L16 => 0,
        };
        out.resize(out.len() + samples * self.sample_size(), byte);
    }

    /// Appends the encoded `samples`.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        match self {
            Self::Pcmu => out.extend(samples.iter().map(|&sample| g711::ulaw_from_linear(sample))),
            Self::Pcma => out.extend(samples.iter().map(|&sample| g711::alaw_from_linear(sample))),
            Self::L16 => l16::encode_little(samples, out),
        }
    }

    /// Appends the linear samples of encoded `bytes`.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<i16>) {
        match self {
            Self::Pcmu => g711::decode_ulaw(bytes, out),
            Self::Pcma => g711::decode_alaw(bytes, out),
            Self::L16 => l16::decode_little(bytes, out),
        }
    }

    /// Whether payload bytes of `format` are this encoding's bytes, but for L16's byte order.
    pub fn carries(self, rate: u32, format: &AudioFormat) -> bool {
        let same = matches!(
            (self, format.coding),
            (Self::Pcmu, Coding::Pcmu) | (Self::Pcma, Coding::Pcma) | (Self::L16, Coding::L16)
        );
        same && format.clock_rate == rate && format.channels == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_is_averaged() {
        let format = AudioFormat::from_sdp("l16", 16_000, 2).unwrap();
        let mut out = vec![7];
        let payload = [0, 100, 0, 200, 0xFF, 0x00, 0x01, 0x00, 9];
        Decoder::default().decode(&format, &payload, &mut out);
        assert_eq!(out, [7, 150, 0]);
        assert_eq!(format.ticks_in(8), 2);
    }

    #[test]
    fn silence_decodes_to_zero() {
        for encoding in [Encoding::Pcmu, Encoding::Pcma, Encoding::L16] {
            let (mut bytes, mut samples) = (Vec::new(), Vec::new());
            encoding.push_silence(4, &mut bytes);
            encoding.decode(&bytes, &mut samples);
            assert_eq!(samples.len(), 4);
            assert!(
                samples.iter().all(|sample| sample.abs() <= 8),
                "{samples:?}"
            );
        }
    }

    #[test]
    fn codecs_beyond_the_tap_are_told() {
        for (name, rate, channels) in [
            ("opus", 48_000, 2),
            ("G722", 16_000, 1),
            ("PCMU", 0, 1),
            ("L16", 8_000, 9),
        ] {
            assert_eq!(AudioFormat::from_sdp(name, rate, channels), None);
        }
    }
}
