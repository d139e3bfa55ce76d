"""A group of recording servers: who is asked, in which order, and who is left alone for a while.

One group serves all calls of an integration; it remembers what its servers have shown. It holds no clock and
no timers: `now` is an argument, and the OPTIONS probes are sent by whoever asks `probes_due`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Final, Literal

from sidestream.siprec.profile import NOTHING_LEARNED, Server, ServerMemory
from sidestream.siprec.verdicts import Cause

RETRY_AFTER_MAX_S: Final = 3600.0
"""A server that wants to be left alone for longer is asked again after this."""

TRIAL_S: Final = 30.0
"""How long a trial may be open before another one is let through."""

BREAKING: Final = frozenset(
    {
        Cause.UNREACHABLE,
        Cause.NO_ANSWER,
        Cause.SILENT,
        Cause.BUSY,
        Cause.SERVER_ERROR,
        Cause.NO_RESPONSE,
        Cause.PEER_LOST,
        Cause.NOT_A_RECORDER,
    }
)
"""Failures that say something about the server; others are about the one call."""


class Circuit(StrEnum):
    """Whether a server is asked (the circuit breaker's three states)."""

    CLOSED = "closed"
    """It is."""
    OPEN = "open"
    """It is not: it failed too often, or wants to be left alone."""
    HALF_OPEN = "half-open"
    """One call may try it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPolicy:
    """How a group is used.

    Attributes:
        strategy: `hunt` begins with the first server each time, `round_robin` with the next one; priorities
            go before either.
        setup_deadline_s: how long a copy may take to find a recorder; servers share it.
        attempt_min_s: what each server has at least, however many there are.
        stop_codes: statuses by which a server speaks for the whole group: the call is not to be recorded.
        failures_to_open: failures in a row that open a server's circuit.
        open_s: how long it stays open before one call may try the server.
        probe_s: interval of OPTIONS probes; 0: none.
        retry_s: how long after all servers failed a recording that is not mandatory looks again; None: never.
    """

    strategy: Literal["hunt", "round_robin"] = "hunt"
    setup_deadline_s: float = 5.0
    attempt_min_s: float = 1.0
    stop_codes: frozenset[int] = frozenset({403, 603})
    failures_to_open: int = 3
    open_s: float = 30.0
    probe_s: float = 30.0
    retry_s: float | None = 30.0


@dataclass(slots=True)
class _Standing:
    """What is remembered of one server."""

    failures: int = 0
    open_until: float | None = None
    """None: the circuit is closed."""
    trial_since: float | None = None
    memory: ServerMemory = NOTHING_LEARNED
    probed_at: float | None = None
    current: int = 0
    """Smooth weighted round robin: what it has saved up."""


@dataclass(slots=True)
class ServerGroup:
    """The servers of one integration.

    Attributes:
        servers: all of them.
        policy: how they are used.
        chance: gives a random number from 0 up to 1.
    """

    servers: tuple[Server, ...]
    policy: GroupPolicy
    chance: Callable[[], float]
    _standings: dict[str, _Standing] = field(init=False)

    def __post_init__(self) -> None:
        self._standings = {server.uri: _Standing() for server in self.servers}

    # --- order -------------------------------------------------------------------------------------------

    def order(self, now: float, avoid: Collection[str] = ()) -> tuple[Server, ...]:
        """The servers to be asked for one copy, in order; none when all circuits are open.

        Args:
            now: monotonic seconds.
            avoid: URIs that go last, for another copy is there already.
        """
        ranked = sorted(self.servers, key=lambda server: server.priority)
        found: list[Server] = []
        for _, same in groupby(ranked, key=lambda server: server.priority):
            found += self._arranged([server for server in same if self._is_usable(server, now)])
        return tuple(sorted(found, key=lambda server: server.uri in avoid))

    def _is_usable(self, server: Server, now: float) -> bool:
        return self.circuit(server.uri, now) is not Circuit.OPEN

    def _arranged(self, servers: list[Server]) -> list[Server]:
        if len(servers) < 2:
            return servers
        return self._rotated(servers) if self.policy.strategy == "round_robin" else self._drawn(servers)

    def _drawn(self, servers: list[Server]) -> list[Server]:
        """Draw by weight, one after the other (as RFC 2782 does); weight 0 comes last."""
        rest, drawn = list(servers), []
        while rest:
            total = sum(server.weight for server in rest)
            mark, taken = self.chance() * total, rest[0]
            for server in rest:
                if server.weight and mark < server.weight:
                    taken = server
                    break
                mark -= server.weight
            rest.remove(taken)
            drawn.append(taken)
        return drawn

    def _rotated(self, servers: Sequence[Server]) -> list[Server]:
        """Begin with whose turn it is (smooth weighted round robin); the others follow in their order."""
        weights = {server.uri: max(server.weight, 0) for server in servers}
        if not any(weights.values()):
            weights = dict.fromkeys(weights, 1)
        for server in servers:
            self._standings[server.uri].current += weights[server.uri]
        first = max(servers, key=lambda server: self._standings[server.uri].current)
        self._standings[first.uri].current -= sum(weights.values())
        at = list(servers).index(first)
        return [*servers[at:], *servers[:at]]

    def attempt_s(self, remaining_s: float, candidates: int) -> float:
        """What one server may take of the set-up deadline when so many are left to ask, itself included."""
        return max(self.policy.attempt_min_s, remaining_s / max(candidates, 1))

    # --- circuit breaker ---------------------------------------------------------------------------------

    def circuit(self, uri: str, now: float) -> Circuit:
        """Whether a server is asked."""
        standing = self._standings[uri]
        if standing.open_until is None:
            return Circuit.CLOSED
        if now < standing.open_until:
            return Circuit.OPEN
        trial = standing.trial_since
        return Circuit.OPEN if trial is not None and now - trial < TRIAL_S else Circuit.HALF_OPEN

    def attempted(self, uri: str, now: float) -> None:
        """A call asks a server now: while it is a trial, no other does."""
        standing = self._standings[uri]
        if standing.open_until is not None:
            standing.trial_since = now

    def succeeded(self, uri: str) -> None:
        """A server recorded, or answered a probe: its circuit is closed."""
        standing = self._standings[uri]
        standing.failures, standing.open_until, standing.trial_since = 0, None, None

    def failed(self, uri: str, cause: Cause, now: float, retry_after_s: float | None = None) -> None:
        """A server failed a call; by what it says and how often, it is left alone for a while."""
        standing = self._standings[uri]
        standing.trial_since = None
        if retry_after_s is not None and cause in {Cause.BUSY, Cause.SERVER_ERROR}:
            standing.failures, standing.open_until = 0, now + min(retry_after_s, RETRY_AFTER_MAX_S)
            return
        if cause not in BREAKING:
            if cause not in {Cause.MEDIA_FAILED, Cause.INTERNAL_ERROR}:  # those say nothing about it
                self.succeeded(uri)
            return
        standing.failures += 1
        if standing.failures >= self.policy.failures_to_open or standing.open_until is not None:
            standing.open_until = now + self.policy.open_s

    # --- probes and memory -------------------------------------------------------------------------------

    def probes_due(self, now: float) -> tuple[Server, ...]:
        """The servers to send an OPTIONS to now; they count as probed from here on."""
        if self.policy.probe_s <= 0:
            return ()
        due = []
        for server in self.servers:
            standing = self._standings[server.uri]
            if standing.probed_at is None or now - standing.probed_at >= self.policy.probe_s:
                standing.probed_at = now
                due.append(server)
        return tuple(due)

    def probed(self, uri: str, now: float, *, answered: bool) -> None:
        """What became of a probe: any answer at all says that the server is there.

        An answer brings back a server that failed; it does not cut short what a Retry-After asked for.
        """
        standing = self._standings[uri]
        if answered:
            waits = standing.failures == 0 and standing.open_until is not None and now < standing.open_until
            if not waits:
                self.succeeded(uri)
        else:
            self.failed(uri, Cause.NO_ANSWER, now)

    def memory(self, uri: str) -> ServerMemory:
        """What a server has shown."""
        return self._standings[uri].memory

    def remember(self, uri: str, memory: ServerMemory) -> None:
        """Keep what a server has shown."""
        self._standings[uri].memory = memory
