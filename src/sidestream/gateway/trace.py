"""Keeps what each call says and does, for troubleshooting: taps SIP and joins it to calls.

Runs on the loop and does little for each message: it masks secrets, finds the call by the Call-ID and
appends. Messages whose call is not known yet (an INVITE is heard before there is a call) wait for some
seconds. Nothing here waits for anything, and everything has a bound: what does not fit is left out and
counted. After a call's end its trace goes to the store, which writes it.
"""

import asyncio
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from sidestream.config.observing import Trace
from sidestream.gateway.call_store import CallStore, EndedCall
from sidestream.observe.call_trace import CallTrace, Leg, TracedEvent, TracedMessage
from sidestream.observe.sip_secrets import mask_message
from sidestream.sip.hop import Source

LINGER_S: Final = 5.0
"""How long after a call's end its last messages are still waited for."""
UNKNOWN_S: Final = 5.0
"""How long messages wait for their call."""
UNKNOWN_MAX: Final = 2_000
"""Call-IDs that may wait; OPTIONS and the like never find a call."""
UNKNOWN_BYTES: Final = 4 * 1024 * 1024
MESSAGE_COST: Final = 256
"""Bytes of memory that a message takes beside its text."""
EVENT_COST: Final = 512
EVENTS_SHARE: Final = 4
"""A call's events may take this part of its bound beside its messages."""
DIALOGS_MAX: Final = 64
"""Call-IDs of one call."""
_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - nothing is bound to it here
_CALL_ID: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\s]{1,256})", re.IGNORECASE)

T = TypeVar("T")
Export = Callable[[str, TracedMessage], None]


class _Ends(Generic[T]):
    """A list with a bound in bytes that keeps its begin and its end."""

    __slots__ = ("_limit", "_sizes", "_tail", "bytes", "head", "omitted")

    def __init__(self, limit: int) -> None:
        self.head: list[T] = []
        self.bytes = 0
        self.omitted = 0
        self._limit = limit
        self._tail: deque[T] | None = None
        self._sizes: deque[int] = deque()

    def add(self, item: T, size: int) -> None:
        if self._tail is None:
            if self.bytes + size <= self._limit // 2:
                self.head.append(item)
                self.bytes += size
                return
            self._tail = deque()
        self._tail.append(item)
        self._sizes.append(size)
        self.bytes += size
        while self._tail and self.bytes > self._limit:
            self._tail.popleft()
            self.bytes -= self._sizes.popleft()
            self.omitted += 1

    def all(self) -> list[T]:
        return [*self.head, *self._tail] if self._tail else list(self.head)


@dataclass(slots=True)
class _Kept:
    """What is kept of one call."""

    call_id: str
    messages: _Ends[TracedMessage]
    events: _Ends[TracedEvent]
    dialogs: set[str] = field(default_factory=set)
    missed: int = 0
    """Left out for want of memory."""
    ended: EndedCall | None = None

    @property
    def bytes(self) -> int:
        return self.messages.bytes + self.events.bytes


@dataclass(slots=True)
class _Unknown:
    """Messages of one Call-ID that has no call yet."""

    since: float
    messages: list[tuple[int, bool, Source, bytes]] = field(default_factory=list)
    bytes: int = 0


@dataclass(slots=True)
class TraceCounts:
    """What was kept and left out."""

    messages: int = 0
    omitted: int = 0


class Traces:
    """The traces of all calls. Used from the loop's thread only; no method raises or waits.

    Args:
        node: name of the gateway.
        home: our address, where a listener is bound to all of them.
        options: bounds.
        store: where ended calls go.
        export: gets each message of each call, masked; None: nobody does.
    """

    def __init__(
        self, node: str, home: str, options: Trace, store: CallStore, export: Export | None = None
    ) -> None:
        self._node = node
        self._home = home
        self._options = options
        self._store = store
        self._export = export
        self._calls: dict[str, _Kept] = {}
        self._dialogs: dict[str, tuple[_Kept, Leg, str]] = {}
        self._unknown: OrderedDict[str, _Unknown] = OrderedDict()
        self._unknown_bytes = 0
        self._bytes = 0
        self._ending: deque[tuple[float, _Kept]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.counts = TraceCounts()

    @property
    def listens(self) -> bool:
        """Whether anybody wants SIP messages."""
        return self._options.enabled or self._export is not None

    @property
    def kept_bytes(self) -> int:
        """Memory that is taken."""
        return self._bytes + self._unknown_bytes + self._store.waiting_bytes

    # --- what is heard -----------------------------------------------------------------------------------

    def tap(self, sent: bool, data: bytes, peer: Source) -> None:
        """Take a message that was received or sent."""
        sip_call_id = call_id_of(data)
        if sip_call_id is None:
            return
        at_us = time.time_ns() // 1000
        known = self._dialogs.get(sip_call_id)
        data = mask_message(data)
        if known is not None:
            self._keep(known, (at_us, sent, peer, data))
        else:
            self._wait_for_call(sip_call_id, (at_us, sent, peer, data))

    def claim(self, call_id: str, sip_call_id: str, leg: Leg, party: str) -> None:
        """Take messages with a Call-ID, those heard before included, as those of a call's leg.

        Args:
            call_id: the call; known from its first claim on.
            sip_call_id: of the leg's dialog.
            leg: which leg.
            party: its trunk, or the integration of a recording.
        """
        kept = self._calls.get(call_id)
        if kept is None:
            bound = self._options.per_call if self._options.enabled else 0
            kept = self._calls[call_id] = _Kept(call_id, _Ends(bound), _Ends(bound // EVENTS_SHARE))
        if sip_call_id in self._dialogs or len(kept.dialogs) >= DIALOGS_MAX:
            return
        kept.dialogs.add(sip_call_id)
        place = self._dialogs[sip_call_id] = (kept, leg, party)
        waiting = self._unknown.pop(sip_call_id, None)
        if waiting is not None:
            self._unknown_bytes -= waiting.bytes
            for heard in waiting.messages:
                self._keep(place, heard)

    def note(self, call_id: str, level: str, name: str, detail: dict[str, str]) -> None:
        """Take something that happened to a call."""
        kept = self._calls.get(call_id)
        if kept is None or not self._options.enabled:
            return
        event = TracedEvent(time.time_ns() // 1000, level, name, detail)
        self._add(kept, kept.events, event, EVENT_COST)

    def finished(self, ended: EndedCall) -> None:
        """Take a call's record: after its last messages it goes to the store."""
        kept = self._calls.get(ended.call_id)
        if kept is None:
            self._store.put(ended)
            return
        kept.ended = ended
        self._bytes += ended.size
        self._ending.append((time.monotonic() + LINGER_S, kept))
        self._arm()

    def close(self) -> None:
        """Hand all ended calls to the store."""
        if self._timer is not None:
            self._timer.cancel()
        while self._ending:
            self._hand_on(self._ending.popleft()[1])

    # --- what is asked -----------------------------------------------------------------------------------

    def trace(self, call_id: str) -> CallTrace | None:
        """Return what is kept of a call that lives or has just ended."""
        kept = self._calls.get(call_id)
        return None if kept is None or not self._options.enabled else self._trace_of(kept)

    def recent(self) -> dict[str, EndedCall]:
        """Return the calls that have ended and are not in the store yet."""
        return {kept.call_id: kept.ended for _, kept in self._ending if kept.ended is not None}

    # --- within ------------------------------------------------------------------------------------------

    def _wait_for_call(self, sip_call_id: str, heard: tuple[int, bool, Source, bytes]) -> None:
        now = time.monotonic()
        waiting = self._unknown.get(sip_call_id)
        if waiting is None:
            waiting = self._unknown[sip_call_id] = _Unknown(now)
        size = len(heard[3]) + MESSAGE_COST
        waiting.messages.append(heard)
        waiting.bytes += size
        self._unknown_bytes += size
        while self._unknown:
            oldest = next(iter(self._unknown.values()))
            crowded = len(self._unknown) > UNKNOWN_MAX or self._unknown_bytes > UNKNOWN_BYTES
            if not crowded and now - oldest.since <= UNKNOWN_S:
                break
            self._unknown_bytes -= self._unknown.popitem(last=False)[1].bytes

    def _keep(self, place: tuple[_Kept, Leg, str], heard: tuple[int, bool, Source, bytes]) -> None:
        (kept, leg, party), (at_us, sent, peer, data) = place, heard
        local = peer.local_host
        if local in _ANYWHERE:
            local = self._home
        message = TracedMessage(
            at_us, leg, party, sent, peer.transport, local, peer.local_port, peer.host, peer.port, data
        )
        if self._export is not None:
            self._export(kept.call_id, message)
        if self._options.enabled:
            self._add(kept, kept.messages, message, len(data) + MESSAGE_COST)

    def _add(self, kept: _Kept, ends: _Ends[T], item: T, size: int) -> None:
        if self.kept_bytes + size > self._options.memory:
            kept.missed += 1
            self.counts.omitted += 1
            return
        bytes_before, omitted_before = ends.bytes, ends.omitted
        ends.add(item, size)
        self._bytes += ends.bytes - bytes_before
        self.counts.messages += 1
        self.counts.omitted += ends.omitted - omitted_before

    def _trace_of(self, kept: _Kept) -> CallTrace:
        return CallTrace(
            call_id=kept.call_id,
            node=self._node,
            messages=kept.messages.all(),
            events=kept.events.all(),
            omitted=kept.missed + kept.messages.omitted + kept.events.omitted,
        )

    def _arm(self) -> None:
        if self._timer is None and self._ending:
            delay = max(0.0, self._ending[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay + 0.1, self._hand_on_due)

    def _hand_on_due(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._ending and self._ending[0][0] <= now:
            self._hand_on(self._ending.popleft()[1])
        self._arm()

    def _hand_on(self, kept: _Kept) -> None:
        """Give a call to the store and forget it."""
        del self._calls[kept.call_id]
        for dialog in kept.dialogs:
            del self._dialogs[dialog]
        self._bytes -= kept.bytes
        if kept.ended is not None:
            self._bytes -= kept.ended.size
            trace = self._trace_of(kept) if self._options.enabled else None
            self._store.put(_with_trace(kept.ended, trace, kept.bytes))


def _with_trace(ended: EndedCall, trace: CallTrace | None, size: int) -> EndedCall:
    return EndedCall(
        call_id=ended.call_id,
        ended_us=ended.ended_us,
        parties=ended.parties,
        record=ended.record,
        trace=trace,
        size=ended.size + size,
    )


def call_id_of(data: bytes) -> str | None:
    """Return the Call-ID of a message, None when it has none.

    The first one counts, in the head of the message or not: it only decides where the message is kept.
    """
    begin = data.find(b"\nCall-ID: ")
    if begin >= 0:
        end = data.find(b"\r", begin + 10)
        if 0 < end - begin - 10 <= 256:
            return _text(data[begin + 10 : end].strip())
    found = _CALL_ID.search(data)
    return None if found is None else _text(found[1])


def _text(value: bytes) -> str:
    """Return a header's value as the parser of messages has it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
