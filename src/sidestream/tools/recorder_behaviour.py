"""What a development recorder does on its own within a session, once that is acknowledged."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from sidestream.tools.recorder_answers import snapshot_request
from sidestream.tools.recorder_findings import violation

if TYPE_CHECKING:
    from sidestream.tools.recorder_session import RecordingSession

SNAPSHOT_WAIT_S: Final = 5.0
"""RFC 7866 section 9.2: the client answers immediately."""
GLARE_ATTEMPTS: Final = 3
EXPIRY_LEAD_S: Final = 32.0
"""RFC 4028 section 10: who is not refreshed ends the session a little before its end."""


def start_behaviour(session: RecordingSession) -> None:
    """Begin all that the recorder was told to do in this session, and its session timer."""
    behaviour = session.options.behaviour
    if behaviour.inactive_for_s is not None:
        session.spawn(_become_ready(session, behaviour.inactive_for_s), "ready")
    if behaviour.snapshot_after_s is not None:
        session.spawn(_ask_snapshot(session, behaviour.snapshot_after_s), "snapshot")
    if behaviour.bye_after_s is not None:
        session.spawn(_hang_up(session, behaviour.bye_after_s), "bye")
    if session.timer is not None:
        session.spawn(_watch(session), "timer")


async def _become_ready(session: RecordingSession, after_s: float) -> None:
    await asyncio.sleep(after_s)
    session.lines.make_ready()
    status = await _reoffer(session)
    if status >= 300:
        text = f"the re-INVITE that asks for media was refused with {status}"
        session.judge.note("re-INVITE", violation("reoffer-refused", text, "RFC 7866 section 7.2"))


async def _reoffer(session: RecordingSession) -> int:
    status = 0
    for _ in range(GLARE_ATTEMPTS):
        status = await session.reoffer()
        if status != 491:
            break
        # RFC 3261 section 14.1: who does not own the Call-ID waits up to two seconds.
        await asyncio.sleep(random.uniform(0.0, 2.0))  # noqa: S311 - no secret
    return status


async def _ask_snapshot(session: RecordingSession, after_s: float) -> None:
    await asyncio.sleep(after_s)
    before = session.judge.snapshots
    response = await session.ask("UPDATE", snapshot_request("asked for by a test"))
    if response.status >= 300:
        text = f"the snapshot request was refused with {response.status}"
        session.judge.note("UPDATE", violation("snapshot-refused", text, "RFC 7866 section 9.2"))
        return
    if response.body:
        text = "the answer to a snapshot request has a body; the snapshot is a transaction of its own"
        session.judge.note("200", violation("snapshot-in-answer", text, "RFC 7866 section 9.2"))
    await asyncio.sleep(SNAPSHOT_WAIT_S)
    if session.judge.snapshots == before:
        text = f"no snapshot came within {SNAPSHOT_WAIT_S:g} s of the request for it"
        session.judge.note("UPDATE", violation("snapshot-missing", text, "RFC 7866 section 9.2"))


async def _hang_up(session: RecordingSession, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await session.hang_up("the recorder said BYE, as told", wanted=True)


async def _watch(session: RecordingSession) -> None:
    """Refresh the session, or end it when the client does not (RFC 4028 section 10)."""
    timer = session.timer
    while timer is not None:
        renewals = timer.renewals
        if timer.we_refresh:
            await asyncio.sleep(timer.interval_s / 2)
            if timer.renewals == renewals:
                await _reoffer(session)
            continue
        await asyncio.sleep(timer.interval_s - min(EXPIRY_LEAD_S, timer.interval_s / 3))
        if timer.renewals == renewals:
            text = f"the client has not refreshed the session within {timer.interval_s} s"
            session.judge.note("BYE", violation("session-expired", text, "RFC 4028 section 10"))
            await session.hang_up("the session timer ran out", wanted=False)
            return
