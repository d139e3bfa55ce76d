"""A bound on how often something happens."""


class TokenBucket:
    """Lets `rate` pass each second, and as many at once after a pause of a second."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = max(1.0, rate)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one, if there is one; `now` is in monotonic seconds."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
