"""Carries out the moves of the transaction machines: states, timers, what goes out and what is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

from sidestream.sip.events import SipEvent
from sidestream.sip.hop import Hop, Outgoing
from sidestream.sip.schedule import Schedule
from sidestream.sip.timers import TimerProfile
from sidestream.sip.transaction import Cause, Do, Machine, Move, State, Timer


class Transaction(ABC):
    """One running machine.

    Attributes:
        machine: its table.
        state: where it stands.
        hop: where it sends to.
        data: what it sends (again).
        interval: seconds until its next retransmission but one is halved; 0 before the first.
        tickets: its running timers.
    """

    __slots__ = ("data", "hop", "interval", "machine", "state", "tickets")

    def __init__(self, machine: Machine, hop: Hop, data: bytes = b"") -> None:
        self.machine = machine
        self.state = machine.opening.state
        self.hop = hop
        self.data = data
        self.interval = 0.0
        self.tickets: dict[Timer, int] = {}

    @property
    def impatient(self) -> bool:
        """Whether silence is to be told before it counts as a timeout."""
        return False

    @abstractmethod
    def perform(self, do: Do) -> None:
        """Do what a move orders."""

    @abstractmethod
    def ended(self) -> None:
        """It is Terminated: forget it."""


@dataclass(slots=True)
class LayerCounts:
    """What the layer met that its user does not hear of.

    Attributes:
        malformed: messages that were refused or dropped because they could not be read.
        stray_responses: responses that belong to no transaction.
        overload: requests refused for there being too many transactions.
    """

    malformed: int = 0
    stray_responses: int = 0
    overload: int = 0


class Runner:
    """What all transactions share: the timers, the outbox and the queue of events.

    Attributes:
        events: what the user has not heard yet.
        outbox: what the driver has not sent yet.
        counts: what neither hears of.
    """

    __slots__ = ("_durations", "_profile", "_schedule", "counts", "events", "outbox")

    def __init__(self, profile: TimerProfile) -> None:
        self.events: deque[SipEvent] = deque()
        self.outbox: list[Outgoing] = []
        self.counts = LayerCounts()
        self._profile = profile
        self._schedule: Schedule[tuple[Transaction, Timer]] = Schedule()
        self._durations = {reliable: _durations(profile, reliable=reliable) for reliable in (False, True)}

    def send(self, data: bytes, hop: Hop) -> None:
        """Hand bytes to the driver."""
        self.outbox.append(Outgoing(data, hop))

    def begin(self, transaction: Transaction, now: float) -> None:
        """Make the opening move."""
        self._carry_out(transaction, transaction.machine.opening, now)

    def apply(self, transaction: Transaction, cause: Cause, now: float) -> None:
        """Make the move the table lists.

        Raises:
            IllegalMoveError: when it lists none.
        """
        self._carry_out(transaction, transaction.machine.move(transaction.state, cause), now)

    def start(self, transaction: Transaction, timer: Timer, now: float) -> bool:
        """Start a timer anew; false when it lasts no time on this transport, so that it is due at once."""
        delay = self._delay(transaction, timer)
        if delay == 0.0:
            return False
        self.stop(transaction, timer)
        if delay is not None:
            transaction.tickets[timer] = self._schedule.add(now + delay, (transaction, timer))
        return True

    def abandon(self, transaction: Transaction) -> None:
        """Stop every timer of a transaction that is given up."""
        for ticket in transaction.tickets.values():
            self._schedule.cancel(ticket)
        transaction.tickets.clear()

    def next_due(self) -> float | None:
        """When the next timer fires, None when none runs."""
        return self._schedule.next_due()

    def fire(self, now: float) -> None:
        """Fire every timer that is due."""
        while (due := self._schedule.pop_due(now)) is not None:
            transaction, timer = due
            transaction.tickets.pop(timer, None)
            self.apply(transaction, timer, now)

    def _carry_out(self, transaction: Transaction, move: Move, now: float) -> None:
        transaction.state = move.state
        for timer in move.stop:
            self.stop(transaction, timer)
        instant: Timer | None = None
        for timer in move.start:
            if not self.start(transaction, timer, now):
                instant = timer
        for do in move.do:
            transaction.perform(do)
        if move.state is State.TERMINATED:
            self.abandon(transaction)
            transaction.ended()
        elif instant is not None:
            self.apply(transaction, instant, now)

    def stop(self, transaction: Transaction, timer: Timer) -> None:
        """Stop a timer, where it runs."""
        ticket = transaction.tickets.pop(timer, None)
        if ticket is not None:
            self._schedule.cancel(ticket)

    def _delay(self, transaction: Transaction, timer: Timer) -> float | None:
        """Seconds until a timer fires, None when the transport or the transaction does without it."""
        if timer is Timer.PATIENCE and not transaction.impatient:
            return None
        if timer not in _RETRANSMISSIONS:
            return self._durations[transaction.hop.reliable][timer]
        if transaction.hop.reliable and timer not in _ON_EVERY_TRANSPORT:
            return None
        transaction.interval = self._next_interval(transaction, timer)
        return transaction.interval

    def _next_interval(self, transaction: Transaction, timer: Timer) -> float:
        if timer in {Timer.A, Timer.RESEND_1XX}:
            return transaction.interval * 2 or self._profile.t1
        if timer is Timer.E and transaction.state is State.PROCEEDING:
            return self._profile.t2  # §17.1.2.2
        return min(transaction.interval * 2 or self._profile.t1, self._profile.t2)


_ON_EVERY_TRANSPORT = frozenset({Timer.RESEND_1XX, Timer.RESEND_2XX})
_RETRANSMISSIONS = frozenset({Timer.A, Timer.E, Timer.G, *_ON_EVERY_TRANSPORT})


def _durations(profile: TimerProfile, *, reliable: bool) -> dict[Timer, float]:
    long = 64 * profile.t1
    return {
        Timer.B: profile.timer_b,
        Timer.D: profile.timer_d(reliable=reliable),
        Timer.F: profile.timer_f,
        Timer.H: profile.timer_h,
        Timer.I: profile.timer_i(reliable=reliable),
        Timer.J: profile.timer_j(reliable=reliable),
        Timer.K: profile.timer_k(reliable=reliable),
        Timer.L: profile.timer_l,
        Timer.M: profile.timer_m,
        Timer.TRYING: profile.trying_after,
        Timer.LATE_TRYING: profile.late_trying,
        Timer.ACK_WAIT: long,
        Timer.PRACK_WAIT: long,
        Timer.CANCEL_WAIT: long,
        Timer.ABANDONED: long,
        Timer.PATIENCE: profile.patience,
    }
