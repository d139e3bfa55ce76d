"""The drawings of the report as SVG: waveforms on one axis, the messages of a stream, a SIP ladder. Pure.

Colours are classes, defined in `report.css`, so that they follow light and dark; every drawing has a title
and a description for those who do not see it, and nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sidestream.tools import g711
from sidestream.tools.compare import Frame, Span, lay_out
from sidestream.tools.demo_evidence import CALLER, Lane, Mark, MetadataStep, SipStep, StreamMessage
from sidestream.tools.g711 import Law
from sidestream.tools.rtp import CLOCK_RATE

WIDTH = 1_100
LEFT, RIGHT = 132, 40
COLUMNS = 1_000
WAVE_HEIGHT = 64
PROOF_HEIGHT = 16
LANE_GAP = 30
PEAK = 32_768
MIN_BLOCK = 2.0
"""A difference is never drawn thinner, or one sample in a minute would not be seen."""
GLYPHS = {"connect": "C", "start": "S", "metadata": "M", "dtmf": "K", "close": "X", "malformed": "!"}
METADATA_GLYPHS = {
    "call.answered": "A",
    "call.held": "H",
    "call.resumed": "R",
    "call.headers": "h",
    "media.gap": "G",
    "stream.stats": "Σ",
}
SIGN_WIDTH = 19.0
LADDER_ROW = 30
LADDER_COLUMNS = {"caller": 250, "gateway": 600, "callee": 950}


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds from left to right."""

    seconds: float

    def x(self, seconds: float) -> float:
        """Return the place of an instant, kept inside the drawing."""
        share = seconds / self.seconds if self.seconds > 0 else 0.0
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        """Return some ten round instants."""
        steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
        step = next((step for step in steps if self.seconds / step <= 12), 1_200)
        return [index * step for index in range(int(self.seconds / step) + 1)]


def envelope(law: Law, audio: bytes, columns: int) -> list[tuple[int, int]]:
    """Return the lowest and highest sample of each column of encoded audio."""
    table = g711.decoding_table(law)
    low_to_high = sorted(range(256), key=table.__getitem__)
    rank = bytes(low_to_high.index(code) for code in range(256))
    ranked = audio.translate(rank)
    found = []
    for column in range(columns):
        part = ranked[column * len(ranked) // columns : (column + 1) * len(ranked) // columns]
        if part:
            found.append((table[low_to_high[min(part)]], table[low_to_high[max(part)]]))
        else:
            found.append((0, 0))
    return found


def waveform(bounds: Sequence[tuple[int, int]], begin: float, end: float, top: float, style: str) -> str:
    """Draw an envelope between two places of the axis."""
    middle, half = top + WAVE_HEIGHT / 2, WAVE_HEIGHT / 2
    highest = max((max(abs(low), abs(high)) for low, high in bounds), default=0) or PEAK
    scale = half / max(highest, PEAK // 8)
    step = (end - begin) / max(len(bounds), 1)
    upper = [
        f"{begin + i * step:.1f} {middle - max(high * scale, 0.4):.1f}" for i, (_, high) in enumerate(bounds)
    ]
    lower = [
        f"{begin + i * step:.1f} {middle - min(low * scale, -0.4):.1f}" for i, (low, _) in enumerate(bounds)
    ]
    return f'<path class="{style}" d="M{"L".join([*upper, *reversed(lower)])}Z"/>'


def chart(
    law: Law,
    lanes: Sequence[Lane],
    axis: Axis,
    marks: Sequence[Mark],
    extras: Sequence[Callable[[Axis, float], tuple[str, float]]] = (),
) -> str:
    """Draw lanes below each other on one axis: what was sent, what arrived, and whether the two agree.

    Args:
        law: of the audio.
        lanes: what to draw.
        axis: in seconds of the arriving side's clock.
        marks: bands over the whole height, on that clock.
        extras: further rows; each takes the axis and its top, and returns a drawing and its height.
    """
    body: list[str] = []
    top = 30.0
    for lane in lanes:
        body.append(_lane(law, lane, axis, top))
        top += 2 * WAVE_HEIGHT + PROOF_HEIGHT + LANE_GAP + 14
    for extra in extras:
        drawing, height = extra(axis, top)
        body.append(drawing)
        top += height + LANE_GAP / 2
    bands = [_band(mark, axis, top) for mark in marks]
    title = "Waveforms of what was sent and of what arrived"
    summary = "; ".join(f"{lane.title}: {lane.comparison.why}" for lane in lanes)
    return _svg(top + 24, title, summary, [*bands, *body, _axis(axis, top)])


def _lane(law: Law, lane: Lane, axis: Axis, top: float) -> str:
    silence = g711.SILENCE[law]
    offset = lane.comparison.offset or 0
    begin = lane.sent[0].position if lane.sent else 0
    sent = lay_out((Frame(frame.position - begin, frame.payload) for frame in lane.sent), silence)
    arrived = lay_out(lane.arrived, silence)
    second = top + 14 + WAVE_HEIGHT + 4
    proof = second + WAVE_HEIGHT + 4
    return "".join(
        (
            f'<text class="lane" x="{LEFT}" y="{top + 6:.0f}">{escape(lane.title)}</text>',
            _label("sent", top + 14 + WAVE_HEIGHT / 2),
            _wave(law, sent, (axis, begin + offset, top + 14), "sent"),
            _label("arrived", second + WAVE_HEIGHT / 2),
            _wave(law, arrived, (axis, 0, second), "arrived"),
            _label("agreement", proof + PROOF_HEIGHT / 2),
            _proof(lane, axis, proof, len(arrived)),
        )
    )


def _wave(law: Law, audio: bytes, place: tuple[Axis, int, float], style: str) -> str:
    axis, position, top = place
    begin, end = axis.x(position / CLOCK_RATE), axis.x((position + len(audio)) / CLOCK_RATE)
    columns = max(int((end - begin) / (WIDTH - LEFT - RIGHT) * COLUMNS), 1)
    return waveform(envelope(law, audio, columns), begin, end, top, style)


def _proof(lane: Lane, axis: Axis, top: float, length: int) -> str:
    """Draw where both agree, where nothing was sent, and where they differ."""
    comparison = lane.comparison
    blocks = [_block(Span(0, length), axis, top, "agree", "")]
    blocks += [_block(span, axis, top, "quiet", "nothing was sent: silence") for span in comparison.silent]
    blocks += [
        _block(span, axis, top, "differ", "differs from what was sent") for span in comparison.differing
    ]
    blocks += [_block(span, axis, top, "differ", "was never sent") for span in comparison.strange]
    return "".join(blocks)


def _block(span: Span, axis: Axis, top: float, style: str, title: str) -> str:
    begin, end = axis.x(span.begin / CLOCK_RATE), axis.x(span.end / CLOCK_RATE)
    width = max(end - begin, MIN_BLOCK if style == "differ" else 0.1)
    told = f"<title>{escape(title)}, samples {span.begin} to {span.end}</title>" if title else ""
    return (
        f'<rect class="{style}" x="{begin:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{PROOF_HEIGHT}">{told}</rect>'
    )


def _band(mark: Mark, axis: Axis, bottom: float) -> str:
    begin, end = axis.x(mark.begin), axis.x(mark.end)
    return (
        f'<g class="band {escape(mark.kind, quote=True)}"><rect x="{begin:.1f}" y="16" '
        f'width="{max(end - begin, 1):.1f}" height="{bottom - 16:.0f}"/>'
        f'<text x="{(begin + end) / 2:.1f}" y="12">{escape(mark.label)}</text></g>'
    )


def _label(text: str, y: float) -> str:
    return f'<text class="label" x="{LEFT - 14}" y="{y + 4:.0f}">{escape(text)}</text>'


def _axis(axis: Axis, y: float) -> str:
    ticks = [
        f'<path class="tick" d="M{axis.x(at):.1f} {y:.0f}v5"/>'
        f'<text class="tick" x="{axis.x(at):.1f}" y="{y + 18:.0f}">{at:g} s</text>'
        for at in axis.ticks()
    ]
    return f'<path class="tick" d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}"/>{"".join(ticks)}'


def messages_row(
    messages: Sequence[StreamMessage], stream_begin: float
) -> Callable[[Axis, float], tuple[str, float]]:
    """Return a row of the stream's messages; each is a sign with its number and words as its title."""
    rows = ("connect, start, close", "metadata", "dtmf")

    def draw(axis: Axis, top: float) -> tuple[str, float]:
        signs = [_label(label, top + 12 + index * 26) for index, label in enumerate(("session", *rows[1:]))]
        free = [0.0] * len(rows)
        for message in messages:
            row = rows.index(message.event) if message.event in rows else 0
            # Signs of one instant stand beside each other, or only the last would be seen.
            x, y = max(axis.x(message.at - stream_begin), free[row]), top + 12 + row * 26
            free[row] = x + SIGN_WIDTH
            kind = message.summary.split(" ", 1)[0]
            glyph = METADATA_GLYPHS.get(kind) or GLYPHS.get(message.event, "?")
            title = f"{message.number} {message.event}: {message.summary}"
            signs.append(_sign(message.event, glyph, title, (x, y)))
        return "".join(signs), 26 * len(rows)

    return draw


def documents_row(
    documents: Sequence[MetadataStep], begin: float
) -> Callable[[Axis, float], tuple[str, float]]:
    """Return a row of a recording's metadata documents; each is a sign with its number."""

    def draw(axis: Axis, top: float) -> tuple[str, float]:
        signs = [_label("metadata", top + 12)]
        free = 0.0
        for number, step in enumerate(documents, 1):
            x = max(axis.x(step.at - begin), free)
            free = x + SIGN_WIDTH
            style = "malformed" if step.faults else "document"
            title = f"{step.message}: {step.summary}"
            signs.append(_sign(style, str(number), title, (x, top + 12)))
        return "".join(signs), 26

    return draw


def _sign(style: str, glyph: str, title: str, place: tuple[float, float]) -> str:
    x, y = place
    return (
        f'<g class="sign {escape(style, quote=True)}"><title>{escape(title)}</title>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        f'<text x="{x:.1f}" y="{y + 4:.1f}">{escape(glyph)}</text></g>'
    )


def delays_row(
    lanes: Sequence[Lane], begin: float, stream_begin: float
) -> Callable[[Axis, float], tuple[str, float]]:
    """Return a row with one dot for each frame: the ms from the phone's socket to the witness."""
    height = 90.0

    def draw(axis: Axis, top: float) -> tuple[str, float]:
        highest = max((ms for lane in lanes for ms in lane.comparison.latencies_ms), default=0.0)
        limit = next(
            (bound for bound in (10, 25, 50, 100, 200, 500, 1_000, 5_000) if highest <= bound), 10_000
        )
        parts = [_label("delay", top + 4), _label(f"{limit} ms", top + 20), _label("0 ms", top + height)]
        parts.append(f'<path class="tick" d="M{LEFT} {top:.0f}V{top + height:.0f}H{WIDTH - RIGHT}"/>')
        for index, lane in enumerate(lanes):
            places = (
                (axis.x(at - begin - stream_begin), top + height * (1 - min(ms, limit) / limit))
                for at, ms in lane.comparison.delays
            )
            dots = "".join(f"M{x:.1f} {y:.1f}h.01" for x, y in places)
            parts.append(f'<path class="delay lane{index}" d="{dots}"/>')
        return "".join(parts), height

    return draw


def ladder(steps: Sequence[SipStep], actors: Sequence[tuple[str, str]]) -> str:
    """Draw SIP messages between the caller, the gateway and the callee, oldest first.

    Args:
        steps: the messages.
        actors: name and address of each of the three.
    """
    bottom = 66 + len(steps) * LADDER_ROW
    parts = []
    for (name, address), x in zip(actors, LADDER_COLUMNS.values(), strict=True):
        parts.append(f'<path class="life" d="M{x} 50V{bottom}"/>')
        parts.append(f'<text class="actor" x="{x}" y="20">{escape(name)}</text>')
        parts.append(f'<text class="address" x="{x}" y="38">{escape(address)}</text>')
    parts += [_rung(step, 76 + row * LADDER_ROW) for row, step in enumerate(steps)]
    summary = ", ".join(step.title for step in steps)
    return _svg(bottom + 10, "SIP messages in the order of time", summary, parts)


def _rung(step: SipStep, y: int) -> str:
    party = LADDER_COLUMNS["caller" if step.party == CALLER else "callee"]
    begin, end = (party, LADDER_COLUMNS["gateway"]) if step.to_gateway else (LADDER_COLUMNS["gateway"], party)
    back = -8 if end > begin else 8
    title = step.title if len(step.title) <= 46 else f"{step.title[:45]}…"
    style = "request" if not step.title[:1].isdigit() else "good" if step.title[0] in "12" else "bad"
    return (
        f'<g class="rung {style}"><title>{escape(step.title)} ({escape(step.cseq)})</title>'
        f'<text class="time" x="100" y="{y + 4}">{step.at:.3f} s</text>'
        f'<path d="M{begin} {y}H{end}M{end + back} {y - 4}L{end} {y}L{end + back} {y + 4}"/>'
        f'<text x="{(begin + end) / 2:.0f}" y="{y - 6}">{escape(title)}</text></g>'
    )


def _svg(height: float, title: str, description: str, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )
