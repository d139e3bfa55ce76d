"""Challenges to our requests, answered with the credentials of the leg's trunk (RFC 3261 22.2, 22.3).

A request that is challenged goes again, the same but for credentials and its CSeq. What can't be answered
goes the way of any other failure, and the caller never hears of it by its name.
"""

from typing import Final

from sidestream.call.commands import NextHop
from sidestream.call.context import CallContext
from sidestream.call.leg import Leg
from sidestream.call.pending import Acknowledgement, Attempt, Crossing, Goodbye, Pending, Refresh
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.sip.digest_client import Again, NotAnswered
from sidestream.sip.headers import CSeq
from sidestream.sip.message import Request, Response

CHALLENGES: Final = frozenset({401, 407})


def answer_challenge(ctx: CallContext, number: int, pending: Pending, response: Response) -> bool:
    """Send a challenged request again with credentials; false when that can't be, and it has failed."""
    # A PRACK has its credentials from the start: the INVITE was challenged before it.
    if response.status not in CHALLENGES or isinstance(pending, Acknowledgement) or _is_over(ctx, pending):
        return False
    leg = ctx.leg(pending.side.other if isinstance(pending, Crossing) else pending.side)
    client = ctx.auth_of(leg)
    if client is None:
        return False
    outcome = client.answer(_sent(pending), response, pending.place, pending.trail)
    if isinstance(outcome, NotAnswered):
        if isinstance(pending, Attempt):
            pending.unanswered = outcome
        return False
    del ctx.pending[number]
    pending.trail = outcome.trail
    _send_again(ctx, leg, pending, outcome)
    return True


_Repeatable = Attempt | Crossing | Goodbye | Refresh


def _is_over(ctx: CallContext, pending: _Repeatable) -> bool:
    """Whether nobody waits for the answer any more; a BYE is always said to the end."""
    match pending:
        case Attempt():
            return pending.given_up
        case Crossing():
            return pending.cancelled or ctx.state is CallState.ENDING
        case Refresh():
            return ctx.state is CallState.ENDING
        case Goodbye():
            return False


def _sent(pending: _Repeatable) -> Request:
    return pending.sent if isinstance(pending, Crossing) else pending.request


def _send_again(ctx: CallContext, leg: Leg, pending: _Repeatable, outcome: Again) -> None:
    request = outcome.request
    match pending:
        case Attempt():
            pending.request = request
            pending.request_id = ctx.next_request_id()
            for of_forks in (pending.early, pending.previews, pending.sessions, pending.numbers):
                of_forks.clear()
            pending.asked, pending.asked_by = None, ""
            leg.dialog, leg.session = None, pending.session
            ctx.send_again(Side.B, request, NextHop(pending.peer.way, pending.peer.hops), pending)
        case Crossing():
            _number(leg, request)
            pending.sent = request
            ctx.send_again(leg.side, request, leg.next_hop, pending)
        case Refresh():
            _number(leg, request)
            pending.request = request
            ctx.send_again(leg.side, request, leg.next_hop, pending)
        case Goodbye():
            pending.request = request
            ctx.send_again(leg.side, request, pending.next_hop, pending)


def _number(leg: Leg, request: Request) -> None:
    """Number a repetition: others may have gone since, and the dialog counts (RFC 3261 12.2.1.1)."""
    if leg.dialog is not None:
        leg.dialog.local_cseq += 1
        request.headers.set("CSeq", str(CSeq(leg.dialog.local_cseq, request.method)))
