"""Signs of life of recording servers: who is asked, and what an answer or none means."""

import asyncio

import pytest

from sidestream.gateway import options_probes, recorder_probes
from sidestream.gateway.clock import Clock
from sidestream.gateway.recorder_probes import RecorderProbes
from sidestream.observe.logging import logger
from sidestream.sip.builder import response_to
from sidestream.sip.events import ClientKey, ClientTimedOut, ClientTransportFailed, ResponseReceived
from sidestream.siprec.context import ClientIdentity
from sidestream.siprec.group import Circuit, GroupPolicy, ServerGroup
from sidestream.siprec.profile import Server
from unit.gateway.fake_gateway import FakeSip
from unit.gateway.fake_recorder import FIRST, SECOND, from_recorder

pytestmark = pytest.mark.asyncio


class Probing:
    """The probes of a group on a fake stack."""

    def __init__(self, *servers: str) -> None:
        self.now = 100.0
        self.sip = FakeSip()
        self.suspected: list[str] = []
        listed = tuple(Server(uri=uri) for uri in servers or (FIRST,))
        self.group = ServerGroup(listed, GroupPolicy(probe_s=30.0), lambda: 0.0)
        self.probes = RecorderProbes(
            self.sip,
            self._identify,
            self.suspected.append,
            clock=Clock(monotonic=lambda: self.now),
            log=logger(),
        )
        self.probes.watch(("acme", "keep"), self.group)

    def _identify(self, _server: Server) -> ClientIdentity:
        return ClientIdentity(
            from_uri="sip:gw@127.0.0.1",
            contact_uri="sip:gw@127.0.0.1:5060",
            token=lambda: "token",
            chance=lambda: 0.0,
            user_agent="Sidestream/1",
        )

    def answer(self, status: int = 200) -> bool:
        key, sent, _ = self.sip.sent[-1]
        return self.probes.take(ResponseReceived(key, response_to(sent, status), from_recorder()))

    def circuit(self) -> Circuit:
        return self.group.circuit(FIRST, self.now)


async def test_each_server_is_asked_at_its_interval() -> None:
    probing = Probing(FIRST, SECOND)
    await probing.probes.look()
    await probing.probes.look()
    assert [sent.uri for _, sent, _ in probing.sip.sent] == [FIRST, SECOND]
    probing.now += 30
    await probing.probes.look()
    assert len(probing.sip.sent) == 4
    _, sent, _ = probing.sip.sent[0]
    assert sent.method == "OPTIONS"
    assert sent.headers.get("Contact") == "<sip:gw@127.0.0.1:5060>;+sip.src"


@pytest.mark.parametrize("status", [200, 405, 503])
async def test_any_answer_is_a_sign_of_life(status: int) -> None:
    probing = Probing()
    await probing.probes.look()
    assert probing.answer(status)
    assert (probing.circuit(), probing.suspected) == (Circuit.CLOSED, [])
    assert not probing.answer(status)


async def test_a_provisional_answer_is_none_yet() -> None:
    probing = Probing()
    await probing.probes.look()
    assert probing.answer(100)
    assert probing.answer(200)


@pytest.mark.parametrize("event", [ClientTimedOut, ClientTransportFailed])
async def test_failures_in_a_row_take_a_server_out_and_an_answer_brings_it_back(
    event: type[ClientTimedOut] | type[ClientTransportFailed], capsys: pytest.CaptureFixture[str]
) -> None:
    probing = Probing()
    for _ in range(3):
        await probing.probes.look()
        key, _, _ = probing.sip.sent[-1]
        assert probing.probes.take(event(key))
        probing.now += 30
    assert probing.suspected == [FIRST] * 3
    probing.now -= 30
    assert probing.circuit() is Circuit.OPEN
    probing.now += 30
    await probing.probes.look()
    probing.answer()
    assert probing.circuit() is Circuit.CLOSED
    said = capsys.readouterr().out
    assert said.count("recorder out of service") == said.count("recorder in service") == 1


async def test_a_probe_is_not_waited_for_as_long_as_a_transaction_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options_probes, "PROBE_WAIT_S", 0.0)
    probing = Probing()
    await probing.probes.look()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert probing.suspected == [FIRST]
    assert not probing.answer()


async def test_a_name_that_leads_nowhere_is_a_failed_probe() -> None:
    probing = Probing("sip:srs.example;transport=tcp")
    probing.sip.hops = ()
    probing.sip.answered.set()
    await probing.probes.look()
    assert probing.suspected == ["sip:srs.example;transport=tcp"]


async def test_one_server_that_cannot_be_asked_keeps_no_other_from_it() -> None:
    probing = Probing("no uri", SECOND)

    def refuse(uri: str) -> tuple[()]:
        if uri == "no uri":
            raise RuntimeError("a bug")
        return ()

    probing.sip.resolve_now = refuse  # type: ignore[method-assign]
    await probing.probes.look()
    assert probing.suspected == [SECOND]


async def test_what_is_no_probe_is_somebody_elses() -> None:
    probing = Probing()
    assert not probing.probes.take(ClientTimedOut(ClientKey(4711)))


async def test_probing_goes_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_probes, "LOOK_S", 0.0)
    probing = Probing()
    running = asyncio.get_running_loop().create_task(probing.probes.run())
    for _ in range(5):
        await asyncio.sleep(0)
    probing.now += 30
    for _ in range(5):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(probing.sip.sent) == 2
