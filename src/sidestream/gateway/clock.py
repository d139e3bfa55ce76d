"""The two clocks of a running process, as one value that is passed on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where `now` comes from.

    Attributes:
        monotonic: seconds for timers and durations; never goes back, its zero means nothing.
        wall: the time of day in UTC, for what people and peers read.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = _wall


SYSTEM_CLOCK = Clock()
"""The machine's clocks."""
