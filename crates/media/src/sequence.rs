//! Sequence numbers beyond 16 bits, with restarts told from disorder (RFC 3550 appendix A.1).

/// A jump forward of this many packets is a restart until proven otherwise (RFC 3550 A.1).
pub const MAX_DROPOUT: i64 = 3000;
/// A packet this far behind is a restart until proven otherwise (RFC 3550 A.1).
pub const MAX_MISORDER: i64 = 100;
/// Packets behind the newest that are remembered, to tell a duplicate from a late one.
const HISTORY: i64 = 128;

/// What a sequence number means after those seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before; so many numbers were skipped on the way.
    Newer {
        /// Numbers skipped between the newest before and this one.
        skipped: u32,
    },
    /// Older than the newest, and not seen before.
    Late,
    /// Seen before.
    Duplicate,
    /// Far away from all before; dropped unless its successor follows.
    Suspect,
    /// The sender began anew with another number; history is forgotten.
    Restarted,
}

/// Follows one source's sequence numbers.
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    newest: Option<i64>,
    seen: u128,
    suspect: Option<u16>,
}

impl Sequence {
    /// The extended number that `sequence` stands for, next to the newest one seen.
    pub fn extend(&self, sequence: u16) -> i64 {
        self.newest
            .map_or(i64::from(sequence), |newest| extend(newest, sequence))
    }

    /// The newest extended number, if any packet has been seen.
    pub const fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Accounts for one packet.
    pub fn observe(&mut self, sequence: u16) -> Arrival {
        let Some(newest) = self.newest else {
            self.restart(sequence);
            return Arrival::Newer { skipped: 0 };
        };
        let number = extend(newest, sequence);
        let step = number - newest;
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&step) {
            return self.judge_restart(sequence);
        }
        self.suspect = None;
        if step > 0 {
            self.newest = Some(number);
            self.seen = if step < HISTORY { self.seen << step } else { 0 } | 1;
            return Arrival::Newer {
                skipped: (step - 1) as u32,
            };
        }
        let bit = 1u128 << -step;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::Late
    }

    fn judge_restart(&mut self, sequence: u16) -> Arrival {
        if self.suspect == Some(sequence) {
            self.restart(sequence);
            return Arrival::Restarted;
        }
        self.suspect = Some(sequence.wrapping_add(1));
        Arrival::Suspect
    }

    fn restart(&mut self, sequence: u16) {
        self.newest = Some(i64::from(sequence));
        self.seen = 1;
        self.suspect = None;
    }
}

/// The extended number nearest to `newest` whose low 16 bits are `sequence`.
fn extend(newest: i64, sequence: u16) -> i64 {
    newest + i64::from(sequence.wrapping_sub(newest as u16) as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u16]) -> Vec<Arrival> {
        let mut sequence = Sequence::default();
        numbers
            .iter()
            .map(|&number| sequence.observe(number))
            .collect()
    }

    #[test]
    fn order_survives_the_wrap() {
        let mut sequence = Sequence::default();
        for number in [65_534, 65_535, 0, 1] {
            assert_eq!(sequence.observe(number), Arrival::Newer { skipped: 0 });
        }
        assert_eq!(sequence.newest(), Some(65_537));
        assert_eq!(sequence.extend(65_535), 65_535);
    }

    #[test]
    fn late_and_duplicate_are_told_apart() {
        use Arrival::{Duplicate, Late, Newer};
        let skipped = |skipped| Newer { skipped };
        assert_eq!(
            arrivals(&[10, 12, 11, 11, 12]),
            [skipped(0), skipped(1), Late, Duplicate, Duplicate]
        );
    }

    #[test]
    fn one_stray_number_is_no_restart_but_two_in_order_are() {
        use Arrival::{Newer, Restarted, Suspect};
        let next = Newer { skipped: 0 };
        assert_eq!(arrivals(&[1, 40_000, 2, 3]), [next, Suspect, next, next]);
        assert_eq!(
            arrivals(&[1, 40_000, 40_001, 40_002]),
            [next, Suspect, Restarted, next]
        );
        assert_eq!(arrivals(&[5000, 4000, 4001]), [next, Suspect, Restarted]);
    }
}
