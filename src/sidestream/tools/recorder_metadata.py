"""The metadata of one recording session: each document judged, and the picture that they add up to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sidestream.sip.errors import ParseError
from sidestream.sip.uri import parse_uri
from sidestream.siprec.check import Checker
from sidestream.siprec.errors import MetadataError
from sidestream.siprec.metadata import (
    Participant,
    ParticipantSession,
    ParticipantStream,
    Recording,
    Session,
    SnapshotRequest,
    Stream,
)
from sidestream.siprec.xml import parse
from sidestream.tools.recorder_findings import Finding, remark, violation

MAX_AHEAD: Final = timedelta(seconds=60)
_LABELS: Final = "RFC 7866 section 9.1"


@dataclass(frozen=True, slots=True)
class Party:
    """A participant as the documents so far describe it.

    Attributes:
        participant_id: its id.
        aor: its first address.
        name: its name; empty when none is told.
        sends: labels (or ids, where no label is known) of the streams that it contributes to.
        hears: the same of those that it receives.
        gone: whether it has left every session.
    """

    participant_id: str
    aor: str
    name: str
    sends: tuple[str, ...]
    hears: tuple[str, ...]
    gone: bool

    def to_json(self) -> dict[str, object]:
        """Return the participant as an object of `summary.json`."""
        return {
            "id": self.participant_id,
            "aor": self.aor,
            "name": self.name,
            "sends": list(self.sends),
            "hears": list(self.hears),
            "gone": self.gone,
        }


@dataclass(slots=True)
class _Picture:
    """What holds after the documents so far; keys are ids."""

    sessions: dict[str, Session] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    hearing: dict[str, ParticipantStream] = field(default_factory=dict)
    taking_part: dict[tuple[str, str], ParticipantSession] = field(default_factory=dict)

    def apply(self, document: Recording) -> None:
        """Take a document; a complete one replaces all but labels, which need not be named again."""
        labels = {key: stream.label for key, stream in self.streams.items()}
        if document.is_complete:
            for kept in (self.sessions, self.participants, self.streams, self.hearing, self.taking_part):
                kept.clear()
        self.sessions.update({each.session_id: each for each in document.sessions})
        self.participants.update({each.participant_id: each for each in document.participants})
        for stream in document.streams:
            label = stream.label if stream.label is not None else labels.get(stream.stream_id)
            self.streams[stream.stream_id] = replace(stream, label=label)
        self.hearing.update({each.participant_id: each for each in document.participant_streams})
        for part in document.participant_sessions:
            self.taking_part[part.participant_id, part.session_id] = part


@dataclass(slots=True)
class MetadataHistory:
    """Takes the documents of one session in their order.

    Attributes:
        accepted: how many were taken.
        last: the newest that was taken.
    """

    accepted: int = 0
    last: Recording | None = None
    _checker: Checker = field(default_factory=Checker)
    _before: Checker = field(default_factory=Checker)
    _picture: _Picture = field(default_factory=_Picture)
    _candidate: Recording | None = None

    def judge(
        self, data: bytes, labels: Collection[str] | None, now: datetime
    ) -> tuple[Recording | None, list[Finding]]:
        """Judge a document without taking it yet; `accept` takes the one judged last.

        Args:
            data: the document.
            labels: labels of the live streams of the offer beside it; None when there is no offer.
            now: the time of day, with its zone.
        """
        self._before = deepcopy(self._checker)
        self._candidate = None
        try:
            document = parse(data)
        except MetadataError:
            document = None
        if isinstance(document, SnapshotRequest):
            text = "a snapshot request, which is for the recorder to send"
            return None, [violation("metadata-kind", text, "RFC 7866 section 9.2")]
        found = [_classified(text) for text in self._checker.check(data, labels)]
        if document is not None:
            found += _judge_times(document, now)
            found += _judge_addresses(document)
            found += self._judge_identity(document)
            if not self.accepted:
                found += _judge_first(document)
            self._candidate = document
        return document, found

    def accept(self) -> None:
        """Take the document judged last into the picture."""
        if self._candidate is not None:
            self._picture.apply(self._candidate)
            self.last = self._candidate
            self.accepted += 1
        self._candidate = None

    def refuse(self) -> None:
        """Forget the document judged last: later ones must not rely on it."""
        self._checker = self._before
        self._candidate = None

    @property
    def parties(self) -> tuple[Party, ...]:
        """The participants."""
        return tuple(self._party(each) for each in self._picture.participants.values())

    @property
    def began(self) -> datetime | None:
        """The earliest start of a session."""
        starts = [each.start_time for each in self._picture.sessions.values() if each.start_time is not None]
        return min(starts, default=None)

    @property
    def ended(self) -> bool:
        """Whether every session has an end."""
        sessions = self._picture.sessions.values()
        return bool(sessions) and all(session.stop_time is not None for session in sessions)

    def _party(self, participant: Participant) -> Party:
        key = participant.participant_id
        hearing = self._picture.hearing.get(key)
        parts = [part for (who, _), part in self._picture.taking_part.items() if who == key]
        name = participant.names[0].name
        return Party(
            participant_id=key,
            aor=participant.names[0].aor,
            name=name.text if name is not None else "",
            sends=self._labels(hearing.send if hearing is not None else ()),
            hears=self._labels(hearing.recv if hearing is not None else ()),
            gone=bool(parts) and all(part.disassociate_time is not None for part in parts),
        )

    def _labels(self, ids: Collection[str]) -> tuple[str, ...]:
        streams = self._picture.streams
        return tuple((streams[key].label if key in streams else None) or key for key in ids)

    def _judge_identity(self, document: Recording) -> Iterator[Finding]:
        """The same thing keeps its id for as long as the recording session lives (RFC 7865 section 6.10)."""
        rule = "RFC 7865 section 6.10"
        known = {stream.label: key for key, stream in self._picture.streams.items() if stream.label}
        for stream in document.streams:
            if stream.label and known.get(stream.label, stream.stream_id) != stream.stream_id:
                text = f"the stream with label {stream.label!r} has another id than before"
                yield remark("id-changed", text, rule)
        addresses = {each.names[0].aor: key for key, each in self._picture.participants.items()}
        for participant in document.participants:
            aor = participant.names[0].aor
            if addresses.get(aor, participant.participant_id) != participant.participant_id:
                yield remark("id-changed", f"participant {aor} has another id than before", rule)


def _classified(text: str) -> Finding:
    if text.startswith("schema:"):
        return violation("metadata-schema", text, "RFC 7865 section 9")
    if "label" in text:
        return violation("metadata-label", text, _LABELS)
    if "partial" in text:
        return violation("metadata-partial", text, _LABELS)
    if "refers to" in text or "defined twice" in text or "is now a" in text:
        return violation("metadata-reference", text, "RFC 7865 section 6")
    return violation("metadata", text, "RFC 7865")


def _judge_first(document: Recording) -> Iterator[Finding]:
    """A recording begins with somebody in it who says something."""
    if not document.sessions:
        yield violation("metadata-empty", "the snapshot describes no session", "RFC 7865 section 6.3")
    if not document.participants:
        yield violation("metadata-empty", "the snapshot describes no participant", "RFC 7865 section 6.5")
    recorded = {each.session_id for each in document.session_recordings}
    for session in document.sessions:
        if session.session_id not in recorded:
            text = "no sessionrecordingassoc says since when the session is recorded"
            yield remark("metadata-association", text, "RFC 7865 section 6.4")
    if document.participants and not document.participant_sessions:
        text = "no participantsessionassoc puts anybody into a session"
        yield remark("metadata-association", text, "RFC 7865 section 6.6")
    yield from _judge_senders(document)


def _judge_senders(document: Recording) -> Iterator[Finding]:
    senders = Counter(stream for hearing in document.participant_streams for stream in hearing.send)
    for number, stream in enumerate(document.streams, 1):
        if senders[stream.stream_id] == 0:
            text = f"nobody is said to send stream {stream.label or number}"
            yield remark("metadata-sender", text, "RFC 7865 section 6.5.2")
        elif senders[stream.stream_id] > 1:
            text = f"{senders[stream.stream_id]} participants are mixed into stream {stream.label or number}"
            yield remark("mixed-stream", text, "RFC 7866 section 8.3.1")


def _judge_times(document: Recording, now: datetime) -> Iterator[Finding]:
    rule = "RFC 7865 section 6.9"
    spans = [("session", each.start_time, each.stop_time) for each in document.sessions]
    for group in (
        document.groups,
        document.session_recordings,
        document.participant_sessions,
        document.participant_streams,
    ):
        spans += [(type(each).__name__, each.associate_time, each.disassociate_time) for each in group]
    for name, begin, end in spans:
        if begin is not None and end is not None and end < begin:
            yield violation("metadata-time", f"a {name.lower()} ends before it begins", rule)
        if any(instant is not None and instant > now + MAX_AHEAD for instant in (begin, end)):
            yield remark("metadata-time", f"a time of a {name.lower()} lies in the future", rule)


def _judge_addresses(document: Recording) -> Iterator[Finding]:
    for participant in document.participants:
        for name in participant.names:
            try:
                parse_uri(name.aor)
            except ParseError:
                text = f"the address {name.aor[:60]!r} of a participant is no URI"
                yield violation("metadata-aor", text, "RFC 7865 section 6.5.1")


def label_scope(data: bytes, live: Collection[str], refused: Collection[str]) -> frozenset[str]:
    """Return the labels that a document must name, and may.

    Args:
        data: the document.
        live: labels of m-lines with a port; each must be described.
        refused: labels of m-lines with port 0, which may still be described (RFC 7865 section 6.7.1).
    """
    try:
        document = parse(data)
    except MetadataError:
        return frozenset(live)
    if not isinstance(document, Recording):
        return frozenset(live)
    named = {stream.label for stream in document.streams if stream.label is not None}
    return frozenset(live) | (frozenset(refused) & named)
