//! What a recorder hears: each recorded stream, packet for packet.
use std::collections::HashMap;

use serde_json::{json, Value};

use crate::histogram::Histogram;
use crate::mmsg::wall_nanos;
use crate::rtp::{Stamp, STAMP};

const HEADER: usize = 12;
const NOBODY: u32 = u32::MAX;

/// One recorded stream.
struct Ear {
    /// The side of the call that it is to carry: 0 the caller's, 1 the callee's.
    side: u8,
    ssrc: Option<u32>,
    /// The RTP number that should come next.
    next: u16,
    packets: u64,
    heard: Option<Heard>,
    over: bool,
}

/// What the stamps in a stream say.
#[derive(Clone, Copy)]
struct Heard {
    call: u32,
    first: u32,
    last: u32,
}

/// What one measurement counted.
struct Counts {
    packets: u64,
    /// RTP numbers that were left out.
    lost: u64,
    disordered: u64,
    /// Packets of no stream, of another source, or of the wrong side.
    wrong: u64,
    /// Payloads whose stamp is not that of the next packet of the leg.
    audio_breaks: u64,
    /// Packets without a stamp: silence that the gateway filled in.
    silence: u64,
    latency: Histogram,
}

impl Counts {
    fn new() -> Self {
        Self {
            packets: 0,
            lost: 0,
            disordered: 0,
            wrong: 0,
            audio_breaks: 0,
            silence: 0,
            latency: Histogram::new(),
        }
    }
}

/// All streams of a recorder, by the gateway's port that they come from.
pub struct Taken {
    owners: Vec<u32>,
    ears: Vec<Ear>,
    sessions: HashMap<String, [usize; 2]>,
    counts: Counts,
    /// Wall-clock nanoseconds when a stream was last heard for the first time.
    newest_at: u64,
}

impl Taken {
    /// None yet.
    pub fn new() -> Self {
        Self {
            owners: vec![NOBODY; 65_536],
            ears: Vec::new(),
            sessions: HashMap::new(),
            counts: Counts::new(),
            newest_at: 0,
        }
    }

    /// Sessions that are open.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Listens to a session's streams: its Call-ID, and the ports that its offer names.
    pub fn open(&mut self, call_id: &str, ports: [u16; 2]) {
        if self.sessions.contains_key(call_id) {
            return;
        }
        let ears = [0, 1].map(|side: u8| {
            let index = self.ears.len();
            self.ears.push(Ear {
                side,
                ssrc: None,
                next: 0,
                packets: 0,
                heard: None,
                over: false,
            });
            self.owners[usize::from(ports[usize::from(side)])] = index as u32;
            index
        });
        self.sessions.insert(call_id.to_owned(), ears);
    }

    /// A session has ended: what still comes of it is not counted.
    pub fn close(&mut self, call_id: &str) {
        for index in self.sessions.remove(call_id).into_iter().flatten() {
            self.ears[index].over = true;
        }
    }

    /// Takes a datagram from a port of the gateway, with its time of receipt.
    pub fn take(&mut self, port: u16, at: u64, packet: &[u8]) {
        let owner = self.owners[usize::from(port)];
        let counts = &mut self.counts;
        let (Some(ear), Some(header)) = (
            self.ears.get_mut(owner as usize),
            packet.first_chunk::<HEADER>(),
        ) else {
            counts.wrong += 1;
            return;
        };
        if ear.over {
            return;
        }
        counts.packets += 1;
        let number = u16::from_be_bytes([header[2], header[3]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if ear.packets == 0 {
            (ear.ssrc, ear.next) = (Some(ssrc), number);
            self.newest_at = wall_nanos();
        }
        ear.packets += 1;
        if ear.ssrc != Some(ssrc) {
            counts.wrong += 1;
            return;
        }
        let ahead = number.wrapping_sub(ear.next);
        if ahead < 0x8000 {
            counts.lost += u64::from(ahead);
            ear.next = number.wrapping_add(1);
        } else {
            counts.disordered += 1;
            counts.lost = counts.lost.saturating_sub(1);
        }
        ear.listen(&packet[HEADER..], at, counts);
    }

    /// Forgets what was counted; streams and what they have heard stay.
    pub fn reset(&mut self) {
        self.counts = Counts::new();
    }

    /// What was counted.
    pub fn report(&self) -> Value {
        let counts = &self.counts;
        let flowing = self
            .ears
            .iter()
            .filter(|ear| ear.packets > 0 && !ear.over)
            .count();
        json!({
            "sessions": self.sessions(), "flowing": flowing, "packets": counts.packets, "lost": counts.lost,
            "disordered": counts.disordered, "wrong": counts.wrong, "audio_breaks": counts.audio_breaks,
            "silence": counts.silence, "record_ms": counts.latency.report(), "newest_at_ns": self.newest_at,
        })
    }

    /// For each stream that carried audio: call, side, the first and the last packet of the leg that it carried.
    pub fn detail(&self) -> Value {
        let rows: Vec<Value> = self
            .ears
            .iter()
            .filter_map(|ear| {
                let heard = ear.heard?;
                Some(json!([heard.call, ear.side, heard.first, heard.last]))
            })
            .collect();
        json!(rows)
    }
}

impl Ear {
    fn listen(&mut self, payload: &[u8], at: u64, counts: &mut Counts) {
        if payload.len() < STAMP || payload.iter().all(|&byte| byte == 0xFF) {
            counts.silence += 1;
            return;
        }
        let Some(stamp) = Stamp::read(payload) else {
            return;
        };
        counts.latency.add(at.saturating_sub(stamp.sent_at));
        if stamp.side != self.side {
            counts.wrong += 1;
            return;
        }
        let heard = self.heard.get_or_insert(Heard {
            call: stamp.call,
            first: stamp.counter,
            last: stamp.counter.wrapping_sub(1),
        });
        if stamp.call != heard.call || stamp.counter != heard.last.wrapping_add(1) {
            counts.audio_breaks += 1;
        }
        heard.last = stamp.counter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u16, ssrc: u32, counter: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(ssrc.to_be_bytes());
        packet.extend(1_000_u64.to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(counter.to_be_bytes());
        packet.push(0);
        packet.resize(HEADER + 160, 1);
        packet
    }

    #[test]
    fn what_is_missing_is_counted() {
        let mut taken = Taken::new();
        taken.open("a", [4000, 4002]);
        for (port, packet) in [
            (4000, packet(65_535, 9, 5)),
            (4000, packet(0, 9, 6)),
            (4000, packet(3, 9, 9)),
            (4000, packet(2, 9, 8)),
            (4000, packet(4, 8, 10)),
            (4444, packet(4, 8, 10)),
        ] {
            taken.take(port, 3_000, &packet);
        }
        let report = taken.report();
        assert_eq!(
            (&report["packets"], &report["lost"]),
            (&json!(5), &json!(1))
        );
        assert_eq!(report["disordered"], 1);
        assert_eq!(report["wrong"], 2);
        assert_eq!(report["audio_breaks"], 2);
        assert_eq!(taken.detail(), json!([[7, 0, 5, 8]]));
        taken.close("a");
        assert_eq!(
            (taken.sessions(), &taken.report()["flowing"]),
            (0, &json!(0))
        );
    }
}
