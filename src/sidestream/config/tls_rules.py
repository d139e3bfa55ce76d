"""What must hold for SIP over TLS: certificates that are there, fit and are valid, and peers that agree.

The library of certificates is loaded where a file is looked at, not by every command.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sidestream.config.model import Configuration, Node, PeerTls, SiprecIntegration, Trunk
from sidestream.config.problems import Finding, KeyPath
from sidestream.config.uris import is_sips
from sidestream.config.values import PeerUri, Verify

EXPIRY_WARNING_DAYS: Final = 30
"""Authorities that renew by themselves do it 30 days before the end."""


def listeners_have_a_certificate(node: Node) -> Iterator[Finding]:
    """A `tls://` listener wants `tls` with a certificate and its key."""
    if node.tls is not None:
        return
    for index, listener in enumerate(node.sip):
        if listener.transport == "tls":
            message = f"{listener} has no certificate to show"
            yield Finding(("sip", index), message, "Add tls: with certificate: and key: to node")


def certificate_and_key_fit(node: Node) -> Iterator[Finding]:
    """The certificate and its key can be read and belong together; so can `client_ca`."""
    if node.tls is None:
        return
    from sidestream.config import certificates  # noqa: PLC0415 - see the module

    tls = node.tls
    found = [
        *_tried(("tls", "certificate"), lambda: certificates.read_certificates(tls.certificate)),
        *_tried(("tls", "key"), lambda: certificates.read_key(tls.key)),
    ]
    if not found:
        found = _tried(("tls", "key"), lambda: certificates.check_pair(tls.certificate, tls.key))
    if not found:
        found = _tried(("tls", "certificate"), lambda: certificates.check_usable(tls.certificate, tls.key))
    yield from found
    yield from _authorities(("tls", "client_ca"), tls.client_ca)


def certificate_is_valid(node: Node) -> Iterator[Finding]:
    """Advice: the certificate is valid, and is for some weeks yet; so are the authorities of `client_ca`."""
    if node.tls is None:
        return
    yield from _dated(("tls", "certificate"), node.tls.certificate, soon=True)
    if node.tls.client_ca is not None:
        yield from _dated(("tls", "client_ca"), node.tls.client_ca, soon=False)


def authorities_are_readable(peer: PeerTls) -> Iterator[Finding]:
    """A `ca` is a file with certificates in PEM."""
    yield from _authorities(("ca",), peer.ca)


def authorities_are_valid(peer: PeerTls) -> Iterator[Finding]:
    """Advice: the authorities of `ca` are valid."""
    if peer.ca is not None:
        yield from _dated(("ca",), peer.ca, soon=False)


def verification_is_meant(peer: PeerTls) -> Iterator[Finding]:
    """Advice: `verify` is for a laboratory."""
    if peer.verify is Verify.OFF:
        message = "anybody on the way can pretend to be this peer, and read and change its calls"
        yield Finding(("verify",), message, "Write verify: name, and name its authority in ca")
    elif peer.verify is Verify.CHAIN:
        message = "whoever has a certificate of these authorities can pretend to be this peer"
        yield Finding(("verify",), message, "Write verify: name, and in names what its certificate says")


def names_are_whole(peer: PeerTls) -> Iterator[Finding]:
    """A name in `names` is a whole domain or an address: no wildcard (RFC 5922 §7.2)."""
    for index, name in enumerate(peer.names):
        if "*" in name:
            remedy = "Write each name that a certificate may have"
            yield Finding(("names", index), f"{name!r} is a wildcard, which SIP does not know", remedy)


def tls_settings_are_used(trunk: Trunk) -> Iterator[Finding]:
    """`sips:` peers of a trunk are verified by name."""
    if trunk.tls is not None and trunk.tls.verify is not Verify.NAME:
        yield from _weakened([peer.uri for peer in trunk.peers], "peers")


def server_settings_are_used(integration: SiprecIntegration) -> Iterator[Finding]:
    """`sips:` recording servers are verified by name."""
    if integration.tls is not None and integration.tls.verify is not Verify.NAME:
        yield from _weakened([server.uri for server in integration.servers], "servers")


def peers_can_reach_us(configuration: Configuration) -> Iterator[Finding]:
    """The gateway listens on TLS where a trunk has a peer over TLS, or takes its calls by TLS only."""
    if any(listener.transport == "tls" for listener in configuration.node.sip):
        return
    remedy = "Add tls://… to node.sip, with node.tls"
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            here: KeyPath = ("accounts", a, "voice_services", s, "trunk")
            trunk = service.trunk
            if trunk is None:
                continue
            if trunk.require_tls:
                message = "no call can come over TLS: it is not listened on"
                yield Finding((*here, "require_tls"), message, remedy)
            for index, peer in enumerate(trunk.peers):
                if peer.uri.transport == "tls":
                    message = "this peer is reached by tls, which the gateway does not listen on"
                    yield Finding((*here, "peers", index, "uri"), message, remedy)


def settings_agree(configuration: Configuration) -> Iterator[Finding]:
    """A host and port that stands twice, as a peer or a recording server, has the same `tls` each time."""
    known: dict[tuple[str, int], PeerTls] = {}
    for uri, tls, path in _places(configuration):
        if uri.transport == "tls" and known.setdefault((uri.host.lower(), uri.port), tls) != tls:
            message = f"{uri.host} port {uri.port} stands elsewhere with other settings for TLS"
            yield Finding(path, message, "Give both the same tls:")


def _places(configuration: Configuration) -> Iterator[tuple[PeerUri, PeerTls, KeyPath]]:
    plain = PeerTls()
    for a, account in enumerate(configuration.accounts):
        for s, service in enumerate(account.voice_services):
            here: KeyPath = ("accounts", a, "voice_services", s)
            trunk = service.trunk
            for p, peer in enumerate(trunk.peers if trunk else ()):
                yield peer.uri, (trunk and trunk.tls) or plain, (*here, "trunk", "peers", p, "uri")
            for i, integration in enumerate(service.integrations):
                servers = integration.servers if isinstance(integration, SiprecIntegration) else ()
                for r, server in enumerate(servers):
                    tls = integration.tls if isinstance(integration, SiprecIntegration) else None
                    yield server.uri, tls or plain, (*here, "integrations", i, "servers", r, "uri")


def _weakened(uris: list[PeerUri], key: str) -> Iterator[Finding]:
    for index, uri in enumerate(uris):
        if is_sips(uri.text):
            remedy = "Write verify: name, or a sip: URI with ;transport=tls"
            yield Finding((key, index, "uri"), "sips: means a peer that proves its name", remedy)


def _authorities(path: KeyPath, file: Path | None) -> list[Finding]:
    if file is None:
        return []
    from sidestream.config import certificates  # noqa: PLC0415 - see the module

    return _tried(path, lambda: certificates.read_certificates(file))


def _tried(path: KeyPath, step: Callable[[], object]) -> list[Finding]:
    from sidestream.config.certificates import CertificateFileError  # noqa: PLC0415 - see the module

    try:
        step()
    except CertificateFileError as error:
        return [Finding(path, str(error), error.hint)]
    return []


def _dated(path: KeyPath, file: Path, *, soon: bool) -> Iterator[Finding]:
    """Tell what is not valid now, or not for long."""
    from sidestream.config import certificates  # noqa: PLC0415 - see the module

    try:
        found = certificates.read_certificates(file)
    except certificates.CertificateFileError:
        return  # told by the rules
    now = dt.datetime.now(dt.UTC)
    later = now + dt.timedelta(days=EXPIRY_WARNING_DAYS)
    for number, certificate in enumerate(found, 1):
        which = f"certificate {number} of {file}" if len(found) > 1 else str(file)
        problem = certificates.validity_problem(certificate, now)
        if problem:
            remedy = "Renew it; the gateway takes a new file without a restart"
            yield Finding(path, f"{which} {problem}, and peers refuse it", remedy)
        elif soon and certificates.validity_problem(certificate, later):
            when = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            yield Finding(path, f"{which} expires soon, on {when}", "Renew it in time")
