//! The second stage of a turn: relayed packets go to those who listen in.
//!
//! All packets of a wake-up are relayed first, so that no voice waits for a stream; and code that runs for many packets
//! in a row stays in the caches, as does not what takes turns with system calls.
use super::token::Token;
use super::{Blame, Worker, AHEAD};
use crate::dtmf::Press;
use crate::leg::Heard;
use crate::orders::Side;
use crate::tap::TapPacket;

/// A relayed packet of a call that somebody listens to; it lies in the turn's buffer.
#[derive(Debug)]
pub(super) struct Tapped {
    token: Token,
    side: Side,
    heard: Heard,
}

impl Worker {
    /// Keeps a packet for the second stage.
    pub(super) fn keep_for_taps(&mut self, token: Token, side: Side, heard: Heard) {
        let has_room = self.turn.keep_packet(&heard);
        self.tapped.push(Tapped { token, side, heard });
        if !has_room {
            self.serve_taps();
        }
    }

    /// Hands all kept packets on.
    pub(super) fn serve_taps(&mut self) {
        if self.tapped.is_empty() {
            return;
        }
        let mut tapped = std::mem::take(&mut self.tapped);
        for (index, packet) in tapped.iter().enumerate() {
            if let Some(next) = tapped.get(index + 2 * AHEAD) {
                self.prefetch_listeners(next.token);
            }
            if let Some(next) = tapped.get(index + AHEAD) {
                self.prefetch_channels(next.token, next.side);
            }
            self.guard(|worker| worker.pass_on(packet));
        }
        tapped.clear();
        self.tapped = tapped;
        self.turn.forget_packets();
    }

    fn prefetch_listeners(&self, call: Token) {
        let Some(living) = self.calls.get(call.slot()) else {
            return;
        };
        for &listener in &living.streams {
            self.prefetch_slot(listener);
        }
        for &recording in &living.recordings {
            self.prefetch_recording(recording);
        }
    }

    fn prefetch_channels(&self, call: Token, side: Side) {
        let Some(living) = self.calls.get(call.slot()) else {
            return;
        };
        for &listener in &living.streams {
            if let Some(listener) = self.streams.get(listener) {
                listener.media.prefetch_side(side);
            }
        }
        for &recording in &living.recordings {
            self.prefetch_recorded(recording, side);
        }
    }

    fn pass_on(&mut self, packet: &Tapped) {
        let Some(slot) = self.serve_call(packet.token) else {
            return;
        };
        if !self.calls[slot].streams.is_empty() {
            self.pass_to_streams(slot, packet.side, &packet.heard);
        }
        self.pass_to_recordings(slot, packet.side, &packet.heard);
    }

    fn pass_to_streams(&mut self, slot: usize, side: Side, heard: &Heard) {
        let header = &heard.header;
        let packet = TapPacket {
            codec: heard.format.codec,
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            payload: &self.turn.packet[header.payload.clone()],
        };
        for &listener in &self.calls[slot].streams {
            self.blame = Blame::Stream(listener);
            let media = &mut self.streams[listener].media;
            media.on_rtp(side, &packet, self.turn.now, &mut self.events);
        }
        for press in heard.presses.iter().flatten() {
            self.pass_press(slot, side, press);
        }
        self.settle_listeners(slot);
    }

    /// Tells a key press of a call to those who listen in.
    pub(super) fn pass_press(&mut self, slot: usize, side: Side, press: &Press) {
        for &listener in &self.calls[slot].streams {
            self.blame = Blame::Stream(listener);
            let media = &mut self.streams[listener].media;
            media.on_press(side, press, self.turn.now, &mut self.events);
        }
    }

    /// Settles all who listen to a call.
    pub(super) fn settle_listeners(&mut self, slot: usize) {
        for index in 0..self.calls[slot].streams.len() {
            let listener = self.calls[slot].streams[index];
            self.settle_stream(listener);
        }
    }
}
