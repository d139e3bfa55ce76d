"""What a fuzz target is: a function of bytes that raises when a promise is broken."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
CORPORA = HERE / "corpus"

_ESCAPE = re.compile(rb'\\(?:x([0-9a-f]{2})|([\\"]))')
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        name: of the target and of its corpus.
        run: takes any bytes; whatever it raises is a finding.
        tokens: name of the dictionary of pieces that its inputs are made of; empty for none.
        max_bytes: inputs are not made longer.
        short_runs: mutations in the short run of the tests, about 2 s of them.
    """

    name: str
    run: Callable[[bytes], None]
    tokens: str = ""
    max_bytes: int = 4096
    short_runs: int = 2000

    @property
    def corpus(self) -> Path:
        """Where its inputs are kept."""
        return CORPORA / self.name

    @property
    def dictionary(self) -> Path | None:
        """Its pieces, in the form of libFuzzer's dictionaries."""
        return HERE / "dictionaries" / f"{self.tokens}.dict" if self.tokens else None

    def pieces(self) -> list[bytes]:
        """The pieces of the dictionary."""
        lines = self.dictionary.read_text().splitlines() if self.dictionary else []
        return [_ESCAPE.sub(_unescaped, line[1:-1].encode()) for line in lines]

    def kept(self) -> list[bytes]:
        """The kept inputs, in the order of their names."""
        return [path.read_bytes() for path in sorted(self.corpus.iterdir())]


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escape[1].decode()) if escape[1] else escape[2]


class Choices:
    """Bytes read as choices, for the targets that play events; used up it is falsy and chooses the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, bound: int) -> int:
        """A number from 0 to `bound` - 1, of one byte."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1] % bound

    def pick(self, items: Sequence[_Item]) -> _Item:
        """One of the items."""
        return items[self.number(len(items))]
