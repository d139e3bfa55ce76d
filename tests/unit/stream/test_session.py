"""The life of one stream: every row of its table, and what is said to the endpoint on the way."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sidestream.errors import StateError
from sidestream.stream.events import (
    AbortAsked,
    AbortStream,
    AttemptFailed,
    CloseStream,
    Connected,
    ConnectEndpoint,
    ConnectionLost,
    EndAsked,
    EngineClosed,
    FactLearned,
    FinishStream,
    PauseAsked,
    PauseMedia,
    ResumeAsked,
    SendMessage,
    SessionCommand,
    TextReceived,
    TimerFired,
)
from sidestream.stream.messages import EmptyData, encode
from sidestream.stream.reconnect import ReconnectPolicy
from sidestream.stream.session import (
    MALFORMED_MAX,
    MOVES,
    UNCONNECTED_GRACE_S,
    SessionSetup,
    State,
    StreamSession,
    Trigger,
)
from sidestream.stream.verdicts import AttemptFailure, StreamSlug

BEGIN = datetime(2026, 11, 23, 10, 15, 30, 120_000, tzinfo=UTC)
REFUSED = AttemptFailed(AttemptFailure.TCP_REFUSED, "127.0.0.1:8443 refused")
RESET = ConnectionLost("reset", "connection reset by peer", clean=False)
ENDED = EndAsked(StreamSlug.COMPLETED, "BYE from caller", BEGIN + timedelta(seconds=120))


def session(*endpoints: str, window_s: float = 60.0) -> StreamSession:
    policy = ReconnectPolicy(window_s=window_s)
    setup = SessionSetup(endpoints or ("wss://a/", "wss://b/"), BEGIN, 8000, policy)
    return StreamSession(setup, chance=lambda: 0.5, now=0.0)


def streaming(*endpoints: str) -> StreamSession:
    stream = session(*endpoints)
    stream.start()
    assert stream.apply(Connected(), 0.1) == []
    return stream


def slug_of(commands: list[SessionCommand]) -> StreamSlug:
    (finish,) = commands
    assert isinstance(finish, FinishStream)
    return finish.verdict.slug


def metadata_of(commands: list[SessionCommand]) -> list[tuple[str, object]]:
    said = []
    for command in commands:
        if isinstance(command, SendMessage):
            body = msgspec.json.decode(encode(command.body))
            said.append((body["type"], body["data"]))
    return said


def test_a_stream_that_is_taken_to_its_end_is_completed() -> None:
    stream = session()
    assert stream.start() == [ConnectEndpoint("wss://a/", 1, resumed=False)]
    stream.apply(Connected(), 0.1)
    (close,) = stream.apply(ENDED, 120.0)
    assert isinstance(close, CloseStream)
    assert msgspec.json.decode(encode(close.body)) == {
        "reason": "call-ended",
        "detail": "BYE from caller",
        "endedAt": "2026-11-23T10:17:30.120Z",
        "durationMs": 120000,
    }
    assert close.code == 1000
    assert slug_of(stream.apply(EngineClosed(close_sent=True), 121.0)) is StreamSlug.COMPLETED


def test_shutdown_closes_with_1001() -> None:
    stream = streaming()
    (close,) = stream.apply(EndAsked(StreamSlug.SHUTDOWN, "the gateway shuts down", BEGIN), 1.0)
    assert isinstance(close, CloseStream)
    assert (close.body.reason, close.code) == ("shutdown", 1001)
    assert slug_of(stream.apply(EngineClosed(close_sent=True), 2.0)) is StreamSlug.SHUTDOWN


def test_attempts_walk_the_endpoint_list_with_doubling_delays_until_the_window_is_over() -> None:
    stream = session()
    stream.start()
    now, attempts = 0.0, []
    commands = stream.apply(REFUSED, now)
    while commands == []:
        due = stream.timer()
        assert due is not None
        waited, now = due - now, due
        commands = stream.apply(TimerFired(), now)
        if isinstance(commands[0], ConnectEndpoint):
            attempts.append((round(waited, 3), commands[0].endpoint))
            commands = stream.apply(REFUSED, now)
    assert attempts[:7] == [
        (0.25, "wss://b/"),
        (0.5, "wss://a/"),
        (1.0, "wss://b/"),
        (2.0, "wss://a/"),
        (4.0, "wss://b/"),
        (5.0, "wss://a/"),
        (5.0, "wss://b/"),
    ]
    assert commands == [AbortStream()]
    assert now == pytest.approx(60.0)
    assert slug_of(stream.apply(EngineClosed(close_sent=False), now)) is StreamSlug.CONNECTION_REFUSED


@pytest.mark.parametrize(
    ("failure", "status", "slug"),
    [
        (AttemptFailure.TCP_REFUSED, None, StreamSlug.CONNECTION_REFUSED),
        (AttemptFailure.TCP_TIMEOUT, None, StreamSlug.CONNECTION_TIMEOUT),
        (AttemptFailure.TIMEOUT, None, StreamSlug.CONNECTION_TIMEOUT),
        (AttemptFailure.TCP_UNREACHABLE, None, StreamSlug.UNREACHABLE),
        (AttemptFailure.TLS_CERTIFICATE, None, StreamSlug.TLS_CERTIFICATE),
        (AttemptFailure.TLS_HANDSHAKE, None, StreamSlug.TLS_HANDSHAKE),
        (AttemptFailure.HTTP_STATUS, 302, StreamSlug.HTTP_ERROR),
        (AttemptFailure.HTTP_STATUS, 503, StreamSlug.HTTP_ERROR),
        (AttemptFailure.HTTP_PROTOCOL, None, StreamSlug.PROTOCOL_ERROR),
        (AttemptFailure.NAME_NOT_RESOLVED, None, StreamSlug.NAME_NOT_RESOLVED),
        (AttemptFailure.ADDRESS_DENIED, None, StreamSlug.ADDRESS_DENIED),
        (AttemptFailure.ENGINE, None, StreamSlug.ENGINE_ERROR),
    ],
)
def test_a_failure_that_lasts_for_the_whole_window_names_the_verdict(
    failure: AttemptFailure, status: int | None, slug: StreamSlug
) -> None:
    stream = session("wss://a/", window_s=1.0)
    stream.start()
    assert stream.apply(AttemptFailed(failure, "why", status), 1.5) == [AbortStream()]
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 1.6)) is slug


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (401, StreamSlug.UNAUTHORIZED),
        (403, StreamSlug.FORBIDDEN),
        (404, StreamSlug.NOT_FOUND),
        (410, StreamSlug.GONE),
    ],
)
def test_a_refusal_is_final_for_its_endpoint_only(status: int, slug: StreamSlug) -> None:
    stream = session("wss://a/", "wss://b/")
    stream.start()
    refusal = AttemptFailed(AttemptFailure.HTTP_STATUS, f"HTTP {status}", status)
    assert stream.apply(refusal, 0.0) == []
    assert stream.apply(TimerFired(), 0.25) == [ConnectEndpoint("wss://b/", 1, resumed=False)]
    stream.apply(REFUSED, 0.3)
    assert stream.apply(TimerFired(), 0.8) == [ConnectEndpoint("wss://b/", 1, resumed=False)]
    assert stream.apply(refusal, 0.9) == [AbortStream()]
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 1.0)) is slug


def test_a_lost_connection_is_made_again_at_once_and_resumed() -> None:
    stream = streaming()
    assert stream.apply(RESET, 10.0) == [ConnectEndpoint("wss://a/", 2, resumed=True)]
    stream.apply(Connected(), 10.1)
    assert stream.state is State.STREAMING
    assert stream.connections == 2


def test_an_endpoint_that_accepts_and_drops_is_not_hammered() -> None:
    stream = streaming()
    assert len(stream.apply(RESET, 0.2)) == 1
    stream.apply(Connected(), 0.3)
    assert stream.apply(RESET, 0.4) == []
    assert stream.timer() == pytest.approx(0.65)
    assert stream.apply(TimerFired(), 0.65) == [ConnectEndpoint("wss://b/", 3, resumed=True)]


def test_an_outage_longer_than_the_window_loses_the_endpoint() -> None:
    stream = streaming("wss://a/")
    stream.apply(RESET, 10.0)
    assert stream.apply(REFUSED, 70.0) == [AbortStream()]
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 70.1)) is StreamSlug.ENDPOINT_LOST


def test_a_clean_close_of_the_endpoint_ends_the_stream() -> None:
    stream = streaming()
    assert stream.apply(ConnectionLost("closed_by_endpoint", "1000", clean=True), 3.0) == [AbortStream()]
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 3.1)) is StreamSlug.STOPPED_BY_ENDPOINT


def test_an_end_without_connection_goes_on_trying_to_deliver() -> None:
    stream = streaming("wss://a/")
    stream.apply(RESET, 10.0)
    stream.apply(REFUSED, 10.1)
    assert isinstance(stream.apply(ENDED, 10.2)[0], CloseStream)
    assert stream.apply(TimerFired(), 10.5) == [ConnectEndpoint("wss://a/", 2, resumed=True)]
    stream.apply(Connected(), 10.6)
    assert stream.state is State.CLOSING
    assert slug_of(stream.apply(EngineClosed(close_sent=True), 11.0)) is StreamSlug.COMPLETED


def test_a_stream_that_never_connected_outlives_its_call_by_a_short_grace_only() -> None:
    stream = session("wss://a/")
    stream.start()
    stream.apply(REFUSED, 9.0)
    stream.apply(ENDED, 9.1)
    assert stream.apply(TimerFired(), 9.1 + UNCONNECTED_GRACE_S) == [AbortStream()]
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 15.0)) is StreamSlug.CONNECTION_REFUSED


def test_an_end_in_the_first_attempt_that_is_then_aborted_was_not_connected() -> None:
    stream = session()
    stream.start()
    stream.apply(ENDED, 0.1)
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 0.2)) is StreamSlug.NOT_CONNECTED


@pytest.mark.parametrize("by_engine", [True, False])
def test_an_endpoint_that_does_not_take_the_rest_is_stalled(by_engine: bool) -> None:
    stream = streaming()
    stream.apply(ENDED, 10.0)
    if not by_engine:
        assert stream.apply(TimerFired(), 19.0) == []
        assert stream.apply(TimerFired(), 20.0) == [AbortStream()]
    assert slug_of(stream.apply(EngineClosed(close_sent=False), 20.0)) is StreamSlug.ENDPOINT_STALLED


def test_an_engine_that_does_not_confirm_an_abort_is_not_waited_for_for_ever() -> None:
    stream = streaming()
    stream.apply(AbortAsked(StreamSlug.SHUTDOWN, "at once"), 1.0)
    assert stream.apply(TimerFired(), 2.0) == []
    assert slug_of(stream.apply(TimerFired(), 6.0)) is StreamSlug.SHUTDOWN
    assert stream.apply(EngineClosed(close_sent=True), 7.0) == []


def test_an_attempt_of_which_nothing_is_heard_counts_as_timed_out() -> None:
    stream = session("wss://a/")
    stream.start()
    assert stream.apply(TimerFired(), 29.0) == []
    stream.apply(TimerFired(), 30.0)
    assert stream.last_failure is not None
    assert stream.last_failure.slug is StreamSlug.CONNECTION_TIMEOUT


def test_an_engine_that_lets_go_by_itself_is_an_engine_error() -> None:
    assert slug_of(streaming().apply(EngineClosed(close_sent=False), 1.0)) is StreamSlug.ENGINE_ERROR


def test_the_endpoint_pauses_and_resumes() -> None:
    stream = streaming()
    paused = stream.apply(TextReceived('{"event":"pause"}', BEGIN), 1.0)
    assert paused[0] == PauseMedia(on=True)
    assert metadata_of(paused) == [("stream.paused", {"by": "endpoint"})]
    assert stream.apply(TextReceived('{"event":"pause","pause":{}}', BEGIN), 1.1) == []
    resumed = stream.apply(TextReceived('{"event":"resume"}', BEGIN), 2.0)
    assert resumed[0] == PauseMedia(on=False)
    assert metadata_of(resumed) == [("stream.resumed", {"by": "endpoint"})]


def test_the_endpoint_cannot_undo_the_pause_of_the_api() -> None:
    stream = streaming()
    assert stream.apply(PauseAsked("api", BEGIN), 1.0)
    assert stream.apply(TextReceived('{"event":"resume"}', BEGIN), 1.1) == []
    stream.apply(TextReceived('{"event":"pause"}', BEGIN), 1.2)
    assert stream.apply(ResumeAsked("api", BEGIN), 1.3) == []
    assert stream.paused
    assert stream.apply(TextReceived('{"event":"resume"}', BEGIN), 1.4)[0] == PauseMedia(on=False)


def test_the_endpoint_stops_the_stream() -> None:
    stream = streaming()
    (close,) = stream.apply(TextReceived('{"event":"stop","stop":{"reason":"enough"}}', BEGIN), 1.0)
    assert isinstance(close, CloseStream)
    assert (close.body.reason, close.body.detail) == ("stopped-by-endpoint", "enough")
    assert slug_of(stream.apply(EngineClosed(close_sent=True), 2.0)) is StreamSlug.STOPPED_BY_ENDPOINT


@pytest.mark.parametrize("event", ["media", "mark", "clear", "dtmf"])
def test_duplex_messages_are_answered_with_stream_error(event: str) -> None:
    body = {"channel": 0, "payload": "AAAA", "name": "m", "digits": "12#"}
    text = msgspec.json.encode({"event": event, event: body}).decode()
    stream = streaming()
    ((kind, data),) = metadata_of(stream.apply(TextReceived(text, BEGIN), 1.0))
    assert kind == "stream.error"
    assert "not duplex" in str(data)
    assert event in str(data)


def test_the_hundredth_malformed_message_ends_the_stream_with_reason_error() -> None:
    stream = streaming()
    for _ in range(MALFORMED_MAX - 1):
        ((kind, _),) = metadata_of(stream.apply(TextReceived("{", BEGIN), 1.0))
        assert kind == "stream.error"
    said, close = stream.apply(TextReceived("{", BEGIN), 1.0)
    assert isinstance(said, SendMessage)
    assert isinstance(close, CloseStream)
    assert close.body.reason == "error"
    assert slug_of(stream.apply(EngineClosed(close_sent=True), 2.0)) is StreamSlug.TOO_MANY_ERRORS


def test_facts_carry_their_instant_and_their_place_on_the_clock() -> None:
    fact = FactLearned("call.held", EmptyData(), BEGIN + timedelta(seconds=32.36), "callee")
    (command,) = streaming().apply(fact, 32.4)
    assert isinstance(command, SendMessage)
    assert msgspec.json.decode(encode(command.body)) == {
        "type": "call.held",
        "at": "2026-11-23T10:16:02.480Z",
        "timestamp": 258880,
        "participantId": "callee",
        "data": {},
    }


def test_nothing_is_said_after_close_was_ordered() -> None:
    stream = streaming()
    stream.apply(ENDED, 1.0)
    fact = FactLearned("call.held", EmptyData(), BEGIN)
    for event in (fact, TextReceived("{", BEGIN), PauseAsked("api", BEGIN), ENDED):
        assert stream.apply(event, 1.1) == []


def test_a_move_that_the_table_does_not_list_raises() -> None:
    stream = streaming()
    assert (State.STREAMING, Trigger.RETRY_DUE) not in MOVES
    with pytest.raises(StateError):
        stream._move(Trigger.RETRY_DUE)


def test_every_state_but_the_last_can_be_left_and_every_state_is_reached() -> None:
    assert {state for state, _ in MOVES} == set(State) - {State.CLOSED}
    assert set(MOVES.values()) == set(State)
