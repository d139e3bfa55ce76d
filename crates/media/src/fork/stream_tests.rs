//! A recorded stream against a recorder that keeps what it gets, on a clock of the test's own.
use proptest::prelude::*;

use super::*;
use crate::clock::{MILLISECOND, SECOND};
use crate::codec::AudioFormat;
use crate::fork::spec::{tests::pcmu, tests::target, StreamTarget};
use crate::random::Random;
use crate::rtp::{self, Header};
use crate::tap::{TapCodec, TapPacket};

const SSRC: u32 = 0xC0FF_EE01;
const START: Nanos = 10 * SECOND;
const FRAME: Nanos = 20 * MILLISECOND;
const ULAW_SILENCE: u8 = 0xFF;

struct Got {
    at: Nanos,
    header: Header,
    payload: Vec<u8>,
}

#[derive(Default)]
struct Recorder {
    now: Nanos,
    got: Vec<Got>,
}

impl Outlet for Recorder {
    fn send(&mut self, packet: &[u8]) -> bool {
        let header = rtp::parse(packet).unwrap();
        let payload = packet[header.payload.clone()].to_vec();
        self.got.push(Got {
            at: self.now,
            header,
            payload,
        });
        true
    }
}

struct Bench {
    stream: ForkStream,
    recorder: Recorder,
    now: Nanos,
    unfit: u32,
}

fn format(name: &str, rate: u32) -> TapCodec {
    TapCodec::Audio(AudioFormat::from_sdp(name, rate, 1).unwrap())
}

impl Bench {
    fn new(early_ms: u64) -> Self {
        let line = Line::new(SSRC, START, &mut Random::seeded(early_ms + 1));
        let beginning = Beginning {
            opened: START,
            early: early_ms * MILLISECOND,
        };
        Self {
            stream: ForkStream::new(line, beginning),
            recorder: Recorder::default(),
            now: START,
            unfit: 0,
        }
    }

    /// One that is sent from the begin.
    fn flowing(target: &StreamTarget) -> Self {
        let mut bench = Self::new(0);
        bench.set(target, true);
        bench
    }

    fn set(&mut self, target: &StreamTarget, wanted: bool) {
        self.recorder.now = self.now;
        let agreed = Agreed::of(target, true);
        self.stream.agree(agreed, self.now, &mut self.recorder);
        self.stream.want(wanted, self.now, &mut self.recorder);
    }

    fn pause(&mut self, on: bool) {
        self.recorder.now = self.now;
        self.stream.pause(on, self.now, &mut self.recorder);
    }

    /// Lets time go on, and does what is due in it.
    fn run(&mut self, span: Nanos) {
        let end = self.now + span;
        while self.stream.due() <= end {
            let due = self.stream.due().max(self.now);
            self.now = due;
            self.recorder.now = due;
            self.stream.on_timer(due, &mut self.recorder);
            assert!(self.stream.due() > due, "time must go on");
        }
        self.now = end;
    }

    fn packet(&mut self, codec: TapCodec, (sequence, timestamp): (u16, u32), payload: &[u8]) {
        self.recorder.now = self.now;
        let media = TapPacket {
            codec,
            ssrc: 1,
            sequence,
            timestamp,
            payload,
        };
        let packet = ForkPacket {
            media,
            payload_type: if matches!(codec, TapCodec::Event { .. }) {
                101
            } else {
                0
            },
            marker: false,
        };
        let now = self.now;
        self.unfit += u32::from(self.stream.on_packet(&packet, now, &mut self.recorder));
    }

    /// Packets of 20 ms at their times, each filled with its number.
    fn speak(&mut self, numbers: std::ops::Range<u16>) {
        for number in numbers {
            self.say(number);
            self.run(FRAME);
        }
    }

    fn say(&mut self, number: u16) {
        let place = (number, u32::from(number) * 160);
        self.packet(format("PCMU", 8000), place, &[number as u8; 160]);
    }

    /// Offsets of the timestamps from the stream's zero.
    fn positions(&self) -> Vec<u32> {
        let zero = self.stream.line().timestamp(0);
        let got = self.recorder.got.iter();
        got.map(|got| got.header.timestamp.wrapping_sub(zero))
            .collect()
    }

    /// The first byte of each packet.
    fn heard(&self) -> Vec<u8> {
        self.recorder.got.iter().map(|got| got.payload[0]).collect()
    }

    fn markers(&self) -> Vec<bool> {
        let got = self.recorder.got.iter();
        got.map(|got| got.header.marker).collect()
    }

    fn assert_numbered(&self) {
        for pair in self.recorder.got.windows(2) {
            let (one, other) = (&pair[0].header, &pair[1].header);
            assert_eq!(one.sequence.wrapping_add(1), other.sequence);
            assert_eq!((one.ssrc, other.ssrc), (SSRC, SSRC));
        }
    }

    /// Plays the packets by their timestamps, as a recorder does.
    fn recorded(&self) -> Vec<u8> {
        let mut audio = Vec::new();
        for (got, at) in self.recorder.got.iter().zip(self.positions()) {
            let at = at as usize;
            audio.resize(audio.len().max(at + got.payload.len()), 0);
            audio[at..at + got.payload.len()].copy_from_slice(&got.payload);
        }
        audio
    }
}

#[test]
fn g711_goes_bit_for_bit_on_a_clock_that_is_the_walls() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..50);
    assert_eq!(bench.heard(), (0..50).collect::<Vec<u8>>());
    assert_eq!(
        bench.positions(),
        (0..50).map(|n| n * 160).collect::<Vec<_>>()
    );
    bench.assert_numbered();
    let markers = bench.markers();
    assert!(markers[0] && !markers[1..].iter().any(|&marker| marker));
    let counters = bench.stream.counters();
    assert_eq!((counters.samples, counters.silence), (8000, 0));
}

#[test]
fn a_packet_is_as_long_as_was_agreed() {
    let mut bench = Bench::flowing(&pcmu(30));
    bench.speak(0..6);
    let lengths: Vec<_> = bench
        .recorder
        .got
        .iter()
        .map(|got| got.payload.len())
        .collect();
    assert_eq!(lengths, [240; 4]);
    assert_eq!(bench.positions(), [0, 240, 480, 720]);
    assert_eq!(bench.recorded()[320..480], [2; 160]);
}

#[test]
fn silence_is_sent_where_the_side_has_none_and_time_never_shrinks() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..5);
    bench.run(SECOND);
    // The sender's timestamps went on with time, as they should.
    for number in 5..10u16 {
        let place = (number, u32::from(number + 50) * 160);
        bench.packet(format("PCMU", 8000), place, &[number as u8; 160]);
        bench.run(FRAME);
    }
    bench.assert_numbered();
    let positions = bench.positions();
    assert!(positions.windows(2).all(|pair| pair[1] - pair[0] == 160));
    let recorded = bench.recorded();
    assert_eq!(recorded[800..8800], [ULAW_SILENCE; 8000]);
    assert_eq!(recorded[8800..8960], [5; 160]);
    // Silence comes in step with the clock, not in a burst at the end of it.
    let silences = bench
        .recorder
        .got
        .iter()
        .filter(|got| got.payload[0] == ULAW_SILENCE);
    let times: Vec<_> = silences.map(|got| got.at).collect();
    assert!(times[1..40]
        .windows(2)
        .all(|pair| pair[1] - pair[0] == FRAME));
    // A talkspurt begins anew.
    let first = bench.heard().iter().position(|&byte| byte == 5).unwrap();
    assert!(bench.markers()[first]);
    assert_eq!(
        bench.stream.counters().gaps.named(),
        [("silence", 8000)].into()
    );
}

#[test]
fn silence_of_a_hold_is_told_apart() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..2);
    bench.stream.set_held(true);
    bench.run(500 * MILLISECOND);
    let gaps = bench.stream.counters().gaps.named();
    assert!(
        gaps.contains_key("hold") && !gaps.contains_key("silence"),
        "{gaps:?}"
    );
}

#[test]
fn loss_and_disorder_of_the_call_leave_their_places() {
    let mut bench = Bench::flowing(&pcmu(20));
    for number in [0u16, 1, 3, 2, 4, 6, 7, 8, 9, 10, 11] {
        bench.say(number);
        bench.run(FRAME);
    }
    let recorded = bench.recorded();
    for number in [0u8, 1, 2, 3, 4, 6, 7] {
        let at = usize::from(number) * 160;
        assert_eq!(recorded[at..at + 160], [number; 160]);
    }
    assert_eq!(recorded[800..960], [ULAW_SILENCE; 160]);
    assert_eq!(bench.stream.counters().gaps.named(), [("loss", 160)].into());
    bench.assert_numbered();
}

#[test]
fn nothing_of_a_pause_is_recorded_and_all_the_rest_is() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..10);
    bench.pause(true);
    let before = bench.recorder.got.len();
    bench.speak(10..20);
    assert_eq!(bench.recorder.got.len(), before);
    bench.pause(false);
    bench.speak(20..30);
    let expected: Vec<u8> = (0..10).chain(20..30).collect();
    assert_eq!(bench.heard(), expected);
    assert_eq!(bench.positions()[10], 20 * 160);
    assert!(bench.markers()[10]);
    bench.assert_numbered();
    assert_eq!(
        bench.stream.counters().gaps.named(),
        [("paused", 1600)].into()
    );
}

#[test]
fn what_waits_for_a_lost_packet_is_sent_before_a_pause() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..3);
    bench.say(4);
    bench.pause(true);
    assert_eq!(bench.heard(), [0, 1, 2, ULAW_SILENCE, 4]);
}

#[test]
fn a_stream_that_the_recorder_does_not_want_is_not_sent_and_its_clock_runs_on() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..5);
    bench.set(&pcmu(20), false);
    bench.speak(5..100);
    assert_eq!(bench.recorder.got.len(), 5);
    assert_eq!(bench.stream.due(), NEVER);
    bench.set(&pcmu(20), true);
    bench.speak(100..105);
    assert_eq!(
        bench.positions()[5..],
        [16_000, 16_160, 16_320, 16_480, 16_640]
    );
}

#[test]
fn the_first_word_is_kept_until_the_recorder_answers_and_sent_at_five_times_its_pace() {
    let mut bench = Bench::new(1000);
    bench.speak(0..30);
    assert!(bench.recorder.got.is_empty());
    let answered = bench.now;
    bench.set(&pcmu(20), true);
    bench.speak(30..60);
    assert_eq!(bench.heard(), (0..60).collect::<Vec<u8>>());
    assert_eq!(bench.positions()[59], 59 * 160);
    bench.assert_numbered();
    let times: Vec<_> = bench
        .recorder
        .got
        .iter()
        .map(|got| got.at - answered)
        .collect();
    assert!(times[..30]
        .windows(2)
        .all(|pair| pair[1] - pair[0] >= 3 * MILLISECOND));
    assert!(times[29] <= 130 * MILLISECOND, "{times:?}");
    // From then on each packet goes as it comes.
    assert_eq!(times[59], 29 * FRAME);
    assert_eq!(bench.stream.early_dropped(), 0);
}

#[test]
fn of_what_is_older_than_the_bound_nothing_is_sent() {
    let mut bench = Bench::new(200);
    bench.speak(0..50);
    bench.set(&pcmu(20), true);
    bench.speak(50..60);
    let heard = bench.heard();
    assert_eq!(heard.len(), 20);
    assert_eq!(heard[0], 40);
    assert_eq!(bench.positions()[0], 40 * 160);
    assert_eq!(bench.stream.early_dropped(), 40);
}

#[test]
fn both_sides_begin_at_one_time_even_if_one_of_them_is_silent() {
    let (mut talker, mut listener) = (Bench::new(500), Bench::new(500));
    talker.speak(0..40);
    listener.run(40 * FRAME);
    talker.set(&pcmu(20), true);
    listener.set(&pcmu(20), true);
    talker.speak(40..60);
    listener.run(20 * FRAME);
    assert_eq!(talker.positions()[0], 15 * 160);
    assert_eq!(listener.positions()[0], 15 * 160);
    assert!(listener.heard().iter().all(|&byte| byte == ULAW_SILENCE));
}

#[test]
fn what_was_paused_before_the_answer_is_not_recorded() {
    let mut bench = Bench::new(5000);
    bench.speak(0..10);
    bench.pause(true);
    bench.speak(10..100);
    bench.set(&pcmu(20), true);
    bench.speak(100..110);
    assert!(bench.recorder.got.is_empty());
    bench.pause(false);
    bench.speak(110..160);
    let expected: Vec<u8> = (0..10).chain(110..160).collect();
    assert_eq!(bench.heard(), expected);
    assert_eq!(bench.positions()[10], 110 * 160);
    assert!(bench.recorder.got[59].at <= bench.now - FRAME);
}

#[test]
fn a_pause_while_catching_up_loses_nothing_and_sends_nothing_more() {
    let mut bench = Bench::new(1000);
    bench.speak(0..40);
    bench.set(&pcmu(20), true);
    bench.pause(true);
    assert_eq!(bench.heard(), (0..40).collect::<Vec<u8>>());
    bench.speak(40..50);
    assert_eq!(bench.recorder.got.len(), 40);
}

fn event(end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [5, if end { 0x8A } else { 0x0A }, high, low]
}

/// Five packets of speech, a key press of 80 ms in their place, and speech again.
fn press(bench: &mut Bench) {
    bench.speak(0..5);
    let codec = TapCodec::Event { clock_rate: 8000 };
    for step in 0..4u16 {
        bench.packet(codec, (5 + step, 800), &event(false, 160 * (step + 1)));
        bench.run(FRAME);
    }
    bench.packet(codec, (9, 800), &event(true, 640));
    bench.packet(codec, (10, 800), &event(true, 640));
    for number in 11..20u16 {
        let place = (number, u32::from(number - 2) * 160);
        bench.packet(format("PCMU", 8000), place, &[number as u8; 160]);
        bench.run(FRAME);
    }
}

#[test]
fn key_presses_are_relayed_at_their_times_and_leave_silence_in_the_audio() {
    let mut bench = Bench::flowing(&pcmu(20));
    press(&mut bench);
    bench.assert_numbered();
    let (events, audio): (Vec<_>, Vec<_>) = bench
        .recorder
        .got
        .iter()
        .zip(bench.positions())
        .partition(|(got, _)| got.header.payload_type == 96);
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|(_, at)| *at == 800));
    assert_eq!(events[5].0.payload, event(true, 640));
    let ends: Vec<_> = audio
        .iter()
        .map(|(got, at)| (*at, got.payload[0]))
        .collect();
    assert_eq!(
        ends[4..10],
        [
            (640, 4),
            (800, 255),
            (960, 255),
            (1120, 255),
            (1280, 255),
            (1440, 11)
        ]
    );
    assert_eq!(bench.stream.counters().events_sent, 6);
}

#[test]
fn key_presses_are_withheld_without_a_trace_but_silence() {
    let mut refused = pcmu(20);
    refused.event_payload_type = None;
    let mut bench = Bench::flowing(&refused);
    press(&mut bench);
    assert!(bench
        .recorder
        .got
        .iter()
        .all(|got| got.header.payload_type == 0));
    assert_eq!(bench.recorded()[800..1440], [ULAW_SILENCE; 640]);
    bench.assert_numbered();
    assert_eq!(bench.stream.counters().events_withheld, 6);
}

#[test]
fn the_recorders_law_is_made_of_what_the_call_has() {
    for (name, rate, payload) in [
        ("PCMU", 8_000, vec![ULAW_SILENCE; 160]),
        ("G722", 8_000, vec![0xFC; 160]),
        ("L16", 16_000, vec![0; 640]),
    ] {
        let mut bench = Bench::flowing(&target("PCMA", 8_000, 8, 20));
        for number in 0..10u16 {
            let ticks = if name == "L16" { 320 } else { 160 };
            bench.packet(
                format(name, rate),
                (number, u32::from(number) * ticks),
                &payload,
            );
            bench.run(FRAME);
        }
        assert_eq!(bench.recorder.got.len(), 10, "{name}");
        for got in &bench.recorder.got {
            assert_eq!((got.header.payload_type, got.payload.len()), (8, 160));
            let quiet = got.payload.iter().all(|&code| matches!(code, 0xD5 | 0x55));
            assert!(quiet, "{name} {:?}", got.payload);
        }
    }
}

#[test]
fn a_change_of_law_and_length_goes_on_where_the_former_ended() {
    let mut bench = Bench::flowing(&pcmu(30));
    bench.speak(0..4);
    bench.set(&target("PCMA", 8_000, 8, 20), true);
    bench.speak(4..8);
    let shapes: Vec<_> = bench
        .recorder
        .got
        .iter()
        .zip(bench.positions())
        .map(|(got, at)| (got.header.payload_type, at, got.payload.len()))
        .collect();
    assert_eq!(
        shapes,
        [
            (0, 0, 240),
            (0, 240, 240),
            (0, 480, 160),
            (8, 640, 160),
            (8, 800, 160),
            (8, 960, 160),
            (8, 1120, 160)
        ]
    );
    bench.assert_numbered();
}

#[test]
fn audio_that_cannot_be_decoded_is_silence_and_told_once() {
    let mut bench = Bench::flowing(&pcmu(20));
    for number in 0..20u16 {
        let codec = TapCodec::Unsupported { clock_rate: 48_000 };
        bench.packet(codec, (number, u32::from(number) * 960), b"opus");
        bench.run(FRAME);
    }
    assert_eq!(bench.unfit, 1);
    assert_eq!(bench.stream.counters().unfit, 20);
    assert!(bench.heard().iter().all(|&byte| byte == ULAW_SILENCE));
    assert!(bench.recorder.got.len() >= 14);
}

#[test]
fn from_g711_to_another_codec_the_line_goes_on_under_its_own_clock() {
    let mut bench = Bench::flowing(&pcmu(20));
    bench.speak(0..50);
    let last = bench.recorder.got.last().unwrap().header.clone();
    bench.set(&target("opus", 48_000, 111, 20), true);
    bench.run(500 * MILLISECOND);
    let next = &bench.recorder.got[50].header;
    assert_eq!(next.payload_type, 111);
    assert_eq!(next.sequence, last.sequence.wrapping_add(1));
    // 160 ticks to the end of the last packet: then the new clock counts.
    assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 160);
    assert_eq!(
        bench.recorder.got[51]
            .header
            .timestamp
            .wrapping_sub(next.timestamp),
        960
    );
}

#[test]
fn the_end_sends_what_is_left() {
    let mut bench = Bench::flowing(&pcmu(60));
    bench.speak(0..4);
    let now = bench.now;
    bench.recorder.now = now;
    bench.stream.end(now, &mut bench.recorder);
    let lengths: Vec<_> = bench
        .recorder
        .got
        .iter()
        .map(|got| got.payload.len())
        .collect();
    assert_eq!(lengths, [480, 160]);
    bench.speak(4..8);
    assert_eq!(bench.recorder.got.len(), 2);
}

/// Something that happens to a stream.
#[derive(Debug, Clone)]
enum Step {
    Packet {
        codec: usize,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
        length: usize,
    },
    Wait(u64),
    Pause(bool),
    Set {
        codec: usize,
        on: bool,
    },
    Hold(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly near one another, as packets are; now and then from anywhere.
    let sequence = prop_oneof![8 => 0u16..60, 1 => any::<u16>()];
    let timestamp = prop_oneof![8 => (0u32..60).prop_map(|n| n * 160), 1 => any::<u32>()];
    let packet = (0usize..5, 0u32..2, sequence, timestamp, 0usize..400).prop_map(
        |(codec, ssrc, sequence, timestamp, length)| Step::Packet {
            codec,
            ssrc,
            sequence,
            timestamp,
            length,
        },
    );
    let step = prop_oneof![
        12 => packet,
        6 => (0u64..60).prop_map(Step::Wait),
        1 => (0u64..5_000).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Pause),
        2 => (0usize..4, any::<bool>()).prop_map(|(codec, on)| Step::Set { codec, on }),
        1 => any::<bool>().prop_map(Step::Hold),
    ];
    proptest::collection::vec(step, 0..120)
}

impl Bench {
    fn step(&mut self, step: &Step) {
        let targets = [
            pcmu(20),
            target("PCMA", 8_000, 8, 30),
            target("opus", 48_000, 111, 20),
            target("EVS", 16_000, 112, 20),
        ];
        let codecs = [
            format("PCMU", 8_000),
            format("G722", 8_000),
            TapCodec::Unsupported { clock_rate: 48_000 },
            TapCodec::Event { clock_rate: 8_000 },
            TapCodec::Noise { clock_rate: 8_000 },
        ];
        match *step {
            Step::Packet {
                codec,
                ssrc,
                sequence,
                timestamp,
                length,
            } => {
                self.recorder.now = self.now;
                let payload = vec![7; length];
                let media = TapPacket {
                    codec: codecs[codec],
                    ssrc,
                    sequence,
                    timestamp,
                    payload: &payload,
                };
                let packet = ForkPacket {
                    media,
                    payload_type: 98,
                    marker: false,
                };
                let now = self.now;
                self.stream.on_packet(&packet, now, &mut self.recorder);
            }
            Step::Wait(ms) => self.run(ms * MILLISECOND),
            Step::Pause(on) => self.pause(on),
            Step::Set { codec, on } => self.set(&targets[codec], on),
            Step::Hold(on) => self.stream.set_held(on),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_time_goes_on_and_g711_is_one_line(run in steps(), early in 0u64..2_000) {
        let mut bench = Bench::new(early);
        let formats = [LegCodec {
            name: "opus".into(),
            clock_rate: 48_000,
            channels: 1,
            local_pt: 98,
            remote_pt: 98,
        }];
        bench.stream.set_formats(&formats);
        let g711_only = !run.iter().any(|step| matches!(step, Step::Set { codec: 2.., .. }));
        for step in &run {
            let (before, paused) = (bench.recorder.got.len(), bench.stream.paused);
            bench.step(step);
            let quiet = paused && !matches!(step, Step::Pause(false));
            prop_assert!(!quiet || bench.recorder.got.len() == before, "sent while paused");
        }
        bench.run(SECOND);
        if g711_only {
            bench.assert_numbered();
            let audio = bench.recorder.got.iter().zip(bench.positions());
            let mut end = 0;
            for (got, at) in audio.filter(|(got, _)| got.header.payload_type != 96) {
                prop_assert!(at >= end, "{at} is before {end}");
                end = at + got.payload.len() as u32;
            }
            let counters = bench.stream.counters();
            let events = bench.recorder.got.iter().filter(|got| got.header.payload_type == 96);
            let of_events: usize = events.map(|got| got.payload.len()).sum();
            let (_, octets) = bench.stream.line().sent();
            prop_assert_eq!(octets - of_events as u64, counters.samples + counters.silence);
        }
    }
}
