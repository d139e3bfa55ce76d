//! Forks: a call's sides as RTP streams of our own to a recording server, in the role of an RTP endpoint (RFC 7866
//! section 8.1.3): own sources, numbers, clocks and reports, so that nothing of the recording session leaks into
//! the call.
//!
//! ```text
//! packet → backlog (until the recorder has answered) → frames  (G.711: timeline, transcoder, packetiser) → line → port
//!                                                    ↘ passage (any other codec: as it came, renumbered) ↗
//! ```
//!
//! All but the port is pure: it does no I/O and reads no clock.
mod agreed;
mod backlog;
mod events;
mod filler;
mod frames;
mod line;
mod packetiser;
mod passage;
mod port;
mod recording;
mod reports;
mod spec;
mod stats;
mod stream;
mod turn;

pub use recording::{Recording, RecordingIds};
pub use spec::{RecordingSpec, RecordingTarget};
pub use stats::RecordedStreamStats;
pub use turn::{ForkPacket, ForkTurn};
