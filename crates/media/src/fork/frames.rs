//! A side in G.711, whatever it speaks: along the timeline of the taps, so that each moment of the call is in the
//! recording exactly once, in order, as the side's own bytes where it speaks the recorder's law.
use super::agreed::Agreed;
use super::events::EventRelay;
use super::line::{Line, Outgoing};
use super::packetiser::{Packetiser, Ready, RATE};
use super::stats::Counters;
use super::turn::{ForkPacket, Outlet, Wire};
use crate::clock::{Nanos, MILLISECOND};
use crate::codec::Encoding;
use crate::tap::packet::{Audio, Packet, Shape, Sink};
use crate::tap::timeline::{Timeline, MAX_LAG};
use crate::tap::{Cause, TapCodec, NEVER};

/// Samples of a frame: the grid on which audio that has no place yet is put down, and silence is filled.
const FRAME: u64 = 160;
/// How long a packet waits for an earlier one.
const WINDOW: Nanos = 60 * MILLISECOND;
/// An event farther than this from the wall clock has a timestamp that says nothing.
const FAR: i64 = 2 * RATE as i64;

/// See the module.
#[derive(Debug)]
pub struct Frames {
    timeline: Timeline,
    packets: Packetiser,
    events: EventRelay,
    counters: Counters,
    /// The packet before carried audio: the next one is no begin of a talkspurt (RFC 3551 section 4.1).
    talking: bool,
    off: bool,
    unsupported: bool,
}

/// Takes what comes before the recording's begin.
struct Nothing;

impl Sink for Nothing {
    fn audio(&mut self, _at: u64, _audio: &Audio<'_>) {}
    fn silence(&mut self, _at: u64, _samples: u64, _cause: Cause) {}
    fn dropped(&mut self, _at: u64, _samples: u64, _cause: Cause) {}
}

impl Frames {
    /// Begins at `from`, on the clock that `line` keeps.
    pub fn new(encoding: Encoding, agreed: &Agreed, line: &Line, from: Nanos) -> Self {
        let mut timeline = Timeline::new(Shape {
            rate: RATE,
            frame: FRAME,
            window: WINDOW,
            start: line.start(),
        });
        let front = frame_begin(&timeline, from);
        timeline.pause(0, &mut Nothing);
        timeline.resume(front, &mut Nothing);
        Self {
            timeline,
            packets: Packetiser::new(encoding, agreed.packet_ticks() as usize, front),
            events: EventRelay::default(),
            counters: Counters::default(),
            talking: false,
            off: false,
            unsupported: false,
        }
    }

    /// Goes on in another law, or in packets of another length; `wire` is still the former one.
    pub fn change<O: Outlet>(
        &mut self,
        encoding: Encoding,
        agreed: &Agreed,
        wire: &mut Wire<'_, O>,
    ) {
        let shape = |agreed: &Agreed| (agreed.kind, agreed.ptime_ms);
        if shape(wire.agreed) != shape(agreed) {
            self.send_rest(wire);
            let samples = agreed.packet_ticks() as usize;
            self.packets.change(encoding, samples);
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        let timeline = self.timeline.counters();
        Counters {
            gaps: *self.packets.gaps(),
            late: timeline.late,
            duplicate: timeline.duplicate,
            ..self.counters
        }
    }

    /// Says whether the side is on hold: its silence is then of that cause.
    pub fn set_held(&mut self, held: bool) {
        self.timeline.set_hold(held);
    }

    /// Takes a packet of the side. Says whether it is the first that can't be decoded.
    pub fn on_packet<O: Outlet>(
        &mut self,
        packet: &ForkPacket<'_>,
        at: Nanos,
        wire: &mut Wire<'_, O>,
    ) -> bool {
        self.timeline
            .push(&Packet::from(&packet.media), at, &mut self.packets);
        self.deliver(wire);
        match packet.media.codec {
            TapCodec::Event { .. } => self.on_event(packet, at, wire),
            TapCodec::Audio(_) => self.unsupported = false,
            TapCodec::Unsupported { .. } => {
                self.counters.unfit += 1;
                return !std::mem::replace(&mut self.unsupported, true);
            }
            TapCodec::Noise { .. } => {}
        }
        false
    }

    fn on_event<O: Outlet>(&mut self, packet: &ForkPacket<'_>, at: Nanos, wire: &mut Wire<'_, O>) {
        let Some(payload_type) = EventRelay::fit(packet, wire.agreed).filter(|_| !self.off) else {
            self.counters.events_withheld += 1;
            return;
        };
        let here = wire.line.position_at(at);
        let mapped = self
            .timeline
            .position_of(packet.media.ssrc, packet.media.timestamp, at) as i64;
        let position = if (mapped - here).abs() < FAR {
            mapped
        } else {
            here
        };
        self.counters.events_sent += 1;
        self.events.send(packet, payload_type, position, wire);
    }

    /// Does what time asks for.
    pub fn tick<O: Outlet>(&mut self, at: Nanos, wire: &mut Wire<'_, O>) {
        if self.off {
            return;
        }
        self.timeline.release(at, &mut self.packets);
        let target = self.timeline.position_at(at.saturating_sub(MAX_LAG));
        self.timeline.fill_until(target, &mut self.packets);
        self.deliver(wire);
    }

    /// When [`Frames::tick`] has something to do.
    pub fn due(&self) -> Nanos {
        if self.off {
            return NEVER;
        }
        self.timeline.due()
    }

    /// Sends all that was heard until now, and nothing more.
    pub fn stop<O: Outlet>(&mut self, at: Nanos, wire: &mut Wire<'_, O>) {
        if self.off {
            return;
        }
        self.timeline.flush(at, &mut self.packets);
        let cursor = self.timeline.cursor();
        self.timeline.pause(cursor, &mut self.packets);
        self.deliver(wire);
        self.send_rest(wire);
        self.off = true;
    }

    /// Goes on with the frame that the wall clock is in.
    pub fn go_on(&mut self, at: Nanos) {
        if !self.off {
            return;
        }
        self.off = false;
        self.talking = false;
        let front = frame_begin(&self.timeline, at).max(self.timeline.cursor());
        self.timeline.resume(front, &mut self.packets);
    }

    fn deliver<O: Outlet>(&mut self, wire: &mut Wire<'_, O>) {
        while let Some(ready) = self.packets.take() {
            send(ready, &mut self.talking, &mut self.counters, wire);
        }
    }

    fn send_rest<O: Outlet>(&mut self, wire: &mut Wire<'_, O>) {
        if let Some(ready) = self.packets.take_rest() {
            send(ready, &mut self.talking, &mut self.counters, wire);
        }
    }
}

fn send<O: Outlet>(
    ready: Ready<'_>,
    talking: &mut bool,
    counters: &mut Counters,
    wire: &mut Wire<'_, O>,
) {
    let talks = ready.audio > 0;
    counters.samples += ready.audio as u64;
    counters.silence += (ready.payload.len() - ready.audio) as u64;
    wire.send(&Outgoing {
        payload_type: wire.agreed.codec.payload_type,
        marker: talks && !*talking,
        behind: 0,
        timestamp: wire.line.timestamp(ready.position as i64),
        payload: ready.payload,
    });
    *talking = talks;
}

/// Where the frame begins that the wall clock is in.
fn frame_begin(timeline: &Timeline, at: Nanos) -> u64 {
    let here = timeline.position_at(at);
    here - here % FRAME
}
