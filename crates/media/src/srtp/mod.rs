//! SRTP and SRTCP (RFC 3711, 6188 and 7714): packets are protected and opened in place, without allocation.
//!
//! One [`Protector`] for what is sent and one [`Unprotector`] for what comes; both take their keys from whoever
//! agreed on them (SDES today), and know nothing of how that was done.
mod cipher;
mod index;
mod key;
mod mac;
mod party;
mod protector;
mod unprotector;
mod wiped;

#[cfg(test)]
mod loop_tests;

use serde::Deserialize;

pub use self::key::{MasterKey, Suite};
pub use self::party::Party;
pub use self::protector::{Protector, Sealed};
pub use self::unprotector::Unprotector;

/// Bytes that protection adds at most: a tag of 16 and, in SRTCP, the index.
pub const TRAILER: usize = 20;
/// Bytes of an RTCP packet that are never encrypted: the first header and its source (RFC 3711 section 3.4).
pub(crate) const RTCP_CLEAR: usize = 8;

/// Both keys of a leg: one for each direction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SrtpKeys {
    /// Protects what we send.
    pub send: MasterKey,
    /// Opens what the party sends.
    pub receive: MasterKey,
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no RTP or RTCP packet, or too short to carry a tag.
    #[error("no protected packet")]
    Malformed,
    /// Its tag is wrong: it was not made with the agreed key, or was changed on the way.
    #[error("not authentic")]
    Unauthentic,
    /// Its number was there before, or is too old to tell (RFC 3711 section 3.3.2).
    #[error("replayed")]
    Replayed,
    /// The key has protected as many packets as it may (RFC 3711 section 9.2).
    #[error("the key is used up")]
    Spent,
}
