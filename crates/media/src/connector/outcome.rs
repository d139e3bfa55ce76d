//! What an attempt ends in.
use std::net::{SocketAddr, TcpStream};

use crate::events::Event;

/// Why an attempt came to nothing: values of `stream.verdicts.AttemptFailure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailReason {
    /// The port is closed.
    TcpRefused,
    /// No answer to the TCP handshake in time.
    TcpTimeout,
    /// No way to the address.
    TcpUnreachable,
    /// The certificate does not stand.
    TlsCertificate,
    /// TLS came to nothing for another reason.
    TlsHandshake,
    /// The endpoint answered the upgrade with another status than 101.
    HttpStatus,
    /// The endpoint's answer is no upgrade.
    HttpProtocol,
    /// No answer in time, after TCP.
    Timeout,
    /// The engine could not try.
    Engine,
}

impl FailReason {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpRefused => "tcp_refused",
            Self::TcpTimeout => "tcp_timeout",
            Self::TcpUnreachable => "tcp_unreachable",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsHandshake => "tls_handshake",
            Self::HttpStatus => "http_status",
            Self::HttpProtocol => "http_protocol",
            Self::Timeout => "timeout",
            Self::Engine => "engine",
        }
    }
}

/// An attempt that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub reason: FailReason,
    /// For people.
    pub detail: String,
    /// The endpoint's answer, if it was another one than 101.
    pub http_status: Option<u16>,
}

impl Failed {
    /// A failure that is no HTTP status.
    pub fn new(reason: FailReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            http_status: None,
        }
    }

    /// The event that tells it.
    pub fn into_event(self, stream: u64) -> Event {
        Event::StreamConnectFailed {
            stream,
            reason: self.reason.as_str(),
            detail: self.detail,
            http_status: self.http_status,
        }
    }
}

/// A connection that stands: upgraded, and no message sent on it yet.
#[derive(Debug)]
pub struct Established {
    /// Non-blocking, without Nagle's delay.
    pub socket: TcpStream,
    /// None: no TLS.
    pub tls: Option<Box<rustls::ClientConnection>>,
    /// Bytes that came after the upgrade's answer.
    pub leftover: Vec<u8>,
    /// Where it goes.
    pub address: SocketAddr,
    /// Empty without TLS.
    pub tls_version: &'static str,
    /// Milliseconds from the attempt's begin.
    pub connect_ms: u64,
    /// Body of the `connect` message.
    pub connect: String,
    /// Body of the `start` message.
    pub start: String,
}

/// What an attempt ends in.
pub type Outcome = std::result::Result<Established, Failed>;
