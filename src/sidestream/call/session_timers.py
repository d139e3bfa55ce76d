"""Session timers of both legs, each by itself (RFC 4028).

A leg has a timer when its trunk wants one and its party knows them, or when the party asks for one. Whoever
is the refresher asks by UPDATE, or by re-INVITE where the party does not allow it, at half of the interval;
a party that is to refresh and does not is hung up on. Requests that cross refresh both legs on their way.
"""

from dataclasses import replace
from typing import Final
from zlib import crc32

from sidestream.call.body import session_or_none
from sidestream.call.context import CallContext
from sidestream.call.events import TimerName
from sidestream.call.exchange import refresh_media
from sidestream.call.facts import HeaderList
from sidestream.call.features import Use
from sidestream.call.leg import Leg, OwedAck
from sidestream.call.pending import Refresh
from sidestream.call.side import Side
from sidestream.call.state import CallState, LegPhase
from sidestream.call.teardown import end, part, settle
from sidestream.call.verdict import Slug
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.negotiate import leg_codecs
from sidestream.sip.errors import NotRoutableError
from sidestream.sip.hop import Source
from sidestream.sip.message import Request, Response
from sidestream.sip.reliability import supports
from sidestream.sip.session_timer import (
    MAX_SE_S,
    TAG,
    SessionTimer,
    accepted,
    least_of,
    of_response,
    too_small,
)

NAMES: Final = {Side.A: TimerName.SESSION_A, Side.B: TimerName.SESSION_B}

BUSY_S: Final = 3.0
"""Until a refresh is tried again that met another exchange."""


def refusal(leg: Leg, request: Request) -> HeaderList:
    """`Min-SE` for a 422 when a request asks for too short an interval (section 9), else nothing."""
    features = leg.setup.features
    if features.timer is Use.OFF or not too_small(request, features.min_se) or not supports(request, TAG):
        return ()
    return (("Min-SE", str(features.min_se)),)


def answer_headers(ctx: CallContext, leg: Leg, request: Request) -> HeaderList:
    """What our 2xx to a party's INVITE or UPDATE says (section 9); its leg's timer begins anew by that."""
    features, current = leg.setup.features, leg.timer
    if features.timer is Use.OFF:
        return ()
    timer = accepted(request, features.session_expires, features.min_se)
    if timer is None and current is not None and current.we_refresh:
        timer = current
    begin(ctx, leg, timer)
    if timer is None:
        return ()
    value = ("Session-Expires", timer.value(as_server=True))
    return (value,) if timer.we_refresh else (value, ("Require", TAG))


def ask(leg: Leg, request: Request) -> None:
    """Say in a request within the dialog what the leg's timer is (section 7.4)."""
    if leg.timer is not None:
        request.headers.set("Supported", TAG)
        request.headers.set("Session-Expires", leg.timer.value(as_server=False))
        request.headers.set("Min-SE", str(max(leg.setup.features.min_se, leg.least_interval)))


def agreed(ctx: CallContext, leg: Leg, response: Response) -> None:
    """A party's 2xx to our INVITE or UPDATE sets its leg's timer; without the header there is none (7.2)."""
    if leg.setup.features.timer is not Use.OFF:
        begin(ctx, leg, of_response(response))


def begin(ctx: CallContext, leg: Leg, timer: SessionTimer | None) -> None:
    """The session was refreshed, or has no timer."""
    name = NAMES[leg.side]
    leg.timer, leg.refreshed_at, leg.overdue = timer, ctx.now, False
    if timer is None or ctx.verdict is not None:
        ctx.clear_timer(name)
    else:
        ctx.set_timer(name, timer.due_in_s)


def due(ctx: CallContext, leg: Leg) -> None:
    """A leg's timer fired: our turn to refresh, or the end of patience with the party (section 10)."""
    if leg.timer is None or ctx.verdict is not None:
        return
    if leg.timer.we_refresh and not leg.overdue:
        _refresh(ctx, leg, leg.timer)
    else:
        end(ctx, Slug.SESSION_EXPIRED)


def _refresh(ctx: CallContext, leg: Leg, timer: SessionTimer) -> None:
    by_update = "UPDATE" in leg.allow and not leg.refuses_update
    if not _may_refresh(ctx, leg, by_update=by_update):
        _try_later(ctx, leg, timer, BUSY_S)
        return
    try:
        if by_update or leg.session.local is None:
            offer, request = None, ctx.create_request(leg, "UPDATE")
        else:
            offer = leg.session.send_offer(leg.session.local)
            request = ctx.create_request(leg, "INVITE", session=offer)
    except NotRoutableError:
        end(ctx, Slug.SESSION_LOST)
        return
    ask(leg, request)
    ctx.send(leg.side, request, leg.next_hop, Refresh(leg.side, request, leg.place))
    _await_expiry(ctx, leg, timer)


def _may_refresh(ctx: CallContext, leg: Leg, *, by_update: bool) -> bool:
    """Whether nothing else is under way that a refresh could meet."""
    other = ctx.leg(leg.side.other)
    waits = any(isinstance(each, Refresh) and each.side is leg.side for each in ctx.pending.values())
    if waits or leg.phase is not LegPhase.UP or leg.owes is not None:
        return False
    crossing = any(each.renegotiates for _, each in ctx.crossings())
    return by_update or not (crossing or leg.unacked or other.unacked or not leg.session.can_offer)


def _try_later(ctx: CallContext, leg: Leg, timer: SessionTimer, delay: float) -> None:
    """Refresh after a while, or wait for the end of the interval when that comes first."""
    if ctx.now + delay < leg.refreshed_at + timer.last_moment_s:
        ctx.set_timer(NAMES[leg.side], delay)
    else:
        _await_expiry(ctx, leg, timer)


def _await_expiry(ctx: CallContext, leg: Leg, timer: SessionTimer) -> None:
    leg.overdue = True
    ctx.set_timer(NAMES[leg.side], max(leg.refreshed_at + timer.last_moment_s - ctx.now, 0.0))


def refresh_answered(
    ctx: CallContext, number: int, refresh: Refresh, response: Response, source: Source
) -> None:
    """A party answered our refresh."""
    leg = ctx.leg(refresh.side)
    leg.hear(response, source)
    if response.status < 200:
        return
    del ctx.pending[number]
    if response.status < 300:
        _refreshed(ctx, number, leg, refresh, response)
        return
    if not leg.session.can_offer and refresh.request.method == "INVITE":
        leg.session.reject()
    if ctx.state is CallState.ENDING:
        settle(ctx)
    elif leg.timer is not None:
        _refused(ctx, leg, refresh, response, leg.timer)


def refresh_lost(ctx: CallContext, number: int) -> None:
    """A party did not answer our refresh, or could not be reached: the session is over (section 10)."""
    del ctx.pending[number]
    if ctx.state is CallState.ENDING:
        settle(ctx)
    else:
        end(ctx, Slug.SESSION_LOST)


def _refreshed(ctx: CallContext, number: int, leg: Leg, refresh: Refresh, response: Response) -> None:
    if refresh.request.method == "INVITE":
        ctx.acknowledge(leg, OwedAck(leg.side, number, response.to_tag or "", refresh.request.cseq.number))
    if ctx.state is CallState.ENDING:
        settle(ctx)
        return
    if leg.dialog is not None:
        leg.dialog.update_target(response)
    if refresh.request.method == "INVITE" and not leg.session.can_offer:
        _take_answer(leg, session_or_none(response))
        refresh_media(ctx)
    agreed(ctx, leg, response)


def _take_answer(leg: Leg, answer: SessionDescription | None) -> None:
    """The answer to the offer that a refresh repeated; without a usable one, all stays as it is."""
    ours = leg.session.local.audio if leg.session.local else None
    theirs = answer.audio if answer else None
    if answer is not None and ours is not None and theirs is not None and leg_codecs(ours, theirs):
        leg.session.receive_answer(answer)
    else:
        leg.session.reject()


def _refused(ctx: CallContext, leg: Leg, refresh: Refresh, response: Response, timer: SessionTimer) -> None:
    """A refresh failed: mended where it can be, else the interval runs out (sections 7.3, 10)."""
    leg.overdue = False
    if response.status in {408, 481}:
        if response.status == 481:
            part(ctx, leg)
        end(ctx, Slug.SESSION_LOST)
    elif response.status == 422 and raise_interval(leg, response):
        _refresh(ctx, leg, leg.timer or timer)
    elif response.status == 491:
        _try_later(ctx, leg, timer, _glare_wait(ctx, leg))
    elif refresh.request.method == "UPDATE":
        leg.refuses_update = True
        _refresh(ctx, leg, timer)
    else:
        _await_expiry(ctx, leg, timer)


def raise_interval(leg: Leg, response: Response) -> bool:
    """Take the interval that a 422 asks for (section 7.3); false when it asks for none that is longer."""
    least, timer = least_of(response), leg.timer
    if least is None or timer is None or not timer.interval_s < least <= MAX_SE_S:
        return False
    leg.least_interval, leg.timer = least, replace(timer, interval_s=least)
    return True


def _glare_wait(ctx: CallContext, leg: Leg) -> float:
    """How long to wait after a 491: longer for the owner of the Call-ID, which is us at the callee (14.1)."""
    share = crc32(ctx.setup.token().encode()) % 1000 / 1000
    return 2.1 + 1.9 * share if leg.side is Side.B else 2.0 * share
