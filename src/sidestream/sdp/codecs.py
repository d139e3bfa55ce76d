"""What a payload type means: static assignments of RFC 3551 and the codecs Sidestream can offer by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple


class CodecKey(NamedTuple):
    """What makes two formats the same codec, whatever their payload types (RFC 3264 section 6.1).

    The name is upper case, for encoding names are case-insensitive (RFC 8866 section 6.6).
    """

    name: str
    clock_rate: int
    channels: int


@dataclass(frozen=True)
class Codec:
    """One format of an audio description.

    Attributes:
        name: encoding name as it was written.
        clock_rate: RTP clock in Hz; 8000 for G722 although it samples at 16 kHz (RFC 3551 section 4.5.2).
        channels: channel count, 1 unless said.
        payload_type: RTP payload type, 0 to 127.
        fmtp: value of the `fmtp` attribute after the payload type, kept as it was written.
    """

    name: str
    clock_rate: int
    channels: int
    payload_type: int
    fmtp: str | None = None

    @cached_property
    def key(self) -> CodecKey:
        """Identity of the codec on both legs."""
        return CodecKey(self.name.upper(), self.clock_rate, self.channels)

    @property
    def is_follower(self) -> bool:
        """Whether the format only accompanies another codec and can't carry a voice alone."""
        return self.key.name in FOLLOWERS

    @property
    def rtpmap(self) -> str:
        """Value of the `rtpmap` attribute (RFC 8866 section 6.6)."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.payload_type} {self.name}/{self.clock_rate}{channels}"


#: Formats that ride along: key presses (RFC 4733) and comfort noise (RFC 3389).
FOLLOWERS: Final = frozenset({"TELEPHONE-EVENT", "CN"})

#: Formats whose payload carries payload type numbers of other formats, which a relay that maps numbers would
#: have to rewrite packet by packet (RFC 2198, RFC 5109, RFC 4588).
NESTING: Final = frozenset({"RED", "ULPFEC", "PARITYFEC", "RTX"})

#: Static payload types of RFC 3551 table 4, known without an `rtpmap`.
STATIC: Final[dict[int, CodecKey]] = {
    0: CodecKey("PCMU", 8000, 1),
    3: CodecKey("GSM", 8000, 1),
    4: CodecKey("G723", 8000, 1),
    5: CodecKey("DVI4", 8000, 1),
    6: CodecKey("DVI4", 16000, 1),
    7: CodecKey("LPC", 8000, 1),
    8: CodecKey("PCMA", 8000, 1),
    9: CodecKey("G722", 8000, 1),
    10: CodecKey("L16", 44100, 2),
    11: CodecKey("L16", 44100, 1),
    12: CodecKey("QCELP", 8000, 1),
    13: CodecKey("CN", 8000, 1),
    14: CodecKey("MPA", 90000, 1),
    15: CodecKey("G728", 8000, 1),
    16: CodecKey("DVI4", 11025, 1),
    17: CodecKey("DVI4", 22050, 1),
    18: CodecKey("G729", 8000, 1),
}

#: The range for formats bound by `rtpmap` (RFC 3551 section 3), then the unassigned numbers that RFC 3551
#: leaves for when it is exhausted; 64 to 95 stay free, for they collide with RTCP (RFC 5761 section 4).
DYNAMIC: Final = (*range(96, 128), *range(35, 64))

#: How each codec that an initial offer of our own may name is written.
OFFERABLE: Final[dict[str, Codec]] = {
    codec.name.upper(): codec
    for codec in (
        Codec("PCMU", 8000, 1, 0),
        Codec("GSM", 8000, 1, 3),
        Codec("G723", 8000, 1, 4),
        Codec("PCMA", 8000, 1, 8),
        Codec("G722", 8000, 1, 9),
        Codec("G728", 8000, 1, 15),
        Codec("G729", 8000, 1, 18),
        Codec("opus", 48000, 2, 96, "useinbandfec=1"),
        Codec("iLBC", 8000, 1, 97, "mode=20"),
        Codec("speex", 8000, 1, 98),
        Codec("AMR", 8000, 1, 99, "octet-align=1"),
        Codec("AMR-WB", 16000, 1, 100, "octet-align=1"),
        Codec("L16", 16000, 1, 102),
        Codec("CN", 8000, 1, 13),
        Codec("telephone-event", 8000, 1, 101, "0-16"),
    )
}

#: The telephone-event that goes with codecs of another clock than 8 kHz (RFC 4733 section 2.5.1.1).
WIDE_EVENTS: Final = (
    Codec("telephone-event", 16000, 1, 103, "0-16"),
    Codec("telephone-event", 48000, 1, 104, "0-16"),
)

#: Every name that a trunk's `codecs` list may hold, in upper case.
KNOWN_NAMES: Final = frozenset(OFFERABLE)


def matching(wanted: Codec, candidates: Sequence[Codec]) -> Codec | None:
    """Find the candidate that means the same codec as `wanted`.

    A codec may be listed several times with other parameters (iLBC modes, AMR packings), so the same number
    counts most, then the same parameters, then the first of that key.
    """
    same = [codec for codec in candidates if codec.key == wanted.key]
    for codec in same:
        if codec.payload_type == wanted.payload_type:
            return codec
    for codec in same:
        if codec.fmtp == wanted.fmtp:
            return codec
    return same[0] if same else None
