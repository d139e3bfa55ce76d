"""The example endpoints store what a stream brings, over a lost connection too, and tell a hole."""

import asyncio
import base64
import contextlib
import hashlib
import json
import shutil
import ssl
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from sidestream.tools.certificates import CertificateFiles, ensure_certificates

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NPM_SECONDS = 60
TOKEN = "t0ken"
STREAM = str(uuid.uuid4())
FRAMES = [bytes([number]) * 160 for number in range(6)]


@dataclass
class Running:
    url: str
    process: asyncio.subprocess.Process
    files: CertificateFiles
    out: Path

    def connect(self, token: str = TOKEN) -> connect:
        context = ssl.create_default_context(cafile=str(self.files.ca))
        headers = {"Authorization": f"Bearer {token}"}
        return connect(
            self.url,
            ssl=context,
            additional_headers=headers,
            subprotocols=[Subprotocol("sidestream.v1")],
            proxy=None,
        )

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 20)).decode().strip()


@pytest.fixture(scope="module")
def node_receiver(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command of the example in Node.js, its package installed beside a copy of it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js and npm are not installed")
    copy = tmp_path_factory.mktemp("node") / "receiver"
    shutil.copytree(EXAMPLES / "receiver-node", copy, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    try:
        subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=NPM_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm cannot install the package 'ws'")
    return [node, str(copy / "receiver.mjs")]


@pytest.fixture(params=["python", "node"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """Return how an example is started."""
    if request.param == "python":
        return [sys.executable, str(EXAMPLES / "receiver.py")]
    started: list[str] = request.getfixturevalue("node_receiver")
    return started


@contextlib.asynccontextmanager
async def receiver(directory: Path, command: list[str]) -> AsyncIterator[Running]:
    files = ensure_certificates(directory / "tls")
    process = await asyncio.create_subprocess_exec(
        *(*command, "--port", "0", "--out", str(directory / "out"), "--token", TOKEN),
        *("--certificate", str(files.certificate), "--key", str(files.key)),
        stdout=asyncio.subprocess.PIPE,
    )
    running = Running("", process, files, directory / "out")
    try:
        running.url = await running.line()
        yield running
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


def message(number: int, event: str, body: dict[str, Any]) -> str:
    return json.dumps({"event": event, "sequenceNumber": number, "streamId": STREAM, event: body})


def media(number: int, frame: int) -> str:
    payload = base64.b64encode(FRAMES[frame]).decode()
    return message(
        number, "media", {"channel": 0, "chunk": frame + 1, "timestamp": 160 * frame, "payload": payload}
    )


def close(number: int, digest: str) -> str:
    empty = hashlib.sha256().hexdigest()
    totals = [{"channel": 0, "sha256": digest}, {"channel": 1, "sha256": empty}]
    return message(number, "close", {"reason": "call-ended", "totals": totals})


async def acknowledged(connection: ClientConnection) -> int:
    told = json.loads(await asyncio.wait_for(connection.recv(), 20))
    assert told["event"] == "ack"
    return int(told["sequenceNumber"])


@pytest.mark.asyncio
async def test_what_was_sent_is_stored_once_and_in_order_over_two_connections(
    tmp_path: Path, command: list[str]
) -> None:
    async with receiver(tmp_path, command) as running:
        async with running.connect() as first:
            await first.send(message(1, "connect", {}))
            await first.send(message(2, "start", {}))
            for frame in range(4):
                await first.send(media(3 + frame, frame))
        async with running.connect() as second:
            await second.send(message(7, "connect", {"resumed": True}))
            await second.send(message(8, "start", {}))
            for number, frame in ((5, 2), (6, 3), (9, 4), (10, 5)):
                await second.send(media(number, frame))
            await second.send(close(11, hashlib.sha256(b"".join(FRAMES)).hexdigest()))
            assert await acknowledged(second) == 11
        assert await running.line() == f"{STREAM} closed: call-ended; all stored"
        assert (running.out / f"{STREAM}-0.raw").read_bytes() == b"".join(FRAMES)


@pytest.mark.asyncio
async def test_missing_audio_is_told(tmp_path: Path, command: list[str]) -> None:
    async with receiver(tmp_path, command) as running, running.connect() as connection:
        await connection.send(media(3, 0))
        await connection.send(close(5, hashlib.sha256(FRAMES[0] + FRAMES[1]).hexdigest()))
        assert "AUDIO IS MISSING" in await running.line()


@pytest.mark.asyncio
async def test_strangers_and_nonsense_are_turned_away(tmp_path: Path, command: list[str]) -> None:
    async with receiver(tmp_path, command) as running:
        with pytest.raises(InvalidStatus) as refused:
            await running.connect("wrong").__aenter__()
        assert refused.value.response.status_code == 401
        async with running.connect() as connection:
            await connection.send(json.dumps({"event": "media", "streamId": "../../etc/passwd"}))
            await asyncio.wait_for(connection.wait_closed(), 20)
            assert connection.close_code == 1007
        assert list(running.out.iterdir()) == []
