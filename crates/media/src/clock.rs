//! Monotonic nanoseconds since the engine began, and the wall clock they belong to.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic nanoseconds since the engine began.
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
    origin: Instant,
    origin_unix: Duration,
}

impl Clock {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        let origin_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            origin: Instant::now(),
            origin_unix,
        }
    }

    /// Nanoseconds since the clock began.
    pub fn now(&self) -> Nanos {
        self.nanos_at(Instant::now())
    }

    /// The same for an instant taken elsewhere; an instant before the start reads as zero.
    pub fn nanos_at(&self, instant: Instant) -> Nanos {
        instant.saturating_duration_since(self.origin).as_nanos() as Nanos
    }

    /// The instant that `now` stands for.
    pub fn instant(&self, now: Nanos) -> Instant {
        self.origin + Duration::from_nanos(now)
    }

    /// The Unix time in nanoseconds at `now`.
    pub fn unix_nanos(&self, now: Nanos) -> u64 {
        self.origin_unix.as_nanos() as u64 + now
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
}
