"""The options of the scripted call."""

import asyncio
from array import array
from pathlib import Path

import pytest

from sidestream.gateway.sip_options import ListenAddress
from sidestream.sip.hop import Transport
from sidestream.tools import g711, wav
from sidestream.tools.call import (
    CallOptions,
    CallReport,
    WrongUseError,
    describe,
    load_frames,
    parse_listen,
    run_call,
)


@pytest.mark.parametrize(
    ("text", "transport", "host", "port"),
    [("udp://127.0.0.1:5080", "udp", "127.0.0.1", 5080), ("tcp://127.0.0.1", "tcp", "127.0.0.1", 0),
     ("udp://[::1]:5060/", "udp", "::1", 5060), ("tls://127.0.0.1:5061", "tls", "127.0.0.1", 5061)],
)  # fmt: skip
def test_an_address_to_listen_on(text: str, transport: Transport, host: str, port: int) -> None:
    assert parse_listen(text) == ListenAddress(transport, host, port)


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1:5060", "sctp://127.0.0.1:5061", "udp://127.0.0.1:99999", "udp://:1"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(WrongUseError) as refused:
        parse_listen(text)
    assert "udp://127.0.0.1:5080" in refused.value.hint


@pytest.mark.parametrize(
    "options",
    [CallOptions(), CallOptions(to="sip:a@127.0.0.1", answer=True), CallOptions(to="nobody"),
     CallOptions(answer=True, dtmf="12x"), CallOptions(answer=True, headers=("X-Broken",)),
     CallOptions(answer=True, sender="sip:")],
    ids=["neither", "both", "no uri", "no key", "no header", "no sender"],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options: CallOptions) -> None:
    with pytest.raises(WrongUseError):
        asyncio.run(run_call(options, lambda *_: None))


def test_the_last_frame_is_filled_with_silence(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", 8_000, [array("h", [1_000] * 200)])
    frames = load_frames(tmp_path / "a.wav", "PCMA")
    assert [len(frame) for frame in frames] == [160, 160]
    assert frames[1][40:] == bytes((g711.SILENCE["PCMA"],)) * 120


def test_another_sampling_rate_is_refused_with_a_remedy(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", 16_000, [array("h", [0] * 160)])
    with pytest.raises(WrongUseError, match="16000 Hz") as refused:
        load_frames(tmp_path / "a.wav", "PCMU")
    assert "sox" in refused.value.hint


def test_a_report_says_what_went_wrong() -> None:
    lines = describe(CallReport(good=False, status=486, ending="486 Busy Here", problem="the line was busy"))
    assert lines[-1] == "FAILED    the line was busy"
    assert describe(CallReport(good=True, status=200, ending="we hung up", seconds=1.0))[-1] == "good"
