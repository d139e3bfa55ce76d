"""The upgrade request of a stream's connection (protocol section 1) and the URL it goes to."""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sidestream.errors import SidestreamError

_DEFAULT_PORTS: Final = {"wss": 443, "ws": 80}
_RESERVED: Final = frozenset(
    {"connection", "content-length", "host", "transfer-encoding", "upgrade", "user-agent"}
)
_RESERVED_PREFIXES: Final = ("sec-websocket-", "sidestream-")


class EndpointUrlError(SidestreamError):
    """An endpoint's URL that cannot be connected to."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a stream connects; `path` includes the query, `host` has no brackets."""

    secure: bool
    host: str
    port: int
    host_header: str
    path: str


def parse_endpoint(url: str) -> Endpoint:
    """Split a `wss://` or `ws://` URL (RFC 6455 section 3).

    Raises:
        EndpointUrlError: when it is none, names no host, or has credentials or a bad port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EndpointUrlError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise EndpointUrlError(f"{url!r} is no wss:// URL with a host")
    if parts.username is not None:
        raise EndpointUrlError("credentials belong into the integration's 'auth', not into its URL")
    host = _ascii_host(parts.hostname)
    bracketed = f"[{host}]" if ":" in host else host
    path = parts.path or "/"
    return Endpoint(
        secure=parts.scheme == "wss",
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        host_header=bracketed if port is None else f"{bracketed}:{port}",
        path=f"{path}?{parts.query}" if parts.query else path,
    )


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise EndpointUrlError(f"{host!r} is no host name: {error}") from error


@dataclass(frozen=True, slots=True)
class UpgradeFacts:
    """What every upgrade request of a stream says about itself."""

    version: str
    stream_id: str
    call_id: str
    account_id: str
    traceparent: str


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What the endpoint knows us by; any may be used at once (protocol section 7). Never printed."""

    bearer: str | None = None
    basic: tuple[str, str] | None = None
    headers: tuple[tuple[str, str], ...] = ()


def upgrade_headers(
    facts: UpgradeFacts, credentials: Credentials, custom: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the headers beside those of the handshake itself, which the media engine adds.

    Names that belong to the handshake or to Sidestream are left out of `custom`, and line breaks are taken
    out of values: a template may render what a SIP peer sent.
    """
    headers = [
        ("User-Agent", f"Sidestream/{facts.version}"),
        ("Sidestream-Stream-Id", facts.stream_id),
        ("Sidestream-Call-Id", facts.call_id),
        ("Sidestream-Account-Id", facts.account_id),
        ("traceparent", facts.traceparent),
    ]
    if credentials.bearer is not None:
        headers.append(("Authorization", f"Bearer {credentials.bearer}"))
    if credentials.basic is not None:
        pair = ":".join(credentials.basic).encode()
        headers.append(("Authorization", f"Basic {b64encode(pair).decode('ascii')}"))
    given = (*credentials.headers, *custom)
    headers.extend((name, _one_line(value)) for name, value in given if not _is_reserved(name))
    return headers


def _is_reserved(name: str) -> bool:
    lowered = name.lower()
    return lowered in _RESERVED or lowered.startswith(_RESERVED_PREFIXES)


def _one_line(value: str) -> str:
    """Keep what RFC 9110 section 5.5 allows in a field value; anything else becomes a space."""
    return "".join(c if c == "\t" or (" " <= c != "\x7f") else " " for c in value).strip()
