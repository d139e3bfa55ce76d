"""Sockets for SIP: opened as wanted, and what the system knows about addresses."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from functools import lru_cache

from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.sip_options import ListenAddress

_IP_RECVERR = 11  # linux/in.h; the socket module has neither
_IPV6_RECVERR = 25
_IP_BIND_ADDRESS_NO_PORT = 24
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BACKLOG = 1024


class ListenError(SidestreamError):
    """A socket that SIP should be listened on cannot be opened."""

    fault = Fault.OPERATOR


@lru_cache(maxsize=4096)
def family_of(host: str) -> socket.AddressFamily | None:
    """The family of an IP address without brackets, None when it is none (a name)."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def is_wildcard(host: str) -> bool:
    """Whether a bound address means every interface."""
    return host in {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def listen_udp(address: ListenAddress, buffer_bytes: int) -> socket.socket:
    """Open a non-blocking UDP socket that also hears of ICMP errors (RFC 3261 §18.4).

    Raises:
        ListenError: when it cannot be bound.
    """
    sock = _bound(address, socket.SOCK_DGRAM)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    _set_buffer(sock, socket.SO_RCVBUF, _SO_RCVBUFFORCE, buffer_bytes)
    _set_buffer(sock, socket.SO_SNDBUF, _SO_SNDBUFFORCE, buffer_bytes)
    return sock


def listen_tcp(address: ListenAddress) -> socket.socket:
    """Open a non-blocking listening TCP socket.

    Raises:
        ListenError: when it cannot be bound.
    """
    sock = _bound(address, socket.SOCK_STREAM)
    sock.listen(_BACKLOG)
    return sock


def outgoing_tcp(family: socket.AddressFamily, local_host: str | None) -> socket.socket:
    """Make a non-blocking TCP socket to connect with.

    Args:
        family: of the peer's address.
        local_host: address to connect from, None for the system's choice.

    Raises:
        OSError: when there is no such local address or no descriptor left.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if local_host is not None:
            # Without it each connection takes a port of its own, whatever its peer.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((local_host, 0))
    except OSError:
        sock.close()
        raise
    return sock


def local_address_towards(host: str) -> str | None:
    """Our address on the way to an IP address, as the routing table has it; nothing is sent.

    Returns:
        None when there is no way.
    """
    family = family_of(host)
    if family is None:
        return None
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
    return None


def _bound(address: ListenAddress, kind: socket.SocketKind) -> socket.socket:
    family = family_of(address.host)
    if family is None:
        raise ListenError(f"cannot listen on {address}: not an IP address", hint="name an IP address")
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise ListenError(
            f"cannot listen on {address}: {os.strerror(error.errno or 0)}", hint=_hint(error)
        ) from error
    return sock


def _hint(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program listens there: stop it or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no interface of this machine has that address"
    if error.errno == errno.EACCES:
        return "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    return ""


def _set_buffer(sock: socket.socket, option: int, forced: int, size: int) -> None:
    """Ask for a buffer; without the capability to force it the system's limit (net.core.*mem_max) holds."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, option, size)
