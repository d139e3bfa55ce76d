//! One channel's timeline: RTP packets in any order go in; audio, silence and drops come out, in order and
//! without a hole, each sample of the stream's clock exactly once.
//!
//! Pure: time is an argument, and nothing here knows what a payload means.
use super::gap::Cause;
use super::mapping::Mapping;
use super::packet::{Audio, Content, Counters, Packet, Shape, Sink};
use super::reorder::{Held, Reorder};
use crate::clock::{Nanos, MILLISECOND, SECOND};
use crate::sequence::{Arrival, Sequence};

/// A channel that has been silent for so long is filled in step with the wall clock.
pub const MAX_LAG: Nanos = 100 * MILLISECOND;
/// Audio farther ahead of the wall clock than this waits for its time.
const MAX_AHEAD: Nanos = 60 * MILLISECOND;
/// A position farther than this from the wall clock is no position: the source is anchored anew.
const FAR: Nanos = 2 * SECOND;
/// Packets that wait for order or for their time; beyond it the oldest goes out.
const MAX_HELD: usize = 128;
/// A packet this late after an unbroken run of numbers may come from a sender whose timestamps stood
/// still while it was silent.
const STANDSTILL: Nanos = 50 * MILLISECOND;
/// How long such a packet waits for the next one.
const SUSPENSE: Nanos = 40 * MILLISECOND;
/// An anchor set on the word of such a packet is taken back if within this time the source runs ahead of it:
/// it was a burst after all, whose first packets came slowly.
const PROBATION: Nanos = 500 * MILLISECOND;
/// An event whose end has not been heard silences the channel for so long beyond its last update.
const EVENT_TAIL: Nanos = 200 * MILLISECOND;
/// No packet lasts longer: RFC 3551 section 4.2 has 200 ms.
const MAX_LENGTH: Nanos = 500 * MILLISECOND;
/// How far the first packet is placed before its arrival, at most, when it is longer than a frame.
const MAX_BACKSHIFT: Nanos = 60 * MILLISECOND;

#[derive(Debug)]
struct Source {
    ssrc: u32,
    clock_rate: u32,
    mapping: Mapping,
    sequence: Sequence,
    expected: i64,
}

/// What to return to when an anchor proves wrong.
#[derive(Debug)]
struct Doubt {
    mapping: Mapping,
    until: Nanos,
}

/// The stretch that a telephone-event silences.
#[derive(Debug, Clone, Copy)]
struct Mute {
    begin: i64,
    end: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Timeline {
    shape: Shape,
    cursor: u64,
    source: Option<Source>,
    held: Reorder,
    suspect: Option<Held>,
    doubt: Option<Doubt>,
    last_arrival: Nanos,
    mute: Option<Mute>,
    /// Samples of audio still to be left out to follow a fast sender.
    debt: u64,
    on_hold: bool,
    paused: bool,
    counters: Counters,
}

impl Timeline {
    /// An empty timeline whose first sample is due at `shape.start`.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            cursor: 0,
            source: None,
            held: Reorder::default(),
            suspect: None,
            doubt: None,
            last_arrival: 0,
            mute: None,
            debt: 0,
            on_hold: false,
            paused: false,
            counters: Counters::default(),
        }
    }

    /// The next position to be told.
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What went wrong on the way in.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The position that the wall clock is at.
    pub fn position_at(&self, now: Nanos) -> u64 {
        self.samples(now.saturating_sub(self.shape.start))
    }

    /// The position of a source's timestamp; the wall clock's when the source is not the one now heard.
    pub fn position_of(&self, ssrc: u32, timestamp: u32, now: Nanos) -> u64 {
        match &self.source {
            Some(source) if source.ssrc == ssrc => source.mapping.position(timestamp).max(0) as u64,
            _ => self.position_at(now),
        }
    }

    /// Says whether the participant holds the call: silence then is of that cause.
    pub fn set_hold(&mut self, on: bool) {
        self.on_hold = on;
    }

    /// Accounts for one packet. One that claims to last longer than any sender packs counts as late.
    pub fn push(&mut self, packet: &Packet<'_>, now: Nanos, sink: &mut impl Sink) {
        self.judge_suspect(now, sink);
        if packet.length() > MAX_LENGTH {
            self.counters.late += 1;
            return;
        }
        if !self.follow_source(packet, now, sink) {
            return;
        }
        let Some(source) = &mut self.source else {
            return;
        };
        let number = match source.sequence.observe(packet.sequence) {
            Arrival::Duplicate => {
                self.counters.duplicate += 1;
                return;
            }
            Arrival::Suspect => return,
            Arrival::Restarted => {
                self.restart(packet, now, sink);
                i64::from(packet.sequence)
            }
            Arrival::Newer { .. } | Arrival::Late => source.sequence.extend(packet.sequence),
        };
        self.admit(number, packet, now, sink);
        self.last_arrival = now;
    }

    /// Lets out what has waited long enough.
    pub fn release(&mut self, now: Nanos, sink: &mut impl Sink) {
        let old = |suspect: &Held| now.saturating_sub(suspect.arrival) >= SUSPENSE;
        if self.suspect.as_ref().is_some_and(old) {
            self.judge_suspect(now, sink);
        }
        self.release_held(now, false, sink);
    }

    /// Fills with silence, frame by frame, until the cursor has reached `target`.
    pub fn fill_until(&mut self, target: u64, sink: &mut impl Sink) {
        if self.paused || self.cursor >= target {
            return;
        }
        let frame = self.shape.frame;
        let mut to = target.div_ceil(frame) * frame;
        if let Some(next) = self.next_held_position() {
            if (next as u64) < to {
                to = next as u64 / frame * frame;
            }
        }
        let cause = if self.misses_one() {
            Cause::Loss
        } else {
            self.idle_cause()
        };
        self.fill(to, cause, sink);
    }

    /// Fills with silence up to `target`, whatever is held.
    pub fn complete(&mut self, target: u64, sink: &mut impl Sink) {
        if !self.paused {
            self.fill(target, self.idle_cause(), sink);
        }
    }

    /// Tells all that is held, and completes the frame.
    pub fn flush(&mut self, now: Nanos, sink: &mut impl Sink) {
        self.judge_suspect(now, sink);
        self.release_held(now, true, sink);
        let frame = self.shape.frame;
        self.complete(self.cursor.div_ceil(frame) * frame, sink);
    }

    /// Stops telling at `boundary`, a frame boundary; what lies before it is filled.
    pub fn pause(&mut self, boundary: u64, sink: &mut impl Sink) {
        self.fill(boundary, Cause::Paused, sink);
        self.paused = true;
        self.debt = 0;
    }

    /// While paused, moves on to `position`, a frame boundary, and tells the hole.
    pub fn skip(&mut self, position: u64, sink: &mut impl Sink) {
        if self.paused && position > self.cursor {
            sink.dropped(self.cursor, position - self.cursor, Cause::Paused);
            self.cursor = position;
        }
    }

    /// Goes on at `position`, a frame boundary.
    pub fn resume(&mut self, position: u64, sink: &mut impl Sink) {
        self.skip(position, sink);
        self.paused = false;
    }

    /// When [`Timeline::release`] or filling has something to do, if no packet comes before.
    pub fn due(&self) -> Nanos {
        let fill = if self.paused {
            self.time_of(self.cursor + self.shape.frame)
        } else {
            self.time_of(self.cursor + 1) + MAX_LAG
        };
        let suspect = self.suspect.as_ref();
        let fill = suspect.map_or(fill, |suspect| fill.min(suspect.arrival + SUSPENSE));
        let (Some((number, held)), Some(source)) = (self.held.first(), &self.source) else {
            return fill;
        };
        let position = source.mapping.position(held.packet.timestamp);
        let ordered = if number == source.expected {
            0
        } else {
            self.patience_ends(held.arrival, position)
        };
        let in_time = self.time_of(position.max(0) as u64);
        let release = ordered.max(in_time.saturating_sub(MAX_AHEAD));
        if self.blocks_filling(position) && !self.paused {
            release
        } else {
            fill.min(release)
        }
    }

    /// Whether a packet held for this position keeps the frame at the cursor from being filled.
    const fn blocks_filling(&self, position: i64) -> bool {
        let frame = self.shape.frame as i64;
        position >= self.cursor as i64 && position / frame * frame <= self.cursor as i64
    }

    /// When a packet is no longer held for an earlier one. Once its own place is reached, what it has overtaken
    /// would come too late; and when its frame must be filled, the channel would lag too far.
    fn patience_ends(&self, arrival: Nanos, position: i64) -> Nanos {
        if position <= self.cursor as i64 {
            return 0;
        }
        let window = arrival + self.shape.window;
        if self.blocks_filling(position) {
            window.min(self.time_of(self.cursor + 1) + MAX_LAG)
        } else {
            window
        }
    }

    /// Makes sure that there is a source for the packet. False when the packet can't have a place.
    fn follow_source(&mut self, packet: &Packet<'_>, now: Nanos, sink: &mut impl Sink) -> bool {
        let known = self.source.as_ref().is_some_and(|source| {
            let same_clock = source.clock_rate == packet.clock_rate
                || !matches!(packet.content, Content::Audio { .. });
            source.ssrc == packet.ssrc && same_clock
        });
        if known {
            return true;
        }
        self.release_held(now, true, sink);
        let Some(position) = self.arrival_position(packet.units(), packet.clock_rate, now) else {
            self.counters.late += 1;
            return false;
        };
        self.counters.anchored += 1;
        self.mute = None;
        self.doubt = None;
        self.debt = 0;
        self.source = Some(Source {
            ssrc: packet.ssrc,
            clock_rate: packet.clock_rate,
            mapping: Mapping::anchored(
                packet.timestamp,
                packet.clock_rate,
                position,
                self.shape.rate,
            ),
            sequence: Sequence::default(),
            expected: i64::from(packet.sequence),
        });
        true
    }

    /// The sender began new sequence numbers: what is held goes out, and the packet is placed by arrival
    /// if its timestamp has jumped as well.
    fn restart(&mut self, packet: &Packet<'_>, now: Nanos, sink: &mut impl Sink) {
        self.release_held(now, true, sink);
        if let Some(source) = &mut self.source {
            source.expected = i64::from(packet.sequence);
        }
    }

    fn admit(&mut self, number: i64, packet: &Packet<'_>, now: Nanos, sink: &mut impl Sink) {
        let Some(source) = &mut self.source else {
            return;
        };
        if number < source.expected {
            self.counters.late += 1;
            return;
        }
        let in_order = number == source.expected && self.held.is_empty();
        let mut position = source.mapping.position(packet.timestamp);
        if self.doubt.is_some() {
            position = self.reconsider(packet.timestamp, position, now);
        }
        if in_order && !self.is_ahead(position, now) {
            if let Some(source) = &mut self.source {
                source.expected = number + 1;
            }
            self.place_at(packet, false, now, now, sink);
            return;
        }
        self.held.insert(number, packet, now);
        self.release_held(now, false, sink);
    }

    fn release_held(&mut self, now: Nanos, all: bool, sink: &mut impl Sink) {
        while let Some((number, held)) = self.held.first() {
            let Some(source) = &self.source else {
                return;
            };
            let in_order = number == source.expected;
            let position = source.mapping.position(held.packet.timestamp);
            let waited = now >= self.patience_ends(held.arrival, position);
            let must = all || self.held.len() > MAX_HELD;
            if !must && ((!in_order && !waited) || self.is_ahead(position, now)) {
                return;
            }
            if let Some(source) = &mut self.source {
                source.expected = number + 1;
            }
            if let Some(held) = self.held.pop_first() {
                self.place_at(&held.packet, !in_order, held.arrival, now, sink);
                self.held.recycle(held);
            }
        }
    }

    fn is_ahead(&self, position: i64, now: Nanos) -> bool {
        let here = self.position_at(now) as i64;
        let ahead = position - here;
        ahead > self.samples(MAX_AHEAD) as i64 && ahead < self.samples(FAR) as i64
    }

    /// Whether a packet is waited for that a later one has overtaken: its silence is not the sender's.
    fn misses_one(&self) -> bool {
        let expected = self.source.as_ref().map(|source| source.expected);
        let first = self.held.first().map(|(number, _)| number);
        matches!((first, expected), (Some(first), Some(expected)) if first > expected)
    }

    fn next_held_position(&self) -> Option<i64> {
        let source = self.source.as_ref()?;
        let (_, held) = self.held.first()?;
        let position = source.mapping.position(held.packet.timestamp);
        (position >= self.cursor as i64).then_some(position)
    }

    fn place_at(
        &mut self,
        packet: &Packet<'_>,
        lost: bool,
        arrival: Nanos,
        now: Nanos,
        sink: &mut impl Sink,
    ) {
        match packet.content {
            Content::Nothing => {}
            Content::Event { duration, end } => self.place_event(packet, duration, end, now, sink),
            Content::Audio { .. } => self.place_audio(packet, lost, arrival, now, sink),
        }
    }

    fn place_event(
        &mut self,
        packet: &Packet<'_>,
        duration: u16,
        end: bool,
        now: Nanos,
        sink: &mut impl Sink,
    ) {
        let Some(source) = &mut self.source else {
            return;
        };
        if source.clock_rate != packet.clock_rate {
            return;
        }
        let begin = source.mapping.position(packet.timestamp);
        let finish = source
            .mapping
            .position(packet.timestamp.wrapping_add(u32::from(duration)));
        let tail = if end {
            0
        } else {
            self.samples(EVENT_TAIL) as i64
        };
        self.mute = Some(Mute {
            begin,
            end: finish + tail,
        });
        // What is known to be silent needs no waiting for.
        let horizon = (self.position_at(now) + self.shape.frame) as i64;
        let known = finish.min(horizon);
        if known > self.cursor as i64 && !self.paused {
            self.fill(known as u64, Cause::Silence, sink);
        }
    }

    fn place_audio(
        &mut self,
        packet: &Packet<'_>,
        lost: bool,
        arrival: Nanos,
        now: Nanos,
        sink: &mut impl Sink,
    ) {
        let Some((begin, end)) = self.locate(packet, arrival, now, sink) else {
            self.counters.late += 1;
            return;
        };
        if self.paused || end == begin {
            return;
        }
        let overlap = (self.cursor as i64 - begin).clamp(0, end - begin) as u64;
        let forgiven = overlap.min(self.debt);
        if forgiven > 0 {
            self.debt -= forgiven;
            sink.dropped(self.cursor, forgiven, Cause::Drift);
        } else if overlap == 0 {
            self.debt = 0;
        }
        if end <= self.cursor as i64 {
            if forgiven == 0 {
                self.too_late(packet, begin, arrival, now);
            }
            return;
        }
        if begin > self.cursor as i64 {
            let cause = if lost { Cause::Loss } else { self.idle_cause() };
            self.fill(begin as u64, cause, sink);
        }
        self.emit(packet, begin, end, sink);
    }

    /// Where the packet's audio begins and ends, after looking at the sender's drift. Nothing when it is
    /// far from the wall clock and can't be anchored either.
    fn locate(
        &mut self,
        packet: &Packet<'_>,
        arrival: Nanos,
        now: Nanos,
        sink: &mut impl Sink,
    ) -> Option<(i64, i64)> {
        let (far, units) = (self.samples(FAR) as i64, packet.units());
        let here = self.position_at(now) as i64;
        let arrived_at = self.position_at(arrival) as i64;
        let source = self.source.as_mut()?;
        let (begin, end) = source.mapping.span(packet.timestamp, units);
        if begin > here + far || end < here - far {
            return self
                .anchor(packet, arrival)
                .then(|| self.span(packet, units))
                .flatten();
        }
        let moved = source.mapping.observe_transit(arrived_at - begin, arrival);
        match moved {
            Some(moved) if self.follow_drift(moved, sink) => self.span(packet, units),
            _ => Some((begin, end)),
        }
    }

    fn span(&mut self, packet: &Packet<'_>, units: u32) -> Option<(i64, i64)> {
        Some(self.source.as_mut()?.mapping.span(packet.timestamp, units))
    }

    /// Inserts or owes one frame when the sender's clock has moved by one. True when it has.
    fn follow_drift(&mut self, moved: i64, sink: &mut impl Sink) -> bool {
        let frame = self.shape.frame as i64;
        if moved.abs() < frame || self.paused {
            return false;
        }
        let Some(source) = &mut self.source else {
            return false;
        };
        source.mapping.shift(frame * moved.signum());
        if moved > 0 {
            self.fill(self.cursor + self.shape.frame, Cause::Drift, sink);
        } else {
            self.debt += self.shape.frame;
        }
        true
    }

    fn emit(&mut self, packet: &Packet<'_>, begin: i64, end: i64, sink: &mut impl Sink) {
        let Content::Audio { format, payload } = &packet.content else {
            return;
        };
        let mut first = true;
        while (self.cursor as i64) < end {
            let at = self.cursor as i64;
            let (stop, mute) = self.stretch(at, end);
            if mute {
                self.fill(stop as u64, Cause::Silence, sink);
                continue;
            }
            let (total, skip, take) = (
                (end - begin) as u64,
                (at - begin) as u64,
                (stop - at) as u64,
            );
            sink.audio(
                self.cursor,
                &Audio {
                    format: *format,
                    payload,
                    total,
                    skip,
                    take,
                    first,
                },
            );
            self.cursor = stop as u64;
            first = false;
        }
    }

    /// How far from `at` on, at most to `end`, an event silences the channel or doesn't.
    fn stretch(&self, at: i64, end: i64) -> (i64, bool) {
        match self.mute {
            Some(mute) if mute.begin <= at && at < mute.end => (end.min(mute.end), true),
            Some(mute) if at < mute.begin && mute.begin < mute.end => (end.min(mute.begin), false),
            _ => (end, false),
        }
    }

    /// A packet whose place has been filled. When it is far behind although it follows its forerunner, its
    /// sender may have stopped its timestamps during silence; the next packet tells: a sender at its own
    /// pace is anchored anew, a burst after a stall of the network stays late.
    fn too_late(&mut self, packet: &Packet<'_>, begin: i64, arrival: Nanos, now: Nanos) {
        let behind = self.position_at(now) as i64 - begin;
        let paced = arrival.saturating_sub(self.last_arrival) >= packet.length() / 2;
        if behind > self.samples(STANDSTILL) as i64 && paced {
            self.suspect = Some(self.held.hold(packet, arrival));
        } else {
            self.counters.late += 1;
        }
    }

    fn judge_suspect(&mut self, now: Nanos, sink: &mut impl Sink) {
        let Some(suspect) = self.suspect.take() else {
            return;
        };
        let (packet, arrival) = (&suspect.packet, suspect.arrival);
        let paced = now.saturating_sub(arrival) >= packet.length() / 2;
        let before = self.source.as_ref().map(|source| source.mapping.clone());
        if paced && self.anchor(packet, arrival) {
            self.doubt = before.map(|mapping| Doubt {
                mapping,
                until: now + PROBATION,
            });
            self.place_at(packet, false, arrival, now, sink);
        } else {
            self.counters.late += 1;
        }
        self.held.recycle(suspect);
    }

    /// The packet's position, by the mapping that was left when the one that is tried has been outrun.
    fn reconsider(&mut self, timestamp: u32, position: i64, now: Nanos) -> i64 {
        let outrun = self.is_ahead(position, now);
        let over = |doubt: &Doubt| outrun || now >= doubt.until;
        let (Some(source), Some(doubt)) = (&mut self.source, self.doubt.take_if(|d| over(d)))
        else {
            return position;
        };
        if outrun && now < doubt.until {
            source.mapping = doubt.mapping;
        }
        source.mapping.position(timestamp)
    }

    /// Places the packet's timestamp at its arrival. False when the channel is already too far ahead.
    fn anchor(&mut self, packet: &Packet<'_>, arrival: Nanos) -> bool {
        let Some(position) = self.arrival_position(packet.units(), packet.clock_rate, arrival)
        else {
            return false;
        };
        let rate = self.shape.rate;
        let Some(source) = &mut self.source else {
            return false;
        };
        source.mapping = Mapping::anchored(packet.timestamp, packet.clock_rate, position, rate);
        self.counters.anchored += 1;
        self.mute = None;
        self.debt = 0;
        true
    }

    /// Where a first packet goes: the frame that the wall clock is in takes its last frame, but nothing
    /// goes before the cursor.
    fn arrival_position(&self, units: u32, clock_rate: u32, arrival: Nanos) -> Option<u64> {
        let here = self.position_at(arrival);
        let length = u64::from(units) * u64::from(self.shape.rate) / u64::from(clock_rate.max(1));
        let backshift = length
            .saturating_sub(self.shape.frame)
            .min(self.samples(MAX_BACKSHIFT));
        let position = (here - here % self.shape.frame)
            .saturating_sub(backshift)
            .max(self.cursor);
        (position <= here + self.samples(MAX_AHEAD) + self.shape.frame).then_some(position)
    }

    fn fill(&mut self, to: u64, cause: Cause, sink: &mut impl Sink) {
        if to > self.cursor {
            sink.silence(self.cursor, to - self.cursor, cause);
            self.cursor = to;
        }
    }

    const fn idle_cause(&self) -> Cause {
        if self.on_hold {
            Cause::Hold
        } else {
            Cause::Silence
        }
    }

    fn samples(&self, span: Nanos) -> u64 {
        // Whole seconds apart: no product needs more than 64 bits, and none a slow division.
        let rate = u64::from(self.shape.rate);
        span / SECOND * rate + span % SECOND * rate / SECOND
    }

    /// The first instant at which the wall clock has reached a position.
    fn time_of(&self, position: u64) -> Nanos {
        let rate = u64::from(self.shape.rate.max(1));
        self.shape.start + position / rate * SECOND + (position % rate * SECOND).div_ceil(rate)
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
