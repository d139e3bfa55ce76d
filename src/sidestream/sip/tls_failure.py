"""Why a hop over TLS did not stand, in a closed list of words that logs, metrics and verdicts share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class TlsFailure(StrEnum):
    """What went wrong."""

    NAME_MISMATCH = "name-mismatch"
    """The certificate is good and is somebody else's (RFC 5922 §7)."""
    UNTRUSTED = "untrusted"
    """No authority that we trust has signed it."""
    EXPIRED = "expired"
    """It, or one of its chain, is not valid any more, or not yet."""
    NO_CERTIFICATE = "no-certificate"
    """A certificate was wanted and none was shown."""
    BAD_CERTIFICATE = "bad-certificate"
    """It is revoked, too weak, for another purpose, or cannot be read."""
    NO_SHARED_VERSION = "no-shared-version"
    """One side knows TLS 1.2 or 1.3 only, the other neither."""
    NO_SHARED_CIPHER = "no-shared-cipher"
    REFUSED = "refused"
    """The peer refused the handshake by an alert: our certificate, mostly."""
    NOT_TLS = "not-tls"
    """What came is no TLS."""
    TIMEOUT = "timeout"
    """The handshake was not done in time."""
    CROWDED_OUT = "crowded-out"
    """Too many handshakes were open at once, and this one was the oldest."""
    LOST = "lost"
    """The connection broke, or the peer closed it, within the handshake."""
    BROKEN = "broken"
    """A record could not be read."""


OF_THE_CERTIFICATE: Final = frozenset(
    {
        TlsFailure.NAME_MISMATCH,
        TlsFailure.UNTRUSTED,
        TlsFailure.EXPIRED,
        TlsFailure.NO_CERTIFICATE,
        TlsFailure.BAD_CERTIFICATE,
    }
)
"""Failures by which a peer did not prove who it is."""


@dataclass(frozen=True, slots=True)
class TlsTrouble:
    """One failure.

    Attributes:
        failure: what went wrong.
        detail: how, for people; it never holds a secret.
    """

    failure: TlsFailure
    detail: str

    @property
    def concerns_certificate(self) -> bool:
        """Whether the peer did not prove who it is."""
        return self.failure in OF_THE_CERTIFICATE

    def __str__(self) -> str:
        return f"TLS {self.failure.value}: {self.detail}"
