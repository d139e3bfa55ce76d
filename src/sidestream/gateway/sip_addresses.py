"""Which of our addresses a peer is reached from, and which one it is told (RFC 3261 §8.1.1.7, §8.1.1.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidestream.call.setup import SECURE_CONTACT
from sidestream.gateway.sip_options import DEFAULT_PORTS, ListenAddress
from sidestream.gateway.sip_sockets import family_of, is_wildcard, local_address_towards
from sidestream.sip.hop import Hop, Transport
from sidestream.sip.uri import wire_host

_CACHED = 4096
_ANYWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Documentation addresses (RFC 5737, RFC 3849): they lead by the default route."""


class OwnAddresses:
    """What `TransactionLayer` and the drivers ask about our own addresses.

    Args:
        bound: the listening addresses with their real ports.
        advertise: address or name to tell in their place.
        datagram_flows: the UDP listeners by flow.
    """

    def __init__(
        self,
        bound: Sequence[ListenAddress],
        advertise: str | None,
        datagram_flows: Mapping[int, ListenAddress],
    ) -> None:
        self._bound = tuple(bound)
        self._advertise = advertise
        self._flows = datagram_flows
        self._listeners: dict[tuple[Transport, str], ListenAddress | None] = {}
        self._locals: dict[str, str | None] = {}

    def via(self, transport: Transport, hop: Hop) -> tuple[str, int]:
        """See `sip.hop.LocalAddresses.via`."""
        listener = None if hop.flow is None else self._flows.get(hop.flow)
        if listener is None or transport != "udp":
            listener = self.listener(transport, hop.host)
        port = DEFAULT_PORTS[transport] if listener is None else listener.port
        return self._told(listener, hop.host), port

    def listener(self, transport: Transport, peer: str) -> ListenAddress | None:
        """The listener that traffic with a peer's IP address belongs to; None when none has its family."""
        key = (transport, peer)
        if key not in self._listeners:
            if len(self._listeners) >= _CACHED:
                self._listeners.clear()
            self._listeners[key] = self._choose(transport, peer)
        return self._listeners[key]

    def source_host(self, transport: Transport, peer: str) -> str | None:
        """The address to connect to a peer from, so that it knows us by it; None for the system's choice."""
        listener = self.listener(transport, peer)
        return None if listener is None or is_wildcard(listener.host) else listener.host

    def contacts(self) -> dict[str, str]:
        """Our Contact URI by transport; where several listeners share a transport the first one counts.

        Where TLS is listened on, `SECURE_CONTACT` is the `sips` URI of it (RFC 3261 §26.2.2).
        """
        found: dict[str, str] = {}
        for listener in self._bound:
            peer = _ANYWHERE[6 if ":" in listener.host else 4]
            where = f"sip:{wire_host(self._told(listener, peer))}:{listener.port}"
            suffix = "" if listener.transport == "udp" else f";transport={listener.transport}"
            found.setdefault(listener.transport, where + suffix)
            if listener.transport == "tls":
                found.setdefault(SECURE_CONTACT, where.replace("sip:", "sips:", 1))
        return found

    def _choose(self, transport: Transport, peer: str) -> ListenAddress | None:
        family = family_of(peer)
        fitting = [one for one in self._bound if one.transport == transport and family_of(one.host) == family]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        local = self._local(peer)
        exact = (one for one in fitting if one.host == local)
        wildcard = (one for one in fitting if is_wildcard(one.host))
        return next(exact, None) or next(wildcard, None) or fitting[0]

    def _told(self, listener: ListenAddress | None, peer: str) -> str:
        if self._advertise is not None and family_of(self._advertise) in {None, family_of(peer)}:
            return self._advertise
        if listener is not None and not is_wildcard(listener.host):
            return listener.host
        loopback = "::1" if ":" in peer else "127.0.0.1"
        return self._local(peer) or loopback

    def _local(self, peer: str) -> str | None:
        if peer not in self._locals:
            if len(self._locals) >= _CACHED:
                self._locals.clear()
            self._locals[peer] = local_address_towards(peer)
        return self._locals[peer]
