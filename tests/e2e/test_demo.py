"""The demonstration itself: what it leaves, what it proves, and that it can fail."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sidestream.tools import wav

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


class Page(HTMLParser):
    """Collects what would be fetched, and whether every element is closed."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@dataclass(frozen=True)
class Demonstration:
    """What one run printed on a terminal, how it ended, and where it left its files."""

    printed: str
    code: int
    out: Path


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "sidestream", "demo", "--out", str(out)]
    terminal, other = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(command, stdout=other, stderr=other, env=environment) as process:
        os.close(other)
        printed = b""
        # A terminal whose other side is closed is an error to read, not an end.
        with contextlib.suppress(OSError):
            while data := os.read(terminal, 65_536):
                printed += data
        os.close(terminal)
        code = process.wait(60)
    return Demonstration(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode()), code, out)


def test_it_proves_what_arrived(demonstration: Demonstration) -> None:
    assert demonstration.code == 0, demonstration.printed
    result = json.loads((demonstration.out / "result.json").read_text())
    assert all(check["good"] for check in result["checks"])
    assert [lane["equal"] for lane in result["comparisons"]] == [True] * 4
    assert {lane["sentSamples"] for lane in result["comparisons"]} == {147_360}


def test_it_is_shown_while_it_runs(demonstration: Demonstration) -> None:
    assert "Traceback" not in demonstration.printed
    for words in ("Grace answers", "frames at the endpoint, over TLS", "on hold", "of 18.4 s", "report.html"):
        assert words in demonstration.printed


def test_it_leaves_audio_transcript_and_log(demonstration: Demonstration) -> None:
    out = demonstration.out
    stored = wav.read(out / "endpoint.wav")
    assert len(stored.channels) == 2
    assert stored.seconds > 18
    for role in ("caller", "callee"):
        assert wav.read(out / f"{role}-sent.wav").samples >= 147_360
        assert wav.read(out / f"{role}-heard.wav").samples >= 147_360
    events = [json.loads(line)["event"] for line in (out / "transcript.jsonl").read_text().splitlines()]
    assert (events[:2], events[-1]) == (["connect", "start"], "close")
    assert "ready" in (out / "gateway" / "gateway.log").read_text().splitlines()


def test_its_report_stands_alone(demonstration: Demonstration) -> None:
    out = demonstration.out
    page = Page()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "script" not in page.tags
    assert {"svg", "audio", "table", "figure"} <= page.tags
    assert "The audio that arrived is the audio that was sent" in page.text
