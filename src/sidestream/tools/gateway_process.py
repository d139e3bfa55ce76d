"""A gateway of its own process, as `sidestream serve` runs it, for demonstrations and tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidestream.errors import SidestreamError

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
MAX_LINES = 20_000
"""Lines of output kept; a demonstration writes some hundred."""


class GatewayProcessError(SidestreamError):
    """The gateway did not start, or ended by itself."""


@dataclass(slots=True)
class GatewayProcess:
    """A running gateway. Start it with `GatewayProcess.start`, and stop it.

    Attributes:
        configuration: its file.
        lines: what it has printed.
    """

    configuration: Path
    lines: list[str] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def start(cls, configuration: Path, environment: Mapping[str, str]) -> GatewayProcess:
        """Run `sidestream serve` and wait until it is ready.

        Args:
            configuration: the file to serve.
            environment: further variables, such as secrets.

        Raises:
            GatewayProcessError: it ended or said nothing in time; the message ends with its last words.
        """
        gateway = cls(configuration)
        gateway._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidestream", "serve", "--role", "gateway"),
            *("--config", str(configuration)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | environment,
        )
        gateway._reader = asyncio.create_task(gateway._read(gateway._process), name="gateway output")
        try:
            await asyncio.wait_for(gateway._ready.wait(), READY_TIMEOUT_S)
        except TimeoutError:
            await gateway.stop()
            raise GatewayProcessError(
                f"the gateway is not ready after {READY_TIMEOUT_S:g} s: {gateway.last_words()}"
            ) from None
        if gateway._process.returncode is not None or gateway._reader.done():
            await gateway.stop()
            raise GatewayProcessError(f"the gateway ended at once: {gateway.last_words()}")
        return gateway

    def last_words(self) -> str:
        """Return the end of its output in one line."""
        return " / ".join(line.strip() for line in self.lines[-5:]) or "it printed nothing"

    async def stop(self) -> int:
        """End it by SIGTERM and wait; return its exit code. It is killed when it does not end in time."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader
        return self._process.returncode or 0

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is not None:
            async for line in process.stdout:
                if len(self.lines) < MAX_LINES:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                if line.strip() == b"ready":
                    self._ready.set()
        self._ready.set()


def read_records(journal: Path) -> list[dict[str, object]]:
    """Return the call records in a journal's directory, oldest first; lines that are none are left out."""
    records: list[dict[str, object]] = []
    for path in sorted(journal.glob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                records.append(record)
    return records
