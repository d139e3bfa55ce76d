"""PRACKs to the callee's side (RFC 3262 section 4)."""

from sidestream.call.commands import NextHop
from sidestream.call.context import CallContext
from sidestream.call.pending import Acknowledgement
from sidestream.call.side import Side
from sidestream.sdp.model import SessionDescription
from sidestream.sip.errors import NotRoutableError
from sidestream.sip.message import Request
from sidestream.sip.reliability import RAck


def acknowledge(ctx: CallContext, owed: Acknowledgement, session: SessionDescription | None = None) -> None:
    """Send a PRACK whose answer is of no consequence; a dialog that leads nowhere gets none."""
    try:
        request = prack_for(ctx, owed, session)
    except NotRoutableError:
        return
    ctx.send(Side.B, request, way_of(owed), owed)


def prack_for(ctx: CallContext, owed: Acknowledgement, session: SessionDescription | None = None) -> Request:
    """Make the PRACK of a reliable response in the dialog of its fork.

    Raises:
        NotRoutableError: The dialog's route set leads nowhere.
    """
    request = ctx.dressed(owed.dialog.create_request("PRACK"), None, session)
    request.headers.set("RAck", str(RAck(owed.rseq, owed.cseq, "INVITE")))
    return request


def way_of(owed: Acknowledgement) -> NextHop:
    """Where a PRACK goes."""
    return NextHop(owed.dialog.next_hop_uri(), (), owed.hop)
