import json
from typing import Any, cast

import pytest

from sidestream.gateway.api import LIMIT_MAX, Answer, Api, ApiRequest
from sidestream.gateway.call_book import CallBook, CallsUnreadableError
from sidestream.observe.call_trace import CallTrace, from_document
from trace_script import a_call

TOKEN = "0123456789abcdef"
ID = a_call().call_id

pytestmark = pytest.mark.asyncio


class FakeBook:
    """Has calls 0 to 9, and a trace of one of them."""

    def __init__(self) -> None:
        self.asked: list[tuple[frozenset[str], str, str, int]] = []
        self.broken = False

    async def page(self, states: frozenset[str], before: str, party: str, limit: int) -> list[dict[str, Any]]:
        if self.broken:
            raise CallsUnreadableError("the disk is gone")
        self.asked.append((states, before, party, limit))
        ids = [f"019aa000-0000-7000-8000-{number:012}" for number in range(9, -1, -1)]
        return [{"call_id": each} for each in ids if not before or each < before][:limit]

    async def call(self, call_id: str) -> dict[str, Any] | None:
        return {"call_id": call_id} if call_id == ID else None

    async def trace(self, call_id: str) -> CallTrace | None:
        return a_call() if call_id == ID else None


class Asker:
    def __init__(self) -> None:
        self.book = FakeBook()
        self.api = Api(TOKEN, cast("CallBook", self.book))

    async def ask(
        self, path: str, *, token: str | None = TOKEN, method: str = "GET", **headers: str
    ) -> Answer:
        path, _, query = path.partition("?")
        given = headers | ({} if token is None else {"authorization": f"Bearer {token}"})
        return await self.api.answer(ApiRequest(method=method, path=path, query=query, headers=given))

    async def problem(
        self, path: str, *, token: str | None = TOKEN, method: str = "GET"
    ) -> tuple[int, str, str | None]:
        answer = await self.ask(path, token=token, method=method)
        document = json.loads(answer.body)
        assert answer.content_type == "application/problem+json"
        assert document["status"] == answer.status
        assert document["title"]
        assert document["detail"]
        return answer.status, document["type"], document.get("field")


@pytest.mark.parametrize("token", [None, "", "0123456789abcde", TOKEN + "0", "\xff"])
@pytest.mark.parametrize("path", ["/v1/calls", "/v1/nothing", f"/v1/calls/{ID}/trace"])
async def test_without_the_token_nothing_is_told(token: str | None, path: str) -> None:
    asker = Asker()
    assert await asker.problem(path, token=token) == (401, "unauthorized", None)
    assert asker.book.asked == []
    answer = await asker.ask(path, token=None, authorization=f"Basic {TOKEN}")
    assert (answer.status, answer.headers) == (401, (("www-authenticate", 'Bearer realm="sidestream"'),))


async def test_pages_follow_each_other_by_cursor() -> None:
    asker = Asker()
    seen: list[str] = []
    cursor: str | None = ""
    for _ in range(4):
        answer = await asker.ask(f"/v1/calls?limit=3&cursor={cursor}")
        page = json.loads(answer.body)
        seen += [call["call_id"][-1] for call in page["calls"]]
        cursor = page["next_cursor"]
    assert "".join(seen) == "9876543210"
    assert cursor is None
    assert (answer.status, answer.content_type) == (200, "application/json")


async def test_states_and_parties_are_handed_on() -> None:
    asker = Asker()
    await asker.ask("/v1/calls?state=active")
    await asker.ask("/v1/calls?state=ended&party=%2B1415&limit=7")
    await asker.ask("/v1/calls")
    assert asker.book.asked == [
        (frozenset({"active"}), "", "", 51),
        (frozenset({"ended"}), "", "+1415", 8),
        (frozenset({"active", "ended"}), "", "", 51),
    ]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        (f"limit={LIMIT_MAX + 1}", "limit"),
        ("limit=-1", "limit"),
        ("limit=9999999999999", "limit"),
        ("state=dead", "state"),
        ("cursor=x", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=Jycn", "cursor"),
        ("party=" + "x" * 200, "party"),
        ("colour=red", "colour"),
        ("&".join(f"a{number}=1" for number in range(20)), ""),
        ("party=" + "x" * 4000, ""),
    ],
)
async def test_a_parameter_that_is_none_is_named(query: str, name: str) -> None:
    assert await Asker().problem(f"/v1/calls?{query}") == (400, "bad-parameter", name)


@pytest.mark.parametrize(
    "path", ["/v1/calls/x", f"/v1/calls/{ID[:-1]}2", "/v1/calls/x/trace", f"/v1/calls/{ID.upper()}"]
)
async def test_calls_that_are_not_there(path: str) -> None:
    assert await Asker().problem(path) == (404, "call-not-found", None)


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/calls/", "/v1/calls/x/y", "/v1/calls/" + "x" * 65, f"/v1/calls/{ID}/trace/"]
)
async def test_paths_that_lead_nowhere(path: str) -> None:
    assert await Asker().problem(path) == (404, "not-found", None)


async def test_calls_can_only_be_read() -> None:
    asker = Asker()
    assert await asker.problem("/v1/calls", method="POST") == (405, "method-not-allowed", None)
    assert ("allow", "GET, HEAD") in (await asker.ask(f"/v1/calls/{ID}", method="DELETE")).headers


async def test_a_call_and_its_trace_are_shown() -> None:
    asker = Asker()
    assert json.loads((await asker.ask(f"/v1/calls/{ID}")).body) == {"call_id": ID}
    trace = await asker.ask(f"/v1/calls/{ID}/trace")
    assert from_document(json.loads(trace.body)) == a_call()
    capture = await asker.ask(f"/v1/calls/{ID}/trace", accept="Application/vnd.tcpdump.pcap, */*;q=0.1")
    assert (capture.content_type, capture.body[:4]) == ("application/vnd.tcpdump.pcap", b"\xd4\xc3\xb2\xa1")


async def test_a_store_that_cannot_be_read_is_told() -> None:
    asker = Asker()
    asker.book.broken = True
    assert await asker.problem("/v1/calls") == (503, "calls-unreadable", None)
