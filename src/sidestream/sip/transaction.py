"""The four transaction machines as tables (RFC 3261 §17, RFC 6026).

A table maps (state, input) to a move: the next state, what to do, and the timers to start and stop. The
layer (`transactions.py`) finds the machine a message belongs to, applies the input and carries out the
move. An input that is not listed raises; what the RFC says to ignore is listed as a move without actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from sidestream.sip.errors import IllegalMoveError


class State(Enum):
    """Where a transaction stands."""

    # An enum's own hash is computed from its name, in Python, at each look into a table.
    __hash__ = object.__hash__

    CALLING = "Calling"
    TRYING = "Trying"
    PROCEEDING = "Proceeding"
    COMPLETED = "Completed"
    CONFIRMED = "Confirmed"
    ACCEPTED = "Accepted"
    TERMINATED = "Terminated"


class Input(Enum):
    """What happens to a transaction, timers apart."""

    __hash__ = object.__hash__

    RECEIVED_1XX = "1xx"
    RECEIVED_2XX = "2xx"
    RECEIVED_FAILURE = "300-699"
    RECEIVED_AGAIN = "request again"
    RECEIVED_ACK = "ACK"
    ANSWER_1XX = "1xx from TU"
    ANSWER_RELIABLE = "reliable 1xx from TU"
    ANSWER_2XX = "2xx from TU"
    ANSWER_FAILURE = "300-699 from TU"
    ACKNOWLEDGED = "TU has the ACK"
    PRACKED = "TU has the PRACK"
    TRANSPORT_ERROR = "transport error"


class Timer(Enum):
    """The timers of RFC 3261 §17 (table 4) and RFC 6026, and nine that RFCs describe without a letter."""

    __hash__ = object.__hash__

    A = "timer A"
    B = "timer B"
    D = "timer D"
    E = "timer E"
    F = "timer F"
    G = "timer G"
    H = "timer H"
    I = "timer I"  # noqa: E741 - the RFC's name
    J = "timer J"
    K = "timer K"
    L = "timer L"
    M = "timer M"
    TRYING = "200 ms"  # §17.2.1: 100 unless the TU answers within 200 ms
    LATE_TRYING = "timer E at T2"  # RFC 4320 §4.1: by then a request other than INVITE gets its 100
    RESEND_1XX = "reliable 1xx retransmission"  # RFC 3262 §3: T1 doubling, on every transport
    PRACK_WAIT = "64*T1 without PRACK"  # RFC 3262 §3
    RESEND_2XX = "2xx retransmission"  # §13.3.1.4: T1 doubling to T2, on every transport
    ACK_WAIT = "64*T1 without ACK"  # §13.3.1.4
    CANCEL_WAIT = "64*T1 after CANCEL"  # §9.1
    ABANDONED = "64*T1 without answer"  # no peer waits longer than its timer F
    PATIENCE = "no response yet"  # RFC 3263 §4.3 names no time; until timer B nobody would wait


class Do(Enum):
    """What a move has the layer do."""

    SEND = "send"
    SEND_100 = "send 100"
    SEND_RELIABLE = "send reliable 1xx"
    SEND_ACK = "send ACK"
    PASS = "to TU"  # noqa: S105 - not a password
    TIMED_OUT = "inform TU: timeout"
    FAILED = "inform TU: transport failed"
    ACK_TIMED_OUT = "inform TU: no ACK"
    SILENT = "try the next hop"
    PRACK_TIMED_OUT = "inform TU: no PRACK"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of a table."""

    state: State
    do: tuple[Do, ...] = ()
    start: tuple[Timer, ...] = ()
    stop: tuple[Timer, ...] = ()


Cause = Input | Timer
Table = Mapping[tuple[State, Cause], Move]


@dataclass(frozen=True, slots=True)
class Machine:
    """A transaction machine.

    Attributes:
        name: its name in the RFC.
        initial: the state entered when the transaction is made, after the move `opening`.
        opening: the move made at once.
        table: every move.
    """

    name: str
    opening: Move
    table: Table

    def move(self, state: State, cause: Cause) -> Move:
        """The move for an input.

        Raises:
            IllegalMoveError: when the table does not list it.
        """
        move = self.table.get((state, cause))
        if move is None:
            raise IllegalMoveError(f"{self.name}: {cause.value} in {state.value}")
        return move


def _stay(state: State, *causes: Cause) -> dict[tuple[State, Cause], Move]:
    """Rows for inputs that are ignored in a state."""
    return {(state, cause): Move(state) for cause in causes}


_S, _I, _T, _D = State, Input, Timer, Do

_END = Move(_S.TERMINATED)
_CLIENT_WAITS = (_T.A, _T.B, _T.PATIENCE)
_CLIENT_2XX = Move(_S.ACCEPTED, (_D.PASS,), (_T.M,), (*_CLIENT_WAITS, _T.CANCEL_WAIT))
_CLIENT_REFUSED = Move(_S.COMPLETED, (_D.SEND_ACK, _D.PASS), (_T.D,), (*_CLIENT_WAITS, _T.CANCEL_WAIT))

INVITE_CLIENT = Machine(
    # RFC 3261 §17.1.1, RFC 6026 §8.4
    "INVITE client transaction",
    Move(_S.CALLING, (_D.SEND,), (_T.A, _T.B, _T.PATIENCE)),
    {
        (_S.CALLING, _T.A): Move(_S.CALLING, (_D.SEND,), (_T.A,)),
        (_S.CALLING, _T.PATIENCE): Move(_S.CALLING, (_D.SILENT,)),
        (_S.CALLING, _T.B): Move(_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.CALLING, _I.RECEIVED_1XX): Move(_S.PROCEEDING, (_D.PASS,), (), _CLIENT_WAITS),
        (_S.CALLING, _I.RECEIVED_2XX): _CLIENT_2XX,
        (_S.CALLING, _I.RECEIVED_FAILURE): _CLIENT_REFUSED,
        (_S.CALLING, _I.TRANSPORT_ERROR): Move(_S.TERMINATED, (_D.FAILED,)),
        (_S.PROCEEDING, _I.RECEIVED_1XX): Move(_S.PROCEEDING, (_D.PASS,)),
        (_S.PROCEEDING, _I.RECEIVED_2XX): _CLIENT_2XX,
        (_S.PROCEEDING, _I.RECEIVED_FAILURE): _CLIENT_REFUSED,
        (_S.PROCEEDING, _T.CANCEL_WAIT): Move(_S.TERMINATED, (_D.TIMED_OUT,)),
        # Nothing is sent in Proceeding; the response may come over another connection (§18.2.2).
        **_stay(_S.PROCEEDING, _I.TRANSPORT_ERROR),
        (_S.COMPLETED, _I.RECEIVED_FAILURE): Move(_S.COMPLETED, (_D.SEND_ACK,)),
        (_S.COMPLETED, _T.D): _END,
        # The TU has its final answer; that the ACK was lost with the connection is no news to it.
        (_S.COMPLETED, _I.TRANSPORT_ERROR): _END,
        **_stay(_S.COMPLETED, _I.RECEIVED_1XX, _I.RECEIVED_2XX),
        (_S.ACCEPTED, _I.RECEIVED_2XX): Move(_S.ACCEPTED, (_D.PASS,)),
        (_S.ACCEPTED, _T.M): _END,
        **_stay(_S.ACCEPTED, _I.RECEIVED_1XX, _I.RECEIVED_FAILURE, _I.TRANSPORT_ERROR),
    },
)

_CLIENT_FINAL = Move(_S.COMPLETED, (_D.PASS,), (_T.K,), (_T.E, _T.F, _T.PATIENCE))

NON_INVITE_CLIENT = Machine(
    # RFC 3261 §17.1.2
    "non-INVITE client transaction",
    Move(_S.TRYING, (_D.SEND,), (_T.E, _T.F, _T.PATIENCE)),
    {
        (_S.TRYING, _T.E): Move(_S.TRYING, (_D.SEND,), (_T.E,)),
        (_S.TRYING, _T.PATIENCE): Move(_S.TRYING, (_D.SILENT,)),
        (_S.TRYING, _T.F): Move(_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.TRYING, _I.RECEIVED_1XX): Move(_S.PROCEEDING, (_D.PASS,), (), (_T.PATIENCE,)),
        (_S.TRYING, _I.RECEIVED_2XX): _CLIENT_FINAL,
        (_S.TRYING, _I.RECEIVED_FAILURE): _CLIENT_FINAL,
        (_S.TRYING, _I.TRANSPORT_ERROR): Move(_S.TERMINATED, (_D.FAILED,)),
        (_S.PROCEEDING, _T.E): Move(_S.PROCEEDING, (_D.SEND,), (_T.E,)),
        (_S.PROCEEDING, _T.F): Move(_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.PROCEEDING, _I.RECEIVED_1XX): Move(_S.PROCEEDING, (_D.PASS,)),
        (_S.PROCEEDING, _I.RECEIVED_2XX): _CLIENT_FINAL,
        (_S.PROCEEDING, _I.RECEIVED_FAILURE): _CLIENT_FINAL,
        (_S.PROCEEDING, _I.TRANSPORT_ERROR): Move(_S.TERMINATED, (_D.FAILED,)),
        (_S.COMPLETED, _T.K): _END,
        **_stay(
            _S.COMPLETED,
            _I.RECEIVED_1XX,
            _I.RECEIVED_2XX,
            _I.RECEIVED_FAILURE,
            _I.TRANSPORT_ERROR,
        ),
    },
)

_UNANSWERED = (_T.TRYING, _T.RESEND_1XX, _T.PRACK_WAIT)
_LATE = (_I.ANSWER_RELIABLE, _I.PRACKED)

INVITE_SERVER = Machine(
    # RFC 3261 §17.2.1, RFC 6026 §8.5, RFC 3262 §3
    "INVITE server transaction",
    Move(_S.PROCEEDING, (_D.PASS,), (_T.TRYING,)),
    {
        (_S.PROCEEDING, _I.RECEIVED_AGAIN): Move(_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _T.TRYING): Move(_S.PROCEEDING, (_D.SEND_100,)),
        (_S.PROCEEDING, _I.ANSWER_1XX): Move(_S.PROCEEDING, (_D.SEND,), (), (_T.TRYING,)),
        (_S.PROCEEDING, _I.ANSWER_2XX): Move(
            _S.ACCEPTED, (_D.SEND,), (_T.RESEND_2XX, _T.ACK_WAIT, _T.L), _UNANSWERED
        ),
        (_S.PROCEEDING, _I.ANSWER_FAILURE): Move(_S.COMPLETED, (_D.SEND,), (_T.G, _T.H), _UNANSWERED),
        # RFC 3262 §3: repeated on every transport until the PRACK, or until the final answer.
        (_S.PROCEEDING, _I.ANSWER_RELIABLE): Move(
            _S.PROCEEDING, (_D.SEND,), (_T.RESEND_1XX, _T.PRACK_WAIT), (_T.TRYING,)
        ),
        (_S.PROCEEDING, _T.RESEND_1XX): Move(_S.PROCEEDING, (_D.SEND_RELIABLE,), (_T.RESEND_1XX,)),
        (_S.PROCEEDING, _I.PRACKED): Move(_S.PROCEEDING, (), (), (_T.RESEND_1XX, _T.PRACK_WAIT)),
        (_S.PROCEEDING, _T.PRACK_WAIT): Move(_S.PROCEEDING, (_D.PRACK_TIMED_OUT,), (), (_T.RESEND_1XX,)),
        (_S.PROCEEDING, _I.TRANSPORT_ERROR): Move(_S.PROCEEDING, (_D.FAILED,)),
        **_stay(_S.PROCEEDING, _I.RECEIVED_ACK, _I.ACKNOWLEDGED),
        (_S.COMPLETED, _I.RECEIVED_AGAIN): Move(_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _T.G): Move(_S.COMPLETED, (_D.SEND,), (_T.G,)),
        (_S.COMPLETED, _I.RECEIVED_ACK): Move(_S.CONFIRMED, (), (_T.I,), (_T.G, _T.H)),
        (_S.COMPLETED, _T.H): Move(_S.TERMINATED, (_D.FAILED,)),
        (_S.COMPLETED, _I.TRANSPORT_ERROR): Move(_S.COMPLETED, (_D.FAILED,)),
        **_stay(_S.COMPLETED, *_LATE, _I.ANSWER_1XX, _I.ANSWER_2XX, _I.ANSWER_FAILURE, _I.ACKNOWLEDGED),
        (_S.CONFIRMED, _T.I): _END,
        **_stay(
            _S.CONFIRMED,
            *_LATE,
            _I.RECEIVED_AGAIN,
            _I.RECEIVED_ACK,
            _I.ANSWER_1XX,
            _I.ANSWER_2XX,
            _I.ANSWER_FAILURE,
            _I.ACKNOWLEDGED,
            _I.TRANSPORT_ERROR,
        ),
        # RFC 6026 §7.1: a re-sent INVITE is absorbed; the 2xx is re-sent by its own timer.
        (_S.ACCEPTED, _T.RESEND_2XX): Move(_S.ACCEPTED, (_D.SEND,), (_T.RESEND_2XX,)),
        (_S.ACCEPTED, _I.ANSWER_2XX): Move(_S.ACCEPTED, (_D.SEND,)),
        (_S.ACCEPTED, _I.RECEIVED_ACK): Move(_S.ACCEPTED, (_D.PASS,)),
        (_S.ACCEPTED, _I.ACKNOWLEDGED): Move(_S.ACCEPTED, (), (), (_T.RESEND_2XX, _T.ACK_WAIT)),
        (_S.ACCEPTED, _T.ACK_WAIT): Move(_S.ACCEPTED, (_D.ACK_TIMED_OUT,), (), (_T.RESEND_2XX,)),
        (_S.ACCEPTED, _I.TRANSPORT_ERROR): Move(_S.ACCEPTED, (_D.FAILED,)),
        (_S.ACCEPTED, _T.L): _END,
        **_stay(_S.ACCEPTED, *_LATE, _I.RECEIVED_AGAIN, _I.ANSWER_1XX, _I.ANSWER_FAILURE),
    },
)

_SERVER_FINAL = Move(_S.COMPLETED, (_D.SEND,), (_T.J,), (_T.ABANDONED, _T.LATE_TRYING))

NON_INVITE_SERVER = Machine(
    # RFC 3261 §17.2.2, RFC 4320
    "non-INVITE server transaction",
    Move(_S.TRYING, (_D.PASS,), (_T.ABANDONED, _T.LATE_TRYING)),
    {
        (_S.TRYING, _T.LATE_TRYING): Move(_S.PROCEEDING, (_D.SEND_100,)),
        (_S.TRYING, _I.ANSWER_1XX): Move(_S.PROCEEDING, (_D.SEND,), (), (_T.LATE_TRYING,)),
        (_S.TRYING, _I.ANSWER_2XX): _SERVER_FINAL,
        (_S.TRYING, _I.ANSWER_FAILURE): _SERVER_FINAL,
        (_S.TRYING, _T.ABANDONED): _END,
        **_stay(_S.TRYING, _I.RECEIVED_AGAIN, _I.TRANSPORT_ERROR),
        (_S.PROCEEDING, _I.RECEIVED_AGAIN): Move(_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _I.ANSWER_1XX): Move(_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _I.ANSWER_2XX): _SERVER_FINAL,
        (_S.PROCEEDING, _I.ANSWER_FAILURE): _SERVER_FINAL,
        (_S.PROCEEDING, _T.ABANDONED): _END,
        (_S.PROCEEDING, _I.TRANSPORT_ERROR): Move(_S.TERMINATED, (_D.FAILED,)),
        (_S.COMPLETED, _I.RECEIVED_AGAIN): Move(_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _I.TRANSPORT_ERROR): Move(_S.TERMINATED, (_D.FAILED,)),
        (_S.COMPLETED, _T.J): _END,
        **_stay(_S.COMPLETED, _I.ANSWER_1XX, _I.ANSWER_2XX, _I.ANSWER_FAILURE),
    },
)

MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)


def diagram(machine: Machine) -> str:
    """The machine as a Mermaid state diagram, one arrow per row of its table."""
    lines = ["stateDiagram-v2", _arrow("[*]", machine.opening, "request")]
    lines += [_arrow(state.value, move, cause.value) for (state, cause), move in machine.table.items()]
    lines.append(f"    {State.TERMINATED.value} --> [*]")
    return "\n".join(lines) + "\n"


def _arrow(start: str, move: Move, cause: str) -> str:
    effects = [do.value for do in move.do]
    effects += [f"start {timer.name}" for timer in move.start]
    effects += [f"stop {timer.name}" for timer in move.stop]
    # A colon ends the text of a Mermaid arrow's label.
    label = f"{cause} / {', '.join(effects) or '-'}".replace(":", "")
    return f"    {start} --> {move.state.value} : {label}"
