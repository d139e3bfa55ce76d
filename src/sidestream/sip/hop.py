"""Where messages come from and go to (RFC 3261 §18)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from sidestream.sip.domain_certificate import CertificateNames

Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True)
class Hop:
    """Where to send a message.

    Attributes:
        transport: "udp", "tcp" or "tls".
        host: IP address (or, where the driver resolves it, a name), without brackets.
        port: port.
        flow: the connection (or the listening UDP socket) to use when it still exists, None for any.
        domain: host of the URI that led here, which the certificate of a TLS peer must prove (RFC 5922 §7.3);
            None where the address itself is all that is known.
    """

    transport: Transport
    host: str
    port: int
    flow: int | None = None
    domain: str | None = None

    @property
    def reliable(self) -> bool:
        """Whether the transport retransmits by itself."""
        return self.transport != "udp"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from.

    Attributes:
        transport: "udp", "tcp" or "tls".
        host: the peer's IP address.
        port: the peer's port.
        flow: the connection or listening socket it came through.
        local_host: our address it arrived at.
        local_port: our port it arrived at.
        certificate: what the certificate that the peer proved itself by says; None without one.
    """

    transport: Transport
    host: str
    port: int
    flow: int | None = None
    local_host: str = ""
    local_port: int = 0
    certificate: CertificateNames | None = None

    @property
    def hop(self) -> Hop:
        """The way back to the sender."""
        return Hop(self.transport, self.host, self.port, self.flow)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes to be sent, and where to."""

    data: bytes
    hop: Hop


class LocalAddresses(Protocol):
    """What the driver knows about our own addresses."""

    def via(self, transport: Transport, hop: Hop) -> tuple[str, int]:
        """The address and port to name in the Via of a request that goes to `hop`."""
        ...
