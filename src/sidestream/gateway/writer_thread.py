"""A thread that writes what waits in a queue, so that a slow disk never holds up a call."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class WriterThread(ABC, Generic[T]):
    """A queue and the thread that empties it.

    Whoever derives bounds the queue where things are added, and lets `_run` return when `_closing` is set and
    nothing waits. Both are touched only under `_changed`.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._waiting)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits and stop; returns whether everything is on disk.

        Args:
            timeout: seconds to wait for a slow disk.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._waiting and not self._thread.is_alive()

    @abstractmethod
    def _run(self) -> None:
        """Write until closed."""
