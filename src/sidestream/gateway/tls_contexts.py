"""TLS contexts from files: versions, ciphers, our certificate, whom to trust (RFC 9325)."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidestream.config import certificates
from sidestream.config.certificates import CertificateFileError

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: with forward secrecy and authenticated encryption only. TLS 1.3 has no others."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where our certificates are.

    Attributes:
        certificate: PEM file, our own first.
        key: PEM file of its key.
        client_ca: PEM file of the authorities that peers which connect must be certified by, None to ask for
            no certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe when we connect.

    Attributes:
        ca: PEM file of authorities, None for the system's.
        verify: whether the chain is verified at all.
    """

    ca: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Contexts:
    """What is made from one state of the files.

    Attributes:
        server: for connections that peers open; None without a certificate.
        clients: for those that we open, by trust.
        asks_for_certificate: whether peers that connect must show one.
        expires_at: when our certificate does; None without one.
    """

    server: ssl.SSLContext | None
    clients: Mapping[Trust, ssl.SSLContext]
    asks_for_certificate: bool
    expires_at: dt.datetime | None


def load(files: TlsFiles | None, trusts: Collection[Trust]) -> Contexts:
    """Make every context; this reads files and may take some 10 ms each.

    Raises:
        CertificateFileError: one of the files cannot be used.
    """
    expires_at = None
    if files is not None:
        expires_at = certificates.check_pair(files.certificate, files.key).not_valid_after_utc
        certificates.check_usable(files.certificate, files.key)
    clients = {trust: _client(files, trust) for trust in trusts}
    server = None if files is None else _server(files)
    asks = files is not None and files.client_ca is not None
    return Contexts(server, clients, asks, expires_at)


def files_of(files: TlsFiles | None, trusts: Collection[Trust]) -> tuple[Path, ...]:
    """Return every file that `load` reads."""
    own = () if files is None else (files.certificate, files.key, files.client_ca)
    return tuple(path for path in (*own, *(trust.ca for trust in trusts)) if path is not None)


def _server(files: TlsFiles) -> ssl.SSLContext:
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    # Without resumption each handshake verifies certificates as they are now, and writes no tickets.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        _trust(context, files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _client(files: TlsFiles | None, trust: Trust) -> ssl.SSLContext:
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname = False  # names are compared as RFC 5922 says, which is not as the web does
    if not trust.verify:
        context.verify_mode = ssl.CERT_NONE
    elif trust.ca is not None:
        _trust(context, trust.ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def _hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # A peer's own certificate, or one between it and its authority, may be what is trusted.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _trust(context: ssl.SSLContext, path: Path) -> None:
    certificates.read_certificates(path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateFileError(
            path, f"is refused by OpenSSL: {error}", "Name certificates in PEM"
        ) from error
