"""Which requests the core answers itself before its user sees them (RFC 3261 §8.2, §16.3)."""

from __future__ import annotations

from dataclasses import dataclass

from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request
from sidestream.sip.uri import OpaqueUri, parse_uri

# The IANA registry of methods: known ones that are not allowed here get 405, others 501 (§21.5.2).
KNOWN_METHODS = frozenset(
    {
        "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER",
        "REGISTER", "SUBSCRIBE", "UPDATE",
    }
)  # fmt: skip

_SCHEMES = frozenset({"sip", "sips", "tel"})

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
    """

    methods: frozenset[str]
    options: frozenset[str]

    @property
    def allow(self) -> str:
        """The Allow value."""
        return ", ".join(sorted(self.methods | {"ACK", "CANCEL"}))

    def refuse(self, request: Request) -> Refusal | None:
        """Why a validated new request is refused, None when it is not; checks in the order of §8.2."""
        if request.method not in self.methods:
            if request.method in KNOWN_METHODS:
                return Refusal(405, headers=(("Allow", self.allow),))
            return Refusal(501, headers=(("Allow", self.allow),))
        return self._refuse_uri(request) or self._refuse_hops(request) or self._refuse_required(request)

    @staticmethod
    def _refuse_uri(request: Request) -> Refusal | None:
        try:
            uri = parse_uri(request.uri)
        except ParseError as error:
            return Refusal(error.status, "Invalid Request-URI")
        if uri.scheme not in _SCHEMES:
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
