"""`sidestream listen`: the endpoint for development on a terminal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from sidestream.tools.console import STYLES, EventLines, JsonLines, first_of, interruptible
from sidestream.tools.listener import (
    Connected,
    Disconnected,
    Finished,
    Listener,
    ListenerEvent,
    ListenerOptions,
    Malformed,
    Received,
    Refused,
)
from sidestream.tools.screen import printable
from sidestream.tools.stream_messages import Envelope, MessageError, Metadata, Start, decode_gap
from sidestream.tools.stream_receiver import Status
from sidestream.tools.stream_store import StreamResult, StreamStore, worst

PROGRESS_EVERY_S = 5.0
"""How often a stream's progress is told where the terminal cannot redraw a line."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """The command's options.

    Attributes:
        out: directory for the streams.
        host: address to bind.
        port: port to bind.
        token: bearer token that connections must carry, None for none.
        ack: acknowledge what is stored.
        quiet: print only the verdicts.
        json: print one JSON object for each event.
        no_media: leave payloads out of the transcript.
        streams: end after so many streams, None to go on until interrupted.
        names: further names in the certificate.
        tls: directory of the certificates, None for `<out>/tls`.
    """

    out: Path = Path("listen-output")
    host: str = "127.0.0.1"
    port: int = 8443
    token: str | None = None
    ack: bool = False
    quiet: bool = False
    json: bool = False
    no_media: bool = False
    streams: int | None = None
    names: tuple[str, ...] = ()
    tls: Path | None = None


def listen_command(options: ListenOptions) -> int:
    """Listen until interrupted; return 0 when every stream was proven, else 1.

    Raises:
        ListenerError: the endpoint cannot be opened.
    """
    return asyncio.run(_listen(options))


async def _listen(options: ListenOptions) -> int:
    reporter: JsonReporter | ConsoleReporter
    reporter = JsonReporter() if options.json else ConsoleReporter(quiet=options.quiet)
    listener = Listener(
        ListenerOptions(
            directory=options.out,
            host=options.host,
            port=options.port,
            certificates=options.tls,
            names=options.names,
            token=options.token,
            acknowledge=options.ack,
            keep_media=not options.no_media,
        ),
        reporter,
    )
    await listener.start()
    reporter.listening(listener)
    with interruptible() as interrupted:
        async with reporter.running():
            done = listener.wait_finished(options.streams) if options.streams is not None else None
            await first_of(interrupted, done)
        await listener.stop()
    return 0 if worst(list(listener.results)) is Status.OK else 1


class JsonReporter(JsonLines):
    """Prints one JSON object for each event, none for media."""

    def listening(self, listener: Listener) -> None:
        """Tell where the endpoint is."""
        self.print({"event": "listening", "url": listener.url, "ca": str(listener.ca.resolve())})

    def __call__(self, event: ListenerEvent) -> None:
        """Print an event."""
        match event:
            case Connected(peer=peer, path=path):
                self.print({"event": "connected", "peer": peer, "path": path})
            case Refused(peer=peer):
                self.print({"event": "refused", "peer": peer, "why": "the bearer token is missing or wrong"})
            case Received(message=message) if message.media is None:
                body = getattr(message, message.event, None)
                self.print(
                    {
                        "event": "message",
                        "streamId": message.stream_id,
                        "sequenceNumber": message.sequence_number,
                        "type": message.event,
                        "body": body,
                    }
                )
            case Malformed(stream_id=stream_id, why=why):
                self.print({"event": "malformed", "streamId": stream_id, "why": why})
            case Disconnected(stream_id=stream_id, code=code, clean=clean):
                self.print({"event": "disconnected", "streamId": stream_id, "code": code, "clean": clean})
            case Finished(result=result):
                self.print(
                    {"event": "finished", "directory": str(result.directory.resolve())} | result.to_json()
                )
            case Received():
                pass


@dataclass(slots=True)
class ConsoleReporter(EventLines):
    """Prints events for a reader; streams that are open stand below them with their progress."""

    _open: dict[str, StreamStore] = field(default_factory=dict)
    _told: dict[str, float] = field(default_factory=dict)

    def listening(self, listener: Listener) -> None:
        """Tell where the endpoint is and how to use it."""
        self.fact("listening on  ", listener.url, "bold cyan")
        self.fact("trust         ", str(listener.ca.resolve()))
        self.fact("streams go to ", str(listener.options.directory.resolve()))
        self.hint("end with Ctrl-C")

    def open_rows(self) -> list[tuple[str, str]]:
        """Return the open streams."""
        return [(store.stream_id[-8:], _progress_of(store)) for store in self._open.values()]

    def __call__(self, event: ListenerEvent) -> None:
        """Print an event."""
        match event:
            case Finished(result=result):
                self._open.pop(result.stream_id, None)
                self._told.pop(result.stream_id, None)
                self._finished(result)
            case _ if self.quiet:
                pass
            case Connected(peer=peer, path=path):
                self._line("", "connected", f"from {peer} to {path}", "dim")
            case Refused(peer=peer):
                self._line("", "refused", f"{peer}: the bearer token is missing or wrong", "yellow")
            case Malformed(stream_id=stream_id, why=why):
                self._line(stream_id, "malformed", why, "red")
            case Disconnected(stream_id=stream_id, code=code, clean=clean):
                how = f"close code {code}"
                self._line(stream_id, "ended", how if clean else f"{how}; waiting for it to resume", "dim")
            case Received(store=store, message=message):
                self._received(store, message)

    def _received(self, store: StreamStore, message: Envelope) -> None:
        self._open[store.stream_id] = store
        if message.media is None:
            self._line(message.stream_id, message.event, describe(message), "cyan")
        elif not self.console.is_terminal and store.receiver.format is not None:
            seconds = store.position / store.receiver.format.sample_rate
            if seconds - self._told.get(store.stream_id, 0.0) >= PROGRESS_EVERY_S:
                self._told[store.stream_id] = seconds
                self._line(store.stream_id, "media", _progress_of(store), "dim")

    def _line(self, stream_id: str, name: str, text: str, style: str) -> None:
        self.line(stream_id[-8:], name, text, style)

    def _finished(self, result: StreamResult) -> None:
        self.verdict(result.status, f"{result.stream_id}: {result.why}")
        for line in result.verdict.channels:
            missing = f", {line.missing_chunks} missing" if line.missing_chunks else ""
            self.console.print(
                Text.assemble(
                    (f"  {line.status.value:<10} ", STYLES.get(line.status, "")),
                    printable(
                        f"channel {line.channel} {line.participant_id}: {line.chunks} chunks{missing}, "
                    ),
                    f"{line.samples} samples, {line.silence_samples} of silence, sha256 {line.sha256[:16]}…",
                )
            )
        for finding in result.verdict.findings[1:]:
            self.detail(finding, "red")
        self.detail(str(result.directory.resolve()), "dim")


def _progress_of(store: StreamStore) -> str:
    layout = store.receiver.format
    seconds = store.position / layout.sample_rate if layout is not None and layout.sample_rate > 0 else 0.0
    chunks = ", ".join(f"channel {channel}: {count}" for channel, count in sorted(store.chunks.items()))
    return f"{int(seconds // 60):02}:{seconds % 60:04.1f}  {chunks} chunks"


def describe(message: Envelope) -> str:
    """Return what a message other than media says, in one line."""
    if message.connect is not None:
        resumed = ", resumed" if message.connect.resumed else ""
        return f"{message.connect.integration_name}, connection {message.connect.connection}{resumed}"
    if message.start is not None:
        return _describe_start(message.start)
    if message.dtmf is not None:
        press = message.dtmf
        return f"{press.digit} from {press.participant_id} for {press.duration_ms} ms by {press.source}"
    if message.metadata is not None:
        return _describe_metadata(message.metadata)
    if message.close is not None:
        return f"{message.close.reason}: {message.close.detail} after {message.close.duration_ms} ms"
    return ""


def _describe_metadata(metadata: Metadata) -> str:
    if metadata.type == "media.gap":
        try:
            gap = decode_gap(metadata)
        except MessageError:
            pass  # What is not a gap is shown as it came.
        else:
            where = f"channel {gap.channel} from {gap.from_timestamp}"
            return f"{metadata.type} {gap.cause}: {gap.samples} samples of {where}"
    by = f" by {metadata.participant_id}" if metadata.participant_id else ""
    data = bytes(metadata.data).decode(errors="replace")
    return f"{metadata.type}{by}{'' if data == '{}' else f' {data}'}"


def _describe_start(start: Start) -> str:
    parties = " and ".join(f"{party.role} {party.number or party.uri}" for party in start.participants)
    media = start.media
    return (
        f"{start.direction} call {start.call_id} at {start.account_name}/{start.voice_service}: {parties}, "
        f"{media.encoding} {media.sample_rate} Hz {media.layout} in frames of {media.frame_duration_ms} ms"
    )
