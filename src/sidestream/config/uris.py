"""The addresses that a configuration names: listeners, SIP peers and endpoints.

Only what a configuration may hold is taken; the protocol packages read the same texts at run time.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from sidestream.config.values import Address, PeerUri, Transport
from sidestream.errors import Fault, SidestreamError

URL_MAX: Final = 2048

_LISTENER: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9A-Fa-f:.]+\]|[^:/\[\]\s]+)(?::(\d{1,5}))?/?\Z"
)
_PEER: Final = re.compile(
    r"(?P<scheme>[A-Za-z]+):(?:(?P<user>(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})+)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::(?P<port>\d{1,5}))?"
    r"(?P<params>(?:;[A-Za-z0-9\-_.]+(?:=[A-Za-z0-9\-_.+]+)?)*)\Z"
)
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?\Z")
"""RFC 1123 section 2.1, and the underscore inside that container networks put into names."""


class UriError(SidestreamError):
    """An address that cannot be used; `hint` says what would be right, where that is special."""

    fault = Fault.OPERATOR


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    port = int(text)
    if not 1 <= port <= 65535:
        raise UriError(f"{text} is no port", hint="Write a port from 1 to 65535")
    return port


def _is_host(host: str) -> bool:
    """Whether it is an address or a name; what looks like an address must be one (RFC 1123 section 2.1)."""
    if host.startswith("[") or re.fullmatch(r"[0-9.]+", host):
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True
    return bool(_HOST_NAME.match(host))


def split_listener(text: str) -> tuple[str, Address, int | None]:
    """Split `scheme://address:port`.

    Raises:
        UriError: it has another form, or names no IP address or port.
    """
    match = _LISTENER.match(text)
    if match is None:
        raise UriError(f"{text[:80]!r} is no scheme, address and port")
    try:
        host = ip_address(match[2].strip("[]"))
    except ValueError:
        hint = "Write the IP address of an interface, or 0.0.0.0 for all of them"
        raise UriError(f"{match[2][:80]!r} is no IP address", hint=hint) from None
    return match[1].lower(), host, _port(match[3])


def split_collector(text: str) -> tuple[str, str, int | None]:
    """Split `scheme://host:port`, whose host is an address or a name.

    Raises:
        UriError: it has another form, or names no host or port.
    """
    match = _LISTENER.match(text)
    if match is None or not _is_host(match[2]):
        raise UriError(f"{text[:80]!r} is no scheme, host and port")
    return match[1].lower(), match[2].strip("[]"), _port(match[3])


def parse_peer(text: str, default: Transport = "udp") -> PeerUri:
    """Read the SIP URI of a peer (RFC 3261 section 19.1).

    Args:
        text: the URI.
        default: transport of a `sip:` URI that names none.

    Raises:
        UriError: it is none, or names a transport that is not known.
    """
    match = _PEER.match(text) if len(text) <= URL_MAX else None
    if match is None or match["scheme"].lower() not in {"sip", "sips"} or not _is_host(match["host"]):
        raise UriError(f"{text[:80]!r} is no SIP URI")
    secure = match["scheme"].lower() == "sips"
    parameters = dict(_parameters(match["params"]))
    transport = parameters.get("transport", "tls" if secure else default)
    if transport not in {"udp", "tcp", "tls"}:
        hint = "Write ;transport=udp, ;transport=tcp or ;transport=tls"
        raise UriError(f"{transport!r} is no transport", hint=hint)
    if secure and transport == "udp":
        raise UriError("sips: means TLS, which is not over udp", hint="Leave out ;transport=udp")
    return PeerUri(
        text,
        match["host"].strip("[]"),
        _port(match["port"]) or (5061 if secure or transport == "tls" else 5060),
        _transport(transport, match["scheme"]),
    )


def is_sips(uri: str) -> bool:
    """Whether a URI's scheme is `sips`."""
    return uri[:5].lower() == "sips:"


def _parameters(text: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in text.split(";") if part)
    return [(name.lower(), value.lower()) for name, _, value in pairs]


def _transport(name: str, scheme: str) -> Transport:
    if name == "tls" or scheme.lower() == "sips":
        return "tls"
    return "tcp" if name == "tcp" else "udp"


def check_endpoint(url: str) -> None:
    """Check the URL of a media-stream endpoint (RFC 6455 section 3).

    Raises:
        UriError: it can't be connected to.
    """
    if len(url) > URL_MAX:
        raise UriError(f"the URL has {len(url)} characters", hint=f"Write {URL_MAX} at most")
    if not re.fullmatch(r"[!-~]+", url):
        hint = "Percent-encode what is no plain character, and write names of other scripts as xn--…"
        raise UriError(f"{url[:80]!r} has a space or a character that no URL has", hint=hint)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UriError(f"{url[:80]!r} is no URL: {error}") from None
    if parts.scheme in {"http", "https"}:
        swapped = url.replace("http", "ws", 1) if url.startswith("http") else "wss://…"
        raise UriError(f"{parts.scheme}:// is no WebSocket", hint=f"Write {swapped[:80]}")
    if parts.scheme not in {"wss", "ws"}:
        raise UriError(f"{url[:80]!r} is no wss:// URL")
    if parts.username is not None or parts.password is not None:
        raise UriError("the URL has credentials in it", hint="Put them under auth, as basic or bearer")
    if "#" in url:
        raise UriError("the URL has a fragment", hint="Leave out the # and what follows it")
    if not parts.hostname or port == 0 or not _is_host(_bracketed(parts.hostname)):
        raise UriError(f"{url[:80]!r} names no host and port that can be connected to")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def host_of(url: str) -> str:
    """Return the host of a URL that `check_endpoint` took, without brackets."""
    return urlsplit(url).hostname or ""


def is_secure(url: str) -> bool:
    """Whether a URL that `check_endpoint` took is `wss://`."""
    return url[:4].lower() == "wss:"
