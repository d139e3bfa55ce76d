"""The machine's clocks."""

from datetime import UTC

from sidestream.gateway.clock import SYSTEM_CLOCK


def test_the_day_is_in_utc_and_the_seconds_go_on() -> None:
    assert SYSTEM_CLOCK.wall().tzinfo is UTC
    first = SYSTEM_CLOCK.monotonic()
    assert SYSTEM_CLOCK.monotonic() >= first
