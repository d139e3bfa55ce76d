"""Live and ended calls in one list: what the API shows. Reads, and changes nothing."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sidestream.errors import SidestreamError
from sidestream.gateway.call_store import CallStore, EndedCall
from sidestream.gateway.calls import Calls
from sidestream.gateway.trace import Traces
from sidestream.observe.call_trace import CallTrace

READERS_MAX: Final = 4
"""Threads that read the store at once."""
LAST: Final = "~"
"""Sorts after every id."""

T = TypeVar("T")
Document = dict[str, Any]


class CallsUnreadableError(SidestreamError):
    """The store of ended calls cannot be read at the moment."""


class CallBook:
    """Finds calls wherever they are: live, just ended, or on disk.

    Args:
        calls: the table of live calls.
        traces: what is kept of them.
        store: ended calls.
    """

    def __init__(self, calls: Calls, traces: Traces, store: CallStore) -> None:
        self._calls = calls
        self._traces = traces
        self._store = store
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def page(self, states: frozenset[str], before: str, party: str, limit: int) -> list[Document]:
        """Return summaries of calls, the newest first.

        Args:
            states: `active`, `ended` or both.
            before: only calls that began before the one with this id; empty for all.
            party: only calls of which a party's number, name or URI contains this; empty for all.
            limit: calls at most.

        Raises:
            CallsUnreadableError: the store cannot be read.
        """
        before, party = before or LAST, party.lower()
        found: dict[str, Document] = {}
        if "ended" in states:
            rows = await self._read(lambda: self._store.page(before, party, limit))
            found |= {call_id: json.loads(record) for call_id, record in rows}
            for call_id, ended in self._traces.recent().items():
                if call_id < before and party in ended.parties:
                    found[call_id] = json.loads(ended.record)
        if "active" in states:
            found |= self._live(before, party, limit, found)
        newest = sorted(found, reverse=True)[:limit]
        return [summary_of(found[call_id]) for call_id in newest]

    def _live(self, before: str, party: str, limit: int, found: dict[str, Document]) -> dict[str, Document]:
        live: dict[str, Document] = {}
        for call_id in sorted(self._calls.ids(), reverse=True):
            if len(live) == limit:
                break
            if call_id >= before or call_id in found:
                continue
            view = self._calls.view(call_id, party)
            if view is not None:
                live[call_id] = view
        return live

    async def call(self, call_id: str) -> Document | None:
        """Return the record of a call as it stands, None when there is none.

        Raises:
            CallsUnreadableError: the store cannot be read.
        """
        await self._calls.refresh(call_id)
        live = self._calls.view(call_id)
        if live is not None:
            return live
        ended = self._just_ended(call_id)
        record = ended.record if ended else await self._read(lambda: self._store.record(call_id))
        return None if record is None else json.loads(record)

    async def trace(self, call_id: str) -> CallTrace | None:
        """Return what is kept of a call, None when nothing is.

        Raises:
            CallsUnreadableError: the store cannot be read.
        """
        kept = self._traces.trace(call_id)
        if kept is not None:
            return kept
        waiting = self._store.waiting_call(call_id)
        if waiting is not None and waiting.trace is not None:
            return waiting.trace
        return await self._read(lambda: self._store.trace(call_id))

    def _just_ended(self, call_id: str) -> EndedCall | None:
        return self._traces.recent().get(call_id) or self._store.waiting_call(call_id)

    async def _read(self, read: Callable[[], T]) -> T:
        async with self._readers:
            try:
                return await asyncio.to_thread(read)
            except (sqlite3.Error, OSError) as error:
                raise CallsUnreadableError(f"ended calls cannot be read: {error}") from error


def summary_of(record: Document) -> Document:
    """Return what a list says of a call."""
    ending = record.get("verdict") or {}
    return {
        "call_id": record["call_id"],
        "account": record["account"],
        "state": "active" if record.get("verdict") is None else "ended",
        "phase": record["state"],
        "caller": _party(record["caller"]),
        "callee": _party(record["callee"]),
        "started_at": record["started_at"],
        "answered_at": record["answered_at"],
        "ended_at": record["ended_at"],
        "duration_s": record["duration_s"],
        "verdict": ending.get("slug"),
        "result": ending.get("result"),
    }


def _party(leg: Document) -> Document:
    participant = leg["participant"]
    return {"trunk": leg["trunk"], "number": participant["number"], "uri": participant["uri"]}
