//! One message of a stream between its making and its end of use.

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Audio of one frame; the entry's bytes are its payload.
    Media(MediaFacts),
    /// Any other message; the entry's bytes are its body.
    Control(Control),
}

/// The facts of a media message besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaFacts {
    /// Index of the lane: the channel as the messages show it.
    pub lane: usize,
    /// Number of the message in its lane, from 1.
    pub chunk: u64,
    /// Position of the first sample.
    pub timestamp: u64,
    /// Samples in the frame.
    pub samples: u32,
    /// Those of them that nobody sent.
    pub silence_samples: u32,
}

/// The event of a message that is no media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The first message of a connection.
    Connect,
    /// The second.
    Start,
    /// A fact about the call or the stream.
    Metadata,
    /// The engine's own `stream.stats`: at most one waits at a time.
    Stats,
    /// A key press.
    Dtmf,
}

impl Control {
    /// The event as the message names it.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Start => "start",
            Self::Metadata | Self::Stats => "metadata",
            Self::Dtmf => "dtmf",
        }
    }
}

/// One numbered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the stream.
    pub sequence: u64,
    /// What it is.
    pub kind: Kind,
    /// Payload or body.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// The facts of a media message.
    pub const fn media(&self) -> Option<&MediaFacts> {
        match &self.kind {
            Kind::Media(facts) => Some(facts),
            Kind::Control(_) => None,
        }
    }

    /// Whether it is audio.
    pub const fn is_media(&self) -> bool {
        self.media().is_some()
    }
}
