"""What is true about a call: facts reported to streams, records and logs.

Every fact carries the wall-clock instant `at` (UTC). Facts never ask for anything: whoever listens cannot
fail the call.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sidestream.call.side import Side
from sidestream.call.verdict import Verdict
from sidestream.sdp.negotiate import NegotiatedCodec


class Role(StrEnum):
    """A participant's part in the call; also the participant's id, which is stable for the whole call."""

    CALLER = "caller"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True)
class Participant:
    """One party of the call."""

    id: str
    role: Role
    side: Side
    uri: str
    """SIP or tel URI: asserted identity if there is one, else From (caller) or Request-URI (callee)."""
    number: str
    """The user part or telephone number of `uri`; empty when it has none."""
    display_name: str


HeaderList = tuple[tuple[str, str], ...]
"""Headers as (name, raw value), one entry per header line, in order."""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The call is accepted and the first peer is being tried."""

    at: datetime
    caller: Participant
    callee: Participant
    headers: HeaderList
    """The end-to-end headers of the INVITE."""


@dataclass(frozen=True, slots=True)
class PeerTried:
    """An INVITE goes to a peer of the route."""

    at: datetime
    attempt: int
    """Counts from 1."""
    uri: str
    """The peer's URI as configured."""
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class PeerGivenUp:
    """A peer did not carry the call; the next one is tried, or the call ends."""

    at: datetime
    attempt: int
    uri: str
    status: int
    """The peer's final status; 408 for silence, 503 for a transport failure, 487 when we cancelled."""
    detail: str
    answered: bool = False
    """Whether the status is the peer's own."""


@dataclass(frozen=True, slots=True)
class CallRang:
    """The callee's side is alerting: the first 18x was relayed."""

    at: datetime
    status: int


@dataclass(frozen=True, slots=True)
class EarlyMediaStarted:
    """A provisional response with a session description was relayed: media may flow before the answer."""

    at: datetime


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The callee answered."""

    at: datetime


@dataclass(frozen=True, slots=True)
class CallHeld:
    """The party of a side put the other on hold."""

    at: datetime
    side: Side
    sends: bool = True
    """Whether it goes on sending (music); else the line is silent both ways."""


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The party of a side took the other back from hold."""

    at: datetime
    side: Side


@dataclass(frozen=True, slots=True)
class CodecChanged:
    """The codec in use on a side is another than before (also reported once when the first is known)."""

    at: datetime
    side: Side
    codec: NegotiatedCodec


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """A party pressed a key, told by SIP INFO."""

    at: datetime
    side: Side
    digit: str
    """One of 0-9 * # A-D."""
    duration_ms: int
    source: str = "sip-info"


@dataclass(frozen=True, slots=True)
class HeadersChanged:
    """A re-INVITE or UPDATE brought end-to-end headers that differ from the last known of that side."""

    at: datetime
    side: Side
    headers: HeaderList


@dataclass(frozen=True, slots=True)
class ParticipantUpdated:
    """A party's asserted identity changed."""

    at: datetime
    participant: Participant


@dataclass(frozen=True, slots=True)
class CallEnding:
    """The verdict is decided and the legs are being closed: streams and recordings may close."""

    at: datetime
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Both legs are finished."""

    at: datetime
    verdict: Verdict


Fact = (
    CallStarted
    | PeerTried
    | PeerGivenUp
    | CallRang
    | EarlyMediaStarted
    | CallAnswered
    | CallHeld
    | CallResumed
    | CodecChanged
    | DtmfReceived
    | HeadersChanged
    | ParticipantUpdated
    | CallEnding
    | CallEnded
)
