"""Orders of events: transactions, calls and streams keep their promises in all of them."""

from collections.abc import Callable

import sip_world
from call_script import CallBench, sdp
from call_steps import (
    BODIES,
    METHODS,
    STATUSES,
    TAGS,
    TYPES,
    Step,
    ack,
    cancel,
    end_and_check,
    fire,
    key_event,
    lose,
    reply,
    request,
)
from fuzz.target import Choices, Target
from sidestream.call.events import (
    AnswerNotAcknowledged,
    CallEvent,
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    RequestTimedOut,
    RequestTransportFailed,
    ResponseTransportFailed,
    TimerName,
)
from sidestream.call.side import Side
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
from sidestream.stream.messages import EmptyData, PausedBy
from sidestream.stream.verdicts import AttemptFailure, StreamSlug
from stream_world import BEGIN, play

_STEPS_MAX = 50
_SIDES = tuple(Side)
_OFFERS = [sdp(), b"", sdp("9"), b"v=0\r\nnonsense"]
_JUMPS = [1, 1, 1, 1, 0, -1, 5]
_BY: list[PausedBy] = ["api", "endpoint", "policy"]
_TEXTS = ["{", '{"event":"stop"}', '{"event":"pause"}', '{"event":"resume"}', '{"event":"mark"}']


def transactions(data: bytes) -> None:
    """All transactions end, each request of ours once, and no timer is left."""
    choices = Choices(data)
    script: list[tuple[str, int, int]] = []
    while choices and len(script) < _STEPS_MAX:
        script.append((choices.pick(sip_world.ACTIONS), choices.number(8), choices.pick(sip_world.STATUSES)))
    world = sip_world.run(script)
    sip_world.check_idle(world)
    sip_world.check_endings(world)


def b2bua(data: bytes) -> None:
    """A call ends in one verdict, and each request in one final response."""
    choices = Choices(data)
    bench = CallBench(offer=choices.pick(_OFFERS), peers=choices.number(4)).start()
    keys = [bench.invite_key]
    for _ in range(_STEPS_MAX):
        if not choices:
            break
        bench.now += 0.5
        choices.pick(_CALL_STEPS)(choices)(bench, keys)
    end_and_check(bench, keys)


def _request(choices: Choices) -> Step:
    side, method = choices.pick(_SIDES), choices.pick(METHODS)
    return request(side, method, choices.pick(BODIES), choices.pick(TYPES), choices.pick(_JUMPS))


def _reply(choices: Choices) -> Step:
    number, status = choices.number(4), choices.pick(STATUSES)
    return reply(number, status, choices.pick(BODIES), choices.pick(TYPES), choices.pick(TAGS))


def _answer(choices: Choices) -> Step:
    return reply(choices.number(2), 200, sdp("0 101", port=5000, host="192.0.2.20"), TYPES[0], TAGS[0])


def _ack(choices: Choices) -> Step:
    return ack(choices.pick(_SIDES), choices.pick(BODIES), choices.pick([0, 0, 0, 1]))


def _cancel(choices: Choices) -> Step:
    return cancel(choices.number(31))


def _lose(choices: Choices) -> Step:
    number = choices.number(31)
    return lose(number, RequestTransportFailed if choices.number(2) else RequestTimedOut)


def _key_event(choices: Choices) -> Step:
    number = choices.number(31)
    return key_event(number, ResponseTransportFailed if choices.number(2) else AnswerNotAcknowledged)


def _fire(choices: Choices) -> Step:
    return fire(choices.pick([TimerName.RING, TimerName.MAX_DURATION]))


def _misfortune(choices: Choices) -> Step:
    events: list[CallEvent] = [MediaTimedOut(1000), MediaFailed("panic"), HangUp(HangUpBy.OPERATOR, "enough")]
    event = choices.pick(events)
    return lambda bench, _keys: bench.apply(event)


_CALL_STEPS: tuple[Callable[[Choices], Step], ...] = (
    _request, _reply, _answer, _ack, _cancel, _lose, _key_event, _fire, _misfortune, _request, _reply,
)  # fmt: skip


def stream_session(data: bytes) -> None:
    """A stream ends in one verdict, and nothing is ordered after it."""
    choices = Choices(data)
    steps: list[tuple[SessionEvent, float]] = []
    while choices and len(steps) < _STEPS_MAX:
        steps.append((choices.pick(_STREAM_EVENTS)(choices), choices.number(256) / 6))
    play(steps)


def _attempt_failed(choices: Choices) -> SessionEvent:
    return AttemptFailed(choices.pick(tuple(AttemptFailure)), "why", choices.pick([None, 401, 503]))


def _connection_lost(choices: Choices) -> SessionEvent:
    return ConnectionLost("reset", "why", bool(choices.number(2)))


def _end_asked(choices: Choices) -> SessionEvent:
    return EndAsked(choices.pick(tuple(StreamSlug)), "why", BEGIN)


def _abort_asked(choices: Choices) -> SessionEvent:
    return AbortAsked(choices.pick(tuple(StreamSlug)), "why")


_STREAM_EVENTS: tuple[Callable[[Choices], SessionEvent], ...] = (
    lambda _: Connected(),
    _attempt_failed,
    _connection_lost,
    _end_asked,
    _abort_asked,
    lambda choices: EngineClosed(bool(choices.number(2))),
    lambda choices: PauseAsked(choices.pick(_BY), BEGIN),
    lambda choices: ResumeAsked(choices.pick(_BY), BEGIN),
    lambda choices: TextReceived(choices.pick(_TEXTS), BEGIN),
    lambda _: FactLearned("call.held", EmptyData(), BEGIN),
    lambda _: TimerFired(),
)

TARGETS = (
    Target("transactions", transactions, max_bytes=3 * _STEPS_MAX, short_runs=250),
    Target("b2bua", b2bua, max_bytes=6 * _STEPS_MAX, short_runs=100),
    Target("stream_session", stream_session, max_bytes=4 * _STEPS_MAX, short_runs=3000),
)
