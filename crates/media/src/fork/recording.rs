//! A recording: the streams of one recording session, their sockets and their reports.
use std::os::fd::BorrowedFd;

use super::agreed::Agreed;
use super::line::Line;
use super::port::Port;
use super::reports::{ForkReports, Sender};
use super::spec::{Dtmf, RecordedStream, RecordingSpec, RecordingTarget, StreamTarget};
use super::stats::RecordedStreamStats;
use super::stream::{Beginning, ForkStream};
use super::turn::{ForkPacket, ForkTurn};
use crate::clock::{Nanos, MILLISECOND};
use crate::events::Event;
use crate::orders::{LegCodec, Side};
use crate::ports::LegSockets;
use crate::prefetch::prefetch;
use crate::random::Random;
use crate::tap::NEVER;

/// The largest report that is read.
const MAX_REPORT: usize = 2048;
/// Reports read in one turn, so that nobody keeps a worker from its calls.
const REPORTS_A_TURN: usize = 8;

/// One stream with all that belongs to it.
#[derive(Debug)]
struct Voice {
    label: String,
    side: Side,
    stream: ForkStream,
    port: Port,
    reports: ForkReports,
    /// When the address was given that packets now go to, until the first one is told.
    set_at: Option<Nanos>,
    first_packet: Option<Nanos>,
    /// Packets of it that are in the worker's tally already.
    counted: (u64, u64),
}

/// Which recording of which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingIds {
    /// The call.
    pub call: u64,
    /// The recording.
    pub recording: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Recording {
    ids: RecordingIds,
    relay: bool,
    start: Nanos,
    voices: Vec<Voice>,
    /// When each of them is due: known without touching its memory.
    dues: Vec<Nanos>,
}

impl Recording {
    /// A recording that waits for its recorder; one pair of sockets for each stream, in their order.
    pub fn open(
        ids: RecordingIds,
        spec: RecordingSpec,
        sockets: Vec<LegSockets>,
        now: Nanos,
        random: &mut Random,
    ) -> Self {
        let start = if spec.start_ns == 0 {
            now
        } else {
            spec.start_ns
        };
        let beginning = Beginning {
            opened: now,
            early: Nanos::from(spec.early_ms) * MILLISECOND,
        };
        let mut taken: Vec<u32> = spec
            .streams
            .iter()
            .filter_map(|stream| stream.ssrc)
            .collect();
        let mut voices = Vec::with_capacity(spec.streams.len());
        for (stream, sockets) in spec.streams.into_iter().zip(sockets) {
            let ssrc = stream.ssrc.unwrap_or_else(|| another(&taken, random));
            taken.push(ssrc);
            let line = Line::new(ssrc, start, random);
            let RecordedStream {
                label, side, cname, ..
            } = stream;
            voices.push(Voice {
                label,
                side,
                stream: ForkStream::new(line, beginning),
                port: Port::new(sockets),
                reports: ForkReports::new(cname),
                set_at: None,
                first_packet: None,
                counted: (0, 0),
            });
        }
        Self {
            ids,
            relay: spec.dtmf == Dtmf::Relay,
            start,
            dues: vec![NEVER; voices.len()],
            voices,
        }
    }

    /// Asks for the memory of a side's streams.
    pub fn prefetch_side(&self, side: Side) {
        let of_side = |voice: &&Voice| voice.side == side;
        self.voices.iter().filter(of_side).for_each(prefetch);
    }

    /// Which it is.
    pub const fn ids(&self) -> RecordingIds {
        self.ids
    }

    /// The RTP port of each stream.
    pub fn ports(&self) -> Vec<u16> {
        self.voices
            .iter()
            .map(|voice| voice.port.number())
            .collect()
    }

    /// The sockets on which the recorder's reports come in.
    pub fn report_sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.voices.iter().map(|voice| voice.port.reports())
    }

    /// Takes what was agreed with the recorder. What names no stream of the recording comes to nothing.
    pub fn set(&mut self, target: &RecordingTarget, turn: &mut ForkTurn<'_>) {
        for agreed in &target.streams {
            let voice = self
                .voices
                .iter_mut()
                .find(|voice| voice.label == agreed.label);
            if let Some(voice) = voice {
                voice.set(agreed, self.relay, turn);
            }
        }
        self.settle(turn);
    }

    /// Sends nothing more, or goes on.
    pub fn pause(&mut self, on: bool, turn: &mut ForkTurn<'_>) {
        for voice in &mut self.voices {
            let was_flowing = voice.stream.is_flowing();
            let now = turn.now;
            voice.stream.pause(on, now, voice.port.at(now));
            if voice.stream.is_flowing() && !was_flowing {
                voice.reports.begin(now);
            }
        }
        self.settle(turn);
    }

    /// Learns what the payload types of a side mean.
    pub fn set_formats(&mut self, side: Side, formats: &[LegCodec]) {
        for voice in self.of_side(side) {
            voice.stream.set_formats(formats);
        }
    }

    /// Says whether a side is on hold.
    pub fn set_held(&mut self, side: Side, held: bool) {
        for voice in self.of_side(side) {
            voice.stream.set_held(held);
        }
    }

    fn of_side(&mut self, side: Side) -> impl Iterator<Item = &mut Voice> {
        self.voices
            .iter_mut()
            .filter(move |voice| voice.side == side)
    }

    /// Takes a packet of a side.
    pub fn on_packet(&mut self, side: Side, packet: &ForkPacket<'_>, turn: &mut ForkTurn<'_>) {
        let (ids, start) = (self.ids, self.start);
        for (voice, due) in self.voices.iter_mut().zip(&mut self.dues) {
            if voice.side != side {
                continue;
            }
            let now = turn.now;
            if voice.stream.on_packet(packet, now, voice.port.at(now)) {
                voice.tell_unsupported(ids, turn);
            }
            *due = voice.settle(ids, start, turn);
        }
    }

    /// Reads the reports of the recorder that wait.
    pub fn on_reports(&mut self, turn: &mut ForkTurn<'_>) {
        let mut buffer = [0; MAX_REPORT];
        for voice in &mut self.voices {
            for _ in 0..REPORTS_A_TURN {
                let Some(length) = voice.port.at(turn.now).receive_report(&mut buffer) else {
                    break;
                };
                let ssrc = voice.stream.line().ssrc();
                let datagram = buffer.get(..length).unwrap_or_default();
                if voice.reports.receive(datagram, ssrc, turn.clock, turn.now) {
                    voice.port.heard();
                    turn.tally.rtcp_received += 1;
                }
            }
        }
    }

    /// When [`Recording::on_timer`] has something to do.
    pub fn due(&self) -> Nanos {
        self.dues.iter().copied().min().unwrap_or(NEVER)
    }

    /// Does what time asks for.
    pub fn on_timer(&mut self, turn: &mut ForkTurn<'_>) {
        let ids = self.ids;
        for voice in &mut self.voices {
            if voice.reports.due() <= turn.now {
                voice.report(turn);
            }
            let now = turn.now;
            if voice.stream.on_timer(now, voice.port.at(now)) {
                voice.tell_unsupported(ids, turn);
            }
        }
        self.settle(turn);
    }

    /// Sends what is left, and says goodbye to the recorder.
    pub fn end(&mut self, turn: &mut ForkTurn<'_>) {
        for voice in &mut self.voices {
            let now = turn.now;
            voice.stream.end(now, voice.port.at(now));
            let sender = Sender {
                line: voice.stream.line(),
                skew: voice.stream.skew(),
                clock: turn.clock,
            };
            voice.reports.goodbye(&sender, now, turn.report);
            voice.send_report(turn);
        }
        self.settle(turn);
    }

    /// Tells and counts what has come of it.
    fn settle(&mut self, turn: &mut ForkTurn<'_>) {
        let (ids, start) = (self.ids, self.start);
        for (voice, due) in self.voices.iter_mut().zip(&mut self.dues) {
            *due = voice.settle(ids, start, turn);
        }
    }

    /// What it has come to.
    pub fn stats(&self) -> Vec<RecordedStreamStats> {
        self.voices
            .iter()
            .map(|voice| voice.stats(self.start))
            .collect()
    }
}

impl Voice {
    fn set(&mut self, target: &StreamTarget, relay: bool, turn: &mut ForkTurn<'_>) {
        let now = turn.now;
        let agreed = Agreed::of(target, relay);
        let wanted = target.on && target.remote.is_some() && agreed.is_some();
        if !wanted {
            // What was heard before still goes where it was to go.
            self.stream.want(false, now, self.port.at(now));
        }
        self.stream.agree(agreed, now, self.port.at(now));
        let moved = target.remote != self.port.remote();
        if moved {
            self.port.retarget(target.remote);
        }
        if wanted {
            // A stream that is silent for a while goes on under its key where it was.
            self.port.protect(target.srtp.as_ref(), moved, now);
        }
        let begins = wanted && self.stream.is_ready() && (moved || !self.stream.is_flowing());
        if begins {
            self.set_at = Some(now).filter(|_| moved || self.first_packet.is_none());
            self.report(turn);
        }
        self.stream.want(wanted, now, self.port.at(now));
    }

    /// Sends a report now.
    fn report(&mut self, turn: &mut ForkTurn<'_>) {
        self.reports.begin(turn.now);
        let sender = Sender {
            line: self.stream.line(),
            skew: self.stream.skew(),
            clock: turn.clock,
        };
        self.reports
            .compose(&sender, turn.now, turn.random, turn.report);
        self.send_report(turn);
    }

    fn send_report(&mut self, turn: &mut ForkTurn<'_>) {
        if !turn.report.is_empty() && self.port.send_report(turn.report) {
            turn.tally.rtcp_sent += 1;
        }
    }

    /// Tells and counts what has come of it; returns when it is due.
    fn settle(&mut self, ids: RecordingIds, start: Nanos, turn: &mut ForkTurn<'_>) -> Nanos {
        let (packets, _) = self.stream.line().sent();
        let now = (packets, self.stream.line().unsent());
        if now != self.counted {
            self.count(now, ids, start, turn);
        }
        self.stream.due().min(self.reports.due())
    }

    fn count(&mut self, now: (u64, u64), ids: RecordingIds, start: Nanos, turn: &mut ForkTurn<'_>) {
        let before = std::mem::replace(&mut self.counted, now);
        turn.tally.recording_packets += now.0 - before.0;
        turn.tally.recording_unsent += now.1 - before.1;
        if now.0 > before.0 {
            self.first_packet.get_or_insert(turn.now);
            if let Some(set_at) = self.set_at.take() {
                turn.events.push(Event::RecordingFirstPacket {
                    recording: ids.recording,
                    label: self.label.clone(),
                    after_set_ms: turn.now.saturating_sub(set_at) / MILLISECOND,
                    after_start_ms: turn.now.saturating_sub(start) / MILLISECOND,
                });
            }
        }
        if let Some(complaint) = self.port.take_complaint() {
            turn.events.push(Event::RecordingUnreachable {
                recording: ids.recording,
                label: self.label.clone(),
                detail: std::io::Error::from(complaint).to_string(),
            });
        }
    }

    fn tell_unsupported(&self, ids: RecordingIds, turn: &mut ForkTurn<'_>) {
        turn.events.push(Event::RecordingCodecUnsupported {
            recording: ids.recording,
            label: self.label.clone(),
        });
    }

    fn stats(&self, start: Nanos) -> RecordedStreamStats {
        let line = self.stream.line();
        let (packets, octets) = line.sent();
        let counters = self.stream.counters();
        let remote = self.reports.remote();
        let jitter = |ticks: u32| f64::from(ticks) * 1000.0 / f64::from(line.rate().max(1));
        RecordedStreamStats {
            label: self.label.clone(),
            side: self.side,
            ssrc: line.ssrc(),
            packets,
            octets,
            samples: counters.samples,
            silence_samples: counters.silence,
            gap_samples: counters.gaps.named(),
            first_packet_ms: self
                .first_packet
                .map(|first| first.saturating_sub(start) / MILLISECOND),
            unsent: line.unsent(),
            icmp_errors: self.port.icmp_errors(),
            late: counters.late,
            duplicate: counters.duplicate,
            early_dropped: self.stream.early_dropped(),
            unfit: counters.unfit,
            events_sent: counters.events_sent,
            events_withheld: counters.events_withheld,
            rtcp_received: self.reports.received(),
            remote_lost: remote.map(|numbers| numbers.cumulative_lost),
            remote_jitter_ms: remote.map(|numbers| jitter(numbers.jitter)),
            rtt_ms: self.reports.rtt_ms(),
        }
    }
}

/// A source that is not taken (RFC 3550 section 8).
fn another(taken: &[u32], random: &mut Random) -> u32 {
    loop {
        let ssrc = random.next_u64() as u32;
        if !taken.contains(&ssrc) {
            return ssrc;
        }
    }
}
