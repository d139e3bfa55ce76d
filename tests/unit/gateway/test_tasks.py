"""Tasks with an owner."""

import asyncio

import pytest
from structlog.testing import capture_logs

from sidestream.gateway.tasks import TaskOwner

pytestmark = pytest.mark.asyncio


async def test_a_failure_is_logged_with_the_tasks_name_and_goes_no_further() -> None:
    async def fail() -> None:
        raise ValueError("why")

    owner = TaskOwner("owner")
    with capture_logs() as logs:
        task = owner.spawn(fail(), "work")
        await asyncio.wait((task,))
        await asyncio.sleep(0)
    assert [(entry["event"], entry["task"]) for entry in logs] == [("task_failed", "owner:work")]
    assert len(owner) == 0


async def test_closing_cancels_and_waits() -> None:
    ended = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    owner = TaskOwner("owner")
    for number in range(3):
        owner.spawn(work(number), "work")
    await asyncio.sleep(0)
    await owner.close()
    assert sorted(ended) == [0, 1, 2]
    assert len(owner) == 0
    with pytest.raises(RuntimeError, match="owner is closed"):
        owner.spawn(work(4), "work")
    await owner.close()


async def test_a_task_may_close_its_own_owner() -> None:
    owner = TaskOwner("owner")
    task = owner.spawn(owner.close(), "closing")
    await asyncio.wait_for(task, 1)
    assert owner.closed
