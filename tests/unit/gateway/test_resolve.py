"""From URIs to hops: what is asked of the DNS, what is added, and what leads nowhere."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from sidestream.gateway.clock import Clock
from sidestream.gateway.dns_cache import CacheLimits, DnsCache
from sidestream.gateway.dns_client import DnsAnswer, DnsError
from sidestream.gateway.resolve import ResolveError, Resolver, families_of
from sidestream.gateway.tcp_knowledge import TcpKnowledge
from sidestream.sip.hop import Hop, Transport
from sidestream.sip.routing import Query, Record, Srv


class Names:
    """A DNS whose answers and clock the test sets."""

    def __init__(self, *answers: tuple[Query, Sequence[Record]]) -> None:
        self.answers = dict(answers)
        self.asked: list[Query] = []
        self.now = 100.0
        self.down = False
        self.clock = Clock(monotonic=lambda: self.now)
        self.tcp = TcpKnowledge(self.connect, 1.0, self.clock)

    async def ask(self, query: Query) -> DnsAnswer:
        self.asked.append(query)
        if self.down:
            raise DnsError("no answer")
        return DnsAnswer(tuple(self.answers.get(query, ())), 30.0)

    async def connect(self, host: str, port: int) -> None:
        del host, port

    def resolver(
        self,
        listened: Sequence[Transport] = ("udp", "tcp"),
        families: Sequence[socket.AddressFamily] = (socket.AF_INET,),
    ) -> Resolver:
        cache = DnsCache(self, CacheLimits(), self.clock)
        return Resolver(cache, families=families, listened=listened, tcp=self.tcp)


def address(name: str, *addresses: str) -> tuple[Query, Sequence[Record]]:
    return Query("A", name), addresses


@pytest.mark.parametrize(
    ("uri", "hops"),
    [
        ("sip:u@192.0.2.1", (Hop("udp", "192.0.2.1", 5060), Hop("tcp", "192.0.2.1", 5060))),
        ("sip:192.0.2.1:5080;lr", (Hop("udp", "192.0.2.1", 5080), Hop("tcp", "192.0.2.1", 5080))),
        ("sip:192.0.2.1;transport=udp", (Hop("udp", "192.0.2.1", 5060),)),
        ("sip:192.0.2.1:5070;transport=TCP", (Hop("tcp", "192.0.2.1", 5070),)),
        ("sip:192.0.2.1;transport=tls", (Hop("tls", "192.0.2.1", 5061),)),
        ("sips:192.0.2.1", (Hop("tls", "192.0.2.1", 5061),)),
        ("sips:192.0.2.1:5071;transport=tcp", (Hop("tls", "192.0.2.1", 5071),)),
        ("sip:192.0.2.1;maddr=198.51.100.9;transport=udp", (Hop("udp", "198.51.100.9", 5060),)),
    ],
)
def test_numbers_need_no_look_up(uri: str, hops: tuple[Hop, ...]) -> None:
    names = Names()
    assert names.resolver().resolve_now(uri) == hops
    assert not names.asked


def test_tcp_is_added_only_where_it_is_listened_on() -> None:
    assert Names().resolver(("udp",)).resolve_now("sip:192.0.2.1") == (Hop("udp", "192.0.2.1", 5060),)


@pytest.mark.asyncio
async def test_tcp_is_added_to_udp_that_the_uri_names_when_the_peer_is_known_to_listen() -> None:
    names = Names()
    resolver = names.resolver()
    udp, tcp = Hop("udp", "192.0.2.1", 5070), Hop("tcp", "192.0.2.1", 5070)
    assert resolver.resolve_now("sip:192.0.2.1:5070;transport=udp") == (udp,)
    names.tcp.wanted("192.0.2.1", 5070)
    await asyncio.sleep(0.01)
    assert resolver.resolve_now("sip:192.0.2.1:5070;transport=udp") == (udp, tcp)
    await names.tcp.close()


@pytest.mark.parametrize(
    "uri",
    [
        "tel:123",
        "sip:",
        "nonsense",
        "sip:192.0.2.1;transport=sctp",
        "sips:192.0.2.1;transport=udp",
        "sip:[::1]",
    ],
)
def test_what_leads_nowhere_says_why(uri: str) -> None:
    with pytest.raises(ResolveError):
        Names().resolver().resolve_now(uri)


@pytest.mark.asyncio
async def test_a_name_is_looked_up_once_and_then_at_hand() -> None:
    names = Names(address("sip.example.com", "192.0.2.1", "192.0.2.2"))
    resolver = names.resolver()
    assert resolver.resolve_now("sip:SIP.example.com") is None
    hops = await resolver.resolve("sip:SIP.example.com")
    assert [(hop.transport, hop.host) for hop in hops] == [
        ("udp", "192.0.2.1"),
        ("tcp", "192.0.2.1"),
        ("udp", "192.0.2.2"),
        ("tcp", "192.0.2.2"),
    ]
    assert resolver.resolve_now("sip:SIP.example.com") == hops
    await resolver.close()


@pytest.mark.asyncio
async def test_a_zone_that_names_udp_gets_no_tcp_of_our_own_invention() -> None:
    srv = Query("SRV", "_sip._udp.example.com")
    names = Names((srv, [Srv(1, 1, 5099, "a.example.com.")]), address("a.example.com", "192.0.2.1"))
    resolver = names.resolver()
    assert await resolver.resolve("sip:example.com") == (Hop("udp", "192.0.2.1", 5099),)
    await resolver.close()


@pytest.mark.asyncio
async def test_a_dead_dns_is_an_error_and_with_an_old_answer_it_is_none() -> None:
    names = Names(address("peer.test", "192.0.2.1"))
    resolver = names.resolver()
    names.down = True
    with pytest.raises(ResolveError, match=r"peer\.test"):
        await resolver.resolve("sip:peer.test")
    names.down = False
    names.now += 11
    first = await resolver.resolve("sip:peer.test")
    names.down = True
    names.now += 3600
    assert await resolver.resolve("sip:peer.test") == first
    assert resolver.resolve_now("sip:peer.test") == first
    await resolver.close()


@pytest.mark.asyncio
async def test_both_families_are_used_in_the_order_of_the_listeners() -> None:
    names = Names(address("peer.test", "192.0.2.1"), (Query("AAAA", "peer.test"), ["2001:db8::1"]))
    for families, first in (
        ((socket.AF_INET6, socket.AF_INET), "2001:db8::1"),
        ((socket.AF_INET, socket.AF_INET6), "192.0.2.1"),
    ):
        resolver = names.resolver(("udp",), families)
        hops = await resolver.resolve("sip:peer.test:5060")
        assert (hops[0].host, len(hops)) == (first, 2)
        await resolver.close()


def test_families_are_those_of_the_listeners_each_once() -> None:
    assert families_of(["::1", "127.0.0.1", "::", "name"]) == (socket.AF_INET6, socket.AF_INET)
