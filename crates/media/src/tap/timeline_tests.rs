//! The timeline's rules, on an injected clock.
use std::borrow::Cow;

use super::*;
use crate::codec::{AudioFormat, Coding};
use proptest::prelude::*;

const FRAME: Nanos = 20 * MILLISECOND;
const FORMAT: AudioFormat = AudioFormat {
    coding: Coding::Pcmu,
    clock_rate: 8000,
    channels: 1,
};

/// What was told; every stretch must touch the one before.
#[derive(Debug, Default)]
struct Recording {
    cursor: u64,
    audio: Vec<u8>,
    /// Positions with audio, one per sample.
    placed: Vec<u64>,
    silence: Vec<(u64, u64, Cause)>,
    dropped: Vec<(u64, u64, Cause)>,
}

impl Recording {
    fn silent(&self, cause: Cause) -> u64 {
        self.silence
            .iter()
            .filter(|gap| gap.2 == cause)
            .map(|gap| gap.1)
            .sum()
    }
}

impl Sink for Recording {
    fn audio(&mut self, at: u64, audio: &Audio<'_>) {
        assert_eq!(at, self.cursor);
        assert!(audio.take > 0 && audio.skip + audio.take <= audio.total);
        self.cursor += audio.take;
        self.placed.push(at);
        if audio.total == audio.payload.len() as u64 {
            self.audio
                .extend_from_slice(&audio.payload[audio.skip as usize..][..audio.take as usize]);
        }
    }

    fn silence(&mut self, at: u64, samples: u64, cause: Cause) {
        assert_eq!(at, self.cursor);
        assert!(samples > 0);
        self.cursor += samples;
        self.silence.push((at, samples, cause));
    }

    fn dropped(&mut self, at: u64, samples: u64, cause: Cause) {
        assert_eq!(at, self.cursor);
        if cause == Cause::Paused {
            self.cursor += samples;
        }
        self.dropped.push((at, samples, cause));
    }
}

struct Bench {
    timeline: Timeline,
    told: Recording,
}

impl Bench {
    fn new() -> Self {
        let shape = Shape {
            rate: 8000,
            frame: 160,
            window: 60 * MILLISECOND,
            start: 0,
        };
        Self {
            timeline: Timeline::new(shape),
            told: Recording::default(),
        }
    }

    /// A packet of 20 ms filled with the low byte of its sequence number.
    fn push(&mut self, sequence: u16, timestamp: u32, now: Nanos) {
        self.push_from(1, sequence, timestamp, now, 160);
    }

    fn push_from(&mut self, ssrc: u32, sequence: u16, timestamp: u32, now: Nanos, length: usize) {
        let payload = vec![sequence as u8; length];
        let content = Content::Audio {
            format: FORMAT,
            payload: Cow::Borrowed(&payload),
        };
        let packet = Packet {
            ssrc,
            sequence,
            timestamp,
            clock_rate: 8000,
            content,
        };
        self.timeline.push(&packet, now, &mut self.told);
    }

    fn event(&mut self, sequence: u16, timestamp: u32, duration: u16, end: bool, now: Nanos) {
        let content = Content::Event { duration, end };
        let packet = Packet {
            ssrc: 1,
            sequence,
            timestamp,
            clock_rate: 8000,
            content,
        };
        self.timeline.push(&packet, now, &mut self.told);
    }

    /// What a stream does every frame.
    fn tick(&mut self, now: Nanos) {
        self.timeline.release(now, &mut self.told);
        let target = self.timeline.position_at(now.saturating_sub(MAX_LAG));
        self.timeline.fill_until(target, &mut self.told);
    }

    /// Ticks when it is due, as a worker does, and gives how far the channel lagged at most.
    fn serve_until(&mut self, now: Nanos) -> u64 {
        let mut lag = 0;
        while self.timeline.due() <= now {
            let due = self.timeline.due();
            lag = lag.max(self.lag(due));
            self.tick(due);
        }
        lag.max(self.lag(now))
    }

    fn lag(&self, now: Nanos) -> u64 {
        self.timeline
            .position_at(now)
            .saturating_sub(self.told.cursor)
    }

    fn toggle_pause(&mut self, on: bool, now: Nanos) {
        let end = self.timeline.cursor().div_ceil(160) * 160;
        if on {
            self.timeline.pause(end, &mut self.told);
        } else {
            let here = self.timeline.position_at(now) / 160 * 160;
            self.timeline.resume(here.max(end), &mut self.told);
        }
    }

    fn steady(&mut self, packets: std::ops::Range<u16>) {
        for number in packets {
            self.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
        }
    }
}

#[test]
fn packets_in_order_pass_at_once_and_bit_for_bit() {
    let mut bench = Bench::new();
    for number in 0..100u16 {
        bench.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
        assert_eq!(bench.told.cursor, (u64::from(number) + 1) * 160);
    }
    let expected: Vec<u8> = (0..100u8).flat_map(|number| [number; 160]).collect();
    assert_eq!(bench.told.audio, expected);
    assert_eq!(bench.told.silence, []);
}

#[test]
fn the_first_packet_goes_into_the_frame_of_its_arrival() {
    let mut bench = Bench::new();
    bench.push(9, 77_777, 75 * MILLISECOND);
    assert_eq!(bench.told.silence, [(0, 480, Cause::Silence)]);
    assert_eq!(bench.told.placed, [480]);
}

#[test]
fn disorder_within_the_window_is_put_in_order() {
    let mut bench = Bench::new();
    for number in [0u16, 1, 3, 2, 5, 6, 4, 7] {
        bench.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
    }
    let expected: Vec<u8> = (0..8u8).flat_map(|number| [number; 160]).collect();
    assert_eq!(bench.told.audio, expected);
    assert_eq!(
        (bench.told.silence.len(), bench.timeline.counters().late),
        (0, 0)
    );
}

#[test]
fn duplicates_are_dropped() {
    let mut bench = Bench::new();
    for number in [0u16, 0, 1, 1, 0, 2] {
        bench.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
    }
    assert_eq!(bench.told.audio.len(), 480);
    assert_eq!(bench.timeline.counters().duplicate, 3);
}

#[test]
fn a_missing_packet_is_filled_to_the_sample_once_the_window_has_passed() {
    let mut bench = Bench::new();
    bench.steady(0..3);
    bench.push(5, 5 * 160, 5 * FRAME);
    assert_eq!(bench.told.cursor, 480);
    bench
        .timeline
        .release(5 * FRAME + 60 * MILLISECOND - 1, &mut bench.told);
    assert_eq!(bench.told.cursor, 480);
    bench
        .timeline
        .release(5 * FRAME + 60 * MILLISECOND, &mut bench.told);
    assert_eq!(bench.told.silence, [(480, 320, Cause::Loss)]);
    bench.push(4, 4 * 160, 9 * FRAME);
    assert_eq!(bench.timeline.counters().late, 1);
}

#[test]
fn a_missing_packet_that_the_wall_clock_fills_is_lost_all_the_same() {
    let mut bench = Bench::new();
    bench.steady(0..3);
    // Number 3 never comes; 4 is late, and its window would last longer than the channel may lag.
    let late = 4 * FRAME + 50 * MILLISECOND;
    bench.push(4, 4 * 160, late);
    let full = bench.timeline.due();
    assert!(full < late + 60 * MILLISECOND);
    bench.tick(full);
    assert_eq!(bench.told.silence, [(480, 160, Cause::Loss)]);
    // There is nothing more to wait for: the channel would only lag farther.
    assert!(bench.timeline.due() <= full);
    bench.tick(full);
    assert_eq!(bench.told.audio.len(), 640);
    bench.push(3, 3 * 160, full);
    assert_eq!(bench.timeline.counters().late, 1);
}

#[test]
fn a_window_longer_than_the_lag_allowed_ends_when_its_frame_must_be_filled() {
    let mut bench = Bench::new();
    let shape = Shape {
        window: 1000 * MILLISECOND,
        ..bench.timeline.shape
    };
    bench.timeline = Timeline::new(shape);
    bench.steady(0..3);
    // Number 3 never comes; 4 lies within the frame that is to be filled next.
    bench.push(4, 3 * 160 + 80, 4 * FRAME);
    assert!(bench.serve_until(20 * FRAME) <= 800 + 160);
    assert_eq!(bench.told.silence[0], (480, 80, Cause::Loss));
    assert_eq!(bench.told.audio.len(), 640);
}

#[test]
fn a_pause_in_the_timestamps_without_loss_is_silence_and_needs_no_waiting() {
    let mut bench = Bench::new();
    bench.steady(0..2);
    bench.push(2, 5 * 160, 5 * FRAME);
    assert_eq!(bench.told.silence, [(320, 480, Cause::Silence)]);
    assert_eq!(bench.told.cursor, 960);
}

#[test]
fn a_silent_channel_is_filled_in_step_and_never_lags_more_than_100_ms() {
    let mut bench = Bench::new();
    for step in 0..500u64 {
        bench.tick(step * FRAME);
        let lag = bench.timeline.position_at(step * FRAME) as i64 - bench.told.cursor as i64;
        assert!(lag <= 800, "{lag}");
        assert_eq!(bench.told.cursor % 160, 0);
    }
    bench.timeline.set_hold(true);
    bench.tick(600 * FRAME);
    assert!(bench.told.silent(Cause::Hold) > 0);
}

#[test]
fn packets_of_another_length_are_placed_without_a_seam() {
    for length in [80usize, 240, 320, 480] {
        let mut bench = Bench::new();
        for number in 0..50u32 {
            let now = u64::from(number) * length as u64 * MILLISECOND / 8;
            bench.push_from(1, number as u16, number * length as u32, now, length);
            bench.tick(now);
        }
        let expected: Vec<u8> = (0..50u8).flat_map(|number| vec![number; length]).collect();
        assert_eq!(bench.told.audio, expected, "{length}");
    }
}

#[test]
fn a_new_source_goes_on_where_the_clock_is() {
    let mut bench = Bench::new();
    bench.steady(0..10);
    for number in 0..10u16 {
        bench.push_from(
            2,
            500 + number,
            9_000_000 + u32::from(number) * 160,
            (10 + u64::from(number)) * FRAME,
            160,
        );
    }
    assert_eq!((bench.told.cursor, bench.told.silence.len()), (20 * 160, 0));
}

#[test]
fn two_sources_at_once_never_run_ahead_of_the_clock() {
    let mut bench = Bench::new();
    for step in 0..500u16 {
        let now = u64::from(step) * FRAME;
        bench.push_from(1, step, u32::from(step) * 160, now, 160);
        bench.push_from(2, step, u32::from(step) * 160, now, 160);
        bench.push_from(3, step, u32::from(step) * 160, now, 160);
        assert!(bench.told.cursor <= bench.timeline.position_at(now + 120 * MILLISECOND));
    }
}

#[test]
fn a_burst_is_let_out_in_its_time() {
    let mut bench = Bench::new();
    for number in 0..50u16 {
        bench.push(number, u32::from(number) * 160, 0);
    }
    assert!(bench.told.cursor <= 800, "{}", bench.told.cursor);
    for step in 0..60 {
        bench.tick(step * FRAME);
    }
    let expected: Vec<u8> = (0..50u8).flat_map(|number| [number; 160]).collect();
    assert_eq!(bench.told.audio, expected);
}

#[test]
fn a_timestamp_far_away_is_anchored_anew() {
    let mut bench = Bench::new();
    bench.steady(0..5);
    for number in 5..10u16 {
        bench.push(
            number,
            3_000_000_000 + u32::from(number) * 160,
            u64::from(number) * FRAME,
        );
    }
    assert_eq!((bench.told.cursor, bench.told.silence.len()), (1600, 0));
}

#[test]
fn a_sender_whose_timestamps_stood_still_is_anchored_anew_without_losing_a_packet() {
    let mut bench = Bench::new();
    bench.steady(0..5);
    for step in 5..30 {
        bench.tick(step * FRAME);
    }
    for number in 5..20u16 {
        bench.push(
            number,
            u32::from(number) * 160,
            (u64::from(number) + 25) * FRAME,
        );
        bench.tick((u64::from(number) + 25) * FRAME);
    }
    let expected: Vec<u8> = (0..20u8).flat_map(|number| [number; 160]).collect();
    assert_eq!(bench.told.audio, expected);
}

#[test]
fn a_burst_whose_first_packets_come_slowly_stays_late_too() {
    let mut bench = Bench::new();
    bench.steady(0..50);
    // A stall of 1.3 s; of what piled up the first two packets come 15 ms apart, the rest at once.
    let end = (50 + 65) * FRAME;
    bench.tick(end);
    let backlog = 50..115u16;
    for (index, number) in backlog.enumerate() {
        let now = end + (index as u64).min(1) * 15 * MILLISECOND + index as u64 * MILLISECOND / 4;
        bench.push(number, u32::from(number) * 160, now);
        bench.tick(now);
    }
    for number in 117..200u16 {
        let now = u64::from(number) * FRAME;
        bench.push(number, u32::from(number) * 160, now);
        bench.tick(now);
        let lag = bench.timeline.position_at(now) as i64 - bench.told.cursor as i64;
        assert!((-480..=800).contains(&lag), "packet {number}: {lag}");
    }
    let place = |number: u16| u64::from(number) * 160;
    assert!((125..200).all(|number| bench.told.placed.contains(&place(number))));
}

#[test]
fn a_burst_after_a_stall_of_the_network_stays_late() {
    let mut bench = Bench::new();
    bench.steady(0..5);
    for step in 5..30 {
        bench.tick(step * FRAME);
    }
    for number in 5..30u16 {
        bench.push(number, u32::from(number) * 160, 30 * FRAME);
    }
    for number in 30..60u16 {
        bench.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
        bench.tick(u64::from(number) * FRAME);
    }
    assert_eq!(bench.timeline.counters().anchored, 1);
    assert_eq!(bench.told.cursor, 60 * 160);
}

/// Thirty minutes of a sender whose clock is off by so many parts per million.
fn half_an_hour(ppm: i64) -> Bench {
    let mut bench = Bench::new();
    let packets = 30 * 60 * 50u32;
    for number in 0..packets {
        let jitter = u64::from(number.wrapping_mul(2_654_435_761) % 7) * MILLISECOND;
        let ideal = i64::from(number) * FRAME as i64;
        let now = (ideal - ideal / 1_000_000 * ppm) as u64 + jitter;
        bench.push(number as u16, number.wrapping_mul(160), now);
        bench.tick(now);
        if number > 100 {
            let lag = bench.timeline.position_at(now) as i64 - bench.told.cursor as i64;
            assert!((-480..=800).contains(&lag), "packet {number}: {lag}");
        }
    }
    bench
}

#[test]
fn a_fast_sender_loses_a_frame_now_and_then() {
    let bench = half_an_hour(200);
    let dropped: u64 = bench.told.dropped.iter().map(|gap| gap.1).sum();
    assert!((16 * 160..=19 * 160).contains(&dropped), "{dropped}");
    assert!(bench.told.dropped.iter().all(|gap| gap.2 == Cause::Drift));
    assert_eq!(bench.told.audio.len() as u64 + dropped, 90_000 * 160);
    assert_eq!(bench.told.silent(Cause::Drift), 0);
}

#[test]
fn a_slow_sender_gets_a_frame_of_silence_now_and_then() {
    let bench = half_an_hour(-200);
    let inserted = bench.told.silent(Cause::Drift);
    assert!((16 * 160..=19 * 160).contains(&inserted), "{inserted}");
    assert_eq!(bench.told.audio.len(), 90_000 * 160);
    assert_eq!(
        (bench.told.dropped.len(), bench.timeline.counters().late),
        (0, 0)
    );
}

#[test]
fn an_exact_sender_is_never_touched() {
    let bench = half_an_hour(0);
    assert_eq!((bench.told.silence.len(), bench.told.dropped.len()), (0, 0));
}

#[test]
fn an_event_silences_its_span_and_audio_goes_on_after_it() {
    let mut bench = Bench::new();
    bench.steady(0..5);
    // The key is down for 100 ms; the sender goes on sending audio beside the event.
    for step in 0..5u16 {
        let now = (5 + u64::from(step)) * FRAME;
        bench.event(5 + 2 * step, 800, (step + 1) * 160, step == 4, now);
        bench.push(6 + 2 * step, 800 + u32::from(step) * 160, now);
    }
    for number in 0..5u16 {
        bench.push(
            15 + number,
            1600 + u32::from(number) * 160,
            (10 + u64::from(number)) * FRAME,
        );
    }
    assert_eq!(bench.told.silent(Cause::Silence), 800);
    assert_eq!(bench.told.audio.len(), 10 * 160);
    assert_eq!(bench.told.cursor, 15 * 160);
}

#[test]
fn a_pause_leaves_a_hole_from_frame_to_frame() {
    let mut bench = Bench::new();
    bench.steady(0..5);
    bench.timeline.pause(800, &mut bench.told);
    for number in 5..10u16 {
        bench.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
        bench.tick(u64::from(number) * FRAME);
    }
    bench.timeline.resume(10 * 160, &mut bench.told);
    for number in 10..15u16 {
        bench.push(number, u32::from(number) * 160, u64::from(number) * FRAME);
    }
    assert_eq!(bench.told.dropped, [(800, 800, Cause::Paused)]);
    assert_eq!((bench.told.cursor, bench.told.silence.len()), (15 * 160, 0));
}

#[test]
fn the_last_words_are_not_lost() {
    let mut bench = Bench::new();
    bench.steady(0..3);
    bench.push_from(1, 4, 4 * 160, 4 * FRAME, 100);
    bench.timeline.flush(4 * FRAME, &mut bench.told);
    assert_eq!(
        bench.told.silence,
        [(480, 160, Cause::Loss), (740, 60, Cause::Silence)]
    );
    assert_eq!((bench.told.cursor, bench.told.audio.len()), (800, 580));
}

proptest! {
    #[test]
    fn loss_disorder_and_duplicates_never_break_the_clock(
        fates in proptest::collection::vec((0u64..100, 0u8..20), 20..300)
    ) {
        let mut bench = Bench::new();
        let mut arrivals = Vec::new();
        for (number, &(delay, fate)) in fates.iter().enumerate() {
            let at = number as u64 * FRAME + delay * MILLISECOND;
            if fate != 0 {
                arrivals.push((at, number as u16));
            }
            if fate == 1 {
                arrivals.push((at + 3 * MILLISECOND, number as u16));
            }
        }
        arrivals.sort_unstable();
        for &(at, number) in &arrivals {
            let lag = bench.serve_until(at);
            prop_assert!(lag <= 800 + 160, "the channel lagged {} ms", lag / 8);
            bench.push(number, u32::from(number) * 160, at);
            prop_assert!(bench.told.cursor <= bench.timeline.position_at(at + 200 * MILLISECOND));
        }
        let end = (fates.len() as u64 + 20) * FRAME;
        bench.tick(end);
        bench.timeline.flush(end, &mut bench.told);
        prop_assert!(bench.timeline.held.is_empty());
        prop_assert!(bench.told.audio.len() <= fates.len() * 160);
    }

    #[test]
    fn any_packets_are_survived_within_bounds(
        packets in proptest::collection::vec(
            (0u32..3, any::<u16>(), any::<u32>(), 0usize..2000, 0u8..8, prop_oneof![Just(0u32), Just(8000), any::<u32>()]), 0..200
        )
    ) {
        let mut bench = Bench::new();
        for (step, (ssrc, sequence, timestamp, length, kind, clock_rate)) in packets.into_iter().enumerate() {
            let now = step as u64 * 5 * MILLISECOND;
            let payload = vec![0u8; length];
            let content = match kind {
                0 => Content::Event { duration: length as u16, end: sequence % 2 == 0 },
                1 => Content::Nothing,
                _ => Content::Audio { format: FORMAT, payload: Cow::Borrowed(&payload) },
            };
            bench.timeline.push(&Packet { ssrc, sequence, timestamp, clock_rate, content }, now, &mut bench.told);
            match kind {
                2 => bench.tick(now),
                3 => bench.toggle_pause(sequence % 4 == 0, now),
                _ => {}
            }
            prop_assert!(bench.timeline.held.len() <= MAX_HELD + 1);
            prop_assert!(bench.told.cursor <= bench.timeline.position_at(now) + 48_000);
        }
    }
}
