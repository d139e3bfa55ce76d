"""Offers and answers across the call, and what they mean for the media of both legs (RFC 3264)."""

from sidestream.call.commands import BridgeMedia, UpdateLegMedia
from sidestream.call.context import CallContext
from sidestream.call.facts import CallHeld, CallResumed, CodecChanged
from sidestream.call.leg import Exchange, Leg
from sidestream.call.side import Side
from sidestream.sdp.codecs import matching
from sidestream.sdp.errors import NegotiationError
from sidestream.sdp.model import MediaDescription, SessionDescription
from sidestream.sdp.negotiate import is_held, relay_answer, relay_offer, remote_address

DEFAULT_PTIME_MS = 20
"""RFC 3551 4.2: what an audio sender assumes when nothing is said."""


def open_exchange(ctx: CallContext, offerer: Side, offer: SessionDescription) -> Exchange:
    """Take an offer from one side and make the one for the other.

    Raises:
        GlareError: The side has an offer of ours to answer (491).
        OfferOverlapError: Its last offer is not answered (500).
        NegotiationError: Nothing in it can be agreed on; the leg's session is as before (488).
        StateError: The other leg is in an exchange; see `OfferAnswer.can_offer`.
    """
    offer = ctx.leg(offerer).protection.admitted(offer)
    ctx.leg(offerer).session.receive_offer(offer)
    try:
        return offer_on(ctx, offerer, offer)
    except NegotiationError:
        ctx.leg(offerer).session.reject()
        raise


def offer_on(ctx: CallContext, offerer: Side, offer: SessionDescription) -> Exchange:
    """Make the offer for the other side from one that was received before.

    Raises:
        NegotiationError: Nothing in it can be agreed on.
    """
    other = ctx.leg(offerer.other)
    keys = other.protection.proposals()
    relayed = relay_offer(offer, other.setup.media, ctx.codecs, other.origin, keys)
    return Exchange(offerer, offer, other.session.send_offer(relayed))


def preview(
    ctx: CallContext, exchange: Exchange, answer: SessionDescription, *, firm: bool, tell_firmly: bool
) -> SessionDescription | None:
    """Relay an answer told ahead of time, and let media flow by it.

    Args:
        ctx: The call.
        exchange: The offer.
        answer: What the answerer said in a provisional response.
        firm: Whether that response is reliable, so that this is the answer (RFC 3262 5).
        tell_firmly: Whether the offerer is told in a reliable response.

    Returns:
        What the offerer is told; None when either of them said or has its answer already.

    Raises:
        NegotiationError: It does not fit the offer, or not what the offerer was told; nothing has changed.
    """
    offerer, answerer = ctx.leg(exchange.offerer), ctx.leg(exchange.offerer.other)
    if answerer.session.can_offer:
        refresh_media(ctx)
        return None
    back = _fitting(exchange, answer, offerer)
    if firm:
        answerer.session.receive_answer(answer)
    else:
        answerer.session.receive_preview(answer)
    sent: SessionDescription | None = None
    if not offerer.session.can_offer:
        say = offerer.session.send_answer if tell_firmly else offerer.session.send_preview
        sent = say(back)
    if firm and tell_firmly:
        _note_hold(ctx, exchange, answer)
    refresh_media(ctx)
    return sent


def close_exchange(
    ctx: CallContext, exchange: Exchange, answer: SessionDescription
) -> SessionDescription | None:
    """Relay the answer: both legs' sessions are agreed on, and their media follow.

    Returns:
        The answer for the offerer; None when it has its answer already, from a reliable response.

    Raises:
        NegotiationError: It does not fit the offer, or not what the offerer was told; nothing has changed.
    """
    offerer, answerer = ctx.leg(exchange.offerer), ctx.leg(exchange.offerer.other)
    back = _fitting(exchange, answer, offerer)
    answerer.session.receive_answer(answer)
    sent = None if offerer.session.can_offer else offerer.session.send_answer(back)
    _note_hold(ctx, exchange, answer)
    refresh_media(ctx)
    return sent


def abandon_exchange(ctx: CallContext, exchange: Exchange) -> None:
    """The offer was turned down or lost: both sessions stay as they were (RFC 3261 14.1)."""
    for side in Side:
        session = ctx.leg(side).session
        if not session.can_offer and session.pending in (exchange.offer, exchange.relayed):
            session.reject()


def bridge(ctx: CallContext, *, on: bool) -> None:
    """Start or stop the relay of media, once."""
    if ctx.bridged is not on:
        ctx.bridged = on
        ctx.order(BridgeMedia(on))


def refresh_media(ctx: CallContext) -> None:
    """Tell the media engine what holds on each leg, where it is new."""
    for side in Side:
        leg = ctx.leg(side)
        order = _media_of(leg, held=ctx.caller.holding or ctx.callee.holding)
        if order is None or order == leg.ordered:
            continue
        before, leg.ordered = leg.codec, order
        leg.protection.note_use(order.srtp, with_audio=bool(order.codecs))
        ctx.order(order)
        if leg.codec is not None and leg.codec != before:
            ctx.report(CodecChanged(ctx.at, side, leg.codec))


def _fitting(exchange: Exchange, answer: SessionDescription, offerer: Leg) -> SessionDescription:
    """The answer for the offerer.

    Raises:
        NegotiationError: It does not fit the offer, or wants a codec that an answer told before left out.
    """
    audio = exchange.offer.audio
    crypto = offerer.protection.answer(audio) if audio is not None else None
    back = relay_answer(
        exchange.offer, exchange.relayed, answer, offerer.setup.media, offerer.origin, crypto=crypto
    )
    if not offerer.session.can_offer:
        return back
    told = offerer.session.local.audio if offerer.session.local else None
    voices = [codec for codec in (back.audio.codecs if back.audio else []) if not codec.is_follower]
    if told is None or not voices or matching(voices[0], told.codecs) is None:
        raise NegotiationError("the answer does not fit the one that was told before")
    return back


def _media_of(leg: Leg, *, held: bool) -> UpdateLegMedia | None:
    remote = leg.session.remote
    if remote is None:
        return None
    audio = remote.audio
    address = remote_address(remote, audio) if audio else None
    ptime = (audio.ptime_ms if audio else None) or DEFAULT_PTIME_MS
    return UpdateLegMedia(leg.side, address, tuple(leg.session.codecs()), ptime, held, leg.session.keys())


def _note_hold(ctx: CallContext, exchange: Exchange, answer: SessionDescription) -> None:
    """Work out who holds whom: an offer says it outright, an answer only where the offer left the choice."""
    offerer, answerer = ctx.leg(exchange.offerer), ctx.leg(exchange.offerer.other)
    offered, answered = exchange.offer.audio, answer.audio
    if offered is None or answered is None:
        return
    _set_holding(ctx, offerer, offered)
    if offered.direction.sends:
        _set_holding(ctx, answerer, answered)


def _set_holding(ctx: CallContext, leg: Leg, said: MediaDescription) -> None:
    holding = is_held(said)
    if leg.holding is not holding:
        leg.holding = holding
        held = CallHeld(ctx.at, leg.side, said.direction.sends)
        ctx.report(held if holding else CallResumed(ctx.at, leg.side))
