"""Session descriptions of a recording session as a strict recorder reads and writes them. Pure.

Judges a client's offers and answers (RFC 7866 section 7.1, RFC 4574, RFC 3264), and makes the recorder's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sidestream import sdp
from sidestream.sdp.crypto import CryptoLine, usable_lines
from sidestream.sdp.model import SECURE_RTP
from sidestream.sip.grammar import is_token
from sidestream.tools.recorder_findings import Finding, remark, violation

EVENTS: Final = "TELEPHONE-EVENT"
STATIC_PAYLOAD_TYPES: Final = 35
"""Payload types below this one are known without `rtpmap` (RFC 3551 table 4 and 5)."""
RECORDABLE: Final = ("PCMU", "PCMA")
_DEAD = sdp.Direction.INACTIVE


def judge_sdp(data: bytes) -> tuple[sdp.SessionDescription | None, list[Finding]]:
    """Parse a session description; None when it cannot be read."""
    found = []
    if not data.endswith(b"\r\n"):
        text = "the session description does not end in CRLF (the one before a boundary is the boundary's)"
        found.append(violation("sdp-end", text, "RFC 8866 section 9"))
    elif data.count(b"\n") != data.count(b"\r\n"):
        found.append(remark("sdp-line-ends", "lines of the session description end in LF alone"))
    try:
        return sdp.parse(data), found
    except sdp.SdpError as error:
        found.append(violation("sdp", f"the session description cannot be read: {error}", "RFC 8866"))
        return None, found


def judge_offer(offer: sdp.SessionDescription, before: sdp.SessionDescription | None) -> list[Finding]:
    """Judge an offer of the client.

    Args:
        offer: the offer.
        before: the client's description before it; None for the first.
    """
    live = [(number, media) for number, media in enumerate(offer.media, 1) if media.port]
    found = [finding for number, media in live for finding in _judge_line(number, media)]
    found += _judge_labels(live)
    found += _judge_ports(live)
    if before is None:
        audio = sum(media.kind == "audio" for _, media in live)
        if audio < 2:
            text = f"{audio or 'no'} audio stream; recorders expect one for each participant"
            found.append(remark("one-stream", text, "RFC 7866 section 8.3.1"))
    else:
        found += _judge_succession(offer, before)
    return found


def judge_answer(
    answer: sdp.SessionDescription, offer: sdp.SessionDescription, before: sdp.SessionDescription
) -> list[Finding]:
    """Judge the client's answer to an offer of ours.

    Args:
        answer: what the client said.
        offer: what we had said.
        before: the client's description before.
    """
    found = []
    if len(answer.media) != len(offer.media):
        text = f"the answer has {len(answer.media)} m-lines, the offer {len(offer.media)}"
        found.append(violation("answer-lines", text, "RFC 3264 section 6"))
    for number, (said, asked) in enumerate(zip(answer.media, offer.media, strict=False), 1):
        if said.port and not asked.port:
            text = f"m-line {number} is refused with port 0 and answered with port {said.port}"
            found.append(violation("answer-port", text, "RFC 3264 section 6"))
        if said.port and said.declared_direction.sends and not asked.direction.receives:
            text = f"m-line {number}: {said.declared_direction.value} answers {asked.direction.value}"
            found.append(violation("answer-direction", text, "RFC 3264 section 6.1"))
        if said.port and said.declared_direction.receives:
            text = f"m-line {number} wants to receive ({said.declared_direction.value})"
            found.append(violation("direction", text, "RFC 7866 section 7.1.1"))
    found += _judge_labels([(number, media) for number, media in enumerate(answer.media, 1) if media.port])
    found += _judge_origin(answer, before)
    return found


def _judge_line(number: int, media: sdp.MediaDescription) -> Iterator[Finding]:
    line = f"m-line {number}"
    if media.declared_direction not in {sdp.Direction.SENDONLY, sdp.Direction.INACTIVE}:
        declared = media.declared_direction.value
        yield violation("direction", f"{line} is {declared}, not sendonly", "RFC 7866 section 7.1.1")
    if media.kind != "audio":
        yield remark("not-audio", f"{line} is {media.kind}, which this recorder refuses")
        return
    if media.protocol in SECURE_RTP and not usable_lines(media):
        text = f"{line} is {media.protocol} without a usable crypto line"
        yield violation("crypto", text, "RFC 4568 section 5.1.1")
    elif not media.is_rtp:
        yield remark("protocol", f"{line} is {media.protocol}, which this recorder refuses")
    if media.connection is not None and media.connection.is_unspecified:
        text = f"{line} comes from {media.connection.host}, an address that nothing comes from"
        yield violation("address", text, "RFC 3264 section 5.1")
    for word in media.formats:
        if not word.isdigit() or int(word) > 127:
            yield violation("format", f"{line} has the format {word[:20]!r}", "RFC 8866 section 5.14")
        elif int(word) >= STATIC_PAYLOAD_TYPES and int(word) not in media.rtpmaps:
            yield violation(
                "rtpmap", f"{line} lacks the rtpmap of payload type {word}", "RFC 8866 section 6.6"
            )
    if not any(codec.key.name in RECORDABLE for codec in media.codecs):
        yield remark("codec", f"{line} offers no G.711, which is all that this recorder writes")


def _judge_labels(live: Sequence[tuple[int, sdp.MediaDescription]]) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for number, media in live:
        label = media.label
        if not label:
            yield violation("label-missing", f"m-line {number} has no a=label", "RFC 7866 section 7.1.1")
        elif not is_token(label):
            text = f"the label {label[:40]!r} of m-line {number} is no token"
            yield violation("label-token", text, "RFC 4574 section 4")
        elif label in seen:
            text = f"m-lines {seen[label]} and {number} have the same label {label!r}"
            yield violation("label-duplicate", text, "RFC 4574 section 4")
        else:
            seen[label] = number


def _judge_ports(live: Sequence[tuple[int, sdp.MediaDescription]]) -> Iterator[Finding]:
    places = Counter((media.connection.host if media.connection else "", media.port) for _, media in live)
    for (host, port), count in places.items():
        if count > 1:
            text = f"{count} streams come from {host} port {port}"
            yield violation("port-shared", text, "RFC 3550 section 5.2")
    for number, media in live:
        if media.port % 2 and media.attribute("rtcp-mux") is None:
            yield remark("port-odd", f"m-line {number} has the odd port {media.port}", "RFC 3550 section 11")


def _judge_succession(offer: sdp.SessionDescription, before: sdp.SessionDescription) -> Iterator[Finding]:
    if len(offer.media) < len(before.media):
        text = f"{len(offer.media)} m-lines after {len(before.media)}; a removed stream keeps its line"
        yield violation("lines-removed", text, "RFC 3264 section 8")
    for number, (now, then) in enumerate(zip(offer.media, before.media, strict=False), 1):
        if now.port and then.port and now.label and then.label and now.label != then.label:
            text = f"m-line {number} had the label {then.label[:40]!r} and has {now.label[:40]!r}"
            yield remark("label-changed", text)
    yield from _judge_origin(offer, before)


def _judge_origin(now: sdp.SessionDescription, before: sdp.SessionDescription) -> Iterator[Finding]:
    rule = "RFC 3264 section 8"
    if replace(now.origin, version=0) != replace(before.origin, version=0):
        yield violation("origin", "o= differs in more than its version from the one before", rule)
        return
    step = now.origin.version - before.origin.version
    changed = sdp.serialize(now) != sdp.serialize(before)
    if step == 0 and changed:
        yield violation("origin-version", "the description changed and the version in o= did not", rule)
    elif step not in {0, 1}:
        yield violation("origin-version", f"the version in o= went on by {step}, not by one", rule)


@dataclass(frozen=True, slots=True)
class RecordedLine:
    """What the recorder says about one m-line.

    Attributes:
        port: its RTP port; 0 refuses the stream.
        direction: `recvonly` or `inactive`.
        codec: the one codec it takes; None when the stream is refused.
        events: payload type of key presses, None for none.
        label: the client's label, None to leave it out.
        crypto: our key, None for plain RTP.
    """

    port: int
    direction: sdp.Direction = _DEAD
    codec: sdp.Codec | None = None
    events: int | None = None
    label: str | None = None
    crypto: CryptoLine | None = None


def choose(media: sdp.MediaDescription, codecs: Sequence[str]) -> tuple[sdp.Codec, int | None] | None:
    """Return the codec to record an offered line in, and the number of its key presses; None to refuse it.

    Args:
        media: the offered line.
        codecs: names in upper case that the recorder takes; the offer's order decides.
    """
    if not media.is_usable_audio:
        return None
    taken = [codec for codec in media.codecs if codec.key.name in codecs and codec.clock_rate == 8_000]
    if not taken:
        return None
    events = [codec.payload_type for codec in media.codecs if codec.key == (EVENTS, 8_000, 1)]
    return taken[0], events[0] if events else None


def describe(
    lines: Sequence[RecordedLine],
    like: sdp.SessionDescription,
    host: str,
    origin: sdp.Origin,
) -> sdp.SessionDescription:
    """Return a description of the recorder's: an answer to `like`, or an offer with the same lines."""
    text = ["v=0", f"o={origin.value}", "s=-", f"c={sdp.Connection.of(host).value}", "t=0 0"]
    for line, media in zip(lines, like.media, strict=True):
        text += _describe_line(line, media)
    return sdp.parse(("\r\n".join(text) + "\r\n").encode("utf-8", "surrogateescape"))


def _describe_line(line: RecordedLine, media: sdp.MediaDescription) -> list[str]:
    if line.codec is None or line.port == 0:
        return [f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}"]
    formats = [line.codec.payload_type] + ([line.events] if line.events is not None else [])
    text = [
        f"m=audio {line.port} {media.protocol} {' '.join(map(str, formats))}",
        f"a=rtpmap:{line.codec.payload_type} {line.codec.name}/{line.codec.clock_rate}",
    ]
    if line.events is not None:
        text += [f"a=rtpmap:{line.events} telephone-event/8000", f"a=fmtp:{line.events} 0-16"]
    if line.crypto is not None:
        text.append(f"a=crypto:{line.crypto.attribute.value}")
    text.append(f"a={line.direction.value}")
    if line.label is not None:
        text.append(f"a=label:{line.label}")
    return text
