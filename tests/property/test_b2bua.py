"""Any order of events, sensible or not, ends a call in one verdict; each request gets one final response."""

from hypothesis import given, settings
from hypothesis import strategies as st

import call_steps
from call_script import ANSWER, OFFER, CallBench, sdp
from call_steps import (
    Step,
    ack,
    answer_timed,
    cancel,
    end_and_check,
    end_politely,
    fire,
    key_event,
    lose,
    prack,
    refresh,
    reply,
    request,
    ring_reliably,
)
from sidestream.call.events import (
    AnswerNotAcknowledged,
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    ProgressNotAcknowledged,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseTransportFailed,
    TimerName,
)
from sidestream.call.features import Features, Use
from sidestream.call.side import Side

SIDES = st.sampled_from(Side)
BODIES = st.sampled_from(call_steps.BODIES)
TYPES = st.sampled_from(call_steps.TYPES)
STATUSES = st.sampled_from(call_steps.STATUSES)
METHODS = st.sampled_from(call_steps.METHODS)
TAGS = st.sampled_from(call_steps.TAGS)
NUMBERS = st.integers(0, 30)
SESSION_TIMERS = [TimerName.SESSION_A, TimerName.SESSION_B]
TIMED = st.sampled_from(call_steps.TIMED)
OPTIONS = st.sampled_from(call_steps.OPTIONS)
FEATURES = st.tuples(
    *[st.builds(Features, prack=st.sampled_from(Use), follow_redirects=st.booleans()) for _ in Side]
)
PROGRESS: st.SearchStrategy[Step] = st.one_of(
    st.builds(ring_reliably, st.sampled_from([1, 1, 2, 2, 3, 4]), BODIES, TAGS),
    st.builds(prack, st.sampled_from([Side.A, Side.A, Side.B]), BODIES, st.sampled_from([0, 0, 0, 1])),
)

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(request, SIDES, METHODS, BODIES, TYPES, st.sampled_from([1, 1, 1, 1, 0, -1, 5])),
    st.builds(reply, st.integers(0, 3), STATUSES, BODIES, TYPES, TAGS),
    st.builds(reply, st.just(0), st.just(200), st.just(ANSWER), st.just("application/sdp"), st.just("tb")),
    st.builds(ack, SIDES, BODIES, st.sampled_from([0, 0, 0, 1])),
    st.builds(cancel, NUMBERS),
    st.builds(lose, NUMBERS, st.sampled_from([RequestTimedOut, RequestTransportFailed])),
    st.builds(
        key_event,
        NUMBERS,
        st.sampled_from([AnswerNotAcknowledged, ProgressNotAcknowledged, ResponseTransportFailed]),
    ),
    PROGRESS,
    st.builds(fire, st.sampled_from([TimerName.RING, TimerName.MAX_DURATION, *SESSION_TIMERS])),
    st.sampled_from([MediaTimedOut(1000), MediaFailed("panic"), HangUp(HangUpBy.OPERATOR, "enough")]).map(
        lambda event: lambda bench, _keys: bench.apply(event)
    ),
)

CALM_STEPS = st.one_of(
    st.builds(request, SIDES, METHODS.filter(lambda method: method != "BYE"), BODIES, TYPES, st.just(1)),
    st.builds(reply, st.integers(0, 2), STATUSES, BODIES, TYPES, st.just("tb")),
    st.builds(reply, st.just(0), st.just(200), st.just(ANSWER), st.just("application/sdp"), st.just("tb")),
    st.builds(ack, SIDES, BODIES, st.just(0)),
    st.builds(cancel, NUMBERS),
    PROGRESS,
    PROGRESS,
    st.builds(fire, st.sampled_from(SESSION_TIMERS)),
    st.builds(answer_timed, st.integers(0, 2), STATUSES, BODIES, TIMED),
    st.builds(refresh, SIDES, st.sampled_from(["INVITE", "UPDATE"]), BODIES, TIMED),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([OFFER, OFFER, b"", sdp("9"), b"v=0\r\nnonsense"]),
    st.integers(0, 3),
    OPTIONS,
    FEATURES,
    st.lists(STEPS, max_size=40),
)
def test_any_order_of_events_ends_in_one_verdict(
    offer: bytes,
    peers: int,
    options: list[tuple[str, str]],
    features: tuple[Features, Features],
    steps: list[Step],
) -> None:
    bench = CallBench(offer=offer, peers=peers, headers=options, features=features).start()
    keys = [bench.invite_key]
    for step in steps:
        bench.now += 0.5
        step(bench, keys)
    end_and_check(bench, keys)


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.booleans(), OPTIONS, st.lists(CALM_STEPS, min_size=5, max_size=30))
def test_any_order_of_events_while_it_rings_ends_in_one_verdict(
    delayed: bool,
    knows_update: bool,
    options: list[tuple[str, str]],
    steps: list[Step],
) -> None:
    bench = CallBench(offer=b"" if delayed else OFFER, peers=2, headers=options).start()
    bench.ring(183, ANSWER, Allow="INVITE, UPDATE" if knows_update else "INVITE")
    bench.ring(180, tag="tc")
    keys = [bench.invite_key]
    for step in steps:
        bench.now += 0.5
        step(bench, keys)
    end_and_check(bench, keys)


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.lists(CALM_STEPS, min_size=5, max_size=40),
    st.sampled_from([end_and_check, end_politely]),
)
def test_any_order_of_events_within_a_call_ends_in_one_verdict(
    delayed: bool, steps: list[Step], end: Step
) -> None:
    timed = [("Supported", "timer"), ("Session-Expires", "600;refresher=uas")]
    bench = CallBench(offer=b"" if delayed else OFFER, headers=timed).start()
    bench.ring()
    bench.answer(OFFER if delayed else ANSWER, headers=[("Session-Expires", "600;refresher=uac")])
    bench.ack(ANSWER if delayed else b"")
    keys = [bench.invite_key]
    for step in steps:
        bench.now += 0.5
        step(bench, keys)
    end(bench, keys)
