"""Turns: work that may come by the hundred at once, done a little at a time so that no call is kept waiting.

When a recording server dies, every recording that it had looks for another one at the same moment. Each takes
milliseconds of the signalling loop; one after the other without a break, they would hold up every call for as
long as all of them take together.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.005
"""How long steps may take before the loop serves its sockets and timers again; the last one may go beyond it.
A call is set up in some four rounds of the loop, so this adds 20 to 30 ms to it at the worst."""

Step = Callable[[], None]


class Turns:
    """Runs steps: at once while the present turn has time left, else in the next ones.

    What goes on comes before what begins: were answers to wait behind new attempts, attempts would run out of
    time while their answers lie here. Each kind keeps its order.

    A step must not raise. What waits is bounded by whoever gives the steps: a recording has few requests and
    timers under way.

    Args:
        slice_s: how long a turn may take, in seconds.
        clock: gives the seconds that this thread has worked: on a busy machine, a step is not charged
            with what others took of the wall clock in the middle of it.
    """

    def __init__(self, slice_s: float = SLICE_S, clock: Callable[[], float] = time.thread_time) -> None:
        self._slice_s = slice_s
        self._clock = clock
        self._going_on: deque[Step] = deque()
        self._beginning: deque[Step] = deque()
        self._spent_s = 0.0
        self._running = False
        self._next: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._going_on) + len(self._beginning)

    def run(self, step: Step) -> None:
        """Go on: now, if none that goes on waits and the turn has time left; else when it is its turn."""
        if self._running or self._going_on or self._spent_s >= self._slice_s:
            self.add(step)
        else:
            self._take(step)
            self._see_to_next()

    def add(self, step: Step) -> None:
        """Go on when it is its turn, and not before the loop's present callback has ended."""
        self._going_on.append(step)
        self._see_to_next()

    def begin(self, step: Step) -> None:
        """Begin something: now, if nothing waits and the turn has time left; else when it is its turn."""
        if self._running or len(self) or self._spent_s >= self._slice_s:
            self._beginning.append(step)
        else:
            self._take(step)
        self._see_to_next()

    def _see_to_next(self) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._next = None
        self._spent_s = 0.0
        while len(self) and self._spent_s < self._slice_s:
            self._take((self._going_on or self._beginning).popleft())
        if len(self):
            self._see_to_next()

    def _take(self, step: Step) -> None:
        began = self._clock()
        self._running = True
        try:
            step()
        finally:
            self._running = False
            self._spent_s += self._clock() - began
