"""What holds for every end-to-end test."""

import contextlib
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _phones_go_first() -> Iterator[None]:
    """Let phones and gateway keep their 20 ms on a busy machine, where the system allows it.

    What the gateway does about packets that come late is tested on purpose, not by whatever else is running.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    yield
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, policy, parameters)
