//! Crypto suites, master keys, and the session keys that are derived from them (RFC 3711 section 4.3).
use std::fmt;

use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc, Block};
use base64_simd::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{MediaError, Result};

/// Bytes of the longest master key and salt together.
const MAX_KEY_SALT: usize = 46;
/// Bytes of the salt that the key derivation works with; shorter ones are filled up with zeros (RFC 7714 section 11).
const PRF_SALT: usize = 14;

/// A crypto suite of SDES (RFC 4568 section 6.2, RFC 6188 section 4, RFC 7714 section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[allow(non_camel_case_types)]
pub enum Suite {
    /// AES-CM with keys of 128 bits, tags of 80.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    AesCm128Sha1_80,
    /// AES-CM with keys of 128 bits, tags of 32 for RTP and 80 for RTCP.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128Sha1_32,
    /// AES-CM with keys of 256 bits, tags of 80.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_80")]
    Aes256CmSha1_80,
    /// AES-GCM with keys of 128 bits.
    #[serde(rename = "AEAD_AES_128_GCM")]
    Aes128Gcm,
    /// AES-GCM with keys of 256 bits.
    #[serde(rename = "AEAD_AES_256_GCM")]
    Aes256Gcm,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AesCm128Sha1_80,
        Self::AesCm128Sha1_32,
        Self::Aes256CmSha1_80,
        Self::Aes128Gcm,
        Self::Aes256Gcm,
    ];

    /// Bytes of the master key, and of the key of the cipher.
    pub const fn key_length(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::Aes128Gcm => 16,
            Self::Aes256CmSha1_80 | Self::Aes256Gcm => 32,
        }
    }

    /// Bytes of the master salt, and of the salt of the cipher.
    pub const fn salt_length(self) -> usize {
        if self.is_aead() {
            12
        } else {
            14
        }
    }

    /// Bytes of the tag of an RTP packet.
    pub const fn rtp_tag(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::Aes256CmSha1_80 => 10,
            Self::AesCm128Sha1_32 => 4,
            Self::Aes128Gcm | Self::Aes256Gcm => 16,
        }
    }

    /// Bytes of the tag of an RTCP packet.
    pub const fn rtcp_tag(self) -> usize {
        if self.is_aead() {
            16
        } else {
            10
        }
    }

    /// Whether one algorithm does both encryption and authentication.
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm)
    }
}

/// A master key and its salt, from which the keys of one direction are derived. Never shown, and overwritten when
/// dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "KeyText")]
pub struct MasterKey {
    suite: Suite,
    bytes: Zeroizing<[u8; MAX_KEY_SALT]>,
    lifetime: Option<u64>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MasterKey({:?}, hidden)", self.suite)
    }
}

/// A master key as it is ordered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyText {
    suite: Suite,
    key_salt: Zeroizing<String>,
    #[serde(default)]
    lifetime: Option<u64>,
}

impl TryFrom<KeyText> for MasterKey {
    type Error = MediaError;

    fn try_from(text: KeyText) -> Result<Self> {
        let bytes = STANDARD
            .decode_to_vec(text.key_salt.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| MediaError::bad_spec("a key must be in base64"))?;
        let lifetime = text.lifetime.unwrap_or(u64::MAX);
        Self::new(text.suite, &bytes, lifetime)
    }
}

impl MasterKey {
    /// A key followed by its salt, for so many packets at most.
    pub fn new(suite: Suite, key_salt: &[u8], lifetime: u64) -> Result<Self> {
        if key_salt.len() != suite.key_length() + suite.salt_length() {
            return Err(MediaError::bad_spec(
                "a key and its salt must be as long as their suite wants",
            ));
        }
        let mut bytes = Zeroizing::new([0; MAX_KEY_SALT]);
        bytes[..key_salt.len()].copy_from_slice(key_salt);
        Ok(Self {
            suite,
            bytes,
            lifetime: (lifetime != u64::MAX).then_some(lifetime),
        })
    }

    /// The suite it is for.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Packets that it may protect, of all that the algorithm allows.
    pub fn packets(&self, of: u64) -> u64 {
        self.lifetime.map_or(of, |lifetime| lifetime.min(of))
    }

    /// Writes as many bytes of the session key of a label as `out` has room for (RFC 3711 section 4.3.1, with a key
    /// derivation rate of zero).
    pub(super) fn derive(&self, label: Label, out: &mut [u8]) {
        let (key, salt) = self.bytes.split_at(self.suite.key_length());
        let mut iv = Zeroizing::new([0; 16]);
        iv[..PRF_SALT.min(self.suite.salt_length())]
            .copy_from_slice(&salt[..self.suite.salt_length()]);
        iv[7] ^= label as u8;
        Aes::new(key).apply_stream(&iv, out);
    }
}

/// What a session key is for (RFC 3711 section 4.3.2).
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    RtpCipher = 0,
    RtpMac = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpMac = 4,
    RtcpSalt = 5,
}

/// AES in one direction; its keys are overwritten when dropped.
#[allow(clippy::large_enum_variant)]
pub(super) enum Aes {
    Short(Aes128Enc),
    Long(Aes256Enc),
}

/// Blocks that are encrypted at a time; what the processor does in parallel.
const PARALLEL: usize = 8;

impl Aes {
    /// With a key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        if key.len() == 16 {
            Self::Short(Aes128Enc::new(key.into()))
        } else {
            Self::Long(Aes256Enc::new(key.into()))
        }
    }

    /// Adds the keystream that begins at `iv` to `data` (RFC 3711 section 4.1.1). The last two bytes of `iv` count
    /// the blocks.
    pub(super) fn apply_stream(&self, iv: &[u8; 16], data: &mut [u8]) {
        let mut counter = 0u16;
        for chunk in data.chunks_mut(16 * PARALLEL) {
            let mut blocks = [Block::from(*iv); PARALLEL];
            let count = chunk.len().div_ceil(16);
            for block in &mut blocks[..count] {
                block[14..].copy_from_slice(&counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            match self {
                Self::Short(aes) => aes.encrypt_blocks(&mut blocks[..count]),
                Self::Long(aes) => aes.encrypt_blocks(&mut blocks[..count]),
            }
            for (bytes, block) in chunk.chunks_mut(16).zip(&blocks) {
                for (byte, key) in bytes.iter_mut().zip(block) {
                    *byte ^= key;
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Bytes of hexadecimal digits.
    pub fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits
            .chars()
            .filter_map(|digit| digit.to_digit(16).map(|value| value as u8))
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn derived(key: &MasterKey, label: Label, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        key.derive(label, &mut out);
        out
    }

    #[test]
    fn keystreams_are_those_of_rfc_3711_appendix_b2() {
        let aes = Aes::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
        let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
        let mut stream = vec![0; 0xFF02 * 16];
        aes.apply_stream(&iv, &mut stream);
        let block = |number: usize| stream[number * 16..][..16].to_vec();
        assert_eq!(block(0), hex("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(block(1), hex("D23513162B02D0F72A43A2FE4A5F97AB"));
        assert_eq!(block(2), hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
        assert_eq!(block(0xFEFF), hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
        assert_eq!(block(0xFF00), hex("362B7C3C6773516318A077D7FC5073AE"));
        assert_eq!(block(0xFF01), hex("6A2CC3787889374FBEB4C81B17BA6C44"));
    }

    #[test]
    fn keystreams_are_those_of_rfc_6188_section_7_1() {
        let key = "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98";
        let aes = Aes::new(&hex(key));
        let iv: [u8; 16] = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000").try_into().unwrap();
        let mut stream = vec![0; 3 * 16];
        aes.apply_stream(&iv, &mut stream);
        let expected = "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded165bac\
                        63c4868b7096d88421b563b8c94c9a31";
        assert_eq!(stream, hex(expected));
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_appendix_b3() {
        let bytes = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let key = MasterKey::new(Suite::AesCm128Sha1_80, &bytes, u64::MAX).unwrap();
        let expected = hex("C61E7A93744F39EE10734AFE3FF7A087");
        assert_eq!(derived(&key, Label::RtpCipher, 16), expected);
        let expected = hex("30CBBC08863D8C85D49DB34A9AE1");
        assert_eq!(derived(&key, Label::RtpSalt, 14), expected);
        let expected = hex(
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
             E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
             6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2",
        );
        assert_eq!(derived(&key, Label::RtpMac, 94), expected);
    }

    #[test]
    fn session_keys_are_those_of_rfc_6188_section_7_2() {
        let bytes = hex(
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6\
             3b04803de51ee7c96423ab5b78d2",
        );
        let key = MasterKey::new(Suite::Aes256CmSha1_80, &bytes, u64::MAX).unwrap();
        let expected = hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4");
        assert_eq!(derived(&key, Label::RtpCipher, 32), expected);
        let expected = hex("fa31791685ca444a9e07c6c64e93");
        assert_eq!(derived(&key, Label::RtpSalt, 14), expected);
        let expected = hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05");
        assert_eq!(derived(&key, Label::RtpMac, 20), expected);
    }

    #[test]
    fn a_key_is_read_and_never_shown() {
        let read = |suite: &str, key: &str| {
            let json = format!(r#"{{"suite":"{suite}","keySalt":"{key}","lifetime":7}}"#);
            crate::orders::read::<MasterKey>(json.as_bytes())
        };
        let secret = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let key = read("AES_CM_128_HMAC_SHA1_80", secret).unwrap();
        assert_eq!(key.packets(9), 7);
        assert_eq!(&key.bytes[..4], b"YS__");
        let shown = format!("{key:?}");
        assert_eq!(shown, "MasterKey(AesCm128Sha1_80, hidden)");
        for (suite, key) in [
            ("AES_CM_128_HMAC_SHA1_80", "WVNf"),
            ("AES_CM_128_HMAC_SHA1_80", "*"),
            ("AEAD_AES_128_GCM", secret),
            ("F8_128_HMAC_SHA1_80", secret),
        ] {
            let refusal = read(suite, key).unwrap_err().to_string();
            assert!(!refusal.contains(key), "{refusal}");
        }
    }
}
