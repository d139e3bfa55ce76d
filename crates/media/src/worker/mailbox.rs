//! The orders that wait for a worker: bounded, behind a bell.
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use crate::connector::Outcome;
use crate::error::{ErrorKind, MediaError, Result};
use crate::fork::{Recording, RecordingTarget};
use crate::orders::LegSpec;
use crate::ports::LegSockets;
use crate::stream::MediaStream;
use crate::wake::Bell;

/// Orders that may wait; a worker that is further behind than that takes no more.
const BOUND: usize = 16_384;

/// One order to a worker.
#[derive(Debug)]
pub enum Order {
    /// Begin a call on these sockets.
    OpenCall {
        /// Its handle.
        call: u64,
        /// Those of side `a` and `b`.
        sockets: Box<[LegSockets; 2]>,
    },
    /// Take what was agreed on a leg.
    SetLeg {
        /// The call.
        call: u64,
        /// What was agreed.
        spec: Box<LegSpec>,
    },
    /// Relay media, or stop it.
    Bridge {
        /// The call.
        call: u64,
        /// Relay it.
        on: bool,
    },
    /// Tell a call's numbers.
    QueryCall {
        /// The call.
        call: u64,
    },
    /// End a call.
    CloseCall {
        /// The call.
        call: u64,
    },
    /// Let a stream listen to a call.
    OpenStream {
        /// The call.
        call: u64,
        /// The stream's handle.
        stream: u64,
        /// The stream.
        media: Box<MediaStream>,
    },
    /// An attempt to connect a stream has ended.
    Connection {
        /// The stream.
        stream: u64,
        /// In what.
        outcome: Box<Outcome>,
    },
    /// Send a control message.
    SendOnStream {
        /// The stream.
        stream: u64,
        /// `metadata` or `dtmf`.
        event: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// Stop a stream's media, or let it go on.
    PauseStream {
        /// The stream.
        stream: u64,
        /// Stop it.
        on: bool,
    },
    /// End a stream in good order.
    CloseStream {
        /// The stream.
        stream: u64,
        /// Body of the `close` message.
        body: Vec<u8>,
        /// The WebSocket Close code.
        code: u16,
        /// How long it may take.
        drain_ms: u32,
    },
    /// End a stream at once.
    AbortStream {
        /// The stream.
        stream: u64,
    },
    /// Let a recording listen to a call.
    OpenRecording {
        /// The recording, which knows its call.
        recording: Box<Recording>,
    },
    /// Take what was agreed with a recorder.
    SetRecording {
        /// The recording.
        recording: u64,
        /// What was agreed.
        target: Box<RecordingTarget>,
    },
    /// Stop a recording's media, or let it go on.
    PauseRecording {
        /// The recording.
        recording: u64,
        /// Stop it.
        on: bool,
    },
    /// Tell a recording's numbers.
    QueryRecording {
        /// The recording.
        recording: u64,
    },
    /// End a recording.
    CloseRecording {
        /// The recording.
        recording: u64,
    },
    /// End the worker.
    Stop,
    /// Panic in a call's code.
    #[cfg(test)]
    Break {
        /// The call.
        call: u64,
    },
    /// Panic in a recording's code.
    #[cfg(test)]
    BreakRecording {
        /// The recording.
        recording: u64,
    },
    /// Panic in a stream's code.
    #[cfg(test)]
    BreakStream {
        /// The stream.
        stream: u64,
    },
}

impl Order {
    /// Whether the order ends something or answers for something that lives: there are no more of them than
    /// of living things, so the bound is not for them. A pause of a recording is never refused either, for
    /// what must not be recorded is said next.
    const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::CloseCall { .. }
                | Self::Connection { .. }
                | Self::CloseStream { .. }
                | Self::AbortStream { .. }
                | Self::CloseRecording { .. }
                | Self::PauseRecording { on: true, .. }
                | Self::Stop
        )
    }
}

/// See the module.
#[derive(Debug)]
pub struct Mailbox {
    waiting: Mutex<VecDeque<Order>>,
    bound: usize,
    bell: Bell,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> Result<Self> {
        Ok(Self {
            waiting: Mutex::new(VecDeque::new()),
            bound: BOUND,
            bell: Bell::new()?,
        })
    }

    /// Puts an order in. Refused with `limit` when too many wait, unless it ends something.
    pub fn post(&self, order: Order) -> Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= self.bound && !order.is_final() {
            return Err(MediaError::new(
                ErrorKind::Limit,
                "the worker is too far behind to take orders",
            ));
        }
        if waiting.is_empty() {
            self.bell.ring();
        }
        waiting.push_back(order);
        Ok(())
    }

    /// Exchanges what waits for an empty list, and stills the bell.
    pub fn take(&self, empty: &mut VecDeque<Order>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, empty);
        self.bell.still();
    }
}

impl AsFd for Mailbox {
    /// Readable while orders wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_takes_only_what_ends_something() {
        let mut mailbox = Mailbox::new().unwrap();
        mailbox.bound = 1;
        mailbox.post(Order::QueryCall { call: 1 }).unwrap();
        let refused = mailbox.post(Order::QueryCall { call: 2 }).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Limit);
        mailbox.post(Order::CloseCall { call: 1 }).unwrap();
        let mut orders = VecDeque::new();
        mailbox.take(&mut orders);
        assert_eq!(orders.len(), 2);
        mailbox.post(Order::QueryCall { call: 3 }).unwrap();
    }
}
