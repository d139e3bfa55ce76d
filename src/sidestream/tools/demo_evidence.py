"""What the demonstration saw, and what that proves. Pure.

Everything that heard the call is a witness: each phone, and each system behind the gateway. A witness has
lanes: one direction of speech as it was sent, beside the same direction as the witness has it. The verdict
asks of every lane whether the two are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from sidestream.tools.compare import Comparison, Frame, percentile
from sidestream.tools.g711 import Law
from sidestream.tools.recorder_result import SessionResult
from sidestream.tools.stream_receiver import Status
from sidestream.tools.stream_store import StreamResult

CALLER, CALLEE = "caller", "callee"
WitnessKind = Literal["phone", "endpoint", "recorder"]


@dataclass(frozen=True, slots=True)
class SipStep:
    """One SIP message between a party and the gateway; `at` in seconds since the call began."""

    at: float
    party: str
    to_gateway: bool
    title: str
    cseq: str
    text: str


@dataclass(frozen=True, slots=True)
class Quality:
    """What a phone measured of what it heard, and of its own clock."""

    sent: int
    heard: int
    lost: int
    duplicates: int
    disordered: int
    jitter_ms: float
    lateness_ms: float


@dataclass(frozen=True, slots=True)
class Party:
    """One phone; `presses` are the keys with their RTP timestamps, on the clock of `sent`."""

    role: str
    name: str
    number: str
    address: str
    sent: tuple[Frame, ...]
    heard: tuple[Frame, ...]
    presses: tuple[tuple[int, str], ...]
    keys_heard: str
    statuses: tuple[int, ...]
    ending: str
    quality: Quality

    @property
    def keys_pressed(self) -> str:
        """The keys in their order."""
        return "".join(key for _, key in self.presses)


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction of speech at one witness.

    Attributes:
        title: who is heard where.
        sent: as the phone sent it.
        arrived: as the witness has it, on the witness's clock.
        comparison: of the two.
    """

    title: str
    sent: tuple[Frame, ...]
    arrived: tuple[Frame, ...]
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Witness:
    """Someone who heard the call.

    Attributes:
        kind: what it is.
        name: for a heading.
        explanation: one sentence: how it came by the audio.
        lanes: the directions that it heard.
        checks: what else is asked of it.
    """

    kind: WitnessKind
    name: str
    explanation: str
    lanes: tuple[Lane, ...]
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message of the stream as the endpoint kept it; `at` in seconds since the call began."""

    number: int
    event: str
    at: float
    summary: str
    text: str
    position: int | None = None
    """In samples, where the message has one."""


@dataclass(frozen=True, slots=True)
class RecordedParty:
    """A participant as the metadata of the recording shows it.

    Attributes:
        name: its name, or its address where no name is told.
        aor: its address.
        label: the stream that it sends; empty when that is not told, or not one only.
        joined: when it came into the session, in seconds since the call began; None when that is not told.
        left: when it went.
    """

    name: str
    aor: str
    label: str
    joined: float | None
    left: float | None


@dataclass(frozen=True, slots=True)
class MetadataStep:
    """One document of the recording's metadata; `at` is its arrival in seconds since the call began.

    Attributes:
        file: its name.
        message: the SIP message that brought it.
        state: what it says of the call: `talking`, `held` or `ended`; empty when it cannot be read.
        summary: what it says, in one line.
        faults: what is wrong with it.
        text: the document, indented.
    """

    file: str
    at: float
    message: str
    state: str
    summary: str
    faults: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """What the recorder has of the call.

    Attributes:
        result: its verdict, streams and findings.
        parties: the caller and the callee as its metadata shows them; None for one that it does not show.
        documents: its metadata.
        stopped: the session's stop-time, in seconds since the call began; None when none is told.
        begin: where sample 0 of the recording lies, in seconds since the call began.
        messages: every SIP message of the session, as the recorder wrote them down.
    """

    result: SessionResult
    parties: tuple[RecordedParty | None, RecordedParty | None]
    documents: tuple[MetadataStep, ...]
    stopped: float | None
    begin: float
    messages: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to the call: `begin` and `end` in seconds since the call began."""

    kind: str
    label: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Check:
    """One question of the verdict, its answer, and the evidence in a sentence."""

    question: str
    good: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was seen of one demonstration call.

    Attributes:
        at: wall-clock time of its begin.
        law: the codec.
        parties: caller and callee.
        witnesses: who heard the call: phones, endpoint, recorder.
        stream: the endpoint's verdict; None when no stream came.
        recording: what the recorder has; None when no recording session came.
        messages: of the stream, media left out.
        begin: when the call began, in seconds of the clock of the frames.
        stream_begin: where sample 0 of the stream lies, in seconds since the call began.
        ladder: SIP messages of both parties.
        marks: keys and holds.
        tls: TLS version between gateway and endpoint.
        record: the gateway's own record of the call; None when there is none.
        configuration: the gateway's configuration file.
        log: the gateway's log.
        versions: name and version of what took part.
        seconds: duration of the call.
    """

    at: datetime
    law: Law
    parties: tuple[Party, Party]
    witnesses: tuple[Witness, ...]
    stream: StreamResult | None
    recording: RecordedCall | None
    messages: tuple[StreamMessage, ...]
    begin: float
    stream_begin: float
    ladder: tuple[SipStep, ...]
    marks: tuple[Mark, ...]
    tls: str
    record: dict[str, object] | None
    configuration: str
    log: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    seconds: float
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def lanes(self) -> list[Lane]:
        """Every lane of every witness."""
        return [lane for witness in self.witnesses for lane in witness.lanes]

    @property
    def relay_lanes(self) -> list[Lane]:
        """What the two phones heard."""
        return self.lanes_of("phone")

    @property
    def endpoint_lanes(self) -> list[Lane]:
        """What the endpoint stored."""
        return self.lanes_of("endpoint")

    @property
    def recorder_lanes(self) -> list[Lane]:
        """What the recorder stored."""
        return self.lanes_of("recorder")

    def lanes_of(self, kind: WitnessKind) -> list[Lane]:
        """Return the lanes of every witness of a kind."""
        return [lane for witness in self.witnesses_of(kind) for lane in witness.lanes]

    def witnesses_of(self, kind: WitnessKind) -> list[Witness]:
        """Return every witness of a kind."""
        return [witness for witness in self.witnesses if witness.kind == kind]


def judge(evidence: Evidence) -> list[Check]:
    """Return every question with its answer; the demonstration is good when all are."""
    return [
        _answered(evidence),
        *_asked(evidence, "phone"),
        *_asked(evidence, "endpoint"),
        *_stream_checks(evidence),
        _keys(evidence),
        _hold(evidence),
        *_asked(evidence, "recorder"),
        _objections(evidence),
        _written(evidence),
    ]


def _asked(evidence: Evidence, kind: WitnessKind) -> list[Check]:
    """Return what is asked of every witness of a kind, and of its lanes."""
    checks: list[Check] = []
    for witness in evidence.witnesses_of(kind):
        checks += [
            Check(f"{lane.title}: is it what was sent?", lane.comparison.equal, lane.comparison.why)
            for lane in witness.lanes
        ]
        checks += witness.checks
    return checks


def good(checks: Sequence[Check]) -> bool:
    """Whether every question was answered well, and one was asked at all."""
    return bool(checks) and all(check.good for check in checks)


def _answered(evidence: Evidence) -> Check:
    caller, callee = evidence.parties
    answered = 200 in caller.statuses and 200 in callee.statuses
    ended = {caller.ending, callee.ending} == {"we hung up", "the far side hung up"}
    words = " ".join(map(str, caller.statuses))
    return Check(
        "Was the call carried from INVITE to BYE?",
        answered and ended,
        f"the caller saw {words}; it ended because {caller.name}'s phone says {caller.ending!r} "
        f"and {callee.name}'s {callee.ending!r}",
    )


def _stream_checks(evidence: Evidence) -> list[Check]:
    question = "Does the stream keep its protocol, its totals and its digest?"
    if evidence.stream is None:
        return [Check(question, good=False, evidence="no stream reached the endpoint")]
    verdict = evidence.stream.verdict
    return [
        Check(
            question,
            evidence.stream.status is Status.OK,
            f"{verdict.messages:,} messages in order without a hole; {evidence.stream.why}"
            if evidence.stream.status is Status.OK
            else evidence.stream.why,
        ),
        Check(
            "Was the connection to the endpoint encrypted and verified?",
            evidence.tls.startswith("TLSv1."),
            f"{evidence.tls or 'no TLS'}, against a certificate authority made for this run",
        ),
    ]


def _keys(evidence: Evidence) -> Check:
    caller, callee = evidence.parties
    told = "".join(
        digit for channel, digit in (evidence.stream.presses if evidence.stream else ()) if channel == 0
    )
    return Check(
        f"Were the keys {caller.keys_pressed} told once each?",
        told == callee.keys_heard == caller.keys_pressed != "",
        f"the caller pressed {caller.keys_pressed}, the callee's phone heard {callee.keys_heard or 'none'}, "
        f"the endpoint was told {told or 'none'}",
    )


def _hold(evidence: Evidence) -> Check:
    told = [message.summary for message in evidence.messages if message.event == "metadata"]
    facts = [name for name in ("call.held", "call.resumed") if any(line.startswith(name) for line in told)]
    causes = {gap.cause for gap in evidence.stream.gaps} if evidence.stream else set()
    return Check(
        "Was the endpoint told of hold and resume, and the silence accounted for?",
        facts == ["call.held", "call.resumed"] and "hold" in causes and causes <= {"hold", "silence"},
        f"told: {', '.join(facts) or 'nothing'}; gaps: {', '.join(sorted(causes)) or 'none'}",
    )


def _objections(evidence: Evidence) -> Check:
    question = "Does the strict recorder find nothing to object to?"
    if evidence.recording is None:
        return Check(question, good=False, evidence="no recording session reached the recorder")
    result = evidence.recording.result
    found = [*result.reasons, *(str(finding) for finding in result.findings)]
    return Check(
        question,
        result.status is Status.OK and not found,
        "; ".join(dict.fromkeys(found))
        or f"every SIP message, document and RTP stream keeps the RFCs; it ended because {result.ending}",
    )


def _written(evidence: Evidence) -> Check:
    question = "Did the gateway write its record of the call, and is it complete?"
    if evidence.record is None:
        return Check(question, good=False, evidence="there is none in its journal")
    endings = {kind: _verdicts(evidence.record.get(kind)) for kind in ("streams", "recordings")}
    return Check(
        question,
        all(verdicts == ["completed"] for verdicts in endings.values()),
        "one record in its journal; "
        + "; ".join(f"{kind}: {', '.join(verdicts) or 'none'}" for kind, verdicts in endings.items()),
    )


def _verdicts(entries: object) -> list[str]:
    """Return the verdict of each stream or recording of a call record."""
    if not isinstance(entries, list):
        return []
    return [str(entry.get("verdict")) if isinstance(entry, dict) else "unreadable" for entry in entries]


def describe_delays(delays: Sequence[float]) -> str:
    """Return median, 99th percentile and maximum in words."""
    if not delays:
        return "not measured"
    median, high = percentile(delays, 0.5), percentile(delays, 0.99)
    return f"{median:.1f} ms median, {high:.1f} ms p99, {max(delays):.1f} ms at most"
