"""What we tell the recorder in mid-call: one request at a time, the newest state (RFC 7866 section 9.1).

Changes that come while a request is open wait for its end and go out together. An offer goes by re-INVITE,
metadata alone by UPDATE, or by re-INVITE where the recorder turns that down.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sidestream.errors import RemoteError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.errors import SipError
from sidestream.sip.message import Request, Response
from sidestream.sip.session_timer import of_response
from sidestream.siprec.body import read_body
from sidestream.siprec.commands import (
    Collided,
    DocumentRefused,
    Noted,
    PauseNotSignalled,
    PauseSignalled,
    StreamsAgreed,
)
from sidestream.siprec.context import UP_STATES, Context, Pending, State, Task, Trigger
from sidestream.siprec.events import ResponseArrived, TimerName
from sidestream.siprec.leaving import leave, lose
from sidestream.siprec.offer import Note, Reading, preferring, read_answer
from sidestream.siprec.requests import dialog_of, in_dialog, put_body, retry_after_s, words_of
from sidestream.siprec.verdicts import Cause, SessionSlug, SessionVerdict

REQUEST_WAIT_S: Final = 32.0
"""How long a request in mid-call may be open, a 100 in between or not (64*T1)."""
CHECK_WAIT_S: Final = 2.0
"""How long a recorder that is suspected to be gone may take to say that it is not."""
FAREWELL_S: Final = 1.0
"""How long the BYE waits for the last document to be taken."""
BACKOFF_S: Final = (2.1, 4.0)
"""RFC 3261 section 14.1: the Call-ID is ours."""
OVERLAP_MAX_S: Final = 10.0
"""Longest wait for a recorder that answers 500 with Retry-After (RFC 3261 section 14.2)."""

_NO_UPDATE: Final = frozenset({405, 406, 415, 488, 501, 606})
"""Answers to an UPDATE that say that this recorder does not take its like."""


def advance(ctx: Context) -> None:
    """Send what is due, if anything is and nothing else is open."""
    if ctx.state is not State.STEADY or ctx.unacknowledged is not None:
        return
    if ctx.ending:
        _say_farewell(ctx)
    elif ctx.paused != ctx.tried_paused or ctx.offer_due:
        _send(ctx, Task.OFFER, "INVITE")
    elif ctx.ledger.revision > ctx.tried or ctx.snapshot_due:
        _send(ctx, Task.METADATA, _method(ctx))
    elif ctx.refresh_due:
        _send(ctx, Task.REFRESH, _method(ctx))
    elif ctx.check_due:
        _send(ctx, Task.CHECK, "OPTIONS")


def resume(ctx: Context) -> None:
    """The recording goes on: at once when the recorder never heard of the pause, else after its word."""
    ctx.paused = False
    if ctx.flowing or ctx.state not in UP_STATES:
        return
    if ctx.confirmed_paused or ctx.tried_paused:
        ctx.offer_due = True
    elif ctx.active is not None:
        ctx.agree(ctx.active)
    advance(ctx)


def fit_codecs(ctx: Context) -> None:
    """Send in the participants' codecs what was agreed in them; what was never offered is offered."""
    if ctx.active is None or ctx.ending or ctx.state not in UP_STATES:
        return
    keys = {source.label: source.codec.key for source in ctx.sources if source.codec is not None}
    chosen = preferring(ctx.active, keys)
    if ctx.flowing and chosen != ctx.active:
        ctx.agree(chosen)
    ctx.active = chosen
    if not ctx.book.covers(ctx.sources):
        ctx.offer_due = True


def pause(ctx: Context) -> None:
    """The recording leaves out what comes: media stops first, then the recorder is told."""
    ctx.paused = True
    ctx.stop_media()
    advance(ctx)


def end(ctx: Context) -> None:
    """The recording is over: media stops, the last document goes out, then BYE, without a long wait."""
    ctx.stop_media()
    ctx.set_timer(TimerName.FAREWELL, FAREWELL_S)
    if ctx.state is State.BACKING_OFF:  # whatever collided is over for us: the end is told now
        ctx.clear_timer(TimerName.BACKOFF)
        ctx.move(Trigger.RECOVER)
    advance(ctx)


def _say_farewell(ctx: Context) -> None:
    if ctx.setup.server.profile.metadata_in_bye or (ctx.ledger.revision <= ctx.tried and not ctx.stopped_at):
        leave(ctx, SessionVerdict(SessionSlug.COMPLETED))
    else:
        _send(ctx, Task.METADATA, _method(ctx))


def _method(ctx: Context) -> str:
    by_update = ctx.setup.server.profile.update and ctx.allows_update and not ctx.memory.update_refused
    return "UPDATE" if by_update and not ctx.by_invite else "INVITE"


# --- sending ---------------------------------------------------------------------------------------------


def _send(ctx: Context, task: Task, method: str) -> None:
    if ctx.state is State.STEADY:
        ctx.move(Trigger.TELL_END if ctx.ending else Trigger.CHANGE)
    else:
        ctx.move(Trigger.CHANGE)
    try:
        request = in_dialog(ctx, method)
    except SipError as error:
        lose(ctx, Cause.DIALOG_LOST, f"nothing says where to send: {error}", goodbye=False)
        return
    offer, document = _contents(ctx, task, method)
    put_body(request, ctx.body(offer, document, method))
    _dispatch(ctx, Pending(0, task, request, offer, ctx.ledger.revision, ctx.paused, ctx.snapshot_due))
    if document is not None:
        ctx.tried = ctx.ledger.revision
    if task is Task.OFFER:
        ctx.tried_paused, ctx.offer_due = ctx.paused, False


def _contents(ctx: Context, task: Task, method: str) -> tuple[SessionDescription | None, bytes | None]:
    """What a request holds: a document with labels needs the offer that defines them beside it."""
    if task is Task.CHECK or (task is Task.REFRESH and method == "UPDATE"):
        return None, None
    if task is Task.REFRESH:
        return ctx.book.offer(ctx.sources, ctx.direction), None
    document = ctx.document()
    if ctx.partial and method == "UPDATE" and b"<label>" not in document:
        return None, document
    return ctx.book.offer(ctx.sources, ctx.direction), document


def _dispatch(ctx: Context, pending: Pending) -> None:
    number = ctx.send(pending.request, dialog_of(ctx).next_hop_uri())
    ctx.pending = replace(pending, request_id=number)
    ctx.set_timer(TimerName.REQUEST, CHECK_WAIT_S if pending.task is Task.CHECK else REQUEST_WAIT_S)


# --- what comes back -------------------------------------------------------------------------------------


def change_answered(ctx: Context, pending: Pending, event: ResponseArrived) -> None:
    """The recorder responds to a request of ours in mid-call."""
    response = event.response
    if event.source is not None:
        ctx.heard_from = event.source.hop
    if response.status < 200:
        return
    ctx.clear_timer(TimerName.REQUEST)
    ctx.pending = None
    if pending.task is Task.CHECK:
        ctx.check_due = False
    if response.status < 300:
        _taken(ctx, pending, event.request_id, response)
    elif not _answered_challenge(ctx, pending, response):
        _refused(ctx, pending, response)


def _taken(ctx: Context, pending: Pending, request_id: int, response: Response) -> None:
    dialog = dialog_of(ctx)
    if pending.request.method != "OPTIONS":
        dialog.update_target(response)
        ctx.timer = of_response(response)
        schedule_refresh(ctx)
        ctx.refresh_due = ctx.by_invite = False
    if pending.request.method == "INVITE":
        ctx.acknowledge(request_id, response, dialog, pending.request.cseq.number)
    if pending.task in {Task.OFFER, Task.METADATA}:
        ctx.told = max(ctx.told, pending.revision)
        ctx.snapshot_due = ctx.snapshot_due and not pending.snapshot
    if pending.offer is not None:
        ctx.confirmed_paused = pending.paused
        _take_answer(ctx, pending.offer, response)
    if pending.task is Task.OFFER:
        ctx.report(PauseSignalled(pending.paused))
    if not pending.paused and not ctx.ending and ctx.reading is not None and ctx.reading.refused_all:
        lose(ctx, Cause.MEDIA_REFUSED, "the recorder took every stream away", goodbye=True)
        return
    _settle(ctx)


def _take_answer(ctx: Context, offer: SessionDescription, response: Response) -> None:
    """Read the answer; one that cannot be used, or is not there, changes nothing."""
    try:
        description = read_body(response).description
    except RemoteError:
        description = None
    if description is not None:
        take_reading(ctx, read_answer(offer, description))
        return
    ctx.report(Noted((Note.NO_DESCRIPTION,)))
    if ctx.active is not None and not ctx.ending:
        ctx.agree(ctx.active)


def take_reading(ctx: Context, reading: Reading) -> None:
    """Take over what the recorder wants of the streams from now on."""
    before = ctx.reading
    if reading.notes:
        ctx.report(Noted(reading.notes))
    if ctx.ending:  # nothing is sent any more, whatever it wants
        ctx.reading = reading
        return
    if before is None or before.streams != reading.streams:
        ctx.report(StreamsAgreed(reading.streams))
    ctx.agree(reading)


def _answered_challenge(ctx: Context, pending: Pending, response: Response) -> bool:
    """Whether a 401 or 407 was answered; once for each request."""
    if response.status not in {401, 407} or pending.challenged:
        return False
    header = ctx.setup.identity.authorize(pending.request, response)
    if header is None:
        return False
    again = _repeated(ctx, pending.request)
    again.headers.add(*header)
    _dispatch(ctx, replace(pending, request=again, challenged=True))
    return True


def _repeated(ctx: Context, request: Request) -> Request:
    again = in_dialog(ctx, request.method)
    for name in ("Content-Type", "Content-Disposition"):
        value = request.headers.get(name)
        if value is not None:
            again.headers.set(name, value)
    again.body = request.body
    return again


def _refused(ctx: Context, pending: Pending, response: Response) -> None:
    status, method = response.status, pending.request.method
    wait = retry_after_s(response)
    if pending.task is Task.CHECK and status not in {408, 481}:  # whatever it says, it is there
        _settle(ctx)
        return
    if status == 481:
        lose(ctx, Cause.DIALOG_LOST, words_of(response), goodbye=False)
    elif status == 408:
        lose(ctx, Cause.DIALOG_LOST, words_of(response), goodbye=True)
    elif status == 491:
        _collided(ctx, pending, _backoff(ctx))
    elif status == 500 and wait is not None and wait <= OVERLAP_MAX_S:
        _collided(ctx, pending, wait)
    elif method == "UPDATE":
        _update_refused(ctx, pending, response)
    else:
        _as_it_was(ctx, pending, response)


def _backoff(ctx: Context) -> float:
    low, high = BACKOFF_S
    return round(low + (high - low) * ctx.setup.identity.chance(), 2)


def _collided(ctx: Context, pending: Pending, wait_s: float) -> None:
    """Both sides changed at once: wait, and then send what is newest by then."""
    _untry(ctx, pending)
    if ctx.ending:
        leave(ctx, SessionVerdict(SessionSlug.COMPLETED))
        return
    ctx.report(Collided(pending.request.method))
    ctx.move(Trigger.COLLIDE)
    ctx.set_timer(TimerName.BACKOFF, wait_s)


def _untry(ctx: Context, pending: Pending) -> None:
    """What a request should have told is still to be told."""
    if pending.task in {Task.OFFER, Task.METADATA}:
        ctx.tried = ctx.told
    if pending.task is Task.OFFER:
        ctx.offer_due = True


def backoff_over(ctx: Context) -> None:
    """The wait after a collision is over."""
    if ctx.state is State.BACKING_OFF:
        ctx.move(Trigger.RECOVER)
        advance(ctx)


def _update_refused(ctx: Context, pending: Pending, response: Response) -> None:
    """Say the same by re-INVITE, and remember it when the answer speaks of UPDATE itself."""
    if response.status in _NO_UPDATE:
        ctx.learn(replace(ctx.memory, update_refused=True))
    ctx.report(DocumentRefused("UPDATE", response.status, words_of(response)))
    _untry(ctx, pending)
    if ctx.ending:
        ctx.by_invite = True
        _send(ctx, Task.METADATA, "INVITE")
        return
    ctx.by_invite = True
    ctx.move(Trigger.SETTLE)
    advance(ctx)


def _as_it_was(ctx: Context, pending: Pending, response: Response) -> None:
    """A refused re-INVITE leaves the session as it was (RFC 3261 section 14.1); a pause stays a pause."""
    ctx.by_invite = False
    if pending.task is Task.OFFER:
        ctx.report(PauseNotSignalled(pending.paused, response.status))
    if pending.task in {Task.OFFER, Task.METADATA}:
        ctx.snapshot_due = ctx.snapshot_due and not pending.snapshot
        ctx.report(DocumentRefused(pending.request.method, response.status, words_of(response)))
    if pending.task is Task.REFRESH:
        ctx.refresh_due = False
        schedule_refresh(ctx)
    _settle(ctx)


def _settle(ctx: Context) -> None:
    if ctx.state is State.FAREWELL:
        leave(ctx, SessionVerdict(SessionSlug.COMPLETED))
        return
    ctx.move(Trigger.SETTLE)
    advance(ctx)


def change_lost(ctx: Context, pending: Pending, detail: str) -> None:
    """A request of ours in mid-call was never answered or never sent: the recorder is gone."""
    ctx.pending = None
    lose(ctx, Cause.NO_RESPONSE, f"{pending.request.method}: {detail}", goodbye=True)


# --- session timer ---------------------------------------------------------------------------------------


def schedule_refresh(ctx: Context) -> None:
    """Arm the session timer as it was agreed (RFC 4028 section 10)."""
    ctx.clear_timer(TimerName.REFRESH, TimerName.EXPIRY)
    if ctx.timer is not None:
        name = TimerName.REFRESH if ctx.timer.we_refresh else TimerName.EXPIRY
        ctx.set_timer(name, ctx.timer.due_in_s)
