"""Broken configurations, one fault each: the head of each file says what must be told about it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidestream.config import ConfigError, load
from sidestream.config.problems import Problem, format_problems

DATA = Path(__file__).resolve().parents[2] / "data" / "config"
FILES = sorted((DATA / "broken").glob("*.yaml"))


@dataclass(frozen=True)
class Expected:
    line: int
    key: str
    says: str
    remedy: str


def expected(path: Path) -> Expected:
    facts = dict(re.findall(r"^# (\w+): ?(.*)$", path.read_text(), re.MULTILINE))
    return Expected(int(facts["line"]), facts["key"], facts["says"], facts["remedy"])


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as raised:
        load(path)
    return raised.value.problems


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_file_line_key_and_remedy_are_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    problems = problems_of(path)
    wanted = expected(path)
    found = [problem for problem in problems if problem.key == wanted.key]
    assert found, format_problems(problems)
    problem = found[0]
    assert (problem.file, problem.line) == (str(path), wanted.line)
    assert wanted.says in problem.message
    assert wanted.remedy in problem.remedy
    text = path.read_text().splitlines()[problem.line - 1]
    assert 1 <= problem.column <= len(text) + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_one_fault_makes_one_problem(path: Path) -> None:
    problems = problems_of(path)
    assert len(problems) == 1, format_problems(problems)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_problems_are_one_line_each_and_the_same_in_json(path: Path) -> None:
    problems = problems_of(path)
    for problem in problems:
        line = str(problem)
        assert "\n" not in line
        assert line.startswith(f"{problem.file}:{problem.line}:{problem.column}: ")
        assert line.endswith(".")
    read = json.loads(format_problems(problems, as_json=True))
    assert [Problem(**each) for each in read] == list(problems)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    texts = {
        "node.limits.max_cals": "max_cals: 5",
        "node.drain_timeout": "drain_timeout: 30",
        "accounts[0].voice_services[0].kind": "kind: bank",
        "accounts[0].voice_services[1].integrations[0].url": "url: http://127.0.0.1/",
        "accounts[0].routes[0].match": 'match: "("',
        "accounts[1].name": "name: a b",
    }
    file = tmp_path / "many.yaml"
    file.write_text(
        """
node:
  name: gw
  sip: [udp://127.0.0.1:5060]
  media: {address: 127.0.0.1}
  limits: {max_cals: 5}
  drain_timeout: 30
accounts:
  - name: acme
    subscriptions: [voice-integration]
    voice_services:
      - {name: one, kind: bank}
      - name: two
        kind: contact_center
        trunk: {peers: [{uri: "sip:192.0.2.1"}]}
        integrations:
          - {name: live, type: media_stream, url: http://127.0.0.1/}
    routes:
      - {from: two, to: two, match: "("}
  - name: a b
"""
    )
    problems = problems_of(file)
    assert [problem.key for problem in problems] == list(texts)
    for problem in problems:
        assert texts[problem.key] in file.read_text().splitlines()[problem.line - 1]
