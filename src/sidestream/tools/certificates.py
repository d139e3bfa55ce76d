"""A certificate authority of one's own, and certificates from it, for development and tests."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DEFAULT_NAMES = ("localhost", "127.0.0.1", "::1")
VALIDITY = dt.timedelta(days=365)
RENEW_BEFORE = dt.timedelta(days=7)
_CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the authority's certificate, the server's certificate and its key are (PEM)."""

    ca: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a TLS server context with this certificate; TLS 1.2 is the floor."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def ensure_certificates(directory: Path, names: tuple[str, ...] = DEFAULT_NAMES) -> CertificateFiles:
    """Return the certificates kept in a directory; made anew when missing, expiring or for other names."""
    files = CertificateFiles(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    if not _usable(files, names):
        directory.mkdir(parents=True, exist_ok=True)
        make_certificates(files, names)
    return files


def make_certificates(files: CertificateFiles, names: tuple[str, ...] = DEFAULT_NAMES) -> None:
    """Make an authority and a certificate for these names. The authority's key is not kept."""
    authority = Authority()
    authority.write(files.ca)
    authority.issue(files.certificate, files.key, Leaf(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """From when until when a certificate is valid, from now on."""

    begins: dt.timedelta = -_CLOCK_SKEW
    ends: dt.timedelta = VALIDITY


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a certificate says of its holder, who may be server and client with it.

    Attributes:
        names: domains and IP addresses in its subjectAltName.
        uris: URIs there, such as `sip:example.com` (RFC 5922 section 4).
        common_name: of its subject; the first name when None.
        alternatives: whether it has a subjectAltName at all.
        validity: from when until when.
    """

    names: tuple[str, ...] = DEFAULT_NAMES
    uris: tuple[str, ...] = ()
    common_name: str | None = None
    alternatives: bool = True
    validity: Validity = Validity()


class Authority:
    """An authority that lives as long as it is held.

    Args:
        name: its name.
    """

    def __init__(self, name: str = "Sidestream development CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        self._certificate = (
            _builder(self._subject, self._subject, self._key, Validity())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def write(self, path: Path) -> None:
        """Write its certificate."""
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, certificate: Path, key: Path, leaf: Leaf) -> None:
        """Write a certificate of it and its key, in one file when both paths are the same."""
        held = ec.generate_private_key(ec.SECP256R1())
        common = leaf.common_name if leaf.common_name is not None else leaf.names[0]
        builder = (
            _builder(_name(common), self._subject, held, leaf.validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if leaf.alternatives:
            held_names = [_general_name(name) for name in leaf.names]
            held_names += [x509.UniformResourceIdentifier(uri) for uri in leaf.uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(held_names), critical=False)
        made = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = held.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key.touch(mode=0o600)
        key.write_bytes(private)
        certificate.write_bytes(made + private if certificate == key else made)


def _usable(files: CertificateFiles, names: tuple[str, ...]) -> bool:
    if not all(path.is_file() for path in (files.ca, files.certificate, files.key)):
        return False
    try:
        server = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        server.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))
        held = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        files.server_context()
    except (ValueError, TypeError, x509.ExtensionNotFound, ssl.SSLError, InvalidSignature):
        return False
    fresh = server.not_valid_after_utc - dt.datetime.now(dt.UTC) > RENEW_BEFORE
    return fresh and all(_general_name(name) in held for name in names)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, validity: Validity
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + validity.begins)
        .not_valid_after(now + validity.ends)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
