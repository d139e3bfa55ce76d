"""Making responses (RFC 3261 §8.2.6, §21) and the requests a transaction makes itself (§9.1, §17.1.1.3)."""

from __future__ import annotations

from sidestream.sip.digest import credentials_of
from sidestream.sip.errors import ParseError
from sidestream.sip.headers import CSeq, parse_name_addr
from sidestream.sip.message import Headers, Request, Response

# RFC 3261 §21 and the IANA registry of response codes.
_REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    199: "Early Dialog Terminated", 200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
    412: "Conditional Request Failed", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 417: "Unknown Resource-Priority",
    420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small",
    423: "Interval Too Brief", 424: "Bad Location Information", 428: "Use Identity Header",
    429: "Provide Referrer Identity", 430: "Flow Failed", 433: "Anonymity Disallowed",
    436: "Bad Identity Info", 437: "Unsupported Credential", 438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support", 440: "Max-Breadth Exceeded", 469: "Bad Info Package",
    470: "Consent Needed", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event",
    491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
    555: "Push Notification Service Not Supported", 580: "Precondition Failure", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip


_COPIED = frozenset({"via", "from", "to", "call-id", "cseq"})
_COPIED_INTO_100 = _COPIED | {"timestamp"}
_COPIED_TO_MAKE_A_DIALOG = _COPIED | {"record-route"}


def reason_phrase(status: int) -> str:
    """The registered reason phrase, or the one of the status class."""
    return _REASONS.get(status) or _REASONS.get(status // 100 * 100) or "Unknown"


def response_to(
    request: Request, status: int, reason: str | None = None, to_tag: str | None = None
) -> Response:
    """Make a response with the headers RFC 3261 §8.2.6.2 has it copy from the request.

    Via, From, Call-ID and CSeq are copied as they are; To gets `to_tag` unless it has a tag or the status is
    100; Record-Route is copied into 101 to 299 (§12.1.1) and Timestamp into 100 (§8.2.6.1).

    Args:
        request: what is answered.
        status: the status code.
        reason: the reason phrase, None for the registered one.
        to_tag: our tag.
    """
    names = _COPIED_INTO_100 if status == 100 else _COPIED if status >= 300 else _COPIED_TO_MAKE_A_DIALOG
    headers = request.headers.only(names)
    if to_tag and status > 100:
        to = headers.get("To")
        if to is not None:
            headers.set_first("To", _tagged(to, to_tag))
    return Response(status, reason_phrase(status) if reason is None else reason, headers)


def _tagged(to: str, tag: str) -> str:
    """The To value with our tag, unless it has one or cannot be read; the rest as the peer wrote it."""
    try:
        has_tag = parse_name_addr(to, "To").tag is not None
    except ParseError:
        return to
    return to if has_tag else f"{to};tag={tag}"


def ack_for(invite: Request, response: Response) -> Request:
    """The ACK of a final response other than 2xx, sent by the transaction itself (RFC 3261 §17.1.1.3).

    Args:
        invite: the INVITE as it was sent, with its Via.
        response: what is acknowledged.
    """
    ack = _companion(invite, "ACK", response.headers.get("To") or invite.headers.get("To") or "")
    for name, value in credentials_of(invite):
        ack.headers.append_wire(name, value)  # §22.1
    return ack


def cancel_for(invite: Request, reason: str | None = None) -> Request:
    """The CANCEL of a request (RFC 3261 §9.1).

    Args:
        invite: the request as it was sent, with its Via.
        reason: a Reason value to carry (RFC 3326), None for none.
    """
    cancel = _companion(invite, "CANCEL", invite.headers.get("To") or "")
    if reason is not None:
        cancel.headers.add("Reason", reason)
    return cancel


def _companion(invite: Request, method: str, to: str) -> Request:
    """A request that takes the way of another: its topmost Via only, its routes, its dialog headers."""
    headers = Headers()
    headers.append_wire("Via", str(invite.top_via))
    for route in invite.headers.get_all("Route"):
        headers.append_wire("Route", route)
    headers.append_wire("Max-Forwards", "70")
    headers.append_wire("From", invite.headers.get("From") or "")
    headers.append_wire("To", to)
    headers.append_wire("Call-ID", invite.call_id)
    headers.append_wire("CSeq", str(CSeq(invite.cseq.number, method)))
    return Request(method, invite.uri, headers)
