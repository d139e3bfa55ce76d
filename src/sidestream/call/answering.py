"""The answer: 2xx to the INVITE and its ACK, on both legs (RFC 3261 13.2.2.4, 13.3.1.4; RFC 6337 3).

With an offer in the INVITE, the callee's 2xx is acknowledged at once and its answer goes to the caller. With
a delayed offer the callee's 2xx brings the offer: it goes to the caller in our 2xx, the caller's ACK brings
the answer, and only then the callee gets its ACK, with that answer.
"""

from sidestream.call.body import BodyError, session_of, session_or_none
from sidestream.call.commands import ConfirmAnswer
from sidestream.call.context import CallContext
from sidestream.call.events import AckArrived, AnswerNotAcknowledged, ResponseTransportFailed, TimerName
from sidestream.call.exchange import bridge, close_exchange, open_exchange, refresh_media
from sidestream.call.facts import CallAnswered
from sidestream.call.giving_up import dismiss
from sidestream.call.headers_policy import end_to_end
from sidestream.call.identity import note_identity
from sidestream.call.leg import Exchange, Leg, OwedAck, UnackedAnswer
from sidestream.call.pending import Attempt
from sidestream.call.provisional import pump
from sidestream.call.session_timers import agreed, answer_headers
from sidestream.call.side import Side
from sidestream.call.state import CallState, LegPhase
from sidestream.call.teardown import end, hang_up_at_last, settle
from sidestream.call.verdict import RULES, Slug
from sidestream.sdp.errors import NegotiationError, SdpError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.dialog import Dialog
from sidestream.sip.hop import Source
from sidestream.sip.message import Response


def answered(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> None:
    """The callee answered: the call is up on its side, and the caller is told."""
    if attempt.given_up:
        del ctx.pending[attempt.request_id]
        dismiss(ctx, attempt, response, source)
        settle(ctx)
        return
    if ctx.progress.blocks_answer:
        _hold_answer(ctx, attempt, response, source)
        return
    ctx.progress.waiting.clear()
    owed = _take_answer(ctx, attempt, response, source)
    try:
        session, exchange = _settle_media(ctx, attempt, response)
    except (BodyError, SdpError) as error:
        sentence = RULES[Slug.ANSWER_UNUSABLE].sentence.rstrip(".")
        end(ctx, Slug.ANSWER_UNUSABLE, detail=f"{sentence}: {error}.")
        return
    if exchange is None:
        ctx.callee.owes = None
        ctx.acknowledge(ctx.callee, owed)
        ctx.callee.move(LegPhase.UP)
        bridge(ctx, on=True)
    _tell_caller(ctx, response, session, UnackedAnswer(
        ctx.invite.key, ctx.invite.request.cseq.number, initial=True, exchange=exchange,
        owed=None if exchange is None else owed,
    ))  # fmt: skip


def _hold_answer(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> None:
    """Keep a 2xx until the caller's PRACK; another fork's is turned away (RFC 3262 3)."""
    held = attempt.held_answer
    if held is None or held[0].to_tag == response.to_tag:
        attempt.held_answer = (response, source)
        ctx.clear_timer(TimerName.RING)
    elif not ctx.acknowledge_again(attempt.request_id, response):
        dismiss(ctx, attempt, response, source)


def go_on(ctx: CallContext) -> None:
    """The caller acknowledged a provisional response: tell it what waited for that."""
    attempt = ctx.attempt
    if attempt is None or ctx.verdict is not None or ctx.progress.outstanding is not None:
        return
    if attempt.held_answer is not None:
        (response, source), attempt.held_answer = attempt.held_answer, None
        answered(ctx, attempt, response, source)
    elif attempt.request_id in ctx.pending:
        pump(ctx, attempt)


def _take_answer(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> OwedAck:
    """Make the callee's dialog the one of this 2xx (RFC 3261 13.2.2.4)."""
    del ctx.pending[attempt.request_id]
    ctx.clear_timer(TimerName.RING)
    attempt.status = response.status
    tag = response.to_tag or ""
    dialog = attempt.early.get(tag) or Dialog.from_invite_uac(attempt.request, response)
    dialog.confirm(response)
    callee = ctx.callee
    callee.session = attempt.sessions.get(tag) or attempt.session.copy()
    callee.dialog = dialog
    callee.hear(response, source)
    callee.headers = tuple(end_to_end(response.headers))
    callee.move(LegPhase.ANSWERED)
    owed = OwedAck(Side.B, attempt.request_id, tag, attempt.request.cseq.number)
    callee.owes = owed
    agreed(ctx, callee, response)
    return owed


def _settle_media(
    ctx: CallContext, attempt: Attempt, response: Response
) -> tuple[SessionDescription | None, Exchange | None]:
    """What the caller gets in its 2xx; with a delayed offer, also the exchange that its ACK closes.

    What reliable responses have settled is not said again (RFC 3262 5). A 2xx that leaves out the answer
    which the same phone gave in an unreliable 18x is taken as repeating it, although it ought to say it (RFC
    3261 13.2.1).

    Raises:
        BodyError: The body is no session description.
        SdpError: It is malformed, fits nothing, or is missing.
    """
    session = session_of(response)
    settled = ctx.callee.session.can_offer and ctx.callee.session.remote is not None
    if settled and ctx.caller.session.can_offer:
        refresh_media(ctx)
        return None, None
    if attempt.exchange is not None:
        told = attempt.previews.get(response.to_tag or "")
        answer = told if settled else session or told
        if answer is None:
            raise NegotiationError("the 2xx has no answer to the offer")
        return close_exchange(ctx, attempt.exchange, answer), None
    if attempt.settled:
        raise NegotiationError("another fork answered than the one whose offer was taken")
    if session is None:
        raise NegotiationError("neither the INVITE nor its 2xx has an offer")
    exchange = open_exchange(ctx, Side.B, session)
    return exchange.relayed, exchange


def _tell_caller(
    ctx: CallContext, response: Response, session: SessionDescription | None, unacked: UnackedAnswer
) -> None:
    ctx.answered_at = ctx.at
    ctx.move(CallState.ANSWERED)
    ctx.caller.move(LegPhase.ANSWERED)
    ctx.caller.unacked = unacked
    ctx.respond(
        ctx.caller,
        (ctx.invite.key, ctx.invite.request),
        response.status,
        phrase=response.reason,
        source=response.headers,
        session=session,
        extra=answer_headers(ctx, ctx.caller, ctx.invite.request),
    )
    limit = ctx.setup.limits.max_duration
    if limit is not None:
        ctx.set_timer(TimerName.MAX_DURATION, limit)
    ctx.report(CallAnswered(ctx.at))
    note_identity(ctx, ctx.callee, response)


def another_2xx(ctx: CallContext, request_id: int, response: Response, source: Source) -> None:
    """A 2xx to a request that has its final response: a repetition is acknowledged again (RFC 3261 13.2.2.4).

    One with another tag is another fork's: it is acknowledged and told BYE.
    """
    if ctx.acknowledge_again(request_id, response):
        return
    attempt = next((each for each in ctx.attempts if each.request_id == request_id), None)
    if attempt is None:
        return
    tag, dialog = response.to_tag or "", ctx.callee.dialog
    chosen = attempt is ctx.attempt and dialog is not None and dialog.confirmed
    if not chosen or dialog is None or (dialog.remote_tag or "") != tag:
        dismiss(ctx, attempt, response, source)
    elif ctx.callee.owes is None:
        # Its ACK was forgotten for newer ones.
        ctx.acknowledge(ctx.callee, OwedAck(Side.B, request_id, tag, attempt.request.cseq.number))


def acknowledged(ctx: CallContext, event: AckArrived) -> None:
    """A party acknowledged our 2xx; one that was asked for its answer brings it (RFC 3261 13.2.2.4)."""
    leg = next((each for each in (ctx.caller, ctx.callee) if each.owns(event.request)), None)
    if leg is None or leg.unacked is None or leg.unacked.cseq != event.request.cseq.number:
        return
    leg.hear(event.request, event.source)
    unacked, leg.unacked = leg.unacked, None
    ctx.order(ConfirmAnswer(unacked.key))
    if ctx.state is CallState.ENDING:
        hang_up_at_last(ctx, leg)
        return
    if unacked.initial:
        leg.move(LegPhase.UP)
        ctx.move(CallState.TALKING)
    if unacked.exchange is not None and unacked.owed is not None:
        _pass_answer(ctx, unacked.exchange, unacked.owed, session_or_none(event.request))


def _pass_answer(
    ctx: CallContext, exchange: Exchange, owed: OwedAck, answer: SessionDescription | None
) -> None:
    """Pay the ACK that waited for this answer; the call ends when there is none to pass on."""
    leg: Leg = ctx.leg(owed.side)
    try:
        if answer is None:
            raise NegotiationError("the ACK has no answer to the offer")
        session = close_exchange(ctx, exchange, answer)
    except SdpError as error:
        sentence = RULES[Slug.ANSWER_MISSING].sentence.rstrip(".")
        end(ctx, Slug.ANSWER_MISSING, detail=f"{sentence}: {error}.")
        return
    leg.owes = None
    ctx.acknowledge(leg, owed, session)
    if leg.phase is LegPhase.ANSWERED:
        leg.move(LegPhase.UP)
    bridge(ctx, on=True)


def not_acknowledged(ctx: CallContext, event: AnswerNotAcknowledged) -> None:
    """A 2xx of ours was re-sent for 64*T1 in vain: the session ends with a BYE (RFC 3261 13.3.1.4)."""
    leg = next(
        (each for each in (ctx.caller, ctx.callee) if each.unacked and each.unacked.key == event.key), None
    )
    if leg is None:
        return
    leg.unacked = None
    if ctx.state is CallState.ENDING:
        hang_up_at_last(ctx, leg)
    else:
        end(ctx, Slug.ANSWER_NOT_ACKNOWLEDGED)


def response_lost(ctx: CallContext, event: ResponseTransportFailed) -> None:
    """The caller cannot be told about its own INVITE (RFC 3261 17.2.4): there is no call without it.

    For any other response it is the request's sender that will notice.
    """
    waiting = {LegPhase.INVITED, LegPhase.ANSWERED}
    if event.key == ctx.invite.key and ctx.caller.phase in waiting:
        end(ctx, Slug.CALLER_UNREACHABLE)
