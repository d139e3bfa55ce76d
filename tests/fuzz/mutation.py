"""Mutations that a seed fixes, for the run within the tests."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from fuzz.target import Target

_NUMBERS = [b"0", b"-1", b"1", b"255", b"256", b"65535", b"65536", b"2147483648", b"18446744073709551616"]


@dataclass(frozen=True, slots=True)
class _Material:
    """What changes are made of: chance, the kept inputs, the dictionary's pieces."""

    chance: Random
    kept: Sequence[bytes]
    pieces: Sequence[bytes]


def mutations(target: Target, seed: int, count: int) -> Iterator[bytes]:
    """Inputs made from the kept ones by one to five changes each; the same for the same seed."""
    chance = Random(seed)
    material = _Material(chance, target.kept(), target.pieces())
    for _ in range(count):
        data = chance.choice(material.kept)
        for _ in range(chance.randrange(1, 6)):
            data = chance.choice(_CHANGES)(data, material)
        yield data[: target.max_bytes]


def _span(data: bytes, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice([1, 1, 2, 4, 16, 64]))


def _bit(data: bytes, material: _Material) -> bytes:
    start, end = _span(data, material.chance)
    changed = bytes(byte ^ (1 << material.chance.randrange(8)) for byte in data[start : min(end, start + 1)])
    return data[:start] + changed + data[start + len(changed) :]


def _cut(data: bytes, material: _Material) -> bytes:
    start, end = _span(data, material.chance)
    return data[:start] + data[end:]


def _repeat(data: bytes, material: _Material) -> bytes:
    start, end = _span(data, material.chance)
    return data[:end] + data[start:end] * material.chance.choice([1, 1, 2, 40]) + data[end:]


def _insert(data: bytes, material: _Material) -> bytes:
    piece = material.chance.choice([*material.pieces, material.chance.randbytes(2)])
    start, end = _span(data, material.chance)
    return data[:start] + piece + data[material.chance.choice([start, end]) :]


def _number(data: bytes, material: _Material) -> bytes:
    digits = [at for at, byte in enumerate(data) if 48 <= byte < 58]
    if not digits:
        return data
    at = material.chance.choice(digits)
    return data[:at] + material.chance.choice(_NUMBERS) + data[at + 1 :]


def _splice(data: bytes, material: _Material) -> bytes:
    other = material.chance.choice(material.kept)
    return (
        data[: material.chance.randrange(len(data) + 1)] + other[material.chance.randrange(len(other) + 1) :]
    )


_CHANGES: list[Callable[[bytes, _Material], bytes]] = [
    _bit, _cut, _repeat, _insert, _insert, _number, _splice,
]  # fmt: skip
