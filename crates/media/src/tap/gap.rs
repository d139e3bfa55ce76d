//! Gaps: stretches of a channel's clock that carry no audio of the participant, and why.

/// Why a stretch carries no audio of the participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Packets were lost.
    Loss,
    /// The participant sent nothing, or a key press took its place.
    Silence,
    /// The participant holds the call.
    Hold,
    /// The stream was paused.
    Paused,
    /// A frame inserted or dropped to follow the sender's clock.
    Drift,
    /// Dropped because the endpoint read too slowly.
    Overflow,
    /// Dropped because no connection came back in time.
    Reconnect,
}

impl Cause {
    /// The name in `media.gap`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Silence => "silence",
            Self::Hold => "hold",
            Self::Paused => "paused",
            Self::Drift => "drift",
            Self::Overflow => "overflow",
            Self::Reconnect => "reconnect",
        }
    }
}

/// One report about a gap. The reports of one gap are disjoint: together they cover it exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First sample of the stretch on the channel's clock.
    pub from: u64,
    /// Its length in samples.
    pub samples: u64,
    /// Why.
    pub cause: Cause,
    /// Whether the gap ends here, or goes on and another report follows.
    pub ended: bool,
}

/// Joins adjacent stretches into gaps, reported at their end and each second of them.
///
/// A gap of cause `reconnect` is reported at its end only: without a connection nobody could hear its parts sooner.
#[derive(Debug, Clone)]
pub struct GapTracker {
    second: u64,
    open: Option<Gap>,
}

impl GapTracker {
    /// A tracker for a channel of `rate` samples a second.
    pub fn new(rate: u32) -> Self {
        Self {
            second: u64::from(rate.max(1)),
            open: None,
        }
    }

    /// Accounts for a stretch and returns reports now due through `report`.
    pub fn extend(&mut self, from: u64, samples: u64, cause: Cause, report: &mut impl FnMut(Gap)) {
        match &mut self.open {
            Some(gap) if gap.cause == cause && gap.from + gap.samples == from => {
                gap.samples += samples;
            }
            _ => {
                self.end(report);
                self.open = Some(Gap {
                    from,
                    samples,
                    cause,
                    ended: true,
                });
            }
        }
        let Some(gap) = &mut self.open else { return };
        // Strictly more than a second: the last report of a gap then always has something to say.
        while gap.cause != Cause::Reconnect && gap.samples > self.second {
            report(Gap {
                samples: self.second,
                ended: false,
                ..*gap
            });
            gap.from += self.second;
            gap.samples -= self.second;
        }
    }

    /// Joins a stretch to the open gap that it goes before; whether it does.
    pub fn prepend(&mut self, from: u64, samples: u64, cause: Cause) -> bool {
        match &mut self.open {
            Some(gap) if gap.cause == cause && from + samples == gap.from => {
                gap.from = from;
                gap.samples += samples;
                true
            }
            _ => false,
        }
    }

    /// Ends the open gap, as audio does.
    pub fn end(&mut self, report: &mut impl FnMut(Gap)) {
        if let Some(gap) = self.open.take() {
            report(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from: u64, samples: u64, cause: Cause, ended: bool) -> Gap {
        Gap {
            from,
            samples,
            cause,
            ended,
        }
    }

    #[test]
    fn adjacent_stretches_of_one_cause_are_one_gap() {
        let (mut tracker, mut seen) = (GapTracker::new(8000), Vec::new());
        tracker.extend(0, 160, Cause::Silence, &mut |gap| seen.push(gap));
        tracker.extend(160, 160, Cause::Silence, &mut |gap| seen.push(gap));
        assert_eq!(seen, []);
        tracker.extend(320, 160, Cause::Loss, &mut |gap| seen.push(gap));
        tracker.end(&mut |gap| seen.push(gap));
        tracker.end(&mut |gap| seen.push(gap));
        assert_eq!(
            seen,
            [
                gap(0, 320, Cause::Silence, true),
                gap(320, 160, Cause::Loss, true)
            ]
        );
    }

    #[test]
    fn a_gap_of_reconnection_is_one_report_however_long() {
        let (mut tracker, mut seen) = (GapTracker::new(8000), Vec::new());
        for frame in 10..310 {
            tracker.extend(frame * 160, 160, Cause::Reconnect, &mut |gap| {
                seen.push(gap);
            });
        }
        assert_eq!(seen, []);
        assert!(tracker.prepend(0, 1600, Cause::Reconnect));
        assert!(!tracker.prepend(0, 1600, Cause::Reconnect));
        assert!(!tracker.prepend(0, 0, Cause::Overflow));
        tracker.end(&mut |gap| seen.push(gap));
        assert_eq!(seen, [gap(0, 310 * 160, Cause::Reconnect, true)]);
    }

    #[test]
    fn a_long_gap_is_reported_each_second_and_covered_once() {
        let (mut tracker, mut seen) = (GapTracker::new(8000), Vec::new());
        for frame in 0..150 {
            tracker.extend(frame * 160, 160, Cause::Hold, &mut |gap| seen.push(gap));
        }
        tracker.end(&mut |gap| seen.push(gap));
        let ends: Vec<_> = seen
            .iter()
            .map(|gap| (gap.from, gap.samples, gap.ended))
            .collect();
        assert_eq!(
            ends,
            [(0, 8000, false), (8000, 8000, false), (16_000, 8000, true)]
        );
    }
}
