"""The messages of a recording session as we write them (RFC 7866 section 6.1)."""

from __future__ import annotations

from email.utils import format_datetime
from typing import Final

from sidestream.errors import StateError
from sidestream.sip.builder import response_to
from sidestream.sip.dialog import MAX_FORWARDS, Dialog
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import CSeq, parse_name_addr
from sidestream.sip.message import Headers, Request, Response
from sidestream.sip.session_timer import MIN_SE_S, SessionTimer
from sidestream.sip.uri import OpaqueUri, parse_uri
from sidestream.siprec.body import SDP, MadeBody, MetadataType
from sidestream.siprec.context import Context

ALLOW: Final = "INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS, INFO"
ACCEPT: Final = ", ".join([SDP, *(kind.value for kind in MetadataType)])
SUPPORTED: Final = "timer"


def contact_of(ctx: Context) -> str:
    """Our Contact: the feature tag stands outside of the angle brackets (RFC 7866 section 6.1.1)."""
    return f"<{ctx.setup.identity.contact_uri}>;+sip.src"


def first_invite(ctx: Context) -> Request:
    """The INVITE that asks a server to record, complete but for Via and body."""
    identity = ctx.setup.identity
    uri = parse_uri(ctx.target)
    headers = Headers()
    headers.add("Max-Forwards", str(MAX_FORWARDS))
    headers.add("From", f"<{identity.from_uri}>;tag={ctx.local_tag}")
    headers.add("To", f"<{ctx.setup.server.uri}>")
    headers.add("Call-ID", ctx.call_id)
    headers.add("CSeq", str(CSeq(ctx.next_cseq(), "INVITE")))
    headers.add("Contact", contact_of(ctx))
    request = Request("INVITE", str(uri if isinstance(uri, OpaqueUri) else uri.without_headers()), headers)
    _dress(ctx, request)
    if ctx.session_expires_s is not None:
        headers.add("Session-Expires", str(max(ctx.session_expires_s, MIN_SE_S)))
    return request


def in_dialog(ctx: Context, method: str) -> Request:
    """A request within the dialog, complete but for Via and body.

    Raises:
        StateError: there is no dialog.
    """
    request = dialog_of(ctx).create_request(method)
    if method in {"INVITE", "UPDATE"}:
        _dress(ctx, request)
        if ctx.timer is not None:
            request.headers.add("Session-Expires", ctx.timer.value(as_server=False))
    elif method == "OPTIONS":
        request.headers.add("Accept", ACCEPT)
    _name_ourselves(ctx, request.headers)
    return request


def dialog_of(ctx: Context) -> Dialog:
    """The session's dialog.

    Raises:
        StateError: there is none.
    """
    if ctx.dialog is None:
        raise StateError("a recording session without a dialog")
    return ctx.dialog


def _dress(ctx: Context, request: Request) -> None:
    """What INVITE and UPDATE say of a recording session."""
    headers = request.headers
    headers.add("Date", format_datetime(ctx.setup.clock.at(ctx.now), usegmt=True))
    headers.add("Require", "siprec")
    headers.add("Supported", SUPPORTED)
    headers.add("Accept", ACCEPT)
    headers.add("Allow", ALLOW)
    if request.method == "INVITE":
        for name, value in ctx.setup.x_headers:
            headers.add(name, value)
    if ctx.dialog is None:
        _name_ourselves(ctx, headers)


def _name_ourselves(ctx: Context, headers: Headers) -> None:
    if ctx.setup.identity.user_agent:
        headers.set("User-Agent", ctx.setup.identity.user_agent)


def put_body(request: Request, body: MadeBody | None) -> None:
    """Give a request its body, when there is one."""
    if body is not None:
        body.put_on(request)


def answer(ctx: Context, request: Request, status: int, *extra: tuple[str, str]) -> Response:
    """Our response to a request of the recorder: ours are responses of a recording session too."""
    response = response_to(request, status, to_tag=ctx.local_tag)
    headers = response.headers
    if status < 300:
        if request.method in {"INVITE", "UPDATE"}:
            headers.add("Contact", contact_of(ctx))
        if request.method in {"INVITE", "UPDATE", "OPTIONS"}:
            headers.add("Allow", ALLOW)
            headers.add("Accept", ACCEPT)
            headers.add("Supported", SUPPORTED)
    for name, value in extra:
        headers.add(name, value)
    return response


def put_timer(response: Response, timer: SessionTimer | None) -> None:
    """Tell the session timer in our 2xx (RFC 4028 section 9)."""
    if timer is not None:
        response.headers.add("Session-Expires", timer.value(as_server=True))
        if not timer.we_refresh:
            response.headers.add("Require", "timer")


def retry_after_s(response: Response) -> float | None:
    """The seconds that a Retry-After names (RFC 3261 section 20.33); None when it names none."""
    value = (response.headers.get("Retry-After") or "").strip()
    digits = value.split(";")[0].split("(")[0].strip()
    return float(digits) if digits.isascii() and digits.isdigit() and len(digits) < 8 else None


def redirect_of(response: Response) -> str | None:
    """The SIP URI that a 3xx names first; None when it names none."""
    try:
        addresses = [parse_name_addr(value, "Contact") for value in response.headers.values("Contact")]
    except ParseError:
        return None
    uris = [each.uri for each in addresses]
    return next((str(uri) for uri in uris if not isinstance(uri, OpaqueUri)), None)


def words_of(response: Response) -> str:
    """What a final response says, for people: status, phrase and warning."""
    warning = response.headers.get("Warning")
    said = f"{response.status} {response.reason}".strip()
    return f"{said} ({warning[:200]})" if warning else said
