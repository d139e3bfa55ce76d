//! One recorded stream: what of a side goes to the recorder, when, and as what.
//!
//! Pure: packets go to an [`Outlet`], time is an argument.
use super::agreed::{Agreed, Kind};
use super::backlog::{Backlog, What};
use super::filler::Filler;
use super::frames::Frames;
use super::line::Line;
use super::passage::Passage;
use super::stats::Counters;
use super::turn::{ForkPacket, Outlet, Wire};
use crate::clock::Nanos;
use crate::orders::LegCodec;
use crate::tap::NEVER;

/// How packets are made.
#[derive(Debug)]
enum Mode {
    Frames(Box<Frames>),
    Passage(Box<Passage>),
}

/// What becomes of what is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// It is kept: the recorder has not answered.
    Waiting,
    /// It is sent.
    Flowing,
    /// It is left out.
    Off,
}

/// What is known of a stream when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// When it was ordered: nothing before is recorded.
    pub opened: Nanos,
    /// How long what is heard is kept for a recorder that has not answered.
    pub early: Nanos,
}

/// See the module.
#[derive(Debug)]
pub struct ForkStream {
    line: Line,
    opened: Nanos,
    early: Nanos,
    backlog: Backlog,
    formats: Vec<LegCodec>,
    agreed: Option<Agreed>,
    mode: Option<Mode>,
    flow: Flow,
    wanted: bool,
    paused: bool,
    held: bool,
    /// What was counted in modes that are gone.
    past: Counters,
}

impl ForkStream {
    /// A stream that waits for its recorder.
    pub fn new(line: Line, beginning: Beginning) -> Self {
        Self {
            line,
            opened: beginning.opened,
            early: beginning.early,
            backlog: Backlog::new(beginning.early),
            formats: Vec::new(),
            agreed: None,
            mode: None,
            flow: Flow::Waiting,
            wanted: false,
            paused: false,
            held: false,
            past: Counters::default(),
        }
    }

    /// Its numbers and its clock.
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// How far its timestamps have run ahead of the wall clock, in ticks.
    pub fn skew(&self) -> i64 {
        match &self.mode {
            Some(Mode::Passage(passage)) => passage.skew(),
            _ => 0,
        }
    }

    /// Packets that were heard too early to be kept.
    pub const fn early_dropped(&self) -> u64 {
        self.backlog.dropped()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        let mut sum = self.past;
        sum.add(&self.mode_counters());
        sum
    }

    fn mode_counters(&self) -> Counters {
        match &self.mode {
            Some(Mode::Frames(frames)) => frames.counters(),
            Some(Mode::Passage(passage)) => passage.counters(),
            None => Counters::default(),
        }
    }

    /// Learns what the party's payload types mean.
    pub fn set_formats(&mut self, formats: &[LegCodec]) {
        self.formats = formats.to_vec();
        if let Some(agreed) = &mut self.agreed {
            agreed.map_formats(formats);
        }
    }

    /// Says whether the side is on hold: its silence is then of that cause.
    pub fn set_held(&mut self, held: bool) {
        self.held = held;
        match &mut self.mode {
            Some(Mode::Frames(frames)) => frames.set_held(held),
            Some(Mode::Passage(passage)) => passage.set_held(held),
            None => {}
        }
    }

    /// Takes what was agreed. What is on the way still goes as was agreed before.
    pub fn agree(&mut self, agreed: Option<Agreed>, now: Nanos, outlet: &mut impl Outlet) {
        self.catch_up(now, outlet);
        let Some(mut agreed) = agreed else {
            return;
        };
        agreed.map_formats(&self.formats);
        match self.agreed.take() {
            Some(former) if former.is_like(&agreed) => self.adapt(&former, &agreed, outlet),
            Some(former) => self.rebuild(&former, &agreed, now, outlet),
            None => self.line.set_rate(agreed.codec.clock_rate, now),
        }
        self.agreed = Some(agreed);
    }

    /// The same way of making packets, in another shape.
    fn adapt(&mut self, former: &Agreed, agreed: &Agreed, outlet: &mut impl Outlet) {
        if let (Some(Mode::Frames(frames)), Kind::Frames(encoding)) = (&mut self.mode, agreed.kind)
        {
            let line = &mut self.line;
            let mut wire = Wire {
                agreed: former,
                line,
                outlet,
            };
            frames.change(encoding, agreed, &mut wire);
        }
    }

    /// Another way of making packets.
    fn rebuild(&mut self, former: &Agreed, agreed: &Agreed, now: Nanos, outlet: &mut impl Outlet) {
        let line = &mut self.line;
        let mut wire = Wire {
            agreed: former,
            line,
            outlet,
        };
        match &mut self.mode {
            Some(Mode::Frames(frames)) => frames.stop(now, &mut wire),
            Some(Mode::Passage(passage)) => passage.stop(),
            None => {}
        }
        let counters = self.mode_counters();
        self.past.add(&counters);
        self.line.set_rate(agreed.codec.clock_rate, now);
        if self.mode.is_some() {
            self.mode = Some(self.make_mode(agreed, now));
            if self.flow == Flow::Off {
                self.stop_mode(agreed, now, outlet);
            }
        }
    }

    fn make_mode(&self, agreed: &Agreed, from: Nanos) -> Mode {
        match agreed.kind {
            Kind::Frames(encoding) => {
                let mut frames = Frames::new(encoding, agreed, &self.line, from);
                frames.set_held(self.held);
                Mode::Frames(Box::new(frames))
            }
            Kind::Passage => {
                let mut passage = Passage::new(Filler::of(&agreed.codec), &self.line, from);
                passage.set_held(self.held);
                Mode::Passage(Box::new(passage))
            }
        }
    }

    /// Says whether the recorder wants the stream.
    pub fn want(&mut self, wanted: bool, now: Nanos, outlet: &mut impl Outlet) {
        if wanted != self.wanted {
            self.catch_up(now, outlet);
            self.wanted = wanted;
            self.turn(now, outlet);
        }
    }

    /// Sends nothing more, or goes on.
    pub fn pause(&mut self, on: bool, now: Nanos, outlet: &mut impl Outlet) {
        if on == self.paused {
            return;
        }
        if self.flow == Flow::Waiting {
            self.backlog.note_pause(on, now);
        } else {
            self.catch_up(now, outlet);
        }
        self.paused = on;
        self.turn(now, outlet);
    }

    /// Whether packets are sent.
    pub fn is_flowing(&self) -> bool {
        self.flow == Flow::Flowing
    }

    /// Whether packets would be sent if the recorder wanted the stream.
    pub const fn is_ready(&self) -> bool {
        self.agreed.is_some() && !self.paused
    }

    fn turn(&mut self, now: Nanos, outlet: &mut impl Outlet) {
        let on = self.wanted && self.is_ready();
        match (self.flow, on) {
            (Flow::Waiting, true) => self.begin(now, outlet),
            (Flow::Flowing, false) => {
                if let Some(agreed) = self.agreed.take() {
                    self.stop_mode(&agreed, now, outlet);
                    self.agreed = Some(agreed);
                }
                self.flow = Flow::Off;
            }
            (Flow::Off, true) => {
                self.resume_mode(now);
                self.flow = Flow::Flowing;
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: Nanos, outlet: &mut impl Outlet) {
        let Some(agreed) = &self.agreed else { return };
        let from = now.saturating_sub(self.early).max(self.opened).min(now);
        self.mode = Some(self.make_mode(agreed, from));
        self.flow = Flow::Flowing;
        self.backlog.begin(from, now);
        self.pump(now, outlet);
    }

    fn stop_mode(&mut self, agreed: &Agreed, at: Nanos, outlet: &mut impl Outlet) {
        let line = &mut self.line;
        let mut wire = Wire {
            agreed,
            line,
            outlet,
        };
        match &mut self.mode {
            Some(Mode::Frames(frames)) => frames.stop(at, &mut wire),
            Some(Mode::Passage(passage)) => passage.stop(),
            None => {}
        }
    }

    fn resume_mode(&mut self, at: Nanos) {
        match &mut self.mode {
            Some(Mode::Frames(frames)) => frames.go_on(at),
            Some(Mode::Passage(passage)) => passage.go_on(at, &self.line),
            None => {}
        }
    }

    /// Takes a packet of the side. Says whether it is the first that can neither be sent nor transcoded.
    pub fn on_packet(
        &mut self,
        packet: &ForkPacket<'_>,
        now: Nanos,
        outlet: &mut impl Outlet,
    ) -> bool {
        match self.flow {
            Flow::Waiting if self.paused => false,
            Flow::Waiting => {
                self.backlog.keep(packet, now);
                false
            }
            Flow::Flowing if self.backlog.is_behind() => {
                self.backlog.keep(packet, now);
                self.pump(now, outlet)
            }
            Flow::Flowing | Flow::Off => self.play(packet, now, outlet),
        }
    }

    fn play(&mut self, packet: &ForkPacket<'_>, at: Nanos, outlet: &mut impl Outlet) -> bool {
        let Some(agreed) = &self.agreed else {
            return false;
        };
        let line = &mut self.line;
        let mut wire = Wire {
            agreed,
            line,
            outlet,
        };
        match &mut self.mode {
            Some(Mode::Frames(frames)) => frames.on_packet(packet, at, &mut wire),
            Some(Mode::Passage(passage)) => passage.on_packet(packet, at, &mut wire),
            None => false,
        }
    }

    fn tick(&mut self, at: Nanos, outlet: &mut impl Outlet) {
        let Some(agreed) = &self.agreed else { return };
        let line = &mut self.line;
        let mut wire = Wire {
            agreed,
            line,
            outlet,
        };
        match &mut self.mode {
            Some(Mode::Frames(frames)) => frames.tick(at, &mut wire),
            Some(Mode::Passage(passage)) => passage.tick(at, &mut wire),
            None => {}
        }
    }

    /// Plays all of the past at once.
    fn catch_up(&mut self, now: Nanos, outlet: &mut impl Outlet) {
        if self.flow == Flow::Flowing && self.backlog.is_behind() {
            self.backlog.hurry(now);
            self.pump(now, outlet);
        }
    }

    /// Plays what of the past is due.
    fn pump(&mut self, now: Nanos, outlet: &mut impl Outlet) -> bool {
        let mut unfit = false;
        let mut off = false;
        loop {
            let time = self.backlog.time_at(now);
            while let Some(item) = self.backlog.take(time) {
                self.tick(item.at, outlet);
                match &item.what {
                    What::Packet(stored) => unfit |= self.play(&stored.packet(), item.at, outlet),
                    What::Pause(on) => off = self.note_pause(*on, item.at, outlet),
                }
                self.backlog.recycle(item);
            }
            if !off || self.backlog.next().is_none() {
                self.tick(time, outlet);
                self.backlog.settle(now);
                return unfit;
            }
            self.backlog.leap(now);
        }
    }

    /// What was paused in the past is left out.
    fn note_pause(&mut self, on: bool, at: Nanos, outlet: &mut impl Outlet) -> bool {
        if on {
            if let Some(agreed) = self.agreed.take() {
                self.stop_mode(&agreed, at, outlet);
                self.agreed = Some(agreed);
            }
        } else {
            self.resume_mode(at);
        }
        on
    }

    /// When [`ForkStream::on_timer`] has something to do.
    pub fn due(&self) -> Nanos {
        if self.flow != Flow::Flowing {
            return NEVER;
        }
        let mode = match &self.mode {
            Some(Mode::Frames(frames)) => frames.due(),
            Some(Mode::Passage(passage)) => passage.due(&self.line),
            None => NEVER,
        };
        let next = self.backlog.next().unwrap_or(NEVER);
        self.backlog.when(mode.min(next))
    }

    /// Does what time asks for. Says whether a packet was the first that can neither be sent nor transcoded.
    pub fn on_timer(&mut self, now: Nanos, outlet: &mut impl Outlet) -> bool {
        if self.flow != Flow::Flowing || self.due() > now {
            return false;
        }
        if self.backlog.is_behind() {
            return self.pump(now, outlet);
        }
        self.tick(now, outlet);
        false
    }

    /// Sends all that was heard, and ends.
    pub fn end(&mut self, now: Nanos, outlet: &mut impl Outlet) {
        self.catch_up(now, outlet);
        self.wanted = false;
        self.turn(now, outlet);
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
