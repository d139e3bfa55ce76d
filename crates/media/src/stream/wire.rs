//! A stream's connection at work: batches out, frames in, and its loss.
use std::cell::RefCell;

use super::bodies;
use super::link::{Link, Loss, BATCH_BYTES};
use super::media_stream::{MediaStream, Phase};
use crate::clock::{Nanos, MILLISECOND};
use crate::events::{Event, Events};
use crate::tap::NEVER;
use crate::ws::frame::{append_close, append_frame, Inbound, Opcode};
use crate::ws::mask::MaskKeys;
use crate::ws::message::parse_ack;

/// Bytes read at a time, and how often before the others' turn.
const READ_BYTES: usize = 4096;
const READS_MAX: usize = 16;
/// A batch buffer larger than this is not kept.
const KEPT_BYTES: usize = 4 * BATCH_BYTES;
/// Header of a frame with the 16-bit length and a mask.
const FRAME_HEADER_BYTES: usize = 8;
/// Close codes (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;
const UNSUPPORTED_DATA: u16 = 1003;
const POLICY_VIOLATION: u16 = 1008;
const NORMAL: u16 = 1000;

/// What all streams of a worker share while they make a batch.
struct Scratch {
    batch: Vec<u8>,
    ends: Vec<usize>,
    masks: MaskKeys,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        batch: Vec::with_capacity(KEPT_BYTES),
        ends: Vec::with_capacity(64),
        masks: MaskKeys::new(),
    });
}

impl Scratch {
    fn clear(&mut self) {
        if self.batch.capacity() > KEPT_BYTES {
            self.batch = Vec::with_capacity(KEPT_BYTES);
        }
        self.batch.clear();
        self.ends.clear();
    }
}

impl MediaStream {
    /// Writes all that waits, as far as the network takes it.
    pub(super) fn pump(&mut self, now: Nanos, events: &mut Events) {
        self.flush_at = NEVER;
        self.urgent = false;
        if let Err(loss) = self.write(now) {
            // What the endpoint said before tells more than that it doesn't listen.
            self.receive(now, events);
            if self.link.is_some() {
                self.lose(loss, events);
            }
        }
    }

    fn write(&mut self, now: Nanos) -> Result<(), Loss> {
        loop {
            let Some(link) = &mut self.link else {
                return Ok(());
            };
            let flushed = link.flush();
            self.settle(now);
            flushed?;
            if self.wants_write() {
                return Ok(());
            }
            match self.send_batch(now) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(loss) => {
                    self.settle(now);
                    return Err(loss);
                }
            }
        }
    }

    /// Accounts for what the network has now.
    fn settle(&mut self, now: Nanos) {
        let Some(link) = &mut self.link else { return };
        let landed = link.take_landed();
        if landed > 0 {
            self.composer.landed(landed, now);
        }
        if link.is_idle() && link.closing.take().is_some() {
            self.await_close(now);
        }
    }

    /// Gives the next batch to the idle link; false when there is nothing to send.
    fn send_batch(&mut self, now: Nanos) -> Result<bool, Loss> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            let Some(link) = &mut self.link else {
                return Ok(false);
            };
            if matches!(self.phase, Phase::AwaitingClose { .. }) {
                // Nothing follows a Close (RFC 6455 section 5.5.1).
                return Ok(false);
            }
            append_own_frames(scratch, link, now);
            self.append_messages(scratch);
            self.append_close_message(scratch, now);
            if scratch.batch.is_empty() {
                return Ok(false);
            }
            match &mut self.link {
                Some(link) => link.send(&scratch.batch, &scratch.ends).map(|()| true),
                None => Ok(false),
            }
        })
    }

    fn append_messages(&mut self, scratch: &mut Scratch) {
        let composer = &mut self.composer;
        while let Some(entry) = composer.outbox.next() {
            let bound = composer.length_bound(entry) + FRAME_HEADER_BYTES;
            if !scratch.batch.is_empty() && scratch.batch.len() + bound > BATCH_BYTES {
                break;
            }
            append_frame(
                &mut scratch.batch,
                Opcode::Text,
                &mut scratch.masks,
                |out| {
                    composer.write(entry, out);
                },
            );
            scratch.ends.push(scratch.batch.len());
            composer.outbox.take_off();
        }
    }

    /// Once everything before it is with the network: `close`, with the totals of just that, and a WebSocket Close.
    fn append_close_message(&mut self, scratch: &mut Scratch, now: Nanos) {
        let (Phase::Draining { closing, .. }, Some(link)) = (&self.phase, &mut self.link) else {
            return;
        };
        if !self.composer.outbox.is_empty() || !scratch.ends.is_empty() || link.closing.is_some() {
            return;
        }
        if self.composer.end_all_drops(now) {
            self.append_messages(scratch);
            return;
        }
        let number = self.composer.outbox.take_number();
        let body = bodies::close_body(&closing.body, &self.composer.ledger.totals());
        append_frame(
            &mut scratch.batch,
            Opcode::Text,
            &mut scratch.masks,
            |out| {
                self.composer.write_control(out, "close", number, &body);
            },
        );
        append_close(&mut scratch.batch, &mut scratch.masks, closing.code, "");
        link.closing = Some(number);
    }

    /// Sends pings that are due, and finds that the endpoint does not answer.
    pub(super) fn check_pings(&mut self, now: Nanos, events: &mut Events) {
        let Some(link) = &mut self.link else { return };
        // After `close` the wait is for the endpoint's Close, no longer for its pongs.
        if matches!(self.phase, Phase::AwaitingClose { .. }) || !link.heartbeat.tick(now) {
            return;
        }
        let detail = format!(
            "the endpoint left {} pings unanswered",
            self.spec.missed_pongs
        );
        self.lose(Loss::new("pong_timeout", detail), events);
    }

    /// Reads what the endpoint has sent.
    pub(super) fn receive(&mut self, now: Nanos, events: &mut Events) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            let Some(link) = &mut self.link else { return };
            match link.receive(&mut buffer) {
                Ok(Some(count)) => self.take_bytes(&buffer[..count], now, events),
                Ok(None) => return,
                Err(loss) => return self.lose(loss, events),
            }
        }
    }

    /// Takes bytes that the endpoint has sent, however they are split.
    pub(super) fn take_bytes(&mut self, mut input: &[u8], now: Nanos, events: &mut Events) {
        while let Some(link) = &mut self.link {
            match link.decoder.decode(&mut input) {
                Ok(None) => return,
                Ok(Some(inbound)) => self.take_inbound(inbound, now, events),
                Err(error) => return self.fail(error.close_code(), &error.to_string(), events),
            }
        }
    }

    fn take_inbound(&mut self, inbound: Inbound, now: Nanos, events: &mut Events) {
        let Some(link) = &mut self.link else { return };
        match inbound {
            Inbound::Text(text) => {
                let is_sent = |sequence| self.composer.outbox.acknowledge(sequence);
                if parse_ack(&text).is_some_and(is_sent) {
                    return;
                }
                if !link.allowance.admit(text.len(), now) {
                    self.fail(POLICY_VIOLATION, "the endpoint sends too much text", events);
                } else if !matches!(self.phase, Phase::AwaitingClose { .. }) {
                    events.push(Event::StreamText {
                        stream: self.ids.stream,
                        text,
                    });
                }
            }
            Inbound::Binary(length) => {
                let detail = format!("the endpoint sent a binary message of {length} bytes");
                self.fail(UNSUPPORTED_DATA, &detail, events);
            }
            Inbound::Ping(payload) => {
                // Only the last one need be answered (RFC 6455 section 5.5.3).
                link.pong = Some(payload);
                self.urgent = true;
            }
            Inbound::Pong(payload) => {
                if let Some(rtt) = link.heartbeat.on_pong(&payload, now) {
                    self.rtt_ms = Some(rtt as f64 / MILLISECOND as f64);
                }
            }
            Inbound::Close { code, reason } => self.take_close(code, &reason, events),
        }
    }

    fn take_close(&mut self, code: Option<u16>, reason: &str, events: &mut Events) {
        if matches!(self.phase, Phase::AwaitingClose { .. }) {
            return self.finish(code, events);
        }
        self.hang_up(code.unwrap_or(NORMAL), "");
        let detail = match (code, reason) {
            (Some(code), "") => format!("the endpoint closed with code {code}"),
            (Some(code), reason) => format!("the endpoint closed with code {code}: {reason}"),
            (None, _) => "the endpoint closed without a code".to_owned(),
        };
        let mut loss = Loss::new("closed_by_endpoint", detail);
        loss.close_code = code;
        self.lose(loss, events);
    }

    /// The endpoint broke a rule: it is told, and the connection is over.
    fn fail(&mut self, code: u16, detail: &str, events: &mut Events) {
        self.hang_up(code, detail);
        self.lose(Loss::new("protocol_error", detail), events);
    }

    /// The connection is gone. After `close` was sent that is the stream's end.
    fn lose(&mut self, loss: Loss, events: &mut Events) {
        self.drop_link();
        if matches!(self.phase, Phase::AwaitingClose { .. }) {
            return self.finish(None, events);
        }
        events.push(Event::StreamLost {
            stream: self.ids.stream,
            reason: loss.reason,
            detail: loss.detail,
            close_code: loss.close_code,
        });
    }

    /// Ends the connection from our side, politely when the network takes one more frame.
    pub(super) fn give_up_link(&mut self) {
        if self.close_sent {
            self.drop_link();
        } else {
            self.hang_up(GOING_AWAY, "");
        }
    }

    fn hang_up(&mut self, code: u16, reason: &str) {
        let mut frame = Vec::new();
        SCRATCH
            .with_borrow_mut(|scratch| append_close(&mut frame, &mut scratch.masks, code, reason));
        if let Some(link) = self.forget_link() {
            self.past_bytes += link.say_goodbye(&frame);
        }
    }

    fn drop_link(&mut self) {
        if let Some(link) = self.forget_link() {
            self.past_bytes += link.written();
        }
    }

    fn forget_link(&mut self) -> Option<Link> {
        let mut link = self.link.take()?;
        self.flush_at = NEVER;
        self.urgent = false;
        if let Some(number) = link.closing.take() {
            self.composer.outbox.return_number(number);
        }
        self.composer.disconnected();
        Some(link)
    }
}

/// Pongs and pings go before all messages.
fn append_own_frames(scratch: &mut Scratch, link: &mut Link, now: Nanos) {
    if let Some(payload) = link.pong.take() {
        append_frame(
            &mut scratch.batch,
            Opcode::Pong,
            &mut scratch.masks,
            |out| {
                out.extend_from_slice(&payload);
            },
        );
    }
    if let Some(payload) = link.heartbeat.take_ping(now) {
        append_frame(
            &mut scratch.batch,
            Opcode::Ping,
            &mut scratch.masks,
            |out| {
                out.extend_from_slice(&payload);
            },
        );
    }
}
