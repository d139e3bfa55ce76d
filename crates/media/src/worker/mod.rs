//! A worker: one thread, its epoll, and the calls and streams that live on it for their whole lives.
//!
//! In a turn it takes what is ready (orders, packets, connections), then what is due, and then tells what
//! came of it. Whatever panics is blamed on the call or stream that was served, and ends only that.
mod calls;
pub mod mailbox;
mod orders;
mod pace;
mod recordings;
mod streams;
mod taps;
mod timers;
mod token;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::num::Wrapping;
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use rustix::event::{epoll, Timespec};
use rustix::thread::{clock_nanosleep_absolute, ClockId};
use slab::Slab;

use self::calls::CallSlot;
use self::mailbox::{Mailbox, Order};
use self::pace::Pace;
use self::recordings::RecordingSlot;
use self::streams::StreamSlot;
use self::taps::Tapped;
use self::timers::Timers;
use self::token::{Kind, Token};
use crate::clock::{Clock, Nanos, MILLISECOND, SECOND};
use crate::error::Result;
use crate::events::Events;
use crate::leg::Turn;
use crate::orders::Side;
use crate::queue::EventQueue;
use crate::registry::Registry;
use crate::tally::SharedTally;

/// Sockets taken from epoll at a time.
const READY: usize = 512;
/// An alarm that is later than this says that the worker was kept from running.
const LATE: Nanos = 20 * MILLISECOND;
/// Looks at the sockets, a packet of each at a time, before alarms have their turn all the same.
const LOOKS_MAX: u32 = 16;
/// How far ahead state is asked for: a few system calls, which last longer than a miss of all caches.
const AHEAD: usize = 2;
/// The niceness of a worker, where the system allows it: whatever else wants the processor, a voice goes first.
const NICENESS: i32 = -10;

/// What all workers and the engine share.
#[derive(Debug)]
pub struct Shared {
    /// The engine's clock.
    pub clock: Clock,
    /// How long a leg waits for its negotiated source.
    pub learning: Nanos,
    /// How long a call may be without media; 0: for ever.
    pub idle_limit: Nanos,
    /// What the engine tells.
    pub events: EventQueue,
    /// The living calls.
    pub calls: Registry,
    /// The living streams.
    pub streams: Registry,
    /// The living recordings.
    pub recordings: Registry,
}

/// What a worker shares with the engine alone.
#[derive(Debug)]
pub struct Desk {
    /// Its orders.
    pub mailbox: Mailbox,
    /// Its counters.
    pub tally: SharedTally,
}

/// Who is served just now.
#[derive(Debug, Clone, Copy)]
enum Blame {
    Nobody,
    Call(usize),
    Stream(usize),
    Recording(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    epoll: OwnedFd,
    /// Each by itself: a list of them that grows would be copied while media waits.
    calls: Slab<Box<CallSlot>>,
    call_slots: HashMap<u64, usize>,
    streams: Slab<Box<StreamSlot>>,
    stream_slots: HashMap<u64, usize>,
    recordings: Slab<Box<RecordingSlot>>,
    recording_slots: HashMap<u64, usize>,
    generation: Wrapping<u32>,
    timers: Timers,
    pace: Pace,
    turn: Turn,
    events: Events,
    /// Relayed packets that somebody listens to.
    tapped: Vec<Tapped>,
    /// Alarms of now; kept for its room.
    due: Vec<(Nanos, Token)>,
    /// Orders being carried out; kept for its room.
    orders: VecDeque<Order>,
    /// Streams that ended in this turn.
    finished: Vec<usize>,
    blame: Blame,
    /// Looks at the sockets since alarms were put off.
    looks: u32,
    stopped: bool,
}

impl Worker {
    /// A worker without calls, deaf until it is [run](Worker::run).
    pub fn new(shared: Arc<Shared>, desk: Arc<Desk>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(Token::MAILBOX.bits());
        epoll::add(&epoll, &desk.mailbox, data, epoll::EventFlags::IN)?;
        Ok(Self {
            turn: Turn::new(shared.clock),
            shared,
            desk,
            epoll,
            calls: Slab::new(),
            call_slots: HashMap::new(),
            streams: Slab::new(),
            stream_slots: HashMap::new(),
            recordings: Slab::new(),
            recording_slots: HashMap::new(),
            generation: Wrapping(0),
            timers: Timers::default(),
            pace: Pace::default(),
            events: Events::new(),
            tapped: Vec::new(),
            due: Vec::new(),
            orders: VecDeque::new(),
            finished: Vec::new(),
            blame: Blame::Nobody,
            looks: 0,
            stopped: false,
        })
    }

    /// Serves until it is told to stop.
    pub fn run(mut self) {
        go_first();
        let nothing = epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        };
        let mut ready = vec![nothing; READY];
        while !self.stopped {
            let count = epoll::wait(&self.epoll, &mut ready[..], self.patience().as_ref());
            let count = count.unwrap_or(0);
            self.turn.now = self.shared.clock.now();
            self.serve(&ready[..count]);
            if !self.catches_up(count) {
                self.ring_alarms();
            }
            self.tell();
            self.pace.turned(count as u64, self.turn.now);
            if count == 0 {
                if let Some(until) = self.pace.rest() {
                    sleep_until(until);
                }
            }
        }
        self.end();
    }

    /// Serves what is ready: all packets are relayed before those who listen get them.
    fn serve(&mut self, ready: &[epoll::Event]) {
        let token_of = |event: &epoll::Event| Token::from_bits({ event.data }.u64());
        for (index, event) in ready.iter().enumerate() {
            if let Some(next) = ready.get(index + AHEAD) {
                self.prefetch_call(token_of(next));
            }
            let flags = event.flags;
            self.guard(|worker| worker.dispatch(token_of(event), flags));
        }
        self.serve_taps();
    }

    /// Whether packets go before alarms. A worker that was kept from running finds them waiting, a few in each socket,
    /// and takes one of each at a look; an alarm that rang before would take what waits for silence.
    fn catches_up(&mut self, ready: usize) -> bool {
        let now = self.turn.now;
        let next = self.timers.next();
        let is_late = next.is_some_and(|due| now.saturating_sub(due) > LATE);
        if ready == 0 || !is_late || self.looks == LOOKS_MAX {
            self.looks = 0;
            return false;
        }
        self.looks += 1;
        true
    }

    /// How long the next look may wait.
    fn patience(&self) -> Option<Timespec> {
        if self.pace.looks_again() {
            return Some(Timespec::default());
        }
        let due = self.timers.next()?;
        Some(timespec(due.saturating_sub(self.shared.clock.now())))
    }

    fn dispatch(&mut self, token: Token, flags: epoll::EventFlags) {
        if !matches!(token.kind(), Kind::RtpA | Kind::RtpB) {
            // Nothing overtakes a packet.
            self.serve_taps();
        }
        match token.kind() {
            Kind::Mailbox => self.take_orders(),
            Kind::RtpA => self.on_rtp(token, Side::A),
            Kind::RtpB => self.on_rtp(token, Side::B),
            Kind::RtcpA => self.on_rtcp(token, Side::A),
            Kind::RtcpB => self.on_rtcp(token, Side::B),
            Kind::Stream => self.on_stream_ready(token, flags),
            Kind::Recording => self.on_recorder_reports(token),
            Kind::Call => {}
        }
    }

    fn take_orders(&mut self) {
        let mut orders = std::mem::take(&mut self.orders);
        self.desk.mailbox.take(&mut orders);
        for order in orders.drain(..) {
            self.guard(|worker| worker.carry_out(order));
        }
        self.orders = orders;
    }

    /// Rings each alarm that is due once. One that is asked for at once again waits for the next turn, so that
    /// nobody's alarms can keep the worker from its sockets.
    fn ring_alarms(&mut self) {
        let mut alarms = std::mem::take(&mut self.due);
        let (timers, now) = (&mut self.timers, self.turn.now);
        alarms.extend(std::iter::from_fn(|| timers.pop(now)));
        for index in 0..alarms.len() {
            self.prefetch_alarms(&alarms[index..]);
            let (due, token) = alarms[index];
            self.guard(|worker| match token.kind() {
                Kind::Stream => worker.on_stream_alarm(token, due),
                Kind::Recording => worker.on_recording_alarm(token, due),
                _ => worker.on_call_alarm(token, due),
            });
        }
        alarms.clear();
        self.due = alarms;
    }

    /// Lets go of what has ended, and tells what came of the turn.
    fn tell(&mut self) {
        while let Some(slot) = self.finished.pop() {
            self.guard(|worker| worker.remove_stream(slot));
        }
        self.shared.events.append(&mut self.events);
        self.desk.tally.publish(&self.turn.tally);
    }

    fn next_generation(&mut self) -> u32 {
        self.generation += 1;
        self.generation.0
    }

    /// Does some work; a panic in it ends the call or stream that was served, and nothing else.
    fn guard(&mut self, work: impl FnOnce(&mut Self)) {
        self.blame = Blame::Nobody;
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) else {
            return;
        };
        match self.blame {
            Blame::Nobody => {}
            Blame::Call(slot) => self.fail_call(slot, panic_text(&*panic)),
            Blame::Stream(slot) => self.fail_stream(slot),
            Blame::Recording(slot) => self.fail_recording(slot, panic_text(&*panic)),
        }
    }

    fn end(&mut self) {
        for (_, living) in &mut self.calls {
            living.say_goodbye(&mut self.turn);
        }
        self.leave_recorders();
        self.desk.tally.publish(&self.turn.tally);
    }
}

/// Raises the priority of the calling thread. Without the right to do so (`CAP_SYS_NICE`) nothing changes.
fn go_first() {
    // SAFETY: the call takes no pointers; who 0 is the calling thread (setpriority(2), NOTES).
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(owned)
        .unwrap_or("a panic without a message")
        .into()
}

fn timespec(time: Nanos) -> Timespec {
    Timespec {
        tv_sec: (time / SECOND) as i64,
        tv_nsec: (time % SECOND) as _,
    }
}

/// Sleeps; an interruption only means less rest.
fn sleep_until(time: Nanos) {
    let _ = clock_nanosleep_absolute(ClockId::Monotonic, &timespec(time));
}
