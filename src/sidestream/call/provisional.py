"""Provisional responses to the INVITE: ringing, progress, early media (RFC 3261 13.2.2.1, RFC 3960).

A forking proxy behind the peer may ring several phones: each has an early dialog with us, but the caller has
one, with our one tag. Every fork's 18x is relayed; a session description in it is a preview of the answer,
and the last preview heard is the media that flows. The 2xx decides (`answering`).
"""

from collections.abc import Callable, Mapping
from typing import Final

from sidestream.call.body import session_or_none
from sidestream.call.context import CallContext
from sidestream.call.exchange import bridge, preview
from sidestream.call.facts import CallRang, EarlyMediaStarted
from sidestream.call.pending import MAX_EARLY_DIALOGS, Attempt
from sidestream.call.state import CallState
from sidestream.sdp.errors import NegotiationError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.dialog import Dialog
from sidestream.sip.hop import Source
from sidestream.sip.message import Response


def provisional(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> None:
    """Relay a provisional response; 100 is between the peer and us (RFC 3261 16.7 step 5)."""
    if attempt.given_up or response.status == 100:
        return
    ctx.callee.hear(response, source)
    _HANDLERS.get(response.status, _relay)(ctx, attempt, response)


def _relay(ctx: CallContext, attempt: Attempt, response: Response) -> None:
    _note_dialog(ctx, attempt, response)
    session = _early_session(ctx, attempt, response)
    if ctx.state is CallState.CALLING:
        ctx.move(CallState.RINGING)
    if session is not None:
        bridge(ctx, on=True)
    _answer_caller(ctx, response, session)
    if ctx.rang_at is None and 180 <= response.status < 190:
        ctx.rang_at = ctx.at
        ctx.report(CallRang(ctx.at, response.status))
    if session is not None and ctx.early_media_at is None:
        ctx.early_media_at = ctx.at
        ctx.report(EarlyMediaStarted(ctx.at))


def _fork_ended(ctx: CallContext, attempt: Attempt, response: Response) -> None:
    """199 Early Dialog Terminated (RFC 6228): one fork is gone.

    It is relayed when it was the last and the caller understands it; otherwise it would end the caller's only
    early dialog while another phone still rings.
    """
    attempt.early.pop(response.to_tag or "", None)
    attempt.previews.pop(response.to_tag or "", None)
    ctx.callee.dialog = next(reversed(attempt.early.values()), None)
    supported = {word.lower() for word in ctx.invite.request.headers.values("Supported")}
    if not attempt.early and "199" in supported and ctx.state is CallState.RINGING:
        _answer_caller(ctx, response, None)


_HANDLERS: Final[Mapping[int, Callable[[CallContext, Attempt, Response], None]]] = {199: _fork_ended}


def _answer_caller(ctx: CallContext, response: Response, session: SessionDescription | None) -> None:
    ctx.respond(
        ctx.caller,
        (ctx.invite.key, ctx.invite.request),
        response.status,
        phrase=response.reason,
        source=response.headers,
        session=session,
    )


def _note_dialog(ctx: CallContext, attempt: Attempt, response: Response) -> None:
    """Make the early dialog of a tag (RFC 3261 12.1.2); the one heard last is spoken on."""
    tag = response.to_tag
    if not tag:
        return
    if tag not in attempt.early and len(attempt.early) < MAX_EARLY_DIALOGS:
        attempt.early[tag] = Dialog.from_invite_uac(attempt.request, response)
    ctx.callee.dialog = attempt.early.get(tag, ctx.callee.dialog)


def _early_session(ctx: CallContext, attempt: Attempt, response: Response) -> SessionDescription | None:
    """The answer told ahead of time, for the caller.

    Without an offer of ours there is none: an unreliable response cannot carry an offer (RFC 3261 13.2.1).
    What cannot be used is left aside, because the 2xx may still bring something better.
    """
    answer = session_or_none(response)
    if answer is None or attempt.exchange is None:
        return None
    try:
        sent = preview(ctx, attempt.exchange, answer)
    except NegotiationError:
        return None
    tag = response.to_tag or ""
    if tag in attempt.previews or len(attempt.previews) < MAX_EARLY_DIALOGS:
        attempt.previews[tag] = answer
    return sent
