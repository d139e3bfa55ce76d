"""SIP over TLS: who proves what to whom, and files that are renewed while calls go on (RFC 5922)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.x509.oid import NameOID

from sidestream.config import certificates
from sidestream.config.certificates import CertificateFileError
from sidestream.config.values import Verify
from sidestream.gateway.tls_contexts import TlsFiles, Trust, files_of, load
from sidestream.gateway.tls_session import TlsError, TlsSession
from sidestream.sip.domain_certificate import CertificateNames
from sidestream.sip.hop import Hop
from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

WARN_BEFORE: Final = dt.timedelta(days=30)
WARN_AGAIN: Final = dt.timedelta(days=1)
_NAMES_MAX: Final = 256
_PROVEN_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """How a peer that we connect to proves who it is.

    Attributes:
        ca: PEM file of its authorities, None for the system's.
        verify: how much of its certificate must be right.
        names: names that it may have in place of the hop's domain.
    """

    ca: Path | None = None
    verify: Verify = Verify.NAME
    names: tuple[str, ...] = ()

    @property
    def trust(self) -> Trust:
        """Which context it takes."""
        return Trust(self.ca, verify=True) if self.verify is not Verify.OFF else Trust(None, verify=False)


@dataclass(slots=True)
class TlsCounts:
    """What became of our certificate.

    Attributes:
        reloads: times that changed files were taken.
        reload_failures: times that they could not be, and what was there before went on.
    """

    reloads: int = 0
    reload_failures: int = 0


class SipTls:
    """Makes the TLS of SIP connections. See `sip_options.TlsMaker`.

    Args:
        files: our certificate; None for a client without one.
        peers: policies by host, as it is written in the URI and in lower case, and port.
        fallback: for every other peer.

    Attributes:
        counts: what became of our certificate.

    Raises:
        CertificateFileError: a file cannot be used.
    """

    def __init__(
        self,
        files: TlsFiles | None,
        peers: Mapping[tuple[str, int], PeerPolicy] | None = None,
        fallback: PeerPolicy | None = None,
    ) -> None:
        self._files = files
        self._peers = dict(peers or {})
        self._by_host = {host: policy for (host, _), policy in reversed(self._peers.items())}
        self._fallback = fallback or PeerPolicy()
        self._trusts = {policy.trust for policy in (*self._peers.values(), self._fallback)}
        self._proven: dict[str, tuple[str, PeerPolicy]] = {}
        self._seen = self._fingerprint()
        self._contexts = load(files, self._trusts)
        self._warned_at: dt.datetime | None = None
        self.counts = TlsCounts()

    @property
    def expires_at(self) -> dt.datetime | None:
        """When our certificate expires; None without one."""
        return self._contexts.expires_at

    def accept(self) -> TlsSession:
        """See `TlsMaker.accept`."""
        contexts = self._contexts
        if contexts.server is None:
            raise ValueError("there is no certificate to show")
        judge = _names_of if contexts.asks_for_certificate else _unasked
        return TlsSession(contexts.server, judge, server=True)

    def connect(self, hop: Hop) -> TlsSession:
        """See `TlsMaker.connect`."""
        policy, names = self._policy(hop)
        context = self._contexts.clients[policy.trust]
        domain = hop.domain or hop.host
        asked = None if _is_address(domain) else domain.rstrip(".")
        judge = partial(self._judge, hop, policy, names)
        try:
            return TlsSession(context, judge, server=False, server_name=asked)
        except ValueError as error:
            trouble = TlsTrouble(
                TlsFailure.NAME_MISMATCH, f"{domain!r} is no name that can be asked for: {error}"
            )
            raise TlsError(trouble) from error

    def proves(self, certificate: CertificateNames, hop: Hop) -> bool:
        """See `TlsMaker.proves`."""
        policy, names = self._policy(hop)
        return policy.verify is not Verify.OFF and certificate.proves_any(names)

    def reload_if_changed(self) -> bool | None:
        """Take files that have changed since they were last looked at. Blocks: not for the loop's thread.

        Returns:
            Whether they were taken; None when nothing has changed.
        """
        seen = self._fingerprint()
        if seen == self._seen:
            return None
        self._seen = seen
        return self.reload()

    def reload(self) -> bool:
        """Take the files as they are; when they cannot be used what was there before goes on. Blocks.

        New connections have the new certificate, those that stand go on with what they agreed on.
        """
        try:
            contexts = load(self._files, self._trusts)
            if self._files is not None:
                _refuse_invalid(self._files.certificate)
        except CertificateFileError as error:
            self.counts.reload_failures += 1
            _log.error(
                "sip_tls_reload_failed", error=str(error), hint=error.hint, kept="what was there before"
            )
            return False
        self._contexts = contexts
        self._warned_at = None
        self.counts.reloads += 1
        _log.info("sip_tls_reloaded", expires_at=contexts.expires_at and contexts.expires_at.isoformat())
        return True

    def warn_of_expiry(self, now: dt.datetime) -> None:
        """Write a line a day when our certificate expires within 30 days, or has expired."""
        expires = self._contexts.expires_at
        if expires is None or now < expires - WARN_BEFORE:
            return
        if self._warned_at is not None and now - self._warned_at < WARN_AGAIN:
            return
        self._warned_at = now
        file = "" if self._files is None else str(self._files.certificate)
        if now > expires:
            _log.error("sip_tls_certificate_expired", file=file, expired_at=expires.isoformat())
        else:
            days = (expires - now).days
            _log.warning("sip_tls_certificate_expires", file=file, expires_at=expires.isoformat(), days=days)

    def _policy(self, hop: Hop) -> tuple[PeerPolicy, tuple[str, ...]]:
        """How a hop's peer is verified, and the names that it may have.

        A Contact mostly names an address. What is there has proven to be a configured peer when we connected
        to it by that peer's URI; then it may do so again.
        """
        domain = (hop.domain or hop.host).lower()
        policy = self._peers.get((domain, hop.port)) or self._by_host.get(domain)
        if policy is not None:
            return policy, policy.names or (domain,)
        before = self._proven.get(hop.host) if _is_address(domain) else None
        if before is not None:
            name, policy = before
            return policy, (*(policy.names or (name,)), domain)
        return self._fallback, self._fallback.names or (domain,)

    def _judge(
        self, hop: Hop, policy: PeerPolicy, names: tuple[str, ...], shown: bytes | None
    ) -> CertificateNames | None:
        """See `tls_session.Judge`."""
        if policy.verify is Verify.OFF:
            return None
        certificate = _names_of(shown)
        if policy.verify is Verify.NAME and not certificate.proves_any(names):
            wanted = " or ".join(names[:5])
            trouble = TlsTrouble(
                TlsFailure.NAME_MISMATCH, f"its certificate is for {certificate}, not for {wanted}"
            )
            raise TlsError(trouble)
        domain = (hop.domain or hop.host).lower()
        if domain in self._by_host:
            if len(self._proven) >= _PROVEN_KEPT:
                del self._proven[next(iter(self._proven))]
            self._proven[hop.host] = domain, policy
        return certificate

    def _fingerprint(self) -> tuple[tuple[str, int, int, int], ...]:
        """What tells one state of the files from another."""
        found = []
        for path in files_of(self._files, self._trusts):
            try:
                state = path.stat()
            except OSError:
                found.append((str(path), 0, 0, 0))
            else:
                found.append((str(path), state.st_mtime_ns, state.st_size, state.st_ino))
        return tuple(found)


def _refuse_invalid(path: Path) -> None:
    problem = certificates.validity_problem(certificates.read_certificates(path)[0], dt.datetime.now(dt.UTC))
    if problem:
        raise CertificateFileError(path, problem, "Put a certificate there that is valid now")


def _unasked(_shown: bytes | None) -> None:
    """See `tls_session.Judge`: nobody was asked for a certificate."""


def _names_of(shown: bytes | None) -> CertificateNames:
    """See `tls_session.Judge`: what a verified certificate says."""
    if shown is None:
        raise TlsError(TlsTrouble(TlsFailure.NO_CERTIFICATE, "it showed none"))
    try:
        return names_in(x509.load_der_x509_certificate(shown))
    except ValueError as error:
        trouble = TlsTrouble(TlsFailure.BAD_CERTIFICATE, f"its certificate can't be read: {error}")
        raise TlsError(trouble) from error


def names_in(certificate: x509.Certificate) -> CertificateNames:
    """Return the names of a certificate.

    Raises:
        ValueError: they cannot be read.
    """
    common = tuple(
        each.value
        for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if isinstance(each.value, str)
    )
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return CertificateNames(common=common)
    return CertificateNames(
        tuple(held.get_values_for_type(x509.UniformResourceIdentifier)[:_NAMES_MAX]),
        tuple(held.get_values_for_type(x509.DNSName)[:_NAMES_MAX]),
        tuple(str(each) for each in held.get_values_for_type(x509.IPAddress)[:_NAMES_MAX]),
        common,
        has_alternatives=True,
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
