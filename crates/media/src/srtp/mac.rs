//! HMAC-SHA1 (RFC 2104) whose first blocks are done once for each key.
use aes::cipher::generic_array::GenericArray;
use sha1::compress;
use zeroize::Zeroize;

const BLOCK: usize = 64;
const START: [u32; 5] = [
    0x6745_2301,
    0xEFCD_AB89,
    0x98BA_DCFE,
    0x1032_5476,
    0xC3D2_E1F0,
];

/// The states of SHA-1 after the padded key.
pub struct Mac {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl Mac {
    /// With a session key (RFC 3711 section 4.2.1: 160 bits).
    pub fn new(key: &[u8; 20]) -> Self {
        let after = |pad: u8| {
            let mut block = [pad; BLOCK];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            let mut state = START;
            compress(&mut state, &[GenericArray::from(block)]);
            block.zeroize();
            state
        };
        Self {
            inner: after(0x36),
            outer: after(0x5C),
        }
    }

    /// The authenticator of a packet, with up to four more bytes behind it.
    pub fn of(&self, packet: &[u8], behind: &[u8]) -> [u8; 20] {
        let mut state = self.inner;
        let whole = packet.len() / BLOCK * BLOCK;
        let (blocks, rest) = packet.split_at(whole);
        for block in blocks.chunks_exact(BLOCK) {
            compress(
                &mut state,
                std::slice::from_ref(GenericArray::from_slice(block)),
            );
        }
        finish(&mut state, [rest, behind], packet.len() + behind.len());
        let inner = bytes(&state);
        let mut state = self.outer;
        finish(&mut state, [&inner, &[]], inner.len());
        bytes(&state)
    }
}

/// Does the last one or two blocks: what is left, a one, zeros, and the length with the key's block.
fn finish(state: &mut [u32; 5], rest: [&[u8]; 2], length: usize) {
    let mut last = [0; 2 * BLOCK];
    let mut end = 0;
    for part in rest {
        last[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    last[end] = 0x80;
    let size = if end + 9 <= BLOCK { BLOCK } else { 2 * BLOCK };
    let bits = (BLOCK + length) as u64 * 8;
    last[size - 8..size].copy_from_slice(&bits.to_be_bytes());
    for block in last[..size].chunks_exact(BLOCK) {
        compress(state, std::slice::from_ref(GenericArray::from_slice(block)));
    }
}

fn bytes(state: &[u32; 5]) -> [u8; 20] {
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::hmac;

    #[test]
    fn rfc_2202_test_case_1() {
        let expected = super::super::key::tests::hex("b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(Mac::new(&[0x0b; 20]).of(b"Hi There", &[])[..], expected);
    }

    proptest! {
        #[test]
        fn it_is_the_hmac_of_others(
            key in any::<[u8; 20]>(),
            packet in proptest::collection::vec(any::<u8>(), 0..400),
            behind in proptest::collection::vec(any::<u8>(), 0..5),
        ) {
            let other = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
            let expected = hmac::sign(&other, &[packet.clone(), behind.clone()].concat());
            prop_assert_eq!(&Mac::new(&key).of(&packet, &behind)[..], expected.as_ref());
        }
    }
}
