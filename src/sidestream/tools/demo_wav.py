"""Do the WAV files that a witness wrote hold what was said? Asked of every sample, silence included."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidestream.tools import g711, wav
from sidestream.tools.demo_evidence import Check, Lane
from sidestream.tools.g711 import Law
from sidestream.tools.rtp import CLOCK_RATE


@dataclass(frozen=True, slots=True)
class StoredLane:
    """A lane as it lies in a file.

    Attributes:
        lane: what was sent, and where it lies on the clock of the witness.
        file: the file; None when there is none.
        channel: the channel in it, from 0.
        shift: the place of the file's first sample on the clock of the witness.
    """

    lane: Lane
    file: Path | None
    channel: int = 0
    shift: int = 0


def check_wav(question: str, law: Law, stored: Sequence[StoredLane]) -> Check:
    """Ask whether each file is, from its first sample to its last, what was said and silence elsewhere."""
    agreeing = total = 0
    faults: list[str] = []
    for each in stored:
        total += each.lane.comparison.sent_samples
        try:
            samples = _channel(each)
        except wav.WavError as error:
            faults.append(str(error))
            continue
        count, fault = _judge(law, each, samples)
        agreeing += count
        faults += [fault] if fault else []
    told = f"{agreeing:,} of {total:,} samples of speech at their places, silence everywhere else"
    good = not faults and agreeing == total > 0
    return Check(question, good, told if good else "; ".join(faults) or "nothing was sent")


def _channel(stored: StoredLane) -> array[int]:
    if stored.file is None:
        raise wav.WavError(f"{stored.lane.title}: there is no file")
    content = wav.read(stored.file)
    if content.sample_rate != CLOCK_RATE or stored.channel >= len(content.channels):
        raise wav.WavError(f"{stored.file.name} has not the channels or the sample rate of the call")
    return content.channels[stored.channel]


def _judge(law: Law, stored: StoredLane, samples: array[int]) -> tuple[int, str]:
    """Return how many samples of speech lie at their places, and in words what differs; empty for nothing."""
    lane, name = stored.lane, stored.file.name if stored.file is not None else ""
    if lane.comparison.offset is None:
        return 0, f"{name}: nothing says where {lane.title} begins"
    expected = g711.decode(law, bytes((g711.SILENCE[law],))) * len(samples)
    agreeing, outside = 0, 0
    for frame in lane.sent:
        begin = frame.position + lane.comparison.offset - stored.shift
        said = g711.decode(law, frame.payload)
        if begin < 0 or begin + len(said) > len(samples):
            outside += len(said)
            continue
        expected[begin : begin + len(said)] = said
        agreeing += sum(map(operator.eq, said, samples[begin : begin + len(said)]))
    if outside:
        return agreeing, f"{name}: {outside:,} samples of speech lie outside of its {len(samples):,} samples"
    return agreeing, _difference(name, expected, samples)


def _difference(name: str, expected: array[int], samples: array[int]) -> str:
    if expected == samples:
        return ""
    differing = [
        index for index, pair in enumerate(zip(expected, samples, strict=True)) if pair[0] != pair[1]
    ]
    first = differing[0]
    return (
        f"{name}: {len(differing):,} of {len(samples):,} samples differ, the first at {first:,} "
        f"({first / CLOCK_RATE:.3f} s): {samples[first]} where {expected[first]} was sent"
    )
