"""From the first INVITE to the answer: what each answer means and leads to (RFC 7866 section 6.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sidestream.errors import RemoteError
from sidestream.sip.dialog import Dialog
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import media_type
from sidestream.sip.message import Request, Response
from sidestream.sip.session_timer import least_of, of_response
from sidestream.siprec.body import SDP, read_body
from sidestream.siprec.changing import advance, fit_codecs, schedule_refresh
from sidestream.siprec.commands import AttemptFailed, Cancel, Established, InviteSent, Noted
from sidestream.siprec.context import Context, State, Trigger
from sidestream.siprec.events import ResponseArrived, TimerName
from sidestream.siprec.leaving import finish, leave
from sidestream.siprec.offer import Reading, read_answer
from sidestream.siprec.requests import first_invite, put_body, redirect_of, retry_after_s, words_of
from sidestream.siprec.verdicts import Cause, SessionSlug, SessionVerdict

CANCEL_WAIT_S: Final = 10.0
"""How long a cancelled server is listened to: a 2xx that crossed the CANCEL is acknowledged and ended."""

_CAUSES: Final = {
    401: Cause.UNAUTHORIZED,
    407: Cause.UNAUTHORIZED,
    408: Cause.NO_ANSWER,
    415: Cause.BODY_REFUSED,
    420: Cause.NOT_A_RECORDER,
    480: Cause.BUSY,
    486: Cause.BUSY,
    488: Cause.MEDIA_REFUSED,
    503: Cause.BUSY,
    600: Cause.BUSY,
    606: Cause.MEDIA_REFUSED,
}


def cause_of_status(status: int, stop_codes: frozenset[int] = frozenset()) -> Cause:
    """Why a server that answers so does not record."""
    if status in stop_codes:
        return Cause.DECLINED
    if status in _CAUSES:
        return _CAUSES[status]
    if status < 400:
        return Cause.REDIRECTED
    return Cause.SERVER_ERROR if 500 <= status < 600 else Cause.REJECTED


def begin(ctx: Context) -> None:
    """Ask the server."""
    ctx.move(Trigger.START)
    ctx.invited_at = ctx.now
    ctx.set_timer(TimerName.SETUP, ctx.setup.deadline_s)
    ctx.report(InviteSent(ctx.setup.server.uri, ctx.call_id, ctx.local_tag))
    _invite(ctx)


def _invite(ctx: Context, *extra: tuple[str, str]) -> None:
    """Send the INVITE as things stand: offer and complete document (RFC 7866 section 9.1)."""
    request = first_invite(ctx)
    for name, value in extra:
        request.headers.add(name, value)
    offer = ctx.book.offer(ctx.sources, ctx.direction)
    ctx.tried, ctx.tried_paused = ctx.ledger.revision, ctx.paused
    put_body(request, ctx.body(offer, ctx.document(), "INVITE"))
    ctx.invite = request
    ctx.invite_id = ctx.send(request, ctx.target)


def invite_answered(ctx: Context, event: ResponseArrived) -> None:
    """The server responds to the first INVITE."""
    response = event.response
    if event.source is not None:
        ctx.heard_from = event.source.hop
    ctx.heard = True
    if response.status < 200:
        return
    if response.status < 300:
        _accepted(ctx, event.request_id, response)
    elif ctx.state is State.CANCELLING:
        finish(ctx, ctx.verdict or SessionVerdict(SessionSlug.ABANDONED))
    elif not _tried_otherwise(ctx, response):
        cause = cause_of_status(response.status, ctx.setup.stop_codes)
        fail(ctx, cause, words_of(response), response)


def fail(ctx: Context, cause: Cause, detail: str, response: Response | None = None) -> None:
    """The server does not record: nothing is owed to it."""
    status = response.status if response is not None else None
    retry = retry_after_s(response) if response is not None else None
    ctx.report(AttemptFailed(ctx.setup.server.uri, cause, detail, status, retry))
    finish(ctx, SessionVerdict(SessionSlug.FAILED, cause, detail, status))


def too_late(ctx: Context) -> None:
    """The server has had its time, whatever it said in between: cancel, and do not wait for it."""
    cause = Cause.SILENT if ctx.heard else Cause.NO_ANSWER
    detail = f"no final answer within {ctx.setup.deadline_s:g} s"
    ctx.report(AttemptFailed(ctx.setup.server.uri, cause, detail))
    cancel(ctx, SessionVerdict(SessionSlug.FAILED, cause, detail))


def cancel(ctx: Context, verdict: SessionVerdict) -> None:
    """Give the INVITE up; the session ends when the server has confirmed it or has had its time."""
    ctx.verdict = verdict
    ctx.clear_all_timers()
    ctx.move(Trigger.CANCEL)
    ctx.order(Cancel(ctx.number, ctx.invite_id))
    ctx.set_timer(TimerName.TEARDOWN, CANCEL_WAIT_S)


def unreached(ctx: Context, cause: Cause, detail: str) -> None:
    """The INVITE reached nobody, or nobody answered it."""
    if ctx.state is State.CANCELLING:
        finish(ctx, ctx.verdict or SessionVerdict(SessionSlug.ABANDONED))
    else:
        fail(ctx, cause, detail)


# --- another way with the same server ----------------------------------------------------------------


def _tried_otherwise(ctx: Context, response: Response) -> bool:
    """Whether the INVITE was sent again, in a form that the answer suggests; each form once."""
    status = response.status
    match status:
        case 415:
            return _once(ctx, "type") and _with_other_type(ctx, response)
        case 488 | 606:
            return _once(ctx, "codecs") and _with_plain_codecs(ctx)
        case 422:
            return _once(ctx, "interval") and _with_longer_interval(ctx, response)
        case 401 | 407:
            return _once(ctx, "credentials") and _with_credentials(ctx, response)
        case _ if 300 <= status < 400:
            return _once(ctx, "target") and _elsewhere(ctx, response)
        case _:
            return False


def _once(ctx: Context, what: str) -> bool:
    if what in ctx.retried:
        return False
    ctx.retried.add(what)
    return True


def _again(ctx: Context, *extra: tuple[str, str]) -> bool:
    ctx.move(Trigger.TRY_AGAIN)
    _invite(ctx, *extra)
    return True


def _with_other_type(ctx: Context, response: Response) -> bool:
    """415: the other name of the metadata's type, unless the answer says that neither will do."""
    other = ctx.metadata_type.other
    try:
        listed = {media_type(value) for value in response.headers.values("Accept")}
    except ParseError:
        listed = set()
    listed -= {SDP, "multipart/mixed"}
    if listed and other.value not in listed:
        return False
    ctx.metadata_type = other
    return _again(ctx)


def _with_plain_codecs(ctx: Context) -> bool:
    """488: only what every recorder takes, when that is not what it refused."""
    if ctx.book.plain or ctx.book.adds_nothing(ctx.sources):
        return False
    ctx.book.plain = True
    return _again(ctx)


def _with_longer_interval(ctx: Context, response: Response) -> bool:
    """422: the least interval that the server takes (RFC 4028 section 7.3)."""
    least = least_of(response)
    if least is None or ctx.session_expires_s is None:
        return False
    ctx.session_expires_s = max(least, ctx.session_expires_s)
    return _again(ctx, ("Min-SE", str(least)))


def _with_credentials(ctx: Context, response: Response) -> bool:
    header = ctx.setup.identity.authorize(_invite_of(ctx), response)
    return header is not None and _again(ctx, header)


def _elsewhere(ctx: Context, response: Response) -> bool:
    target = redirect_of(response)
    if target is None or target == ctx.target:
        return False
    ctx.target = target
    return _again(ctx)


# --- the answer ----------------------------------------------------------------------------------------


def _accepted(ctx: Context, request_id: int, response: Response) -> None:
    """A 2xx: acknowledged whatever it holds (RFC 3261 section 13.2.2.4)."""
    invite = _invite_of(ctx)
    dialog = Dialog.from_invite_uac(invite, response)
    ctx.dialog = dialog
    ctx.acknowledge(request_id, response, dialog, invite.cseq.number)
    if ctx.state is State.CANCELLING:
        leave(ctx, ctx.verdict or SessionVerdict(SessionSlug.ABANDONED))
        return
    reading, problem = _read(ctx, response)
    if reading is None:
        _refuse_answer(ctx, Cause.ANSWER_UNUSABLE, problem)
    elif reading.refused_all:
        _refuse_answer(ctx, Cause.MEDIA_REFUSED, "every stream was refused")
    else:
        _established(ctx, response, reading)


def _read(ctx: Context, response: Response) -> tuple[Reading | None, str]:
    try:
        description = read_body(response).description
    except RemoteError as error:
        return None, str(error)
    if description is None:
        return None, f"a {response.status} without a session description"
    offer = ctx.book.last
    return (read_answer(offer, description), "") if offer is not None else (None, "no offer was made")


def _refuse_answer(ctx: Context, cause: Cause, detail: str) -> None:
    ctx.report(AttemptFailed(ctx.setup.server.uri, cause, detail))
    leave(ctx, SessionVerdict(SessionSlug.FAILED, cause, detail))


def _established(ctx: Context, response: Response, reading: Reading) -> None:
    ctx.clear_timer(TimerName.SETUP)
    ctx.move(Trigger.ESTABLISH)
    ctx.told, ctx.confirmed_paused = ctx.tried, ctx.tried_paused
    allowed = {method.strip().upper() for method in response.headers.values("Allow")}
    ctx.allows_update = not allowed or "UPDATE" in allowed
    server = ctx.setup.server
    ctx.report(Established(server.uri, reading.streams, ctx.now - ctx.invited_at))
    if reading.notes:
        ctx.report(Noted(reading.notes))
    memory = replace(ctx.memory, plain_codecs=ctx.book.plain)
    if ctx.metadata_type is not server.profile.metadata_type:
        memory = replace(memory, metadata_type=ctx.metadata_type)
    ctx.learn(memory)
    ctx.agree(reading)
    ctx.timer = of_response(response)
    schedule_refresh(ctx)
    fit_codecs(ctx)
    advance(ctx)


def forked(ctx: Context, request_id: int, response: Response) -> None:
    """A 2xx of another branch of the first INVITE: one recorder is enough (RFC 3261 section 13.2.2.4)."""
    invite = _invite_of(ctx)
    dialog = Dialog.from_invite_uac(invite, response)
    ctx.acknowledge(request_id, response, dialog, invite.cseq.number)
    ctx.send(dialog.create_request("BYE"), dialog.next_hop_uri())


def _invite_of(ctx: Context) -> Request:
    if ctx.invite is None:
        raise AssertionError("an answer to an INVITE that was never sent")
    return ctx.invite
