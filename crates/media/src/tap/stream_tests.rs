//! The tap as its worker sees it: packets in, frames and gaps out, on an injected clock.
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::codec::Encoding;
use crate::tap::{Cause, ChannelSpec, Gap};

const FRAME: Nanos = 20 * MILLISECOND;
const PCMU: (&str, u32) = ("PCMU", 8000);

#[derive(Debug, Clone, PartialEq)]
struct Told {
    timestamp: u64,
    payload: Vec<u8>,
    samples: u32,
    silence: u32,
}

/// Checks what every stream must hold to, and keeps what was told.
#[derive(Debug, Default)]
struct Recording {
    frames: [Vec<Told>; 2],
    participants: Vec<String>,
    gaps: [Vec<Gap>; 2],
    dropped: [u64; 2],
    unsupported: Vec<usize>,
}

impl TapSink for Recording {
    fn media(&mut self, frame: Frame<'_>) {
        let lane = &mut self.frames[frame.channel.max(0) as usize];
        assert_eq!(frame.chunk, lane.len() as u64 + 1);
        assert!(frame.silence_samples <= frame.samples);
        let after = lane
            .last()
            .map_or(0, |last| last.timestamp + u64::from(last.samples));
        assert!(frame.timestamp >= after && frame.timestamp % u64::from(frame.samples) == 0);
        if self.participants.last().map(String::as_str) != Some(frame.participant) {
            self.participants.push(frame.participant.to_owned());
        }
        lane.push(Told {
            timestamp: frame.timestamp,
            payload: frame.payload.to_vec(),
            samples: frame.samples,
            silence: frame.silence_samples,
        });
    }

    fn gap(&mut self, channel: i32, gap: Gap) {
        self.gaps[channel as usize].push(gap);
    }

    fn dropped(&mut self, channel: i32, samples: u64) {
        self.dropped[channel as usize] += samples;
    }

    fn unsupported(&mut self, index: usize) {
        self.unsupported.push(index);
    }
}

impl Recording {
    fn bytes(&self, lane: usize) -> Vec<u8> {
        self.frames[lane]
            .iter()
            .flat_map(|frame| frame.payload.clone())
            .collect()
    }

    fn end(&self, lane: usize) -> u64 {
        self.frames[lane]
            .last()
            .map_or(0, |last| last.timestamp + u64::from(last.samples))
    }

    fn gap_samples(&self, lane: usize, cause: Cause) -> u64 {
        let gaps = self.gaps[lane].iter().filter(|gap| gap.cause == cause);
        gaps.map(|gap| gap.samples).sum()
    }

    fn silence(&self, lane: usize) -> u64 {
        self.frames[lane]
            .iter()
            .map(|frame| u64::from(frame.silence))
            .sum()
    }
}

struct Bench {
    tap: StreamTap,
    told: Recording,
}

fn spec(encoding: Encoding, rate: u32, layout: Layout) -> StreamSpec {
    let channels = ["caller", "callee"]
        .iter()
        .enumerate()
        .map(|(index, name)| ChannelSpec {
            channel: index as i32,
            participant: (*name).to_owned(),
        });
    StreamSpec {
        encoding,
        sample_rate: rate,
        frame_ms: 20,
        layout,
        jitter_window_ms: 60,
        channels: channels.collect(),
    }
}

impl Bench {
    fn new(encoding: Encoding, rate: u32, layout: Layout) -> Self {
        let tap = StreamTap::new(spec(encoding, rate, layout), 0).unwrap();
        Self {
            tap,
            told: Recording::default(),
        }
    }

    fn pcmu(layout: Layout) -> Self {
        Self::new(Encoding::Pcmu, 8000, layout)
    }

    fn push(&mut self, index: usize, number: u16, payload: &[u8], now: Nanos) {
        let ticks = u32::from(number).wrapping_mul(160);
        self.push_as(index, PCMU, (number, ticks), payload, now);
    }

    fn push_as(
        &mut self,
        index: usize,
        codec: (&str, u32),
        (sequence, timestamp): (u16, u32),
        payload: &[u8],
        now: Nanos,
    ) {
        let codec = TapCodec::from_sdp(codec.0, codec.1, 1);
        let packet = TapPacket {
            codec,
            ssrc: 1,
            sequence,
            timestamp,
            payload,
        };
        self.tap.on_rtp(index, &packet, now, &mut self.told);
    }

    /// Both sides speak; each packet is full of its number, the callee's with the high bit set.
    fn speak(&mut self, packets: Range<u16>) {
        for number in packets {
            let now = u64::from(number) * FRAME;
            self.push(0, number, &[number as u8; 160], now);
            self.push(1, number, &[number as u8 | 0x80; 160], now);
            self.tick(now);
        }
    }

    fn tick(&mut self, now: Nanos) {
        self.tap.tick(now, &mut self.told);
    }

    fn pause(&mut self, on: bool, now: Nanos) {
        self.tap.pause(on, now, &mut self.told);
    }

    fn flush(&mut self, now: Nanos) {
        self.tap.flush(now, &mut self.told);
    }
}

#[test]
fn separate_frames_are_the_payloads_bit_for_bit() {
    let mut bench = Bench::pcmu(Layout::Separate);
    bench.speak(0..100);
    bench.flush(100 * FRAME);
    let said = |mark: u8| {
        (0..100u8)
            .flat_map(move |number| [number | mark; 160])
            .collect::<Vec<_>>()
    };
    assert_eq!(
        [bench.told.bytes(0), bench.told.bytes(1)],
        [said(0), said(0x80)]
    );
    assert_eq!(bench.told.gaps, [vec![], vec![]]);
    assert_eq!(bench.told.participants[..2], ["caller", "callee"]);
    assert_eq!(bench.told.frames[1][99].timestamp, 99 * 160);
}

#[test]
fn channels_that_have_much_to_tell_at_once_take_turns() {
    let mut bench = Bench::pcmu(Layout::Separate);
    bench.speak(0..10);
    bench.tick(30 * FRAME);
    bench.flush(35 * FRAME);
    assert_eq!(bench.told.frames[0].len(), 35);
    assert_eq!(
        bench.told.participants.len(),
        70,
        "one was told for longer than a frame"
    );
}

#[test]
fn interleaved_frames_hold_both_channels_sample_by_sample() {
    let mut bench = Bench::pcmu(Layout::Interleaved);
    bench.speak(0..10);
    assert_eq!(
        (
            bench.told.frames[0].len(),
            bench.told.participants.as_slice()
        ),
        (10, &[String::new()][..])
    );
    let third = &bench.told.frames[0][3];
    assert_eq!(
        (third.samples, third.silence, third.payload.len()),
        (160, 0, 320)
    );
    assert!(third.payload.chunks(2).all(|pair| pair == [3, 0x83]));
    let mut linear = Bench::new(Encoding::L16, 8000, Layout::Interleaved);
    linear.push_as(0, ("L16", 8000), (1, 0), &[1, 2].repeat(160), 0);
    linear.push_as(1, ("L16", 8000), (1, 0), &[3, 4].repeat(160), 0);
    assert!(linear.told.frames[0][0]
        .payload
        .chunks(4)
        .all(|pair| pair == [2, 1, 4, 3]));
}

#[test]
fn mixed_frames_are_the_clipped_sum_and_a_lone_voice_is_untouched() {
    let mut bench = Bench::new(Encoding::L16, 8000, Layout::Mixed);
    let (loud, quiet) = (
        20_000i16.to_be_bytes().repeat(160),
        (-7i16).to_be_bytes().repeat(160),
    );
    for (number, callee) in [(0u16, &loud), (1, &quiet)] {
        let at = (number, u32::from(number) * 160);
        bench.push_as(0, ("L16", 8000), at, &loud, u64::from(number) * FRAME);
        bench.push_as(1, ("L16", 8000), at, callee, u64::from(number) * FRAME);
    }
    assert_eq!(
        bench.told.frames[0][0].payload,
        i16::MAX.to_le_bytes().repeat(160)
    );
    assert_eq!(
        bench.told.frames[0][1].payload,
        19_993i16.to_le_bytes().repeat(160)
    );
    assert_eq!(bench.told.participants, ["mixed"]);
    let mut lone = Bench::new(Encoding::Pcma, 8000, Layout::Mixed);
    let payload: Vec<u8> = (0..160u8).collect();
    for number in 0..50u16 {
        let at = (number, u32::from(number) * 160);
        lone.push_as(1, ("PCMA", 8000), at, &payload, u64::from(number) * FRAME);
        lone.tick(u64::from(number) * FRAME);
    }
    lone.flush(50 * FRAME);
    assert_eq!(lone.told.bytes(0), payload.repeat(50));
    assert_eq!(
        (
            lone.told.silence(0),
            lone.told.gap_samples(0, Cause::Silence)
        ),
        (0, 8000)
    );
}

#[test]
fn another_codec_is_decoded_resampled_and_encoded() {
    for (name, clock_rate, bytes) in [
        ("PCMU", 8000, 160),
        ("PCMA", 8000, 160),
        ("G722", 8000, 160),
        ("L16", 48_000, 1920),
    ] {
        for (encoding, rate) in [
            (Encoding::Pcmu, 8000),
            (Encoding::Pcma, 8000),
            (Encoding::L16, 8000),
            (Encoding::L16, 16_000),
            (Encoding::L16, 24_000),
            (Encoding::L16, 48_000),
        ] {
            let mut bench = Bench::new(encoding, rate, Layout::Separate);
            for number in 0..50u16 {
                let at = (number, u32::from(number) * clock_rate / 50);
                bench.push_as(
                    0,
                    (name, clock_rate),
                    at,
                    &vec![0xFF; bytes],
                    u64::from(number) * FRAME,
                );
            }
            assert_eq!(
                bench.told.frames[0].len(),
                50,
                "{name} to {encoding:?} {rate}"
            );
            assert_eq!(
                bench.told.bytes(0).len(),
                rate as usize * encoding.sample_size()
            );
            assert_eq!(bench.told.silence(0), 0);
        }
    }
}

#[test]
fn a_codec_change_in_mid_stream_leaves_no_seam() {
    let mut bench = Bench::pcmu(Layout::Separate);
    for number in 0..30u16 {
        let codec = if (10..20).contains(&number) {
            ("PCMA", 8000)
        } else {
            PCMU
        };
        let at = (number, u32::from(number) * 160);
        bench.push_as(0, codec, at, &[0xD5; 160], u64::from(number) * FRAME);
    }
    assert_eq!((bench.told.frames[0].len(), bench.told.silence(0)), (30, 0));
    assert_eq!(bench.told.frames[0][25].payload, [0xD5; 160]);
    assert_ne!(bench.told.frames[0][15].payload, [0xD5; 160]);
}

#[test]
fn an_unsupported_codec_is_told_once_and_is_silence() {
    let mut bench = Bench::pcmu(Layout::Separate);
    for number in 0..100u16 {
        let at = (number, u32::from(number) * 960);
        bench.push_as(1, ("opus", 48_000), at, &[1; 80], u64::from(number) * FRAME);
        bench.tick(u64::from(number) * FRAME);
    }
    bench.flush(100 * FRAME);
    assert_eq!(bench.told.unsupported, [1]);
    assert_eq!((bench.told.silence(1), bench.told.end(1)), (16_000, 16_000));
}

#[test]
fn a_pause_is_a_hole_on_all_channels_accounted_to_the_sample() {
    for layout in [Layout::Separate, Layout::Interleaved, Layout::Mixed] {
        let mut bench = Bench::pcmu(layout);
        bench.speak(0..50);
        bench.push(0, 50, &[1; 100], 50 * FRAME);
        bench.pause(true, 50 * FRAME);
        let frames = bench.told.frames[0].len();
        bench.speak(51..200);
        assert_eq!(bench.told.frames[0].len(), frames);
        assert_eq!(bench.told.gap_samples(0, Cause::Paused), 16_000);
        bench.pause(false, 200 * FRAME);
        bench.speak(200..250);
        bench.flush(250 * FRAME);
        for channel in 0..2 {
            let spoken = if channel == 0 {
                50 * 160 + 100
            } else {
                50 * 160
            };
            assert_eq!(
                bench.told.gap_samples(channel, Cause::Paused),
                200 * 160 - spoken
            );
            assert_eq!(
                bench.told.gaps[channel]
                    .last()
                    .map(|gap| (gap.cause, gap.ended)),
                Some((Cause::Paused, true))
            );
        }
        assert_eq!(bench.told.end(0), 250 * 160);
        assert_eq!(bench.told.frames[0].len(), 51 + 50, "{layout:?}");
    }
}

#[test]
fn the_end_brings_all_channels_to_the_same_frame_with_their_last_words() {
    for paused in [false, true] {
        let mut bench = Bench::pcmu(Layout::Separate);
        bench.speak(0..50);
        bench.push(0, 51, &[9; 130], 51 * FRAME);
        bench.pause(paused, 51 * FRAME);
        bench.flush(53 * FRAME + 1);
        bench.speak(60..70);
        let bytes = bench.told.bytes(0);
        let words = bytes
            .split(|byte| *byte != 9)
            .map(<[u8]>::len)
            .sum::<usize>();
        assert_eq!(words, if paused { 160 } else { 160 + 130 });
        for channel in 0..2 {
            let told = &bench.told;
            assert_eq!(
                told.end(channel) + told.gap_samples(channel, Cause::Paused) * u64::from(paused),
                53 * 160
            );
            let gaps: u64 = told.gaps[channel].iter().map(|gap| gap.samples).sum();
            assert_eq!(
                gaps + 50 * 160 + if channel == 0 && !paused { 130 } else { 0 },
                53 * 160
            );
        }
        assert_eq!(bench.tap.next_due(), NEVER);
    }
}

#[test]
fn drifting_senders_never_part_by_more_than_the_protocol_allows() {
    let mut bench = Bench::pcmu(Layout::Separate);
    let mut numbers = [0u32; 2];
    for millisecond in (0..30 * 60 * 1000u64).step_by(4) {
        let now = millisecond * MILLISECOND;
        for (index, ppm) in [(0usize, 1_000_200u64), (1, 999_800)] {
            if u64::from(numbers[index]) * 20 * 1_000_000 <= millisecond * ppm {
                bench.push(index, numbers[index] as u16, &[7; 160], now);
                numbers[index] += 1;
            }
        }
        if millisecond % 20 == 0 {
            bench.tick(now);
        }
        let ends = [bench.told.end(0), bench.told.end(1)];
        assert!(
            ends[0].abs_diff(ends[1]) <= 960,
            "{ends:?} at {millisecond} ms"
        );
    }
    let slips = bench.told.dropped[0];
    assert!((16 * 160..=19 * 160).contains(&slips), "{slips}");
    assert_eq!(bench.told.gap_samples(0, Cause::Drift), slips);
    let fills = bench.told.gap_samples(1, Cause::Drift);
    assert!((16 * 160..=19 * 160).contains(&fills), "{fills}");
    assert_eq!(
        [
            bench.told.gap_samples(0, Cause::Loss),
            bench.told.gap_samples(1, Cause::Loss)
        ],
        [0, 0]
    );
}

#[test]
fn hold_is_the_cause_of_the_silence_it_makes() {
    let mut bench = Bench::pcmu(Layout::Separate);
    bench.speak(0..50);
    bench.tap.set_held(1, true);
    for number in 50..150u16 {
        bench.push(0, number, &[1; 160], u64::from(number) * FRAME);
        bench.tick(u64::from(number) * FRAME);
    }
    bench.tap.set_held(1, false);
    bench.speak(150..160);
    assert_eq!(bench.told.gaps[0], []);
    let shape: Vec<_> = bench.told.gaps[1]
        .iter()
        .map(|gap| (gap.cause, gap.samples, gap.ended))
        .collect();
    assert_eq!(shape.first(), Some(&(Cause::Hold, 8000, false)));
    assert_eq!(
        bench.told.gaps[1]
            .iter()
            .map(|gap| gap.samples)
            .sum::<u64>(),
        100 * 160
    );
    assert!(bench.told.gap_samples(1, Cause::Hold) >= 94 * 160);
}

#[test]
fn a_key_press_is_silence_and_has_its_place() {
    let mut bench = Bench::pcmu(Layout::Separate);
    bench.speak(0..10);
    let mut sequence = 10;
    for update in 1..=8u16 {
        let now = (9 + u64::from(update)) * FRAME;
        let ended = update >= 6;
        let length = 160 * update.min(6);
        let event = [
            5,
            if ended { 0x8A } else { 0x0A },
            (length >> 8) as u8,
            length as u8,
        ];
        bench.push_as(0, ("telephone-event", 8000), (sequence, 1600), &event, now);
        sequence += 1;
        bench.tick(now);
    }
    for number in 16..30u16 {
        let at = (sequence, u32::from(number) * 160);
        bench.push_as(0, PCMU, at, &[5; 160], u64::from(number.max(18)) * FRAME);
        sequence += 1;
    }
    assert_eq!(bench.tap.position_of(0, 1, 1600, 30 * FRAME), 1600);
    assert_eq!(bench.told.gaps[0].len(), 1);
    let press = bench.told.gaps[0][0];
    assert_eq!(
        (press.from, press.samples, press.cause),
        (1600, 960, Cause::Silence)
    );
    assert!(bench.told.frames[0][10..16]
        .iter()
        .all(|frame| frame.payload == [0xFF; 160]));
    assert_eq!(bench.told.frames[0][16].payload, [5; 160]);
}

#[test]
fn ticking_only_when_due_keeps_step_with_the_clock() {
    for layout in [Layout::Separate, Layout::Mixed] {
        let mut bench = Bench::pcmu(layout);
        let (mut ticks, mut now) = (0, 0);
        while now < 10_000 * MILLISECOND {
            let due = bench.tap.next_due();
            assert!(due > now, "{due} {now}");
            now = due;
            bench.tick(now);
            ticks += 1;
            let lag = bench.tap.position_at(now) - bench.told.end(0);
            assert!((640..=800).contains(&lag), "{lag}");
        }
        assert!((495..=505).contains(&ticks), "{ticks}");
        bench.pause(true, now);
        bench.tick(now);
        assert!((now..=now + FRAME).contains(&bench.tap.next_due()));
    }
}

#[test]
fn a_held_packet_is_due_when_its_window_ends() {
    let mut bench = Bench::pcmu(Layout::Separate);
    bench.speak(0..5);
    bench.push(0, 6, &[6; 160], 6 * FRAME);
    assert_eq!(bench.tap.next_due(), 6 * FRAME + 60 * MILLISECOND);
    bench.tick(6 * FRAME + 60 * MILLISECOND);
    assert_eq!(bench.told.gap_samples(0, Cause::Loss), 160);
}

#[test]
fn shapes_that_no_stream_has_are_refused() {
    let good = spec(Encoding::Pcmu, 8000, Layout::Separate);
    assert!(StreamTap::new(good.clone(), 0).is_ok());
    let one = vec![good.channels[0].clone()];
    let bad = [
        StreamSpec {
            sample_rate: 16_000,
            ..good.clone()
        },
        StreamSpec {
            sample_rate: 44_100,
            encoding: Encoding::L16,
            ..good.clone()
        },
        StreamSpec {
            frame_ms: 0,
            ..good.clone()
        },
        StreamSpec {
            frame_ms: 1000,
            ..good.clone()
        },
        StreamSpec {
            jitter_window_ms: 60_000,
            ..good.clone()
        },
        StreamSpec {
            channels: vec![],
            ..good.clone()
        },
        StreamSpec {
            layout: Layout::Interleaved,
            channels: one.clone(),
            ..good.clone()
        },
    ];
    for spec in bad {
        assert!(StreamTap::new(spec.clone(), 0).is_err(), "{spec:?}");
    }
    let mut lone = Bench::pcmu(Layout::Separate);
    let spec = StreamSpec {
        layout: Layout::Mixed,
        channels: one,
        ..good
    };
    lone.tap = StreamTap::new(spec, 0).unwrap();
    lone.push(0, 0, &[3; 160], 0);
    assert_eq!(
        (
            lone.told.frames[0][0].payload.as_slice(),
            lone.told.participants[0].as_str()
        ),
        (&[3; 160][..], "mixed")
    );
}

/// Every sample of a channel's clock is audio or an accounted gap, each exactly once.
fn assert_accounted(told: &Recording, lane: usize) {
    let drift_fill = told.gap_samples(lane, Cause::Drift) - told.dropped[lane];
    let filled: u64 = [Cause::Loss, Cause::Silence, Cause::Hold]
        .iter()
        .map(|&cause| told.gap_samples(lane, cause))
        .sum();
    let emitted: u64 = told.frames[lane]
        .iter()
        .map(|frame| u64::from(frame.samples))
        .sum();
    // A pause may begin within a frame, whose rest is then silence of that cause.
    let paused_fill = told.silence(lane) - filled - drift_fill;
    let hole = told.gap_samples(lane, Cause::Paused) - paused_fill;
    assert_eq!(emitted + hole, told.end(lane) + trailing_hole(told, lane));
}

/// What a pause at the end leaves out behind the last frame.
fn trailing_hole(told: &Recording, lane: usize) -> u64 {
    let ends = told.gaps[lane]
        .iter()
        .filter(|gap| gap.cause == Cause::Paused);
    ends.map(|gap| (gap.from + gap.samples).saturating_sub(told.end(lane).max(gap.from)))
        .sum()
}

proptest! {
    #[test]
    fn whatever_is_not_lost_arrives_bit_for_bit_and_in_order(
        fates in proptest::collection::vec((0u64..55, 0u8..10), 10..200),
        length in prop_oneof![Just(80usize), Just(160), Just(240), Just(320)],
    ) {
        let mut bench = Bench::pcmu(Layout::Separate);
        let mut arrivals = Vec::new();
        let mut expected = Vec::new();
        for (number, &(delay, fate)) in fates.iter().enumerate() {
            let payload: Vec<u8> = (0..length).map(|byte| (number * 31 + byte) as u8 % 120).collect();
            // The first packet is on time, so that it is the anchor.
            let at = (number * length / 8) as u64 * MILLISECOND + if number == 0 { 0 } else { delay * MILLISECOND };
            if fate == 0 && number > 0 {
                continue;
            }
            expected.extend_from_slice(&payload);
            if fate == 1 {
                arrivals.push((at + MILLISECOND, number, payload.clone()));
            }
            arrivals.push((at, number, payload));
        }
        arrivals.sort_by_key(|arrival| arrival.0);
        for (at, number, payload) in &arrivals {
            bench.tick(*at);
            bench.push_as(0, PCMU, (*number as u16, (*number * length) as u32), payload, *at);
        }
        let end = (fates.len() * length / 8) as u64 * MILLISECOND + 200 * MILLISECOND;
        bench.flush(end);
        let spoken: Vec<u8> = bench.told.bytes(0).into_iter().filter(|byte| *byte < 120).collect();
        prop_assert_eq!(spoken, expected);
        prop_assert_eq!(bench.tap.counters(0).late, 0);
        assert_accounted(&bench.told, 0);
        prop_assert_eq!(bench.told.end(0), bench.told.end(1));
    }

    #[test]
    fn any_packets_in_any_order_keep_the_accounts(
        layout in prop_oneof![Just(Layout::Separate), Just(Layout::Interleaved), Just(Layout::Mixed)],
        packets in proptest::collection::vec(
            (0usize..3, 0u32..2, any::<u16>(), any::<u32>(), 0usize..2000, 0u8..12, 0u64..60), 0..150
        ),
    ) {
        let mut bench = Bench::new(Encoding::L16, 16_000, layout);
        let codecs = [PCMU, ("L16", 16_000), ("L16", 44_100), ("G722", 8000), ("opus", 48_000), ("telephone-event", 8000), ("CN", 8000)];
        let mut now = 0;
        for (index, ssrc, sequence, timestamp, length, action, wait) in packets {
            now += wait * MILLISECOND;
            let codec = codecs.get(usize::from(action)).copied().unwrap_or(PCMU);
            // Most packets are near each other, so that they find a place.
            let near = action % 3 != 0;
            let sequence = if near { sequence % 16 } else { sequence };
            let timestamp = if near { timestamp % 20_000 } else { timestamp };
            let codec = TapCodec::from_sdp(codec.0, codec.1, 1);
            let payload = vec![action; length];
            let packet = TapPacket { codec, ssrc, sequence, timestamp, payload: &payload };
            bench.tap.on_rtp(index, &packet, now, &mut bench.told);
            match action {
                7 => bench.tick(now),
                8 => bench.pause(true, now),
                9 => bench.pause(false, now),
                10 => bench.tap.set_held(index, sequence % 2 == 0),
                _ => {}
            }
        }
        bench.flush(now);
        if layout == Layout::Separate {
            assert_accounted(&bench.told, 0);
            assert_accounted(&bench.told, 1);
            prop_assert!(bench.told.frames[0].len().abs_diff(bench.told.frames[1].len()) == 0);
        }
        for lane in 0..2 {
            for pair in bench.told.gaps[lane].windows(2) {
                prop_assert!(pair[0].cause == Cause::Drift || pair[0].from + pair[0].samples <= pair[1].from);
            }
        }
    }
}
