//! Packets of any length and content: they never stop the engine and never reach another call.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod rig;

use std::sync::Mutex;

use media::orders::Side;
use proptest::prelude::*;
use rig::{leg, rtp, Options, Phone, Rig, PCMU};

/// Bytes of any kind, and bytes that look like RTP or RTCP at first sight.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let anything = proptest::collection::vec(any::<u8>(), 0..2_200);
    (
        anything,
        prop_oneof![Just(None), Just(Some(0x80)), any::<u8>().prop_map(Some)],
        any::<u8>(),
    )
        .prop_map(|(mut bytes, first, second)| {
            if let (Some(first), true) = (first, bytes.len() >= 2) {
                bytes[0] = 0x80 | first;
                bytes[1] = second;
            }
            bytes
        })
}

struct Scene {
    rig: Rig,
    /// The callee and caller of another call.
    others: [Phone; 2],
    stranger: Phone,
    sequence: u16,
}

fn scene() -> Scene {
    let rig = Rig::new(30, Options::default());
    rig.lock();
    let (call, port_a, port_b) = rig.engine.open_call().unwrap();
    let others = [
        Phone::new(30, 4, 4000, port_a),
        Phone::new(30, 5, 5000, port_b),
    ];
    for (side, phone) in ["a", "b"].into_iter().zip(&others) {
        let remote = phone.rtp.local_addr().unwrap();
        rig.engine
            .set_leg(call, &leg(side, Some(remote), PCMU, false))
            .unwrap();
        phone.rtp.set_nonblocking(true).unwrap();
    }
    rig.engine.bridge(call, true).unwrap();
    let stranger = Phone::new(30, 9, 4000, rig.a.gateway.port());
    Scene {
        rig,
        others,
        stranger,
        sequence: 100,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_datagram_from_anybody_is_survived(
        datagrams in proptest::collection::vec((datagram(), 0..6usize), 1..8)
    ) {
        static SCENE: Mutex<Option<Scene>> = Mutex::new(None);
        let mut held = SCENE.lock().unwrap();
        let scene = held.get_or_insert_with(scene);
        for (bytes, way) in &datagrams {
            match way {
                0 => scene.rig.a.send(bytes),
                1 => scene.rig.b.send(bytes),
                2 => scene.rig.a.send_report(bytes),
                3 => scene.rig.b.send_report(bytes),
                4 => scene.stranger.send(bytes),
                _ => scene.stranger.send_report(bytes),
            }
        }
        scene.sequence = scene.sequence.wrapping_add(1);
        let proof = rtp(0, scene.sequence, 0x5EED, b"the call goes on");
        scene.rig.a.send(&proof);
        // Whatever of the noise was valid RTP of an agreed type is relayed before it.
        while scene.rig.b.receive() != proof {}
        for other in &scene.others {
            prop_assert!(rig::receive(&other.rtp).is_none(), "a packet reached another call");
        }
    }
}

#[test]
fn a_datagram_longer_than_any_packet_is_dropped_and_counted() {
    let mut rig = Rig::new(31, Options::default());
    rig.lock();
    rig.a.send(&rtp(0, 1, 1, &[0; 4000]));
    rig.a.send(&rtp(0, 2, 1, b"after it"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"after it"));
    rig.until(Side::A, |stats| stats.malformed == 1);
}

#[test]
fn an_endless_flood_on_one_call_does_not_starve_another() {
    let rig = Rig::new(
        32,
        Options {
            threads: 1,
            ..Options::default()
        },
    );
    rig.lock();
    let (call, port_a, _) = rig.engine.open_call().unwrap();
    let flooder = Phone::new(32, 9, 4000, port_a);
    let remote = flooder.rtp.local_addr().unwrap();
    rig.engine
        .set_leg(call, &leg("a", Some(remote), PCMU, false))
        .unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                flooder.send(&rtp(0, 1, 1, &[0; 160]));
            }
        });
        for sequence in 1..200 {
            rig.a.send(&rtp(0, sequence, 1, b"fair"));
            assert_eq!(rig.b.receive(), rtp(0, sequence, 1, b"fair"));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
