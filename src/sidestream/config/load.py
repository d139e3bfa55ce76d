"""Read a configuration file, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from pathlib import Path

from sidestream.config.document import Mapping, Node, Scalar, Sequence, locate
from sidestream.config.kinds import Surroundings
from sidestream.config.model import Configuration
from sidestream.config.problems import ConfigError, Finding, KeyPath, Problem, format_path
from sidestream.config.reader import Reader
from sidestream.config.rules import advise
from sidestream.config.yaml import parse_yaml


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file gives.

    Attributes:
        configuration: the configuration.
        warnings: what is allowed and probably not meant, in the order of the file.
    """

    configuration: Configuration
    warnings: tuple[Problem, ...]


def load(path: Path) -> Configuration:
    """Read a configuration file; relative paths in it start at its directory.

    Raises:
        ConfigError: the file can't be read, or with everything that is wrong with it.
    """
    return examine(path).configuration


def examine(path: Path) -> Loaded:
    """Read a configuration file, and tell what is odd about it.

    Raises:
        ConfigError: the file can't be read, or with everything that is wrong with it.
    """
    file = str(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "Name a readable file after --config"
        problem = Problem(file, 1, 1, "", f"the file can't be read: {reason}", remedy)
        raise ConfigError([problem]) from error
    return parse_loaded(data, file, Surroundings.of_process(path.absolute().parent))


def parse(
    data: bytes, file: str, base: Path, environment: MappingOf[str, str] | None = None
) -> Configuration:
    """Read a configuration from its bytes.

    Args:
        data: the file's content.
        file: its name in messages.
        base: where relative paths start.
        environment: variables for `{env: NAME}`; those of the process when None.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    around = Surroundings.of_process(base) if environment is None else Surroundings(base, environment)
    return parse_loaded(data, file, around).configuration


def parse_loaded(data: bytes, file: str, around: Surroundings) -> Loaded:
    """Read a configuration from its bytes, and tell what is odd about it.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    root = parse_yaml(data, file)
    reader = Reader(around)
    made = reader.section(Configuration, root)
    if reader.findings:
        raise ConfigError([_problem(root, file, finding) for finding in reader.findings])
    assert isinstance(made, Configuration), "what could not be read is a finding"  # noqa: S101 -- the reader's contract
    return Loaded(made, tuple(sorted(_problem(root, file, finding) for finding in advise(made))))


def _problem(root: Node, file: str, finding: Finding) -> Problem:
    mark = locate(root, finding.path, at_key=finding.at_key)
    key = format_path(_as_written(root, finding.path))
    return Problem(file, mark.line, mark.column, key, finding.message, finding.remedy)


def _as_written(root: Node, path: KeyPath) -> KeyPath:
    """Leave out the position of an item that stands alone in the place of a list."""
    node: Node | None = root
    for depth, step in enumerate(path):
        match node, step:
            case Mapping(), str():
                node = node.get(step)
            case Sequence(), int() if step < len(node.items):
                node = node.items[step]
            case Scalar(), int():
                return path[:depth]
            case _:
                return path
    return path
