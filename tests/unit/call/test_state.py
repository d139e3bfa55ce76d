import itertools

import pytest

from sidestream.call.state import (
    CALL_MOVES,
    LEG_MOVES,
    CallState,
    LegPhase,
    checked_call_move,
    checked_leg_move,
)
from sidestream.errors import StateError


@pytest.mark.parametrize(("now", "then"), list(itertools.product(CallState, CallState)))
def test_a_call_makes_the_listed_moves_only(now: CallState, then: CallState) -> None:
    if then in CALL_MOVES[now]:
        assert checked_call_move(now, then) is then
    else:
        with pytest.raises(StateError):
            checked_call_move(now, then)


@pytest.mark.parametrize(("now", "then"), list(itertools.product(LegPhase, LegPhase)))
def test_a_leg_makes_the_listed_moves_only(now: LegPhase, then: LegPhase) -> None:
    if then in LEG_MOVES[now]:
        assert checked_leg_move(now, then) is then
    else:
        with pytest.raises(StateError):
            checked_leg_move(now, then)


def test_every_state_leads_to_the_end() -> None:
    for state in CallState:
        reached = {state}
        while (more := reached.union(*(CALL_MOVES[each] for each in reached))) != reached:
            reached = more
        assert CallState.ENDED in reached
    assert all(LegPhase.CLOSED in moves for phase, moves in LEG_MOVES.items() if phase is not LegPhase.CLOSED)
