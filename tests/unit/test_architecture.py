"""The shape of the tree: imports point inward, pure code stays pure, functions and modules stay small."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "sidestream"

PROTOCOL = frozenset({"sip", "sdp", "siprec", "stream"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "sip": frozenset({"errors"}),
    "sdp": frozenset({"errors"}),
    "siprec": frozenset({"errors", "sip", "sdp"}),
    "stream": frozenset({"errors"}),
    "call": PROTOCOL | {"errors"},
    "config": frozenset({"errors"}),
    "observe": frozenset({"errors"}),
    "agent": frozenset({"errors"}),
    "gateway": PROTOCOL | {"call", "config", "observe", "agent", "errors"},
    "control": frozenset({"config", "agent", "observe", "errors"}),
    "testing": PROTOCOL | {"errors", "gateway", "tools"},
    "tools": PROTOCOL | {"errors", "call", "config", "observe", "gateway"},
}
PURE_PACKAGES = PROTOCOL | {"call"}
IMPURE_MODULES = frozenset(
    {"asyncio", "logging", "os", "select", "selectors", "socket", "ssl", "structlog", "threading", "time"}
)
FUNCTION_LINES_MAX = 80
FUNCTION_LINES_P90 = 30
MODULE_LINES_MAX = 700


def modules() -> list[Path]:
    return sorted(SOURCES.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(SOURCES).with_suffix("").parts[0]


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1


def functions() -> Iterator[tuple[str, int]]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", body_lines(node)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCES)))
def test_imports_point_inward(path: Path) -> None:
    package = package_of(path)
    if package in {"__init__", "__main__", "cli"}:
        return
    allowed = (
        MAY_IMPORT[package] | {package, "_media"} if package == "gateway" else MAY_IMPORT[package] | {package}
    )
    for name in imported_names(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "sidestream" and len(parts) > 1 and parts[1] != "__version__":
            assert parts[1] in allowed, f"{package} must not import {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if package_of(path) in PURE_PACKAGES],
    ids=lambda path: str(path.relative_to(SOURCES)),
)
def test_protocol_and_call_code_does_no_input_or_output(path: Path) -> None:
    imported = {name.split(".")[0] for name in imported_names(ast.parse(path.read_text()))}
    assert not imported & IMPURE_MODULES


def test_functions_are_short() -> None:
    sizes = dict(functions())
    too_long = {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES_MAX}
    assert not too_long
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= FUNCTION_LINES_P90


def test_modules_hold_one_noun() -> None:
    sources = [*modules(), *(ROOT / "crates").glob("*/src/**/*.rs")]
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    assert not {name: lines for name, lines in sizes.items() if lines > MODULE_LINES_MAX}


def test_binding_crate_stays_thin() -> None:
    def code_lines(crate: str) -> int:
        files = (ROOT / "crates" / crate / "src").rglob("*.rs")
        return sum(len(path.read_text().splitlines()) for path in files)

    assert code_lines("media-python") <= 0.15 * code_lines("media")
