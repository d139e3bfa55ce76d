"""Whether the peers of trunks are well, by their answers to calls and to OPTIONS: a table, without a clock.

A peer that failed some times in a row is down: it is tried after those that are up, and while none is. It is
up again when it has answered some times in a row. One that came up and failed again soon is in quarantine:
for a time that doubles each time, answers do not bring it up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from sidestream.call.setup import PeerHop


class PeerState(StrEnum):
    """Where a peer stands."""

    UP = "up"
    DOWN = "down"
    QUARANTINED = "quarantined"


class Sign(Enum):
    """What moves a peer."""

    FAILED = "failed too often"
    ANSWERED = "answered often enough"
    FLAPPED = "failed soon after it had come up"
    TRIED_LATER = "nobody asks it, and its time is over"


MOVES: Final[Mapping[tuple[PeerState, Sign], PeerState]] = {
    (PeerState.UP, Sign.FAILED): PeerState.DOWN,
    (PeerState.UP, Sign.FLAPPED): PeerState.QUARANTINED,
    (PeerState.DOWN, Sign.ANSWERED): PeerState.UP,
    (PeerState.DOWN, Sign.TRIED_LATER): PeerState.UP,
    (PeerState.QUARANTINED, Sign.ANSWERED): PeerState.UP,
    (PeerState.QUARANTINED, Sign.TRIED_LATER): PeerState.UP,
}
"""Every move there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """How quickly a peer moves; times in seconds.

    Attributes:
        failures: in a row, until a peer is down.
        answers: in a row, until it is up again.
        hold: how long a peer that nobody asks stays down.
        steady: a peer that fails within so long after it came up flaps.
        quarantine: the first quarantine; each further one is twice as long.
        quarantine_max: the longest.
    """

    failures: int = 2
    answers: int = 2
    hold: float = 30.0
    steady: float = 300.0
    quarantine: float = 60.0
    quarantine_max: float = 600.0


@dataclass(slots=True)
class _Standing:
    """What is remembered of one peer."""

    asked: bool
    """Whether it is sent OPTIONS."""
    state: PeerState = PeerState.UP
    since: float | None = None
    """When it came to this state; None from the begin on."""
    failures: int = 0
    answers: int = 0
    flaps: int = 0
    until: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PeerChange:
    """A peer has moved.

    Attributes:
        uri: which.
        state: where to.
        reason: by what.
    """

    uri: str
    state: PeerState
    reason: str


@dataclass(frozen=True, slots=True)
class PeerReport:
    """How a peer stands.

    Attributes:
        uri: which.
        state: where.
        seconds: for how long; None from the begin on.
        reason: what failed last; empty while it is up.
    """

    uri: str
    state: PeerState
    seconds: float | None
    reason: str


class PeerBook:
    """The health of peers, by their URI. A URI that is not in it is up.

    Args:
        peers: URIs, and whether each is asked by OPTIONS.
        policy: how quickly a peer moves.
    """

    def __init__(self, peers: Mapping[str, bool], policy: HealthPolicy | None = None) -> None:
        self._policy = policy or HealthPolicy()
        self._standings = {uri: _Standing(asked) for uri, asked in peers.items()}

    def answered(self, uri: str, now: float, *, a_call: bool = False) -> PeerChange | None:
        """A peer answered an OPTIONS, or a call: that one counts for as many as are wanted."""
        standing = self._standings.get(uri)
        if standing is None:
            return None
        standing.failures = 0
        standing.answers = self._policy.answers if a_call else standing.answers + 1
        if standing.state is PeerState.UP or standing.answers < self._policy.answers:
            return None
        if standing.state is PeerState.QUARANTINED and now < standing.until:
            return None
        return self._move(uri, standing, Sign.ANSWERED, now, "it answers again")

    def failed(self, uri: str, now: float, reason: str) -> PeerChange | None:
        """A peer did not answer, could not be reached, or said that it cannot serve."""
        standing = self._standings.get(uri)
        if standing is None:
            return None
        self._look(uri, standing, now)
        standing.answers, standing.reason = 0, reason
        standing.failures += 1
        if standing.state is not PeerState.UP:
            standing.until = max(standing.until, now + self._policy.hold)
            return None
        if standing.failures < self._policy.failures:
            return None
        flaps = standing.since is not None and now - standing.since < self._policy.steady
        standing.flaps = standing.flaps + 1 if flaps else 0
        away = self._policy.hold
        if flaps:
            away = min(self._policy.quarantine * 2 ** (standing.flaps - 1), self._policy.quarantine_max)
        standing.until = now + away
        return self._move(uri, standing, Sign.FLAPPED if flaps else Sign.FAILED, now, reason)

    def state(self, uri: str, now: float) -> PeerState:
        """Where a peer stands."""
        standing = self._standings.get(uri)
        if standing is None:
            return PeerState.UP
        self._look(uri, standing, now)
        return standing.state

    def order(self, peers: Sequence[PeerHop], now: float) -> tuple[PeerHop, ...]:
        """The peers with those that are not up last, otherwise as they were: each may still be tried."""
        if len(peers) < 2:
            return tuple(peers)
        return tuple(sorted(peers, key=lambda peer: self.state(peer.uri, now) is not PeerState.UP))

    def report(self, now: float) -> list[PeerReport]:
        """How every peer stands."""
        reports = []
        for uri, standing in self._standings.items():
            self._look(uri, standing, now)
            seconds = None if standing.since is None else now - standing.since
            reason = "" if standing.state is PeerState.UP else standing.reason
            reports.append(PeerReport(uri, standing.state, seconds, reason))
        return reports

    def _look(self, uri: str, standing: _Standing, now: float) -> None:
        """A peer that nobody asks gets another chance; the first failure takes it down again."""
        if standing.state is not PeerState.UP and not standing.asked and now >= standing.until:
            self._move(uri, standing, Sign.TRIED_LATER, now, "it is tried again")
            standing.failures = self._policy.failures - 1

    def _move(self, uri: str, standing: _Standing, sign: Sign, now: float, reason: str) -> PeerChange:
        standing.state = MOVES[standing.state, sign]
        standing.since, standing.failures, standing.answers = now, 0, 0
        return PeerChange(uri, standing.state, reason)
