"""What a recording says in the log and counts: its facts, each where it happens."""

from dataclasses import dataclass, field
from typing import assert_never

from sidestream.gateway.recording_records import SessionRecord
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metrics
from sidestream.siprec.commands import (
    AttemptFailed,
    Collided,
    DocumentRefused,
    DocumentSent,
    Established,
    Finish,
    InviteSent,
    MemoryLearned,
    Noted,
    PauseNotSignalled,
    PauseSignalled,
    Report,
    SessionFact,
    SessionLost,
    SnapshotRequested,
    StreamsAgreed,
)
from sidestream.siprec.offer import StreamResult, StreamState
from sidestream.siprec.outcome import FailedOver, FirstPacket, GapMeasured, RecordingLost, RecordingRestored
from sidestream.siprec.verdicts import SessionSlug

ESTABLISHED = "established"
ABANDONED = "abandoned"

Milestone = FailedOver | FirstPacket | GapMeasured | RecordingLost | RecordingRestored


@dataclass(slots=True)
class RecordingLog:
    """Writes and counts for one recording, and keeps its sessions for the record.

    Attributes:
        log: bound to the recording.
        metrics: where it is counted.
        sessions: every session that was begun, by its number.
    """

    log: Logger
    metrics: Metrics
    sessions: dict[int, SessionRecord] = field(default_factory=dict)
    _refused: dict[int, frozenset[str]] = field(default_factory=dict)

    def report(self, report: Report) -> None:
        """Take note of a session's fact."""
        self._fact(report.session, report.fact)

    def finished(self, finish: Finish) -> None:
        """Take note of a session's end."""
        self._refused.pop(finish.session, None)
        session = self.sessions.get(finish.session)
        if session is None:
            return
        verdict = finish.verdict
        session.verdict = verdict.slug.value
        session.cause = verdict.cause.value if verdict.cause else session.cause
        session.status = verdict.status or session.status
        if verdict.slug is SessionSlug.ABANDONED:
            self.metrics.count(metrics.RECORDING_ATTEMPTS, ABANDONED)

    def milestone(self, told: Milestone) -> None:
        """Take note of what befell the recording as a whole."""
        log = self.log
        match told:
            case FailedOver(copy=copy, cause=cause, source=source, target=target, mid_call=mid_call):
                when = "mid-call" if mid_call else "setup"
                self.metrics.count(metrics.RECORDING_FAILOVERS, cause.value, when)
                log.warning(
                    "recording fails over",
                    copy=copy,
                    cause=cause.value,
                    source=source,
                    target=target,
                    when=when,
                )
            case GapMeasured(copy=copy, seconds=seconds):
                self.metrics.observe(metrics.RECORDING_GAP_SECONDS, seconds)
                log.warning("recording has a gap", copy=copy, seconds=seconds)
            case FirstPacket(copy=copy, after_answer_s=after):
                log.debug("recording flows", copy=copy, after_answer_s=after)
                if after is not None:
                    self.metrics.observe(metrics.RECORDING_FIRST_PACKET_SECONDS, after)
            case RecordingLost(action=action, verdict=verdict):
                log.error("nothing records the call any more", action=action, detail=verdict.sentence)
            case RecordingRestored(server=server):
                log.info("recording restored", server=server)
            case _:
                assert_never(told)

    def _fact(self, number: int, fact: SessionFact) -> None:  # noqa: C901, PLR0912 - a case for each fact
        log, count = self.log, self.metrics.count
        session = self.sessions.get(number)
        match fact:
            case InviteSent(server=server, sip_call_id=sip_call_id):
                self.sessions[number] = SessionRecord(server=server, sip_call_id=sip_call_id)
                log.debug("recorder asked", server=server, sip_call_id=sip_call_id)
            case Established(server=server, streams=streams, setup_s=setup_s):
                count(metrics.RECORDING_ATTEMPTS, ESTABLISHED)
                if session is not None:
                    session.setup_s = round(setup_s, 3)
                self._streams(number, streams)
                log.info(
                    "recorder records", server=server, setup_s=round(setup_s, 3), streams=_words(streams)
                )
            case AttemptFailed(server=server, cause=cause, detail=detail, status=status):
                count(metrics.RECORDING_ATTEMPTS, cause.value)
                if session is not None:
                    session.cause, session.status = cause.value, status
                log.warning(
                    "recorder not reached", server=server, cause=cause.value, status=status, detail=detail
                )
            case SessionLost(server=server, cause=cause, detail=detail):
                count(metrics.RECORDING_LOSSES, cause.value)
                log.warning("recorder lost", server=server, cause=cause.value, detail=detail)
            case StreamsAgreed(streams=streams):
                self._streams(number, streams)
                log.info("streams to the recorder changed", streams=_words(streams))
            case Noted(notes=notes):
                for note in notes:
                    count(metrics.RECORDING_ODDITIES, note.value)
                log.info("the recorder's description is odd", notes=[note.value for note in notes])
            case DocumentSent(method=method, revision=revision):
                count(metrics.RECORDING_DOCUMENTS, method)
                log.debug("metadata sent", method=method, revision=revision)
            case DocumentRefused(method=method, status=status, detail=detail):
                count(metrics.RECORDING_DOCUMENTS_REFUSED, method)
                log.warning("metadata refused", method=method, status=status, detail=detail)
            case PauseSignalled(paused=paused):
                log.debug("the recorder knows", paused=paused)
            case PauseNotSignalled(paused=paused, status=status):
                log.warning("the recorder took no notice of a pause", paused=paused, status=status)
            case SnapshotRequested(reason=reason):
                log.info("the recorder asks for a snapshot", reason=reason)
            case Collided(method=method):
                log.info("our change met the recorder's", method=method)
            case MemoryLearned(server=server, memory=memory):
                log.info(
                    "learnt about a recorder",
                    server=server,
                    update_refused=memory.update_refused,
                    metadata_type=memory.metadata_type.value if memory.metadata_type else None,
                    plain_codecs=memory.plain_codecs,
                )
            case _:
                assert_never(fact)

    def _streams(self, number: int, streams: tuple[StreamResult, ...]) -> None:
        """Count the streams that are refused and were not before."""
        refused = frozenset(each.label for each in streams if each.state is StreamState.REFUSED)
        new = refused - self._refused.get(number, frozenset())
        self._refused[number] = refused
        if new:
            self.metrics.count(metrics.RECORDING_STREAMS_REFUSED, by=len(new))


def _words(streams: tuple[StreamResult, ...]) -> dict[str, str]:
    """Say what each stream does, by its label."""
    return {
        each.label: f"{each.state.value} {each.codec.name}" if each.codec else each.state.value
        for each in streams
    }
