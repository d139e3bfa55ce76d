"""The SIP stack as its user sees it: events, keys, failures of the user's own, opening and closing."""

import asyncio
import gc
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateway.sip_peer import (
    FAST,
    TCP,
    UDP,
    Party,
    closed_hop,
    ok,
    options,
    party,
    request,
    udp_socket,
    until,
    wire,
)
from sidestream.gateway.sip_options import ListenAddress
from sidestream.gateway.sip_sockets import ListenError
from sidestream.gateway.sip_stack import SipStack
from sidestream.sip.builder import response_to
from sidestream.sip.events import (
    AckReceived,
    AckTimedOut,
    CancelReceived,
    ClientTransportFailed,
    RequestReceived,
    ResponseReceived,
)
from sidestream.sip.hop import Hop
from sidestream.sip.message import Request

pytestmark = pytest.mark.asyncio


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue  # the directory's own
    return sorted(name for name in found if name.startswith("socket:"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_thousand_requests_leave_nothing_behind(transport: str) -> None:
    before, tasks = descriptors(), len(asyncio.all_tasks())
    setup = options(replace(FAST, t1=0.02))
    async with party(setup=setup) as one, party(setup=setup) as other:
        hop = other.hop("udp" if transport == "udp" else "tcp")
        for count in range(50, 1001, 50):
            for _ in range(50):
                one.stack.send_request(request(), (hop,))
            await one.wait(ResponseReceived, count)
        assert len(other.of(RequestReceived)) == 1000
        assert not one.of(ClientTransportFailed)
        await until(lambda: one.stack.transactions == other.stack.transactions == 0)
        assert len(asyncio.all_tasks()) <= tasks + 2, "a sweep for each stack and nothing else"
    await asyncio.sleep(0.01)
    gc.collect()
    assert descriptors() == before
    assert len(asyncio.all_tasks()) == tasks


def ring_and_answer(party: Party, event: RequestReceived) -> None:
    if event.request.method == "INVITE":
        party.stack.respond(event.key, response_to(event.request, 180, to_tag="t"))
        party.stack.respond(event.key, response_to(event.request, 200, to_tag="t"))
    else:
        ok(party, event)


def ack(invite: Request, answer: ResponseReceived) -> Request:
    made = invite.copy()
    made.method = "ACK"
    made.headers.set("CSeq", "1 ACK")
    made.headers.set("To", answer.response.headers.get("To") or "")
    return made


async def test_a_2xx_is_sent_again_until_it_is_confirmed() -> None:
    setup = options(FAST)
    async with party(UDP, setup=setup) as one, party(UDP, answer=ring_and_answer, setup=setup) as other:
        invite = request("INVITE")
        one.stack.send_request(invite, (other.hop("udp"),))
        await one.wait(ResponseReceived, 4)
        answers = [event for event in one.of(ResponseReceived) if event.response.status == 200]
        one.stack.send_ack(ack(invite, answers[0]), other.hop("udp"))
        acknowledged = await other.wait(AckReceived)
        assert acknowledged.request.call_id == invite.call_id
        other.stack.confirm_2xx(other.of(RequestReceived)[0].key)
        sent = other.stack.counts.sent["udp"]
        await asyncio.sleep(4 * FAST.t2)
        assert other.stack.counts.sent["udp"] == sent
        assert not other.of(AckTimedOut)


async def test_a_2xx_that_is_never_acknowledged_is_told() -> None:
    setup = options(FAST)
    async with party(UDP, setup=setup) as one, party(UDP, answer=ring_and_answer, setup=setup) as other:
        one.stack.send_request(request("INVITE"), (other.hop("udp"),))
        assert (await other.wait(AckTimedOut)).key == other.of(RequestReceived)[0].key


async def test_a_cancel_reaches_the_invite() -> None:
    async with party(UDP) as one, party(UDP, answer=None) as other:
        key = one.stack.send_request(request("INVITE"), (other.hop("udp"),))
        one.stack.cancel(key, "SIP;cause=200")
        event = await other.wait(RequestReceived)
        other.stack.respond(event.key, response_to(event.request, 180, to_tag="t"))
        cancelled = await other.wait(CancelReceived)
        assert cancelled.key == event.key
        assert cancelled.request.headers.get("Reason") == "SIP;cause=200"
        other.stack.respond(event.key, response_to(event.request, 487, to_tag="t"))
        await one.wait(ResponseReceived, 2)
        assert one.of(ResponseReceived)[-1].response.status == 487


async def test_100_comes_from_the_timer() -> None:
    async with party(UDP, setup=options(FAST)) as one, party(UDP, answer=None, setup=options(FAST)) as other:
        one.stack.send_request(request("INVITE"), (other.hop("udp"),))
        assert (await one.wait(ResponseReceived)).response.status == 100


async def test_what_a_handler_raises_stops_nobody() -> None:
    def fail_first(party: Party, event: RequestReceived) -> None:
        if len(party.of(RequestReceived)) == 1:
            raise ValueError("of the user's own")
        ok(party, event)

    async with party(UDP) as one, party(UDP, answer=fail_first) as other:
        one.stack.send_request(request(), (other.hop("udp"),))
        one.stack.send_request(request(), (other.hop("udp"),))
        await one.wait(ResponseReceived)
        assert other.stack.counts.handler_failures == 1


@pytest.mark.parametrize(
    "hop", [Hop("udp", "name.invalid", 5060), Hop("tls", "127.0.0.1", 5061), closed_hop("tcp")]
)
async def test_a_key_is_known_before_anything_is_heard_of_it(hop: Hop) -> None:
    async with party() as one:
        key = one.stack.send_request(request(), (hop,))
        assert not one.heard
        assert (await one.wait(ClientTransportFailed)).key == key
        assert len(one.heard) == 1


async def test_a_handler_may_send() -> None:
    def call_back(party: Party, event: RequestReceived) -> None:
        party.stack.send_request(request(), (event.source.hop,))
        ok(party, event)

    async with party(UDP) as one, party(UDP, answer=call_back) as other:
        one.stack.send_request(request(), (other.hop("udp"),))
        await one.wait(ResponseReceived)
        await other.wait(ResponseReceived)


async def test_names_and_numbers_are_resolved() -> None:
    async with party() as one:
        hops = await one.stack.resolve("sip:localhost:5070")
        assert hops == (Hop("udp", "127.0.0.1", 5070), Hop("tcp", "127.0.0.1", 5070))
        assert one.stack.resolve_now("sip:localhost:5070") == hops
        assert one.stack.resolve_now("sip:elsewhere.invalid") is None
        assert one.stack.resolve_now("sip:127.0.0.1;transport=TCP") == (Hop("tcp", "127.0.0.1", 5060),)
        for nowhere in ("sip:elsewhere.invalid", "tel:123", "sip:[::1]", "sip:127.0.0.1;transport=sctp"):
            assert await one.stack.resolve(nowhere) == ()


async def test_a_socket_that_is_taken_is_told_and_none_is_left_open() -> None:
    before = descriptors()
    with udp_socket() as taken:
        host, port = taken.getsockname()
        for wanted in (ListenAddress("udp", host, port), ListenAddress("udp", "192.0.2.1", 0)):
            with pytest.raises(ListenError, match="cannot listen on udp://") as caught:
                await SipStack.open((TCP, wanted), lambda _: None, options())
            assert caught.value.hint
    with pytest.raises(ListenError, match="certificate"):
        await SipStack.open((ListenAddress("tls", "127.0.0.1", 0),), lambda _: None, options())
    with pytest.raises(ListenError, match="nothing"):
        await SipStack.open((), lambda _: None, options())
    gc.collect()
    assert descriptors() == before


async def test_every_interface_may_be_listened_on() -> None:
    anywhere = (ListenAddress("udp", "0.0.0.0", 0), ListenAddress("tcp", "0.0.0.0", 0))  # noqa: S104
    async with party(*anywhere) as one, party() as other:
        for transport in ("udp", "tcp"):
            one.stack.send_request(request(), (other.hop("udp" if transport == "udp" else "tcp"),))
        event = await other.wait(RequestReceived, 2)
        assert event.request.top_via.host == "127.0.0.1"
        assert "0.0.0.0" not in "".join(one.stack.contacts.values())  # noqa: S104
        await one.wait(ResponseReceived, 2)


async def test_the_advertised_address_is_told() -> None:
    setup = replace(options(), advertise="203.0.113.5")
    async with party(setup=setup) as one, party() as other:
        one.stack.send_request(request(), (other.hop("udp"),))
        event = await other.wait(RequestReceived)
        port = one.stack.bound[0].port
        assert event.request.top_via.sent_by == f"203.0.113.5:{port}"
        assert one.stack.contacts["udp"] == f"sip:203.0.113.5:{port}"
        await one.wait(ResponseReceived)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
async def test_ipv6_works_alike() -> None:
    both = (ListenAddress("udp", "::1", 0), ListenAddress("tcp", "::1", 0))
    async with party(*both) as one, party(*both) as other:
        for count, transport in enumerate(("udp", "tcp"), 1):
            one.stack.send_request(request(), (other.hop("udp" if transport == "udp" else "tcp"),))
            event = await other.wait(RequestReceived, count)
            assert event.request.top_via.host == "[::1]"
            await one.wait(ResponseReceived, count)
        one.stack.send_request(request(), (Hop("udp", "::1", closed_hop("udp").port),))
        await one.wait(ClientTransportFailed)
        assert one.stack.contacts["udp"] == f"sip:[::1]:{one.stack.bound[0].port}"


async def test_after_closing_nothing_is_heard_and_the_ports_are_free() -> None:
    async with party() as one:
        bound = one.stack.bound
        await one.stack.close()
        with udp_socket() as peer:
            peer.sendto(wire("UDP 127.0.0.1:9"), (bound[0].host, bound[0].port))
        async with party(*bound) as again, party() as other:
            other.stack.send_request(request(), (again.hop("udp"),))
            await other.wait(ResponseReceived)
        await one.stack.close()
        assert not one.heard


async def test_closing_sends_what_was_said_last() -> None:
    async with party() as one, party() as other:
        for _ in range(20):
            one.stack.send_request(request(body=b"x" * 10_000), (other.hop("tcp"),))
        await one.stack.close()
        await other.wait(RequestReceived, 20)
