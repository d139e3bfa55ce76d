"""The endpoint for development, with the `websockets` client as its far side."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from sidestream.tools import g711, wav
from sidestream.tools.listener import Listener, ListenerError, ListenerEvent, ListenerOptions, Malformed
from sidestream.tools.stream_receiver import Status
from stream_script import FRAME, Message, Script, distinct, text

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]


@contextlib.asynccontextmanager
async def listening(directory: Path, **options: object) -> AsyncIterator[Listener]:
    listener = Listener(replace(ListenerOptions(directory=directory, port=0), **options))  # type: ignore[arg-type]
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


@contextlib.asynccontextmanager
async def dial(
    listener: Listener, script: Script, token: str | None = None
) -> AsyncIterator[ClientConnection]:
    trust = ssl.create_default_context(cafile=str(listener.ca))
    headers = {"Sidestream-Stream-Id": script.stream_id, "Sidestream-Call-Id": script.call_id}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with connect(
        listener.url,
        ssl=trust,
        subprotocols=[Subprotocol("sidestream.v1")],
        additional_headers=headers,
    ) as connection:
        yield connection


async def send(connection: ClientConnection, messages: list[Message]) -> None:
    for message in messages:
        await connection.send(text(message))


async def stream(listener: Listener, script: Script, messages: list[Message]) -> None:
    async with dial(listener, script) as connection:
        await send(connection, messages)


async def test_a_whole_stream_is_stored_to_the_sample_and_proven(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path) as listener:
        await stream(listener, script, script.conversation(50))
        assert await listener.wait_finished(1, 5)
    (result,) = listener.results
    assert (result.status, result.why) == (Status.OK, "every chunk, sample and digest agrees")
    assert result.directory == tmp_path / "0192-call-0192-stream"
    stored = wav.read(result.directory / "call.wav")
    for channel in (0, 1):
        said = b"".join(distinct(index, channel) for index in range(50))
        assert stored.channels[channel] == g711.decode("PCMU", said)
    verdict = json.loads((result.directory / "verdict.json").read_text())
    assert verdict["status"] == "OK"
    assert [line["samples"] for line in verdict["channels"]] == [50 * FRAME, 50 * FRAME]


async def test_the_transcript_holds_every_message_with_its_payload(tmp_path: Path) -> None:
    script = Script()
    messages = script.conversation(3)
    async with listening(tmp_path) as listener:
        await stream(listener, script, messages)
        assert await listener.wait_finished(1, 5)
    lines = (listener.results[0].directory / "transcript.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in lines]
    assert all(line.pop("receivedAt").endswith("Z") and line.pop("connection") == 1 for line in kept)
    assert kept == messages


async def test_payloads_can_be_left_out_of_the_transcript(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path, keep_media=False) as listener:
        await stream(listener, script, script.conversation(1))
        assert await listener.wait_finished(1, 5)
    (result,) = listener.results
    media = json.loads((result.directory / "transcript.jsonl").read_text().splitlines()[2])["media"]
    assert media["payloadBytes"] == FRAME
    assert "payload" not in media
    assert result.status is Status.OK


async def test_a_wrong_digest_is_a_mismatch(tmp_path: Path) -> None:
    script = Script()
    messages = [*script.conversation(2)[:-1], script.close(sha256="0" * 64)]
    messages[-1]["sequenceNumber"] -= 1
    async with listening(tmp_path) as listener:
        await stream(listener, script, messages)
        assert await listener.wait_finished(1, 5)
    assert listener.results[0].status is Status.MISMATCH
    assert "sha256" in listener.results[0].why


async def test_a_stream_without_close_is_incomplete(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path) as listener:
        await stream(listener, script, script.conversation(2)[:-1])
    assert (listener.results[0].status, listener.results[0].why) == (Status.INCOMPLETE, "no close came")
    assert wav.read(listener.results[0].directory / "call.wav").samples == 2 * FRAME


async def test_a_lost_stream_that_never_resumes_is_given_up(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path, resume_wait_s=0.05) as listener:
        await stream(listener, script, script.conversation(2)[:-1])
        assert await listener.wait_finished(1, 5)
    assert listener.results[0].status is Status.INCOMPLETE


async def test_a_resumed_stream_is_one_stream(tmp_path: Path) -> None:
    script = Script()
    first = script.conversation(10)[:-1]
    script.number -= 1
    async with listening(tmp_path) as listener:
        async with dial(listener, script) as connection:
            await send(connection, first)
            connection.transport.abort()
        again = [script.connect(), script.start()]
        # The last four messages are replayed with their numbers; then comes what is new.
        await stream(
            listener, script, [*again, *first[-4:], script.media(0, distinct(10, 0)), script.close()]
        )
        assert await listener.wait_finished(1, 5)
    (result,) = listener.results
    assert result.status is Status.OK, result.verdict.findings
    assert (result.verdict.connections, result.verdict.duplicates) == (2, 4)
    assert wav.read(result.directory / "call.wav").samples == 11 * FRAME


async def test_many_streams_are_kept_apart(tmp_path: Path) -> None:
    scripts = [Script(stream_id=f"s-{index}", call_id=f"c-{index}") for index in range(20)]
    async with listening(tmp_path) as listener:
        await asyncio.gather(*(stream(listener, script, script.conversation(20)) for script in scripts))
        assert await listener.wait_finished(20, 20)
    assert {result.status for result in listener.results} == {Status.OK}
    assert len({result.directory for result in listener.results}) == 20


async def test_garbage_is_a_finding_and_the_stream_goes_on(tmp_path: Path) -> None:
    script = Script()
    messages = script.conversation(2)
    events: list[ListenerEvent] = []
    async with listening(tmp_path) as listener:
        listener.observer = events.append
        async with dial(listener, script) as connection:
            await send(connection, messages[:3])
            await connection.send("{not json")
            await connection.send(b"\x00\x01")
            await connection.send('{"event":"media","sequenceNumber":"seven","streamId":"0192-stream"}')
            await connection.send(text(messages[3] | {"streamId": "another"}))
            await send(connection, messages[3:])
        assert await listener.wait_finished(1, 5)
    (result,) = listener.results
    assert result.status is Status.MISMATCH
    assert len(result.verdict.findings) == 4
    assert len([event for event in events if isinstance(event, Malformed)]) == 4
    assert [channel.status for channel in result.verdict.channels] == [Status.OK, Status.OK]
    assert "{not json" in (result.directory / "transcript.jsonl").read_text()


async def test_hostile_identifiers_stay_inside_the_directory(tmp_path: Path) -> None:
    script = Script(stream_id="../../x\n", call_id="/etc/passwd")
    async with listening(tmp_path / "out") as listener:
        async with dial(listener, Script()) as connection:
            await send(connection, script.conversation(1))
        assert await listener.wait_finished(1, 5)
    assert listener.results[0].directory.parent == tmp_path / "out"
    assert {path.name for path in tmp_path.iterdir()} == {"out"}  # noqa: ASYNC240 -- one entry


async def test_audio_without_a_place_in_a_recording_is_a_finding(tmp_path: Path) -> None:
    script = Script()
    messages = [script.connect(), script.start(), script.media(0, distinct(0, 0), -FRAME)]
    messages += [script.media(1, distinct(0, 1), 2**40), script.close()]
    async with listening(tmp_path) as listener:
        await stream(listener, script, messages)
        assert await listener.wait_finished(1, 5)
    assert listener.results[0].status is Status.MISMATCH
    assert (listener.results[0].directory / "call.wav").stat().st_size < 1000


async def test_what_is_stored_is_acknowledged(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path, acknowledge=True) as listener, dial(listener, script) as connection:
        await send(connection, script.conversation(5))
        acks = [json.loads(await asyncio.wait_for(connection.recv(), 5)) for _ in range(2)]
    assert {ack["event"] for ack in acks} == {"ack"}
    assert acks[-1]["ack"]["sequenceNumber"] == script.number


async def test_a_connection_needs_the_token(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path, token="s3cret") as listener:
        for token in (None, "wrong"):
            with pytest.raises(InvalidStatus) as refused:
                async with dial(listener, script, token):
                    pass
            assert refused.value.response.status_code == 401
        async with dial(listener, script, "s3cret") as connection:
            await send(connection, script.conversation(1))
        assert await listener.wait_finished(1, 5)
    assert listener.results[0].status is Status.OK


async def test_a_client_that_trusts_others_is_not_served(tmp_path: Path) -> None:
    async with listening(tmp_path) as listener:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(listener.url, ssl=ssl.create_default_context()):
                pass


async def test_the_newest_connection_of_a_stream_has_it(tmp_path: Path) -> None:
    script = Script()
    async with listening(tmp_path) as listener, dial(listener, script) as first:
        await send(first, [script.connect(), script.start()])
        await asyncio.wait_for(first.ping(), 5)
        async with dial(listener, script) as second:
            await send(second, [script.connect(), script.start(), script.media(0, distinct(0, 0))])
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(first.recv(), 5)
            await send(second, [script.media(1, distinct(0, 1)), script.close()])
        assert await listener.wait_finished(1, 5)
    assert listener.results[0].status is Status.OK, listener.results[0].verdict.findings


async def test_a_taken_port_is_told_with_a_remedy(tmp_path: Path) -> None:
    async with listening(tmp_path) as listener:
        second = Listener(ListenerOptions(directory=tmp_path, port=listener.port))
        with pytest.raises(ListenerError, match=str(listener.port)) as refused:
            await second.start()
    assert "--port" in refused.value.hint


async def test_a_directory_that_cannot_be_made_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    listener = Listener(ListenerOptions(directory=tmp_path / "file", port=0))
    with pytest.raises(ListenerError, match=re.escape(str(tmp_path / "file"))) as refused:
        await listener.start()
    assert "--out" in refused.value.hint


PROGRAM = """
import sys
from pathlib import Path
from sidestream.tools.listen import ListenOptions, listen_command
sys.exit(listen_command(ListenOptions(out=Path(sys.argv[1]), port=0, json=sys.argv[2] == "json")))
"""


@contextlib.asynccontextmanager
async def program(directory: Path, form: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(directory), form, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(("falsified", "code"), [(False, 0), (True, 1)])
async def test_the_command_tells_events_and_ends_cleanly(tmp_path: Path, falsified: bool, code: int) -> None:
    async with program(tmp_path, "json") as process:
        assert process.stdout is not None
        first = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert first["event"] == "listening"
        script = Script()
        messages = [script.connect(), script.start(), script.media(0, distinct(0, 0))]
        messages += [script.media(1, distinct(0, 1)), script.dtmf("5")]
        messages.append(script.close(chunks=7) if falsified else script.close(chunks=1))
        trust = ssl.create_default_context(cafile=first["ca"])
        protocols = [Subprotocol("sidestream.v1")]
        async with connect(first["url"], ssl=trust, subprotocols=protocols) as connection:
            await send(connection, messages)
        names: list[str] = []
        while not names or names[-1] != "finished":
            names.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["event"])
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == code
    assert names == ["connected", *["message"] * 4, "disconnected", "finished"]


async def test_the_command_prints_for_a_reader(tmp_path: Path) -> None:
    async with program(tmp_path, "text") as process:
        assert process.stdout is not None
        heading = [(await asyncio.wait_for(process.stdout.readline(), 20)).decode() for _ in range(3)]
        url, ca = heading[0].split()[-1], heading[1].split()[-1]
        script = Script(stream_id="\x1b[2J-stream")
        trust = ssl.create_default_context(cafile=ca)
        async with connect(url, ssl=trust, subprotocols=[Subprotocol("sidestream.v1")]) as connection:
            await send(connection, script.conversation(1))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        printed = (await asyncio.wait_for(process.communicate(), 20))[0].decode()
    assert "OK " in printed
    assert "call-ended: BYE from caller" in printed
    assert "\x1b" not in printed


async def test_open_streams_stand_at_the_foot_of_a_terminal(tmp_path: Path) -> None:
    terminal, other = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40"}
    command = (sys.executable, "-c", PROGRAM, str(tmp_path), "text")
    process = await asyncio.create_subprocess_exec(*command, stdout=other, stderr=other, env=environment)
    os.close(other)
    printed = bytearray()
    reading = asyncio.create_task(asyncio.to_thread(drain_terminal, terminal, printed))
    try:
        url, ca = await until_listening(printed)
        script = Script()
        trust = ssl.create_default_context(cafile=ca)
        async with connect(url, ssl=trust, subprotocols=[Subprotocol("sidestream.v1")]) as connection:
            await send(connection, script.conversation(3)[:-1])
            await asyncio.sleep(0.6)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading
        os.close(terminal)
    assert b"channel 0: 3, channel 1: 3 chunks" in printed
    assert b"INCOMPLETE" in printed
    assert b"Traceback" not in printed


def drain_terminal(terminal: int, printed: bytearray) -> None:
    # A terminal whose other side is closed is an error to read, not an end.
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65_536):
            printed += data


async def until_listening(printed: bytearray) -> tuple[str, str]:
    pattern = re.compile(rb"listening on .*?(wss://\S+?/).*?trust +.*?(/\S+?ca\.pem)", re.DOTALL)
    for _ in range(200):
        if (found := pattern.search(re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", printed))) is not None:
            return found[1].decode(), found[2].decode()
        await asyncio.sleep(0.05)
    raise AssertionError(f"it does not listen: {bytes(printed)!r}")
