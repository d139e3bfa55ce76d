//! One attempt: TCP over the list of addresses, TLS, the upgrade.
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};

use super::outcome::{Established, FailReason, Failed};
use crate::orders::ConnectAttempt;
use crate::ws::handshake::{self, Refusal, UpgradeRequest};
use crate::ws::message::check_object;
use crate::ws::{mask, tls};

/// Bytes of ours that the kernel holds unsent before it takes no more. Without it the kernel would hide a stalled
/// endpoint for minutes behind megabytes of its own buffer; a second of two channels' audio fits.
const UNSENT_BYTES: u32 = 32 * 1024;
/// Bytes read from the socket at a time.
const READ_BYTES: usize = 4096;
/// Reads of one attempt before the others' turn.
const EXCHANGES_MAX: usize = 16;

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Tcp,
    Tls,
    Http,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "the TCP handshake",
            Self::Tls => "the TLS handshake",
            Self::Http => "the upgrade",
        }
    }
}

/// Whether an attempt goes on.
pub enum Step {
    /// It waits for the socket or its deadline.
    Pending,
    /// The connection stands; so many of the bytes received are the answer's head.
    Upgraded(usize),
    /// It came to nothing.
    Failed(Failed),
}

impl From<Failed> for Step {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// See the module.
pub struct Attempt {
    order: ConnectAttempt,
    tls_config: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    key: String,
    request: Vec<u8>,
    begun: Instant,
    deadline: Instant,
    stage: Stage,
    stage_deadline: Instant,
    tried: usize,
    address: SocketAddr,
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    written: usize,
    received: Vec<u8>,
}

/// When an attempt was ordered, and when it must have ended.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The order's time.
    pub begun: Instant,
    /// The one deadline of TCP, TLS and upgrade.
    pub deadline: Instant,
}

impl Attempt {
    /// Starts with the first address that a connection can be begun to.
    pub fn begin(
        order: ConnectAttempt,
        config: Option<Arc<ClientConfig>>,
        span: Span,
        now: Instant,
    ) -> Result<Self, Failed> {
        let engine = |detail: String| Failed::new(FailReason::Engine, detail);
        for body in [&order.connect, &order.start] {
            check_object(body.as_bytes()).map_err(|error| engine(error.to_string()))?;
        }
        let tls_config = match (config, &order.server_name) {
            (Some(config), Some(name)) => {
                let name = ServerName::try_from(name.clone());
                let name = name.map_err(|error| engine(format!("no server name: {error}")))?;
                Some((config, name))
            }
            _ => None,
        };
        let key = handshake::key_of(mask::nonce());
        let request = UpgradeRequest {
            host: &order.host_header,
            path: &order.path,
            headers: &order.headers,
            subprotocol: &order.subprotocol,
        };
        let request = handshake::write_request(&request, &key).map_err(engine)?;
        let (tried, address, socket) = first_begun(&order, 0, None)?;
        let mut attempt = Self {
            order,
            tls_config,
            key,
            request,
            begun: span.begun,
            deadline: span.deadline,
            stage: Stage::Tcp,
            stage_deadline: span.deadline,
            tried,
            address,
            socket,
            tls: None,
            written: 0,
            received: Vec::new(),
        };
        attempt.share_time(now);
        Ok(attempt)
    }

    /// When the attempt must be told that time is up.
    pub const fn due(&self) -> Instant {
        self.stage_deadline
    }

    /// Counts the sockets so far: a new number is a new socket to be polled.
    pub const fn socket_number(&self) -> usize {
        self.tried
    }

    /// The socket to be polled.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it waits for room on the socket.
    pub fn wants_write(&self) -> bool {
        match self.stage {
            Stage::Tcp => true,
            Stage::Tls | Stage::Http => match &self.tls {
                Some(connection) => connection.wants_write(),
                None => self.written < self.request.len(),
            },
        }
    }

    /// The time of the stage is up: the next address, or the end.
    pub fn on_due(&mut self, now: Instant) -> Step {
        if self.stage == Stage::Tcp {
            let detail = format!("{}: no answer to the TCP handshake in time", self.address);
            return self.next_address(Failed::new(FailReason::TcpTimeout, detail), now);
        }
        let detail = format!("{}: no end of {} in time", self.address, self.stage.name());
        Failed::new(FailReason::Timeout, detail).into()
    }

    /// The socket has something to say.
    pub fn on_ready(&mut self, now: Instant) -> Step {
        if self.stage == Stage::Tcp {
            match self.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => {
                    return self.next_address(tcp_failure(self.address, &error), now);
                }
            }
            if let Err(error) = self.socket.peer_addr() {
                if error.kind() == io::ErrorKind::NotConnected {
                    return Step::Pending;
                }
            }
            if let Err(failed) = self.enter_tls() {
                return failed.into();
            }
        }
        match self.exchange() {
            Ok(None) => Step::Pending,
            Ok(Some(head)) => Step::Upgraded(head),
            Err(failed) => failed.into(),
        }
    }

    fn next_address(&mut self, failed: Failed, now: Instant) -> Step {
        if now >= self.deadline {
            return failed.into();
        }
        match first_begun(&self.order, self.tried, Some(failed)) {
            Err(failed) => failed.into(),
            Ok((tried, address, socket)) => {
                (self.tried, self.address, self.socket) = (tried, address, socket);
                self.share_time(now);
                Step::Pending
            }
        }
    }

    /// Gives the address now tried its share of the time left, so that one dead address leaves time for the next.
    fn share_time(&mut self, now: Instant) {
        let left = self.order.addresses.len().saturating_sub(self.tried) as u32 + 1;
        let share = self.deadline.saturating_duration_since(now) / left;
        self.stage_deadline = (now + share).min(self.deadline);
    }

    fn enter_tls(&mut self) -> Result<(), Failed> {
        self.stage_deadline = self.deadline;
        let Some((config, name)) = &self.tls_config else {
            self.stage = Stage::Http;
            return Ok(());
        };
        self.stage = Stage::Tls;
        let connection = ClientConnection::new(Arc::clone(config), name.clone());
        let mut connection =
            connection.map_err(|error| Failed::new(FailReason::Engine, error.to_string()))?;
        // Kept by rustls until the handshake is done.
        let queued = connection.writer().write_all(&self.request);
        queued.map_err(|error| Failed::new(FailReason::Engine, error.to_string()))?;
        self.tls = Some(Box::new(connection));
        Ok(())
    }

    /// Writes and reads what the socket takes and has; the length of the answer's head once it is a proper one.
    fn exchange(&mut self) -> Result<Option<usize>, Failed> {
        for _ in 0..EXCHANGES_MAX {
            self.write();
            let more = self.read()?;
            if self.stage == Stage::Tls
                && !self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
            {
                self.stage = Stage::Http;
            }
            if !self.received.is_empty() {
                let key = self.key.as_str();
                match handshake::check_answer(&self.received, key, &self.order.subprotocol) {
                    Ok(Some(head)) => return Ok(Some(head)),
                    Ok(None) => {}
                    Err(refusal) => return Err(self.refused(refusal)),
                }
            }
            match more {
                Progress::Some => {}
                Progress::None => return Ok(None),
                Progress::Ended => return Err(self.broken("the endpoint closed the connection")),
            }
        }
        // The socket has more: polling will say so again, after the others' turn.
        Ok(None)
    }

    /// An error is left to reading: what the endpoint said before it closed tells more.
    fn write(&mut self) {
        loop {
            let result = match &mut self.tls {
                Some(connection) if connection.wants_write() => {
                    connection.write_tls(&mut self.socket)
                }
                None if self.written < self.request.len() => {
                    self.socket.write(&self.request[self.written..])
                }
                _ => return,
            };
            match result {
                Ok(count) if self.tls.is_none() => self.written += count,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn read(&mut self) -> Result<Progress, Failed> {
        let Some(connection) = &mut self.tls else {
            let mut buffer = [0; READ_BYTES];
            let result = self.socket.read(&mut buffer);
            let progress = self.progress(&result)?;
            let count = result.unwrap_or_default();
            self.received.extend_from_slice(&buffer[..count]);
            return Ok(progress);
        };
        let result = connection.read_tls(&mut self.socket);
        if let Err(error) = connection.process_new_packets() {
            // The alert that tells the endpoint why.
            let _ = connection.write_tls(&mut self.socket);
            let (certificate, words) = tls::describe(&error);
            let reason = if certificate {
                FailReason::TlsCertificate
            } else {
                FailReason::TlsHandshake
            };
            return Err(Failed::new(reason, format!("{}: {words}", self.address)));
        }
        let progress = self.progress(&result)?;
        self.take_plaintext();
        Ok(progress)
    }

    fn take_plaintext(&mut self) {
        let Some(connection) = &mut self.tls else {
            return;
        };
        let mut buffer = [0; READ_BYTES];
        while let Ok(count) = connection.reader().read(&mut buffer) {
            if count == 0 {
                return;
            }
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    fn progress(&self, result: &io::Result<usize>) -> Result<Progress, Failed> {
        match result {
            Ok(0) => Ok(Progress::Ended),
            Ok(_) => Ok(Progress::Some),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(Progress::None),
                io::ErrorKind::Interrupted => Ok(Progress::Some),
                _ => Err(self.broken(&error.to_string())),
            },
        }
    }

    fn broken(&self, words: &str) -> Failed {
        let reason = match self.stage {
            Stage::Tcp => FailReason::TcpUnreachable,
            Stage::Tls => FailReason::TlsHandshake,
            Stage::Http => FailReason::HttpProtocol,
        };
        let stage = self.stage.name();
        Failed::new(reason, format!("{}: {words} during {stage}", self.address))
    }

    fn refused(&self, refusal: Refusal) -> Failed {
        match refusal {
            Refusal::Status(status, words) => Failed {
                reason: FailReason::HttpStatus,
                detail: format!("{}: {words}", self.address),
                http_status: Some(status),
            },
            Refusal::Protocol(words) => Failed::new(
                FailReason::HttpProtocol,
                format!("{}: {words}", self.address),
            ),
        }
    }

    /// Hands the connection over once it is upgraded.
    pub fn into_established(mut self, head: usize, now: Instant) -> Established {
        let version = self
            .tls
            .as_ref()
            .and_then(|connection| connection.protocol_version());
        Established {
            leftover: self.received.split_off(head.min(self.received.len())),
            tls_version: tls::version_name(version),
            connect_ms: now.saturating_duration_since(self.begun).as_millis() as u64,
            socket: self.socket,
            tls: self.tls,
            address: self.address,
            connect: self.order.connect,
            start: self.order.start,
        }
    }
}

/// What a read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
    Ended,
}

/// Begins a connection to the first address from number `tried` on that takes one: how many have been tried then, the
/// address and its socket. `before` is the failure of the address before.
fn first_begun(
    order: &ConnectAttempt,
    tried: usize,
    before: Option<Failed>,
) -> Result<(usize, SocketAddr, TcpStream), Failed> {
    let mut failed = before
        .unwrap_or_else(|| Failed::new(FailReason::Engine, "there is no address to connect to"));
    for (index, address) in order.addresses.iter().enumerate().skip(tried) {
        let address = SocketAddr::new(*address, order.port);
        match begin_tcp(address) {
            Ok(socket) => return Ok((index + 1, address, socket)),
            Err(error) => failed = tcp_failure(address, &error),
        }
    }
    Err(failed)
}

fn begin_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(
        domain,
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    // A kernel without it only hides a stalled endpoint for longer.
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn tcp_failure(address: SocketAddr, error: &io::Error) -> Failed {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => FailReason::TcpRefused,
        io::ErrorKind::TimedOut => FailReason::TcpTimeout,
        _ => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => {
                FailReason::Engine
            }
            _ => FailReason::TcpUnreachable,
        },
    };
    Failed::new(reason, format!("{address}: {error}"))
}
