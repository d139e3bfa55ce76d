//! The calls of a worker: their packets, their timers, their begin and end.
use std::os::fd::AsFd;
use std::panic::{catch_unwind, AssertUnwindSafe};

use rustix::event::epoll;

use super::timers::Alarm;
use super::token::{Kind, Token};
use super::{Blame, Worker};
use crate::call::Call;
use crate::clock::Nanos;
use crate::events::{Event, SideStats};
use crate::leg::{Leg, Turn};
use crate::orders::Side;
use crate::ports::LegSockets;
use crate::prefetch::prefetch;

/// A call and what the worker knows of it.
#[derive(Debug)]
pub(super) struct CallSlot {
    pub(super) call: Call,
    /// Slots of the streams that listen to it.
    pub(super) streams: Vec<usize>,
    /// Slots of the recordings that listen to it.
    pub(super) recordings: Vec<usize>,
    generation: u32,
    alarm: Alarm,
}

impl CallSlot {
    pub(super) fn say_goodbye(&mut self, turn: &mut Turn) {
        self.call.end(turn);
    }
}

impl Worker {
    pub(super) fn open_call(&mut self, handle: u64, sockets: [LegSockets; 2]) {
        let [a, b] = sockets;
        let learning = self.shared.learning;
        let random = &mut self.turn.random;
        let legs = [
            Leg::new(Side::A, a, learning, random),
            Leg::new(Side::B, b, learning, random),
        ];
        let call = Call::new(handle, legs, self.shared.idle_limit);
        let generation = self.next_generation();
        let slot = self.calls.insert(Box::new(CallSlot {
            call,
            streams: Vec::new(),
            recordings: Vec::new(),
            generation,
            alarm: Alarm::default(),
        }));
        self.call_slots.insert(handle, slot);
        if let Err(error) = self.poll_call(slot) {
            self.fail_call(slot, format!("its sockets can't be polled: {error}"));
        }
    }

    fn poll_call(&self, slot: usize) -> rustix::io::Result<()> {
        let CallSlot {
            call, generation, ..
        } = &*self.calls[slot];
        let add = |socket: &dyn AsFd, kind| {
            let token = Token::new(kind, slot as u32, *generation);
            let data = epoll::EventData::new_u64(token.bits());
            epoll::add(&self.epoll, socket.as_fd(), data, epoll::EventFlags::IN)
        };
        let (a, b) = (call.leg(Side::A).sockets(), call.leg(Side::B).sockets());
        add(&a.rtp, Kind::RtpA)?;
        add(&b.rtp, Kind::RtpB)?;
        add(&a.rtcp, Kind::RtcpA)?;
        add(&b.rtcp, Kind::RtcpB)
    }

    /// The call that a token names, unless it is gone. It is to blame for what comes.
    pub(super) fn serve_call(&mut self, token: Token) -> Option<usize> {
        let slot = token.slot();
        let living = self.calls.get(slot)?;
        if !token.is_of(living.generation) {
            return None;
        }
        self.blame = Blame::Call(slot);
        Some(slot)
    }

    /// Sees to it that the call is asked when it wants to be.
    pub(super) fn settle_call(&mut self, slot: usize) {
        let CallSlot {
            call,
            generation,
            alarm,
            ..
        } = &mut *self.calls[slot];
        let token = Token::new(Kind::Call, slot as u32, *generation);
        self.timers.ask(token, call.due(), alarm);
    }

    pub(super) fn on_rtp(&mut self, token: Token, side: Side) {
        let Some(slot) = self.serve_call(token) else {
            return;
        };
        let heard = self.calls[slot].call.receive(side, &mut self.turn);
        self.settle_call(slot);
        let Some(heard) = heard else { return };
        let living = &self.calls[slot];
        if !living.streams.is_empty() || !living.recordings.is_empty() {
            self.keep_for_taps(token, side, heard);
        }
    }

    /// Asks for the memory of a call whose turn comes soon.
    pub(super) fn prefetch_call(&self, token: Token) {
        if let Some(living) = self.calls.get(token.slot()) {
            prefetch(&**living);
        }
    }

    pub(super) fn on_rtcp(&mut self, token: Token, side: Side) {
        if let Some(slot) = self.serve_call(token) {
            self.calls[slot].call.receive_report(side, &mut self.turn);
        }
    }

    pub(super) fn on_call_alarm(&mut self, token: Token, due: Nanos) {
        let Some(slot) = self.serve_call(token) else {
            return;
        };
        let living = &mut self.calls[slot];
        if !living.alarm.is_rung(due) {
            return;
        }
        let presses = living.call.on_timer(&mut self.turn, &mut self.events);
        debug_assert!(
            living.call.due() > self.turn.now,
            "an alarm that asks for itself"
        );
        self.settle_call(slot);
        for (side, press) in Side::BOTH.into_iter().zip(presses) {
            if let Some(press) = press {
                self.pass_press(slot, side, &press);
                self.settle_listeners(slot);
            }
        }
    }

    /// Ends a call in good order: its streams that are not draining end with it.
    pub(super) fn close_call(&mut self, slot: usize) {
        self.abandon_listeners(slot);
        self.blame = Blame::Call(slot);
        self.calls[slot].say_goodbye(&mut self.turn);
        let sides = self.calls[slot].call.stats();
        let dead_air_ms = self.calls[slot].call.dead_air_ms(self.turn.now);
        self.remove_call(slot, sides, dead_air_ms);
    }

    /// Ends a call whose code or sockets are broken: as little of it as possible is called.
    pub(super) fn fail_call(&mut self, slot: usize, detail: String) {
        let Some(living) = self.calls.get(slot) else {
            return;
        };
        let call = living.call.handle();
        let stats = catch_unwind(AssertUnwindSafe(|| living.call.stats()));
        self.events.push(Event::CallFailed { call, detail });
        self.abandon_listeners(slot);
        self.remove_call(slot, stats.unwrap_or_default(), 0);
    }

    fn abandon_listeners(&mut self, slot: usize) {
        self.close_recordings(slot);
        for listener in std::mem::take(&mut self.calls[slot].streams) {
            self.guard(|worker| {
                worker.blame = Blame::Stream(listener);
                worker.abandon_stream(listener);
            });
        }
    }

    fn remove_call(&mut self, slot: usize, sides: Vec<SideStats>, dead_air_ms: u64) {
        let CallSlot { call, .. } = *self.calls.remove(slot);
        let handle = call.handle();
        self.call_slots.remove(&handle);
        // The ports go into quarantine before anybody hears of the end.
        drop(call);
        self.shared.calls.remove(handle);
        self.events.push(Event::CallClosed {
            call: handle,
            sides,
            dead_air_ms,
        });
    }
}
