"""One call from its INVITE to its verdict: the back-to-back user agent (RFC 3261 section 6).

What happens to a call is dispatched here; what is done about it stands in the module of its subject:

=================  =========================================================================
`attempts`         the peers of the route: INVITE, failover, ring time, failure
`provisional`      18x: ringing, early media, forks
`prack`            PRACK of either side, and what it carries
`answering`        2xx and ACK of the first INVITE, delayed offers, late and forked 2xx
`requests`         requests within the dialogs by method, BYE, CANCEL
`crossing`         re-INVITE, UPDATE, INFO and MESSAGE on their way across
`crossed`          what comes back for them
`authentication`   challenges to what we send
`session_timers`   RFC 4028 on either leg
`teardown`         the verdict and leave of both legs
=================  =========================================================================

Invariants, whatever the order and content of events:

* one verdict and one `EndCall`, which is the last command;
* each request of either party gets exactly one final response;
* with `EndCall`, no timer is armed;
* no exception leaves `apply`: a failure of ours ends the call with `internal-error`.
"""

from typing import assert_never

from sidestream.call.answering import (
    acknowledged,
    another_2xx,
    answered,
    not_acknowledged,
    response_lost,
)
from sidestream.call.attempts import begin, rang_too_long, refused, silent, unreached
from sidestream.call.authentication import answer_challenge
from sidestream.call.commands import Command
from sidestream.call.context import CallContext
from sidestream.call.crossed import crossing_answered, crossing_lost
from sidestream.call.events import (
    AckArrived,
    AnswerNotAcknowledged,
    CallEvent,
    CancelArrived,
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    ProgressNotAcknowledged,
    RecordingRefused,
    RequestArrived,
    RequestSilent,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseArrived,
    ResponseTransportFailed,
    TimerFired,
    TimerName,
)
from sidestream.call.pending import Acknowledgement, Attempt, Crossing, Goodbye, Pending, Refresh
from sidestream.call.prack import not_acknowledged as progress_not_acknowledged
from sidestream.call.provisional import provisional
from sidestream.call.record import CallSnapshot
from sidestream.call.requests import arrived, cancelled
from sidestream.call.session_timers import due, refresh_answered, refresh_lost
from sidestream.call.setup import CallSetup
from sidestream.call.state import CallState
from sidestream.call.teardown import conclude, end, goodbye_answered, patience_is_over
from sidestream.call.verdict import RULES, EndedBy, Slug, verdict
from sidestream.sip.tls_failure import TlsTrouble

_HANG_UPS = {
    HangUpBy.OPERATOR: (Slug.HUNG_UP_BY_OPERATOR, EndedBy.OPERATOR),
    HangUpBy.SHUTDOWN: (Slug.SHUTDOWN, EndedBy.GATEWAY),
    HangUpBy.POLICY: (Slug.POLICY, EndedBy.GATEWAY),
}


class B2bua:
    """One call. It does nothing by itself: its gateway tells it events and executes its commands, in order.

    Args:
        setup: What the gateway collected.
        invite: The caller's INVITE, as validated by the transaction layer.
        now: Monotonic seconds that belong to `setup.started_at`.
    """

    def __init__(self, setup: CallSetup, invite: RequestArrived, now: float) -> None:
        self._ctx = CallContext(setup, invite, now)
        self._failure: Exception | None = None

    def start(self, now: float | None = None) -> list[Command]:
        """Begin: try the first peer, or refuse the call. To be called once.

        Events may come before: a call that ended by them does not begin any more.

        Args:
            now: Monotonic seconds; the instant of the construction when None.
        """
        if self._ctx.state is CallState.NEW:
            self._ctx.now = self._ctx.now if now is None else now
            self._guarded(None)
        return self._ctx.take_commands()

    def apply(self, event: CallEvent, now: float) -> list[Command]:
        """Take an event in and say what is to be done about it.

        Never raises: a failure of ours ends this call with the verdict `internal-error`. After `EndCall`
        every event is answered with nothing; a request that comes then is the gateway's to answer (481).

        Args:
            event: What happened.
            now: Monotonic seconds.
        """
        if self.ended:
            return []
        self._ctx.now = now
        self._guarded(event)
        return self._ctx.take_commands()

    def snapshot(self) -> CallSnapshot:
        """The call as it stands."""
        return self._ctx.snapshot()

    def dialog_ids(self) -> tuple[tuple[str, str], ...]:
        """(Call-ID, our tag) of every dialog of the call.

        Requests and ACKs whose Call-ID and To tag are listed here are the call's. The caller's is there from
        the construction on; each peer that is tried adds one, so look again after each `start()` and
        `apply()` that ordered a `SendRequest` of an INVITE without a To tag. None is ever taken away. The
        forks of one INVITE share theirs.
        """
        ctx = self._ctx
        callee = ((attempt.request.call_id, ctx.callee.local_tag) for attempt in ctx.attempts)
        return ((ctx.invite.request.call_id, ctx.caller.local_tag), *callee)

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._ctx.state

    @property
    def ended(self) -> bool:
        """Whether `EndCall` has been given."""
        return self._ctx.state is CallState.ENDED

    @property
    def answered(self) -> bool:
        """Whether the callee's answer was relayed."""
        return self._ctx.answered_at is not None

    @property
    def failure(self) -> Exception | None:
        """The first failure of ours, for the gateway's log; None when all went as the tables say."""
        return self._failure

    def _guarded(self, event: CallEvent | None) -> None:
        """Handle an event; a failure ends the call, at worst without a farewell."""
        try:
            if event is None:
                begin(self._ctx)
            else:
                _dispatch(self._ctx, event)
        except Exception as error:  # noqa: BLE001 - a bug must not reach other calls
            self._failure = self._failure or error
            self._end_by_failure(event, error)

    def _end_by_failure(self, event: CallEvent | None, error: Exception) -> None:
        ctx = self._ctx
        detail = f"{RULES[Slug.INTERNAL_ERROR].sentence} {type(error).__name__}: {error}"
        try:
            if isinstance(event, RequestArrived):
                ctx.respond(ctx.caller, (event.key, event.request), 500)
            end(ctx, Slug.INTERNAL_ERROR, detail=detail)
        except Exception:  # noqa: BLE001 - taking leave failed too: what remains is to let go
            ctx.open.clear()
            if ctx.verdict is None:
                ctx.verdict = verdict(Slug.INTERNAL_ERROR, detail=detail)
            if ctx.state is not CallState.ENDING:
                ctx.move(CallState.ENDING)
            conclude(ctx)


def _dispatch(ctx: CallContext, event: CallEvent) -> None:  # noqa: C901, PLR0912 - one line for each event
    match event:
        case RequestArrived():
            arrived(ctx, event)
        case ResponseArrived():
            _response(ctx, event)
        case AckArrived():
            acknowledged(ctx, event)
        case CancelArrived():
            cancelled(ctx, event)
        case AnswerNotAcknowledged():
            not_acknowledged(ctx, event)
        case ProgressNotAcknowledged():
            progress_not_acknowledged(ctx, event)
        case ResponseTransportFailed():
            response_lost(ctx, event)
        case RequestSilent(number):
            pending = ctx.pending.get(number)
            if isinstance(pending, Attempt):
                silent(ctx, pending)
        case RequestTimedOut(number):
            _lost(ctx, number, Slug.PEER_TIMEOUT)
        case RequestTransportFailed(number, trouble):
            _lost(ctx, number, Slug.PEER_UNREACHABLE, trouble)
        case TimerFired(name):
            _timer(ctx, name)
        case MediaTimedOut():
            if ctx.answered_at is not None:  # before the answer, silence is nothing unusual
                end(ctx, Slug.MEDIA_TIMEOUT)
        case MediaFailed(detail):
            end(ctx, Slug.MEDIA_FAILED, detail=f"{RULES[Slug.MEDIA_FAILED].sentence} {detail}")
        case HangUp(by, reason):
            slug, ended_by = _HANG_UPS[by]
            end(ctx, slug, detail=reason, ended_by=ended_by)
        case RecordingRefused(detail, reason):
            end(ctx, Slug.RECORDING_REQUIRED, detail=detail, extra=(("Reason", reason),))
        case _:
            assert_never(event)


def _response(ctx: CallContext, event: ResponseArrived) -> None:
    pending = ctx.pending.get(event.request_id)
    if pending is None or not answer_challenge(ctx, event.request_id, pending, event.response):
        _heard(ctx, event, pending)


def _heard(  # noqa: C901, PLR0912 - one case for each request
    ctx: CallContext, event: ResponseArrived, pending: Pending | None
) -> None:
    response, source, number = event.response, event.source, event.request_id
    match pending:
        case Attempt():
            if response.status < 200:
                provisional(ctx, pending, response, source)
            elif response.status < 300:
                answered(ctx, pending, response, source)
            else:
                refused(ctx, pending, response)
        case Crossing():
            crossing_answered(ctx, number, pending, response, source)
        case Acknowledgement():
            if response.status >= 200:
                del ctx.pending[number]
        case Refresh():
            refresh_answered(ctx, number, pending, response, source)
        case Goodbye():
            if response.status >= 200:
                goodbye_answered(ctx, number, pending)
        case None:
            if 200 <= response.status < 300:
                another_2xx(ctx, number, response, source)
        case _:
            assert_never(pending)


def _lost(ctx: CallContext, number: int, slug: Slug, trouble: TlsTrouble | None = None) -> None:
    """A request was never answered or never sent."""
    pending = ctx.pending.get(number)
    match pending:
        case Attempt():
            unreached(ctx, pending, slug, trouble)
        case Crossing():
            crossing_lost(ctx, number, pending, RULES[slug].status)
        case Acknowledgement():
            del ctx.pending[number]
        case Refresh():
            refresh_lost(ctx, number)
        case Goodbye():
            goodbye_answered(ctx, number, pending)
        case None:
            pass
        case _:
            assert_never(pending)


def _timer(ctx: CallContext, name: TimerName) -> None:
    """A timer came due; one that was disarmed in the meantime is ignored."""
    if name not in ctx.timers:
        return
    ctx.timers.discard(name)
    match name:
        case TimerName.RING:
            rang_too_long(ctx)
        case TimerName.MAX_DURATION:
            end(ctx, Slug.MAX_DURATION)
        case TimerName.SESSION_A:
            due(ctx, ctx.caller)
        case TimerName.SESSION_B:
            due(ctx, ctx.callee)
        case TimerName.TEARDOWN:
            patience_is_over(ctx)
        case _:
            assert_never(name)
