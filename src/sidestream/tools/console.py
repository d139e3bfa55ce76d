"""How the development servers tell what happens: lines for a reader with progress below them, or JSON."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidestream.tools.screen import printable, redrawn
from sidestream.tools.stream_receiver import Status

MAX_LIVE_ROWS: Final = 20
STYLES: Final = {Status.OK: "bold green", Status.INCOMPLETE: "bold yellow", Status.MISMATCH: "bold red"}


@contextmanager
def interruptible() -> Iterator[asyncio.Event]:
    """Yield an event that SIGINT and SIGTERM set, in place of their default effect."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def first_of(interrupted: asyncio.Event, done: Coroutine[None, None, bool] | None) -> None:
    """Wait until interrupted, or until `done` has come to its end, where there is one."""
    waits: list[asyncio.Task[bool]] = []
    waits.append(asyncio.create_task(interrupted.wait()))
    if done is not None:
        waits.append(asyncio.create_task(done))
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


class JsonLines:
    """Prints one JSON object for each event."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing is kept on the screen."""
        yield

    @staticmethod
    def print(content: dict[str, object]) -> None:
        """Print an object on a line of its own, at once."""
        sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
        sys.stdout.flush()


@dataclass(slots=True)
class EventLines:
    """Prints events for a reader; what is open stands below them, as far as `open_rows` tells of it.

    Attributes:
        quiet: print only verdicts.
        console: where to.
    """

    quiet: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))

    def open_rows(self) -> Sequence[tuple[str, str]]:
        """Return a short name and the progress of each thing that is open, oldest first."""
        return ()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the progress of what is open on the screen, where there is one."""
        if self.quiet:
            yield
            return
        async with redrawn(self.console, self._progress):
            yield

    def fact(self, title: str, text: str, style: str = "cyan") -> None:
        """Print where something is."""
        self.console.print(Text.assemble(title, (text, style)))

    def hint(self, text: str) -> None:
        """Print what a reader may do, unless quiet."""
        if not self.quiet:
            self.console.print(Text(text, "dim"))

    def line(self, key: str, name: str, text: str, style: str) -> None:
        """Print an event: the time of day, the short name of what it belongs to, a word and a text."""
        clock = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        self.console.print(
            Text.assemble((f"{clock} {printable(key):<8} ", "dim"), (f"{name:<10}", style), printable(text))
        )

    def verdict(self, status: Status, text: str) -> None:
        """Print a verdict and what it is about."""
        self.console.print(Text.assemble((f"{status.value} ", STYLES[status]), printable(text)))

    def detail(self, text: str, style: str = "") -> None:
        """Print a line that belongs to the verdict before it."""
        self.console.print(Text(f"  {printable(text)}", style))

    def _progress(self) -> Table:
        table = Table.grid(padding=(0, 1))
        rows = self.open_rows()
        for name, progress in rows[-MAX_LIVE_ROWS:]:
            table.add_row(Text("●", "red"), Text(printable(name), "dim"), Text(progress))
        if len(rows) > MAX_LIVE_ROWS:
            table.add_row("", "", Text(f"and {len(rows) - MAX_LIVE_ROWS} more", "dim"))
        return table
