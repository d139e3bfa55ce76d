"""How a call ended: one verdict per call, from a closed list of slugs.

The list covers calls that were refused before two legs existed (by the gateway's admission) and calls that a
`B2bua` carried. Slugs are stable: logs, metrics, records and the API show them.
"""

from dataclasses import dataclass
from enum import StrEnum


class ResultClass(StrEnum):
    """The kind of ending, for counting."""

    COMPLETED = "completed"
    """Answered, and ended by one of its parties."""
    STOPPED = "stopped"
    """Ended on purpose by the gateway: an operator, a limit, a policy or a shutdown."""
    INTERRUPTED = "interrupted"
    """Answered, then lost by a fault."""
    CANCELLED = "cancelled"
    """Given up by the caller before an answer."""
    UNANSWERED = "unanswered"
    """Reached the callee, who was busy, absent or unwilling."""
    REJECTED = "rejected"
    """Turned down by the far side's network."""
    FAILED = "failed"
    """Not carried because a peer was broken or out of reach."""
    REFUSED = "refused"
    """Turned down by this gateway."""


class EndedBy(StrEnum):
    """Who ended the call."""

    CALLER = "caller"
    CALLEE = "callee"
    OPERATOR = "operator"
    GATEWAY = "gateway"


class Slug(StrEnum):
    """Every way a call can end."""

    __hash__ = str.__hash__  # an enum's own is written in Python

    CALLER_HUNG_UP = "caller-hung-up"
    CALLEE_HUNG_UP = "callee-hung-up"
    HUNG_UP_BY_OPERATOR = "hung-up-by-operator"
    SHUTDOWN = "shutdown"
    POLICY = "policy"
    MAX_DURATION = "max-duration"
    MEDIA_TIMEOUT = "media-timeout"
    MEDIA_FAILED = "media-failed"
    ANSWER_NOT_ACKNOWLEDGED = "answer-not-acknowledged"
    PROGRESS_NOT_ACKNOWLEDGED = "progress-not-acknowledged"
    ANSWER_MISSING = "answer-missing"
    SESSION_LOST = "session-lost"
    SESSION_EXPIRED = "session-expired"
    CANCELLED_BY_CALLER = "cancelled-by-caller"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    DECLINED = "declined"
    NUMBER_NOT_FOUND = "number-not-found"
    MEDIA_NOT_ACCEPTED = "media-not-accepted"
    REJECTED = "rejected"
    REDIRECTED = "redirected"
    PEER_FAILED = "peer-failed"
    PEER_TIMEOUT = "peer-timeout"
    PEER_UNREACHABLE = "peer-unreachable"
    PEER_NOT_PROVEN = "peer-not-proven"
    PEER_TLS_FAILED = "peer-tls-failed"
    PEER_WANTS_CREDENTIALS = "peer-wants-credentials"
    EXTENSION_REFUSED = "extension-refused"
    CREDENTIALS_REJECTED = "credentials-rejected"
    ANSWER_UNUSABLE = "answer-unusable"
    CALLER_UNREACHABLE = "caller-unreachable"
    UNKNOWN_TRUNK = "unknown-trunk"
    WRONG_CREDENTIALS = "wrong-credentials"
    TOO_MANY_GUESSES = "too-many-guesses"
    ACCOUNT_SUSPENDED = "account-suspended"
    NO_ROUTE = "no-route"
    NO_PEER = "no-peer"
    SIPS_NOT_ALLOWED = "sips-not-allowed"
    CALL_LIMIT = "call-limit"
    RATE_LIMIT = "rate-limit"
    OVERLOAD = "overload"
    DRAINING = "draining"
    NO_MEDIA_PORTS = "no-media-ports"
    RECORDING_REQUIRED = "recording-required"
    EXTENSION_UNSUPPORTED = "extension-unsupported"
    EXTENSION_REQUIRED = "extension-required"
    INTERVAL_TOO_SMALL = "interval-too-small"
    PRIVACY_UNAVAILABLE = "privacy-unavailable"
    BODY_UNSUPPORTED = "body-unsupported"
    OFFER_UNREADABLE = "offer-unreadable"
    OFFER_NOT_ACCEPTABLE = "offer-not-acceptable"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True)
class SlugRule:
    """What a slug stands for."""

    result: ResultClass
    status: int
    """SIP status given to a caller who has no final answer yet (the far side's own status goes before it)."""
    sentence: str
    """What happened, for people."""
    reason: str | None = None
    """`Reason` header value (RFC 3326) for the BYE or CANCEL that we originate, when there is none to pass
    on."""


_COMPLETED = ResultClass.COMPLETED
_STOPPED = ResultClass.STOPPED
_INTERRUPTED = ResultClass.INTERRUPTED
_UNANSWERED = ResultClass.UNANSWERED
_REJECTED = ResultClass.REJECTED
_FAILED = ResultClass.FAILED
_REFUSED = ResultClass.REFUSED

RULES: dict[Slug, SlugRule] = {
    Slug.CALLER_HUNG_UP: SlugRule(_COMPLETED, 487, "The caller hung up."),
    Slug.CALLEE_HUNG_UP: SlugRule(_COMPLETED, 480, "The callee hung up."),
    Slug.HUNG_UP_BY_OPERATOR: SlugRule(
        _STOPPED, 480, "An operator ended the call.", 'SIP;cause=487;text="Ended by operator"'
    ),
    Slug.SHUTDOWN: SlugRule(
        _STOPPED, 503, "The gateway shut down.", 'SIP;cause=503;text="Gateway shutting down"'
    ),
    Slug.POLICY: SlugRule(
        _STOPPED, 503, "A policy of the account ended the call.", 'SIP;cause=503;text="Ended by policy"'
    ),
    Slug.MAX_DURATION: SlugRule(
        _STOPPED,
        480,
        "The call reached the longest duration allowed.",
        'Q.850;cause=102;text="Maximum call duration reached"',
    ),
    Slug.MEDIA_TIMEOUT: SlugRule(
        _INTERRUPTED, 480, "No media arrived from either party.", 'SIP;cause=408;text="Media timeout"'
    ),
    Slug.MEDIA_FAILED: SlugRule(
        _INTERRUPTED, 500, "The media engine lost the call.", 'SIP;cause=500;text="Media failure"'
    ),
    Slug.ANSWER_NOT_ACKNOWLEDGED: SlugRule(
        _INTERRUPTED,
        408,
        "A party never acknowledged the answer to its INVITE.",
        'SIP;cause=408;text="ACK not received"',
    ),
    Slug.PROGRESS_NOT_ACKNOWLEDGED: SlugRule(
        _FAILED,
        504,
        "The caller never acknowledged a reliable provisional response.",
        'SIP;cause=504;text="PRACK not received"',
    ),
    Slug.ANSWER_MISSING: SlugRule(
        _INTERRUPTED,
        488,
        "A party that was asked for its media in the ACK or PRACK named none that fits.",
        'SIP;cause=488;text="No usable SDP answer"',
    ),
    Slug.SESSION_LOST: SlugRule(
        _INTERRUPTED, 481, "A party no longer knew the call.", 'SIP;cause=481;text="Dialog lost"'
    ),
    Slug.SESSION_EXPIRED: SlugRule(
        _INTERRUPTED,
        408,
        "A party did not refresh the session in time, or would not have it refreshed.",
        'SIP;cause=408;text="Session expired"',
    ),
    Slug.CANCELLED_BY_CALLER: SlugRule(ResultClass.CANCELLED, 487, "The caller gave up before an answer."),
    Slug.NO_ANSWER: SlugRule(
        _UNANSWERED, 480, "The callee did not answer.", 'Q.850;cause=19;text="No answer"'
    ),
    Slug.BUSY: SlugRule(_UNANSWERED, 486, "The callee was busy."),
    Slug.DECLINED: SlugRule(_UNANSWERED, 603, "The callee declined the call."),
    Slug.NUMBER_NOT_FOUND: SlugRule(_REJECTED, 404, "The far side does not know the called number."),
    Slug.MEDIA_NOT_ACCEPTED: SlugRule(_REJECTED, 488, "The far side accepts none of the offered media."),
    Slug.REJECTED: SlugRule(_REJECTED, 403, "The far side rejected the call."),
    Slug.REDIRECTED: SlugRule(
        _REJECTED, 480, "The far side redirected the call, and led nowhere that could be tried."
    ),
    Slug.PEER_FAILED: SlugRule(_FAILED, 500, "Every peer of the route failed to carry the call."),
    Slug.PEER_TIMEOUT: SlugRule(
        _FAILED, 408, "No peer of the route answered in time.", 'Q.850;cause=102;text="No response from peer"'
    ),
    Slug.PEER_UNREACHABLE: SlugRule(_FAILED, 503, "No peer of the route could be reached."),
    Slug.PEER_NOT_PROVEN: SlugRule(_FAILED, 503, "No peer of the route proved by its certificate who it is."),
    Slug.PEER_TLS_FAILED: SlugRule(_FAILED, 503, "No peer of the route could be connected to over TLS."),
    # Between the peer and us; the caller hears what a gateway makes of 401 and 407 by RFC 3398 8.2.6.1
    # (cause 21, which is 403). 503 would have it take this gateway for overloaded, for all its calls.
    Slug.PEER_WANTS_CREDENTIALS: SlugRule(
        _FAILED, 403, "The peer asked for credentials that the trunk does not have."
    ),
    Slug.EXTENSION_REFUSED: SlugRule(
        _FAILED,
        502,
        "The peer does not know an extension that the trunk requires, or requires one that it does not use.",
    ),
    Slug.CREDENTIALS_REJECTED: SlugRule(_FAILED, 403, "The peer rejected the credentials of the trunk."),
    Slug.ANSWER_UNUSABLE: SlugRule(
        _FAILED,
        502,
        "The far side answered with a session description that cannot be used.",
        'SIP;cause=488;text="Unusable SDP answer"',
    ),
    Slug.CALLER_UNREACHABLE: SlugRule(
        _FAILED, 503, "The caller could no longer be reached.", 'SIP;cause=503;text="Caller unreachable"'
    ),
    Slug.UNKNOWN_TRUNK: SlugRule(_REFUSED, 403, "The call came from an address that is no trunk's."),
    Slug.WRONG_CREDENTIALS: SlugRule(_REFUSED, 401, "The caller's credentials were wrong."),
    Slug.TOO_MANY_GUESSES: SlugRule(
        _REFUSED, 403, "The caller's address showed wrong credentials too often, and has to wait."
    ),
    Slug.ACCOUNT_SUSPENDED: SlugRule(
        _REFUSED, 403, "The account is suspended.", 'SIP;cause=403;text="Account suspended"'
    ),
    Slug.NO_ROUTE: SlugRule(_REFUSED, 404, "No route of the account matches the called number."),
    Slug.NO_PEER: SlugRule(_REFUSED, 503, "The route leads to a trunk without a peer."),
    Slug.SIPS_NOT_ALLOWED: SlugRule(
        _REFUSED, 480, "The caller wants TLS on every hop, and no peer of the route is reached by it."
    ),
    Slug.CALL_LIMIT: SlugRule(_REFUSED, 503, "The limit of concurrent calls is reached."),
    Slug.RATE_LIMIT: SlugRule(_REFUSED, 503, "The limit of new calls per second is reached."),
    Slug.OVERLOAD: SlugRule(_REFUSED, 503, "The gateway has too much to do."),
    Slug.DRAINING: SlugRule(_REFUSED, 503, "The gateway takes no new calls while it drains."),
    Slug.NO_MEDIA_PORTS: SlugRule(_REFUSED, 503, "No media port is free."),
    Slug.RECORDING_REQUIRED: SlugRule(
        _REFUSED,
        503,
        "The call must be recorded, and no recorder agreed to it in time.",
        'SIP;cause=503;text="Recording required"',
    ),
    Slug.EXTENSION_UNSUPPORTED: SlugRule(
        _REFUSED, 420, "The INVITE requires an extension that the trunk does not use."
    ),
    Slug.EXTENSION_REQUIRED: SlugRule(
        _REFUSED, 421, "The trunk requires an extension that the caller does not know."
    ),
    Slug.INTERVAL_TOO_SMALL: SlugRule(
        _REFUSED, 422, "The INVITE asks for a shorter session interval than the trunk takes."
    ),
    Slug.PRIVACY_UNAVAILABLE: SlugRule(
        _REFUSED, 500, "The caller insists on a privacy that the gateway does not know."
    ),
    Slug.BODY_UNSUPPORTED: SlugRule(_REFUSED, 415, "The INVITE carries a body that is not understood."),
    Slug.OFFER_UNREADABLE: SlugRule(_REFUSED, 400, "The session description of the INVITE is malformed."),
    Slug.OFFER_NOT_ACCEPTABLE: SlugRule(_REFUSED, 488, "The offer has no audio codec that the trunks allow."),
    Slug.INTERNAL_ERROR: SlugRule(_FAILED, 500, "The gateway failed.", 'SIP;cause=500;text="Internal error"'),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The one ending of a call."""

    result: ResultClass
    slug: Slug
    sip_status: int
    """Final status that the caller's INVITE got: 200 when answered; what was meant when it could not be
    sent."""
    detail: str
    """One plain sentence, with the peer's own words where it had some."""
    ended_by: EndedBy


def verdict(
    slug: Slug, *, status: int | None = None, detail: str = "", ended_by: EndedBy = EndedBy.GATEWAY
) -> Verdict:
    """Make the verdict of a slug.

    Args:
        slug: What happened.
        status: Final SIP status given to the caller; the slug's own when None.
        detail: Sentence for people; the slug's own when empty.
        ended_by: Who ended the call.
    """
    rule = RULES[slug]
    return Verdict(
        rule.result, slug, rule.status if status is None else status, detail or rule.sentence, ended_by
    )


_BY_STATUS: dict[int, Slug] = {
    401: Slug.PEER_WANTS_CREDENTIALS,
    404: Slug.NUMBER_NOT_FOUND,
    407: Slug.PEER_WANTS_CREDENTIALS,
    408: Slug.NO_ANSWER,
    410: Slug.NUMBER_NOT_FOUND,
    415: Slug.MEDIA_NOT_ACCEPTED,
    420: Slug.EXTENSION_REFUSED,
    421: Slug.EXTENSION_REFUSED,
    422: Slug.EXTENSION_REFUSED,
    480: Slug.NO_ANSWER,
    484: Slug.NUMBER_NOT_FOUND,
    485: Slug.NUMBER_NOT_FOUND,
    486: Slug.BUSY,
    488: Slug.MEDIA_NOT_ACCEPTED,
    600: Slug.BUSY,
    603: Slug.DECLINED,
    604: Slug.NUMBER_NOT_FOUND,
    606: Slug.MEDIA_NOT_ACCEPTED,
    607: Slug.DECLINED,
    608: Slug.DECLINED,
}


def slug_of_status(status: int) -> Slug:
    """The slug of a final non-2xx status from the far side (RFC 3261 section 21)."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < 400:
        return Slug.REDIRECTED
    return Slug.PEER_FAILED if 500 <= status < 600 else Slug.REJECTED
