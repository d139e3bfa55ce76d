"""The offer/answer exchanges of one leg as a table (RFC 3264, RFC 3261 sections 13 and 14, RFC 6337).

`OfferAnswer` says what may happen next, refuses glare, keeps the descriptions that are in force, and makes
every new description of ours continue the last one: same session id, next version when something changed,
m-lines never fewer and never moved, payload types never re-used for another codec.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from sidestream.errors import StateError
from sidestream.sdp.codecs import CodecKey
from sidestream.sdp.continuity import continue_numbers, continue_sections, continue_version, remember_numbers
from sidestream.sdp.crypto import SrtpKeys, agreed_keys
from sidestream.sdp.errors import GlareError, OfferOverlapError
from sidestream.sdp.model import SessionDescription
from sidestream.sdp.negotiate import NegotiatedCodec, leg_codecs


class State(Enum):
    """Where a leg stands between offer and answer."""

    __hash__ = object.__hash__  # an enum's own is written in Python

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"


class Move(Enum):
    """What can happen to the exchange."""

    __hash__ = object.__hash__  # an enum's own is written in Python

    SEND_OFFER = "send offer"
    SEND_ANSWER = "send answer"
    SEND_PREVIEW = "send preview"  # the answer ahead of time, in an unreliable provisional response
    SEND_REJECTION = "send rejection"  # a final error, or none at all, for the offer
    RECEIVE_OFFER = "receive offer"
    RECEIVE_ANSWER = "receive answer"
    RECEIVE_PREVIEW = "receive preview"
    RECEIVE_REJECTION = "receive rejection"


#: Every legal move. A preview changes no state: RFC 6337 section 2.1 doesn't count it as the answer.
TABLE: Final[dict[tuple[State, Move], State]] = {
    (State.STABLE, Move.SEND_OFFER): State.HAVE_LOCAL_OFFER,
    (State.STABLE, Move.RECEIVE_OFFER): State.HAVE_REMOTE_OFFER,
    (
        State.STABLE,
        Move.RECEIVE_ANSWER,
    ): State.STABLE,  # a reliable 18x carried it already, now a 2xx repeats it
    (State.HAVE_LOCAL_OFFER, Move.RECEIVE_PREVIEW): State.HAVE_LOCAL_OFFER,
    (State.HAVE_LOCAL_OFFER, Move.RECEIVE_ANSWER): State.STABLE,
    (State.HAVE_LOCAL_OFFER, Move.RECEIVE_REJECTION): State.STABLE,
    (State.HAVE_REMOTE_OFFER, Move.SEND_PREVIEW): State.HAVE_REMOTE_OFFER,
    (State.HAVE_REMOTE_OFFER, Move.SEND_ANSWER): State.STABLE,
    (State.HAVE_REMOTE_OFFER, Move.SEND_REJECTION): State.STABLE,
}

#: Illegal moves that are the peer's doing, and what it is answered.
REFUSED: Final[dict[tuple[State, Move], type[GlareError | OfferOverlapError]]] = {
    (State.HAVE_LOCAL_OFFER, Move.RECEIVE_OFFER): GlareError,
    (State.HAVE_REMOTE_OFFER, Move.RECEIVE_OFFER): OfferOverlapError,
}

_Agreed = tuple[SessionDescription | None, SessionDescription | None, bool]


@dataclass(slots=True)
class OfferAnswer:
    """The exchanges of one leg.

    Attributes:
        state: where the leg stands.
        local: our description in force; while our offer is open, still the one before it.
        remote: the peer's description in force, likewise.
        pending: the open offer, ours or the peer's.
        we_answered: whether the description in force on our side was an answer.
    """

    state: State = State.STABLE
    local: SessionDescription | None = None
    remote: SessionDescription | None = None
    pending: SessionDescription | None = None
    we_answered: bool = False
    _agreed: _Agreed = (None, None, False)
    _last_sent: SessionDescription | None = None
    _numbers: dict[int, tuple[CodecKey, str | None]] = field(default_factory=dict)

    def copy(self) -> OfferAnswer:
        """Another one that stands where this one does: one offer may be answered by several forks."""
        return replace(self, _numbers=dict(self._numbers))

    @property
    def can_offer(self) -> bool:
        """Whether an offer of ours may be sent now (RFC 3264 section 4)."""
        return self.state is State.STABLE

    def send_offer(self, description: SessionDescription) -> SessionDescription:
        """Open an exchange.

        Returns:
            The offer to send: `description` as the continuation of what this leg has said before.

        Raises:
            StateError: an exchange is open; see `can_offer`.
        """
        self._move(Move.SEND_OFFER)
        offer = continue_sections(self._last_sent, description)
        offer = self._record(continue_numbers(offer, self._numbers))
        self.pending = offer
        return offer

    def receive_offer(self, description: SessionDescription) -> None:
        """The peer opens an exchange.

        Raises:
            GlareError: our own offer is open: answer 491.
            OfferOverlapError: its last offer isn't answered: answer 500.
        """
        self._move(Move.RECEIVE_OFFER)
        self.pending = description

    def send_answer(self, description: SessionDescription) -> SessionDescription:
        """Close the peer's exchange.

        Returns:
            The answer to send: `description` with the session id and version that continue the last.

        Raises:
            StateError: no offer is open.
        """
        self._move(Move.SEND_ANSWER)
        answer = self._record(description)
        self._agree(answer, self._take_pending(), we_answered=True)
        return answer

    def send_preview(self, description: SessionDescription) -> SessionDescription:
        """Say the answer ahead of time, in a provisional response that isn't reliable.

        Returns:
            The description to send; media may flow by it, and the answer to come must say the same.

        Raises:
            StateError: no offer is open.
        """
        self._move(Move.SEND_PREVIEW)
        preview = self._record(description)
        self.local, self.remote, self.we_answered = preview, self.pending, True
        return preview

    def receive_answer(self, description: SessionDescription) -> None:
        """The peer closes our exchange. A repeated answer is ignored (RFC 6337 section 3.1.1).

        Raises:
            StateError: an offer of the peer is open, not ours.
        """
        repeated = self.state is State.STABLE
        self._move(Move.RECEIVE_ANSWER)
        if not repeated:
            self._agree(self._take_pending(), description, we_answered=False)

    def receive_preview(self, description: SessionDescription) -> None:
        """The peer says its answer ahead of time.

        Raises:
            StateError: no offer of ours is open.
        """
        self._move(Move.RECEIVE_PREVIEW)
        self.local, self.remote, self.we_answered = self.pending, description, False

    def reject(self) -> None:
        """The open exchange failed, on either side: what was in force before it is again.

        That holds for whatever was said in previews too (RFC 3261 section 14.1).

        Raises:
            StateError: no exchange is open.
        """
        ours = self.state is State.HAVE_LOCAL_OFFER
        self._move(Move.RECEIVE_REJECTION if ours else Move.SEND_REJECTION)
        self.local, self.remote, self.we_answered = self._agreed
        self.pending = None

    def codecs(self) -> list[NegotiatedCodec]:
        """The codecs of this leg, the one in use first; empty while there is no audio."""
        local = self.local.audio if self.local else None
        remote = self.remote.audio if self.remote else None
        if local is None or remote is None:
            return []
        return leg_codecs(local, remote, answerer="local" if self.we_answered else "remote")

    def keys(self) -> SrtpKeys | None:
        """The SRTP keys of this leg; None where its media is plain.

        Raises:
            NegotiationError: the descriptions agree on none, although SRTP was offered.
        """
        local = self.local.audio if self.local else None
        remote = self.remote.audio if self.remote else None
        if local is None or remote is None:
            return None
        return agreed_keys(local, remote, we_answered=self.we_answered)

    def _agree(self, local: SessionDescription, remote: SessionDescription, *, we_answered: bool) -> None:
        self._agreed = (local, remote, we_answered)
        self.local, self.remote, self.we_answered = self._agreed

    def _record(self, description: SessionDescription) -> SessionDescription:
        continued = continue_version(self._last_sent, description)
        remember_numbers(continued, self._numbers)
        self._last_sent = continued
        return continued

    def _take_pending(self) -> SessionDescription:
        pending, self.pending = self.pending, None
        if pending is None:
            raise StateError("an exchange is open without an offer")
        return pending

    def _move(self, move: Move) -> None:
        step = (self.state, move)
        if step in REFUSED:
            raise REFUSED[step]
        if step not in TABLE:
            raise StateError(f"cannot {move.value} in state {self.state.value}")
        self.state = TABLE[step]
