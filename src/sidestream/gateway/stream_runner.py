"""One stream at work: brings facts and the engine's events to its session, and carries out what it orders."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import assert_never

from sidestream.call.facts import (
    CallAnswered,
    CallHeld,
    CallResumed,
    DtmfReceived,
    Fact,
    HeaderList,
    HeadersChanged,
    ParticipantUpdated,
)
from sidestream.call.side import Side
from sidestream.config.denied import is_denied
from sidestream.config.values import Network
from sidestream.errors import StateError
from sidestream.gateway.engine_messages import (
    KeyPress,
    StreamClosed,
    StreamCodecUnsupported,
    StreamConnected,
    StreamConnectFailed,
    StreamEvent,
    StreamLost,
    StreamText,
)
from sidestream.gateway.media import CallMedia, Media, MediaError
from sidestream.gateway.names import NameNotResolvedError, Names
from sidestream.gateway.nobody import nobody
from sidestream.gateway.records import StreamRecord, delivery, describe
from sidestream.gateway.stream_plan import (
    CHANNELS,
    Connection,
    StreamIdentity,
    connect_attempt,
    forwarded,
    participant_body,
    stream_spec,
)
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metrics
from sidestream.stream.events import (
    AbortAsked,
    AbortStream,
    AttemptFailed,
    CloseStream,
    Connected,
    ConnectEndpoint,
    ConnectionLost,
    EndAsked,
    EngineClosed,
    FactLearned,
    FinishStream,
    KeyPressed,
    PauseMedia,
    SendMessage,
    SessionCommand,
    SessionEvent,
    TextReceived,
    TimerFired,
)
from sidestream.stream.messages import (
    CallAnsweredData,
    CallHeadersData,
    Dtmf,
    DtmfSource,
    EmptyData,
    MetadataData,
    encode,
    rfc3339,
)
from sidestream.stream.press import PressMerger
from sidestream.stream.reconnect import ReconnectPolicy
from sidestream.stream.session import CLOSE_NORMAL, SessionSetup, StreamSession
from sidestream.stream.upgrade import parse_endpoint
from sidestream.stream.verdicts import AttemptFailure, StreamResult, StreamSlug, StreamVerdict

CLEAN_LOSS = "closed_by_endpoint"


class AddressDeniedError(Exception):
    """Every address of an endpoint is in a network where none may be."""


@dataclass(frozen=True, slots=True)
class CallClock:
    """The call's time: wall-clock instants that follow the monotonic clock from the call's begin on."""

    began: float
    """Monotonic seconds of `started_at`."""
    started_at: datetime

    def wall(self) -> datetime:
        """The instant of now (UTC)."""
        return self.started_at + timedelta(seconds=time.monotonic() - self.began)


@dataclass(frozen=True, slots=True)
class StreamTools:
    """What all streams share."""

    media: Media
    names: Names
    metrics: Metrics
    denied: tuple[Network, ...]
    """Networks that no endpoint may be in."""
    ca_pem: Callable[[Path | None], str | None]
    """Gives the text of a configured bundle of authorities; None for the system's."""


class StreamRunner:
    """One stream.

    It may raise from any method: whoever calls it is the seam that keeps its errors away from the call.

    Args:
        tools: what all streams share.
        stream: its name, call and format.
        clock: the call's time.
        log: bound to the call.
        on_over: called once, when the stream has its verdict.
    """

    def __init__(
        self,
        tools: StreamTools,
        stream: StreamIdentity,
        clock: CallClock,
        log: Logger,
        on_over: Callable[[], None],
    ) -> None:
        integration = stream.choice.integration
        self._tools = tools
        self._stream = stream
        self._clock = clock
        self._log = log.bind(stream_id=stream.stream_id, integration=integration.name)
        self._on_over = on_over
        self._merger = PressMerger()
        self._headers: dict[Side, dict[str, list[str]]] = {}
        self._participants = {each.side: each for each in (stream.call.caller, stream.call.callee)}
        self._attempt: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handle: int | None = None
        self._closed: StreamClosed | None = None
        self._guard: Callable[[Callable[[], None]], None] = _run
        policy = ReconnectPolicy(window_s=integration.reconnect_window)
        setup = SessionSetup(integration.urls, stream.started_at, stream.format.sample_rate, policy)
        self._session = StreamSession(setup, random.random, time.monotonic())
        self.verdict: StreamVerdict | None = None
        self.ended_at: datetime | None = None

    @property
    def stream_id(self) -> str:
        """Its name."""
        return self._stream.stream_id

    def begin(self, media: CallMedia, guard: Callable[[Callable[[], None]], None]) -> None:
        """Open the stream in the engine and try the first endpoint.

        Args:
            media: the call's legs.
            guard: runs what comes later (timers, events, attempts) and keeps its errors.

        Raises:
            MediaError: the engine refused it.
        """
        self._guard = guard
        self._handle = self._tools.media.open_stream(media, stream_spec(self._stream), self._on_engine)
        form = self._stream.format
        self._log.info(
            "stream begun", encoding=form.encoding, sample_rate=form.sample_rate, layout=form.layout
        )
        self._carry_out(self._session.start())

    def apply(self, event: SessionEvent) -> None:
        """Bring an event to the session."""
        if self.verdict is None:
            self._carry_out(self._session.apply(event, time.monotonic()))

    def hear(self, fact: Fact) -> None:
        """Tell the endpoint a fact of the call, when it is one for it."""
        match fact:
            case CallAnswered(at=at):
                self._learn("call.answered", CallAnsweredData(answered_at=rfc3339(at)), at)
            case CallHeld(at=at, side=side):
                self._learn("call.held", EmptyData(), at, self._participants[side].id)
            case CallResumed(at=at, side=side):
                self._learn("call.resumed", EmptyData(), at, self._participants[side].id)
            case HeadersChanged(at=at, side=side, headers=headers):
                self.tell_headers(headers, at, side)
            case ParticipantUpdated(at=at, participant=participant):
                self._participants[participant.side] = participant
                self._learn("participant.updated", participant_body(participant), at, participant.id)
            case DtmfReceived(at=at, side=side, digit=digit, duration_ms=duration):
                self._hear_info(side, digit, duration, at)
            case _:
                pass

    def tell_headers(self, headers: HeaderList, at: datetime, side: Side) -> None:
        """Tell the forwarded headers that a side sent, when they differ from what was told before.

        A message within the call that leaves a header out does not take it back (few peers repeat them all).
        """
        wanted = self._stream.choice.integration.forward_headers
        if not wanted:
            return
        known = self._headers.get(side)
        now = {**(known or {}), **forwarded(headers, wanted)}
        if now != (known if known is not None or side is Side.A else {}):
            self._headers[side] = now
            self._learn("call.headers", CallHeadersData(headers=now), at, self._participants[side].id)

    def end(self, slug: StreamSlug, detail: str) -> None:
        """Deliver what is queued, then close."""
        self.apply(EndAsked(slug, detail, self._clock.wall()))

    def give_up(self, detail: str) -> None:
        """Let go of it at once, delivered or not."""
        self.apply(AbortAsked(StreamSlug.SHUTDOWN, detail))
        self.finish(StreamVerdict(StreamSlug.SHUTDOWN, detail))

    def fail(self, detail: str) -> None:
        """End after an error of ours; asks neither session nor endpoint."""
        if self._handle is not None and self._closed is None:
            try:
                self._tools.media.abort_stream(self._handle)
            except MediaError as error:
                self._log.warning("the media engine had let go of the stream before", error=str(error))
        self.finish(StreamVerdict(StreamSlug.ENGINE_ERROR, detail))

    def finish(self, verdict: StreamVerdict) -> None:
        """Take the verdict, once, and let go of everything."""
        if self.verdict is not None:
            return
        self.verdict, self.ended_at = verdict, self._clock.wall()
        if self._timer is not None:
            self._timer.cancel()
        if self._attempt is not None:
            self._attempt.cancel()
        if self._handle is not None:
            self._tools.media.forget_stream(self._handle)
        self._tools.metrics.count(metrics.STREAMS, verdict.slug.value, verdict.result.value)
        write = self._log.warning if verdict.result is StreamResult.FAILED else self._log.info
        write("stream ended", **describe(verdict), connections=self._session.connections)
        on_over, self._on_over, self._guard = self._on_over, nobody, nobody
        on_over()

    def record(self) -> StreamRecord:
        """Return the stream for the call's record."""
        verdict = self.verdict or StreamVerdict(StreamSlug.ENGINE_ERROR, "the stream has no end")
        return StreamRecord(
            stream_id=self._stream.stream_id,
            integration=self._stream.choice.integration.name,
            voice_service=self._stream.choice.service,
            started_at=self._stream.started_at,
            ended_at=self.ended_at or self._clock.wall(),
            verdict=verdict.slug.value,
            result=verdict.result.value,
            detail=verdict.detail,
            connections=self._session.connections,
            malformed=self._session.malformed,
            delivered=delivery(self._closed) if self._closed else None,
        )

    def _learn(self, kind: str, data: MetadataData, at: datetime, participant: str | None = None) -> None:
        self.apply(FactLearned(kind, data, at, participant))

    def _hear_info(self, side: Side, digit: str, duration_ms: int, at: datetime) -> None:
        began = (at - self._stream.started_at).total_seconds() - duration_ms / 1000
        timestamp = max(0, round(began * self._stream.format.sample_rate))
        self._press(side, digit, "sip-info", duration_ms, timestamp)

    def _press(self, side: Side, digit: str, source: DtmfSource, duration_ms: int, timestamp: int) -> None:
        if not self._merger.is_new(side.value, digit, source, time.monotonic()):
            return
        body = Dtmf(
            channel=CHANNELS[side],
            participant_id=self._participants[side].id,
            digit=digit,
            duration_ms=duration_ms,
            timestamp=timestamp,
            source=source,
        )
        self.apply(KeyPressed(body))

    def _carry_out(self, commands: list[SessionCommand]) -> None:
        for command in commands:
            self._execute(command)
        self._arm()

    def _execute(self, command: SessionCommand) -> None:
        media, handle = self._tools.media, self._handle
        if handle is None:
            raise StateError("a stream that is not open gets no orders")
        match command:
            case ConnectEndpoint(endpoint=url, connection=number, resumed=resumed):
                self._connect(url, number, resumed=resumed)
            case SendMessage(event=event, body=body):
                media.send_on_stream(handle, event, encode(body))
            case PauseMedia(on=on):
                media.pause_stream(handle, on=on)
            case CloseStream(body=body, code=code, drain_ms=drain_ms):
                media.close_stream(handle, encode(body), code, drain_ms)
            case AbortStream():
                media.abort_stream(handle)
            case FinishStream(verdict=verdict):
                self.finish(verdict)
            case _:
                assert_never(command)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if self.verdict is not None else self._session.timer()
        if due is not None:
            delay = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._guard(lambda: self.apply(TimerFired()))

    def _connect(self, url: str, number: int, *, resumed: bool) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
        work = self._try_endpoint(url, number, resumed=resumed)
        self._attempt = asyncio.get_running_loop().create_task(work, name=f"stream {self._stream.stream_id}")

    async def _try_endpoint(self, url: str, number: int, *, resumed: bool) -> None:
        """Resolve the endpoint and have the engine connect; what fails before that fails the attempt."""
        try:
            endpoint = parse_endpoint(url)
            addresses = await self._allowed_addresses(endpoint.host)
            ca_pem = self._tools.ca_pem(self._stream.choice.integration.ca)
            connection = Connection(
                endpoint=endpoint, addresses=addresses, ca_pem=ca_pem, number=number, resumed=resumed
            )
            if self._handle is not None and self.verdict is None:
                self._tools.media.connect_stream(self._handle, connect_attempt(self._stream, connection))
        except NameNotResolvedError as error:
            failure, detail = AttemptFailure.NAME_NOT_RESOLVED, str(error)
        except AddressDeniedError as error:
            failure, detail = AttemptFailure.ADDRESS_DENIED, str(error)
        except OSError as error:
            # Only a bundle of authorities is read here: without it no certificate can be trusted.
            failure, detail = AttemptFailure.TLS_CERTIFICATE, f"{error.filename}: {error.strerror}"
        except MediaError as error:
            failure, detail = AttemptFailure.ENGINE, str(error)
        except Exception as error:  # noqa: BLE001 - told to the session, which gives the stream its verdict
            self._log.exception("an error in the making of a connection")
            self._tools.metrics.count(metrics.STREAM_FAULTS)
            failure, detail = AttemptFailure.ENGINE, f"{type(error).__name__} in the making of the connection"
        else:
            return
        self._guard(lambda: self._attempt_failed(failure, detail, None))

    async def _allowed_addresses(self, host: str) -> list[str]:
        found = await self._tools.names.addresses(host)
        allowed = [text for text in found if not is_denied(ip_address(text), self._tools.denied)]
        if not allowed:
            raise AddressDeniedError(f"{host!r} is {', '.join(found)}, where no endpoint may be")
        return allowed

    def _attempt_failed(self, failure: AttemptFailure, detail: str, http_status: int | None) -> None:
        self._tools.metrics.count(metrics.STREAM_CONNECT_FAILURES, failure.value)
        self._log.warning(
            "endpoint not connected", reason=failure.value, detail=detail, http_status=http_status
        )
        self.apply(AttemptFailed(failure, detail, http_status))

    def _on_engine(self, event: StreamEvent) -> None:
        self._guard(lambda: self._take(event))

    def _take(self, event: StreamEvent) -> None:
        match event:
            case StreamConnected(address=address, tls_version=tls, connect_ms=connect_ms):
                self._tools.metrics.count(
                    metrics.STREAM_CONNECTIONS, str(self._session.connections > 0).lower()
                )
                self._tools.metrics.observe(metrics.STREAM_CONNECT_SECONDS, connect_ms / 1000)
                self._log.info("endpoint connected", address=address, tls=tls, connect_ms=connect_ms)
                self.apply(Connected())
            case StreamConnectFailed(reason=reason, detail=detail, http_status=status):
                self._attempt_failed(_failure_of(reason), detail, status)
            case StreamLost(reason=reason, detail=detail, close_code=code):
                self._tools.metrics.count(metrics.STREAM_LOSSES, reason)
                self._log.warning("endpoint lost", reason=reason, detail=detail, close_code=code)
                clean = reason == CLEAN_LOSS and code == CLOSE_NORMAL
                self.apply(ConnectionLost(reason, detail, clean))
            case StreamText(text=text):
                self.apply(TextReceived(text, self._clock.wall()))
            case KeyPress(side=side, digit=digit, duration_ms=duration, timestamp=timestamp):
                self._press(Side(side), digit, "rfc4733", duration, timestamp)
            case StreamCodecUnsupported(side=side):
                who = self._participants[Side(side)].id
                self.end(StreamSlug.CODEC_UNSUPPORTED, f"the {who} sends audio that cannot be streamed")
            case StreamClosed(close_sent=close_sent):
                self._closed = event
                self.apply(EngineClosed(close_sent))
            case _:
                assert_never(event)


def _run(step: Callable[[], None]) -> None:
    step()


def _failure_of(reason: str) -> AttemptFailure:
    try:
        return AttemptFailure(reason)
    except ValueError:
        return AttemptFailure.ENGINE
