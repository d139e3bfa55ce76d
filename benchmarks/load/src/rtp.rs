//! RTP of every call, both ways: each packet says when it was sent, and each relayed one is checked.
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use serde_json::{json, Value};

use crate::arguments::Failure;
use crate::histogram::Histogram;
use crate::mmsg::{self, Receiver};

/// Milliseconds of one packet.
const PACKET_MS: usize = 20;
/// Samples, and with G.711 bytes, of one packet.
const PAYLOAD: usize = 160;
const HEADER: usize = 12;
/// Bytes of the stamp at the begin of a payload: time, call, counter, side.
pub const STAMP: usize = 17;

/// What a payload says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Wall-clock nanoseconds when it was sent.
    pub sent_at: u64,
    /// The call.
    pub call: u32,
    /// Counts the packets of the side.
    pub counter: u32,
    /// 0: the caller's, 1: the callee's.
    pub side: u8,
}

impl Stamp {
    fn write(self, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&self.sent_at.to_be_bytes());
        payload[8..12].copy_from_slice(&self.call.to_be_bytes());
        payload[12..16].copy_from_slice(&self.counter.to_be_bytes());
        payload[16] = self.side;
    }

    /// Reads a payload; nothing when it is too short.
    pub fn read(payload: &[u8]) -> Option<Self> {
        Some(Self {
            sent_at: u64::from_be_bytes(*payload.first_chunk()?),
            call: u32::from_be_bytes(*payload.get(8..12)?.first_chunk()?),
            counter: u32::from_be_bytes(*payload.get(12..16)?.first_chunk()?),
            side: *payload.get(16)?,
        })
    }
}

/// One direction of a call.
#[derive(Clone)]
struct Leg {
    gateway: Option<SocketAddrV4>,
    sequence: u16,
    timestamp: u32,
    counter: u32,
    /// The counter that the far side's next relayed packet should have.
    expected: u32,
}

/// What one measurement counted.
struct Counts {
    sent: u64,
    unsent: u64,
    received: u64,
    lost: u64,
    disordered: u64,
    wrong: u64,
    late_ticks: u64,
    latency: Histogram,
}

impl Counts {
    fn new() -> Self {
        Self {
            sent: 0,
            unsent: 0,
            received: 0,
            lost: 0,
            disordered: 0,
            wrong: 0,
            late_ticks: 0,
            latency: Histogram::new(),
        }
    }
}

/// The RTP of all calls on two sockets, one for each side.
pub struct Traffic {
    sockets: [UdpSocket; 2],
    legs: [Vec<Leg>; 2],
    /// For each side, which call a gateway's port belongs to.
    owners: [Vec<u32>; 2],
    batch: [Vec<(SocketAddrV4, Vec<u8>)>; 2],
    receiver: Receiver,
    counts: Counts,
    tick: usize,
}

const NOBODY: u32 = u32::MAX;

impl Traffic {
    /// Opens the sockets for up to so many calls.
    pub fn open(addresses: [Ipv4Addr; 2], calls: usize) -> Result<Self, Failure> {
        let leg = Leg {
            gateway: None,
            sequence: 0,
            timestamp: 0,
            counter: 0,
            expected: NOBODY,
        };
        Ok(Self {
            sockets: [mmsg::open(addresses[0])?, mmsg::open(addresses[1])?],
            legs: [vec![leg.clone(); calls], vec![leg; calls]],
            owners: [vec![NOBODY; 65_536], vec![NOBODY; 65_536]],
            batch: [Vec::new(), Vec::new()],
            receiver: Receiver::new(),
            counts: Counts::new(),
            tick: 0,
        })
    }

    /// Our RTP port of a side.
    pub fn port(&self, side: usize) -> u16 {
        self.sockets[side]
            .local_addr()
            .map_or(0, |address| address.port())
    }

    /// Says where the gateway expects a side's packets of a call.
    pub fn set_gateway(&mut self, side: usize, call: usize, gateway: SocketAddrV4) {
        self.legs[side][call].gateway = Some(gateway);
        self.owners[side][usize::from(gateway.port())] = call as u32;
    }

    /// Stops the packets of a call.
    pub fn stop(&mut self, call: usize) {
        for legs in &mut self.legs {
            legs[call].gateway = None;
        }
    }

    /// Sends what is due in this millisecond: the legs are spread evenly over the packet time.
    pub fn send_tick(&mut self) {
        let calls = self.legs[0].len();
        let slot = self.tick % PACKET_MS;
        self.tick += 1;
        for side in 0..2 {
            let batch = &mut self.batch[side];
            let mut used = 0;
            let now = mmsg::wall_nanos();
            let mut call = (slot + side * PACKET_MS / 2) % PACKET_MS;
            while call < calls {
                let leg = &mut self.legs[side][call];
                if let Some(gateway) = leg.gateway {
                    if used == batch.len() {
                        batch.push((gateway, vec![0x55; HEADER + PAYLOAD]));
                    }
                    let (to, packet) = &mut batch[used];
                    *to = gateway;
                    fill(packet, leg, (call as u32, side as u8), now);
                    used += 1;
                }
                call += PACKET_MS;
            }
            self.counts.sent += used as u64;
            self.counts.unsent += mmsg::send(&self.sockets[side], &mut batch[..used]) as u64;
        }
    }

    /// Counts a millisecond in which the generator itself was late.
    pub fn note_late_tick(&mut self) {
        self.counts.late_ticks += 1;
    }

    /// Takes and checks all that waits.
    pub fn receive(&mut self) {
        for side in 0..2 {
            let (counts, owners, legs) =
                (&mut self.counts, &self.owners[side], &mut self.legs[side]);
            let socket = &self.sockets[side];
            while self.receiver.receive(socket, |port, at, packet| {
                check(counts, owners, legs, (side, port, at, packet));
            }) {}
        }
    }

    /// Forgets what was counted.
    pub fn reset(&mut self) {
        self.counts = Counts::new();
    }

    /// What was counted.
    pub fn report(&self) -> Value {
        let counts = &self.counts;
        json!({
            "sent": counts.sent, "unsent": counts.unsent, "received": counts.received, "lost": counts.lost,
            "disordered": counts.disordered, "wrong": counts.wrong, "late_ticks": counts.late_ticks,
            "relay_ms": counts.latency.report(),
        })
    }
}

fn fill(packet: &mut [u8], leg: &mut Leg, (call, side): (u32, u8), now: u64) {
    packet[0] = 0x80;
    packet[1] = 0;
    packet[2..4].copy_from_slice(&leg.sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&leg.timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&(call << 1 | u32::from(side)).to_be_bytes());
    let stamp = Stamp {
        sent_at: now,
        call,
        counter: leg.counter,
        side,
    };
    stamp.write(&mut packet[HEADER..]);
    leg.sequence = leg.sequence.wrapping_add(1);
    leg.timestamp = leg.timestamp.wrapping_add(PAYLOAD as u32);
    leg.counter = leg.counter.wrapping_add(1);
}

fn check(counts: &mut Counts, owners: &[u32], legs: &mut [Leg], arrived: (usize, u16, u64, &[u8])) {
    let (side, port, at, packet) = arrived;
    let Some(stamp) = packet.get(HEADER..).and_then(Stamp::read) else {
        counts.wrong += 1;
        return;
    };
    let owner = owners[usize::from(port)];
    if packet.len() != HEADER + PAYLOAD || owner != stamp.call || usize::from(stamp.side) == side {
        counts.wrong += 1;
        return;
    }
    counts.received += 1;
    counts.latency.add(at.saturating_sub(stamp.sent_at));
    let leg = &mut legs[owner as usize];
    if leg.expected == NOBODY || stamp.counter == leg.expected {
        leg.expected = stamp.counter.wrapping_add(1);
    } else if stamp.counter > leg.expected {
        counts.lost += u64::from(stamp.counter - leg.expected);
        leg.expected = stamp.counter + 1;
    } else {
        counts.disordered += 1;
        counts.lost = counts.lost.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back() {
        let stamp = Stamp {
            sent_at: 0x0102_0304_0506_0708,
            call: 7,
            counter: 9,
            side: 1,
        };
        let mut payload = [0; STAMP];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..STAMP - 1]), None);
    }
}
