//! Calls with SRTP on one leg, on the other, and on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod rig;

use media::orders::Side;
use media::srtp::Suite;
use media::{rtcp, rtp as header};
use rig::recorder::{spec, stream, target, Recorder};
use rig::srtp::{opened, sealed, Keys};
use rig::{receive, rtp, Options, Rig};

#[test]
fn any_suite_on_either_leg_carries_every_packet_bit_for_bit() {
    let suites = Suite::ALL.map(Some);
    let mut mixes = vec![(None, suites[0]), (suites[3], None)];
    mixes.extend(suites.into_iter().zip(suites.into_iter().rev()));
    let rig = Rig::new(110, Options::default());
    for (turn, (of_a, of_b)) in mixes.into_iter().enumerate() {
        for (side, suite) in [("a", of_a), ("b", of_b)] {
            match suite {
                Some(suite) => rig.set(&Keys::of(suite).leg(&rig, side)),
                None => rig.agree(side, rig::PCMU),
            }
        }
        for (from, to, sends, hears) in [("a", "b", of_a, of_b), ("b", "a", of_b, of_a)] {
            let mut protector = sends.map(|suite| Keys::of(suite).protector(from));
            let mut unprotector = hears.map(|suite| Keys::of(suite).unprotector(to));
            for number in 0..50_u16 {
                // Over the rollover of the numbers.
                let number = number.wrapping_sub(20);
                let plain = rtp(0, number, 0x100 + turn as u32, &[number as u8; 160]);
                let packet = match &mut protector {
                    Some(protector) => sealed(protector, &plain),
                    None => plain.clone(),
                };
                rig.phone(from).send(&packet);
                let got = rig.phone(to).receive();
                let heard = match &mut unprotector {
                    Some(unprotector) => opened(unprotector, &got),
                    None => got,
                };
                assert_eq!(heard, plain, "{of_a:?} {of_b:?} {from}");
            }
        }
    }
}

#[test]
fn forged_and_repeated_packets_are_counted_and_not_relayed() {
    let mut rig = Rig::new(111, Options::default());
    let keys = Keys::of(Suite::AesCm128Sha1_80);
    rig.set(&keys.leg(&rig, "a"));
    let mut protector = keys.protector("a");
    let first = sealed(&mut protector, &rtp(0, 1, 7, b"first"));
    let mut forged = sealed(&mut protector, &rtp(0, 2, 7, b"second"));
    *forged.last_mut().unwrap() ^= 1;
    for packet in [
        &first,
        &first,
        &forged,
        &rtp(0, 3, 7, b"plain"),
        &vec![0x80; 14],
    ] {
        rig.a.send(packet);
    }
    let stats = rig.until(Side::A, |stats| {
        stats.unauthentic + stats.replayed + stats.malformed == 4
    });
    assert_eq!((stats.received_packets, stats.replayed), (1, 1));
    assert_eq!((stats.unauthentic, stats.malformed), (1, 2));
    assert_eq!(rig.b.receive(), rtp(0, 1, 7, b"first"));
    assert!(rig.b.hears_nothing());
    let totals = rig.engine.totals().tally;
    assert_eq!(
        (totals.unauthentic_packets, totals.replayed_packets),
        (1, 1)
    );
}

#[test]
fn nobody_without_the_key_is_learned_as_the_source() {
    let options = Options {
        learning_ms: 0,
        ..Options::default()
    };
    let mut rig = Rig::new(112, options);
    let keys = Keys::of(Suite::Aes128Gcm);
    rig.set(&keys.leg(&rig, "a"));
    let stranger = std::net::UdpSocket::bind((rig::address(112, 9), 0)).unwrap();
    for number in 0..5 {
        stranger
            .send_to(&rtp(0, number, 7, &[1; 160]), rig.a.gateway)
            .unwrap();
    }
    rig.until(Side::A, |stats| stats.unauthentic == 5);
    let plain = rtp(0, 9, 7, b"authentic");
    rig.a.send(&sealed(&mut keys.protector("a"), &plain));
    assert_eq!(rig.b.receive(), plain);
}

#[test]
fn a_new_key_in_mid_call_loses_nothing() {
    let mut rig = Rig::new(113, Options::default());
    let (old, new) = (
        Keys::seeded(Suite::AesCm128Sha1_80, 3),
        Keys::seeded(Suite::Aes256Gcm, 4),
    );
    rig.set(&old.leg(&rig, "a"));
    let (mut before, mut after) = (old.protector("a"), new.protector("a"));
    let mut hears = new.unprotector("a");
    for number in 0..60_u16 {
        if number == 20 {
            rig.set(&new.leg(&rig, "a"));
            rig.stats();
        }
        // The phone's change comes later than the gateway's, and its last packets under the old key later still.
        let protector = if number < 40 || number == 42 {
            &mut before
        } else {
            &mut after
        };
        let plain = rtp(0, number, 7, &[number as u8; 160]);
        rig.a.send(&sealed(protector, &plain));
        assert_eq!(rig.b.receive(), plain);
        if number >= 20 {
            let plain = rtp(0, number, 8, &[number as u8; 160]);
            rig.b.send(&plain);
            assert_eq!(opened(&mut hears, &rig.a.receive()), plain);
        }
    }
    let [a, _] = rig.stats();
    assert_eq!((a.received_packets, a.unauthentic, a.replayed), (60, 0, 0));
}

#[test]
fn reports_are_protected_both_ways() {
    let mut rig = Rig::new(114, Options::default());
    let keys = Keys::of(Suite::AesCm128Sha1_32);
    rig.set(&keys.leg(&rig, "a"));
    let mut protector = keys.protector("a");
    rig.a
        .send(&sealed(&mut protector, &rtp(0, 1, 7, &[1; 160])));
    rig.b.send(&rtp(0, 1, 8, &[1; 160]));
    let mut report = receive(&rig.a.rtcp).expect("a report");
    assert!(rtcp::parse(&report).is_err() || report[8..].iter().any(|&byte| byte != 0));
    let length = keys.unprotector("a").open_report(&mut report, 0).unwrap();
    let heard = rtcp::parse(&report[..length]).unwrap();
    assert!(heard.sender.is_some_and(|sender| sender.ssrc == 8));
    let mut own = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
    rig.a.send_report(&own);
    protector.seal_report(&mut own).unwrap();
    rig.a.send_report(&own);
    let stats = rig.until(Side::A, |stats| stats.malformed == 1);
    assert_eq!(stats.unauthentic, 0);
    while rig.engine.totals().tally.rtcp_received == 0 {
        rig.stats();
    }
}

#[test]
fn a_recorder_gets_the_call_under_keys_of_its_own() {
    let rig = Rig::new(115, Options::default());
    let keys = Keys::of(Suite::Aes256CmSha1_80);
    rig.set(&keys.leg(&rig, "a"));
    let recorder = Recorder::open(&rig.engine, rig.call, (115, 5), &spec("relay", 0));
    let own = Keys::seeded(Suite::Aes128Gcm, 9);
    let mut streams = Vec::new();
    for (label, ear, side) in [("1", &recorder.caller, "a"), ("2", &recorder.callee, "b")] {
        let mut target = stream(label, Some(ear.address()), "PCMU/8000/0", true);
        target.pop();
        streams.push(format!(r#"{target},"srtp":{}}}"#, own.json(side)));
    }
    let order = target(&streams);
    rig.engine
        .set_recording(recorder.recording, &order)
        .unwrap();
    let mut protector = keys.protector("a");
    for number in 1..30_u16 {
        rig.a.send(&sealed(
            &mut protector,
            &rtp(0, number, 7, &[number as u8; 160]),
        ));
        rig.b.send(&rtp(0, number, 8, &[100 + number as u8; 160]));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for (ear, side, first) in [(&recorder.caller, "a", 1), (&recorder.callee, "b", 101)] {
        let mut unprotector = own.unprotector(side);
        let mut audio = Vec::new();
        while audio.len() < 29 {
            let plain = opened(&mut unprotector, &ear.phone.receive());
            let payload = &plain[header::parse(&plain).unwrap().payload];
            if payload.iter().any(|&byte| byte != 0xFF) {
                audio.push(payload[0]);
                assert!(payload.iter().all(|&byte| byte == payload[0]));
            }
        }
        assert_eq!(audio, (first..first + 29).collect::<Vec<u8>>());
        let mut report = receive(&ear.phone.rtcp).expect("a report");
        let length = unprotector.open_report(&mut report, 0).unwrap();
        assert!(rtcp::parse(&report[..length]).is_ok());
    }
}
