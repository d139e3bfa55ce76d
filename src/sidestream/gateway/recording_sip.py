"""The SIP orders of one recording: each session's messages leave in order, and wait for nobody else's."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from sidestream.call.commands import NextHop
from sidestream.gateway.next_hop import hops_of
from sidestream.gateway.nobody import nobody
from sidestream.gateway.sip_orders import SipOrders
from sidestream.observe.logging import Logger
from sidestream.sip.events import ClientKey
from sidestream.sip.hop import Hop
from sidestream.siprec.commands import Cancel, ConfirmAnswer, Respond, SendAck, SendRequest
from sidestream.siprec.events import RequestTransportFailed, SessionEvent

QUEUE_MAX: Final = 64
"""Messages of a session that may wait for a look-up. A session has one request open at a time; what comes on
top are ACKs for a 2xx that is sent again."""

SipOrder = SendRequest | SendAck | Cancel | Respond | ConfirmAnswer


class RecordingSip:
    """Sends what the sessions of one recording order. It may raise: its caller is the seam.

    Args:
        sip: the stack.
        note: notes that what is heard on a key is for a session's request.
        tell: takes an event, not before the orders at hand are carried out.
        guard: runs what comes later, and keeps its errors.
        log: bound to the recording.
    """

    def __init__(
        self,
        sip: SipOrders,
        note: Callable[[ClientKey, int, int], None],
        tell: Callable[[SessionEvent], None],
        guard: Callable[[Callable[[], None]], None],
        log: Logger,
    ) -> None:
        self._sip = sip
        self._note = note
        self._tell = tell
        self._guard = guard
        self._log = log
        self._queues: dict[int, deque[SendRequest | SendAck]] = {}
        self._lookups: dict[int, asyncio.Task[tuple[Hop, ...]]] = {}
        self._sent: dict[tuple[int, int], ClientKey] = {}

    def execute(self, order: SipOrder) -> None:
        """Carry an order out: at once, or when where it goes has been looked up."""
        match order:
            case SendRequest() | SendAck():
                self._queue(order)
            case Cancel(session=session, request_id=request_id):
                self._cancel(session, request_id)
            case Respond(key=key, response=response):
                self._sip.respond(key, response)
            case ConfirmAnswer(key=key):
                self._sip.confirm_2xx(key)

    def drop(self, session: int) -> None:
        """Forget a session and what it still wanted to send."""
        self._queues.pop(session, None)
        lookup = self._lookups.pop(session, None)
        if lookup is not None:
            lookup.cancel()
        for sent in [each for each in self._sent if each[0] == session]:
            del self._sent[sent]

    def close(self) -> None:
        """Forget everything."""
        for session in {*self._queues, *self._lookups, *(session for session, _ in self._sent)}:
            self.drop(session)
        # Without this ring a recording is let go of with its call; else it waits for the collector.
        self._note, self._tell, self._guard = nobody, nobody, nobody

    def _queue(self, order: SendRequest | SendAck) -> None:
        queue = self._queues.setdefault(order.session, deque())
        if len(queue) >= QUEUE_MAX:
            self._log.warning("a message to a recorder is dropped: too many wait", uri=order.next_hop)
            return
        queue.append(order)
        self._drain(order.session)

    def _drain(self, session: int) -> None:
        """Send what waits, until something has to be looked up."""
        queue = self._queues.get(session)
        while queue and session not in self._lookups:
            hops = self._sip.resolve_now(queue[0].next_hop)
            if hops is None:
                self._look_up(session, queue[0].next_hop)
            else:
                self._send(queue.popleft(), hops)

    def _look_up(self, session: int, uri: str) -> None:
        lookup = asyncio.get_running_loop().create_task(self._resolve(uri), name=f"recorder {uri}")
        self._lookups[session] = lookup
        lookup.add_done_callback(lambda task: self._guard(partial(self._looked_up, session, task)))

    async def _resolve(self, uri: str) -> tuple[Hop, ...]:
        return await self._sip.resolve(uri)

    def _looked_up(self, session: int, lookup: asyncio.Task[tuple[Hop, ...]]) -> None:
        if self._lookups.get(session) is not lookup:
            if not lookup.cancelled():
                lookup.exception()
            return
        del self._lookups[session]
        queue = self._queues.get(session)
        if queue:
            self._send(queue.popleft(), () if lookup.cancelled() else lookup.result())
        self._drain(session)

    def _send(self, order: SendRequest | SendAck, resolved: tuple[Hop, ...]) -> None:
        hops = hops_of(NextHop(order.next_hop, (), order.heard_from), resolved)
        match order:
            case SendAck(request=ack):
                if hops:
                    self._sip.send_ack(ack, hops[0])
                else:
                    self._log.warning("an ACK to a recorder has nowhere to go", uri=order.next_hop)
            case SendRequest(session=session, request_id=request_id, request=request):
                if not hops:
                    detail = f"{order.next_hop} leads nowhere"
                    self._tell(RequestTransportFailed(session, request_id, detail))
                    return
                key = self._sip.send_request(request, hops)
                self._sent[session, request_id] = key
                self._note(key, session, request_id)

    def _cancel(self, session: int, request_id: int) -> None:
        """Cancel a request, or take it back when it has not left yet."""
        key = self._sent.get((session, request_id))
        if key is not None:
            self._sip.cancel(key)
            return
        waiting = self._queues.get(session)
        if waiting is not None:
            waiting.clear()
        self._tell(RequestTransportFailed(session, request_id, "given up before it was sent"))
