//! `load recorder`: a recording server (RFC 7866) over TCP that accepts every session and checks every packet.
//!
//! All sessions share two RTP sockets, one for each label: which stream a packet belongs to is known by the gateway's port, and
//! many packets are taken in one system call. Nothing waits on these sockets, so waking the recorder is not charged to the
//! gateway.
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::event::epoll;
use rustix::net::sockopt;
use serde_json::json;

use crate::arguments::{Arguments, Failure};
use crate::command::{Command, Commands};
use crate::mmsg::{self, Receiver};
use crate::sip;
use crate::taken::Taken;

const LISTENER: u64 = u64::MAX;
const COMMANDS: u64 = u64::MAX - 1;
const TICK: Duration = Duration::from_millis(1);
const LABELS: usize = 2;
/// Batches of datagrams taken from a socket at once: on a busy machine more may always wait.
const BATCHES: usize = 64;

struct Connection {
    tcp: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Everything that ends when the recorder dies.
struct Sockets {
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    rtp: [UdpSocket; LABELS],
    rtcp: [UdpSocket; LABELS],
}

struct Recorder {
    epoll: rustix::fd::OwnedFd,
    address: SocketAddrV4,
    sockets: Option<Sockets>,
    next: u64,
    taken: Taken,
    requests: HashMap<String, u64>,
    receiver: Receiver,
}

/// Runs until standard input ends.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let address: SocketAddrV4 = arguments.required("listen")?;
    let host: Ipv4Addr = *address.ip();
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&epoll, &listener, LISTENER)?;
    watch(&epoll, std::io::stdin(), COMMANDS)?;
    println!("{}", json!({"listening": address.to_string()}));
    let sockets = Sockets {
        listener,
        connections: HashMap::new(),
        rtp: [mmsg::open(host)?, mmsg::open(host)?],
        rtcp: [mmsg::open(host)?, mmsg::open(host)?],
    };
    let mut recorder = Recorder {
        epoll,
        address,
        sockets: Some(sockets),
        next: 0,
        taken: Taken::new(),
        requests: HashMap::new(),
        receiver: Receiver::new(),
    };
    recorder.run()
}

fn watch(
    epoll: &rustix::fd::OwnedFd,
    descriptor: impl std::os::fd::AsFd,
    token: u64,
) -> rustix::io::Result<()> {
    let data = epoll::EventData::new_u64(token);
    epoll::add(epoll, descriptor, data, epoll::EventFlags::IN)
}

impl Recorder {
    fn run(&mut self) -> Result<(), Failure> {
        let mut commands = Commands::open()?;
        let mut events = Vec::with_capacity(256);
        loop {
            std::thread::sleep(TICK);
            self.listen();
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(
                &self.epoll,
                buffer,
                Some(&rustix::time::Timespec::default()),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    COMMANDS => {
                        if self.obey(&mut commands) {
                            return Ok(());
                        }
                    }
                    token => self.converse(token),
                }
            }
        }
    }

    /// Takes what waits on the media sockets; reports of the gateway are let go.
    fn listen(&mut self) {
        let Some(sockets) = &self.sockets else { return };
        let taken = &mut self.taken;
        for socket in &sockets.rtp {
            for _ in 0..BATCHES {
                let receiver = &mut self.receiver;
                if !receiver.receive(socket, |port, at, packet| taken.take(port, at, packet)) {
                    break;
                }
            }
        }
        for socket in &sockets.rtcp {
            for _ in 0..BATCHES {
                if !self.receiver.receive(socket, |_, _, _| {}) {
                    break;
                }
            }
        }
    }

    fn obey(&mut self, commands: &mut Commands) -> bool {
        while let Some(command) = commands.next() {
            match command {
                Command::Reset => {
                    self.taken.reset();
                    self.requests.clear();
                }
                Command::Report | Command::Finish => self.report(),
                Command::Detail => {
                    println!("{}", json!({"detail": {"streams": self.taken.detail()}}));
                }
                Command::Die => self.die(),
                Command::End => return true,
            }
        }
        false
    }

    fn report(&self) {
        let mut report = self.taken.report();
        report["requests"] = json!(self.requests);
        println!("{}", json!({"report": report}));
    }

    /// What the kernel does for a process that is killed: connections are reset, ports are closed.
    fn die(&mut self) {
        self.listen();
        if let Some(sockets) = self.sockets.take() {
            for connection in sockets.connections.values() {
                // Without it the peer would be told in order; a reset is the harder case.
                let _ = sockopt::set_socket_linger(&connection.tcp, Some(Duration::ZERO));
            }
        }
        println!("{}", json!({"died": {"at_ns": mmsg::wall_nanos()}}));
    }

    fn accept(&mut self) -> Result<(), Failure> {
        let Some(sockets) = &mut self.sockets else {
            return Ok(());
        };
        while let Ok((tcp, _)) = sockets.listener.accept() {
            tcp.set_nonblocking(true)?;
            tcp.set_nodelay(true)?;
            let token = self.next;
            self.next += 1;
            watch(&self.epoll, &tcp, token)?;
            let connection = Connection {
                tcp,
                input: Vec::new(),
                output: Vec::new(),
            };
            sockets.connections.insert(token, connection);
        }
        Ok(())
    }

    /// Reads a connection and answers each request on it.
    fn converse(&mut self, token: u64) {
        let Some(connection) = self
            .sockets
            .as_mut()
            .and_then(|sockets| sockets.connections.remove(&token))
        else {
            return;
        };
        let mut connection = connection;
        let open = connection.read();
        let input = std::mem::take(&mut connection.input);
        let mut at = 0;
        while let Some((length, text)) = sip::whole_message(&input[at..]) {
            if let Some(answer) = self.answer(text) {
                connection.output.extend_from_slice(answer.as_bytes());
            }
            at += length;
        }
        connection.input.extend_from_slice(&input[at..]);
        if open && connection.write() {
            if let Some(sockets) = &mut self.sockets {
                sockets.connections.insert(token, connection);
            }
        }
    }

    fn answer(&mut self, request: &str) -> Option<String> {
        let method = request.split(' ').next().unwrap_or_default();
        if method == "ACK" || method.starts_with("SIP/") {
            return None;
        }
        *self.requests.entry(method.to_owned()).or_default() += 1;
        let call_id = sip::header(request, "Call-ID").unwrap_or_default();
        let streams = offered(request);
        if method == "INVITE" {
            if let [(caller, _), (callee, _)] = streams[..] {
                self.taken.open(call_id, [caller, callee]);
            }
        } else if method == "BYE" {
            self.taken.close(call_id);
        }
        let contact = format!("sip:srs@{};transport=tcp", self.address);
        let body = if streams.is_empty() {
            String::new()
        } else {
            self.session(&streams)
        };
        Some(sip::response(request, "200 OK", &contact, &body))
    }

    /// An answer that takes each stream, in the direction that was offered.
    fn session(&self, streams: &[(u16, bool)]) -> String {
        let host = self.address.ip();
        let mut text =
            format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n");
        let Some(sockets) = &self.sockets else {
            return text;
        };
        for (index, &(_, on)) in streams.iter().enumerate() {
            let port = |sockets: &[UdpSocket; LABELS]| {
                sockets[index % LABELS]
                    .local_addr()
                    .map_or(0, |address| address.port())
            };
            let [media, reports] = [port(&sockets.rtp), port(&sockets.rtcp)];
            let (label, direction) = (index + 1, if on { "recvonly" } else { "inactive" });
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "m=audio {media} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=rtcp:{reports}\r\na={direction}\r\na=label:{label}\r\n"
            );
        }
        text
    }
}

/// The port of each m-line of an offer, and whether media is to flow.
fn offered(request: &str) -> Vec<(u16, bool)> {
    let mut streams: Vec<(u16, bool)> = Vec::new();
    for line in request.split("\r\n") {
        if let Some(media) = line.strip_prefix("m=audio ") {
            let port = media.split(' ').next().and_then(|port| port.parse().ok());
            streams.push((port.unwrap_or(0), true));
        } else if let ("a=inactive", Some((_, on))) = (line, streams.last_mut()) {
            *on = false;
        }
    }
    streams
}

impl Connection {
    /// Takes all that waits; false when the connection is over.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 16_384];
        loop {
            match self.tcp.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => self.input.extend_from_slice(&chunk[..length]),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Writes what it can; the rest goes with the next answer. False when the connection is over.
    fn write(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.tcp.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_an_offer_are_found() {
        let text = "INVITE sip:a SIP/2.0\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\nm=audio 4002 RTP/AVP 0\r\na=inactive\r\n";
        assert_eq!(offered(text), [(4000, true), (4002, false)]);
        assert_eq!(offered("BYE sip:a SIP/2.0\r\n\r\n"), []);
    }
}
