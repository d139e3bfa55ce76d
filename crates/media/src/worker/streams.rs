//! The streams of a worker: their connections, their timers, their begin and end.
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::event::epoll;
use rustix::io::Errno;

use super::timers::Alarm;
use super::token::{Kind, Token};
use super::{Blame, Worker, AHEAD};
use crate::clock::Nanos;
use crate::connector::Outcome;
use crate::events::{Event, SideStats};
use crate::orders::Side;
use crate::prefetch::prefetch;
use crate::stream::{MediaStream, SideReception, StreamCounters};

/// A stream and what the worker knows of it.
#[derive(Debug)]
pub(super) struct StreamSlot {
    pub(super) media: MediaStream,
    handle: u64,
    /// The slot of the call that it listens to, until that has ended.
    call: Option<usize>,
    generation: u32,
    alarm: Alarm,
    polled: Option<Polled>,
    /// What of its counters is in the worker's tally already.
    counted: StreamCounters,
}

/// What epoll watches for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Polled {
    socket: RawFd,
    for_room: bool,
}

impl Worker {
    /// Lets a stream listen to a call; when that has ended in the meantime, so does the stream.
    pub(super) fn open_stream(&mut self, call: u64, handle: u64, media: MediaStream) {
        let call = self.call_slots.get(&call).copied();
        let generation = self.next_generation();
        let slot = self.streams.insert(Box::new(StreamSlot {
            media,
            handle,
            call,
            generation,
            alarm: Alarm::default(),
            polled: None,
            counted: StreamCounters::default(),
        }));
        self.stream_slots.insert(handle, slot);
        self.blame = Blame::Stream(slot);
        if let Some(call) = call {
            let living = &mut self.calls[call];
            living.streams.push(slot);
            for side in Side::BOTH {
                let held = living.call.leg(side).is_held();
                self.streams[slot].media.set_held(side, held);
            }
        } else {
            let media = &mut self.streams[slot].media;
            media.abort(self.turn.now, &mut self.events);
        }
        self.settle_stream(slot);
    }

    /// Goes on over a new connection, or tells why there is none.
    pub(super) fn on_connection(&mut self, slot: usize, outcome: Outcome) {
        let living = &mut self.streams[slot];
        match outcome {
            Ok(established) => {
                // The old connection is given up, and with it what epoll knew; the new one may have its
                // number.
                living.polled = None;
                let (now, events) = (self.turn.now, &mut self.events);
                living.media.attach(established, now, events);
                self.settle_stream(slot);
            }
            Err(failed) => self.events.push(failed.into_event(living.handle)),
        }
    }

    /// Asks for the memory of a stream whose turn comes soon.
    pub(super) fn prefetch_slot(&self, slot: usize) {
        if let Some(living) = self.streams.get(slot) {
            prefetch(&**living);
        }
    }

    /// Asks for what the alarms after this one need: first for streams, then for what those point to.
    pub(super) fn prefetch_alarms(&self, alarms: &[(Nanos, Token)]) {
        let stream = |ahead: usize| {
            let (_, token) = alarms.get(ahead)?;
            (token.kind() == Kind::Stream).then_some(token.slot())
        };
        if let Some(slot) = stream(2 * AHEAD) {
            self.prefetch_slot(slot);
        }
        if let Some(living) = stream(AHEAD).and_then(|slot| self.streams.get(slot)) {
            living.media.prefetch_write();
        }
    }

    /// The stream that a token names, unless it is gone. It is to blame for what comes.
    fn serve_stream(&mut self, token: Token) -> Option<usize> {
        let slot = token.slot();
        let living = self.streams.get(slot)?;
        if !token.is_of(living.generation) {
            return None;
        }
        self.blame = Blame::Stream(slot);
        Some(slot)
    }

    pub(super) fn on_stream_ready(&mut self, token: Token, flags: epoll::EventFlags) {
        let Some(slot) = self.serve_stream(token) else {
            return;
        };
        let broken = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
        let readable = flags.intersects(epoll::EventFlags::IN | broken);
        let writable = flags.intersects(epoll::EventFlags::OUT | broken);
        let media = &mut self.streams[slot].media;
        media.on_ready(readable, writable, self.turn.now, &mut self.events);
        self.settle_stream(slot);
    }

    pub(super) fn on_stream_alarm(&mut self, token: Token, due: Nanos) {
        let Some(slot) = self.serve_stream(token) else {
            return;
        };
        let living = &mut self.streams[slot];
        if !living.alarm.is_rung(due) {
            return;
        }
        let now = self.turn.now;
        if living.media.stats_due(now) {
            if let Some(call) = living.call {
                for side in Side::BOTH {
                    let stats = self.calls[call].call.leg(side).stats();
                    living.media.set_reception(side, reception(&stats));
                }
            }
        }
        living.media.tick(now, &mut self.events);
        debug_assert!(
            living.media.next_due() > now,
            "an alarm that asks for itself"
        );
        self.settle_stream(slot);
    }

    /// After anything was done with a stream: counts, polls and asks for what has changed.
    pub(super) fn settle_stream(&mut self, slot: usize) {
        self.blame = Blame::Stream(slot);
        self.count_stream(slot);
        self.poll_stream(slot);
        let living = &mut self.streams[slot];
        if living.media.is_finished() {
            if !self.finished.contains(&slot) {
                self.finished.push(slot);
            }
            return;
        }
        let token = Token::new(Kind::Stream, slot as u32, living.generation);
        self.timers
            .ask(token, living.media.next_due(), &mut living.alarm);
    }

    fn count_stream(&mut self, slot: usize) {
        let living = &mut self.streams[slot];
        let (now, before) = (living.media.counters(), living.counted);
        let tally = &mut self.turn.tally;
        tally.stream_messages += now.messages - before.messages;
        tally.stream_bytes += now.sent_bytes - before.sent_bytes;
        tally.stream_dropped_samples += now.dropped_samples - before.dropped_samples;
        living.counted = now;
    }

    /// Brings epoll up to date with the stream's connection. A closed socket has left epoll by itself.
    fn poll_stream(&mut self, slot: usize) {
        let living = &mut self.streams[slot];
        let wanted = living.media.fd().map(|socket| Polled {
            socket,
            for_room: living.media.wants_write(),
        });
        if wanted == living.polled {
            return;
        }
        let before = std::mem::replace(&mut living.polled, wanted);
        let Some(Polled { socket, for_room }) = wanted else {
            return;
        };
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, for_room);
        let token = Token::new(Kind::Stream, slot as u32, living.generation);
        let data = epoll::EventData::new_u64(token.bits());
        // SAFETY: the stream has just named this descriptor as its open connection, and nobody else acts on
        // it until this function has returned.
        let socket_fd = unsafe { BorrowedFd::borrow_raw(socket) };
        let known = before.is_some_and(|polled| polled.socket == socket);
        let result = if known {
            epoll::modify(&self.epoll, socket_fd, data, flags)
        } else {
            epoll::add(&self.epoll, socket_fd, data, flags)
        };
        let result = match result {
            Err(Errno::NOENT) => epoll::add(&self.epoll, socket_fd, data, flags),
            Err(Errno::EXIST) => epoll::modify(&self.epoll, socket_fd, data, flags),
            other => other,
        };
        if result.is_err() {
            // Unpolled, it is served by its timer alone, and its pongs will be missed. Try again at the
            // next turn.
            self.streams[slot].polled = None;
        }
    }

    /// Ends a stream whose call ends, unless it is draining by itself.
    pub(super) fn abandon_stream(&mut self, slot: usize) {
        let living = &mut self.streams[slot];
        living.call = None;
        if !living.media.is_closing() {
            living.media.abort(self.turn.now, &mut self.events);
        }
        self.settle_stream(slot);
    }

    /// Ends a stream in good order. A key that is still down counts as released.
    pub(super) fn close_stream(&mut self, slot: usize, body: &[u8], code: u16, drain_ms: u32) {
        let living = &mut self.streams[slot];
        let now = self.turn.now;
        if let Some(call) = living.call {
            for side in Side::BOTH {
                if let Some(press) = self.calls[call].call.leg(side).running_press() {
                    living.media.on_press(side, &press, now, &mut self.events);
                }
            }
        }
        if living.media.close(body, code, drain_ms, now).is_err() {
            living.media.abort(now, &mut self.events);
        }
        self.settle_stream(slot);
    }

    /// Lets go of a stream whose code is broken, without calling it.
    pub(super) fn fail_stream(&mut self, slot: usize) {
        let Some(living) = self.streams.get(slot) else {
            return;
        };
        self.events.push(Event::StreamClosed {
            stream: living.handle,
            close_sent: false,
            close_code: None,
            totals: Vec::new(),
            messages: living.counted.messages,
            sent_bytes: living.counted.sent_bytes,
            max_queue_ms: 0,
            gap_samples: BTreeMap::new(),
        });
        self.finished.retain(|&other| other != slot);
        self.remove_stream(slot);
    }

    pub(super) fn remove_stream(&mut self, slot: usize) {
        let living = self.streams.remove(slot);
        self.stream_slots.remove(&living.handle);
        if let Some(call) = living.call {
            self.calls[call].streams.retain(|&other| other != slot);
        }
        self.shared.streams.remove(living.handle);
    }
}

fn reception(stats: &SideStats) -> SideReception {
    SideReception {
        packets_received: stats.received_packets,
        lost: stats.lost,
        late: stats.late,
        duplicate: stats.duplicate,
        jitter_ms: stats.jitter_ms,
        mos: stats.mos,
    }
}
