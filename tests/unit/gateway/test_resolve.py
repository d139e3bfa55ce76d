"""From URIs to hops, with an invented resolver and clock."""

import asyncio
import socket

import pytest

from sidestream.gateway.clock import Clock
from sidestream.gateway.resolve import ResolveError, Resolver, ResolverLimits
from sidestream.sip.hop import Hop


class Names:
    """A resolver whose answers and clock the test sets."""

    def __init__(self, **answers: tuple[str, ...]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.now = 100.0
        self.gate: asyncio.Event | None = None

    async def lookup(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        if self.gate is not None:
            await self.gate.wait()
        if name not in self.answers:
            raise OSError("no such name")
        return self.answers[name]

    def resolver(self, limits: ResolverLimits | None = None, *, with_tcp: bool = True) -> Resolver:
        return Resolver(
            families={socket.AF_INET},
            with_tcp=with_tcp,
            lookup=self.lookup,
            limits=limits,
            clock=Clock(monotonic=lambda: self.now),
        )


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
        ("sip:192.0.2.1;maddr=198.51.100.9;transport=udp", (Hop("udp", "192.0.2.1", 5060),)),
    ],
)
def test_numbers_need_no_look_up(uri: str, hops: tuple[Hop, ...]) -> None:
    names = Names()
    assert names.resolver().resolve_now(uri) == hops
    assert not names.asked


def test_tcp_is_added_only_where_it_is_wanted() -> None:
    assert Names().resolver(with_tcp=False).resolve_now("sip:192.0.2.1") == (Hop("udp", "192.0.2.1", 5060),)


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
async def test_each_address_has_udp_before_tcp() -> None:
    names = Names(**{"sip.example.com": ("192.0.2.1", "2001:db8::1", "192.0.2.2")})
    hops = await names.resolver().resolve("sip:SIP.example.com")
    assert [(hop.transport, hop.host) for hop in hops] == [
        ("udp", "192.0.2.1"),
        ("tcp", "192.0.2.1"),
        ("udp", "192.0.2.2"),
        ("tcp", "192.0.2.2"),
    ]


@pytest.mark.asyncio
async def test_an_answer_serves_for_its_time_and_longer_when_the_name_is_gone() -> None:
    names = Names(peer=("192.0.2.1",))
    resolver = names.resolver(ResolverLimits(ttl=30, stale=100))
    first = await resolver.resolve("sip:peer;transport=udp")
    names.now += 29
    assert await resolver.resolve("sip:peer;transport=udp") == first
    assert names.asked == ["peer"]
    names.now += 2
    names.answers = {"peer": ("192.0.2.9",)}
    assert resolver.resolve_now("sip:peer") is None
    assert (await resolver.resolve("sip:peer;transport=udp"))[0].host == "192.0.2.9"
    names.answers = {}
    names.now += 99
    assert (await resolver.resolve("sip:peer;transport=udp"))[0].host == "192.0.2.9"
    names.now += 2
    with pytest.raises(ResolveError, match="peer cannot be resolved"):
        await resolver.resolve("sip:peer;transport=udp")


@pytest.mark.asyncio
async def test_those_who_ask_together_share_one_look_up() -> None:
    names = Names(peer=("192.0.2.1",))
    names.gate = asyncio.Event()
    resolver = names.resolver()
    asking = [asyncio.ensure_future(resolver.resolve("sip:peer")) for _ in range(5)]
    await asyncio.sleep(0)
    names.gate.set()
    assert len(set(await asyncio.gather(*asking))) == 1
    assert names.asked == ["peer"]


@pytest.mark.asyncio
async def test_a_look_up_has_a_deadline_and_there_are_not_too_many() -> None:
    names = Names(peer=("192.0.2.1",))
    names.gate = asyncio.Event()
    resolver = names.resolver(ResolverLimits(deadline=0.02, lookups=1))
    waiting = asyncio.ensure_future(resolver.resolve("sip:peer"))
    await asyncio.sleep(0)
    with pytest.raises(ResolveError):
        await resolver.resolve("sip:other")
    with pytest.raises(ResolveError):
        await waiting
    assert names.asked == ["peer"]


@pytest.mark.asyncio
async def test_the_cache_is_bounded() -> None:
    names = Names(**{f"n{number}": ("192.0.2.1",) for number in range(5)})
    resolver = names.resolver(ResolverLimits(names=3))
    for number in range(5):
        await resolver.resolve(f"sip:n{number}")
    kept = [number for number in range(5) if resolver.resolve_now(f"sip:n{number}") is not None]
    assert kept == [2, 3, 4]


@pytest.mark.asyncio
async def test_closing_ends_what_is_looked_up() -> None:
    names = Names(peer=("192.0.2.1",))
    names.gate = asyncio.Event()
    resolver = names.resolver()
    waiting = asyncio.ensure_future(resolver.resolve("sip:peer"))
    await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(ResolveError):
        await waiting
    with pytest.raises(ResolveError):
        await resolver.resolve("sip:other")
