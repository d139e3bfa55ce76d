import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from sidestream.gateway.call_store import DELETE_MAX, FILE, QUEUE_MAX, CallStore, EndedCall, StoreLimits
from sidestream.observe.call_trace import CallTrace
from trace_script import a_call

MIB = 1024 * 1024
LIMITS = StoreLimits(3600, 16 * MIB)


def call(
    number: int, trace: CallTrace | None = None, *, age_s: float = 0.0, parties: str = "+1415"
) -> EndedCall:
    ended_us = round((time.time() - age_s) * 1_000_000)
    record = b'{"number":%d}' % number
    return EndedCall(
        call_id=f"{number:06}", ended_us=ended_us, parties=parties, record=record, trace=trace, size=1000
    )


def written(directory: Path, calls: list[EndedCall], limits: StoreLimits = LIMITS) -> CallStore:
    """Return a closed store that has written the calls."""
    store = CallStore(directory, limits)
    for each in calls:
        store.put(each)
    store.open()
    assert store.close(20)
    return store


def test_a_call_is_found_again_by_its_id(tmp_path: Path) -> None:
    store = written(tmp_path / "trace", [call(1, a_call()), call(2)])
    assert (store.record("000001"), store.trace("000001")) == (b'{"number":1}', a_call())
    assert (store.record("000002"), store.trace("000002")) == (b'{"number":2}', None)
    assert (store.record("000003"), store.trace("000003")) == (None, None)
    assert store.waiting_bytes == 0
    assert stat.S_IMODE((tmp_path / "trace" / FILE).stat().st_mode) == 0o600


def test_pages_are_newest_first_and_searched_by_party(tmp_path: Path) -> None:
    store = written(tmp_path, [call(number, parties="ada" if number % 2 else "bob") for number in range(10)])
    assert [call_id for call_id, _ in store.page("~", "", 3)] == ["000009", "000008", "000007"]
    assert [call_id for call_id, _ in store.page("000007", "", 2)] == ["000006", "000005"]
    assert [call_id for call_id, _ in store.page("~", "AD", 9)] == [
        f"00000{number}" for number in (9, 7, 5, 3, 1)
    ]
    assert store.page("~", "%", 9) == []


def test_before_anything_was_written_nothing_is_found(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "none", LIMITS)
    assert (store.record("x"), store.trace("x"), store.page("~", "", 5)) == (None, None, [])


def test_calls_that_wait_are_found_and_the_oldest_of_too_many_is_given_up(tmp_path: Path) -> None:
    store = CallStore(tmp_path, LIMITS)
    for number in range(QUEUE_MAX + 1):
        store.put(call(number))
    assert (store.waiting, store.counts.lost, store.waiting_bytes) == (QUEUE_MAX, 1, QUEUE_MAX * 1000)
    assert store.waiting_call("000000") is None
    assert store.waiting_call("000001") is not None


def test_what_is_too_old_is_deleted(tmp_path: Path) -> None:
    old = [call(number, a_call(), age_s=7200) for number in range(DELETE_MAX + 10)]
    store = written(tmp_path, [*old, call(999_999, a_call())])
    assert [call_id for call_id, _ in store.page("~", "", 9)] == ["999999"]
    assert store.trace("000001") is None
    assert store.counts.deleted == DELETE_MAX + 10


def test_the_file_stays_within_its_size_and_the_oldest_make_room(tmp_path: Path) -> None:
    size = 2 * MIB
    calls = []
    for number in range(1000):
        noise = os.urandom(6000)
        message = a_call().messages[0]
        trace = CallTrace("x", "gw", [type(message)(0, "caller", "c", False, "udp", "", 0, "", 0, noise)])
        calls.append(call(number, trace, age_s=1000 - number))
    store = written(tmp_path, calls, StoreLimits(3600, size))
    kept = [call_id for call_id, _ in store.page("~", "", 2000)]
    assert kept[0] == "000999"
    assert 0 < len(kept) < 400
    assert store.counts.used_bytes <= size
    assert store.counts.lost == 0


@pytest.mark.parametrize(
    "content", [b"this is no database at all, but it is long enough to be looked at" * 50, b""]
)
def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = written(tmp_path, [call(1)])
    again = written(tmp_path, [call(2)])
    assert again.record("000002") == b'{"number":2}'
    if content:
        assert (store.counts.errors, store.counts.lost) == (1, 1)
        assert (tmp_path / f"{FILE}.broken").read_bytes() == content


def test_a_file_of_another_version_is_set_aside(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / FILE)
    base.execute("PRAGMA user_version = 99")
    base.close()
    written(tmp_path, [call(1)])
    assert written(tmp_path, [call(2)]).record("000002") == b'{"number":2}'


def test_a_directory_that_cannot_be_written_loses_traces_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("a file")
    store = written(tmp_path / "trace", [call(1)])
    assert (store.counts.errors, store.counts.lost, store.counts.written) == (1, 1, 0)
