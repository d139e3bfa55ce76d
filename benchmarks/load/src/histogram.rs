//! Durations in buckets of 2 % width, so that percentiles cost nothing while measuring.
use serde_json::{json, Value};

const BUCKETS_PER_DOUBLING: f64 = 32.0;
const BUCKETS: usize = 32 * 36;

/// Counts of durations in nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            longest: 0,
        }
    }

    /// Counts one duration.
    pub fn add(&mut self, nanos: u64) {
        let bucket = ((nanos.max(1) as f64).log2() * BUCKETS_PER_DOUBLING) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
        self.longest = self.longest.max(nanos);
    }

    /// The upper bound in milliseconds of the bucket that holds the quantile.
    fn quantile_ms(&self, quantile: f64) -> f64 {
        let rank = (self.total as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return ((bucket as f64 + 1.0) / BUCKETS_PER_DOUBLING).exp2() / 1e6;
            }
        }
        0.0
    }

    /// Percentiles in milliseconds.
    pub fn report(&self) -> Value {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "count": self.total,
            "p50": rounded(self.quantile_ms(0.5)),
            "p99": rounded(self.quantile_ms(0.99)),
            "p999": rounded(self.quantile_ms(0.999)),
            "max": rounded(self.longest as f64 / 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_bucket() {
        let mut histogram = Histogram::new();
        for step in 1..=1000_u64 {
            histogram.add(step * 10_000);
        }
        assert!((histogram.quantile_ms(0.5) / 5.0 - 1.0).abs() < 0.03);
        assert!((histogram.quantile_ms(0.99) / 9.9 - 1.0).abs() < 0.03);
    }
}
