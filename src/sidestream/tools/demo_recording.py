"""What the recorder of the demonstration kept, beside what was said and what the phones know of the call."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from lxml import etree

from sidestream.sip.errors import ParseError
from sidestream.sip.uri import SipUri, parse_uri
from sidestream.siprec.errors import MetadataError
from sidestream.siprec.metadata import Recording
from sidestream.siprec.xml import parse_tree
from sidestream.tools import g711
from sidestream.tools.compare import Frame, compare
from sidestream.tools.demo_evidence import (
    Check,
    Lane,
    MetadataStep,
    Party,
    RecordedCall,
    RecordedParty,
    Witness,
)
from sidestream.tools.demo_wav import StoredLane, check_wav
from sidestream.tools.g711 import Law
from sidestream.tools.recorder_answers import words_of
from sidestream.tools.recorder_metadata import MetadataHistory, label_scope
from sidestream.tools.recorder_metadata import Party as Participant
from sidestream.tools.recorder_result import MetadataEntry, RecordedStream, SessionResult
from sidestream.tools.rtp import CLOCK_RATE

TOLERANCE_S: Final = 0.3
"""Between what the phones know and what the metadata tells; a phone rings for longer than that."""
METADATA_DIRECTORY: Final = "recording-metadata"
STATES: Final = ("talking", "held", "talking", "ended")
"""What the call goes through, as the metadata must tell it."""


@dataclass(frozen=True, slots=True)
class CallTimes:
    """What the phones know of the call.

    Attributes:
        at: the time of day at which it began.
        begin: the same on the clock of the frames, in s.
        answered: when it was answered, in seconds since then.
        ended: when it was over, in seconds since then.
    """

    at: datetime
    begin: float
    answered: float
    ended: float

    def since(self, at: datetime | None) -> float | None:
        """Return a time of day in seconds since the call began."""
        return None if at is None else (at - self.at).total_seconds()


def gather_recording(
    law: Law, result: SessionResult | None, parties: tuple[Party, Party], times: CallTimes
) -> tuple[RecordedCall | None, Witness]:
    """Return what the recorder has, and the recorder as a witness.

    Args:
        law: the codec of the call.
        result: its session; None when none came.
        parties: the caller and the callee.
        times: what they know of the call.
    """
    history = _History(times)
    if result is not None:
        labels = {stream.label for stream in result.streams}
        for entry in result.documents:
            history.take(entry, labels)
    people = history.person(parties[0]), history.person(parties[1])
    streams = [_stream_of(result, person) for person in people]
    lanes = tuple(_lane(law, party, stream) for party, stream in zip(parties, streams, strict=True))
    checks: list[Check] = []
    recorded = None
    if result is not None:
        recorded = RecordedCall(
            result,
            people,
            tuple(history.steps),
            times.since(history.stopped),
            _begin(lanes, times),
            _messages(result.directory / "messages.txt"),
        )
        checks += _check_files(law, result, lanes, streams)
        checks.append(_check_keys(parties, lanes, streams))
        checks += [_check_schema(recorded), _check_parties(recorded, parties, times), _check_hold(recorded)]
    return recorded, Witness(
        "recorder",
        "The recorder",
        "The call's RTP forked to a SIPREC recording server, one stream for each participant.",
        lanes,
        tuple(checks),
    )


class _History:
    """Reads the documents that were kept, in their order, as they lie on the disk."""

    def __init__(self, times: CallTimes) -> None:
        self.steps: list[MetadataStep] = []
        self.stopped: datetime | None = None
        self._times = times
        self._picture = MetadataHistory()
        self._people: dict[str, Participant] = {}
        self._labels: dict[str, set[str]] = {}
        self._joined: dict[str, datetime] = {}
        self._left: dict[str, datetime] = {}

    def take(self, entry: MetadataEntry, labels: Iterable[str]) -> None:
        """Read and judge one document; `labels` are those of the session's streams."""
        faults = [str(finding) for finding in entry.findings]
        name = entry.file.name if entry.file is not None else f"document {entry.number}"
        if entry.number != len(self.steps) + 1:
            faults.append(f"{name} is number {len(self.steps) + 1} of the history")
        text, document = "", None
        try:
            data = entry.file.read_bytes() if entry.file is not None else b""
        except OSError as error:
            faults.append(f"{name} cannot be read: {error.strerror}")
        else:
            scope = label_scope(data, (), frozenset(labels))
            document, found = self._picture.judge(data, scope, entry.at)
            self._picture.accept()
            faults += [str(finding) for finding in found]
            text = _indented(data)
        state = self._learn(document) if document is not None else ""
        at = self._times.since(entry.at) or 0.0
        summary = words_of(document, self._picture.parties)
        faults = list(dict.fromkeys(faults))
        self.steps.append(MetadataStep(name, at, entry.message, state, summary, tuple(faults), text))

    def _learn(self, document: Recording) -> str:
        """Take what a document tells; return the state of the call."""
        for person in self._picture.parties:
            self._people[person.participant_id] = person
            self._labels.setdefault(person.participant_id, set()).update(person.sends)
        for part in document.participant_sessions:
            if part.associate_time is not None:
                self._joined[part.participant_id] = part.associate_time
            if part.disassociate_time is not None:
                self._left[part.participant_id] = part.disassociate_time
        stops = [session.stop_time for session in document.sessions if session.stop_time is not None]
        self.stopped = max(stops, default=self.stopped)
        if self._picture.ended:
            return "ended"
        return "talking" if all(each.sends and each.hears for each in self._picture.parties) else "held"

    def person(self, party: Party) -> RecordedParty | None:
        """Return how the documents show a party of the call; None when they do not, or not as one."""
        found = [each for each in self._people.values() if _user(each.aor) == party.number]
        if len(found) != 1:
            return None
        (person,) = found
        key, labels = person.participant_id, self._labels[person.participant_id]
        return RecordedParty(
            person.name or person.aor,
            person.aor,
            next(iter(labels)) if len(labels) == 1 else "",
            self._times.since(self._joined.get(key)),
            self._times.since(self._left.get(key)),
        )


def _user(aor: str) -> str | None:
    try:
        uri = parse_uri(aor)
    except ParseError:
        return None
    return uri.user if isinstance(uri, SipUri) else None


def _indented(data: bytes) -> str:
    try:
        root = parse_tree(data)
    except MetadataError:
        return data.decode(errors="replace")
    etree.indent(root)
    return etree.tostring(root, encoding="unicode")


def _stream_of(result: SessionResult | None, person: RecordedParty | None) -> RecordedStream | None:
    """Return the stream that the metadata, and nothing else, says to be a person's."""
    if result is None or person is None or not person.label:
        return None
    return next((stream for stream in result.streams if stream.label == person.label), None)


def _lane(law: Law, party: Party, stream: RecordedStream | None) -> Lane:
    arrived: tuple[Frame, ...] = ()
    if stream is not None:
        shift = _shift(stream)
        arrived = tuple(Frame(each.position + shift, each.payload, each.at) for each in stream.frames)
    found = compare(party.sent, arrived, g711.SILENCE[law])
    return Lane(f"{party.name} as the recorder has her", party.sent, arrived, found)


def _shift(stream: RecordedStream) -> int:
    """Return where the stream's first sample lies in the recording."""
    return round(stream.begin_s * CLOCK_RATE)


def _begin(lanes: Sequence[Lane], times: CallTimes) -> float:
    begins = [frame.at - frame.position / CLOCK_RATE for lane in lanes for frame in lane.arrived]
    return min(begins, default=times.begin) - times.begin


def _messages(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"{file.name} cannot be read: {error.strerror}"


def _check_files(
    law: Law, result: SessionResult, lanes: Sequence[Lane], streams: Sequence[RecordedStream | None]
) -> list[Check]:
    alone = [
        StoredLane(lane, stream.file if stream is not None else None, 0, _shift(stream) if stream else 0)
        for lane, stream in zip(lanes, streams, strict=True)
    ]
    together = [
        StoredLane(lane, result.directory / "call.wav", stream.number - 1 if stream is not None else 0)
        for lane, stream in zip(lanes, streams, strict=True)
    ]
    return [
        check_wav("Do the recorder's two WAV files hold what was said, sample for sample?", law, alone),
        check_wav("Does the recorder's WAV file with both sides hold the same?", law, together),
    ]


def _check_keys(
    parties: Sequence[Party], lanes: Sequence[Lane], streams: Sequence[RecordedStream | None]
) -> Check:
    """Each key must lie at the sample at which its event began, and no other be there."""
    told, good = [], True
    for party, lane, stream in zip(parties, lanes, streams, strict=True):
        offset = lane.comparison.offset
        found = stream.presses if stream is not None else ()
        if stream is None or offset is None:
            good = False
        else:
            good &= found == tuple((at + offset - _shift(stream), key) for at, key in party.presses)
        keys = ", ".join(f"{key} at {at / CLOCK_RATE:.3f} s" for at, key in found)
        told.append(f"{party.name}: {keys or 'none'}")
    return Check("Were the keys recorded where they were pressed?", good, "; ".join(told))


def _check_schema(recorded: RecordedCall) -> Check:
    faults = [f"{step.file}: {fault}" for step in recorded.documents for fault in step.faults]
    count = len(recorded.documents)
    return Check(
        "Is every metadata document valid by the schema of RFC 7865?",
        count > 0 and not faults,
        "; ".join(faults) or (f"{count} documents, from the INVITE to the end" if count else "there is none"),
    )


def _check_parties(recorded: RecordedCall, parties: Sequence[Party], times: CallTimes) -> Check:
    """The caller since the call began, the callee since the answer, both until the end; and the stop-time."""
    told: list[str] = []
    good = True
    joins = (0.0, times.answered)
    for party, person, joined in zip(parties, recorded.parties, joins, strict=True):
        if person is None:
            good = False
            told.append(f"{party.name} is not shown")
            continue
        good &= bool(person.label) and _near(person.joined, joined) and _near(person.left, times.ended)
        told.append(f"{party.name} joined {_seconds(person.joined)}, left {_seconds(person.left)}")
    good &= _near(recorded.stopped, times.ended)
    told.append(f"stop-time {_seconds(recorded.stopped)}")
    told.append(f"the phones say: answered {times.answered:.2f} s, over {times.ended:.2f} s")
    return Check("Does the metadata show both participants, the answer and the end?", good, "; ".join(told))


def _near(told: float | None, known: float) -> bool:
    return told is not None and abs(told - known) <= TOLERANCE_S


def _seconds(told: float | None) -> str:
    return "not told" if told is None else f"{told:.2f} s"


def _check_hold(recorded: RecordedCall) -> Check:
    states = tuple(state for state, _ in groupby(step.state for step in recorded.documents))
    told = ", ".join(f"{step.state or 'unreadable'} at {step.at:.2f} s" for step in recorded.documents)
    return Check(
        "Was the recorder told of hold and resume?", states == STATES, told or "no document told anything"
    )


def copy_recording(directory: Path, recorded: RecordedCall | None, roles: Sequence[str]) -> dict[str, Path]:
    """Put the recorder's files beside those of the others: WAV files by role, and the metadata history."""
    if recorded is None:
        return {}
    result = recorded.result
    copies = {"recorder.wav": result.directory / "call.wav"}
    for role, person in zip(roles, recorded.parties, strict=True):
        stream = _stream_of(result, person)
        if stream is not None and stream.file is not None:
            copies[f"recorder-{role}.wav"] = stream.file
    history = [entry.file for entry in result.documents if entry.file is not None]
    for file in (*history, result.directory / "metadata.jsonl"):
        copies[f"{METADATA_DIRECTORY}/{file.name}"] = file
    (directory / METADATA_DIRECTORY).mkdir(exist_ok=True)
    found = {name: source for name, source in copies.items() if source.is_file()}
    for name, source in found.items():
        shutil.copyfile(source, directory / name)
    return {name: directory / name for name in found}
