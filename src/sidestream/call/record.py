"""The record of a call, as the journal keeps it: live (a snapshot) or final (with its verdict)."""

from dataclasses import dataclass
from datetime import datetime

from sidestream.call.facts import Participant
from sidestream.call.verdict import Verdict


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One peer that was tried."""

    uri: str
    sip_call_id: str
    started_at: datetime
    ended_at: datetime | None
    """When it was given up; None for the peer that answered or is still being tried."""
    status: int | None
    """Last final status: 2xx for the one that answered, 408 for silence, 503 for a transport failure."""
    detail: str


@dataclass(frozen=True, slots=True)
class LegRecord:
    """One side of the call."""

    trunk: str
    participant: Participant
    sip_call_id: str
    """Call-ID of the leg's dialog; of the last attempt for the callee's side; empty before the first."""
    codec: str
    """Name of the codec in use, empty when none was agreed."""


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """A call as it stands."""

    call_id: str
    account: str
    state: str
    """Name of the call's state: new, calling, ringing, answered, talking, ending, ended."""
    caller: LegRecord
    callee: LegRecord
    started_at: datetime
    rang_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_s: float
    """Seconds from the answer to the end (or to now); 0 when never answered."""
    attempts: tuple[AttemptRecord, ...]
    verdict: Verdict | None
