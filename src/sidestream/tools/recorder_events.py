"""What a development recorder tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidestream.tools.recorder_findings import Finding
from sidestream.tools.recorder_result import MetadataEntry, SessionResult


@dataclass(frozen=True, slots=True)
class Offered:
    """An INVITE for a recording session came; `session` is the name of its directory."""

    session: str
    peer: str
    sender: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Something happened to a session: `what` in a word, `text` in a line."""

    session: str
    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Documented:
    """A metadata document came; `text` says what it holds."""

    session: str
    entry: MetadataEntry
    text: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something was found."""

    session: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Ended:
    """A session is over, and its files are written."""

    result: SessionResult


RecorderEvent = Offered | Changed | Documented | Noted | Ended
Observer = Callable[[RecorderEvent], None]
