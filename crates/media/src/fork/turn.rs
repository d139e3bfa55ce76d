//! What a recording is handed in one turn of its worker.
use super::agreed::Agreed;
use super::line::{Line, Outgoing};
use crate::clock::{Clock, Nanos};
use crate::events::Events;
use crate::random::Random;
use crate::tally::Tally;
use crate::tap::TapPacket;

/// What a worker lends to a recording while it serves it.
#[derive(Debug)]
pub struct ForkTurn<'a> {
    /// The time of this turn.
    pub now: Nanos,
    /// The wall clock.
    pub clock: Clock,
    /// For intervals.
    pub random: &'a mut Random,
    /// Where RTCP packets are built.
    pub report: &'a mut Vec<u8>,
    /// What all recordings of the worker did.
    pub tally: &'a mut Tally,
    /// What is told.
    pub events: &'a mut Events,
}

/// One RTP packet of a recorded side. Every packet of the side belongs here: a number left out would be taken
/// for loss.
#[derive(Debug, Clone, Copy)]
pub struct ForkPacket<'a> {
    /// What a tap makes of it.
    pub media: TapPacket<'a>,
    /// The payload type that the party gave it.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
}

/// Takes packets for the network.
pub trait Outlet {
    /// Hands one packet over; whether it was taken.
    fn send(&mut self, packet: &[u8]) -> bool;
}

/// How and where the packets of a stream go.
#[derive(Debug)]
pub struct Wire<'a, O> {
    /// In what.
    pub agreed: &'a Agreed,
    /// Under which numbers and times.
    pub line: &'a mut Line,
    /// To whom.
    pub outlet: &'a mut O,
}

impl<O: Outlet> Wire<'_, O> {
    /// Sends one packet.
    pub fn send(&mut self, outgoing: &Outgoing<'_>) {
        self.line.send(outgoing, self.outlet);
    }
}
