"""One key press is told once, however many ways it was heard (protocol section 3, `dtmf`)."""

from dataclasses import dataclass
from typing import Final

from sidestream.stream.messages import DtmfSource

SAME_PRESS_S: Final = 0.5
"""Reports of one press by two sources come closer together than this; a person's second press of the same
key, heard by the other source only, does not."""


@dataclass(frozen=True, slots=True)
class _Report:
    source: DtmfSource
    at: float


class PressMerger:
    """Pairs the reports of one call: a report is a duplicate of one earlier report by another source."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Report] = {}

    def is_new(self, side: str, digit: str, source: DtmfSource, now: float) -> bool:
        """Return whether this report is a new press; `now` is in seconds on a monotonic clock.

        A report pairs with at most one other, so two quick presses that are each heard twice stay two.
        """
        key = (side, digit)
        earlier = self._open.get(key)
        if earlier is not None and earlier.source != source and now - earlier.at <= SAME_PRESS_S:
            del self._open[key]
            return False
        self._open[key] = _Report(source, now)
        return True
