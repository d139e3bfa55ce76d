"""Draws a call as text: who told whom what and when, with what happened in the gateway between. Pure.

Each address that spoke with the gateway is a column; a message is an arrow between its column and the
gateway's. Columns are as wide as the terminal allows; names and SDP that do not fit are cut or put beside.
"""

from dataclasses import dataclass
from typing import Final

from sidestream.observe.call_trace import CallTrace, Leg, TracedEvent, TracedMessage, instant, place
from sidestream.observe.sip_summary import printable, summarize_message

WIDTH_MIN: Final = 16
WIDTH_MAX: Final = 36
_TIME: Final = 11
"""Characters of the offset before the first lifeline, such as `  12.345678`."""
_ORDER: Final[dict[Leg, int]] = {"caller": 0, "callee": 2, "recording": 3}
_GATEWAY: Final = 1
_PARTIES: Final[dict[Leg, str]] = {"caller": "caller", "callee": "callee", "recording": "recorder"}
_COLUMNS_MAX: Final = 24
_UNDRAWN: Final = frozenset({"recording_id", "stream_id", "session_id"})
"""Details that make lines long and say nothing beside the integration's name; JSON has them."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A lifeline."""

    title: str
    party: str
    address: str


@dataclass(frozen=True, slots=True)
class _Board:
    """Where things are drawn."""

    columns: tuple[_Column, ...]
    index: dict[tuple[Leg, str, str], int]
    gateway: int
    width: int

    def center(self, column: int) -> int:
        return column * self.width + self.width // 2

    def lifelines(self) -> list[str]:
        """Return a row with nothing but the lifelines."""
        row = [" "] * (len(self.columns) * self.width)
        for column in range(len(self.columns)):
            row[self.center(column)] = "│"
        return row

    def arrow(self, start: int, end: int, text: str) -> str:
        row = self.lifelines()
        left, right = sorted((self.center(start), self.center(end)))
        row[left + 1 : right] = "─" * (right - left - 1)
        if start < end:
            row[right - 1] = "▶"
        else:
            row[left + 1] = "◀"
        space = right - left - 3
        text = _cut(text, space)
        begin = left + 2 + (space - len(text)) // 2
        row[begin : begin + len(text)] = text
        return "".join(row)


def ladder(trace: CallTrace, width: int = 100, *, full: bool = False) -> str:
    """Return the ladder of a call, its lines no longer than needed.

    Args:
        trace: the call.
        width: columns of the terminal; lines may be longer when there are many participants.
        full: whether the text of each message follows its arrow.
    """
    board = _board(trace, width)
    moments: list[tuple[int, int, TracedMessage | TracedEvent]] = [
        *((each.at_us, 0, each) for each in trace.messages),
        *((each.at_us, 1, each) for each in trace.events),
    ]
    moments.sort(key=lambda moment: moment[:2])
    lines = _head(trace, board)
    start = moments[0][0] if moments else 0
    for at, _, moment in moments:
        offset = f"{(at - start) / 1_000_000:>{_TIME - 1}.6f} "
        if isinstance(moment, TracedMessage):
            lines += _message_lines(board, offset, moment, full=full)
        else:
            lines.append(offset + _event_words(moment))
    if trace.omitted:
        lines.append(f"({trace.omitted} messages and events of the middle of the call were not kept)")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _board(trace: CallTrace, width: int) -> _Board:
    found: dict[tuple[Leg, str, str], None] = {}
    for message in trace.messages:
        found.setdefault((message.leg, message.party, _remote(message)))
    peers = sorted(list(found)[:_COLUMNS_MAX], key=lambda peer: _ORDER[peer[0]])
    gateway = sum(_ORDER[peer[0]] < _GATEWAY for peer in peers)
    columns = [_Column(_PARTIES[leg], party, address) for leg, party, address in peers]
    columns.insert(gateway, _Column("sidestream", trace.node, ""))
    index = {peer: number + (number >= gateway) for number, peer in enumerate(peers)}
    each = (width - _TIME) // len(columns)
    return _Board(tuple(columns), index, gateway, max(WIDTH_MIN, min(WIDTH_MAX, each)))


def _head(trace: CallTrace, board: _Board) -> list[str]:
    moments = [*(each.at_us for each in trace.messages), *(each.at_us for each in trace.events)]
    began = f", begun {instant(min(moments))}" if moments else ": nothing was kept"
    lines = [f"call {printable(trace.call_id)}{began}"]
    rows = zip(*((column.title, column.party, column.address) for column in board.columns), strict=True)
    lines += [" " * _TIME + "".join(_centered(text, board) for text in row) for row in rows]
    return lines


def _centered(text: str, board: _Board) -> str:
    return _cut(printable(text), board.width - 2).center(board.width)


def _message_lines(board: _Board, offset: str, message: TracedMessage, *, full: bool) -> list[str]:
    peer = board.index.get((message.leg, message.party, _remote(message)))
    summary = summarize_message(message.data)
    if peer is None:
        way = "to" if message.sent else "from"
        lines = [f"{offset}{summary.title} {way} {_remote(message)}"]
    else:
        start, end = (board.gateway, peer) if message.sent else (peer, board.gateway)
        lines = [offset + board.arrow(start, end, summary.title)]
    blank = " " * _TIME
    lines += [f"{blank}  {words}" for words in summary.sdp]
    if full:
        text = message.data.decode(errors="replace")
        lines += [f"{blank}  | {printable(line)}" for line in text.splitlines()] + [""]
    return lines


def _event_words(event: TracedEvent) -> str:
    mark = "!" if event.level in {"warning", "error"} else "*"
    detail = " ".join(
        f"{name}={_quoted(value)}" for name, value in event.detail.items() if value and name not in _UNDRAWN
    )
    return printable(f"{mark} {event.name}  {detail}").rstrip()


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value


def _remote(message: TracedMessage) -> str:
    return f"{message.transport} {place(message.remote_host, message.remote_port)}"


def _cut(text: str, space: int) -> str:
    return text if len(text) <= space else text[: max(0, space - 1)] + "…"
