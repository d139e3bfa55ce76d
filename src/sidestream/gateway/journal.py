"""The gateway's own file of ended calls: JSON lines, appended, rotated by size, never changed.

Records wait in a bounded queue and a thread of their own writes them, so that a slow disk never holds up a
call. A record that cannot be written stays in the queue and is tried again; only when the queue is full of
such records is one given up, counted, and put into the log instead.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sidestream.gateway.writer_thread import WriterThread
from sidestream.observe.logging import Logger, logger

CURRENT: Final = "calls.jsonl"
QUEUE_MAX: Final = 10_000
"""Records that may wait: the calls of 50 s at 200 calls per second, some 30 MB."""
ROTATE_BYTES: Final = 64 * 1024 * 1024
KEEP_FILES: Final = 64
"""Rotated files kept, 4 GiB in all; the oldest goes first."""
RETRY_S: Final = 1.0
BATCH_MAX: Final = 256
GATHER_S: Final = 0.05
"""How long a first record waits for others, so that a busy second costs 20 writes and not 500: with each one
the interpreter's lock changes hands in the middle of somebody's call."""


@dataclass(slots=True)
class JournalCounts:
    """What the journal did since it was opened."""

    written: int = 0
    errors: int = 0
    lost: int = 0


class Journal(WriterThread[bytes]):
    """Appends records to `calls.jsonl` in a directory.

    Args:
        directory: made when missing.
        rotate_bytes: size at which a file is set aside under the time of its end.
        log: where lost records and failing disks are noted.
    """

    def __init__(
        self, directory: Path, *, rotate_bytes: int = ROTATE_BYTES, log: Logger | None = None
    ) -> None:
        super().__init__("journal")
        self._directory = directory
        self._rotate_bytes = rotate_bytes
        self._log = log or logger(part="journal")
        self._failing = False
        self._file = -1
        self.counts = JournalCounts()

    def open(self) -> None:
        """Open the file and start writing; a line torn by a crash is cut off first.

        Raises:
            OSError: the directory or the file cannot be written.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._open_file()
        self._thread.start()

    def append(self, record: bytes) -> None:
        """Queue one record, a JSON object without line breaks. Returns at once."""
        with self._changed:
            if len(self._waiting) >= QUEUE_MAX:
                lost = self._waiting.popleft()
                self.counts.lost += 1
                self._log.error("a call record could not be written", record=lost.decode(errors="replace"))
            self._waiting.append(record)
            if len(self._waiting) == 1:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._closing and len(self._waiting) < BATCH_MAX:
                    self._changed.wait_for(lambda: self._closing, GATHER_S)
                batch = [self._waiting[index] for index in range(min(len(self._waiting), BATCH_MAX))]
                closing = self._closing
            if not batch:
                break
            written = self._write(batch)
            if not written and closing:
                break
            if not written:
                with self._changed:
                    self._changed.wait(RETRY_S)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, batch: list[bytes]) -> bool:
        """Write a batch in full or not at all."""
        try:
            if self._file < 0:
                self._open_file()
            self._append(b"".join(record + b"\n" for record in batch))
            self._rotate_when_due()
        except OSError as error:
            self.counts.errors += 1
            if not self._failing:
                self._failing = True
                self._log.error("the journal cannot be written; records wait", error=str(error))
            return False
        if self._failing:
            self._failing = False
            self._log.info("the journal is written again")
        with self._changed:
            for record in batch:
                # The oldest may have been given up meanwhile.
                if self._waiting and self._waiting[0] is record:
                    self._waiting.popleft()
        self.counts.written += len(batch)
        return True

    def _append(self, data: bytes) -> None:
        size = os.fstat(self._file).st_size
        sent = 0
        try:
            while sent < len(data):
                sent += os.write(self._file, data[sent:])
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _open_file(self) -> None:
        path = self._directory / CURRENT
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _cut_torn_line(self._file)

    def _rotate_when_due(self) -> None:
        if os.fstat(self._file).st_size < self._rotate_bytes:
            return
        os.close(self._file)
        self._file = -1
        name = f"calls-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.jsonl"
        (self._directory / CURRENT).rename(self._directory / name)
        self._open_file()
        for old in sorted(self._directory.glob("calls-*.jsonl"))[:-KEEP_FILES]:
            self._log.warning("the oldest journal file makes room", file=str(old))
            old.unlink(missing_ok=True)


def _cut_torn_line(file: int) -> None:
    """Take away what a crash left after the last line break: that record was never complete."""
    size = os.fstat(file).st_size
    step = 65_536
    end = size
    while end > 0:
        begin = max(0, end - step)
        block = os.pread(file, end - begin, begin)
        found = block.rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(file, end)
