"""The commands `calls`, `call-show` and `trace`: what the API says of calls, for people and for scripts."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from sidestream.observe.call_trace import CallTrace, from_document
from sidestream.observe.ladder import ladder
from sidestream.observe.pcap import CONTENT_TYPE
from sidestream.observe.sip_summary import printable
from sidestream.tools.api_client import ApiClient, ApiError

PAGE: Final = 200
_NARROW: Final = 80

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsOptions:
    """What the command `calls` was asked for."""

    state: str | None
    party: str
    limit: int
    json: bool


def calls_command(client: ApiClient, options: CallsOptions) -> int:
    """Print calls, the newest first; returns the exit code.

    Raises:
        ApiError: the API did not give them.
    """
    calls = list(_calls(client, options))
    if options.json:
        _print_json(calls)
        return 0
    for line in calls_table(calls):
        _print(line)
    return 0


def _calls(client: ApiClient, options: CallsOptions) -> Iterator[Document]:
    """Give calls from page after page."""
    left, cursor = options.limit, ""
    while left > 0:
        query = {"state": options.state or "", "party": options.party, "cursor": cursor}
        query = {name: value for name, value in query.items() if value}
        page = client.get("/v1/calls", limit=str(min(left, PAGE)), **query)
        try:
            found: list[Document] = page["calls"]
            cursor = page["next_cursor"] or ""
        except (KeyError, TypeError):
            raise ApiError("the API's list of calls has another form than this version knows") from None
        yield from found[:left]
        left -= len(found)
        if not cursor or not found:
            return


def calls_table(calls: list[Document]) -> Iterator[str]:
    """Give the lines of a table of calls."""
    if not calls:
        yield "no calls"
        return
    head = ("BEGAN", "CALL", "FROM", "TO", "LASTED", "STATE")
    rows = [head, *(_row(call) for call in calls)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True))
        yield "  ".join(cells).rstrip()


def _row(call: Document) -> tuple[str, str, str, str, str, str]:
    caller, callee = call["caller"], call["callee"]
    return (
        _when(call["started_at"]),
        printable(call["call_id"]),
        printable(f"{caller['number'] or caller['uri']} ({caller['trunk'] or '?'})"),
        printable(f"{callee['number'] or callee['uri']} ({callee['trunk'] or '?'})"),
        _span(call["duration_s"]),
        printable(call["verdict"] or call["phase"]),
    )


def show_command(client: ApiClient, call_id: str, *, as_json: bool) -> int:
    """Print one call; returns the exit code.

    Raises:
        ApiError: there is no such call, or no answer.
    """
    call = client.get(f"/v1/calls/{quote(call_id, safe='')}")
    if as_json:
        _print_json(call)
        return 0
    for line in call_lines(call):
        _print(line)
    return 0


def call_lines(call: Document) -> Iterator[str]:
    """Give the lines that describe a call."""
    ending = call.get("verdict")
    yield f"call {printable(call['call_id'])} of account {printable(call['account'])}"
    yield f"  began     {_when(call['started_at'])} from {printable(call['source'])}"
    for name, words in (("rang", "rang_at"), ("answered", "answered_at"), ("ended", "ended_at")):
        if call.get(words):
            yield f"  {name:<9} {_when(call[words])}"
    yield f"  lasted    {_span(call['duration_s'])}"
    if ending:
        detail = printable(ending["detail"])
        yield f"  verdict   {ending['slug']} ({ending['result']}, {ending['sip_status']}): {detail}"
    else:
        yield f"  state     {printable(call['state'])}"
    for side in ("caller", "callee"):
        yield from _leg_lines(call, side)
    for note in (call.get("quality") or {}).get("notes", ()):
        yield printable(f"  ! {note['text']}")
    for attempt in call["attempts"]:
        status = f" {attempt['status']}" if attempt["status"] else ""
        yield printable(f"  tried {attempt['uri']}{status} {attempt['detail']}").rstrip()
    for stream in call["streams"]:
        yield _follower_line("stream", stream)
    for recording in call["recordings"]:
        yield _follower_line("recording", recording)


def _leg_lines(call: Document, side: str) -> Iterator[str]:
    leg = call[side]
    participant = leg["participant"]
    who = f"{participant['display_name']} {participant['number']} <{participant['uri']}>".strip()
    yield printable(f"  {side:<9} {who}")
    codec = f", {leg['codec']}" if leg["codec"] else ""
    yield printable(f"            trunk {leg['trunk'] or '?'}{codec}, Call-ID {leg['sip_call_id'] or 'none'}")
    media = next((each for each in call["media"] if each["side"] == ("a" if side == "caller" else "b")), None)
    quality = (call.get("quality") or {}).get(side)
    if media is not None:
        yield "            " + media_words(media, quality)


def media_words(media: Document, quality: Document | None) -> str:
    """Say what came from a party, how it was, and what went to it."""
    words = [f"{media['received_packets']} packets in, {media['sent_packets']} out"]
    if quality is None:
        return words[0]
    words += [f"loss {quality['loss_percent']:.1f} %", f"jitter {quality['jitter_ms']:.1f} ms"]
    if quality["round_trip_ms"] is not None:
        words.append(f"round trip {quality['round_trip_ms']:.0f} ms")
    if quality["level_dbov"] is not None:
        words.append(f"level {quality['level_dbov']:.0f} dBov")
    if quality["mos"] is not None:
        words.append(f"MOS {quality['mos']:.2f}")
    return ", ".join(words)


def _follower_line(kind: str, follower: Document) -> str:
    verdict = follower.get("verdict") or "goes on"
    detail = f": {follower['detail']}" if follower.get("detail") else ""
    return printable(f"  {kind:<9} {follower['integration']} {verdict}{detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """What the command `trace` was asked for."""

    call_id: str
    pcap: Path | None
    full: bool
    json: bool


def trace_command(client: ApiClient, options: TraceOptions) -> int:
    """Print the ladder of a call, or write its capture; returns the exit code.

    Raises:
        ApiError: nothing is kept of such a call, or there is no answer.
        OSError: the file cannot be written.
    """
    path = f"/v1/calls/{quote(options.call_id, safe='')}/trace"
    if options.pcap is not None:
        capture = client.fetch(path, CONTENT_TYPE)
        options.pcap.write_bytes(capture)
        told = {"file": str(options.pcap), "bytes": len(capture)}
        if options.json:
            _print_json(told)
        else:
            _print(f"{options.pcap}: {len(capture)} bytes")
        return 0
    document = client.get(path)
    if options.json:
        _print_json(document)
        return 0
    width = shutil.get_terminal_size((_NARROW + 20, 24)).columns
    sys.stdout.write(ladder(_read(document), max(_NARROW, width), full=options.full))
    return 0


def _read(document: object) -> CallTrace:
    try:
        return from_document(document)
    except (msgspec.ValidationError, ValueError) as error:
        raise ApiError(f"the trace has another form than this version knows: {error}") from None


def _when(text: str) -> str:
    """Return an instant in local time."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return printable(text)


def _span(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=2, ensure_ascii=False))
