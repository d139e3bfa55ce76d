"""The end of a call: one verdict, and leave taken of whoever is still there (RFC 3261 9, 15; RFC 3326).

`end` decides the verdict and says to each leg what its phase asks for (`_LEAVE`); `settle` gives `EndCall` as
soon as nothing is awaited any more, and the TEARDOWN timer bounds how long that may take.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sidestream.call.commands import ConfirmAnswer, EndCall
from sidestream.call.context import CallContext
from sidestream.call.events import TimerName
from sidestream.call.exchange import bridge
from sidestream.call.facts import CallEnded, CallEnding, HeaderList
from sidestream.call.giving_up import cancel_attempt
from sidestream.call.leg import Farewell, Leg
from sidestream.call.pending import Acknowledgement, Goodbye, Refresh
from sidestream.call.side import Side
from sidestream.call.state import CallState, LegPhase
from sidestream.call.verdict import RULES, EndedBy, Slug, verdict
from sidestream.sip.errors import NotRoutableError
from sidestream.sip.message import Headers


def end(
    ctx: CallContext,
    slug: Slug,
    *,
    status: int | None = None,
    phrase: str | None = None,
    headers: Headers | None = None,
    extra: HeaderList = (),
    detail: str = "",
    ended_by: EndedBy = EndedBy.GATEWAY,
) -> None:
    """Decide the verdict and close both legs. The first verdict stands: later ones are ignored.

    Args:
        ctx: The call.
        slug: What happened.
        status: Final status for a caller without an answer; the slug's own when None.
        phrase: Its reason phrase; None for the registered one.
        headers: Of the message that ended one side; what the policy passes goes on to the other.
        extra: Further headers of that final response.
        detail: Sentence for people; the slug's own when empty.
        ended_by: Who ended the call.
    """
    if ctx.verdict is not None:
        return
    rule = RULES[slug]
    given = rule.status if status is None else status
    ctx.verdict = verdict(slug, status=200 if ctx.answered_at else given, detail=detail, ended_by=ended_by)
    ctx.ended_at = ctx.at
    ctx.move(CallState.ENDING)
    ctx.report(CallEnding(ctx.at, ctx.verdict))
    bridge(ctx, on=False)
    ctx.clear_timer(TimerName.RING)
    ctx.clear_timer(TimerName.MAX_DURATION)
    ctx.clear_timer(TimerName.SESSION_A)
    ctx.clear_timer(TimerName.SESSION_B)
    ctx.set_timer(TimerName.TEARDOWN, ctx.setup.limits.teardown_timeout)
    _terminate_requests(ctx)
    farewell = Farewell(given, phrase, headers, rule.reason, extra)
    for side in Side:
        leg = ctx.leg(side)
        _LEAVE[side, leg.phase](ctx, leg, farewell)
    settle(ctx)


def settle(ctx: CallContext) -> None:
    """Forget the call if it is ending and nothing is awaited any more."""
    waits = any(leg.farewell or leg.unacked for leg in (ctx.caller, ctx.callee))
    if ctx.state is CallState.ENDING and not ctx.pending and not waits:
        conclude(ctx)


def conclude(ctx: CallContext) -> None:
    """Forget the call, whatever is still awaited: the patience with its peers is over."""
    if ctx.verdict is None or ctx.state is CallState.ENDED:
        return
    for leg in (ctx.caller, ctx.callee):
        leg.farewell = None
        confirm(ctx, leg)
    ctx.pending.clear()
    for name in tuple(ctx.timers):
        ctx.clear_timer(name)
    ctx.move(CallState.ENDED)
    ctx.report(CallEnded(ctx.at, ctx.verdict))
    ctx.order(EndCall(ctx.verdict, ctx.snapshot()))


def confirm(ctx: CallContext, leg: Leg) -> None:
    """Stop re-sending a 2xx to a leg: it was acknowledged, or its dialog is over."""
    if leg.unacked is not None:
        ctx.order(ConfirmAnswer(leg.unacked.key))
        leg.unacked = None


def part(ctx: CallContext, leg: Leg) -> None:
    """The leg's party ended its dialog by itself: nothing more is said on it."""
    leg.farewell = leg.owes = None
    confirm(ctx, leg)
    leg.move(LegPhase.CLOSED)


def hang_up_at_last(ctx: CallContext, leg: Leg) -> None:
    """Send the BYE that waited for the ACK of the leg's first 2xx (RFC 3261 15)."""
    farewell, leg.farewell = leg.farewell, None
    if farewell is not None:
        _hang_up(ctx, leg, farewell)
    settle(ctx)


def goodbye_answered(ctx: CallContext, number: int, goodbye: Goodbye) -> None:
    """A BYE of ours was answered or timed out: whatever the answer, the dialog is over (RFC 3261 15.1.1)."""
    del ctx.pending[number]
    leg = ctx.leg(goodbye.side)
    if leg.phase is LegPhase.CLOSED:
        confirm(ctx, leg)
    settle(ctx)


def patience_is_over(ctx: CallContext) -> None:
    """The TEARDOWN timer fired."""
    if ctx.state is CallState.ENDING:
        conclude(ctx)


def _terminate_requests(ctx: CallContext) -> None:
    """Answer what the parties still wait for by 487 (RFC 3261 15.1.2).

    Of what was passed on, only the final response to an INVITE is still awaited: a 2xx needs its ACK.
    """
    for key, request in list(ctx.open.items()):
        if key != ctx.invite.key:  # that one is answered with its leg
            ctx.respond(ctx.caller, (key, request), 487)
    for number, crossing in ctx.crossings():
        if crossing.sent.method != "INVITE":
            del ctx.pending[number]
    for number, each in list(ctx.pending.items()):
        refresh = isinstance(each, Refresh) and each.request.method != "INVITE"
        if refresh or isinstance(each, Acknowledgement):
            del ctx.pending[number]


def _close(_ctx: CallContext, leg: Leg, _farewell: Farewell) -> None:
    leg.move(LegPhase.CLOSED)


def _stay(_ctx: CallContext, _leg: Leg, _farewell: Farewell) -> None:
    """Nothing is left to say."""


def _refuse(ctx: CallContext, leg: Leg, farewell: Farewell) -> None:
    headers = farewell.headers
    if headers is not None and farewell.status == 503:
        # What a peer asks for itself does not hold for us: without it a 503 counts as a 500 (RFC 3261
        # 21.5.4).
        headers = headers.copy()
        headers.remove("Retry-After")
    leg.move(LegPhase.CLOSED)
    invite = (ctx.invite.key, ctx.invite.request)
    extra = farewell.extra
    ctx.respond(leg, invite, farewell.status, phrase=farewell.phrase, source=headers, extra=extra)


def _cancel(ctx: CallContext, leg: Leg, farewell: Farewell) -> None:
    leg.move(LegPhase.CLOSED)
    if ctx.attempt is not None and not ctx.attempt.given_up:
        detail = ctx.verdict.detail if ctx.verdict else ""
        cancel_attempt(ctx, ctx.attempt, _reason(ctx, farewell), detail)


def _hang_up_when_acknowledged(ctx: CallContext, leg: Leg, farewell: Farewell) -> None:
    if leg.unacked is not None and leg.unacked.initial:
        leg.farewell = farewell
    else:
        _hang_up(ctx, leg, farewell)


def _hang_up(ctx: CallContext, leg: Leg, farewell: Farewell) -> None:
    leg.move(LegPhase.CLOSED)
    owed, leg.owes = leg.owes, None
    try:
        if owed is not None:
            ctx.acknowledge(leg, owed)
        request = ctx.create_request(leg, "BYE", source=farewell.headers)
    except NotRoutableError:
        return  # its route set leads nowhere: there is no way to tell it
    reason = _reason(ctx, farewell)
    if reason is not None:
        request.headers.set("Reason", reason)
    ctx.send(leg.side, request, leg.next_hop, Goodbye(leg.side, request, leg.next_hop, leg.place))


def _reason(ctx: CallContext, farewell: Farewell) -> str | None:
    """The `Reason` that the other side gave, else our own."""
    if farewell.headers is not None and ctx.setup.headers.passes("Reason"):
        given = farewell.headers.get_all("Reason")
        if given:
            return ", ".join(given)
    return farewell.reason


_Leave = Callable[[CallContext, Leg, Farewell], None]

_LEAVE: Final[Mapping[tuple[Side, LegPhase], _Leave]] = {
    (Side.A, LegPhase.IDLE): _close,
    (Side.B, LegPhase.IDLE): _close,
    (Side.A, LegPhase.INVITED): _refuse,
    (Side.B, LegPhase.INVITED): _cancel,
    (Side.A, LegPhase.ANSWERED): _hang_up_when_acknowledged,
    (Side.B, LegPhase.ANSWERED): _hang_up,
    (Side.A, LegPhase.UP): _hang_up,
    (Side.B, LegPhase.UP): _hang_up,
    (Side.A, LegPhase.CLOSED): _stay,
    (Side.B, LegPhase.CLOSED): _stay,
}
"""How leave is taken of a leg."""
