#!/usr/bin/env python
"""Makes the pages and diagrams that say what the code says: configuration, commands, metrics, state machines.

scripts/generate_docs.py           writes them
scripts/generate_docs.py --check   fails when one of them is not what it would write
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from stream_schema import schema
from typer.main import get_command

from sidestream import cli
from sidestream.call.state import CALL_MOVES, LEG_MOVES
from sidestream.config import model, rules
from sidestream.config.kinds import Database, Duration, Kind, Size
from sidestream.config.shapes import ListOf, MapOf, Shape, shapes_of
from sidestream.config.templates import VARIABLES
from sidestream.observe.metrics import METRICS, Metric
from sidestream.sip.registration import diagram as registration_diagram
from sidestream.sip.transaction import MACHINES
from sidestream.sip.transaction import diagram as transaction_diagram
from sidestream.siprec import context as siprec_session
from sidestream.siprec import recording as siprec_recording
from sidestream.stream.session import MOVES, State

S = TypeVar("S", bound=Enum)

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
NOTE: Final = (
    "<!-- Made by scripts/generate_docs.py; change the code it is made from, and run `make docs`. -->"
)

CONFIGURATION_HEAD: Final = """
One YAML file (YAML 1.2) says what a gateway does. `sidestream check --config FILE` validates it and tells
everything that is wrong with it at once: file, line, key, and what would be right.
[examples/sidestream.yaml](../examples/sidestream.yaml) is a small one to start from.

* Unknown keys are errors. So is everything that is written down here as not available in this version:
  nothing is accepted and then ignored.
* **Durations** have a unit: `20ms`, `30s`, `5m`, `4h`.
* **Paths** that are relative start at the directory of the file.
* **Secrets** are `{env: NAME}` (an environment variable of the gateway), `{file: PATH}` (a file with one
  line), or the text itself, which `check` warns about. They are read at the start and never shown.
* **Texts with variables** are filled for each call; see [Variables](#variables).
* Changes take effect at the next start.
"""


def attribute_words(section: type) -> dict[str, str]:
    """Return the docstring of each attribute of a class."""
    tree = ast.parse(inspect.getsource(section)).body[0]
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - it is the source of a class
    words: dict[str, str] = {}
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            words[statement.target.id] = inspect.cleandoc(str(after.value.value)).replace("\n", " ")
    return words


def cell(text: str) -> str:
    """Return text that may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def kind_words(shape: Shape) -> str:
    """Say what a key's value may be."""
    match shape.kind:
        case ListOf(item=None):
            return "list of " + " or ".join(link(section) for section in shape.sections)
        case ListOf(item=item, single=single):
            return f"{about(item)}, or a list of them" if single else f"list; each {about(item)}"
        case MapOf(name=name, value=value):
            return f"mapping of {name.about} to {value.about}"
        case None:
            return link(shape.sections[0])
        case _ as kind:
            return kind.about


def about(kind: Kind | None) -> str:
    """Say what a kind of value is."""
    return kind.about if kind else ""


def link(section: type) -> str:
    """Return a link to a section's chapter."""
    return f"[{title(section)}](#{title(section).replace(' ', '-')})"


def title(section: type) -> str:
    """Return the name of a section in the page: the type for integrations, else the class in words."""
    if hasattr(section, "TYPE"):
        return str(section.TYPE)
    name = section.__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def default_words(shape: Shape) -> str:
    """Say what holds when a key is not written."""
    if shape.required:
        return "**required**"
    value = shape.default
    if value is None:
        word = getattr(shape.kind, "word", None)
        return f"`{word}`" if word else "none"
    if shape.kind is None:
        return "its defaults"
    if value == ():
        return "none"
    return f"`{plain(shape.kind, value)}`"


def plain(kind: Kind | ListOf | MapOf | None, value: object) -> str:
    """Write a default as in the file."""
    match value:
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case Path() if isinstance(kind, Database):
            return f"sqlite:///{value}"
        case tuple():
            return f"[{', '.join(str(each) for each in value)}]"
        case int() | float() if isinstance(kind, Duration):
            return duration(float(value))
        case int() if isinstance(kind, Size):
            return size(value)
        case _:
            return str(value)


def duration(seconds: float) -> str:
    """Write seconds with the largest unit that leaves a whole number."""
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{round(seconds * 1000)}ms"


def size(count: int) -> str:
    """Write bytes with the largest unit that leaves a whole number."""
    for unit, length in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2)):
        if count >= length and count % length == 0:
            return f"{count // length}{unit}"
    return f"{count // 1024}KiB"


def sections(root: type, place: str = "") -> Iterator[tuple[type, str]]:
    """Give each section with where it stands, from the root, in the order of the file."""
    yield root, place
    for shape in shapes_of(root):
        inner = f"{place}.{shape.name}" if place else shape.name
        inner += "[]" if isinstance(shape.kind, ListOf) else ""
        for section in shape.sections:
            yield from sections(section, inner)


def configuration_page() -> str:
    """Return docs/configuration.md."""
    lines = ["# Configuration", "", NOTE, CONFIGURATION_HEAD]
    places: dict[type, list[str]] = {}
    for section, place in sections(model.Configuration):
        places.setdefault(section, []).append(place)
    for section, where in places.items():
        lines += section_lines(section, where)
    lines += ["## Variables", ""]
    lines += [
        "In `headers`, `parameters` and `x_headers`. `{{` and `}}` are braces. A value is cut at 256",
        "characters and has no line breaks.",
        "",
        "| variable | value |",
        "| --- | --- |",
        *(f"| `{{{name}}}` | {cell(words)} |" for name, words in VARIABLES.items()),
        "",
        "## What is checked",
        "",
        "Besides the form of each value:",
        "",
        *rule_lines(rules.RULES),
        "",
        "`sidestream check` and `sidestream serve` warn about what is allowed and probably not meant:",
        "",
        *rule_lines(rules.ADVICE),
    ]
    return "\n".join(lines) + "\n"


def section_lines(section: type, places: list[str]) -> Iterator[str]:
    """Give the chapter of one section."""
    if section is model.Configuration:
        yield "## The file"
    else:
        yield f"## {title(section)}"
        yield ""
        yield "At " + ", ".join(f"`{place}`" for place in places) + "."
    yield ""
    yield from (inspect.getdoc(section) or "").splitlines()
    yield ""
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    if hasattr(section, "TYPE"):
        yield f"| `type` | `{section.TYPE}` | **required** | What the integration is. |"
    words = attribute_words(section)
    for shape in shapes_of(section):
        meaning = words[shape.attribute]
        row = (f"`{shape.name}`", kind_words(shape), default_words(shape), meaning)
        yield "| " + " | ".join(cell(part) for part in row) + " |"
    yield ""


def rule_lines(table: tuple[rules.Rule, ...]) -> Iterator[str]:
    """Give a line for each rule: the first paragraph of its docstring."""
    for rule in table:
        words = (inspect.getdoc(rule.find) or "").split("\n\n")[0].replace("\n", " ")
        yield f"* {title(rule.section)}: {words.removeprefix('Advice: ')}"


def metrics_page() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        NOTE,
        "",
        "`/metrics` on the API address serves these in the text format of Prometheus. Verdicts are those of",
        "[operations.md](operations.md).",
        "",
        "| name | type | labels | meaning |",
        "| --- | --- | --- | --- |",
        *(metric_line(metric) for metric in METRICS),
    ]
    return "\n".join(lines) + "\n"


def metric_line(metric: Metric) -> str:
    """Return the row of one metric."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {cell(metric.help)} |"


def commands_page() -> str:
    """Return docs/commands.md."""
    command = get_command(cli.app)
    lines = [
        "# Commands",
        "",
        NOTE,
        "",
        "Errors are one line on stderr: what is wrong, and what to do. `--debug` shows the trace of an",
        "unexpected one. Exit codes: 0 good, 1 failed, 2 wrong use or configuration. `python -m sidestream`",
        "is the same program.",
        "",
    ]
    for name, each in getattr(command, "commands", {}).items():
        lines += [f"## sidestream {name}", "", "```text", help_text(each, name), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def help_text(command: object, name: str) -> str:
    """Return what `--help` prints, whatever the width of this terminal."""
    make: Callable[..., object] = command.make_context  # type: ignore[attr-defined] # typer hands out no class
    context = make(
        f"sidestream {name}", [], resilient_parsing=True, terminal_width=100, max_content_width=100
    )
    return "\n".join(line.rstrip() for line in str(context.get_help()).splitlines())  # type: ignore[attr-defined] # as above


def transactions_page() -> str:
    """Return the diagrams of the SIP transactions."""
    parts = [f"## {machine.name}\n\n```mermaid\n{transaction_diagram(machine)}```\n" for machine in MACHINES]
    head = "Each arrow is a row of a table in `src/sidestream/sip/transaction.py`: cause / effects."
    return f"# SIP transactions\n\n{NOTE}\n\n{head}\n\n" + "\n".join(parts)


def stream_page() -> str:
    """Return the diagram of a stream's life."""
    arrows = [(state.value, target.value, trigger.value) for (state, trigger), target in MOVES.items()]
    head = (
        "Each arrow is a row of the table `MOVES` in `src/sidestream/stream/session.py`. In the states\n"
        "named `closing` the stream's end is decided, and what is queued is still delivered."
    )
    body = state_diagram(State.CONNECTING.value, State.CLOSED.value, arrows)
    return f"# The life of a stream\n\n{NOTE}\n\n{head}\n\n{body}"


def call_page() -> str:
    """Return the diagrams of a call and of its legs."""
    head = "Each arrow is a move of a table in `src/sidestream/call/state.py`."
    return (
        f"# The states of a call\n\n{NOTE}\n\n{head}\n\n"
        f"## The call\n\n{moves_diagram(CALL_MOVES, 'new', 'ended')}\n"
        f"## Each leg\n\n{moves_diagram(LEG_MOVES, 'idle', 'closed')}"
    )


def registration_page() -> str:
    """Return the diagram of a registration's life."""
    head = "Each arrow is a row of the table `TABLE` in `src/sidestream/sip/registration.py`: cause / effect."
    return f"# The life of a registration\n\n{NOTE}\n\n{head}\n\n```mermaid\n{registration_diagram()}```\n"


def recording_page() -> str:
    """Return the diagrams of a recording and of its sessions."""
    words = (
        "Each arrow is a row of a table: `MOVES` in `src/sidestream/siprec/recording.py` and in\n"
        "`src/sidestream/siprec/context.py`. A recording has one to three copies; each copy is one session "
        "after the\nother."
    )
    whole = [
        (source.value, target.value, trigger.value)
        for (source, trigger), target in siprec_recording.MOVES.items()
    ]
    session = [
        (source.value, target.value, trigger.value)
        for (source, trigger), target in siprec_session.MOVES.items()
    ]
    return (
        f"# The life of a recording\n\n{NOTE}\n\n{words}\n\n"
        f"## The recording\n\n{state_diagram('setting up', 'ended', whole)}\n"
        f"## Each recording session\n\n{state_diagram('new', 'finished', session)}"
    )


def moves_diagram(moves: Mapping[S, frozenset[S]], first: str, last: str) -> str:
    """Draw a table of moves without causes."""
    arrows = [
        (str(start.value), str(end.value), "")
        for start, ends in moves.items()
        for end in sorted(ends, key=list(moves).index)
    ]
    return state_diagram(first, last, arrows)


def state_diagram(first: str, last: str, arrows: list[tuple[str, str, str]]) -> str:
    """Draw states, whose names may have several words."""
    names = list(dict.fromkeys(name for start, end, _ in arrows for name in (start, end)))
    key = {name: name.replace(", ", "_").replace(" ", "_") for name in names}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{name}" as {key[name]}' for name in names if key[name] != name]
    lines.append(f"    [*] --> {key[first]}")
    for start, end, label in arrows:
        lines.append(f"    {key[start]} --> {key[end]}" + (f" : {label}" if label else ""))
    return "\n".join([*lines, f"    {key[last]} --> [*]", "```"]) + "\n"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": configuration_page,
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "diagrams/transactions.md": transactions_page,
    "diagrams/stream.md": stream_page,
    "diagrams/call.md": call_page,
    "diagrams/recording.md": recording_page,
    "diagrams/registration.md": registration_page,
    "schema/sidestream.v1.json": schema,
}


def main() -> int:
    """Write the pages, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the pages that are made from code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is stale")
    check = parser.parse_args().check
    stale = 0
    for name, make in PAGES.items():
        path = DOCS / name
        wanted = make()
        there = path.read_text() if path.exists() else ""
        if wanted == there:
            continue
        if check:
            stale += 1
            difference = difflib.unified_diff(
                there.splitlines(), wanted.splitlines(), str(path), "fresh", lineterm=""
            )
            sys.stderr.write("\n".join([*list(difference)[:40], f"docs/{name} is stale: run make docs", ""]))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted)
            sys.stdout.write(f"docs/{name}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
