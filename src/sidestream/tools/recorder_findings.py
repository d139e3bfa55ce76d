"""What a strict recorder has to say about a recording session: broken rules and remarks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

MAX_FINDINGS = 200
"""Of one session; the first ones are those that explain the others."""
MAX_TEXT = 300


class Level(StrEnum):
    """How much a finding weighs."""

    VIOLATION = "violation"
    """A rule is broken: a strict recorder refuses the request, and the session's verdict is MISMATCH."""
    REMARK = "remark"
    """Allowed, but a recorder in the field may stumble over it; the verdict stays as it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: a stable word, such as `label-missing`.
        text: what is wrong, in words.
        source: where the rule is written, such as `RFC 7866 section 7.1.1`.
        level: how much it weighs.
        where: the message or the stream that it was found in.
    """

    code: str
    text: str
    source: str = ""
    level: Level = Level.VIOLATION
    where: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the finding as an object of `summary.json`."""
        return {
            "code": self.code,
            "level": self.level.value,
            "where": self.where,
            "text": self.text,
            "source": self.source,
        }

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        source = f" ({self.source})" if self.source else ""
        return f"{where}{self.text}{source}"


def violation(code: str, text: str, source: str = "") -> Finding:
    """Return a broken rule."""
    return Finding(code, text[:MAX_TEXT], source)


def remark(code: str, text: str, source: str = "") -> Finding:
    """Return what is allowed and may still harm."""
    return Finding(code, text[:MAX_TEXT], source, Level.REMARK)


def violations(findings: Iterable[Finding]) -> list[Finding]:
    """Return the broken rules among findings."""
    return [finding for finding in findings if finding.level is Level.VIOLATION]


@dataclass(slots=True)
class Findings:
    """The findings of one session, each told once, bounded; `dropped` counts what came past the bound."""

    dropped: int = 0
    _kept: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def add(self, finding: Finding) -> bool:
        """Keep a finding; false when it is known, or the bound is reached."""
        key = (finding.code, finding.where, finding.text)
        if key in self._kept:
            return False
        if len(self._kept) >= MAX_FINDINGS:
            self.dropped += 1
            return False
        self._kept[key] = finding
        return True

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)
