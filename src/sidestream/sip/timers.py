"""Timer values of the transaction machines (RFC 3261 §17, table 4; RFC 6026)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimerProfile:
    """The three base values; everything else derives from them. All in seconds.

    Attributes:
        t1: round-trip estimate.
        t2: longest retransmission interval of non-INVITE requests and INVITE responses.
        t4: longest time a message stays in the network.
        trying_after: when an unanswered INVITE gets its 100 (RFC 3261 §17.2.1: within 200 ms).
        patience: how long a hop may be silent, from its first transmission, before another one is tried.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    trying_after: float = 0.2
    patience: float = 5.0

    @property
    def timer_a(self) -> float:
        """First INVITE retransmission; doubles each time."""
        return self.t1

    @property
    def timer_b(self) -> float:
        """INVITE transaction timeout."""
        return 64 * self.t1

    def timer_d(self, *, reliable: bool) -> float:
        """Wait for re-sent non-2xx responses to INVITE."""
        return 0.0 if reliable else 64 * self.t1

    @property
    def timer_e(self) -> float:
        """First non-INVITE retransmission; doubles up to T2."""
        return self.t1

    @property
    def late_trying(self) -> float:
        """Age at which timer E reaches T2: from then on a 100 spares retransmissions (RFC 4320 §4.1)."""
        age, interval = 0.0, self.timer_e
        while interval < self.t2:
            age += interval
            interval *= 2
        return age

    @property
    def timer_f(self) -> float:
        """Non-INVITE transaction timeout."""
        return 64 * self.t1

    @property
    def timer_g(self) -> float:
        """First retransmission of an INVITE's final response; doubles up to T2."""
        return self.t1

    @property
    def timer_h(self) -> float:
        """Longest wait for the ACK."""
        return 64 * self.t1

    def timer_i(self, *, reliable: bool) -> float:
        """Wait for re-sent ACKs."""
        return 0.0 if reliable else self.t4

    def timer_j(self, *, reliable: bool) -> float:
        """Wait for re-sent non-INVITE requests."""
        return 0.0 if reliable else 64 * self.t1

    def timer_k(self, *, reliable: bool) -> float:
        """Wait for re-sent non-INVITE responses."""
        return 0.0 if reliable else self.t4

    @property
    def timer_l(self) -> float:
        """RFC 6026: how long a server transaction stays Accepted."""
        return 64 * self.t1

    @property
    def timer_m(self) -> float:
        """RFC 6026: how long a client transaction stays Accepted."""
        return 64 * self.t1
