//! The connector's thread: polls the sockets of all attempts under way and watches their deadlines.
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{epoll, Timespec};
use slab::Slab;

use super::attempt::{Attempt, Span, Step};
use super::outcome::{FailReason, Failed, Outcome};
use super::{Order, Reply, Shared};
use crate::error::Result;
use crate::memory;
use crate::ws::tls::ClientConfigs;

/// The token of the wake-up descriptor.
const WAKE: u64 = u64::MAX;
/// Readiness taken from the kernel at a time.
const EVENTS: usize = 256;
/// How often memory is given back to the system.
const TRIM_EVERY: Duration = Duration::from_secs(15);

/// One attempt and how it is polled.
struct Slot {
    attempt: Box<Attempt>,
    reply: Reply,
    polled: Polled,
}

/// What the kernel polls for a slot: which socket, and whether for room too.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Polled {
    socket: usize,
    write: bool,
}

/// See the module.
pub struct Driver {
    shared: Arc<Shared>,
    epoll: OwnedFd,
    slots: Slab<Slot>,
    waiting: VecDeque<Order>,
    configs: ClientConfigs,
    /// No deadline of a slot is before it.
    earliest: Option<Instant>,
    trim_at: Instant,
}

impl Driver {
    /// A driver that polls its wake-up descriptor.
    pub fn new(shared: Arc<Shared>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &shared.wake,
            epoll::EventData::new_u64(WAKE),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            shared,
            epoll,
            slots: Slab::new(),
            waiting: VecDeque::new(),
            configs: ClientConfigs::new(),
            earliest: None,
            trim_at: Instant::now() + TRIM_EVERY,
        })
    }

    /// Runs until the handle is dropped.
    pub fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        while self.take_orders() {
            self.begin_waiting();
            events.clear();
            let timeout = self.timeout();
            // An interrupted wait is one without events.
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout));
            let now = Instant::now();
            for event in &events {
                match event.data.u64() {
                    WAKE => {
                        let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
                    }
                    token => self.turn(token as usize, now, Attempt::on_ready),
                }
            }
            self.expire(now);
            self.trim(now);
        }
        self.refuse_all();
    }

    /// False once the connector is stopped.
    fn take_orders(&mut self) -> bool {
        let mut inbox = self.shared.inbox();
        let room = self
            .shared
            .limits
            .in_flight
            .saturating_sub(self.slots.len());
        // The rest waits in the inbox, whose length is what the handle bounds.
        let count = room.min(inbox.orders.len());
        self.waiting.extend(inbox.orders.drain(..count));
        !inbox.stopped
    }

    fn begin_waiting(&mut self) {
        while let Some(order) = self.waiting.pop_front() {
            let now = Instant::now();
            let Order {
                attempt,
                reply,
                begun,
                deadline,
            } = order;
            if now >= deadline {
                let words = "too many attempts to connect were under way";
                answer(reply, Err(Failed::new(FailReason::Timeout, words)));
                continue;
            }
            let configs = &mut self.configs;
            let begin = || {
                let config = match attempt.server_name {
                    Some(_) => Some(configs.get(attempt.ca_pem.as_deref()).map_err(engine)?),
                    None => None,
                };
                Attempt::begin(attempt, config, Span { begun, deadline }, now)
            };
            let attempt = catch_unwind(AssertUnwindSafe(begin)).unwrap_or_else(|_| Err(panicked()));
            match attempt {
                Ok(attempt) => self.insert(Box::new(attempt), reply),
                Err(failed) => answer(reply, Err(failed)),
            }
        }
    }

    fn insert(&mut self, attempt: Box<Attempt>, reply: Reply) {
        let polled = Polled {
            socket: attempt.socket_number(),
            write: true,
        };
        let due = attempt.due();
        let token = self.slots.vacant_key() as u64;
        match epoll::add(
            &self.epoll,
            attempt.fd(),
            epoll::EventData::new_u64(token),
            flags(true),
        ) {
            Ok(()) => {
                self.slots.insert(Slot {
                    attempt,
                    reply,
                    polled,
                });
                self.note_due(due);
            }
            Err(error) => answer(reply, Err(engine(error.to_string()))),
        }
    }

    fn note_due(&mut self, due: Instant) {
        self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
    }

    fn timeout(&self) -> Timespec {
        let due = self
            .earliest
            .map_or(self.trim_at, |due| due.min(self.trim_at));
        let left = due.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends just before the deadline would only be made again.
        let left = left + Duration::from_micros(100);
        Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        }
    }

    /// Gives back from time to time what queues held that have been emptied.
    fn trim(&mut self, now: Instant) {
        if now >= self.trim_at {
            memory::trim();
            self.trim_at = now + TRIM_EVERY;
        }
    }

    /// Lets one attempt take its turn, and acts on what came of it.
    fn turn(&mut self, token: usize, now: Instant, act: fn(&mut Attempt, Instant) -> Step) {
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        let attempt = &mut slot.attempt;
        let step = catch_unwind(AssertUnwindSafe(|| act(attempt, now)));
        match step.unwrap_or_else(|_| Step::Failed(panicked())) {
            Step::Pending => self.poll(token),
            Step::Upgraded(head) => {
                let slot = self.slots.remove(token);
                // The worker will poll it; the descriptor lives on.
                let _ = epoll::delete(&self.epoll, slot.attempt.fd());
                answer(slot.reply, Ok(slot.attempt.into_established(head, now)));
            }
            // The socket is closed, which ends its polling.
            Step::Failed(failed) => answer(self.slots.remove(token).reply, Err(failed)),
        }
    }

    /// Brings what the kernel polls in line with what the attempt waits for.
    fn poll(&mut self, token: usize) {
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        let attempt = &slot.attempt;
        let due = attempt.due();
        let wanted = Polled {
            socket: attempt.socket_number(),
            write: attempt.wants_write(),
        };
        if wanted != slot.polled {
            let data = epoll::EventData::new_u64(token as u64);
            let result = if wanted.socket == slot.polled.socket {
                epoll::modify(&self.epoll, attempt.fd(), data, flags(wanted.write))
            } else {
                epoll::add(&self.epoll, attempt.fd(), data, flags(wanted.write))
            };
            slot.polled = wanted;
            if let Err(error) = result {
                let slot = self.slots.remove(token);
                answer(slot.reply, Err(engine(error.to_string())));
                return;
            }
        }
        self.note_due(due);
    }

    fn expire(&mut self, now: Instant) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        let due = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.attempt.due() <= now);
        let due: Vec<usize> = due.map(|(token, _)| token).collect();
        for token in due {
            self.turn(token, now, Attempt::on_due);
        }
        self.earliest = self.slots.iter().map(|(_, slot)| slot.attempt.due()).min();
    }

    fn refuse_all(&mut self) {
        let orders = std::mem::take(&mut self.shared.inbox().orders);
        let waiting = std::mem::take(&mut self.waiting).into_iter().chain(orders);
        let replies: Vec<Reply> = waiting
            .map(|order| order.reply)
            .chain(self.slots.drain().map(|slot| slot.reply))
            .collect();
        for reply in replies {
            answer(
                reply,
                Err(engine("the engine has been shut down".to_owned())),
            );
        }
    }
}

fn flags(write: bool) -> epoll::EventFlags {
    if write {
        epoll::EventFlags::IN | epoll::EventFlags::OUT
    } else {
        epoll::EventFlags::IN
    }
}

fn engine(detail: String) -> Failed {
    Failed::new(FailReason::Engine, detail)
}

fn panicked() -> Failed {
    Failed::new(FailReason::Engine, "the engine failed while it connected")
}

/// A panic in a reply must not end the thread that everybody's connections hang on.
fn answer(reply: Reply, outcome: Outcome) {
    let _ = catch_unwind(AssertUnwindSafe(|| reply(outcome)));
}
