"""Requests within the call's dialogs, by method (RFC 3261 12.2.2)."""

from collections.abc import Callable, Mapping
from typing import Final

from sidestream.call.commands import CancelRequest
from sidestream.call.context import CallContext
from sidestream.call.crossing import pass_on, renegotiate
from sidestream.call.dtmf import key_press
from sidestream.call.events import CancelArrived, RequestArrived
from sidestream.call.facts import DtmfReceived
from sidestream.call.leg import Leg
from sidestream.call.messages import warning_about
from sidestream.call.prack import late_prack, prack
from sidestream.call.provisional import speak_on
from sidestream.call.side import Side
from sidestream.call.state import CallState, LegPhase
from sidestream.call.teardown import end, part, settle
from sidestream.call.verdict import EndedBy, Slug
from sidestream.sip.message import Request
from sidestream.sip.reliability import option_tags
from sidestream.sip.secure import SIPS_REQUIRED

_Handler = Callable[[CallContext, Leg, RequestArrived], None]

_HUNG_UP: Final = {
    Side.A: (Slug.CALLER_HUNG_UP, EndedBy.CALLER),
    Side.B: (Slug.CALLEE_HUNG_UP, EndedBy.CALLEE),
}


def arrived(ctx: CallContext, event: RequestArrived) -> None:
    """Find the dialog of a request and do what its method asks for.

    Without a dialog it is answered 481; with a lower sequence number than the one before, 500 (RFC 3261
    12.2.2).
    """
    request = event.request
    ctx.open[event.key] = request
    leg = _leg_of(ctx, request)
    if leg is None or leg.dialog is None:
        _no_dialog(ctx, ctx.caller, event)
        return
    if not leg.dialog.accept_remote_cseq(request.cseq.number):
        ctx.respond(leg, (event.key, request), 500)
        return
    if leg.dialog.secure and event.source.transport != "tls":
        ctx.respond(leg, (event.key, request), 480, extra=(warning_about(SIPS_REQUIRED),))
        return
    unknown = leg.setup.features.unknown(option_tags(request, "Require"))
    if unknown:
        ctx.respond(leg, (event.key, request), 420, extra=(("Unsupported", ", ".join(unknown)),))
        return
    leg.hear(request, event.source)
    over = ctx.state is CallState.ENDING or leg.phase is LegPhase.CLOSED
    table, otherwise = (_AT_THE_END, _no_dialog) if over else (_METHODS, _not_allowed)
    table.get(request.method, otherwise)(ctx, leg, event)


def cancelled(ctx: CallContext, event: CancelArrived) -> None:
    """A party gave up an INVITE (RFC 3261 9.2); after its final response a CANCEL changes nothing.

    For the caller's first INVITE that ends the call. A re-INVITE is cancelled across: its final response
    still comes from the other side, and the session goes on.
    """
    invite = (ctx.invite.key, ctx.invite.request)
    if event.key == ctx.invite.key and ctx.caller.phase is LegPhase.INVITED:
        ctx.respond(ctx.caller, invite, 487)
        end(ctx, Slug.CANCELLED_BY_CALLER, headers=event.request.headers, ended_by=EndedBy.CALLER)
        return
    for number, crossing in ctx.crossings():
        if crossing.key == event.key and crossing.request.method == "INVITE" and not crossing.cancelled:
            crossing.cancelled = True
            reasons = event.request.headers.get_all("Reason")
            ctx.order(CancelRequest(number, ", ".join(reasons) or None))


def _leg_of(ctx: CallContext, request: Request) -> Leg | None:
    """The leg that a request came on; of several forks, the one that speaks is the leg's from now on."""
    for leg in (ctx.caller, ctx.callee):
        if leg.owns(request):
            return leg
    attempt, callee = ctx.attempt, ctx.callee
    fork = attempt.early.get(request.from_tag or "") if attempt else None
    if fork is None or attempt is None or callee.phase is not LegPhase.INVITED:
        return None
    if (request.call_id, request.to_tag) != (attempt.request.call_id, callee.local_tag):
        return None
    speak_on(ctx, attempt, request.from_tag)
    return callee


def _bye(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """A party hung up (RFC 3261 15.1.2)."""
    ctx.respond(leg, (event.key, event.request), 200)
    headers = event.request.headers
    if leg.phase is not LegPhase.INVITED:
        slug, by = _HUNG_UP[leg.side]
        part(ctx, leg)
        end(ctx, slug, headers=headers, ended_by=by)
    elif leg.side is Side.A:
        # A caller may end its early dialog this way too, and its INVITE is still to be answered (15.1.1,
        # 15.1.2).
        ctx.respond(leg, (ctx.invite.key, ctx.invite.request), 487)
        end(ctx, Slug.CANCELLED_BY_CALLER, headers=headers, ended_by=EndedBy.CALLER)
    # A callee must not (section 15): what counts is its answer to the INVITE.


def _late_bye(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """A BYE that crossed ours, or that came while ours waited for an ACK."""
    ctx.respond(leg, (event.key, event.request), 200)
    if leg.phase is not LegPhase.CLOSED:
        part(ctx, leg)
    settle(ctx)


def _options(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """A question about us, answered by us (RFC 3261 11.2)."""
    ctx.respond(leg, (event.key, event.request), 200)


def _info(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """INFO crosses as it is (RFC 6086); a key press in it is told besides."""
    press = key_press(event.request)
    if press is not None:
        ctx.report(DtmfReceived(ctx.at, leg.side, *press))
    pass_on(ctx, leg, event)


def _no_dialog(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    ctx.respond(leg, (event.key, event.request), 481)


def _not_allowed(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    ctx.respond(leg, (event.key, event.request), 405)


_METHODS: Final[Mapping[str, _Handler]] = {
    "BYE": _bye,
    "INFO": _info,
    "INVITE": renegotiate,
    "MESSAGE": pass_on,
    "OPTIONS": _options,
    "PRACK": prack,
    "UPDATE": renegotiate,
}
"""What a request asks for while the call lives; any other method is answered 405."""

_AT_THE_END: Final[Mapping[str, _Handler]] = {"BYE": _late_bye, "PRACK": late_prack}
"""What is still understood once the verdict is decided; all else is answered 481."""
