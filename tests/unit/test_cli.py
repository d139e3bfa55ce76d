"""The command from outside: exit codes, one line for what is wrong, JSON for scripts, a quick start."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from sidestream import __version__, cli
from unit.config.example import TEXT

COMMANDS = ("serve", "check", "version", "listen", "record", "call")


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str


class Run(Protocol):
    def __call__(self, *words: str) -> Result: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process, which is quicker."""
    monkeypatch.setenv("TOKEN", "s3cret")

    def run_words(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["sidestream", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, *capsys.readouterr())

    return run_words


def run_process(*words: str) -> Result:
    environment = {**os.environ, "TOKEN": "s3cret"}
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=environment)
    return Result(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(TEXT)
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text(TEXT.replace("max_calls", "max_cals").replace("kind: carrier", "kind: bank"))
    return file


def test_check_tells_what_a_valid_file_would_set_up(run: Run, good: Path) -> None:
    result = run("check", "--config", str(good))
    assert (result.code, result.stderr) == (0, "")
    for fact in (
        f"{good} is valid",
        "udp://127.0.0.1:5060",
        "sip:198.51.100.1:5090",
        "wss://127.0.0.1:8443/calls",
    ):
        assert fact in result.stdout
    assert "s3cret" not in result.stdout


def test_check_warns_without_refusing(run: Run, good: Path) -> None:
    good.write_text(TEXT.replace("{env: TOKEN}", "plain"))
    result = run("check", "--config", str(good))
    assert result.code == 0
    assert result.stderr.startswith(f"warning: {good}:22:")
    assert len(result.stderr.splitlines()) == 1


def test_check_tells_each_problem_on_a_line_and_ends_with_2(run: Run, bad: Path) -> None:
    result = run("check", "--config", str(bad))
    assert (result.code, result.stdout) == (2, "")
    first, second, last = result.stderr.splitlines()
    assert first.startswith(f"{bad}:5:12: node.limits.max_cals: unknown key. Did you mean max_calls?")
    assert second.startswith(f"{bad}:11:15: accounts[0].voice_services[0].kind: ")
    assert last == f"sidestream: {bad} has 2 problems; correct the file"


def test_check_speaks_json(run: Run, good: Path, bad: Path) -> None:
    result = run("check", "--json", "--config", str(good))
    told = json.loads(result.stdout)
    assert (result.code, told["valid"], told["problems"], told["warnings"]) == (0, True, [], [])
    assert told["summary"]["accounts"][0]["routes"][1] == {
        "from": "desk",
        "to": "carrier",
        "match": "^[0-9]+$",
    }
    result = run("check", "--json", "--config", str(bad))
    told = json.loads(result.stdout)
    assert (result.code, told["valid"], result.stderr) == (2, False, "")
    assert [(each["line"], each["key"]) for each in told["problems"]] == [
        (5, "node.limits.max_cals"),
        (11, "accounts[0].voice_services[0].kind"),
    ]
    assert all(each["remedy"] for each in told["problems"])


def test_serve_refuses_what_check_refuses(run: Run, bad: Path) -> None:
    assert run("serve", "--config", str(bad)).stderr == run("check", "--config", str(bad)).stderr
    assert run("serve", "--config", str(bad)).code == 2


def test_serve_says_that_there_is_no_control_process(run: Run, good: Path) -> None:
    result = run("serve", "--role", "control", "--config", str(good))
    assert result.code == 2
    assert "control process is not available in this version" in result.stderr
    assert "--role gateway" in result.stderr


def test_version_tells_product_engine_and_build(run: Run) -> None:
    assert run("version").stdout.splitlines()[:2] == [f"sidestream {__version__}", f"engine {__version__}"]
    told = json.loads(run("version", "--json").stdout)
    assert set(told) == {"version", "engine", "build"}
    assert told["version"] == __version__


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name a command"),
        (("chek",), "Did you mean 'check'?"),
        (("check",), "Missing option '--config'"),
        (("check", "--nope"), "No such option: --nope"),
        (("check", "--config", "no-such-file"), "no-such-file"),
        (("serve", "--role", "x", "--config", "y"), "'x' is not one of 'all', 'gateway', 'control'"),
        (("listen", "--port", "70000"), "65535"),
        (("call",), "--to"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_to_do(run: Run, words: tuple[str, ...], says: str) -> None:
    result = run(*words)
    assert (result.code, result.stdout) == (2, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("sidestream: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert "Examples:" in result.stdout
    assert f"  sidestream {command}" in result.stdout


def test_help_lists_the_commands_and_the_exit_codes(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    assert [name for name in COMMANDS if f"  {name} " not in result.stdout] == []
    assert "2 wrong use or configuration" in result.stdout


def test_an_unexpected_error_is_one_line_and_a_trace_only_when_asked_for(
    run: Run, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examine(path: Path) -> NoReturn:
        raise RuntimeError(f"broken\n{path}")

    monkeypatch.setattr(sys.modules["sidestream.config.load"], "examine", examine)
    result = run("check", "--config", str(good))
    assert result.code == 1
    assert result.stderr == "sidestream: unexpected RuntimeError: broken. Run it with --debug to see where\n"
    for words in (("--debug", "check", "--config", str(good)), ("check", "--config", str(good), "--debug")):
        monkeypatch.setattr(sys, "argv", ["sidestream", *words])
        with pytest.raises(RuntimeError, match="broken"):
            cli.main()


def test_a_reader_that_goes_away_is_no_error_to_tell(good: Path) -> None:
    result = run_process("bash", "-c", f"{sys.executable} -m sidestream check --config {good} | true")
    assert result.stderr == ""


HEAVY = "asyncio cryptography prometheus_client rich ruamel structlog uvicorn uvloop websockets msgspec"


def test_the_frame_imports_nothing_heavy() -> None:
    code = f"import sys, sidestream.cli; print([each for each in {HEAVY.split()} if each in sys.modules])"
    assert run_process(sys.executable, "-c", code).stdout.strip() == "[]"


def test_the_installed_command_and_the_module_are_the_same_program(bad: Path) -> None:
    words = ("check", "--config", str(bad))
    command = run_process(str(Path(sys.executable).with_name("sidestream")), *words)
    assert command == run_process(sys.executable, "-m", "sidestream", *words)
    assert command.code == 2
