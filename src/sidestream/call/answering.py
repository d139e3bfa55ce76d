"""The answer: 2xx to the INVITE and its ACK, on both legs (RFC 3261 13.2.2.4, 13.3.1.4; RFC 6337 3).

With an offer in the INVITE, the callee's 2xx is acknowledged at once and its answer goes to the caller. With
a delayed offer the callee's 2xx brings the offer: it goes to the caller in our 2xx, the caller's ACK brings
the answer, and only then the callee gets its ACK, with that answer.
"""

from sidestream.call.body import BodyError, session_of, session_or_none
from sidestream.call.commands import ConfirmAnswer, NextHop
from sidestream.call.context import CallContext
from sidestream.call.events import AckArrived, AnswerNotAcknowledged, ResponseTransportFailed, TimerName
from sidestream.call.exchange import bridge, close_exchange, open_exchange
from sidestream.call.facts import CallAnswered
from sidestream.call.headers_policy import end_to_end
from sidestream.call.identity import note_identity
from sidestream.call.leg import Exchange, Leg, OwedAck, UnackedAnswer
from sidestream.call.pending import Attempt, Goodbye
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


def _take_answer(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> OwedAck:
    """Make the callee's dialog the one of this 2xx (RFC 3261 13.2.2.4)."""
    del ctx.pending[attempt.request_id]
    ctx.clear_timer(TimerName.RING)
    attempt.status = response.status
    tag = response.to_tag or ""
    dialog = attempt.early.get(tag) or Dialog.from_invite_uac(attempt.request, response)
    dialog.confirm(response)
    callee = ctx.callee
    callee.dialog = dialog
    callee.hear(response, source)
    callee.headers = tuple(end_to_end(response.headers))
    callee.move(LegPhase.ANSWERED)
    owed = OwedAck(Side.B, attempt.request_id, tag, attempt.request.cseq.number)
    callee.owes = owed
    return owed


def _settle_media(
    ctx: CallContext, attempt: Attempt, response: Response
) -> tuple[SessionDescription, Exchange | None]:
    """What the caller gets in its 2xx; with a delayed offer, also the exchange that its ACK closes.

    A 2xx that leaves out the answer which the same phone gave in an 18x is taken as repeating it, although it
    ought to say it (RFC 3261 13.2.1).

    Raises:
        BodyError: The body is no session description.
        SdpError: It is malformed, fits nothing, or is missing.
    """
    session = session_of(response)
    if attempt.exchange is not None:
        answer = session or attempt.previews.get(response.to_tag or "")
        if answer is None:
            raise NegotiationError("the 2xx has no answer to the offer")
        return close_exchange(ctx, attempt.exchange, answer), None
    if session is None:
        raise NegotiationError("neither the INVITE nor its 2xx has an offer")
    exchange = open_exchange(ctx, Side.B, session)
    return exchange.relayed, exchange


def _tell_caller(
    ctx: CallContext, response: Response, session: SessionDescription, unacked: UnackedAnswer
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


def dismiss(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> None:
    """Acknowledge a 2xx that comes too late and hang up on it: CANCEL or another fork was first."""
    dialog = Dialog.from_invite_uac(attempt.request, response)
    owed = OwedAck(Side.B, attempt.request_id, response.to_tag or "", attempt.request.cseq.number)
    ctx.acknowledge(ctx.callee, owed, stray=(dialog, source.hop))
    bye = ctx.dressed(dialog.create_request("BYE"))
    bye.headers.set("Reason", 'SIP;cause=487;text="Answered too late"')
    ctx.send(Side.B, bye, NextHop(dialog.next_hop_uri(), (), source.hop), Goodbye(Side.B))


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
