"""Tasks with an owner: each is named, its failure is logged, and closing the owner ends and awaits all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class TaskOwner:
    """Starts tasks and answers for them.

    Args:
        name: what the tasks belong to, for the log.

    Attributes:
        closed: whether it starts no more.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the owner closes.

        Args:
            work: the coroutine; what it raises is logged and goes no further.
            name: what it does, for the log.

        Raises:
            RuntimeError: when the owner is closed.
        """
        if self.closed:
            work.close()
            raise RuntimeError(f"{self._name} is closed and starts no {name}")
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended; safe to call again."""
        self.closed = True
        own = asyncio.current_task()
        running = [task for task in self._tasks if task is not own]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("task_failed", task=task.get_name(), exc_info=error)
