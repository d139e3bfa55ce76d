"""Provisional responses to the INVITE: ringing, progress, early media (RFC 3261 13.2.2.1, 3262, 3960).

A forking proxy behind the peer may ring several phones: each has an early dialog with us, but the caller has
one, with our one tag. Every fork's 18x is relayed; a session description in it is a preview of the answer,
and the last preview heard is the media that flows. The 2xx decides (`answering`).

Each leg is reliable or not by itself. What the callee's side sends reliably gets its PRACK when the caller's
PRACK has come, or at once when the caller's leg is not reliable. An answer in a reliable response is the
answer: a caller that got one is told no other, so what a later fork answers must fit it.
"""

from collections.abc import Callable, Mapping
from typing import Final
from zlib import crc32

from sidestream.call.acknowledging import acknowledge
from sidestream.call.body import BodyError, session_of, session_or_none
from sidestream.call.context import CallContext
from sidestream.call.exchange import bridge, open_exchange, preview
from sidestream.call.facts import CallRang, EarlyMediaStarted, HeaderList
from sidestream.call.leg import Exchange
from sidestream.call.pending import MAX_EARLY_DIALOGS, Acknowledgement, Attempt
from sidestream.call.progress import MAX_WAITING, Heard, Outstanding
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.teardown import end
from sidestream.call.verdict import RULES, Slug
from sidestream.sdp.errors import NegotiationError, SdpError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.dialog import Dialog
from sidestream.sip.hop import Source
from sidestream.sip.message import Response
from sidestream.sip.reliability import MAX_FIRST_RSEQ, TAG, option_tags, rseq_of


def provisional(ctx: CallContext, attempt: Attempt, response: Response, source: Source) -> None:
    """Relay a provisional response; 100 is between the peer and us (RFC 3261 16.7 step 5)."""
    if attempt.given_up or attempt.held_answer is not None or response.status == 100:
        return
    rseq = rseq_of(response) if attempt.reliable and response.to_tag else None
    if len(ctx.progress.waiting) >= MAX_WAITING or not _in_order(attempt, response.to_tag or "", rseq):
        return
    ctx.callee.hear(response, source)
    ctx.progress.waiting.append(Heard(response, source, rseq))
    pump(ctx, attempt)


def pump(ctx: CallContext, attempt: Attempt) -> None:
    """Tell the caller what it may be told now (RFC 3262 3)."""
    progress = ctx.progress
    while progress.waiting and progress.outstanding is None and ctx.verdict is None:
        heard = progress.waiting.popleft()
        _HANDLERS.get(heard.response.status, _relay)(ctx, attempt, heard)


def _in_order(attempt: Attempt, tag: str, rseq: int | None) -> bool:
    """Whether a reliable response is the next of its dialog; others count as lost (RFC 3262 4)."""
    if rseq is None:
        return True
    last = attempt.numbers.get(tag)
    if (last is not None and rseq != last + 1) or (
        last is None and len(attempt.numbers) >= MAX_EARLY_DIALOGS
    ):
        return False
    attempt.numbers[tag] = rseq
    return True


def _relay(ctx: CallContext, attempt: Attempt, heard: Heard) -> None:
    if _offers_too(attempt, heard):
        return
    response = heard.response
    owed = _note_dialog(ctx, attempt, heard)
    try:
        session, exchange = _early_session(ctx, attempt, heard)
    except (BodyError, SdpError) as error:
        sentence = RULES[Slug.ANSWER_UNUSABLE].sentence.rstrip(".")
        end(ctx, Slug.ANSWER_UNUSABLE, detail=f"{sentence}: {error}.")
        return
    if ctx.state is CallState.CALLING:
        ctx.move(CallState.RINGING)
    if session is not None and exchange is None:
        begin_early_media(ctx)
    _tell_caller(ctx, response, session, exchange, owed)
    if ctx.rang_at is None and 180 <= response.status < 190:
        ctx.rang_at = ctx.at
        ctx.report(CallRang(ctx.at, response.status))


def _fork_ended(ctx: CallContext, attempt: Attempt, heard: Heard) -> None:
    """199 Early Dialog Terminated (RFC 6228): one fork is gone.

    It is relayed when it was the last and the caller understands it; otherwise it would end the caller's only
    early dialog while another phone still rings.
    """
    owed = _note_dialog(ctx, attempt, heard) if heard.rseq is not None else None
    tag = heard.response.to_tag or ""
    for table in (attempt.early, attempt.previews, attempt.sessions):
        table.pop(tag, None)
    left = next(reversed(attempt.early), None)
    speak_on(ctx, attempt, left)
    supported = {word.lower() for word in option_tags(ctx.invite.request, "Supported")}
    if left is None and "199" in supported and ctx.state is CallState.RINGING:
        _tell_caller(ctx, heard.response, None, None, owed)
    elif owed is not None:
        acknowledge(ctx, owed)


_HANDLERS: Final[Mapping[int, Callable[[CallContext, Attempt, Heard], None]]] = {199: _fork_ended}


def _tell_caller(
    ctx: CallContext,
    response: Response,
    session: SessionDescription | None,
    exchange: Exchange | None,
    owed: Acknowledgement | None,
) -> None:
    """Answer the caller, reliably where its leg is.

    While the caller waits for an offer, a reliable response must have it (RFC 3261 13.2.1): one without goes
    unreliably, and not at all to a caller that takes none such.
    """
    progress, extra = ctx.progress, HeaderList()
    offered = ctx.caller.session.remote is not None or ctx.caller.session.pending is not None
    reliable = progress.reliable and offered
    if reliable:
        progress.rseq = progress.rseq + 1 if progress.rseq else _first_rseq(ctx)
        extra = (("Require", TAG), ("RSeq", str(progress.rseq)))
        progress.outstanding = Outstanding(progress.rseq, session is not None, exchange, owed)
    if reliable or not progress.required:
        ctx.respond(
            ctx.caller,
            (ctx.invite.key, ctx.invite.request),
            response.status,
            phrase=response.reason,
            source=response.headers,
            session=session,
            extra=extra,
        )
    if not reliable and owed is not None:
        acknowledge(ctx, owed)


def _first_rseq(ctx: CallContext) -> int:
    """Where our numbers begin: at random within the lower half (RFC 3262 3)."""
    return crc32(ctx.setup.token().encode()) % MAX_FIRST_RSEQ + 1


def begin_early_media(ctx: CallContext) -> None:
    """Media flows by what was agreed on before the answer."""
    bridge(ctx, on=True)
    if ctx.early_media_at is None:
        ctx.early_media_at = ctx.at
        ctx.report(EarlyMediaStarted(ctx.at))


def speak_on(ctx: CallContext, attempt: Attempt, tag: str | None) -> None:
    """Make a fork's early dialog the callee's; None when there is none left."""
    callee = ctx.callee
    if tag is None:
        callee.dialog, callee.session = None, attempt.session.copy()
    elif tag in attempt.early:
        callee.dialog, callee.session = attempt.early[tag], attempt.sessions[tag]


def _note_dialog(ctx: CallContext, attempt: Attempt, heard: Heard) -> Acknowledgement | None:
    """Make the early dialog of a tag (RFC 3261 12.1.2); the one heard last is spoken on.

    Returns:
        The PRACK that is due for it, if any.
    """
    response, tag = heard.response, heard.response.to_tag
    if not tag:
        return None
    if tag not in attempt.early and len(attempt.early) < MAX_EARLY_DIALOGS:
        attempt.early[tag] = Dialog.from_invite_uac(attempt.request, response)
        attempt.sessions[tag] = attempt.session.copy()
    speak_on(ctx, attempt, tag)
    if heard.rseq is None:
        return None
    dialog = attempt.early.get(tag) or Dialog.from_invite_uac(attempt.request, response)
    return Acknowledgement(dialog, heard.source.hop, heard.rseq, attempt.request.cseq.number)


def _early_session(
    ctx: CallContext, attempt: Attempt, heard: Heard
) -> tuple[SessionDescription | None, Exchange | None]:
    """What a provisional response tells about media, for the caller; the exchange when it is an offer.

    An answer is told ahead of time; what cannot be used is left aside, because the 2xx may still bring
    something better. Without an offer of ours only a reliable response can bring one (RFC 3261 13.2.1).

    Raises:
        BodyError: An offer is no session description.
        SdpError: An offer is malformed or fits nothing: it cannot be answered.
    """
    if attempt.exchange is None:
        return _early_offer(ctx, attempt, heard)
    answer = session_or_none(heard.response)
    if answer is None:
        return None, None
    firm = heard.rseq is not None
    try:
        sent = preview(ctx, attempt.exchange, answer, firm=firm, tell_firmly=ctx.progress.reliable)
    except NegotiationError:
        return None, None
    tag = heard.response.to_tag or ""
    if tag in attempt.previews or len(attempt.previews) < MAX_EARLY_DIALOGS:
        attempt.previews[tag] = answer
    return sent, None


def _early_offer(
    ctx: CallContext, attempt: Attempt, heard: Heard
) -> tuple[SessionDescription | None, Exchange | None]:
    offer = session_of(heard.response) if heard.rseq is not None and attempt.asked is None else None
    if offer is None:
        return None, None
    attempt.asked, attempt.asked_by = open_exchange(ctx, Side.B, offer), heard.response.to_tag or ""
    return attempt.asked.relayed, attempt.asked


def _offers_too(attempt: Attempt, heard: Heard) -> bool:
    """Whether a fork offers media while another one's offer was taken: the caller can answer one only.

    Without a PRACK that fork gives up by itself (RFC 3262 3).
    """
    taken = attempt.asked is not None and heard.response.to_tag != attempt.asked_by
    return taken and heard.rseq is not None and bool(heard.response.body)
