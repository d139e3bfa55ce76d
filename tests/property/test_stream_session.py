"""Any order of events ends a stream in exactly one verdict, and nothing is ordered after it."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from sidestream.stream.events import (
    AbortAsked,
    AttemptFailed,
    Connected,
    ConnectionLost,
    EndAsked,
    EngineClosed,
    FactLearned,
    PauseAsked,
    ResumeAsked,
    SessionEvent,
    TextReceived,
    TimerFired,
)
from sidestream.stream.inbound import MalformedMessageError, parse_inbound
from sidestream.stream.messages import EmptyData
from sidestream.stream.verdicts import AttemptFailure, StreamSlug
from stream_world import BEGIN, play

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
    play(steps)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("utf-8", "replace")))
def test_any_text_of_an_endpoint_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedMessageError):
        parse_inbound(text)
