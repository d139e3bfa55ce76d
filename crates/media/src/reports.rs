//! The RTCP of one leg: our reports to the party, and what its reports tell (RFC 3550 section 6).
use crate::clock::{Clock, Nanos, SECOND};
use crate::random::Random;
use crate::rtcp::{self, Malformed, Report, ReportBlock, SenderInfo};
use crate::stats::{Reception, ReportNumbers, Transmission};
use crate::tap::NEVER;

/// The least interval between reports (RFC 3550 section 6.2); the bandwidth of one call never asks for more.
const INTERVAL: Nanos = 5 * SECOND;

/// What a report is made from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// What the party has sent us.
    pub reception: &'a mut Reception,
    /// What we have sent it.
    pub transmission: &'a Transmission,
    /// The wall clock for sender reports.
    pub clock: Clock,
}

/// The last sender report of the party.
#[derive(Debug, Clone, Copy)]
struct SenderReport {
    ssrc: u32,
    middle: u32,
    arrival: Nanos,
}

/// See the module. Pure: it makes and reads packets, and leaves sending to its owner.
#[derive(Debug)]
pub struct Reports {
    /// Our source as long as we have relayed nothing to the party; then it is the relayed one.
    own_ssrc: u32,
    cname: String,
    due: Nanos,
    sent: u64,
    packets_at_last: u64,
    heard: Option<SenderReport>,
    rtt_ms: Option<f64>,
    loss_at_party: Option<ReportNumbers>,
}

impl Reports {
    /// Reports under a new source and a canonical name that says nothing (RFC 7022).
    pub fn new(random: &mut Random) -> Self {
        Self {
            own_ssrc: random.next_u64() as u32,
            cname: format!("{:016x}", random.next_u64()),
            due: NEVER,
            sent: 0,
            packets_at_last: 0,
            heard: None,
            rtt_ms: None,
            loss_at_party: None,
        }
    }

    /// Begins to report, half an interval from now (RFC 3550 section 6.2); does nothing when it has begun.
    pub fn begin(&mut self, now: Nanos, random: &mut Random) {
        if self.due == NEVER {
            self.due = now + spread(INTERVAL / 2, random);
        }
    }

    /// When the next report is due.
    pub const fn due(&self) -> Nanos {
        self.due
    }

    /// The last round trip that the party's reports gave.
    pub const fn rtt_ms(&self) -> Option<f64> {
        self.rtt_ms
    }

    /// What the party last said about the packets that it got from us.
    pub const fn loss_at_party(&self) -> Option<ReportNumbers> {
        self.loss_at_party
    }

    /// Writes the report that is due and sets the time of the next.
    pub fn compose(
        &mut self,
        sources: &mut Sources<'_>,
        now: Nanos,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        self.write(sources, now, false, out);
        self.due = now + spread(INTERVAL, random);
    }

    /// Writes a last report with a goodbye, unless nothing was ever sent (RFC 3550 section 6.3.7).
    pub fn goodbye(&mut self, sources: &mut Sources<'_>, now: Nanos, out: &mut Vec<u8>) {
        out.clear();
        if self.sent > 0 || sources.transmission.packets > 0 {
            self.write(sources, now, true, out);
        }
        self.due = NEVER;
    }

    fn write(&mut self, sources: &mut Sources<'_>, now: Nanos, goodbye: bool, out: &mut Vec<u8>) {
        let transmission = sources.transmission;
        let ssrc = transmission.ssrc.unwrap_or(self.own_ssrc);
        let sent_since = transmission.packets > self.packets_at_last;
        let sender = sent_since.then(|| SenderInfo {
            ssrc,
            ntp: sources.clock.ntp(now),
            rtp_timestamp: transmission.timestamp_at(now),
            packets: transmission.source_packets,
            octets: transmission.source_octets,
        });
        let block = sources
            .reception
            .report()
            .map(|numbers| self.block(numbers, now));
        let report = Report {
            ssrc,
            sender,
            block,
            cname: &self.cname,
            goodbye,
        };
        rtcp::build(&report, out);
        self.packets_at_last = transmission.packets;
        self.sent += 1;
    }

    fn block(&self, numbers: ReportNumbers, now: Nanos) -> ReportBlock {
        let of_source = self.heard.filter(|heard| heard.ssrc == numbers.ssrc);
        let delay = |heard: SenderReport| {
            let units = (now.saturating_sub(heard.arrival)) / 1000 * 65_536 / 1_000_000;
            u32::try_from(units).unwrap_or(u32::MAX)
        };
        ReportBlock {
            numbers,
            last_report: of_source.map_or(0, |heard| heard.middle),
            delay: of_source.map_or(0, delay),
        }
    }

    /// Takes a compound packet of the party.
    pub fn receive(
        &mut self,
        datagram: &[u8],
        sources: &Sources<'_>,
        now: Nanos,
    ) -> Result<(), Malformed> {
        let compound = rtcp::parse(datagram)?;
        if let Some(sender) = compound.sender {
            self.heard = Some(SenderReport {
                ssrc: sender.ssrc,
                middle: (sender.ntp >> 16) as u32,
                arrival: now,
            });
        }
        let ours = sources.transmission.ssrc.unwrap_or(self.own_ssrc);
        let about_us = compound
            .blocks
            .iter()
            .find(|block| block.numbers.ssrc == ours);
        if let Some(block) = about_us {
            let arrival = (sources.clock.ntp(now) >> 16) as u32;
            self.rtt_ms = block.round_trip_ms(arrival).or(self.rtt_ms);
            self.loss_at_party = Some(block.numbers);
        }
        Ok(())
    }
}

/// Half to one and a half of an interval (RFC 3550 section 6.3.1), so that legs don't report in step.
fn spread(interval: Nanos, random: &mut Random) -> Nanos {
    interval / 2 + random.below(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;
    use crate::stats::PacketFacts;

    fn facts(ssrc: u32, sequence: u16) -> PacketFacts {
        PacketFacts {
            ssrc,
            sequence,
            timestamp: u32::from(sequence) * 160,
            clock_rate: 8000,
            length: 172,
        }
    }

    struct Leg {
        reports: Reports,
        reception: Reception,
        transmission: Transmission,
        clock: Clock,
    }

    impl Leg {
        fn new(seed: u64) -> Self {
            Self {
                reports: Reports::new(&mut Random::seeded(seed)),
                reception: Reception::default(),
                transmission: Transmission::default(),
                clock: Clock::start(),
            }
        }

        fn report(&mut self, now: Nanos) -> Vec<u8> {
            let mut out = Vec::new();
            let mut sources = Sources {
                reception: &mut self.reception,
                transmission: &self.transmission,
                clock: self.clock,
            };
            let random = &mut Random::seeded(1);
            self.reports.compose(&mut sources, now, random, &mut out);
            out
        }

        fn hear(&mut self, datagram: &[u8], now: Nanos) {
            let sources = Sources {
                reception: &mut self.reception,
                transmission: &self.transmission,
                clock: self.clock,
            };
            self.reports.receive(datagram, &sources, now).unwrap();
        }
    }

    #[test]
    fn without_media_it_is_a_receiver_report_and_with_it_a_sender_report() {
        let mut leg = Leg::new(1);
        let empty = rtcp::parse(&leg.report(SECOND)).unwrap();
        assert_eq!((empty.sender, empty.blocks.len()), (None, 0));
        leg.transmission.observe(&facts(7, 3), 160, SECOND);
        leg.reception.observe(&facts(9, 1), SECOND);
        let full = rtcp::parse(&leg.report(SECOND + 20 * MILLISECOND)).unwrap();
        let sender = full.sender.unwrap();
        assert_eq!((sender.ssrc, sender.packets, sender.octets), (7, 1, 160));
        assert_eq!(sender.rtp_timestamp, 3 * 160 + 160);
        assert_eq!(full.blocks[0].numbers.ssrc, 9);
        let silent = rtcp::parse(&leg.report(6 * SECOND)).unwrap();
        assert_eq!(silent.sender, None);
    }

    #[test]
    fn two_parties_measure_the_round_trip() {
        let (mut here, mut there) = (Leg::new(1), Leg::new(2));
        let start = here.clock.now();
        here.transmission.observe(&facts(7, 1), 160, start);
        there.reception.observe(&facts(7, 1), start);
        let report = here.report(start);
        there.hear(&report, start + 30 * MILLISECOND);
        let answer = there.report(start + 530 * MILLISECOND);
        here.hear(&answer, start + 560 * MILLISECOND);
        let rtt = here.reports.rtt_ms().unwrap();
        assert!((rtt - 60.0).abs() < 0.5, "{rtt}");
        assert_eq!(here.reports.loss_at_party().unwrap().cumulative_lost, 0);
    }

    #[test]
    fn intervals_lie_between_half_and_one_and_a_half() {
        let mut random = Random::seeded(5);
        for _ in 0..1000 {
            let interval = spread(INTERVAL, &mut random);
            assert!((INTERVAL / 2..INTERVAL * 3 / 2).contains(&interval));
        }
    }

    #[test]
    fn goodbye_is_said_only_after_something_else_was() {
        let mut leg = Leg::new(3);
        let mut out = vec![1];
        let mut sources = Sources {
            reception: &mut leg.reception,
            transmission: &leg.transmission,
            clock: leg.clock,
        };
        leg.reports.goodbye(&mut sources, SECOND, &mut out);
        assert!(out.is_empty());
        leg.report(SECOND);
        let mut sources = Sources {
            reception: &mut leg.reception,
            transmission: &leg.transmission,
            clock: leg.clock,
        };
        leg.reports.goodbye(&mut sources, SECOND, &mut out);
        assert!(rtcp::parse(&out).unwrap().goodbye);
        assert_eq!(leg.reports.due(), NEVER);
    }
}
