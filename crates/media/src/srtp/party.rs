//! Both directions of a party's SRTP, for who handles packets outside the engine: tools and tests.
use std::sync::{Mutex, PoisonError};

use super::{Protector, Refusal, SrtpKeys, Unprotector, TRAILER};
use crate::clock::Clock;
use crate::error::{ErrorKind, MediaError, Result};
use crate::orders;

/// See the module. Every call copies its packet.
#[derive(Debug)]
pub struct Party {
    sides: Mutex<(Protector, Unprotector)>,
    clock: Clock,
}

impl From<Refusal> for MediaError {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Malformed => ErrorKind::Malformed,
            Refusal::Unauthentic => ErrorKind::Unauthentic,
            Refusal::Replayed => ErrorKind::Replayed,
            Refusal::Spent => ErrorKind::Spent,
        };
        Self::new(kind, refusal)
    }
}

impl Party {
    /// With keys as JSON.
    pub fn new(keys: &[u8]) -> Result<Self> {
        let keys: SrtpKeys = orders::read(keys)?;
        Ok(Self {
            sides: Mutex::new((Protector::new(keys.send), Unprotector::new(keys.receive))),
            clock: Clock::start(),
        })
    }

    /// Goes on with other keys, as JSON.
    pub fn rekey(&self, keys: &[u8]) -> Result<()> {
        let keys: SrtpKeys = orders::read(keys)?;
        let now = self.clock.now();
        self.with(|(protector, unprotector)| {
            protector.rekey(keys.send);
            unprotector.rekey(keys.receive, now);
        });
        Ok(())
    }

    /// Protects an RTP packet.
    pub fn protect(&self, packet: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = [packet, &[0; TRAILER]].concat();
        let sealed = self.with(|(protector, _)| protector.seal(&mut buffer, packet.len()))?;
        buffer.truncate(sealed.length);
        Ok(buffer)
    }

    /// Protects an RTCP packet.
    pub fn protect_report(&self, packet: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = packet.to_vec();
        self.with(|(protector, _)| protector.seal_report(&mut buffer))?;
        Ok(buffer)
    }

    /// Opens an RTP packet.
    pub fn unprotect(&self, packet: &[u8]) -> Result<Vec<u8>> {
        let (mut buffer, now) = (packet.to_vec(), self.clock.now());
        let length = self.with(|(_, unprotector)| unprotector.open(&mut buffer, now))?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Opens an RTCP packet.
    pub fn unprotect_report(&self, packet: &[u8]) -> Result<Vec<u8>> {
        let (mut buffer, now) = (packet.to_vec(), self.clock.now());
        let length = self.with(|(_, unprotector)| unprotector.open_report(&mut buffer, now))?;
        buffer.truncate(length);
        Ok(buffer)
    }

    fn with<T>(&self, work: impl FnOnce(&mut (Protector, Unprotector)) -> T) -> T {
        work(&mut self.sides.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
