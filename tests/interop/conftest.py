"""What holds for every interop test."""

from collections.abc import Iterator

import pytest

from priority import going_first


@pytest.fixture(autouse=True, scope="module")
def _traffic_goes_first() -> Iterator[None]:
    with going_first():
        yield
