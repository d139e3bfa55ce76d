//! The RTCP of one recorded stream: our sender reports, and what the recorder's reports tell (RFC 3550 section 6).
use super::line::Line;
use crate::clock::{Clock, Nanos, SECOND};
use crate::random::Random;
use crate::rtcp::{self, Report, SenderInfo};
use crate::stats::ReportNumbers;
use crate::tap::NEVER;

/// The mean interval between reports (RFC 3550 section 6.2).
const INTERVAL: Nanos = 5 * SECOND;

/// See the module. Pure: it makes and reads packets, and leaves sending to its owner.
#[derive(Debug)]
pub struct ForkReports {
    cname: String,
    due: Nanos,
    begun: bool,
    received: u64,
    rtt_ms: Option<f64>,
    remote: Option<ReportNumbers>,
}

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The stream.
    pub line: &'a Line,
    /// How far its timestamps have run ahead of the wall clock, in ticks.
    pub skew: i64,
    /// The wall clock.
    pub clock: Clock,
}

impl ForkReports {
    /// Reports under a canonical name; none before [`ForkReports::begin`].
    pub const fn new(cname: String) -> Self {
        Self {
            cname,
            due: NEVER,
            begun: false,
            received: 0,
            rtt_ms: None,
            remote: None,
        }
    }

    /// Has a report sent at once.
    pub fn begin(&mut self, now: Nanos) {
        self.due = now;
        self.begun = true;
    }

    /// When the next report is due.
    pub const fn due(&self) -> Nanos {
        self.due
    }

    /// RTCP packets of the recorder.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The last round trip.
    pub const fn rtt_ms(&self) -> Option<f64> {
        self.rtt_ms
    }

    /// What the recorder last said about what it got.
    pub const fn remote(&self) -> Option<ReportNumbers> {
        self.remote
    }

    /// Writes the report that is due and sets the time of the next. It is a sender report even when nothing was sent
    /// since the last one: it is what lets a recorder align the streams.
    pub fn compose(
        &mut self,
        sender: &Sender<'_>,
        now: Nanos,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        self.write(sender, now, false, out);
        self.due = now + INTERVAL / 2 + random.below(INTERVAL);
    }

    /// Writes a last report with a goodbye, unless none was ever sent.
    pub fn goodbye(&mut self, sender: &Sender<'_>, now: Nanos, out: &mut Vec<u8>) {
        out.clear();
        if self.begun {
            self.write(sender, now, true, out);
        }
        self.due = NEVER;
    }

    fn write(&self, sender: &Sender<'_>, now: Nanos, goodbye: bool, out: &mut Vec<u8>) {
        let line = sender.line;
        let (packets, octets) = line.sent();
        let info = SenderInfo {
            ssrc: line.ssrc(),
            ntp: sender.clock.ntp(now),
            rtp_timestamp: line.timestamp(line.position_at(now) + sender.skew),
            packets: packets as u32,
            octets: octets as u32,
        };
        let report = Report {
            ssrc: line.ssrc(),
            sender: Some(info),
            block: None,
            cname: &self.cname,
            goodbye,
        };
        rtcp::build(&report, out);
    }

    /// Takes a compound packet of the recorder; whether it is one.
    pub fn receive(&mut self, datagram: &[u8], ssrc: u32, clock: Clock, now: Nanos) -> bool {
        let Ok(compound) = rtcp::parse(datagram) else {
            return false;
        };
        self.received += 1;
        let of_ours = |block: &&rtcp::ReportBlock| block.numbers.ssrc == ssrc;
        if let Some(block) = compound.blocks.iter().find(of_ours) {
            let arrival = (clock.ntp(now) >> 16) as u32;
            self.rtt_ms = block.round_trip_ms(arrival).or(self.rtt_ms);
            self.remote = Some(block.numbers);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    #[test]
    fn two_streams_are_aligned_by_their_first_reports() {
        let clock = Clock::start();
        let start = clock.now();
        let now = start + 1_234 * MILLISECOND;
        let offset = |seed: u64, rate: u32| {
            let mut line = Line::new(seed as u32, start, &mut Random::seeded(seed));
            line.set_rate(rate, start);
            let mut reports = ForkReports::new("x".into());
            assert_eq!(reports.due(), NEVER);
            reports.begin(now);
            assert_eq!(reports.due(), now);
            let sender = Sender {
                line: &line,
                skew: 0,
                clock,
            };
            let mut out = Vec::new();
            reports.compose(&sender, now, &mut Random::seeded(1), &mut out);
            assert!((now + INTERVAL / 2..now + 2 * INTERVAL).contains(&reports.due()));
            let info = rtcp::parse(&out).unwrap().sender.unwrap();
            assert_eq!(info.ntp, clock.ntp(now));
            // Ticks of the report since the stream's zero.
            info.rtp_timestamp.wrapping_sub(line.timestamp(0))
        };
        assert_eq!(offset(1, 8_000), 9_872);
        assert_eq!(offset(2, 48_000), 59_232);
    }

    #[test]
    fn the_recorders_reports_give_loss_and_round_trip() {
        let clock = Clock::start();
        let now = clock.now();
        let mut reports = ForkReports::new("x".into());
        let numbers = ReportNumbers {
            ssrc: 7,
            fraction_lost: 0,
            cumulative_lost: 3,
            highest: 9,
            jitter: 80,
        };
        let block = rtcp::ReportBlock {
            numbers,
            last_report: (clock.ntp(now) >> 16) as u32,
            delay: 0,
        };
        let report = Report {
            ssrc: 9,
            sender: None,
            block: Some(block),
            cname: "recorder",
            goodbye: false,
        };
        let mut out = Vec::new();
        rtcp::build(&report, &mut out);
        let arrival = now + 40 * MILLISECOND;
        assert!(reports.receive(&out, 8, clock, arrival));
        assert_eq!(reports.remote(), None);
        assert!(reports.receive(&out, 7, clock, arrival));
        assert_eq!(reports.remote(), Some(numbers));
        assert!((reports.rtt_ms().unwrap() - 40.0).abs() < 0.5);
        assert!(!reports.receive(b"nonsense", 7, clock, arrival));
        assert_eq!(reports.received(), 2);
    }

    #[test]
    fn goodbye_is_said_only_after_something_else_was() {
        let clock = Clock::start();
        let line = Line::new(7, 0, &mut Random::seeded(1));
        let sender = Sender {
            line: &line,
            skew: 0,
            clock,
        };
        let mut reports = ForkReports::new("x".into());
        let mut out = vec![1];
        reports.goodbye(&sender, 0, &mut out);
        assert!(out.is_empty());
        reports.begin(0);
        reports.goodbye(&sender, 0, &mut out);
        assert!(rtcp::parse(&out).unwrap().goodbye);
    }
}
