//! G.711 µ-law and A-law (ITU-T G.711), decoded and encoded by tables built at compile time.

/// The µ-law code of silence.
pub const ULAW_SILENCE: u8 = 0xFF;
/// The A-law code of silence (the smallest positive step).
pub const ALAW_SILENCE: u8 = 0xD5;

macro_rules! build_table {
    ($decode:ident) => {{
        let mut values = [0i16; 256];
        let mut code = 0;
        while code < 256 {
            values[code] = $decode(code as u8);
            code += 1;
        }
        values
    }};
}

static ULAW_LINEAR: [i16; 256] = build_table!(linear_from_ulaw);
static ALAW_LINEAR: [i16; 256] = build_table!(linear_from_alaw);

const fn linear_from_ulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((((code & 0x0F) as i16) << 3) + 0x84) << ((code & 0x70) >> 4);
    if code & 0x80 != 0 {
        0x84 - magnitude
    } else {
        magnitude - 0x84
    }
}

const fn linear_from_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code & 0x70) >> 4;
    let step = ((code & 0x0F) as i16) << 4;
    let magnitude = if segment == 0 {
        step + 8
    } else {
        (step + 0x108) << (segment - 1)
    };
    if code & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The linear sample of a µ-law code.
pub fn linear_of_ulaw(code: u8) -> i16 {
    ULAW_LINEAR[usize::from(code)]
}

/// The linear sample of an A-law code.
pub fn linear_of_alaw(code: u8) -> i16 {
    ALAW_LINEAR[usize::from(code)]
}

/// The µ-law code nearest to a linear sample.
pub const fn ulaw_from_linear(sample: i16) -> u8 {
    const CLIP: i32 = 32_635;
    let sign = if sample < 0 { 0x80u8 } else { 0 };
    let mut magnitude = (sample as i32).abs();
    if magnitude > CLIP {
        magnitude = CLIP;
    }
    magnitude += 0x84;
    let segment = (magnitude as u32).ilog2() as u8 - 7;
    let step = ((magnitude >> (segment + 3)) & 0x0F) as u8;
    !(sign | (segment << 4) | step)
}

/// The A-law code nearest to a linear sample.
pub const fn alaw_from_linear(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80u8 } else { 0 };
    // A negative sample mirrors the positive one a step below, so that both signs have a zero step.
    let magnitude = if sample >= 0 {
        sample as i32
    } else {
        !(sample as i32)
    };
    let code = if magnitude < 256 {
        (magnitude >> 4) as u8
    } else {
        let segment = (magnitude as u32).ilog2() as u8 - 7;
        (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F) as u8
    };
    (sign | code) ^ 0x55
}

/// Appends the linear samples of a µ-law payload.
pub fn decode_ulaw(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.iter().map(|&code| ULAW_LINEAR[usize::from(code)]));
}

/// Appends the linear samples of an A-law payload.
pub fn decode_alaw(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.iter().map(|&code| ALAW_LINEAR[usize::from(code)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_of_the_standard() {
        assert_eq!(
            (
                linear_from_ulaw(0xFF),
                linear_from_ulaw(0x00),
                linear_from_ulaw(0x80)
            ),
            (0, -32_124, 32_124)
        );
        assert_eq!(
            (
                linear_from_alaw(0xD5),
                linear_from_alaw(0x55),
                linear_from_alaw(0x2A)
            ),
            (8, -8, -32_256)
        );
        assert_eq!(
            (
                ulaw_from_linear(0),
                ulaw_from_linear(i16::MAX),
                ulaw_from_linear(i16::MIN)
            ),
            (0xFF, 0x80, 0x00)
        );
        assert_eq!(
            (
                alaw_from_linear(0),
                alaw_from_linear(i16::MAX),
                alaw_from_linear(i16::MIN)
            ),
            (0xD5, 0xAA, 0x2A)
        );
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255u8 {
            // µ-law has two zeros; the negative one is never encoded.
            if code != 0x7F {
                assert_eq!(ulaw_from_linear(linear_from_ulaw(code)), code);
            }
            assert_eq!(alaw_from_linear(linear_from_alaw(code)), code);
        }
    }

    #[test]
    fn every_sample_comes_back_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let allowed = (i32::from(sample).abs() / 16).max(16);
            let ulaw = i32::from(linear_from_ulaw(ulaw_from_linear(sample)));
            let alaw = i32::from(linear_from_alaw(alaw_from_linear(sample)));
            assert!(
                (ulaw - i32::from(sample)).abs() <= allowed,
                "{sample} {ulaw}"
            );
            assert!(
                (alaw - i32::from(sample)).abs() <= allowed,
                "{sample} {alaw}"
            );
        }
    }
}
