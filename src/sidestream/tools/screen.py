"""What the tools show on a terminal: text from outside made harmless, and a picture that is redrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console, RenderableType
from rich.live import Live

REDRAWS_PER_S = 8


def printable(text: str) -> str:
    """Return text from outside as it may be shown on a terminal: control characters are replaced."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


@asynccontextmanager
async def redrawn(console: Console, picture: Callable[[], RenderableType]) -> AsyncIterator[None]:
    """Keep a picture at the foot of the terminal while the block runs; it is gone afterwards.

    It is drawn on the event loop, not on a thread, so that no state changes under it while it is drawn. Where
    there is no terminal nothing is drawn.
    """
    if not console.is_terminal:
        yield
        return
    with Live(get_renderable=picture, console=console, auto_refresh=False, transient=True) as live:
        task = asyncio.create_task(_redraw(live), name="redraw")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _redraw(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(1 / REDRAWS_PER_S)
