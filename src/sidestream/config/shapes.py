"""Lists, mappings and sections: what the reader needs to know about a key beside its kind."""

from __future__ import annotations

import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Union, get_args, get_origin, get_type_hints

from sidestream.config.kinds import Kind


@dataclass(frozen=True, slots=True)
class Key:
    """The name of an attribute in the file, where it differs."""

    name: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list.

    Attributes:
        item: kind of its items; None when they are sections, which the annotation names.
        least: items at least.
        most: items at most.
        single: whether one item may stand for a list of one.
    """

    item: Kind | None
    least: int
    most: int
    single: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping with names of the user's choice.

    Attributes:
        name: kind of its names.
        value: kind of its values.
        most: entries at most.
    """

    name: Kind
    value: Kind
    most: int


@dataclass(frozen=True, slots=True)
class Shape:
    """One key of a section.

    Attributes:
        attribute: name in the model.
        name: name in the file.
        kind: how its value is read; None when it is a section.
        sections: the classes that a section of it may be, by the value of its `type` when there are several.
        required: whether it must be there.
        default: the value when it is not.
    """

    attribute: str
    name: str
    kind: Kind | ListOf | MapOf | None
    sections: tuple[type, ...]
    required: bool
    default: object


@cache
def shapes_of(section: type) -> tuple[Shape, ...]:
    """Return the keys of a section of the model, in order."""
    hints = get_type_hints(section, include_extras=True)
    return tuple(_shape(each.name, hints[each.name], each.default) for each in fields(section))


def _shape(attribute: str, hint: object, default: object) -> Shape:
    name, kind = attribute, None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        for extra in extras:
            if isinstance(extra, Key):
                name = extra.name
            else:
                kind = extra
    sections = () if _reads_itself(kind) else tuple(_sections(hint))
    required = default is MISSING
    return Shape(attribute, name, kind, sections, required, None if required else default)


def _reads_itself(kind: Kind | ListOf | MapOf | None) -> bool:
    return kind is not None and not (isinstance(kind, ListOf) and kind.item is None)


def _sections(hint: object) -> list[type]:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType, tuple}:
        return [found for argument in get_args(hint) for found in _sections(argument)]
    return [hint] if isinstance(hint, type) and is_dataclass(hint) else []
