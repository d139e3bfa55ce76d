"""RFC 5922: the SIP domains of a certificate, and their comparison with who was wanted."""

import pytest

from sidestream.sip.domain_certificate import CertificateNames


def names(
    *uris: str, dns: tuple[str, ...] = (), common: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
) -> CertificateNames:
    has_alternatives = bool(uris or dns or addresses)
    return CertificateNames(uris, dns, addresses, common, has_alternatives)


@pytest.mark.parametrize(
    ("certificate", "domains"),
    [
        # §7.1: the host of each `sip:` URI without a user part.
        (names("sip:example.com", "sip:Example.ORG"), ("example.com", "example.org")),
        (names("sip:example.com:5061;transport=tls"), ("example.com",)),
        (names("sip:alice@example.com"), ()),
        (names("sips:example.com", "https://example.com"), ()),
        (names("sip:", "nonsense", "sip:exa mple"), ()),
        # DNS names if and only if there is no such URI.
        (names(dns=("a.example", "B.example.")), ("a.example", "b.example")),
        (names("sip:example.com", dns=("a.example",)), ("example.com",)),
        (names("sip:alice@example.com", dns=("a.example",)), ("a.example",)),
        # The common name if and only if there is no subjectAltName.
        (names(common=("cn.example",)), ("cn.example",)),
        (names("https://example.com", common=("cn.example",)), ()),
        (names(dns=("a.example",), common=("cn.example",)), ("a.example",)),
        (names(addresses=("192.0.2.1",), common=("cn.example",)), ()),
    ],
)
def test_7_1_domains_of_a_certificate(certificate: CertificateNames, domains: tuple[str, ...]) -> None:
    assert certificate.domains == domains


@pytest.mark.parametrize(
    ("certificate", "wanted", "proven"),
    [
        # §7.2: whole, without case, and no wildcard.
        (names("sip:example.com"), "EXAMPLE.com", True),
        (names("sip:example.com"), "example.com.", True),
        (names("sip:example.com"), "sip.example.com", False),
        (names(dns=("*.example.com",)), "sip.example.com", False),
        (names(dns=("*.example.com",)), "*.example.com", False),
        (names(dns=(".example.com",)), "sip.example.com", False),
        (names("sip:example.com", dns=("else.example",)), "else.example", False),
        (names(common=("cn.example",)), "cn.example", True),
        (names(), "", False),
        # An address is no domain: it is proven by an address.
        (names(addresses=("192.0.2.1",)), "192.0.2.1", True),
        (names(addresses=("2001:db8::1",)), "[2001:DB8:0::1]", True),
        (names("sip:192.0.2.1"), "192.0.2.1", True),
        (names(dns=("192.0.2.1",)), "192.0.2.1", False),
        (names(common=("192.0.2.1",)), "192.0.2.1", False),
        (names(addresses=("192.0.2.1",)), "192.0.2.2", False),
    ],
)
def test_7_2_comparison(certificate: CertificateNames, wanted: str, proven: bool) -> None:
    assert certificate.proves(wanted) is proven
    assert certificate.proves_any(("nobody.example", wanted)) is proven


def test_what_a_certificate_says_is_shown_in_one_line() -> None:
    assert str(names("sip:a.example", addresses=("192.0.2.1",))) == "a.example, 192.0.2.1"
    assert str(names()) == "nobody"
    assert str(names(dns=("a\n\x1b[31m.example",))) == "a??[31m.example"
