"""What a `sips` URI asks for: TLS on every hop, or no message at all (RFC 3261 §12.1.1, §26.2.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request
from sidestream.sip.uri import OpaqueUri, Uri, parse_uri

SIPS_NOT_ALLOWED: Final = 380
"""Warn-code beside 480: no way on is over TLS throughout (RFC 5630 §6.3)."""
SIPS_REQUIRED: Final = 381
"""Warn-code beside 480: what belongs to a secure dialog came in the clear (RFC 5630 §6.3)."""


def is_secure(uri: str) -> bool:
    """Whether a URI's scheme is `sips`."""
    return uri[:5].lower() == "sips:"


def wants_secure_contact(request: Request) -> bool:
    """Whether the Contact of our answer must be a `sips` URI (RFC 3261 §12.1.1).

    So it is when the Request-URI, the topmost Record-Route or, without any, the Contact is one.
    """
    if is_secure(request.uri):
        return True
    try:
        routes = request.record_routes
        first = routes[0].uri if routes else next((each.uri for each in request.contacts), None)
    except ParseError:
        return False
    return first is not None and first.scheme == "sips"


def secured(uri: Uri) -> Uri:
    """The `sips` URI of the same place; TLS is what it means, so no `transport` parameter stays.

    RFC 3261 §26.2.2 deprecates `transport=tls`; another transport would weaken it.
    """
    if isinstance(uri, OpaqueUri) or uri.scheme == "sips":
        return uri
    params = {name: value for name, value in uri.params.items() if name != "transport"}
    return replace(uri, scheme="sips", params=params)


def secured_text(uri: str) -> str:
    """See `secured`.

    Raises:
        ParseError: it is no URI.
    """
    return str(secured(parse_uri(uri)))
