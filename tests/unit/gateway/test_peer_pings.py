"""Pings of peers: when they go out, which answers are signs of life, and what calls add to it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidestream.call.facts import CallRang, PeerGivenUp, PeerTried
from sidestream.call.peer_health import PeerState
from sidestream.config import parse
from sidestream.gateway.clock import Clock
from sidestream.gateway.options_probes import Asker
from sidestream.gateway.peer_pings import PeerPings, peer_of
from sidestream.observe.logging import logger
from sidestream.sip.builder import response_to
from sidestream.sip.events import (
    ClientKey,
    ClientSilent,
    ClientTimedOut,
    ClientTransportFailed,
    ResponseReceived,
)
from unit.gateway.fake_gateway import PEER, FakeSip

pytestmark = pytest.mark.asyncio

ONE, TWO, QUIET = "sip:192.0.2.1", "sip:192.0.2.2;transport=udp", "sip:192.0.2.3"
TEXT = f"""
node: {{name: gw, sip: [udp://127.0.0.1:5060], media: {{address: 127.0.0.1}}}}
accounts:
  - name: acme
    voice_services:
      - name: carrier
        kind: carrier
        trunk: {{peers: [{{uri: "{ONE}"}}, {{uri: "{TWO}"}}], options_ping: 30s}}
      - name: desk
        kind: contact_center
        trunk: {{peers: [{{uri: "{QUIET}"}}]}}
"""
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Pinging:
    """The pings of two trunks on a fake stack."""

    def __init__(self, chance: float = 0.0, text: str = TEXT) -> None:
        self.now = 100.0
        self.sip = FakeSip()
        clock = Clock(monotonic=lambda: self.now)
        self.pings = PeerPings(
            parse(text.encode(), "test.yaml", Path("/"), {}), chance=lambda: chance, clock=clock, log=logger()
        )
        asker = Asker(
            from_uri="sip:gw@127.0.0.1", contact="<sip:127.0.0.1>", user_agent="S/1", token=lambda: "t"
        )
        self.pings.attach(self.sip, lambda _uri: asker)

    @property
    def asked(self) -> list[str]:
        return [sent.uri for _, sent, _ in self.sip.sent]

    async def ping(self, status: int | None) -> None:
        """One round in which the first peer answers so, or not at all, and the second answers 200."""
        self.sip.sent.clear()
        await self.pings.look()
        for (key, sent, _), answer in zip(list(self.sip.sent), (status, 200), strict=True):
            if answer is None:
                assert self.pings.take(ClientTransportFailed(key))
            else:
                assert self.pings.take(ResponseReceived(key, response_to(sent, answer), PEER))
        self.now += 30

    def state(self, uri: str = ONE) -> PeerState:
        return self.pings.book.state(uri, self.now)


async def test_only_trunks_that_want_it_are_pinged_at_their_interval() -> None:
    pinging = Pinging()
    await pinging.pings.look()
    await pinging.pings.look()
    assert pinging.asked == [ONE, TWO]
    pinging.now += 29.9
    await pinging.pings.look()
    assert len(pinging.asked) == 2
    pinging.now += 0.2
    await pinging.pings.look()
    assert len(pinging.asked) == 4
    _, sent, _ = pinging.sip.sent[0]
    assert (sent.method, sent.headers.get("From")) == ("OPTIONS", "<sip:gw@127.0.0.1>;tag=t")


async def test_the_first_pings_are_spread() -> None:
    pinging = Pinging(chance=0.5)
    await pinging.pings.look()
    assert pinging.asked == []
    pinging.now += 2.5
    await pinging.pings.look()
    assert pinging.asked == [ONE, TWO]


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 405, 481, 486, 500, 501, 603])
async def test_any_other_final_answer_is_a_sign_of_life(status: int) -> None:
    pinging = Pinging()
    for _ in range(5):
        await pinging.ping(status)
    assert pinging.state() is PeerState.UP
    assert pinging.pings.pings["answered"] == 10


@pytest.mark.parametrize("status", [408, 502, 503, 504, None])
async def test_silence_and_these_answers_take_a_peer_down(status: int | None) -> None:
    pinging = Pinging()
    await pinging.ping(status)
    assert pinging.state() is PeerState.UP
    await pinging.ping(status)
    assert (pinging.state(), pinging.state(TWO)) == (PeerState.DOWN, PeerState.UP)
    assert pinging.pings.pings["failed" if status is None else "refused"] == 2
    await pinging.ping(200)
    await pinging.ping(200)
    assert pinging.state() is PeerState.UP


async def test_a_provisional_answer_and_silence_so_far_settle_nothing() -> None:
    pinging = Pinging()
    await pinging.pings.look()
    key, sent, _ = pinging.sip.sent[0]
    assert pinging.pings.take(ResponseReceived(key, response_to(sent, 100), PEER))
    assert pinging.pings.take(ClientSilent(key))
    assert pinging.pings.take(ClientTimedOut(key))
    assert not pinging.pings.take(ClientTimedOut(key))
    assert not pinging.pings.take(ClientTimedOut(ClientKey(4711)))
    assert pinging.pings.pings == {"failed": 1}


async def test_calls_take_peers_down_and_up_where_nobody_pings() -> None:
    pinging = Pinging()
    silent = PeerGivenUp(AT, 1, QUIET, 408, "no response")
    for _ in range(2):
        pinging.pings.hear(silent, QUIET)
    assert pinging.state(QUIET) is PeerState.DOWN
    pinging.pings.hear(CallRang(AT, 180), QUIET)
    assert pinging.state(QUIET) is PeerState.UP


@pytest.mark.parametrize(
    ("fact", "state"),
    [
        (PeerGivenUp(AT, 1, QUIET, 503, "503 Service Unavailable", answered=True), PeerState.DOWN),
        (PeerGivenUp(AT, 1, QUIET, 503, "out of reach"), PeerState.DOWN),
        (PeerGivenUp(AT, 1, QUIET, 487, "the caller gave up"), PeerState.UP),
        (PeerGivenUp(AT, 1, QUIET, 486, "486 Busy Here", answered=True), PeerState.UP),
        (PeerGivenUp(AT, 1, QUIET, 408, "408 Request Timeout", answered=True), PeerState.UP),
    ],
)
async def test_what_a_call_met_says_something_about_the_peer_or_not(
    fact: PeerGivenUp, state: PeerState
) -> None:
    pinging = Pinging()
    for _ in range(3):
        pinging.pings.hear(fact, QUIET)
    assert pinging.state(QUIET) is state


async def test_what_a_peer_says_to_a_call_brings_it_up() -> None:
    pinging = Pinging()
    for _ in range(2):
        pinging.pings.hear(PeerGivenUp(AT, 1, QUIET, 408, "no response"), QUIET)
    pinging.pings.hear(PeerGivenUp(AT, 1, QUIET, 486, "486 Busy Here", answered=True), QUIET)
    assert pinging.state(QUIET) is PeerState.UP


async def test_states_are_told_in_metrics_lines_and_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    pinging = Pinging()
    await pinging.ping(None)
    await pinging.ping(None)
    assert pinging.pings.up() == {
        ("acme", "carrier", ONE): 0.0,
        ("acme", "carrier", TWO): 1.0,
        ("acme", "desk", QUIET): 1.0,
    }
    assert pinging.pings.changes == {PeerState.DOWN: 1}
    assert pinging.pings.lines()[0] == f"peer acme/carrier {ONE} down for 30 s: out of reach"
    assert pinging.pings.lines()[1] == f"peer acme/carrier {TWO} up"
    assert "peer down" in capsys.readouterr().out


async def test_a_name_that_leads_nowhere_is_a_failed_ping() -> None:
    pinging = Pinging()
    pinging.sip.resolve_now = lambda uri: ()  # type: ignore[method-assign] # noqa: ARG005
    await pinging.pings.look()
    assert pinging.pings.pings["failed"] == 2


async def test_the_peer_of_a_call_is_the_one_tried_last() -> None:
    tried = PeerTried(AT, 1, ONE, "call-id")
    assert peer_of(tried, "") == ONE
    assert peer_of(CallRang(AT, 180), ONE) == ONE
    assert peer_of(replace(tried, uri=TWO), ONE) == TWO


async def test_a_peer_behind_a_proxy_is_pinged_through_it() -> None:
    text = TEXT.replace("options_ping: 30s", 'options_ping: 30s, outbound_proxy: "sip:192.0.2.99"')
    pinging = Pinging(text=text)
    await pinging.pings.look()
    key, sent, hops = pinging.sip.sent[0]
    assert (sent.uri, sent.headers.get("Route")) == (ONE, "<sip:192.0.2.99;lr>")
    assert hops
    assert pinging.pings.take(ResponseReceived(key, response_to(sent, 200), PEER))
