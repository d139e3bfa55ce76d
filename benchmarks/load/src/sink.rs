//! `load sink`: a TLS WebSocket endpoint that reads and checks every message of every stream.
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;

use crate::arguments::{Arguments, Failure};
use crate::command::{Command, Commands};
use crate::histogram::Histogram;
use crate::mmsg::wall_nanos;
use crate::rtp::{Stamp, STAMP};
use crate::websocket;

const LISTENER: u64 = u64::MAX;
const COMMANDS: u64 = u64::MAX - 1;
/// The sink wakes on a grid of this length: waking it is charged to whoever writes, and a gateway is not to pay for an
/// endpoint that happens to run on the same machine. It adds half of it to the stream's latency on average.
const GRID: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Channel {
    chunk: u64,
    counter: Option<u32>,
}

struct Connection {
    tcp: TcpStream,
    tls: ServerConnection,
    input: Vec<u8>,
    upgraded: bool,
    sequence: u64,
    channels: [Channel; 2],
    closed: bool,
}

struct Counts {
    messages: u64,
    media: u64,
    /// Messages whose number is not the next.
    holes: u64,
    /// Payloads whose stamp is not that of the next packet of the leg.
    audio_breaks: u64,
    /// Media messages of a leg without a stamp: silence that the gateway filled in.
    silence: u64,
    bad: u64,
    bytes: u64,
    latency: Histogram,
}

impl Counts {
    fn new() -> Self {
        Self {
            messages: 0,
            media: 0,
            holes: 0,
            audio_breaks: 0,
            silence: 0,
            bad: 0,
            bytes: 0,
            latency: Histogram::new(),
        }
    }
}

struct Sink {
    epoll: rustix::fd::OwnedFd,
    config: Arc<ServerConfig>,
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    next: u64,
    counts: Counts,
    accepted: u64,
    closes: u64,
}

/// Runs until standard input ends.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let address: SocketAddr = arguments.required("listen")?;
    let certificate: String = arguments.required("certificate")?;
    let key: String = arguments.required("key")?;
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.send_tls13_tickets = 0;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let watch = |fd: &dyn std::os::fd::AsFd, token| {
        epoll::add(
            &epoll,
            fd,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN,
        )
    };
    watch(&listener, LISTENER)?;
    watch(&std::io::stdin(), COMMANDS)?;
    println!(
        "{}",
        json!({"listening": listener.local_addr()?.to_string()})
    );
    let mut sink = Sink {
        epoll,
        config: Arc::new(config),
        listener,
        connections: HashMap::new(),
        next: 0,
        counts: Counts::new(),
        accepted: 0,
        closes: 0,
    };
    sink.run()
}

impl Sink {
    fn run(&mut self) -> Result<(), Failure> {
        let mut commands = Commands::open()?;
        let mut events = Vec::with_capacity(1024);
        let mut next = Instant::now();
        loop {
            events.clear();
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, buffer, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            next = Instant::now() + GRID;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    COMMANDS => {
                        if self.obey(&mut commands) {
                            return Ok(());
                        }
                    }
                    token => self.read(token),
                }
            }
        }
    }

    fn obey(&mut self, commands: &mut Commands) -> bool {
        while let Some(command) = commands.next() {
            match command {
                Command::Reset => self.counts = Counts::new(),
                Command::Report | Command::Finish => self.report(),
                Command::Detail | Command::Die => {}
                Command::End => return true,
            }
        }
        false
    }

    fn report(&self) {
        let counts = &self.counts;
        let report = json!({"report": {
            "connections": self.connections.len(), "accepted": self.accepted, "closes": self.closes,
            "messages": counts.messages, "media": counts.media, "holes": counts.holes, "audio_breaks": counts.audio_breaks,
            "silence": counts.silence, "bad": counts.bad, "bytes": counts.bytes, "stream_ms": counts.latency.report(),
        }});
        println!("{report}");
    }

    fn accept(&mut self) -> Result<(), Failure> {
        while let Ok((tcp, _)) = self.listener.accept() {
            tcp.set_nonblocking(true)?;
            tcp.set_nodelay(true)?;
            let token = self.next;
            self.next += 1;
            self.accepted += 1;
            epoll::add(
                &self.epoll,
                &tcp,
                epoll::EventData::new_u64(token),
                epoll::EventFlags::IN,
            )?;
            let connection = Connection {
                tcp,
                tls: ServerConnection::new(Arc::clone(&self.config))?,
                input: Vec::new(),
                upgraded: false,
                sequence: 0,
                channels: [Channel::default(), Channel::default()],
                closed: false,
            };
            self.connections.insert(token, connection);
        }
        Ok(())
    }

    fn read(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let alive = connection.read(&mut self.counts);
        if connection.closed {
            connection.closed = false;
            self.closes += 1;
        }
        if !alive {
            self.connections.remove(&token);
        }
    }
}

impl Connection {
    /// Takes all that waits; false when the connection is over.
    fn read(&mut self, counts: &mut Counts) -> bool {
        let mut ended = false;
        loop {
            match self.tls.read_tls(&mut self.tcp) {
                Ok(0) => ended = true,
                Ok(length) => counts.bytes += length as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => ended = true,
            }
            if ended {
                break;
            }
            let Ok(state) = self.tls.process_new_packets() else {
                return false;
            };
            let (start, waiting) = (self.input.len(), state.plaintext_bytes_to_read());
            self.input.resize(start + waiting, 0);
            if self
                .tls
                .reader()
                .read_exact(&mut self.input[start..])
                .is_err()
            {
                self.input.truncate(start);
            }
            self.take_messages(counts);
        }
        self.flush() && !ended
    }

    fn flush(&mut self) -> bool {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn take_messages(&mut self, counts: &mut Counts) {
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        if !self.upgraded {
            let Some((length, response)) = websocket::upgrade(&input) else {
                self.input = input;
                return;
            };
            self.upgraded = true;
            at = length;
            let _ = self.tls.writer().write_all(response.as_bytes());
        }
        while let Some((length, frame)) = websocket::frame(&mut input[at..]) {
            match frame.opcode {
                1 => self.take_text(frame.payload, counts),
                8 => self.answer(8, frame.payload),
                9 => self.answer(10, frame.payload),
                _ => {}
            }
            at += length;
        }
        input.drain(..at);
        self.input = input;
    }

    fn answer(&mut self, opcode: u8, payload: &[u8]) {
        let mut out = Vec::with_capacity(payload.len() + 2);
        websocket::append(&mut out, opcode, payload);
        self.closed |= opcode == 8;
        let _ = self.tls.writer().write_all(&out);
    }

    fn take_text(&mut self, text: &[u8], counts: &mut Counts) {
        counts.messages += 1;
        let Some(sequence) = number_after(text, b"\"sequenceNumber\":") else {
            counts.bad += 1;
            return;
        };
        if sequence != self.sequence + 1 {
            counts.holes += 1;
        }
        self.sequence = sequence;
        if text.starts_with(b"{\"event\":\"media\"") {
            counts.media += 1;
            if self.take_media(text, counts).is_none() {
                counts.bad += 1;
            }
        }
    }

    fn take_media(&mut self, text: &[u8], counts: &mut Counts) -> Option<()> {
        // Keys are looked for from the last one on: the sink must cost little.
        let rest = after(text, b"\"channel\":")?;
        let number = leading_number(rest)?;
        let channel = self.channels.get_mut(number as usize)?;
        let rest = after(rest, b"\"chunk\":")?;
        let chunk = leading_number(rest)?;
        if chunk != channel.chunk + 1 {
            counts.holes += 1;
        }
        channel.chunk = chunk;
        let payload = after(rest, b"\"payload\":\"")?.strip_suffix(b"\"}}")?;
        let audio = base64_simd::STANDARD.decode_to_vec(payload).ok()?;
        if audio.len() < STAMP || audio.iter().all(|&byte| byte == 0xFF) {
            counts.silence += 1;
            return Some(());
        }
        let stamp = Stamp::read(&audio)?;
        counts
            .latency
            .add(wall_nanos().saturating_sub(stamp.sent_at));
        if channel
            .counter
            .is_some_and(|before| stamp.counter != before + 1)
            || u64::from(stamp.side) != number
        {
            counts.audio_breaks += 1;
        }
        channel.counter = Some(stamp.counter);
        Some(())
    }
}

fn after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(key.len()).position(|window| window == key)?;
    Some(&text[at + key.len()..])
}

fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    leading_number(after(text, key)?)
}

fn leading_number(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}
