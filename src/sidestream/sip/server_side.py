"""Requests we receive: server transactions and what is answered without the user (RFC 3261 §8.2, §17.2)."""

from __future__ import annotations

from hashlib import blake2s

from sidestream.sip.admission import Admission, Refusal
from sidestream.sip.builder import response_to
from sidestream.sip.errors import ParseError
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    PrackTimedOut,
    RequestReceived,
    ServerKey,
    ServerTransportFailed,
)
from sidestream.sip.hop import Hop, Source
from sidestream.sip.matching import MergeMatch, ServerMatch, merge_match, server_match
from sidestream.sip.message import Request, Response
from sidestream.sip.reply_path import response_hop, stamp_via
from sidestream.sip.runner import Runner, Transaction
from sidestream.sip.serializer import serialize
from sidestream.sip.transaction import INVITE_SERVER, NON_INVITE_SERVER, Do, Input, State

RETRY_AFTER_S = 5
"""What Retry-After says when there are too many transactions."""


class ServerTransaction(Transaction):
    """One request we answer.

    Attributes:
        key: the user's name of it.
        request: the request, its Via stamped; None after its final answer, which is all that is sent again.
        source: where it came from.
        match: what its repetitions have in common with it.
        merge: what its copies over other paths have in common with it.
        to_tag: the tag our answers carry.
        reliable: the provisional response that waits for its PRACK.
        silent: whether the layer answers it itself, so that the user does not hear of it.
        ack: the ACK being applied.
    """

    __slots__ = ("_side", "ack", "key", "match", "merge", "reliable", "request", "silent", "source", "to_tag")

    def __init__(self, side: ServerSide, key: ServerKey, request: Request, source: Source) -> None:
        hop = response_hop(request.top_via, source)
        super().__init__(INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER, hop)
        self._side = side
        self.key = key
        self.request: Request | None = request
        self.source = source
        self.match: ServerMatch = ()
        self.merge: MergeMatch | None = None
        self.to_tag: str | None = None
        self.reliable = b""
        self.silent = False
        self.ack: tuple[Request, Source] | None = None

    def perform(self, do: Do) -> None:  # noqa: C901 - one line for each act
        """See `Transaction.perform`."""
        runner = self._side.runner
        if do is Do.SEND:
            # A request that is repeated before its first answer has nothing to repeat.
            if self.data:
                runner.send(self.data, self.hop)
        elif do is Do.SEND_100 and self.request is not None:
            self.data = serialize(response_to(self.request, 100))
            runner.send(self.data, self.hop)
        elif do is Do.SEND_RELIABLE:
            runner.send(self.reliable, self.hop)
        elif self.silent:
            pass
        elif do is Do.PASS and self.ack is not None:
            runner.events.append(AckReceived(*self.ack))
        elif do is Do.PASS and self.request is not None:
            runner.events.append(RequestReceived(self.key, self.request, self.source))
        elif do is Do.FAILED:
            runner.events.append(ServerTransportFailed(self.key))
        elif do is Do.ACK_TIMED_OUT:
            runner.events.append(AckTimedOut(self.key))
        elif do is Do.PRACK_TIMED_OUT:
            runner.events.append(PrackTimedOut(self.key))

    def ended(self) -> None:
        """See `Transaction.ended`."""
        self._side.forget(self)


class ServerSide:
    """Every server transaction.

    Args:
        runner: carries out their moves.
        admission: which requests reach the user.
        limit: most transactions; above it new calls get 503, above twice as many every new request.
    """

    def __init__(self, runner: Runner, admission: Admission, limit: int) -> None:
        self.runner = runner
        self._admission = admission
        self._limit = limit
        self._by_match: dict[ServerMatch, ServerTransaction] = {}
        self._by_key: dict[ServerKey, ServerTransaction] = {}
        self._by_merge: dict[MergeMatch, ServerTransaction] = {}
        self._last_key = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def receive(self, request: Request, source: Source, now: float) -> None:
        """Apply a validated request."""
        if request.method == "ACK":
            self._receive_ack(request, source, now)
            return
        match = server_match(request, request.method)
        transaction = self._by_match.get(match)
        if transaction is not None:
            self.runner.apply(transaction, Input.RECEIVED_AGAIN, now)
            return
        if self._overloaded(request):
            self.runner.counts.overload += 1
            overload = Refusal(503, headers=(("Retry-After", str(RETRY_AFTER_S)),))
            self.refuse_alone(request, overload, source)
        elif request.method == "CANCEL":
            self._receive_cancel(request, match, source, now)
        else:
            self._receive_new(request, match, source, now)

    def _overloaded(self, request: Request) -> bool:
        """Too many transactions to begin a call; twice as many to take any request."""
        begins = request.to_tag is None and request.method != "CANCEL"
        return len(self) >= (self._limit if begins else 2 * self._limit)

    def respond(self, key: ServerKey, response: Response, now: float) -> None:
        """See `TransactionLayer.respond`."""
        transaction = self._by_key.get(key)
        if transaction is None or _is_forbidden(response, transaction):
            return
        cause = _input(response, transaction)
        move = transaction.machine.move(transaction.state, cause)
        if Do.SEND in move.do:
            transaction.data = serialize(response)
            transaction.to_tag = response.to_tag
            if cause is not Input.ANSWER_1XX and transaction.state is State.PROCEEDING:
                transaction.interval = 0.0  # what is repeated from now on begins anew at T1
            if cause is Input.ANSWER_RELIABLE:
                transaction.reliable = transaction.data
        self.runner.apply(transaction, cause, now)
        if response.status >= 200:
            transaction.request = None

    def confirm(self, key: ServerKey, now: float) -> None:
        """See `TransactionLayer.confirm_2xx`."""
        transaction = self._by_key.get(key)
        if transaction is not None and transaction.machine is INVITE_SERVER:
            self.runner.apply(transaction, Input.ACKNOWLEDGED, now)

    def confirm_1xx(self, key: ServerKey, now: float) -> None:
        """See `TransactionLayer.confirm_1xx`."""
        transaction = self._by_key.get(key)
        if transaction is not None and transaction.machine is INVITE_SERVER:
            self.runner.apply(transaction, Input.PRACKED, now)

    def transport_failed(self, hop: Hop, now: float) -> None:
        """The peer cannot be reached at this hop.

        That one connection is gone (a hop with a flow) is no failure yet: the next answer opens another to
        the sent-by address (RFC 3261 §18.2.2).
        """
        if hop.flow is not None:
            return
        failed = (hop.transport, hop.host, hop.port)
        for transaction in list(self._by_key.values()):
            own = transaction.hop
            if (own.transport, own.host, own.port) == failed:
                self.runner.apply(transaction, Input.TRANSPORT_ERROR, now)

    def refuse_alone(self, request: Request, refusal: Refusal, source: Source) -> None:
        """Answer without a transaction, as often as the request comes (RFC 3261 §8.2.7).

        What cannot be answered, because it has no Via or is an ACK, is dropped.
        """
        if request.method == "ACK" or "Via" not in request.headers:
            return
        try:
            hop = response_hop(stamp_via(request, source), source)
        except ParseError:
            # A Via that cannot be read goes back as it came, to where it came from.
            hop = source.hop
        self.runner.send(serialize(_refusal_to(request, refusal)), hop)

    def forget(self, transaction: ServerTransaction) -> None:
        """Take a transaction out of the books."""
        self._by_key.pop(transaction.key, None)
        self._by_match.pop(transaction.match, None)
        if transaction.merge is not None and self._by_merge.get(transaction.merge) is transaction:
            del self._by_merge[transaction.merge]

    def _receive_ack(self, ack: Request, source: Source, now: float) -> None:
        transaction = self._by_match.get(server_match(ack, "INVITE"))
        if transaction is None or not _acknowledges(ack, transaction):
            self.runner.events.append(AckReceived(ack, source))
            return
        transaction.ack = (ack, source)
        self.runner.apply(transaction, Input.RECEIVED_ACK, now)
        transaction.ack = None

    def _receive_cancel(self, cancel: Request, match: ServerMatch, source: Source, now: float) -> None:
        """RFC 3261 §9.2: 200 whether or not it still has an effect, 481 when nothing matches."""
        invite = self._by_match.get(server_match(cancel, "INVITE"))
        own = self._open(cancel, match, source)
        own.silent = True
        self.runner.begin(own, now)
        if invite is None:
            self.respond(own.key, _refusal_to(cancel, Refusal(481)), now)
            return
        to_tag = invite.to_tag or _tag_for(cancel)
        self.respond(own.key, response_to(cancel, 200, to_tag=to_tag), now)
        if invite.state is State.PROCEEDING and not invite.silent:
            self.runner.events.append(CancelReceived(invite.key, cancel))

    def _receive_new(self, request: Request, match: ServerMatch, source: Source, now: float) -> None:
        merge = merge_match(request)
        refusal = self._admission.refuse(request, over_tls=source.transport == "tls")
        if refusal is None and merge is not None and merge in self._by_merge:
            refusal = Refusal(482, "Merged Request")
        transaction = self._open(request, match, source)
        if refusal is None:
            if merge is not None:
                transaction.merge = merge
                self._by_merge[merge] = transaction
            self.runner.begin(transaction, now)
            return
        transaction.silent = True
        self.runner.begin(transaction, now)
        self.respond(transaction.key, _refusal_to(request, refusal), now)

    def _open(self, request: Request, match: ServerMatch, source: Source) -> ServerTransaction:
        stamp_via(request, source)
        self._last_key += 1
        transaction = ServerTransaction(self, ServerKey(self._last_key), request, source)
        transaction.match = match
        self._by_match[match] = transaction
        self._by_key[transaction.key] = transaction
        return transaction


def _acknowledges(ack: Request, invite: ServerTransaction) -> bool:
    """An ACK of RFC 2543 belongs to the INVITE whose answer bore its To tag (RFC 3261 §17.2.3)."""
    return len(invite.match) == 3 or invite.to_tag is None or ack.to_tag == invite.to_tag


def _is_forbidden(response: Response, transaction: ServerTransaction) -> bool:
    """RFC 4320 §4: what a request other than INVITE is not answered with, as it does harm."""
    if transaction.machine is INVITE_SERVER or (response.status >= 200 and response.status != 408):
        return False
    return response.status != 100 or not transaction.hop.reliable


def _input(response: Response, transaction: ServerTransaction) -> Input:
    if response.status < 200:
        reliable = "RSeq" in response.headers and transaction.machine is INVITE_SERVER
        return Input.ANSWER_RELIABLE if reliable else Input.ANSWER_1XX
    return Input.ANSWER_2XX if response.status < 300 else Input.ANSWER_FAILURE


def _refusal_to(request: Request, refusal: Refusal) -> Response:
    response = response_to(request, refusal.status, refusal.reason, _tag_for(request))
    for name, value in refusal.headers:
        response.headers.add(name, value)
    return response


def _tag_for(request: Request) -> str:
    """A To tag that is the same each time the request comes, as §8.2.7 wants of stateless answers."""
    headers = request.headers
    seed = "\n".join(headers.get(name) or "" for name in ("Call-ID", "From", "Via"))
    return blake2s(seed.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
