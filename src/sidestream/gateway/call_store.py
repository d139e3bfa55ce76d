"""Ended calls on disk, to be looked at later: records and traces in one SQLite file, bounded by age and size.

The journal is what counts; this is a window on the last calls. A thread of its own writes it, so that a slow
disk never holds up a call, and whoever reads opens the file for himself. What cannot be written is counted
and let go of.
"""

import contextlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidestream.gateway.writer_thread import WriterThread
from sidestream.observe.call_trace import CallTrace, pack, unpack
from sidestream.observe.logging import Logger, logger

FILE: Final = "calls.db"
VERSION: Final = 1
QUEUE_MAX: Final = 5_000
"""Calls that may wait: 25 s of 200 a second."""
BATCH_MAX: Final = 256
BATCH_BYTES: Final = 8 * 1024 * 1024
GATHER_S: Final = 0.2
SWEEP_S: Final = 30.0
"""How often calls that are too old are deleted."""
DELETE_MAX: Final = 500
"""Calls deleted in one transaction."""
BUSY_S: Final = 2.0
PAGE_BYTES: Final = 4096
SPARE_PAGES: Final = 4096
"""Pages above the wanted size that a batch may take before the oldest calls have made room."""

_SCHEMA: Final = """
CREATE TABLE call (
    id TEXT PRIMARY KEY, ended_us INTEGER NOT NULL, parties TEXT NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX call_ended ON call (ended_us);
CREATE TABLE trace (id TEXT PRIMARY KEY, data BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    """One call as it is kept."""

    call_id: str
    ended_us: int
    """Microseconds since 1970."""
    parties: str
    """What a search by party looks in: numbers and URIs, lower case."""
    record: bytes
    """As in the journal."""
    trace: CallTrace | None
    size: int
    """Bytes of memory that it takes while it waits."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds.

    Attributes:
        retention_s: seconds that an ended call is kept.
        size: bytes of disk for all of them.
    """

    retention_s: float
    size: int


@dataclass(slots=True)
class StoreCounts:
    """What was done since the store was opened."""

    written: int = 0
    lost: int = 0
    errors: int = 0
    deleted: int = 0
    used_bytes: int = 0


class CallStore(WriterThread[EndedCall]):
    """Writes ended calls in a directory, and finds them again.

    Args:
        directory: made when missing, with mode 0700.
        limits: bounds.
        log: where a failing disk is noted.
    """

    def __init__(self, directory: Path, limits: StoreLimits, log: Logger | None = None) -> None:
        super().__init__("trace")
        self._path = directory / FILE
        self._limits = limits
        self._log = log or logger(part="trace")
        self._failing = False
        self._swept_at = 0.0
        """When room was made last; 0: it is to be made before anything is written."""
        self.waiting_bytes = 0
        self.counts = StoreCounts()

    def open(self) -> None:
        """Start writing."""
        self._thread.start()

    def put(self, call: EndedCall) -> None:
        """Queue one call. Returns at once; the oldest one that waits is given up when there are too many."""
        with self._changed:
            if len(self._waiting) >= QUEUE_MAX:
                self.waiting_bytes -= self._waiting.popleft().size
                self.counts.lost += 1
            self._waiting.append(call)
            self.waiting_bytes += call.size
            if len(self._waiting) == 1:
                self._changed.notify()

    # --- reading, from any thread ------------------------------------------------------------------------

    def waiting_call(self, call_id: str) -> EndedCall | None:
        """Return a call that is not on disk yet."""
        with self._changed:
            return next((call for call in self._waiting if call.call_id == call_id), None)

    def record(self, call_id: str) -> bytes | None:
        """Return the record of a call, None when there is none.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        with self._reading() as base:
            row = base and base.execute("SELECT record FROM call WHERE id = ?", (call_id,)).fetchone()
            return zlib.decompress(row[0]) if row else None

    def trace(self, call_id: str) -> CallTrace | None:
        """Return the trace of a call, None when there is none.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        with self._reading() as base:
            row = base and base.execute("SELECT data FROM trace WHERE id = ?", (call_id,)).fetchone()
            return unpack(zlib.decompress(row[0])) if row else None

    def page(self, before: str, party: str, limit: int) -> list[tuple[str, bytes]]:
        """Return calls with their records, the newest first.

        Args:
            before: only calls whose id sorts before this one.
            party: only calls of which a party's number or URI contains this; empty for all.
            limit: calls at most.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        wanted = "SELECT id, record FROM call WHERE id < ? AND instr(parties, ?) ORDER BY id DESC LIMIT ?"
        with self._reading() as base:
            rows = base.execute(wanted, (before, party.lower(), limit)).fetchall() if base else []
            return [(call_id, zlib.decompress(record)) for call_id, record in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if not self._path.exists():
            yield None
            return
        base = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
        try:
            yield base
        finally:
            base.close()

    # --- writing, in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        base: sqlite3.Connection | None = None
        while True:
            batch, closing = self._take()
            if closing and not batch:
                break
            base = self._work(base, batch)
        if base is not None:
            base.close()

    def _take(self) -> tuple[list[EndedCall], bool]:
        """Wait for calls, or until it is time to look for old ones."""
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(SWEEP_S)
            if self._waiting and not self._closing:
                self._changed.wait_for(lambda: self._closing or len(self._waiting) >= BATCH_MAX, GATHER_S)
            return self._batch(), self._closing

    def _batch(self) -> list[EndedCall]:
        batch: list[EndedCall] = []
        size = 0
        for call in self._waiting:
            size += call.size
            if batch and (size > BATCH_BYTES or len(batch) == BATCH_MAX):
                break
            batch.append(call)
        return batch

    def _work(self, base: sqlite3.Connection | None, batch: list[EndedCall]) -> sqlite3.Connection | None:
        """Write a batch and make room. What fails is given up: the journal has the records."""
        try:
            base = base or self._open()
            if not batch or self._swept_at == 0:
                self._make_room(base)
            if batch:
                _write(base, batch)
                self.counts.written += len(batch)
                self._make_room(base)
        except (sqlite3.Error, OSError) as error:
            self._fail(error, batch)
            if base is not None:
                base.close()
            base = None
        else:
            self._failing = False
        with self._changed:
            for call in batch:
                # The oldest may have been given up meanwhile.
                if self._waiting and self._waiting[0] is call:
                    self._waiting.popleft()
                    self.waiting_bytes -= call.size
        return base

    def _fail(self, error: Exception, batch: list[EndedCall]) -> None:
        self.counts.errors += 1
        self.counts.lost += len(batch)
        self._swept_at = 0.0
        if not self._failing:
            self._failing = True
            self._log.warning("traces of calls can't be kept", error=str(error), file=str(self._path))
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            self._set_aside()

    def _set_aside(self) -> None:
        """Give a file that is none of ours, or broken, another name, so that the next one can be made."""
        with contextlib.suppress(OSError):
            self._path.rename(self._path.with_name(f"{FILE}.broken"))
            for suffix in ("-wal", "-shm"):
                self._path.with_name(FILE + suffix).unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made here, because SQLite would make it readable to others; its further files take over the mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        base = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            self._prepare(base)
        except BaseException:
            base.close()
            raise
        return base

    def _prepare(self, base: sqlite3.Connection) -> None:
        base.execute("PRAGMA auto_vacuum = INCREMENTAL")
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.execute("PRAGMA journal_size_limit = 4194304")
        base.execute(f"PRAGMA max_page_count = {self._limits.size // PAGE_BYTES + SPARE_PAGES}")
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version == 0:
            base.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"the file has version {version}, which is not known")

    def _make_room(self, base: sqlite3.Connection) -> None:
        """Delete calls that are too old, then the oldest ones until the rest fits."""
        self._swept_at = time.monotonic()
        limit_us = round((time.time() - self._limits.retention_s) * 1_000_000)
        while self._delete(base, "WHERE ended_us < ?", limit_us) == DELETE_MAX:
            pass
        while _used_bytes(base) > self._limits.size and self._delete(base, "WHERE ended_us >= ?", 0):
            pass
        base.execute("PRAGMA incremental_vacuum(1024)").fetchall()
        self.counts.used_bytes = _used_bytes(base)

    def _delete(self, base: sqlite3.Connection, which: str, value: int) -> int:
        """Delete the oldest of certain calls; returns how many."""
        found = base.execute(
            f"SELECT id FROM call {which} ORDER BY ended_us LIMIT {DELETE_MAX}",  # noqa: S608 - words of ours
            (value,),
        ).fetchall()
        base.execute("BEGIN")
        base.executemany("DELETE FROM call WHERE id = ?", found)
        base.executemany("DELETE FROM trace WHERE id = ?", found)
        base.execute("COMMIT")
        self.counts.deleted += len(found)
        return len(found)


def _write(base: sqlite3.Connection, batch: list[EndedCall]) -> None:
    rows = [(call.call_id, call.ended_us, call.parties, zlib.compress(call.record, 1)) for call in batch]
    traces = [(call.call_id, zlib.compress(pack(call.trace), 1)) for call in batch if call.trace is not None]
    base.execute("BEGIN")
    try:
        base.executemany("INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?)", rows)
        base.executemany("INSERT OR REPLACE INTO trace VALUES (?, ?)", traces)
        base.execute("COMMIT")
    except BaseException:
        base.execute("ROLLBACK")
        raise


def _used_bytes(base: sqlite3.Connection) -> int:
    pages, free = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int((pages - free) * PAGE_BYTES)
