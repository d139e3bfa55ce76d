"""Who a certificate says that its holder is, and whether that is who was wanted (RFC 5922)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from sidestream.sip.errors import ParseError
from sidestream.sip.uri import OpaqueUri, parse_uri

_ADDRESSES_KEPT = 32


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The names of a certificate, as they stand in it.

    Attributes:
        uris: subjectAltName values of type URI.
        dns: subjectAltName values of type DNS.
        addresses: subjectAltName values of type IP, as text.
        common: common names of the subject.
        has_alternatives: whether there is a subjectAltName at all.
    """

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    has_alternatives: bool = False

    @property
    def domains(self) -> tuple[str, ...]:
        """The SIP domains that its holder may speak for, in lower case (RFC 5922 §7.1).

        Those of `sip:` URIs without a user part; only where there is none, DNS names; only where there is no
        subjectAltName at all, common names.
        """
        by_uri = tuple(found for uri in self.uris if (found := _domain_of(uri)) is not None)
        if by_uri:
            return by_uri
        if self.has_alternatives:
            return tuple(_plain(name) for name in self.dns)
        return tuple(_plain(name) for name in self.common)

    def proves(self, name: str) -> bool:
        """Whether the holder is this host: a domain, or an IP address without brackets.

        Domains are compared whole and without case (RFC 5922 §7.2): a wildcard stands for nothing. An address
        is proven by a subjectAltName of type IP, or by a `sip:` URI of it.
        """
        wanted = _plain(name)
        address = _address(wanted)
        if address is None:
            return bool(wanted) and "*" not in wanted and wanted in self.domains
        return address in {_address(own) for own in (*self.addresses[:_ADDRESSES_KEPT], *self._uri_hosts)}

    def proves_any(self, names: Iterable[str]) -> bool:
        """Whether the holder is one of these."""
        return any(self.proves(name) for name in names)

    @property
    def _uri_hosts(self) -> tuple[str, ...]:
        return tuple(found for uri in self.uris if (found := _domain_of(uri)) is not None)

    def __str__(self) -> str:
        shown = (*self.domains, *self.addresses)
        return ", ".join(_printable(name) for name in shown[:5]) or "nobody"


def _domain_of(uri: str) -> str | None:
    """The host of a `sip:` URI that names a domain; None for a user's, another scheme's, or none."""
    try:
        parsed = parse_uri(uri)
    except ParseError:
        return None
    if isinstance(parsed, OpaqueUri) or parsed.scheme != "sip" or parsed.user is not None:
        return None
    return _plain(parsed.address)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _address(name: str) -> str | None:
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        return None


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])
