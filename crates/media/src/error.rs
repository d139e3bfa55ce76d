//! One error for every refused order; its kind is a closed set that the binding shows to Python.
use std::fmt;

/// Why an order was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No free RTP port pair is left in the configured range.
    PortsExhausted,
    /// The call or stream handle names nothing that lives.
    UnknownHandle,
    /// A specification is not valid JSON of its type, or says something impossible.
    BadSpec,
    /// The operating system refused a socket or a descriptor.
    Io,
    /// The engine has been shut down.
    Stopped,
    /// A bounded queue is full.
    Limit,
    /// No packet, or one too short to be protected.
    Malformed,
    /// A protected packet that was not made with the agreed key.
    Unauthentic,
    /// A protected packet whose number was there before.
    Replayed,
    /// A key that has protected as many packets as it may.
    Spent,
}

impl ErrorKind {
    /// The stable name of the kind, as seen in Python's `MediaError.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PortsExhausted => "ports_exhausted",
            Self::UnknownHandle => "unknown_handle",
            Self::BadSpec => "bad_spec",
            Self::Io => "io",
            Self::Stopped => "stopped",
            Self::Limit => "limit",
            Self::Malformed => "malformed",
            Self::Unauthentic => "unauthentic",
            Self::Replayed => "replayed",
            Self::Spent => "spent",
        }
    }
}

/// An order that the engine refused. Nothing has changed when one is returned.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct MediaError {
    kind: ErrorKind,
    detail: String,
}

impl MediaError {
    /// Makes an error of `kind`, explained by `detail`.
    pub fn new(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
        }
    }

    /// A specification that can't be followed.
    pub fn bad_spec(detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::BadSpec, detail)
    }

    /// What went wrong, as a closed set.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<std::io::Error> for MediaError {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, error)
    }
}

impl From<rustix::io::Errno> for MediaError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::from(std::io::Error::from(error))
    }
}

/// The result of an order.
pub type Result<T> = std::result::Result<T, MediaError>;
