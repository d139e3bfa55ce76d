//! What was handed to the network, kept for an endpoint that acknowledges (protocol section 6).
use std::collections::VecDeque;

use super::entry::{Entry, MediaFacts};
use crate::clock::Nanos;

/// Control messages kept beside the media; past it the oldest messages go.
const CONTROLS_MAX: usize = 1024;
/// Stretches remembered of one lane that are neither held nor acknowledged; past it the oldest two become one.
const STRETCHES_MAX: usize = 64;

/// Audio handed to the network that the buffer no longer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Its lane.
    pub lane: usize,
    /// First sample.
    pub from: u64,
    /// Samples.
    pub samples: u64,
}

/// The bounds of a replay buffer.
#[derive(Debug, Clone, Copy)]
pub struct ReplayBounds {
    /// Media messages held at most.
    pub frames: usize,
    /// For how long messages are held for an endpoint that has never acknowledged.
    pub grace: Nanos,
    /// Samples a second: stretches are remembered to the second.
    pub rate: u64,
}

/// See the module.
///
/// An endpoint that acknowledges nothing within the grace is taken for one that never will, and costs no memory from
/// then on. Its first acknowledgement after that starts the holding.
#[derive(Debug)]
pub struct Replay {
    bounds: ReplayBounds,
    held: VecDeque<Entry>,
    media: usize,
    /// Messages at the front that have been sent on the present connection, or need not be.
    sent: usize,
    acknowledged: Option<u64>,
    handed: u64,
    since: Option<Nanos>,
    gone: [Gone; 2],
}

/// Audio of one lane that is gone: what is complete, and the stretch that still grows, which each frame touches.
#[derive(Debug, Default)]
struct Gone {
    complete: VecDeque<Stretch>,
    last: Option<Stretch>,
}

/// Audio of one lane that is gone from the buffer.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    last_sequence: u64,
    from: u64,
    samples: u64,
}

impl Replay {
    /// An empty buffer.
    pub fn new(bounds: ReplayBounds) -> Self {
        Self {
            bounds,
            held: VecDeque::new(),
            media: 0,
            sent: 0,
            acknowledged: None,
            handed: 0,
            since: None,
            gone: [Gone::default(), Gone::default()],
        }
    }

    /// Takes a message that was handed to the network for the first time. Gives buffers back that are free now.
    pub fn hold(&mut self, entry: Entry, now: Nanos, free: &mut impl FnMut(Vec<u8>)) {
        self.handed = self.handed.max(entry.sequence);
        let since = *self.since.get_or_insert(now);
        let in_grace = now.saturating_sub(since) < self.bounds.grace;
        if self.bounds.frames == 0 || (self.acknowledged.is_none() && !in_grace) {
            while let Some(old) = self.held.pop_front() {
                self.forget(&old);
                free(old.bytes);
            }
            if self.held.capacity() > 0 {
                self.held = VecDeque::new();
            }
            (self.media, self.sent) = (0, 0);
            self.forget(&entry);
            free(entry.bytes);
            return;
        }
        self.media += usize::from(entry.is_media());
        self.held.push_back(entry);
        self.sent += 1;
        while self.media > self.bounds.frames || self.held.len() - self.media > CONTROLS_MAX {
            let Some(old) = self.pop_front() else { break };
            self.forget(&old);
            free(old.bytes);
        }
    }

    /// The endpoint has stored all up to `sequence`. What is still to be sent again is not given up by it: many an
    /// endpoint acknowledges the number it saw last, and those of a new `connect` and `start` are higher.
    pub fn acknowledge(&mut self, sequence: u64, free: &mut impl FnMut(Vec<u8>)) {
        let unsent = self.held.get(self.sent).map(|entry| entry.sequence - 1);
        let sequence = sequence.min(unsent.unwrap_or(self.handed));
        if self.acknowledged.is_some_and(|before| before >= sequence) {
            return;
        }
        self.acknowledged = Some(sequence);
        while self
            .held
            .front()
            .is_some_and(|entry| entry.sequence <= sequence)
        {
            if let Some(old) = self.pop_front() {
                free(old.bytes);
            }
        }
        let is_stored = |stretch: &Stretch| stretch.last_sequence <= sequence;
        for Gone { complete, last } in &mut self.gone {
            while complete.front().is_some_and(is_stored) {
                complete.pop_front();
            }
            *last = last.filter(|last| !is_stored(last));
        }
    }

    /// A new connection stands: what was not acknowledged is to be sent again, if anything ever was. Gives what
    /// should be but is no longer held, in order on each lane.
    pub fn rewind(&mut self) -> Vec<Missing> {
        let Some(acknowledged) = self.acknowledged else {
            self.sent = self.held.len();
            return Vec::new();
        };
        self.sent = self
            .held
            .partition_point(|entry| entry.sequence <= acknowledged);
        let mut missing: Vec<Missing> = Vec::new();
        for (lane, Gone { complete, last }) in self.gone.iter_mut().enumerate() {
            for stretch in complete.drain(..).chain(last.take()) {
                match missing.last_mut() {
                    Some(last) if last.lane == lane && last.from + last.samples == stretch.from => {
                        last.samples += stretch.samples;
                    }
                    _ => missing.push(Missing {
                        lane,
                        from: stretch.from,
                        samples: stretch.samples,
                    }),
                }
            }
        }
        missing
    }

    /// The message that is to be sent again after `flying` others.
    pub fn next(&self, flying: usize) -> Option<&Entry> {
        self.held.get(self.sent + flying)
    }

    /// Messages still to be sent again.
    pub fn unsent(&self) -> usize {
        self.held.len() - self.sent
    }

    /// One more message has been handed to the network again.
    pub fn sent_again(&mut self) {
        self.sent = (self.sent + 1).min(self.held.len());
    }

    fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.held.pop_front()?;
        self.media -= usize::from(entry.is_media());
        self.sent = self.sent.saturating_sub(1);
        Some(entry)
    }

    /// Remembers where audio is that can't be sent again.
    fn forget(&mut self, entry: &Entry) {
        let Some(&MediaFacts {
            lane,
            timestamp,
            samples,
            ..
        }) = entry.media()
        else {
            return;
        };
        if self
            .acknowledged
            .is_some_and(|acknowledged| entry.sequence <= acknowledged)
        {
            return;
        }
        let Some(gone) = self.gone.get_mut(lane) else {
            return;
        };
        let samples = u64::from(samples);
        match &mut gone.last {
            Some(last)
                if last.from + last.samples == timestamp && last.samples < self.bounds.rate =>
            {
                last.samples += samples;
                last.last_sequence = entry.sequence;
            }
            last => {
                let next = Stretch {
                    last_sequence: entry.sequence,
                    from: timestamp,
                    samples,
                };
                if let Some(complete) = last.replace(next) {
                    gone.complete(complete);
                }
            }
        }
    }
}

impl Gone {
    fn complete(&mut self, stretch: Stretch) {
        if self.complete.capacity() == 0 {
            // Once: the path of a frame is to allocate nothing later.
            self.complete.reserve_exact(STRETCHES_MAX + 1);
        }
        self.complete.push_back(stretch);
        if self.complete.len() > STRETCHES_MAX {
            let oldest = self.complete.pop_front();
            if let (Some(oldest), Some(next)) = (oldest, self.complete.front_mut()) {
                next.from = oldest.from;
                next.samples += oldest.samples;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::stream::entry::{Control, Kind};

    fn media(sequence: u64) -> Entry {
        let facts = MediaFacts {
            lane: 0,
            chunk: sequence,
            timestamp: sequence * 160,
            samples: 160,
            silence_samples: 0,
        };
        Entry {
            sequence,
            kind: Kind::Media(facts),
            bytes: vec![0; 160],
        }
    }

    fn replay(frames: usize) -> Replay {
        Replay::new(ReplayBounds {
            frames,
            grace: SECOND,
            rate: 8000,
        })
    }

    fn hold(replay: &mut Replay, sequences: std::ops::Range<u64>, now: Nanos) {
        for sequence in sequences {
            replay.hold(media(sequence), now, &mut drop);
        }
    }

    fn unsent(replay: &Replay) -> Vec<u64> {
        (0..replay.unsent())
            .map(|flying| replay.next(flying).unwrap().sequence)
            .collect()
    }

    #[test]
    fn without_an_acknowledgement_nothing_is_sent_again() {
        let mut replay = replay(10);
        hold(&mut replay, 3..8, 0);
        assert_eq!(replay.rewind(), []);
        assert_eq!(unsent(&replay), [0; 0]);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again() {
        let mut replay = replay(10);
        hold(&mut replay, 3..8, 0);
        replay.acknowledge(5, &mut drop);
        assert_eq!(unsent(&replay), [0; 0]);
        assert_eq!(replay.rewind(), []);
        assert_eq!(unsent(&replay), [6, 7]);
        replay.sent_again();
        assert_eq!(unsent(&replay), [7]);
        // The next loss begins from the acknowledged one again.
        replay.rewind();
        assert_eq!(unsent(&replay), [6, 7]);
    }

    #[test]
    fn what_is_to_be_sent_again_is_not_acknowledged_before() {
        let mut replay = replay(10);
        hold(&mut replay, 3..9, 0);
        replay.acknowledge(3, &mut drop);
        replay.rewind();
        replay.acknowledge(20, &mut drop);
        assert_eq!(unsent(&replay), [4, 5, 6, 7, 8]);
        replay.sent_again();
        replay.sent_again();
        replay.acknowledge(20, &mut drop);
        assert_eq!(unsent(&replay), [6, 7, 8]);
        assert_eq!(replay.held.len(), 3);
    }

    #[test]
    fn what_is_no_longer_held_is_missing_unless_acknowledged() {
        let mut replay = replay(4);
        hold(&mut replay, 3..13, 0);
        replay.acknowledge(3, &mut drop);
        let missing = replay.rewind();
        assert_eq!(
            missing,
            [Missing {
                lane: 0,
                from: 3 * 160,
                samples: 6 * 160
            }]
        );
        assert_eq!(unsent(&replay), [9, 10, 11, 12]);
        assert_eq!(replay.rewind(), [], "told once");
        hold(&mut replay, 13..23, 0);
        replay.acknowledge(18, &mut drop);
        assert_eq!(replay.rewind(), []);
    }

    #[test]
    fn an_endpoint_that_never_acknowledges_costs_nothing_after_the_grace() {
        let mut replay = replay(1000);
        hold(&mut replay, 3..10, 0);
        let mut freed = 0;
        replay.hold(media(10), SECOND, &mut |_| freed += 1);
        assert_eq!((freed, replay.held.len()), (8, 0));
        replay.acknowledge(10, &mut drop);
        hold(&mut replay, 11..13, 2 * SECOND);
        replay.rewind();
        assert_eq!(unsent(&replay), [11, 12]);
    }

    #[test]
    fn the_memory_of_what_is_gone_is_bounded_and_complete() {
        let mut replay = replay(1);
        for second in 0..200_u64 {
            hold(&mut replay, second * 50 + 3..second * 50 + 53, 0);
        }
        assert!(replay.gone[0].complete.len() <= STRETCHES_MAX);
        replay.acknowledge(0, &mut drop);
        let missing = replay.rewind();
        assert_eq!(
            missing,
            [Missing {
                lane: 0,
                from: 480,
                samples: (200 * 50 - 1) * 160
            }]
        );
    }

    #[test]
    fn controls_are_bounded_too() {
        let mut replay = replay(10);
        replay.acknowledge(0, &mut drop);
        for sequence in 0..3000 {
            let kind = Kind::Control(Control::Metadata);
            replay.hold(
                Entry {
                    sequence,
                    kind,
                    bytes: Vec::new(),
                },
                0,
                &mut drop,
            );
        }
        assert_eq!(replay.held.len(), CONTROLS_MAX);
    }

    #[test]
    fn a_number_from_the_future_is_cut_to_what_was_handed_over() {
        let mut replay = replay(10);
        hold(&mut replay, 3..5, 0);
        replay.acknowledge(1_000_000, &mut drop);
        hold(&mut replay, 5..7, 0);
        replay.rewind();
        assert_eq!(unsent(&replay), [5, 6]);
    }
}
