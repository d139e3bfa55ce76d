"""Peers that are given up: what is told and recorded about them."""

from sidestream.call.commands import CancelRequest
from sidestream.call.context import CallContext
from sidestream.call.facts import PeerGivenUp
from sidestream.call.pending import Attempt


def give_up(ctx: CallContext, attempt: Attempt, status: int, detail: str, *, answered: bool = False) -> None:
    """Note that a peer did not carry the call, and whether it said so itself."""
    attempt.ended_at, attempt.status, attempt.detail = ctx.at, status, detail
    ctx.report(PeerGivenUp(ctx.at, attempt.number, attempt.peer.uri, status, detail, answered))


def cancel_attempt(
    ctx: CallContext, attempt: Attempt, reason: str | None, detail: str, status: int = 487
) -> None:
    """Cancel the INVITE to a peer (RFC 3261 9.1); its answer is still awaited, and taken leave of.

    Args:
        ctx: The call.
        attempt: The peer's.
        reason: `Reason` header value of the CANCEL.
        detail: Why, for the record.
        status: What it comes to: 487 where the call no longer wants the peer, 408 where the peer was silent.
    """
    attempt.given_up = True
    ctx.order(CancelRequest(attempt.request_id, reason))
    give_up(ctx, attempt, status, detail)
