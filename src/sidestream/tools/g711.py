"""G.711 companding (ITU-T G.711) between 8-bit codes and signed 16-bit samples, by table.

The tools keep their own implementation, apart from the media engine's, so that the one proves the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

from sidestream.errors import SidestreamError

Law = Literal["PCMU", "PCMA"]

SILENCE: dict[Law, int] = {"PCMU": 0xFF, "PCMA": 0xD5}
"""The code of a zero sample in each law."""

_ULAW_BIAS = 0x84
_ULAW_CLIP = 32_635
_ALAW_INVERSION = 0x55


class UnknownLawError(SidestreamError):
    """The encoding is neither PCMU nor PCMA."""


def law_of(encoding: str) -> Law:
    """Return the G.711 law of an encoding name, or raise UnknownLawError."""
    match encoding.upper():
        case "PCMU":
            return "PCMU"
        case "PCMA":
            return "PCMA"
        case _:
            raise UnknownLawError(f"{encoding} is not a G.711 encoding; use PCMU or PCMA")


def _ulaw_sample(code: int) -> int:
    inverted = ~code & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + _ULAW_BIAS) << ((inverted & 0x70) >> 4)
    return _ULAW_BIAS - magnitude if inverted & 0x80 else magnitude - _ULAW_BIAS


def _alaw_sample(code: int) -> int:
    inverted = code ^ _ALAW_INVERSION
    segment = (inverted & 0x70) >> 4
    magnitude = (inverted & 0x0F) << 4
    magnitude = magnitude + 8 if segment == 0 else (magnitude + 0x108) << (segment - 1)
    return magnitude if inverted & 0x80 else -magnitude


def _ulaw_code(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _ULAW_CLIP) + _ULAW_BIAS
    segment = magnitude.bit_length() - 8
    return ~(sign | segment << 4 | (magnitude >> (segment + 3)) & 0x0F) & 0xFF


def _alaw_code(sample: int) -> int:
    sign = 0x80 if sample >= 0 else 0
    # One's complement below zero: -1 falls into the smallest negative step, as G.711 table 1b has it.
    magnitude = (sample if sample >= 0 else ~sample) >> 3
    segment = max(magnitude.bit_length() - 5, 0)
    step = magnitude >> (segment or 1)
    return (sign | segment << 4 | step & 0x0F) ^ _ALAW_INVERSION


@cache
def decoding_table(law: Law) -> tuple[int, ...]:
    """Return the 256 samples of a law, by code."""
    sample = _ulaw_sample if law == "PCMU" else _alaw_sample
    return tuple(sample(code) for code in range(256))


@cache
def encoding_table(law: Law) -> bytes:
    """Return the 65,536 codes of a law, by the sample read as an unsigned 16-bit number."""
    code = _ulaw_code if law == "PCMU" else _alaw_code
    return bytes(code(unsigned - 0x10000 if unsigned & 0x8000 else unsigned) for unsigned in range(0x10000))


def decode(law: Law, codes: bytes) -> array[int]:
    """Return the signed 16-bit samples of G.711 codes."""
    return array("h", map(decoding_table(law).__getitem__, codes))


def encode(law: Law, samples: Sequence[int] | Iterable[int]) -> bytes:
    """Return the G.711 codes of signed 16-bit samples."""
    table = encoding_table(law)
    return bytes(table[sample & 0xFFFF] for sample in samples)
