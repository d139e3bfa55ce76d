"""The transaction layer: messages in, events out, without I/O, clocks or tasks (RFC 3261 §17, §18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sidestream.sip.admission import BODIES, Admission, Refusal
from sidestream.sip.client_side import ClientSide
from sidestream.sip.errors import ParseError
from sidestream.sip.events import ClientKey, ServerKey, SipEvent
from sidestream.sip.hop import Hop, LocalAddresses, Outgoing, Source
from sidestream.sip.message import Message, Request, Response
from sidestream.sip.parser import parse_message, validate, validate_request
from sidestream.sip.runner import LayerCounts, Runner
from sidestream.sip.server_side import ServerSide
from sidestream.sip.timers import TimerProfile
from sidestream.sip.tls_failure import TlsTrouble

MAX_TRANSACTIONS = 40_000
"""Server transactions before new calls are refused: 32 s of 600 calls per second with their BYE. An ended
call is remembered in some 9 kB, both sides together."""


class TransactionLayer:
    """Every transaction of one SIP element. A driver feeds it; it calls nobody.

    After each call of a method drain `next_event()` and `outgoing()` and look at `timer()`.

    Args:
        profile: timer values.
        local: our own addresses, for Via.
        branch: makes a branch unique across space and time that begins with the magic cookie.
        allowed_methods: methods that reach the user; others get 405 or 501.
        supported: option tags, lower-cased, that a request may require; others get 420.
        max_transactions: server transactions before new calls get 503.
        bodies: media types understood, by method; others get 415. A method that is not named takes any.
    """

    def __init__(
        self,
        *,
        profile: TimerProfile,
        local: LocalAddresses,
        branch: Callable[[], str],
        allowed_methods: frozenset[str],
        supported: frozenset[str],
        max_transactions: int = MAX_TRANSACTIONS,
        bodies: Mapping[str, frozenset[str]] = BODIES,
    ) -> None:
        self._runner = Runner(profile)
        self._clients = ClientSide(self._runner, local, branch)
        admission = Admission(allowed_methods, supported, bodies)
        self._servers = ServerSide(self._runner, admission, max_transactions)

    @property
    def counts(self) -> LayerCounts:
        """What was met that no event tells."""
        return self._runner.counts

    @property
    def client_count(self) -> int:
        """How many client transactions live."""
        return len(self._clients)

    @property
    def server_count(self) -> int:
        """How many server transactions live."""
        return len(self._servers)

    def receive(self, message: Message, source: Source, now: float) -> None:
        """Take in a parsed message; a malformed request is answered, a malformed response dropped."""
        if isinstance(message, Request):
            try:
                validate_request(message)
            except ParseError as error:
                self.receive_malformed(error, source)
                return
            self._servers.receive(message, source, now)
            return
        try:
            validate(message)
        except ParseError as error:
            self.receive_malformed(error, source)
            return
        if not self._clients.receive(message, source, now):
            self._runner.counts.stray_responses += 1

    def receive_bytes(self, data: bytes, source: Source, now: float) -> None:
        """Take in one datagram; one of line breaks only is a keep-alive and says nothing (RFC 5626 §4.4)."""
        if not data.strip(b"\r\n\0"):
            return
        try:
            message = parse_message(data)
        except ParseError as error:
            self.receive_malformed(error, source)
            return
        self.receive(message, source, now)

    def receive_malformed(self, error: ParseError, source: Source) -> None:
        """Answer what the parser refused, when enough of it is a request (RFC 3261 §8.2, §16.3)."""
        self._runner.counts.malformed += 1
        if error.partial is not None:
            self._servers.refuse_alone(error.partial, Refusal(error.status, error.reason), source)

    def send_request(self, request: Request, hops: Sequence[Hop], now: float) -> ClientKey:
        """Send a request (not ACK, not CANCEL) as a client transaction; its Via is added here.

        The hops are tried in order: the next one when the transport fails, when one is silent for
        `TimerProfile.patience`, and when it answers 503 (RFC 3263 §4.3); those that failed lately come last.
        A stream hop goes first when the first is UDP and the message has more than 1,300 bytes (RFC 3261
        §18.1.1).

        Args:
            request: complete but for Via; it is not changed.
            hops: where to send, at least one.
            now: monotonic seconds.

        Raises:
            NotRoutableError: when there is no hop.
        """
        return self._clients.send(request, hops, now)

    def send_ack(self, ack: Request, hop: Hop, now: float) -> None:  # noqa: ARG002 - verbs all take `now`
        """Send the ACK of a 2xx, once for each time the 2xx comes (RFC 3261 §13.2.2.4)."""
        self._clients.send_alone(ack, hop)

    def cancel(self, key: ClientKey, now: float, reason: str | None = None) -> None:
        """Give up an INVITE: CANCEL goes out as soon as a provisional response has come (RFC 3261 §9.1).

        It is still answered: by 487, by what crossed the CANCEL, or after 64*T1 by `ClientTimedOut`. One that
        has its final answer, is no INVITE or is cancelled already stays as it is.

        Args:
            key: the request.
            now: monotonic seconds.
            reason: Reason value of the CANCEL (RFC 3326).
        """
        self._clients.cancel(key, reason, now)

    def respond(self, key: ServerKey, response: Response, now: float) -> None:
        """Answer a request. A 2xx to INVITE is re-sent until `confirm_2xx` (RFC 3261 §13.3.1.4).

        A provisional response with an RSeq is re-sent until `confirm_1xx` or the final answer (RFC 3262 §3);
        one of them may be under way at a time.

        An answer after the final one, or to a transaction that is over, has no effect; nor has, for another
        request than INVITE, what RFC 4320 §4 forbids: 408, and provisional responses but a late 100.
        """
        self._servers.respond(key, response, now)

    def confirm_2xx(self, key: ServerKey, now: float) -> None:
        """The ACK of our 2xx arrived: stop re-sending it."""
        self._servers.confirm(key, now)

    def confirm_1xx(self, key: ServerKey, now: float) -> None:
        """The PRACK of our reliable provisional response arrived: stop re-sending it."""
        self._servers.confirm_1xx(key, now)

    def transport_failed(self, hop: Hop, now: float, trouble: TlsTrouble | None = None) -> None:
        """The driver could not send to `hop`.

        A hop with a flow says that this connection is gone, one without that the peer cannot be reached.

        Args:
            hop: where to.
            now: monotonic seconds.
            trouble: why, where that was TLS.
        """
        self._clients.transport_failed(hop, now, trouble)
        self._servers.transport_failed(hop, now)

    def next_event(self) -> SipEvent | None:
        """The oldest event not yet taken, None when there is none."""
        events = self._runner.events
        return events.popleft() if events else None

    def outgoing(self) -> list[Outgoing]:
        """What is to be sent, in order; it is taken away."""
        outbox, self._runner.outbox = self._runner.outbox, []
        return outbox

    def timer(self) -> float | None:
        """When `on_timer` is to be called, None when no timer runs."""
        return self._runner.next_due()

    def on_timer(self, now: float) -> None:
        """Fire the timers that are due."""
        self._runner.fire(now)
        self._clients.go_on(now)
