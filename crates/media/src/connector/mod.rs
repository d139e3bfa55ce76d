//! Makes connections to endpoints on a thread of its own (ADR 6), so that no handshake costs a call's time.
mod attempt;
mod outcome;
mod thread;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{eventfd, EventfdFlags};

pub use self::outcome::{Established, FailReason, Failed, Outcome};
use crate::error::Result;
use crate::orders::ConnectAttempt;

/// The longest that one attempt may take, whatever its order says.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Takes the outcome, on the connector's thread: it must only pass it on.
pub type Reply = Box<dyn FnOnce(Outcome) + Send>;

/// The bounds of a connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorLimits {
    /// Attempts under way at a time.
    pub in_flight: usize,
    /// Attempts that may wait for their turn; one beyond them fails at once.
    pub waiting: usize,
}

impl Default for ConnectorLimits {
    fn default() -> Self {
        Self {
            in_flight: 1024,
            waiting: 32_768,
        }
    }
}

/// An attempt that waits for its turn.
struct Order {
    attempt: ConnectAttempt,
    reply: Reply,
    begun: Instant,
    deadline: Instant,
}

#[derive(Default)]
struct Inbox {
    orders: VecDeque<Order>,
    stopped: bool,
}

/// What the handle and the thread have in common.
struct Shared {
    inbox: Mutex<Inbox>,
    wake: OwnedFd,
    limits: ConnectorLimits,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing that can panic is done under the lock.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A full counter wakes too.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// The handle of the connector's thread, which ends when it is dropped; attempts under way then fail.
pub struct Connector {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Starts the thread.
    pub fn start(limits: ConnectorLimits) -> Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox::default()),
            wake,
            limits,
        });
        let mut driver = thread::Driver::new(Arc::clone(&shared))?;
        let thread = std::thread::Builder::new()
            .name("media-connect".to_owned())
            .spawn(move || driver.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Makes one attempt. `reply` is called exactly once, whatever happens: on the connector's thread, or at once
    /// when there is no room for the attempt.
    pub fn connect(&self, attempt: ConnectAttempt, reply: Reply) {
        let begun = Instant::now();
        let timeout = Duration::from_millis(attempt.timeout_ms).min(TIMEOUT_MAX);
        let order = Order {
            attempt,
            reply,
            begun,
            deadline: begun + timeout,
        };
        let mut inbox = self.shared.inbox();
        if inbox.stopped || inbox.orders.len() >= self.shared.limits.waiting {
            let words = if inbox.stopped {
                "the engine has been shut down"
            } else {
                "too many attempts to connect wait for their turn"
            };
            drop(inbox);
            (order.reply)(Err(Failed::new(FailReason::Engine, words)));
            return;
        }
        inbox.orders.push_back(order);
        drop(inbox);
        self.shared.wake();
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.shared.inbox().stopped = true;
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // A reply may drop the last handle on the connector's own thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
