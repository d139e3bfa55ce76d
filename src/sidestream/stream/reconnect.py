"""When and where a stream tries to connect next (protocol section 6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

STABLE_AFTER_S: Final = 2.0
"""A connection that lived shorter continues the outage it was meant to end, so that an endpoint which accepts
and drops at once is not hammered."""


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """At once, then after `first_delay_s` doubling to `max_delay_s`, within `window_s`; all in seconds.

    `jitter` is the share by which a delay varies to either side.
    """

    window_s: float = 60.0
    first_delay_s: float = 0.25
    max_delay_s: float = 5.0
    jitter: float = 0.2

    def delay(self, failures: int, chance: float) -> float:
        """Return the seconds before the next attempt, after `failures` failed ones; `chance` is in [0, 1)."""
        if failures <= 0:
            return 0.0
        # 2 ** 16 times any sensible first delay is far above the maximum, and keeps the power small.
        base = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(failures - 1, 16))
        return base * (1.0 + self.jitter * (2.0 * chance - 1.0))


class Outage:
    """The time without a connection: counts attempts, walks the endpoint list, knows when it is over.

    The time before the first connection is the first outage.
    """

    def __init__(
        self, policy: ReconnectPolicy, endpoints: Sequence[str], chance: Callable[[], float], now: float
    ) -> None:
        if not endpoints:
            raise ValueError("a stream needs at least one endpoint")
        self._policy = policy
        self._chance = chance
        self._endpoints = list(endpoints)
        self._position = 0
        self._failures = 0
        self._connected_at: float | None = None
        self._resumed = False
        self.deadline = now + policy.window_s
        """When trying ends, on the caller's monotonic clock."""

    @property
    def exhausted(self) -> bool:
        """Whether every endpoint has refused for good."""
        return not self._endpoints

    def endpoint(self) -> str:
        """Return the endpoint to try now."""
        return self._endpoints[self._position % len(self._endpoints)]

    def failed(self, now: float, *, final: bool) -> float:
        """Note a failed attempt and return when the next is due; a final failure drops the endpoint."""
        self._failures += 1
        if final:
            self._endpoints.remove(self.endpoint())
        else:
            self._position += 1
        return now + self._policy.delay(self._failures, self._chance())

    def connected(self, now: float) -> None:
        """Note that a connection stands."""
        self._connected_at = now

    def lost(self, now: float) -> float:
        """Note that the connection was lost and return when the next attempt is due."""
        stable = self._connected_at is None or now - self._connected_at >= STABLE_AFTER_S
        if stable or not self._resumed:
            self._failures = 0
            self._position = 0
            self.deadline = now + self._policy.window_s
        else:
            self._failures += 1
            self._position += 1
        self._resumed = True
        return now + self._policy.delay(self._failures, self._chance())

    def shorten(self, deadline: float) -> None:
        """Move the end of trying forward to `deadline` when that is earlier."""
        self.deadline = min(self.deadline, deadline)
