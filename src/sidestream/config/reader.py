"""From a document with places to the model, with everything that is wrong on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidestream.config.document import Mapping, Node, Scalar, Sequence, describe
from sidestream.config.kinds import Kind, Surroundings, UnfitError, closest
from sidestream.config.problems import Finding, KeyPath
from sidestream.config.rules import check
from sidestream.config.shapes import ListOf, MapOf, Shape, shapes_of

MAX_FINDINGS: Final = 1000
"""Nobody reads more; a document made to have more must not cost more."""


class _Dropped:
    """Stands for a value that could not be read; why is among the findings."""


_DROPPED: Final = _Dropped()


@dataclass(slots=True)
class Reader:
    """Reads one document.

    Attributes:
        around: what values may look at besides themselves.
        findings: everything found wrong, with paths from the root.
        incomplete: lists and mappings that lost an item which could not be read.
    """

    around: Surroundings
    findings: list[Finding] = field(default_factory=list)
    incomplete: set[KeyPath] = field(default_factory=set)

    def section(self, cls: type, node: Node, path: KeyPath = ()) -> object:
        """Read a section; the placeholder for dropped values when something that it must have is missing."""
        if not isinstance(node, Mapping):
            known = ", ".join(shape.name for shape in shapes_of(cls))
            self._add(path, f"must be a mapping, not {describe(node)}", f"Write keys such as {known[:120]}")
            return _DROPPED
        shapes = shapes_of(cls)
        self._unknown_keys(cls, node, path)
        values: dict[str, object] = {}
        failed: set[str] = set()
        whole = True
        for shape in shapes:
            value = self._key(shape, node, path)
            if (*path, shape.name) in self.incomplete:
                failed.add(shape.attribute)
            if isinstance(value, _Dropped):
                failed.add(shape.attribute)
                whole = whole and not shape.required
                value = shape.default
            values[shape.attribute] = value
        if not whole:
            return _DROPPED
        made = cls(**values)
        self._rules(made, path, frozenset(failed))
        return made

    def _rules(self, made: object, path: KeyPath, failed: frozenset[str]) -> None:
        for finding in check(made, failed):
            place = (*path, *finding.path)
            self._add(place, finding.message, finding.remedy, at_key=finding.at_key)

    def _unknown_keys(self, cls: type, node: Mapping, path: KeyPath) -> None:
        known = [shape.name for shape in shapes_of(cls)]
        if hasattr(cls, "TYPE"):
            known.append("type")
        for key, _ in node.entries:
            if key.text in known:
                continue
            near = closest(key.text, known)
            listed = f"The keys here are {', '.join(known)}"
            remedy = f"Did you mean {near}? {listed}" if near else listed
            self._add((*path, key.text), "unknown key", remedy, at_key=True)

    def _key(self, shape: Shape, node: Mapping, path: KeyPath) -> object:
        value, place = node.get(shape.name), (*path, shape.name)
        if value is not None:
            return self._value(shape, value, place)
        if shape.required:
            self._add(place, "is missing", _remedy_of_missing(shape))
            return _DROPPED
        if isinstance(shape.default, Path):
            return self.around.base / shape.default
        return shape.default

    def _value(self, shape: Shape, node: Node, path: KeyPath) -> object:
        match shape.kind:
            case ListOf() as kind:
                return self._list(kind, shape.sections, node, path)
            case MapOf() as kind:
                return self._map(kind, node, path)
            case None:
                return self._one_of(shape.sections, node, path)
            case kind:
                return self._plain(kind, node, path)

    def _plain(self, kind: Kind, node: Node, path: KeyPath) -> object:
        try:
            return kind.read(node, self.around)
        except UnfitError as error:
            self._add(path, str(error), error.hint)
            return _DROPPED

    def _list(self, kind: ListOf, sections: tuple[type, ...], node: Node, path: KeyPath) -> object:
        if kind.single and isinstance(node, Scalar):
            node = Sequence((node,), node.mark)
            item = self._plain(kind.item, node.items[0], path) if kind.item else _DROPPED
            return item if isinstance(item, _Dropped) else (item,)
        if not isinstance(node, Sequence):
            self._add(
                path,
                f"must be a list, not {describe(node)}",
                "Write [a, b], or one item per line after a dash",
            )
            return _DROPPED
        if not kind.least <= len(node.items) <= kind.most:
            wanted = f"Write {kind.least} to {kind.most} items"
            self._add(path, f"the list has {len(node.items)} items", wanted)
            return _DROPPED
        items = [
            self._plain(kind.item, item, (*path, index))
            if kind.item is not None
            else self._one_of(sections, item, (*path, index))
            for index, item in enumerate(node.items)
        ]
        kept = tuple(item for item in items if not isinstance(item, _Dropped))
        if len(kept) < len(items):
            self.incomplete.add(path)
        return kept

    def _map(self, kind: MapOf, node: Node, path: KeyPath) -> object:
        if not isinstance(node, Mapping):
            self._add(path, f"must be a mapping, not {describe(node)}", "Write {NAME: value}")
            return _DROPPED
        if len(node.entries) > kind.most:
            self._add(path, f"there are {len(node.entries)} entries", f"Write {kind.most} at most")
            return _DROPPED
        entries: list[tuple[object, object]] = []
        for key, value in node.entries:
            place = (*path, key.text)
            pair = self._map_key(kind.name, key, place), self._plain(kind.value, value, place)
            if not any(isinstance(each, _Dropped) for each in pair):
                entries.append(pair)
        if len(entries) < len(node.entries):
            self.incomplete.add(path)
        return tuple(entries)

    def _map_key(self, kind: Kind, key: Scalar, path: KeyPath) -> object:
        try:
            return kind.read(key, self.around)
        except UnfitError as error:
            self._add(path, str(error), error.hint, at_key=True)
            return _DROPPED

    def _one_of(self, sections: tuple[type, ...], node: Node, path: KeyPath) -> object:
        if len(sections) == 1 or not isinstance(node, Mapping):
            return self.section(sections[0], node, path)
        types = {str(getattr(section, "TYPE", "")): section for section in sections}
        written, place = node.get("type"), (*path, "type")
        listed = ", ".join(types)
        if written is None:
            self._add(place, "is missing", f"Write type: with one of {listed}")
            return _DROPPED
        name = written.text if isinstance(written, Scalar) else describe(written)
        if name not in types:
            near = closest(name, list(types))
            remedy = f"Did you mean {near}? Write one of {listed}" if near else f"Write one of {listed}"
            self._add(place, f"{name[:80]!r} is no type of integration", remedy)
            return _DROPPED
        return self.section(types[name], node, path)

    def _add(self, path: KeyPath, message: str, remedy: str, *, at_key: bool = False) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(path, message, remedy, at_key))


def _remedy_of_missing(shape: Shape) -> str:
    match shape.kind:
        case ListOf(item=item):
            about = f"a list of {item.about}" if item is not None else "a list"
        case MapOf() | None:
            keys = [each for section in shape.sections[:1] for each in shapes_of(section)]
            about = f"a mapping with {', '.join(each.name for each in keys if each.required)}"
        case kind:
            about = kind.about.replace("`", "")
    return f"Add {shape.name}: {about}"
