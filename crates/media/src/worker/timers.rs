//! When calls and streams want to be asked again.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::token::Token;
use crate::clock::Nanos;
use crate::tap::NEVER;

/// A heap of due times. An entry that has been overtaken is let lie, and told from a valid one by its time:
/// the owner keeps the time of its valid entry in an [`Alarm`].
#[derive(Debug, Default)]
pub struct Timers(BinaryHeap<Reverse<(Nanos, Token)>>);

/// The time of an owner's valid entry.
#[derive(Debug, Clone, Copy)]
pub struct Alarm(Nanos);

impl Default for Alarm {
    fn default() -> Self {
        Self(NEVER)
    }
}

impl Alarm {
    /// Says whether an entry of time `due` is the valid one, and if so takes it back.
    pub fn is_rung(&mut self, due: Nanos) -> bool {
        let valid = self.0 == due;
        if valid {
            self.0 = NEVER;
        }
        valid
    }
}

impl Timers {
    /// Sees to it that the owner is asked at `due` or before. A time that moves back costs nothing: the
    /// owner is asked at the former time, and says then when it wants to be asked again.
    pub fn ask(&mut self, token: Token, due: Nanos, alarm: &mut Alarm) {
        if due < alarm.0 {
            alarm.0 = due;
            self.0.push(Reverse((due, token)));
        }
    }

    /// The next entry's time.
    pub fn next(&self) -> Option<Nanos> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes out an entry whose time has come.
    pub fn pop(&mut self, now: Nanos) -> Option<(Nanos, Token)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::token::Kind;

    #[test]
    fn an_owner_is_asked_at_its_earliest_time_only() {
        let token = Token::new(Kind::Stream, 3, 1);
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.ask(token, 50, &mut alarm);
        timers.ask(token, 20, &mut alarm);
        timers.ask(token, 70, &mut alarm);
        assert_eq!(timers.next(), Some(20));
        assert_eq!(timers.pop(19), None);
        assert_eq!(timers.pop(20), Some((20, token)));
        assert!(alarm.is_rung(20));
        let (due, _) = timers.pop(99).unwrap();
        assert!(!alarm.is_rung(due));
        assert_eq!(timers.pop(99), None);
        timers.ask(token, NEVER, &mut alarm);
        assert_eq!(timers.next(), None);
    }
}
