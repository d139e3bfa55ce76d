"""What the DNS said, remembered: a call seldom waits for it and never depends on it (RFC 8767, RFC 2308).

An answer serves for its time to live, within bounds. What is in use is asked for again before that time is
over. When the DNS does not answer, the last answer serves on, without a wait, and is asked for again in the
background.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sidestream.gateway.clock import Clock
from sidestream.gateway.dns_client import DnsAnswer, DnsError
from sidestream.gateway.tasks import TaskOwner
from sidestream.observe.logging import logger
from sidestream.sip.routing import Query, Record

SWEEP_S: Final = 1.0


class Asks(Protocol):
    """Whoever asks the DNS."""

    async def ask(self, query: Query) -> DnsAnswer:
        """Ask one question.

        Raises:
            DnsError: there is no answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """Bounds; times in seconds.

    Attributes:
        deadline: for one question, whatever the client does.
        patience: how long a caller waits for news where an old answer would serve (RFC 8767 §5).
        ttl_min: an answer is taken for true at least so long.
        ttl_max: and at most so long (RFC 8767 §4 suggests days; a moved peer wants less).
        denial_max: the same for an answer that says that there are no records (RFC 2308 §5).
        stale: how long an answer may serve beyond its time when the DNS does not answer.
        retry: pause after a question that was not answered.
        refresh: part of an answer's time after which it is asked for again.
        warm: how long after its last use an answer is kept fresh.
        entries: answers kept; the one that was used longest ago goes.
        lookups: questions open at the same time; more fail at once.
    """

    deadline: float = 3.0
    patience: float = 0.5
    ttl_min: float = 5.0
    ttl_max: float = 3600.0
    denial_max: float = 300.0
    stale: float = 86_400.0
    retry: float = 10.0
    refresh: float = 0.8
    warm: float = 300.0
    entries: int = 4096
    lookups: int = 64


@dataclass(slots=True)
class DnsCounts:
    """What the cache met.

    Attributes:
        queries: questions asked, by type of record and outcome: `answered`, `denied` or `failed`.
        stale: times that an answer served beyond its time.
    """

    queries: Counter[tuple[str, str]] = field(default_factory=Counter)
    stale: int = 0


@dataclass(slots=True)
class _Entry:
    """What is remembered about a question."""

    records: tuple[Record, ...] = ()
    answered: bool = False
    expires: float = 0.0
    refresh_at: float = 0.0
    stale_until: float = 0.0
    retry_at: float = 0.0
    failing: bool = False
    used_at: float = 0.0


class DnsCache:
    """Answers from memory.

    Args:
        client: asks what is not remembered.
        limits: bounds.
        clock: gives the time.
    """

    def __init__(self, client: Asks, limits: CacheLimits, clock: Clock) -> None:
        self._client = client
        self._limits = limits
        self._now = clock.monotonic
        self._tasks = TaskOwner("dns")
        self._entries: dict[Query, _Entry] = {}
        self._open: dict[Query, asyncio.Task[None]] = {}
        self._sweeping = False
        self._log = logger(part="dns")
        self.counts = DnsCounts()

    def __len__(self) -> int:
        return len(self._entries)

    def known(self, query: Query) -> Sequence[Record] | None:
        """The records of a question whose answer is at hand; None when it must be asked.

        An answer whose time is over is at hand while the DNS is known not to answer.
        """
        entry, now = self._entries.get(query), self._now()
        if entry is None:
            return None
        entry.used_at = now
        self._entries[query] = self._entries.pop(query)
        if now < entry.expires:
            if now >= entry.refresh_at:
                self._refresh(query, entry, now)
            return entry.records
        if entry.failing and entry.answered and now < entry.stale_until:
            self.counts.stale += 1
            self._refresh(query, entry, now)
            return entry.records
        return () if now < entry.retry_at and entry.failing else None

    def last_resort(self, query: Query) -> Sequence[Record]:
        """The last answer to a question that was asked in vain; none when there is none."""
        entry = self._entries.get(query)
        if entry is None or not entry.answered or self._now() >= entry.stale_until:
            return ()
        self.counts.stale += self._now() >= entry.expires
        return entry.records

    async def ask(self, queries: Iterable[Query]) -> None:
        """Have questions asked, together with whoever asks the same, and wait for their answers.

        Where old answers would serve for all of them, the wait is short.
        """
        self._start_sweep()
        queries = tuple(queries)
        tasks = {task for query in queries if (task := self._look_up(query)) is not None}
        if not tasks:
            return
        limits, now = self._limits, self._now()
        old = all(entry.answered and now < entry.stale_until for entry in map(self._entry, queries))
        await asyncio.wait(tasks, timeout=limits.patience if old else limits.deadline)

    async def close(self) -> None:
        """End what is being asked."""
        await self._tasks.close()

    def _entry(self, query: Query) -> _Entry:
        return self._entries.get(query) or _Entry()

    def _look_up(self, query: Query) -> asyncio.Task[None] | None:
        running = self._open.get(query)
        if running is None and not self._tasks.closed and len(self._open) < self._limits.lookups:
            running = self._tasks.spawn(self._run(query), f"{query.kind} {query.name}")
            self._open[query] = running
        return running

    def _refresh(self, query: Query, entry: _Entry, now: float) -> None:
        if now >= entry.retry_at:
            self._look_up(query)

    async def _run(self, query: Query) -> None:
        try:
            async with asyncio.timeout(self._limits.deadline):
                answer = await self._client.ask(query)
        except (DnsError, TimeoutError, OSError) as error:
            self._failed(query, str(error) or "no answer in time")
        else:
            self._answered(query, answer)
        finally:
            self._open.pop(query, None)

    def _answered(self, query: Query, answer: DnsAnswer) -> None:
        limits, now = self._limits, self._now()
        most = limits.ttl_max if answer.records else limits.denial_max
        ttl = min(max(answer.ttl, limits.ttl_min), most)
        self.counts.queries[query.kind, "answered" if answer.records else "denied"] += 1
        entry = self._kept(query, now)
        if entry.failing:
            self._log.info("the DNS answers again", query=f"{query.kind} {query.name}")
        entry.records, entry.answered, entry.failing, entry.retry_at = answer.records, True, False, 0.0
        entry.expires, entry.refresh_at = now + ttl, now + ttl * limits.refresh
        entry.stale_until = entry.expires + limits.stale

    def _failed(self, query: Query, reason: str) -> None:
        now = self._now()
        self.counts.queries[query.kind, "failed"] += 1
        entry = self._kept(query, now)
        if not entry.failing:
            name = f"{query.kind} {query.name}"
            self._log.warning("the DNS does not answer", query=name, reason=reason, old=entry.answered)
        entry.failing, entry.retry_at = True, now + self._limits.retry

    def _kept(self, query: Query, now: float) -> _Entry:
        entry = self._entries.get(query)
        if entry is None:
            if len(self._entries) >= self._limits.entries:
                del self._entries[next(iter(self._entries))]
            entry = self._entries[query] = _Entry(used_at=now)
        return entry

    def _start_sweep(self) -> None:
        if not self._sweeping and not self._tasks.closed:
            self._sweeping = True
            self._tasks.spawn(self._sweep(), "refresh")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.refresh_used()

    def refresh_used(self) -> None:
        """Ask again for what was used lately and is about to end; the sweep does it every second."""
        now, warm = self._now(), self._limits.warm
        due = [
            (query, entry)
            for query, entry in self._entries.items()
            if (entry.answered or entry.failing) and now >= entry.refresh_at and now - entry.used_at < warm
        ]
        for query, entry in due:
            self._refresh(query, entry, now)
