import json
import os
from pathlib import Path

import pytest

from sidestream.gateway import journal as module
from sidestream.gateway.journal import CURRENT, Journal


def records(directory: Path) -> list[dict[str, int]]:
    files = [*sorted(directory.glob("calls-*.jsonl")), directory / CURRENT]
    return [json.loads(line) for path in files if path.exists() for line in path.read_text().splitlines()]


def record(number: int) -> bytes:
    return json.dumps({"n": number}).encode()


def test_records_are_written_in_order_and_all_before_the_close(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.open()
    for number in range(500):
        journal.append(record(number))
    assert journal.close()
    assert [one["n"] for one in records(tmp_path / "journal")] == list(range(500))
    assert (journal.counts.written, journal.waiting) == (500, 0)


def test_records_that_come_together_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, writes = os.fdatasync, list[None]()
    monkeypatch.setattr(module, "GATHER_S", 5.0)
    monkeypatch.setattr(os, "fdatasync", lambda file: writes.append(sync(file)))
    journal = Journal(tmp_path)
    journal.open()
    for number in range(100):
        journal.append(record(number))
    assert journal.close()  # which does not wait for more
    assert len(writes) == 1
    assert [one["n"] for one in records(tmp_path)] == list(range(100))


def test_a_new_process_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for number in range(3):
        journal = Journal(tmp_path)
        journal.open()
        journal.append(record(number))
        assert journal.close()
    assert [one["n"] for one in records(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("torn", [b'{"n": 1', b'{"n": "' + b"x" * 200_000])
def test_a_line_torn_by_a_crash_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / CURRENT).write_bytes(b'{"n": 0}\n' + torn)
    journal = Journal(tmp_path)
    journal.open()
    journal.append(record(2))
    assert journal.close()
    assert [one["n"] for one in records(tmp_path)] == [0, 2]


def test_a_file_with_nothing_but_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    (tmp_path / CURRENT).write_bytes(b'{"n": 1')
    journal = Journal(tmp_path)
    journal.open()
    assert journal.close()
    assert (tmp_path / CURRENT).read_bytes() == b""


def test_files_are_set_aside_by_size_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_FILES", 2)
    monkeypatch.setattr(module, "BATCH_MAX", 1)
    journal = Journal(tmp_path, rotate_bytes=20)
    journal.open()
    for number in range(12):
        journal.append(record(number))
    assert journal.close()
    assert len(list(tmp_path.glob("calls-*.jsonl"))) == 2
    kept = [one["n"] for one in records(tmp_path)]
    assert kept == list(range(12))[-len(kept) :]


def test_a_failing_disk_keeps_records_waiting_and_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = os.write, []

    def failing(file: int, data: bytes) -> int:
        calls.append(1)
        # The disk takes some bytes and then has no room.
        if len(calls) == 1:
            return write(file, data[:3])
        raise OSError(28, "No space left on device")

    journal = Journal(tmp_path)
    journal.append(record(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", failing)
        assert not journal._write([record(1)])
    assert (journal.waiting, journal.counts.errors) == (1, 1)
    assert (tmp_path / CURRENT).read_bytes() == b""
    journal.open()
    assert journal.close()
    assert [one["n"] for one in records(tmp_path)] == [1]


def test_what_finds_the_queue_full_is_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_MAX", 3)
    journal = Journal(tmp_path)  # not opened: nothing is taken from the queue
    for number in range(5):
        journal.append(record(number))
    assert (journal.waiting, journal.counts.lost) == (3, 2)


def test_a_directory_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Journal(tmp_path / "file" / "journal").open()
