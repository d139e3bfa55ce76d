//! A side in a codec that is not made here, as the call has it: the payloads as they come, in the order in which they come,
//! under our source, our numbers and our times. What was lost or out of order on the way to us is so for the recorder too.
use super::events::EventRelay;
use super::filler::Filler;
use super::line::{Line, Outgoing};
use super::stats::Counters;
use super::turn::{ForkPacket, Outlet, Wire};
use crate::clock::{Nanos, MILLISECOND};
use crate::sequence::{Arrival, Sequence};
use crate::tap::mapping::Mapping;
use crate::tap::timeline::MAX_LAG;
use crate::tap::{Cause, TapCodec, NEVER};

/// A position farther than this from the wall clock is no position: the source is placed anew.
const FAR_SECONDS: i64 = 2;
/// Packets of a sender whose timestamps stood still while it was silent come at least this far apart; those
/// of a burst after a stall of the network don't.
const PACED: Nanos = 8 * MILLISECOND;
/// Paced packets in a row for whose time silence was sent, until their sender's timestamps are believed to have
/// stood still.
const STANDSTILL: u32 = 2;

#[derive(Debug)]
struct Source {
    ssrc: u32,
    mapping: Mapping,
    sequence: Sequence,
    /// Numbers up to this one have no place any more: others have been put in since.
    floor: i64,
    last_arrival: Nanos,
    stale: u32,
}

impl Source {
    fn newest(&self) -> i64 {
        self.sequence.newest().unwrap_or_default()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Passage {
    source: Option<Source>,
    filler: Option<Filler>,
    events: EventRelay,
    counters: Counters,
    /// End of what was sent.
    cursor: i64,
    /// End of the silence, or of the pause, that was last told: nothing goes before it.
    barred: i64,
    /// How far the party's clock has run ahead of ours.
    skew: i64,
    talking: bool,
    /// Why the side is silent when it is.
    idle: Cause,
    off: bool,
    unfit: bool,
}

impl Passage {
    /// Begins at `from`.
    pub fn new(filler: Option<Filler>, line: &Line, from: Nanos) -> Self {
        let begin = line.position_at(from);
        Self {
            source: None,
            filler,
            events: EventRelay::default(),
            counters: Counters::default(),
            cursor: begin,
            barred: begin,
            skew: 0,
            talking: false,
            idle: Cause::Silence,
            off: false,
            unfit: false,
        }
    }

    /// What was counted.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How far timestamps have run ahead of the wall clock, in ticks.
    pub const fn skew(&self) -> i64 {
        self.skew
    }

    /// Says whether the side is on hold: its silence is then of that cause.
    pub fn set_held(&mut self, held: bool) {
        self.idle = if held { Cause::Hold } else { Cause::Silence };
    }

    /// Takes a packet of the side. Says whether it is the first of a format that can't be sent.
    pub fn on_packet<O: Outlet>(
        &mut self,
        packet: &ForkPacket<'_>,
        at: Nanos,
        wire: &mut Wire<'_, O>,
    ) -> bool {
        let Some(behind) = self.number(packet, at, wire) else {
            return false;
        };
        match packet.media.codec {
            TapCodec::Event { .. } => self.on_event(packet, at, wire),
            _ if self.off => self.absorb(),
            _ if wire.agreed.fits(packet.payload_type) => {
                self.unfit = false;
                self.forward(packet, behind, at, wire);
            }
            TapCodec::Noise { .. } => self.absorb(),
            TapCodec::Audio(_) | TapCodec::Unsupported { .. } => {
                self.absorb();
                self.counters.unfit += 1;
                return !std::mem::replace(&mut self.unfit, true);
            }
        }
        false
    }

    /// How far before the next number the packet's is; 0 for one in order. Nothing when it has no place.
    fn number<O: Outlet>(
        &mut self,
        packet: &ForkPacket<'_>,
        at: Nanos,
        wire: &mut Wire<'_, O>,
    ) -> Option<u16> {
        let known = self.source.as_ref().map(|source| source.ssrc);
        if known != Some(packet.media.ssrc) {
            let mapping = self.anchor(packet, at, wire.line);
            self.source = Some(Source {
                ssrc: packet.media.ssrc,
                mapping,
                sequence: Sequence::default(),
                floor: i64::MIN,
                last_arrival: at,
                stale: 0,
            });
        }
        let source = self.source.as_mut()?;
        match source.sequence.observe(packet.media.sequence) {
            Arrival::Newer { skipped } => {
                if !self.off {
                    wire.line.skip(skipped);
                    let ticks = u64::from(skipped) * u64::from(wire.agreed.packet_ticks());
                    self.counters.gaps.add(Cause::Loss, ticks);
                }
                Some(0)
            }
            Arrival::Late => {
                let number = source.sequence.extend(packet.media.sequence);
                if number > source.floor {
                    return Some((source.newest() - number + 1) as u16);
                }
                self.counters.late += 1;
                None
            }
            Arrival::Duplicate => {
                self.counters.duplicate += 1;
                None
            }
            Arrival::Suspect => None,
            Arrival::Restarted => {
                source.floor = source.newest() - 1;
                Some(0)
            }
        }
    }

    fn anchor(&mut self, packet: &ForkPacket<'_>, at: Nanos, line: &Line) -> Mapping {
        let position = line.position_at(at).max(self.barred);
        let rate = line.rate();
        self.skew = 0;
        Mapping::anchored(packet.media.timestamp, rate, position.max(0) as u64, rate)
    }

    /// The packet takes no number of ours, nor do those that come after newer ones.
    fn absorb(&mut self) {
        if let Some(source) = &mut self.source {
            source.floor = source.newest();
        }
    }

    fn on_event<O: Outlet>(&mut self, packet: &ForkPacket<'_>, at: Nanos, wire: &mut Wire<'_, O>) {
        self.absorb();
        let Some(payload_type) = EventRelay::fit(packet, wire.agreed).filter(|_| !self.off) else {
            self.counters.events_withheld += 1;
            return;
        };
        let here = wire.line.position_at(at);
        let same_clock = packet.media.codec.clock_rate() == wire.line.rate();
        let mapped = self
            .source
            .as_ref()
            .filter(|_| same_clock)
            .map_or(here, |source| {
                source.mapping.position(packet.media.timestamp)
            });
        let position = if is_far(mapped - here, wire.line) {
            here
        } else {
            mapped
        };
        self.counters.events_sent += 1;
        self.events.send(packet, payload_type, position, wire);
    }

    fn forward<O: Outlet>(
        &mut self,
        packet: &ForkPacket<'_>,
        behind: u16,
        at: Nanos,
        wire: &mut Wire<'_, O>,
    ) {
        let ticks = wire.agreed.packet_ticks();
        let Some(begin) = self.locate(packet, behind, at, wire.line) else {
            self.absorb();
            self.counters.late += 1;
            return;
        };
        wire.send(&Outgoing {
            payload_type: wire.agreed.codec.payload_type,
            marker: packet.marker || !self.talking,
            behind,
            timestamp: wire.line.timestamp(begin),
            payload: packet.media.payload,
        });
        self.talking = true;
        self.counters.samples += u64::from(ticks);
        self.cursor = self.cursor.max(begin + i64::from(ticks));
    }

    /// Where the packet begins; nothing when silence has been sent for its time.
    fn locate(
        &mut self,
        packet: &ForkPacket<'_>,
        behind: u16,
        at: Nanos,
        line: &Line,
    ) -> Option<i64> {
        let here = line.position_at(at);
        let source = self.source.as_mut()?;
        let (begin, _) = source.mapping.span(packet.media.timestamp, 0);
        let paced = at.saturating_sub(source.last_arrival) >= PACED;
        source.last_arrival = at;
        let stale = begin < self.barred;
        source.stale = if stale && paced { source.stale + 1 } else { 0 };
        let stood_still = source.stale >= STANDSTILL;
        if behind == 0 && (stood_still || is_far(begin - here, line)) {
            source.stale = 0;
            let mapping = self.anchor(packet, at, line);
            let source = self.source.as_mut()?;
            source.mapping = mapping;
            return Some(source.mapping.position(packet.media.timestamp));
        }
        if stale {
            return None;
        }
        if let Some(moved) = source.mapping.observe_transit(here - begin, at) {
            self.skew = -moved;
        }
        Some(begin)
    }

    /// Does what time asks for: sends silence for a side that has been silent for too long.
    pub fn tick<O: Outlet>(&mut self, at: Nanos, wire: &mut Wire<'_, O>) {
        if self.off || self.due(wire.line) > at {
            return;
        }
        let until = wire.line.position_at(at.saturating_sub(MAX_LAG)) + self.skew;
        let Some(filler) = &self.filler else { return };
        while self.cursor < until {
            wire.send(&Outgoing {
                payload_type: wire.agreed.codec.payload_type,
                marker: false,
                behind: 0,
                timestamp: wire.line.timestamp(self.cursor),
                payload: &filler.payload,
            });
            self.cursor += i64::from(filler.ticks);
            self.counters.silence += u64::from(filler.ticks);
            self.counters.gaps.add(self.idle, u64::from(filler.ticks));
        }
        self.talking = false;
        self.barred = self.cursor;
        self.absorb();
    }

    /// When [`Passage::tick`] has something to do.
    pub fn due(&self, line: &Line) -> Nanos {
        if self.off || self.filler.is_none() {
            return NEVER;
        }
        line.time_of(self.cursor - self.skew + 1) + MAX_LAG
    }

    /// Sends nothing more.
    pub fn stop(&mut self) {
        self.off = true;
        self.absorb();
    }

    /// Goes on; what was said before is left out.
    pub fn go_on(&mut self, at: Nanos, line: &Line) {
        if !self.off {
            return;
        }
        self.off = false;
        self.talking = false;
        let here = line.position_at(at) + self.skew;
        if here > self.cursor {
            self.counters
                .gaps
                .add(Cause::Paused, (here - self.cursor) as u64);
            self.cursor = here;
        }
        self.barred = self.cursor;
    }
}

fn is_far(difference: i64, line: &Line) -> bool {
    difference.abs() > FAR_SECONDS * i64::from(line.rate())
}

#[cfg(test)]
#[path = "passage_tests.rs"]
mod tests;
