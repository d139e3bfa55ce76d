//! An engine between two phones on loopback. Each test takes a loopback network of its own.
#![allow(dead_code, clippy::unwrap_used)]
pub mod recorder;
pub mod srtp;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use media::engine::Engine;
use media::events::{Event, SideStats};
use media::orders::{EngineSpec, Side};
use media::random::Random;

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must have happened.
pub const QUIET: Duration = Duration::from_millis(150);

/// How an engine of a test differs from the usual one.
#[derive(Clone, Copy)]
pub struct Options {
    pub ports: (u16, u16),
    pub media_timeout_ms: u64,
    pub learning_ms: u64,
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ports: (20_000, 20_999),
            media_timeout_ms: 0,
            learning_ms: 300,
            threads: 2,
        }
    }
}

/// The address `host` of a test's own network.
pub fn address(network: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 77, network, host)
}

pub fn engine(network: u8, options: Options) -> Engine {
    Engine::start(EngineSpec {
        address: address(network, 1).into(),
        port_min: options.ports.0,
        port_max: options.ports.1,
        threads: options.threads,
        media_timeout_ms: options.media_timeout_ms,
        learning_ms: options.learning_ms,
        max_streams: 10,
        version: String::new(),
    })
    .unwrap()
}

/// A party: two sockets on neighbouring ports, and where it sends to.
pub struct Phone {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    pub gateway: SocketAddr,
}

impl Phone {
    pub fn new(network: u8, host: u8, port: u16, gateway_port: u16) -> Self {
        let bind = |port| {
            let socket = UdpSocket::bind((address(network, host), port)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Self {
            rtp: bind(port),
            rtcp: bind(port + 1),
            gateway: (address(network, 1), gateway_port).into(),
        }
    }

    pub fn send(&self, packet: &[u8]) {
        self.rtp.send_to(packet, self.gateway).unwrap();
    }

    pub fn send_report(&self, packet: &[u8]) {
        let port = self.gateway.port() + 1;
        self.rtcp
            .send_to(packet, (self.gateway.ip(), port))
            .unwrap();
    }

    pub fn receive(&self) -> Vec<u8> {
        receive(&self.rtp).expect("a packet")
    }

    pub fn hears_nothing(&self) -> bool {
        self.rtp.set_read_timeout(Some(QUIET)).unwrap();
        let heard = receive(&self.rtp);
        self.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_none()
    }
}

pub fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

/// One codec as `name/rate/local/remote`.
pub fn codec(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').collect();
    format!(
        r#"{{"name":"{}","clockRate":{},"channels":1,"localPt":{},"remotePt":{}}}"#,
        parts[0], parts[1], parts[2], parts[3]
    )
}

/// A leg's specification.
pub fn leg(side: &str, remote: Option<SocketAddr>, codecs: &[&str], held: bool) -> Vec<u8> {
    let remote = remote.map_or("null".into(), |remote| {
        format!(
            r#"{{"host":"{}","rtpPort":{},"rtcpPort":{}}}"#,
            remote.ip(),
            remote.port(),
            remote.port() + 1
        )
    });
    let codecs: Vec<String> = codecs.iter().map(|text| codec(text)).collect();
    format!(
        r#"{{"side":"{side}","remote":{remote},"codecs":[{}],"ptimeMs":20,"held":{held}}}"#,
        codecs.join(",")
    )
    .into_bytes()
}

/// A call between two phones.
pub struct Rig {
    pub engine: Engine,
    pub network: u8,
    pub call: u64,
    pub a: Phone,
    pub b: Phone,
    events: Vec<Event>,
}

pub const PCMU: &[&str] = &["PCMU/8000/0/0", "telephone-event/8000/101/101"];

impl Rig {
    /// A bridged call whose phones both speak PCMU.
    pub fn new(network: u8, options: Options) -> Self {
        let rig = Self::unagreed(network, options);
        rig.agree("a", PCMU);
        rig.agree("b", PCMU);
        rig
    }

    /// A bridged call on which nothing was agreed.
    pub fn unagreed(network: u8, options: Options) -> Self {
        let engine = engine(network, options);
        let (call, port_a, port_b) = engine.open_call().unwrap();
        engine.bridge(call, true).unwrap();
        Self {
            a: Phone::new(network, 2, 4000, port_a),
            b: Phone::new(network, 3, 5000, port_b),
            engine,
            network,
            call,
            events: Vec::new(),
        }
    }

    pub fn phone(&self, side: &str) -> &Phone {
        if side == "a" {
            &self.a
        } else {
            &self.b
        }
    }

    pub fn agree(&self, side: &str, codecs: &[&str]) {
        let remote = self.phone(side).rtp.local_addr().unwrap();
        self.set(&leg(side, Some(remote), codecs, false));
    }

    pub fn set(&self, spec: &[u8]) {
        self.engine.set_leg(self.call, spec).unwrap();
    }

    /// Waits for an event that is wanted; others wait for later.
    pub fn event<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(index) = self.events.iter().position(|event| wanted(event).is_some()) {
                return wanted(&self.events.remove(index)).unwrap();
            }
            assert!(
                Instant::now() < deadline,
                "no such event: {:?}",
                self.events
            );
            wait_for_events(&self.engine, Duration::from_millis(100));
            self.events.extend(self.engine.events());
        }
    }

    /// The numbers of both legs, after all orders before it.
    pub fn stats(&mut self) -> [SideStats; 2] {
        self.engine.query_call(self.call).unwrap();
        self.event(|event| match event {
            Event::CallStats { sides, .. } => sides.clone().try_into().ok(),
            _ => None,
        })
    }

    /// Waits until a leg's numbers are as wanted.
    pub fn until(&mut self, side: Side, wanted: impl Fn(&SideStats) -> bool) -> SideStats {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let [a, b] = self.stats();
            let stats = if side == Side::A { a } else { b };
            if wanted(&stats) {
                return stats;
            }
            assert!(
                Instant::now() < deadline,
                "it never came to that: {stats:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a packet each way and waits for it, so that both sources are locked.
    pub fn lock(&self) {
        for (from, to) in [(&self.a, &self.b), (&self.b, &self.a)] {
            from.send(&rtp(0, 0, 1, b"hello"));
            assert_eq!(to.receive().len(), 17);
        }
    }
}

pub fn wait_for_events(engine: &Engine, time: Duration) {
    use rustix::event::{poll, PollFd, PollFlags, Timespec};
    let mut fds = [PollFd::from_borrowed_fd(engine.events_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::try_from(time).unwrap())).unwrap();
}

/// A plain RTP packet; the timestamp follows the sequence in steps of 160.
pub fn rtp(payload_type: u8, sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A packet with all that a header can carry: marker, CSRCs, extension and padding, as chance has it.
pub fn ornate_rtp(sequence: u16, ssrc: u32, random: &mut Random) -> Vec<u8> {
    let bits = random.next_u64();
    let csrcs = (bits % 4) as u8;
    let (extended, padded) = (bits & 0x10 != 0, bits & 0x20 != 0);
    let first = 0x80 | csrcs | u8::from(extended) << 4 | u8::from(padded) << 5;
    let mut packet = rtp((bits & 0x80) as u8, sequence, ssrc, &[]);
    packet[0] = first;
    let mut push = |count: u64| {
        for _ in 0..count {
            packet.push(random.next_u64() as u8);
        }
    };
    push(u64::from(csrcs) * 4);
    if extended {
        packet.extend([0xBE, 0xDE, 0, 1, 1, 2, 3, 4]);
    }
    let length = 1 + random.below(160);
    for _ in 0..length {
        packet.push(random.next_u64() as u8);
    }
    if padded {
        packet.extend([0, 0, 0, 4]);
    }
    packet
}
