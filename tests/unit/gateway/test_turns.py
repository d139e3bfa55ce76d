"""Turns: order, and that the loop is never kept for longer than a slice and one step."""

import asyncio

import pytest

from sidestream.gateway.turns import Turns


class Steps:
    """Steps that take a second of an invented clock each, and turns of two and a half seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []
        self.turns = Turns(slice_s=2.5, clock=lambda: self.now)

    def run(self, name: str) -> None:
        self.turns.run(lambda: self.take(name))

    def add(self, name: str) -> None:
        self.turns.add(lambda: self.take(name))

    def begin(self, name: str) -> None:
        self.turns.begin(lambda: self.take(name))

    def take(self, name: str) -> None:
        self.now += 1.0
        self.done.append(name)


@pytest.mark.asyncio
async def test_what_a_turn_has_time_for_runs_at_once_and_the_rest_in_later_turns() -> None:
    steps = Steps()
    for number in range(8):
        steps.run(str(number))
    assert steps.done == ["0", "1", "2"]
    assert len(steps.turns) == 5
    asyncio.get_running_loop().call_soon(steps.done.append, "a call")
    await asyncio.sleep(0)
    assert steps.done[3:] == ["3", "4", "5", "a call"]
    await asyncio.sleep(0)
    assert steps.done[7:] == ["6", "7"]
    steps.run("8")
    steps.run("9")
    assert steps.done[-1] == "8", "a turn took longer than a slice and a step"
    await asyncio.sleep(0)
    steps.run("10")
    assert steps.done[-2:] == ["9", "10"], "time was not given anew"


@pytest.mark.asyncio
async def test_what_is_added_waits_for_the_callback_at_hand_and_keeps_its_place() -> None:
    steps = Steps()
    steps.add("first")
    steps.run("second")
    assert steps.done == []
    await asyncio.sleep(0)
    assert steps.done == ["first", "second"]


@pytest.mark.asyncio
async def test_what_goes_on_comes_before_what_begins() -> None:
    steps = Steps()
    for number in range(4):
        steps.begin(f"new {number}")
    assert steps.done == ["new 0", "new 1", "new 2"]
    steps.begin("new 4")
    steps.run("answer 0")
    steps.run("answer 1")
    await asyncio.sleep(0)
    assert steps.done[3:] == ["answer 0", "answer 1", "new 3"]
    await asyncio.sleep(0)
    assert steps.done[6:] == ["new 4"]


@pytest.mark.asyncio
async def test_a_step_within_a_step_comes_after_it() -> None:
    steps = Steps()

    def outer() -> None:
        steps.run("inner")
        steps.take("outer")

    steps.turns.run(outer)
    assert steps.done == ["outer"]
    await asyncio.sleep(0)
    assert steps.done == ["outer", "inner"]


@pytest.mark.asyncio
async def test_a_step_that_raises_does_not_stop_the_others() -> None:
    steps = Steps()

    def fail() -> None:
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError):
        steps.turns.run(fail)
    steps.run("next")
    assert steps.done == ["next"]
