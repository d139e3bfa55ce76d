"""Requests that cross from one party to the other in mid-call (RFC 3261 14, RFC 3311, RFC 6086, RFC 6337).

A re-INVITE or UPDATE that may change the session is passed on when neither side has another one open;
otherwise it is glare (491) or comes too early (500 with Retry-After). Its sender gets the other party's
answer, good or bad, and after a bad one the session goes on as before.

==========  ===============  ==============================================================
came as     with an offer    crosses as
==========  ===============  ==============================================================
INVITE      yes              INVITE
INVITE      no               INVITE; the 2xx brings the offer, the ACK its answer
UPDATE      yes              UPDATE, or INVITE to a party whose `Allow` does not list UPDATE
UPDATE      no               UPDATE; answered 200 by us for a party that does not list it, and where it
                             only refreshes its own leg's session (RFC 4028)
==========  ===============  ==============================================================
"""

from typing import Final

from sidestream.call.body import BodyError, session_of
from sidestream.call.context import CallContext
from sidestream.call.events import RequestArrived
from sidestream.call.exchange import abandon_exchange, open_exchange
from sidestream.call.features import Use
from sidestream.call.identity import note_identity
from sidestream.call.leg import Exchange, Leg
from sidestream.call.messages import carry_body, warning_value
from sidestream.call.pending import Crossing
from sidestream.call.session_timers import answer_headers, ask, refusal
from sidestream.call.side import Side
from sidestream.call.state import LegPhase
from sidestream.errors import RemoteError
from sidestream.sdp.errors import NegotiationError, SdpError
from sidestream.sdp.session import State
from sidestream.sip.errors import NotRoutableError
from sidestream.sip.message import Request

MAX_CROSSINGS: Final = 16
"""Requests on their way across at once; a party that sends more gets 503. Key presses come a few per
second."""


def renegotiate(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """Pass a re-INVITE or UPDATE on, or refuse it (RFC 3261 14.2, RFC 3311 5.2)."""
    request = event.request
    too_small = refusal(leg, request)
    if too_small:
        ctx.respond(leg, (event.key, request), 422, extra=too_small)
        return
    try:
        offer = session_of(request)
        if request.method == "UPDATE" and offer is None:
            _refresh(ctx, leg, event)
            return
        status = conflict(ctx, leg, request.method)
        if status is not None:
            refuse(ctx, leg, event, status)
            return
        exchange = open_exchange(ctx, leg.side, offer) if offer is not None else None
    except (BodyError, SdpError) as error:
        refuse(ctx, leg, event, error.sip_status, error)
        return
    note_identity(ctx, leg, request)
    takes_update = "UPDATE" in ctx.leg(leg.side.other).allow
    method = "UPDATE" if request.method == "UPDATE" and takes_update else "INVITE"
    _cross(ctx, leg, event, method, exchange)


def pass_on(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """Pass a request on that changes nothing between us and the parties, body and all."""
    _cross(ctx, leg, event, event.request.method, None)


def _refresh(ctx: CallContext, leg: Leg, event: RequestArrived) -> None:
    """An UPDATE without an offer: an identity, a target or a sign of life (RFC 3311 5.1, RFC 4916)."""
    news = note_identity(ctx, leg, event.request)
    other = ctx.leg(leg.side.other)
    refreshes = "Session-Expires" in event.request.headers and leg.setup.features.timer is not Use.OFF
    if "UPDATE" in other.allow and _reachable(other) and (news or not refreshes):
        _cross(ctx, leg, event, "UPDATE", None)
        return
    if leg.dialog is not None:
        leg.dialog.update_target(event.request)
    ctx.respond(leg, (event.key, event.request), 200, extra=answer_headers(ctx, leg, event.request))


def conflict(ctx: CallContext, leg: Leg, method: str) -> int | None:
    """The status for an offer that may not be made now; None when it may.

    500: it comes before its maker's last one is answered. 491: it meets one of ours. The first INVITE of a
    leg counts as one until its ACK (RFC 3261 14.1, 14.2; RFC 5407 3.1). Before the answer only PRACK and
    UPDATE may offer, once reliable responses have settled the first offer on both legs (RFC 3311 5.1, 5.2).

    Args:
        ctx: The call.
        leg: The offerer's.
        method: What is to carry the offer to the other party.
    """
    other = ctx.leg(leg.side.other)
    open_on = {crossing.side for _, crossing in ctx.crossings() if crossing.renegotiates}
    early = LegPhase.INVITED in {leg.phase, other.phase}
    agreed = leg.session.remote is not None and other.session.remote is not None
    too_early = early and (method == "INVITE" or not agreed)
    rules = (
        (500, leg.side in open_on or (too_early and leg.side is Side.A)),
        (500, early and leg.session.state is State.HAVE_REMOTE_OFFER),
        (491, leg.side.other in open_on or too_early),
        (491, leg.unacked is not None or other.unacked is not None),
        (491, not leg.session.can_offer or not other.session.can_offer),
        (491, early and method == "UPDATE" and "UPDATE" not in other.allow),
    )
    return next((status for status, applies in rules if applies), None)


def refuse(
    ctx: CallContext, leg: Leg, event: RequestArrived, status: int, error: RemoteError | None = None
) -> None:
    """Turn an offer down, with what its maker is to know about it."""
    extra = ctx.retry_soon() if status == 500 else ()
    if isinstance(error, NegotiationError):
        extra = (("Warning", warning_value(error)),)
    ctx.respond(leg, (event.key, event.request), status, extra=extra)


def _reachable(leg: Leg) -> bool:
    return leg.dialog is not None and leg.phase is not LegPhase.CLOSED


def _cross(ctx: CallContext, leg: Leg, event: RequestArrived, method: str, exchange: Exchange | None) -> None:
    """Send a request on; what cannot be sent is answered here."""
    other = ctx.leg(leg.side.other)
    request = event.request
    if not _reachable(other):
        ctx.respond(leg, (event.key, request), 480)
        return
    if len(ctx.crossings()) >= MAX_CROSSINGS:
        ctx.respond(leg, (event.key, request), 503)
        return
    try:
        sent = _made_for(ctx, other, request, method, exchange)
    except NotRoutableError:
        if exchange is not None:
            abandon_exchange(ctx, exchange)
        ctx.respond(leg, (event.key, request), 480)
        return
    crossing = Crossing(leg.side, event.key, request, sent, exchange, other.place)
    ctx.send(other.side, sent, other.next_hop, crossing)


def _made_for(
    ctx: CallContext, other: Leg, request: Request, method: str, exchange: Exchange | None
) -> Request:
    session = exchange.relayed if exchange is not None else None
    sent = ctx.create_request(other, method, source=request.headers, session=session)
    if method in {"INVITE", "UPDATE"}:
        ask(other, sent)
    elif session is None:
        carry_body(request, sent)
    return sent
