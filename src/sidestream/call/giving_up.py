"""Peers that are given up: what is told and recorded about them."""

from sidestream.call.commands import CancelRequest, NextHop
from sidestream.call.context import CallContext
from sidestream.call.facts import PeerGivenUp
from sidestream.call.leg import OwedAck
from sidestream.call.pending import Attempt, Goodbye
from sidestream.call.side import Side
from sidestream.sip.dialog import Dialog
from sidestream.sip.hop import Source
from sidestream.sip.message import Response


def give_up(ctx: CallContext, attempt: Attempt, status: int, detail: str, *, answered: bool = False) -> None:
    """Note that a peer did not carry the call, and whether it said so itself."""
    attempt.ended_at, attempt.status, attempt.detail = ctx.at, status, detail
    ctx.report(PeerGivenUp(ctx.at, attempt.number, attempt.peer.uri, status, detail, answered))


def cancel_attempt(
    ctx: CallContext, attempt: Attempt, reason: str | None, detail: str, status: int = 487
) -> None:
    """Cancel the INVITE to a peer (RFC 3261 9.1); its answer is still awaited, and taken leave of.

    One that has answered and was kept waiting is hung up on.

    Args:
        ctx: The call.
        attempt: The peer's.
        reason: `Reason` header value of the CANCEL.
        detail: Why, for the record.
        status: What it comes to: 487 where the call no longer wants the peer, 408 where the peer was silent.
    """
    attempt.given_up = True
    held, attempt.held_answer = attempt.held_answer, None
    if held is not None:
        del ctx.pending[attempt.request_id]
        dismiss(ctx, attempt, *held)
    else:
        ctx.order(CancelRequest(attempt.request_id, reason))
    give_up(ctx, attempt, status, detail)


def dismiss(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> None:
    """Acknowledge a 2xx that comes too late and hang up on it: CANCEL or another fork was first."""
    dialog = Dialog.from_invite_uac(attempt.request, response)
    owed = OwedAck(Side.B, attempt.request_id, response.to_tag or "", attempt.request.cseq.number)
    ctx.acknowledge(ctx.callee, owed, stray=(dialog, source.hop))
    bye = ctx.dressed(dialog.create_request("BYE"))
    bye.headers.set("Reason", 'SIP;cause=487;text="Answered too late"')
    next_hop = NextHop(dialog.next_hop_uri(), (), source.hop)
    ctx.send(Side.B, bye, next_hop, Goodbye(Side.B, bye, next_hop, attempt.place))
