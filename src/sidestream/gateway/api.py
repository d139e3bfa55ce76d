"""The read-only part of the API that a gateway serves by itself: its calls and what is kept of them.

Errors are problem documents (RFC 9457) whose `type` is a stable word. Without the token nothing is told.
"""

import asyncio
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from sidestream.gateway.call_book import CallBook, CallsUnreadableError
from sidestream.observe import pcap
from sidestream.observe.call_trace import to_document

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
PARTY_MAX: Final = 128
QUERY_MAX: Final = 2048
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

_CALLS: Final = re.compile(r"/v1/calls(?:/([^/]{1,64})(/trace)?)?\Z")
_CALL_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_STATES: Final = {"active": frozenset({"active"}), "ended": frozenset({"ended"})}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """What was asked; names of headers are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Page:
    """Which calls are wanted."""

    states: frozenset[str]
    before: str
    party: str
    limit: int


class _BadParameterError(Exception):
    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


class Api:
    """Answers what is below `/v1`.

    Args:
        token: what requests must bring as `Authorization: Bearer`.
        book: the calls.
    """

    def __init__(self, token: str, book: CallBook) -> None:
        self._token = token.encode()
        self._book = book

    async def answer(self, request: ApiRequest) -> Answer:
        """Answer one request; never raises for what was asked."""
        if not self._may(request):
            challenge = (("www-authenticate", 'Bearer realm="sidestream"'),)
            return problem(401, "unauthorized", "A bearer token is wanted.", headers=challenge)
        route = self._route(request.path)
        if route is None:
            return problem(404, "not-found", "There is nothing at this path.")
        if request.method not in {"GET", "HEAD"}:
            return problem(
                405, "method-not-allowed", "Calls can only be read here.", headers=(("allow", "GET, HEAD"),)
            )
        try:
            return await route(request)
        except _BadParameterError as error:
            return problem(400, "bad-parameter", str(error), name=error.name)
        except CallsUnreadableError as error:
            return problem(503, "calls-unreadable", str(error), headers=(("retry-after", "5"),))

    def _may(self, request: ApiRequest) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Compared in constant time, so that nobody learns it letter by letter.
        same = hmac.compare_digest(given.strip().encode(), self._token)
        return scheme.lower() == "bearer" and same

    def _route(self, path: str) -> Callable[[ApiRequest], Awaitable[Answer]] | None:
        match = _CALLS.match(path)
        if match is None:
            return None
        call_id, trace = match[1], match[2]
        if call_id is None:
            return self._list
        if trace:
            return lambda request: self._trace(call_id, request)
        return lambda _: self._show(call_id)

    async def _list(self, request: ApiRequest) -> Answer:
        page = _page_of(request.query)
        calls = await self._book.page(page.states, page.before, page.party, page.limit + 1)
        more = len(calls) > page.limit
        calls = calls[: page.limit]
        cursor = urlsafe_b64encode(calls[-1]["call_id"].encode()).decode().rstrip("=") if more else None
        return _json({"calls": calls, "next_cursor": cursor})

    async def _show(self, call_id: str) -> Answer:
        call = await self._book.call(call_id) if _CALL_ID.match(call_id) else None
        return _unknown() if call is None else _json(call)

    async def _trace(self, call_id: str, request: ApiRequest) -> Answer:
        trace = await self._book.trace(call_id) if _CALL_ID.match(call_id) else None
        if trace is None:
            return _unknown("No such call is kept, or nothing of what it said (node.trace).")
        if pcap.CONTENT_TYPE in request.headers.get("accept", "").lower():
            capture = await asyncio.to_thread(pcap.pcap, trace.messages)
            name = (("content-disposition", f'attachment; filename="{call_id}.pcap"'),)
            return Answer(200, pcap.CONTENT_TYPE, capture, (*name, ("vary", "Accept")))
        body = await asyncio.to_thread(lambda: msgspec.json.encode(to_document(trace)))
        return Answer(200, JSON, body, (("vary", "Accept"),))


def _page_of(query: str) -> _Page:
    if len(query) > QUERY_MAX:
        raise _BadParameterError("", f"The query has more than {QUERY_MAX} characters.")
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=16))
    except ValueError:
        raise _BadParameterError("", "The query has too many parameters.") from None
    for name in given:
        if name not in {"state", "cursor", "limit", "party"}:
            raise _BadParameterError(
                name, f"{name[:64]!r} is no parameter; there are state, party, limit and cursor."
            )
    state, limit, party = given.get("state", ""), given.get("limit", ""), given.get("party", "")
    if state and state not in _STATES:
        raise _BadParameterError("state", "The state is active or ended.")
    if limit and not (re.fullmatch(r"[0-9]{1,4}", limit) and 1 <= int(limit) <= LIMIT_MAX):
        raise _BadParameterError("limit", f"The limit is a whole number from 1 to {LIMIT_MAX}.")
    if len(party) > PARTY_MAX:
        raise _BadParameterError("party", f"The party has at most {PARTY_MAX} characters.")
    both = frozenset({"active", "ended"})
    before = _read_cursor(given.get("cursor", ""))
    return _Page(_STATES.get(state, both), before, party, int(limit) if limit else LIMIT_DEFAULT)


def _read_cursor(cursor: str) -> str:
    if not cursor:
        return ""
    try:
        call_id = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        call_id = ""
    if not _CALL_ID.match(call_id):
        raise _BadParameterError("cursor", "The cursor is none that this API gave out.")
    return call_id


def _unknown(detail: str = "No such call is live or kept.") -> Answer:
    return problem(404, "call-not-found", detail)


def problem(
    status: int, slug: str, detail: str, *, name: str | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """Return a problem document (RFC 9457).

    Args:
        status: HTTP status.
        slug: stable word for `type`.
        detail: one sentence for people.
        name: the parameter that is at fault, None when none is.
        headers: further headers.
    """
    document: dict[str, object] = {
        "type": slug,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if name is not None:
        document["field"] = name
    return Answer(status, PROBLEM, msgspec.json.encode(document), headers)


def _json(document: object) -> Answer:
    return Answer(200, JSON, msgspec.json.encode(document))
