"""What must hold for media streams and recordings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from sidestream.config.denied import DENIED_NETWORKS, is_denied
from sidestream.config.model import (
    Configuration,
    EndpointAuth,
    MediaStreamIntegration,
    SiprecIntegration,
)
from sidestream.config.node_rules import LATER, PAIRS_PER_CALL
from sidestream.config.problems import Finding, KeyPath
from sidestream.config.templates import MAX_CHARACTERS
from sidestream.config.uris import host_of, is_secure
from sidestream.config.values import Encoding, Network, OnLoss, Policy, Transport, milliseconds

X_HEADERS_MAX: Final = 5
PAIRS_PER_COPY: Final = 2
"""RTP and RTCP of each stream of a recording."""
RATES: Final = {
    Encoding.PCMU: (8000,),
    Encoding.PCMA: (8000,),
    Encoding.L16: (8000, 16000, 24000, 48000),
}
"""Samples a second of each encoding that this version makes."""
CERTIFICATES_MAX: Final = 4 * 1024 * 1024

_X_HEADER: Final = re.compile(r"X-[A-Za-z0-9-]{1,60}\Z")
_OWN_HEADERS: Final = frozenset(
    {"connection", "content-length", "host", "transfer-encoding", "upgrade", "user-agent", "traceparent"}
)
_OWN_PREFIXES: Final = ("sec-websocket-", "sidestream-")


def servers_stand_once(integration: SiprecIntegration) -> Iterator[Finding]:
    """A group names each recording server once."""
    seen: set[str] = set()
    for index, server in enumerate(integration.servers):
        if server.uri.text in seen:
            message = "this recording server stands here twice"
            yield Finding(("servers", index, "uri"), message, "Keep one of them, and give it more weight")
        seen.add(server.uri.text)


def losses_are_of_mandatory_recordings(integration: SiprecIntegration) -> Iterator[Finding]:
    """`on_loss` says something about mandatory recordings only."""
    if integration.on_loss is not OnLoss.CONTINUE and integration.policy is not Policy.MANDATORY:
        message = "the loss of a recording by best effort never concerns the call"
        yield Finding(("on_loss",), message, "Write policy: mandatory, or remove on_loss")


def media_ports_carry_recordings(configuration: Configuration) -> Iterator[Finding]:
    """Advice: the ports are enough for `limits.max_calls` with their recordings."""
    node = configuration.node
    copies = max((sum(each.copies for each in s.recordings) for _, s in configuration.services()), default=0)
    wanted = (PAIRS_PER_CALL + PAIRS_PER_COPY * copies) * node.limits.max_calls
    ports = node.media.ports
    if copies and PAIRS_PER_CALL * node.limits.max_calls <= ports.pairs < wanted:
        message = f"{ports} is too small for {node.limits.max_calls} calls with {copies} recorded copies each"
        yield Finding(("node", "media", "ports"), message, f"Widen the range to {2 * wanted} ports")


def recorders_can_reach_us(configuration: Configuration) -> Iterator[Finding]:
    """The gateway listens on each transport that it is to reach recording servers by."""
    listened = {listener.transport for listener in configuration.node.sip}
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            for i, integration in enumerate(service.integrations):
                if isinstance(integration, SiprecIntegration):
                    here: KeyPath = ("accounts", a, "voice_services", s, "integrations", i)
                    yield from _unheard(integration, listened, here)


def _unheard(integration: SiprecIntegration, listened: set[Transport], here: KeyPath) -> Iterator[Finding]:
    for index, server in enumerate(integration.servers):
        wanted = server.uri.transport
        if wanted not in listened:
            message = f"this server is reached by {wanted}, which the gateway does not listen on"
            remedy = f"Add {wanted}://… to node.sip, or name another ;transport="
            yield Finding((*here, "servers", index, "uri"), message, remedy)


def x_headers_are_lawful(integration: SiprecIntegration) -> Iterator[Finding]:
    """At most five headers, named `X-…`, with one short line each."""
    headers = integration.x_headers
    if len(headers) > X_HEADERS_MAX:
        message = f"there are {len(headers)} x_headers"
        yield Finding(("x_headers",), message, f"Keep {X_HEADERS_MAX} at most", at_key=True)
    for name, template in headers:
        path: KeyPath = ("x_headers", name)
        if not _X_HEADER.match(name):
            remedy = "Name it X- and 1 to 60 of A-Z a-z 0-9 -, such as X-Tenant"
            yield Finding(path, f"{name[:80]!r} is no name of an X- header", remedy, at_key=True)
        if len(template.text) > MAX_CHARACTERS or re.search(r"[\r\n]", template.text):
            remedy = f"Write one line of {MAX_CHARACTERS} characters at most"
            yield Finding(path, "the value is too long or has a line break", remedy)


def urls_are_secure(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """`ws://` only where it is said to be meant."""
    if integration.allow_insecure:
        return
    for path, url in _urls(integration):
        if not is_secure(url):
            remedy = "Write wss://, or add allow_insecure: true on a machine of your own"
            yield Finding(path, "ws:// would send audio and credentials in the clear", remedy)


def _urls(integration: MediaStreamIntegration) -> Iterator[tuple[KeyPath, str]]:
    for index, url in enumerate(integration.urls):
        yield ("url", index), url


def urls_stand_once(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """An endpoint list names each endpoint once."""
    seen: set[str] = set()
    for path, url in _urls(integration):
        if url in seen:
            yield Finding(
                path, "this URL stands here twice", "Keep one of them; the list is tried again and again"
            )
        seen.add(url)


def endpoints_are_allowed(configuration: Configuration) -> Iterator[Finding]:
    """No URL names an address of `node.deny_endpoints`; names are checked when they are resolved."""
    denied = configuration.node.deny_endpoints
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            for i, integration in enumerate(service.integrations):
                if isinstance(integration, MediaStreamIntegration):
                    here: KeyPath = ("accounts", a, "voice_services", s, "integrations", i)
                    for path, url in _urls(integration):
                        yield from denied_endpoint(url, denied, (*here, *path))


def denied_endpoint(
    url: str, networks: tuple[Network, ...] = DENIED_NETWORKS, path: KeyPath = ()
) -> Iterator[Finding]:
    """Tell when a URL names an address that endpoints must not have."""
    try:
        address = ip_address(host_of(url))
    except ValueError:
        return
    if is_denied(address, networks):
        remedy = "Name an endpoint elsewhere; node.deny_endpoints says which addresses are refused"
        yield Finding(path, f"{address} is on the list of denied addresses", remedy)


def encoding_is_available(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """G722 and OPUS are not made yet."""
    if integration.encoding in {Encoding.G722, Encoding.OPUS}:
        listed = ", ".join([Encoding.CALL.value, *(each.value for each in RATES)])
        message = f"encoding {integration.encoding.value} {LATER}"
        yield Finding(("encoding",), message, f"Use one of {listed}; L16 has rates from 8000 to 48000")


def rate_fits_the_encoding(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """Each encoding has its sample rates; the call's own codec brings its own."""
    rate, encoding = integration.sample_rate, integration.encoding
    if rate is None:
        return
    if encoding is Encoding.CALL:
        message = "with encoding call, the call's own codec gives the sample rate"
        yield Finding(("sample_rate",), message, "Remove sample_rate, or choose an encoding such as L16")
    elif encoding in RATES and rate not in RATES[encoding]:
        rates = ", ".join(map(str, RATES[encoding]))
        message = f"{encoding.value} has no sample rate of {rate}"
        yield Finding(
            ("sample_rate",),
            message,
            f"Write {rates}" if len(RATES[encoding]) == 1 else f"Write one of {rates}",
        )


def frame_is_whole(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """A frame is a whole number of milliseconds."""
    if abs(integration.frame * 1000 - milliseconds(integration.frame)) > 1e-6:
        yield Finding(("frame",), "a frame is a whole number of milliseconds", "Write 20ms, for example")


def auth_is_available(auth: EndpointAuth) -> Iterator[Finding]:
    """Signatures, OAuth 2.0 and client certificates are not made yet."""
    remedy = "Remove it, and use bearer, basic or headers"
    for key, value, what in (
        ("hmac", auth.hmac, "signing by HMAC"),
        ("oauth2", auth.oauth2, "OAuth 2.0"),
        ("client_certificate", auth.client_certificate, "a client certificate"),
    ):
        if value is not None:
            yield Finding((key,), f"{what} {LATER}", remedy, at_key=True)


def headers_are_free(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """No header is the gateway's own, and none stands twice."""
    auth = integration.auth
    taken: dict[str, str] = {}
    if auth.bearer is not None:
        taken["authorization"] = "auth.bearer"
    if auth.basic is not None:
        if "authorization" in taken:
            message = "bearer and basic both are the Authorization header"
            yield Finding(("auth", "basic"), message, "Keep one of them", at_key=True)
        taken["authorization"] = "auth.basic"
    yield from _free(("auth", "headers"), (name for name, _ in auth.headers), taken)
    yield from _free(("headers",), (name for name, _ in integration.headers), taken)


def _free(path: KeyPath, names: Iterable[str], taken: dict[str, str]) -> Iterator[Finding]:
    for name in names:
        lowered = name.lower()
        if lowered in _OWN_HEADERS or lowered.startswith(_OWN_PREFIXES):
            message = f"{name} is set by the gateway itself"
            yield Finding((*path, name), message, "Choose another header name", at_key=True)
        elif lowered in taken:
            message = f"{name} is set by {taken[lowered]} already"
            yield Finding((*path, name), message, "Keep one of them", at_key=True)
        else:
            taken[lowered] = ".".join(map(str, path))


def certificates_are_readable(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """A `ca` that is there is a file with certificates in PEM."""
    problem = _certificate_problem(integration.ca) if integration.ca is not None else ""
    if problem:
        remedy = "Name a file with certificates in PEM (-----BEGIN CERTIFICATE-----)"
        yield Finding(("ca",), f"{integration.ca} {problem}", remedy)


def _certificate_problem(path: Path) -> str:
    """Say what is wrong with a file of certificates; one that is missing is not wrong yet."""
    try:
        with path.open("rb") as file:
            data = file.read(CERTIFICATES_MAX + 1)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f"can't be read: {error.strerror if isinstance(error, OSError) else error}"
    if len(data) > CERTIFICATES_MAX:
        return "is too large for a bundle of certificates"
    return "" if b"-----BEGIN CERTIFICATE-----" in data else "has no certificate in it"


def certificates_are_there(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """Advice: a `ca` that is missing fails each stream until it is there."""
    if integration.ca is not None and not integration.ca.exists():
        message = f"{integration.ca} does not exist, and streams can't be verified without it"
        yield Finding(("ca",), message, "Put the certificate authority there before the first call")


def insecure_is_meant(integration: MediaStreamIntegration) -> Iterator[Finding]:
    """Advice: `allow_insecure` is for a laptop."""
    if any(not is_secure(url) for url in integration.urls):
        message = "audio and credentials travel in the clear to a ws:// endpoint"
        yield Finding(("url",), message, "Use wss:// wherever others could listen")
    elif integration.allow_insecure:
        yield Finding(("allow_insecure",), "nothing needs this flag: every URL is wss://", "Remove it")


def secrets_are_elsewhere(auth: EndpointAuth) -> Iterator[Finding]:
    """Advice: a secret that stands in the file is read by everyone who reads the file."""
    found: list[tuple[KeyPath, str]] = []
    if auth.bearer is not None:
        found.append((("bearer",), auth.bearer.origin))
    if auth.basic is not None:
        found.append((("basic", "password"), auth.basic.password.origin))
    found += [(("headers", name), secret.origin) for name, secret in auth.headers]
    for path, origin in found:
        if origin == "text":
            yield Finding(path, "the secret stands in the file", "Write {env: NAME} or {file: PATH} instead")
