"""One recording session, from its INVITE to its verdict: the table and its dispatch (RFC 7866).

A session lives beside the call and never inside it: it is told of the call by its ledger, and nothing that
happens to it can reach the call except through what its recording decides. What is done about each event
stands in the module of its subject:

===============  =========================================================================
`establishing`   the first INVITE and its answers: what is tried again, what is given up
`changing`       our requests in mid-call: pause, metadata, refresh, collisions
`asked`          the recorder's requests: offers, snapshot requests, BYE
`leaving`        the last document, BYE, and the end
`context`        the states, their table, and what a session knows
===============  =========================================================================

Invariants, whatever the order and content of events:

* one `Finish`, which is the last command, and no timer is armed with it;
* each request of the recorder gets exactly one final response;
* one request of ours at a time is open in mid-call;
* no media flows while paused, before the recorder agreed, or after the end;
* no exception leaves `apply`: a failure of ours ends the session with `internal-error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from sidestream.siprec.asked import acknowledged, request_arrived
from sidestream.siprec.changing import (
    CHECK_WAIT_S,
    advance,
    backoff_over,
    change_answered,
    change_lost,
    end,
    fit_codecs,
    pause,
    resume,
)
from sidestream.siprec.commands import AttemptFailed, SessionCommand, SessionLost
from sidestream.siprec.context import UP_STATES, Context, SessionSetup, State
from sidestream.siprec.establishing import begin, cancel, forked, invite_answered, too_late, unreached
from sidestream.siprec.events import (
    AckArrived,
    AckTimedOut,
    CallEnded,
    CodecsChanged,
    MediaFailed,
    PauseAsked,
    PeerLost,
    PeerSuspected,
    ProtectionNeeded,
    RequestArrived,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseArrived,
    ResumeAsked,
    SessionEvent,
    SnapshotDue,
    StopAsked,
    StreamCodec,
    TimerFired,
    TimerName,
    WideEvent,
)
from sidestream.siprec.leaving import bye_answered, finish, leave, lose
from sidestream.siprec.ledger import Ledger
from sidestream.siprec.offer import StreamSource
from sidestream.siprec.verdicts import Cause, SessionSlug, SessionVerdict


class RecordingSession:
    """One dialog with one recorder. It does nothing by itself: events in, commands out.

    Args:
        setup: what it is made from.
        ledger: what is told of the call; shared by all sessions that record it.
        now: monotonic seconds.
    """

    def __init__(self, setup: SessionSetup, ledger: Ledger, now: float) -> None:
        self._ctx = Context.of(setup, ledger, now)
        self.setup = setup
        self.failure: Exception | None = None

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._ctx.state

    @property
    def finished(self) -> bool:
        """Whether `Finish` has been given."""
        return self._ctx.state is State.FINISHED

    @property
    def up(self) -> bool:
        """Whether the recorder has agreed to record and has not been lost."""
        return self._ctx.state in UP_STATES

    @property
    def verdict(self) -> SessionVerdict | None:
        """How it ended; None before that is decided."""
        return self._ctx.verdict

    @property
    def dialog_id(self) -> tuple[str, str]:
        """Call-ID and our tag: requests of the recorder that name both belong to this session."""
        return self._ctx.call_id, self._ctx.local_tag

    def start(self, now: float) -> list[SessionCommand]:
        """Ask the server to record. To be called once."""
        return self._guarded(None, now)

    def apply(self, event: SessionEvent | WideEvent, now: float) -> list[SessionCommand]:
        """Take an event in and say what is to be done about it. Never raises.

        After `Finish` every event is answered with nothing; a request that comes then is the driver's to
        answer (481).

        Args:
            event: what happened.
            now: monotonic seconds.
        """
        return [] if self.finished else self._guarded(event, now)

    def _guarded(self, event: SessionEvent | WideEvent | None, now: float) -> list[SessionCommand]:
        ctx = self._ctx
        ctx.now = now
        try:
            if event is None:
                begin(ctx)
            else:
                _dispatch(ctx, event)
        except Exception as error:  # noqa: BLE001 - a bug must not reach the call or other sessions
            self.failure = self.failure or error
            _give_up(ctx, error)
        return ctx.take_commands()


def _give_up(ctx: Context, error: Exception) -> None:
    """A failure of ours: the session ends without a farewell, and another server may be tried."""
    detail = f"{type(error).__name__}: {error}"
    if ctx.state is State.FINISHED:
        return
    server = ctx.setup.server.uri
    if ctx.verdict is None and not ctx.ending:
        up = ctx.state in UP_STATES
        ctx.report(
            SessionLost(server, Cause.INTERNAL_ERROR, detail)
            if up
            else AttemptFailed(server, Cause.INTERNAL_ERROR, detail)
        )
    finish(ctx, SessionVerdict(SessionSlug.FAILED, Cause.INTERNAL_ERROR, detail))


def _dispatch(ctx: Context, event: SessionEvent | WideEvent) -> None:  # noqa: C901, PLR0912 - one line for each
    match event:
        case ResponseArrived():
            _response(ctx, event)
        case RequestTimedOut():
            _unanswered(ctx, event.request_id, Cause.NO_ANSWER, "no final response in time")
        case RequestTransportFailed():
            _unanswered(ctx, event.request_id, Cause.UNREACHABLE, event.detail or "it could not be sent")
        case RequestArrived():
            request_arrived(ctx, event)
        case AckArrived():
            acknowledged(ctx, event)
        case AckTimedOut():
            if ctx.unacknowledged is not None and ctx.unacknowledged.key == event.key:
                ctx.unacknowledged = None
                _gone(ctx, Cause.NOT_ACKNOWLEDGED, "an answer to the recorder was never acknowledged")
        case TimerFired():
            if ctx.fired(event.name):
                _timer(ctx, event.name)
        case PeerLost():
            _gone(ctx, Cause.PEER_LOST, event.detail, event.noticed_at)
        case PeerSuspected():
            _suspect(ctx)
        case MediaFailed():
            _gone(ctx, Cause.MEDIA_FAILED, event.detail)
        case SnapshotDue():
            advance(ctx)
        case CodecsChanged():
            _codecs(ctx, event)
        case ProtectionNeeded():
            ctx.sources = tuple(replace(source, secure=True) for source in ctx.sources)
            fit_codecs(ctx)
            advance(ctx)
        case PauseAsked():
            pause(ctx)
        case ResumeAsked():
            if not ctx.ending:
                resume(ctx)
        case StopAsked():
            ctx.stopped_at = ctx.stopped_at or ctx.setup.clock.at(ctx.now)
            _end(ctx)
        case CallEnded():
            _end(ctx)
        case _:
            assert_never(event)


def _response(ctx: Context, event: ResponseArrived) -> None:
    response, pending = event.response, ctx.pending
    if ctx.state in {State.INVITING, State.CANCELLING} and event.request_id == ctx.invite_id:
        invite_answered(ctx, event)
    elif pending is not None and event.request_id == pending.request_id:
        change_answered(ctx, pending, event)
    elif ctx.state is State.LEAVING and event.request_id == ctx.bye_id:
        bye_answered(ctx, response)
    elif 200 <= response.status < 300 and response.cseq.method == "INVITE":
        _another_2xx(ctx, event)


def _another_2xx(ctx: Context, event: ResponseArrived) -> None:
    """A 2xx that came again, of another branch, or of a re-INVITE that was given up: all are acknowledged."""
    response, dialog = event.response, ctx.dialog
    if dialog is None or ctx.acknowledge_again(event.request_id, response):
        return
    if response.to_tag == dialog.remote_tag:
        ctx.acknowledge(event.request_id, response, dialog, response.cseq.number)
    elif event.request_id == ctx.invite_id:
        forked(ctx, event.request_id, response)


def _unanswered(ctx: Context, request_id: int, cause: Cause, detail: str) -> None:
    pending = ctx.pending
    if ctx.state in {State.INVITING, State.CANCELLING} and request_id == ctx.invite_id:
        unreached(ctx, cause, detail)
    elif pending is not None and request_id == pending.request_id:
        change_lost(ctx, pending, detail)
    elif ctx.state is State.LEAVING and request_id == ctx.bye_id:
        finish(ctx, ctx.verdict or SessionVerdict(SessionSlug.COMPLETED))


def _timer(ctx: Context, name: TimerName) -> None:
    match name:
        case TimerName.SETUP:
            too_late(ctx)
        case TimerName.REQUEST:
            if ctx.pending is not None:
                change_lost(ctx, ctx.pending, "no final response in time")
        case TimerName.BACKOFF:
            backoff_over(ctx)
        case TimerName.REFRESH:
            ctx.refresh_due = True
            advance(ctx)
        case TimerName.EXPIRY:
            lose(ctx, Cause.EXPIRED, "the recorder did not refresh the session", goodbye=True)
        case TimerName.FAREWELL:
            leave(ctx, SessionVerdict(SessionSlug.COMPLETED))
        case TimerName.TEARDOWN:
            finish(ctx, ctx.verdict or SessionVerdict(SessionSlug.COMPLETED))
        case _:
            assert_never(name)


def _gone(ctx: Context, cause: Cause, detail: str, noticed_at: float | None = None) -> None:
    """Somebody who knows says that this session does not record any more."""
    if ctx.state in UP_STATES:
        lose(ctx, cause, detail, goodbye=True, noticed_at=noticed_at)
    elif ctx.state is State.INVITING:
        ctx.report(AttemptFailed(ctx.setup.server.uri, cause, detail))
        cancel(ctx, SessionVerdict(SessionSlug.FAILED, cause, detail))


def _suspect(ctx: Context) -> None:
    """Ask the recorder whether it is there, or do not wait so long for what it was asked already."""
    if ctx.state not in UP_STATES:
        return
    if ctx.pending is not None:
        ctx.set_timer(TimerName.REQUEST, CHECK_WAIT_S)
        return
    ctx.check_due = True
    advance(ctx)


def _codecs(ctx: Context, event: CodecsChanged) -> None:
    """A participant sends in another codec: choose anew among what was agreed, or offer anew."""
    changed = {each.label: each for each in event.codecs}
    ctx.book.refused -= {source.label for source in ctx.sources if _is_other(source, changed)}
    ctx.sources = tuple(
        source if source.label not in changed else changed[source.label].within(source)
        for source in ctx.sources
    )
    fit_codecs(ctx)
    advance(ctx)


def _is_other(source: StreamSource, changed: Mapping[str, StreamCodec]) -> bool:
    change = changed.get(source.label)
    return change is not None and change.codec != source.codec


def _end(ctx: Context) -> None:
    """The call is over, or its recording."""
    if ctx.state is State.NEW:
        finish(ctx, SessionVerdict(SessionSlug.ABANDONED))
    elif ctx.state is State.INVITING:
        cancel(
            ctx, SessionVerdict(SessionSlug.ABANDONED, None, "the call ended before the recorder answered")
        )
    elif ctx.state in UP_STATES and ctx.state is not State.FAREWELL:
        end(ctx)
