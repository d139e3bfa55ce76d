"""Is the audio that arrived the audio that was sent? Compared byte for byte, never by ear. Pure.

What was sent is frames at the sender's RTP timestamps; what arrived is frames at positions of its own clock.
One offset maps the one to the other: it is found once, from the audio itself, and then every byte must fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PROBES = 50
"""Frames that are searched for to find the offset."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Encoded audio at a position in samples, one byte each; `at` is when it was sent or came, in s."""

    position: int
    payload: bytes
    at: float = 0.0

    @property
    def end(self) -> int:
        """Position behind the last sample."""
        return self.position + len(self.payload)


@dataclass(frozen=True, slots=True)
class Span:
    """Samples from `begin` to before `end`."""

    begin: int
    end: int

    @property
    def samples(self) -> int:
        """Its length."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found; positions are those of what arrived.

    Attributes:
        offset: what is to be added to a sender's timestamp to get the position; None when no frame was found.
        sent_samples: audio that was sent.
        matched_samples: audio that arrived bit for bit at its place.
        differing: frames that did not, as spans.
        silent: spans of silence where nothing was sent.
        strange: spans that are not silent although nothing was sent.
        delays: of each matched frame that carries both instants: when it was sent, and the ms until it came.
    """

    offset: int | None
    sent_samples: int
    matched_samples: int
    differing: tuple[Span, ...]
    silent: tuple[Span, ...]
    strange: tuple[Span, ...]
    delays: tuple[tuple[float, float], ...]

    @property
    def latencies_ms(self) -> tuple[float, ...]:
        """From sending to arrival."""
        return tuple(delay for _, delay in self.delays)

    @property
    def equal(self) -> bool:
        """Whether all that was sent arrived at its place, and nothing else did."""
        return (
            self.sent_samples > 0
            and self.matched_samples == self.sent_samples
            and not self.differing
            and not self.strange
        )

    @property
    def why(self) -> str:
        """One line that explains the result."""
        if self.equal:
            silence = sum(span.samples for span in self.silent)
            agreeing = f"{self.matched_samples:,} of {self.sent_samples:,} samples agree"
            return f"{agreeing}; {silence:,} of silence around"
        if self.sent_samples == 0:
            return "nothing was sent"
        if self.offset is None:
            return "none of the audio that was sent was found in what arrived"
        if self.differing:
            wrong = self.sent_samples - self.matched_samples
            return (
                f"{wrong:,} of {self.sent_samples:,} samples differ, the first at {self.differing[0].begin:,}"
            )
        wrong = sum(span.samples for span in self.strange)
        return f"{wrong:,} samples are neither silence nor sent, the first at {self.strange[0].begin:,}"


def lay_out(frames: Iterable[Frame], silence: int) -> bytes:
    """Put frames at their positions from 0 on; what no frame covers is silence, a later frame wins."""
    audio = bytearray()
    for frame in frames:
        begin = max(frame.position, 0)
        if begin > len(audio):
            audio.extend(bytes((silence,)) * (begin - len(audio)))
        audio[begin : begin + len(frame.payload)] = frame.payload
    return bytes(audio)


def find_offset(sent: Sequence[Frame], arrived: bytes) -> int | None:
    """Return the offset that most of the sent frames agree on; None when none of them is found."""
    votes: Counter[int] = Counter()
    step = max(len(sent) // PROBES, 1)
    for frame in sent[::step]:
        if len(set(frame.payload)) > 1:  # A frame of one value would be found anywhere in a silence.
            found = arrived.find(frame.payload)
            if found >= 0:
                votes[found - frame.position] += 1
    return votes.most_common(1)[0][0] if votes else None


def compare(sent: Sequence[Frame], arrived: Sequence[Frame], silence: int) -> Comparison:
    """Compare what was sent with what arrived.

    Args:
        sent: at the sender's timestamps, in order.
        arrived: at positions of another clock.
        silence: the code of a silent sample.
    """
    audio = lay_out(arrived, silence)
    offset = find_offset(sent, audio)
    total = sum(len(frame.payload) for frame in sent)
    if offset is None:
        return Comparison(None, total, 0, (), (), (), ())
    matched = 0
    differing: list[Span] = []
    arrivals = {frame.position: frame for frame in arrived}
    delays: list[tuple[float, float]] = []
    for frame in sent:
        begin = frame.position + offset
        if begin >= 0 and audio[begin : begin + len(frame.payload)] == frame.payload:
            matched += len(frame.payload)
            delays += _delay(frame, arrivals.get(begin))
        else:
            differing.append(Span(begin, begin + len(frame.payload)))
    silent, strange = _outside(sent, offset, audio, silence)
    return Comparison(offset, total, matched, join(differing), join(silent), join(strange), tuple(delays))


def _delay(sent: Frame, arrived: Frame | None) -> list[tuple[float, float]]:
    if arrived is None or not sent.at or not arrived.at:
        return []
    return [(sent.at, (arrived.at - sent.at) * 1_000)]


def _outside(sent: Sequence[Frame], offset: int, audio: bytes, silence: int) -> tuple[list[Span], list[Span]]:
    """Return the silent and the other spans that no sent frame covers."""
    silent: list[Span] = []
    strange: list[Span] = []
    cursor = 0
    edges = [(frame.position + offset, frame.end + offset) for frame in sent]
    for begin, end in [*sorted(edges), (len(audio), len(audio))]:
        gap = audio[cursor : max(begin, cursor)]
        if gap:
            quiet = gap.count(silence) == len(gap)
            (silent if quiet else strange).append(Span(cursor, cursor + len(gap)))
        cursor = max(cursor, end)
    return silent, strange


def join(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Join spans that touch."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1].end == span.begin:
            joined[-1] = Span(joined[-1].begin, span.end)
        else:
            joined.append(span)
    return tuple(joined)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
