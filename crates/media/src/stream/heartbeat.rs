//! Pings of one connection, and how much an endpoint may say (RFC 6455 section 5.5.2; protocol section 1).
use crate::clock::{Nanos, MILLISECOND, SECOND};
use crate::orders::StreamSpec;

/// Bytes of a ping's payload: its number.
const PING_BYTES: usize = 8;
/// Text messages a second that an endpoint may send, acknowledgements aside.
const TEXTS_A_SECOND: u64 = 200;
/// Bytes of them a second: duplex audio of the widest format fits.
const TEXT_BYTES_A_SECOND: u64 = 512 * 1024;
/// The allowance of so long may be used up at once.
const BURST: Nanos = 2 * SECOND;

/// Sends pings and judges pongs.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Nanos,
    allowed: u32,
    due: Nanos,
    number: u64,
    wanted: bool,
    /// When the ping not yet answered was sent; none when there is none.
    open: Option<Nanos>,
    missed: u32,
}

impl Heartbeat {
    /// The first ping is due one interval from now.
    pub fn new(spec: &StreamSpec, now: Nanos) -> Self {
        let interval = Nanos::from(spec.ping_ms) * MILLISECOND;
        Self {
            interval,
            allowed: spec.missed_pongs,
            due: now + interval,
            number: 0,
            wanted: false,
            open: None,
            missed: 0,
        }
    }

    /// When [`Heartbeat::tick`] has something to do.
    pub const fn due(&self) -> Nanos {
        self.due
    }

    /// Asks for the next ping when it is due. True when too many have not been answered.
    pub fn tick(&mut self, now: Nanos) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + self.interval;
        if self.wanted || self.open.is_some() {
            self.missed += 1;
        }
        self.wanted = true;
        self.missed >= self.allowed
    }

    /// Whether a ping waits to be sent.
    pub const fn wants_ping(&self) -> bool {
        self.wanted
    }

    /// The payload of the ping that is sent now, if one is due.
    pub fn take_ping(&mut self, now: Nanos) -> Option<[u8; PING_BYTES]> {
        if !std::mem::take(&mut self.wanted) {
            return None;
        }
        self.number += 1;
        self.open = Some(now);
        Some(self.number.to_be_bytes())
    }

    /// A pong has come; the round trip when it is the last ping's. A pong that nobody asked for says nothing.
    pub fn on_pong(&mut self, payload: &[u8], now: Nanos) -> Option<Nanos> {
        let number = u64::from_be_bytes(*payload.first_chunk()?);
        if payload.len() != PING_BYTES || number == 0 || number > self.number {
            return None;
        }
        self.missed = 0;
        if number != self.number {
            return None;
        }
        self.open.take().map(|sent| now.saturating_sub(sent))
    }
}

/// Bounds what an endpoint may say.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When what was said so far will be paid for, in messages and in bytes.
    messages: Nanos,
    bytes: Nanos,
}

impl Allowance {
    /// Whether a text of so many bytes is within the bounds.
    pub fn admit(&mut self, length: usize, now: Nanos) -> bool {
        let messages = self.messages.max(now) + SECOND / TEXTS_A_SECOND;
        let bytes = self.bytes.max(now) + length as u64 * SECOND / TEXT_BYTES_A_SECOND;
        if messages > now + BURST || bytes > now + BURST {
            return false;
        }
        (self.messages, self.bytes) = (messages, bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::spec::tests::spec;

    const INTERVAL: Nanos = 15 * SECOND;

    #[test]
    fn two_pongs_missed_are_a_lost_connection() {
        let mut heart = Heartbeat::new(&spec(), 0);
        assert!(!heart.tick(INTERVAL - 1));
        assert!(!heart.wants_ping());
        assert!(!heart.tick(INTERVAL));
        assert_eq!(heart.take_ping(INTERVAL), Some(1_u64.to_be_bytes()));
        assert_eq!(heart.take_ping(INTERVAL), None);
        assert!(!heart.tick(2 * INTERVAL));
        heart.take_ping(2 * INTERVAL);
        assert!(heart.tick(3 * INTERVAL));
    }

    #[test]
    fn a_pong_in_time_starts_over() {
        let mut heart = Heartbeat::new(&spec(), 0);
        for round in 1..10 {
            let now = round * INTERVAL;
            assert!(!heart.tick(now));
            let ping = heart.take_ping(now).unwrap();
            assert_eq!(heart.on_pong(&ping, now + 7), Some(7));
            assert_eq!(heart.on_pong(&ping, now + 9), None, "answered once");
        }
    }

    #[test]
    fn a_late_pong_is_a_sign_of_life_and_an_invented_one_is_not() {
        let mut heart = Heartbeat::new(&spec(), 0);
        heart.tick(INTERVAL);
        let first = heart.take_ping(INTERVAL).unwrap();
        heart.tick(2 * INTERVAL);
        heart.take_ping(2 * INTERVAL);
        assert_eq!(heart.on_pong(&first, 2 * INTERVAL + 1), None);
        assert!(!heart.tick(3 * INTERVAL));
        heart.take_ping(3 * INTERVAL);
        for invented in [
            &b""[..],
            b"12345678",
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\x01\0",
        ] {
            heart.on_pong(invented, 3 * INTERVAL + 1);
        }
        assert!(heart.tick(4 * INTERVAL));
    }

    #[test]
    fn a_ping_that_could_not_be_sent_is_missed_too() {
        let mut heart = Heartbeat::new(&spec(), 0);
        assert!(!heart.tick(INTERVAL));
        assert!(!heart.tick(2 * INTERVAL));
        assert!(heart.tick(3 * INTERVAL));
    }

    #[test]
    fn a_burst_is_admitted_and_a_flood_is_not() {
        let mut allowance = Allowance::default();
        let admitted = (0..1000).filter(|_| allowance.admit(10, SECOND)).count();
        assert_eq!(admitted, 400);
        assert!(!allowance.admit(10, SECOND));
        assert!(allowance.admit(10, SECOND + SECOND / 200));
        let mut allowance = Allowance::default();
        let admitted = (0..100)
            .filter(|_| allowance.admit(64 * 1024, SECOND))
            .count();
        assert_eq!(admitted, 16);
    }
}
