"""The report's section on the recording: what the recorder kept, what it was told, what it says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sidestream.tools.demo_evidence import Evidence, MetadataStep, RecordedCall
from sidestream.tools.recorder_result import RecordedStream
from sidestream.tools.report_parts import figure, folded, length_of, moved, table
from sidestream.tools.report_svg import Axis, chart, delays_row, documents_row
from sidestream.tools.rtp import CLOCK_RATE
from sidestream.tools.stream_receiver import Status

STATES = {"talking": "both talk and hear", "held": "on hold", "ended": "the end", "": "unreadable"}


def recording(evidence: Evidence) -> str:
    """Return the section."""
    recorded = evidence.recording
    if recorded is None:
        return "<p>No recording session reached the recorder.</p>"
    return (
        _verdict(recorded)
        + _waveforms(evidence, recorded)
        + _participants(evidence, recorded)
        + _documents(recorded.documents)
        + _messages(recorded)
    )


def _verdict(recorded: RecordedCall) -> str:
    result = recorded.result
    good = result.status is Status.OK and not result.findings
    said = [*result.reasons, *(str(finding) for finding in result.findings)]
    items = "".join(f"<li>{escape(line)}</li>" for line in dict.fromkeys(said))
    objections = f"<ul>{items}</ul>" if items else ""
    style, mark = ("good", "✓") if good else ("bad", "✗")
    count = len(result.findings)
    findings = "1 finding" if count == 1 else f"{count or 'No'} findings"
    return (
        f'<p><span class="pill {style}">{mark} {result.status.value}</span> '
        f"The strict recorder's verdict: {escape(result.why)}. "
        f"{findings}; the session ended because {escape(result.ending)}.</p>{objections}"
    )


def _waveforms(evidence: Evidence, recorded: RecordedCall) -> str:
    lanes = evidence.recorder_lanes
    rows = (
        documents_row(recorded.documents, recorded.begin),
        delays_row(lanes, evidence.begin, recorded.begin),
    )
    axis = Axis(length_of(lanes))
    drawing = chart(evidence.law, lanes, axis, moved(evidence.marks, -recorded.begin), rows)
    caption = (
        "For each participant: what the phone sent, what the recorder stored, and whether the two agree, "
        "sample for sample. Grey is silence where nothing was sent. Below: the metadata documents by their "
        "numbers, and the delay of every frame from the phone's socket to the recorder (blue: "
        f"{escape(evidence.parties[0].name)}, green: {escape(evidence.parties[1].name)}). Time runs on the "
        "recording's own clock."
    )
    return figure(drawing, caption, "Waveforms of the recording")


def _participants(evidence: Evidence, recorded: RecordedCall) -> str:
    streams = {stream.label: stream for stream in recorded.result.streams}
    rows = []
    for party, person in zip(evidence.parties, recorded.parties, strict=True):
        who = f"{party.name} ({party.role})"
        if person is None:
            rows.append((who, "not shown", "", "", "", "", ""))
            continue
        stream = streams.get(person.label)
        rows.append((who, person.aor, person.label, _at(person.joined), _at(person.left), *_audio(stream)))
    columns = [(title, "") for title in ("Participant", "Address", "Label")]
    columns += [(title, "number") for title in ("Joined", "Left", "Audio", "Keys")]
    caption = "Who the metadata shows, and the stream of each. Times are in seconds since the call began."
    return table(caption, columns, rows)


def _at(seconds: float | None) -> str:
    return "not told" if seconds is None else f"{seconds:.2f} s"


def _audio(stream: RecordedStream | None) -> tuple[str, str]:
    if stream is None:
        return "none", "none"
    return f"{stream.samples / CLOCK_RATE:.2f} s", "".join(key for _, key in stream.presses) or "none"


def _documents(documents: Sequence[MetadataStep]) -> str:
    if not documents:
        return "<p>No metadata came.</p>"
    items = []
    for number, step in enumerate(documents, 1):
        faults = "".join(f' <strong class="bad">✗ {escape(fault)}</strong>' for fault in step.faults)
        words = (
            f"<code>{number}</code> {step.at:.3f} s <strong>{escape(step.message)}: "
            f"{STATES[step.state]}</strong> {escape(step.summary)}{faults}"
        )
        items.append(folded(words, step.text))
    return f'<h3>Its metadata, document by document</h3><div class="card">{"".join(items)}</div>'


def _messages(recorded: RecordedCall) -> str:
    words = f"Every SIP message of the recording session {escape(recorded.result.call_id)}"
    return f'<div class="card">{folded(words, recorded.messages)}</div>'
