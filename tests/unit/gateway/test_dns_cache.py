"""What the cache remembers, asks again, and serves when the DNS is away; clock and DNS are invented."""

import asyncio

import pytest

from sidestream.gateway.clock import Clock
from sidestream.gateway.dns_cache import CacheLimits, DnsCache
from sidestream.gateway.dns_client import DnsAnswer, DnsError
from sidestream.sip.routing import Query

PEER = Query("A", "peer.test")
pytestmark = pytest.mark.asyncio


class Zone:
    """A DNS whose answers, mood and clock the test sets."""

    def __init__(self, limits: CacheLimits | None = None) -> None:
        self.answers: dict[Query, DnsAnswer] = {PEER: DnsAnswer(("192.0.2.1",), 60.0)}
        self.asked: list[Query] = []
        self.down = False
        self.gate: asyncio.Event | None = None
        self.now = 1000.0
        self.cache = DnsCache(self, limits or CacheLimits(), Clock(monotonic=lambda: self.now))

    async def ask(self, query: Query) -> DnsAnswer:
        self.asked.append(query)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise DnsError("no answer")
        return self.answers.get(query, DnsAnswer((), 30.0))

    async def get(self, query: Query = PEER) -> list[str]:
        """What a resolver would see: at hand, or asked for."""
        records = self.cache.known(query)
        if records is None:
            await self.cache.ask([query])
            records = self.cache.known(query)
            records = self.cache.last_resort(query) if records is None else records
        return [str(record) for record in records]

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_an_answer_serves_for_its_time_and_is_asked_for_again_after_it() -> None:
    zone = Zone()
    assert zone.cache.known(PEER) is None
    assert await zone.get() == ["192.0.2.1"]
    zone.now += 47.9
    assert await zone.get() == ["192.0.2.1"]
    await zone.settle()
    assert len(zone.asked) == 1
    zone.answers[PEER] = DnsAnswer(("192.0.2.2",), 60.0)
    zone.now += 12.2
    assert zone.cache.known(PEER) is None
    assert await zone.get() == ["192.0.2.2"]
    await zone.cache.close()


async def test_what_is_used_late_in_its_time_is_refreshed_without_a_wait() -> None:
    zone = Zone()
    await zone.get()
    zone.answers[PEER] = DnsAnswer(("192.0.2.2",), 60.0)
    zone.now += 50
    assert await zone.get() == ["192.0.2.1"]
    await zone.settle()
    assert await zone.get() == ["192.0.2.2"]
    await zone.cache.close()


async def test_what_was_used_lately_is_kept_fresh_and_what_was_not_is_left() -> None:
    zone = Zone()
    await zone.get()
    zone.now += 50
    zone.cache.refresh_used()
    await zone.settle()
    assert len(zone.asked) == 2
    zone.now += 400
    zone.cache.refresh_used()
    await zone.settle()
    assert len(zone.asked) == 2
    await zone.cache.close()


@pytest.mark.parametrize(("ttl", "serves"), [(0.0, 5.0), (60.0, 60.0), (1e9, 3600.0)])
async def test_times_to_live_have_a_floor_and_a_ceiling(ttl: float, serves: float) -> None:
    zone = Zone()
    zone.answers[PEER] = DnsAnswer(("192.0.2.1",), ttl)
    await zone.get()
    zone.now += serves - 0.1
    assert zone.cache.known(PEER) is not None
    zone.now += 0.2
    assert zone.cache.known(PEER) is None
    await zone.cache.close()


async def test_a_denial_is_remembered_for_its_own_time() -> None:
    zone = Zone()
    nobody = Query("SRV", "_sip._udp.nobody.test")
    assert await zone.get(nobody) == []
    assert await zone.get(nobody) == []
    assert len(zone.asked) == 1
    zone.answers[nobody] = DnsAnswer((), 1e9)
    zone.now += 31
    await zone.get(nobody)
    zone.now += 301
    assert zone.cache.known(nobody) is None
    assert zone.cache.counts.queries["SRV", "denied"] == 2
    await zone.cache.close()


async def test_old_answers_serve_while_the_dns_is_down_without_a_wait_after_the_first() -> None:
    zone = Zone()
    await zone.get()
    zone.down = True
    zone.now += 61
    assert await zone.get() == ["192.0.2.1"]
    asked = len(zone.asked)
    for _ in range(50):
        assert zone.cache.known(PEER) == ("192.0.2.1",)
    await zone.settle()
    assert len(zone.asked) == asked, "a dead DNS is not asked once for each call"
    zone.now += 11
    assert zone.cache.known(PEER) == ("192.0.2.1",)
    await zone.settle()
    assert len(zone.asked) == asked + 1
    zone.down = False
    zone.answers[PEER] = DnsAnswer(("192.0.2.2",), 60.0)
    zone.now += 11
    assert zone.cache.known(PEER) == ("192.0.2.1",)
    await zone.settle()
    assert zone.cache.known(PEER) == ("192.0.2.2",)
    assert zone.cache.counts.stale > 50
    await zone.cache.close()


async def test_old_answers_serve_for_a_day_and_no_longer() -> None:
    zone = Zone()
    await zone.get()
    zone.down = True
    zone.now += 60 + 86_399
    assert await zone.get() == ["192.0.2.1"]
    zone.now += 20
    assert await zone.get() == []
    await zone.cache.close()


async def test_who_could_do_with_an_old_answer_waits_only_briefly() -> None:
    zone = Zone(CacheLimits(deadline=30.0, patience=0.01))
    await zone.get()
    zone.gate = asyncio.Event()
    zone.now += 61
    async with asyncio.timeout(5):
        assert await zone.get() == ["192.0.2.1"]
    await zone.cache.close()


async def test_each_question_has_a_deadline() -> None:
    zone = Zone(CacheLimits(deadline=0.01))
    zone.gate = asyncio.Event()
    async with asyncio.timeout(5):
        assert await zone.get() == []
    await zone.settle()
    assert zone.cache.counts.queries["A", "failed"] == 1
    await zone.cache.close()


async def test_a_name_that_failed_is_not_waited_for_by_every_call() -> None:
    zone = Zone()
    zone.down = True
    assert await zone.get() == []
    for _ in range(20):
        assert zone.cache.known(PEER) == ()
    assert len(zone.asked) == 1
    zone.now += 11
    zone.down = False
    assert await zone.get() == ["192.0.2.1"]
    await zone.cache.close()


async def test_those_who_ask_together_share_one_question() -> None:
    zone = Zone()
    zone.gate = asyncio.Event()
    asking = [asyncio.ensure_future(zone.get()) for _ in range(5)]
    await zone.settle()
    zone.gate.set()
    assert await asyncio.gather(*asking) == [["192.0.2.1"]] * 5
    assert len(zone.asked) == 1
    await zone.cache.close()


async def test_memory_and_questions_are_bounded() -> None:
    zone = Zone(CacheLimits(entries=3, lookups=2, deadline=0.01))
    for number in range(5):
        await zone.get(Query("A", f"n{number}.test"))
    assert len(zone.cache) == 3
    zone.gate = asyncio.Event()
    asked = len(zone.asked)
    await zone.cache.ask([Query("A", f"m{number}.test") for number in range(5)])
    assert len(zone.asked) == asked + 2
    await zone.cache.close()


async def test_closing_ends_what_is_asked_and_nothing_new_begins() -> None:
    zone = Zone()
    zone.gate = asyncio.Event()
    waiting = asyncio.ensure_future(zone.get())
    await zone.settle()
    await zone.cache.close()
    assert await waiting == []
    assert await zone.get(Query("A", "other.test")) == []
    assert len(zone.asked) == 1
