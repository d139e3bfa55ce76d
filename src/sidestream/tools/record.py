"""`sidestream record`: the development recorder on a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidestream.tools.call import parse_listen
from sidestream.tools.g711 import law_of
from sidestream.tools.listen import STYLES, interruptible
from sidestream.tools.recorder import Recorder
from sidestream.tools.recorder_events import Changed, Documented, Ended, Noted, Offered, RecorderEvent
from sidestream.tools.recorder_findings import Level
from sidestream.tools.recorder_options import DEFAULT_LISTEN, LAWS, Behaviour, RecorderOptions
from sidestream.tools.recorder_result import SessionResult, stamp
from sidestream.tools.recorder_session import RecordingSession
from sidestream.tools.rtp import CLOCK_RATE
from sidestream.tools.screen import printable, redrawn
from sidestream.tools.stream_receiver import Status

MAX_LIVE_ROWS = 20


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The command's options.

    Attributes:
        out: directory for the sessions.
        listen: addresses to listen on, `udp://host:port` or `tcp://host:port`; both at 5070 when empty.
        strict: refuse what breaks a rule.
        codecs: codecs to take, PCMU or PCMA; both when empty.
        behaviour: what else the recorder does.
        quiet: print only the verdicts.
        json: print one JSON object for each event.
        sessions: end after so many sessions, None to go on until interrupted.
    """

    out: Path = Path("record-output")
    listen: tuple[str, ...] = ()
    strict: bool = True
    codecs: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    quiet: bool = False
    json: bool = False
    sessions: int | None = None


def record_command(options: RecordOptions) -> int:
    """Record until interrupted; return 0 when every session is OK, else 1.

    Raises:
        WrongUseError: an address is none.
        UnknownLawError: a codec is not of G.711.
        RecorderError: the recorder cannot be opened.
    """
    recorder_options = RecorderOptions(
        directory=options.out,
        listen=tuple(map(parse_listen, options.listen)) or DEFAULT_LISTEN,
        strict=options.strict,
        codecs=tuple(map(law_of, options.codecs)) or LAWS,
        behaviour=options.behaviour,
    )
    return asyncio.run(_record(options, recorder_options))


async def _record(options: RecordOptions, recorder_options: RecorderOptions) -> int:
    reporter: JsonReporter | ConsoleReporter
    reporter = JsonReporter() if options.json else ConsoleReporter(quiet=options.quiet)
    recorder = Recorder(recorder_options, reporter)
    await recorder.start()
    reporter.listening(recorder)
    with interruptible() as interrupted:
        async with reporter.running():
            await _until_done(recorder, options.sessions, interrupted)
        await recorder.stop()
    return 0 if all(result.status is Status.OK for result in recorder.results) else 1


async def _until_done(recorder: Recorder, sessions: int | None, interrupted: asyncio.Event) -> None:
    waits: list[asyncio.Task[bool]] = []
    waits.append(asyncio.create_task(interrupted.wait()))
    if sessions is not None:
        waits.append(asyncio.create_task(recorder.wait_ended(sessions)))
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


class JsonReporter:
    """Prints one JSON object for each event."""

    def listening(self, recorder: Recorder) -> None:
        """Tell where the recorder is."""
        self._print({"event": "listening", "uris": list(recorder.uris)})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing is kept on the screen."""
        yield

    def __call__(self, event: RecorderEvent) -> None:
        """Print an event."""
        match event:
            case Offered(session=session, peer=peer, sender=sender):
                self._print({"event": "offered", "session": session, "peer": peer, "from": sender})
            case Changed(session=session, what=what, text=text):
                self._print({"event": "changed", "session": session, "what": what, "text": text})
            case Documented(session=session, entry=entry, text=text):
                self._print({"event": "metadata", "session": session, "text": text} | entry.to_json())
            case Noted(session=session, finding=finding):
                self._print({"event": "finding", "session": session} | finding.to_json())
            case Ended(result=result):
                self._print(
                    {"event": "ended", "directory": str(result.directory.resolve())} | result.to_json()
                )

    @staticmethod
    def _print(content: dict[str, object]) -> None:
        sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
        sys.stdout.flush()


@dataclass(slots=True)
class ConsoleReporter:
    """Prints events for a reader; sessions that are open stand below them with their progress."""

    quiet: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    _recorder: Recorder | None = None

    def listening(self, recorder: Recorder) -> None:
        """Tell where the recorder is and what it does."""
        self._recorder = recorder
        for uri in recorder.uris:
            self.console.print(Text.assemble("recording at   ", (uri, "bold cyan")))
        directory = str(recorder.options.directory.resolve())
        self.console.print(Text.assemble("sessions go to ", (directory, "cyan")))
        if not self.quiet:
            how = (
                "what breaks a rule is refused" if recorder.options.strict else "what breaks a rule is noted"
            )
            self.console.print(Text(f"{how}; end with Ctrl-C", "dim"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the progress of open sessions on the screen, where there is one."""
        if self.quiet:
            yield
            return
        async with redrawn(self.console, self._progress):
            yield

    def __call__(self, event: RecorderEvent) -> None:
        """Print an event."""
        match event:
            case Ended(result=result):
                self._ended(result)
            case _ if self.quiet:
                pass
            case Offered(session=session, peer=peer, sender=sender):
                self._line(session, "offered", f"by {sender} at {peer}", "dim")
            case Changed(session=session, what=what, text=text):
                self._line(session, what, text, "cyan")
            case Documented(session=session, entry=entry, text=text):
                self._line(session, "metadata", f"{entry.message}: {text}", "cyan")
            case Noted(session=session, finding=finding):
                style = "red" if finding.level is Level.VIOLATION else "yellow"
                self._line(session, finding.level.value, str(finding), style)

    def _line(self, session: str, name: str, text: str, style: str) -> None:
        clock = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        self.console.print(
            Text.assemble((f"{clock} {_short(session):<8} ", "dim"), (f"{name:<10}", style), printable(text))
        )

    def _ended(self, result: SessionResult) -> None:
        style = STYLES[result.status]
        self.console.print(
            Text.assemble((f"{result.status.value} ", style), printable(f"{result.name}: {result.why}"))
        )
        for reason in result.reasons[1:]:
            self.console.print(Text(f"  {printable(reason)}", style))
        for stream in result.streams:
            counts = stream.counts
            lost = f", {counts.lost} lost" if counts.lost else ""
            seconds = stream.samples / CLOCK_RATE
            named = printable(f"stream {stream.number} label {stream.label}")
            told = f"{seconds:.2f} s, {counts.packets} packets{lost}, sha256 {stream.sha256[:16]}…"
            self.console.print(Text(f"  {named}: {told}"))
        for entry in result.documents:
            told = f"{stamp(entry.at)} {entry.message} {entry.mode}, {len(entry.findings)} findings"
            self.console.print(Text(f"  metadata {entry.number}: {told}", "dim"))
        self.console.print(Text(f"  {result.directory.resolve()}", "dim"))

    def _progress(self) -> Table:
        table = Table.grid(padding=(0, 1))
        sessions = self._recorder.sessions if self._recorder is not None else []
        for session in sessions[-MAX_LIVE_ROWS:]:
            table.add_row(Text("●", "red"), Text(_short(session.name), "dim"), Text(_progress_of(session)))
        if len(sessions) > MAX_LIVE_ROWS:
            table.add_row("", "", Text(f"and {len(sessions) - MAX_LIVE_ROWS} more sessions", "dim"))
        return table


def _short(session: str) -> str:
    return printable(session)[:8]


def _progress_of(session: RecordingSession) -> str:
    told = [
        f"stream {track.number}: {track.samples / CLOCK_RATE:.1f} s{'' if track.receiving else ', paused'}"
        for track in session.lines.tracks
    ]
    return "; ".join(told) or session.phase.value
