"""The small values that a configuration is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

Seconds = float
"""A duration in seconds."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Transport = Literal["udp", "tcp", "tls"]


def milliseconds(duration: Seconds) -> int:
    """Return a duration in whole milliseconds, as the media engine wants it."""
    return round(duration * 1000)


def host_port(host: str, port: int) -> str:
    """Write a host and a port as in a URI: an IPv6 address gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A password or token. Its representation never shows it.

    Attributes:
        origin: where it came from: `env NAME`, `file PATH`, or `text` when it stands in the file.
    """

    _value: str
    origin: str = "text"

    def reveal(self) -> str:
        """Return the secret itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret(***, origin={self.origin!r})"

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def pairs(self) -> int:
        """How many pairs of an even port (RTP) and the odd one above it (RTCP) the range holds."""
        return max(0, (self.last + 1) // 2 - (self.first + 1) // 2)

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class SipListener:
    """A socket that SIP is taken on."""

    transport: Transport
    host: Address
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{host_port(str(self.host), self.port)}"


@dataclass(frozen=True, slots=True)
class ApiListener:
    """Where health, readiness and metrics are served over HTTP."""

    host: Address
    port: int

    def __str__(self) -> str:
        return f"http://{host_port(str(self.host), self.port)}"


@dataclass(frozen=True, slots=True)
class Nameserver:
    """A DNS server."""

    host: Address
    port: int

    def __str__(self) -> str:
        return host_port(str(self.host), self.port)


@dataclass(frozen=True, slots=True)
class CollectorAddress:
    """Where a collector of HEP listens.

    Attributes:
        transport: how it is reached.
        host: name or address, without brackets.
        port: 9060 unless written.
    """

    transport: Literal["udp", "tcp"]
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{host_port(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class PeerUri:
    """The SIP URI of a peer.

    Attributes:
        text: as it was written; `sidestream.sip` can read it.
        host: name or address, without brackets.
        port: 5060, or 5061 for TLS, unless written.
        transport: UDP unless written.
    """

    text: str
    host: str
    port: int
    transport: Transport

    def __str__(self) -> str:
        return self.text


class VoiceServiceKind(StrEnum):
    """What a voice service is."""

    CARRIER = "carrier"
    UNIFIED_COMMUNICATIONS = "unified_communications"
    CONTACT_CENTER = "contact_center"
    VOICE_GATEWAY = "voice_gateway"


class Subscription(StrEnum):
    """What an account may use."""

    VOICE_INTEGRATION = "voice-integration"


class Srtp(StrEnum):
    """Whether a trunk's media is encrypted (SDES)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Extension(StrEnum):
    """Whether a SIP extension is used on a trunk."""

    OFF = "off"
    SUPPORTED = "supported"
    REQUIRED = "required"


class DigestAlgorithm(StrEnum):
    """Hash algorithms of SIP digest authentication (RFC 8760)."""

    SHA_512_256 = "SHA-512-256"
    SHA_256 = "SHA-256"
    MD5 = "MD5"


class RecordingSrtp(StrEnum):
    """Whether a recording is sent by SRTP (SDES)."""

    CALL = "call"
    REQUIRED = "required"
    OFF = "off"


class Redirect(StrEnum):
    """What becomes of a peer's redirection."""

    PASS = "pass"  # noqa: S105 - not a password
    FOLLOW = "follow"


class Verify(StrEnum):
    """How a peer over TLS is verified."""

    NAME = "name"
    CHAIN = "chain"
    OFF = "off"


class Encoding(StrEnum):
    """The encoding of a stream's audio (stream protocol section 3)."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    L16 = "L16"
    OPUS = "OPUS"
    CALL = "call"


class Layout(StrEnum):
    """How a stream carries the two sides of a call (stream protocol section 3)."""

    SEPARATE = "separate"
    INTERLEAVED = "interleaved"
    MIXED = "mixed"


class StartOn(StrEnum):
    """When a stream begins."""

    ANSWER = "answer"
    EARLY_MEDIA = "early_media"


class Strategy(StrEnum):
    """In which order recording servers are tried."""

    HUNT = "hunt"
    ROUND_ROBIN = "round_robin"


class Policy(StrEnum):
    """What a recording that cannot be made means for the call."""

    BEST_EFFORT = "best_effort"
    MANDATORY = "mandatory"


class OnLoss(StrEnum):
    """What the loss of a mandatory recording in mid-call means for the call."""

    CONTINUE = "continue"
    WARN = "warn"
    HANG_UP = "hang_up"


class Dtmf(StrEnum):
    """What becomes of key presses in a recording."""

    RELAY = "relay"
    SUPPRESS = "suppress"


class Documents(StrEnum):
    """How much of the metadata a change is told with (RFC 7866 section 9.1)."""

    COMPLETE = "complete"
    PARTIAL = "partial"


class MetadataName(StrEnum):
    """How a recording server calls the media type of metadata."""

    XML = "application/rs-metadata+xml"
    """RFC 7865 section 12, RFC 9806."""
    PLAIN = "application/rs-metadata"
    """RFC 7866 section 9, as it was printed."""
