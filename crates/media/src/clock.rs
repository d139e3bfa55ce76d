//! Monotonic nanoseconds, and the wall clock they belong to.
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{clock_gettime, ClockId};

/// A reading of `CLOCK_MONOTONIC` in nanoseconds: the same clock that Python's `time.monotonic_ns()` reads.
pub type Nanos = u64;

/// One millisecond in [`Nanos`].
pub const MILLISECOND: Nanos = 1_000_000;
/// One second in [`Nanos`].
pub const SECOND: Nanos = 1_000_000_000;
/// Seconds between the NTP era (1900) and the Unix epoch (RFC 5905).
const NTP_OFFSET_SECONDS: u64 = 2_208_988_800;

/// The engine's clock: one reading of the wall clock, then only monotonic time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Unix time in nanoseconds at monotonic zero.
    unix_at_zero: u64,
}

impl Clock {
    /// Ties the monotonic clock to the wall clock of now.
    pub fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            unix_at_zero: (unix.as_nanos() as u64).saturating_sub(monotonic()),
        }
    }

    /// The monotonic time.
    pub fn now(&self) -> Nanos {
        monotonic()
    }

    /// The Unix time in nanoseconds at `now`.
    pub fn unix_nanos(&self, now: Nanos) -> u64 {
        self.unix_at_zero.saturating_add(now)
    }

    /// The Unix time in whole milliseconds at `now`.
    pub fn unix_ms(&self, now: Nanos) -> u64 {
        self.unix_nanos(now) / MILLISECOND
    }

    /// The 64-bit NTP timestamp at `now` (RFC 3550 section 4).
    pub fn ntp(&self, now: Nanos) -> u64 {
        let unix = self.unix_nanos(now);
        let seconds = unix / SECOND + NTP_OFFSET_SECONDS;
        let fraction = ((unix % SECOND) << 32) / SECOND;
        (seconds << 32) | fraction
    }
}

fn monotonic() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as Nanos * SECOND + time.tv_nsec as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_middle_bits_advance_by_65536_a_second() {
        let clock = Clock::start();
        let middle = |now| ((clock.ntp(now) >> 16) & 0xFFFF_FFFF) as u32;
        let advance = middle(5 * SECOND).wrapping_sub(middle(4 * SECOND));
        assert!((65_535..=65_537).contains(&advance), "{advance}");
    }

    #[test]
    fn now_belongs_to_the_wall_clock() {
        let clock = Clock::start();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let difference = clock
            .unix_nanos(clock.now())
            .abs_diff(unix.as_nanos() as u64);
        assert!(difference < SECOND, "{difference}");
    }
}
