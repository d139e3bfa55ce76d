"""Names by a real DNS server on loopback: every type of record, times to live, denials, and its death."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dns_server import DnsServer, dns_server
from integration.gateway.sip_peer import UDP, Party, options, party
from integration.gateway.sip_peer import request as a_request
from sidestream.gateway.dns_cache import CacheLimits
from sidestream.gateway.dns_client import DnsClient, DnsError
from sidestream.gateway.hosts_file import HostsFile
from sidestream.gateway.sip_options import DnsOptions, StackOptions
from sidestream.sip.events import RequestReceived
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request
from sidestream.sip.routing import Naptr, Query, Srv

ZONE = {
    ("example.test.", "NAPTR"): [
        '10 10 "s" "SIP+D2U" "" _sip._udp.example.test.',
        '20 10 "s" "SIP+D2T" "" _sip._tcp.example.test.',
    ],
    ("_sip._udp.example.test.", "SRV"): ["10 5 5070 a.example.test.", "20 0 5080 b.example.test."],
    ("a.example.test.", "A"): ["127.0.0.11", "127.0.0.12"],
    ("a.example.test.", "AAAA"): ["::1"],
    ("b.example.test.", "CNAME"): ["c.example.test."],
    ("c.example.test.", "A"): ["127.0.0.13"],
}
NOWHERE = Path("/nonexistent/hosts")
pytestmark = pytest.mark.asyncio


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_server(ZONE) as one:
        yield one


def client(server: DnsServer, deadline: float = 3.0) -> DnsClient:
    hosts = HostsFile(NOWHERE, lambda: 0.0)
    return DnsClient(hosts, servers=[("127.0.0.1", server.port)], deadline=deadline)


def asking(server: DnsServer, **limits: float) -> StackOptions:
    dns = DnsOptions(
        servers=(("127.0.0.1", server.port),),
        hosts=NOWHERE,
        limits=CacheLimits(**limits),  # type: ignore[arg-type] # none of the whole numbers is given
    )
    return replace(options(), dns=dns)


@asynccontextmanager
async def gateway(server: DnsServer, **limits: float) -> AsyncIterator[Party]:
    async with party(UDP, setup=asking(server, **limits)) as one:
        yield one


async def test_each_type_of_record_is_read(server: DnsServer) -> None:
    ask = client(server).ask
    naptr = await ask(Query("NAPTR", "example.test"))
    assert Naptr(10, 10, "s", "SIP+D2U", "_sip._udp.example.test.") in naptr.records
    srv = await ask(Query("SRV", "_sip._udp.example.test"))
    assert Srv(10, 5, 5070, "a.example.test.") in srv.records
    assert set((await ask(Query("A", "a.example.test"))).records) == {"127.0.0.11", "127.0.0.12"}
    assert (await ask(Query("AAAA", "a.example.test"))).records == ("::1",)
    aliased = await ask(Query("A", "b.example.test"))
    assert (aliased.records, aliased.ttl) == (("127.0.0.13",), 60.0)


async def test_denials_last_as_long_as_the_zone_says(server: DnsServer) -> None:
    for name in ("nobody.test", "c.example.test"):
        denial = await client(server).ask(Query("SRV", name))
        assert (denial.records, denial.ttl) == ((), 7.0)


async def test_silence_and_failure_are_errors_within_the_deadline(server: DnsServer) -> None:
    server.silent = True
    started = asyncio.get_running_loop().time()
    with pytest.raises(DnsError):
        await client(server, 0.3).ask(Query("A", "a.example.test"))
    assert asyncio.get_running_loop().time() - started < 3.0
    server.silent, server.failing = False, True
    with pytest.raises(DnsError):
        await client(server, 0.3).ask(Query("A", "a.example.test"))
    with pytest.raises(DnsError):
        await client(server, 0.3).ask(Query("A", "x" * 64 + ".test"))


async def test_the_machine_s_own_names_come_first_and_ask_nobody(server: DnsServer, tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.77 a.example.test\n::1 a.example.test\n")
    ask = DnsClient(HostsFile(path, lambda: 0.0), servers=[("127.0.0.1", server.port)]).ask
    assert (await ask(Query("A", "a.example.test"))).records == ("127.0.0.77",)
    assert (await ask(Query("AAAA", "a.example.test"))).records == ("::1",)
    assert (await ask(Query("SRV", "a.example.test"))).records == ()
    assert not server.asked


async def test_a_domain_leads_over_naptr_and_srv_to_every_address_in_order(server: DnsServer) -> None:
    async with gateway(server) as one:
        hops = await one.stack.resolve("sip:desk@example.test")
        assert {hop.host for hop in hops[:2]} == {"127.0.0.11", "127.0.0.12"}
        assert {hop.port for hop in hops[:2]} == {5070}
        assert hops[2:] == (Hop("udp", "127.0.0.13", 5080),)
        assert one.stack.resolve_now("sip:desk@example.test") is not None
        assert server.asked["NAPTR example.test."] == 1
        assert not any(question.startswith("AAAA") for question in server.asked), "no IPv6 is listened on"


async def test_a_dead_dns_does_not_stop_what_is_known(server: DnsServer) -> None:
    server.ttl = 1
    async with gateway(server, ttl_min=0.05, ttl_max=0.05, deadline=0.5, patience=0.1, retry=0.2) as one:
        first = set(await one.stack.resolve("sip:example.test"))
        server.silent = True
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert set(await one.stack.resolve("sip:example.test")) == first
        assert loop.time() - started < 2.0
        await asyncio.sleep(0.6)
        # Now it is known to be dead, and nothing waits any more.
        now = one.stack.resolve_now("sip:example.test")
        assert now is not None
        assert set(now) == first
        assert one.stack.counts.dns.stale > 0


async def test_a_request_reaches_the_second_server_of_a_domain_when_the_first_is_gone(
    server: DnsServer,
) -> None:
    async with party(UDP) as far, gateway(server) as one:
        port = far.hop("udp").port
        server.zone["_sip._udp.two.test.", "SRV"] = ["1 0 9 gone.two.test.", f"2 0 {port} here.two.test."]
        server.zone["gone.two.test.", "A"] = ["127.0.0.99"]
        server.zone["here.two.test.", "A"] = ["127.0.0.1"]
        hops = await one.stack.resolve("sip:two.test;transport=udp")
        assert [hop.port for hop in hops] == [9, port]
        sent: Request = a_request("OPTIONS")
        one.stack.send_request(sent, hops)
        assert (await far.wait(RequestReceived)).request.call_id == sent.call_id
