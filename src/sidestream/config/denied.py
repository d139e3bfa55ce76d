"""Addresses that no endpoint may have: a customer's URL must not reach into the gateway's own network."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from sidestream.config.values import Address, Network

DENIED_NETWORKS: Final[tuple[Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local (RFC 3927), and the metadata service of most clouds
        "fe80::/10",  # link-local (RFC 4291)
        "fd00:ec2::254/128",  # metadata services that have addresses of their own
        "fd20:ce::254/128",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
    )
)
"""What no endpoint may resolve to unless the node says otherwise."""

_NAT64: Final = ip_network("64:ff9b::/96")
"""RFC 6052 section 2.1."""


def is_denied(address: Address, networks: tuple[Network, ...] = DENIED_NETWORKS) -> bool:
    """Whether an endpoint must not be at an address.

    Args:
        address: what a URL's host is or resolves to; an IPv4 address inside an IPv6 one (mapped, 6to4, NAT64)
            counts as itself too.
        networks: the node's `deny_endpoints`.
    """
    return any(each.version == net.version and each in net for each in _faces(address) for net in networks)


def _faces(address: Address) -> Iterator[Address]:
    yield address
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            yield inner
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
