"""Which requests the core answers itself before its user sees them (RFC 3261 §8.2, §16.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidestream.sip.errors import ParseError
from sidestream.sip.headers import media_params, media_type
from sidestream.sip.message import KNOWN_METHODS, Request
from sidestream.sip.uri import OpaqueUri, parse_uri

_SESSIONS = frozenset({"application/sdp", "multipart/*"})
BODIES: Mapping[str, frozenset[str]] = {"INVITE": _SESSIONS, "UPDATE": _SESSIONS}
"""Media types understood in each method; the parts of a multipart body are their reader's to judge."""

# A `sips` URI asks for TLS on every hop (§26.2.2): one that came in the clear was weakened, and is refused.
_SCHEMES = frozenset({"sip", "tel"})
_SECURE_SCHEMES = _SCHEMES | {"sips"}

# A request that ends or only asks something must not fail for having come a long way.
_HOP_LIMIT_EXEMPT = frozenset({"OPTIONS", "BYE"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final answer the layer gives by itself.

    Attributes:
        status: the status.
        reason: the reason phrase, None for the registered one.
        headers: headers the answer carries besides the copied ones.
    """

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """What this element supports.

    Attributes:
        methods: methods that reach the user.
        options: option tags understood (RFC 3261 §19.2).
        bodies: media types understood, by method; a method that is not named takes any body.
    """

    methods: frozenset[str]
    options: frozenset[str]
    bodies: Mapping[str, frozenset[str]] = field(default_factory=lambda: BODIES)

    @property
    def allow(self) -> str:
        """The Allow value."""
        return ", ".join(sorted(self.methods | {"ACK", "CANCEL"}))

    def refuse(self, request: Request, *, over_tls: bool = False) -> Refusal | None:
        """Why a validated new request is refused, None when it is not; checks in the order of §8.2.

        Args:
            request: the request.
            over_tls: whether it came over TLS, without which no `sips` URI is taken.
        """
        if request.method not in self.methods:
            if request.method in KNOWN_METHODS:
                return Refusal(405, headers=(("Allow", self.allow),))
            return Refusal(501, headers=(("Allow", self.allow),))
        try:
            return (
                self._refuse_uri(request, _SECURE_SCHEMES if over_tls else _SCHEMES)
                or self._refuse_hops(request)
                or self._refuse_required(request)
                or self._refuse_body(request)
                or self._refuse_accept(request)
            )
        except ParseError as error:
            return Refusal(error.status, error.reason)

    @staticmethod
    def _refuse_uri(request: Request, schemes: frozenset[str]) -> Refusal | None:
        try:
            uri = parse_uri(request.uri)
        except ParseError as error:
            return Refusal(error.status, "Invalid Request-URI")
        if uri.scheme not in schemes:
            return Refusal(416)
        # §19.1.1, table 1: a Request-URI has no headers part.
        if not isinstance(uri, OpaqueUri) and uri.headers:
            return Refusal(400, "Headers in Request-URI")
        return None

    @staticmethod
    def _refuse_hops(request: Request) -> Refusal | None:
        if request.max_forwards == 0 and request.method not in _HOP_LIMIT_EXEMPT:
            return Refusal(483)
        return None

    def _refuse_required(self, request: Request) -> Refusal | None:
        required = request.headers.get("Require")
        if required is None:
            return None
        unknown = [tag for tag in request.headers.values("Require") if tag.lower() not in self.options]
        return Refusal(420, headers=(("Unsupported", ", ".join(unknown)),)) if unknown else None

    def _refuse_body(self, request: Request) -> Refusal | None:
        """§8.2.3: a body that is not understood and not said to be optional."""
        understood = self.bodies.get(request.method)
        if not request.body or understood is None or _is_optional(request):
            return None
        encoding = request.headers.get("Content-Encoding")
        if encoding is not None and encoding.lower() != "identity":
            return Refusal(415, headers=(("Accept-Encoding", "identity"),))
        kind = request.content_type
        # RFC 2543 peers leave out the type of a session description.
        if kind is None or _covers(understood, kind):
            return None
        return Refusal(415, headers=(("Accept", ", ".join(sorted(understood))),))

    @staticmethod
    def _refuse_accept(request: Request) -> Refusal | None:
        """§20.1: an INVITE whose sender does not take session descriptions cannot be answered."""
        if request.method != "INVITE" or "Accept" not in request.headers:
            return None
        ranges = {media_type(value) for value in request.headers.values("Accept")}
        acceptable = ranges & {"application/sdp", "application/*", "*/*"}
        return None if acceptable else Refusal(406)


def _covers(ranges: frozenset[str], kind: str) -> bool:
    return kind in ranges or f"{kind.partition('/')[0]}/*" in ranges


def _is_optional(request: Request) -> bool:
    disposition = request.headers.get("Content-Disposition")
    try:
        return disposition is not None and media_params(disposition).get("handling", "").lower() == "optional"
    except ParseError:
        return False
