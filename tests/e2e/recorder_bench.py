"""The development recorder, started for a test, and a session with it."""

from __future__ import annotations

import contextlib
import re
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from sidestream.gateway.sip_options import ListenAddress
from sidestream.tools import g711
from sidestream.tools.g711 import Law
from sidestream.tools.recorder import Recorder
from sidestream.tools.recorder_findings import Level
from sidestream.tools.recorder_options import RecorderOptions
from sidestream.tools.recorder_result import SessionResult
from siprec_client import (
    Client,
    Ids,
    Voice,
    dialling,
    voices,
)

UDP, TCP = ListenAddress("udp", "127.0.0.1", 0), ListenAddress("tcp", "127.0.0.1", 0)


@contextlib.asynccontextmanager
async def recording(directory: Path, **options: object) -> AsyncIterator[Recorder]:
    chosen = RecorderOptions(directory=directory, listen=(UDP, TCP))
    recorder = Recorder(replace(chosen, **options))  # type: ignore[arg-type]
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


def port_of(recorder: Recorder, transport: str = "udp") -> int:
    return next(
        int(found[1]) for uri in recorder.uris if (found := re.search(rf":(\d+);transport={transport}", uri))
    )


def codes(result: SessionResult, level: Level = Level.VIOLATION) -> set[str]:
    return {finding.code for finding in result.findings if finding.level is level}


def decoded(frames: list[bytes], law: Law = "PCMA") -> array[int]:
    return g711.decode(law, b"".join(frames))


async def one_result(recorder: Recorder) -> SessionResult:
    assert await recorder.wait_ended(1, 10), "the session has not ended"
    (result,) = recorder.results
    return result


@contextlib.asynccontextmanager
async def session(
    recorder: Recorder, transport: str = "udp", ids: Ids | None = None
) -> AsyncIterator[tuple[Client, list[Voice], list[int], Ids]]:
    """A recording session that was accepted."""
    ids = ids or Ids()
    with voices() as sources:
        async with dialling(port_of(recorder, transport), transport) as client:
            answer = await client.ask(client.invite(ids, (sources[0].port, sources[1].port)))
            assert answer.status == 200, answer
            yield client, sources, answer.ports, ids
