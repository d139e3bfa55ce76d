//! Numbers that nobody can foresee at the start, and cheap ones after it.

/// A generator for intervals and phases, seeded by the system; not for keys.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Seeds a generator.
    pub fn new() -> Self {
        Self::seeded(unforeseen_u64())
    }

    /// A generator whose numbers are known.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (`SplitMix64`).
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound` - 1; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

/// A number from the system's generator. Should the system have none, the addresses and the time of the
/// process must do: nothing secret hangs on it.
pub fn unforeseen_u64() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let here = std::ptr::from_ref(&()) as u64;
        here ^ crate::clock::Clock::start().now()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bound_and_spread_over_it() {
        let mut random = Random::seeded(7);
        let mut seen = [0u32; 10];
        for _ in 0..1000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
