//! Linear 16-bit audio: big-endian in RTP (RFC 3551 section 4.5.11), little-endian in a stream.

/// Appends the samples of an RTP payload; an odd last byte is left out.
pub fn decode_network(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(
        payload
            .chunks_exact(2)
            .map(|pair| i16::from_be_bytes([pair[0], pair[1]])),
    );
}

/// Appends the samples of a stream's payload; an odd last byte is left out.
pub fn decode_little(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(
        payload
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]])),
    );
}

/// Appends samples as a stream carries them.
pub fn encode_little(samples: &[i16], out: &mut Vec<u8>) {
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
}

/// Appends an RTP payload as a stream carries it: the same samples in the other byte order.
pub fn swap(payload: &[u8], out: &mut Vec<u8>) {
    out.extend(payload.chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapping_equals_decoding_and_encoding() {
        let payload = [0x12, 0x34, 0xFF, 0xFE, 0x80];
        let (mut samples, mut encoded, mut swapped) = (Vec::new(), Vec::new(), Vec::new());
        decode_network(&payload, &mut samples);
        encode_little(&samples, &mut encoded);
        swap(&payload, &mut swapped);
        assert_eq!(samples, [0x1234, -2]);
        assert_eq!(encoded, swapped);
        let mut back = Vec::new();
        decode_little(&swapped, &mut back);
        assert_eq!(back, samples);
    }
}
