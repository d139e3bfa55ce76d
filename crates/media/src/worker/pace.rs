//! When a worker rests. A wake-up costs as much as three to six packets, so a busy worker wakes on a grid
//! of a millisecond and finds many packets at once; an idle one wakes for each.
use crate::clock::{Nanos, MILLISECOND};

/// The grid of a busy worker.
const GRID: Nanos = MILLISECOND;
/// The rate is measured over spans of this length.
const SPAN: Nanos = 100 * MILLISECOND;
/// Wake-ups of so many sockets in a span make a worker busy: 2,000 packets a second, as of 20 calls.
const BUSY: u64 = 200;

/// See the module.
#[derive(Debug, Default)]
pub struct Pace {
    busy: bool,
    span_began: Nanos,
    in_span: u64,
    batch_began: Option<Nanos>,
}

impl Pace {
    /// Notes a turn that found so many sockets ready.
    pub fn turned(&mut self, ready: u64, now: Nanos) {
        self.in_span += ready;
        if now.saturating_sub(self.span_began) >= SPAN {
            self.busy = self.in_span >= BUSY;
            self.span_began = now;
            self.in_span = 0;
        }
        if self.busy && ready > 0 {
            self.batch_began.get_or_insert(now);
        }
    }

    /// Whether the next look must not wait: a busy worker looks again until it finds nothing.
    pub const fn looks_again(&self) -> bool {
        self.batch_began.is_some()
    }

    /// After a turn that found nothing: until when to rest, if at all.
    pub fn rest(&mut self) -> Option<Nanos> {
        self.batch_began.take().map(|began| began + GRID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_packets_are_served_at_once() {
        let mut pace = Pace::default();
        for step in 0..1000 {
            pace.turned(1, step * MILLISECOND);
            assert!(!pace.looks_again());
        }
    }

    #[test]
    fn many_are_gathered_on_the_grid_of_the_batchs_begin() {
        let mut pace = Pace::default();
        for step in 0..200 {
            pace.turned(10, step * MILLISECOND);
        }
        assert!(pace.looks_again());
        pace.rest();
        let now = 300 * MILLISECOND;
        pace.turned(5, now);
        pace.turned(5, now + MILLISECOND / 2);
        assert!(pace.looks_again());
        assert_eq!(pace.rest(), Some(now + GRID));
        assert!(!pace.looks_again());
        pace.turned(0, now + 2 * MILLISECOND);
        assert_eq!(pace.rest(), None);
    }
}
