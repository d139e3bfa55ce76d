"""Where responses go: `received` and `rport` (RFC 3261 §18.2, RFC 3581)."""

from __future__ import annotations

from sidestream.sip.headers import Via
from sidestream.sip.hop import Hop, Source
from sidestream.sip.message import Request
from sidestream.sip.uri import bare_host, wire_host


def stamp_via(request: Request, source: Source) -> Via:
    """Write where the request came from into its topmost Via; returns that Via.

    `received` is added when it differs from the sent-by host (RFC 3261 §18.2.1) and always beside `rport`
    (RFC 3581 §4). What the sender claims in these parameters is overwritten.
    """
    via = request.top_via
    params: dict[str, str | None] = {k: v for k, v in via.params.items() if k != "received"}
    if via.wants_rport:
        params["rport"] = str(source.port)
        params["received"] = _received(source.host)
    elif bare_host(via.host) != source.host:
        params["received"] = _received(source.host)
    elif len(params) == len(via.params):
        return via
    stamped = Via(via.transport, via.host, via.port, params)
    request.replace_top_via(stamped)
    return request.top_via


def _received(host: str) -> str:
    # RFC 5118 §4.5: implementations differ on brackets here; without is what RFC 3261's grammar has.
    return bare_host(host)


def response_hop(via: Via, source: Source) -> Hop:
    """Where the response to a request with this (stamped) Via goes.

    Over a connection it goes back through it, and when that is gone to the sent-by port of the sender's
    address; over UDP to the source port when `rport` asks for it, else to the sent-by port (RFC 3261
    §18.2.2). `maddr` is not followed: it would let a sender aim our responses at third parties.
    """
    port = via.port or (5061 if source.transport == "tls" else 5060)
    if source.transport == "udp" and via.wants_rport:
        port = source.port
    return Hop(source.transport, source.host, port, source.flow)


def via_for(transport: str, address: tuple[str, int], branch: str) -> Via:
    """The Via of a request we send; it always asks for `rport` (RFC 3581 §3).

    Over TLS it lets the peer send its own requests back over our connection, too (RFC 5923 §5.1).
    """
    host, port = address
    params: dict[str, str | None] = {"rport": None, "branch": branch}
    if transport == "tls":
        params["alias"] = None
    return Via(transport.upper(), wire_host(host), port, params)
