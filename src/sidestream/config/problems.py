"""What is wrong with a configuration: where, what, and what would be right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sidestream.errors import Fault, SidestreamError

#: Where a value stands in the document: keys and list positions from the root.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a value, wherever the value came from (a file, the API, the console).

    Attributes:
        path: the value's place.
        message: what is wrong, without a full stop.
        remedy: what would be right, as one sentence without its full stop.
        at_key: whether the key itself is the fault, not its value.
    """

    path: KeyPath
    message: str
    remedy: str
    at_key: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a configuration file.

    Attributes:
        file: the file as it was named.
        line: line from 1.
        column: column from 1.
        key: dotted path of the key, such as `accounts[0].routes[1].to`; empty for the whole file.
        message: what is wrong.
        remedy: what would be right.
    """

    file: str
    line: int
    column: int
    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """Return `FILE:LINE:COL: key.path: message. Remedy` as one line."""
        place = f"{self.file}:{self.line}:{self.column}:"
        key = f" {self.key}:" if self.key else ""
        remedy = f" {self.remedy}." if self.remedy else ""
        return f"{place}{key} {self.message}.{remedy}"


class ConfigError(SidestreamError):
    """The configuration can't be used; the operator has to change it.

    Attributes:
        problems: everything that is wrong with it, in the order of the file.
    """

    fault = Fault.OPERATOR

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__(format_problems(self.problems), hint="Correct the configuration file.")


def format_path(path: KeyPath) -> str:
    """Write a path as `a.b[0].c`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def format_problems(problems: Iterable[Problem], *, as_json: bool = False) -> str:
    """Write problems for people, one per line, or as a JSON array."""
    if as_json:
        return json.dumps([asdict(problem) for problem in problems], indent=2, ensure_ascii=False)
    return "\n".join(str(problem) for problem in problems)
