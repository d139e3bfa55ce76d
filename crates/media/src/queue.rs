//! The events that wait for the signalling side: bounded, behind a bell.
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::events::{Event, Events};
use crate::wake::Bell;

/// Weight of the events that may wait; beyond it only terminal ones are taken, of which each call and stream
/// has few.
const BOUND: usize = 65_536;
/// Bytes of an endpoint's text that weigh as much as an event: 8 MiB of text may wait.
const TEXT_WEIGHT: usize = 128;
/// Events handed out at a time.
const BATCH: usize = 512;

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    weight: usize,
}

/// See the module.
#[derive(Debug)]
pub struct EventQueue {
    waiting: Mutex<Waiting>,
    bound: usize,
    dropped: AtomicU64,
    bell: Bell,
}

impl EventQueue {
    /// An empty queue.
    pub fn new() -> Result<Self> {
        Self::bounded(BOUND)
    }

    fn bounded(bound: usize) -> Result<Self> {
        Ok(Self {
            waiting: Mutex::default(),
            bound,
            dropped: AtomicU64::new(0),
            bell: Bell::new()?,
        })
    }

    /// Takes a worker's events, oldest first. What is not terminal is dropped and counted when the bound is
    /// reached.
    pub fn append(&self, events: &mut Events) {
        if events.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.events.is_empty();
        let mut dropped = 0;
        for event in events.drain(..) {
            if waiting.weight < self.bound || event.is_terminal() {
                waiting.weight += weight(&event);
                waiting.events.push_back(event);
            } else {
                dropped += 1;
            }
        }
        if was_empty && !waiting.events.is_empty() {
            self.bell.ring();
        }
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Takes the oldest events out, some hundred at most; the bell goes on while more wait.
    pub fn take(&self) -> Events {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.events.len().min(BATCH);
        let batch: Events = waiting.events.drain(..count).collect();
        waiting.weight -= batch.iter().map(weight).sum::<usize>();
        if waiting.events.is_empty() {
            self.bell.still();
        }
        batch
    }

    /// Events that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl AsFd for EventQueue {
    /// Readable while events wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::StreamText { text, .. } => 1 + text.len() / TEXT_WEIGHT,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{poll, PollFd, PollFlags, Timespec};

    fn idle(call: u64) -> Event {
        Event::MediaTimeout { call, idle_ms: 0 }
    }

    fn closed(call: u64) -> Event {
        Event::CallClosed {
            call,
            sides: Vec::new(),
            dead_air_ms: 0,
        }
    }

    fn rings(queue: &EventQueue) -> bool {
        let mut fds = [PollFd::new(queue, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn terminal_events_pass_the_bound_and_others_are_counted() {
        let queue = EventQueue::bounded(2).unwrap();
        queue.append(&mut vec![
            idle(1),
            idle(2),
            idle(3),
            closed(4),
            idle(5),
            closed(6),
        ]);
        assert_eq!(queue.take(), [idle(1), idle(2), closed(4), closed(6)]);
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn long_texts_weigh_more() {
        let queue = EventQueue::bounded(100).unwrap();
        let text = |text: String| Event::StreamText { stream: 1, text };
        queue.append(&mut vec![text("x".repeat(100 * TEXT_WEIGHT)), idle(1)]);
        assert_eq!(queue.take().len(), 1);
        queue.append(&mut vec![text(String::new()), idle(2)]);
        assert_eq!(queue.take().len(), 2);
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn the_bell_rings_while_events_wait() {
        let queue = EventQueue::new().unwrap();
        assert!(!rings(&queue));
        queue.append(&mut (0..=BATCH as u64).map(idle).collect());
        assert!(rings(&queue));
        assert_eq!(queue.take().len(), BATCH);
        assert!(rings(&queue));
        assert_eq!(queue.take(), [idle(BATCH as u64)]);
        assert!(!rings(&queue));
        queue.append(&mut vec![idle(1)]);
        assert!(rings(&queue));
    }
}
