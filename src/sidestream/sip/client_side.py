"""Requests we send: client transactions, the hops they are tried on, CANCEL (RFC 3261 §8.1, §9.1, §17.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from sidestream.sip.avoidance import Avoidance
from sidestream.sip.builder import ack_for, cancel_for
from sidestream.sip.errors import NotRoutableError
from sidestream.sip.events import (
    ClientKey,
    ClientSilent,
    ClientTimedOut,
    ClientTransportFailed,
    ResponseReceived,
)
from sidestream.sip.hop import Hop, LocalAddresses, Source
from sidestream.sip.matching import ClientMatch, client_match
from sidestream.sip.message import Request, Response
from sidestream.sip.reply_path import via_for
from sidestream.sip.runner import Runner, Transaction
from sidestream.sip.serializer import serialize
from sidestream.sip.tls_failure import TlsTrouble
from sidestream.sip.transaction import INVITE_CLIENT, NON_INVITE_CLIENT, Do, Input, State, Timer

LARGEST_DATAGRAM = 1300
"""RFC 3261 §18.1.1: a request above this size in bytes goes over TCP where the path's MTU is unknown."""

_UNSENT = frozenset({State.CALLING, State.TRYING})
_OPEN = frozenset({State.CALLING, State.TRYING, State.PROCEEDING})
_RETRY_AFTER: Final = re.compile(r"[0-9]{1,9}")


class ClientTransaction(Transaction):
    """One attempt to have a request answered.

    Attributes:
        key: the user's name of the request; None for a CANCEL, which the user does not hear of.
        method: its method.
        request: the request as sent, with its Via; None when nothing more is made from it: what is over is
            remembered for half a minute, and should be small.
        original: the request as given, for the next hop; None likewise.
        branch: its branch.
        later_hops: where to try next.
        cancelled: whether the user gave it up.
        cancel_reason: Reason value of the CANCEL that waits for a provisional response.
        arrived: the response being applied.
        rang: whether a provisional response other than 100 came.
        superseded: whether another hop was tried since; only a 2xx, or any answer to another request than
            INVITE, is still told.
        trouble: why its hop failed, where that was TLS.
    """

    __slots__ = (
        "_side", "arrived", "branch", "cancel_reason", "cancelled", "key", "later_hops", "method",
        "original", "rang", "request", "superseded", "trouble",
    )  # fmt: skip

    def __init__(self, side: ClientSide, key: ClientKey | None, request: Request, hop: Hop) -> None:
        super().__init__(INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT, hop)
        self._side = side
        self.key = key
        self.method = request.method
        self.request: Request | None = request
        self.original: Request | None = request
        self.branch = ""
        self.later_hops: Sequence[Hop] = ()
        self.cancelled = False
        self.cancel_reason: str | None = None
        self.arrived: tuple[Response, Source] | None = None
        self.rang = False
        self.superseded = False
        self.trouble: TlsTrouble | None = None

    @property
    def elsewhere(self) -> list[Hop]:
        """The later hops that lead to another socket than this one, however it is reached."""
        here = (self.hop.host, self.hop.port)
        return [hop for hop in self.later_hops if (hop.host, hop.port) != here]

    @property
    def impatient(self) -> bool:
        """See `Transaction.impatient`."""
        return self.key is not None and (self.machine is INVITE_CLIENT or bool(self.elsewhere))

    @property
    def may_move_on(self) -> bool:
        """Whether another hop may be tried: the user wants it and has heard nothing that this one said."""
        wanted = not (self.cancelled or self.superseded or self.rang)
        return (
            wanted
            and self.key is not None
            and self.original is not None
            and self.state is not State.COMPLETED
        )

    def perform(self, do: Do) -> None:
        """See `Transaction.perform`."""
        runner = self._side.runner
        if do is Do.SEND:
            runner.send(self.data, self.hop)
        elif do is Do.SEND_ACK and self.arrived is not None and self.request is not None:
            runner.send(serialize(ack_for(self.request, self.arrived[0])), self.hop)
        elif do is Do.SILENT or (do is Do.TIMED_OUT and self.may_move_on and self.elsewhere):
            self._side.silent.append(self)
        elif self.key is not None:
            self._tell(do, self.key)

    def _tell(self, do: Do, key: ClientKey) -> None:
        events = self._side.runner.events
        if do is Do.PASS and self.arrived is not None:
            if not self.superseded or self._side.overtakes(self):
                events.append(ResponseReceived(key, *self.arrived))
        elif self.superseded:
            pass
        elif do is Do.TIMED_OUT:
            events.append(ClientTimedOut(key))
        elif do is Do.FAILED:
            events.append(ClientTransportFailed(key, self.trouble))

    def ended(self) -> None:
        """See `Transaction.ended`."""
        self._side.forget(self)


class ClientSide:
    """Every client transaction.

    Args:
        runner: carries out their moves.
        local: our own addresses.
        branch: makes a branch that is unique across space and time, with the magic cookie.

    Attributes:
        silent: transactions whose hop was silent, until `go_on`.
    """

    def __init__(self, runner: Runner, local: LocalAddresses, branch: Callable[[], str]) -> None:
        self.runner = runner
        self._local = local
        self._branch = branch
        self._by_match: dict[ClientMatch, ClientTransaction] = {}
        self._by_key: dict[ClientKey, ClientTransaction] = {}
        self._last_key = 0
        self._avoidance = Avoidance()
        self._overtaken: list[ClientTransaction] = []
        self.silent: list[ClientTransaction] = []

    def __len__(self) -> int:
        return len(self._by_match)

    def send(self, request: Request, hops: Sequence[Hop], now: float) -> ClientKey:
        """See `TransactionLayer.send_request`."""
        if not hops:
            raise NotRoutableError(f"no hop for {request.method} {request.uri}")
        self._last_key += 1
        key = ClientKey(self._last_key)
        self._attempt(key, request, self._avoidance.order(hops, now), now)
        return key

    def send_alone(self, request: Request, hop: Hop) -> None:
        """Send a request that makes no transaction: the ACK of a 2xx."""
        self.runner.send(serialize(self._with_via(request, hop, self._branch())), hop)

    def cancel(self, key: ClientKey, reason: str | None, now: float) -> None:
        """See `TransactionLayer.cancel`."""
        transaction = self._by_key.get(key)
        if transaction is None or transaction.machine is not INVITE_CLIENT or transaction.cancelled:
            return
        transaction.cancelled = True
        transaction.cancel_reason = reason
        if transaction.state is State.PROCEEDING:
            self._send_cancel(transaction, now)

    def receive(self, response: Response, source: Source, now: float) -> bool:
        """Apply a validated response; false when it belongs to no transaction."""
        match = client_match(response)
        transaction = self._by_match.get(match) if match is not None else None
        if transaction is None:
            return False
        transaction.arrived = (response, source)
        before = transaction.state
        cause = _input(response)
        self._take_note(transaction, response, now)
        if response.status == 503 and transaction.may_move_on and transaction.later_hops:
            self._try_after_refusal(transaction, now)
            return True
        self.runner.apply(transaction, cause, now)
        transaction.arrived = None
        if response.status >= 200:
            transaction.original = None
            transaction.later_hops = ()
            if cause is Input.RECEIVED_2XX or transaction.machine is NON_INVITE_CLIENT:
                transaction.request = None  # a refused INVITE is still acknowledged each time
        if transaction.cancelled and before is State.CALLING and transaction.state is State.PROCEEDING:
            self._send_cancel(transaction, now)
        while self._overtaken:
            other = self._overtaken.pop()
            if other.machine is INVITE_CLIENT and other.state is State.PROCEEDING:
                self._send_cancel(other, now)
        return True

    def transport_failed(self, hop: Hop, now: float, trouble: TlsTrouble | None = None) -> None:
        """Every transaction that sends to this hop tries its next one, or fails."""
        if hop.flow is None:
            self._avoidance.failed(hop, now)
        for transaction in [t for t in self._by_match.values() if _sends_to(t.hop, hop)]:
            again = transaction.later_hops and transaction.state in _UNSENT and not transaction.cancelled
            if again and transaction.key is not None and transaction.original is not None:
                self.runner.abandon(transaction)
                self.forget(transaction)
                self._attempt(transaction.key, transaction.original, transaction.later_hops, now)
            else:
                transaction.trouble = trouble
                self.runner.apply(transaction, Input.TRANSPORT_ERROR, now)

    def go_on(self, now: float) -> None:
        """Try the next hop in place of each that was silent, and tell of those that have none."""
        waiting, self.silent = self.silent, []
        for transaction in waiting:
            key, request, hops = transaction.key, transaction.original, transaction.elsewhere
            self._avoidance.failed(transaction.hop, now)
            if key is None or request is None or not transaction.may_move_on:
                continue
            if hops:
                self._supersede(transaction)
                self._attempt(key, request, self._avoidance.order(hops, now), now)
            elif transaction.machine is INVITE_CLIENT:
                self.runner.events.append(ClientSilent(key))

    def overtakes(self, transaction: ClientTransaction) -> bool:
        """Whether what came late to a superseded transaction is the answer all the same.

        It is while the user has no other: its transaction takes the place of the one that was tried since. A
        2xx to INVITE is told beside another one, as that of a fork is.
        """
        current = None if transaction.key is None else self._by_key.get(transaction.key)
        if transaction.arrived is None or current is None or transaction.key is None:
            return False
        status, invite = transaction.arrived[0].status, transaction.machine is INVITE_CLIENT
        if status < 200 or (invite and status >= 300):
            return False
        if current.state in _OPEN and current is not transaction:
            self._by_key[transaction.key] = transaction
            self._supersede(current)
            self._overtaken.append(current)
            return True
        return invite and current.state is State.ACCEPTED

    def forget(self, transaction: ClientTransaction) -> None:
        """Take a transaction out of the books."""
        self._by_match.pop((transaction.branch, transaction.method), None)
        if transaction.key is not None and self._by_key.get(transaction.key) is transaction:
            del self._by_key[transaction.key]

    def _take_note(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Remember what a response says about the hop that it came from."""
        transaction.rang = transaction.rang or 100 < response.status < 200
        if response.status != 503:
            self._avoidance.answered(transaction.hop)
            return
        asked = _RETRY_AFTER.match(response.headers.get("Retry-After") or "")
        if asked is not None:
            self._avoidance.failed(transaction.hop, now, float(asked[0]))

    def _try_after_refusal(self, transaction: ClientTransaction, now: float) -> None:
        """A server that refuses with 503 makes room for the next hop (RFC 3263 §4.3), unheard by the user."""
        key, request, hops = transaction.key, transaction.original, transaction.later_hops
        transaction.key = transaction.original = None
        transaction.later_hops = ()
        self.runner.apply(transaction, Input.RECEIVED_FAILURE, now)
        transaction.arrived = None
        if key is not None and request is not None:
            self._attempt(key, request, hops, now)

    def _supersede(self, transaction: ClientTransaction) -> None:
        """Another hop takes over; an INVITE that rings after all is cancelled (§9.1)."""
        transaction.superseded = transaction.cancelled = True
        transaction.later_hops = ()
        for timer in (Timer.A, Timer.E, Timer.PATIENCE):
            self.runner.stop(transaction, timer)

    def _attempt(self, key: ClientKey, request: Request, hops: Sequence[Hop], now: float) -> None:
        """Try the first hop; each attempt is a transaction with a branch of its own (RFC 3263 §4.3)."""
        branch = self._branch()
        sent = self._with_via(request, hops[0], branch)
        data = serialize(sent)
        if hops[0].transport == "udp" and len(data) > LARGEST_DATAGRAM:
            stream = _stream_for(hops)
            if stream is not None:
                # §18.1.1: TCP first, and back to UDP when the peer turns out to have none.
                hops = [stream, *(hop for hop in hops if hop != stream)]
                sent = self._with_via(request, stream, branch)
                data = serialize(sent)
        transaction = ClientTransaction(self, key, sent, hops[0])
        transaction.original = request
        transaction.later_hops = hops[1:]
        transaction.branch = branch
        transaction.data = data
        self._by_key[key] = transaction
        self._begin(transaction, now)

    def _begin(self, transaction: ClientTransaction, now: float) -> None:
        self._by_match[transaction.branch, transaction.method] = transaction
        self.runner.begin(transaction, now)

    def _with_via(self, request: Request, hop: Hop, branch: str) -> Request:
        sent = request.copy()
        via = via_for(hop.transport, self._local.via(hop.transport, hop), branch)
        sent.headers.prepend("Via", str(via))
        return sent

    def _send_cancel(self, invite: ClientTransaction, now: float) -> None:
        """RFC 3261 §9.1; the INVITE then has 64*T1 to be answered."""
        if invite.request is None:
            return
        request = cancel_for(invite.request, invite.cancel_reason)
        transaction = ClientTransaction(self, None, request, invite.hop)
        transaction.branch = invite.branch
        transaction.data = serialize(request)
        self._begin(transaction, now)
        self.runner.start(invite, Timer.CANCEL_WAIT, now)


def _input(response: Response) -> Input:
    if response.status < 200:
        return Input.RECEIVED_1XX
    return Input.RECEIVED_2XX if response.status < 300 else Input.RECEIVED_FAILURE


def _stream_for(hops: Sequence[Hop]) -> Hop | None:
    """The stream hop that serves in place of the first: on the same host, or else any."""
    streams = [hop for hop in hops if hop.reliable]
    same = (hop for hop in streams if hop.host == hops[0].host)
    return next(same, None) or next(iter(streams), None)


def _sends_to(hop: Hop, failed: Hop) -> bool:
    """Whether what is sent to `hop` goes where the driver found it cannot."""
    if hop.flow is not None and failed.flow is not None:
        return hop.flow == failed.flow and hop.transport == failed.transport
    if hop.domain is not None and failed.domain is not None and hop.domain != failed.domain:
        return False  # another holder of a certificate may well be there
    return (hop.transport, hop.host, hop.port) == (failed.transport, failed.host, failed.port)
