//! The recordings of a worker: what they hear, their timers, their begin and end.
use rustix::event::epoll;

use super::mailbox::Order;
use super::timers::Alarm;
use super::token::{Kind, Token};
use super::{Blame, Worker};
use crate::clock::Nanos;
use crate::events::{Event, Events};
use crate::fork::{ForkPacket, ForkTurn, RecordedStreamStats, Recording, RecordingTarget};
use crate::leg::{Heard, Turn};
use crate::orders::Side;
use crate::prefetch::prefetch;
use crate::tap::TapPacket;

/// A recording and what the worker knows of it.
#[derive(Debug)]
pub(super) struct RecordingSlot {
    recording: Recording,
    handle: u64,
    /// The slot of the call that it listens to.
    call: usize,
    generation: u32,
    alarm: Alarm,
}

/// What a recording is lent.
fn lend<'a>(turn: &'a mut Turn, events: &'a mut Events) -> ForkTurn<'a> {
    lend_with_packet(turn, events).1
}

/// The same, and the packet that is being served.
fn lend_with_packet<'a>(turn: &'a mut Turn, events: &'a mut Events) -> (&'a [u8], ForkTurn<'a>) {
    let lent = ForkTurn {
        now: turn.now,
        clock: turn.clock,
        random: &mut turn.random,
        report: &mut turn.report,
        tally: &mut turn.tally,
        events,
    };
    (&turn.packet[..], lent)
}

impl Worker {
    pub(super) fn carry_out_on_recording(&mut self, order: Order) {
        match order {
            Order::OpenRecording { recording } => self.open_recording(*recording),
            Order::SetRecording { recording, target } => {
                self.with_recording(recording, |worker, slot| {
                    worker.set_recording(slot, &target);
                });
            }
            Order::PauseRecording { recording, on } => {
                self.with_recording(recording, |worker, slot| {
                    let turn = &mut lend(&mut worker.turn, &mut worker.events);
                    worker.recordings[slot].recording.pause(on, turn);
                    worker.settle_recording(slot);
                });
            }
            Order::QueryRecording { recording } => {
                self.with_recording(recording, |worker, slot| {
                    let streams = worker.recordings[slot].recording.stats();
                    let answer = Event::RecordingStats { recording, streams };
                    worker.events.push(answer);
                });
            }
            Order::CloseRecording { recording } => {
                self.with_recording(recording, Self::close_recording);
            }
            #[cfg(test)]
            Order::BreakRecording { recording } => {
                self.with_recording(recording, |_, _| panic!("broken on purpose"));
            }
            _ => {}
        }
    }

    fn with_recording(&mut self, recording: u64, work: impl FnOnce(&mut Self, usize)) {
        if let Some(&slot) = self.recording_slots.get(&recording) {
            self.blame = Blame::Recording(slot);
            work(self, slot);
        }
    }

    /// Lets a recording listen to a call; when that has ended in the meantime, so does the recording.
    fn open_recording(&mut self, recording: Recording) {
        let ids = recording.ids();
        let Some(&call) = self.call_slots.get(&ids.call) else {
            let streams = recording.stats();
            drop(recording);
            self.tell_recording_closed(ids.recording, streams, None);
            return;
        };
        let generation = self.next_generation();
        let slot = self.recordings.insert(Box::new(RecordingSlot {
            recording,
            handle: ids.recording,
            call,
            generation,
            alarm: Alarm::default(),
        }));
        self.recording_slots.insert(ids.recording, slot);
        self.blame = Blame::Recording(slot);
        self.calls[call].recordings.push(slot);
        let living = &mut self.recordings[slot];
        for side in Side::BOTH {
            let leg = self.calls[call].call.leg(side);
            living.recording.set_formats(side, leg.codecs());
            living.recording.set_held(side, leg.is_held());
        }
        if let Err(error) = self.poll_recording(slot) {
            self.fail_recording(slot, format!("its sockets can't be polled: {error}"));
        }
    }

    fn poll_recording(&self, slot: usize) -> rustix::io::Result<()> {
        let living = &self.recordings[slot];
        let token = Token::new(Kind::Recording, slot as u32, living.generation);
        let data = epoll::EventData::new_u64(token.bits());
        living
            .recording
            .report_sockets()
            .try_for_each(|socket| epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN))
    }

    fn set_recording(&mut self, slot: usize, target: &RecordingTarget) {
        let turn = &mut lend(&mut self.turn, &mut self.events);
        self.recordings[slot].recording.set(target, turn);
        self.settle_recording(slot);
    }

    /// Tells the recordings of a call what was agreed on a leg.
    pub(super) fn tell_recordings(&mut self, call: usize, side: Side) {
        for index in 0..self.calls[call].recordings.len() {
            let slot = self.calls[call].recordings[index];
            self.blame = Blame::Recording(slot);
            let leg = self.calls[call].call.leg(side);
            let recording = &mut self.recordings[slot].recording;
            recording.set_formats(side, leg.codecs());
            recording.set_held(side, leg.is_held());
        }
    }

    /// Asks for the memory of a recording whose turn comes soon.
    pub(super) fn prefetch_recording(&self, slot: usize) {
        if let Some(living) = self.recordings.get(slot) {
            prefetch(&**living);
        }
    }

    /// Asks for the memory of a recording's side.
    pub(super) fn prefetch_recorded(&self, slot: usize, side: Side) {
        if let Some(living) = self.recordings.get(slot) {
            living.recording.prefetch_side(side);
        }
    }

    /// Hands a packet of a side to the call's recordings. Of the packet in the buffer only the payload type is another
    /// by now.
    pub(super) fn pass_to_recordings(&mut self, call: usize, side: Side, heard: &Heard) {
        for index in 0..self.calls[call].recordings.len() {
            let slot = self.calls[call].recordings[index];
            self.blame = Blame::Recording(slot);
            let header = &heard.header;
            let (datagram, mut turn) = lend_with_packet(&mut self.turn, &mut self.events);
            let media = TapPacket {
                codec: heard.format.codec,
                ssrc: header.ssrc,
                sequence: header.sequence,
                timestamp: header.timestamp,
                payload: &datagram[header.payload.clone()],
            };
            let packet = ForkPacket {
                media,
                payload_type: header.payload_type,
                marker: header.marker,
            };
            let recording = &mut self.recordings[slot].recording;
            recording.on_packet(side, &packet, &mut turn);
            self.settle_recording(slot);
        }
    }

    /// The recording that a token names, unless it is gone. It is to blame for what comes.
    fn serve_recording(&mut self, token: Token) -> Option<usize> {
        let slot = token.slot();
        let living = self.recordings.get(slot)?;
        if !token.is_of(living.generation) {
            return None;
        }
        self.blame = Blame::Recording(slot);
        Some(slot)
    }

    pub(super) fn on_recorder_reports(&mut self, token: Token) {
        if let Some(slot) = self.serve_recording(token) {
            let turn = &mut lend(&mut self.turn, &mut self.events);
            self.recordings[slot].recording.on_reports(turn);
        }
    }

    pub(super) fn on_recording_alarm(&mut self, token: Token, due: Nanos) {
        let Some(slot) = self.serve_recording(token) else {
            return;
        };
        let living = &mut self.recordings[slot];
        if living.alarm.is_rung(due) {
            let turn = &mut lend(&mut self.turn, &mut self.events);
            living.recording.on_timer(turn);
            debug_assert!(
                living.recording.due() > self.turn.now,
                "an alarm that asks for itself"
            );
            self.settle_recording(slot);
        }
    }

    /// Sees to it that the recording is asked when it wants to be.
    fn settle_recording(&mut self, slot: usize) {
        let living = &mut self.recordings[slot];
        let token = Token::new(Kind::Recording, slot as u32, living.generation);
        self.timers
            .ask(token, living.recording.due(), &mut living.alarm);
    }

    /// Ends the recordings of a call that ends.
    pub(super) fn close_recordings(&mut self, call: usize) {
        for slot in std::mem::take(&mut self.calls[call].recordings) {
            self.guard(|worker| {
                worker.blame = Blame::Recording(slot);
                worker.close_recording(slot);
            });
        }
    }

    /// Says goodbye to all recorders, as the worker ends.
    pub(super) fn leave_recorders(&mut self) {
        for (_, living) in &mut self.recordings {
            let turn = &mut lend(&mut self.turn, &mut self.events);
            living.recording.end(turn);
        }
    }

    fn close_recording(&mut self, slot: usize) {
        let turn = &mut lend(&mut self.turn, &mut self.events);
        let living = &mut self.recordings[slot];
        living.recording.end(turn);
        let streams = living.recording.stats();
        let handle = self.remove_recording(slot);
        self.tell_recording_closed(handle, streams, None);
    }

    /// Lets go of a recording whose code or sockets are broken, without calling it.
    pub(super) fn fail_recording(&mut self, slot: usize, detail: String) {
        if self.recordings.contains(slot) {
            let handle = self.remove_recording(slot);
            self.tell_recording_closed(handle, Vec::new(), Some(detail));
        }
    }

    /// The ports go into quarantine before anybody hears of the end.
    fn remove_recording(&mut self, slot: usize) -> u64 {
        let RecordingSlot { handle, call, .. } = *self.recordings.remove(slot);
        self.recording_slots.remove(&handle);
        if let Some(living) = self.calls.get_mut(call) {
            living.recordings.retain(|&other| other != slot);
        }
        handle
    }

    fn tell_recording_closed(
        &mut self,
        recording: u64,
        streams: Vec<RecordedStreamStats>,
        failure: Option<String>,
    ) {
        self.shared.recordings.remove(recording);
        self.events.push(Event::RecordingClosed {
            recording,
            streams,
            failure,
        });
    }
}
