"""WAV files of 16-bit PCM: read whole, write whole, or place samples of two channels as they arrive."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sidestream.errors import SidestreamError

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT_PCM = 1
_BYTES_PER_SAMPLE = 2
HEADER_BYTES = _HEADER.size
"""Before the samples of the files that are written here."""
_RIFF_OVERHEAD = _HEADER.size - 8
MAX_DATA_BYTES = 0xFFFF_FFFF - _HEADER.size
"""A WAV file's sizes are 32 bits."""


class WavError(SidestreamError):
    """The file is not a WAV file that the tools can read."""


@dataclass(frozen=True, slots=True)
class Wav:
    """Audio of a WAV file: one array of signed 16-bit samples for each channel."""

    sample_rate: int
    channels: tuple[array[int], ...]

    @property
    def samples(self) -> int:
        """Samples of each channel."""
        return len(self.channels[0]) if self.channels else 0

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate


def header(sample_rate: int, channels: int, data_bytes: int) -> bytes:
    """Return the 44 bytes before the samples of a 16-bit PCM file."""
    block = channels * _BYTES_PER_SAMPLE
    return _HEADER.pack(
        *(b"RIFF", data_bytes + _RIFF_OVERHEAD, b"WAVE", b"fmt ", 16, _FORMAT_PCM, channels),
        *(sample_rate, sample_rate * block, block, 16, b"data", data_bytes),
    )


def read(path: Path) -> Wav:
    """Read a 16-bit PCM WAV file; raises WavError with what is wrong and what to do."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WavError(f"cannot read {path}: {error.strerror}") from error
    chunks = _chunks(path, data)
    layout = chunks.get(b"fmt ", b"")
    if len(layout) < 16 or b"data" not in chunks:
        raise WavError(f"{path} has no 'fmt ' or no 'data' chunk; convert it to a 16-bit PCM WAV file")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", layout)
    if code != _FORMAT_PCM or bits != 16 or channels < 1 or rate < 1:
        raise WavError(f"{path} is not 16-bit PCM; convert it: sox {path} -b 16 -e signed out.wav")
    pcm = chunks[b"data"]
    block = channels * _BYTES_PER_SAMPLE
    samples = _native(pcm[: len(pcm) // block * block])
    return Wav(rate, tuple(samples[channel::channels] for channel in range(channels)))


def _chunks(path: Path, data: bytes) -> dict[bytes, bytes]:
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError(f"{path} is not a WAV file")
    chunks: dict[bytes, bytes] = {}
    offset = 12
    while offset + 8 <= len(data):
        name, size = data[offset : offset + 4], int.from_bytes(data[offset + 4 : offset + 8], "little")
        chunks.setdefault(name, data[offset + 8 : offset + 8 + size])
        offset += 8 + size + size % 2
    return chunks


def write(path: Path, sample_rate: int, channels: Sequence[array[int]]) -> None:
    """Write a 16-bit PCM WAV file; a shorter channel is filled with silence."""
    length = max(map(len, channels), default=0)
    interleaved = array("h", bytes(length * len(channels) * _BYTES_PER_SAMPLE))
    for number, samples in enumerate(channels):
        interleaved[number : len(samples) * len(channels) : len(channels)] = samples
    pcm = _little_endian(interleaved)
    path.write_bytes(header(sample_rate, len(channels), len(pcm)) + pcm)


class WavWriter:
    """Writes a WAV file while its channels arrive independently; memory does not grow with the call.

    Samples that are never placed are silence. The header is true after `close` (and after each `flush`).
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        self._file: BinaryIO = path.open("w+b")
        self._sample_rate = sample_rate
        self._channels = channels
        self._samples = 0
        self.flush()

    @property
    def samples(self) -> int:
        """Length of the file in samples of each channel."""
        return self._samples

    def place(self, channel: int, position: int, samples: array[int]) -> None:
        """Put samples of a channel at a position counted in samples from the beginning."""
        block = self._channels * _BYTES_PER_SAMPLE
        if (position + len(samples)) * block > MAX_DATA_BYTES:
            raise WavError("the recording is over 4 GiB, which a WAV file cannot hold")
        self._file.seek(_HEADER.size + position * block)
        present = self._file.read(len(samples) * block)
        frame = _native(present + bytes(len(samples) * block - len(present)))
        frame[channel :: self._channels] = samples
        self._file.seek(_HEADER.size + position * block)
        self._file.write(_little_endian(frame))
        self._samples = max(self._samples, position + len(samples))

    def flush(self) -> None:
        """Make the header say the present length."""
        data_bytes = self._samples * self._channels * _BYTES_PER_SAMPLE
        self._file.seek(0)
        self._file.write(header(self._sample_rate, self._channels, data_bytes))
        self._file.flush()

    def close(self) -> None:
        """Finish the file. Closing twice does nothing."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _native(pcm: bytes) -> array[int]:
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _little_endian(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    return samples.tobytes()


def from_little_endian(pcm: bytes) -> array[int]:
    """Return the samples of headerless signed 16-bit little-endian audio (the stream encoding L16)."""
    return _native(pcm)
