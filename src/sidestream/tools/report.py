"""The report of a demonstration: one HTML file that needs nothing else. Pure but for reading its style.

No script runs in it (its content security policy forbids all), every word from outside is escaped, and audio
is inside the file itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from sidestream.tools.compare import percentile
from sidestream.tools.demo_evidence import Check, Evidence, Lane, describe_delays, good
from sidestream.tools.report_parts import Cell, figure, folded, length_of, moved, table
from sidestream.tools.report_recording import recording
from sidestream.tools.report_svg import Axis, chart, delays_row, ladder, messages_row
from sidestream.tools.rtp import CLOCK_RATE
from sidestream.tools.stream_receiver import Status

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; img-src data:"
_LOGO = '<svg viewBox="0 0 28 20" aria-hidden="true"><path d="M2 10h5l3-7 5 14 4-10 2 3h5"/></svg>'
STYLE = Path(__file__).with_name("report.css")
AUDIO_TITLES = {
    "endpoint.wav": ("What the endpoint stored", "Ada left, Grace right: listen with headphones."),
    "recorder.wav": ("What the recorder stored", "Ada left, Grace right: listen with headphones."),
    "caller-sent": ("What Ada's phone sent", "The caller's own microphone."),
    "callee-sent": ("What Grace's phone sent", "The callee's own microphone."),
    "caller-heard": ("What Ada's phone heard", "Grace, relayed by the gateway."),
    "callee-heard": ("What Grace's phone heard", "Ada, relayed by the gateway."),
}


def render(evidence: Evidence, checks: Sequence[Check]) -> str:
    """Return the report as one HTML page."""
    sections = (
        ("verdict", "The verdict", _checks(checks)),
        ("stream", "The conversation and its stream", _stream(evidence)),
        ("recording", "The recording", recording(evidence)),
        ("relay", "What each phone heard", _relay(evidence)),
        ("listen", "Listen", _audio(evidence.files)),
        ("messages", "Messages of the stream", _messages(evidence)),
        ("totals", "Totals and gaps", _totals(evidence)),
        ("sip", "SIP", _sip(evidence)),
        ("gateway", "The gateway", _gateway(evidence)),
    )
    links = "".join(f'<li><a href="#{key}">{escape(title)}</a></li>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{escape(title)}</h2>'
        f"{content}</section>"
        for key, title, content in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{'Passed' if good(checks) else 'Failed'}: Sidestream demonstration</title>"
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>"
        '<a class="skip" href="#verdict">Skip to the verdict</a>'
        f"{_header(evidence, checks, links)}<main>{_tiles(evidence)}{body}{_footer(evidence)}</main>"
        "</body></html>\n"
    )


def _header(evidence: Evidence, checks: Sequence[Check], links: str) -> str:
    passed = good(checks)
    failed = sum(not check.good for check in checks)
    headline = (
        "The audio that arrived is the audio that was sent"
        if passed
        else f"{failed} of {len(checks)} questions were not answered well"
    )
    caller, callee = evidence.parties
    return (
        f'<header><div><p class="product">{_LOGO} Sidestream</p>'
        f'<p class="verdict {"good" if passed else "bad"}">{"✓ Passed" if passed else "✗ Failed"}</p>'
        f"<h1>{escape(headline)}</h1>"
        f'<p class="meta">{escape(caller.name)} called {escape(callee.name)} on '
        f"{evidence.at:%d %B %Y at %H:%M:%S} UTC; {evidence.seconds:.1f} s in {escape(evidence.law)}, "
        "carried by a gateway of its own process over real SIP, RTP and TLS on this machine, and recorded by "
        "SIPREC.</p>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></div></header>'
    )


def _tiles(evidence: Evidence) -> str:
    lanes = evidence.lanes
    matched = sum(lane.comparison.matched_samples for lane in lanes)
    sent = sum(lane.comparison.sent_samples for lane in lanes)
    verdict = evidence.stream.verdict if evidence.stream else None
    stream_words = evidence.stream.why if evidence.stream else "no stream reached the endpoint"
    recorded = evidence.recording
    seconds = max((stream.samples for stream in recorded.result.streams), default=0) if recorded else 0
    documents = len(recorded.documents) if recorded else 0
    tiles = (
        ("Samples compared", f"{sent:,}", f"{matched:,} are equal, in {len(lanes)} comparisons"),
        ("Stream messages", f"{verdict.messages:,}" if verdict else "none", stream_words),
        ("Recorded", f"{seconds / CLOCK_RATE:.1f} s", f"by SIPREC, with {documents} metadata documents"),
        _delays("Phone to phone", evidence.relay_lanes),
        _delays("Phone to endpoint", evidence.endpoint_lanes),
        _delays("Phone to recorder", evidence.recorder_lanes),
    )
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _delays(title: str, lanes: Iterable[Lane]) -> tuple[str, str, str]:
    delays = [delay for lane in lanes for delay in lane.comparison.latencies_ms]
    median = f"{percentile(delays, 0.5):.1f} ms" if delays else "none"
    return title, median, describe_delays(delays)


def _checks(checks: Sequence[Check]) -> str:
    rows = "".join(
        f'<li class="{"good" if check.good else "bad"}">'
        f'<span class="mark" aria-hidden="true">{"✓" if check.good else "✗"}</span>'
        f"<span>{escape(check.question)} <strong>{'Yes' if check.good else 'No'}</strong></span>"
        f'<span class="evidence">{escape(check.evidence)}</span></li>'
        for check in checks
    )
    return f'<ul class="checks card">{rows}</ul>'


def _stream(evidence: Evidence) -> str:
    lanes = evidence.endpoint_lanes
    if not lanes:
        return "<p>No stream reached the endpoint.</p>"
    axis = Axis(length_of(lanes))
    drawing = chart(
        evidence.law,
        lanes,
        axis,
        moved(evidence.marks, -evidence.stream_begin),
        (
            messages_row(evidence.messages, evidence.stream_begin),
            delays_row(lanes, evidence.begin, evidence.stream_begin),
        ),
    )
    caption = (
        "For each channel: what the phone sent, what the endpoint stored, and whether the two agree, sample "
        "for sample. Grey is silence where nothing was sent. Below: the messages that are not audio (A "
        "answered, H held, R resumed, G a gap accounted for, K a key, Σ statistics), and the delay of every "
        "frame from the phone's socket to the endpoint (blue: "
        f"{escape(evidence.parties[0].name)}, green: {escape(evidence.parties[1].name)}). Time runs on the "
        "stream's own clock."
    )
    (witness,) = evidence.witnesses_of("endpoint")
    picture = figure(drawing, caption, "Waveforms of the stream")
    return f'<p class="soft">{escape(witness.explanation)}</p>{picture}'


def _relay(evidence: Evidence) -> str:
    lanes = evidence.relay_lanes
    drawing = chart(evidence.law, lanes, Axis(length_of(lanes)), ())
    titles = ("Frames sent", "Packets heard", "Lost", "Twice", "Out of order", "Jitter", "Own lateness")
    rows = [
        (
            f"{party.name} ({party.role})",
            f"{party.quality.sent:,}",
            f"{party.quality.heard:,}",
            f"{party.quality.lost:,}",
            f"{party.quality.duplicates:,}",
            f"{party.quality.disordered:,}",
            f"{party.quality.jitter_ms:.2f} ms",
            f"{party.quality.lateness_ms:.1f} ms",
        )
        for party in evidence.parties
    ]
    measured = table(
        "What each phone measured. Its own lateness is how late its latest packet left: that is this "
        "machine, not the gateway.",
        [("Phone", ""), *((title, "number") for title in titles)],
        rows,
    )
    caption = (
        "RTP as it left one phone and as it reached the other. Grey is silence where nothing was sent: under "
        "the keys, which are packets of their own, and on hold. Time runs from the first packet heard."
    )
    return figure(drawing, caption, "Waveforms of the relay") + measured


def _audio(files: Mapping[str, Path]) -> str:
    players = []
    for key, (title, words) in AUDIO_TITLES.items():
        if key in files and files[key].is_file():
            data = base64.b64encode(files[key].read_bytes()).decode()
            players.append(
                f"<div><strong>{escape(title)}</strong><br><span class='soft'>{escape(words)}</span>"
                f'<audio controls preload="none" aria-label="{escape(title, quote=True)}" '
                f'src="data:audio/wav;base64,{data}"></audio></div>'
            )
    return f'<div class="listen">{"".join(players)}</div>'


def _messages(evidence: Evidence) -> str:
    if not evidence.messages:
        return "<p>There are none.</p>"
    rows = "".join(
        folded(
            f"<code>{message.number}</code> {message.at:.3f} s <strong>{escape(message.event)}</strong> "
            f"{escape(message.summary)}",
            message.text,
        )
        for message in evidence.messages
    )
    return (
        "<p>All but the audio, with their sequence numbers and their arrival since the call began. The whole "
        f'transcript is in <code>transcript.jsonl</code>.</p><div class="card">{rows}</div>'
    )


def _totals(evidence: Evidence) -> str:
    if evidence.stream is None:
        return "<p>There is no stream.</p>"
    channels: list[tuple[Cell, ...]] = [
        (
            f"{line.channel} {line.participant_id}",
            (line.status.value, "good" if line.status is Status.OK else "bad"),
            f"{line.chunks:,}",
            f"{line.samples:,}",
            f"{line.silence_samples:,}",
            f"{line.dropped_samples:,}",
            line.sha256,
        )
        for line in evidence.stream.verdict.channels
    ]
    gaps = [
        (
            str(gap.channel),
            gap.cause,
            f"{gap.from_timestamp / CLOCK_RATE:.3f} s",
            f"{gap.samples:,}",
            f"{gap.samples * 1000 / CLOCK_RATE:g} ms",
        )
        for gap in evidence.stream.gaps
    ]
    figures = [(title, "number") for title in ("Chunks", "Samples", "Of silence", "Dropped")]
    return table(
        "What <code>close.totals</code> says, compared with what the endpoint received.",
        [("Channel", ""), ("Proof", ""), *figures, ("SHA-256", "words code")],
        channels,
    ) + table(
        "Every <code>media.gap</code>: samples that are not the participant's audio, and why.",
        [("Channel", ""), ("Cause", ""), *((title, "number") for title in ("At", "Samples", "Length"))],
        gaps,
    )


def _sip(evidence: Evidence) -> str:
    caller, callee = evidence.parties
    drawing = ladder(
        evidence.ladder,
        ((caller.name, caller.address), ("Sidestream", "the gateway"), (callee.name, callee.address)),
    )
    details = "".join(
        folded(
            f"{step.at:.3f} s {escape(step.party)} {'→' if step.to_gateway else '←'} gateway: "
            f"<strong>{escape(step.title)}</strong>",
            step.text,
        )
        for step in evidence.ladder
    )
    caption = "As the two phones sent and received them; re-transmissions are left out."
    return f'{figure(drawing, caption, "SIP ladder")}<div class="card">{details}</div>'


def _gateway(evidence: Evidence) -> str:
    record = (
        json.dumps(evidence.record, indent=2, ensure_ascii=False) if evidence.record else "There is none."
    )
    parts = (
        ("Its record of the call", record),
        ("Its configuration", evidence.configuration),
        ("Its log", "\n".join(evidence.log)),
    )
    blocks = "".join(folded(escape(title), text) for title, text in parts)
    return f'<div class="card">{blocks}</div>'


def _footer(evidence: Evidence) -> str:
    versions = "; ".join(f"{name} {version}" for name, version in evidence.versions)
    return (
        f"<footer><p>{escape(versions)}. The speech was made by a synthesiser for this project. "
        "This page needs no network and runs no script.</p></footer>"
    )
