"""Registrations of trunks: what is sent, when, and how calls follow."""

import asyncio
from pathlib import Path

import pytest

from sidestream.config import parse
from sidestream.config.model import Configuration
from sidestream.gateway.admission import Admission, Admitted
from sidestream.gateway.clock import Clock
from sidestream.gateway.registrations import Registrations, RegistrationTools
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metrics
from sidestream.sip.builder import response_to
from sidestream.sip.events import ClientTimedOut, ClientTransportFailed, ResponseReceived
from sidestream.sip.message import Response
from sidestream.sip.registration import State, Verdict
from unit.gateway.fake_gateway import PEER, FakeSip
from unit.gateway.samples import request, source

TEXT = """
node:
  name: gw
  sip: [udp://127.0.0.1:5060, tcp://127.0.0.1:5060]
  media: {address: 127.0.0.1, ports: 20000-29999}
accounts:
  - name: acme
    voice_services:
      - name: provider
        kind: carrier
        trunk:
          peers: [{uri: "sip:192.0.2.33:5090"}, {uri: "sip:192.0.2.34:5090", priority: 2}]
          auth: {username: u, password: p}
          register: REGISTER
      - name: desk
        kind: contact_center
        trunk: {match: [192.0.2.0/28]}
    routes: [{from: desk, to: provider}]
"""
KEY = ("acme", "provider")


def config(register: str = '{aor: "sip:desk@provider.test"}') -> Configuration:
    return parse(TEXT.replace("REGISTER", register).encode(), "test.yaml", Path("/"), {})


class Site:
    """Registrations over a stack that a test plays."""

    def __init__(self, conf: Configuration | None = None) -> None:
        self.now = 1000.0
        self.sip, self.metrics = FakeSip(), Metrics()
        conf = conf or config()
        self.admission = Admission(conf, self.now)
        self.all = Registrations(
            conf,
            RegistrationTools(
                sip=self.sip,
                contacts={"udp": "sip:127.0.0.1:5060", "tcp": "sip:127.0.0.1:5060;transport=tcp"},
                user_agent="Sidestream/1",
                clients=self.admission.clients,
                metrics=self.metrics,
                clock=Clock(monotonic=lambda: self.now),
                log=logger(),
            ),
        )
        self.admission.way_of = self.all.way_of

    @property
    def state(self) -> State:
        status = self.all.status_of(KEY)
        assert status is not None
        return status.state

    def answer(self, status: int, *headers: tuple[str, str], number: int = -1) -> bool:
        key, sent, _ = self.sip.sent[number]
        response: Response = response_to(sent, status, to_tag="x")
        for name, value in headers:
            response.headers.add(name, value)
        if status == 200:
            response.headers.add("Contact", sent.headers.get("Contact") or "")
        return self.all.take(ResponseReceived(key, response, PEER))


@pytest.mark.asyncio
async def test_a_trunk_is_registered_at_its_peer_with_its_credentials() -> None:
    site = Site()
    site.all.start()
    ((_, sent, _),) = site.sip.sent
    assert (sent.method, sent.uri) == ("REGISTER", "sip:provider.test")
    assert sent.headers.get("Contact") == "<sip:desk@127.0.0.1:5060>;expires=3600"
    assert site.answer(401, ("WWW-Authenticate", 'Digest realm="r", nonce="n"'))
    assert "Authorization" in site.sip.sent[-1][1].headers
    assert site.answer(200)
    assert site.state is State.REGISTERED
    exposed = site.metrics.expose().decode()
    assert 'sidestream_registration_rounds_total{verdict="registered"} 1.0' in exposed
    site.now += 60
    read = {metric.name: value for metric, value in site.all.read_metrics().items()}
    assert read["sidestream_registration_up"] == {KEY: 1.0}
    assert read["sidestream_registration_age_seconds"] == {KEY: 60.0}
    assert read["sidestream_registration_state"] == {(*KEY, "registered", "registered"): 1.0}
    await site.all.close()


@pytest.mark.asyncio
async def test_calls_to_a_registered_trunk_go_by_its_service_route_and_its_registrar_first() -> None:
    site = Site()
    site.all.start()
    first = site.admission.admit(request(), source(), site.now)
    assert isinstance(first, Admitted)
    assert [peer.routes for peer in first.peers] == [(), ()]
    site.answer(503)
    site.answer(200, ("Service-Route", "<sip:edge.test;lr>"))
    decision = site.admission.admit(request(), source(), site.now)
    assert isinstance(decision, Admitted)
    assert [peer.uri for peer in decision.peers] == ["sip:192.0.2.34:5090", "sip:192.0.2.33:5090"]
    assert {peer.routes for peer in decision.peers} == {("<sip:edge.test;lr>",)}
    assert {peer.way for peer in decision.peers} == {"sip:edge.test;lr"}
    await site.all.close()


@pytest.mark.asyncio
async def test_silence_and_failed_transports_are_rounds_that_failed() -> None:
    site = Site()
    site.all.start()
    assert site.all.take(ClientTimedOut(site.sip.sent[-1][0]))
    assert site.all.take(ClientTransportFailed(site.sip.sent[-1][0]))
    status = site.all.status_of(KEY)
    assert status is not None
    assert (status.state, status.verdict) == (State.FAILED, Verdict.UNREACHABLE)
    assert not site.all.take(ClientTimedOut(site.sip.sent[-1][0])), "what is over is over"
    await site.all.close()


@pytest.mark.asyncio
async def test_a_provisional_response_ends_nothing() -> None:
    site = Site()
    site.all.start()
    assert site.answer(100)
    assert site.answer(200)
    assert site.state is State.REGISTERED
    await site.all.close()


@pytest.mark.asyncio
async def test_other_events_are_not_taken() -> None:
    site = Site()
    site.all.start()
    key, sent, _ = site.sip.sent[-1]
    assert not site.all.take(ResponseReceived(type(key)(key + 1), response_to(sent, 200), PEER))
    await site.all.close()


@pytest.mark.asyncio
async def test_a_registrar_that_is_named_is_looked_up() -> None:
    site = Site(config('{aor: "sip:desk@provider.test", registrars: "sip:registrar.example"}'))
    site.all.start()
    assert site.sip.sent == []
    site.sip.answered.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert site.sip.looked_up == ["sip:registrar.example"]
    assert len(site.sip.sent) == 1
    await site.all.close()


@pytest.mark.asyncio
async def test_a_registrar_without_an_address_is_out_of_reach() -> None:
    site = Site(config('{aor: "sip:desk@provider.test", registrars: "sip:registrar.example"}'))
    site.sip.hops = ()
    site.sip.answered.set()
    site.all.start()
    for _ in range(5):
        await asyncio.sleep(0)
    status = site.all.status_of(KEY)
    assert status is not None
    assert status.verdict is Verdict.UNREACHABLE
    await site.all.close()


@pytest.mark.asyncio
async def test_stopping_takes_it_back_and_waits_for_the_answer() -> None:
    site = Site()
    site.all.start()
    site.answer(200)
    stopping = asyncio.ensure_future(site.all.stop())
    await asyncio.sleep(0)
    assert site.sip.sent[-1][1].headers.get("Expires") == "0"
    assert not stopping.done()
    site.answer(200)
    await stopping
    assert site.state is State.ENDED
    await site.all.close()


@pytest.mark.asyncio
async def test_an_answer_that_comes_after_the_farewell_changes_nothing() -> None:
    site = Site()
    site.all.start()
    stopping = asyncio.ensure_future(site.all.stop())
    await asyncio.sleep(0)
    assert not site.answer(200, number=0)
    assert site.answer(200)
    await stopping
    await site.all.close()


@pytest.mark.asyncio
async def test_gin_and_transports_make_the_contact() -> None:
    register = '{aor: "sip:pbx@provider.test", registrars: "sip:192.0.2.33;transport=tcp", gin: true}'
    site = Site(config(register))
    site.all.start()
    sent = site.sip.sent[-1][1]
    assert sent.headers.get("Contact") == "<sip:127.0.0.1:5060;transport=tcp;bnc>;expires=3600"
    assert sent.headers.get("Require") == "gin"
    await site.all.close()


@pytest.mark.asyncio
async def test_trunks_of_suspended_accounts_are_not_registered() -> None:
    text = TEXT.replace("REGISTER", '{aor: "sip:a@b.test"}').replace(
        "name: acme", "name: acme\n    suspended: true"
    )
    site = Site(parse(text.encode(), "test.yaml", Path("/"), {}))
    site.all.start()
    assert site.sip.sent == []
    assert site.all.status_of(KEY) is None
    await site.all.stop()


def test_calls_from_a_registrar_are_the_trunks() -> None:
    conf = config('{aor: "sip:desk@provider.test", registrars: "sip:192.0.2.77", proxy: "sip:192.0.2.78"}')
    admission = Admission(conf, 0.0)
    for host in ("192.0.2.33", "192.0.2.77", "192.0.2.78"):
        found = admission.trunk_of(source(host, 5060))
        assert found is not None
        assert found.trunk == "provider"
