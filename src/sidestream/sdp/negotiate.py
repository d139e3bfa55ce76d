"""Offer/answer across a gateway as pure functions (RFC 3264).

A call has two legs and each leg its own offer/answer exchange. What one side offers is offered on to the
other with our addresses (`relay_offer`); what that side answers is answered back in the words of the first
offer (`relay_answer`). One audio stream is carried. Keys, candidates and multiplexing are between us and each
peer, so they are never passed on; everything else about the audio is. Our own keys are arguments (RFC 4568).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

from sidestream.sdp.codecs import NESTING, OFFERABLE, WIDE_EVENTS, Codec, matching
from sidestream.sdp.crypto import CryptoLine, agreed_keys, attributes_of
from sidestream.sdp.errors import NegotiationError, WarningCode
from sidestream.sdp.model import (
    SECURE_RTP,
    Attribute,
    Connection,
    Direction,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
)

__all__ = [
    "MediaAddress",
    "NegotiatedCodec",
    "NegotiationError",
    "Origin",
    "initial_offer",
    "is_held",
    "leg_codecs",
    "relay_answer",
    "relay_offer",
    "remote_address",
]

#: Attributes that belong to one leg: written anew (the first row), or never passed on.
LEG_ATTRIBUTES: Final = frozenset(
    (
        *("sendrecv", "sendonly", "recvonly", "inactive", "rtpmap", "fmtp", "rtcp"),
        *(
            "crypto",
            "key-mgmt",
            "fingerprint",
            "setup",
            "connection",
            "tls-id",
            "dtls-id",
            "identity",
            "zrtp-hash",
        ),
        *("candidate", "remote-candidates", "end-of-candidates", "alt", "altc"),
        *("ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "ice-mismatch", "ice-pacing"),
        *("rtcp-mux", "rtcp-mux-only", "rtcp-rsize", "rtcp-fb", "rtcp-xr", "source-filter"),
        *("group", "mid", "msid", "msid-semantic", "ssrc", "ssrc-group", "extmap", "extmap-allow-mixed"),
        *("acap", "tcap", "pcfg", "acfg", "csup", "creq", "rmcap", "omcap", "mfcap", "lcfg", "sescap"),
        *("cdsc", "cpar", "cparmin", "cparmax", "sqn", "rid", "simulcast", "bundle-only", "nortpproxy"),
    )
)


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where RTP and RTCP of one leg go.

    Attributes:
        host: IP address; of a remote one, possibly a domain name.
        rtp_port: port of RTP.
        rtcp_port: port of RTCP.
    """

    host: str
    rtp_port: int
    rtcp_port: int


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """One format that both sides of a leg agreed on.

    Attributes:
        name: encoding name.
        clock_rate: RTP clock in Hz.
        channels: channel count.
        local_pt: payload type of what the peer sends to us, as our description says.
        remote_pt: payload type of what we send, as the peer's description says.
        fmtp: the peer's format parameters.
    """

    name: str
    clock_rate: int
    channels: int
    local_pt: int
    remote_pt: int
    fmtp: str | None


def relay_offer(
    offer: SessionDescription,
    local: MediaAddress,
    allowed: Sequence[str],
    origin: Origin,
    crypto: Sequence[CryptoLine] = (),
) -> SessionDescription:
    """Make the offer for the other leg.

    Args:
        offer: what one side offered.
        local: our addresses on the leg that is offered to.
        allowed: names of the codecs that leg's trunk may use, in any case; their order doesn't matter.
        origin: our `o=` line on that leg.
        crypto: our keys, one of which is to be chosen; with none, plain RTP is offered.

    Returns:
        An offer with one section: the first usable audio, its codecs cut to `allowed` in the order of the
        offer, with its direction, packet times, bandwidth and other attributes kept. A hold by address
        becomes `sendonly`.

    Raises:
        NegotiationError: no usable audio, or no codec remains.
    """
    audio = usable_audio(offer)
    codecs = cut_codecs(audio.codecs, allowed)
    protocol = "RTP/SAVP" if crypto else "RTP/AVP"
    section = _section(audio, codecs, local, direction=audio.direction, protocol=protocol, crypto=crypto)
    return _session(offer, origin, local, [section])


def relay_answer(
    original_offer: SessionDescription,
    relayed_offer: SessionDescription,
    answer: SessionDescription,
    local: MediaAddress,
    origin: Origin,
    *,
    crypto: CryptoLine | None = None,
) -> SessionDescription:
    """Make the answer for the side that offered first.

    Args:
        original_offer: what that side offered.
        relayed_offer: what was offered on in its stead.
        answer: the other side's answer to `relayed_offer`.
        local: our addresses on the leg that is answered.
        origin: our `o=` line on that leg.
        crypto: our key in answer to one of that side's; None where the offer is answered without SRTP.

    Returns:
        An answer with the sections of `original_offer` in number and order, refused but for its first usable
        audio (and that too, when the answer refuses it). Codecs keep the answer's order and take the offer's
        numbers.

    Raises:
        NegotiationError: the answer fits the offer in no codec or key, or has no place for it.
    """
    audio = usable_audio(original_offer)
    index = relayed_offer.audio_index
    if index is None or index >= len(answer.media):
        raise NegotiationError("the answer has no section for the audio that was offered")
    answered = answer.media[index]
    if answered.port == 0:
        return _session(answer, origin, local, [refused(media) for media in original_offer.media])
    offered = relayed_offer.media[index].protocol
    as_offered = (answered.protocol in SECURE_RTP) is (offered in SECURE_RTP)
    if not answered.is_usable_audio or not as_offered:
        raise NegotiationError(
            f"the offer of {offered} audio was answered with {answered.kind} over {answered.protocol}",
            warning=WarningCode.INCOMPATIBLE_TRANSPORT_PROTOCOL,
        )
    agreed_keys(relayed_offer.media[index], answered, we_answered=False)
    codecs = _in_offerers_numbers(audio.codecs, relayed_offer.media[index].codecs, answered.codecs)
    direction = answered.direction.within(audio.direction)
    keys = [crypto] if crypto else []
    section = _section(answered, codecs, local, direction=direction, protocol=audio.protocol, crypto=keys)
    sections = [section if media is audio else refused(media) for media in original_offer.media]
    return _session(answer, origin, local, sections)


def leg_codecs(
    local_sdp: MediaDescription,
    remote_sdp: MediaDescription,
    *,
    answerer: Literal["local", "remote"] = "remote",
) -> list[NegotiatedCodec]:
    """List what both descriptions of one leg name.

    Args:
        local_sdp: our section.
        remote_sdp: the peer's section.
        answerer: whose order counts; the answer's does (RFC 3264 section 6.1).

    Returns:
        The codecs, the one in use first; telephone-event and comfort noise after all others.
    """
    local, remote = local_sdp.codecs, remote_sdp.codecs
    pairs: list[tuple[Codec, Codec]] = []
    if answerer == "remote":
        pairs = [(ours, theirs) for theirs in remote if (ours := matching(theirs, local))]
    else:
        pairs = [(ours, theirs) for ours in local if (theirs := matching(ours, remote))]
    pairs.sort(key=lambda pair: pair[1].is_follower)
    return [
        NegotiatedCodec(
            theirs.name,
            theirs.clock_rate,
            theirs.channels,
            ours.payload_type,
            theirs.payload_type,
            theirs.fmtp,
        )
        for ours, theirs in pairs
    ]


def remote_address(sdp: SessionDescription, media: MediaDescription) -> MediaAddress | None:
    """Where to send media for a section of the peer.

    Args:
        sdp: the peer's description.
        media: one of its sections.

    Returns:
        The address, its host possibly a domain name; None when the section is refused or its address
        unspecified, so that nothing may be sent.
    """
    connection = media.connection or sdp.connection
    if media.port == 0 or connection is None or connection.is_unspecified:
        return None
    return MediaAddress(connection.host, media.port, media.rtcp_port)


def is_held(media: MediaDescription) -> bool:
    """Whether the peer that wrote this section holds us: `sendonly`, `inactive` or an unspecified address."""
    return not media.direction.receives


def initial_offer(local: MediaAddress, allowed: Sequence[str], origin: Origin) -> SessionDescription:
    """Offer on our own account, where a call without an offer must be given one (RFC 3261 section 14.1).

    Args:
        local: our addresses.
        allowed: names of the codecs in the order of preference. Names without a known form are left out.
        origin: our `o=` line.

    Raises:
        NegotiationError: no codec remains.
    """
    codecs = [OFFERABLE[name] for each in allowed if (name := each.upper()) in OFFERABLE]
    if any(codec.name == "telephone-event" for codec in codecs):
        rates = {codec.clock_rate for codec in codecs if not codec.is_follower}
        codecs += [event for event in WIDE_EVENTS if event.clock_rate in rates]
    if all(codec.is_follower for codec in codecs):
        raise NegotiationError("none of the allowed codecs can be offered without another side's offer")
    empty = SessionDescription((Line("v", "0"), Line("s", "-"), Line("t", "0 0")))
    section = MediaDescription((Line("m", "audio 0 RTP/AVP"),))
    made = _section(section, codecs, local, direction=Direction.SENDRECV, protocol="RTP/AVP")
    return _session(empty, origin, local, [made])


def usable_audio(offer: SessionDescription) -> MediaDescription:
    """Find the audio that can be carried in an offer.

    Raises:
        NegotiationError: there is none; the message says why.
    """
    if offer.audio is not None:
        return offer.audio
    audio = [media for media in offer.media if media.kind == "audio" and media.port > 0]
    if not audio:
        raise NegotiationError("no audio is offered", warning=WarningCode.MEDIA_TYPE_NOT_AVAILABLE)
    reason = next((media.barred for media in audio if media.barred), "")
    if reason:
        raise NegotiationError(reason, warning=WarningCode.INCOMPATIBLE_TRANSPORT_PROTOCOL)
    if not any(media.is_rtp for media in audio):
        raise NegotiationError(
            f"audio is offered over {audio[0].protocol} without keys in the description",
            warning=WarningCode.INCOMPATIBLE_TRANSPORT_PROTOCOL,
            hint="Offer RTP/AVP, or RTP/SAVP with keys in the description, on this trunk.",
        )
    raise NegotiationError(
        "audio is offered to a multicast group or in layers", warning=WarningCode.MULTICAST_NOT_AVAILABLE
    )


def cut_codecs(codecs: Sequence[Codec], allowed: Iterable[str]) -> list[Codec]:
    """Keep the codecs whose name is allowed, in their order.

    Key presses and comfort noise follow a codec of their clock rate (RFC 4733 section 2.5.1.1): they go when
    all codecs of that clock went.

    Raises:
        NegotiationError: nothing that carries a voice remains.
    """
    names = {name.upper() for name in allowed} - NESTING
    voices = {codec.clock_rate for codec in codecs if codec.key.name not in NESTING and not codec.is_follower}
    kept = {codec.clock_rate for codec in codecs if codec.key.name in names and not codec.is_follower}
    if not kept:
        offered = ", ".join(codec.name for codec in codecs) or "no known codec"
        raise NegotiationError(f"no codec in common: offered {offered}; allowed {', '.join(sorted(names))}")
    orphaned = voices - kept
    return [
        codec
        for codec in codecs
        if codec.key.name in names and not (codec.is_follower and codec.clock_rate in orphaned)
    ]


def refused(media: MediaDescription) -> MediaDescription:
    """The refusal of an offered section: its m-line with port 0 (RFC 3264 section 6)."""
    return MediaDescription((_media_line(media.kind, 0, media.protocol, media.formats),))


def _in_offerers_numbers(
    original: Sequence[Codec], relayed: Sequence[Codec], answered: Sequence[Codec]
) -> list[Codec]:
    """Number the answer's codecs as the original offer does.

    The answerer may use other numbers than it was offered (RFC 3264 section 6.1), so codecs are followed by
    what they are: from the answer to what was offered on, and from there to what it was made of.
    """
    unused, renamed = list(original), []
    for codec in answered:
        was_relayed = matching(codec, relayed)
        source = matching(was_relayed, unused) if was_relayed else None
        if source:
            unused.remove(source)
            renamed.append(
                Codec(source.name, source.clock_rate, source.channels, source.payload_type, codec.fmtp)
            )
    if all(codec.is_follower for codec in renamed):
        raise NegotiationError("the answer has no codec of the offer")
    return renamed


def _section(
    source: MediaDescription,
    codecs: Sequence[Codec],
    local: MediaAddress,
    *,
    direction: Direction,
    protocol: str,
    crypto: Sequence[CryptoLine] = (),
) -> MediaDescription:
    """Write an audio section of ours with what `source` says beside codecs, address and direction."""
    formats = [str(codec.payload_type) for codec in codecs]
    kept = [line for line in source.lines[1:] if line.type in "ib"]
    attributes: list[Attribute] = []
    for codec in codecs:
        attributes.append(Attribute("rtpmap", codec.rtpmap))
        if codec.fmtp is not None:
            attributes.append(Attribute("fmtp", f"{codec.payload_type} {codec.fmtp}"))
    attributes += attributes_of(crypto)
    attributes += _passed_on(source.attributes)
    if local.rtcp_port != local.rtp_port + 1:
        attributes.append(Attribute("rtcp", str(local.rtcp_port)))
    attributes.append(Attribute(direction.value, None))
    media_line = _media_line("audio", local.rtp_port, protocol, formats)
    return MediaDescription((media_line, *kept, *(attribute.line for attribute in attributes)))


def _session(
    source: SessionDescription, origin: Origin, local: MediaAddress, sections: Sequence[MediaDescription]
) -> SessionDescription:
    """Write a description of ours in the order of RFC 8866 section 5, with what `source` says to all."""
    bandwidth = [line for line in source.lines if line.type == "b"]
    times = [line for line in source.lines if line.type == "t"] or [Line("t", "0 0")]
    lines = chain(
        (Line("v", "0"), Line("o", origin.value), Line("s", source.name)),
        (Line("c", Connection.of(local.host).value),),
        bandwidth,
        times,
        (attribute.line for attribute in _passed_on(source.attributes)),
    )
    return SessionDescription(tuple(lines), tuple(sections))


def _passed_on(
    attributes: Iterable[Attribute], dropped: Collection[str] = LEG_ATTRIBUTES
) -> Iterator[Attribute]:
    return (attribute for attribute in attributes if attribute.name not in dropped)


def _media_line(kind: str, port: int, protocol: str, formats: Iterable[str]) -> Line:
    return Line("m", f"{kind} {port} {protocol} {' '.join(formats)}")
