"""From a URI to its targets: RFC 3263 section 4, with an invented zone."""

import random

import pytest

from sidestream.sip.errors import NoTargetError
from sidestream.sip.routing import (
    Abilities,
    Family,
    Known,
    Located,
    Naptr,
    Query,
    QueryKind,
    Record,
    Srv,
    Unknown,
    locate,
)
from sidestream.sip.uri import SipUri

Zone = dict[tuple[QueryKind, str], list[Record]]

# RFC 3263 section 4.1 prints these records.
PRINTED: Zone = {
    ("NAPTR", "example.com"): [
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com."),
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com."),
    ],
    ("SRV", "_sip._tcp.example.com"): [
        Srv(0, 1, 5060, "server1.example.com."),
        Srv(0, 2, 5060, "server2.example.com."),
    ],
    ("SRV", "_sip._udp.example.com"): [Srv(0, 1, 5062, "server1.example.com.")],
    ("SRV", "_sips._tcp.example.com"): [Srv(0, 1, 5063, "server1.example.com.")],
    ("A", "example.com"): ["192.0.2.99"],
    ("A", "server1.example.com"): ["192.0.2.1"],
    ("A", "server2.example.com"): ["192.0.2.2"],
    ("AAAA", "server1.example.com"): ["2001:db8::1"],
}
PLAIN = Abilities(transports=("udp", "tcp"), families=(4,))
WITH_TLS = Abilities(transports=("udp", "tcp", "tls"), families=(4,))


def told(zone: Zone, asked: list[Query] | None = None) -> Known:
    """A resolver that knows everything at once."""

    def known(query: Query) -> list[Record]:
        if asked is not None:
            asked.append(query)
        return zone.get((query.kind, query.name), [])

    return known


def found(uri: str, zone: Zone, abilities: Abilities = PLAIN, seed: int = 1) -> list[tuple[str, str, int]]:
    """The targets of a URI as plain tuples."""
    located = locate(SipUri.parse(uri), told(zone), abilities, random.Random(seed))
    assert isinstance(located, Located)
    return [(target.transport, target.address, target.port) for target in located.targets]


def asked_for(uri: str, zone: Zone, abilities: Abilities = PLAIN) -> list[str]:
    """What was asked about a URI, in order."""
    asked: list[Query] = []
    locate(SipUri.parse(uri), told(zone, asked), abilities, random.Random(1))
    return [f"{query.kind} {query.name}" for query in asked]


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sip:192.0.2.7", ("udp", "192.0.2.7", 5060)),
        ("sip:192.0.2.7:5070", ("udp", "192.0.2.7", 5070)),
        ("sip:192.0.2.7;transport=tcp", ("tcp", "192.0.2.7", 5060)),
        ("sip:192.0.2.7;transport=TLS", ("tls", "192.0.2.7", 5061)),
        ("sips:192.0.2.7", ("tls", "192.0.2.7", 5061)),
        ("sips:192.0.2.7;transport=tcp", ("tls", "192.0.2.7", 5061)),
        ("sips:192.0.2.7:5099", ("tls", "192.0.2.7", 5099)),
    ],
)
def test_section_4_1_a_numeric_host_is_udp_or_for_sips_tls_and_asks_nothing(
    uri: str, target: tuple[str, str, int]
) -> None:
    assert found(uri, {}, WITH_TLS) == [target]
    assert asked_for(uri, {}, WITH_TLS) == []


def test_section_4_1_a_port_rules_out_naptr_and_srv() -> None:
    zone: Zone = PRINTED | {("A", "example.com"): ["192.0.2.99"]}
    assert found("sip:example.com:5090", zone) == [("udp", "192.0.2.99", 5090)]
    assert asked_for("sip:example.com:5090", zone) == ["A example.com"]
    assert found("sips:example.com:5090", zone, WITH_TLS) == [("tls", "192.0.2.99", 5090)]


def test_section_4_1_the_first_naptr_record_that_we_support_decides() -> None:
    assert {target[0] for target in found("sip:example.com", PRINTED)} == {"tcp"}
    assert found("sip:example.com", PRINTED, WITH_TLS) == [("tls", "192.0.2.1", 5063)]
    only_udp = Abilities(transports=("udp",), families=(4,))
    assert found("sip:example.com", PRINTED, only_udp) == [("udp", "192.0.2.1", 5062)]


def test_section_4_1_records_of_one_order_follow_each_other_by_preference() -> None:
    zone: Zone = PRINTED | {
        ("NAPTR", "example.com"): [
            Naptr(10, 20, "S", "sip+d2t", "_sip._tcp.example.com"),
            Naptr(10, 10, "S", "sip+d2u", "_sip._udp.example.com"),
        ]
    }
    assert [target[0] for target in found("sip:example.com", zone)] == ["udp", "tcp", "tcp"]


def test_section_4_1_other_services_and_flags_are_passed_over() -> None:
    zone: Zone = PRINTED | {
        ("NAPTR", "example.com"): [
            Naptr(1, 1, "u", "E2U+sip", "."),
            Naptr(2, 1, "s", "SIP+D2S", "_sip._sctp.example.com."),
            Naptr(3, 1, "s", "SIP+D2U", "_sip._udp.example.com."),
        ]
    }
    assert found("sip:example.com", zone) == [("udp", "192.0.2.1", 5062)]


def test_section_4_1_sips_discards_every_service_but_sips() -> None:
    assert found("sips:example.com", PRINTED, WITH_TLS) == [("tls", "192.0.2.1", 5063)]
    bare: Zone = {key: value for key, value in PRINTED.items() if key[0] != "NAPTR"}
    assert asked_for("sips:example.com", bare, WITH_TLS)[:2] == [
        "NAPTR example.com",
        "SRV _sips._tcp.example.com",
    ]
    assert found("sips:example.com", bare, WITH_TLS) == [("tls", "192.0.2.1", 5063)]
    with pytest.raises(NoTargetError):
        found("sips:example.com", PRINTED, PLAIN)


def test_section_4_1_without_naptr_each_transport_that_we_support_is_asked_for() -> None:
    zone: Zone = {key: value for key, value in PRINTED.items() if key[0] != "NAPTR"}
    assert asked_for("sip:example.com", zone)[:3] == [
        "NAPTR example.com",
        "SRV _sip._udp.example.com",
        "SRV _sip._tcp.example.com",
    ]
    assert found("sip:example.com", zone)[0] == ("udp", "192.0.2.1", 5062)
    assert {target[0] for target in found("sip:example.com", zone)[1:]} == {"tcp"}


def test_section_4_1_without_any_record_udp_and_the_default_port_are_used() -> None:
    zone: Zone = {("A", "example.com"): ["192.0.2.99"]}
    assert found("sip:example.com", zone) == [("udp", "192.0.2.99", 5060)]
    assert found("sips:example.com", zone, WITH_TLS) == [("tls", "192.0.2.99", 5061)]


def test_section_4_2_a_transport_in_the_uri_goes_to_its_srv_records_without_naptr() -> None:
    assert asked_for("sip:example.com;transport=udp", PRINTED)[0] == "SRV _sip._udp.example.com"
    assert found("sip:example.com;transport=udp", PRINTED) == [("udp", "192.0.2.1", 5062)]
    assert asked_for("sips:example.com;transport=tcp", PRINTED, WITH_TLS)[0] == "SRV _sips._tcp.example.com"


def test_section_4_2_without_srv_a_transport_in_the_uri_has_its_default_port() -> None:
    zone: Zone = {("A", "example.com"): ["192.0.2.99"]}
    assert found("sip:example.com;transport=tcp", zone) == [("tcp", "192.0.2.99", 5060)]
    assert found("sip:example.com;transport=tls", zone, WITH_TLS) == [("tls", "192.0.2.99", 5061)]


def test_section_4_maddr_takes_the_place_of_the_host() -> None:
    assert found("sip:example.com;maddr=192.0.2.44", PRINTED) == [("udp", "192.0.2.44", 5060)]
    zone: Zone = {("A", "other.example"): ["192.0.2.55"]}
    assert found("sip:example.com:5070;maddr=Other.Example", zone) == [("udp", "192.0.2.55", 5070)]


def test_section_4_names_are_compared_without_case_and_final_dot() -> None:
    assert found("sip:EXAMPLE.com.;transport=udp", PRINTED) == [("udp", "192.0.2.1", 5062)]


def test_section_4_3_every_address_of_every_server_is_a_target_in_order_and_once() -> None:
    zone: Zone = {
        ("SRV", "_sip._udp.example.com"): [
            Srv(2, 0, 5060, "backup.example.com"),
            Srv(1, 0, 5060, "main.example.com"),
            Srv(3, 0, 5060, "main.example.com"),
        ],
        ("A", "main.example.com"): ["192.0.2.1", "192.0.2.2"],
        ("A", "backup.example.com"): ["192.0.2.3"],
    }
    assert [target[1] for target in found("sip:example.com", zone)] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


@pytest.mark.parametrize(
    "uri",
    ["sip:192.0.2.1;transport=sctp", "sips:192.0.2.1;transport=udp", "sip:192.0.2.1;transport", "sip:[::1]"],
)
def test_section_4_what_cannot_be_sent_to_leads_nowhere(uri: str) -> None:
    with pytest.raises(NoTargetError):
        found(uri, {}, Abilities(transports=("udp", "tcp", "tls"), families=(4,)))


def test_section_4_1_tls_that_we_do_not_have_is_not_replaced_by_another_transport() -> None:
    for uri in ("sips:192.0.2.1", "sip:192.0.2.1;transport=tls", "sips:example.com"):
        with pytest.raises(NoTargetError):
            found(uri, {("A", "example.com"): ["192.0.2.1"]}, PLAIN)


@pytest.mark.parametrize(
    ("families", "addresses"),
    [
        ((4, 6), ["192.0.2.1", "2001:db8::1"]),
        ((6, 4), ["2001:db8::1", "192.0.2.1"]),
        ((6,), ["2001:db8::1"]),
    ],
)
def test_rfc7984_addresses_of_both_families_are_asked_for_and_used(
    families: tuple[Family, ...], addresses: list[str]
) -> None:
    abilities = Abilities(transports=("udp",), families=families)
    assert [target[1] for target in found("sip:example.com;transport=udp", PRINTED, abilities)] == addresses
    kinds = [text.split()[0] for text in asked_for("sip:server1.example.com:5060", PRINTED, abilities)]
    assert kinds == ["A" if family == 4 else "AAAA" for family in families]


def test_what_is_not_known_is_asked_for_in_three_rounds_at_most() -> None:
    answers: dict[Query, list[Record]] = {}
    rounds = []
    while True:
        located = locate(SipUri.parse("sip:example.com"), answers.get, PLAIN, random.Random(1))
        if isinstance(located, Located):
            break
        assert isinstance(located, Unknown)
        rounds.append([f"{query.kind} {query.name}" for query in located.queries])
        answers.update({query: PRINTED.get((query.kind, query.name), []) for query in located.queries})
    assert [sorted(asked) for asked in rounds] == [
        ["NAPTR example.com"],
        ["SRV _sip._tcp.example.com"],
        ["A server1.example.com", "A server2.example.com"],
    ]


def test_the_transport_is_free_only_where_neither_uri_nor_dns_names_one() -> None:
    def free(uri: str, zone: Zone) -> bool:
        located = locate(SipUri.parse(uri), told(zone), PLAIN, random.Random(1))
        assert isinstance(located, Located)
        return located.free

    assert free("sip:192.0.2.1", {})
    assert free("sip:example.com:5060", PRINTED)
    assert not free("sip:example.com", PRINTED)
    assert not free("sip:192.0.2.1;transport=udp", {})


def test_a_zone_cannot_make_more_targets_than_the_bound() -> None:
    zone: Zone = {("A", "example.com"): [f"192.0.{high}.{low}" for high in range(2) for low in range(100)]}
    assert len(found("sip:example.com", zone)) == 64
