"""What the sections of the report have in common: figures, tables, folded texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape

from sidestream.tools.demo_evidence import Lane, Mark
from sidestream.tools.rtp import CLOCK_RATE

Column = tuple[str, str]
"""The title of a column, and the class of its cells: `number`, `words` or nothing."""


Cell = str | tuple[str, str]
"""Plain text, and the class of this cell where it is not that of its column."""


def figure(drawing: str, caption: str, label: str) -> str:
    """Return a drawing that scrolls where it is too wide; `caption` may hold markup, `label` not."""
    return (
        '<figure><div class="scroll" tabindex="0" role="group" '
        f'aria-label="{escape(label, quote=True)}">{drawing}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table whose first cell of each row is its head; `caption` may hold markup, cells are plain."""
    head = "".join(f"<th{_class(kind)} scope='col'>{escape(title)}</th>" for title, kind in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    return (
        f'<div class="card scroll" tabindex="0"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    cells = []
    for number, ((_, kind), cell) in enumerate(zip(columns, row, strict=True)):
        text, style = (cell, kind) if isinstance(cell, str) else cell
        head = "th scope='row'" if number == 0 else "td"
        cells.append(f"<{head}{_class(style)}>{escape(text)}</{head[:2]}>")
    return "".join(cells)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def folded(summary: str, text: str) -> str:
    """Return a text that opens below its summary; `summary` may hold markup."""
    return f"<details><summary>{summary}</summary><pre>{escape(text)}</pre></details>"


def length_of(lanes: Iterable[Lane]) -> float:
    """Return how long the longest of what arrived is, in seconds."""
    return max((frame.end for lane in lanes for frame in lane.arrived[-1:]), default=0) / CLOCK_RATE


def moved(marks: Iterable[Mark], seconds: float) -> list[Mark]:
    """Return marks on a clock that reads `seconds` more."""
    return [replace(mark, begin=mark.begin + seconds, end=mark.end + seconds) for mark in marks]
