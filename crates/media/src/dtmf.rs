//! Key presses out of telephone-events (RFC 4733): one press per event, whatever was retransmitted.
use crate::clock::{Nanos, MILLISECOND, SECOND};

/// Bytes of one event block (RFC 4733 section 2.3).
pub const BLOCK: usize = 4;
/// A press whose end was lost is over when nothing was heard of it for so long. Senders refresh every
/// 20 to 50 ms, so three or more updates are missing by then.
pub const SILENCE: Nanos = 200 * MILLISECOND;
/// The keys by event code (RFC 4733 section 3.2, table 3); codes above are no keys.
const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// One event block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBlock {
    /// The event code.
    pub code: u8,
    /// The E bit: the event has ended.
    pub end: bool,
    /// Duration so far in timestamp units.
    pub duration: u16,
}

impl EventBlock {
    /// Reads the first block of a payload; nothing when it is too short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let block: &[u8; BLOCK] = payload.first_chunk()?;
        Some(Self {
            code: block[0],
            end: block[1] & 0x80 != 0,
            duration: u16::from_be_bytes([block[2], block[3]]),
        })
    }

    /// The key, if the event is one.
    pub fn digit(&self) -> Option<char> {
        DIGITS
            .get(usize::from(self.code))
            .map(|&digit| char::from(digit))
    }
}

/// A finished key press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// One of `0-9 * # A-D`.
    pub digit: char,
    /// How long it was held, in milliseconds.
    pub duration_ms: u32,
    /// The source it came from.
    pub ssrc: u32,
    /// The timestamp of its begin.
    pub timestamp: u32,
}

/// A telephone-event packet.
#[derive(Debug, Clone, Copy)]
pub struct EventPacket {
    /// Synchronization source.
    pub ssrc: u32,
    /// Timestamp of the event's begin.
    pub timestamp: u32,
    /// The marker bit: the first packet of an event, never of a continued segment.
    pub marker: bool,
    /// Ticks of the timestamp a second.
    pub clock_rate: u32,
    /// What it says.
    pub block: EventBlock,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    ssrc: u32,
    code: u8,
    clock_rate: u32,
    begin: u32,
    /// Timestamp of the segment now running (RFC 4733 section 2.5.1.3).
    segment: u32,
    segment_duration: u16,
    /// Duration of the segments before it.
    before: u64,
    last_heard: Nanos,
}

impl Active {
    fn press(&self) -> Option<Press> {
        let digit = DIGITS
            .get(usize::from(self.code))
            .map(|&digit| char::from(digit))?;
        let units = self.before + u64::from(self.segment_duration);
        let duration_ms = (units * 1000 / u64::from(self.clock_rate.max(1))) as u32;
        Some(Press {
            digit,
            duration_ms,
            ssrc: self.ssrc,
            timestamp: self.begin,
        })
    }

    /// A long event goes on under a new timestamp, exactly where the full segment ended.
    fn continues(&self, packet: &EventPacket) -> bool {
        let end_of_segment = self.segment.wrapping_add(u32::from(u16::MAX));
        let step = packet.timestamp.wrapping_sub(end_of_segment);
        !packet.marker
            && packet.block.code == self.code
            && step <= 1
            && self.segment_duration > u16::MAX / 2
    }
}

/// Finds the presses in one leg's telephone-events.
#[derive(Debug, Clone, Default)]
pub struct Detector {
    active: Option<Active>,
    /// The event that ended last: its retransmitted end packets are no new press.
    ended: Option<(u32, u32)>,
}

impl Detector {
    /// Accounts for one packet. Returns the presses that it ends: the former one when a new event has
    /// begun without the former's end having been heard, and its own when it carries the E bit.
    pub fn push(&mut self, packet: &EventPacket, now: Nanos) -> [Option<Press>; 2] {
        if self.is_old(packet) {
            return [None, None];
        }
        let mut former = None;
        match &mut self.active {
            Some(active) if active.ssrc == packet.ssrc && active.segment == packet.timestamp => {
                active.segment_duration = active.segment_duration.max(packet.block.duration);
            }
            Some(active) if active.ssrc == packet.ssrc && active.continues(packet) => {
                active.before += u64::from(packet.timestamp.wrapping_sub(active.segment));
                active.segment = packet.timestamp;
                active.segment_duration = packet.block.duration;
            }
            _ => {
                former = self.finish();
                self.begin(packet, now);
            }
        }
        if let Some(active) = &mut self.active {
            active.last_heard = now;
        }
        let own = if packet.block.end {
            self.finish()
        } else {
            None
        };
        [former, own]
    }

    /// Ends a press whose end was lost. Call at [`Detector::deadline`].
    pub fn on_timer(&mut self, now: Nanos) -> Option<Press> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            return self.finish();
        }
        None
    }

    /// When a press now running is over if nothing more is heard of it.
    pub fn deadline(&self) -> Option<Nanos> {
        self.active
            .as_ref()
            .map(|active| active.last_heard + SILENCE)
    }

    /// Ends whatever runs, as at the end of a call.
    pub fn finish(&mut self) -> Option<Press> {
        let active = self.active.take()?;
        self.ended = Some((active.ssrc, active.segment));
        active.press()
    }

    fn begin(&mut self, packet: &EventPacket, now: Nanos) {
        self.active = Some(Active {
            ssrc: packet.ssrc,
            code: packet.block.code,
            clock_rate: packet.clock_rate,
            begin: packet.timestamp,
            segment: packet.timestamp,
            segment_duration: packet.block.duration,
            before: 0,
            last_heard: now,
        });
    }

    /// A retransmission of the event that ended, or a straggler of one before the event now running.
    fn is_old(&self, packet: &EventPacket) -> bool {
        let not_after = |ssrc: u32, timestamp: u32| {
            ssrc == packet.ssrc && (packet.timestamp.wrapping_sub(timestamp) as i32) <= 0
        };
        if self.ended.is_some_and(|(ssrc, timestamp)| {
            not_after(ssrc, timestamp) && recent(packet, timestamp)
        }) {
            return true;
        }
        self.active.as_ref().is_some_and(|active| {
            active.segment != packet.timestamp
                && not_after(active.ssrc, active.segment)
                && recent(packet, active.segment)
        })
    }
}

/// Whether a timestamp lies at most 10 s behind: farther away, the sender's clock has been set anew.
fn recent(packet: &EventPacket, timestamp: u32) -> bool {
    let behind = u64::from(timestamp.wrapping_sub(packet.timestamp));
    behind * SECOND <= 10 * SECOND * u64::from(packet.clock_rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(timestamp: u32, code: u8, duration: u16, end: bool) -> EventPacket {
        let block = EventBlock {
            code,
            end,
            duration,
        };
        EventPacket {
            ssrc: 1,
            timestamp,
            marker: false,
            clock_rate: 8000,
            block,
        }
    }

    fn presses(packets: &[EventPacket]) -> Vec<(char, u32, u32)> {
        let mut detector = Detector::default();
        packets
            .iter()
            .flat_map(|packet| detector.push(packet, 0))
            .flatten()
            .map(|press| (press.digit, press.duration_ms, press.timestamp))
            .collect()
    }

    #[test]
    fn three_end_packets_are_one_press() {
        let run = [
            packet(1000, 5, 160, false),
            packet(1000, 5, 320, false),
            packet(1000, 5, 960, true),
            packet(1000, 5, 960, true),
            packet(1000, 5, 960, true),
        ];
        assert_eq!(presses(&run), [('5', 120, 1000)]);
    }

    #[test]
    fn the_same_key_twice_is_two_presses() {
        let run = [
            packet(1000, 1, 800, true),
            packet(1000, 1, 800, true),
            packet(4000, 1, 400, true),
        ];
        assert_eq!(presses(&run), [('1', 100, 1000), ('1', 50, 4000)]);
    }

    #[test]
    fn a_lost_end_is_made_up_by_the_next_event_or_by_silence() {
        let run = [packet(1000, 1, 400, false), packet(3000, 2, 160, true)];
        assert_eq!(presses(&run), [('1', 50, 1000), ('2', 20, 3000)]);
        let mut detector = Detector::default();
        detector.push(&packet(1000, 11, 480, false), 0);
        assert_eq!(detector.on_timer(SILENCE - 1), None);
        assert_eq!(
            detector
                .on_timer(SILENCE)
                .map(|press| (press.digit, press.duration_ms)),
            Some(('#', 60))
        );
        assert_eq!(
            detector.push(&packet(1000, 11, 960, true), SILENCE),
            [None, None]
        );
    }

    #[test]
    fn disorder_neither_shortens_nor_repeats() {
        let run = [
            packet(1000, 3, 320, false),
            packet(1000, 3, 160, false),
            packet(1000, 3, 640, true),
            packet(1000, 3, 480, false),
            packet(500, 9, 480, false),
        ];
        assert_eq!(presses(&run), [('3', 80, 1000)]);
    }

    #[test]
    fn a_long_event_goes_on_under_a_new_timestamp() {
        let run = [
            packet(1000, 4, 40_000, false),
            packet(1000, 4, 65_535, false),
            packet(1000 + 65_535, 4, 800, false),
            packet(1000 + 65_535, 4, 8000, true),
            packet(1000 + 65_535, 4, 8000, true),
        ];
        assert_eq!(presses(&run), [('4', (65_535 + 8000) / 8, 1000)]);
    }

    #[test]
    fn codes_beyond_the_keys_are_no_press() {
        assert_eq!(
            presses(&[packet(1, 16, 800, true), packet(9000, 255, 800, true)]),
            []
        );
        assert_eq!(EventBlock::parse(&[1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn one_press_per_timestamp_at_most(
            packets in proptest::collection::vec((0u32..5, 0u8..20, any::<u16>(), any::<bool>()), 0..100)
        ) {
            let run: Vec<_> =
                packets.iter().map(|&(at, code, length, end)| packet(at * 8_000, code, length, end)).collect();
            let mut begins: Vec<_> = presses(&run).iter().map(|press| press.2).collect();
            let all = begins.len();
            begins.sort_unstable();
            begins.dedup();
            prop_assert_eq!(begins.len(), all);
        }

        #[test]
        fn any_events_are_survived(
            packets in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<[u8; 4]>(), any::<bool>(), any::<u32>()), 0..60)
        ) {
            let mut detector = Detector::default();
            for (step, (ssrc, timestamp, payload, marker, clock_rate)) in packets.into_iter().enumerate() {
                let block = EventBlock::parse(&payload).unwrap();
                detector.push(&EventPacket { ssrc, timestamp, marker, clock_rate, block }, step as u64);
            }
            detector.on_timer(u64::MAX);
        }
    }
}
