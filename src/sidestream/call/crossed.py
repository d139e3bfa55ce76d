"""What comes back for a request that crossed: the other party's answer (RFC 3261 12.2.1.2, 14.1)."""

from collections.abc import Callable, Mapping
from typing import Final

from sidestream.call.attempts import OURS_INSTEAD
from sidestream.call.body import BodyError, session_of
from sidestream.call.context import CallContext
from sidestream.call.exchange import abandon_exchange, close_exchange, open_exchange, refresh_media
from sidestream.call.identity import note_identity
from sidestream.call.leg import Exchange, OwedAck, UnackedAnswer
from sidestream.call.pending import Crossing
from sidestream.call.session_timers import agreed, answer_headers, raise_interval
from sidestream.call.state import CallState, LegPhase
from sidestream.call.teardown import end, part, settle
from sidestream.call.verdict import RULES, Slug, slug_of_status
from sidestream.sdp.errors import NegotiationError, SdpError
from sidestream.sdp.model import SessionDescription
from sidestream.sip.hop import Source
from sidestream.sip.message import Response
from sidestream.sip.reliability import TAG, requires

SESSION_METHODS: Final = frozenset({"INVITE", "UPDATE"})
"""Requests that show by 408 or silence that the dialog is dead. For an INFO or MESSAGE, silence may only mean
that the party does not know the method, and no call is dropped for that."""


def crossing_answered(
    ctx: CallContext, number: int, crossing: Crossing, response: Response, source: Source
) -> None:
    """A party answered what was passed on to it."""
    other = ctx.leg(crossing.side.other)
    other.hear(response, source)
    if response.status >= 200:
        del ctx.pending[number]
    if ctx.state is CallState.ENDING:
        _too_late(ctx, number, crossing, response)
        return
    _BY_CLASS[min(response.status // 100, 3)](ctx, number, crossing, response)


def crossing_lost(ctx: CallContext, number: int, crossing: Crossing, status: int) -> None:
    """It was never answered (408), or could not be sent (503) (RFC 3261 8.1.3.1)."""
    del ctx.pending[number]
    if ctx.state is CallState.ENDING:
        settle(ctx)
        return
    _give_back(ctx, crossing)
    if crossing.cancelled:
        status = 487  # RFC 3261 9.1: taken as cancelled, and the session goes on
    _fail(ctx, crossing, status)


def _too_late(ctx: CallContext, number: int, crossing: Crossing, response: Response) -> None:
    """The call is ending and the sender has its answer: a 2xx to an INVITE is acknowledged all the same."""
    other = ctx.leg(crossing.side.other)
    if crossing.sent.method == "INVITE" and 200 <= response.status < 300:
        ctx.acknowledge(other, _owed(number, crossing, response))
    settle(ctx)


def _progress(ctx: CallContext, _number: int, crossing: Crossing, response: Response) -> None:
    """Provisional responses cross from INVITE to INVITE only; a session in them waits for the 2xx."""
    if response.status > 100 and crossing.request.method == "INVITE" and not requires(crossing.request, TAG):
        sender = ctx.leg(crossing.side)
        arrived = (crossing.key, crossing.request)
        ctx.respond(sender, arrived, response.status, phrase=response.reason, source=response.headers)


def _accepted(ctx: CallContext, number: int, crossing: Crossing, response: Response) -> None:
    """2xx: targets are refreshed on both legs (RFC 3261 12.2.1.2, 12.2.2), and the session is the new one."""
    sender, other = ctx.leg(crossing.side), ctx.leg(crossing.side.other)
    if crossing.sent.method == "PRACK" and crossing.exchange is not None:
        _close(ctx, crossing, crossing.exchange, response)
        return
    if crossing.sent.method not in SESSION_METHODS:
        _hand_back(ctx, crossing, response, body_of=response)
        return
    for leg, message in ((other, response), (sender, crossing.request)):
        if leg.dialog is not None:
            leg.dialog.update_target(message)
    if other.timer is not None:
        agreed(ctx, other, response)
    note_identity(ctx, other, response)
    if crossing.sent.method == "INVITE":
        _invite_accepted(ctx, number, crossing, response)
    elif crossing.exchange is None:
        _hand_back(ctx, crossing, response)
    else:
        _close(ctx, crossing, crossing.exchange, response)


def _invite_accepted(ctx: CallContext, number: int, crossing: Crossing, response: Response) -> None:
    other, owed = ctx.leg(crossing.side.other), _owed(number, crossing, response)
    if crossing.exchange is not None:
        ctx.acknowledge(other, owed)
        _close(ctx, crossing, crossing.exchange, response)
        return
    other.owes = owed
    try:
        offer = _needed(session_of(response))
        exchange = open_exchange(ctx, other.side, offer)
    except (BodyError, SdpError) as error:
        _unusable(ctx, crossing, error)
        return
    _await_ack(ctx, crossing, exchange, owed)
    _hand_back(ctx, crossing, response, exchange.relayed)


def _close(ctx: CallContext, crossing: Crossing, exchange: Exchange, response: Response) -> None:
    try:
        session = close_exchange(ctx, exchange, _needed(session_of(response)))
    except (BodyError, SdpError) as error:
        _unusable(ctx, crossing, error)
        return
    if crossing.request.method == "INVITE":
        _await_ack(ctx, crossing, None, None)
    _hand_back(ctx, crossing, response, session)


def _await_ack(ctx: CallContext, crossing: Crossing, exchange: Exchange | None, owed: OwedAck | None) -> None:
    cseq = crossing.request.cseq.number
    ctx.leg(crossing.side).unacked = UnackedAnswer(crossing.key, cseq, False, exchange, owed)


def _unusable(ctx: CallContext, crossing: Crossing, error: Exception) -> None:
    """The party believes in a session that cannot be carried: the call ends (RFC 3261 13.2.2.4, 14.1)."""
    ctx.respond(ctx.leg(crossing.side), (crossing.key, crossing.request), 488)
    sentence = RULES[Slug.ANSWER_UNUSABLE].sentence.rstrip(".")
    end(ctx, Slug.ANSWER_UNUSABLE, detail=f"{sentence}: {error}.")


def _rejected(ctx: CallContext, _number: int, crossing: Crossing, response: Response) -> None:
    """300 to 699: the session goes on as it was (RFC 3261 14.1), unless the party lost its dialog."""
    _give_back(ctx, crossing)
    slug = slug_of_status(response.status)
    if response.status == 422 and raise_interval(ctx.leg(crossing.side.other), response):
        # Its interval is not the sender's concern, who may try again with the one that is known now.
        _fail(ctx, crossing, 491)
        return
    status = RULES[slug].status if slug in OURS_INSTEAD else response.status
    _fail(ctx, crossing, status, response)


def _fail(ctx: CallContext, crossing: Crossing, status: int, response: Response | None = None) -> None:
    """Tell the sender. 481, and 408 where it counts, say that the dialog is dead (RFC 3261 12.2.1.2).

    Where they do not end the call they are told as another status, because its sender would end it for them:
    504
    for a method whose silence means little, 480 in an early dialog, where the INVITE's own answer decides.
    """
    sender, other = ctx.leg(crossing.side), ctx.leg(crossing.side.other)
    if status in {408, 481} and LegPhase.INVITED in {sender.phase, other.phase}:
        status, response = 480, None
    elif status == 408 and crossing.sent.method not in SESSION_METHODS:
        status, response = 504, None
    own_words = response is not None and response.status == status
    ctx.respond(
        sender,
        (crossing.key, crossing.request),
        status,
        phrase=response.reason if response is not None and own_words else None,
        source=response.headers if response is not None else None,
    )
    if status not in {408, 481}:
        return
    if status == 481:
        part(ctx, other)  # it has no dialog that a BYE could end
    end(ctx, Slug.SESSION_LOST)


def _give_back(ctx: CallContext, crossing: Crossing) -> None:
    if crossing.exchange is not None:
        abandon_exchange(ctx, crossing.exchange)
        refresh_media(ctx)


def _hand_back(
    ctx: CallContext,
    crossing: Crossing,
    response: Response,
    session: SessionDescription | None = None,
    body_of: Response | None = None,
) -> None:
    sender, request = ctx.leg(crossing.side), crossing.request
    ctx.respond(
        sender,
        (crossing.key, request),
        response.status,
        phrase=response.reason,
        source=response.headers,
        session=session,
        body_of=body_of,
        extra=answer_headers(ctx, sender, request) if request.method in SESSION_METHODS else (),
    )


def _owed(number: int, crossing: Crossing, response: Response) -> OwedAck:
    return OwedAck(crossing.side.other, number, response.to_tag or "", crossing.sent.cseq.number)


def _needed(session: SessionDescription | None) -> SessionDescription:
    if session is None:
        raise NegotiationError("the 2xx has no session description")
    return session


_BY_CLASS: Final[Mapping[int, Callable[[CallContext, int, Crossing, Response], None]]] = {
    1: _progress,
    2: _accepted,
    3: _rejected,
}
"""What a response does, by its class; 3 stands for all that refuse."""
