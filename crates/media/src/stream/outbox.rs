//! The numbered messages of a stream on their way to the network (ADR 3).
//!
//! In the order in which they are sent on a connection: its `connect` and `start`, what is sent again from the replay
//! buffer, and what was never sent. Messages taken to be written are "flying" until the network has them in full; when
//! the connection breaks before that they have never left.
use std::collections::VecDeque;

use super::entry::{Control, Entry, Kind, MediaFacts};
use super::replay::{Missing, Replay, ReplayBounds};
use crate::clock::Nanos;
use crate::pool;
use crate::prefetch::prefetch;

/// Past the bound this share of it is dropped at once: an endpoint that is a little too slow then gets speech with few
/// gaps in it, not shreds with a message about each.
const RUN_SHARE: usize = 8;
/// Messages of a usual flush: a frame of each channel.
const FLUSHED: usize = 2;
/// The numbers of the first `connect` and `start`.
const FIRST_NUMBERS: [u64; 2] = [1, 2];

/// How many of the next messages of each source are flying.
#[derive(Debug, Clone, Copy, Default)]
struct Flying {
    prelude: usize,
    again: usize,
    queue: usize,
}

/// A message that the network has in full for the first time.
#[derive(Debug, Clone, Copy)]
pub struct Landed<'a> {
    /// The media's facts.
    pub facts: &'a MediaFacts,
    /// Its payload.
    pub payload: &'a [u8],
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    next_number: u64,
    /// Numbers given out whose message was never handed to the network, for the next `connect` and `start`.
    unused: Vec<u64>,
    highest_sent: u64,
    prelude: VecDeque<Entry>,
    replay: Replay,
    queue: VecDeque<Entry>,
    flying: Flying,
    queue_frames: usize,
    run_frames: usize,
    queued_media: usize,
    control_bytes: usize,
}

impl Outbox {
    /// An empty outbox that holds `queue_frames` media messages not yet sent, and drops `run_frames` at a time at most.
    pub fn new(queue_frames: usize, run_frames: usize, replay: ReplayBounds) -> Self {
        Self {
            next_number: FIRST_NUMBERS[1] + 1,
            unused: FIRST_NUMBERS.to_vec(),
            highest_sent: 0,
            prelude: VecDeque::new(),
            replay: Replay::new(replay),
            queue: VecDeque::new(),
            flying: Flying::default(),
            queue_frames,
            run_frames,
            queued_media: 0,
            control_bytes: 0,
        }
    }

    /// Sequence numbers given out.
    pub fn messages(&self) -> u64 {
        self.next_number - 1 - self.unused.len() as u64
    }

    /// Media messages that were never sent.
    pub const fn queued_media(&self) -> usize {
        self.queued_media
    }

    /// Bytes of control messages that were never sent.
    pub const fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Whether a control message of this kind waits.
    pub fn has_queued(&self, control: Control) -> bool {
        self.queue
            .iter()
            .any(|entry| entry.kind == Kind::Control(control))
    }

    /// Asks for the memory of the messages of one flush.
    pub fn prefetch(&self) {
        self.queue.iter().take(FLUSHED).for_each(prefetch);
    }

    /// Numbers and queues a frame. Says how many of the oldest are to be dropped now: none within the bound, and a run
    /// of them past it.
    pub fn push_media(&mut self, facts: MediaFacts, payload: &[u8]) -> usize {
        let mut bytes = pool::lend();
        bytes.extend_from_slice(payload);
        let sequence = self.take_number();
        self.queue.push_back(Entry {
            sequence,
            kind: Kind::Media(facts),
            bytes,
        });
        self.queued_media += 1;
        if self.queued_media <= self.queue_frames {
            return 0;
        }
        let run = (self.queue_frames / RUN_SHARE).min(self.run_frames);
        self.queued_media - self.queue_frames + run
    }

    /// Numbers and queues a control message.
    pub fn push_control(&mut self, control: Control, body: &[u8]) {
        let sequence = self.take_number();
        self.control_bytes += body.len();
        self.queue.push_back(Entry {
            sequence,
            kind: Kind::Control(control),
            bytes: body.to_vec(),
        });
    }

    /// The next number: for `close`, which is not queued.
    pub fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Gives a number back whose message was never handed to the network.
    pub fn return_number(&mut self, number: u64) {
        self.unused.push(number);
        self.unused.sort_unstable();
    }

    /// A new connection stands. Gives audio that it should begin with and that is no longer held.
    pub fn begin_connection(&mut self, connect: Vec<u8>, start: Vec<u8>) -> Vec<Missing> {
        self.end_connection();
        for (control, bytes) in [(Control::Connect, connect), (Control::Start, start)] {
            let sequence = if self.unused.is_empty() {
                self.take_number()
            } else {
                self.unused.remove(0)
            };
            self.prelude.push_back(Entry {
                sequence,
                kind: Kind::Control(control),
                bytes,
            });
        }
        self.replay.rewind()
    }

    /// The connection is gone: nothing is flying any more.
    pub fn end_connection(&mut self) {
        self.flying = Flying::default();
        while let Some(entry) = self.prelude.pop_front() {
            self.return_number(entry.sequence);
        }
    }

    /// The message to be written next.
    pub fn next(&self) -> Option<&Entry> {
        let Flying {
            prelude,
            again,
            queue,
        } = self.flying;
        let waiting = self.prelude.get(prelude);
        waiting
            .or_else(|| self.replay.next(again))
            .or_else(|| self.queue.get(queue))
    }

    /// The next message has been taken to be written.
    pub fn take_off(&mut self) {
        if self.flying.prelude < self.prelude.len() {
            self.flying.prelude += 1;
        } else if self.replay.next(self.flying.again).is_some() {
            self.flying.again += 1;
        } else if self.flying.queue < self.queue.len() {
            self.flying.queue += 1;
        }
    }

    /// The network has the next flying message in full; media that it has for the first time is told.
    pub fn land(&mut self, now: Nanos, told: &mut impl FnMut(Landed<'_>)) {
        if self.flying.prelude > 0 {
            self.flying.prelude -= 1;
            if let Some(entry) = self.prelude.pop_front() {
                self.highest_sent = self.highest_sent.max(entry.sequence);
            }
        } else if self.flying.again > 0 {
            self.flying.again -= 1;
            self.replay.sent_again();
        } else if self.flying.queue > 0 {
            self.flying.queue -= 1;
            let Some(entry) = self.queue.pop_front() else {
                return;
            };
            self.highest_sent = self.highest_sent.max(entry.sequence);
            if let Some(facts) = entry.media() {
                self.queued_media -= 1;
                told(Landed {
                    facts,
                    payload: &entry.bytes,
                });
            } else {
                self.control_bytes -= entry.bytes.len();
            }
            self.replay.hold(entry, now, &mut pool::give_back);
        }
    }

    /// The endpoint has stored all up to `sequence`; false when that number was never sent.
    pub fn acknowledge(&mut self, sequence: u64) -> bool {
        if sequence > self.highest_sent {
            return false;
        }
        self.replay.acknowledge(sequence, &mut pool::give_back);
        true
    }

    /// Whether nothing waits and nothing is flying.
    pub fn is_empty(&self) -> bool {
        self.prelude.is_empty() && self.replay.unsent() == 0 && self.queue.is_empty()
    }

    /// Drops the oldest frame that was never sent and is not flying.
    pub fn drop_oldest(&mut self) -> Option<MediaFacts> {
        let waiting = self.queue.iter().enumerate().skip(self.flying.queue);
        let (index, _) = waiting.into_iter().find(|(_, entry)| entry.is_media())?;
        let entry = self.queue.remove(index)?;
        self.queued_media -= 1;
        let facts = entry.media().copied();
        pool::give_back(entry.bytes);
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    fn outbox(queue_frames: usize) -> Outbox {
        Outbox::new(
            queue_frames,
            25,
            ReplayBounds {
                frames: 100,
                grace: SECOND,
                rate: 8000,
            },
        )
    }

    fn frame(chunk: u64) -> MediaFacts {
        MediaFacts {
            lane: 0,
            chunk,
            timestamp: (chunk - 1) * 160,
            samples: 160,
            silence_samples: 0,
        }
    }

    fn connect(outbox: &mut Outbox) -> Vec<Missing> {
        outbox.begin_connection(b"{}".to_vec(), b"{}".to_vec())
    }

    /// Takes off so many messages and gives their numbers.
    fn take_off(outbox: &mut Outbox, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            let Some(entry) = outbox.next() else { break };
            numbers.push(entry.sequence);
            outbox.take_off();
        }
        numbers
    }

    fn land(outbox: &mut Outbox, count: usize) -> usize {
        let mut media = 0;
        for _ in 0..count {
            outbox.land(0, &mut |_| media += 1);
        }
        media
    }

    #[test]
    fn media_made_before_the_first_connection_waits_behind_connect_and_start() {
        let mut outbox = outbox(10);
        outbox.push_media(frame(1), b"a");
        outbox.push_control(Control::Metadata, b"{}");
        assert_eq!(connect(&mut outbox), []);
        assert_eq!(take_off(&mut outbox, 9), [1, 2, 3, 4]);
        assert_eq!(land(&mut outbox, 4), 1);
        assert!(outbox.is_empty());
        assert_eq!(outbox.messages(), 4);
    }

    #[test]
    fn past_the_bound_the_oldest_media_goes_and_never_a_control() {
        let mut outbox = outbox(2);
        outbox.push_control(Control::Metadata, b"{}");
        assert_eq!(outbox.push_media(frame(1), b"a"), 0);
        assert_eq!(outbox.push_media(frame(2), b"b"), 0);
        assert_eq!(outbox.push_media(frame(3), b"c"), 1);
        assert_eq!(outbox.drop_oldest(), Some(frame(1)));
        connect(&mut outbox);
        assert_eq!(
            take_off(&mut outbox, 9),
            [1, 2, 3, 5, 6],
            "the hole is where the frame was"
        );
    }

    #[test]
    fn past_the_bound_a_run_is_dropped_at_once() {
        let mut outbox = outbox(80);
        let asked: Vec<usize> = (1..=81)
            .map(|chunk| outbox.push_media(frame(chunk), b"a"))
            .collect();
        assert!(asked[..80].iter().all(|&count| count == 0));
        assert_eq!(asked[80], 11);
    }

    #[test]
    fn flying_media_is_not_dropped() {
        let mut outbox = outbox(2);
        outbox.push_media(frame(1), b"a");
        outbox.push_media(frame(2), b"b");
        connect(&mut outbox);
        take_off(&mut outbox, 3);
        assert_eq!(outbox.push_media(frame(3), b"c"), 1);
        assert_eq!(outbox.drop_oldest(), Some(frame(2)));
    }

    #[test]
    fn what_was_flying_when_the_connection_broke_has_never_left() {
        let mut outbox = outbox(10);
        outbox.push_media(frame(1), b"a");
        connect(&mut outbox);
        assert_eq!(take_off(&mut outbox, 3), [1, 2, 3]);
        land(&mut outbox, 1);
        connect(&mut outbox);
        // The first connect left; its number is used up.
        assert_eq!(take_off(&mut outbox, 3), [2, 4, 3]);
        assert_eq!(land(&mut outbox, 3), 1);
        connect(&mut outbox);
        assert_eq!(take_off(&mut outbox, 3), [5, 6]);
    }

    #[test]
    fn an_acknowledging_endpoint_gets_the_rest_again_before_live_media() {
        let mut outbox = outbox(10);
        connect(&mut outbox);
        for chunk in 1..=4 {
            outbox.push_media(frame(chunk), b"a");
        }
        take_off(&mut outbox, 6);
        assert_eq!(land(&mut outbox, 6), 4);
        assert!(!outbox.acknowledge(7), "never sent");
        assert!(outbox.acknowledge(4));
        outbox.push_media(frame(5), b"e");
        connect(&mut outbox);
        assert_eq!(take_off(&mut outbox, 9), [8, 9, 5, 6, 7]);
        assert_eq!(land(&mut outbox, 5), 1, "each is told once");
        assert!(outbox.is_empty());
    }
}
