//! Phones with SRTP: the keys of a call, and what is made and read with them.
use base64_simd::STANDARD;
use media::srtp::{MasterKey, Protector, Suite, Unprotector, TRAILER};

use super::{leg, Rig, PCMU};

/// The keys of both legs, all different.
#[derive(Clone, Copy)]
pub struct Keys {
    pub suite: Suite,
    seed: u8,
}

impl Keys {
    pub fn of(suite: Suite) -> Self {
        Self::seeded(suite, suite as u8 + 1)
    }

    pub fn seeded(suite: Suite, seed: u8) -> Self {
        Self { suite, seed }
    }

    fn bytes(self, side: &str, by_phone: bool) -> Vec<u8> {
        let which = self.seed ^ side.as_bytes()[0] ^ (u8::from(by_phone) << 7);
        vec![which; self.suite.key_length() + self.suite.salt_length()]
    }

    fn master(self, side: &str, by_phone: bool) -> MasterKey {
        MasterKey::new(self.suite, &self.bytes(side, by_phone), u64::MAX).unwrap()
    }

    /// What the phone of a side sends with.
    pub fn protector(self, side: &str) -> Protector {
        Protector::new(self.master(side, true))
    }

    /// What the phone of a side hears with.
    pub fn unprotector(self, side: &str) -> Unprotector {
        Unprotector::new(self.master(side, false))
    }

    /// Both keys as the engine is told them.
    pub fn json(self, side: &str) -> String {
        let key = |by_phone| {
            let suite = match self.suite {
                Suite::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
                Suite::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
                Suite::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
                Suite::Aes128Gcm => "AEAD_AES_128_GCM",
                Suite::Aes256Gcm => "AEAD_AES_256_GCM",
            };
            let key = STANDARD.encode_to_string(self.bytes(side, by_phone));
            format!(r#"{{"suite":"{suite}","keySalt":"{key}"}}"#)
        };
        format!(r#"{{"send":{},"receive":{}}}"#, key(false), key(true))
    }

    /// What was agreed on a side.
    pub fn leg(self, rig: &Rig, side: &str) -> Vec<u8> {
        let remote = rig.phone(side).rtp.local_addr().unwrap();
        let mut spec = leg(side, Some(remote), PCMU, false);
        spec.pop();
        spec.extend_from_slice(format!(r#","srtp":{}}}"#, self.json(side)).as_bytes());
        spec
    }
}

pub fn sealed(protector: &mut Protector, plain: &[u8]) -> Vec<u8> {
    let mut packet = [plain, &[0; TRAILER]].concat();
    let made = protector.seal(&mut packet, plain.len()).unwrap();
    packet.truncate(made.length);
    packet
}

pub fn opened(unprotector: &mut Unprotector, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let length = unprotector.open(&mut packet, 0).unwrap();
    packet.truncate(length);
    packet
}
