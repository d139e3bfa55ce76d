//! Which source a leg hears (ADR 5): the negotiated one, or one that came alone; then no other.
use std::net::{IpAddr, SocketAddr};

use crate::clock::{Nanos, SECOND};
use crate::tap::NEVER;

/// A source that has been silent for so long may return from another port of its host.
const SILENCE: Nanos = 2 * SECOND;

/// What becomes of a packet of some source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is heard.
    Heard,
    /// It is heard, and its source is now the locked one: connect the socket to it.
    Locked,
    /// It is heard, and answered to, but the negotiated source may still take its place.
    Provisional,
    /// It is dropped.
    Alien,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was negotiated: nobody is heard.
    Deaf,
    /// Waiting for the negotiated source. The one locked on before is heard on until then.
    Learning {
        until: Nanos,
        before: Option<SocketAddr>,
        candidate: Option<SocketAddr>,
    },
    /// Another source came alone; it has the leg unless the negotiated one comes by then.
    Provisional { source: SocketAddr, until: Nanos },
    /// The one source.
    Locked { source: SocketAddr },
    /// The locked source fell silent: its host may return from any port.
    Returning { source: SocketAddr },
}

/// The lock of one leg. Pure: times and sources are arguments.
#[derive(Debug, Clone)]
pub struct SourceLock {
    window: Nanos,
    negotiated: Option<SocketAddr>,
    state: State,
    last_heard: Nanos,
}

impl SourceLock {
    /// A lock that waits `window` for a negotiated source.
    pub const fn new(window: Nanos) -> Self {
        Self {
            window,
            negotiated: None,
            state: State::Deaf,
            last_heard: 0,
        }
    }

    /// Takes a newly negotiated source. Says whether it is another than before, which opens a new window: the
    /// socket must then hear everybody.
    pub fn negotiate(&mut self, source: SocketAddr, now: Nanos) -> bool {
        if self.negotiated == Some(source) {
            return false;
        }
        let before = self.source();
        self.negotiated = Some(source);
        self.state = State::Learning {
            until: now + self.window,
            before,
            candidate: None,
        };
        true
    }

    /// The source that is heard and answered to, once there is one.
    pub const fn source(&self) -> Option<SocketAddr> {
        match self.state {
            State::Deaf => None,
            State::Learning { before, .. } => before,
            State::Provisional { source, .. }
            | State::Locked { source }
            | State::Returning { source } => Some(source),
        }
    }

    /// Where media for the party goes: to the source that it was heard from, else where it was negotiated.
    pub const fn destination(&self) -> Option<SocketAddr> {
        match self.state {
            State::Deaf | State::Learning { .. } => self.negotiated,
            State::Provisional { source, .. }
            | State::Locked { source }
            | State::Returning { source } => Some(source),
        }
    }

    /// Whether packets of this host can be the party's; RTCP comes from another port.
    pub fn is_host(&self, host: IpAddr) -> bool {
        let is = |address: Option<SocketAddr>| address.is_some_and(|address| address.ip() == host);
        is(self.negotiated) || is(self.source())
    }

    /// Judges a packet that is RTP.
    pub fn judge(&mut self, source: SocketAddr, now: Nanos) -> Verdict {
        let verdict = self.next(source, now);
        if verdict != Verdict::Alien {
            self.last_heard = now;
        }
        verdict
    }

    fn next(&mut self, source: SocketAddr, now: Nanos) -> Verdict {
        let is_negotiated = self.negotiated == Some(source);
        match self.state {
            State::Locked { source: locked } if locked == source => Verdict::Heard,
            State::Deaf | State::Locked { .. } => Verdict::Alien,
            State::Learning { .. } | State::Provisional { .. } if is_negotiated => {
                self.lock(source)
            }
            State::Learning {
                until,
                before,
                candidate,
            } => self.learn(source, now, (until, before, candidate)),
            State::Provisional {
                source: one, until, ..
            } => match (one == source, until <= now) {
                (true, true) => self.lock(source),
                (true, false) => Verdict::Heard,
                (false, _) => self.learn_again(source, now),
            },
            State::Returning { source: gone } => {
                if is_negotiated || gone.ip() == source.ip() {
                    self.lock(source)
                } else {
                    Verdict::Alien
                }
            }
        }
    }

    fn learn(
        &mut self,
        source: SocketAddr,
        now: Nanos,
        (until, before, candidate): (Nanos, Option<SocketAddr>, Option<SocketAddr>),
    ) -> Verdict {
        let alone = candidate.is_none_or(|candidate| candidate == source);
        if now >= until && alone {
            self.state = State::Provisional {
                source,
                until: now + self.window,
            };
            return Verdict::Provisional;
        }
        if before == Some(source) {
            return Verdict::Heard;
        }
        // Two strangers: neither is believed, and the wait begins anew.
        self.state = State::Learning {
            until: if alone { until } else { now + self.window },
            before,
            candidate: if alone { Some(source) } else { None },
        };
        Verdict::Alien
    }

    /// A stranger beside a provisional source: if that one is silent by now it was a stray, and all begins
    /// anew.
    fn learn_again(&mut self, source: SocketAddr, now: Nanos) -> Verdict {
        if self.last_heard + SILENCE <= now {
            self.state = State::Learning {
                until: now + self.window,
                before: None,
                candidate: Some(source),
            };
        }
        Verdict::Alien
    }

    fn lock(&mut self, source: SocketAddr) -> Verdict {
        self.state = State::Locked { source };
        Verdict::Locked
    }

    /// When [`SourceLock::on_timer`] has something to do.
    pub const fn due(&self) -> Nanos {
        match self.state {
            State::Locked { .. } => self.last_heard + SILENCE,
            _ => NEVER,
        }
    }

    /// Says whether the locked source has fallen silent just now: the socket must then hear everybody.
    pub fn on_timer(&mut self, now: Nanos) -> bool {
        match self.state {
            State::Locked { source } if self.due() <= now => {
                self.state = State::Returning { source };
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Nanos = SECOND;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn learning() -> SourceLock {
        let mut lock = SourceLock::new(WINDOW);
        assert!(lock.negotiate(at("10.0.0.1:4000"), 0));
        lock
    }

    #[test]
    fn nobody_is_heard_before_anything_was_negotiated() {
        let mut lock = SourceLock::new(WINDOW);
        assert_eq!(lock.judge(at("10.0.0.1:4000"), 5), Verdict::Alien);
        assert_eq!(lock.destination(), None);
    }

    #[test]
    fn the_negotiated_source_wins_at_once() {
        let mut lock = learning();
        assert_eq!(lock.judge(at("10.0.0.9:4000"), 1), Verdict::Alien);
        assert_eq!(lock.judge(at("10.0.0.1:4000"), 2), Verdict::Locked);
        assert_eq!(lock.judge(at("10.0.0.1:4000"), 3), Verdict::Heard);
        assert_eq!(lock.judge(at("10.0.0.9:4000"), 4), Verdict::Alien);
    }

    #[test]
    fn another_source_is_taken_after_the_window_and_answered_to() {
        let mut lock = learning();
        let stranger = at("192.0.2.7:9");
        assert_eq!(lock.judge(stranger, WINDOW / 2), Verdict::Alien);
        assert_eq!(lock.destination(), Some(at("10.0.0.1:4000")));
        assert_eq!(lock.judge(stranger, WINDOW), Verdict::Provisional);
        assert_eq!(lock.destination(), Some(stranger));
        assert_eq!(lock.judge(stranger, WINDOW + 1), Verdict::Heard);
        assert_eq!(lock.judge(stranger, 2 * WINDOW), Verdict::Locked);
    }

    #[test]
    fn the_negotiated_source_takes_the_leg_back_from_a_provisional_one() {
        let mut lock = learning();
        assert_eq!(lock.judge(at("192.0.2.7:9"), WINDOW), Verdict::Provisional);
        assert_eq!(lock.judge(at("192.0.2.8:9"), WINDOW + 1), Verdict::Alien);
        assert_eq!(lock.judge(at("10.0.0.1:4000"), WINDOW + 2), Verdict::Locked);
        assert_eq!(lock.judge(at("192.0.2.7:9"), WINDOW + 3), Verdict::Alien);
    }

    #[test]
    fn a_stray_packet_does_not_keep_the_leg() {
        let mut lock = learning();
        assert_eq!(lock.judge(at("192.0.2.7:9"), WINDOW), Verdict::Provisional);
        let later = WINDOW + SILENCE;
        assert_eq!(lock.judge(at("192.0.2.8:9"), later), Verdict::Alien);
        assert_eq!(
            lock.judge(at("192.0.2.8:9"), later + WINDOW),
            Verdict::Provisional
        );
    }

    #[test]
    fn of_two_strangers_neither_is_taken() {
        let mut lock = learning();
        for step in 1..50 {
            let now = step * WINDOW / 10;
            assert_eq!(lock.judge(at("192.0.2.7:9"), now), Verdict::Alien);
            assert_eq!(lock.judge(at("192.0.2.8:9"), now + 1), Verdict::Alien);
        }
    }

    #[test]
    fn a_new_address_opens_a_window_and_the_old_source_is_heard_until_it_comes() {
        let mut lock = learning();
        let old = at("10.0.0.1:4000");
        lock.judge(old, 1);
        assert!(!lock.negotiate(old, 2));
        assert!(lock.negotiate(at("10.0.0.2:5000"), 10));
        assert_eq!(lock.judge(old, 11), Verdict::Heard);
        assert_eq!(lock.destination(), Some(at("10.0.0.2:5000")));
        assert_eq!(lock.judge(at("10.0.0.2:5000"), 12), Verdict::Locked);
        assert_eq!(lock.judge(old, 13), Verdict::Alien);
    }

    #[test]
    fn a_silent_source_may_return_from_another_port_of_its_host() {
        let mut lock = learning();
        lock.judge(at("10.0.0.1:4000"), 0);
        lock.judge(at("10.0.0.1:4000"), SECOND);
        assert_eq!(lock.due(), SECOND + SILENCE);
        assert!(!lock.on_timer(SECOND + SILENCE - 1));
        assert!(lock.on_timer(SECOND + SILENCE));
        assert_eq!(lock.due(), NEVER);
        let now = 4 * SECOND;
        assert_eq!(lock.judge(at("10.0.0.3:4000"), now), Verdict::Alien);
        assert_eq!(lock.judge(at("10.0.0.1:4444"), now), Verdict::Locked);
        assert_eq!(lock.destination(), Some(at("10.0.0.1:4444")));
    }

    #[test]
    fn rtcp_is_known_by_its_host() {
        let mut lock = learning();
        assert!(lock.is_host("10.0.0.1".parse().unwrap()));
        assert!(!lock.is_host("192.0.2.7".parse().unwrap()));
        lock.judge(at("192.0.2.7:9"), WINDOW);
        assert!(lock.is_host("192.0.2.7".parse().unwrap()));
    }
}
