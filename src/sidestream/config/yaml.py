"""YAML text to a document with places (YAML 1.2, so `off` and `no` are words and not flags)."""

from __future__ import annotations

from io import StringIO
from typing import Final

from ruamel.yaml import YAML, MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sidestream.config.document import Mapping, Mark, Node, Scalar, Sequence
from sidestream.config.problems import ConfigError, KeyPath, Problem, format_path

#: Thousands of trunks fit; what is larger isn't a configuration.
MAX_BYTES: Final = 4 * 1024 * 1024
#: Aliases multiply; this bounds what they multiply to.
MAX_NODES: Final = 200_000
#: The model is 8 deep.
MAX_DEPTH: Final = 32

_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_BOOL: Final = "tag:yaml.org,2002:bool"
_NULL: Final = "tag:yaml.org,2002:null"


def parse_yaml(data: bytes, file: str) -> Node:
    """Parse one YAML document.

    Args:
        data: the file's bytes.
        file: its name for messages.

    Returns:
        The root; an empty mapping when the file is empty.

    Raises:
        ConfigError: it isn't UTF-8 or no YAML, is too large, or has a key twice (all such keys are reported).
    """
    text = _decode(data, file)
    try:
        root = _composer().compose(StringIO(text))
    except MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, file)]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            [_whole(file, f"not YAML: {_first_line(error)}", "Write one YAML document")]
        ) from error
    reader = _Reader(file)
    node = reader.read(root, ()) if root is not None else Mapping((), Mark(1, 1))
    if reader.problems:
        raise ConfigError(reader.problems)
    return node


def _composer() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    # An anchor may be set again (YAML 1.2 section 3.2.2.2): no reason to print a warning.
    yaml.composer.warn_double_anchors = False
    return yaml


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError(
            [_whole(file, f"the file has more than {MAX_BYTES} bytes", "Name a configuration file")]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        problem = Problem(file, line, column, "", "the file isn't UTF-8 text", "Save it as UTF-8")
        raise ConfigError([problem]) from error


def _whole(file: str, message: str, remedy: str) -> Problem:
    return Problem(file, 1, 1, "", message, remedy)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _syntax_problem(error: MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = " ".join(str(part) for part in (error.context, error.problem) if part)
    tabs = "\\t" in what or "'\t'" in what
    remedy = (
        "Indent with spaces, not tabs"
        if tabs
        else "Check indentation, quotes, colons and brackets at this line"
    )
    return Problem(file, line, column, "", f"not YAML: {what}", remedy)


class _Reader:
    """Turns composed nodes into a document, within bounds."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.count = 0

    def read(self, node: object, path: KeyPath) -> Node:
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            remedy = "Write plain values, without aliases that contain themselves or multiply"
            raise ConfigError([_whole(self.file, "the document is too large or too deep", remedy)])
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode):
            items = (self.read(item, (*path, index)) for index, item in enumerate(node.value))
            return Sequence(tuple(items), _mark(node))
        assert isinstance(node, MappingNode), "the composer makes three kinds of nodes"  # noqa: S101 -- closed union
        return self._mapping(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._add(_mark(key_node), format_path(path), "a key must be a word", "Write `key: value`")
                continue
            key = self._scalar(key_node)
            place = (*path, key.text)
            value = self.read(value_node, place)
            if key.text in entries:
                first = entries[key.text][0].mark.line
                remedy = f"Keep one of them; the first is in line {first}"
                self._add(key.mark, format_path(place), "this key stands here twice", remedy)
                continue
            entries[key.text] = (key, value)
        return Mapping(tuple(entries.values()), _mark(node))

    def _scalar(self, node: ScalarNode) -> Scalar:
        text, mark = str(node.value), _mark(node)
        plain: str | int | float | bool | None = text
        try:
            match str(node.tag):
                case tag if tag == _NULL:
                    plain = None
                case tag if tag == _BOOL:
                    plain = text.lower() == "true"
                case tag if tag == _INT:
                    plain = int(text.replace("_", ""), 0) if text.lstrip("+-").startswith("0") else int(text)
                case tag if tag == _FLOAT:
                    plain = float(text)
        except ValueError:
            plain = text
        return Scalar(plain, text, mark)

    def _add(self, mark: Mark, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(self.file, mark.line, mark.column, key, message, remedy))


def _mark(node: ScalarNode | SequenceNode | MappingNode) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)
