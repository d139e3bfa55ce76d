"""The messages that a call makes by itself, complete but for Via."""

from dataclasses import replace

from sidestream.call.border import Border
from sidestream.call.features import EVERYTHING, Features
from sidestream.call.numbers import Numbering, number_in, renumbered
from sidestream.call.privacy import anonymous_from
from sidestream.call.setup import ServerIdentity
from sidestream.sdp.errors import NegotiationError
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.serializer import serialize
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import MAX_FORWARDS
from sidestream.sip.grammar import quote
from sidestream.sip.headers import NameAddr
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.secure import SIPS_NOT_ALLOWED, SIPS_REQUIRED, is_secure, secured_text
from sidestream.sip.uri import OpaqueUri, SipUri, parse_uri

BODY_HEADERS = (
    "Content-Type",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "MIME-Version",
    "Info-Package",
)
"""Headers that belong to a body and cross with it."""


AS_WRITTEN = Numbering()
"""Leaves every number as it is."""


def contact_value(identity: ServerIdentity, transport: str) -> str:
    """Our Contact on a transport; the first one known when that transport has none of its own.

    Args:
        identity: Who we are.
        transport: "udp", "tcp", "tls", or `SECURE_CONTACT`.
    """
    uri = identity.contacts.get(transport) or next(iter(identity.contacts.values()))
    return f"<{uri}>"


def target_uri(requested: str, peer: str) -> str:
    """The Request-URI for a peer: the peer's own URI with the called user, unless it names a user itself.

    Args:
        requested: The Request-URI that the caller sent; of a tel URI the number is taken. One that is `sips`
            is never weakened (RFC 3261 26.2.2).
        peer: The peer's SIP URI as configured.
    """
    target, called = SipUri.parse(secured_text(peer) if is_secure(requested) else peer), parse_uri(requested)
    if target.user is not None:
        return str(target)
    if isinstance(called, OpaqueUri):
        return str(replace(target, user=called.number, params={**target.params, "user": "phone"}))
    return str(replace(target, user=called.user))


def first_invite(
    original: Request,
    uri: str,
    call_id: str,
    local_tag: str,
    *,
    numbering: Numbering = AS_WRITTEN,
    anonymous: bool = False,
) -> Request:
    """The INVITE that begins the callee's leg, but for Contact, body and passed headers (RFC 3261 8.1.1).

    The identities stay as the caller wrote them, but for their numbers, and unless From is to be anonymous.
    Dialog and hop are ours.
    Max-Forwards counts on, so that a loop through several gateways ends (RFC 3261 16.6 step 3).
    """
    headers = Headers()
    forwards = original.max_forwards
    headers.add("Max-Forwards", str(MAX_FORWARDS if forwards is None else max(forwards - 1, 0)))
    known = replace(original.from_, uri=numbering.caller(original.from_.uri), params={"tag": local_tag})
    headers.add("From", anonymous_from(local_tag) if anonymous else str(known))
    headers.add("To", str(_to(original, numbering)))
    headers.add("Call-ID", call_id)
    headers.add("CSeq", "1 INVITE")
    return Request("INVITE", uri, headers)


def _to(original: Request, numbering: Numbering) -> NameAddr:
    """To, with the called number where it has the number of the Request-URI."""
    known = original.to.without_params()
    if number_in(known.uri) != number_in(parse_uri(original.uri)):
        return known
    return replace(known, uri=renumbered(known.uri, numbering.called))


def dress_request(
    request: Request,
    identity: ServerIdentity,
    border: Border,
    source: Headers | None = None,
    session: SessionDescription | None = None,
    *,
    features: Features = EVERYTHING,
) -> Request:
    """Add what every request of ours carries: what passes from `source`, our name, and the body.

    Args:
        request: As the dialog made it.
        identity: Our name.
        border: Says what passes.
        source: Headers of the other side's request.
        session: Body.
        features: What the leg can do.
    """
    if source is not None:
        border.copy(source, request.headers)
    request.headers.set("User-Agent", identity.user_agent)
    if request.method in {"INVITE", "UPDATE"}:
        request.headers.set("Allow", features.allow)
        request.headers.set("Accept", "application/sdp")
    if session is not None:
        attach_session(request, session)
    return request


def attach_session(message: Request | Response, session: SessionDescription) -> None:
    """Put a session description into a message."""
    message.headers.set("Content-Type", "application/sdp")
    message.body = serialize(session)


def warning_value(error: NegotiationError) -> str:
    """The `Warning` value that explains a 488 (RFC 3261 20.43), with a pseudonym for our host."""
    return f"{int(error.warning)} gateway {quote(str(error))}"


def warning_about(code: int) -> tuple[str, str]:
    """The `Warning` header that says what is wrong with the scheme of a request (RFC 5630 6.3)."""
    words = {SIPS_NOT_ALLOWED: "SIPS Not Allowed", SIPS_REQUIRED: "SIPS Required"}
    return "Warning", f"{code} gateway {quote(words[code])}"


def carry_body(source: Message, target: Message) -> None:
    """Pass a body on as it is, with the headers that say what it is (RFC 3261 20.11 to 20.15, RFC 6086 4)."""
    if not source.body:
        return
    for name in BODY_HEADERS:
        value = source.headers.get(name)
        if value is not None:
            target.headers.set(name, value)
    target.body = source.body


def dressed_response(
    request: Request,
    status: int,
    phrase: str | None,
    local_tag: str,
    identity: ServerIdentity,
    *,
    features: Features = EVERYTHING,
) -> Response:
    """A response of ours with what RFC 3261 8.2.6.2 copies, our name, and `Allow` where it helps the peer."""
    response = response_to(request, status, phrase, local_tag)
    response.headers.set("Server", identity.user_agent)
    if status == 405 or (200 <= status < 300 and request.method in {"INVITE", "UPDATE", "OPTIONS"}):
        response.headers.set("Allow", features.allow)
    if features.options and 200 <= status < 300 and request.method in {"INVITE", "OPTIONS"}:
        response.headers.set("Supported", ", ".join(features.options))
    if status == 415 or (status == 200 and request.method == "OPTIONS"):
        response.headers.set("Accept", "application/sdp")
    return response
