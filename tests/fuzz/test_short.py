"""A short run of every target: what was kept, and mutations of it that a seed fixes."""

import time

import pytest

from fuzz.catalogue import TARGETS
from fuzz.mutation import mutations
from fuzz.target import CORPORA, Target

CPU_SECONDS_MAX = 2.0
"""For one input: hundreds of times what any takes, so that only a hang passes it on a slow machine."""
SEED = 20260301

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def run(target: Target, data: bytes) -> None:
    began = time.process_time()
    try:
        target.run(data)
    except Exception as error:
        error.add_note(f"{target.name} on {data!r}")
        raise
    assert time.process_time() - began < CPU_SECONDS_MAX, f"{target.name} hangs on {data!r}"


def test_every_corpus_has_a_target() -> None:
    assert {path.name for path in CORPORA.iterdir()} == set(TARGETS)


@every_target
def test_what_was_kept_breaks_no_promise(target: Target) -> None:
    kept = target.kept()
    assert len(kept) >= 8
    for data in kept:
        run(target, data)


@every_target
def test_mutations_break_no_promise(target: Target) -> None:
    for data in mutations(target, SEED, target.short_runs):
        run(target, data)
