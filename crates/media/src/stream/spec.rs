//! What an order to open a stream may ask for.
use std::collections::HashSet;

use crate::clock::{Nanos, SECOND};
use crate::error::{MediaError, Result};
use crate::orders::StreamSpec;
use crate::tap;

/// Frames that a queue may be bounded to at least: a bound below would drop what has just been made.
const QUEUE_FRAMES_MIN: u32 = 2;
/// The longest queue and replay buffer, in milliseconds.
const BUFFER_MAX_MS: u32 = 120_000;
/// The longest flush interval, in milliseconds (protocol section 3).
const FLUSH_MAX_MS: u32 = 200;
/// The shortest interval of pings, in milliseconds.
const PING_MIN_MS: u32 = 10;

/// How far from now sample 0 may be.
const START_MAX: Nanos = 10 * SECOND;

/// The shape that the tap sees; a channel's index is the same in both.
pub fn tap_spec(spec: &StreamSpec) -> tap::StreamSpec {
    let channels = spec.channels.iter().map(|channel| tap::ChannelSpec {
        channel: channel.channel,
        participant: channel.participant.clone(),
    });
    tap::StreamSpec {
        encoding: spec.encoding,
        sample_rate: spec.sample_rate,
        frame_ms: spec.frame_ms,
        layout: spec.layout,
        jitter_window_ms: spec.jitter_window_ms,
        channels: channels.collect(),
    }
}

/// Refuses what no stream can follow that is opened `now`.
pub fn validate(spec: &StreamSpec, now: Nanos) -> Result<()> {
    tap_spec(spec).validate()?;
    let refuse = |detail: &str| Err(MediaError::bad_spec(detail));
    // All that lies between would have to be filled with silence.
    if spec.start_ns.abs_diff(now) > START_MAX {
        return refuse("startNs must be within 10 seconds of now");
    }
    let numbers: HashSet<_> = spec
        .channels
        .iter()
        .map(|channel| channel.channel)
        .collect();
    let sides: HashSet<_> = spec.channels.iter().map(|channel| channel.side).collect();
    if numbers.len() != spec.channels.len() || sides.len() != spec.channels.len() {
        return refuse("two channels share a number or a side");
    }
    if !(QUEUE_FRAMES_MIN * spec.frame_ms..=BUFFER_MAX_MS).contains(&spec.queue_ms) {
        return refuse("queueMs must hold two frames and be 120000 at most");
    }
    if spec.replay_ms > BUFFER_MAX_MS {
        return refuse("replayMs must be 120000 at most");
    }
    if spec.flush_ms > FLUSH_MAX_MS {
        return refuse("flushMs must be 200 at most");
    }
    if spec.ping_ms < PING_MIN_MS || spec.missed_pongs == 0 {
        return refuse("pingMs must be 10 at least, and missedPongs 1");
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::orders;

    /// An order with two channels of µ-law whose sample 0 is at nanosecond 0.
    pub(crate) fn spec() -> StreamSpec {
        let json = br#"{"streamId":"0192","encoding":"PCMU","sampleRate":8000,"frameMs":20,"layout":"separate",
            "channels":[{"channel":0,"side":"a","participant":"caller"},{"channel":1,"side":"b","participant":"callee"}],
            "startedAtUnixMs":1700000000000,"startNs":0}"#;
        orders::read(json).unwrap()
    }

    #[test]
    fn what_is_left_out_has_the_documented_default() {
        let spec = spec();
        assert!(validate(&spec, 0).is_ok());
        assert_eq!(
            (spec.flush_ms, spec.queue_ms, spec.replay_ms),
            (20, 10_000, 10_000)
        );
        assert_eq!(
            (spec.ping_ms, spec.missed_pongs, spec.stats_ms),
            (15_000, 2, 10_000)
        );
        assert_eq!(spec.jitter_window_ms, 60);
    }

    #[test]
    fn impossible_orders_are_refused() {
        let refused = |change: fn(&mut StreamSpec)| {
            let mut spec = spec();
            change(&mut spec);
            assert!(validate(&spec, 0).is_err(), "{spec:?}");
        };
        refused(|spec| spec.channels[1].side = orders::Side::A);
        refused(|spec| spec.channels[1].channel = 0);
        refused(|spec| spec.queue_ms = 20);
        refused(|spec| spec.replay_ms = 200_000);
        refused(|spec| spec.flush_ms = 201);
        refused(|spec| spec.ping_ms = 0);
        refused(|spec| spec.missed_pongs = 0);
        refused(|spec| spec.sample_rate = 16_000);
        refused(|spec| spec.start_ns = 11 * SECOND);
    }
}
