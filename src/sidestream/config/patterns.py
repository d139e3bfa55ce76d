"""Regular expressions from a configuration, held to what cannot run away.

Python's engine backtracks: a repeat inside a repeat takes time that doubles with each character of a number
that a stranger dialled. Such expressions are refused; there is always another way to write them.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

from sidestream.errors import Fault, SidestreamError

MAX_CHARACTERS: Final = 256
MAX_REPEATS: Final = 2
"""Unbounded repeats in one expression: time grows with a power of the number's length. Two over the 128
characters that routing looks at take under a millisecond in the worst case, three 40 ms."""

_TOKEN: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?[^)<=!:]*[:<=!]?)?|\)|\||(?P<open>[*+]|\{\d*,\})|.", re.DOTALL
)


class PatternError(SidestreamError):
    """An expression that is not taken; `hint` says what would be right."""

    fault = Fault.OPERATOR


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile an expression.

    Raises:
        PatternError: it is too long, no expression, or could take time without bound.
    """
    if not text or len(text) > MAX_CHARACTERS:
        raise PatternError(
            f"the expression has {len(text)} characters", hint=f"Write 1 to {MAX_CHARACTERS} characters"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise PatternError(
            f"no regular expression: {error}",
            hint="Correct it; in double quotes YAML wants a backslash written twice",
        ) from None
    _check_time(text)
    return pattern


def _check_time(text: str) -> None:
    repeats = 0
    # For each open group: whether it holds an unbounded repeat or an alternative.
    groups: list[bool] = [False]
    closed = False
    for token in _TOKEN.finditer(text):
        whole = token.group(0)
        if token.group("open"):
            repeats += 1
            if closed:
                raise PatternError(
                    "a repeated group has a repeat or alternatives inside",
                    hint="Write a class such as [0-9]+ instead, or give the outer repeat a bound: {1,3}",
                )
            groups[-1] = True
            continue
        closed = False
        if whole.startswith("("):
            groups.append(False)
        elif whole == "|":
            groups[-1] = True
        elif whole == ")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1] = groups[-1] or closed
    if repeats > MAX_REPEATS:
        raise PatternError(
            f"the expression has {repeats} repeats without a bound",
            hint=f"Write {MAX_REPEATS} at most; give the others a bound such as {{1,15}}",
        )
    if re.search(r"\\[1-9]|\(\?P=", text):
        raise PatternError("back-references are not taken", hint="Write it without \\1 and (?P=name)")
