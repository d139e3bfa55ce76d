//! A call: two legs, the relay between them, and when there was media last.
use crate::clock::{Nanos, MILLISECOND};
use crate::dtmf::Press;
use crate::events::{Event, SideStats};
use crate::leg::{Heard, Leg, Turn};
use crate::level::DeadAir;
use crate::orders::{LegSpec, Side};
use crate::tap::NEVER;

/// See the module.
#[derive(Debug)]
pub struct Call {
    handle: u64,
    legs: [Leg; 2],
    bridged: bool,
    idle: IdleWatch,
    air: DeadAir,
}

/// Notices that neither leg has media.
#[derive(Debug, Clone, Copy)]
struct IdleWatch {
    /// 0: it never notices.
    limit: Nanos,
    active: bool,
    since: Nanos,
    told: bool,
}

impl IdleWatch {
    fn due(&self) -> Nanos {
        if self.limit == 0 || !self.active || self.told {
            return NEVER;
        }
        self.since + self.limit
    }

    fn on_media(&mut self, now: Nanos) {
        self.since = now;
        self.told = false;
    }

    fn set_active(&mut self, active: bool, now: Nanos) {
        if active && !self.active {
            self.on_media(now);
        }
        self.active = active;
    }
}

impl Call {
    /// A call whose legs are not yet agreed on; it is idle after `idle_limit` without media, 0 for never.
    pub const fn new(handle: u64, legs: [Leg; 2], idle_limit: Nanos) -> Self {
        let idle = IdleWatch {
            limit: idle_limit,
            active: false,
            since: 0,
            told: false,
        };
        Self {
            handle,
            legs,
            bridged: false,
            idle,
            air: DeadAir::new(),
        }
    }

    /// Its handle.
    pub const fn handle(&self) -> u64 {
        self.handle
    }

    /// One of its legs.
    pub const fn leg(&self, side: Side) -> &Leg {
        &self.legs[side.index()]
    }

    fn leg_mut(&mut self, side: Side) -> &mut Leg {
        &mut self.legs[side.index()]
    }

    /// Takes what was agreed on a leg.
    pub fn agree(&mut self, spec: LegSpec, now: Nanos) {
        self.leg_mut(spec.side).agree(spec, now);
        let [a, b] = &mut self.legs;
        a.map_formats(b.codecs());
        b.map_formats(a.codecs());
        self.watch(now);
    }

    /// Relays media between the legs, or stops it.
    pub fn bridge(&mut self, on: bool, now: Nanos) {
        self.bridged = on;
        self.watch(now);
    }

    fn watch(&mut self, now: Nanos) {
        let held = self.legs.iter().any(Leg::is_held);
        self.idle.set_active(self.bridged && !held, now);
        if self.bridged && !held {
            self.air.begin(now);
        } else {
            self.air.pause(now);
        }
    }

    /// Reads one packet of a leg and relays it. Returns it for those who listen in: the taps of streams, and
    /// whatever else copies a side's packets. The payload type in the buffer may by then be the other
    /// leg's.
    pub fn receive(&mut self, side: Side, turn: &mut Turn) -> Option<Heard> {
        let [a, b] = &mut self.legs;
        let (leg, across) = match side {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        let heard = leg.receive(turn)?;
        self.idle.on_media(turn.now);
        if heard.audible {
            self.air.heard(turn.now);
        }
        if self.bridged {
            match heard.format.relay_as {
                Some(payload_type) => across.send(&heard, payload_type, turn),
                None => leg.count_unmapped(turn),
            }
        }
        Some(heard)
    }

    /// Reads one RTCP packet of a leg.
    pub fn receive_report(&mut self, side: Side, turn: &mut Turn) {
        self.leg_mut(side).receive_report(turn);
    }

    /// When [`Call::on_timer`] has something to do.
    pub fn due(&self) -> Nanos {
        let [a, b] = &self.legs;
        a.due().min(b.due()).min(self.idle.due())
    }

    /// Does what time asks for. Returns the key presses whose ends were lost, by side.
    pub fn on_timer(&mut self, turn: &mut Turn, events: &mut Vec<Event>) -> [Option<Press>; 2] {
        if self.idle.due() <= turn.now {
            self.idle.told = true;
            events.push(Event::MediaTimeout {
                call: self.handle,
                idle_ms: (turn.now - self.idle.since) / MILLISECOND,
            });
        }
        let [a, b] = &mut self.legs;
        [a.on_timer(turn), b.on_timer(turn)]
    }

    /// Says goodbye on both legs.
    pub fn end(&mut self, turn: &mut Turn) {
        for leg in &mut self.legs {
            leg.end(turn);
        }
    }

    /// The longest time in which neither party was heard, in milliseconds; what is held is left out.
    pub fn dead_air_ms(&self, now: Nanos) -> u64 {
        self.air.longest(now) / MILLISECOND
    }

    /// What came and went so far.
    pub fn stats(&self) -> Vec<SideStats> {
        self.legs.iter().map(Leg::stats).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn idleness_is_told_once_until_media_comes_again() {
        let mut idle = IdleWatch {
            limit: 5 * SECOND,
            active: false,
            since: 0,
            told: false,
        };
        assert_eq!(idle.due(), NEVER);
        idle.set_active(true, SECOND);
        assert_eq!(idle.due(), 6 * SECOND);
        idle.on_media(2 * SECOND);
        assert_eq!(idle.due(), 7 * SECOND);
        idle.told = true;
        assert_eq!(idle.due(), NEVER);
        idle.on_media(9 * SECOND);
        assert_eq!(idle.due(), 14 * SECOND);
    }

    #[test]
    fn a_hold_stops_the_watch_and_its_end_begins_it_anew() {
        let mut idle = IdleWatch {
            limit: SECOND,
            active: false,
            since: 0,
            told: false,
        };
        idle.set_active(true, 0);
        idle.set_active(false, 10);
        assert_eq!(idle.due(), NEVER);
        idle.set_active(true, 9 * SECOND);
        assert_eq!(idle.due(), 10 * SECOND);
    }
}
