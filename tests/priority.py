"""Time for tests of real traffic on a machine that has other things to do."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def going_first() -> Iterator[None]:
    """Let this thread, and the programs it starts, go before others, where the system allows it.

    What the gateway does about packets that come late is tested on purpose, not by whatever else is running.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    yield
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, policy, parameters)
