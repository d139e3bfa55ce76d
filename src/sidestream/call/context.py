"""What a call knows, and the orders that it is collecting: the one value that all its parts work on."""

from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from sidestream.call.border import Border
from sidestream.call.commands import (
    ClearTimer,
    Command,
    NextHop,
    Report,
    Respond,
    SendAck,
    SendRequest,
    SetTimer,
)
from sidestream.call.events import RequestArrived, TimerName
from sidestream.call.facts import Fact, HeaderList
from sidestream.call.features import EVERYTHING, Features
from sidestream.call.leg import Leg, OwedAck
from sidestream.call.messages import (
    attach_session,
    carry_body,
    contact_value,
    dress_request,
    dressed_response,
)
from sidestream.call.participants import callee_of, caller_of
from sidestream.call.pending import Acknowledgement, Attempt, Crossing, Pending
from sidestream.call.progress import Progress
from sidestream.call.record import CallSnapshot, LegRecord
from sidestream.call.redirection import Targets
from sidestream.call.setup import SECURE_CONTACT, CallSetup, LegSetup
from sidestream.call.side import Side
from sidestream.call.state import CallState, checked_call_move
from sidestream.call.verdict import Verdict
from sidestream.errors import StateError
from sidestream.sdp.model import Origin, SessionDescription
from sidestream.sip.dialog import Dialog
from sidestream.sip.digest import credentials_of
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.events import ServerKey
from sidestream.sip.hop import Hop
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.secure import wants_secure_contact

MAX_REMEMBERED_ACKS: Final = 8
"""ACKs kept for 2xx that arrive again: two INVITEs per side within the 32 s of re-sending are unusual."""


class CallContext:
    """The state of one call.

    Args:
        setup: What the gateway collected.
        invite: The caller's INVITE.
        now: Monotonic seconds that belong to `setup.started_at`.
    """

    def __init__(self, setup: CallSetup, invite: RequestArrived, now: float) -> None:
        self.setup = setup
        self.invite = invite
        self.caller = self._leg(Side.A, setup.caller)
        self.callee = self._leg(Side.B, setup.callee)
        secure = wants_secure_contact(invite.request)
        contact = SECURE_CONTACT if secure else invite.source.transport
        self.caller.begin_as_server(invite.request, contact_value(setup.identity, contact))
        self.caller.hear(invite.request, invite.source)
        self.progress = Progress.for_invite(invite.request, setup.caller.features)
        self.state = CallState.NEW
        self.attempt: Attempt | None = None
        self.attempts: list[Attempt] = []
        self.pending: dict[int, Pending] = {}
        self.acks: dict[tuple[int, str], SendAck] = {}
        self._credentials: dict[int, HeaderList] = {}
        self.open: dict[ServerKey, Request] = {invite.key: invite.request}
        """Requests of both parties that have no final response yet."""
        self.targets = Targets()
        self.timers: set[TimerName] = set()
        self.bridged = False
        self.rang_at: datetime | None = None
        self.early_media_at: datetime | None = None
        self.answered_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.verdict: Verdict | None = None
        self.now = now
        self._began = now
        self._requests = 0
        self._commands: list[Command] = []

    def _leg(self, side: Side, setup: LegSetup) -> Leg:
        tag = self.setup.token()
        origin = Origin("-", crc32(tag.encode()), 1, setup.media.host)
        invite = self.invite.request
        party = caller_of(invite, trusted=setup.trusted) if side is Side.A else callee_of(invite)
        return Leg(side, setup, tag, origin, party, setup.protection)

    @property
    def at(self) -> datetime:
        """The wall-clock instant of `now`."""
        return self.setup.started_at + timedelta(seconds=self.now - self._began)

    @property
    def codecs(self) -> tuple[str, ...]:
        """Names of the codecs that both trunks allow."""
        caller = {name.upper() for name in self.setup.caller.codecs}
        return tuple(name for name in self.setup.callee.codecs if name.upper() in caller)

    def leg(self, side: Side) -> Leg:
        """The leg of a side."""
        return self.caller if side is Side.A else self.callee

    def border(self, side: Side) -> Border:
        """What crosses to a side from the other one."""
        setups = {Side.A: self.setup.caller, Side.B: self.setup.callee}
        numbering = self.setup.numbering if side is Side.B else None
        return Border(self.setup.headers, setups[side.other].trusted, setups[side].trusted, numbering)

    def move(self, state: CallState) -> None:
        """Go to another state.

        Raises:
            StateError: The move is not in the table.
        """
        self.state = checked_call_move(self.state, state)

    def order(self, command: Command) -> None:
        """Add a command to those given out after this event."""
        self._commands.append(command)

    def report(self, fact: Fact) -> None:
        """Tell a fact."""
        self.order(Report(fact))

    def take_commands(self) -> list[Command]:
        """Hand out what was ordered since the last time."""
        commands, self._commands = self._commands, []
        return commands

    def set_timer(self, name: TimerName, delay: float) -> None:
        """Arm a timer `delay` seconds from now."""
        self.timers.add(name)
        self.order(SetTimer(name, self.now + delay))

    def clear_timer(self, name: TimerName) -> None:
        """Disarm a timer, if it is armed."""
        if name in self.timers:
            self.timers.discard(name)
            self.order(ClearTimer(name))

    def next_request_id(self) -> int:
        """A number for a request that is about to be sent."""
        self._requests += 1
        return self._requests

    def send(self, side: Side, request: Request, next_hop: NextHop, pending: Pending) -> int:
        """Send a request and await its final response; returns its request id.

        It carries credentials at once where the leg's party has challenged requests before.
        """
        client = self.auth_of(self.leg(side))
        if client is not None:
            place = self.callee.place if isinstance(pending, Acknowledgement) else pending.place
            client.dress(request, place)
        return self.send_again(side, request, next_hop, pending)

    def auth_of(self, leg: Leg) -> DigestClient | None:
        """Our credentials on a leg; none where a redirection led away from the trunk they are for."""
        foreign = leg is self.callee and self.attempt is not None and self.attempt.foreign
        return None if foreign else leg.setup.auth

    def send_again(self, side: Side, request: Request, next_hop: NextHop, pending: Pending) -> int:
        """Send a request as it is; see `send`."""
        number = pending.request_id if isinstance(pending, Attempt) else self.next_request_id()
        self.pending[number] = pending
        if request.method == "INVITE":
            self._keep_credentials(number, request)
        self.order(SendRequest(side, request, next_hop, number))
        return number

    def _keep_credentials(self, number: int, invite: Request) -> None:
        """Keep what the ACK of an INVITE is to repeat (RFC 3261 22.1)."""
        while len(self._credentials) >= MAX_REMEMBERED_ACKS:
            del self._credentials[next(iter(self._credentials))]
        self._credentials[number] = credentials_of(invite)

    def dressed(
        self,
        request: Request,
        source: Headers | None = None,
        session: SessionDescription | None = None,
        *,
        features: Features = EVERYTHING,
        side: Side = Side.B,
    ) -> Request:
        """Complete a request to a side by what may cross from `source`, our name, and the body."""
        identity = self.setup.identity
        return dress_request(request, identity, self.border(side), source, session, features=features)

    def create_request(
        self, leg: Leg, method: str, source: Headers | None = None, session: SessionDescription | None = None
    ) -> Request:
        """Make a request within a leg's dialog, with what the policy passes from `source`."""
        request = _dialog_of(leg).create_request(method)
        return self.dressed(request, source, session, features=leg.setup.features, side=leg.side)

    def respond(
        self,
        leg: Leg,
        arrived: tuple[ServerKey, Request],
        status: int,
        *,
        phrase: str | None = None,
        source: Headers | None = None,
        session: SessionDescription | None = None,
        body_of: Message | None = None,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Answer a request of a leg's party; one that has its final response already gets no other.

        Args:
            leg: The leg that the request came on.
            arrived: The server transaction and the request.
            status: Status code.
            phrase: Reason phrase; None for the registered one.
            source: Headers of the other side's response; what the policy passes is copied.
            session: Body.
            body_of: Message whose body is passed on as it is.
            extra: Further headers, which take the place of copied ones.
        """
        key, request = arrived
        if key not in self.open:
            return
        response = dressed_response(
            request, status, phrase, leg.local_tag, self.setup.identity, features=leg.setup.features
        )
        if source is not None:
            self.border(leg.side).copy(source, response.headers)
        for name, value in extra:
            response.headers.set(name, value)
        if leg.dialog is not None and 100 < status < 300 and request.method in {"INVITE", "UPDATE"}:
            response.headers.set("Contact", leg.dialog.contact)
        if session is not None:
            attach_session(response, session)
        elif body_of is not None:
            carry_body(body_of, response)
        if status >= 200:
            del self.open[key]
        self.order(Respond(key, response))

    def retry_soon(self) -> tuple[tuple[str, str], ...]:
        """`Retry-After` of 0 to 10 s at random, for a request come too early (RFC 3261 14.2, 3311 5.2)."""
        return (("Retry-After", str(crc32(self.setup.token().encode()) % 11)),)

    def acknowledge(
        self,
        leg: Leg,
        owed: OwedAck,
        session: SessionDescription | None = None,
        *,
        stray: tuple[Dialog, Hop] | None = None,
    ) -> None:
        """Send the ACK for a 2xx, and keep it for when that 2xx arrives again (RFC 3261 13.2.2.4).

        Args:
            leg: The leg that answered.
            owed: The 2xx.
            session: The answer to a delayed offer.
            stray: Dialog and way of a 2xx that is not the leg's own.
        """
        dialog, hop = stray or (_dialog_of(leg), leg.heard_from)
        ack = self.dressed(dialog.create_ack(owed.cseq), None, session)
        for name, value in self._credentials.get(owed.request_id, ()):
            ack.headers.add(name, value)
        order = SendAck(leg.side, ack, NextHop(dialog.next_hop_uri(), (), hop))
        while len(self.acks) >= MAX_REMEMBERED_ACKS:
            del self.acks[next(iter(self.acks))]
        self.acks[owed.request_id, owed.to_tag] = order
        self.order(order)

    def acknowledge_again(self, request_id: int, response: Response) -> bool:
        """Repeat the ACK for a 2xx that arrived again; false when that 2xx is new."""
        known = self.acks.get((request_id, response.to_tag or ""))
        if known is not None:
            self.order(known)
        return known is not None

    def crossings(self) -> list[tuple[int, Crossing]]:
        """The requests on their way across, with their request ids."""
        return [(number, each) for number, each in self.pending.items() if isinstance(each, Crossing)]

    def snapshot(self) -> CallSnapshot:
        """The call as it stands."""
        end = self.ended_at or self.at
        return CallSnapshot(
            call_id=self.setup.call_id,
            account=self.setup.account,
            state=self.state.value,
            caller=self._leg_record(self.caller, self.invite.request.call_id),
            callee=self._leg_record(self.callee, self.attempt.request.call_id if self.attempt else ""),
            started_at=self.setup.started_at,
            rang_at=self.rang_at,
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            duration_s=(end - self.answered_at).total_seconds() if self.answered_at else 0.0,
            attempts=tuple(attempt.record for attempt in self.attempts),
            verdict=self.verdict,
        )

    @staticmethod
    def _leg_record(leg: Leg, sip_call_id: str) -> LegRecord:
        return LegRecord(leg.setup.trunk, leg.participant, sip_call_id, leg.codec.name if leg.codec else "")


def _dialog_of(leg: Leg) -> Dialog:
    if leg.dialog is None:
        raise StateError(f"leg {leg.side.value} has no dialog")
    return leg.dialog
