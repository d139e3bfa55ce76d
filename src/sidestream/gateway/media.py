"""The media engine as the gateway sees it: orders by method, events by listener."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from sidestream._media import Engine, MediaError, Srtp
from sidestream.call.commands import UpdateLegMedia
from sidestream.gateway.engine_messages import (
    CallClosed,
    CallEvent,
    CallFailed,
    CallStats,
    ConnectAttempt,
    EngineEvent,
    EngineTotals,
    LegCodec,
    LegSpec,
    MediaTimeout,
    RecordingClosed,
    RecordingCodecUnsupported,
    RecordingEvent,
    RecordingFirstPacket,
    RecordingSpec,
    RecordingStats,
    RecordingTarget,
    RecordingUnreachable,
    RemoteAddress,
    StreamClosed,
    StreamEvent,
    StreamSpec,
    decode_events,
    decode_totals,
    encode,
    srtp_of,
)
from sidestream.observe import metrics
from sidestream.observe.logging import Logger, logger
from sidestream.observe.metrics import Metric, Reading

BATCHES_PER_WAKE: Final = 8
"""Batches of events taken before the loop may do something else."""

CallListener = Callable[[CallEvent], None]
StreamListener = Callable[[StreamEvent], None]
RecordingListener = Callable[[RecordingEvent], None]
_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class CallMedia:
    """The legs that the engine holds for a call."""

    handle: int
    caller_port: int
    callee_port: int
    """RTP ports; RTCP is one above."""


class Media:
    """Hands orders down and brings events to those whom they concern.

    Every order may raise `MediaError`.

    Args:
        engine: the native engine.
        log: where events are noted that nobody listens to.
    """

    def __init__(self, engine: Engine, log: Logger | None = None) -> None:
        self._engine = engine
        self._log = log or logger(part="media")
        self._calls: dict[int, CallListener] = {}
        self._streams: dict[int, StreamListener] = {}
        self._recordings: dict[int, RecordingListener] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to take events on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._engine.fileno(), self.take_events)

    def stop(self) -> None:
        """Take the last events and stop the engine's threads."""
        if self._loop is not None:
            self._loop.remove_reader(self._engine.fileno())
            self._loop = None
            self.take_events()
        self._engine.shutdown()

    def open_call(self) -> CallMedia:
        """Bind both legs of a call; nobody listens to it before `listen_to_call`.

        Raises:
            MediaError: `ports_exhausted`, `io`, `limit` or `stopped`.
        """
        return CallMedia(*self._engine.open_call())

    def listen_to_call(self, media: CallMedia, listener: CallListener) -> None:
        """Have a call's events brought to `listener`, until `call_closed`."""
        self._calls[media.handle] = listener

    def set_leg(self, media: CallMedia, update: UpdateLegMedia) -> None:
        """Say what was agreed on a leg; the host of its remote address is numeric."""
        remote = update.remote
        codecs = [
            LegCodec(
                name=codec.name,
                clock_rate=codec.clock_rate,
                channels=codec.channels,
                local_pt=codec.local_pt,
                remote_pt=codec.remote_pt,
            )
            for codec in update.codecs
        ]
        address = (
            RemoteAddress(host=remote.host, rtp_port=remote.rtp_port, rtcp_port=remote.rtcp_port)
            if remote
            else None
        )
        spec = LegSpec(
            side=update.side.value,
            remote=address,
            codecs=codecs,
            ptime_ms=update.ptime_ms,
            held=update.held,
            srtp=srtp_of(update.srtp),
        )
        self._engine.set_leg(media.handle, encode(spec))

    def bridge(self, media: CallMedia, *, on: bool) -> None:
        """Relay media between the legs, or stop it."""
        self._engine.bridge(media.handle, on)

    def query_call(self, media: CallMedia) -> None:
        """Ask for `call_stats`."""
        self._engine.query_call(media.handle)

    def close_call(self, media: CallMedia) -> None:
        """Close the legs; `call_closed` comes with the final statistics."""
        self._engine.close_call(media.handle)

    def open_stream(self, media: CallMedia, spec: StreamSpec, listener: StreamListener) -> int:
        """Begin a stream and return its handle; its events go to `listener`, until `stream_closed`."""
        handle = self._engine.open_stream(media.handle, encode(spec))
        self._streams[handle] = listener
        return handle

    def connect_stream(self, stream: int, attempt: ConnectAttempt) -> None:
        """Make one attempt to connect a stream."""
        self._engine.connect_stream(stream, encode(attempt))

    def send_on_stream(self, stream: int, event: str, body: bytes) -> None:
        """Queue a control message."""
        self._engine.send_on_stream(stream, event, body)

    def pause_stream(self, stream: int, *, on: bool) -> None:
        """Stop a stream's media, or let it go on."""
        self._engine.pause_stream(stream, on)

    def close_stream(self, stream: int, body: bytes, code: int, drain_ms: int) -> None:
        """Deliver what is queued, then `close`; `stream_closed` comes."""
        self._engine.close_stream(stream, body, code, drain_ms)

    def abort_stream(self, stream: int) -> None:
        """Let go of a stream at once; `stream_closed` comes."""
        self._engine.abort_stream(stream)

    def forget_stream(self, stream: int) -> None:
        """Listen to a stream no more."""
        self._streams.pop(stream, None)

    def open_recording(
        self, media: CallMedia, spec: RecordingSpec, listener: RecordingListener
    ) -> tuple[int, list[int]]:
        """Begin to record a call; return the recording's handle and the RTP port of each stream.

        Its events go to `listener`, until `recording_closed`.
        """
        handle, ports = self._engine.open_recording(media.handle, encode(spec))
        self._recordings[handle] = listener
        return handle, ports

    def set_recording(self, recording: int, target: RecordingTarget) -> None:
        """Say what was agreed with the recorder."""
        self._engine.set_recording(recording, encode(target))

    def pause_recording(self, recording: int, *, on: bool) -> None:
        """Stop a recording's media at once, or let it go on."""
        self._engine.pause_recording(recording, on)

    def query_recording(self, recording: int) -> None:
        """Ask for `recording_stats`."""
        self._engine.query_recording(recording)

    def close_recording(self, recording: int) -> None:
        """End a recording; `recording_closed` comes with the final statistics."""
        self._engine.close_recording(recording)

    def forget_recording(self, recording: int) -> None:
        """Listen to a recording no more."""
        self._recordings.pop(recording, None)

    def totals(self) -> EngineTotals:
        """Return the engine's counters."""
        return decode_totals(self._engine.totals())

    def take_events(self) -> None:
        """Bring waiting events to their listeners; what is left makes the descriptor readable again."""
        for _ in range(BATCHES_PER_WAKE):
            try:
                events = decode_events(self._engine.events())
            except msgspec.DecodeError as error:
                self._log.error("the media engine's events cannot be read", error=str(error))
                return
            if not events:
                return
            for event in events:
                self._bring(event)

    def _bring(self, event: EngineEvent) -> None:
        match event:
            case CallClosed() | CallFailed() | CallStats() | MediaTimeout():
                _tell(self._calls, event.call, event, last=isinstance(event, CallClosed))
            case (
                RecordingClosed()
                | RecordingCodecUnsupported()
                | RecordingFirstPacket()
                | RecordingStats()
                | RecordingUnreachable()
            ):
                _tell(self._recordings, event.recording, event, last=isinstance(event, RecordingClosed))
            case _:
                _tell(self._streams, event.stream, event, last=isinstance(event, StreamClosed))


def _tell(listeners: dict[int, Callable[[_Event], None]], handle: int, event: _Event, *, last: bool) -> None:
    """Bring an event to whoever listens to the handle; nobody does after its last one."""
    listener = listeners.get(handle)
    if last:
        listeners.pop(handle, None)
    if listener is not None:
        listener(event)


def read_metrics(totals: EngineTotals) -> dict[Metric, Reading]:
    """Return the engine's counters as metrics."""
    return {
        metrics.MEDIA_CALLS: totals.calls,
        metrics.MEDIA_STREAMS: totals.streams,
        metrics.MEDIA_RECORDINGS: totals.recordings,
        metrics.MEDIA_PORTS_IN_USE: totals.ports_in_use,
        metrics.MEDIA_PORTS: totals.ports_total,
        metrics.MEDIA_PACKETS: {
            ("received",): totals.received_packets,
            ("sent",): totals.sent_packets,
        },
        metrics.MEDIA_REFUSED: {
            ("malformed",): totals.malformed_packets,
            ("alien",): totals.alien_packets,
            ("unauthentic",): totals.unauthentic_packets,
            ("replayed",): totals.replayed_packets,
            ("unsent",): totals.unsent_packets,
        },
        metrics.MEDIA_RTCP: {("received",): totals.rtcp_received, ("sent",): totals.rtcp_sent},
        metrics.STREAM_MESSAGES: totals.stream_messages,
        metrics.STREAM_BYTES: totals.stream_bytes,
        metrics.STREAM_DROPPED: totals.stream_dropped_samples,
        metrics.RECORDING_PACKETS: totals.recording_packets,
        metrics.RECORDING_UNSENT: totals.recording_unsent,
        metrics.MEDIA_EVENTS_DROPPED: totals.events_dropped,
    }


__all__ = ["CallMedia", "Media", "MediaError", "Srtp", "read_metrics"]
