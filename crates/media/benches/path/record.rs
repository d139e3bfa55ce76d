//! `record`: packets of both sides handed to so many recordings, each of which sends them over real sockets to a recorder
//! that takes and discards; and the bare sends.
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use media::clock::{Clock, MILLISECOND};
use media::codec::{AudioFormat, Coding};
use media::events::Events;
use media::fork::{ForkPacket, ForkTurn, Recording, RecordingIds};
use media::orders::{self, Side};
use media::ports::PortPool;
use media::random::Random;
use media::tally::Tally;
use media::tap::{TapCodec, TapPacket};

use super::{cpu, drain, rtp, show, FRAME, WARM_UP};

/// Recordings that are served before their recorder takes what was sent: its buffer holds so much.
const AT_ONCE: usize = 64;

/// What recordings are lent.
struct Loan {
    clock: Clock,
    random: Random,
    report: Vec<u8>,
    tally: Tally,
    events: Events,
}

/// Measures the recordings of so many calls.
pub fn record(calls: usize, frames: u64) {
    let gateway = Ipv4Addr::new(127, 77, 202, 1);
    let ears = [2, 3].map(|host| UdpSocket::bind((Ipv4Addr::new(127, 77, 202, host), 0)).unwrap());
    let reports = UdpSocket::bind((Ipv4Addr::new(127, 77, 202, 4), 0)).unwrap();
    let mut loan = Loan {
        clock: Clock::start(),
        random: Random::new(),
        report: Vec::new(),
        tally: Tally::default(),
        events: Events::new(),
    };
    let pool = Arc::new(PortPool::new(gateway.into(), 20_000, 39_998, loan.clock));
    let mut now = 1_000 * MILLISECOND;
    let mut living: Vec<Recording> = (0..calls as u64)
        .map(|index| {
            let spec = orders::read(SPEC.as_bytes()).unwrap();
            let sockets = vec![pool.bind().unwrap(), pool.bind().unwrap()];
            let ids = RecordingIds {
                call: index,
                recording: index,
            };
            let mut recording = Recording::open(ids, spec, sockets, now, &mut loan.random);
            let remotes = [0, 1].map(|side: usize| ears[side].local_addr().unwrap());
            let target = target(remotes, reports.local_addr().unwrap());
            recording.set(
                &orders::read(target.as_bytes()).unwrap(),
                &mut turn(&mut loan, now),
            );
            recording
        })
        .collect();
    let warm_up = WARM_UP / 10;
    let mut used = 0;
    for frame in 0..warm_up + frames {
        for side in Side::BOTH {
            for some in living.chunks_mut(AT_ONCE) {
                let before = cpu();
                let sent = loan.tally.recording_packets;
                measured_record(some, side, frame, &mut turn(&mut loan, now));
                if frame >= warm_up {
                    used += cpu() - before;
                }
                let sent = (loan.tally.recording_packets - sent) as usize;
                assert!(sent == some.len() || frame < warm_up, "{sent} were sent");
                drain(&ears[side.index()], sent, 172);
            }
        }
        now += FRAME;
        reports.set_nonblocking(true).unwrap();
        while reports.recv(&mut [0; 2048]).is_ok() {}
    }
    show("record", calls, used, 2 * frames * calls as u64);
}

fn turn(loan: &mut Loan, now: u64) -> ForkTurn<'_> {
    ForkTurn {
        now,
        clock: loan.clock,
        random: &mut loan.random,
        report: &mut loan.report,
        tally: &mut loan.tally,
        events: &mut loan.events,
    }
}

#[inline(never)]
fn measured_record(recordings: &mut [Recording], side: Side, frame: u64, turn: &mut ForkTurn<'_>) {
    for recording in recordings {
        let media = TapPacket {
            codec: TapCodec::Audio(AudioFormat {
                coding: Coding::Pcmu,
                clock_rate: 8000,
                channels: 1,
            }),
            ssrc: 1 + side.index() as u32,
            sequence: frame as u16,
            timestamp: frame as u32 * 160,
            payload: &[0x55; 160],
        };
        let packet = ForkPacket {
            media,
            payload_type: 0,
            marker: false,
        };
        recording.on_packet(side, &packet, turn);
        if recording.due() <= turn.now {
            recording.on_timer(turn);
        }
    }
}

/// The bare sends: one for each packet, on connected sockets.
pub fn floor(calls: usize, frames: u64) {
    let bind = |host| UdpSocket::bind((Ipv4Addr::new(127, 77, 203, host), 0)).unwrap();
    let ears = [bind(2), bind(3)];
    let ports: Vec<[UdpSocket; 2]> = (0..calls)
        .map(|_| {
            let pair = [bind(1), bind(1)];
            for (socket, ear) in pair.iter().zip(&ears) {
                socket.connect(ear.local_addr().unwrap()).unwrap();
                socket.set_nonblocking(true).unwrap();
            }
            pair
        })
        .collect();
    let mut used = 0;
    for frame in 0..frames {
        for side in 0..2 {
            for some in ports.chunks(AT_ONCE) {
                let packet = rtp(frame, 1);
                let before = cpu();
                for pair in some {
                    pair[side].send(&packet).unwrap();
                }
                used += cpu() - before;
                drain(&ears[side], some.len(), 172);
            }
        }
    }
    show("floor of recording", calls, used, 2 * frames * calls as u64);
}

const SPEC: &str = r#"{"recordingId":"r","dtmf":"relay","earlyMs":0,"startNs":0,"streams":[
    {"label":"1","side":"a","cname":"caller","ssrc":null},{"label":"2","side":"b","cname":"callee","ssrc":null}]}"#;

fn target(remotes: [SocketAddr; 2], reports: SocketAddr) -> String {
    let streams = [0, 1].map(|side: usize| {
        format!(
            r#"{{"label":"{}","remote":{{"host":"{}","rtpPort":{},"rtcpPort":{}}},"on":true,"eventPayloadType":null,
            "ptimeMs":20,"codec":{{"name":"PCMU","clockRate":8000,"payloadType":0,"channels":1}}}}"#,
            side + 1,
            remotes[side].ip(),
            remotes[side].port(),
            reports.port(),
        )
    });
    format!(r#"{{"streams":[{}]}}"#, streams.join(","))
}
