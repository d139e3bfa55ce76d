"""G.711 by the vectors of the standard; WAV files as written, as placed, and as refused."""

from array import array
from pathlib import Path

import pytest

from sidestream.tools import g711, wav
from sidestream.tools.g711 import Law

# ITU-T G.711 tables 1a and 2a: decision values at the ends and around zero, as signed 16-bit.
VECTORS: dict[Law, dict[int, int]] = {
    "PCMU": {0x00: -32_124, 0x80: 32_124, 0xFF: 0, 0x7F: 0, 0xFE: 8, 0x7E: -8, 0xAA: 5_372 + 0},
    "PCMA": {0xD5: 8, 0x55: -8, 0xAA: 32_256, 0x2A: -32_256, 0x80: 5_504, 0x00: -5_504},
}


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_codes_decode_as_the_standard_says(law: Law) -> None:
    table = g711.decoding_table(law)
    assert {code: table[code] for code in VECTORS[law]} == VECTORS[law]


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_every_code_survives_decoding_and_encoding(law: Law) -> None:
    codes = bytes(code for code in range(256) if not (law == "PCMU" and code == 0x7F))
    assert g711.encode(law, g711.decode(law, codes)) == codes


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_encoding_picks_a_nearest_step(law: Law) -> None:
    table = g711.decoding_table(law)
    for sample in range(-32_768, 32_768, 97):
        error = abs(table[g711.encode(law, [sample])[0]] - sample)
        nearest = min(abs(value - sample) for value in table)
        step = max(abs(sample) // 16, 8)
        assert error <= nearest + step // 2 + 8


def test_silence_is_the_code_of_zero() -> None:
    assert g711.encode("PCMU", [0])[0] == g711.SILENCE["PCMU"]
    assert g711.encode("PCMA", [0])[0] == g711.SILENCE["PCMA"]


@pytest.mark.parametrize("name", ["G722", "", "PCM"])
def test_other_encodings_are_refused(name: str) -> None:
    with pytest.raises(g711.UnknownLawError, match="PCMU or PCMA"):
        g711.law_of(name)


def test_a_file_reads_as_it_was_written(tmp_path: Path) -> None:
    left, right = array("h", [1, -2, 32_767]), array("h", [-32_768])
    wav.write(tmp_path / "a.wav", 8_000, [left, right])
    read = wav.read(tmp_path / "a.wav")
    assert read.channels == (left, array("h", [-32_768, 0, 0]))
    assert (read.sample_rate, read.samples) == (8_000, 3)


def test_samples_are_placed_in_any_order(tmp_path: Path) -> None:
    with wav.WavWriter(tmp_path / "a.wav", 8_000, 2) as writer:
        writer.place(1, 3, array("h", [7, 8]))
        writer.place(0, 0, array("h", [1, 2]))
        writer.place(0, 3, array("h", [5]))
    assert wav.read(tmp_path / "a.wav").channels == (array("h", [1, 2, 0, 5, 0]), array("h", [0, 0, 0, 7, 8]))


def test_the_header_is_true_after_every_flush(tmp_path: Path) -> None:
    writer = wav.WavWriter(tmp_path / "a.wav", 8_000, 1)
    writer.place(0, 0, array("h", [1, 2, 3]))
    writer.flush()
    during = wav.read(tmp_path / "a.wav").samples
    writer.place(0, 3, array("h", [4]))
    writer.close()
    writer.close()
    assert (during, wav.read(tmp_path / "a.wav").samples) == (3, 4)


def test_a_recording_ends_where_a_wav_file_does(tmp_path: Path) -> None:
    with wav.WavWriter(tmp_path / "a.wav", 8_000, 2) as writer, pytest.raises(wav.WavError, match="4 GiB"):
        writer.place(0, 2**31, array("h", [1]))


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEdata\0\0\0\0", wav.header(8_000, 0, 0),
     wav.header(0, 1, 0), wav.header(8_000, 1, 0).replace(b"\x10\x00data", b"\x08\x00data")],
)  # fmt: skip
def test_what_is_no_16_bit_pcm_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(wav.WavError):
        wav.read(tmp_path / "a.wav")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(wav.WavError, match="cannot read"):
        wav.read(tmp_path / "none.wav")
