"""What a recording session knows, and the orders that it is collecting: the value that its parts work on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from zlib import crc32

from sidestream.errors import StateError
from sidestream.sdp.model import Direction, Origin, SessionDescription
from sidestream.sdp.protection import no_secret
from sidestream.sip.dialog import Dialog
from sidestream.sip.digest import credentials_of
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request, Response
from sidestream.sip.session_timer import SessionTimer
from sidestream.siprec.body import MadeBody, MetadataType, make_body
from sidestream.siprec.commands import (
    ClearTimer,
    DocumentSent,
    MemoryLearned,
    Report,
    SendAck,
    SendRequest,
    SessionCommand,
    SessionFact,
    SetTimer,
    StartMedia,
    StopMedia,
)
from sidestream.siprec.events import TimerName
from sidestream.siprec.ledger import Ledger, View, without_labels
from sidestream.siprec.metadata import DataMode
from sidestream.siprec.offer import OfferBook, Reading, StreamResult, StreamSource, StreamState
from sidestream.siprec.profile import NOTHING_LEARNED, Server, ServerMemory
from sidestream.siprec.verdicts import SessionVerdict
from sidestream.siprec.xml import serialize

X_HEADERS_MAX: Final = 5
MAX_REMEMBERED_ACKS: Final = 4
"""ACKs kept for 2xx that arrive again."""

_X_HEADER: Final = re.compile(r"X-[A-Za-z0-9-]{1,60}", re.ASCII)
_X_VALUE: Final = re.compile(r"[^\r\n]{0,256}")

Authorize = Callable[[Request, Response], tuple[str, str] | None]
"""The header (name, value) that answers a challenge, None without credentials for it."""


def no_credentials(_request: Request, _challenge: Response) -> None:
    """The integration has no credentials."""
    return


Dress = Callable[[Request], None]
"""Puts credentials into a request for what its server has challenged before."""


def as_it_is(_request: Request) -> None:
    """There are no credentials to put in."""


@dataclass(frozen=True, slots=True)
class WallClock:
    """Turns the monotonic time of events into instants.

    Attributes:
        started_at: an instant.
        began: the monotonic seconds that belong to it.
    """

    started_at: datetime
    began: float

    def at(self, now: float) -> datetime:
        """The instant of `now`, to the millisecond."""
        instant = self.started_at + timedelta(seconds=now - self.began)
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """Who we are to recorders, and the tools that are not pure.

    Attributes:
        from_uri: our address in From, such as `sip:sidestream@gw.example`.
        contact_uri: where the recorder reaches us, for the server's transport.
        user_agent: User-Agent value; empty for none.
        token: gives another random token each time.
        chance: gives a random number from 0 up to 1.
        secret: makes so many bytes that nobody can guess, for SRTP keys.
        authorize: answers challenges.
        dress: puts credentials into requests at once where that is possible.
    """

    from_uri: str
    contact_uri: str
    token: Callable[[], str]
    chance: Callable[[], float]
    user_agent: str = ""
    secret: Callable[[int], bytes] = field(default=no_secret, repr=False)
    authorize: Authorize = no_credentials
    dress: Dress = as_it_is


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSetup:
    """What one recording session is made from.

    Attributes:
        number: names the session in its commands and events.
        copy: which copy of the recording it makes, from 0.
        server: whom it asks.
        memory: what the server has shown before.
        identity: who we are.
        sources: the streams, in the order of their m-lines.
        clock: the call's time.
        deadline_s: how long the server may take to answer, whatever it says in between.
        stop_codes: statuses that say that the call is not to be recorded anywhere.
        x_headers: at most five headers for INVITE and re-INVITEs.
        paused: whether the recording is paused already.

    Raises:
        ValueError: the headers are not what the configuration's rules let through.
    """

    number: int
    copy: int
    server: Server
    identity: ClientIdentity
    sources: tuple[StreamSource, ...]
    clock: WallClock
    memory: ServerMemory = NOTHING_LEARNED
    deadline_s: float = 5.0
    stop_codes: frozenset[int] = frozenset({403, 603})
    x_headers: tuple[tuple[str, str], ...] = ()
    paused: bool = False

    def __post_init__(self) -> None:
        if len(self.x_headers) > X_HEADERS_MAX:
            raise ValueError(f"more than {X_HEADERS_MAX} X- headers")
        for name, value in self.x_headers:
            if not _X_HEADER.fullmatch(name) or not _X_VALUE.fullmatch(value):
                raise ValueError(f"no X- header: {name[:80]!r}")


class State(Enum):
    """Where a recording session stands."""

    NEW = "new"
    INVITING = "inviting"
    CANCELLING = "cancelling"
    STEADY = "steady"
    CHANGING = "changing"
    BACKING_OFF = "backing off"
    FAREWELL = "farewell"
    LEAVING = "leaving"
    FINISHED = "finished"


class Trigger(Enum):
    """What moves a recording session."""

    START = "start"
    TRY_AGAIN = "try again"
    CANCEL = "cancel"
    ESTABLISH = "establish"
    CHANGE = "change"
    SETTLE = "settle"
    COLLIDE = "collide"
    RECOVER = "recover"
    TELL_END = "tell the end"
    LEAVE = "leave"
    FINISH = "finish"


_TO: Final = Trigger
MOVES: Final[dict[tuple[State, Trigger], State]] = {
    (State.NEW, _TO.START): State.INVITING,
    (State.NEW, _TO.FINISH): State.FINISHED,
    (State.INVITING, _TO.TRY_AGAIN): State.INVITING,
    (State.INVITING, _TO.CANCEL): State.CANCELLING,
    (State.INVITING, _TO.ESTABLISH): State.STEADY,
    (State.INVITING, _TO.LEAVE): State.LEAVING,
    (State.INVITING, _TO.FINISH): State.FINISHED,
    (State.CANCELLING, _TO.LEAVE): State.LEAVING,
    (State.CANCELLING, _TO.FINISH): State.FINISHED,
    (State.STEADY, _TO.CHANGE): State.CHANGING,
    (State.STEADY, _TO.TELL_END): State.FAREWELL,
    (State.STEADY, _TO.LEAVE): State.LEAVING,
    (State.STEADY, _TO.FINISH): State.FINISHED,
    (State.CHANGING, _TO.CHANGE): State.CHANGING,
    (State.CHANGING, _TO.SETTLE): State.STEADY,
    (State.CHANGING, _TO.COLLIDE): State.BACKING_OFF,
    (State.CHANGING, _TO.LEAVE): State.LEAVING,
    (State.CHANGING, _TO.FINISH): State.FINISHED,
    (State.BACKING_OFF, _TO.RECOVER): State.STEADY,
    (State.BACKING_OFF, _TO.LEAVE): State.LEAVING,
    (State.BACKING_OFF, _TO.FINISH): State.FINISHED,
    (State.FAREWELL, _TO.CHANGE): State.FAREWELL,
    (State.FAREWELL, _TO.LEAVE): State.LEAVING,
    (State.FAREWELL, _TO.FINISH): State.FINISHED,
    (State.LEAVING, _TO.FINISH): State.FINISHED,
}

UP_STATES: Final = frozenset({State.STEADY, State.CHANGING, State.BACKING_OFF, State.FAREWELL})
"""The dialog stands and no BYE of ours is under way."""


class Task(Enum):
    """What a request of ours in mid-call is for."""

    OFFER = "offer"
    METADATA = "metadata"
    REFRESH = "refresh"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Pending:
    """A request of ours in mid-call that awaits its final response."""

    request_id: int
    task: Task
    request: Request
    offer: SessionDescription | None
    revision: int
    """Of the ledger, as told by it."""
    paused: bool
    snapshot: bool = False
    """Whether it answers a snapshot request: one that came later is not served by it."""
    challenged: bool = False


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A 2xx of ours to the recorder's INVITE that awaits its ACK."""

    key: ServerKey
    cseq: int
    offer: SessionDescription | None
    """Our offer in it, whose answer the ACK brings; None when the INVITE brought the offer."""


@dataclass(slots=True)
class Context:
    """The state of one recording session."""

    setup: SessionSetup
    ledger: Ledger
    now: float
    book: OfferBook
    sources: tuple[StreamSource, ...]
    memory: ServerMemory
    paused: bool
    local_tag: str
    call_id: str
    state: State = State.NEW
    dialog: Dialog | None = None
    verdict: SessionVerdict | None = None
    # --- the first INVITE
    invite: Request | None = None
    invite_id: int = 0
    invited_at: float = 0.0
    target: str = ""
    metadata_type: MetadataType = MetadataType.XML
    session_expires_s: int | None = None
    heard: bool = False
    """Whether the server said anything at all."""
    retried: set[str] = field(default_factory=set)
    # --- in mid-call
    heard_from: Hop | None = None
    reading: Reading | None = None
    """What the recorder last said of the streams."""
    active: Reading | None = None
    """What it last said while we were not pausing: what goes on when it says nothing."""
    dropped: bool = False
    """It took every stream away; the session is given up when that exchange is over."""
    flowing: dict[str, StreamResult] = field(default_factory=dict)
    pending: Pending | None = None
    unacknowledged: Unacknowledged | None = None
    allows_update: bool = True
    timer: SessionTimer | None = None
    associated_at: datetime | None = None
    stopped_at: datetime | None = None
    """When the recording was told to end."""
    told: int = 0
    """Newest revision that the recorder took (it has refused others, when `tried` is newer)."""
    tried: int = 0
    tried_paused: bool = False
    """Of our last offer."""
    confirmed_paused: bool = False
    """Of our last offer that was taken."""
    offer_due: bool = False
    snapshot_due: bool = False
    by_invite: bool = False
    """The recorder turned this state down in an UPDATE: say it by re-INVITE."""
    refresh_due: bool = False
    check_due: bool = False
    bye_id: int = 0
    _requests: int = 0
    _cseq: int = 0
    _timers: set[TimerName] = field(default_factory=set)
    _acks: dict[tuple[int, str], SendAck] = field(default_factory=dict)
    _credentials: tuple[tuple[str, str], ...] = ()
    _commands: list[SessionCommand] = field(default_factory=list)

    @staticmethod
    def of(setup: SessionSetup, ledger: Ledger, now: float) -> Context:
        """The context of a session that has not begun."""
        tag = setup.identity.token()
        origin = Origin("-", crc32(tag.encode()), 1, setup.sources[0].local.host)
        context = Context(
            setup=setup,
            ledger=ledger,
            now=now,
            book=OfferBook(origin, plain=setup.memory.plain_codecs, secret=setup.identity.secret),
            sources=setup.sources,
            memory=setup.memory,
            paused=setup.paused,
            local_tag=tag,
            call_id=setup.identity.token(),
        )
        context.target = setup.server.uri
        context.metadata_type = setup.memory.metadata_type or setup.server.profile.metadata_type
        context.session_expires_s = setup.server.profile.session_expires_s
        return context

    # --- orders ------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """The session's number."""
        return self.setup.number

    def move(self, trigger: Trigger) -> None:
        """Go to another state.

        Raises:
            StateError: the move is not in the table.
        """
        target = MOVES.get((self.state, trigger))
        if target is None:
            raise StateError(f"a recording session that is {self.state.value} cannot take '{trigger.value}'")
        self.state = target

    def order(self, command: SessionCommand) -> None:
        """Add a command to those given out after this event."""
        self._commands.append(command)

    def report(self, fact: SessionFact) -> None:
        """Tell a fact."""
        self.order(Report(self.number, fact))

    def take_commands(self) -> list[SessionCommand]:
        """Hand out what was ordered since the last time."""
        commands, self._commands = self._commands, []
        return commands

    def set_timer(self, name: TimerName, delay_s: float) -> None:
        """Arm a timer so many seconds from now."""
        self._timers.add(name)
        self.order(SetTimer(self.number, name, self.now + delay_s))

    def clear_timer(self, *names: TimerName) -> None:
        """Disarm timers, where they are armed."""
        for name in names:
            if name in self._timers:
                self._timers.discard(name)
                self.order(ClearTimer(self.number, name))

    def clear_all_timers(self) -> None:
        """Disarm every timer."""
        self.clear_timer(*sorted(self._timers))

    def fired(self, name: TimerName) -> bool:
        """Take note that a timer fired; false when it was disarmed in the meantime."""
        armed = name in self._timers
        self._timers.discard(name)
        return armed

    # --- requests ----------------------------------------------------------------------------------------

    def next_cseq(self) -> int:
        """The number of our next request before there is a dialog."""
        self._cseq += 1
        return self._cseq

    def send(self, request: Request, next_hop: str) -> int:
        """Send a request; returns its id."""
        self._requests += 1
        self.setup.identity.dress(request)
        if request.method == "INVITE":
            self._credentials = credentials_of(request)
        self.order(SendRequest(self.number, request, next_hop, self._requests, self.heard_from))
        return self._requests

    def acknowledge(self, request_id: int, response: Response, dialog: Dialog, cseq: int) -> None:
        """Acknowledge a 2xx to INVITE, and remember how, for it may come again."""
        request = dialog.create_ack(cseq)
        for name, value in self._credentials:  # RFC 3261 section 22.1
            request.headers.add(name, value)
        ack = SendAck(self.number, request, dialog.next_hop_uri(), self.heard_from)
        if len(self._acks) >= MAX_REMEMBERED_ACKS:
            self._acks.pop(next(iter(self._acks)))
        self._acks[request_id, response.to_tag or ""] = ack
        self.order(ack)

    def acknowledge_again(self, request_id: int, response: Response) -> bool:
        """Repeat the ACK of a 2xx that came again; false when it is new."""
        ack = self._acks.get((request_id, response.to_tag or ""))
        if ack is not None:
            self.order(ack)
        return ack is not None

    # --- descriptions and documents ----------------------------------------------------------------------

    @property
    def direction(self) -> Direction:
        """What our offers say."""
        return Direction.INACTIVE if self.paused else Direction.SENDONLY

    @property
    def ending(self) -> bool:
        """Whether the call, or the recording of it, is over."""
        return self.stopped_at is not None or self.ledger.ended_at is not None

    @property
    def partial(self) -> bool:
        """Whether changes go as partial documents: by the profile, and only after a complete one."""
        return self.setup.server.profile.mode is DataMode.PARTIAL and self.told > 0 and not self.snapshot_due

    def document(self, *, labels: bool = True) -> bytes:
        """The newest document for this recorder; without labels it may travel without an offer."""
        at = self.setup.clock.at(self.now)
        if self.associated_at is None:
            self.associated_at = at
        view = View(
            associated_at=self.associated_at,
            disassociated_at=self.stopped_at,
            since=self.told if self.partial else None,
        )
        document = self.ledger.document(view)
        return serialize(document if labels else without_labels(document))

    def body(self, offer: SessionDescription | None, document: bytes | None, method: str) -> MadeBody | None:
        """The body of a request of ours; a document in it is reported."""
        if document is not None:
            revision = self.ledger.revision
            self.report(DocumentSent(method, revision, document, with_offer=offer is not None))
        return make_body(offer, document, self.metadata_type, self.setup.identity.token)

    # --- media -------------------------------------------------------------------------------------------

    def agree(self, reading: Reading) -> None:
        """Take over what a description of the recorder means, and let media follow it."""
        self.reading = reading
        if not self.paused:
            self.active = reading
            refused = (each.label for each in reading.streams if each.state is StreamState.REFUSED)
            self.book.refused = frozenset(refused)
        wanted = {} if self.paused else {stream.label: stream for stream in reading.accepted}
        stopping = tuple(label for label in self.flowing if label not in wanted)
        starting = tuple(each for label, each in wanted.items() if self.flowing.get(label) != each)
        if stopping:
            self.order(StopMedia(self.number, self.setup.copy, stopping))
        if starting:
            self.order(StartMedia(self.number, self.setup.copy, starting))
        self.flowing = wanted

    def stop_media(self) -> None:
        """Send nothing more."""
        if self.flowing:
            self.order(StopMedia(self.number, self.setup.copy, tuple(self.flowing)))
            self.flowing = {}

    def learn(self, memory: ServerMemory) -> None:
        """Remember something about the server, for the next session too."""
        if memory != self.memory:
            self.memory = memory
            self.report(MemoryLearned(self.setup.server.uri, memory))
