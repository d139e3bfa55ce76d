"""The operator's page knows every way that a call or a stream can end, and says the same of it."""

import re
from pathlib import Path

import pytest

from sidestream.call.verdict import RULES, Slug
from sidestream.observe import metrics
from sidestream.siprec.verdicts import RecordingSlug
from sidestream.stream.verdicts import StreamSlug

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    chapter = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in chapter.splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("slug", Slug)
def test_every_verdict_of_calls_is_explained(slug: Slug) -> None:
    result, status, happened, advice = rows("How calls end")[slug.value]
    assert (result, int(status)) == (RULES[slug].result.value, RULES[slug].status)
    assert happened
    assert advice


@pytest.mark.parametrize("slug", StreamSlug)
def test_every_verdict_of_streams_is_explained(slug: StreamSlug) -> None:
    result, happened, advice = rows("How streams end")[slug.value]
    assert result == slug.result.value
    assert happened
    assert advice


@pytest.mark.parametrize("slug", RecordingSlug)
def test_every_verdict_of_recordings_is_explained(slug: RecordingSlug) -> None:
    result, happened, _ = rows("How recordings end")[slug.value]
    assert result == slug.result.value
    assert happened


def test_no_verdict_is_explained_that_can_not_be() -> None:
    assert set(rows("How calls end")) == {slug.value for slug in Slug}
    assert set(rows("How recordings end")) == {slug.value for slug in RecordingSlug}
    assert set(rows("How streams end")) == {slug.value for slug in StreamSlug}


def test_every_metric_it_names_is_there() -> None:
    named = set(re.findall(r"`(sidestream_\w+)`", PAGE))
    assert named
    assert named <= {metric.name for metric in metrics.METRICS}
