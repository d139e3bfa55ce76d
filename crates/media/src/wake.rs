//! An eventfd: the bell of a queue.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{eventfd, EventfdFlags};

use crate::error::Result;

/// Becomes readable when rung, until it is stilled.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Makes a silent bell.
    pub fn new() -> Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Makes the descriptor readable. The only failure is a counter that is full, and then it is readable.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable; it does no harm to still a silent bell.
    pub fn still(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
