"""What a call is made from: plain values that the gateway collects before it builds a `B2bua`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sidestream.call.features import EVERYTHING, Features
from sidestream.call.headers_policy import HeaderPolicy
from sidestream.call.numbers import Numbering
from sidestream.sdp.negotiate import MediaAddress
from sidestream.sdp.protection import Protection
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.headers import parse_name_addr
from sidestream.sip.hop import Hop

RING_TIMEOUT = 180.0
"""Seconds a peer may ring: RFC 3261 16.6 step 11 wants more than three minutes of a proxy; carriers end at
three."""

TEARDOWN_TIMEOUT = 40.0
"""Seconds until a call ends without its peers' consent: over 64*T1 (32 s), when every BYE has timed out by
itself."""


SECURE_CONTACT = "sips"
"""Beside the transports: the Contact by which TLS is wanted on every hop (RFC 3261 8.1.1.8)."""


@dataclass(frozen=True, slots=True)
class PeerHop:
    """One peer of the outbound trunk."""

    uri: str
    """As configured, such as `sip:192.0.2.7:5060;transport=tcp`; its host, port and parameters make the
    Request-URI."""
    hops: tuple[Hop, ...] = ()
    """Its resolved addresses in order of preference; empty: the gateway resolves `uri` when the peer is
    tried."""
    priority: int = 1
    weight: int = 1
    routes: tuple[str, ...] = ()
    """Route values that lead there, the nearest first: an outbound proxy, a service route (RFC 3608)."""

    secure: bool = False
    """Whether it is reached over TLS and must prove who it is, so that it may carry a `sips` call."""

    @property
    def way(self) -> str:
        """The URI that says where its INVITE is sent first (RFC 3261 8.1.2)."""
        return str(parse_name_addr(self.routes[0]).uri) if self.routes else self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSetup:
    """One side of the call."""

    trunk: str
    """Name of the voice service whose trunk carries the leg."""
    codecs: tuple[str, ...]
    """Names of the codecs that the trunk allows, in any letter case."""
    media: MediaAddress
    """Our address and ports for the leg, already allocated."""
    protection: Protection = field(default_factory=Protection)
    """Whether its media may or must be SRTP; made for this leg alone."""
    features: Features = EVERYTHING
    """The extensions of its trunk."""
    trusted: bool = True
    """Whether its trunk is one that identities come from and go to (RFC 3325)."""
    auth: DigestClient | None = None
    """Answers the challenges of the trunk's peers; None when it has no credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """How we name ourselves."""

    contacts: Mapping[str, str]
    """Contact URI by transport: `{"udp": "sip:192.0.2.1:5060", "tcp":
    "sip:192.0.2.1:5060;transport=tcp"}`; by `SECURE_CONTACT` the `sips` URI, where TLS is listened on."""
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """The call's times, in seconds."""

    max_duration: float | None = None
    """From the answer; None for no limit."""
    ring_timeout: float = RING_TIMEOUT
    teardown_timeout: float = TEARDOWN_TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSetup:
    """Everything a call needs to know from outside."""

    call_id: str
    account: str
    started_at: datetime
    """Wall-clock instant (UTC) that belongs to the `now` given to the `B2bua`."""
    caller: LegSetup
    callee: LegSetup
    peers: tuple[PeerHop, ...]
    """In the order in which they are to be tried (see `routing.order_peers`)."""
    identity: ServerIdentity
    token: Callable[[], str]
    """Makes unique, unguessable tokens for tags and Call-IDs (RFC 3261 19.3: at least 32 random bits)."""
    limits: CallLimits = field(default_factory=CallLimits)
    headers: HeaderPolicy = field(default_factory=HeaderPolicy)
    numbering: Numbering = field(default_factory=Numbering)
    """What becomes of the numbers on their way to the callee."""
