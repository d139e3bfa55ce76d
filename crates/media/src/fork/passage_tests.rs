//! A codec that is passed through, on a clock of the test's own.
use super::*;
use crate::clock::SECOND;
use crate::fork::agreed::Agreed;
use crate::fork::spec::tests::target;
use crate::orders::LegCodec;
use crate::random::Random;
use crate::rtp::{self, Header};
use crate::tap::TapPacket;

const FRAME: Nanos = 20 * MILLISECOND;
const OPUS: TapCodec = TapCodec::Unsupported { clock_rate: 48_000 };
const TICKS: u32 = 960;

#[derive(Default)]
struct Kept(Vec<(Header, Vec<u8>)>);

impl Outlet for Kept {
    fn send(&mut self, packet: &[u8]) -> bool {
        let header = rtp::parse(packet).unwrap();
        let payload = packet[header.payload.clone()].to_vec();
        self.0.push((header, payload));
        true
    }
}

struct Bench {
    passage: Passage,
    agreed: Agreed,
    line: Line,
    kept: Kept,
    now: Nanos,
}

impl Bench {
    fn new(name: &str) -> Self {
        let target = target(name, 48_000, 111, 20);
        let mut agreed = Agreed::of(&target, true).unwrap();
        agreed.map_formats(&[LegCodec {
            name: name.into(),
            clock_rate: 48_000,
            channels: 1,
            local_pt: 98,
            remote_pt: 99,
        }]);
        let mut line = Line::new(7, SECOND, &mut Random::seeded(4));
        line.set_rate(48_000, SECOND);
        Self {
            passage: Passage::new(Filler::of(&agreed.codec), &line, SECOND),
            agreed,
            line,
            kept: Kept::default(),
            now: SECOND,
        }
    }

    fn opus() -> Self {
        Self::new("opus")
    }

    fn packet(&mut self, codec: TapCodec, payload_type: u8, sequence: u16, timestamp: u32) -> bool {
        let payload = sequence.to_be_bytes();
        let media = TapPacket {
            codec,
            ssrc: 1,
            sequence,
            timestamp,
            payload: if matches!(codec, TapCodec::Event { .. }) {
                &[1, 10, 0, 160]
            } else {
                &payload
            },
        };
        let packet = ForkPacket {
            media,
            payload_type,
            marker: false,
        };
        let mut wire = Wire {
            agreed: &self.agreed,
            line: &mut self.line,
            outlet: &mut self.kept,
        };
        self.passage.on_packet(&packet, self.now, &mut wire)
    }

    fn say(&mut self, sequence: u16) {
        self.packet(OPUS, 98, sequence, u32::from(sequence) * TICKS);
    }

    fn run(&mut self, span: Nanos) {
        let end = self.now + span;
        while self.passage.due(&self.line) <= end {
            self.now = self.passage.due(&self.line).max(self.now);
            let mut wire = Wire {
                agreed: &self.agreed,
                line: &mut self.line,
                outlet: &mut self.kept,
            };
            self.passage.tick(self.now, &mut wire);
            assert!(self.passage.due(&self.line) > self.now, "time must go on");
        }
        self.now = end;
    }

    fn speak(&mut self, numbers: impl IntoIterator<Item = u16>) {
        for number in numbers {
            self.say(number);
            self.run(FRAME);
        }
    }

    /// Sequence numbers from the first one on, and positions in ticks.
    fn got(&self) -> Vec<(u16, u32)> {
        let first = self.kept.0[0].0.sequence;
        let zero = self.line.timestamp(0);
        let pairs = self.kept.0.iter().map(|(header, _)| {
            let number = header.sequence.wrapping_sub(first);
            (number, header.timestamp.wrapping_sub(zero))
        });
        pairs.collect()
    }
}

#[test]
fn payloads_go_as_they_come_under_our_numbers_and_times() {
    let mut bench = Bench::opus();
    bench.speak(500..505);
    let expected: Vec<_> = (0..5u16).map(|n| (n, u32::from(n) * TICKS)).collect();
    assert_eq!(bench.got(), expected);
    for (index, (header, payload)) in bench.kept.0.iter().enumerate() {
        assert_eq!((header.ssrc, header.payload_type), (7, 111));
        assert_eq!(*payload, (500 + index as u16).to_be_bytes());
        assert_eq!(header.marker, index == 0);
    }
}

#[test]
fn loss_and_disorder_are_the_recorders_too() {
    let mut bench = Bench::opus();
    bench.speak([0, 1, 4, 3, 3, 5]);
    let numbers: Vec<_> = bench.got().iter().map(|got| got.0).collect();
    assert_eq!(numbers, [0, 1, 4, 3, 5]);
    let places: Vec<_> = bench.got().iter().map(|got| got.1 / TICKS).collect();
    assert_eq!(places, [0, 1, 4, 3, 5]);
    assert_eq!(bench.passage.counters().duplicate, 1);
}

#[test]
fn silence_takes_numbers_and_what_comes_after_has_its_time() {
    let mut bench = Bench::opus();
    bench.speak(0..5);
    bench.run(SECOND);
    let filled = bench.kept.0.len();
    assert!((48..=51).contains(&(filled - 5 + 5)), "{filled}");
    // The sender's clock went on; it sent nothing meanwhile.
    bench.packet(OPUS, 98, 5, 55 * TICKS);
    let got = bench.got();
    assert_eq!(got[filled], (filled as u16, 55 * TICKS));
    assert!(bench.kept.0[filled].0.marker);
    assert_eq!(bench.kept.0[6].1, [0xF8, 0xFF, 0xFE]);
    // What belongs before the silence has no place any more.
    bench.packet(OPUS, 98, 3, 3 * TICKS);
    assert_eq!(bench.kept.0.len(), filled + 1);
}

#[test]
fn a_codec_without_known_silence_keeps_its_time_by_its_timestamps() {
    let mut bench = Bench::new("EVS");
    bench.speak(0..5);
    bench.run(SECOND);
    assert_eq!(bench.kept.0.len(), 5);
    bench.packet(OPUS, 98, 5, 55 * TICKS);
    assert_eq!(bench.got()[5], (5, 55 * TICKS));
}

#[test]
fn a_sender_whose_timestamps_stood_still_is_placed_anew() {
    let mut bench = Bench::opus();
    bench.speak(0..5);
    bench.run(SECOND);
    let filled = bench.kept.0.len();
    bench.speak(5..15);
    let got = bench.got();
    // One packet is given for the proof.
    assert!(got.len() >= filled + 8, "{got:?}");
    let here = bench.line.position_at(bench.now) as u32;
    let last = got.last().unwrap().1;
    assert!(here - last <= 2 * TICKS, "{here} {last}");
}

#[test]
fn a_burst_after_a_stall_is_late() {
    let mut bench = Bench::opus();
    bench.speak(0..5);
    bench.run(400 * MILLISECOND);
    let filled = bench.kept.0.len();
    for number in 5..20 {
        bench.say(number);
    }
    assert_eq!(bench.kept.0.len(), filled);
    assert_eq!(bench.passage.counters().late, 15);
    bench.speak(25..30);
    assert_eq!(bench.got().last().unwrap().1, 29 * TICKS);
}

#[test]
fn a_pause_leaves_out_its_time_and_no_number() {
    let mut bench = Bench::opus();
    bench.speak(0..5);
    bench.passage.stop();
    bench.speak(5..20);
    bench.passage.go_on(bench.now, &bench.line);
    bench.speak(20..25);
    let got = bench.got();
    assert_eq!(got.len(), 10);
    assert_eq!(got[5], (5, 20 * TICKS));
    assert!(bench.kept.0[5].0.marker);
}

#[test]
fn the_senders_drift_shows_in_the_reports_and_not_as_a_jump() {
    let mut bench = Bench::opus();
    // Each packet of 20 ms comes 20.02 ms after the one before: 1000 ppm slow.
    for number in 0..1000 {
        bench.say(number);
        bench.run(FRAME + FRAME / 1000);
    }
    let got = bench.got();
    assert!(got.windows(2).all(|pair| pair[1].1 - pair[0].1 == TICKS));
    let here = bench.line.position_at(bench.now) + bench.passage.skew();
    let last = i64::from(got.last().unwrap().1);
    assert!((here - last - 960).abs() < 200, "{here} {last}");
    assert!(bench.passage.skew() < -700, "{}", bench.passage.skew());
}

#[test]
fn key_presses_go_at_their_times_and_other_formats_not_at_all() {
    let mut bench = Bench::opus();
    bench.speak(0..3);
    let event = TapCodec::Event { clock_rate: 48_000 };
    bench.packet(event, 101, 3, 3 * TICKS);
    bench.run(FRAME);
    bench.packet(event, 101, 4, 3 * TICKS);
    let pcmu = TapCodec::from_sdp("PCMU", 8_000, 1);
    assert!(bench.packet(pcmu, 0, 5, 9));
    assert!(!bench.packet(pcmu, 0, 6, 169));
    bench.run(FRAME);
    bench.say(7);
    let got = bench.got();
    assert_eq!(got[3..6], [(3, 3 * TICKS), (4, 3 * TICKS), (5, 7 * TICKS)]);
    assert_eq!(bench.kept.0[3].0.payload_type, 96);
    let counters = bench.passage.counters();
    assert_eq!((counters.events_sent, counters.unfit), (2, 2));
}
