//! Pairs of UDP ports for legs: RTP on the even port, RTCP on the odd one above (RFC 3550 section 11).
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{bind, socket_with, sockopt, AddressFamily, SocketFlags, SocketType};

use crate::clock::{Clock, Nanos, SECOND};
use crate::error::{ErrorKind, MediaError, Result};
use crate::random::Random;

/// How long a freed pair rests, so that stragglers of one call can't be heard in the next.
const QUARANTINE: Nanos = 2 * SECOND;
/// Pairs that other programs hold are passed over, each time to another place of the range (a gateway that is being
/// replaced holds its calls' ports side by side); after so many in a row the range is given up as taken.
const MAX_TAKEN: usize = 64;
/// Expedited forwarding (RFC 3246), as the type-of-service octet.
const EXPEDITED: u8 = 46 << 2;

/// The range's free pairs, named by their even port.
#[derive(Debug)]
struct Pairs {
    free: VecDeque<u16>,
    resting: VecDeque<(Nanos, u16)>,
    in_use: usize,
    random: Random,
}

impl Pairs {
    /// All pairs of an inclusive range, beginning somewhere in it.
    fn new(first: u16, last: u16, random: Random) -> Self {
        let first = u32::from(first).next_multiple_of(2);
        let free = (first..u32::from(last))
            .step_by(2)
            .map(|port| port as u16)
            .collect();
        let mut pairs = Self {
            free,
            resting: VecDeque::new(),
            in_use: 0,
            random,
        };
        pairs.go_elsewhere();
        pairs
    }

    /// The next pair to be taken is any.
    fn go_elsewhere(&mut self) {
        let places = self.free.len() as u64;
        self.free.rotate_left(self.random.below(places) as usize);
    }

    /// The pair that has been free the longest.
    fn take(&mut self, now: Nanos) -> Option<u16> {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
        let port = self.free.pop_front()?;
        self.in_use += 1;
        Some(port)
    }

    fn give_back(&mut self, port: u16, now: Nanos) {
        self.in_use -= 1;
        self.resting.push_back((now + QUARANTINE, port));
    }
}

/// Hands out bound pairs of one address.
#[derive(Debug)]
pub struct PortPool {
    address: IpAddr,
    clock: Clock,
    total: usize,
    pairs: Mutex<Pairs>,
}

impl PortPool {
    /// A pool over an inclusive range of ports.
    pub fn new(address: IpAddr, first: u16, last: u16, clock: Clock) -> Self {
        let pairs = Pairs::new(first, last, Random::new());
        Self {
            address,
            clock,
            total: pairs.free.len() * 2,
            pairs: Mutex::new(pairs),
        }
    }

    /// Ports of the pool.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Ports that are bound.
    pub fn in_use(&self) -> usize {
        self.with(|pairs| pairs.in_use) * 2
    }

    /// Binds a pair. Refused with `ports_exhausted` when none is free, with `io` when the system has no
    /// descriptor left or does not have the address.
    pub fn bind(self: &Arc<Self>) -> Result<LegSockets> {
        for _ in 0..MAX_TAKEN {
            let now = self.clock.now();
            let Some(port) = self.with(|pairs| pairs.take(now)) else {
                break;
            };
            match self.bind_pair(port) {
                Ok([even, odd]) => {
                    let pool = Arc::clone(self);
                    return Ok(LegSockets {
                        rtp: even,
                        rtcp: odd,
                        port,
                        pool,
                    });
                }
                Err(error) => {
                    self.with(|pairs| {
                        pairs.give_back(port, now);
                        pairs.go_elsewhere();
                    });
                    if error != Errno::ADDRINUSE {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(MediaError::new(
            ErrorKind::PortsExhausted,
            "no pair of ports is free",
        ))
    }

    fn bind_pair(&self, port: u16) -> rustix::io::Result<[OwnedFd; 2]> {
        Ok([self.bind_one(port)?, self.bind_one(port + 1)?])
    }

    fn bind_one(&self, port: u16) -> rustix::io::Result<OwnedFd> {
        let address = SocketAddr::new(self.address, port);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
        // A network that does not mark packets carries them all the same.
        let _ = if address.is_ipv4() {
            sockopt::set_ip_tos(&socket, EXPEDITED)
        } else {
            sockopt::set_ipv6_tclass(&socket, u32::from(EXPEDITED))
        };
        bind(&socket, &address)?;
        Ok(socket)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Pairs) -> T) -> T {
        work(&mut self.pairs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A bound pair. Its ports go into quarantine when it is dropped.
#[derive(Debug)]
pub struct LegSockets {
    /// The socket of the even port.
    pub rtp: OwnedFd,
    /// The socket of the odd port.
    pub rtcp: OwnedFd,
    /// The even port.
    pub port: u16,
    pool: Arc<PortPool>,
}

impl Drop for LegSockets {
    fn drop(&mut self) {
        let now = self.pool.clock.now();
        self.pool.with(|pairs| pairs.give_back(self.port, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pairs: &mut Pairs, now: Nanos) -> Vec<u16> {
        std::iter::from_fn(|| pairs.take(now)).collect()
    }

    #[test]
    fn pairs_are_even_and_inside_the_range() {
        for (first, last, expected) in [
            (2000, 2005, vec![2000, 2002, 2004]),
            (2001, 2006, vec![2002, 2004]),
            (2001, 2003, vec![2002]),
            (65_534, 65_535, vec![65_534]),
            (2001, 2002, vec![]),
        ] {
            let mut found = all(&mut Pairs::new(first, last, Random::seeded(3)), 0);
            found.sort_unstable();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_freed_pair_rests_and_comes_last() {
        let mut pairs = Pairs::new(2000, 2003, Random::seeded(1));
        let first = pairs.take(0).unwrap();
        pairs.give_back(first, 0);
        let second = pairs.take(QUARANTINE - 1).unwrap();
        assert_ne!(first, second);
        assert_eq!(pairs.take(QUARANTINE - 1), None);
        assert_eq!(pairs.take(QUARANTINE), Some(first));
        assert_eq!(pairs.in_use, 2);
    }

    #[test]
    fn two_pools_begin_at_different_places() {
        let starts: std::collections::HashSet<_> = (0..20)
            .map(|seed| Pairs::new(2000, 4000, Random::seeded(seed)).take(0))
            .collect();
        assert!(starts.len() > 10);
    }

    #[test]
    fn a_block_that_another_program_holds_is_left_behind() {
        let (first, last) = (10_000, 10_799);
        let address = IpAddr::from([127, 77, 0, 1]);
        let other = Arc::new(PortPool::new(address, first, last, Clock::start()));
        let held: Vec<_> = (first..first + 400)
            .step_by(2)
            .map(|port| other.bind_pair(port).unwrap())
            .collect();
        for _ in 0..20 {
            // Each begins anywhere, and half of the range, in one piece, is taken.
            let pool = Arc::new(PortPool::new(address, first, last, Clock::start()));
            let bound: Vec<_> = (0..40).map(|_| pool.bind().unwrap().port).collect();
            assert!(bound.iter().all(|&port| port >= first + 400));
        }
        drop(held);
    }
}
