"""What the recorder asks of us within the dialog, and our answers (RFC 7866 sections 7.2 and 9.2)."""

from __future__ import annotations

from typing import Final, NoReturn

from sidestream.errors import RemoteError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request, Response
from sidestream.sip.session_timer import MIN_SE_S, of_request, too_small
from sidestream.siprec.body import ReadBody, read_body
from sidestream.siprec.changing import advance, schedule_refresh, take_reading
from sidestream.siprec.commands import ConfirmAnswer, Noted, Respond, SnapshotRequested
from sidestream.siprec.context import UP_STATES, Context, State, Unacknowledged
from sidestream.siprec.errors import RecordingBodyError
from sidestream.siprec.events import AckArrived, RequestArrived
from sidestream.siprec.leaving import finish, lose
from sidestream.siprec.metadata import SnapshotRequest
from sidestream.siprec.offer import Note, read_answer
from sidestream.siprec.requests import ACCEPT, ALLOW, answer, dialog_of, put_timer
from sidestream.siprec.verdicts import Cause, SessionSlug, SessionVerdict
from sidestream.siprec.xml import parse

UNDERSTOOD: Final = frozenset({"siprec", "timer"})
"""Option tags that the recorder may require."""

_LOST_ALL: Final = "the recorder took every stream away"


class _RefusedError(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, *extra: tuple[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.extra = extra


def request_arrived(ctx: Context, event: RequestArrived) -> None:
    """The recorder sends a request within the dialog; each gets one final response."""
    request = event.request
    if ctx.state is State.LEAVING and request.method == "BYE":
        _respond(ctx, event, answer(ctx, request, 200))
        finish(ctx, ctx.verdict or SessionVerdict(SessionSlug.COMPLETED))
        return
    if ctx.state not in UP_STATES:
        _respond(ctx, event, answer(ctx, request, 481))
        return
    try:
        _check(ctx, request)
        _HANDLERS.get(request.method, _not_allowed)(ctx, event)
    except _RefusedError as refusal:
        _respond(ctx, event, answer(ctx, request, refusal.status, *refusal.extra))


def _respond(ctx: Context, event: RequestArrived, response: Response) -> None:
    ctx.order(Respond(ctx.number, event.key, response))


def _check(ctx: Context, request: Request) -> None:
    """What every request must fulfil (RFC 3261 sections 8.2.2 and 12.2.2)."""
    if not dialog_of(ctx).accept_remote_cseq(request.cseq.number):
        raise _RefusedError(500)
    if request.method == "BYE":  # an end is an end, whatever it requires
        return
    try:
        required = request.headers.values("Require")
    except ParseError:
        raise _RefusedError(400) from None
    unknown = [tag for tag in required if tag.lower() not in UNDERSTOOD]
    if unknown:
        raise _RefusedError(420, ("Unsupported", ", ".join(unknown)))


def _bye(ctx: Context, event: RequestArrived) -> None:
    _respond(ctx, event, answer(ctx, event.request, 200))
    reason = event.request.headers.get("Reason")
    detail = "BYE from the recorder" + (f": {reason[:200]}" if reason else "")
    lose(ctx, Cause.ENDED_BY_RECORDER, detail, goodbye=False)


def _options(ctx: Context, event: RequestArrived) -> None:
    _respond(ctx, event, answer(ctx, event.request, 200))


def _info(ctx: Context, event: RequestArrived) -> None:
    """INFO: the old form is taken note of (audio has no pictures to refresh); packages are not (RFC 6086)."""
    if "Info-Package" in event.request.headers:
        raise _RefusedError(469)
    _respond(ctx, event, answer(ctx, event.request, 200))


def _not_allowed(_ctx: Context, _event: RequestArrived) -> NoReturn:
    raise _RefusedError(405, ("Allow", ALLOW))


def _update(ctx: Context, event: RequestArrived) -> None:
    """UPDATE: a refresh, a snapshot request, or an offer (RFC 3311)."""
    request = event.request
    body = _read(request)
    wish = _wish_of(body)
    response, description = answer(ctx, request, 200), body.description
    if description is not None:
        if ctx.pending is not None and ctx.pending.offer is not None:
            raise _RefusedError(491)
        if ctx.unacknowledged is not None:
            raise _RefusedError(491 if ctx.unacknowledged.offer is not None else 500, ("Retry-After", "2"))
        _put_answer(ctx, response, description)
    _refreshed(ctx, request, response)
    _respond(ctx, event, response)
    if wish is not None:
        ctx.snapshot_due = True
        ctx.report(SnapshotRequested(wish.reason.text[:200] if wish.reason else ""))
    if ctx.dropped:
        lose(ctx, Cause.MEDIA_REFUSED, _LOST_ALL, goodbye=True)
        return
    advance(ctx)


def _invite(ctx: Context, event: RequestArrived) -> None:
    """re-INVITE: with an offer, or asking for ours (RFC 3261 section 14.2)."""
    request = event.request
    if ctx.unacknowledged is not None:
        raise _RefusedError(500, ("Retry-After", "2"))
    if ctx.pending is not None and (ctx.pending.offer is not None or ctx.pending.request.method == "INVITE"):
        raise _RefusedError(491)
    body = _read(request)
    wish = _wish_of(body)
    response, ours = answer(ctx, request, 200), None
    if body.description is not None:
        _put_answer(ctx, response, body.description)
    else:
        ours = ctx.book.offer(ctx.sources, ctx.direction)
        made = ctx.body(ours, None, "200")
        if made is not None:
            made.put_on(response)
    _refreshed(ctx, request, response)
    ctx.unacknowledged = Unacknowledged(event.key, request.cseq.number, ours)
    ctx.snapshot_due = ctx.snapshot_due or wish is not None
    _respond(ctx, event, response)


def _read(request: Request) -> ReadBody:
    try:
        if too_small(request):
            raise _RefusedError(422, ("Min-SE", str(MIN_SE_S)))
        return read_body(request)
    except RecordingBodyError as error:
        extra = (("Accept", ACCEPT),) if error.sip_status == 415 else ()
        raise _RefusedError(error.sip_status, *extra) from None
    except RemoteError as error:
        raise _RefusedError(error.sip_status) from None


def _wish_of(body: ReadBody) -> SnapshotRequest | None:
    """The snapshot request in a body; other metadata is not for us and left aside."""
    if body.metadata is None:
        return None
    try:
        document = parse(body.metadata)
    except RemoteError as error:
        raise _RefusedError(error.sip_status) from None
    return document if isinstance(document, SnapshotRequest) else None


def _put_answer(ctx: Context, response: Response, offer: SessionDescription) -> None:
    """Answer an offer: streams may be taken away or back, none be added (RFC 7866 section 7.2)."""
    said, reading = ctx.book.answer(ctx.sources, offer, paused=ctx.paused or ctx.ending)
    made = ctx.body(said, None, "200")
    if made is not None:
        made.put_on(response)
    ctx.dropped = reading.refused_all and not ctx.ending
    take_reading(ctx, reading)


def _refreshed(ctx: Context, request: Request, response: Response) -> None:
    """INVITE and UPDATE move the remote target and refresh the session."""
    dialog_of(ctx).update_target(request)
    ctx.timer = of_request(request, ctx.timer)
    put_timer(response, ctx.timer)
    schedule_refresh(ctx)


_HANDLERS: Final = {
    "BYE": _bye,
    "INFO": _info,
    "INVITE": _invite,
    "OPTIONS": _options,
    "UPDATE": _update,
}


def acknowledged(ctx: Context, event: AckArrived) -> None:
    """The ACK of our 2xx to a re-INVITE; it brings the answer when the offer was ours."""
    waiting = ctx.unacknowledged
    if waiting is None or event.request.cseq.number != waiting.cseq:
        return
    ctx.unacknowledged = None
    ctx.order(ConfirmAnswer(ctx.number, waiting.key))
    if ctx.state not in UP_STATES:
        return
    if waiting.offer is not None:
        _take_late_answer(ctx, waiting.offer, event.request)
    if ctx.dropped:
        lose(ctx, Cause.MEDIA_REFUSED, _LOST_ALL, goodbye=True)
        return
    advance(ctx)


def _take_late_answer(ctx: Context, offer: SessionDescription, ack: Request) -> None:
    try:
        description = read_body(ack).description
    except RemoteError:
        description = None
    if description is None:
        ctx.report(Noted((Note.NO_DESCRIPTION,)))
        return
    reading = read_answer(offer, description)
    ctx.dropped = reading.refused_all and not ctx.paused and not ctx.ending
    take_reading(ctx, reading)
