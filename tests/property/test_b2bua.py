"""Any order of events, sensible or not, ends a call in one verdict; each request gets one final response."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from call_script import ANSWER, OFFER, CallBench, every, sdp
from sidestream.call.commands import EndCall, SendRequest, SetTimer
from sidestream.call.events import (
    AnswerNotAcknowledged,
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseTransportFailed,
    TimerFired,
    TimerName,
)
from sidestream.call.side import Side
from sidestream.call.verdict import Slug
from sidestream.sip.events import ServerKey

SIDES = st.sampled_from(Side)
BODIES = st.sampled_from(
    [
        b"",
        b"",
        OFFER,
        ANSWER,
        sdp("8 101", port=6000),
        sdp("0", direction="sendonly"),
        sdp("0", direction="inactive"),
        sdp("0", host="0.0.0.0"),  # noqa: S104 - the old form of hold
        sdp("9"),
        sdp("0", port=0),
        b"v=0\r\nnonsense",
        b"Signal=5\r\nDuration=160",
    ]
)
TYPES = st.sampled_from(
    ["application/sdp", "application/sdp", "application/sdp", "application/dtmf-relay", "text/plain"]
)
STATUSES = st.sampled_from(
    [100, 180, 183, 183, 199, 200, 200, 200, 202, 302, 401, 404, 408, 481, 486, 487, 488, 491, 500, 503, 603]
)
METHODS = st.sampled_from(
    ["BYE", "INVITE", "INVITE", "UPDATE", "UPDATE", "INFO", "MESSAGE", "OPTIONS", "REFER", "PRACK"]
)
TAGS = st.sampled_from(["tb", "tb", "tb", "tc", "td", ""])
NUMBERS = st.integers(0, 30)

Step = Callable[[CallBench, list[ServerKey]], None]


def _request(side: Side, method: str, body: bytes, kind: str, jump: int) -> Step:
    def step(bench: CallBench, keys: list[ServerKey]) -> None:
        party = bench.party(side)
        party.cseq = max(1, party.cseq + jump)
        if party.call_id and not bench.b2bua.ended:
            keys.append(bench.request(side, method, body, content_type=kind, cseq=party.cseq))

    return step


def _reply(choice: int, status: int, body: bytes, kind: str, tag: str) -> Step:
    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        if sent := _chosen(bench, choice):
            first = sent.side is Side.B and not sent.request.to_tag
            bench.reply(sent, status, body, tag=tag if first else None, content_type=kind)

    return step


def _lose(choice: int, event: type[RequestTimedOut] | type[RequestTransportFailed]) -> Step:
    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        sent = _chosen(bench, choice)
        bench.apply(event(sent.request_id if sent else 99))

    return step


def _key_event(choice: int, event: type[AnswerNotAcknowledged] | type[ResponseTransportFailed]) -> Step:
    return lambda bench, keys: bench.apply(event(keys[choice % len(keys)]))


def _cancel(choice: int) -> Step:
    return lambda bench, keys: bench.cancel(keys[choice % len(keys)])


def _ack(side: Side, body: bytes, back: int) -> Step:
    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        party = bench.party(side)
        if party.call_id:
            bench.ack(body, side=side, cseq=max(1, party.cseq - back))

    return step


def _timer(name: TimerName) -> Step:
    """A timer fires: when it is armed, or late, after it was disarmed."""

    def step(bench: CallBench, _keys: list[ServerKey]) -> None:
        bench.timers.pop(name, None)
        bench.apply(TimerFired(name))

    return step


def _chosen(bench: CallBench, choice: int) -> SendRequest | None:
    """One of the requests sent, the last ones more often."""
    requests = bench.requests()
    return requests[-1 - choice % len(requests)] if requests else None


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(_request, SIDES, METHODS, BODIES, TYPES, st.sampled_from([1, 1, 1, 1, 0, -1, 5])),
    st.builds(_reply, st.integers(0, 3), STATUSES, BODIES, TYPES, TAGS),
    st.builds(_reply, st.just(0), st.just(200), st.just(ANSWER), st.just("application/sdp"), st.just("tb")),
    st.builds(_ack, SIDES, BODIES, st.sampled_from([0, 0, 0, 1])),
    st.builds(_cancel, NUMBERS),
    st.builds(_lose, NUMBERS, st.sampled_from([RequestTimedOut, RequestTransportFailed])),
    st.builds(_key_event, NUMBERS, st.sampled_from([AnswerNotAcknowledged, ResponseTransportFailed])),
    st.builds(_timer, st.sampled_from([TimerName.RING, TimerName.MAX_DURATION])),
    st.sampled_from([MediaTimedOut(1000), MediaFailed("panic"), HangUp(HangUpBy.OPERATOR, "enough")]).map(
        lambda event: lambda bench, _keys: bench.apply(event)
    ),
)

CALM_STEPS = st.one_of(
    st.builds(_request, SIDES, METHODS.filter(lambda method: method != "BYE"), BODIES, TYPES, st.just(1)),
    st.builds(_reply, st.integers(0, 2), STATUSES, BODIES, TYPES, st.just("tb")),
    st.builds(_reply, st.just(0), st.just(200), st.just(ANSWER), st.just("application/sdp"), st.just("tb")),
    st.builds(_ack, SIDES, BODIES, st.just(0)),
    st.builds(_cancel, NUMBERS),
)


def end_and_check(bench: CallBench, keys: list[ServerKey]) -> None:
    if not bench.b2bua.ended:
        bench.apply(HangUp(HangUpBy.SHUTDOWN, "over"))
    if not bench.b2bua.ended:
        bench.fire(TimerName.TEARDOWN)
    assert bench.b2bua.failure is None
    assert bench.b2bua.ended
    assert bench.verdict.slug is not Slug.INTERNAL_ERROR
    assert isinstance(bench.log[-1], EndCall)
    assert not bench.timers
    for key in keys:
        assert bench.final(key).status >= 200
    assert all(set_.at >= 100.0 for set_ in every(bench.log, SetTimer))


def end_politely(bench: CallBench, keys: list[ServerKey]) -> None:
    """What is open is answered, or its silence is told: nothing is left for the TEARDOWN timer."""
    if not bench.b2bua.ended:
        bench.apply(HangUp(HangUpBy.SHUTDOWN, "over"))
    for key in keys:
        bench.apply(AnswerNotAcknowledged(key))
    for sent in bench.requests():
        bench.apply(RequestTimedOut(sent.request_id))
    assert bench.b2bua.ended
    assert bench.b2bua.failure is None


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([OFFER, OFFER, b"", sdp("9"), b"v=0\r\nnonsense"]),
    st.integers(0, 3),
    st.lists(STEPS, max_size=40),
)
def test_any_order_of_events_ends_in_one_verdict(offer: bytes, peers: int, steps: list[Step]) -> None:
    bench = CallBench(offer=offer, peers=peers).start()
    keys = [bench.invite_key]
    for step in steps:
        bench.now += 0.5
        step(bench, keys)
    end_and_check(bench, keys)


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(CALM_STEPS, min_size=5, max_size=30))
def test_any_order_of_events_while_it_rings_ends_in_one_verdict(
    delayed: bool,
    knows_update: bool,
    steps: list[Step],
) -> None:
    bench = CallBench(offer=b"" if delayed else OFFER, peers=2).start()
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
    bench = CallBench(offer=b"" if delayed else OFFER).start()
    bench.ring()
    bench.answer(OFFER if delayed else ANSWER)
    bench.ack(ANSWER if delayed else b"")
    keys = [bench.invite_key]
    for step in steps:
        bench.now += 0.5
        step(bench, keys)
    end(bench, keys)
