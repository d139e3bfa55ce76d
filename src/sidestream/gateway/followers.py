"""Those who follow a call: its streams and its recordings. Neither can fail it."""

from collections.abc import Callable
from dataclasses import dataclass

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import Fact
from sidestream.gateway.recorder import CallRecordings, Gate
from sidestream.gateway.streamer import CallStreams


@dataclass(frozen=True, slots=True)
class CallFollowers:
    """The streams and the recordings of one call. No method raises."""

    streams: CallStreams
    recordings: CallRecordings

    def attach(self, on_over: Callable[[], None], hang_up: Callable[[str], None]) -> None:
        """Take whom to tell when a stream or recording is over, and who ends the call by policy."""
        self.streams.attach(on_over)
        self.recordings.attach(on_over, hang_up)

    def admit(self, gate: Gate) -> None:
        """Let the call go on, at once or when it is recorded as it must be."""
        self.recordings.admit(gate)

    def hear(self, fact: Fact) -> None:
        """Take note of a fact."""
        self.recordings.hear(fact)
        self.streams.hear(fact)

    def hear_media(self, update: UpdateLegMedia) -> None:
        """Take note of what was agreed on a leg."""
        self.recordings.hear_media(update)
        self.streams.hear_media(update)

    @property
    def open_count(self) -> int:
        """How many streams and recordings are not over."""
        return self.streams.open_count + self.recordings.open_count

    def open_ids(self) -> frozenset[str]:
        """Return the ids of streams and recordings that have no verdict yet."""
        return self.streams.open_ids() | self.recordings.open_ids()

    def give_up(self, detail: str) -> None:
        """End every stream and recording at once."""
        self.streams.give_up(detail)
        self.recordings.give_up(detail)
