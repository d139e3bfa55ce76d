"""What must hold for a gateway's own settings: listeners, ports, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidestream.config.model import Node
from sidestream.config.problems import Finding
from sidestream.config.signalling import Dns
from sidestream.config.values import Address, SipListener

LATER: Final = "is not available in this version"
"""Said of what the configuration knows and this version does not carry out."""


def _same_host(one: Address, other: Address) -> bool:
    if one.version != other.version:
        return False
    return one == other or one.is_unspecified or other.is_unspecified


def listeners_stand_once(node: Node) -> Iterator[Finding]:
    """No socket is bound twice: SIP against SIP, the API against SIP over TCP, media against SIP over UDP."""
    for index, listener in enumerate(node.sip):
        yield from _doubled(node, index, listener)
    api = node.api
    if api is None:
        return
    for listener in node.sip:
        if listener.transport != "udp" and listener.port == api.port and _same_host(listener.host, api.host):
            yield Finding(("api",), f"{api} is taken by the listener {listener}", "Choose another port")


def _doubled(node: Node, index: int, listener: SipListener) -> Iterator[Finding]:
    stream = listener.transport != "udp"
    for other in node.sip[:index]:
        both_streams = stream and other.transport != "udp"
        if not both_streams and other.transport != listener.transport:
            continue
        if other.port == listener.port and _same_host(other.host, listener.host):
            yield Finding(
                ("sip", index), f"{listener} is taken by the listener {other}", "Choose another port"
            )
            break


def media_ports_are_free(node: Node) -> Iterator[Finding]:
    """No SIP listener stands within the media ports."""
    for index, listener in enumerate(node.sip):
        inside = listener.transport == "udp" and listener.port in node.media.ports
        if inside and _same_host(listener.host, node.media.address):
            message = f"port {listener.port} lies within the media ports {node.media.ports}"
            yield Finding(("sip", index), message, "Choose a port outside of them")


def dns_times_fit(dns: Dns) -> Iterator[Finding]:
    """The shortest time of an answer is no longer than the longest."""
    if dns.ttl_min > dns.ttl_max:
        message = f"ttl_min of {dns.ttl_min:g} s is more than ttl_max of {dns.ttl_max:g} s"
        yield Finding(("ttl_min",), message, "Write a time up to ttl_max")


PAIRS_PER_CALL: Final = 2
"""RTP and RTCP of each leg."""


def media_ports_carry_a_call(node: Node) -> Iterator[Finding]:
    """A call takes two pairs of ports, each an even one and the odd one above."""
    ports = node.media.ports
    if ports.pairs < PAIRS_PER_CALL:
        message = f"{ports} is too small for a call, which takes four ports from an even one"
        remedy = f"Widen the range to {4 * node.limits.max_calls} ports for limits.max_calls"
        yield Finding(("media", "ports"), message, remedy)


def media_ports_carry_the_limit(node: Node) -> Iterator[Finding]:
    """Advice: the ports are enough for `limits.max_calls`; the call beyond them is refused."""
    ports, wanted = node.media.ports, node.limits.max_calls
    carried = ports.pairs // PAIRS_PER_CALL
    if ports.pairs >= PAIRS_PER_CALL and carried < wanted:
        message = f"{ports} carries {carried} calls at once, fewer than the {wanted} of limits.max_calls"
        remedy = f"Widen the range to {4 * wanted} ports, or set limits.max_calls to {carried}"
        yield Finding(("media", "ports"), message, remedy)


def addresses_can_be_told(node: Node) -> Iterator[Finding]:
    """What is bound to all addresses has one to tell peers."""
    if node.advertise is not None:
        if node.advertise.is_unspecified or node.advertise.is_multicast:
            remedy = "Write the address that peers reach this gateway at"
            yield Finding(("advertise",), f"{node.advertise} is no address of a host", remedy)
        return
    remedy = "Add advertise: with the address that peers reach this gateway at"
    for index, listener in enumerate(node.sip):
        if listener.host.is_unspecified:
            yield Finding(("sip", index), f"peers can't be told to send to {listener.host}", remedy)
    if node.media.address.is_unspecified:
        yield Finding(("media", "address"), f"peers can't be told to send to {node.media.address}", remedy)


def addresses_are_of_one_family(node: Node) -> Iterator[Finding]:
    """An advertised address takes the place of a bound one, so it is of the same IP version."""
    told = node.advertise
    if told is not None and told.version != node.media.address.version:
        message = f"{told} is IPv{told.version}, and media.address is IPv{node.media.address.version}"
        yield Finding(("advertise",), message, "Write both in the same version of IP")


def listeners_share_the_media_family(node: Node) -> Iterator[Finding]:
    """Advice: a listener of another version of IP than the media has peers that no media can be sent to."""
    version = node.media.address.version
    for index, listener in enumerate(node.sip):
        if listener.host.version != version:
            message = f"{listener} is IPv{listener.host.version}, and media.address is IPv{version}"
            remedy = f"Have peers of IPv{listener.host.version} served by a gateway of their own"
            yield Finding(("sip", index), message, remedy)
