"""Which messages are looked at: known sources, strangers, scanners, rates, and what strangers are sent."""

from ipaddress import ip_network

import pytest

from sidestream.sip.guard import (
    ACQUAINTANCE_S,
    CREDIT_S,
    SOURCES_KEPT,
    STRANGER_MAX,
    Buckets,
    Guard,
    GuardPolicy,
    SourceTable,
    TrunkKey,
    Turned,
    lean,
)

CARRIER, DESK = ("acme", "carrier"), ("acme", "desk")
KNOWN, STRANGER = "192.0.2.1", "203.0.113.9"


def request(method: str = "INVITE", to_tag: str = "", agent: str = "phone/1") -> bytes:
    return (
        f"{method} sip:100@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK1\r\n"
        f"From: <sip:a@x>;tag=1\r\nTo: <sip:100@192.0.2.10>{to_tag}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n"
        f"User-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Door:
    """A guard and its clock."""

    def __init__(self, policy: GuardPolicy | None = None) -> None:
        table = SourceTable([(ip_network("192.0.2.0/28"), CARRIER)])
        self.guard = Guard(policy or GuardPolicy(), table.find)
        self.now = 100.0

    def let_in(self, data: bytes | None = None, host: str = STRANGER, *, datagram: bool = True) -> bool:
        return self.guard.admits(request() if data is None else data, host, self.now, datagram=datagram)

    def many(self, count: int, host: str = STRANGER) -> int:
        return sum(self.let_in(host=host) for _ in range(count))


def test_the_longest_network_has_an_address() -> None:
    table = SourceTable(
        [
            (ip_network("192.0.2.0/24"), CARRIER),
            (ip_network("192.0.2.8/32"), DESK),
            (ip_network("2001:db8::/32"), DESK),
        ]
    )
    found: list[TrunkKey | None] = [
        table.find(host)
        for host in ("192.0.2.7", "192.0.2.8", "192.0.3.1", "2001:db8::9", "2001:db9::", "::1", "name", "")
    ]
    assert found == [CARRIER, DESK, None, DESK, None, None, None, None]


def test_a_table_of_many_networks_finds_each() -> None:
    table = SourceTable([(ip_network(f"10.{n // 256}.{n % 256}.0/24"), ("a", str(n))) for n in range(5000)])
    assert table.find("10.19.135.7") == ("a", str(19 * 256 + 135))
    assert table.find("10.19.136.7") is None


def test_known_sources_pass_within_their_rate() -> None:
    door = Door(GuardPolicy(source=100.0))
    assert door.many(1000, KNOWN) == 200
    door.now += 1
    assert door.many(1000, KNOWN) == 100
    assert door.many(1000, "192.0.2.2") == 200
    assert door.guard.turned == {Turned.SOURCE_RATE: 800 + 900 + 800}


def test_what_a_known_source_sends_is_not_judged_by_its_looks() -> None:
    door = Door(GuardPolicy(drop_strangers=True))
    for data in (b"\r\n\r\n", b"nonsense", request(agent="friendly-scanner"), b"x" * 60_000):
        assert door.let_in(data, KNOWN)


def test_who_has_proven_who_he_is_is_no_stranger() -> None:
    door = Door(GuardPolicy(drop_strangers=True, source=5.0))
    assert not door.let_in(datagram=False)
    proven = [
        door.guard.admits(request(), STRANGER, door.now, datagram=False, proven=True) for _ in range(20)
    ]
    assert sum(proven) == 10
    assert door.guard.turned == {Turned.UNKNOWN_SOURCE: 1, Turned.SOURCE_RATE: 10}


def test_the_addresses_of_a_trunk_share_its_rate() -> None:
    door = Door(GuardPolicy(trunks={CARRIER: 10.0}))
    assert door.many(15, KNOWN) + door.many(15, "192.0.2.2") == 20
    assert door.guard.turned == {Turned.TRUNK_RATE: 10}


def test_strangers_pass_few_messages_each_and_together() -> None:
    door = Door(GuardPolicy(strangers=50.0, stranger=10.0))
    assert door.many(1000) == 20
    passed = sum(door.many(10, f"203.0.113.{number}") for number in range(100, 200))
    assert passed == 80
    assert set(door.guard.turned) == {Turned.STRANGER_RATE}


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"",
        b"\r\n\r\n",
        b"INVITE sip:a@b\r\n\r\n",
        b"INVITE  SIP/2.0\r\n",
        b"SIP/1.0 200 OK\r\n",
        b"x" * 8000,
    ],
)
def test_what_is_no_sip_is_turned_away_unread(data: bytes) -> None:
    door = Door()
    assert not door.let_in(data)
    assert door.guard.turned == {Turned.NOT_SIP: 1}


def test_a_stranger_s_datagram_has_a_largest_size() -> None:
    door = Door()
    padded = request().replace(b"phone/1", b"p" * STRANGER_MAX)
    assert not door.let_in(padded)
    assert door.guard.turned == {Turned.OVERSIZE: 1}
    assert door.let_in(padded, datagram=False)


@pytest.mark.parametrize(
    "agent",
    [
        "friendly-scanner",
        "SIPVicious",
        "sipcli/v1.8",
        "VaxSIPUserAgent/3.1",
        "sip-scan",
        "pplsip",
        "Nmap NSE",
    ],
)
def test_scanners_that_say_so_are_turned_away(agent: str) -> None:
    door = Door()
    assert not door.let_in(request("OPTIONS", agent=agent))
    assert door.guard.turned == {Turned.SCANNER: 1}


def test_a_scanner_s_name_elsewhere_does_not_count() -> None:
    door = Door()
    assert door.let_in(request().replace(b"Call-ID: c", b"Call-ID: sipvicious@conference"))
    assert door.let_in(request(agent="smapping/2 dynamapper"))


def test_where_strangers_are_dropped_only_dialogs_and_responses_pass() -> None:
    door = Door(GuardPolicy(drop_strangers=True))
    for method in ("INVITE", "OPTIONS", "REGISTER", "MESSAGE"):
        assert not door.let_in(request(method))
    assert door.guard.turned == {Turned.UNKNOWN_SOURCE: 4}
    assert door.let_in(request("BYE", to_tag=";tag=ours"))
    assert door.let_in(request("BYE", to_tag=" ;TAG = ours"))
    assert door.let_in(b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n")


def test_who_we_speak_with_is_no_stranger_for_an_hour() -> None:
    door = Door(GuardPolicy(drop_strangers=True))
    door.guard.acquaint(STRANGER, door.now)
    assert door.many(100) == 100
    door.now += ACQUAINTANCE_S
    assert door.many(100) == 0


def test_an_answer_to_a_stranger_is_no_larger_than_the_question_and_goes_once() -> None:
    door = Door()
    question = request("OPTIONS")
    assert door.guard.answer(b"SIP/2.0 200 OK\r\n\r\n", STRANGER, door.now) is None
    door.let_in(question)
    head = b"SIP/2.0 403 Forbidden\r\nVia: v\r\nTo: t\r\nX: "
    answer = head + b"x" * (len(question) - 70 - len(head) - 4) + b"\r\n\r\n"
    assert len(answer) < len(question) < 2 * len(answer)
    assert door.guard.answer(answer, STRANGER, door.now) == answer
    leaner = door.guard.answer(answer, STRANGER, door.now)
    assert leaner == b"SIP/2.0 403 Forbidden\r\nVia: v\r\nTo: t\r\nContent-Length: 0\r\n\r\n"
    sent = len(answer) + len(leaner)
    while (more := door.guard.answer(answer, STRANGER, door.now)) is not None:
        sent += len(more)
    assert sent <= len(question)
    assert door.guard.turned[Turned.AMPLIFICATION] == 2


def test_a_question_may_be_answered_for_a_while_only() -> None:
    door = Door()
    door.let_in()
    door.now += CREDIT_S
    assert door.guard.answer(b"SIP/2.0 200 OK\r\n\r\n", STRANGER, door.now) is None


def test_answers_to_those_we_know_are_as_large_as_they_are() -> None:
    door = Door()
    answer = b"SIP/2.0 200 OK\r\n\r\n" + b"x" * 5000
    assert door.guard.answer(answer, KNOWN, door.now) == answer
    door.guard.acquaint(STRANGER, door.now)
    assert door.guard.answer(answer, STRANGER, door.now) == answer


def test_a_lean_answer_has_what_every_answer_must_have() -> None:
    answer = (
        b"SIP/2.0 503 Service Unavailable\r\nVia: a\r\nVia: b\r\nFrom: f\r\nTo: t\r\nCall-ID: c\r\n"
        b"CSeq: 1 INVITE\r\nAllow: INVITE\r\nServer: s\r\nRetry-After: 5\r\nContent-Type: x/y\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )
    assert lean(answer) == (
        b"SIP/2.0 503 Service Unavailable\r\nVia: a\r\nVia: b\r\nFrom: f\r\nTo: t\r\nCall-ID: c\r\n"
        b"CSeq: 1 INVITE\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
    )


def test_memory_does_not_grow_with_forged_sources() -> None:
    door = Door(GuardPolicy(strangers=1e9, stranger=1e9))
    for number in range(3 * SOURCES_KEPT):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert door.let_in(host=host)
        door.guard.acquaint(host, door.now)
    guard = door.guard
    assert (
        max(len(guard._strangers), len(guard._sources), len(guard._known), len(guard._credit)) <= SOURCES_KEPT
    )


def test_buckets_refill_and_forget_the_one_used_longest_ago() -> None:
    buckets: Buckets[str] = Buckets(2)
    assert [buckets.take("a", 1.0, 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("a", 1.0, 1.0)
    buckets.take("b", 1.0, 1.0)
    buckets.take("a", 1.0, 1.0)
    buckets.take("c", 1.0, 1.0)
    assert len(buckets) == 2
    assert not buckets.take("a", 1.0, 1.0), "it was used last, and is still empty"
