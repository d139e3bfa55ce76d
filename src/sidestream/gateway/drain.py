"""How a gateway ends: no new calls, time for the present ones, then a farewell to those that are left."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sidestream.call.events import HangUpBy
from sidestream.gateway.admission import Admission
from sidestream.gateway.calls import Calls
from sidestream.observe.logging import Logger

FAREWELL_S: Final = 15.0
"""For calls that were hung up: their BYEs, and the streams' last frames, `close` and the endpoint's answer. A
peer that answers nothing is not waited for any longer."""

POLL_S: Final = 0.05


async def drain(calls: Calls, admission: Admission, timeout_s: float, log: Logger) -> bool:
    """Take no new calls and wait for the present ones; hang up what is left when the time is over.

    Args:
        calls: the calls.
        admission: is told to refuse.
        timeout_s: how long calls may go on.
        log: where it is told.

    Returns:
        Whether every call came to its own end, or was closed in order.
    """
    admission.draining = True
    log.info("draining", calls=calls.active, timeout_s=timeout_s)
    if await _until(lambda: calls.active == 0, timeout_s):
        return True
    log.warning("calls are hung up", calls=calls.active)
    calls.hang_up_all(HangUpBy.SHUTDOWN, "the gateway shuts down")
    return await _until(lambda: calls.active == 0, FAREWELL_S)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
