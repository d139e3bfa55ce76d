//! Recordings over real sockets: what a recording server gets of a call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod rig;

use std::time::{Duration, Instant};

use media::error::ErrorKind;
use media::events::Event;
use media::fork::RecordedStreamStats;
use media::rtcp;
use rig::recorder::{of_label, spec, spec_from, stream, target, Ear, Got, Recorder};
use rig::{rtp, Options, Rig, PCMU};

const PCMU_0: &str = "PCMU/8000/0";
const FRAME: Duration = Duration::from_millis(20);
/// By then a packet has gone its way, on a busy machine too.
const SETTLE: Duration = Duration::from_millis(300);

/// Both phones speak, a packet every 20 ms, filled with their numbers; the callee's are 128 higher.
fn talk(rig: &Rig, numbers: std::ops::Range<u16>) {
    let start = Instant::now();
    for (index, number) in numbers.enumerate() {
        std::thread::sleep(
            (start + FRAME * index as u32).saturating_duration_since(Instant::now()),
        );
        rig.a.send(&rtp(0, number, 1, &[number as u8; 160]));
        rig.b.send(&rtp(0, number, 2, &[128 + number as u8; 160]));
    }
}

fn first_bytes(packets: &[Got]) -> Vec<u8> {
    packets
        .iter()
        .map(|got| got.payload[0])
        .filter(|&byte| byte != 0xFF)
        .collect()
}

fn closed(rig: &mut Rig, recording: u64) -> Vec<RecordedStreamStats> {
    rig.event(|event| match event {
        Event::RecordingClosed {
            recording: of,
            streams,
            failure: None,
        } if *of == recording => Some(streams.clone()),
        _ => None,
    })
}

fn queried(rig: &mut Rig, recording: u64) -> Vec<RecordedStreamStats> {
    rig.engine.query_recording(recording).unwrap();
    rig.event(|event| match event {
        Event::RecordingStats {
            recording: of,
            streams,
        } if *of == recording => Some(streams.clone()),
        _ => None,
    })
}

/// A call that is recorded from its begin, both of whose sources are locked.
fn recorded(network: u8, dtmf: &str) -> (Rig, Recorder) {
    let rig = Rig::new(network, Options::default());
    rig.lock();
    let place = (network, 5);
    let recorder = Recorder::open(&rig.engine, rig.call, place, &spec(dtmf, 0));
    recorder.answer(&rig.engine, PCMU_0);
    (rig, recorder)
}

#[test]
fn both_sides_arrive_bit_for_bit_on_one_clock() {
    let (mut rig, recorder) = recorded(80, "relay");
    let reports = [recorder.caller.report(), recorder.callee.report()];
    let before = std::time::SystemTime::now();
    talk(&rig, 1..51);
    let sides = [&recorder.caller, &recorder.callee].map(|ear| ear.hear_all(SETTLE));
    for (index, packets) in sides.iter().enumerate() {
        let audio: Vec<u8> = (1..51).map(|number| number + 128 * index as u8).collect();
        assert_eq!(first_bytes(packets), audio);
        let whole = packets
            .iter()
            .all(|got| got.payload == [got.payload[0]; 160]);
        assert!(whole, "payloads are kept");
        for pair in packets.windows(2) {
            let (one, other) = (&pair[0].header, &pair[1].header);
            assert_eq!(other.sequence, one.sequence.wrapping_add(1));
            assert_eq!(other.timestamp, one.timestamp.wrapping_add(160));
        }
    }
    // The wall clock of each side's first word, by its sender report.
    let unix = before
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let times: Vec<f64> = sides
        .iter()
        .zip(&reports)
        .map(|(packets, report)| {
            let sender = report.sender.expect("a sender report, before any packet");
            let word = packets.iter().find(|got| got.payload[0] != 0xFF).unwrap();
            assert_eq!(sender.ssrc, word.header.ssrc);
            let ahead = word.header.timestamp.wrapping_sub(sender.rtp_timestamp) as i32;
            sender.ntp as f64 / 2f64.powi(32) - 2_208_988_800.0 + f64::from(ahead) / 8000.0
        })
        .collect();
    assert!((times[0] - times[1]).abs() < 0.021, "{times:?}");
    assert!((times[0] - unix).abs() < 0.5, "{times:?} {unix}");
    let stats = queried(&mut rig, recorder.recording);
    let callee = of_label(&stats, "2");
    assert_eq!(
        (callee.ssrc, callee.samples, callee.unsent),
        (12_345, 8000, 0)
    );
    assert_ne!(of_label(&stats, "1").ssrc, 12_345);
    assert_eq!(sides[1][0].header.ssrc, 12_345);
}

#[test]
fn the_relay_is_what_it_was() {
    let (rig, recorder) = recorded(81, "relay");
    for number in 1..100 {
        let packet = rtp(0, number, 1, &[number as u8; 160]);
        rig.a.send(&packet);
        assert_eq!(rig.b.receive(), packet);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(recorder.caller.hear_audio().payload, [1; 160]);
}

#[test]
fn a_pause_takes_effect_at_once_and_time_goes_on() {
    let (mut rig, recorder) = recorded(82, "relay");
    talk(&rig, 1..11);
    let last = recorder.caller.hear_all(SETTLE).pop().unwrap();
    rig.engine
        .pause_recording(recorder.recording, true)
        .unwrap();
    queried(&mut rig, recorder.recording);
    recorder.caller.hear_all(Duration::from_millis(1));
    talk(&rig, 11..31);
    assert!(recorder.caller.phone.hears_nothing());
    rig.engine
        .pause_recording(recorder.recording, false)
        .unwrap();
    queried(&mut rig, recorder.recording);
    talk(&rig, 31..41);
    let after = recorder.caller.hear_all(SETTLE);
    assert_eq!(first_bytes(&after), (31..41).collect::<Vec<u8>>());
    let word = after.iter().find(|got| got.payload[0] == 31).unwrap();
    assert!(word.header.marker);
    let elapsed = word.header.timestamp.wrapping_sub(last.header.timestamp);
    assert!(elapsed > 400 * 8, "{elapsed}");
    let stats = queried(&mut rig, recorder.recording);
    assert!(of_label(&stats, "1").gap_samples["paused"] >= 400 * 8);
}

#[test]
fn a_side_that_sends_nothing_is_heard_as_silence_and_no_time_is_missing() {
    let (mut rig, recorder) = recorded(83, "relay");
    std::thread::sleep(Duration::from_millis(600));
    let packets = recorder.callee.hear_all(Duration::from_millis(1));
    assert!(packets.len() >= 20, "{}", packets.len());
    assert!(packets.iter().all(|got| got.payload == [0xFF; 160]));
    for pair in packets.windows(2) {
        let step = pair[1]
            .header
            .timestamp
            .wrapping_sub(pair[0].header.timestamp);
        assert_eq!(step, 160);
    }
    let stats = queried(&mut rig, recorder.recording);
    let callee = of_label(&stats, "2");
    assert_eq!(callee.samples, 0);
    assert_eq!(callee.gap_samples["silence"], callee.silence_samples);
}

/// A key press of the caller: its packets, and what the recorder gets of it.
fn press(network: u8, dtmf: &str) -> (Vec<Got>, RecordedStreamStats) {
    let (mut rig, recorder) = recorded(network, dtmf);
    talk(&rig, 1..6);
    for step in 0..4u16 {
        let payload = [7, 10, 0, (step as u8 + 1) * 40];
        let mut packet = rtp(101, 6 + step, 1, &payload);
        packet[4..8].copy_from_slice(&(6u32 * 160).to_be_bytes());
        rig.a.send(&packet);
        std::thread::sleep(FRAME);
    }
    let packets = recorder.caller.hear_all(SETTLE);
    rig.engine.close_recording(recorder.recording).unwrap();
    let stats = closed(&mut rig, recorder.recording);
    (packets, of_label(&stats, "1").clone())
}

#[test]
fn key_presses_are_relayed() {
    let (packets, stats) = press(84, "relay");
    let events: Vec<_> = packets
        .iter()
        .filter(|got| got.header.payload_type == 96)
        .collect();
    assert_eq!(events.len(), 4);
    assert_eq!(events[3].payload, [7, 10, 0, 160]);
    let fifth = packets.iter().find(|got| got.payload[0] == 5).unwrap();
    for event in &events {
        assert_eq!(
            event.header.timestamp,
            fifth.header.timestamp.wrapping_add(160)
        );
    }
    assert_eq!((stats.events_sent, stats.events_withheld), (4, 0));
}

#[test]
fn key_presses_are_suppressed() {
    let (packets, stats) = press(85, "suppress");
    assert!(packets.iter().all(|got| got.header.payload_type == 0));
    assert_eq!((stats.events_sent, stats.events_withheld), (0, 4));
    for pair in packets.windows(2) {
        let (one, other) = (&pair[0].header, &pair[1].header);
        assert_eq!(other.sequence, one.sequence.wrapping_add(1));
    }
}

#[test]
fn a_recorder_that_refuses_the_calls_codec_gets_another() {
    let mut rig = Rig::new(86, Options::default());
    rig.lock();
    let recorder = Recorder::open(&rig.engine, rig.call, (86, 5), &spec("relay", 0));
    recorder.answer(&rig.engine, "PCMA/8000/8");
    for number in 1..11 {
        rig.a.send(&rtp(0, number, 1, &[0xFF; 160]));
        std::thread::sleep(FRAME);
    }
    rig.agree("a", &["opus/48000/111/111"]);
    for number in 11..14 {
        rig.a.send(&rtp(111, number, 1, b"opus"));
    }
    let label = rig.event(|event| match event {
        Event::RecordingCodecUnsupported { label, .. } => Some(label.clone()),
        _ => None,
    });
    assert_eq!(label, "1");
    let packets = recorder.caller.hear_all(SETTLE);
    let stats = queried(&mut rig, recorder.recording);
    assert_eq!(of_label(&stats, "1").samples, 1600);
    assert!(packets.iter().all(|got| got.header.payload_type == 8));
    assert!(packets.iter().all(|got| got.payload == [0xD5; 160]));
}

#[test]
fn a_codec_of_the_call_that_is_not_known_here_is_passed_through() {
    let rig = Rig::unagreed(87, Options::default());
    rig.agree("a", &["opus/48000/111/111"]);
    rig.agree("b", &["opus/48000/98/98"]);
    let recorder = Recorder::open(&rig.engine, rig.call, (87, 5), &spec("relay", 0));
    recorder.answer(&rig.engine, "opus/48000/120");
    for number in 1..6u16 {
        let mut packet = rtp(111, number, 1, &number.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(number) * 960).to_be_bytes());
        rig.a.send(&packet);
        std::thread::sleep(FRAME);
    }
    let packets: Vec<Got> = (0..5).map(|_| recorder.caller.hear()).collect();
    for (index, got) in packets.iter().enumerate() {
        assert_eq!(got.payload, (index as u16 + 1).to_be_bytes());
        assert_eq!(got.header.payload_type, 120);
        let step = got
            .header
            .timestamp
            .wrapping_sub(packets[0].header.timestamp);
        assert_eq!(step, index as u32 * 960);
    }
}

#[test]
fn another_recorder_takes_over_the_stream_where_the_first_one_left_it() {
    let (mut rig, recorder) = recorded(88, "relay");
    let told = |event: &Event| match event {
        Event::RecordingFirstPacket { label, .. } if label == "1" => Some(()),
        _ => None,
    };
    talk(&rig, 1..6);
    let last = recorder.caller.hear_all(SETTLE).pop().unwrap();
    rig.event(told);
    let gateway = recorder.caller.phone.gateway.port();
    let second = Ear::new(88, 6, 7000, gateway);
    let streams = [stream("1", Some(second.address()), PCMU_0, true)];
    rig.engine
        .set_recording(recorder.recording, &target(&streams))
        .unwrap();
    let report = second.report().sender.unwrap();
    rig.event(told);
    let first = second.hear();
    assert_eq!(first.header.ssrc, last.header.ssrc);
    assert_eq!(report.ssrc, last.header.ssrc);
    let skipped = first.header.sequence.wrapping_sub(last.header.sequence);
    let elapsed = first.header.timestamp.wrapping_sub(last.header.timestamp);
    assert_eq!(u32::from(skipped) * 160, elapsed);
    // The other stream stays where it was.
    recorder.callee.hear_all(Duration::from_millis(1));
    recorder.callee.hear();
}

#[test]
fn the_first_word_is_recorded_although_the_recorder_answers_late() {
    let mut rig = Rig::new(89, Options::default());
    rig.lock();
    let recorder = Recorder::open(&rig.engine, rig.call, (89, 5), &spec("relay", 1000));
    talk(&rig, 1..21);
    assert!(recorder.caller.phone.hears_nothing());
    let answered = Instant::now();
    recorder.answer(&rig.engine, PCMU_0);
    let after = rig.event(|event| match event {
        Event::RecordingFirstPacket {
            after_set_ms,
            after_start_ms,
            ..
        } => Some((*after_set_ms, *after_start_ms)),
        _ => None,
    });
    assert!(after.0 < 100 && after.1 >= 400, "{after:?}");
    for ear in [&recorder.caller, &recorder.callee] {
        let mut heard = Vec::new();
        while heard.len() < 20 {
            heard.push(ear.hear_audio().payload[0] & 0x7F);
        }
        assert_eq!(heard, (1..21).collect::<Vec<u8>>());
    }
    // Half a second in a tenth, and not at once.
    let taken = answered.elapsed();
    assert!(taken > Duration::from_millis(60), "{taken:?}");
    let stats = queried(&mut rig, recorder.recording);
    assert_eq!(of_label(&stats, "1").early_dropped, 0);
}

#[test]
fn two_copies_are_identical() {
    let mut rig = Rig::new(90, Options::default());
    rig.lock();
    let zero = media::clock::Clock::start().now();
    let copies = [5, 6].map(|host| {
        let spec = spec_from("relay", 1000, zero);
        Recorder::open(&rig.engine, rig.call, (90, host), &spec)
    });
    talk(&rig, 1..11);
    copies[0].answer(&rig.engine, PCMU_0);
    talk(&rig, 11..21);
    copies[1].answer(&rig.engine, PCMU_0);
    talk(&rig, 21..41);
    let heard = copies.each_ref().map(|copy| {
        let stats = queried(&mut rig, copy.recording);
        let packets = copy.callee.hear_all(SETTLE);
        assert_eq!(of_label(&stats, "2").late, 0);
        let first = packets
            .iter()
            .position(|got| got.payload[0] != 0xFF)
            .unwrap();
        let base = packets[first].header.timestamp;
        let spoken = packets[first..]
            .iter()
            .take_while(|got| got.payload[0] != 0xFF);
        spoken
            .map(|got| (got.header.timestamp.wrapping_sub(base), got.payload.clone()))
            .collect::<Vec<_>>()
    });
    assert_eq!(heard[0].len(), 40);
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn a_recorder_that_is_not_there_is_told_and_disturbs_nothing() {
    let mut rig = Rig::new(91, Options::default());
    rig.lock();
    let (recording, _) = rig
        .engine
        .open_recording(rig.call, &spec("relay", 0))
        .unwrap();
    let nobody = (rig::address(91, 9), 6000).into();
    let streams = [stream("1", Some(nobody), PCMU_0, true)];
    rig.engine
        .set_recording(recording, &target(&streams))
        .unwrap();
    for number in 1..31 {
        let packet = rtp(0, number, 1, &[number as u8; 160]);
        rig.a.send(&packet);
        assert_eq!(rig.b.receive(), packet);
        std::thread::sleep(FRAME / 2);
    }
    let (label, detail) = rig.event(|event| match event {
        Event::RecordingUnreachable { label, detail, .. } => Some((label.clone(), detail.clone())),
        _ => None,
    });
    assert_eq!(label, "1");
    assert!(detail.contains("refused"), "{detail}");
    rig.engine.close_recording(recording).unwrap();
    let stats = closed(&mut rig, recording);
    assert!(of_label(&stats, "1").icmp_errors >= 3);
    let again = rig.engine.events();
    assert!(!again
        .iter()
        .any(|event| matches!(event, Event::RecordingUnreachable { .. })));
}

#[test]
fn a_hold_is_told_and_an_inactive_stream_is_not_sent() {
    let (mut rig, recorder) = recorded(92, "relay");
    talk(&rig, 1..4);
    let remote = rig.b.rtp.local_addr().unwrap();
    rig.set(&rig::leg("b", Some(remote), PCMU, true));
    std::thread::sleep(Duration::from_millis(400));
    let off = [stream("1", Some(recorder.caller.address()), PCMU_0, false)];
    rig.engine
        .set_recording(recorder.recording, &target(&off))
        .unwrap();
    let stats = queried(&mut rig, recorder.recording);
    assert!(of_label(&stats, "2").gap_samples["hold"] > 0);
    assert!(!of_label(&stats, "1").gap_samples.contains_key("hold"));
    recorder.caller.hear_all(Duration::from_millis(1));
    assert!(recorder.caller.phone.hears_nothing());
    recorder.callee.hear_all(Duration::from_millis(1));
    recorder.callee.hear();
}

#[test]
fn the_recorders_reports_are_read_and_it_is_said_goodbye() {
    let (mut rig, recorder) = recorded(93, "relay");
    talk(&rig, 1..6);
    let sender = recorder.caller.report().sender.unwrap();
    let numbers = media::stats::ReportNumbers {
        ssrc: sender.ssrc,
        fraction_lost: 0,
        cumulative_lost: 2,
        highest: 5,
        jitter: 16,
    };
    let block = rtcp::ReportBlock {
        numbers,
        last_report: (sender.ntp >> 16) as u32,
        delay: 0,
    };
    let report = rtcp::Report {
        ssrc: 9,
        sender: None,
        block: Some(block),
        cname: "recorder",
        goodbye: false,
    };
    let mut out = Vec::new();
    rtcp::build(&report, &mut out);
    recorder.caller.phone.send_report(&out);
    let deadline = Instant::now() + rig::PATIENCE;
    while of_label(&queried(&mut rig, recorder.recording), "1").rtcp_received == 0 {
        assert!(Instant::now() < deadline, "the report is never read");
        std::thread::sleep(Duration::from_millis(5));
    }
    rig.engine.close_call(rig.call).unwrap();
    let stats = closed(&mut rig, recorder.recording);
    let caller = of_label(&stats, "1");
    assert_eq!(caller.remote_lost, Some(2));
    assert_eq!(caller.remote_jitter_ms, Some(2.0));
    assert!(caller.rtt_ms.unwrap() < 5_000.0);
    let goodbye = std::iter::repeat_with(|| recorder.caller.report())
        .take(5)
        .find(|report| report.goodbye)
        .expect("a goodbye");
    assert_eq!(u64::from(goodbye.sender.unwrap().packets), caller.packets);
    rig.event(|event| matches!(event, Event::CallClosed { .. }).then_some(()));
    let totals = rig.engine.totals();
    assert_eq!((totals.recordings, totals.ports_in_use), (0, 0));
    assert!(totals.tally.recording_packets >= caller.packets);
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let mut rig = Rig::new(94, Options::default());
    let kind = |result: media::error::Result<()>| result.unwrap_err().kind();
    let engine = &rig.engine;
    assert_eq!(
        kind(engine.open_recording(999, &spec("relay", 0)).map(drop)),
        ErrorKind::UnknownHandle
    );
    assert_eq!(
        kind(
            engine
                .open_recording(rig.call, &spec("relay", 9_999))
                .map(drop)
        ),
        ErrorKind::BadSpec
    );
    let (recording, _) = engine.open_recording(rig.call, &spec("relay", 0)).unwrap();
    assert_eq!(engine.totals().recordings, 1);
    assert_eq!(
        kind(engine.set_recording(recording, b"{}")),
        ErrorKind::BadSpec
    );
    assert_eq!(
        kind(engine.pause_recording(rig.call, true)),
        ErrorKind::UnknownHandle
    );
    // A stream that is not of the recording comes to nothing.
    let stranger = stream("9", None, PCMU_0, true);
    engine
        .set_recording(recording, &target(&[stranger]))
        .unwrap();
    engine.close_recording(recording).unwrap();
    assert_eq!(closed(&mut rig, recording).len(), 2);
    let late = rig.engine.query_recording(recording);
    assert_eq!(kind(late), ErrorKind::UnknownHandle);
}

#[test]
fn a_range_without_ports_refuses_the_recording_and_leaves_the_call_alone() {
    let options = Options {
        ports: (20_000, 20_005),
        ..Options::default()
    };
    let rig = Rig::new(95, options);
    let refused = rig
        .engine
        .open_recording(rig.call, &spec("relay", 0))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PortsExhausted);
    rig.lock();
    assert_eq!(rig.engine.totals().ports_in_use, 4);
}
