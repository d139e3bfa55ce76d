"""What holds for every end-to-end test."""

import contextlib
import os
from collections.abc import Iterator

import pytest

FIRST = -10
"""As the gateway's media threads."""


@pytest.fixture(autouse=True)
def _phones_go_first() -> Iterator[None]:
    """Let the phones keep their 20 ms on a busy machine, where the system allows it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, before)
