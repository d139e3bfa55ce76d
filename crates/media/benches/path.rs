//! What the path of a packet costs by itself: no gateway process, no other load, the same packets each time.
//!
//!     cargo bench -p media --bench path -- relay 500
//!     cargo bench -p media --bench path -- srtp 500
//!     cargo bench -p media --bench path -- stream 500
//!     cargo bench -p media --bench path -- record 500
//!     cargo bench -p media --bench path -- floor 500
//!     valgrind --tool=callgrind --toggle-collect='*measured*' target/release/deps/path-* stream 50
//!
//! `relay` sends a packet to each leg of so many calls over real sockets and lets [`media::call::Call`] pass it on;
//! `srtp` does the same with both legs protected, suite by suite, each leg with keys of its own;
//! `stream` hands packets of both sides to so many [`media::stream::MediaStream`]s in invented time, over TLS to a
//! thread that reads and discards; `record` hands the same to so many [`media::fork::Recording`]s; `floor` makes just the system calls of all three, with no code of ours between them: the
//! machine's price, below which no engine with a socket for each leg can go. It prints the CPU time of the measuring thread per packet; the
//! peers' own calls are left out of it. Instructions are what callgrind counts inside `measured`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#[path = "../tests/endpoint/mod.rs"]
mod endpoint;
#[path = "path/record.rs"]
mod record;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use endpoint::{Authority, Flaw};
use media::call::Call;
use media::clock::{Clock, Nanos, MILLISECOND};
use media::codec::{AudioFormat, Coding};
use media::connector::{Connector, ConnectorLimits};
use media::events::Events;
use media::leg::{Leg, Turn};
use media::orders::{self, ConnectAttempt, LegSpec, Side};
use media::ports::PortPool;
use media::srtp::{MasterKey, Protector, SrtpKeys, Suite, TRAILER};
use media::stream::{MediaStream, StreamIds};
use media::tap::{TapCodec, TapPacket};
use rustix::time::{clock_gettime, ClockId};

/// Packet times that are played before and while it is measured.
const WARM_UP: u64 = 150;
const MEASURED: u64 = 250;
const FRAME: Nanos = 20 * MILLISECOND;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let number = |at: usize, usual: u64| {
        arguments
            .get(at)
            .and_then(|text| text.parse().ok())
            .unwrap_or(usual)
    };
    let (calls, frames) = (number(1, 500) as usize, number(2, MEASURED));
    match arguments.first().map(String::as_str) {
        Some("relay") => relay(calls, frames, None),
        Some("srtp") => srtp(calls, frames),
        Some("stream") => stream(calls, frames),
        Some("record") => record::record(calls, frames),
        Some("floor") => {
            floor(calls, frames);
            record::floor(calls, frames);
        }
        None => {
            floor(calls, frames);
            record::floor(calls, frames);
            relay(calls, frames, None);
            srtp(calls, frames);
            stream(calls, frames);
            record::record(calls, frames);
        }
        Some(other) => panic!("there is no {other}"),
    }
}

/// CPU time of this thread.
fn cpu() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

fn show(what: &str, calls: usize, spent: Nanos, packets: u64) {
    println!(
        "{what:18} {calls:5} calls: {:7.1} ns a packet",
        spent as f64 / packets as f64
    );
}

fn srtp(calls: usize, frames: u64) {
    for suite in Suite::ALL {
        relay(calls, frames, Some(suite));
    }
}

/// The keys of a leg, as its gateway has them.
fn keys(suite: Suite, call: u64, side: Side) -> SrtpKeys {
    let key = |which: u8| {
        let length = suite.key_length() + suite.salt_length();
        let bytes = vec![which ^ call as u8; length];
        MasterKey::new(suite, &bytes, u64::MAX).unwrap()
    };
    SrtpKeys {
        send: key(0x10 + side.index() as u8),
        receive: key(0x20 + side.index() as u8),
    }
}

fn relay(calls: usize, frames: u64, suite: Option<Suite>) {
    let gateway = Ipv4Addr::new(127, 77, 200, 1);
    let clock = Clock::start();
    let pool = Arc::new(PortPool::new(gateway.into(), 20_000, 39_998, clock));
    let mut turn = Turn::new(clock);
    let phone = |host| UdpSocket::bind((Ipv4Addr::new(127, 77, 200, host), 0)).unwrap();
    let phones = [phone(2), phone(3)];
    let mut ports: Vec<[u16; 2]> = Vec::new();
    let mut protectors = [Vec::new(), Vec::new()];
    let mut living: Vec<Call> = (0..calls as u64)
        .map(|handle| {
            let sockets = [pool.bind().unwrap(), pool.bind().unwrap()];
            ports.push([0, 1].map(|side| local_port(&sockets[side].rtp)));
            let [a, b] = sockets;
            let legs = [
                Leg::new(Side::A, a, 0, &mut turn.random),
                Leg::new(Side::B, b, 0, &mut turn.random),
            ];
            let mut call = Call::new(handle, legs, 0);
            for side in Side::BOTH {
                let mut spec = leg_spec(side, phones[side.index()].local_addr().unwrap());
                spec.srtp = suite.map(|suite| keys(suite, handle, side));
                if let Some(keys) = &spec.srtp {
                    protectors[side.index()].push(Protector::new(keys.receive.clone()));
                }
                call.agree(spec, turn.now);
            }
            call.bridge(true, turn.now);
            call
        })
        .collect();
    let mut spent = 0;
    for frame in 0..WARM_UP / 10 + frames {
        for side in Side::BOTH {
            for (index, ports) in ports.iter().enumerate() {
                let mut packet = rtp(frame, index as u32);
                if let Some(protector) = protectors[side.index()].get_mut(index) {
                    packet.resize(172 + TRAILER, 0);
                    let sealed = protector.seal(&mut packet, 172).unwrap();
                    packet.truncate(sealed.length);
                }
                let to = SocketAddr::from((gateway, ports[side.index()]));
                phones[side.index()].send_to(&packet, to).unwrap();
                if index % 64 == 63 || index + 1 == calls {
                    let from = index / 64 * 64;
                    let some = &mut living[from..=index];
                    let before = cpu();
                    measured_relay(some, side, &mut turn);
                    if frame >= WARM_UP / 10 {
                        spent += cpu() - before;
                    }
                    let tag = suite.map_or(0, Suite::rtp_tag);
                    drain(&phones[1 - side.index()], some.len(), 172 + tag);
                }
            }
        }
    }
    let what = suite.map_or("relay".into(), |suite| format!("{suite:?}"));
    show(&what, calls, spent, 2 * frames * calls as u64);
}

#[inline(never)]
fn measured_relay(calls: &mut [Call], side: Side, turn: &mut Turn) {
    for call in calls {
        assert!(call.receive(side, turn).is_some());
    }
}

/// Receives and sends on connected sockets as the relay does, and writes records as large as those of two frames.
fn floor(calls: usize, frames: u64) {
    let bind = |host| UdpSocket::bind((Ipv4Addr::new(127, 77, 201, host), 0)).unwrap();
    let phones = [bind(2), bind(3)];
    let legs: Vec<[UdpSocket; 2]> = (0..calls)
        .map(|_| {
            let leg = [bind(1), bind(1)];
            for (socket, phone) in leg.iter().zip(&phones) {
                socket.connect(phone.local_addr().unwrap()).unwrap();
                socket.set_nonblocking(true).unwrap();
            }
            leg
        })
        .collect();
    let (mut relaying, mut buffer) = (0, [0; 2048]);
    for frame in 0..WARM_UP / 10 + frames {
        for side in 0..2 {
            for some in legs.chunks(64) {
                for leg in some {
                    phones[side]
                        .send_to(&rtp(frame, 1), leg[side].local_addr().unwrap())
                        .unwrap();
                }
                let before = cpu();
                for leg in some {
                    let length = leg[side].recv(&mut buffer).unwrap();
                    leg[1 - side].send(&buffer[..length]).unwrap();
                }
                if frame >= WARM_UP / 10 {
                    relaying += cpu() - before;
                }
                drain(&phones[1 - side], some.len(), 172);
            }
        }
    }
    let packets = 2 * frames * calls as u64;
    show("floor of relay", calls, relaying, packets);
    let server = DiscardingSink::start();
    let mut sockets: Vec<TcpStream> = (0..calls)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let mut writing = 0;
    for _ in 0..frames {
        let before = cpu();
        for socket in &mut sockets {
            socket.write_all(&[0x17; RECORD]).unwrap();
        }
        writing += cpu() - before;
        std::thread::sleep(Duration::from_millis(5));
    }
    show("floor of stream", calls, writing, packets);
}

/// Bytes of a TLS record that carries the messages of two frames.
const RECORD: usize = 790;

/// Accepts, reads and discards, now and then.
struct DiscardingSink {
    address: SocketAddr,
}

impl DiscardingSink {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let mut sockets = Vec::new();
            let mut buffer = vec![0; 1 << 16];
            loop {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(true).unwrap();
                    sockets.push(socket);
                }
                read_all(&sockets, &mut buffer);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { address }
    }
}

fn read_all(sockets: &[TcpStream], buffer: &mut [u8]) {
    for mut socket in sockets {
        while matches!(socket.read(buffer), Ok(count) if count > 0) {}
    }
}

fn drain(phone: &UdpSocket, count: usize, length: usize) {
    let mut buffer = [0; 2048];
    for _ in 0..count {
        assert_eq!(phone.recv(&mut buffer).unwrap(), length);
    }
}

fn local_port(socket: &std::os::fd::OwnedFd) -> u16 {
    SocketAddr::try_from(rustix::net::getsockname(socket).unwrap())
        .unwrap()
        .port()
}

fn leg_spec(side: Side, remote: SocketAddr) -> LegSpec {
    let json = format!(
        r#"{{"side":"{}","remote":{{"host":"{}","rtpPort":{},"rtcpPort":{}}},"codecs":[{{"name":"PCMU","clockRate":8000,
        "channels":1,"localPt":0,"remotePt":0}}],"ptimeMs":20,"held":false}}"#,
        if side == Side::A { "a" } else { "b" },
        remote.ip(),
        remote.port(),
        remote.port(),
    );
    orders::read(json.as_bytes()).unwrap()
}

fn rtp(frame: u64, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend((frame as u16).to_be_bytes());
    packet.extend((frame as u32 * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.resize(172, 0x55);
    packet
}

fn stream(calls: usize, frames: u64) {
    let authority = Authority::new("bench");
    let server = TlsSink::start(&authority);
    let connector = Connector::start(ConnectorLimits::default()).unwrap();
    let (mut now, mut events) = (1_000 * MILLISECOND, Events::new());
    let mut streams: Vec<MediaStream> = (0..calls)
        .map(|index| {
            let mut spec = endpoint::spec(now);
            spec.stream_id = format!("0192a7c4-6d1e-7e3f-9a55-{index:012}");
            spec.ping_ms = 1_000_000;
            let ids = StreamIds {
                call: 1,
                stream: index as u64,
            };
            let mut stream = MediaStream::open(ids, spec, now).unwrap();
            let established =
                endpoint::attempt_on(&connector, server.attempt()).expect("a connection");
            stream.attach(established, now, &mut events);
            stream
        })
        .collect();
    let payload = [0x55; 160];
    let mut spent = 0;
    for frame in 0..WARM_UP + frames {
        let before = cpu();
        measured_stream(&mut streams, (frame, now), &payload, &mut events);
        if frame >= WARM_UP {
            spent += cpu() - before;
        }
        now += FRAME;
        // The sink reads at its own pace.
        while streams.iter().any(MediaStream::wants_write) {
            std::thread::sleep(Duration::from_millis(1));
            for stream in &mut streams {
                stream.on_ready(false, true, now, &mut events);
            }
        }
    }
    let messages: u64 = streams
        .iter()
        .map(|stream| stream.counters().messages)
        .sum();
    assert!(messages >= 2 * (WARM_UP + frames - 1) * calls as u64);
    show("stream", calls, spent, 2 * frames * calls as u64);
}

#[inline(never)]
fn measured_stream(
    streams: &mut [MediaStream],
    (frame, now): (u64, Nanos),
    payload: &[u8],
    events: &mut Events,
) {
    for side in Side::BOTH {
        for stream in &mut *streams {
            let packet = TapPacket {
                codec: TapCodec::Audio(AudioFormat {
                    coding: Coding::Pcmu,
                    clock_rate: 8000,
                    channels: 1,
                }),
                ssrc: 1 + side.index() as u32,
                sequence: frame as u16,
                timestamp: frame as u32 * 160,
                payload,
            };
            stream.on_rtp(side, &packet, now, events);
        }
    }
    for stream in streams {
        let due = stream.next_due();
        if due <= now + FRAME {
            stream.tick(due, events);
        }
    }
}

/// Accepts TLS and the upgrade, then reads and discards.
struct TlsSink {
    address: SocketAddr,
    authority: String,
}

impl TlsSink {
    fn start(authority: &Authority) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let config = authority.server(&Flaw::default());
        std::thread::spawn(move || {
            let mut sockets = Vec::new();
            listener.set_nonblocking(true).unwrap();
            let mut buffer = vec![0; 1 << 16];
            loop {
                while let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(false).unwrap();
                    let tls = rustls::ServerConnection::new(config.clone()).unwrap();
                    let mut wire = rustls::StreamOwned::new(tls, socket);
                    upgrade(&mut wire);
                    wire.sock.set_nonblocking(true).unwrap();
                    sockets.push(wire.sock);
                }
                read_all(&sockets, &mut buffer);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self {
            address,
            authority: authority.pem.clone(),
        }
    }

    fn attempt(&self) -> ConnectAttempt {
        ConnectAttempt {
            addresses: vec![self.address.ip()],
            port: self.address.port(),
            server_name: Some("127.0.0.1".to_owned()),
            ca_pem: Some(self.authority.clone()),
            host_header: self.address.to_string(),
            path: "/".to_owned(),
            headers: Vec::new(),
            subprotocol: "sidestream.v1".to_owned(),
            connect: "{}".to_owned(),
            start: "{}".to_owned(),
            timeout_ms: 60_000,
        }
    }
}

fn upgrade(wire: &mut (impl Read + Write)) {
    use sha1::{Digest, Sha1};
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        wire.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64_simd::STANDARD.encode_to_string(digest);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    wire.write_all(answer.as_bytes()).unwrap();
    wire.flush().unwrap();
}
