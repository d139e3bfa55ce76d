//! One stream: taps, outbox and connection.
use std::os::fd::RawFd;

use super::spec;
use crate::clock::{Clock, Nanos};
use crate::connector::Established;
use crate::dtmf::Press;
use crate::error::Result;
use crate::events::Events;
use crate::orders::{Side, StreamSpec};
use crate::tap::TapPacket;

/// Reception of one side since the call began, for `stream.stats`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SideReception {
    /// Packets received.
    pub packets_received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after a newer one.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Estimated mean opinion score.
    pub mos: Option<f64>,
}

/// What a stream has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Sequence numbers given out.
    pub messages: u64,
    /// Bytes handed to the network.
    pub sent_bytes: u64,
    /// Samples that were never handed to the network.
    pub dropped_samples: u64,
}

/// The handles that a stream's events carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamIds {
    /// The call it belongs to.
    pub call: u64,
    /// The stream itself.
    pub stream: u64,
}

/// See the module.
#[derive(Debug)]
pub struct MediaStream {}

#[allow(unused_variables, clippy::unused_self, clippy::needless_pass_by_value)]
impl MediaStream {
    /// Begins a stream: its clock runs and its frames are queued from now on.
    pub fn open(ids: StreamIds, spec: StreamSpec, clock: Clock, now: Nanos) -> Result<Self> {
        spec::validate(&spec)?;
        Ok(Self {})
    }
    /// The index of the side's channel, if the stream taps it.
    pub fn taps(&self, side: Side) -> Option<usize> {
        None
    }
    /// Takes one packet of a side; a side that is not tapped is ignored.
    pub fn on_rtp(&mut self, side: Side, packet: &TapPacket<'_>, now: Nanos, events: &mut Events) {}
    /// Tells a finished key press of a tapped side.
    pub fn on_press(&mut self, side: Side, press: &Press, now: Nanos, events: &mut Events) {}
    /// Says whether the participant of a side holds the call.
    pub fn set_held(&mut self, side: Side, held: bool) {}
    /// Whether the next tick sends `stream.stats`: reception should be handed in before it.
    pub fn stats_due(&self, now: Nanos) -> bool {
        false
    }
    /// Hands in a side's reception.
    pub fn set_reception(&mut self, side: Side, reception: SideReception) {}
    /// Goes on over a new connection; an old one is given up.
    pub fn attach(&mut self, established: Established, now: Nanos, events: &mut Events) {}
    /// Takes what the socket says (level-triggered).
    pub fn on_ready(&mut self, readable: bool, writable: bool, now: Nanos, events: &mut Events) {}
    /// Does what time asks for.
    pub fn tick(&mut self, now: Nanos, events: &mut Events) {}
    /// When tick has something to do next; `tap::NEVER` when nothing.
    pub fn next_due(&self) -> Nanos {
        crate::tap::NEVER
    }
    /// Queues a control message; `event` is `metadata` or `dtmf`.
    pub fn send_control(&mut self, event: &str, body: &[u8], now: Nanos) -> Result<()> {
        Ok(())
    }
    /// Stops the media or lets it go on.
    pub fn pause(&mut self, on: bool, now: Nanos) {}
    /// Ends the stream: see `Engine.close_stream`.
    pub fn close(&mut self, body: &[u8], code: u16, drain_ms: u32, now: Nanos) -> Result<()> {
        Ok(())
    }
    /// Ends the stream at once.
    pub fn abort(&mut self, now: Nanos, events: &mut Events) {}
    /// The socket to be polled; none without a connection. It changes with `attach` and with a loss.
    pub fn fd(&self) -> Option<RawFd> {
        None
    }
    /// Whether the socket should be polled for room too.
    pub fn wants_write(&self) -> bool {
        false
    }
    /// Whether `stream_closed` has been told; nothing more comes.
    pub fn is_finished(&self) -> bool {
        false
    }
    /// Whether the stream was told to close.
    pub fn is_closing(&self) -> bool {
        false
    }
    /// What the stream has done so far.
    pub fn counters(&self) -> StreamCounters {
        StreamCounters::default()
    }
}
