//! One stream: its taps, its messages and its connection, on one worker.
use std::os::fd::RawFd;

use super::composer::Composer;
use super::entry::Control;
use super::link::Link;
use super::spec;
use crate::clock::{Nanos, MILLISECOND};
use crate::connector::Established;
use crate::dtmf::Press;
use crate::error::{ErrorKind, MediaError, Result};
use crate::events::{Event, Events};
use crate::orders::{Side, StreamSpec};
use crate::tap::{StreamTap, TapPacket, NEVER};
use crate::ws::frame::is_close_code;
use crate::ws::message::check_object;

/// How long the endpoint's Close is waited for (protocol section 3).
const CLOSE_WAIT: Nanos = 2_000 * MILLISECOND;
/// Control messages that may wait, in bytes; an order beyond it is refused. The engine's own are few by themselves.
const CONTROL_BYTES_MAX: usize = 4 << 20;

/// Reception of one side since the call began, for `stream.stats`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SideReception {
    /// Packets received.
    pub packets_received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after a newer one.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Estimated mean opinion score.
    pub mos: Option<f64>,
}

/// What a stream has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Sequence numbers given out.
    pub messages: u64,
    /// Bytes handed to the network.
    pub sent_bytes: u64,
    /// Samples that were never handed to the network.
    pub dropped_samples: u64,
}

/// The handles that a stream's events carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamIds {
    /// The call it belongs to.
    pub call: u64,
    /// The stream itself.
    pub stream: u64,
}

/// The order to close.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) body: Vec<u8>,
    pub(super) code: u16,
    drain: Nanos,
}

/// Where a stream is.
#[derive(Debug)]
pub(super) enum Phase {
    /// It takes audio.
    Open,
    /// It was told to close and sends what is queued, then `close`; no longer than `until` on a connection.
    Draining { closing: Closing, until: Nanos },
    /// `close` and a WebSocket Close are with the network; the endpoint's Close is waited for.
    AwaitingClose { until: Nanos },
    /// `stream_closed` has been told.
    Finished,
}

/// Interval of writes, moved by a part of it that is the stream's own, so that streams don't write all at once.
#[derive(Debug, Clone, Copy)]
struct FlushGrid {
    interval: Nanos,
    offset: Nanos,
}

impl FlushGrid {
    fn new(spec: &StreamSpec) -> Self {
        let interval = Nanos::from(spec.flush_ms) * MILLISECOND;
        // FNV-1a: any spread will do, but the same on every run.
        let hash = spec
            .stream_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self {
            interval,
            offset: hash % interval.max(1),
        }
    }

    /// The next instant of the grid after `now`; `now` itself without an interval.
    const fn after(&self, now: Nanos) -> Nanos {
        if self.interval == 0 {
            return now;
        }
        let into = (now + self.interval - self.offset) % self.interval;
        now + self.interval - into
    }
}

/// See the module.
///
/// The worker polls [`MediaStream::fd`] level-triggered for reading always and for writing while
/// [`MediaStream::wants_write`], calls [`MediaStream::on_ready`] then, and [`MediaStream::tick`] when
/// [`MediaStream::next_due`] has come. Any call may change all three.
#[derive(Debug)]
pub struct MediaStream {
    pub(super) ids: StreamIds,
    pub(super) spec: StreamSpec,
    pub(super) composer: Composer,
    pub(super) link: Option<Link>,
    pub(super) phase: Phase,
    /// The endpoint must be answered before the next flush.
    pub(super) urgent: bool,
    pub(super) rtt_ms: Option<f64>,
    pub(super) close_sent: bool,
    pub(super) past_bytes: u64,
    pub(super) flush_at: Nanos,
    tap: StreamTap,
    sides: [Option<usize>; 2],
    grid: FlushGrid,
    stats_at: Nanos,
    receptions: [SideReception; 2],
}

impl MediaStream {
    /// Begins a stream: its clock runs from the order's sample 0, and its frames are queued from now on.
    pub fn open(ids: StreamIds, spec: StreamSpec, now: Nanos) -> Result<Self> {
        spec::validate(&spec, now)?;
        let index_of = |side| {
            spec.channels
                .iter()
                .position(|channel| channel.side == side)
        };
        let stats_at = match spec.stats_ms {
            0 => NEVER,
            interval => now + Nanos::from(interval) * MILLISECOND,
        };
        Ok(Self {
            ids,
            composer: Composer::new(spec.clone()),
            link: None,
            phase: Phase::Open,
            urgent: false,
            rtt_ms: None,
            close_sent: false,
            past_bytes: 0,
            flush_at: NEVER,
            tap: StreamTap::new(spec::tap_spec(&spec), spec.start_ns)?,
            sides: Side::BOTH.map(index_of),
            grid: FlushGrid::new(&spec),
            stats_at,
            receptions: [SideReception::default(); 2],
            spec,
        })
    }

    /// The index of the side's channel, if the stream taps it.
    pub const fn taps(&self, side: Side) -> Option<usize> {
        self.sides[side.index()]
    }

    /// Asks for the memory that a packet of a side needs.
    pub fn prefetch_side(&self, side: Side) {
        if let Some(index) = self.taps(side) {
            self.tap.prefetch(index);
        }
    }

    /// Asks for the memory that a write needs.
    pub fn prefetch_write(&self) {
        self.tap.prefetch_all();
        self.composer.prefetch();
        if let Some(link) = &self.link {
            link.prefetch();
        }
    }

    /// Takes one packet of a side; a side that is not tapped is ignored.
    pub fn on_rtp(&mut self, side: Side, packet: &TapPacket<'_>, now: Nanos, events: &mut Events) {
        let Some(index) = self.taps(side) else { return };
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let mut intake = self.composer.at(now);
        self.tap.on_rtp(index, packet, now, &mut intake);
        let unsupported = !intake.unsupported.is_empty();
        if unsupported {
            events.push(Event::StreamCodecUnsupported {
                stream: self.ids.stream,
                side,
            });
        }
        self.arm(now);
        if self.flush_at <= now {
            self.pump(now, events);
        }
    }

    /// Tells a finished key press of a tapped side.
    pub fn on_press(&mut self, side: Side, press: &Press, now: Nanos, events: &mut Events) {
        let Some(index) = self.taps(side) else { return };
        let (Phase::Open, Some(channel)) = (&self.phase, self.spec.channels.get(index)) else {
            return;
        };
        events.push(Event::KeyPress {
            call: self.ids.call,
            stream: self.ids.stream,
            side,
            channel: channel.channel,
            participant: channel.participant.clone(),
            digit: press.digit,
            duration_ms: press.duration_ms,
            timestamp: self
                .tap
                .position_of(index, press.ssrc, press.timestamp, now),
        });
    }

    /// Says whether the participant of a side holds the call.
    pub fn set_held(&mut self, side: Side, held: bool) {
        if let Some(index) = self.taps(side) {
            self.tap.set_held(index, held);
        }
    }

    /// Whether the next tick sends `stream.stats`: reception should be handed in before it.
    pub const fn stats_due(&self, now: Nanos) -> bool {
        matches!(self.phase, Phase::Open) && now >= self.stats_at
    }

    /// Hands in a side's reception.
    pub fn set_reception(&mut self, side: Side, reception: SideReception) {
        self.receptions[side.index()] = reception;
    }

    /// Goes on over a new connection. One that still stood is given up without a word.
    pub fn attach(&mut self, established: Established, now: Nanos, events: &mut Events) {
        match &mut self.phase {
            Phase::Open => {}
            Phase::Draining { closing, until } => *until = now + closing.drain,
            Phase::AwaitingClose { .. } | Phase::Finished => return,
        }
        self.give_up_link();
        events.push(Event::StreamConnected {
            stream: self.ids.stream,
            address: established.address.to_string(),
            tls_version: established.tls_version.to_owned(),
            connect_ms: established.connect_ms,
        });
        let mut established = established;
        let take = |text: &mut String| std::mem::take(text).into_bytes();
        let (connect, start) = (take(&mut established.connect), take(&mut established.start));
        let leftover = std::mem::take(&mut established.leftover);
        self.composer.connected(connect, start, now);
        self.link = Some(Link::new(established, &self.spec, now));
        self.take_bytes(&leftover, now, events);
        self.pump(now, events);
    }

    /// Takes what the socket says.
    pub fn on_ready(&mut self, readable: bool, writable: bool, now: Nanos, events: &mut Events) {
        if readable {
            self.receive(now, events);
        }
        if writable || self.urgent {
            self.pump(now, events);
        }
        self.arm(now);
    }

    /// Does what time asks for.
    pub fn tick(&mut self, now: Nanos, events: &mut Events) {
        if matches!(self.phase, Phase::Open) {
            self.tap.tick(now, &mut self.composer.at(now));
            if self.stats_due(now) {
                self.stats_at = now + Nanos::from(self.spec.stats_ms) * MILLISECOND;
                self.composer.push_stats(&self.receptions, self.rtt_ms, now);
            }
        }
        self.check_pings(now, events);
        self.arm(now);
        if self.flush_at <= now {
            self.pump(now, events);
        }
        let is_over = match &self.phase {
            Phase::Draining { until, .. } => self.link.is_some() && now >= *until,
            Phase::AwaitingClose { until } => now >= *until,
            Phase::Open | Phase::Finished => false,
        };
        if is_over {
            self.finish(None, events);
        }
    }

    /// When [`MediaStream::tick`] has something to do next; [`NEVER`] when nothing.
    pub fn next_due(&self) -> Nanos {
        let of_phase = match &self.phase {
            Phase::Open => self.tap.next_due().min(self.stats_at),
            Phase::Draining { until, .. } if self.link.is_some() => *until,
            Phase::Draining { .. } => NEVER,
            // No more pings: see `check_pings`.
            Phase::AwaitingClose { until } => return (*until).min(self.flush_at),
            Phase::Finished => return NEVER,
        };
        let of_link = self
            .link
            .as_ref()
            .map_or(NEVER, |link| link.heartbeat.due());
        of_phase.min(of_link).min(self.flush_at)
    }

    /// Queues a control message; `event` is `metadata` or `dtmf`, `body` a JSON object.
    ///
    /// # Errors
    /// `bad_spec` for anything else, `limit` while too much waits. After the order to close it has no effect.
    pub fn send_control(&mut self, event: &str, body: &[u8], now: Nanos) -> Result<()> {
        let control = match event {
            "metadata" => Control::Metadata,
            "dtmf" => Control::Dtmf,
            _ => return Err(MediaError::bad_spec("the event must be metadata or dtmf")),
        };
        check_object(body)?;
        if !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        if self.composer.outbox.control_bytes() + body.len() > CONTROL_BYTES_MAX {
            return Err(MediaError::new(
                ErrorKind::Limit,
                "too many control messages wait",
            ));
        }
        self.composer.outbox.push_control(control, body);
        self.arm(now);
        Ok(())
    }

    /// Stops the media of all channels, or lets it go on; the clock runs on.
    pub fn pause(&mut self, on: bool, now: Nanos) {
        if matches!(self.phase, Phase::Open) {
            self.tap.pause(on, now, &mut self.composer.at(now));
            self.arm(now);
        }
    }

    /// Ends the stream: what is queued is sent, then `close` with `body` and the totals, then a WebSocket Close with
    /// `code`. Sending may take `drain_ms` on a connection; without one the stream waits to be attached or aborted.
    /// A second order has no effect.
    ///
    /// # Errors
    /// `bad_spec` when `body` is no JSON object or `code` may not be sent.
    pub fn close(&mut self, body: &[u8], code: u16, drain_ms: u32, now: Nanos) -> Result<()> {
        check_object(body)?;
        if !is_close_code(code) {
            return Err(MediaError::bad_spec("no WebSocket Close code"));
        }
        if !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        self.tap.flush(now, &mut self.composer.at(now));
        let drain = Nanos::from(drain_ms) * MILLISECOND;
        let closing = Closing {
            body: body.to_vec(),
            code,
            drain,
        };
        self.phase = Phase::Draining {
            closing,
            until: now + drain,
        };
        if self.link.is_some() {
            self.flush_at = now;
        }
        Ok(())
    }

    /// Ends the stream at once.
    pub fn abort(&mut self, _now: Nanos, events: &mut Events) {
        self.finish(None, events);
    }

    /// The socket to be polled; none without a connection. It changes with [`MediaStream::attach`] and with a loss.
    pub fn fd(&self) -> Option<RawFd> {
        self.link.as_ref().map(Link::fd)
    }

    /// Whether the socket should be polled for room too.
    pub fn wants_write(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.is_idle())
    }

    /// Whether `stream_closed` has been told; nothing more comes.
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Whether the stream was told to close, or is over.
    pub const fn is_closing(&self) -> bool {
        !matches!(self.phase, Phase::Open)
    }

    /// What the stream has done so far.
    pub fn counters(&self) -> StreamCounters {
        StreamCounters {
            messages: self.composer.outbox.messages(),
            sent_bytes: self.past_bytes + self.link.as_ref().map_or(0, Link::written),
            dropped_samples: self.composer.ledger.dropped_samples(),
        }
    }

    /// Sets the time of the next write when something waits and the network takes it.
    fn arm(&mut self, now: Nanos) {
        let Some(link) = &self.link else { return };
        if self.flush_at == NEVER
            && link.is_idle()
            && (link.has_frames() || self.composer.outbox.next().is_some())
        {
            self.flush_at = self.grid.after(now);
        }
    }

    /// `close` is with the network.
    pub(super) fn await_close(&mut self, now: Nanos) {
        self.close_sent = true;
        self.phase = Phase::AwaitingClose {
            until: now + CLOSE_WAIT,
        };
    }

    /// Tells `stream_closed`, once.
    pub(super) fn finish(&mut self, close_code: Option<u16>, events: &mut Events) {
        if self.is_finished() {
            return;
        }
        self.give_up_link();
        self.phase = Phase::Finished;
        events.push(Event::StreamClosed {
            stream: self.ids.stream,
            close_sent: self.close_sent,
            close_code,
            totals: self.composer.ledger.totals(),
            messages: self.composer.outbox.messages(),
            sent_bytes: self.past_bytes,
            max_queue_ms: self.composer.max_queued_ms(),
            gap_samples: self.composer.ledger.gap_samples(),
        });
    }
}
