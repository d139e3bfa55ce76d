"""One call at work: brings events to its `B2bua`, carries out what it orders, and sees it to its record."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, assert_never

from sidestream.call.b2bua import B2bua
from sidestream.call.commands import (
    BridgeMedia,
    CancelRequest,
    ClearTimer,
    Command,
    ConfirmAnswer,
    ConfirmProgress,
    EndCall,
    NextHop,
    Report,
    Respond,
    SendAck,
    SendRequest,
    SetTimer,
    UpdateLegMedia,
)
from sidestream.call.events import (
    CallEvent,
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    RecordingRefused,
    RequestArrived,
    RequestTransportFailed,
    TimerFired,
    TimerName,
)
from sidestream.call.facts import CallAnswered, Fact
from sidestream.call.quality import CallQuality
from sidestream.call.record import CallSnapshot
from sidestream.call.setup import CallSetup
from sidestream.call.verdict import Slug, Verdict, verdict
from sidestream.gateway.call_log import log_fact
from sidestream.gateway.engine_messages import CallClosed, CallFailed, CallStats, MediaTimeout, SideStats
from sidestream.gateway.media import CallMedia, Media, MediaError
from sidestream.gateway.names import NameNotResolvedError, Names, numeric
from sidestream.gateway.next_hop import hops_of
from sidestream.gateway.nobody import nobody
from sidestream.gateway.peer_pings import peer_of
from sidestream.gateway.quality_watch import QualityWatch
from sidestream.gateway.recorder import Gate
from sidestream.gateway.sip_orders import SipOrders
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metrics
from sidestream.sdp.negotiate import MediaAddress
from sidestream.sip.builder import response_to
from sidestream.sip.events import ClientKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request

QUEUE_MAX: Final = 500
"""Orders that may wait for a look-up; past it the look-up is cut short and counts as failed."""

FINISH_MAX_S: Final = 90.0
"""After its end a call waits so long for its streams, which give up by themselves within 75 s, and for its
recordings, which take 20 s at most, before its record is written without them."""


class Keys(Protocol):
    """Where a call's transactions are looked up when something of them is heard."""

    def add_client(self, key: ClientKey, runner: "CallRunner", request_id: int) -> None:
        """Note that what is heard on `key` is for the request `request_id` of the call."""
        ...

    def add_dialogs(self, runner: "CallRunner", dialogs: Iterable[tuple[str, str]]) -> None:
        """Note the (Call-ID, our tag) of the call's dialogs; known ones may come again."""
        ...

    def ended(self, runner: "CallRunner", end: "CallEnd") -> None:
        """Take note of the verdict: nothing that is heard concerns the call any more."""
        ...

    def finished(self, runner: "CallRunner", end: "CallEnd") -> None:
        """Take note that everything of the call has come to its end."""
        ...


class Followers(Protocol):
    """The streams and recordings of a call; none of its methods raises."""

    def attach(self, on_over: Callable[[], None], hang_up: Callable[[str], None]) -> None:
        """Take whom to tell when one of them is over, and who ends the call by policy."""
        ...

    def admit(self, gate: Gate) -> None:
        """Let the call go on, at once or when it is recorded as it must be."""
        ...

    def hear(self, fact: Fact) -> None:
        """Take note of a fact."""
        ...

    def hear_media(self, update: UpdateLegMedia) -> None:
        """Take note of what was agreed on a leg."""
        ...

    @property
    def open_count(self) -> int:
        """How many of them are not over."""
        ...

    def give_up(self, detail: str) -> None:
        """End all of them at once."""
        ...


def _unheard(_fact: Fact, _peer: str) -> None:
    """Hear what a call meets, and do nothing."""


@dataclass(frozen=True, slots=True)
class CallTools:
    """What all calls share."""

    sip: SipOrders
    media: Media
    names: Names
    metrics: Metrics
    on_fact: Callable[[Fact, str], None] = _unheard
    """Hears each fact with the URI of the peer that the call is with, to keep the peers' health."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStart:
    """What one call is made from."""

    setup: CallSetup
    began: float
    """Monotonic seconds of `setup.started_at`."""
    media: CallMedia
    invite: RequestArrived
    followers: Followers
    log: Logger
    """Bound to the call."""


@dataclass(slots=True)
class CallEnd:
    """What is known when a call has ended."""

    snapshot: CallSnapshot
    verdict: Verdict
    sides: list[SideStats] = field(default_factory=list)
    media_closed: bool = False


class CallRunner:
    """One call.

    Args:
        tools: what all calls share.
        keys: the table that the call is in.
        start: what the call is made from.
    """

    def __init__(self, tools: CallTools, keys: Keys, start: CallStart) -> None:
        setup = start.setup
        self._tools = tools
        self._keys = keys
        self._media = start.media
        self._invite = start.invite
        self._log = start.log
        self._b2bua = B2bua(setup, start.invite, start.began)
        self._queue: deque[Command] = deque()
        self._executing = False
        self._waiting: asyncio.Task[None] | None = None
        self._timers: dict[TimerName, asyncio.TimerHandle] = {}
        self._requests: dict[int, ClientKey] = {}
        self._watchdog: asyncio.TimerHandle | None = None
        self._finished = False
        self._failure_seen = False
        self._sides: list[SideStats] = []
        self._asked: list[asyncio.Future[None]] = []
        self._watch = QualityWatch(self._ask_figures, start.log)
        self._followers = start.followers
        self._begun = False
        self._peer = ""
        self.setup = setup
        self.end: CallEnd | None = None

    @property
    def source(self) -> str:
        """Where the INVITE came from, as `udp:192.0.2.1:5060`."""
        source = self._invite.source
        return f"{source.transport}:{source.host}:{source.port}"

    def start(self) -> None:
        """Begin: the first peer is tried, at once or when the call is recorded as it must be."""
        self._followers.attach(self.check_finished, self._hang_up)
        self._tools.media.listen_to_call(self._media, self._on_media)
        self._followers.admit(Gate(self._begin, self._refuse))
        if not self._begun and self.end is None:
            self._tools.sip.respond(self._invite.key, response_to(self._invite.request, 100))

    def _begin(self) -> None:
        self._begun = True
        if self.end is None:
            self._guarded(lambda: self._b2bua.start(time.monotonic()))

    def _refuse(self, detail: str, reason: str) -> None:
        self.apply(RecordingRefused(detail, reason))

    def _hang_up(self, detail: str) -> None:
        """End the call by policy, after what is at hand."""
        self._soon(HangUp(HangUpBy.POLICY, detail))

    def apply(self, event: CallEvent) -> None:
        """Bring an event; never raises."""
        if self.end is None:
            self._guarded(lambda: self._b2bua.apply(event, time.monotonic()))

    def snapshot(self) -> CallSnapshot:
        """Return the call as it stands."""
        return self.end.snapshot if self.end else self._b2bua.snapshot()

    @property
    def sides(self) -> list[SideStats]:
        """What was last known of both legs' media; none before it was asked for."""
        return self.end.sides if self.end else self._sides

    @property
    def quality(self) -> CallQuality | None:
        """How the call's media went so far; None when nothing is known of it."""
        return self._watch.quality(self.snapshot().duration_s)

    @property
    def watch(self) -> QualityWatch:
        """What watches its media."""
        return self._watch

    def _ask_figures(self) -> None:
        """Have the engine tell what it knows; when it has let go of the call, it has told all."""
        with contextlib.suppress(MediaError):
            self._tools.media.query_call(self._media)

    async def refresh(self, within: float) -> None:
        """Have the engine tell what it knows of the legs' media, and wait for it, for `within` seconds."""
        asked = asyncio.get_running_loop().create_future()
        try:
            self._tools.media.query_call(self._media)
        except MediaError:
            return  # it has let go of the call, and has told all that it knows
        self._asked.append(asked)
        await asyncio.wait({asked}, timeout=within)

    def check_finished(self) -> None:
        """See whether ports and streams are gone, and then be done."""
        if self.end is None or self._finished:
            return
        if self.end.media_closed and self._followers.open_count == 0:
            self._finish(self.end)

    def abandon(self) -> None:
        """Let go of the call at once: of its parties, its media and whatever still delivers."""
        if self._finished:
            return
        self._followers.give_up("the gateway stopped before everything was delivered")
        end = self.end or self._cut_off(Slug.SHUTDOWN)
        self._finish(end)

    def _guarded(self, step: Callable[[], list[Command]]) -> None:
        """Take a step of the call; an error of ours ends this call and no other."""
        try:
            self._queue.extend(step())
            self._keys.add_dialogs(self, self._b2bua.dialog_ids())
            self._note_failure()
            self._execute_queue()
        except Exception:  # noqa: BLE001 - the one seam between a call's logic and the process
            self._collapse()

    def _note_failure(self) -> None:
        failure = self._b2bua.failure
        if failure is not None and not self._failure_seen:
            self._failure_seen = True
            self._tools.metrics.count(metrics.CALL_FAULTS)
            self._log.error("an error in the logic of the call", exc_info=failure)

    def _execute_queue(self) -> None:
        if self._waiting is not None and len(self._queue) > QUEUE_MAX:
            self._waiting.cancel()
        if self._executing:
            return
        self._executing = True
        try:
            while self._queue and self._waiting is None:
                self._execute(self._queue.popleft())
        finally:
            self._executing = False

    def _execute(self, command: Command) -> None:  # noqa: C901, PLR0912 - one case for each order
        sip = self._tools.sip
        match command:
            case SendRequest():
                self._send_request(command)
            case SendAck(request=request, next_hop=next_hop):
                self._send_ack(request, next_hop)
            case CancelRequest(request_id=request_id, reason=reason):
                if request_id in self._requests:
                    sip.cancel(self._requests[request_id], reason)
            case Respond(key=key, response=response):
                sip.respond(key, response)
            case ConfirmAnswer(key=key):
                sip.confirm_2xx(key)
            case ConfirmProgress(key=key):
                sip.confirm_1xx(key)
            case UpdateLegMedia():
                self._update_leg(command)
            case BridgeMedia(on=on):
                self._order_media(lambda: self._tools.media.bridge(self._media, on=on))
            case SetTimer(name=name, at=at):
                self._set_timer(name, at)
            case ClearTimer(name=name):
                self._clear_timer(name)
            case Report(fact=fact):
                self._report(fact)
            case EndCall(verdict=ending, record=record):
                self._close(ending, record)
            case _:
                assert_never(command)

    def _wait_for(self, work: Coroutine[None, None, None]) -> None:
        """Hold back the orders that follow until `work` is done: a call's messages leave in order."""
        self._waiting = asyncio.get_running_loop().create_task(work, name=f"call {self.setup.call_id}")
        self._waiting.add_done_callback(self._go_on)

    def _go_on(self, task: asyncio.Task[None]) -> None:
        if self._waiting is not task:
            return
        self._waiting = None

        def outcome() -> list[Command]:
            if not task.cancelled():
                task.result()
            return []

        self._guarded(outcome)

    def _send_request(self, command: SendRequest) -> None:
        def send(hops: tuple[Hop, ...]) -> None:
            if not hops:
                self._log.warning("a request has nowhere to go", uri=command.next_hop.uri)
                self._soon(RequestTransportFailed(command.request_id))
                return
            key = self._tools.sip.send_request(command.request, hops)
            self._requests[command.request_id] = key
            self._keys.add_client(key, self, command.request_id)

        self._with_hops(command.next_hop, send)

    def _send_ack(self, ack: Request, next_hop: NextHop) -> None:
        def send(hops: tuple[Hop, ...]) -> None:
            if hops:
                self._tools.sip.send_ack(ack, hops[0])
            else:
                self._log.warning("an ACK has nowhere to go", uri=next_hop.uri)

        self._with_hops(next_hop, send)

    def _with_hops(self, next_hop: NextHop, use: Callable[[tuple[Hop, ...]], None]) -> None:
        """Hand the hops to `use`: at once when they are known, else when they have been looked up."""
        known = next_hop.hops or (self._tools.sip.resolve_now(next_hop.uri) if next_hop.uri else ())
        if known is not None:
            use(hops_of(next_hop, known))
        else:
            self._wait_for(self._look_up(next_hop, use))

    async def _look_up(self, next_hop: NextHop, use: Callable[[tuple[Hop, ...]], None]) -> None:
        hops: tuple[Hop, ...] = ()
        try:
            hops = await self._tools.sip.resolve(next_hop.uri)
        except asyncio.CancelledError:
            if self.end is not None:
                raise
            self._log.warning("a look-up was cut short", uri=next_hop.uri)
        use(hops_of(next_hop, hops))

    def _update_leg(self, update: UpdateLegMedia) -> None:
        self._followers.hear_media(update)
        self._watch.hear_media(update)
        if update.remote is None or numeric(update.remote.host) is not None:
            self._order_media(lambda: self._tools.media.set_leg(self._media, update))
        else:
            self._wait_for(self._update_named_leg(update, update.remote))

    async def _update_named_leg(self, update: UpdateLegMedia, remote: MediaAddress) -> None:
        """Look up a media address that a party gave as a name (RFC 8866 section 5.7)."""
        own = numeric(self.setup.caller.media.host)
        try:
            found = await self._tools.names.addresses(remote.host)
        except NameNotResolvedError as error:
            self._soon(MediaFailed(str(error)))
            return
        fitting = [text for text in found if own is None or (":" in text) == (own.version == 6)]
        if not fitting:
            self._soon(MediaFailed(f"{remote.host!r} has no address of our family"))
            return
        found_at = replace(update, remote=replace(remote, host=fitting[0]))
        self._order_media(lambda: self._tools.media.set_leg(self._media, found_at))

    def _order_media(self, order: Callable[[], None]) -> None:
        try:
            order()
        except MediaError as error:
            self._log.error("the media engine refused an order", error=str(error))
            self._soon(MediaFailed(str(error)))

    def _soon(self, event: CallEvent) -> None:
        """Bring an event after the orders at hand are carried out."""
        asyncio.get_running_loop().call_soon(self.apply, event)

    def _set_timer(self, name: TimerName, at: float) -> None:
        self._clear_timer(name)
        delay = max(0.0, at - time.monotonic())
        self._timers[name] = asyncio.get_running_loop().call_later(delay, self._on_timer, name)

    def _clear_timer(self, name: TimerName) -> None:
        handle = self._timers.pop(name, None)
        if handle is not None:
            handle.cancel()

    def _on_timer(self, name: TimerName) -> None:
        self._timers.pop(name, None)
        self.apply(TimerFired(name))

    def _on_media(self, event: CallClosed | CallFailed | CallStats | MediaTimeout) -> None:
        match event:
            case MediaTimeout(idle_ms=idle):
                self.apply(MediaTimedOut(idle))
            case CallFailed(detail=detail):
                self._log.error("the media engine lost the call", detail=detail)
                self.apply(MediaFailed(detail))
            case CallClosed(sides=sides):
                self._watch.learn(event)
                self._learn_sides(sides)
                if self.end is not None:
                    self.end.sides, self.end.media_closed = sides, True
                    self.check_finished()
            case CallStats(sides=sides):
                self._watch.learn(event)
                self._learn_sides(sides)
            case _:
                assert_never(event)

    def _learn_sides(self, sides: list[SideStats]) -> None:
        self._sides = sides
        for asked in self._asked:
            if not asked.done():
                asked.set_result(None)
        self._asked.clear()

    def _report(self, fact: Fact) -> None:
        if isinstance(fact, CallAnswered):
            self._tools.metrics.observe(
                metrics.CALL_SETUP_SECONDS, (fact.at - self.setup.started_at).total_seconds()
            )
        log_fact(self._log, self.setup, fact)
        self._peer = peer_of(fact, self._peer)
        self._tools.on_fact(fact, self._peer)
        self._followers.hear(fact)
        self._watch.hear(fact)

    def _close(self, ending: Verdict, record: CallSnapshot) -> CallEnd:
        end = self.end = CallEnd(record, ending, self._sides)
        if self._waiting is not None:
            self._waiting.cancel()
        for name in list(self._timers):
            self._clear_timer(name)
        self._watch.close()
        self._queue.clear()
        self._keys.ended(self, end)
        try:
            self._tools.media.close_call(self._media)
        except MediaError as error:
            self._log.warning("the media engine had let go of the call before", error=str(error))
            end.media_closed = True
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(FINISH_MAX_S, self._overdue)
        loop.call_soon(self.check_finished)
        return end

    def _overdue(self) -> None:
        self._log.error("the call's media or streams never came to their end")
        self.abandon()

    def _finish(self, end: CallEnd) -> None:
        self._finished = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._keys.finished(self, end)
        # Without this ring the whole call is let go of here; else it waits for the collector.
        self._followers.attach(nobody, nobody)

    def _collapse(self) -> None:
        """End the call after an error of ours: by its own rules if they still work, else without a word."""
        self._log.exception("an error in the handling of the call")
        self._tools.metrics.count(metrics.CALL_FAULTS)
        if self.end is not None:
            return
        self._followers.give_up("an error in the handling of the call")
        self._cut_off(Slug.INTERNAL_ERROR)

    def _cut_off(self, slug: Slug) -> CallEnd:
        """End the call without its parties; a verdict that was decided before stands."""
        snapshot = self._b2bua.snapshot()
        ending = snapshot.verdict or verdict(slug)
        return self._close(ending, replace(snapshot, state="ended", verdict=ending))
