//! G.722 at 64 kbit/s, decoded (ITU-T G.722 section 4): two sub-bands of adaptive differential PCM, joined
//! by a quadrature mirror filter. Block names in the comments are the recommendation's.

/// Steps of the logarithmic scale factor of the low band, by the code's two significant bits.
const LOW_LOG_STEPS: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
/// The low band's codes by magnitude.
const LOW_MAGNITUDES: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
/// Steps of the logarithmic scale factor of the high band.
const HIGH_LOG_STEPS: [i32; 3] = [0, -214, 798];
const HIGH_MAGNITUDES: [usize; 4] = [2, 1, 2, 1];
/// Inverse quantizer of the high band.
const HIGH_QUANTA: [i32; 4] = [-7408, -1616, 7408, 1616];
/// Inverse quantizer of the low band, with four bits: what the predictor follows.
const LOW_QUANTA_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];
/// Inverse quantizer of the low band, with all six bits: what is heard.
const LOW_QUANTA_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// The inverse logarithm.
const ANTILOG: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// Half of the mirror filter's coefficients; the other half is the same in reverse.
const MIRROR: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// One sub-band: its scale factor and its adaptive predictor.
#[derive(Debug, Clone, Default)]
struct Band {
    /// Logarithmic scale factor (NB).
    log_scale: i32,
    /// Linear scale factor (DET).
    scale: i32,
    /// The prediction (S), and its part of the six zeros (SZ).
    prediction: i32,
    zeros_part: i32,
    /// The last partly reconstructed signals (P) and reconstructed ones (R).
    partial: [i32; 3],
    reconstructed: [i32; 3],
    /// The two poles' coefficients (A).
    poles: [i32; 2],
    /// The last quantized differences (D), the newest first, and the zeros' coefficients (B).
    differences: [i32; 7],
    zeros: [i32; 6],
}

impl Band {
    /// LOGSCL, LOGSCH, SCALEL and SCALEH: follows the size of the differences.
    fn adapt_scale(&mut self, step: i32, most: i32, exponent: i32) {
        self.log_scale = (((self.log_scale * 127) >> 7) + step).clamp(0, most);
        let mantissa = ANTILOG[(self.log_scale >> 6 & 31) as usize];
        let shift = exponent - (self.log_scale >> 11);
        let scale = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        };
        self.scale = scale << 2;
    }

    /// Block 4: takes in a quantized difference and predicts the next sample.
    fn predict(&mut self, difference: i32) {
        self.differences[0] = difference;
        self.reconstructed[0] = saturate(self.prediction + difference);
        self.partial[0] = saturate(self.zeros_part + difference);
        let poles = self.adapted_poles();
        self.adapt_zeros(difference);
        self.differences.copy_within(0..6, 1);
        self.reconstructed.copy_within(0..2, 1);
        self.partial.copy_within(0..2, 1);
        self.poles = poles;
        // PREDIC and FILTEZ.
        let pole =
            |index: usize| (poles[index] * saturate(2 * self.reconstructed[index + 1])) >> 15;
        let poles_part = saturate(pole(0) + pole(1));
        self.zeros_part = (0..6).rev().fold(0, |sum, index| {
            saturate(sum + ((self.zeros[index] * saturate(2 * self.differences[index + 1])) >> 15))
        });
        self.prediction = saturate(poles_part + self.zeros_part);
    }

    /// UPPOL2 and UPPOL1.
    fn adapted_poles(&self) -> [i32; 2] {
        let same_sign = |index: usize| (self.partial[0] >> 15) == (self.partial[index] >> 15);
        let scaled = saturate(self.poles[0] << 2);
        let toward = (if same_sign(1) { -scaled } else { scaled }).min(32_767);
        let nudge = if same_sign(2) { 128 } else { -128 };
        let second =
            (nudge + (toward >> 7) + ((self.poles[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        let nudge = if same_sign(1) { 192 } else { -192 };
        let most = saturate(15_360 - second);
        let first = saturate(nudge + ((self.poles[0] * 32_640) >> 15)).clamp(-most, most);
        [first, second]
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (index, zero) in self.zeros.iter_mut().enumerate() {
            let same_sign = (difference >> 15) == (self.differences[index + 1] >> 15);
            let nudge = if same_sign { step } else { -step };
            *zero = saturate(nudge + ((*zero * 32_640) >> 15));
        }
    }
}

/// The decoder's state; every payload of a source goes through it in order.
#[derive(Debug, Clone)]
pub struct Decoder {
    low: Band,
    high: Band,
    mirror: [i32; 24],
}

impl Default for Decoder {
    fn default() -> Self {
        let low = Band {
            scale: 32,
            ..Band::default()
        };
        let high = Band {
            scale: 8,
            ..Band::default()
        };
        Self {
            low,
            high,
            mirror: [0; 24],
        }
    }
}

impl Decoder {
    /// Appends two samples for every octet of the payload.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for &octet in payload {
            let low = self.decode_low(usize::from(octet & 0x3F));
            let high = self.decode_high(usize::from(octet >> 6));
            out.extend(self.join(low, high));
        }
    }

    fn decode_low(&mut self, code: usize) -> i32 {
        let band = &mut self.low;
        let heard =
            (band.prediction + ((band.scale * LOW_QUANTA_6[code]) >> 15)).clamp(-16_384, 16_383);
        let code = code >> 2;
        let difference = (band.scale * LOW_QUANTA_4[code]) >> 15;
        band.adapt_scale(LOW_LOG_STEPS[LOW_MAGNITUDES[code]], 18_432, 8);
        band.predict(difference);
        heard
    }

    fn decode_high(&mut self, code: usize) -> i32 {
        let band = &mut self.high;
        let difference = (band.scale * HIGH_QUANTA[code]) >> 15;
        let heard = (difference + band.prediction).clamp(-16_384, 16_383);
        band.adapt_scale(HIGH_LOG_STEPS[HIGH_MAGNITUDES[code]], 22_528, 10);
        band.predict(difference);
        heard
    }

    /// The receiving quadrature mirror filter.
    fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        self.mirror.copy_within(2.., 0);
        self.mirror[22] = low + high;
        self.mirror[23] = low - high;
        let (mut even, mut odd) = (0, 0);
        for (index, &coefficient) in MIRROR.iter().enumerate() {
            odd += self.mirror[2 * index] * coefficient;
            even += self.mirror[2 * index + 1] * MIRROR[11 - index];
        }
        [saturate(even >> 11) as i16, saturate(odd >> 11) as i16]
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}
