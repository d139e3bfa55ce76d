"""What a recording knows of its call, told as metadata documents (RFC 7865, RFC 7866 section 9.1).

One ledger belongs to one call; all copies and all servers of its recordings tell of it with the same ids
(RFC 7865 section 6.10). Each change makes a new revision; a document is a view of the newest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from sidestream.siprec.metadata import (
    DataMode,
    Extension,
    Group,
    Id,
    LangText,
    NameId,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Reason,
    Recording,
    Session,
    SessionRecording,
    Stream,
    make_id,
)

EXTENSION_NAMESPACE: Final = "urn:x-sidestream:recording:1"
"""Of the data that RFC 7865 has no element for: account, voice service, call id, roles, codecs."""

Side = Literal["a", "b"]
"""`a` is the caller's side, `b` the callee's; as the legs of a call."""

LABELS: Final[dict[Side, str]] = {"a": "1", "b": "2"}
"""The label (RFC 4574) of each side's m-line: recorders guess caller and callee by them."""

FORMER_MAX: Final = 16
"""Participants that left and are still told of; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes part, as the call knows it.

    Attributes:
        aor: SIP, SIPS or tel URI.
        name: display name, empty when there is none.
    """

    aor: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSetup:
    """The fixed facts of a call.

    Attributes:
        started_at: when it began.
        caller: who calls.
        callee: who is called.
        call_id: our id of the call.
        sip_call_id: Call-ID of the caller's leg.
        sip_session_ids: Session-ID values (RFC 7989), when the call has any.
        account: name of the account.
        voice_service: name of the voice service whose integration records.
        direction: how the call looks from the voice service.
        random: gives so many random octets, for ids.
    """

    started_at: datetime
    caller: Party
    callee: Party
    call_id: str
    sip_call_id: str = ""
    sip_session_ids: tuple[str, ...] = ()
    account: str = ""
    voice_service: str = ""
    direction: str = ""
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one recording session sees the call.

    Attributes:
        associated_at: when it began to record the call.
        disassociated_at: when it ceased to; None while it records.
        since: None for a complete document; else the revision that the recorder knows already.
    """

    associated_at: datetime
    disassociated_at: datetime | None = None
    since: int | None = None


@dataclass(slots=True)
class _Member:
    """A party and what has become of it."""

    identity: Id
    party: Party
    role: str
    side: Side
    joined_at: datetime | None
    left_at: datetime | None = None
    told: int = 0
    """Revision at which its name or address last changed."""
    moved: int = 0
    """Revision at which it last joined or left."""
    streamed: int = 0
    """Revision at which what it sends or hears last changed."""


@dataclass(slots=True)
class _Flow:
    """What a side does with media, as it says itself (RFC 3264)."""

    sends: bool = True
    receives: bool = True


@dataclass(slots=True)
class _Line:
    """A side's stream."""

    identity: Id
    codec: str = ""
    told: int = 0


@dataclass(slots=True)
class Ledger:
    """Collects what happens to a call; see the module.

    Attributes:
        setup: the fixed facts.
        revision: counts the changes, from 1.
    """

    setup: LedgerSetup
    revision: int = 1
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    _group: Id = field(init=False)
    _session: Id = field(init=False)
    _session_told: int = field(default=1, init=False)
    _present: dict[Side, _Member] = field(init=False)
    _former: list[_Member] = field(default_factory=list, init=False)
    _flows: dict[Side, _Flow] = field(init=False)
    _lines: dict[Side, _Line] = field(init=False)
    _reasons: tuple[Reason, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        setup = self.setup
        self._group, self._session = self._new_id(), self._new_id()
        self._present = {
            "a": self._member("a", setup.caller, setup.started_at),
            "b": self._member("b", setup.callee, None),
        }
        self._flows = {"a": _Flow(), "b": _Flow()}
        self._lines = {"a": _Line(self._new_id(), told=1), "b": _Line(self._new_id(), told=1)}

    @property
    def session_id(self) -> Id:
        """The call's id in the metadata: what joins a recording with the call's record."""
        return self._session

    def participant_id(self, side: Side) -> Id:
        """The id of who is on a side now."""
        return self._present[side].identity

    # --- what happens ------------------------------------------------------------------------------------

    def answered(self, at: datetime) -> None:
        """The callee answered and takes part from now on."""
        if self.answered_at is not None or self.ended_at is not None:
            return
        self.answered_at = at
        self._session_told = self._next()
        callee = self._present["b"]
        callee.joined_at, callee.moved = at, self.revision

    def held(self, side: Side, *, sends: bool = True) -> None:
        """The party of a side holds the other: it hears nothing, and sends (music) or not."""
        self.directed(side, sends=sends, receives=False)

    def resumed(self, side: Side) -> None:
        """The party of a side took the other back."""
        self.directed(side, sends=True, receives=True)

    def directed(self, side: Side, *, sends: bool, receives: bool) -> None:
        """A side says what it does with media; nothing happens when that is nothing new."""
        flow = self._flows[side]
        if self.ended_at is not None or (flow.sends, flow.receives) == (sends, receives):
            return
        flow.sends, flow.receives = sends, receives
        self._next()
        for member in self._present.values():
            member.streamed = self.revision

    def party_updated(self, side: Side, party: Party) -> None:
        """The party of a side is known by another address or name; it is still the same."""
        member = self._present[side]
        if self.ended_at is None and party != member.party:
            member.party, member.told = party, self._next()

    def party_replaced(self, side: Side, party: Party, at: datetime) -> Id:
        """Another party takes a side's place (a transfer within the call); returns its id."""
        member = self._present[side]
        if self.ended_at is not None:
            return member.identity
        self._next()
        member.left_at = at
        member.moved = member.streamed = self.revision
        self._former = [*self._former, member][-FORMER_MAX:]
        self._present[side] = self._member(side, party, at)
        return self._present[side].identity

    def codec_changed(self, side: Side, name: str) -> None:
        """A side sends in another codec (or the first is known)."""
        line = self._lines[side]
        if self.ended_at is None and line.codec != name:
            line.codec, line.told = name, self._next()

    def ended(self, at: datetime, reason: Reason | None = None) -> None:
        """The call is over; nothing is taken in after that."""
        if self.ended_at is not None:
            return
        self.ended_at = at
        self._session_told = self._next()
        self._reasons = () if reason is None else (reason,)
        for member in self._present.values():
            member.left_at = at
            member.moved = member.streamed = self.revision

    # --- what is told ------------------------------------------------------------------------------------

    def document(self, view: View) -> Recording:
        """Tell the newest state.

        A partial document holds the elements that changed after `view.since`, and no labels, so that it may
        travel without an offer (RFC 7866 section 9.1) unless a stream itself changed.
        """
        since = 0 if view.since is None else view.since
        members = [*self._former, *self._present.values()]
        session_changed = self._session_told > since
        recorded_changed = session_changed or view.disassociated_at is not None
        taking_part = [member for member in members if member.joined_at is not None]
        return Recording(
            DataMode.COMPLETE if view.since is None else DataMode.PARTIAL,
            groups=(self._group_element(),) if session_changed else (),
            sessions=(self._session_element(),) if session_changed else (),
            participants=tuple(_participant(each) for each in members if each.told > since),
            streams=tuple(
                self._stream_element(side) for side, line in self._lines.items() if line.told > since
            ),
            session_recordings=(self._recorded(view),) if recorded_changed else (),
            participant_sessions=tuple(self._part(each) for each in taking_part if each.moved > since),
            participant_streams=tuple(self._streams_of(each) for each in members if each.streamed > since),
        )

    def _group_element(self) -> Group:
        return Group(self._group, self.setup.started_at, self.ended_at)

    def _session_element(self) -> Session:
        setup = self.setup
        return Session(
            self._session,
            setup.sip_session_ids,
            self._reasons,
            self._group,
            setup.started_at,
            self.ended_at,
            (self._call_extension(),),
        )

    def _call_extension(self) -> Extension:
        setup = self.setup
        facts = (
            ("call-id", setup.call_id),
            ("sip-call-id", setup.sip_call_id),
            ("account", setup.account),
            ("voice-service", setup.voice_service),
            ("direction", setup.direction),
        )
        return _extension("call", children=[_extension(name, text) for name, text in facts if text])

    def _stream_element(self, side: Side) -> Stream:
        line = self._lines[side]
        codec = (_extension("codec", line.codec),) if line.codec else ()
        return Stream(line.identity, self._session, LABELS[side], codec)

    def _recorded(self, view: View) -> SessionRecording:
        until = view.disassociated_at or self.ended_at
        # A server that is reached after the end of its call has recorded none of it, not less than none.
        since = view.associated_at if until is None else min(view.associated_at, until)
        return SessionRecording(self._session, since, until)

    def _part(self, member: _Member) -> ParticipantSession:
        return ParticipantSession(member.identity, self._session, member.joined_at, member.left_at)

    def _streams_of(self, member: _Member) -> ParticipantStream:
        if member.left_at is not None:
            return ParticipantStream(
                member.identity, associate_time=member.joined_at, disassociate_time=member.left_at
            )
        side = member.side
        other: Side = "b" if side == "a" else "a"
        out = self._flows[side].sends and self._flows[other].receives
        back = self._flows[other].sends and self._flows[side].receives
        return ParticipantStream(
            member.identity,
            send=(self._lines[side].identity,) if out else (),
            recv=(self._lines[other].identity,) if back else (),
            associate_time=member.joined_at,
        )

    # --- making ------------------------------------------------------------------------------------------

    def _member(self, side: Side, party: Party, joined_at: datetime | None) -> _Member:
        member = _Member(self._new_id(), party, "caller" if side == "a" else "callee", side, joined_at)
        member.told = member.moved = member.streamed = self.revision
        return member

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    def _new_id(self) -> Id:
        return make_id(self.setup.random(16))


def _participant(member: _Member) -> Participant:
    name = LangText(member.party.name) if member.party.name else None
    return Participant(member.identity, (NameId(member.party.aor, name),), (_extension("role", member.role),))


def _extension(name: str, text: str = "", children: Iterable[Extension] = ()) -> Extension:
    return Extension(f"{{{EXTENSION_NAMESPACE}}}{name}", text=text, children=tuple(children))


def without_labels(document: Recording) -> Recording:
    """The document as it may travel without an offer: its streams name no labels (RFC 7866 section 9.1)."""
    return replace(document, streams=tuple(replace(stream, label=None) for stream in document.streams))
