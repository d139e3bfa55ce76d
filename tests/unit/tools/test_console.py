"""What the development servers print: text from outside made harmless, and not more rows than fit."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from sidestream.tools.console import MAX_LIVE_ROWS, EventLines, JsonLines, first_of
from sidestream.tools.stream_receiver import Status


@dataclass(slots=True)
class Lines(EventLines):
    """So many things are open."""

    opened: int = 0
    written: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.console = Console(file=self.written, width=100, color_system=None, soft_wrap=True)

    def open_rows(self) -> Sequence[tuple[str, str]]:
        return [(f"s{number}", f"{number} s") for number in range(self.opened)]

    @property
    def printed(self) -> str:
        return self.written.getvalue()


def test_a_line_has_the_time_the_name_and_the_words() -> None:
    lines = Lines()
    lines.line("abc", "offered", "by \x1b[31msomebody", "dim")
    assert "abc      offered   by \N{REPLACEMENT CHARACTER}[31msomebody" in lines.printed
    assert "\x1b" not in lines.printed


def test_a_verdict_is_followed_by_its_details() -> None:
    lines = Lines()
    lines.verdict(Status.MISMATCH, "one: broken\x07")
    lines.detail("because", "red")
    assert lines.printed == "MISMATCH one: broken\N{REPLACEMENT CHARACTER}\n  because\n"


@pytest.mark.parametrize(("quiet", "printed"), [(False, "end with Ctrl-C\n"), (True, "")])
def test_hints_are_for_those_who_want_them(quiet: bool, printed: str) -> None:
    lines = Lines(quiet=quiet)
    lines.hint("end with Ctrl-C")
    assert lines.printed == printed


@pytest.mark.parametrize(("opened", "rows"), [(0, 0), (3, 3), (MAX_LIVE_ROWS, MAX_LIVE_ROWS), (23, 21)])
def test_the_newest_rows_are_shown_and_the_others_counted(opened: int, rows: int) -> None:
    lines = Lines(opened=opened)
    lines.console.print(lines._progress())
    shown = [line.split() for line in lines.printed.splitlines() if line.strip()]
    assert len(shown) == rows
    if opened > MAX_LIVE_ROWS:
        assert shown[0] == ["●", "s3", "3", "s"]
        assert shown[-1] == ["and", "3", "more"]


def test_json_is_one_object_for_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines.print({"event": "a", "text": "x\ny"})
    assert capsys.readouterr().out == '{"event":"a","text":"x\\ny"}\n'


async def _wait_for(interrupted: asyncio.Event, done: asyncio.Event) -> bool:
    """Return whether waiting was over with the event that is set; the other one's wait must be given up."""
    await asyncio.wait_for(first_of(interrupted, done.wait()), 5)
    return len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("number", [0, 1], ids=["interrupted", "done"])
def test_waiting_ends_with_what_comes_first(number: int) -> None:
    async def run() -> bool:
        events = asyncio.Event(), asyncio.Event()
        events[number].set()
        return await _wait_for(*events)

    assert asyncio.run(run())
