"""The demonstration itself: what it leaves, what it proves, and that it can fail."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from array import array
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
from lxml import etree

from sidestream.siprec.check import schema
from sidestream.tools import wav
from sidestream.tools.demo import DemoOptions, demo_command
from sidestream.tools.recorder_result import MetadataEntry
from sidestream.tools.recorder_store import SessionStore

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
    assert [lane["equal"] for lane in result["comparisons"]] == [True] * 6
    assert {lane["sentSamples"] for lane in result["comparisons"]} == {147_360}


def test_it_is_shown_while_it_runs(demonstration: Demonstration) -> None:
    assert "Traceback" not in demonstration.printed
    for words in (
        "Grace answers",
        "frames at the endpoint, over TLS",
        "at the recorder, by SIPREC",
        "on hold",
        "of 18.4 s",
        "report.html",
    ):
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


def test_it_leaves_the_recording_and_its_metadata(demonstration: Demonstration) -> None:
    out = demonstration.out
    for role in ("caller", "callee"):
        heard = wav.read(out / f"recorder-{role}.wav").channels
        sent = bytes(wav.read(out / f"{role}-sent.wav").channels[0])
        assert len(heard) == 1
        assert sent in bytes(heard[0])
    assert len(wav.read(out / "recorder.wav").channels) == 2
    history = out / "recording-metadata"
    told = [json.loads(line) for line in (history / "metadata.jsonl").read_text().splitlines()]
    assert [entry["message"] for entry in told] == ["INVITE", "UPDATE", "UPDATE", "UPDATE"]
    documents = [(history / entry["file"]).read_bytes() for entry in told]
    for document in documents:
        assert schema().validate(etree.fromstring(document))
        assert all(number in document for number in (b"+14155550100@", b"+14155550199@"))
    assert [b"<stop-time>" in document for document in documents] == [False, False, False, True]
    recording = json.loads((out / "result.json").read_text())["recording"]
    assert (recording["status"], recording["findings"]) == ("OK", [])


def test_its_report_stands_alone(demonstration: Demonstration) -> None:
    out = demonstration.out
    page = Page()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "script" not in page.tags
    assert {"svg", "audio", "table", "figure"} <= page.tags
    assert "The audio that arrived is the audio that was sent" in page.text
    for words in ("Ada as the recorder has her", "Grace as the recorder has her", "What the recorder stored"):
        assert words in page.text


def test_a_broken_recording_fails_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sample of the caller's file by its lowest bit, and the document that tells the end."""
    write, keep = SessionStore.write, SessionStore.keep_document

    def tamper(store: SessionStore, number: int, position: int, samples: array[int]) -> None:
        changed = array("h", samples)
        if number == 1 and position <= 80_000 < position + len(samples):
            changed[80_000 - position] ^= 1
        write(store, number, position, changed)

    def drop(store: SessionStore, data: bytes, entry: MetadataEntry) -> MetadataEntry:
        return entry if b"<stop-time>" in data else keep(store, data, entry)

    monkeypatch.setattr(os, "nice", lambda _by: 0)  # These tests go first anyhow, and it cannot be undone.
    monkeypatch.setattr(SessionStore, "write", tamper)
    monkeypatch.setattr(SessionStore, "keep_document", drop)
    assert demo_command(DemoOptions(tmp_path, json=True)) == 1
    result = json.loads(capsys.readouterr().out)
    failed = {check["question"]: check["evidence"] for check in result["checks"] if not check["good"]}
    assert set(failed) == {
        "Do the recorder's two WAV files hold what was said, sample for sample?",
        "Does the recorder's WAV file with both sides hold the same?",
        "Does the metadata show both participants, the answer and the end?",
        "Was the recorder told of hold and resume?",
    }
    named = "; ".join(failed.values())
    assert "stream-1.wav: 1 of " in named
    assert "the first at 80,000 (10.000 s)" in named
    assert "stop-time not told" in named
    assert not result["good"]
    assert "Failed: Sidestream demonstration" in (tmp_path / "report.html").read_text()
