//! The session keys of one direction at work: what is encrypted, what is authenticated, and where tags lie.
use std::fmt;

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_128_GCM, AES_256_GCM};
use zeroize::Zeroizing;

use super::key::{Aes, Label, MasterKey, Suite};
use super::mac::Mac;
use super::wiped::Wiped;
use super::RTCP_CLEAR;

/// Bytes of the word with the E bit and the index of an SRTCP packet.
const INDEX_WORD: usize = 4;
/// Says that an SRTCP packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Which packet it is, as far as the cipher needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where what is encrypted begins.
    pub start: usize,
    /// Its source.
    pub ssrc: u32,
    /// Its index: 48 bits of RTP, 31 of RTCP.
    pub index: u64,
}

/// Keys of one protocol, RTP or RTCP.
struct Keys {
    cipher: Cipher,
    salt: Zeroizing<[u8; 16]>,
}

#[allow(clippy::large_enum_variant)]
enum Cipher {
    Counter { aes: Aes, mac: Mac },
    Gcm(Wiped<LessSafeKey>),
}

/// See the module. Made from a master key; shows nothing of it.
pub struct Session {
    suite: Suite,
    rtp: Keys,
    rtcp: Keys,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Session({:?}, hidden)", self.suite)
    }
}

impl Session {
    /// Derives the session keys.
    pub fn new(key: &MasterKey) -> Self {
        Self {
            suite: key.suite(),
            rtp: Keys::derive(key, [Label::RtpCipher, Label::RtpMac, Label::RtpSalt]),
            rtcp: Keys::derive(key, [Label::RtcpCipher, Label::RtcpMac, Label::RtcpSalt]),
        }
    }

    /// The suite of the keys.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Protects the RTP packet that takes up all but the last bytes of `packet`, which are for the tag.
    pub fn seal_rtp(&self, packet: &mut [u8], place: Place) {
        let (body, tag) = packet.split_at_mut(packet.len() - self.suite.rtp_tag());
        match &self.rtp.cipher {
            Cipher::Counter { aes, mac } => {
                aes.apply_stream(&self.rtp.counter(place), &mut body[place.start..]);
                let whole = mac.of(body, &rollover(place.index));
                tag.copy_from_slice(&whole[..tag.len()]);
            }
            Cipher::Gcm(key) => {
                let (clear, secret) = body.split_at_mut(place.start);
                let nonce = self.rtp.rtp_nonce(place);
                seal(key.get(), nonce, clear, secret, tag);
            }
        }
    }

    /// Opens an RTP packet; `None` when it is not authentic, and then its bytes are of no more use in a suite that
    /// [is AEAD](Suite::is_aead). The caller has seen to it that a tag fits behind `place.start`.
    pub fn open_rtp(&self, packet: &mut [u8], place: Place) -> Option<usize> {
        let end = packet.len() - self.suite.rtp_tag();
        match &self.rtp.cipher {
            Cipher::Counter { aes, mac } => {
                let (body, tag) = packet.split_at_mut(end);
                is_equal(&mac.of(body, &rollover(place.index)), tag).then_some(())?;
                aes.apply_stream(&self.rtp.counter(place), &mut body[place.start..]);
            }
            Cipher::Gcm(key) => {
                let (clear, secret) = packet.split_at_mut(place.start);
                let nonce = self.rtp.rtp_nonce(place);
                key.get()
                    .open_in_place(nonce, Aad::from(&*clear), secret)
                    .ok()?;
            }
        }
        Some(end)
    }

    /// Protects an RTCP packet under an index, and adds index and tag. It is as long as its first header at least.
    pub fn seal_rtcp(&self, packet: &mut Vec<u8>, place: Place) {
        let word = (place.index as u32 | ENCRYPTED).to_be_bytes();
        match &self.rtcp.cipher {
            Cipher::Counter { aes, mac } => {
                aes.apply_stream(&self.rtcp.counter(place), &mut packet[place.start..]);
                packet.extend_from_slice(&word);
                let whole = mac.of(packet, &[]);
                packet.extend_from_slice(&whole[..self.suite.rtcp_tag()]);
            }
            Cipher::Gcm(key) => {
                let mut tag = [0; 16];
                let known = associated(packet, word);
                let nonce = self.rtcp.rtcp_nonce(place);
                seal(
                    key.get(),
                    nonce,
                    &known,
                    &mut packet[place.start..],
                    &mut tag,
                );
                packet.extend_from_slice(&tag);
                packet.extend_from_slice(&word);
            }
        }
    }

    /// Finds the index of an SRTCP packet; `None` when it is too short, or not encrypted as was agreed.
    pub fn rtcp_index(&self, packet: &[u8]) -> Option<u64> {
        let behind = if self.suite.is_aead() {
            0
        } else {
            self.suite.rtcp_tag()
        };
        let least = RTCP_CLEAR + INDEX_WORD + self.suite.rtcp_tag();
        let at = packet.len().checked_sub(INDEX_WORD + behind)?;
        let word = packet
            .get(at..)?
            .first_chunk()
            .map(|word| u32::from_be_bytes(*word))?;
        (packet.len() >= least && word & ENCRYPTED != 0).then_some(u64::from(word & !ENCRYPTED))
    }

    /// Opens an RTCP packet whose [index](Session::rtcp_index) is in `place`; `None` when it is not authentic.
    pub fn open_rtcp(&self, packet: &mut [u8], place: Place) -> Option<usize> {
        let trailer = INDEX_WORD + self.suite.rtcp_tag();
        let end = packet.len() - trailer;
        match &self.rtcp.cipher {
            Cipher::Counter { aes, mac } => {
                let (known, tag) = packet.split_at_mut(end + INDEX_WORD);
                is_equal(&mac.of(known, &[]), tag).then_some(())?;
                aes.apply_stream(&self.rtcp.counter(place), &mut known[place.start..end]);
            }
            Cipher::Gcm(key) => {
                let (sealed, word) = packet.split_last_chunk_mut::<INDEX_WORD>()?;
                let known = associated(sealed, *word);
                let nonce = self.rtcp.rtcp_nonce(place);
                let secret = &mut sealed[place.start..];
                key.get()
                    .open_in_place(nonce, Aad::from(known), secret)
                    .ok()?;
            }
        }
        Some(end)
    }
}

impl Keys {
    fn derive(key: &MasterKey, labels: [Label; 3]) -> Self {
        let suite = key.suite();
        let [cipher, mac, salted] = labels;
        let mut secret = Zeroizing::new([0; 32]);
        let secret = &mut secret[..suite.key_length()];
        key.derive(cipher, secret);
        let mut salt = Zeroizing::new([0; 16]);
        key.derive(salted, &mut salt[..suite.salt_length()]);
        let cipher = if let Some(key) = gcm(suite, secret) {
            Cipher::Gcm(Wiped::new(key))
        } else {
            let mut of_mac = Zeroizing::new([0; 20]);
            key.derive(mac, &mut of_mac[..]);
            Cipher::Counter {
                aes: Aes::new(secret),
                mac: Mac::new(&of_mac),
            }
        };
        Self { cipher, salt }
    }

    /// The start of the keystream (RFC 3711 section 4.1.1).
    fn counter(&self, place: Place) -> [u8; 16] {
        let mut iv = *self.salt;
        add(&mut iv[4..8], &place.ssrc.to_be_bytes());
        add(&mut iv[8..14], &place.index.to_be_bytes()[2..]);
        iv
    }

    /// RFC 7714 section 8.1: two zeros, source, rollover counter, sequence number.
    fn rtp_nonce(&self, place: Place) -> Nonce {
        let mut iv = self.nonce(place.ssrc);
        add(&mut iv[6..12], &place.index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(iv)
    }

    /// RFC 7714 section 9.1: two zeros, source, two zeros, index.
    fn rtcp_nonce(&self, place: Place) -> Nonce {
        let mut iv = self.nonce(place.ssrc);
        add(&mut iv[8..12], &place.index.to_be_bytes()[4..]);
        Nonce::assume_unique_for_key(iv)
    }

    fn nonce(&self, ssrc: u32) -> [u8; 12] {
        let mut iv = [0; 12];
        iv.copy_from_slice(&self.salt[..12]);
        add(&mut iv[2..6], &ssrc.to_be_bytes());
        iv
    }
}

/// The key of a suite with GCM.
fn gcm(suite: Suite, secret: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match suite {
        Suite::Aes128Gcm => &AES_128_GCM,
        Suite::Aes256Gcm => &AES_256_GCM,
        _ => return None,
    };
    UnboundKey::new(algorithm, secret)
        .ok()
        .map(LessSafeKey::new)
}

/// Encrypts `secret` and writes the tag. The only error that there could be is a length of gigabytes.
fn seal(key: &LessSafeKey, nonce: Nonce, known: &[u8], secret: &mut [u8], tag: &mut [u8]) {
    if let Ok(made) = key.seal_in_place_separate_tag(nonce, Aad::from(known), secret) {
        tag.copy_from_slice(made.as_ref());
    } else {
        secret.fill(0);
    }
}

/// What of an SRTCP packet is authenticated but not encrypted (RFC 7714 section 9.2).
fn associated(packet: &[u8], word: [u8; INDEX_WORD]) -> [u8; RTCP_CLEAR + INDEX_WORD] {
    let mut known = [0; RTCP_CLEAR + INDEX_WORD];
    known[..RTCP_CLEAR].copy_from_slice(&packet[..RTCP_CLEAR]);
    known[RTCP_CLEAR..].copy_from_slice(&word);
    known
}

/// The rollover counter, which is authenticated with every RTP packet (RFC 3711 section 4.2).
const fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn add(bytes: &mut [u8], others: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(others) {
        *byte ^= other;
    }
}

/// Compares a tag in a time that does not tell where it differs.
fn is_equal(whole: &[u8; 20], tag: &[u8]) -> bool {
    let differ = whole.iter().zip(tag).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::hex;
    use super::*;

    const SALT: &str = "51756964 2070726f 2071756f";
    const RTP: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669\
                       736120696e207061727465732074726573";
    const RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                        deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

    /// Session keys as RFC 7714 gives them, not derived.
    fn session(suite: Suite) -> Session {
        let secret: Vec<u8> = (0..suite.key_length() as u8).collect();
        let keys = || {
            let mut salt = Zeroizing::new([0; 16]);
            salt[..12].copy_from_slice(&hex(SALT));
            Keys {
                cipher: Cipher::Gcm(Wiped::new(gcm(suite, &secret).unwrap())),
                salt,
            }
        };
        Session {
            suite,
            rtp: keys(),
            rtcp: keys(),
        }
    }

    fn check_rtp(suite: Suite, expected: &str) {
        let (plain, expected) = (hex(RTP), hex(expected));
        let place = Place {
            start: 12,
            ssrc: 0x5501_a0b2,
            index: 0xf17b,
        };
        let mut packet = plain.clone();
        packet.resize(plain.len() + 16, 0);
        session(suite).seal_rtp(&mut packet, place);
        assert_eq!(packet, expected);
        let length = session(suite).open_rtp(&mut packet, place).unwrap();
        assert_eq!(packet[..length], plain);
    }

    fn check_rtcp(suite: Suite, expected: &str) {
        let (plain, expected) = (hex(RTCP), hex(expected));
        let place = Place {
            start: 8,
            ssrc: 0x4d61_7273,
            index: 0x5d4,
        };
        let mut packet = plain.clone();
        session(suite).seal_rtcp(&mut packet, place);
        assert_eq!(packet, expected);
        assert_eq!(session(suite).rtcp_index(&packet), Some(0x5d4));
        let length = session(suite).open_rtcp(&mut packet, place).unwrap();
        assert_eq!(packet[..length], plain);
    }

    #[test]
    fn rtp_packets_are_those_of_rfc_7714_section_16() {
        check_rtp(
            Suite::Aes128Gcm,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd5\
             0d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        );
        check_rtp(
            Suite::Aes256Gcm,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab1801238\
             9a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        );
    }

    #[test]
    fn rtcp_packets_are_those_of_rfc_7714_section_17() {
        check_rtcp(
            Suite::Aes128Gcm,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32d\
             c676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        );
        check_rtcp(
            Suite::Aes256Gcm,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50\
             a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        );
    }

    #[test]
    fn a_report_that_is_only_authenticated_is_not_what_was_agreed() {
        let tagged = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                      deadbeefdeadbeefdeadbeefdeadbeefdeadbeef841dd9683dd78ec92ae58790125f62b3000005d4";
        assert_eq!(session(Suite::Aes128Gcm).rtcp_index(&hex(tagged)), None);
    }

    #[test]
    fn a_session_shows_no_key() {
        assert_eq!(
            format!("{:?}", session(Suite::Aes128Gcm)),
            "Session(Aes128Gcm, hidden)"
        );
    }
}
