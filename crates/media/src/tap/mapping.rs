//! From RTP timestamps to positions on the stream's clock, and the drift between the two clocks.
use crate::clock::{Nanos, SECOND};

/// The smallest transit is taken over windows of this length: long enough for jitter to show its floor,
/// short enough to follow a drift of 1000 ppm long before it is a frame.
const DRIFT_WINDOW: Nanos = 2 * SECOND;

/// Maps one source's timestamps, from an anchor on.
#[derive(Debug, Clone)]
pub struct Mapping {
    rate: i64,
    clock_rate: i64,
    anchor_ticks: i64,
    anchor_position: i64,
    last_ticks: i64,
    drift: Drift,
}

impl Mapping {
    /// Anchors `timestamp` of a clock of `clock_rate` at `position` of a clock of `rate`.
    pub fn anchored(timestamp: u32, clock_rate: u32, position: u64, rate: u32) -> Self {
        let ticks = i64::from(timestamp);
        Self {
            rate: i64::from(rate),
            clock_rate: i64::from(clock_rate.max(1)),
            anchor_ticks: ticks,
            anchor_position: position as i64,
            last_ticks: ticks,
            drift: Drift::default(),
        }
    }

    /// The positions where `units` of the source's clock begin and end, from `timestamp` on.
    pub fn span(&mut self, timestamp: u32, units: u32) -> (i64, i64) {
        let ticks = self.extend(timestamp);
        self.last_ticks = ticks;
        (self.at(ticks), self.at(ticks + i64::from(units)))
    }

    /// The position of `timestamp`, without moving on.
    pub fn position(&self, timestamp: u32) -> i64 {
        self.at(self.extend(timestamp))
    }

    /// Moves all later positions by so many samples.
    pub fn shift(&mut self, samples: i64) {
        self.anchor_position += samples;
    }

    /// Notes by how many samples a packet's arrival lies behind its position. When a window has ended,
    /// returns how far the smallest delay has moved since the anchor.
    pub fn observe_transit(&mut self, transit: i64, now: Nanos) -> Option<i64> {
        self.drift.observe(transit, now)
    }

    fn extend(&self, timestamp: u32) -> i64 {
        self.last_ticks + i64::from(timestamp.wrapping_sub(self.last_ticks as u32) as i32)
    }

    fn at(&self, ticks: i64) -> i64 {
        if self.rate == self.clock_rate {
            return self.anchor_position + (ticks - self.anchor_ticks);
        }
        let samples = i128::from(ticks - self.anchor_ticks) * i128::from(self.rate);
        self.anchor_position + samples.div_euclid(i128::from(self.clock_rate)) as i64
    }
}

#[derive(Debug, Clone, Default)]
struct Drift {
    baseline: Option<i64>,
    window: Option<(Nanos, i64)>,
}

impl Drift {
    fn observe(&mut self, transit: i64, now: Nanos) -> Option<i64> {
        let (end, smallest) = self.window.unwrap_or((now + DRIFT_WINDOW, transit));
        let smallest = smallest.min(transit);
        if now < end {
            self.window = Some((end, smallest));
            return None;
        }
        self.window = None;
        let baseline = *self.baseline.get_or_insert(smallest);
        Some(smallest - baseline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_timestamp_over_its_wrap() {
        let mut mapping = Mapping::anchored(u32::MAX - 79, 8000, 1600, 16_000);
        assert_eq!(mapping.span(u32::MAX - 79, 160), (1600, 1920));
        assert_eq!(mapping.span(80, 160), (1920, 2240));
        assert_eq!(mapping.position(u32::MAX - 79), 1600);
    }

    #[test]
    fn spans_touch_even_when_rates_have_no_common_frame() {
        let mut mapping = Mapping::anchored(0, 44_100, 0, 16_000);
        let mut end = 0;
        for packet in 0..1000 {
            let span = mapping.span(packet * 441, 441);
            assert_eq!(span.0, end);
            end = span.1;
        }
        assert_eq!(end, 160_000);
    }

    #[test]
    fn drift_is_the_move_of_the_smallest_delay() {
        let mut mapping = Mapping::anchored(0, 8000, 0, 8000);
        let mut moves = Vec::new();
        for step in 0..500u64 {
            let jitter = if step % 3 == 0 { 0 } else { 90 };
            moves.extend(mapping.observe_transit(10 + jitter + step as i64, step * 20_000_000));
        }
        assert_eq!(moves.len(), 4);
        assert_eq!(moves[0], 0);
        assert!((moves[3] - 306).abs() <= 6, "{moves:?}");
    }
}
