"""Whatever comes, in whatever order: transactions end, say one final thing, and leave nothing behind."""

from hypothesis import given
from hypothesis import strategies as st

from sidestream.sip.events import AckTimedOut, CancelReceived, ResponseReceived, ServerTransportFailed
from sidestream.sip.message import Response
from sip_world import ACTIONS, STATUSES, World, check_endings, check_idle, run

actions = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7), st.sampled_from(STATUSES)), max_size=40
)


@given(actions)
def test_all_transactions_end_and_no_timer_is_left(script: list[tuple[str, int, int]]) -> None:
    check_idle(run(script))


@given(actions)
def test_each_request_we_send_ends_once(script: list[tuple[str, int, int]]) -> None:
    check_endings(run(script))


@given(actions)
def test_a_server_transaction_never_changes_its_final_answer(script: list[tuple[str, int, int]]) -> None:
    # On a stream a transaction is over with its answer, and the script may send its branch again.
    world = World(streams=False)
    for action, pick, status in [step for step in script if step[0] != "wait"]:
        world.act(action, pick, status)
    for transaction, statuses in world.answers.items():
        assert len(statuses) == 1, transaction


@given(actions)
def test_what_is_told_of_requests_is_told_of_known_ones(script: list[tuple[str, int, int]]) -> None:
    world = run(script)
    known = {event.key for event in world.asked}
    assert len(known) == len(world.asked)
    for event in world.told:
        if isinstance(event, CancelReceived | AckTimedOut | ServerTransportFailed):
            assert event.key in known


@given(actions)
def test_responses_reach_the_user_for_its_own_keys_only(script: list[tuple[str, int, int]]) -> None:
    world = run(script)
    for event in world.told:
        if isinstance(event, ResponseReceived):
            assert event.key in world.keys
            assert isinstance(event.response, Response)
