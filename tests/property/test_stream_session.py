"""Any order of events ends a stream in exactly one verdict, and nothing is ordered after it."""

import contextlib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from sidestream.stream.events import (
    AbortAsked,
    AttemptFailed,
    CloseStream,
    Connected,
    ConnectionLost,
    EndAsked,
    EngineClosed,
    FactLearned,
    FinishStream,
    PauseAsked,
    ResumeAsked,
    SessionCommand,
    SessionEvent,
    TextReceived,
    TimerFired,
)
from sidestream.stream.inbound import MalformedMessageError, parse_inbound
from sidestream.stream.messages import EmptyData
from sidestream.stream.session import SessionSetup, StreamSession
from sidestream.stream.verdicts import AttemptFailure, StreamSlug

BEGIN = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)

EVENTS: st.SearchStrategy[SessionEvent] = st.one_of(
    st.just(Connected()),
    st.builds(
        AttemptFailed, st.sampled_from(AttemptFailure), st.just("why"), st.sampled_from([None, 401, 503])
    ),
    st.builds(ConnectionLost, st.just("reset"), st.just("why"), st.booleans()),
    st.builds(EndAsked, st.sampled_from(StreamSlug), st.just("why"), st.just(BEGIN)),
    st.builds(AbortAsked, st.sampled_from(StreamSlug), st.just("why")),
    st.builds(EngineClosed, st.booleans()),
    st.builds(PauseAsked, st.sampled_from(["api", "endpoint", "policy"]), st.just(BEGIN)),
    st.builds(ResumeAsked, st.sampled_from(["api", "endpoint", "policy"]), st.just(BEGIN)),
    st.builds(
        TextReceived,
        st.sampled_from(["{", '{"event":"stop"}', '{"event":"pause"}', '{"event":"mark"}']),
        st.just(BEGIN),
    ),
    st.just(FactLearned("call.held", EmptyData(), BEGIN)),
    st.just(TimerFired()),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 40)), max_size=60))
def test_any_order_of_events_ends_in_exactly_one_verdict(steps: list[tuple[SessionEvent, float]]) -> None:
    stream = StreamSession(SessionSetup(("wss://a/", "wss://b/"), BEGIN, 8000), lambda: 0.5, 0.0)
    given_commands: list[SessionCommand] = stream.start()
    now = 0.0
    for event, pause in steps:
        now += pause
        given_commands += stream.apply(event, now)
    # An end that is asked for arrives, even when the engine and the endpoint say nothing more.
    given_commands += stream.apply(EndAsked(StreamSlug.COMPLETED, "over", BEGIN), now)
    rounds = 0
    while (due := stream.timer()) is not None:
        now = max(now, due)
        given_commands += stream.apply(TimerFired(), now)
        rounds += 1
        assert rounds < 200
    finishes = [command for command in given_commands if isinstance(command, FinishStream)]
    assert len(finishes) == 1
    assert given_commands[-1] is finishes[0]
    assert sum(isinstance(command, CloseStream) for command in given_commands) <= 1


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("utf-8", "replace")))
def test_any_text_of_an_endpoint_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedMessageError):
        parse_inbound(text)
