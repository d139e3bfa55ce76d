"""`sidestream demo`: a real call with speech through the gateway, shown live, judged, left as a report."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sidestream.tools import g711
from sidestream.tools.demo_evidence import Check, Evidence, good, judge
from sidestream.tools.demo_gather import gather
from sidestream.tools.demo_scene import LAW, DemoError, Scene, StepKind
from sidestream.tools.report import render
from sidestream.tools.rtp import CLOCK_RATE, FRAME_MS
from sidestream.tools.screen import printable, redrawn

ATTEMPTS = 3
STALL_MS = 60.0
"""A phone that is later than this is the machine's doing: past 100 ms a stream's clock goes on without it."""
PRIORITY = -10
SHOWN_STEPS = 16
METER_WIDTH = 40
FLOOR_DB = -60.0
FRESH_S = 0.1


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The command's options.

    Attributes:
        out: directory for everything that is left.
        json: print the result as JSON, and no progress.
        attempts: how often the call is made at most, when the machine itself stands still.
    """

    out: Path = Path("demo-output")
    json: bool = False
    attempts: int = ATTEMPTS


def demo_command(options: DemoOptions) -> int:
    """Carry the demonstration; return 0 only when the audio that arrived is the audio that was sent.

    Raises:
        SidestreamError: it could not be carried out.
        OSError: the directory cannot be written.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    # Audio must leave in time on a busy machine, and the gateway inherits this. Without the right to it we go
    # on as we are.
    with contextlib.suppress(OSError):
        os.nice(PRIORITY)
    return asyncio.run(_demo(options))


async def _demo(options: DemoOptions) -> int:
    screen: Screen | None = None
    for attempt in range(1, options.attempts + 1):
        screen = Screen(quiet=options.json)
        scene = Scene(options.out, screen.tell)
        screen.scene = scene
        async with screen.running():
            await scene.run()
        evidence = gather(scene)
        checks = judge(evidence)
        stall = _stall_ms(evidence)
        if good(checks) or stall < STALL_MS or attempt == options.attempts:
            break
        screen.say(
            f"This machine stood still for {stall:.0f} ms in the middle of the call: once more.", "yellow"
        )
    else:
        raise DemoError("no attempt was made", hint="Give --attempts at least 1")
    page = options.out / "report.html"
    page.write_text(render(evidence, checks), encoding="utf-8")
    _write_result(options.out / "result.json", checks, evidence)
    if options.json:
        sys.stdout.write(_result(checks, evidence, page) + "\n")
    else:
        screen.verdict(checks, page)
    return 0 if good(checks) else 1


def _stall_ms(evidence: Evidence) -> float:
    """Return the longest time for which a phone, or the way between them, stood still."""
    lateness = [party.quality.lateness_ms for party in evidence.parties]
    delays = [delay for lane in evidence.relay_lanes for delay in lane.comparison.latencies_ms]
    return max(lateness + delays)


def _write_result(path: Path, checks: list[Check], evidence: Evidence) -> None:
    path.write_text(_result(checks, evidence, path.with_name("report.html")) + "\n", encoding="utf-8")


def _result(checks: list[Check], evidence: Evidence, page: Path) -> str:
    lanes = [
        {
            "title": lane.title,
            "equal": lane.comparison.equal,
            "sentSamples": lane.comparison.sent_samples,
            "matchedSamples": lane.comparison.matched_samples,
        }
        for lane in evidence.lanes
    ]
    recording = evidence.recording.result.to_json() if evidence.recording is not None else None
    content = {
        "good": good(checks),
        "report": str(page.resolve()),
        "checks": checks,
        "comparisons": lanes,
        "recording": recording,
    }
    return msgspec.json.encode(content).decode()


@dataclass(slots=True)
class Screen:
    """The terminal while the demonstration runs: steps above, voices and progress below.

    Attributes:
        quiet: show nothing.
        scene: what is shown.
    """

    quiet: bool = False
    scene: Scene | None = None
    console: Console = field(default_factory=lambda: Console(highlight=False))
    _steps: list[Text] = field(default_factory=list)
    _doing: str = ""
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))

    def tell(self, kind: StepKind, text: str) -> None:
        """Take a step of the scene."""
        text = printable(text)
        if kind == "doing":
            self._doing = text
            return
        mark, style = ("✓", "green") if kind == "done" else ("·", "dim")
        line = Text.assemble((f" {mark} ", style), (text, "" if kind == "done" else "dim"))
        self._steps.append(line)
        if kind == "done":
            self._doing = ""
        if not self.quiet and not self.console.is_terminal:
            self.console.print(line)

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays."""
        if not self.quiet:
            self.console.print(Text(text, style))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Show the scene while it runs, and leave its steps on the screen."""
        if self.quiet or not self.console.is_terminal:
            yield
            return
        async with redrawn(self.console, self._picture):
            yield
        for step in self._steps:
            self.console.print(step)

    def verdict(self, checks: list[Check], page: Path) -> None:
        """Print the answers and where the report is."""
        table = Table.grid(padding=(0, 1))
        for check in checks:
            mark = Text("✓", "bold green") if check.good else Text("✗", "bold red")
            table.add_row(mark, Text(printable(check.question)), Text(printable(check.evidence), "dim"))
        passed = good(checks)
        title = "The audio that arrived is the audio that was sent" if passed else "Not proven"
        self.console.print()
        self.console.print(Panel(table, title=title, border_style="green" if passed else "red", expand=False))
        self.console.print(Text.assemble("report  ", (str(page.resolve()), "bold cyan")), soft_wrap=True)

    def _picture(self) -> RenderableType:
        parts: list[RenderableType] = list(self._steps[-SHOWN_STEPS:])
        if self._doing:
            self._spinner.update(text=Text(self._doing, "cyan"))
            parts.append(Padding(self._spinner, (0, 0, 0, 1)))
        if self.scene is not None and self.scene.talking:
            parts.append(Padding(self._voices(self.scene), (1, 0, 0, 1)))
        return Group(*parts)

    def _voices(self, scene: Scene) -> RenderableType:
        now = asyncio.get_running_loop().time()
        sent, total = scene.progress
        grid = Table.grid(padding=(0, 1))
        for phone, call in zip(scene.phones, scene.calls, strict=True):
            last = call.media.sent[-1] if call.media.sent else None
            level = _level_db(last.payload) if last is not None and now - last.at < FRESH_S else FLOOR_DB
            state = "on hold" if call.held_by_us or call.held_by_peer else f"{level:5.0f} dB"
            grid.add_row(Text(phone.options.display_name, "bold"), _meter(level), Text(state, "dim"))
        bar = ProgressBar(total=total or 1, completed=sent, width=METER_WIDTH)
        seconds = f"{sent * FRAME_MS / 1_000:.1f} of {total * FRAME_MS / 1_000:.1f} s"
        grid.add_row(Text("said"), bar, Text(seconds, "dim"))
        stored = sum(count for store in scene.listener.open_streams for count in store.chunks.values())
        grid.add_row(Text("stored"), Text(f"{stored} frames at the endpoint, over TLS", "dim"), "")
        kept = [
            track.samples / CLOCK_RATE
            for session in scene.recorder.sessions
            for track in session.lines.tracks
        ]
        seconds = " and ".join(f"{each:.0f} s" for each in kept) or "nothing yet"
        grid.add_row(Text("recorded"), Text(f"{seconds} at the recorder, by SIPREC", "dim"), "")
        return grid


def _meter(level: float) -> Text:
    filled = round((1 - max(level, FLOOR_DB) / FLOOR_DB) * METER_WIDTH)
    loud = max(filled - METER_WIDTH * 3 // 4, 0)
    return Text.assemble(
        ("█" * (filled - loud), "green"), ("█" * loud, "yellow"), ("·" * (METER_WIDTH - filled), "dim")
    )


def _level_db(frame: bytes) -> float:
    samples = g711.decode(LAW, frame)
    power = sum(sample * sample for sample in samples) / max(len(samples), 1)
    return FLOOR_DB if power < 1 else max(10 * math.log10(power / 32_768**2), FLOOR_DB)
