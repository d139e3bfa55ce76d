"""A stream session that any events befall, and the promise that holds after all of them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sidestream.stream.events import (
    CloseStream,
    EndAsked,
    FinishStream,
    SessionCommand,
    SessionEvent,
    TimerFired,
)
from sidestream.stream.session import SessionSetup, StreamSession
from sidestream.stream.verdicts import StreamSlug

BEGIN = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)


def play(steps: Iterable[tuple[SessionEvent, float]]) -> None:
    """Apply each event after a pause in seconds, then end the stream: it finishes once, and last."""
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
