"""The end of a recording session: the last document, BYE, and the verdict (RFC 7866 section 6.1)."""

from __future__ import annotations

from typing import Final

from sidestream.errors import StateError
from sidestream.sip.errors import SipError
from sidestream.sip.message import Response
from sidestream.siprec.commands import Finish, SessionLost
from sidestream.siprec.context import UP_STATES, Context, State, Trigger
from sidestream.siprec.events import TimerName
from sidestream.siprec.requests import dialog_of, in_dialog, put_body
from sidestream.siprec.verdicts import Cause, SessionSlug, SessionVerdict

BYE_WAIT_S: Final = 5.0
"""How long an answer to BYE is waited for: it changes nothing any more."""


def leave(ctx: Context, verdict: SessionVerdict) -> None:
    """Say goodbye to the recorder, and end when it has confirmed it or has had its time."""
    ctx.verdict = ctx.verdict or verdict
    ctx.stop_media()
    ctx.clear_all_timers()
    ctx.pending = None
    document = None
    if ctx.setup.server.profile.metadata_in_bye and verdict.slug is SessionSlug.COMPLETED:
        document = ctx.document(labels=False)  # a BYE has no offer to define them
    ctx.move(Trigger.LEAVE)
    try:
        bye = in_dialog(ctx, "BYE")
    except SipError:  # the recorder named a route that leads nowhere: nothing can be said to it
        finish(ctx, ctx.verdict)
        return
    put_body(bye, ctx.body(None, document, "BYE"))
    ctx.bye_id = ctx.send(bye, dialog_of(ctx).next_hop_uri())
    ctx.set_timer(TimerName.TEARDOWN, BYE_WAIT_S)


def bye_answered(ctx: Context, response: Response) -> None:
    """The recorder confirmed the BYE, or does not know of the session."""
    if response.status >= 200:
        finish(ctx, ctx.verdict or SessionVerdict(SessionSlug.COMPLETED))


def finish(ctx: Context, verdict: SessionVerdict) -> None:
    """Forget the session; nothing is ordered after this.

    Raises:
        StateError: it has ended already.
    """
    if ctx.state is State.FINISHED:
        raise StateError("a recording session ends once")
    ctx.verdict = ctx.verdict or verdict
    ctx.stop_media()
    ctx.clear_all_timers()
    ctx.pending = None
    ctx.move(Trigger.FINISH)
    ctx.order(Finish(ctx.number, ctx.verdict))


def lose(ctx: Context, cause: Cause, detail: str, *, goodbye: bool, noticed_at: float | None = None) -> None:
    """The recorder does no longer record: told at once, so that another one can take over.

    Args:
        ctx: the session.
        cause: why.
        detail: in words.
        goodbye: whether a BYE is sent, for the recorder may be there after all.
        noticed_at: monotonic seconds when that was noticed; None: just now.
    """
    verdict = SessionVerdict(SessionSlug.COMPLETED if ctx.ending else SessionSlug.LOST, cause, detail)
    ctx.stop_media()
    if not ctx.ending:
        ctx.report(SessionLost(ctx.setup.server.uri, cause, detail, noticed_at))
    if goodbye and ctx.state in UP_STATES:
        leave(ctx, verdict)
    else:
        finish(ctx, verdict)
