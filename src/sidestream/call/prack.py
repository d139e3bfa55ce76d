"""PRACK on both legs (RFC 3262 3 to 5, RFC 6337).

The caller's PRACK releases what waits for it: our PRACK to the callee's side, the next provisional response,
a 2xx. What it carries crosses: an answer to the offer in our response goes on in our PRACK, and so does an
offer where the callee is owed a PRACK, else as an UPDATE.
"""

from sidestream.call.acknowledging import acknowledge, prack_for, way_of
from sidestream.call.answering import go_on
from sidestream.call.body import BodyError, session_of
from sidestream.call.commands import ConfirmProgress
from sidestream.call.context import CallContext
from sidestream.call.crossing import conflict, refuse
from sidestream.call.events import ProgressNotAcknowledged, RequestArrived
from sidestream.call.exchange import close_exchange, open_exchange
from sidestream.call.leg import Exchange, Leg
from sidestream.call.pending import Acknowledgement, Crossing
from sidestream.call.progress import Outstanding
from sidestream.call.provisional import begin_early_media
from sidestream.call.side import Side
from sidestream.call.state import LegPhase
from sidestream.call.teardown import end
from sidestream.call.verdict import RULES, Slug
from sidestream.sdp.errors import NegotiationError, SdpError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.errors import ParseError
from sidestream.sip.reliability import parse_rack


def prack(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """A party acknowledged a reliable response: the caller, for no other gets any from us."""
    outstanding = _matched(ctx, leg, event)
    if outstanding is not None:
        _take(ctx, leg, event, outstanding)
        go_on(ctx)


def _take(ctx: CallContext, leg: Leg, event: RequestArrived, outstanding: Outstanding) -> None:
    try:
        session = session_of(event.request)
    except (BodyError, SdpError) as error:
        refuse(ctx, leg, event, error.sip_status, error)
        if outstanding.exchange is not None:
            _answer_missing(ctx, str(error))
            return
        session = None
    if outstanding.exchange is not None:
        _answered(ctx, event, outstanding.exchange, session, outstanding.owed)
    elif session is None:
        ctx.respond(leg, (event.key, event.request), 200)
        if outstanding.owed is not None:
            acknowledge(ctx, outstanding.owed)
    else:
        _offered(ctx, leg, event, session, outstanding.owed)


def late_prack(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """A PRACK that crossed the end of the call (RFC 3262 3: it must be understood still)."""
    if _matched(ctx, leg, event) is not None:
        ctx.respond(leg, (event.key, event.request), 200)


def not_acknowledged(ctx: CallContext, event: ProgressNotAcknowledged) -> None:
    """The caller was silent for 64*T1: its INVITE is refused (RFC 3262 3)."""
    if event.key == ctx.invite.key and ctx.caller.phase is LegPhase.INVITED:
        end(ctx, Slug.PROGRESS_NOT_ACKNOWLEDGED)


def _matched(ctx: CallContext, leg: Leg, event: RequestArrived) -> Outstanding | None:
    """The response that a PRACK is for; None when it was refused: 400, or 481 for an unknown one."""
    arrived = (event.key, event.request)
    try:
        rack = parse_rack(event.request.headers.get("RAck") or "")
    except ParseError as error:
        ctx.respond(leg, arrived, error.status, phrase=error.reason)
        return None
    outstanding = ctx.progress.outstanding
    if leg.side is not Side.A or not ctx.progress.acknowledges(rack, ctx.invite.request):
        ctx.respond(leg, arrived, 481)
        return None
    ctx.progress.outstanding = None
    ctx.order(ConfirmProgress(ctx.invite.key))
    return outstanding


def _answered(
    ctx: CallContext,
    event: RequestArrived,
    exchange: Exchange,
    answer: SessionDescription | None,
    owed: Acknowledgement | None,
) -> None:
    """The PRACK answers the callee's offer, which our response carried."""
    arrived = (event.key, event.request)
    try:
        if answer is None:
            raise NegotiationError("the PRACK has no answer to the offer")
        session = close_exchange(ctx, exchange, answer)
    except SdpError as error:
        ctx.respond(ctx.caller, arrived, 488)
        _answer_missing(ctx, str(error))
        return
    ctx.respond(ctx.caller, arrived, 200)
    if ctx.attempt is not None:
        ctx.attempt.settled = True
    if owed is not None:
        acknowledge(ctx, owed, session)
    begin_early_media(ctx)


def _answer_missing(ctx: CallContext, words: str) -> None:
    sentence = RULES[Slug.ANSWER_MISSING].sentence.rstrip(".")
    end(ctx, Slug.ANSWER_MISSING, detail=f"{sentence}: {words}.")


def _offered(
    ctx: CallContext,
    leg: Leg,
    event: RequestArrived,
    offer: SessionDescription,
    owed: Acknowledgement | None,
) -> None:
    """The PRACK brings another offer: it acknowledges whatever becomes of that."""
    status = conflict(ctx, leg, "PRACK" if owed is not None else "UPDATE")
    try:
        exchange = open_exchange(ctx, leg.side, offer) if status is None else None
    except NegotiationError as error:
        refuse(ctx, leg, event, error.sip_status, error)
        exchange = None
    else:
        if status is not None:
            refuse(ctx, leg, event, status)
    if exchange is None:
        if owed is not None:
            acknowledge(ctx, owed)
        return
    if owed is not None:
        sent, hop = prack_for(ctx, owed, exchange.relayed), way_of(owed)
    else:
        sent, hop = ctx.create_request(ctx.callee, "UPDATE", session=exchange.relayed), ctx.callee.next_hop
    crossing = Crossing(leg.side, event.key, event.request, sent, exchange, ctx.callee.place)
    ctx.send(Side.B, sent, hop, crossing)
