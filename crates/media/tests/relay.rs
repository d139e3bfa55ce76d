//! The relay between two legs, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod rig;

use std::time::Duration;

use media::error::ErrorKind;
use media::events::Event;
use media::orders::Side;
use media::random::Random;
use media::rtcp;
use rig::{leg, ornate_rtp, rtp, Options, Phone, Rig, PCMU};

/// The marker bit, beside the payload type.
const MARKER: u8 = 0x80;

#[test]
fn two_hundred_and_fifty_packets_each_way_arrive_bit_for_bit_and_in_order() {
    let mut rig = Rig::new(1, Options::default());
    let mut random = Random::new();
    for sequence in 0..250 {
        let there = ornate_rtp(sequence, 1, &mut random);
        let back = ornate_rtp(sequence, 2, &mut random);
        rig.a.send(&there);
        rig.b.send(&back);
        assert_eq!(rig.b.receive(), there);
        assert_eq!(rig.a.receive(), back);
    }
    for stats in rig.stats() {
        assert_eq!((stats.received_packets, stats.sent_packets), (250, 250));
        assert_eq!((stats.lost, stats.late, stats.duplicate), (0, 0, 0));
        assert_eq!((stats.alien, stats.malformed, stats.unsent), (0, 0, 0));
        assert!(stats.mos.unwrap() > 4.0);
    }
    let totals = rig.engine.totals();
    assert_eq!(
        (totals.calls, totals.ports_in_use, totals.ports_total),
        (1, 4, 1000)
    );
    assert_eq!(totals.tally.received_packets, 500);
}

#[test]
fn a_burst_is_relayed_whole_and_in_order() {
    let rig = Rig::new(2, Options::default());
    rig.lock();
    let packets: Vec<_> = (1..=100)
        .map(|sequence| rtp(0, sequence, 1, &[7; 160]))
        .collect();
    for packet in &packets {
        rig.a.send(packet);
    }
    for packet in packets {
        assert_eq!(rig.b.receive(), packet);
    }
}

#[test]
fn payload_types_are_mapped_by_format_and_nothing_else_changes() {
    let mut rig = Rig::unagreed(3, Options::default());
    rig.agree("a", &["PCMA/8000/8/8", "telephone-event/8000/96/97"]);
    rig.agree("b", &["PCMA/8000/8/8", "telephone-event/8000/101/110"]);
    let event = rtp(MARKER + 96, 5, 1, &[1, 10, 0, 160]);
    rig.a.send(&event);
    let mut expected = event.clone();
    expected[1] = MARKER + 110;
    assert_eq!(rig.b.receive(), expected);
    rig.b.send(&rtp(101, 5, 2, &[1, 10, 0, 160]));
    assert_eq!(rig.a.receive(), rtp(97, 5, 2, &[1, 10, 0, 160]));
    for unknown in [0, 18, 99, 127] {
        rig.a.send(&rtp(unknown, 6, 1, b"what is it?"));
    }
    assert!(rig.b.hears_nothing());
    assert_eq!(rig.until(Side::A, |stats| stats.malformed == 4).lost, 0);
}

#[test]
fn a_leg_without_remote_is_sent_nothing_and_heard_all_the_same() {
    let rig = Rig::new(4, Options::default());
    rig.lock();
    rig.set(&leg("b", None, PCMU, true));
    rig.a.send(&rtp(0, 1, 1, b"unheard"));
    assert!(rig.b.hears_nothing());
    rig.b.send(&rtp(0, 1, 2, b"music on hold"));
    assert_eq!(rig.a.receive(), rtp(0, 1, 2, b"music on hold"));
    rig.agree("b", PCMU);
    rig.a.send(&rtp(0, 2, 1, b"back again"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"back again"));
}

#[test]
fn without_bridge_nothing_is_relayed() {
    let rig = Rig::new(5, Options::default());
    rig.engine.bridge(rig.call, false).unwrap();
    rig.a.send(&rtp(0, 1, 1, b"unheard"));
    assert!(rig.b.hears_nothing());
    rig.engine.bridge(rig.call, true).unwrap();
    rig.a.send(&rtp(0, 2, 1, b"heard"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"heard"));
}

#[test]
fn an_alien_is_not_heard_in_the_window_nor_after_it() {
    let mut rig = Rig::new(6, Options::default());
    let alien = Phone::new(6, 9, 4000, rig.a.gateway.port());
    alien.send(&rtp(0, 1, 9, b"injected"));
    assert!(rig.b.hears_nothing());
    rig.lock();
    alien.send(&rtp(0, 2, 9, b"injected"));
    assert!(rig.b.hears_nothing());
    // The kernel keeps it out once the socket is connected, so it is not even counted.
    assert_eq!(
        rig.until(Side::A, |stats| stats.alien == 1)
            .received_packets,
        1
    );
}

#[test]
fn a_source_behind_nat_is_learnt_after_the_window_and_answered_to() {
    let mut rig = Rig::unagreed(7, Options::default());
    let private = "10.99.99.99:4000".parse().unwrap();
    rig.set(&leg("a", Some(private), PCMU, false));
    rig.agree("b", PCMU);
    rig.a.send(&rtp(0, 1, 1, b"too early"));
    assert!(rig.b.hears_nothing());
    std::thread::sleep(Duration::from_millis(300));
    rig.a.send(&rtp(0, 2, 1, b"learnt"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"learnt"));
    rig.b.send(&rtp(0, 1, 2, b"answered"));
    assert_eq!(rig.a.receive(), rtp(0, 1, 2, b"answered"));
    rig.until(Side::A, |stats| stats.alien == 1);
}

#[test]
fn a_new_remote_is_sent_to_and_locked_on() {
    let mut rig = Rig::new(8, Options::default());
    rig.lock();
    let moved = Phone::new(8, 4, 6000, rig.a.gateway.port());
    let remote = moved.rtp.local_addr().unwrap();
    rig.set(&leg("a", Some(remote), PCMU, false));
    rig.stats();
    rig.b.send(&rtp(0, 1, 2, b"to the new place"));
    assert_eq!(moved.receive(), rtp(0, 1, 2, b"to the new place"));
    rig.a.send(&rtp(0, 1, 1, b"still on the way"));
    assert_eq!(rig.b.receive(), rtp(0, 1, 1, b"still on the way"));
    moved.send(&rtp(0, 2, 1, b"arrived"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"arrived"));
    rig.a.send(&rtp(0, 3, 1, b"from the old place"));
    assert!(rig.b.hears_nothing());
}

#[test]
fn after_silence_the_same_host_may_return_from_another_port() {
    let rig = Rig::new(9, Options::default());
    rig.lock();
    std::thread::sleep(Duration::from_millis(2_200));
    let alien = Phone::new(9, 9, 4000, rig.a.gateway.port());
    alien.send(&rtp(0, 1, 9, b"injected"));
    assert!(rig.b.hears_nothing());
    let returned = Phone::new(9, 2, 4444, rig.a.gateway.port());
    returned.send(&rtp(0, 2, 1, b"back"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"back"));
    rig.b.send(&rtp(0, 2, 2, b"welcome"));
    assert_eq!(returned.receive(), rtp(0, 2, 2, b"welcome"));
}

#[test]
fn a_closed_port_at_the_party_is_counted_and_harms_nothing() {
    let mut rig = Rig::new(10, Options::default());
    rig.lock();
    let port = rig.b.rtp.local_addr().unwrap();
    let placeholder = std::net::UdpSocket::bind((rig::address(10, 3), 0)).unwrap();
    let closed = std::mem::replace(&mut rig.b.rtp, placeholder);
    drop(closed);
    for sequence in 1..=20 {
        rig.a.send(&rtp(0, sequence, 1, b"into the void"));
    }
    rig.until(Side::A, |stats| stats.received_packets == 21);
    rig.b.rtp = std::net::UdpSocket::bind(port).unwrap();
    rig.b.rtp.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    rig.a.send(&rtp(0, 21, 1, b"there again"));
    assert_eq!(rig.b.receive(), rtp(0, 21, 1, b"there again"));
}

#[test]
fn loss_and_disorder_are_counted_and_relayed_as_they_came() {
    let mut rig = Rig::new(11, Options::default());
    for sequence in [1, 2, 5, 4, 4, 8] {
        rig.a.send(&rtp(0, sequence, 1, b"x"));
        assert_eq!(rig.b.receive(), rtp(0, sequence, 1, b"x"));
    }
    let stats = rig.until(Side::A, |stats| stats.received_packets == 6);
    assert_eq!((stats.lost, stats.late, stats.duplicate), (3, 1, 1));
}

#[test]
fn reports_go_to_each_party_and_give_the_round_trip() {
    let mut rig = Rig::new(12, Options::default());
    for sequence in 1..=50 {
        rig.a.send(&rtp(0, sequence, 0xAAAA, &[1; 160]));
        rig.b.receive();
    }
    let report = rig::receive(&rig.b.rtcp).expect("a report to the callee");
    let compound = rtcp::parse(&report).unwrap();
    let sender = compound.sender.expect("a sender report");
    assert_eq!(
        (sender.ssrc, sender.packets, sender.octets),
        (0xAAAA, 50, 8000)
    );
    let to_caller = rig::receive(&rig.a.rtcp).expect("a report to the caller");
    let blocks = rtcp::parse(&to_caller).unwrap().blocks;
    assert_eq!(
        (blocks[0].numbers.ssrc, blocks[0].numbers.highest),
        (0xAAAA, 50)
    );
    answer_report(&rig, sender);
    let rtt = rig
        .until(Side::B, |stats| stats.rtt_ms.is_some())
        .rtt_ms
        .unwrap();
    assert!(rtt < 5_000.0, "{rtt}");
    assert!(rig.engine.totals().tally.rtcp_received >= 1);
    rig.engine.close_call(rig.call).unwrap();
    let goodbye = rig::receive(&rig.b.rtcp).expect("a goodbye");
    assert!(rtcp::parse(&goodbye).unwrap().goodbye);
}

fn answer_report(rig: &Rig, sender: rtcp::SenderInfo) {
    let mut reception = media::stats::Reception::default();
    let facts = media::stats::PacketFacts {
        ssrc: sender.ssrc,
        sequence: 1,
        timestamp: 0,
        clock_rate: 8000,
        length: 172,
    };
    reception.observe(&facts, 0);
    let block = rtcp::ReportBlock {
        numbers: reception.report().unwrap(),
        last_report: (sender.ntp >> 16) as u32,
        delay: 0,
    };
    let report = rtcp::Report {
        ssrc: 0xBBBB,
        sender: None,
        block: Some(block),
        cname: "phone",
        goodbye: false,
    };
    let mut out = Vec::new();
    rtcp::build(&report, &mut out);
    rig.b.send_report(&out);
}

#[test]
fn silence_of_both_legs_is_told_once_and_not_during_a_hold() {
    let options = Options {
        media_timeout_ms: 250,
        ..Options::default()
    };
    let mut rig = Rig::new(13, options);
    rig.lock();
    let idle = |event: &Event| match event {
        Event::MediaTimeout { idle_ms, .. } => Some(*idle_ms),
        _ => None,
    };
    assert!((250..2_000).contains(&rig.event(idle)));
    let remote = rig.b.rtp.local_addr().unwrap();
    rig.set(&leg("b", Some(remote), PCMU, true));
    rig.a.send(&rtp(0, 1, 1, b"x"));
    std::thread::sleep(Duration::from_millis(600));
    assert!(!rig
        .engine
        .events()
        .iter()
        .any(|event| idle(event).is_some()));
    rig.set(&leg("b", Some(remote), PCMU, false));
    rig.event(idle);
    std::thread::sleep(Duration::from_millis(600));
    assert!(!rig
        .engine
        .events()
        .iter()
        .any(|event| idle(event).is_some()));
}

#[test]
fn a_range_that_is_used_up_refuses_calls_until_its_ports_have_rested() {
    let options = Options {
        ports: (20_000, 20_003),
        ..Options::default()
    };
    let rig = Rig::new(14, options);
    let refused = rig.engine.open_call().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PortsExhausted);
    rig.engine.close_call(rig.call).unwrap();
    let closed = |engine: &media::engine::Engine| {
        rig::wait_for_events(engine, rig::PATIENCE);
        engine.events()
    };
    assert!(matches!(
        closed(&rig.engine)[..],
        [Event::CallClosed { .. }]
    ));
    assert_eq!(rig.engine.totals().ports_in_use, 0);
    assert_eq!(
        rig.engine.open_call().unwrap_err().kind(),
        ErrorKind::PortsExhausted
    );
    std::thread::sleep(Duration::from_millis(2_100));
    rig.engine.open_call().unwrap();
}

#[test]
fn ports_that_others_hold_are_passed_over() {
    let held = std::net::UdpSocket::bind((rig::address(15, 1), 20_001)).unwrap();
    let options = Options {
        ports: (20_000, 20_005),
        ..Options::default()
    };
    let engine = rig::engine(15, options);
    let (_, a, b) = engine.open_call().unwrap();
    assert!(![a, b].contains(&20_000));
    drop(held);
}

#[test]
fn orders_for_what_does_not_live_are_refused() {
    let mut rig = Rig::new(16, Options::default());
    let kind = |result: media::error::Result<()>| result.unwrap_err().kind();
    assert_eq!(
        kind(rig.engine.bridge(99_999, true)),
        ErrorKind::UnknownHandle
    );
    assert_eq!(
        kind(rig.engine.set_leg(rig.call, b"{}")),
        ErrorKind::BadSpec
    );
    let stream = rig.engine.abort_stream(rig.call);
    assert_eq!(kind(stream), ErrorKind::UnknownHandle);
    rig.engine.close_call(rig.call).unwrap();
    rig.event(|event| matches!(event, Event::CallClosed { .. }).then_some(()));
    assert_eq!(
        kind(rig.engine.close_call(rig.call)),
        ErrorKind::UnknownHandle
    );
    rig.engine.shutdown();
    assert_eq!(kind(rig.engine.close_call(rig.call)), ErrorKind::Stopped);
    assert_eq!(
        rig.engine.open_call().unwrap_err().kind(),
        ErrorKind::Stopped
    );
}

#[test]
fn many_calls_at_once_keep_to_themselves_on_the_busy_grid() {
    let engine = rig::engine(17, Options::default());
    let calls: Vec<_> = (0..40)
        .map(|index| {
            let (call, port_a, port_b) = engine.open_call().unwrap();
            let a = Phone::new(17, 2, 4000 + index * 2, port_a);
            let b = Phone::new(17, 3, 5000 + index * 2, port_b);
            for (side, phone) in [("a", &a), ("b", &b)] {
                let remote = phone.rtp.local_addr().unwrap();
                engine
                    .set_leg(call, &leg(side, Some(remote), PCMU, false))
                    .unwrap();
            }
            engine.bridge(call, true).unwrap();
            (u32::from(index), a, b)
        })
        .collect();
    for sequence in 0..100 {
        for (ssrc, a, b) in &calls {
            a.send(&rtp(0, sequence, *ssrc, &ssrc.to_be_bytes()));
            b.send(&rtp(0, sequence, *ssrc + 1000, &ssrc.to_be_bytes()));
        }
        for (ssrc, a, b) in &calls {
            assert_eq!(b.receive(), rtp(0, sequence, *ssrc, &ssrc.to_be_bytes()));
            assert_eq!(
                a.receive(),
                rtp(0, sequence, *ssrc + 1000, &ssrc.to_be_bytes())
            );
        }
    }
}
