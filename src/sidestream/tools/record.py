"""`sidestream record`: the development recorder on a terminal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from sidestream.gateway.sip_options import ListenAddress
from sidestream.gateway.sip_sockets import is_wildcard
from sidestream.gateway.sip_tls import SipTls
from sidestream.tools.call import parse_listen
from sidestream.tools.console import STYLES, EventLines, JsonLines, first_of, interruptible
from sidestream.tools.g711 import law_of
from sidestream.tools.recorder import Recorder
from sidestream.tools.recorder_events import Changed, Documented, Ended, Noted, Offered, RecorderEvent
from sidestream.tools.recorder_findings import Level
from sidestream.tools.recorder_options import DEFAULT_LISTEN, LAWS, Behaviour, RecorderOptions
from sidestream.tools.recorder_result import SessionResult, stamp
from sidestream.tools.recorder_session import RecordingSession
from sidestream.tools.rtp import CLOCK_RATE
from sidestream.tools.stream_receiver import Status
from sidestream.tools.tls_options import TlsOptions


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The command's options.

    Attributes:
        out: directory for the sessions.
        listen: addresses to listen on, `udp://`, `tcp://` or `tls://host:port`; udp and tcp at 5070 if empty.
        strict: refuse what breaks a rule.
        codecs: codecs to take, PCMU or PCMA; both when empty.
        behaviour: what else the recorder does.
        quiet: print only the verdicts.
        json: print one JSON object for each event.
        sessions: end after so many sessions, None to go on until interrupted.
        tls: directory of the certificate of `tls` addresses, None for `<out>/tls`; it is made when missing.
        client_ca: authorities that who connects by TLS must be certified by, None to ask for no certificate.
    """

    out: Path = Path("record-output")
    listen: tuple[str, ...] = ()
    strict: bool = True
    codecs: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    quiet: bool = False
    json: bool = False
    sessions: int | None = None
    tls: Path | None = None
    client_ca: Path | None = None


def record_command(options: RecordOptions) -> int:
    """Record until interrupted; return 0 when every session is OK, else 1.

    Raises:
        WrongUseError: an address is none.
        UnknownLawError: a codec is not of G.711.
        RecorderError: the recorder cannot be opened.
    """
    listen = tuple(map(parse_listen, options.listen)) or DEFAULT_LISTEN
    recorder_options = RecorderOptions(
        directory=options.out,
        listen=listen,
        strict=options.strict,
        codecs=tuple(map(law_of, options.codecs)) or LAWS,
        behaviour=options.behaviour,
        tls=_tls(options, listen),
    )
    return asyncio.run(_record(options, recorder_options))


def _tls(options: RecordOptions, listen: tuple[ListenAddress, ...]) -> SipTls | None:
    """Make the TLS of the addresses that want it.

    Raises:
        TlsOptionsError: its files cannot be used.
    """
    hosts = [one.host for one in listen if one.transport == "tls" and not is_wildcard(one.host)]
    if all(one.transport != "tls" for one in listen):
        return None
    # Requests of ours go to who has connected: to its address, whose certificate mostly names a domain.
    made = TlsOptions(
        directory=options.tls or options.out / "tls",
        ca=options.client_ca,
        verify=False,
        ask=options.client_ca is not None,
    )
    return made.make(hosts)


async def _record(options: RecordOptions, recorder_options: RecorderOptions) -> int:
    reporter: JsonReporter | ConsoleReporter
    reporter = JsonReporter() if options.json else ConsoleReporter(quiet=options.quiet)
    recorder = Recorder(recorder_options, reporter)
    await recorder.start()
    reporter.listening(recorder)
    with interruptible() as interrupted:
        async with reporter.running():
            done = recorder.wait_ended(options.sessions) if options.sessions is not None else None
            await first_of(interrupted, done)
        await recorder.stop()
    return 0 if all(result.status is Status.OK for result in recorder.results) else 1


class JsonReporter(JsonLines):
    """Prints one JSON object for each event."""

    def listening(self, recorder: Recorder) -> None:
        """Tell where the recorder is."""
        self.print({"event": "listening", "uris": list(recorder.uris)})

    def __call__(self, event: RecorderEvent) -> None:
        """Print an event."""
        match event:
            case Offered(session=session, peer=peer, sender=sender):
                self.print({"event": "offered", "session": session, "peer": peer, "from": sender})
            case Changed(session=session, what=what, text=text):
                self.print({"event": "changed", "session": session, "what": what, "text": text})
            case Documented(session=session, entry=entry, text=text):
                self.print({"event": "metadata", "session": session, "text": text} | entry.to_json())
            case Noted(session=session, finding=finding):
                self.print({"event": "finding", "session": session} | finding.to_json())
            case Ended(result=result):
                self.print(
                    {"event": "ended", "directory": str(result.directory.resolve())} | result.to_json()
                )


@dataclass(slots=True)
class ConsoleReporter(EventLines):
    """Prints events for a reader; sessions that are open stand below them with their progress."""

    _recorder: Recorder | None = None

    def listening(self, recorder: Recorder) -> None:
        """Tell where the recorder is and what it does."""
        self._recorder = recorder
        for uri in recorder.uris:
            self.fact("recording at   ", uri, "bold cyan")
        self.fact("sessions go to ", str(recorder.options.directory.resolve()))
        how = "what breaks a rule is refused" if recorder.options.strict else "what breaks a rule is noted"
        self.hint(f"{how}; end with Ctrl-C")

    def open_rows(self) -> list[tuple[str, str]]:
        """Return the open sessions."""
        sessions = self._recorder.sessions if self._recorder is not None else []
        return [(session.name[:8], _progress_of(session)) for session in sessions]

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
        self.line(session[:8], name, text, style)

    def _ended(self, result: SessionResult) -> None:
        self.verdict(result.status, f"{result.name}: {result.why}")
        for reason in result.reasons[1:]:
            self.detail(reason, STYLES[result.status])
        for stream in result.streams:
            counts = stream.counts
            lost = f", {counts.lost} lost" if counts.lost else ""
            seconds = stream.samples / CLOCK_RATE
            named = f"stream {stream.number} label {stream.label}"
            told = f"{seconds:.2f} s, {counts.packets} packets{lost}, sha256 {stream.sha256[:16]}…"
            self.detail(f"{named}: {told}")
        for entry in result.documents:
            told = f"{stamp(entry.at)} {entry.message} {entry.mode}, {len(entry.findings)} findings"
            self.detail(f"metadata {entry.number}: {told}", "dim")
        self.detail(str(result.directory.resolve()), "dim")


def _progress_of(session: RecordingSession) -> str:
    told = [
        f"stream {track.number}: {track.samples / CLOCK_RATE:.1f} s{'' if track.receiving else ', paused'}"
        for track in session.lines.tracks
    ]
    return "; ".join(told) or session.phase.value
