"""Documents cannot drift: what they name exists, and what is generated is fresh."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py|crates/[\w/.-]+\.rs)(?:::(\w+))?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_row_of_the_rfc_table_names_a_test_that_exists() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "rfc-support.md").read_text().splitlines()
        if line.startswith("|") and " done " in line
    ]
    assert rows
    for row in rows:
        names = TEST_NAME.findall(row)
        assert names, f"no test in: {row}"
        for file, function in names:
            path = ROOT / file
            assert path.exists(), f"{file} does not exist"
            assert not function or re.search(rf"\b(def|fn|class) {function}\b", path.read_text()), (
                f"{function} is not in {file}"
            )


def test_generated_pages_are_fresh() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_examples_of_the_protocol_have_the_keys_of_its_schema() -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "sidestream.v1.json").read_text())
    page = (ROOT / "docs" / "stream-protocol.md").read_text()
    events = {kind["properties"]["event"]["const"]: kind for kind in schema["oneOf"]}
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert {message["event"] for message in shown} == set(events)
    for message in shown:
        assert set(events[message["event"]]["required"]) == set(message)
        body = schema["$defs"][message["event"].capitalize()]
        assert set(body["required"]) <= set(message[message["event"]]) <= set(body["properties"])
