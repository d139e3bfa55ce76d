#!/usr/bin/env python3
"""Fuzzes every target for a while and says what it found. `make fuzz` calls it.

    scripts/fuzz.py                           every target, 300 s each
    scripts/fuzz.py --seconds 60 sip_message tap
    scripts/fuzz.py --keep                    afterwards puts the smallest inputs that cover what was found
                                              in place of the kept corpora

A run fails on a crash, on an input that takes longer than 10 s, and on memory that grows. What was found lies
in `build/fuzz/TARGET`: `corpus`, `findings`, `log` and `outcome.json`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
BUILD = ROOT / "build" / "fuzz"
CRATE = ROOT / "crates" / "fuzz"
PYTHON_CORPORA = ROOT / "tests" / "fuzz" / "corpus"
CARGO_FUZZ_VERSION = "0.13.2"

INPUT_SECONDS_MAX = 10
"""One input that takes longer is a hang; the slowest takes milliseconds."""
GROWTH_MB_MAX = 48
"""From a quarter of the run to its end; libFuzzer keeps its corpus, and the parsers bounded caches."""
MEMORY_MB_MAX = 1024
KEPT_MAX = 48
"""Inputs kept of each target."""
KEPT_BYTES_MAX = 4096
"""Longer inputs are not kept."""
ASAN_OPTIONS = "quarantine_size_mb=8:allocator_release_to_os_interval_ms=500"
"""Freed memory is held back briefly only, so that growth is the program's own."""

_EXECUTED = re.compile(r"number_of_executed_units:\s*(\d+)")
_SLOWEST = re.compile(r"slowest_unit_time_sec:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Job:
    """One target and how it is run."""

    name: str
    language: str
    command: list[str]
    corpus: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its run leaves what it found."""
        return BUILD / self.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run showed; memory in MiB at a quarter of the run and at its end."""

    target: str
    language: str
    seconds: int
    executions: int
    crashes: int
    memory_begin: int
    memory_end: int
    verdict: str


def main() -> int:
    """Run the targets one after another."""
    options = _options()
    python, rust = wanted(PYTHON_CORPORA, options.targets), wanted(CRATE / "corpus", options.targets)
    unknown = set(options.targets) - {corpus.name for corpus in (*python, *rust)}
    if unknown:
        print(f"fuzz: no such target: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    jobs = [*python_jobs(python), *rust_jobs(rust)]
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda job: attend(job, options), jobs))
    return int(any(outcome.verdict != "good" for outcome in outcomes))


def attend(job: Job, options: argparse.Namespace) -> Outcome:
    """Run one target, say what came of it, and keep what it found where that is wanted."""
    outcome = run(job, options.seconds)
    _print(outcome)
    report = asdict(outcome) | {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count()}
    (job.folder / "outcome.json").write_text(json.dumps(report, indent=2) + "\n")
    if options.keep and outcome.verdict == "good":
        keep(job)
    return outcome


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", help="the targets; all when none is named")
    parser.add_argument("--seconds", type=int, default=300, help="for each target (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="renew the kept corpora by what was found")
    return parser.parse_args()


def wanted(corpora: Path, names: list[str]) -> list[Path]:
    """The corpora of the targets named; all when none is."""
    return [corpus for corpus in sorted(corpora.iterdir()) if not names or corpus.name in names]


def python_jobs(corpora: list[Path]) -> Iterator[Job]:
    """The targets of tests/fuzz, under atheris."""
    if not corpora:
        return
    packages = TOOLS / "fuzz-packages"
    if not (packages / "atheris").is_dir():
        _bring_atheris(packages)
    environment = {"PYTHONPATH": os.pathsep.join([str(packages), str(ROOT / "tests")])}
    python = str(ROOT / ".venv" / "bin" / "python")
    for corpus in corpora:
        yield Job(corpus.name, "Python", [python, "-m", "fuzz.engine", corpus.name], corpus, environment)


def _bring_atheris(packages: Path) -> None:
    """Put the locked atheris beside the virtual environment, which stays as `make setup` made it."""
    uv = str(TOOLS / "uv" / "bin" / "uv")
    export = [uv, "export", "--quiet", "--locked", "--only-group", "fuzz", "--no-emit-project"]
    wanted = subprocess.run(export, cwd=ROOT, check=True, capture_output=True).stdout
    python = ["--python", str(ROOT / ".venv" / "bin" / "python"), "--only-binary", ":all:"]
    install = [uv, "pip", "install", "--quiet", *python, "--target", str(packages), "--requirements", "-"]
    subprocess.run(install, cwd=ROOT, check=True, input=wanted)


def rust_jobs(corpora: list[Path]) -> Iterator[Job]:
    """The targets of crates/fuzz, under libFuzzer, with AddressSanitizer where the toolchain has it."""
    if not corpora:
        return
    binaries = _build_rust()
    for corpus in corpora:
        environment = {"ASAN_OPTIONS": ASAN_OPTIONS}
        yield Job(corpus.name, "Rust", [str(binaries / corpus.name)], corpus, environment)


def _build_rust() -> Path:
    """Build them; returns where they are. The stable compiler needs RUSTC_BOOTSTRAP for its sanitizers."""
    cargo_fuzz = TOOLS / "cargo-fuzz" / "bin" / "cargo-fuzz"
    if not cargo_fuzz.is_file():
        print(f"fuzz: bringing cargo-fuzz {CARGO_FUZZ_VERSION}", file=sys.stderr)
        install = ["cargo", "install", "cargo-fuzz", "--quiet", "--locked", "--version", CARGO_FUZZ_VERSION]
        subprocess.run([*install, "--root", str(TOOLS / "cargo-fuzz")], check=True)
    host = _rustc("-vV").split("host: ")[1].split()[0]
    runtimes = Path(_rustc("--print", "sysroot").strip()) / "lib" / "rustlib" / host / "lib"
    sanitizer = "address" if list(runtimes.glob("librustc*asan*")) else "none"
    target = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    build = [str(cargo_fuzz), "build", "--fuzz-dir", str(CRATE), "--sanitizer", sanitizer, "--target", host]
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1", "CARGO_TARGET_DIR": str(target)}
    subprocess.run(build, cwd=ROOT, check=True, env=environment)
    return target / host / "release"


def _rustc(*arguments: str) -> str:
    return subprocess.run(["rustc", *arguments], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def run(job: Job, seconds: int) -> Outcome:
    """Run one target; its findings and log are new."""
    corpus, findings, log = job.folder / "corpus", job.folder / "findings", job.folder / "log"
    shutil.rmtree(findings, ignore_errors=True)
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        *job.command,
        str(corpus),
        str(job.corpus),
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | job.environment, stdout=output, stderr=output
        )
        memory = _watch(process)
    text = log.read_text(errors="replace")
    executed, slowest = _EXECUTED.search(text), _SLOWEST.search(text)
    begin, end = (memory[len(memory) // 4], memory[-1]) if memory else (0, 0)
    crashes = len(list(findings.iterdir()))
    return Outcome(
        job.name,
        job.language,
        seconds,
        int(executed[1]) if executed else 0,
        crashes,
        begin,
        end,
        _verdict(process.returncode, crashes, end - begin, int(slowest[1]) if slowest else 0),
    )


def _verdict(status: int, crashes: int, growth: int, slowest: int) -> str:
    if status != 0 or crashes:
        return "crash or hang"
    if growth > GROWTH_MB_MAX:
        return "memory grows"
    return "good" if slowest < INPUT_SECONDS_MAX else "crash or hang"


def _watch(process: subprocess.Popen[bytes]) -> list[int]:
    """The resident memory of a process in MiB, second by second until it ends."""
    page = os.sysconf("SC_PAGE_SIZE")
    memory: list[int] = []
    while process.poll() is None:
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            break
        if pages:
            memory.append(pages * page >> 20)
        time.sleep(1)
    process.wait()
    return memory


def keep(job: Job) -> None:
    """Put a minimal set of inputs that cover what is known in place of the kept corpus."""
    merged = job.folder / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    folders = [str(merged), str(job.corpus), str(job.folder / "corpus")]
    with (job.folder / "merge.log").open("wb") as output:
        subprocess.run(
            [*job.command, "-set_cover_merge=1", *folders],
            cwd=ROOT,
            env=os.environ | job.environment,
            check=True,
            stdout=output,
            stderr=output,
        )
    # They are written in the order of what each adds to those before it.
    chosen = sorted(merged.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.stat().st_ino))
    chosen = [path for path in chosen if path.stat().st_size <= KEPT_BYTES_MAX][:KEPT_MAX]
    if not chosen:
        raise RuntimeError(f"nothing was merged, see {job.folder / 'merge.log'}")
    for path in job.corpus.iterdir():
        path.unlink()
    for path in chosen:
        shutil.copyfile(path, job.corpus / path.name)


def _print(outcome: Outcome) -> None:
    print(
        f"{outcome.language:<7} {outcome.target:<15} {outcome.executions:>12,} executions  "
        f"{outcome.crashes} findings  {outcome.memory_begin} to {outcome.memory_end} MiB  {outcome.verdict}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
