"""A call by SIPp, relayed before tshark's eyes and streamed to an endpoint on the `websockets` library."""

import base64
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.endpoint import endpoint
from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    gateway,
    media_port,
    needs_sipp,
    run_pair,
)

FRAME = 160
FRAMES = 250
INTEGRATION = """\
        integrations:
          - name: listener
            type: media_stream
            url: {url}
            ca: {ca}
            encoding: PCMU
            auth: {{bearer: {{env: LISTENER_TOKEN}}}}
            headers: {{X-Tenant: "{{account.name}}"}}
            parameters: {{called: "{{callee.number}}"}}
            start_on: {start_on}
"""

pytestmark = [pytest.mark.interop, needs_sipp]


def can_capture() -> bool:
    if shutil.which("tshark") is None:
        return False
    probe = ["tshark", "-q", "-i", "lo", "-a", "duration:1", "-w", os.devnull]
    return subprocess.run(probe, capture_output=True, check=False, timeout=30).returncode == 0


@contextlib.contextmanager
def capture(directory: Path) -> Iterator[Path]:
    """Keep what goes over the loopback interface, until the block is left."""
    path = directory / "relay.pcap"
    command = ["tshark", "-q", "-i", "lo", "-f", "udp", "-w", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if b"Capturing on" in line:
            break
    time.sleep(0.5)  # tshark says so before its capture is open; there is no later sign.
    try:
        yield path
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def relayed(path: Path, host: str, port: int) -> list[bytes]:
    """Return the RTP payloads that a party was sent, in order of arrival."""
    wanted = f"rtp && ip.dst == {host} && udp.dstport == {port}"
    command = ["tshark", "-r", str(path), "-d", f"udp.port=={port},rtp", "-Y", wanted]
    fields = ["-T", "fields", "-e", "rtp.payload"]
    output = subprocess.run(
        [*command, *fields], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return [bytes.fromhex(line.replace(":", "")) for line in output.splitlines()]


def frames(data: bytes) -> list[bytes]:
    return [data[at : at + FRAME] for at in range(0, len(data), FRAME)]


def without_padding(audio: list[bytes], sent: list[bytes]) -> list[bytes]:
    """Return the frames from the first sent one on, as many as were sent."""
    first = audio.index(sent[0])
    return audio[first : first + len(sent)]


def carry_call(site: Gateway, directory: Path, ports: dict[str, int]) -> None:
    loads = tuple(Load(pause_ms=FRAMES * 20 + 1000, media_port=ports[side]) for side in ("caller", "callee"))
    run_pair(site, directory, "random_audio_caller", "random_audio_callee", (loads[0], loads[1]))
    site.wait_idle()


@pytest.mark.skipif(not can_capture(), reason="tshark may not capture on the loopback interface here")
def test_random_audio_arrives_whole_on_the_relay_and_on_the_stream(tmp_path: Path) -> None:
    sent = {side: os.urandom(FRAMES * FRAME) for side in ("caller", "callee")}
    for side, audio in sent.items():
        (tmp_path / f"{side}.raw").write_bytes(audio)
    ports = {"caller": media_port(CARRIER_HOST), "callee": media_port(DESK_HOST)}
    with endpoint(tmp_path) as listener:
        setup = Setup(
            integrations=INTEGRATION.format(url=listener.url, ca=listener.ca, start_on="answer"),
            environment={"LISTENER_TOKEN": "s3cret-t0ken"},
        )
        with gateway(tmp_path, setup) as site, capture(tmp_path) as pcap:
            carry_call(site, tmp_path, ports)
            stream = listener.stream()
    assert relayed(pcap, DESK_HOST, ports["callee"]) == frames(sent["caller"])
    assert relayed(pcap, CARRIER_HOST, ports["caller"]) == frames(sent["callee"])
    for channel, side in enumerate(("caller", "callee")):
        assert without_padding(stream.audio(channel), frames(sent[side])) == frames(sent[side])

    events = stream.events()
    assert events[:2] == ["connect", "start"]
    assert events[-1] == "close"
    numbers = [message["sequenceNumber"] for message in stream.messages]
    assert numbers == list(range(1, len(numbers) + 1))
    assert stream.close_code == 1000
    close = stream.messages[-1]["close"]
    assert close["reason"] == "call-ended"
    for totals in close["totals"]:
        channel = totals["channel"]
        assert totals["sha256"] == stream.digest(channel)
        assert totals["chunks"] == len(stream.audio(channel))
        assert totals["samples"] == FRAME * totals["chunks"]
        assert totals["droppedSamples"] == 0
        assert totals["samples"] - totals["silenceSamples"] == FRAMES * FRAME
    assert stream.headers["Authorization"] == "Bearer s3cret-t0ken"
    assert stream.headers["X-Tenant"] == "acme"
    assert stream.path == "/calls?tenant=acme"
    assert stream.messages[1]["start"]["parameters"] == {"called": "+15559870001"}
    assert "s3cret-t0ken" not in site.log()


def test_a_stream_that_begins_on_early_media_holds_what_was_said_before_the_answer(tmp_path: Path) -> None:
    sent = {side: os.urandom(100 * FRAME) for side in ("caller", "callee")}
    for side, audio in sent.items():
        (tmp_path / f"{side}.raw").write_bytes(audio)
    with endpoint(tmp_path) as listener:
        setup = Setup(
            integrations=INTEGRATION.format(url=listener.url, ca=listener.ca, start_on="early_media"),
            environment={"LISTENER_TOKEN": "s3cret-t0ken"},
        )
        with gateway(tmp_path, setup) as site:
            load = Load(pause_ms=3000)
            run_pair(site, tmp_path, "early_audio_caller", "early_audio_callee", (load, load))
            stream = listener.stream()
    for channel, side in enumerate(("caller", "callee")):
        assert without_padding(stream.audio(channel), frames(sent[side])) == frames(sent[side])
    (answered,) = [
        message["metadata"]
        for message in stream.messages
        if message["event"] == "metadata" and message["metadata"]["type"] == "call.answered"
    ]
    assert 7000 <= answered["timestamp"] <= 16_000, "the stream began 1 s before the answer"
    said_early = [
        message["media"]["timestamp"]
        for message in stream.messages
        if message["event"] == "media"
        and message["media"]["channel"] == 1
        and base64.b64decode(message["media"]["payload"]) in frames(sent["callee"])
    ]
    assert said_early[0] < answered["timestamp"] / 2
