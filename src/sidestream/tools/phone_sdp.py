"""Session descriptions of the scripted phone: one audio stream of G.711 with key presses. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sidestream import sdp
from sidestream.sdp.crypto import CryptoLine, SrtpKeys, attributes_of
from sidestream.sdp.negotiate import refused, usable_audio
from sidestream.sdp.protection import Protection
from sidestream.tools.g711 import Law

PAYLOAD_TYPES: dict[Law, int] = {"PCMU": 0, "PCMA": 8}
"""RFC 3551 table 4."""
EVENT_PAYLOAD_TYPE = 101
PTIME_MS = 20


@dataclass(frozen=True, slots=True)
class AgreedMedia:
    """What offer and answer agreed on.

    Attributes:
        remote: where audio goes, None when nothing may be sent.
        law: the G.711 law in use.
        payload_type: of audio that we send.
        event_payload_type: of key presses that we send, None when the peer takes none.
        sends: whether we may send.
        receives: whether we shall hear something.
        srtp: the keys of SRTP; None for plain RTP.
    """

    remote: tuple[str, int] | None
    law: Law
    payload_type: int
    event_payload_type: int | None
    sends: bool
    receives: bool
    srtp: SrtpKeys | None = None


@dataclass(frozen=True, slots=True)
class Crypto:
    """What a description says about SRTP: its protocol and its keys."""

    protocol: str = "RTP/AVP"
    lines: tuple[CryptoLine, ...] = ()


PLAIN: Final = Crypto()


def crypto_of_offer(protection: Protection) -> Crypto:
    """What our offer says."""
    lines = protection.proposals()
    return Crypto("RTP/SAVP", lines) if lines else PLAIN


def describe(
    address: tuple[str, int],
    laws: Iterable[Law],
    direction: sdp.Direction,
    origin: sdp.Origin,
    event_payload_type: int | None = EVENT_PAYLOAD_TYPE,
    *,
    crypto: Crypto = PLAIN,
) -> sdp.SessionDescription:
    """Return a description of our own.

    Args:
        address: host and RTP port.
        laws: what we speak, the preferred one first.
        direction: what we do.
        origin: our `o=` line.
        event_payload_type: number of telephone-event, None to leave it out.
        crypto: protocol and keys.
    """
    host, port = address
    formats = {PAYLOAD_TYPES[law]: f"{law}/8000" for law in laws}
    if event_payload_type is not None:
        formats[event_payload_type] = "telephone-event/8000"
    lines = [
        "v=0",
        f"o={origin.value}",
        "s=-",
        f"c={sdp.Connection.of(host).value}",
        "t=0 0",
        f"m=audio {port} {crypto.protocol} {' '.join(map(str, formats))}",
        *(f"a=rtpmap:{number} {name}" for number, name in formats.items()),
        *([f"a=fmtp:{event_payload_type} 0-15"] if event_payload_type is not None else []),
        *(f"a={attribute.name}:{attribute.value}" for attribute in attributes_of(crypto.lines)),
        f"a=ptime:{PTIME_MS}",
        f"a={direction.value}",
    ]
    return sdp.parse(("\r\n".join(lines) + "\r\n").encode())


def answer_to(
    offer: sdp.SessionDescription,
    address: tuple[str, int],
    preferred: Law,
    direction: sdp.Direction,
    origin: sdp.Origin,
    *,
    protection: Protection,
) -> sdp.SessionDescription:
    """Return our answer: one law, the preferred one if offered, and key presses by the offer's number.

    Raises:
        NegotiationError: no G.711 audio is offered.
    """
    audio = usable_audio(offer)
    offered = [codec.key.name for codec in audio.codecs if codec.clock_rate == 8_000]
    law: Law
    for law in (preferred, "PCMU", "PCMA"):
        if law in offered:
            break
    else:
        raise sdp.NegotiationError("neither PCMU nor PCMA is offered")
    events = [codec.payload_type for codec in audio.codecs if codec.key == ("TELEPHONE-EVENT", 8_000, 1)]
    line = protection.answer(audio)
    made = describe(
        address,
        (law,),
        direction.within(audio.direction),
        origin,
        events[0] if events else None,
        crypto=Crypto(audio.protocol, (line,) if line else ()),
    )
    sections = tuple(made.media[0] if media is audio else refused(media) for media in offer.media)
    return sdp.SessionDescription(made.lines, sections)


def agreed(
    local: sdp.SessionDescription, remote: sdp.SessionDescription, *, we_answered: bool
) -> AgreedMedia:
    """Return what both descriptions agree on.

    Raises:
        NegotiationError: the stream is refused, or they have no G.711 law in common.
    """
    ours, theirs = local.audio, remote.audio
    if ours is None or theirs is None:
        raise sdp.NegotiationError("the audio is refused")
    codecs = sdp.leg_codecs(ours, theirs, answerer="local" if we_answered else "remote")
    events = [codec.remote_pt for codec in codecs if codec.name.upper() == "TELEPHONE-EVENT"]
    for codec in codecs:
        name = codec.name.upper()
        if name in PAYLOAD_TYPES:
            break
    else:
        raise sdp.NegotiationError("no G.711 codec in common")
    to = sdp.remote_address(remote, theirs)
    return AgreedMedia(
        remote=None if to is None else (to.host, to.rtp_port),
        law="PCMU" if name == "PCMU" else "PCMA",
        payload_type=codec.remote_pt,
        event_payload_type=events[0] if events else None,
        sends=ours.direction.sends and theirs.direction.receives,
        receives=ours.direction.receives and theirs.direction.sends,
        srtp=sdp.agreed_keys(ours, theirs, we_answered=we_answered),
    )
