"""The media of one recording: each copy is a recording of the engine's, whatever recorders it goes to."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

import msgspec

from sidestream.gateway.engine_messages import (
    RecordingClosed,
    RecordingCodecUnsupported,
    RecordingEvent,
    RecordingFirstPacket,
    RecordingSpec,
    RecordingStats,
    RecordingStreamTarget,
    RecordingTarget,
    RecordingUnreachable,
)
from sidestream.gateway.media import CallMedia, Media, MediaError
from sidestream.gateway.names import NameNotResolvedError, Names, numeric
from sidestream.gateway.nobody import nobody
from sidestream.gateway.recording_plan import silent_target, stream_target
from sidestream.observe.logging import Logger
from sidestream.siprec.commands import StartMedia, StopMedia
from sidestream.siprec.events import FirstPacketSent, MediaFailed, PeerLost
from sidestream.siprec.offer import StreamResult

MediaNews = FirstPacketSent | MediaFailed | PeerLost
"""What the media of a recording tells its sessions."""


@dataclass(slots=True)
class _Copy:
    """One recording of the engine's."""

    handle: int
    session: int = 0
    """The session that its streams were last started for."""
    wanted: dict[str, StreamResult] = field(default_factory=dict)
    told: dict[str, RecordingStreamTarget] = field(default_factory=dict)
    lookups: set[asyncio.Task[None]] = field(default_factory=set)
    closing: bool = False
    closed: RecordingClosed | None = None


class RecordingMedia:
    """Hands the media orders of one recording to the engine. It may raise: its caller is the seam.

    Args:
        media: the engine.
        names: looks up recorders that name their address.
        own_host: our address in descriptions: recorders are sent to by its IP version.
        tell: takes news, not before the orders at hand are carried out.
        guard: runs what comes later, and keeps its errors.
        in_turn: the same for what may come to many recordings at once.
        log: bound to the recording.
    """

    def __init__(
        self,
        media: Media,
        names: Names,
        own_host: str,
        *,
        tell: Callable[[MediaNews], None],
        guard: Callable[[Callable[[], None]], None],
        in_turn: Callable[[Callable[[], None]], None],
        log: Logger,
    ) -> None:
        self._media = media
        self._names = names
        self._own = numeric(own_host)
        self._tell = tell
        self._guard = guard
        self._in_turn = in_turn
        self._log = log
        self._copies: list[_Copy] = []
        self._on_closed: Callable[[], None] = lambda: None
        self.srtp_required = False
        """Whether nothing is sent but by SRTP."""

    def require_srtp(self) -> None:
        """Send nothing but by SRTP, from this instant on."""
        self.srtp_required = True
        for copy in self._copies:
            plain = [target for target in copy.told.values() if target.on and target.srtp is None]
            self._set(copy, [_stilled(target, target.label) for target in plain])

    def open(self, legs: CallMedia, specs: Sequence[RecordingSpec]) -> list[list[int]]:
        """Open the copies; returns each one's RTP ports.

        Raises:
            MediaError: the engine refused one of them; none is left open.
        """
        ports = []
        for index, spec in enumerate(specs):
            try:
                handle, bound = self._media.open_recording(legs, spec, partial(self._on_engine, index))
            except MediaError:
                self.abandon()
                raise
            self._copies.append(_Copy(handle))
            ports.append(bound)
        return ports

    @property
    def all_closed(self) -> bool:
        """Whether the engine has let go of every copy."""
        return all(copy.closed is not None for copy in self._copies)

    def closed(self) -> Mapping[int, RecordingClosed]:
        """What the engine told of each copy at its end."""
        return {index: copy.closed for index, copy in enumerate(self._copies) if copy.closed is not None}

    def start(self, order: StartMedia) -> None:
        """Send streams as agreed, as soon as their addresses are known."""
        copy = self._copies[order.copy]
        copy.session = order.session
        named = []
        for stream in order.streams:
            copy.wanted[stream.label] = stream
            if stream.remote is not None and numeric(stream.remote.host) is None:
                named.append(stream)
        self._set(copy, [stream_target(each, _host_of(each)) for each in order.streams if each not in named])
        for stream in named:
            work = asyncio.get_running_loop().create_task(
                self._start_named(copy, stream), name="recorder media"
            )
            copy.lookups.add(work)
            work.add_done_callback(copy.lookups.discard)

    def stop(self, order: StopMedia) -> None:
        """Send these streams no more; a session that another one has replaced stops nothing."""
        copy = self._copies[order.copy]
        if copy.session != order.session:
            return
        for label in order.labels:
            copy.wanted.pop(label, None)
        self._set(copy, [_stilled(copy.told.get(label), label) for label in order.labels])

    def pause(self) -> None:
        """Send nothing more, on no copy, from this instant on."""
        self._pause(on=True)

    def resume(self) -> None:
        """Let streams go on that are started from now on: a pause has stopped all that were."""
        self._pause(on=False)

    def close(self, index: int) -> None:
        """Send what is left of a copy and let go of it."""
        copy = self._copies[index]
        if copy.closing:
            return
        copy.closing = True
        for lookup in copy.lookups:
            lookup.cancel()
        try:
            self._media.close_recording(copy.handle)
        except MediaError as error:
            if copy.closed is None:
                self._log.debug("the media engine had let go of the recording", error=str(error))

    def close_all(self, on_closed: Callable[[], None]) -> None:
        """Let go of every copy; `on_closed` is called for each that the engine confirms."""
        self._on_closed = on_closed
        for index in range(len(self._copies)):
            self.close(index)

    def abandon(self) -> None:
        """Let go of every copy, and listen to none any more."""
        for index, copy in enumerate(self._copies):
            self.close(index)
            self._media.forget_recording(copy.handle)

    def let_go(self) -> None:
        """Tell nobody any more: the recording is over, and its record is written."""
        self._tell, self._on_closed = nobody, nobody
        self._guard = self._in_turn = nobody

    async def _start_named(self, copy: _Copy, stream: StreamResult) -> None:
        """Look up an address that a recorder gave as a name (RFC 8866 section 5.7)."""
        host = stream.remote.host if stream.remote is not None else ""
        session = copy.session
        try:
            found = await self._names.addresses(host)
        except NameNotResolvedError as error:
            self._guard(partial(self._fail, session, str(error)))
            return
        own = self._own
        fitting = [text for text in found if own is None or (":" in text) == (own.version == 6)]
        if fitting:
            self._guard(partial(self._found, copy, stream, fitting[0]))
        else:
            self._guard(partial(self._fail, session, f"{host!r} has no address of our family"))

    def _found(self, copy: _Copy, stream: StreamResult, address: str) -> None:
        if copy.wanted.get(stream.label) == stream and not copy.closing:
            self._set(copy, [stream_target(stream, address)])

    def _fail(self, session: int, detail: str) -> None:
        self._tell(MediaFailed(session, detail))

    def _pause(self, *, on: bool) -> None:
        for copy in self._copies:
            if not copy.closing:
                self._media.pause_recording(copy.handle, on=on)

    def _set(self, copy: _Copy, targets: list[RecordingStreamTarget]) -> None:
        if not targets or copy.closing:
            return
        if self.srtp_required:
            targets = [_stilled(each, each.label) if each.srtp is None else each for each in targets]
        copy.told.update({target.label: target for target in targets})
        try:
            self._media.set_recording(copy.handle, RecordingTarget(streams=targets))
        except MediaError as error:
            self._fail(copy.session, f"the media engine refused an order: {error}")

    def _on_engine(self, index: int, event: RecordingEvent) -> None:
        # Told of the session that the streams went to when it came: by its turn they may go to another one.
        session = self._copies[index].session if index < len(self._copies) else 0
        self._in_turn(partial(self._take, index, session, time.monotonic(), event))

    def _take(self, index: int, session: int, at: float, event: RecordingEvent) -> None:
        copy = self._copies[index]
        match event:
            case RecordingFirstPacket(label=label, after_set_ms=after):
                self._log.debug("first packet to the recorder", copy=index, label=label, after_set_ms=after)
                self._tell(FirstPacketSent(session))
            case RecordingUnreachable(label=label, detail=detail):
                self._log.warning("the recorder takes no media", copy=index, label=label, detail=detail)
                self._tell(PeerLost(session, f"nobody takes the media: {detail}", at))
            case RecordingCodecUnsupported(label=label):
                self._log.warning("audio cannot be recorded in the agreed codec", copy=index, label=label)
            case RecordingStats():
                pass
            case RecordingClosed(failure=failure):
                copy.closed = event
                if failure is not None and not copy.closing:
                    self._tell(MediaFailed(session, f"the media engine lost the recording: {failure}"))
                copy.closing = True
                self._on_closed()
            case _:
                assert_never(event)


def _host_of(stream: StreamResult) -> str | None:
    return stream.remote.host if stream.remote is not None else None


def _stilled(told: RecordingStreamTarget | None, label: str) -> RecordingStreamTarget:
    """The same stream, where it was, but sent no more."""
    return silent_target(label) if told is None else msgspec.structs.replace(told, on=False)
