"""The states of a call and of its legs, and every move between them."""

from enum import Enum
from typing import Final

from sidestream.errors import StateError


class CallState(Enum):
    """Where a call stands."""

    __hash__ = object.__hash__  # an enum's own is written in Python

    NEW = "new"
    """Made, and nothing sent yet."""
    CALLING = "calling"
    """A peer is being tried; the caller has heard nothing of it."""
    RINGING = "ringing"
    """A provisional response was relayed: no other peer will be tried."""
    ANSWERED = "answered"
    """The callee's answer was relayed; the caller has not acknowledged it."""
    TALKING = "talking"
    """Both legs are confirmed."""
    ENDING = "ending"
    """The verdict is decided; BYE, CANCEL or their answers are still under way."""
    ENDED = "ended"
    """Nothing is awaited any more."""


CALL_MOVES: Final[dict[CallState, frozenset[CallState]]] = {
    CallState.NEW: frozenset({CallState.CALLING, CallState.ENDING}),
    CallState.CALLING: frozenset({CallState.RINGING, CallState.ANSWERED, CallState.ENDING}),
    CallState.RINGING: frozenset({CallState.ANSWERED, CallState.ENDING}),
    CallState.ANSWERED: frozenset({CallState.TALKING, CallState.ENDING}),
    CallState.TALKING: frozenset({CallState.ENDING}),
    CallState.ENDING: frozenset({CallState.ENDED}),
    CallState.ENDED: frozenset(),
}


class LegPhase(Enum):
    """Where one leg stands."""

    __hash__ = object.__hash__  # an enum's own is written in Python

    IDLE = "idle"
    """No INVITE yet, or the last peer was given up."""
    INVITED = "invited"
    """The leg's first INVITE is open; there may be an early dialog."""
    ANSWERED = "answered"
    """The 2xx has passed; its ACK has not."""
    UP = "up"
    """The dialog is confirmed on both ends."""
    CLOSED = "closed"
    """Refused, cancelled, or a BYE has passed: nothing more is said but answers."""


LEG_MOVES: Final[dict[LegPhase, frozenset[LegPhase]]] = {
    LegPhase.IDLE: frozenset({LegPhase.INVITED, LegPhase.CLOSED}),
    LegPhase.INVITED: frozenset({LegPhase.IDLE, LegPhase.ANSWERED, LegPhase.CLOSED}),
    LegPhase.ANSWERED: frozenset({LegPhase.UP, LegPhase.CLOSED}),
    LegPhase.UP: frozenset({LegPhase.CLOSED}),
    LegPhase.CLOSED: frozenset(),
}


def checked_call_move(now: CallState, then: CallState) -> CallState:
    """The state moved to.

    Raises:
        StateError: The move is not in the table.
    """
    if then not in CALL_MOVES[now]:
        raise StateError(f"a call cannot go from {now.value} to {then.value}")
    return then


def checked_leg_move(now: LegPhase, then: LegPhase) -> LegPhase:
    """The phase moved to.

    Raises:
        StateError: The move is not in the table.
    """
    if then not in LEG_MOVES[now]:
        raise StateError(f"a leg cannot go from {now.value} to {then.value}")
    return then
