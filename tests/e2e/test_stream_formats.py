"""What a stream holds: every layout and encoding of one call at once, key presses, holds."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
from array import array
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.endpoint import Heard, Message, endpoint
from e2e.test_gateway import FRAME, Talk, heard, site_with, talk, the_record
from sidestream.tools import g711
from sidestream.tools.phone_call import PhoneCall

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

FRAMES = 40
TONE_HZ = 440
FORMATS = {
    "separate": "encoding: PCMU",
    "own": "encoding: call",
    "alaw": "encoding: PCMA",
    "long": "encoding: PCMU, frame: 60ms",
    "wide": "encoding: L16, sample_rate: 16000",
    "both": "encoding: PCMU, layout: interleaved",
    "linear": "encoding: L16, layout: interleaved",
    "mixed": "encoding: PCMU, layout: mixed",
    "sum": "encoding: L16, layout: mixed",
}
LEVELS = (0x9A, 0x2C)
"""PCMU codes that the parties send at once: one sample above zero, one below."""


def linear(frame: bytes) -> bytes:
    """Return PCMU as L16 in the order of the protocol."""
    samples = g711.decode("PCMU", frame)
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def samples_of(data: bytes) -> array[int]:
    return array(
        "h", (int.from_bytes(data[at : at + 2], "little", signed=True) for at in range(0, len(data), 2))
    )


def tone(frames: int) -> list[bytes]:
    wave = [round(8000 * math.sin(2 * math.pi * TONE_HZ * at / 8000)) for at in range(frames * FRAME)]
    codes = g711.encode("PCMU", wave)
    return [codes[at : at + FRAME] for at in range(0, len(codes), FRAME)]


@dataclass(frozen=True)
class Said:
    """What the parties said, in turn: noise each alone, a level both at once, and the caller a tone."""

    caller: list[bytes]
    callee: list[bytes]


async def converse(call: Talk) -> Said:
    said = Said([os.urandom(FRAME) for _ in range(FRAMES)], [os.urandom(FRAME) for _ in range(FRAMES)])
    turns: tuple[tuple[list[bytes], list[bytes]], ...] = (
        (said.caller, []),
        ([], said.callee),
        ([bytes([LEVELS[0]]) * FRAME] * FRAMES, [bytes([LEVELS[1]]) * FRAME] * FRAMES),
        (tone(FRAMES), []),
    )
    for caller, callee in turns:
        call.caller.media.play(caller)
        call.callee.media.play(callee)
        await asyncio.gather(call.caller.media.drained(), call.callee.media.drained())
        await asyncio.sleep(0.2)
    assert heard(call.callee) == [frame for turn in turns for frame in turn[0]]
    assert heard(call.caller) == [frame for turn in turns for frame in turn[1]]
    return said


def check_envelope(stream: Heard, media: Message) -> None:
    """What holds of every stream: order, numbers, one frame after the other, and totals."""
    events = [message["event"] for message in stream.messages]
    assert (events[:2], events[-1]) == (["connect", "start"], "close")
    assert [message["sequenceNumber"] for message in stream.messages] == list(range(1, len(events) + 1))
    (start,) = stream.of("start")
    assert start["media"] == media
    (close,) = stream.of("close")
    assert close["reason"] == "call-ended"
    samples = media["sampleRate"] * media["frameDurationMs"] // 1000
    for totals in close["totals"]:
        channel = totals["channel"]
        parts = [part for part in stream.of("media") if part["channel"] == channel]
        assert {part["participantId"] for part in parts} == {totals["participantId"]}
        assert [part["chunk"] for part in parts] == list(range(1, len(parts) + 1))
        assert [part["timestamp"] for part in parts] == [samples * index for index in range(len(parts))]
        assert totals["chunks"] == len(parts)
        assert totals["samples"] == samples * len(parts)
        assert totals["sha256"] == hashlib.sha256(stream.audio(channel)).hexdigest()
        assert totals["droppedSamples"] == 0
        assert abs(len(parts) * media["frameDurationMs"] - close["durationMs"]) <= 200


def described(encoding: str, rate: int = 8000, frame: int = 20, layout: str = "separate") -> Message:
    channels = [0] if layout == "mixed" else [0, 1]
    return {
        "encoding": encoding,
        "sampleRate": rate,
        "frameDurationMs": frame,
        "layout": layout,
        "channels": channels,
    }


def check_separate(stream: Heard, said: Said) -> None:
    stream.accounts_for(0, said.caller)
    stream.accounts_for(1, said.callee)


def check_alaw(stream: Heard, said: Said) -> None:
    for channel, frames in enumerate((said.caller, said.callee)):
        stream.accounts_for(channel, [g711.encode("PCMA", g711.decode("PCMU", frame)) for frame in frames])


def check_long(stream: Heard, said: Said) -> None:
    """Three packets make a frame; where in one the speech begins is up to its arrival."""
    for channel, frames in enumerate((said.caller, said.callee)):
        assert {len(payload) for payload in stream.media(channel).values()} == {3 * FRAME}
        audio = stream.audio(channel)
        arrived = [audio.find(frame) for frame in frames if frame in audio]
        assert arrived == sorted(arrived)
        assert len(arrived) >= FRAMES - 5


def strength(samples: array[int], hertz: float, rate: int) -> float:
    """Return the amplitude of a frequency."""
    turns = [2 * math.pi * hertz * at / rate for at in range(len(samples))]
    real = sum(sample * math.cos(turn) for sample, turn in zip(samples, turns, strict=True))
    imaginary = sum(sample * math.sin(turn) for sample, turn in zip(samples, turns, strict=True))
    return 2 * math.hypot(real, imaginary) / len(samples)


def check_wide(stream: Heard, _said: Said) -> None:
    """The tone is the caller's last word: it is the same tone at twice the rate."""
    assert {len(payload) for payload in stream.media(0).values()} == {2 * 320}
    heard_tone = [
        payload
        for payload in stream.media(0).values()
        if strength(samples_of(payload), TONE_HZ, 16_000) > 6000
    ]
    assert len(heard_tone) >= FRAMES - 5
    # Eleven whole turns in 25 ms: 400 samples, so that what else there is can be told apart.
    middle = samples_of(b"".join(heard_tone[10:15]))[:1600]
    amplitude = strength(middle, TONE_HZ, 16_000)
    assert 7800 <= amplitude <= 8200
    power = sum(sample * sample for sample in middle) / len(middle)
    assert power < 1.02 * amplitude * amplitude / 2, "there is more than the tone in it"


def check_both(stream: Heard, said: Said) -> None:
    stream.accounts_for(-1, said.caller, slice(0, None, 2))
    stream.accounts_for(-1, said.callee, slice(1, None, 2))


def check_linear(stream: Heard, said: Said) -> None:
    media = stream.media(-1)
    for side, frames in enumerate((said.caller, said.callee)):
        wanted = [linear(frame) for frame in frames]
        split = {
            b"".join(payload[at : at + 2] for at in range(2 * side, len(payload), 4))
            for payload in media.values()
        }
        assert len([frame for frame in wanted if frame in split]) >= FRAMES - 5


def mixed_level() -> int:
    return sum(g711.decode("PCMU", bytes([level]))[0] for level in LEVELS)


def check_mixed(stream: Heard, said: Said) -> None:
    """One party alone is itself (of the two codes of zero one is left); both at once are their sum."""
    for frames in (said.caller, said.callee):
        stream.accounts_for(0, [frame.replace(b"\x7f", b"\xff") for frame in frames])
    level = g711.encode("PCMU", [mixed_level()])
    assert list(stream.media(0).values()).count(level * FRAME) >= FRAMES - 5


def check_sum(stream: Heard, said: Said) -> None:
    for frames in (said.caller, said.callee):
        stream.accounts_for(0, [linear(frame) for frame in frames])
    level = mixed_level().to_bytes(2, "little", signed=True)
    assert list(stream.media(0).values()).count(level * FRAME) >= FRAMES - 5


CHECKS = {
    "separate": (described("PCMU"), check_separate),
    "own": (described("PCMU"), check_separate),
    "alaw": (described("PCMA"), check_alaw),
    "long": (described("PCMU", frame=60), check_long),
    "wide": (described("L16", 16_000), check_wide),
    "both": (described("PCMU", layout="interleaved"), check_both),
    "linear": (described("L16", layout="interleaved"), check_linear),
    "mixed": (described("PCMU", layout="mixed"), check_mixed),
    "sum": (described("L16", layout="mixed"), check_sum),
}


async def test_one_call_in_every_layout_and_encoding_at_once(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        wanted = listener.integrations(*(f"{name}: {settings}" for name, settings in FORMATS.items()))
        with site_with(tmp_path, wanted) as site:
            async with talk(site) as call:
                said = await converse(call)
                await call.caller.hang_up()
                record = await the_record(site)
        for name in FORMATS:
            await asyncio.wait_for(listener.paths[f"/{name}"].over.wait(), 5)
    assert {stream["integration"]: stream["verdict"] for stream in record["streams"]} == dict.fromkeys(
        FORMATS, "completed"
    )
    for name, (media, check) in CHECKS.items():
        stream = listener.paths[f"/{name}"]
        try:
            check_envelope(stream, media)
            check(stream, said)
        except AssertionError as error:
            error.add_note(f"in the stream {name!r}: {FORMATS[name]}")
            raise
    identities = {listener.paths[f"/{name}"].messages[0]["streamId"] for name in FORMATS}
    assert len(identities) == len(FORMATS)
    calls = {listener.paths[f"/{name}"].of("start")[0]["callId"] for name in FORMATS}
    assert calls == {record["call_id"]}


async def test_the_calls_own_encoding_is_passed_on_bit_for_bit(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        with site_with(tmp_path, listener.integrations(encoding="call")) as site:
            async with talk(site, "PCMA") as call:
                said = await call.say(40)
                await call.caller.hang_up()
                await the_record(site)
        await asyncio.wait_for(listener.heard.over.wait(), 5)
    check_envelope(listener.heard, described("PCMA"))
    for channel in (0, 1):
        listener.heard.accounts_for(channel, said[channel])


async def send_info(call: PhoneCall, kind: str, body: str) -> None:
    """Send a key press by INFO, which every phone answers."""
    assert call.dialog is not None
    info = call.dialog.create_request("INFO")
    info.headers.add("Content-Type", kind)
    info.body = body.encode()
    await call.line.request(call, info, call.dialog.next_hop_uri())


async def test_each_key_press_is_told_once_whatever_its_source(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with talk(site) as call:
                call.caller.media.press("5#")
                await call.caller.media.drained()
                await asyncio.sleep(0.3)
                await send_info(call.caller, "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n")
                await send_info(call.callee, "application/dtmf", "*")
                call.callee.media.press("A")
                await call.callee.media.drained()
                call.callee.media.press("9")
                await send_info(call.callee, "application/dtmf-relay", "Signal=9\r\nDuration=100\r\n")
                await call.callee.media.drained()
                await asyncio.sleep(0.3)
                assert call.callee.media.recorder.digits == ["5", "#"], "events are relayed"
                assert call.caller.media.recorder.digits == ["A", "9"]
                await call.caller.hang_up()
                await the_record(site)
        await asyncio.wait_for(listener.heard.over.wait(), 5)
    presses = listener.heard.of("dtmf")
    by_caller = [(each["digit"], each["source"]) for each in presses if each["channel"] == 0]
    by_callee = [(each["digit"], each["source"]) for each in presses if each["channel"] == 1]
    assert by_caller == [("5", "rfc4733"), ("#", "rfc4733"), ("7", "sip-info")]
    heard_first = [each for each in by_callee if each[0] == "9"]
    assert len(heard_first) == 1, "a press that is told in two ways is one"
    assert sorted(set(by_callee) - set(heard_first)) == [("*", "sip-info"), ("A", "rfc4733")]
    assert {each["participantId"] for each in presses if each["channel"] == 1} == {"callee"}
    durations = {each["digit"]: each["durationMs"] for each in presses}
    assert (durations["5"], durations["7"]) == (100, 160)
    first, second, third = (each["timestamp"] for each in presses if each["channel"] == 0)
    assert first < second < third
    # Two of them are 100 ms and a pause of 60 ms apart, in slots of 20 ms.
    assert second - first in range(8 * 160, 8 * 200)
    silence = bytes([g711.SILENCE["PCMU"]]) * FRAME
    during = [payload for at, payload in listener.heard.media(0).items() if first <= at < first + 800]
    assert set(during) == {silence}


async def test_a_hold_is_told_and_its_silence_has_its_name(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as listener:
        stream = listener.heard
        with site_with(tmp_path, listener.integrations(encoding="PCMU")) as site:
            async with talk(site) as call:
                before = await call.say(20)
                await call.callee.hold()
                await asyncio.sleep(0.6)
                await call.callee.resume()
                after = await call.say(20)
                await call.caller.hang_up()
                await the_record(site)
        await asyncio.wait_for(stream.over.wait(), 5)
    check_envelope(stream, described("PCMU"))
    for channel in (0, 1):
        stream.accounts_for(channel, before[channel])
        stream.accounts_for(channel, after[channel])
    (held,), (resumed,) = stream.told("call.held"), stream.told("call.resumed")
    assert (held["participantId"], resumed["participantId"]) == ("callee", "callee")
    length = resumed["timestamp"] - held["timestamp"]
    assert 4000 <= length <= 8000, "0.6 s and what the two re-INVITEs took"
    for channel in (0, 1):
        samples = sum(gap["samples"] for gap in stream.gaps("hold", channel))
        assert abs(samples - length) <= 8 * FRAME, f"{samples} samples of a hold of {length}"
        assert stream.totals(channel)["silenceSamples"] >= samples
