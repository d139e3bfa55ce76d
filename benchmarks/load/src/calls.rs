//! `load calls`: calls through a gateway, either held with RTP both ways, or made and ended at a rate.
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::arguments::{Arguments, Failure};
use crate::command::{Command, Commands};
use crate::rtp::Traffic;
use crate::signalling::{Outcome, Signalling};

const TICK: Duration = Duration::from_millis(1);
const RESEND_EVERY: u64 = 100;

/// How calls are made.
struct Plan {
    calls: usize,
    per_second: f64,
    /// Calls end this long after they were answered and are replaced by new ones; none: they stay.
    hold: Option<Duration>,
    /// Up to this much longer, at random.
    spread: Duration,
    media: bool,
}

struct Load {
    plan: Plan,
    traffic: Traffic,
    signalling: Signalling,
    outcomes: Vec<Outcome>,
    /// Slots without a call.
    idle: Vec<usize>,
    /// Answered calls by when they are to end.
    up: BTreeSet<(Instant, usize)>,
    chance: u64,
    next_number: usize,
    /// Which slot a call number is in, and the reverse.
    slots: HashMap<usize, usize>,
    finishing: bool,
    ready: bool,
    began: Instant,
    made: u64,
}

/// Runs until standard input ends.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let hosts: [Ipv4Addr; 2] = [
        arguments.optional("carrier-host", Ipv4Addr::new(127, 0, 0, 2))?,
        arguments.optional("desk-host", Ipv4Addr::new(127, 0, 0, 3))?,
    ];
    let hold: u64 = arguments.optional("hold-ms", 0)?;
    let plan = Plan {
        calls: arguments.required("calls")?,
        per_second: arguments.optional("rate", 100.0)?,
        hold: (hold > 0).then(|| Duration::from_millis(hold)),
        spread: Duration::from_millis(arguments.optional("hold-spread-ms", 0)?),
        media: arguments.optional("media", true)?,
    };
    let traffic = Traffic::open(hosts, plan.calls)?;
    let media = [0, 1].map(|side| SocketAddrV4::new(hosts[side], traffic.port(side)));
    let trunks = [
        SocketAddrV4::new(hosts[0], arguments.required("carrier-port")?),
        SocketAddrV4::new(hosts[1], arguments.required("desk-port")?),
    ];
    let signalling = Signalling::open(arguments.required("gateway")?, trunks, media)?;
    let mut load = Load {
        idle: (0..plan.calls).rev().collect(),
        plan,
        traffic,
        signalling,
        outcomes: Vec::new(),
        up: BTreeSet::new(),
        chance: 0x9E37_79B9_7F4A_7C15,
        next_number: 0,
        slots: HashMap::new(),
        finishing: false,
        ready: false,
        began: Instant::now(),
        made: 0,
    };
    load.run()
}

impl Load {
    fn run(&mut self) -> Result<(), Failure> {
        let mut commands = Commands::open()?;
        let mut due = Instant::now();
        for tick in 0_u64.. {
            due += TICK;
            match commands.next() {
                Some(Command::Reset) => self.reset(),
                Some(Command::Report) => self.report("report"),
                Some(Command::Finish) => self.finishing = true,
                Some(Command::End) => break,
                Some(Command::Detail | Command::Die) | None => {}
            }
            self.make_calls();
            if self.plan.media {
                self.traffic.send_tick();
                self.traffic.receive();
            }
            self.signalling.receive(&mut self.outcomes);
            if tick % RESEND_EVERY == 0 {
                self.signalling.resend(&mut self.outcomes);
            }
            self.follow();
            self.end_calls();
            self.announce();
            let now = Instant::now();
            if now < due {
                std::thread::sleep(due - now);
            } else if now - due > Duration::from_millis(5) {
                self.traffic.note_late_tick();
                due = now;
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.traffic.reset();
        self.signalling.reset();
    }

    fn report(&self, kind: &str) {
        let report = json!({
            kind: {"open": self.signalling.open_calls(), "signalling": self.signalling.report(), "rtp": self.traffic.report()}
        });
        println!("{report}");
    }

    fn announce(&mut self) {
        if self.plan.hold.is_none()
            && !self.ready
            && !self.finishing
            && self.up.len() == self.plan.calls
        {
            self.ready = true;
            self.report("ready");
        }
        if self.finishing && self.signalling.open_calls() == 0 {
            self.finishing = false;
            self.plan.calls = 0;
            self.report("finished");
        }
    }

    fn make_calls(&mut self) {
        if self.finishing || self.plan.calls == 0 {
            return;
        }
        let due = (self.began.elapsed().as_secs_f64() * self.plan.per_second) as u64;
        while self.made < due {
            self.made += 1;
            let Some(slot) = self.idle.pop() else {
                continue;
            };
            let number = self.next_number;
            self.next_number += 1;
            self.slots.insert(number, slot);
            self.signalling.invite(number);
        }
    }

    fn follow(&mut self) {
        for outcome in std::mem::take(&mut self.outcomes) {
            match outcome {
                Outcome::Offered(number, gateway) => self.set_gateway(1, number, gateway),
                Outcome::Answered(number, gateway) => {
                    self.set_gateway(0, number, gateway);
                    let end = Instant::now() + self.draw_hold();
                    self.up.insert((end, number));
                }
                Outcome::Ended(number) | Outcome::Failed(number) => {
                    if let Some(slot) = self.slots.remove(&number) {
                        self.traffic.stop(slot);
                        self.idle.push(slot);
                    }
                    self.up.retain(|&(_, each)| each != number);
                }
            }
        }
    }

    fn set_gateway(&mut self, side: usize, number: usize, gateway: SocketAddrV4) {
        if let (true, Some(&slot)) = (self.plan.media, self.slots.get(&number)) {
            self.traffic.set_gateway(side, slot, gateway);
        }
    }

    /// How long the next call stays up: xorshift is random enough to mix hang-ups.
    fn draw_hold(&mut self) -> Duration {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let share = (self.chance >> 11) as f64 / (1_u64 << 53) as f64;
        self.plan.hold.unwrap_or_default() + self.plan.spread.mul_f64(share)
    }

    fn end_calls(&mut self) {
        if !self.finishing && self.plan.hold.is_none() {
            return;
        }
        let now = Instant::now();
        // At the end one call a millisecond: a burst would measure the socket's buffer.
        let most = if self.finishing { 1 } else { usize::MAX };
        let mut ended = 0;
        while let Some(&(end, number)) = self.up.first() {
            if ended == most || (end > now && !self.finishing) {
                break;
            }
            self.up.pop_first();
            if let Some(&slot) = self.slots.get(&number) {
                self.traffic.stop(slot);
            }
            self.signalling.bye(number);
            ended += 1;
        }
    }
}
