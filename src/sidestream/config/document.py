"""A configuration document as values that know where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sidestream.config.problems import KeyPath


class Mark(NamedTuple):
    """A place in a file: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    Attributes:
        value: the value by YAML 1.2's core rules.
        text: the value as it was written, without quotes.
        mark: where it begins.
    """

    value: str | int | float | bool | None
    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with their values, in order; a key stands once."""

    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark

    def get(self, key: str) -> Node | None:
        """The value of a key."""
        return next((value for name, value in self.entries if name.text == key), None)


Node = Scalar | Sequence | Mapping


def locate(root: Node, path: KeyPath, *, at_key: bool = False) -> Mark:
    """Find where a value stands: a scalar itself, a mapping or list at its key.

    A path that leads nowhere (a missing key) is located at its nearest ancestor.
    """
    node, mark = root, root.mark
    for depth, step in enumerate(path):
        found = _step(node, step)
        if found is None:
            return mark
        key_mark, node = found
        wants_key = at_key and depth == len(path) - 1
        mark = node.mark if isinstance(node, Scalar) and not wants_key else key_mark
    return mark


def _step(node: Node, step: str | int) -> tuple[Mark, Node] | None:
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        item = node.items[step]
        return item.mark, item
    if isinstance(node, Mapping):
        for name, value in node.entries:
            if name.text == step:
                return name.mark, value
    return None


def describe(node: Node) -> str:
    """Name what a value is, for messages."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return f"the flag {node.text}"
        case Scalar(value=int() | float()):
            return f"the number {node.text}"
        case _:
            return f"the text {node.text!r}"
