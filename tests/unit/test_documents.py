"""Documents cannot drift: what they name exists, and what is generated is fresh."""

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
