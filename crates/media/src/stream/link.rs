//! One connection: the socket, TLS and the frames coming in. It writes one batch at a time and never waits.
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

use rustix::net::{send, SendFlags};
use rustls::ClientConnection;

use super::heartbeat::{Allowance, Heartbeat};
use crate::clock::Nanos;
use crate::connector::Established;
use crate::orders::StreamSpec;
use crate::prefetch::prefetch;
use crate::ws::frame::FrameDecoder;

/// Bytes of messages written at a time: the content of one TLS record (RFC 8446 section 5.1), so that what a broken
/// connection had taken in part can't be read by the endpoint.
pub const BATCH_BYTES: usize = 16 * 1024;

/// Why a connection is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// A value of `connection_lost.reason`.
    pub reason: &'static str,
    /// For people.
    pub detail: String,
    /// The endpoint's Close code.
    pub close_code: Option<u16>,
}

impl Loss {
    /// A loss without the endpoint's Close.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            close_code: None,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::closed(),
            _ => Self::new("tcp_reset", error.to_string()),
        }
    }

    fn closed() -> Self {
        Self::new(
            "tcp_closed",
            "the endpoint closed the connection without a WebSocket Close",
        )
    }
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Frames coming in.
    pub decoder: FrameDecoder,
    /// Pings.
    pub heartbeat: Heartbeat,
    /// How much the endpoint may still say.
    pub allowance: Allowance,
    /// The payload of the endpoint's last ping, to be answered.
    pub pong: Option<Vec<u8>>,
    /// The number of `close` while it is on its way.
    pub closing: Option<u64>,
    /// Bytes of a batch that the socket has not taken; without TLS.
    rest: Vec<u8>,
    rest_at: usize,
    /// Where in the batch its messages end, and how many of them have landed.
    ends: Vec<usize>,
    landed: usize,
    told: usize,
    written: u64,
    /// The network has all that was given to it: kept here, for TLS keeps its own state far away.
    idle: bool,
}

impl Link {
    /// Takes over a connection.
    pub fn new(established: Established, spec: &StreamSpec, now: Nanos) -> Self {
        let mut tls = established.tls;
        if let Some(connection) = &mut tls {
            // One batch at a time is given to it; a limit would only cut a long message in two.
            connection.set_buffer_limit(None);
        }
        let mut link = Self {
            socket: established.socket,
            tls,
            decoder: FrameDecoder::new(),
            heartbeat: Heartbeat::new(spec, now),
            allowance: Allowance::default(),
            pong: None,
            closing: None,
            rest: Vec::new(),
            rest_at: 0,
            ends: Vec::new(),
            landed: 0,
            told: 0,
            written: 0,
            idle: true,
        };
        link.note_idle();
        link
    }

    /// The socket.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Asks for the memory that a write needs.
    pub fn prefetch(&self) {
        if let Some(connection) = &self.tls {
            prefetch(&**connection);
        }
    }

    /// Whether the network has all that was given to it.
    pub const fn is_idle(&self) -> bool {
        self.idle
    }

    fn note_idle(&mut self) {
        let sealed = self
            .tls
            .as_ref()
            .is_some_and(|connection| connection.wants_write());
        self.idle = !sealed && self.rest_at == self.rest.len() && self.landed == self.ends.len();
    }

    /// Whether frames of the protocol itself wait to be sent.
    pub const fn has_frames(&self) -> bool {
        self.pong.is_some() || self.heartbeat.wants_ping()
    }

    /// Bytes that the network has taken.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Messages that have landed since this was last asked.
    pub fn take_landed(&mut self) -> usize {
        let landed = self.landed - self.told;
        self.told = self.landed;
        landed
    }

    /// Gives a batch to an idle link; its messages end at `ends`.
    pub fn send(&mut self, batch: &[u8], ends: &[usize]) -> Result<(), Loss> {
        self.ends.clear();
        self.ends.extend_from_slice(ends);
        (self.landed, self.told) = (0, 0);
        let Some(connection) = &mut self.tls else {
            self.rest.clear();
            self.rest_at = 0;
            self.rest.extend_from_slice(batch);
            return self.flush();
        };
        let sealed = connection.writer().write_all(batch);
        self.idle = false;
        sealed.map_err(|error| Loss::new("tls_error", error.to_string()))?;
        self.flush()
    }

    /// Hands to the network what it takes.
    pub fn flush(&mut self) -> Result<(), Loss> {
        let result = self.write();
        if self.tls.is_none() {
            let written = self.rest_at;
            self.landed = self.ends.partition_point(|&end| end <= written);
        } else if self
            .tls
            .as_ref()
            .is_some_and(|connection| !connection.wants_write())
        {
            self.landed = self.ends.len();
        }
        self.note_idle();
        result
    }

    fn write(&mut self) -> Result<(), Loss> {
        loop {
            let result = match &mut self.tls {
                Some(connection) if connection.wants_write() => {
                    connection.write_tls(&mut Wire(&self.socket))
                }
                None if self.rest_at < self.rest.len() => {
                    let result = Wire(&self.socket).write(&self.rest[self.rest_at..]);
                    self.rest_at += result.as_ref().copied().unwrap_or_default();
                    result
                }
                _ => return Ok(()),
            };
            match result {
                Ok(count) => self.written += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Loss::of_io(&error)),
            }
        }
    }

    /// Reads what has come; nothing when there is no more for now.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Loss> {
        let result = self.read(buffer);
        // TLS may have something to say to what it has read.
        self.note_idle();
        result
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Loss> {
        loop {
            let result = match &mut self.tls {
                Some(connection) => match connection.reader().read(buffer) {
                    // All of it is taken before the socket is asked for more.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if read_record(connection, &mut self.socket)? {
                            continue;
                        }
                        return Ok(None);
                    }
                    other => other,
                },
                None => self.socket.read(buffer),
            };
            match result {
                Ok(0) => return Err(Loss::closed()),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Loss::of_io(&error)),
            }
        }
    }

    /// Sends a last frame, if the network takes it, and ends TLS; the connection is dropped after it.
    pub fn say_goodbye(mut self, frame: &[u8]) -> u64 {
        if self.is_idle() {
            let _ = self.send(frame, &[]);
        }
        if let Some(connection) = &mut self.tls {
            connection.send_close_notify();
        }
        let _ = self.flush();
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        // What is left unread would make the kernel reset the connection, and the last frame be lost with it.
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            if !matches!(self.socket.read(&mut buffer), Ok(count) if count > 0) {
                break;
            }
        }
        self.written
    }
}

/// The socket as TLS writes to it. A record is one piece, and `send` takes a piece by a shorter way through the kernel
/// than `writev`: measured, 1 of 10 microseconds.
struct Wire<'a>(&'a TcpStream);

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(
            self.0,
            bytes,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        )?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [piece] => self.write(piece),
            pieces => {
                let mut socket = self.0;
                socket.write_vectored(pieces)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads from the socket into TLS; false when the socket has nothing for now.
fn read_record(connection: &mut ClientConnection, socket: &mut TcpStream) -> Result<bool, Loss> {
    match connection.read_tls(socket) {
        // The end shows itself at the next read of the plaintext.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(error) => return Err(Loss::of_io(&error)),
    }
    if let Err(error) = connection.process_new_packets() {
        // The alert that tells the endpoint why.
        let _ = connection.write_tls(socket);
        return Err(Loss::new("tls_error", error.to_string()));
    }
    Ok(true)
}
