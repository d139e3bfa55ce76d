import asyncio
from collections.abc import Sequence

import pytest

from sidestream.gateway import names
from sidestream.gateway.names import NameNotResolvedError, Names, numeric


class Resolver:
    """Answers from a table and counts the questions."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        await self.gate.wait()
        if host not in self.known:
            raise OSError("no such name")
        return self.known[host]


def test_numeric_hosts_are_told_from_names() -> None:
    assert str(numeric("192.0.2.1")) == "192.0.2.1"
    assert str(numeric("[2001:db8::1]")) == "2001:db8::1"
    assert numeric("endpoint.example") is None
    assert numeric("") is None


@pytest.mark.asyncio
async def test_a_numeric_host_asks_nobody() -> None:
    resolver = Resolver()
    assert await Names(resolver).addresses("[2001:db8::1]") == ["2001:db8::1"]
    assert resolver.asked == 0


@pytest.mark.asyncio
async def test_answers_are_shared_and_kept_for_a_while() -> None:
    resolver = Resolver(example=["192.0.2.1", "192.0.2.2"])
    resolver.gate.clear()
    table = Names(resolver)
    waiting = [asyncio.ensure_future(table.addresses("example")) for _ in range(5)]
    await asyncio.sleep(0)
    resolver.gate.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1", "192.0.2.2"]] * 5
    assert await table.addresses("example") == ["192.0.2.1", "192.0.2.2"]
    assert resolver.asked == 1


@pytest.mark.asyncio
async def test_a_failure_is_not_kept() -> None:
    resolver = Resolver()
    table = Names(resolver)
    for _ in range(2):
        with pytest.raises(NameNotResolvedError, match="does not resolve"):
            await table.addresses("nowhere")
    assert resolver.asked == 2


@pytest.mark.asyncio
async def test_no_address_and_no_answer_in_time_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LOOKUP_DEADLINE_S", 0.0)
    resolver = Resolver(silent=["192.0.2.1"])
    resolver.gate.clear()
    table = Names(resolver)
    with pytest.raises(NameNotResolvedError, match="no answer"):
        await table.addresses("silent")
    table.close()
    monkeypatch.undo()
    with pytest.raises(NameNotResolvedError, match="no address"):
        await Names(Resolver(empty=[])).addresses("empty")
