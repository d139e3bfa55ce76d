"""The streams of one call: when they begin, what they hear, when they end, and the seam around them.

Whatever goes wrong in a stream ends here: it is logged and counted, it ends that stream, and the call never
hears of it.
"""

import time
from collections.abc import Callable
from functools import partial

from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import CallAnswered, CallEnding, CallStarted, EarlyMediaStarted, Fact, HeaderList
from sidestream.call.side import Side
from sidestream.call.verdict import Slug
from sidestream.config.values import StartOn
from sidestream.gateway.ids import new_id
from sidestream.gateway.media import CallMedia, MediaError
from sidestream.gateway.records import StreamRecord, describe
from sidestream.gateway.stream_plan import CallFacts, StreamChoice, StreamIdentity, format_of
from sidestream.gateway.stream_runner import CallClock, StreamRunner, StreamTools
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.sdp.negotiate import NegotiatedCodec
from sidestream.stream.verdicts import StreamSlug, StreamVerdict

_SLUGS = {Slug.SHUTDOWN: StreamSlug.SHUTDOWN, Slug.MAX_DURATION: StreamSlug.MAX_DURATION}
"""Ends of a call that a stream calls by another name than `completed`."""


class CallStreams:
    """The streams of one call. No method raises.

    Args:
        tools: what all streams share.
        call: what is known about the call.
        choices: the integrations that are used.
        media: the call's legs.
        clock: the call's time.
        log: bound to the call.
    """

    def __init__(
        self,
        tools: StreamTools,
        call: CallFacts,
        choices: list[StreamChoice],
        media: CallMedia,
        *,
        clock: CallClock,
        log: Logger,
    ) -> None:
        self._tools = tools
        self._call = call
        self._waiting = list(choices)
        self._media = media
        self._clock = clock
        self._log = log
        self._on_over: Callable[[], None] = lambda: None
        self._runners: list[StreamRunner] = []
        self._refused: list[StreamRecord] = []
        self._codecs: dict[Side, NegotiatedCodec] = {}
        self._headers: HeaderList = ()

    def attach(self, on_over: Callable[[], None]) -> None:
        """Take whom to tell when a stream has its verdict."""
        self._on_over = on_over

    @property
    def open_count(self) -> int:
        """How many streams have no verdict yet."""
        return sum(runner.verdict is None for runner in self._runners)

    def open_ids(self) -> frozenset[str]:
        """The ids of the streams that have no verdict yet."""
        return frozenset(runner.stream_id for runner in self._runners if runner.verdict is None)

    def records(self) -> list[StreamRecord]:
        """The streams for the call's record."""
        return [*self._refused, *(runner.record() for runner in self._runners)]

    def hear_media(self, update: UpdateLegMedia) -> None:
        """Take note of the codec in use on a leg."""
        if update.codecs:
            self._codecs[update.side] = update.codecs[0]

    def hear(self, fact: Fact) -> None:
        """Take note of a fact: begin, tell or end streams."""
        match fact:
            case CallStarted(headers=headers):
                self._headers = headers
            case EarlyMediaStarted():
                self._begin(early=True)
            case CallAnswered():
                self._begin(early=False)
                self._tell(fact)
            case CallEnding(verdict=ending):
                self._waiting.clear()
                slug = _SLUGS.get(ending.slug, StreamSlug.COMPLETED)
                for runner in self._runners:
                    self._guard(runner, partial(runner.end, slug, ending.detail))
            case _:
                self._tell(fact)

    def give_up(self, detail: str) -> None:
        """End every stream at once, delivered or not."""
        self._waiting.clear()
        for runner in self._runners:
            self._guard(runner, partial(runner.give_up, detail))

    def _tell(self, fact: Fact) -> None:
        for runner in self._runners:
            self._guard(runner, partial(runner.hear, fact))

    def _begin(self, *, early: bool) -> None:
        due = [
            choice
            for choice in self._waiting
            if not early or choice.integration.start_on is StartOn.EARLY_MEDIA
        ]
        for choice in due:
            self._waiting.remove(choice)
            try:
                self._begin_one(choice)
            except Exception:  # noqa: BLE001 - the one seam between streams and their call
                self._fault()
                self._refuse(choice, StreamVerdict(StreamSlug.ENGINE_ERROR, "the stream could not be made"))

    def _begin_one(self, choice: StreamChoice) -> None:
        codec = self._codecs.get(Side.A) or self._codecs.get(Side.B)
        form = format_of(choice.integration, codec)
        if form is None:
            name = codec.name if codec else "none"
            self._refuse(
                choice,
                StreamVerdict(StreamSlug.CODEC_UNSUPPORTED, f"the call's codec, {name}, cannot be streamed"),
            )
            return
        stream = StreamIdentity(
            stream_id=new_id(),
            call=self._call,
            choice=choice,
            format=form,
            started_at=self._clock.wall(),
            start_ns=time.monotonic_ns(),
        )
        runner = StreamRunner(self._tools, stream, self._clock, self._log, self._on_over)
        self._runners.append(runner)
        self._guard(runner, partial(self._open, runner))
        self._guard(runner, partial(runner.tell_headers, self._headers, stream.started_at, Side.A))

    def _open(self, runner: StreamRunner) -> None:
        try:
            runner.begin(self._media, partial(self._guard, runner))
        except MediaError as error:
            runner.fail(f"the media engine refused the stream: {error}")

    def _guard(self, runner: StreamRunner, step: Callable[[], None]) -> None:
        """Run a step of a stream; its errors end that stream and nothing else."""
        try:
            step()
        except Exception:  # noqa: BLE001 - the one seam between streams and their call
            self._fault()
            runner.fail("an error in the handling of the stream")

    def _fault(self) -> None:
        self._log.exception("an error in the handling of a stream")
        self._tools.metrics.count(metrics.STREAM_FAULTS)

    def _refuse(self, choice: StreamChoice, verdict: StreamVerdict) -> None:
        """Note a stream that ended before it began."""
        now = self._clock.wall()
        self._tools.metrics.count(metrics.STREAMS, verdict.slug.value, verdict.result.value)
        self._log.warning("stream not begun", integration=choice.integration.name, **describe(verdict))
        self._refused.append(
            StreamRecord(
                stream_id=new_id(),
                integration=choice.integration.name,
                voice_service=choice.service,
                started_at=now,
                ended_at=now,
                verdict=verdict.slug.value,
                result=verdict.result.value,
                detail=verdict.detail,
                connections=0,
                malformed=0,
            )
        )
