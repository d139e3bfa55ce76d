"""The peers of the route, tried one after the other (RFC 3261 8.1, 16.6, 16.7; RFC 3263 4.3).

Another peer is tried when one is out of reach, silent or broken (`FAILOVER`), and only while the caller has
heard nothing: once a provisional response was relayed, the caller hears of *this* callee, and the failure is
passed on. A peer that is busy, declines or does not know the number has decided, and no other is asked.
"""

from typing import Final

from sidestream.call.authentication import CHALLENGES
from sidestream.call.body import BodyError, session_of
from sidestream.call.commands import NextHop
from sidestream.call.context import CallContext
from sidestream.call.events import TimerName
from sidestream.call.exchange import offer_on, open_exchange
from sidestream.call.facts import CallStarted, PeerTried
from sidestream.call.features import Use
from sidestream.call.giving_up import cancel_attempt, give_up
from sidestream.call.leg import Exchange
from sidestream.call.messages import contact_value, first_invite, target_uri, warning_value
from sidestream.call.numbers import renumbered
from sidestream.call.pending import Attempt
from sidestream.call.redirection import told
from sidestream.call.session_timers import refusal
from sidestream.call.setup import SECURE_CONTACT, PeerHop
from sidestream.call.side import Side
from sidestream.call.state import CallState, LegPhase
from sidestream.call.teardown import end, settle
from sidestream.call.verdict import RULES, EndedBy, ResultClass, Slug, slug_of_status
from sidestream.sdp.errors import NegotiationError, SdpError
from sidestream.sip import session_timer
from sidestream.sip.digest_client import NotAnswered
from sidestream.sip.headers import CSeq
from sidestream.sip.hop import Transport
from sidestream.sip.message import Request, Response
from sidestream.sip.reliability import TAG, option_tags, supports
from sidestream.sip.secure import is_secure, secured_text
from sidestream.sip.tls_failure import TlsTrouble
from sidestream.sip.uri import SipUri, parse_uri

FAILOVER: Final = frozenset({401, 407, 408, 500, 502, 503, 504})
"""Statuses that say something about the peer and not about the callee: another peer may do better.
408 stands for silence and 503 for a transport failure too (RFC 3261 8.1.3.1), 401 and 407 for a challenge
that our credentials don't meet."""

OURS_INSTEAD: Final = frozenset(
    {Slug.PEER_WANTS_CREDENTIALS, Slug.CREDENTIALS_REJECTED, Slug.REDIRECTED, Slug.EXTENSION_REFUSED}
)
"""Failures whose status is between the peer and us: challenges, redirections and extensions are not for the
caller."""

NOT_ACCEPTABLE: Final = frozenset({415, 488, 606})
"""Statuses by which a peer refuses an offer of SRTP that it cannot have, among other reasons."""
_UNANSWERED: Final = {
    None: "",
    NotAnswered.REJECTED: " to the credentials of the trunk",
    NotAnswered.OTHER_REALM: " for a realm that the trunk's credentials are not for",
    NotAnswered.UNUSABLE: " without a challenge that can be answered",
}
"""What is added to a challenge's status in the verdict's detail."""

MAX_INTERVALS: Final = 2
"""Times that a peer may ask for a longer session interval."""

_BY_CALLEE: Final = frozenset({ResultClass.UNANSWERED, ResultClass.REJECTED})


def begin(ctx: CallContext) -> None:
    """Take the caller's INVITE in: try the first peer, or refuse it (RFC 3261 13.3.1, RFC 5621 3.1)."""
    if not ctx.setup.peers:
        end(ctx, Slug.NO_PEER)
        return
    if _wants_others(ctx) or _wants_more_privacy(ctx):
        return
    try:
        offer = session_of(ctx.invite.request)
        exchange = None if offer is None else open_exchange(ctx, Side.A, offer)
    except BodyError as error:
        end(ctx, Slug.BODY_UNSUPPORTED, detail=_with_words(Slug.BODY_UNSUPPORTED, str(error)))
    except NegotiationError as error:
        warning = ("Warning", warning_value(error))
        detail = _with_words(Slug.OFFER_NOT_ACCEPTABLE, str(error))
        end(ctx, Slug.OFFER_NOT_ACCEPTABLE, extra=(warning,), detail=detail)
    except SdpError as error:
        detail = _with_words(Slug.OFFER_UNREADABLE, str(error))
        end(ctx, Slug.OFFER_UNREADABLE, status=error.sip_status, detail=detail)
    else:
        ctx.move(CallState.CALLING)
        ctx.report(CallStarted(ctx.at, ctx.caller.participant, ctx.callee.participant, ctx.caller.headers))
        _try_peer(ctx, exchange)


def _wants_others(ctx: CallContext) -> bool:
    """Whether caller and trunks do not agree on the extensions they require (RFC 3261 8.2.2.3, 21.4.16)."""
    invite, caller, callee = ctx.invite.request, ctx.setup.caller.features, ctx.setup.callee.features
    unknown = caller.unknown(option_tags(invite, "Require"))
    if unknown:
        unsupported = ("Unsupported", ", ".join(unknown))
        detail = _with_words(Slug.EXTENSION_UNSUPPORTED, ", ".join(unknown))
        end(ctx, Slug.EXTENSION_UNSUPPORTED, extra=(unsupported,), detail=detail)
        return True
    # An offer in a reliable response must be answered in its PRACK: only a caller that sends one can do that.
    delayed = callee.prack is Use.REQUIRED and not invite.body
    missing = [TAG] if (caller.prack is Use.REQUIRED or delayed) and not ctx.progress.reliable else []
    if caller.timer is Use.REQUIRED and not supports(invite, session_timer.TAG):
        missing.append(session_timer.TAG)
    if missing:
        tags = ", ".join(missing)
        detail = _with_words(Slug.EXTENSION_REQUIRED, tags)
        end(ctx, Slug.EXTENSION_REQUIRED, extra=(("Require", tags),), detail=detail)
        return True
    too_small = refusal(ctx.caller, invite)
    if too_small:
        end(ctx, Slug.INTERVAL_TOO_SMALL, extra=too_small)
    return bool(too_small)


def _wants_more_privacy(ctx: CallContext) -> bool:
    """Whether the caller insists on a privacy that is not known here (RFC 3323 5)."""
    unmet = ctx.border(Side.B).unmet(ctx.invite.request.headers)
    if unmet:
        detail = _with_words(Slug.PRIVACY_UNAVAILABLE, ", ".join(unmet))
        end(ctx, Slug.PRIVACY_UNAVAILABLE, phrase="Privacy Not Available", detail=detail)
    return bool(unmet)


def refused(ctx: CallContext, attempt: Attempt, response: Response) -> None:
    """A peer gave a final response other than 2xx."""
    del ctx.pending[attempt.request_id]
    if attempt.given_up:
        settle(ctx)
        return
    status = response.status
    said = f"{status} {response.reason}".strip() + _UNANSWERED[attempt.unanswered]
    give_up(ctx, attempt, status, said, answered=True)
    if (
        _try_without_srtp(ctx, attempt, status)
        or _try_longer_interval(ctx, attempt, response)
        or _try_target(ctx, attempt, status, response)
        or _try_another(ctx, status)
    ):
        return
    if 300 <= status < 400 and not ctx.setup.callee.features.follow_redirects:
        slug, extra = Slug.REDIRECTED, told(response)
        detail = _with_words(slug, f"the peer said {said}")
        end(
            ctx,
            slug,
            status=status,
            phrase=response.reason,
            headers=response.headers,
            extra=extra,
            detail=detail,
        )
        return
    rejected = attempt.unanswered is NotAnswered.REJECTED
    slug = Slug.CREDENTIALS_REJECTED if rejected else slug_of_status(status)
    detail = _with_words(slug, f"the peer said {said}")
    by = EndedBy.CALLEE if RULES[slug].result in _BY_CALLEE else EndedBy.GATEWAY
    if status in CHALLENGES:
        # What the peer says of our credentials in Warning or Reason is not for the caller either.
        end(ctx, slug, detail=detail, ended_by=by)
        return
    if slug in OURS_INSTEAD:
        end(ctx, slug, headers=response.headers, detail=detail, ended_by=by)
        return
    end(
        ctx, slug, status=status, phrase=response.reason, headers=response.headers, detail=detail, ended_by=by
    )


def unreached(ctx: CallContext, attempt: Attempt, slug: Slug, trouble: TlsTrouble | None = None) -> None:
    """A peer was silent (RFC 3261 17.1.1.2) or could not be sent to (17.1.4), maybe for trouble with TLS."""
    del ctx.pending[attempt.request_id]
    if attempt.given_up:
        settle(ctx)
        return
    said = "no response" if slug is Slug.PEER_TIMEOUT else "out of reach"
    detail = ""
    if trouble is not None:
        slug = Slug.PEER_NOT_PROVEN if trouble.concerns_certificate else Slug.PEER_TLS_FAILED
        said, detail = str(trouble), _with_words(slug, str(trouble))
    give_up(ctx, attempt, RULES[slug].status, said)
    status = RULES[slug].status
    if not _try_target(ctx, attempt, status) and not _try_another(ctx, status):
        end(ctx, slug, detail=detail)


def silent(ctx: CallContext, attempt: Attempt) -> None:
    """A peer has not answered at all: it is given up where another one is left, long before timer B.

    The last peer keeps the time that RFC 3261 17.1.1.2 gives it.
    """
    another = _peers_tried(ctx) < len(ctx.setup.peers)
    if attempt is not ctx.attempt or attempt.given_up or ctx.state is not CallState.CALLING or not another:
        return
    cancel_attempt(ctx, attempt, RULES[Slug.PEER_TIMEOUT].reason, "no response", 408)
    _try_another(ctx, 408)


def rang_too_long(ctx: CallContext) -> None:
    """The RING timer fired: the peer that rings is given up, one that never rang makes room for the next."""
    attempt = ctx.attempt
    if attempt is None or ctx.state not in {CallState.CALLING, CallState.RINGING}:
        return
    slug = Slug.NO_ANSWER if ctx.state is CallState.RINGING else Slug.PEER_TIMEOUT
    cancel_attempt(ctx, attempt, RULES[slug].reason, "no answer in time")
    if not _try_another(ctx, 408):
        end(ctx, slug)


def _try_without_srtp(ctx: CallContext, attempt: Attempt, status: int) -> bool:
    """Offer plain RTP to a peer that refused SRTP, where the trunk leaves the choice."""
    exchange, former = attempt.exchange, ctx.callee.protection
    if (
        exchange is None
        or status not in NOT_ACCEPTABLE
        or not former.may_fall_back
        or ctx.state is not CallState.CALLING
    ):
        return False
    ctx.callee.begin_anew()
    ctx.callee.protection.fell_back = True
    _try_peer(ctx, offer_on(ctx, Side.A, exchange.offer), attempt.peer)
    return True


def _try_longer_interval(ctx: CallContext, attempt: Attempt, response: Response) -> bool:
    """Ask a peer again by the session interval that its 422 wants (RFC 4028 7.3), a few times at most."""
    exchange, least = attempt.exchange, session_timer.least_of(response)
    asked = int(attempt.request.headers.get("Session-Expires") or 0)
    tried = sum(each.peer is attempt.peer for each in ctx.attempts)
    if (
        response.status != 422
        or least is None
        or not 0 < asked < least
        or tried > MAX_INTERVALS
        or ctx.state is not CallState.CALLING
    ):
        return False
    fell_back = ctx.callee.protection.fell_back
    ctx.callee.begin_anew()
    ctx.callee.least_interval, ctx.callee.protection.fell_back = least, fell_back
    _try_peer(ctx, exchange and offer_on(ctx, Side.A, exchange.offer), attempt.peer, attempt.request)
    return True


def _try_target(ctx: CallContext, attempt: Attempt, status: int, response: Response | None = None) -> bool:
    """Try the next contact that a redirection named (RFC 3261 8.1.3.4), while the caller can have another.

    A caller that has a reliable answer from the one who redirected, or whom all of the callee's places turn
    down (6xx), is not.
    """
    if not ctx.setup.callee.features.follow_redirects or ctx.caller.session.can_offer is not (
        attempt.exchange is None
    ):
        return False
    if response is not None and 300 <= status < 400:
        ctx.targets.take(response, attempt.request.uri)
    if status >= 600 or not ctx.targets.waiting or ctx.state not in {CallState.CALLING, CallState.RINGING}:
        return False
    target = ctx.targets.waiting.popleft()
    ctx.callee.begin_anew()
    exchange = attempt.exchange and offer_on(ctx, Side.A, attempt.exchange.offer)
    hosts = {SipUri.parse(peer.uri).host.lower() for peer in ctx.setup.peers}
    _try_peer(ctx, exchange, PeerHop(str(target)), foreign=target.host.lower() not in hosts)
    return True


def _peers_tried(ctx: CallContext) -> int:
    return sum(not attempt.again for attempt in ctx.attempts)


def _try_another(ctx: CallContext, status: int) -> bool:
    """Try the next peer, if there is one and it may be tried."""
    exchange = ctx.attempt.exchange if ctx.attempt else None
    ctx.callee.begin_anew()
    if (
        ctx.state is not CallState.CALLING
        or status not in FAILOVER
        or _peers_tried(ctx) >= len(ctx.setup.peers)
    ):
        return False
    if exchange is not None:
        exchange = offer_on(ctx, Side.A, exchange.offer)
    _try_peer(ctx, exchange)
    return True


def _try_peer(
    ctx: CallContext,
    exchange: Exchange | None,
    again: PeerHop | None = None,
    former: Request | None = None,
    *,
    foreign: bool = False,
) -> None:
    """Send an INVITE to the next peer, or to one once more, with the offer when there is one.

    Args:
        ctx: The call.
        exchange: The offer.
        again: The peer, when it is not the next one.
        former: Its INVITE that this one goes on from, with the next number (RFC 4028 7.3).
        foreign: Whether it is no host of the trunk.
    """
    peer = again or ctx.setup.peers[_peers_tried(ctx)]
    setup, callee, original = ctx.setup, ctx.callee, ctx.invite.request
    uri = target_uri(str(renumbered(parse_uri(original.uri), setup.numbering.called)), peer.uri)
    call_id = former.call_id if former is not None else setup.token()
    anonymous = ctx.border(Side.B).hides_caller(original.headers)
    invite = first_invite(
        original, uri, call_id, callee.local_tag, numbering=setup.numbering, anonymous=anonymous
    )
    if former is not None:
        invite.headers.set("CSeq", str(CSeq(former.cseq.number + 1, "INVITE")))
    contact = SECURE_CONTACT if is_secure(uri) else _transport_to(peer)
    invite.headers.set("Contact", contact_value(setup.identity, contact))
    offer = exchange.relayed if exchange is not None else None
    ctx.dressed(invite, original.headers, offer, features=callee.setup.features)
    for route in peer.routes:
        invite.headers.add("Route", route)
    reliable = _offer_extensions(ctx, invite, delayed=exchange is None)
    attempt = Attempt(
        number=len(ctx.attempts) + 1,
        peer=peer,
        request=invite,
        request_id=ctx.next_request_id(),
        started_at=ctx.at,
        exchange=exchange,
        session=callee.session,
        reliable=reliable,
        again=again is not None,
        foreign=foreign,
    )
    callee.place = attempt.place
    ctx.attempt = attempt
    ctx.attempts.append(attempt)
    callee.move(LegPhase.INVITED)
    ctx.report(PeerTried(ctx.at, attempt.number, peer.uri, invite.call_id))
    ctx.set_timer(TimerName.RING, setup.limits.ring_timeout)
    way = secured_text(peer.way) if is_secure(uri) else peer.way
    ctx.send(Side.B, invite, NextHop(way, peer.hops), attempt)


def _offer_extensions(ctx: CallContext, invite: Request, *, delayed: bool) -> bool:
    """Say in an INVITE which extensions we know; returns whether reliable responses are among them.

    They are not where the callee is to offer and the caller could not answer in a PRACK.
    """
    features = ctx.callee.setup.features
    reliable = features.prack is not Use.OFF and (not delayed or ctx.progress.reliable)
    if features.timer is not Use.OFF:
        least = max(features.min_se, ctx.callee.least_interval)
        invite.headers.set("Session-Expires", str(max(features.session_expires, least)))
        invite.headers.set("Min-SE", str(least))
    required = [TAG] if reliable and features.prack is Use.REQUIRED else []
    if features.timer is Use.REQUIRED:
        required.append(session_timer.TAG)
    supported = [tag for tag in features.options if tag != TAG or reliable]
    if supported:
        invite.headers.set("Supported", ", ".join(supported))
    if required:
        invite.headers.set("Require", ", ".join(required))
    return reliable


def _transport_to(peer: PeerHop) -> Transport:
    """The transport a peer is first tried on, as far as it is known before its name is resolved."""
    if peer.hops:
        return peer.hops[0].transport
    uri = SipUri.parse(peer.way)
    if uri.scheme == "sips" or uri.transport == "tls":
        return "tls"
    return "tcp" if uri.transport == "tcp" else "udp"


def _with_words(slug: Slug, words: str) -> str:
    return f"{RULES[slug].sentence.rstrip('.')}: {words}."
