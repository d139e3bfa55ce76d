//! One RTP stream as it is sent: its source, its numbers and its clock.
use super::turn::Outlet;
use crate::clock::{Nanos, SECOND};
use crate::random::Random;
use crate::rtp::FIXED_HEADER;

/// Room for a packet of 200 ms of G.711.
const ROOM: usize = 2048;

/// See the module. Positions are ticks of the stream's RTP clock since its start; they map to timestamps in the
/// same way for the whole life of the stream, whatever is sent or not sent, so that one sender report holds for
/// all of it.
#[derive(Debug)]
pub struct Line {
    ssrc: u32,
    start: Nanos,
    rate: u32,
    /// Timestamp of position 0.
    base: u32,
    /// The next sequence number.
    next: u16,
    packets: u64,
    octets: u64,
    unsent: u64,
    packet: Vec<u8>,
}

/// One packet to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its payload type.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// How far its number lies before the next one: 0 for a packet in order.
    pub behind: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// The payload.
    pub payload: &'a [u8],
}

impl Line {
    /// A stream whose position 0 is at `start`, with numbers and timestamps that begin by chance (RFC 3550
    /// section 5.1).
    pub fn new(ssrc: u32, start: Nanos, random: &mut Random) -> Self {
        Self {
            ssrc,
            start,
            rate: 8_000,
            base: random.next_u64() as u32,
            next: random.next_u64() as u16,
            packets: 0,
            octets: 0,
            unsent: 0,
            packet: Vec::with_capacity(ROOM),
        }
    }

    /// Its source.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Its start.
    pub const fn start(&self) -> Nanos {
        self.start
    }

    /// Ticks of its clock a second.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Packets and payload bytes that the network took.
    pub const fn sent(&self) -> (u64, u64) {
        (self.packets, self.octets)
    }

    /// Packets that it did not take.
    pub const fn unsent(&self) -> u64 {
        self.unsent
    }

    /// The position that the wall clock is at.
    pub fn position_at(&self, now: Nanos) -> i64 {
        let span = u128::from(now.saturating_sub(self.start));
        (span * u128::from(self.rate) / u128::from(SECOND)) as i64
    }

    /// The first instant at which the wall clock has reached a position.
    pub fn time_of(&self, position: i64) -> Nanos {
        let span = position.max(0) as u128 * u128::from(SECOND);
        self.start + span.div_ceil(u128::from(self.rate.max(1))) as Nanos
    }

    /// The timestamp of a position.
    pub const fn timestamp(&self, position: i64) -> u32 {
        self.base.wrapping_add(position as u32)
    }

    /// Goes on with another clock, without a jump of the timestamp (RFC 7160 section 4.1).
    pub fn set_rate(&mut self, rate: u32, now: Nanos) {
        if rate == self.rate {
            return;
        }
        let here = self.timestamp(self.position_at(now));
        self.rate = rate;
        self.base = here.wrapping_sub(self.position_at(now) as u32);
    }

    /// Leaves numbers out, as they were lost on the way to us.
    pub fn skip(&mut self, numbers: u32) {
        self.next = self.next.wrapping_add(numbers as u16);
    }

    /// Sends one packet. Its number is used up even if the network does not take it.
    pub fn send(&mut self, outgoing: &Outgoing<'_>, outlet: &mut impl Outlet) {
        let number = self.next.wrapping_sub(outgoing.behind);
        if outgoing.behind == 0 {
            self.next = self.next.wrapping_add(1);
        }
        self.write(outgoing, number);
        if outlet.send(&self.packet) {
            self.packets += 1;
            self.octets += outgoing.payload.len() as u64;
        } else {
            self.unsent += 1;
        }
    }

    fn write(&mut self, outgoing: &Outgoing<'_>, number: u16) {
        let mut header = [0u8; FIXED_HEADER];
        header[0] = 0x80;
        header[1] = u8::from(outgoing.marker) << 7 | (outgoing.payload_type & 0x7F);
        header[2..4].copy_from_slice(&number.to_be_bytes());
        header[4..8].copy_from_slice(&outgoing.timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.packet.clear();
        self.packet.extend_from_slice(&header);
        self.packet.extend_from_slice(outgoing.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kept(Vec<Vec<u8>>, bool);

    impl Outlet for Kept {
        fn send(&mut self, packet: &[u8]) -> bool {
            self.0.push(packet.to_vec());
            self.1
        }
    }

    fn outgoing(behind: u16) -> Outgoing<'static> {
        Outgoing {
            payload_type: 8,
            marker: true,
            behind,
            timestamp: 0x0102_0304,
            payload: b"xyz",
        }
    }

    #[test]
    fn numbers_go_on_whatever_becomes_of_the_packets() {
        let mut line = Line::new(0xA0B0_C0D0, 0, &mut Random::seeded(3));
        let mut kept = Kept(Vec::new(), true);
        line.send(&outgoing(0), &mut kept);
        line.skip(2);
        line.send(&outgoing(0), &mut kept);
        line.send(&outgoing(2), &mut kept);
        kept.1 = false;
        line.send(&outgoing(0), &mut kept);
        let first = u16::from_be_bytes([kept.0[0][2], kept.0[0][3]]);
        let numbers: Vec<u16> = kept
            .0
            .iter()
            .map(|sent| u16::from_be_bytes([sent[2], sent[3]]).wrapping_sub(first))
            .collect();
        assert_eq!(numbers, [0, 3, 2, 4]);
        assert_eq!((line.sent(), line.unsent()), ((3, 9), 1));
        let rest = [1, 2, 3, 4, 0xA0, 0xB0, 0xC0, 0xD0, b'x', b'y', b'z'];
        assert_eq!(kept.0[0][..2], [0x80, 0x88]);
        assert_eq!(kept.0[0][4..], rest);
    }

    #[test]
    fn another_clock_rate_goes_on_where_the_former_was() {
        let mut line = Line::new(1, SECOND, &mut Random::seeded(3));
        assert_eq!(line.position_at(0), 0);
        assert_eq!(line.position_at(2 * SECOND), 8_000);
        assert_eq!(line.time_of(8_000), 2 * SECOND);
        let here = line.timestamp(8_000);
        line.set_rate(48_000, 2 * SECOND);
        assert_eq!(line.position_at(2 * SECOND), 48_000);
        assert_eq!(line.timestamp(48_000), here);
        assert_eq!(
            line.timestamp(line.position_at(3 * SECOND)),
            here.wrapping_add(48_000)
        );
    }
}
