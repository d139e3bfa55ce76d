"""A heap of deadlines with cheap cancelling."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

_T = TypeVar("_T")

_SLACK = 64
"""Cancelled entries tolerated before the heap is rebuilt; below it rebuilding costs more than it frees."""


class Schedule(Generic[_T]):
    """Items with the time they fall due; those due at the same time come in the order they were added."""

    __slots__ = ("_heap", "_live", "_next_ticket")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._live: dict[int, _T] = {}
        self._next_ticket = 0

    def add(self, when: float, item: _T) -> int:
        """Have the item fall due at `when`; returns the ticket to cancel it by."""
        ticket = self._next_ticket
        self._next_ticket += 1
        self._live[ticket] = item
        heapq.heappush(self._heap, (when, ticket))
        return ticket

    def cancel(self, ticket: int) -> None:
        """Take an item away; one that has fallen due or is cancelled already is fine."""
        if self._live.pop(ticket, None) is not None and len(self._heap) > 2 * len(self._live) + _SLACK:
            self._heap = [entry for entry in self._heap if entry[1] in self._live]
            heapq.heapify(self._heap)

    def next_due(self) -> float | None:
        """When the earliest item falls due, None when there is none."""
        heap = self._heap
        while heap and heap[0][1] not in self._live:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> _T | None:
        """The earliest item that is due, taken away; None when none is."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return self._live.pop(heapq.heappop(self._heap)[1])

    def __len__(self) -> int:
        return len(self._live)
