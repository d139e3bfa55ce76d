//! What was heard before the recorder answered: kept for a while, and then caught up with.
//!
//! While a stream catches up it lives in a time of its own, which begins some time ago and runs faster than ours until it
//! has overtaken it. Whatever the stream does at a time, filling with silence too, it does at that time of its own.
use std::collections::VecDeque;

use super::turn::ForkPacket;
use crate::clock::Nanos;
use crate::tap::{TapCodec, TapPacket};

/// How much faster than ours the time of a stream that catches up runs: a recorder's buffer is not flooded.
const SPEED: u64 = 5;
/// Packets that are kept at most: 5 s of 10 ms each, with key presses between them.
const MAX_ITEMS: usize = 1024;
/// Payload buffers kept to be used again.
const MAX_SPARE: usize = 64;

/// What happened at a time.
#[derive(Debug)]
pub enum What {
    /// A packet came.
    Packet(Stored),
    /// The stream was paused, or went on.
    Pause(bool),
}

/// A packet that owns its payload.
#[derive(Debug)]
pub struct Stored {
    codec: TapCodec,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload_type: u8,
    marker: bool,
    payload: Vec<u8>,
}

impl Stored {
    /// The packet.
    pub fn packet(&self) -> ForkPacket<'_> {
        let media = TapPacket {
            codec: self.codec,
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            payload: &self.payload,
        };
        ForkPacket {
            media,
            payload_type: self.payload_type,
            marker: self.marker,
        }
    }
}

/// Something that waits.
#[derive(Debug)]
pub struct Item {
    /// When it happened.
    pub at: Nanos,
    /// What.
    pub what: What,
}

/// A time that began at `began` when ours was `since`, and runs [`SPEED`] times as fast.
#[derive(Debug, Clone, Copy)]
struct OwnTime {
    began: Nanos,
    since: Nanos,
}

/// See the module.
#[derive(Debug)]
pub struct Backlog {
    items: VecDeque<Item>,
    spare: Vec<Vec<u8>>,
    limit: Nanos,
    own_time: Option<OwnTime>,
    dropped: u64,
}

impl Backlog {
    /// Keeps what is no older than `limit`.
    pub fn new(limit: Nanos) -> Self {
        Self {
            items: VecDeque::new(),
            spare: Vec::new(),
            limit,
            own_time: None,
            dropped: 0,
        }
    }

    /// Packets that were too old to be kept.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the stream has still to catch up.
    pub const fn is_behind(&self) -> bool {
        self.own_time.is_some()
    }

    /// Keeps a packet, at the cost of older ones.
    pub fn keep(&mut self, packet: &ForkPacket<'_>, now: Nanos) {
        if self.limit == 0 && !self.is_behind() {
            self.dropped += 1;
            return;
        }
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        let media = &packet.media;
        payload.extend_from_slice(media.payload);
        let what = What::Packet(Stored {
            codec: media.codec,
            ssrc: media.ssrc,
            sequence: media.sequence,
            timestamp: media.timestamp,
            payload_type: packet.payload_type,
            marker: packet.marker,
            payload,
        });
        self.items.push_back(Item { at: now, what });
        self.forget_old(now);
    }

    /// Notes that the stream was paused, or goes on.
    pub fn note_pause(&mut self, on: bool, now: Nanos) {
        let what = What::Pause(on);
        self.items.push_back(Item { at: now, what });
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Nanos) {
        let oldest = now.saturating_sub(self.limit);
        while let Some(item) = self.items.front() {
            let old = item.at < oldest && !self.is_behind();
            if !old && self.items.len() <= MAX_ITEMS {
                return;
            }
            if let Some(item) = self.items.pop_front() {
                self.dropped += u64::from(matches!(item.what, What::Packet(_)));
                self.recycle(item);
            }
        }
    }

    /// Begins to catch up from `began` on.
    pub fn begin(&mut self, began: Nanos, now: Nanos) {
        self.forget_old(now);
        self.own_time = Some(OwnTime { began, since: now });
    }

    /// Catches up at once.
    pub fn hurry(&mut self, now: Nanos) {
        if self.is_behind() {
            self.own_time = Some(OwnTime {
                began: now,
                since: now,
            });
        }
    }

    /// Passes over a time in which nothing is sent, up to the next item.
    pub fn leap(&mut self, now: Nanos) {
        let to = self.items.front().map_or(now, |item| item.at);
        if let Some(own) = &mut self.own_time {
            *own = OwnTime {
                began: to,
                since: now,
            };
        }
    }

    /// The stream's own time; ours, once it has caught up.
    pub fn time_at(&self, now: Nanos) -> Nanos {
        self.own_time.map_or(now, |own| {
            let run = now.saturating_sub(own.since).saturating_mul(SPEED);
            own.began.saturating_add(run).min(now)
        })
    }

    /// When the stream's own time will have come to `due`.
    pub fn when(&self, due: Nanos) -> Nanos {
        self.own_time.map_or(due, |own| {
            let ahead = due.saturating_sub(own.began);
            own.since.saturating_add(ahead.div_ceil(SPEED)).max(due)
        })
    }

    /// The time of the next item.
    pub fn next(&self) -> Option<Nanos> {
        self.items.front().map(|item| item.at)
    }

    /// Takes out the next item, if its time has come.
    pub fn take(&mut self, time: Nanos) -> Option<Item> {
        if self.next()? > time {
            return None;
        }
        self.items.pop_front()
    }

    /// Takes the buffer of an item back that has had its turn.
    pub fn recycle(&mut self, item: Item) {
        if let What::Packet(stored) = item.what {
            if self.spare.len() < MAX_SPARE {
                self.spare.push(stored.payload);
            }
        }
    }

    /// Lives in our time again, if the stream has caught up; then nothing of the past is kept.
    pub fn settle(&mut self, now: Nanos) {
        if self.is_behind() && self.items.is_empty() && self.time_at(now) >= now {
            self.own_time = None;
            self.spare = Vec::new();
            self.items = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    fn packet(sequence: u16) -> ForkPacket<'static> {
        let media = TapPacket {
            codec: TapCodec::Noise { clock_rate: 8000 },
            ssrc: 1,
            sequence,
            timestamp: 0,
            payload: b"x",
        };
        ForkPacket {
            media,
            payload_type: 13,
            marker: false,
        }
    }

    fn numbers(backlog: &mut Backlog, time: Nanos) -> Vec<u16> {
        let mut found = Vec::new();
        while let Some(item) = backlog.take(time) {
            if let What::Packet(stored) = &item.what {
                found.push(stored.packet().media.sequence);
            }
            backlog.recycle(item);
        }
        found
    }

    #[test]
    fn what_is_older_than_the_limit_is_forgotten() {
        let mut backlog = Backlog::new(100 * MILLISECOND);
        for step in 0..10u16 {
            backlog.keep(&packet(step), u64::from(step) * 20 * MILLISECOND);
        }
        assert_eq!(backlog.dropped(), 4);
        assert_eq!(numbers(&mut backlog, Nanos::MAX), [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let mut backlog = Backlog::new(0);
        backlog.keep(&packet(1), 5);
        assert_eq!((backlog.dropped(), backlog.next()), (1, None));
    }

    #[test]
    fn the_past_is_run_through_five_times_as_fast() {
        let second = 1000 * MILLISECOND;
        let mut backlog = Backlog::new(5 * second);
        for step in 0..50u16 {
            backlog.keep(&packet(step), u64::from(step) * 20 * MILLISECOND);
        }
        backlog.begin(0, second);
        let time = backlog.time_at(second);
        assert_eq!(numbers(&mut backlog, time), [0]);
        let soon = second + 8 * MILLISECOND;
        let time = backlog.time_at(soon);
        assert_eq!(numbers(&mut backlog, time), [1, 2]);
        assert_eq!(backlog.when(60 * MILLISECOND), second + 12 * MILLISECOND);
        // What comes meanwhile waits its turn.
        backlog.keep(&packet(50), second + 10 * MILLISECOND);
        let caught_up = second + 250 * MILLISECOND;
        assert_eq!(backlog.time_at(caught_up), caught_up);
        assert_eq!(numbers(&mut backlog, caught_up).len(), 48);
        backlog.settle(caught_up);
        assert!(!backlog.is_behind());
        assert_eq!(backlog.when(7), 7);
    }

    #[test]
    fn a_time_without_anything_is_passed_over() {
        let mut backlog = Backlog::new(5000 * MILLISECOND);
        backlog.keep(&packet(1), 0);
        backlog.note_pause(true, MILLISECOND);
        backlog.note_pause(false, 4000 * MILLISECOND);
        let now = 4500 * MILLISECOND;
        backlog.begin(0, now);
        let time = backlog.time_at(now + MILLISECOND);
        assert_eq!(numbers(&mut backlog, time), [1]);
        backlog.leap(now + MILLISECOND);
        assert_eq!(backlog.time_at(now + MILLISECOND), 4000 * MILLISECOND);
        backlog.hurry(now + 2 * MILLISECOND);
        assert_eq!(
            backlog.time_at(now + 2 * MILLISECOND),
            now + 2 * MILLISECOND
        );
    }

    #[test]
    fn the_number_of_items_is_bounded_even_while_catching_up() {
        let mut backlog = Backlog::new(MILLISECOND);
        backlog.begin(0, 0);
        for step in 0..3000u16 {
            backlog.keep(&packet(step), 0);
        }
        assert_eq!(numbers(&mut backlog, 0).len(), MAX_ITEMS);
    }
}
