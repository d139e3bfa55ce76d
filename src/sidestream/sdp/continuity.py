"""What a new description of ours must keep of the ones before it (RFC 3264 section 8)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace

from sidestream.sdp.codecs import DYNAMIC, Codec, CodecKey
from sidestream.sdp.model import Line, MediaDescription, SessionDescription
from sidestream.sdp.negotiate import refused

#: Payload types that a leg has used, and for which codec and parameters.
Numbers = Mapping[int, tuple[CodecKey, str | None]]


def continue_version(last: SessionDescription | None, new: SessionDescription) -> SessionDescription:
    """Give `new` the origin that continues `last`.

    The session id, user and host stay; the version grows by one when anything else changed, and only then.
    """
    if last is None:
        return new
    same_origin = new.with_origin(last.origin)
    if same_origin == last:
        return same_origin
    return new.with_origin(last.origin.with_version(last.origin.version + 1))


def continue_sections(last: SessionDescription | None, offer: SessionDescription) -> SessionDescription:
    """Put the one section of `offer` where the leg has its audio.

    M-lines are never removed or moved (RFC 3264 section 8): the other places are refused, and when the leg
    carries no audio yet, the section is added after them.
    """
    if last is None or len(offer.media) != 1:
        return offer
    place = next(
        (index for index, media in enumerate(last.media) if media.port and media.kind == "audio"), None
    )
    if place is None:
        place = next(
            (index for index, media in enumerate(last.media) if media.kind == "audio"), len(last.media)
        )
    sections = [refused(media) for media in last.media]
    sections[place : place + 1] = offer.media
    return SessionDescription(offer.lines, tuple(sections))


def continue_numbers(offer: SessionDescription, used: Numbers) -> SessionDescription:
    """Number the codecs of an offer so that no payload type means another codec than it did on this leg.

    A codec keeps the number it had; a new one keeps the offered number when the leg hasn't used it, and
    otherwise gets a free dynamic one (RFC 3264 section 8.3.2). When none is free, the codec is left out.
    """
    audio = offer.audio
    if audio is None:
        return offer
    renumbered: dict[int, int] = {}
    for codec in audio.codecs:
        number = _number_for(codec, used, set(renumbered.values()))
        if number is not None:
            renumbered[codec.payload_type] = number
    if all(old == new for old, new in renumbered.items()) and len(renumbered) == len(audio.codecs):
        return offer
    section = _renumber(audio, renumbered)
    sections = tuple(section if media is audio else media for media in offer.media)
    return SessionDescription(offer.lines, sections)


def remember_numbers(
    sent: SessionDescription, used: MutableMapping[int, tuple[CodecKey, str | None]]
) -> None:
    """Note which payload types a description that was sent has bound."""
    if sent.audio is not None:
        for codec in sent.audio.codecs:
            used[codec.payload_type] = (codec.key, codec.fmtp)


def _number_for(codec: Codec, used: Numbers, taken: set[int]) -> int | None:
    had = [number for number, (key, _) in used.items() if key == codec.key and number not in taken]
    same = [number for number in had if used[number][1] == codec.fmtp]
    if codec.payload_type in same or (codec.payload_type in had and not same):
        return codec.payload_type
    if same or had:
        return (same or had)[0]
    if codec.payload_type not in used and codec.payload_type not in taken:
        return codec.payload_type
    return next((number for number in DYNAMIC if number not in used and number not in taken), None)


def _renumber(audio: MediaDescription, numbers: Mapping[int, int]) -> MediaDescription:
    kind, port, protocol = audio.lines[0].value.split()[:3]
    formats = " ".join(
        str(numbers[codec.payload_type]) for codec in audio.codecs if codec.payload_type in numbers
    )
    lines = [Line("m", f"{kind} {port} {protocol} {formats}")]
    for line in audio.lines[1:]:
        name, _, value = line.value.partition(":")
        if line.type != "a" or name not in {"rtpmap", "fmtp"}:
            lines.append(line)
            continue
        number, _, rest = value.partition(" ")
        if int(number) in numbers:
            lines.append(Line("a", f"{name}:{numbers[int(number)]} {rest}"))
    return replace(audio, lines=tuple(lines))
