"""Files of certificates and keys: read, matched, and said to be good until when."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sidestream.errors import Fault, SidestreamError

FILE_MAX: Final = 4 * 1024 * 1024
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"


class CertificateFileError(SidestreamError):
    """A file of certificates or a key cannot be used; `hint` says what would be right.

    Attributes:
        path: the file.
    """

    fault = Fault.OPERATOR

    def __init__(self, path: Path, what: str, hint: str) -> None:
        super().__init__(f"{path} {what}", hint=hint)
        self.path = path


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, in order; at least one.

    Raises:
        CertificateFileError: it cannot be read, or has none.
    """
    hint = "Name a file with certificates in PEM (-----BEGIN CERTIFICATE-----)"
    data = _read(path, hint)
    if _CERTIFICATE not in data:
        raise CertificateFileError(path, "has no certificate in it", hint)
    try:
        return x509.load_pem_x509_certificates(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateFileError(path, f"has a certificate that can't be read: {error}", hint) from error


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a PEM file.

    Raises:
        CertificateFileError: it cannot be read, has none, or wants a passphrase.
    """
    hint = "Name a file with an unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)"
    data = _read(path, hint)
    try:
        return load_pem_private_key(data, None)
    except TypeError as error:
        hint = (
            f"Write it without one: openssl pkey -in {path.name} -out key.pem, readable by the gateway only"
        )
        raise CertificateFileError(path, "is encrypted with a passphrase", hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateFileError(path, "has no private key that can be read", hint) from error


def check_pair(certificate: Path, key: Path) -> x509.Certificate:
    """Return our own certificate: the first of its file, which the key must belong to.

    Raises:
        CertificateFileError: one of the files cannot be used, or they do not belong together.
    """
    own = read_certificates(certificate)[0]
    public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    held = read_key(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public != held:
        hint = "Name the key that the certificate was made with; in its file the own certificate comes first"
        raise CertificateFileError(key, f"is not the key of the certificate in {certificate}", hint)
    return own


def validity_problem(certificate: x509.Certificate, now: dt.datetime) -> str:
    """Say why a certificate is not valid at a moment; empty when it is."""
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return ""


def check_usable(certificate: Path, key: Path) -> None:
    """Have OpenSSL take both, as it does when the gateway starts.

    Raises:
        CertificateFileError: it does not, for a key that is too weak or a chain that is out of order.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        hint = "Make a certificate with an RSA key of 2048 bits or an EC key on P-256"
        reason = getattr(error, "reason", None) or error
        raise CertificateFileError(certificate, f"is refused by OpenSSL: {reason}", hint) from error


def _no_passphrase() -> str:
    """Keep OpenSSL from asking on the terminal."""
    raise ValueError("the key is encrypted")


def _read(path: Path, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CertificateFileError(path, f"can't be read: {reason}", hint) from error
    if len(data) > FILE_MAX:
        raise CertificateFileError(path, "is too large for certificates", hint)
    return data
