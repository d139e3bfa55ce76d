//! The tap of a stream: any packets in any order keep its clock and its accounts.
use arbitrary::{Result, Unstructured};
use media::clock::{Nanos, MILLISECOND};
use media::codec::Encoding;
use media::tap::{
    Cause, ChannelSpec, Frame, Gap, Layout, StreamSpec, StreamTap, TapCodec, TapPacket, TapSink,
};

/// Steps of one run, and the time that it may take: what a silence of hours makes is only more of the same.
const STEPS_MAX: usize = 300;
const TIME_MAX: Nanos = 10_000 * MILLISECOND;
/// Each tick at one instant lets go at least one of the packets held, of which there are 128 at most on each side.
const TICKS_AT_ONCE_MAX: u32 = 300;

/// A shape, then packets, ticks, holds and pauses.
pub fn tap(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(spec) = spec(&mut input) else { return };
    let Ok(tap) = StreamTap::new(spec.clone(), 0) else {
        return;
    };
    let mut bench = Bench {
        tap,
        told: Told::new(&spec),
        now: 0,
        paused: false,
        resumed: 0,
        sources: [Source::default(); 2],
    };
    // The input ends where it ends.
    let _ = bench.run(&mut input);
    bench.tap.flush(bench.now, &mut bench.told);
    bench.told.check(&spec, &bench.tap, bench.now);
}

fn spec(input: &mut Unstructured<'_>) -> Result<StreamSpec> {
    let channels = ["caller", "callee"].iter().zip(0..);
    let channels = channels.map(|(name, channel)| ChannelSpec {
        channel,
        participant: (*name).to_owned(),
    });
    let count = input.int_in_range(1..=2_usize)?;
    Ok(StreamSpec {
        encoding: *input.choose(&[Encoding::Pcmu, Encoding::Pcma, Encoding::L16])?,
        sample_rate: *input.choose(&[8_000, 16_000, 24_000, 48_000])?,
        frame_ms: *input.choose(&[20, 10, 30, 5, 60, 200])?,
        layout: *input.choose(&[Layout::Separate, Layout::Interleaved, Layout::Mixed])?,
        jitter_window_ms: *input.choose(&[60, 0, 20, 1_000])?,
        channels: channels.take(count).collect(),
    })
}

/// Where a sender's numbers are, so that many packets are near the ones before.
#[derive(Debug, Clone, Copy, Default)]
struct Source {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

struct Bench {
    tap: StreamTap,
    told: Told,
    now: Nanos,
    paused: bool,
    /// When media last went on.
    resumed: Nanos,
    sources: [Source; 2],
}

impl Bench {
    fn run(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..STEPS_MAX {
            if input.is_empty() || self.now > TIME_MAX {
                break;
            }
            let index = usize::from(input.arbitrary::<bool>()?);
            match input.int_in_range(0..=15_u8)? {
                0 => self.wait(u64::from(input.arbitrary::<u16>()?) / 8),
                1..=3 => self.wait(u64::from(input.arbitrary::<u8>()? % 64)),
                4 => self.tap.set_held(index, input.arbitrary()?),
                5 => self.pause(input.arbitrary()?),
                6 => self.sources[index].ssrc = input.int_in_range(0..=2)?,
                7 => self.sources[index].sequence = input.arbitrary()?,
                8 => self.sources[index].timestamp = input.arbitrary()?,
                _ => self.packet(index, input)?,
            }
        }
        Ok(())
    }

    /// Lets time pass; the tap is ticked when it wants to be, which is seldom more than once at an instant.
    fn wait(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds * MILLISECOND;
        let mut again = 0;
        while self.tap.next_due() <= until {
            again = if self.tap.next_due() > self.now {
                0
            } else {
                again + 1
            };
            assert!(again < TICKS_AT_ONCE_MAX, "at {} without end", self.now);
            self.now = self.tap.next_due().max(self.now);
            self.tap.tick(self.now, &mut self.told);
        }
        self.now = until;
        if !self.paused {
            self.told.check_lag(&self.tap, self.now, self.resumed);
        }
    }

    fn pause(&mut self, on: bool) {
        self.tap.pause(on, self.now, &mut self.told);
        if self.paused && !on {
            self.resumed = self.now;
        }
        self.paused = on;
    }

    fn packet(&mut self, index: usize, input: &mut Unstructured<'_>) -> Result<()> {
        let names: [(&str, u32); 8] = [
            ("PCMU", 8_000),
            ("PCMA", 8_000),
            ("L16", 16_000),
            ("L16", 44_100),
            ("G722", 8_000),
            ("opus", 48_000),
            ("telephone-event", 8_000),
            ("CN", 8_000),
        ];
        let (name, rate) = names[usize::from(input.arbitrary::<u8>()?) % names.len()];
        let codec = TapCodec::from_sdp(name, rate, 1 + u8::from(input.ratio(1_u8, 8_u8)?));
        let source = &mut self.sources[index];
        source.sequence =
            source
                .sequence
                .wrapping_add(*input.choose(&[1, 1, 1, 2, 0, u16::MAX, 5])?);
        let payload = self_made(codec, input)?;
        let packet = TapPacket {
            codec,
            ssrc: source.ssrc,
            sequence: source.sequence,
            timestamp: source.timestamp,
            payload: &payload,
        };
        source.timestamp = source
            .timestamp
            .wrapping_add(*input.choose(&[160, 160, 240, 80, 0, 320])?);
        self.tap.on_rtp(index, &packet, self.now, &mut self.told);
        self.tap
            .position_of(index, source.ssrc, source.timestamp, self.now);
        Ok(())
    }
}

/// Audio of some length, or an event's block.
fn self_made(codec: TapCodec, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if matches!(codec, TapCodec::Event { .. }) {
        return Ok(input.arbitrary::<[u8; 4]>()?.to_vec());
    }
    let length = *input.choose(&[160_usize, 320, 80, 240, 0, 1, 33, 1_400, 8_192])?;
    Ok(vec![input.arbitrary()?; length])
}

/// What was told of one channel.
#[derive(Debug, Clone, Default)]
struct Lane {
    chunks: u64,
    samples: u64,
    silence: u64,
    /// Samples left out, which are told in gaps and take no place.
    dropped: u64,
    /// Samples of all gaps.
    gaps: u64,
    /// Where the last frame ends, and the last gap that takes a place.
    end: u64,
    gap_end: u64,
}

#[derive(Debug)]
struct Told {
    frame: u64,
    frame_ms: u64,
    payload_bytes: usize,
    lanes: [Lane; 2],
}

impl Told {
    fn new(spec: &StreamSpec) -> Self {
        let sides = if spec.layout == Layout::Interleaved {
            2
        } else {
            1
        };
        Self {
            frame: spec.frame_samples(),
            frame_ms: u64::from(spec.frame_ms),
            payload_bytes: sides * spec.frame_samples() as usize * spec.encoding.sample_size(),
            lanes: [Lane::default(), Lane::default()],
        }
    }

    /// Channels never part from the wall clock by more than 100 ms and a frame (protocol section 3) when the tap is
    /// ticked at its time; a frame that is not yet full can't be told.
    fn check_lag(&self, tap: &StreamTap, now: Nanos, since: Nanos) {
        const LAG_MS: u64 = 100;
        let spec = tap.spec();
        let allowed_ms = LAG_MS + 2 * self.frame_ms;
        if now < since + allowed_ms * MILLISECOND {
            return;
        }
        let allowed = allowed_ms * u64::from(spec.sample_rate) / 1000;
        let lanes = match spec.layout {
            Layout::Separate => spec.channels.len(),
            Layout::Interleaved | Layout::Mixed => 1,
        };
        for lane in &self.lanes[..lanes] {
            let behind = tap.position_at(now).saturating_sub(lane.end);
            assert!(
                behind <= allowed,
                "{behind} samples behind, {allowed} allowed, {spec:?}"
            );
        }
    }

    fn check(&self, spec: &StreamSpec, tap: &StreamTap, now: Nanos) {
        let here = tap.position_at(now);
        let whole = here - here % self.frame;
        if spec.layout != Layout::Separate {
            assert!(self.lanes[0].end.max(self.lanes[0].gap_end) >= whole);
            return;
        }
        let lanes = &self.lanes[..spec.channels.len()];
        for lane in lanes {
            assert_eq!(lane.samples, lane.chunks * self.frame);
            // What the gaps tell of is silence in a frame, was left out, or is the hole of a pause between frames; so
            // each sample of the clock is in a frame or in a hole, once.
            let hole = lane.gaps - lane.silence - lane.dropped;
            assert_eq!(lane.samples + hole, lane.end.max(lane.gap_end));
            assert!(lane.samples + hole >= whole);
        }
        if let [one, other] = lanes {
            assert_eq!(one.end.max(one.gap_end), other.end.max(other.gap_end));
            assert_eq!(one.chunks, other.chunks);
        }
    }
}

impl TapSink for Told {
    fn media(&mut self, frame: Frame<'_>) {
        let lane = &mut self.lanes[frame.channel.max(0) as usize];
        lane.chunks += 1;
        assert_eq!(frame.chunk, lane.chunks);
        assert_eq!(u64::from(frame.samples), self.frame);
        assert_eq!(frame.payload.len(), self.payload_bytes);
        assert!(frame.silence_samples <= frame.samples);
        assert!(frame.timestamp >= lane.end && frame.timestamp % self.frame == 0);
        lane.samples += u64::from(frame.samples);
        lane.silence += u64::from(frame.silence_samples);
        lane.end = frame.timestamp + u64::from(frame.samples);
    }

    fn gap(&mut self, channel: i32, gap: Gap) {
        let lane = &mut self.lanes[channel as usize];
        assert!(gap.samples > 0);
        lane.gaps += gap.samples;
        // Audio that was left out takes no place.
        if gap.cause != Cause::Drift {
            assert!(gap.from >= lane.gap_end, "gaps are told in order");
            lane.gap_end = gap.from + gap.samples;
        }
    }

    fn dropped(&mut self, channel: i32, samples: u64) {
        assert!(samples > 0);
        self.lanes[channel as usize].dropped += samples;
    }

    fn unsupported(&mut self, index: usize) {
        assert!(index < 2);
    }
}
