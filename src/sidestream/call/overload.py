"""What part of new calls a gateway with too much to do turns away: a loss rate as of RFC 7339, without I/O.

The rate rises step by step while the signalling loop is late or its processor is full, and falls step by step
when both are well again; between the two marks it stays. So it settles where the gateway can just do its
work, and does not swing. Only calls that begin are turned away; what belongs to a call never is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sidestream.call.routing import Randomness

LOSS_MAX: Final = 0.95
"""Some calls are always let through, since they show when it is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadPolicy:
    """The marks; times in seconds, parts of 1 for the processor.

    Attributes:
        lag_high: smoothed lateness of the loop above which there is too much to do.
        lag_low: below which there no longer is.
        busy_high: part of its processor that the loop uses, above which there is too much to do.
        busy_low: below which there no longer is.
        rise: what the loss rate rises by with each measurement.
        fall: what it falls by.
        smoothing: weight of a new measurement.
        retry_after: the shortest `Retry-After`; it is spread over twice that time, so that not all come back
            at once.
    """

    lag_high: float = 0.25
    lag_low: float = 0.1
    busy_high: float = 0.95
    busy_low: float = 0.8
    rise: float = 0.1
    fall: float = 0.05
    smoothing: float = 0.3
    retry_after: int = 5


def marks_for(lag: float | None) -> OverloadPolicy:
    """The marks of a loop that may be so late, in seconds; None: whatever it is, nothing is turned away."""
    if lag is None:
        return OverloadPolicy(lag_high=math.inf, busy_high=math.inf)
    return OverloadPolicy(lag_high=lag, lag_low=lag * 0.4)


class Overload:
    """The present loss rate.

    Args:
        policy: the marks.
        randomness: draws who is turned away.

    Attributes:
        loss: part of new calls that is turned away.
        lag: smoothed lateness of the loop, in seconds.
        busy: smoothed part of its processor that the loop uses.
    """

    def __init__(self, policy: OverloadPolicy, randomness: Randomness) -> None:
        self._policy = policy
        self._randomness = randomness
        self.loss = 0.0
        self.lag = 0.0
        self.busy = 0.0

    def measured(self, lag: float, busy: float) -> bool:
        """Take a measurement; returns whether turning away has begun or ended by it.

        Args:
            lag: how late the loop woke up, in seconds.
            busy: part of its processor that it used since the last one.
        """
        policy, before = self._policy, self.loss > 0.0
        self.lag += (lag - self.lag) * policy.smoothing
        self.busy += (busy - self.busy) * policy.smoothing
        if self.lag > policy.lag_high or self.busy > policy.busy_high:
            self.loss = min(LOSS_MAX, self.loss + policy.rise)
        elif self.lag < policy.lag_low and self.busy < policy.busy_low:
            self.loss = max(0.0, round(self.loss - policy.fall, 6))
        return before is not (self.loss > 0.0)

    def sheds(self) -> bool:
        """Whether a call that begins now is turned away."""
        return self.loss > 0.0 and self._randomness.random() < self.loss

    def retry_after(self) -> int:
        """Seconds for `Retry-After`."""
        shortest = self._policy.retry_after
        return shortest + int(self._randomness.random() * 2 * shortest)
