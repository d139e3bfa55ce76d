//! Makes a stream's messages: what the tap tells is numbered, queued and accounted for.
use super::bodies::{ChannelStats, GapData, LagData, Metadata, StatsData};
use super::entry::{Control, Entry, Kind, MediaFacts};
use super::ledger::Ledger;
use super::outbox::Outbox;
use super::replay::ReplayBounds;
use super::SideReception;
use crate::calendar;
use crate::clock::{Nanos, MILLISECOND, SECOND};
use crate::orders::StreamSpec;
use crate::prefetch::prefetch;
use crate::tap::gap::GapTracker;
use crate::tap::{Cause, Frame, Gap, Layout, TapSink};
use crate::ws::message::{self, MediaFields, MediaTemplate};

/// The longest run of audio that is dropped at once, in milliseconds.
const DROP_RUN_MS: u32 = 500;
/// For how long messages are kept for an endpoint that has never acknowledged: an endpoint that does so says it early,
/// and for one that does not nothing is to be sent again.
const GRACE: Nanos = 2 * SECOND;
/// `stream.lag` is told at quarters of the bound.
const QUARTERS: u64 = 4;

/// One channel as the media messages show it.
#[derive(Debug)]
struct Lane {
    channel: i32,
    participant: String,
    template: MediaTemplate,
    /// Audio dropped from the queue.
    dropped: GapTracker,
}

/// See the module.
#[derive(Debug)]
pub struct Composer {
    spec: StreamSpec,
    stream_id_json: String,
    lanes: Vec<Lane>,
    /// The messages.
    pub outbox: Outbox,
    /// What became of them.
    pub ledger: Ledger,
    /// Why a frame is dropped now: the endpoint is slow, or it isn't there.
    drop_cause: Cause,
    lag_told: u64,
    max_queued: usize,
}

impl Composer {
    /// Nothing has been made yet.
    pub fn new(spec: StreamSpec) -> Self {
        let lanes: Vec<(i32, String)> = match spec.layout {
            Layout::Separate => {
                let channels = spec.channels.iter();
                channels
                    .map(|channel| (channel.channel, channel.participant.clone()))
                    .collect()
            }
            Layout::Interleaved => vec![(-1, String::new())],
            Layout::Mixed => vec![(0, "mixed".to_owned())],
        };
        let frames = |ms: u32| lanes.len() * (ms / spec.frame_ms) as usize;
        let replay = ReplayBounds {
            frames: frames(spec.replay_ms),
            grace: GRACE.min(Nanos::from(spec.replay_ms) * MILLISECOND),
            rate: u64::from(spec.sample_rate),
        };
        Self {
            stream_id_json: message::json_string(&spec.stream_id),
            outbox: Outbox::new(frames(spec.queue_ms), frames(DROP_RUN_MS), replay),
            ledger: Ledger::new(lanes.iter().cloned()),
            lanes: lanes
                .into_iter()
                .map(|(channel, participant)| Lane::new(&spec, channel, participant))
                .collect(),
            drop_cause: Cause::Reconnect,
            lag_told: 0,
            max_queued: 0,
            spec,
        }
    }

    /// Asks for the memory that a write needs.
    pub fn prefetch(&self) {
        self.lanes.iter().for_each(prefetch);
        self.outbox.prefetch();
        self.ledger.prefetch();
    }

    /// The sink of the tap for one call at `now`.
    pub fn at(&mut self, now: Nanos) -> Intake<'_> {
        Intake {
            composer: self,
            now,
            unsupported: Vec::new(),
        }
    }

    /// Audio not yet handed to the network, in milliseconds.
    pub fn queued_ms(&self) -> u64 {
        self.milliseconds(self.outbox.queued_media())
    }

    /// The longest that the queue has been, in milliseconds.
    pub fn max_queued_ms(&self) -> u64 {
        self.milliseconds(self.max_queued)
    }

    fn milliseconds(&self, frames: usize) -> u64 {
        (frames.div_ceil(self.lanes.len().max(1)) as u64) * u64::from(self.spec.frame_ms)
    }

    /// The stream's position, in samples since its start.
    pub fn position(&self, now: Nanos) -> u64 {
        let elapsed = u128::from(now.saturating_sub(self.spec.start_ns));
        (elapsed * u128::from(self.spec.sample_rate) / u128::from(SECOND)) as u64
    }

    /// Appends the message's text.
    pub fn write(&self, entry: &Entry, out: &mut Vec<u8>) {
        match &entry.kind {
            Kind::Media(facts) => {
                let fields = MediaFields {
                    sequence: entry.sequence,
                    chunk: facts.chunk,
                    timestamp: facts.timestamp,
                    payload: &entry.bytes,
                };
                if let Some(lane) = self.lanes.get(facts.lane) {
                    lane.template.append(out, &fields);
                }
            }
            Kind::Control(control) => {
                self.write_control(out, control.event(), entry.sequence, &entry.bytes);
            }
        }
    }

    /// Appends a control message that is not in the outbox.
    pub fn write_control(&self, out: &mut Vec<u8>, event: &str, sequence: u64, body: &[u8]) {
        message::append_control(out, event, sequence, &self.stream_id_json, body);
    }

    /// No more than so many bytes of text that the message makes.
    pub fn length_bound(&self, entry: &Entry) -> usize {
        match &entry.kind {
            Kind::Media(facts) => {
                let lane = self.lanes.get(facts.lane);
                lane.map_or(0, |lane| lane.template.length_bound(entry.bytes.len()))
            }
            Kind::Control(_) => entry.bytes.len() + self.stream_id_json.len() + 128,
        }
    }

    /// A connection stands: later drops are the endpoint's slowness. What the replay buffer should hold and does not
    /// is told.
    pub fn connected(&mut self, connect: Vec<u8>, start: Vec<u8>, now: Nanos) {
        let missing = self.outbox.begin_connection(connect, start);
        for missing in missing {
            let lane = self.lanes.get_mut(missing.lane);
            let (from, samples) = (missing.from, missing.samples);
            if lane.is_some_and(|lane| lane.dropped.prepend(from, samples, Cause::Reconnect)) {
                continue;
            }
            let gap = Gap {
                from: missing.from,
                samples: missing.samples,
                cause: Cause::Reconnect,
                ended: true,
            };
            self.tell_lane_gap(missing.lane, gap, now);
        }
        self.drop_cause = Cause::Overflow;
    }

    /// The connection is gone: later drops are for want of one.
    pub fn disconnected(&mut self) {
        self.outbox.end_connection();
        self.drop_cause = Cause::Reconnect;
    }

    /// The network has the next `count` flying messages in full.
    pub fn landed(&mut self, count: usize, now: Nanos) {
        // A stretch of dropped audio has ended once audio behind it is on its way.
        let mut passed = [false; 2];
        for _ in 0..count {
            let ledger = &mut self.ledger;
            self.outbox.land(now, &mut |landed| {
                ledger.sent(&landed);
                if let Some(passed) = passed.get_mut(landed.facts.lane) {
                    *passed = true;
                }
            });
        }
        for (lane, _) in passed.iter().enumerate().filter(|(_, passed)| **passed) {
            self.end_drops(lane, now);
        }
        self.note_relief();
    }

    /// Tells all stretches of dropped audio that are still open; whether there were any.
    pub fn end_all_drops(&mut self, now: Nanos) -> bool {
        let before = self.outbox.messages();
        for lane in 0..self.lanes.len() {
            self.end_drops(lane, now);
        }
        self.outbox.messages() != before
    }

    fn end_drops(&mut self, index: usize, now: Nanos) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let mut ended = None;
        lane.dropped.end(&mut |gap| ended = Some(gap));
        if let Some(gap) = ended {
            self.tell_lane_gap(index, gap, now);
        }
    }

    /// `stream.stats`, unless the one before still waits.
    pub fn push_stats(&mut self, receptions: &[SideReception; 2], rtt_ms: Option<f64>, now: Nanos) {
        if self.outbox.has_queued(Control::Stats) {
            return;
        }
        let channels = self.spec.channels.iter().map(|channel| {
            let reception = &receptions[channel.side.index()];
            ChannelStats {
                channel: channel.channel,
                participant_id: &channel.participant,
                packets_received: reception.packets_received,
                lost: reception.lost,
                late: reception.late,
                duplicate: reception.duplicate,
                jitter_ms: rounded(reception.jitter_ms),
                mos: reception.mos,
            }
        });
        let data = StatsData {
            channels: channels.collect(),
            queue_ms: self.queued_ms(),
            rtt_ms: rtt_ms.map(rounded),
        };
        let body = self.metadata("stream.stats", None, data, now);
        self.outbox.push_control(Control::Stats, &body);
    }

    fn metadata<T: serde::Serialize>(
        &self,
        kind: &'static str,
        participant_id: Option<&str>,
        data: T,
        now: Nanos,
    ) -> Vec<u8> {
        let elapsed_ms = now.saturating_sub(self.spec.start_ns) / MILLISECOND;
        let at = calendar::rfc3339(self.spec.started_at_unix_ms + elapsed_ms);
        let timestamp = self.position(now);
        Metadata {
            kind,
            at,
            timestamp,
            participant_id,
            data,
        }
        .to_json()
    }

    fn tell_gap(&mut self, channel: i32, participant: Option<&str>, gap: Gap, now: Nanos) {
        self.ledger.gap(gap.cause, gap.samples);
        let body = self.metadata("media.gap", participant, GapData::new(channel, &gap), now);
        self.outbox.push_control(Control::Metadata, &body);
    }

    fn tell_lane_gap(&mut self, index: usize, gap: Gap, now: Nanos) {
        let Some(lane) = self.lanes.get(index) else {
            return;
        };
        let participant = (self.spec.layout == Layout::Separate).then(|| lane.participant.clone());
        self.tell_gap(lane.channel, participant.as_deref(), gap, now);
    }

    fn tell_side_gap(&mut self, channel: i32, gap: Gap, now: Nanos) {
        let spec = self
            .spec
            .channels
            .iter()
            .find(|spec| spec.channel == channel);
        let participant = spec.map(|spec| spec.participant.clone());
        self.tell_gap(channel, participant.as_deref(), gap, now);
    }

    fn lane_of(&self, channel: i32) -> usize {
        let lane = self.lanes.iter().position(|lane| lane.channel == channel);
        lane.unwrap_or_default()
    }

    fn push_media(&mut self, frame: &Frame<'_>, now: Nanos) {
        let facts = MediaFacts {
            lane: self.lane_of(frame.channel),
            chunk: frame.chunk,
            timestamp: frame.timestamp,
            samples: frame.samples,
            silence_samples: frame.silence_samples,
        };
        for _ in 0..self.outbox.push_media(facts, frame.payload) {
            let Some(dropped) = self.outbox.drop_oldest() else {
                break;
            };
            self.account_drop(&dropped, now);
        }
        self.max_queued = self.max_queued.max(self.outbox.queued_media());
        self.note_lag(now);
    }

    fn account_drop(&mut self, dropped: &MediaFacts, now: Nanos) {
        let samples = u64::from(dropped.samples);
        self.ledger.dropped(dropped.lane, samples);
        let cause = self.drop_cause;
        let Some(lane) = self.lanes.get_mut(dropped.lane) else {
            return;
        };
        let mut due = Vec::new();
        lane.dropped
            .extend(dropped.timestamp, samples, cause, &mut |gap| due.push(gap));
        for gap in due {
            self.tell_lane_gap(dropped.lane, gap, now);
        }
    }

    fn note_lag(&mut self, now: Nanos) {
        let bound_ms = u64::from(self.spec.queue_ms);
        let queued_ms = self.queued_ms();
        let quarter = (queued_ms * QUARTERS / bound_ms).min(QUARTERS - 1);
        if quarter > self.lag_told {
            self.lag_told = quarter;
            let body = self.metadata(
                "stream.lag",
                None,
                LagData {
                    queued_ms,
                    bound_ms,
                },
                now,
            );
            self.outbox.push_control(Control::Metadata, &body);
        }
    }

    /// A quarter is told again only after the queue has fallen half a quarter below it.
    fn note_relief(&mut self) {
        let eighths = self.queued_ms() * 2 * QUARTERS / u64::from(self.spec.queue_ms);
        while self.lag_told > 0 && eighths < 2 * self.lag_told - 1 {
            self.lag_told -= 1;
        }
    }
}

impl Lane {
    fn new(spec: &StreamSpec, channel: i32, participant: String) -> Self {
        Self {
            channel,
            template: MediaTemplate::new(&spec.stream_id, channel, &participant),
            participant,
            dropped: GapTracker::new(spec.sample_rate),
        }
    }
}

/// Takes what the tap tells at one instant.
pub struct Intake<'a> {
    composer: &'a mut Composer,
    now: Nanos,
    /// Indices of channels whose audio can't be decoded.
    pub unsupported: Vec<usize>,
}

impl TapSink for Intake<'_> {
    fn media(&mut self, frame: Frame<'_>) {
        self.composer.push_media(&frame, self.now);
    }

    fn gap(&mut self, channel: i32, gap: Gap) {
        self.composer.tell_side_gap(channel, gap, self.now);
    }

    fn dropped(&mut self, channel: i32, samples: u64) {
        let lane = self.composer.lane_of(channel);
        self.composer.ledger.dropped(lane, samples);
    }

    fn unsupported(&mut self, index: usize) {
        self.unsupported.push(index);
    }
}

/// Two decimals are enough for anybody's eyes.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::spec::tests::spec;

    const FRAME: Nanos = 20 * MILLISECOND;

    /// Tells the composer one frame of channel 0.
    fn media(composer: &mut Composer, chunk: u64) {
        let frame = Frame {
            channel: 0,
            participant: "caller",
            chunk,
            timestamp: (chunk - 1) * 160,
            payload: &[0xFF; 160],
            samples: 160,
            silence_samples: 0,
        };
        composer.at(chunk * FRAME).media(frame);
    }

    /// Takes so many messages to the network and gives their texts.
    fn send(composer: &mut Composer, count: usize, now: Nanos) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(entry) = composer.outbox.next().filter(|_| texts.len() < count) {
            let mut out = Vec::new();
            composer.write(entry, &mut out);
            assert!(out.len() <= composer.length_bound(entry));
            texts.push(String::from_utf8(out).unwrap());
            composer.outbox.take_off();
        }
        composer.landed(texts.len(), now);
        texts
    }

    fn one_channel(queue_ms: u32) -> Composer {
        let mut spec = spec();
        spec.channels.truncate(1);
        spec.queue_ms = queue_ms;
        let mut composer = Composer::new(spec);
        composer.connected(b"{}".to_vec(), b"{}".to_vec(), 0);
        send(&mut composer, 2, 0);
        composer
    }

    #[test]
    fn overflow_is_told_when_audio_behind_it_is_sent() {
        let mut composer = one_channel(160);
        for chunk in 1..=12 {
            media(&mut composer, chunk);
        }
        let texts = send(&mut composer, 100, 15 * FRAME);
        assert!(
            texts.iter().all(|text| !text.contains("media.gap")),
            "{texts:?}"
        );
        let texts = send(&mut composer, 100, 15 * FRAME);
        let [gap] = texts.try_into().unwrap();
        let number = 3 + 12 + 3;
        assert_eq!(
            gap,
            format!(
                r#"{{"event":"metadata","sequenceNumber":{number},"streamId":"0192","metadata":{{"type":"media.gap","at":"2023-11-14T22:13:20.300Z","timestamp":2400,"participantId":"caller","data":{{"channel":0,"fromTimestamp":0,"samples":640,"cause":"overflow"}}}}}}"#
            )
        );
        assert_eq!(composer.ledger.dropped_samples(), 640);
        assert_eq!(composer.ledger.gap_samples()["overflow"], 640);
    }

    #[test]
    fn lag_is_told_at_quarters_and_again_only_after_relief() {
        let mut composer = one_channel(800);
        let lags = |texts: &[String]| {
            texts
                .iter()
                .filter(|text| text.contains("stream.lag"))
                .count()
        };
        for chunk in 1..=19 {
            media(&mut composer, chunk);
        }
        assert_eq!(composer.queued_ms(), 380);
        let mut told = lags(&send(&mut composer, 12, 0));
        // It hovers around a quarter of the bound, in steps of less than half a quarter.
        for chunk in 20..=120 {
            media(&mut composer, chunk);
            told += lags(&send(&mut composer, 1 + chunk as usize % 2, 0));
        }
        told += lags(&send(&mut composer, 1000, 0));
        assert!((1..=3).contains(&told), "{told}");
        for chunk in 121..=135 {
            media(&mut composer, chunk);
        }
        assert_eq!(lags(&send(&mut composer, 1000, 0)), 1);
    }

    #[test]
    fn a_frame_dropped_without_a_connection_is_no_fault_of_the_endpoint() {
        let mut composer = one_channel(160);
        composer.disconnected();
        for chunk in 1..=9 {
            media(&mut composer, chunk);
        }
        assert!(composer.end_all_drops(0));
        assert!(!composer.end_all_drops(0));
        assert_eq!(
            composer
                .ledger
                .gap_samples()
                .into_keys()
                .collect::<Vec<_>>(),
            ["reconnect"]
        );
    }
}
