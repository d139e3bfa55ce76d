//! Names for whatever wakes a worker, in the 64 bits that epoll gives back.

/// Generations are counted in so many bits.
const GENERATION_BITS: u32 = 24;
/// The bits themselves.
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// What has woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Orders wait.
    Mailbox,
    /// RTP on side `a`.
    RtpA,
    /// RTP on side `b`.
    RtpB,
    /// RTCP on side `a`.
    RtcpA,
    /// RTCP on side `b`.
    RtcpB,
    /// A call's timer.
    Call,
    /// A stream's connection or timer.
    Stream,
    /// A recorder's reports, or a recording's timer.
    Recording,
}

impl Kind {
    const fn from_bits(bits: u64) -> Self {
        match bits & 0xFF {
            1 => Self::RtpA,
            2 => Self::RtpB,
            3 => Self::RtcpA,
            4 => Self::RtcpB,
            5 => Self::Call,
            6 => Self::Stream,
            7 => Self::Recording,
            _ => Self::Mailbox,
        }
    }
}

/// A kind, a slot, and the slot's generation: an event of something gone is told from one of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// The token of the mailbox.
    pub const MAILBOX: Self = Self::new(Kind::Mailbox, 0, 0);

    /// Packs a token; of the generation only the low 24 bits are kept.
    pub const fn new(kind: Kind, slot: u32, generation: u32) -> Self {
        let generation = (generation & GENERATION_MASK) as u64;
        Self(((slot as u64) << 32) | (generation << 8) | kind as u64)
    }

    /// Reads what epoll gave back.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// For epoll.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What has woken.
    pub const fn kind(self) -> Kind {
        Kind::from_bits(self.0)
    }

    /// In which slot.
    pub const fn slot(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// Whether it is of this generation of its slot.
    pub const fn is_of(self, generation: u32) -> bool {
        (self.0 >> 8) as u32 & GENERATION_MASK == generation & GENERATION_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_was_put_in() {
        let kinds = [
            Kind::Mailbox,
            Kind::RtpA,
            Kind::RtpB,
            Kind::RtcpA,
            Kind::RtcpB,
            Kind::Call,
            Kind::Stream,
            Kind::Recording,
        ];
        for kind in kinds {
            let token = Token::from_bits(Token::new(kind, u32::MAX, 0x12FF_FFFF).bits());
            assert_eq!((token.kind(), token.slot()), (kind, u32::MAX as usize));
            assert!(token.is_of(0x00FF_FFFF) && !token.is_of(0x00FF_FFFE));
        }
    }
}
