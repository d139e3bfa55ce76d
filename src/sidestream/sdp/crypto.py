"""SRTP keys in session descriptions: the `crypto` attribute (RFC 4568, with the suites of RFC 6188 and 7714).

Every line of an offer proposes one suite with the key that its sender will send with; the answer takes one of
them, under its tag, with a key of its own. Nothing here makes random numbers or keeps state:
`sdp.protection` does. A `KeyMaterial` never shows its key, whoever prints it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sidestream.sdp.errors import NegotiationError, SdpError, WarningCode
from sidestream.sdp.model import SECURE_RTP, Attribute, MediaDescription, SessionDescription

MAX_TAG_DIGITS: Final = 9
MIN_LIFETIME: Final = 2**20
"""Packets that a key must last for: a call of four hours at a packet every 20 ms has 720,000. Nobody would
put a new key in time for one that lasts less."""
MAX_LIFETIME: Final = 2**48
"""Packets that any key may protect (RFC 3711 section 9.2)."""


class CryptoSuite(Enum):
    """A suite that Sidestream knows, by its name in SDP."""

    __hash__ = object.__hash__  # an enum's own is written in Python

    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AES_256_CM_HMAC_SHA1_80 = "AES_256_CM_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"

    @property
    def key_salt_length(self) -> int:
        """Bytes of a master key and its salt (RFC 4568 6.2, RFC 6188 4, RFC 7714 12)."""
        return _LENGTHS[self]


_LENGTHS: Final = {
    CryptoSuite.AEAD_AES_256_GCM: 32 + 12,
    CryptoSuite.AEAD_AES_128_GCM: 16 + 12,
    CryptoSuite.AES_256_CM_HMAC_SHA1_80: 32 + 14,
    CryptoSuite.AES_CM_128_HMAC_SHA1_80: 16 + 14,
    CryptoSuite.AES_CM_128_HMAC_SHA1_32: 16 + 14,
}

OFFERED: Final = (
    CryptoSuite.AEAD_AES_256_GCM,
    CryptoSuite.AEAD_AES_128_GCM,
    CryptoSuite.AES_256_CM_HMAC_SHA1_80,
    CryptoSuite.AES_CM_128_HMAC_SHA1_80,
)
"""What we offer, the best first. Tags of 32 bits are accepted from a peer, never asked for."""


class CryptoError(SdpError):
    """A `crypto` line that cannot be used; a message never repeats a key."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sip_status=488)


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """What one direction of a stream is protected with.

    Attributes:
        suite: the suite.
        key_salt: master key and master salt, one after the other.
        lifetime: packets that may be protected with it; None for as many as the suite allows.
    """

    suite: CryptoSuite
    key_salt: bytes = field(repr=False)
    lifetime: int | None = None

    def __post_init__(self) -> None:
        if len(self.key_salt) != self.suite.key_salt_length:
            raise CryptoError(f"the key is of {len(self.key_salt)} bytes, which {self.suite.value} has not")


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """The keys of a leg.

    Attributes:
        send: what we protect with.
        receive: what the peer protects with.
    """

    send: KeyMaterial
    receive: KeyMaterial


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """One `crypto` attribute that can be used.

    Attributes:
        tag: its number within the section (RFC 4568 section 4.1).
        material: suite and key of the one who says it.
    """

    tag: int
    material: KeyMaterial

    @property
    def attribute(self) -> Attribute:
        """The attribute that says this."""
        material = self.material
        key = b64encode(material.key_salt).decode("ascii")
        lifetime = "" if material.lifetime is None else f"|{_lifetime_text(material.lifetime)}"
        return Attribute("crypto", f"{self.tag} {material.suite.value} inline:{key}{lifetime}")


def parse_crypto(value: str) -> CryptoLine:
    """Read the value of a `crypto` attribute.

    Refused besides what is malformed: unknown suites, several keys in a line, master key identifiers, and
    session parameters that would change how packets are protected, such as UNENCRYPTED_SRTCP or KDR. WSH and
    extensions marked optional with `-` are only hints (RFC 4568 sections 6.3.6 and 6.3.7).

    Raises:
        CryptoError: it can't be used; the message says why.
    """
    words = value.split()
    if len(words) < 3:
        raise CryptoError("a crypto line needs a tag, a suite and a key")
    tag, name, parameters = words[0], words[1], words[2]
    if not (tag.isascii() and tag.isdigit() and len(tag) <= MAX_TAG_DIGITS):
        raise CryptoError("the tag of a crypto line is no number")
    if name not in CryptoSuite.__members__:
        raise CryptoError("the suite is not known")
    for word in words[3:]:
        if not _is_hint(word):
            raise CryptoError(f"the session parameter {word.partition('=')[0][:32]} is not accepted")
    return CryptoLine(int(tag), _parse_key(CryptoSuite[name], parameters))


def usable_lines(section: MediaDescription) -> tuple[CryptoLine, ...]:
    """The `crypto` lines of a section that can be used, in their order; of several with one tag the first."""
    lines: dict[int, CryptoLine] = {}
    for attribute in section.attributes:
        if attribute.name == "crypto":
            try:
                line = parse_crypto(attribute.value or "")
            except CryptoError:
                continue
            lines.setdefault(line.tag, line)
    return tuple(lines.values())


def agreed_keys(ours: MediaDescription, theirs: MediaDescription, *, we_answered: bool) -> SrtpKeys | None:
    """The keys that an offer and its answer agreed on (RFC 4568 section 7.1.3); None for plain RTP.

    Args:
        ours: our section.
        theirs: the peer's section.
        we_answered: whether ours is the answer.

    Raises:
        NegotiationError: the answer takes none of the offered lines, or answers an offer of SRTP without.
    """
    offered, answered = (theirs, ours) if we_answered else (ours, theirs)
    proposals = {line.tag: line.material for line in usable_lines(offered)}
    chosen = [attribute for attribute in answered.attributes if attribute.name == "crypto"]
    if not proposals or not chosen:
        if SECURE_RTP.isdisjoint({offered.protocol, answered.protocol}):
            return None
        raise NegotiationError("SRTP was offered and answered without a key", warning=_TRANSPORT)
    if len(chosen) > 1:
        raise NegotiationError("the answer has more than one crypto line", warning=_TRANSPORT)
    try:
        answer = parse_crypto(chosen[0].value or "")
    except CryptoError as error:
        raise NegotiationError(
            f"the answer's crypto line can't be used: {error}", warning=_TRANSPORT
        ) from error
    proposal = proposals.get(answer.tag)
    if proposal is None or proposal.suite is not answer.material.suite:
        raise NegotiationError("the answer's crypto line is none of those offered", warning=_TRANSPORT)
    if we_answered:
        return SrtpKeys(answer.material, proposal)
    return SrtpKeys(proposal, answer.material)


def barred(description: SessionDescription, *, plain: bool, secure: bool) -> SessionDescription:
    """Mark the sections of an offer that may not be used, with the reason.

    Args:
        description: what a peer offered.
        plain: whether RTP without protection may be used.
        secure: whether SRTP may be used.
    """
    sections = [_barred(section, plain=plain, secure=secure) for section in description.media]
    if all(new is old for new, old in zip(sections, description.media, strict=True)):
        return description
    return SessionDescription(description.lines, tuple(sections))


_TRANSPORT: Final = WarningCode.INCOMPATIBLE_TRANSPORT_PROTOCOL
_WINDOW_HINT: Final = re.compile(r"WSH=[0-9]{1,5}", re.ASCII)
_LIFETIME: Final = re.compile(r"(2\^)?([0-9]{1,15})", re.ASCII)


def _barred(section: MediaDescription, *, plain: bool, secure: bool) -> MediaDescription:
    if section.kind != "audio":
        return section
    protected = section.protocol in SECURE_RTP
    if protected and not secure:
        return section.barred_for(f"audio is offered over {section.protocol}, and SRTP is off on this trunk")
    if protected and not usable_lines(section):
        return section.barred_for(f"audio is offered over {section.protocol} without a usable crypto line")
    if not protected and not plain and not usable_lines(section):
        return section.barred_for("audio is offered without SRTP, which this trunk requires")
    return section


def _is_hint(word: str) -> bool:
    return word.startswith("-") or _WINDOW_HINT.fullmatch(word) is not None


def _parse_key(suite: CryptoSuite, parameters: str) -> KeyMaterial:
    method, colon, info = parameters.partition(":")
    if not colon or method.lower() != "inline":
        raise CryptoError("the key method is not inline")
    if ";" in info:
        raise CryptoError("several keys in one line are not accepted")
    encoded, *rest = info.split("|")
    if any(":" in part for part in rest) or len(rest) > 1:
        raise CryptoError("master key identifiers are not accepted")
    try:
        # Some peers leave the padding out.
        key_salt = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (Base64Error, ValueError):
        raise CryptoError("the key is not in base64") from None
    return KeyMaterial(suite, key_salt, _parse_lifetime(rest[0]) if rest else None)


def _parse_lifetime(text: str) -> int:
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise CryptoError("the lifetime of the key is no number")
    number = int(match[2])
    if match[1]:
        number = 2**number if number <= 48 else MAX_LIFETIME + 1
    if not MIN_LIFETIME <= number <= MAX_LIFETIME:
        raise CryptoError("the lifetime of the key is not between 2^20 and 2^48 packets")
    return number


def _lifetime_text(lifetime: int) -> str:
    power = lifetime.bit_length() - 1
    return f"2^{power}" if lifetime == 2**power else str(lifetime)


def attributes_of(lines: Iterable[CryptoLine]) -> Sequence[Attribute]:
    """The attributes that say these lines."""
    return [line.attribute for line in lines]
