import pytest

from sidestream.sip.errors import IllegalMoveError
from sidestream.sip.transaction import INVITE_CLIENT, MACHINES, Input, Machine, State, Timer, diagram


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_is_reached_and_left(machine: Machine) -> None:
    reached = {machine.opening.state} | {move.state for move in machine.table.values()}
    left = {state for state, _ in machine.table}
    assert reached == left | {State.TERMINATED}
    assert State.TERMINATED not in left


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_timer_that_is_started_fires_in_each_state_it_may_run_in(machine: Machine) -> None:
    started = [(machine.opening.state, timer) for timer in machine.opening.start]
    started += [(move.state, timer) for move in machine.table.values() for timer in move.start]
    for state, timer in started:
        assert (state, timer) in machine.table


def test_an_input_that_is_not_listed_raises() -> None:
    with pytest.raises(IllegalMoveError, match="INVITE client transaction: ACK in Calling"):
        INVITE_CLIENT.move(State.CALLING, Input.RECEIVED_ACK)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_diagram_has_an_arrow_for_each_row(machine: Machine) -> None:
    lines = diagram(machine).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == len(machine.table) + 3
    assert all(line.count(" : ") <= 1 for line in lines)


def test_members_are_hashed_by_identity() -> None:
    assert len({*State, *Input, *Timer}) == len(State) + len(Input) + len(Timer)
