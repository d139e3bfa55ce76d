//! How a worker carries out its orders. An order for something that has ended meanwhile comes to nothing.
use super::mailbox::Order;
use super::{Blame, Worker};
use crate::events::Event;
use crate::orders::LegSpec;

impl Worker {
    pub(super) fn carry_out(&mut self, order: Order) {
        match order {
            Order::OpenCall { call, sockets } => self.open_call(call, *sockets),
            Order::SetLeg { call, spec } => self.with_call(call, |worker, slot| {
                worker.set_leg(slot, *spec);
            }),
            Order::Bridge { call, on } => self.with_call(call, |worker, slot| {
                worker.calls[slot].call.bridge(on, worker.turn.now);
                worker.settle_call(slot);
            }),
            Order::QueryCall { call } => self.with_call(call, |worker, slot| {
                let living = &worker.calls[slot].call;
                let (sides, dead_air_ms) = (living.stats(), living.dead_air_ms(worker.turn.now));
                worker.events.push(Event::CallStats {
                    call,
                    sides,
                    dead_air_ms,
                });
            }),
            Order::CloseCall { call } => self.with_call(call, Self::close_call),
            Order::OpenStream {
                call,
                stream,
                media,
            } => self.open_stream(call, stream, *media),
            Order::Stop => self.stopped = true,
            #[cfg(test)]
            Order::Break { call } => self.with_call(call, |_, _| panic!("broken on purpose")),
            other => self.carry_out_on_stream(other),
        }
    }

    fn carry_out_on_stream(&mut self, order: Order) {
        match order {
            Order::Connection { stream, outcome } => self.with_stream(stream, |worker, slot| {
                worker.on_connection(slot, *outcome);
            }),
            Order::SendOnStream {
                stream,
                event,
                body,
            } => self.with_stream(stream, |worker, slot| {
                let now = worker.turn.now;
                // The engine has looked at the event and its body before the order was given.
                let _ = worker.streams[slot].media.send_control(&event, &body, now);
                worker.settle_stream(slot);
            }),
            Order::PauseStream { stream, on } => self.with_stream(stream, |worker, slot| {
                worker.streams[slot].media.pause(on, worker.turn.now);
                worker.settle_stream(slot);
            }),
            Order::CloseStream {
                stream,
                body,
                code,
                drain_ms,
            } => self.with_stream(stream, |worker, slot| {
                worker.close_stream(slot, &body, code, drain_ms);
            }),
            Order::AbortStream { stream } => self.with_stream(stream, |worker, slot| {
                let (now, events) = (worker.turn.now, &mut worker.events);
                worker.streams[slot].media.abort(now, events);
                worker.settle_stream(slot);
            }),
            #[cfg(test)]
            Order::BreakStream { stream } => {
                self.with_stream(stream, |_, _| panic!("broken on purpose"));
            }
            other => self.carry_out_on_recording(other),
        }
    }

    fn with_call(&mut self, call: u64, work: impl FnOnce(&mut Self, usize)) {
        if let Some(&slot) = self.call_slots.get(&call) {
            self.blame = Blame::Call(slot);
            work(self, slot);
        }
    }

    fn with_stream(&mut self, stream: u64, work: impl FnOnce(&mut Self, usize)) {
        if let Some(&slot) = self.stream_slots.get(&stream) {
            self.blame = Blame::Stream(slot);
            work(self, slot);
        }
    }

    fn set_leg(&mut self, slot: usize, spec: LegSpec) {
        let (side, held) = (spec.side, spec.held);
        self.calls[slot].call.agree(spec, self.turn.now);
        self.settle_call(slot);
        for index in 0..self.calls[slot].streams.len() {
            let listener = self.calls[slot].streams[index];
            self.blame = Blame::Stream(listener);
            self.streams[listener].media.set_held(side, held);
            self.settle_stream(listener);
        }
        self.tell_recordings(slot, side);
    }
}
