//! A leg by itself, without a worker: the order in which packets wait in its socket is the test's own.
#![allow(clippy::unwrap_used)]
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use media::clock::Clock;
use media::leg::{Leg, Turn};
use media::orders::{self, LegSpec, Side};
use media::ports::PortPool;

fn rtp(sequence: u16, text: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(7_u32.to_be_bytes());
    packet.extend(text);
    packet
}

fn agreed(remote: SocketAddr) -> LegSpec {
    let json = format!(
        r#"{{"side":"a","remote":{{"host":"{}","rtpPort":{},"rtcpPort":{}}},"codecs":[{{"name":"PCMU","clockRate":8000,
        "channels":1,"localPt":0,"remotePt":0}}],"ptimeMs":20,"held":false}}"#,
        remote.ip(),
        remote.port(),
        remote.port() + 1
    );
    orders::read(json.as_bytes()).unwrap()
}

#[test]
fn packets_of_others_that_waited_when_the_socket_was_connected_are_not_heard() {
    let clock = Clock::start();
    let gateway = Ipv4Addr::new(127, 77, 90, 1);
    let pool = Arc::new(PortPool::new(gateway.into(), 20_000, 20_100, clock));
    let mut turn = Turn::new(clock);
    let sockets = pool.bind().unwrap();
    let at = SocketAddr::try_from(rustix::net::getsockname(&sockets.rtp).unwrap()).unwrap();
    let mut leg = Leg::new(Side::A, sockets, 0, &mut turn.random);
    let party = UdpSocket::bind((Ipv4Addr::new(127, 77, 90, 2), 0)).unwrap();
    let stranger = UdpSocket::bind((Ipv4Addr::new(127, 77, 90, 3), 0)).unwrap();
    leg.agree(agreed(party.local_addr().unwrap()), turn.now);

    party.send_to(&rtp(1, b"one"), at).unwrap();
    for sequence in 2..10 {
        stranger.send_to(&rtp(sequence, b"forged"), at).unwrap();
    }
    party.send_to(&rtp(2, b"two"), at).unwrap();
    let mut heard = Vec::new();
    for _ in 0..10 {
        if let Some(packet) = leg.receive(&mut turn) {
            heard.push(turn.packet[packet.header.payload.clone()].to_vec());
        }
    }
    assert_eq!(heard, [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(leg.stats().alien, 8);

    // From here on the kernel keeps strangers out, and packets are read without asking whose they are.
    stranger.send_to(&rtp(3, b"forged"), at).unwrap();
    party.send_to(&rtp(3, b"three"), at).unwrap();
    let packet = leg.receive(&mut turn).unwrap();
    assert_eq!(&turn.packet[packet.header.payload], b"three");
    assert!(leg.receive(&mut turn).is_none());
}
