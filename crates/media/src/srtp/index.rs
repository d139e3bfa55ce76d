//! The index of a packet (RFC 3711 section 3.3.1 and appendix A), and which indices were there (section 3.3.2).

/// Indices behind the newest that are told apart; older ones are taken for replays. RFC 3711 asks for 64 at least.
pub const WINDOW: u64 = 128;
/// Packets of one source and key: 48 bits of index.
pub const RTP_PACKETS: u64 = 1 << 48;
/// RTCP packets of one key: 31 bits of index.
pub const RTCP_PACKETS: u64 = 1 << 31;

/// What was there of one source.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    newest: u64,
    /// Bit n: the index n behind the newest was there.
    seen: u128,
}

impl Window {
    /// After a first packet.
    pub const fn new(index: u64) -> Self {
        Self {
            newest: index,
            seen: 1,
        }
    }

    /// The highest index of all.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether an index has not been there yet, as far as can be told.
    pub const fn is_new(&self, index: u64) -> bool {
        if index > self.newest {
            return true;
        }
        let behind = self.newest - index;
        behind < WINDOW && self.seen >> behind & 1 == 0
    }

    /// Notes an index that is new.
    pub const fn note(&mut self, index: u64) {
        if index > self.newest {
            let ahead = index - self.newest;
            self.seen = if ahead < WINDOW {
                self.seen << ahead
            } else {
                0
            };
            self.newest = index;
        }
        let behind = self.newest - index;
        if behind < WINDOW {
            self.seen |= 1 << behind;
        }
    }

    /// The likeliest index of a sequence number: the nearest to the newest. None before the first of all.
    pub fn guess(&self, sequence: u16) -> Option<u64> {
        let (rollovers, last) = (self.newest >> 16, self.newest as u16);
        let rollovers = if last < 0x8000 && i32::from(sequence) - i32::from(last) > 0x8000 {
            rollovers.checked_sub(1)?
        } else if last >= 0x8000 && i32::from(last) - 0x8000 > i32::from(sequence) {
            (rollovers + 1) & 0xFFFF_FFFF
        } else {
            rollovers
        };
        Some(rollovers << 16 | u64::from(sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn rollovers_are_guessed_as_in_rfc_3711_appendix_a() {
        let after = |index| Window::new(index);
        assert_eq!(after(0xFFFF).guess(0), Some(0x1_0000));
        assert_eq!(after(0x1_0000).guess(0xFFFF), Some(0xFFFF));
        assert_eq!(after(0x1_0000).guess(1), Some(0x1_0001));
        assert_eq!(after(2).guess(0xFFFE), None);
        assert_eq!(after(0x5_8000).guess(0), Some(0x5_0000));
        assert_eq!(after(0x5_8001).guess(0), Some(0x6_0000));
        assert_eq!(after(0x5_7FFF).guess(0xFFFF), Some(0x5_FFFF));
        assert_eq!(after(0x5_7FFE).guess(0xFFFF), Some(0x4_FFFF));
    }

    proptest! {
        #[test]
        fn a_stream_near_the_newest_is_followed_anywhere(
            start in 0u64..1 << 40, steps in proptest::collection::vec(-100i64..30_000, 1..200),
        ) {
            let mut window = Window::new(start + 200);
            for step in steps {
                let index = window.newest().saturating_add_signed(step);
                prop_assert_eq!(window.guess(index as u16), Some(index));
                if window.is_new(index) {
                    window.note(index);
                }
                prop_assert!(!window.is_new(index));
            }
        }

        #[test]
        fn no_index_is_new_twice(steps in proptest::collection::vec(-200i64..150, 1..300)) {
            let mut window = Window::new(1_000);
            let mut seen = BTreeSet::from([1_000]);
            for step in steps {
                let index = window.newest().saturating_add_signed(step);
                let newest = window.newest();
                let expected = !seen.contains(&index) && index + WINDOW > newest;
                prop_assert_eq!(window.is_new(index), expected);
                if expected {
                    window.note(index);
                    seen.insert(index);
                }
            }
        }
    }
}
