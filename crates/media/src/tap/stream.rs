//! The tap of one stream: packets of a call's sides go in, the stream's frames come out, on one clock.
//!
//! Pure: it does no I/O and reads no clock. After a packet the worker may let frames out at once; besides,
//! it calls [`StreamTap::tick`] whenever [`StreamTap::next_due`] has come (a sweep every few milliseconds
//! does as well).
use super::join::{common_silence, silence_of, Joiner};
use super::packet::{Packet, Shape};
use super::spec::{
    ChannelCounters, Frame, Layout, StreamSpec, TapCodec, TapPacket, TapSink, NEVER,
};
use super::timeline::{Timeline, MAX_LAG};
use super::track::{Track, TrackShape};
use crate::clock::{Nanos, MILLISECOND};
use crate::error::Result;
use crate::prefetch::prefetch;

/// A call has two sides.
const MAX_CHANNELS: usize = 2;

#[derive(Debug)]
struct Channel {
    timeline: Timeline,
    track: Track,
    chunks: u64,
    unsupported: bool,
}

/// See the module.
#[derive(Debug)]
pub struct StreamTap {
    spec: StreamSpec,
    channels: Vec<Channel>,
    /// When each channel's timeline has something to do.
    dues: [Nanos; MAX_CHANNELS],
    joiner: Joiner,
    joined_chunks: u64,
    paused: bool,
    flushed: bool,
}

impl StreamTap {
    /// A tap whose sample 0 is at `start`. Refuses a shape that no stream can have.
    pub fn new(spec: StreamSpec, start: Nanos) -> Result<Self> {
        spec.validate()?;
        let shape = Shape {
            rate: spec.sample_rate,
            frame: spec.frame_samples(),
            window: Nanos::from(spec.jitter_window_ms) * MILLISECOND,
            start,
        };
        let track = TrackShape {
            encoding: spec.encoding,
            rate: spec.sample_rate,
            frame: shape.frame as usize,
        };
        let channel = |_| Channel {
            timeline: Timeline::new(shape),
            track: Track::new(track),
            chunks: 0,
            unsupported: false,
        };
        let channels: Vec<Channel> = spec.channels.iter().map(channel).collect();
        let joiner = Joiner::default();
        let mut tap = Self {
            spec,
            channels,
            dues: [NEVER; MAX_CHANNELS],
            joiner,
            joined_chunks: 0,
            paused: false,
            flushed: false,
        };
        tap.note_dues();
        Ok(tap)
    }

    fn note_dues(&mut self) {
        for (due, channel) in self.dues.iter_mut().zip(&self.channels) {
            *due = channel.timeline.due();
        }
    }

    /// The stream's shape.
    pub const fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// Asks for the memory of the side of this index.
    pub fn prefetch(&self, index: usize) {
        if let Some(channel) = self.channels.get(index) {
            prefetch(channel);
        }
    }

    /// Asks for the memory of all sides.
    pub fn prefetch_all(&self) {
        self.channels.iter().for_each(prefetch);
    }

    /// Takes one packet of the side of this index.
    pub fn on_rtp(
        &mut self,
        index: usize,
        packet: &TapPacket<'_>,
        now: Nanos,
        sink: &mut impl TapSink,
    ) {
        let Some(channel) = self.channels.get_mut(index) else {
            return;
        };
        if self.flushed {
            return;
        }
        match packet.codec {
            TapCodec::Unsupported { .. } if !channel.unsupported => {
                channel.unsupported = true;
                sink.unsupported(index);
            }
            TapCodec::Audio(_) => channel.unsupported = false,
            _ => {}
        }
        channel
            .timeline
            .push(&Packet::from(packet), now, &mut channel.track);
        if let Some(due) = self.dues.get_mut(index) {
            *due = channel.timeline.due();
        }
        if self.spec.layout == Layout::Separate {
            // The other channel is not touched: its memory is far away.
            self.deliver_channel(index, sink);
        } else {
            self.deliver(sink);
        }
    }

    /// Says whether the participant of this index holds the call: silence is then of that cause.
    pub fn set_held(&mut self, index: usize, held: bool) {
        if let Some(channel) = self.channels.get_mut(index) {
            channel.timeline.set_hold(held);
        }
    }

    /// Stops the media of all channels at one frame boundary, or goes on with the frame that the wall clock
    /// is in. The clock runs on; the hole is a gap of cause `paused`.
    pub fn pause(&mut self, on: bool, now: Nanos, sink: &mut impl TapSink) {
        if on == self.paused || self.flushed {
            return;
        }
        if on {
            let target = self.longest();
            for channel in &mut self.channels {
                channel.timeline.pause(target, &mut channel.track);
            }
        } else {
            let target = self.longest().max(self.frame_begin(now));
            for channel in &mut self.channels {
                channel.timeline.resume(target, &mut channel.track);
            }
        }
        self.paused = on;
        self.deliver(sink);
    }

    /// Lets out what has waited long enough, and fills channels that have been silent for too long.
    pub fn tick(&mut self, now: Nanos, sink: &mut impl TapSink) {
        if self.flushed {
            return;
        }
        let paused_until = self.frame_begin(now);
        for channel in &mut self.channels {
            channel.timeline.release(now, &mut channel.track);
            if self.paused {
                channel.timeline.skip(paused_until, &mut channel.track);
            } else {
                let target = channel.timeline.position_at(now.saturating_sub(MAX_LAG));
                channel.timeline.fill_until(target, &mut channel.track);
            }
        }
        self.deliver(sink);
    }

    /// Ends the stream: tells all that is held, completes the last frame, and brings all channels to the
    /// same end, not before the frame that the wall clock is in. Nothing is told afterwards.
    pub fn flush(&mut self, now: Nanos, sink: &mut impl TapSink) {
        if self.flushed {
            return;
        }
        for channel in &mut self.channels {
            channel.timeline.flush(now, &mut channel.track);
        }
        let target = self.longest().max(self.frame_begin(now));
        for channel in &mut self.channels {
            channel.timeline.skip(target, &mut channel.track);
            channel.timeline.complete(target, &mut channel.track);
            channel.track.end_gap();
        }
        self.flushed = true;
        self.deliver(sink);
    }

    /// When [`StreamTap::tick`] has something to do next.
    pub fn next_due(&self) -> Nanos {
        if self.flushed {
            return NEVER;
        }
        self.dues.into_iter().min().unwrap_or(NEVER)
    }

    /// The stream's position at a time, in samples since its start.
    pub fn position_at(&self, now: Nanos) -> u64 {
        self.channels
            .first()
            .map_or(0, |channel| channel.timeline.position_at(now))
    }

    /// The stream's position of a side's RTP timestamp, as of a key press; the wall clock's when its source
    /// is not the one now heard.
    pub fn position_of(&self, index: usize, ssrc: u32, timestamp: u32, now: Nanos) -> u64 {
        let channel = self.channels.get(index);
        channel.map_or(0, |channel| {
            channel.timeline.position_of(ssrc, timestamp, now)
        })
    }

    /// What went wrong on the way in, for the side of this index.
    pub fn counters(&self, index: usize) -> ChannelCounters {
        self.channels
            .get(index)
            .map_or_else(ChannelCounters::default, |channel| {
                let counters = channel.timeline.counters();
                ChannelCounters {
                    late: counters.late,
                    duplicate: counters.duplicate,
                }
            })
    }

    /// The first frame boundary that no channel has gone beyond.
    fn longest(&self) -> u64 {
        let frame = self.spec.frame_samples();
        let ends = self
            .channels
            .iter()
            .map(|channel| channel.timeline.cursor());
        ends.max().unwrap_or(0).div_ceil(frame) * frame
    }

    /// Where the frame begins that the wall clock is in.
    fn frame_begin(&self, now: Nanos) -> u64 {
        let here = self.position_at(now);
        here - here % self.spec.frame_samples()
    }

    fn deliver(&mut self, sink: &mut impl TapSink) {
        self.note_dues();
        match (self.spec.layout, self.channels.as_mut_slice()) {
            (Layout::Separate, _) => self.deliver_separate(sink),
            (layout, [first, second]) => {
                while first.track.has_frame() && second.track.has_frame() {
                    self.joined_chunks += 1;
                    let (one, other) = (&first.track, &second.track);
                    let silence = common_silence(one, other);
                    let frame = joined_frame(&self.spec, one, self.joined_chunks, silence);
                    let payload = match layout {
                        Layout::Mixed => self.joiner.mix(self.spec.encoding, one, other),
                        _ => self.joiner.interleave(self.spec.encoding, one, other),
                    };
                    sink.media(Frame { payload, ..frame });
                    first.track.advance();
                    second.track.advance();
                }
            }
            (_, channels) => {
                for track in channels.iter_mut().map(|channel| &mut channel.track) {
                    while track.has_frame() {
                        self.joined_chunks += 1;
                        let silence = silence_of(track);
                        let frame = joined_frame(&self.spec, track, self.joined_chunks, silence);
                        sink.media(Frame {
                            payload: track.frame(),
                            ..frame
                        });
                        track.advance();
                    }
                }
            }
        }
        self.deliver_gaps(sink);
    }

    /// The earliest frame goes first, so that channels which have much to tell at once do not part.
    fn deliver_separate(&mut self, sink: &mut impl TapSink) {
        loop {
            let ready = self.channels.iter().enumerate();
            let ready = ready.filter(|(_, channel)| channel.track.has_frame());
            let Some((index, _)) = ready.min_by_key(|(_, channel)| channel.track.front()) else {
                return;
            };
            self.deliver_frame(index, sink);
        }
    }

    /// The same where only one channel can have frames.
    fn deliver_channel(&mut self, index: usize, sink: &mut impl TapSink) {
        let has_frame = |tap: &Self| {
            tap.channels
                .get(index)
                .is_some_and(|channel| channel.track.has_frame())
        };
        while has_frame(self) {
            self.deliver_frame(index, sink);
        }
        self.deliver_gaps_of(index, sink);
    }

    fn deliver_frame(&mut self, index: usize, sink: &mut impl TapSink) {
        let (Some(channel), Some(spec)) =
            (self.channels.get_mut(index), self.spec.channels.get(index))
        else {
            return;
        };
        channel.chunks += 1;
        sink.media(Frame {
            channel: spec.channel,
            participant: &spec.participant,
            chunk: channel.chunks,
            timestamp: channel.track.front(),
            payload: channel.track.frame(),
            samples: self.spec.frame_samples() as u32,
            silence_samples: silence_of(&channel.track),
        });
        channel.track.advance();
    }

    fn deliver_gaps(&mut self, sink: &mut impl TapSink) {
        for index in 0..self.channels.len() {
            self.deliver_gaps_of(index, sink);
        }
    }

    fn deliver_gaps_of(&mut self, index: usize, sink: &mut impl TapSink) {
        let (Some(channel), Some(spec)) =
            (self.channels.get_mut(index), self.spec.channels.get(index))
        else {
            return;
        };
        let dropped = channel.track.take_dropped();
        if dropped > 0 {
            sink.dropped(spec.channel, dropped);
        }
        channel
            .track
            .take_gaps()
            .for_each(|gap| sink.gap(spec.channel, gap));
    }
}

fn joined_frame<'a>(spec: &StreamSpec, track: &Track, chunk: u64, silence: u32) -> Frame<'a> {
    let (channel, participant) = match spec.layout {
        Layout::Mixed => (0, "mixed"),
        Layout::Interleaved | Layout::Separate => (-1, ""),
    };
    Frame {
        channel,
        participant,
        chunk,
        timestamp: track.front(),
        payload: &[],
        samples: spec.frame_samples() as u32,
        silence_samples: silence,
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
