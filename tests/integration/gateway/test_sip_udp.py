"""SIP over UDP on real sockets."""

import asyncio
import errno
import socket
import time
from typing import cast

import pytest

from integration.gateway.sip_peer import (
    FAST,
    TCP,
    UDP,
    closed_hop,
    hop_to,
    ok,
    options,
    party,
    receive,
    request,
    udp_socket,
    until,
    wire,
)
from sidestream.gateway.sip_options import ListenAddress, StackCounts
from sidestream.gateway.sip_udp import UdpListener
from sidestream.sip.events import ClientTimedOut, ClientTransportFailed, RequestReceived, ResponseReceived
from sidestream.sip.framing import FramingError
from sidestream.sip.hop import Hop, Source
from sidestream.sip.tls_failure import TlsTrouble

pytestmark = pytest.mark.asyncio


async def test_a_request_is_answered() -> None:
    async with party(UDP) as one, party(UDP) as other:
        key = one.stack.send_request(request(), (other.hop("udp"),))
        event = await one.wait(ResponseReceived)
        assert (event.key, event.response.status) == (key, 200)
        assert event.source.port == other.stack.bound[0].port
        assert one.stack.counts.sent["udp"] == one.stack.counts.received["udp"] == 1


async def test_a_request_is_sent_again_until_it_is_answered() -> None:
    async with party(UDP, setup=options(FAST)) as one:
        with udp_socket() as peer:
            one.stack.send_request(request("INVITE"), (hop_to("udp", peer),))
            first, second = await receive(peer), await receive(peer)
            assert first == second
            await until(lambda: one.stack.counts.sent["udp"] >= 4)
        await one.wait(ClientTransportFailed)


async def test_silence_times_out() -> None:
    async with party(UDP, setup=options(FAST)) as one:
        with udp_socket() as peer:
            key = one.stack.send_request(request(), (hop_to("udp", peer),))
            assert (await one.wait(ClientTimedOut)).key == key


async def test_a_repeated_request_is_told_once_and_answered_alike() -> None:
    async with party(UDP) as one:
        with udp_socket() as peer:
            host, port = peer.getsockname()
            data = wire(f"UDP {host}:{port}")
            answers = set()
            for _ in range(3):
                peer.sendto(data, (one.hop("udp").host, one.hop("udp").port))
                answers.add(await receive(peer))
            assert len(answers) == 1
            assert len(one.of(RequestReceived)) == 1


async def test_rport_brings_the_answer_to_where_the_request_came_from() -> None:
    async with party(UDP) as one:
        with udp_socket("127.0.0.7") as peer:
            port = peer.getsockname()[1]
            peer.sendto(wire("UDP 192.0.2.9:9;rport"), (one.hop("udp").host, one.hop("udp").port))
            answer = await receive(peer)
            assert f"rport={port}".encode() in answer
            assert b"received=127.0.0.7" in answer


async def test_without_rport_the_answer_goes_to_the_port_of_the_via() -> None:
    async with party(UDP) as one:
        with udp_socket() as sender, udp_socket() as named:
            data = wire(f"UDP 127.0.0.1:{named.getsockname()[1]}")
            sender.sendto(data, (one.hop("udp").host, one.hop("udp").port))
            assert (await receive(named)).startswith(b"SIP/2.0 200")


async def test_what_cannot_be_read_is_refused_and_the_next_one_answered() -> None:
    async with party(UDP) as one:
        with udp_socket() as peer:
            to = (one.hop("udp").host, one.hop("udp").port)
            host, port = peer.getsockname()
            for junk in (b"", b"\r\n\r\n", b"\xff\x00" * 500, b"OPTIONS"):
                peer.sendto(junk, to)
            peer.sendto(wire(f"UDP {host}:{port}").replace(b"CSeq: 1", b"CSeq: x"), to)
            assert (await receive(peer)).startswith(b"SIP/2.0 400")
            peer.sendto(wire(f"UDP {host}:{port}"), to)
            assert (await receive(peer)).startswith(b"SIP/2.0 200")
            assert one.stack.counts.layer.malformed == 3


async def test_a_burst_is_answered_whole() -> None:
    async with party(UDP) as one:
        with udp_socket() as peer:
            host, port = peer.getsockname()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            for _ in range(150):
                peer.sendto(wire(f"UDP {host}:{port}"), (one.hop("udp").host, one.hop("udp").port))
            answers = [await receive(peer) for _ in range(150)]
            assert all(answer.startswith(b"SIP/2.0 200") for answer in answers)


async def test_a_closed_port_fails_at_once_and_the_socket_still_hears() -> None:
    async with party(UDP) as one, party(UDP) as other:
        for count in (1, 2, 3):
            one.stack.send_request(request(), (closed_hop("udp"),))
            await one.wait(ClientTransportFailed, count)
            one.stack.send_request(request(), (other.hop("udp"),))
            await one.wait(ResponseReceived, count)
        other.stack.send_request(request(), (one.hop("udp"),))
        await other.wait(ResponseReceived)


async def test_a_closed_port_leads_to_the_next_hop() -> None:
    async with party(UDP) as one, party(UDP) as other:
        key = one.stack.send_request(request("INVITE"), (closed_hop("udp"), other.hop("udp")))
        assert (await one.wait(ResponseReceived)).key == key
        assert not one.of(ClientTransportFailed)


async def test_one_peers_error_is_not_anothers() -> None:
    async with party(UDP) as one, party(UDP) as other:
        dead = closed_hop("udp")
        for _ in range(50):
            one.stack.send_request(request(), (dead,))
            one.stack.send_request(request(), (other.hop("udp"),))
        await one.wait(ResponseReceived, 50)
        await one.wait(ClientTransportFailed, 50)


async def test_no_way_to_a_hop_fails_at_once() -> None:
    async with party(UDP) as one:
        for hop in (Hop("udp", "::1", 5060), Hop("udp", "name.invalid", 5060), Hop("udp", "192.0.2.1", 5060)):
            # The listener is bound to loopback, so the system refuses what is routed elsewhere.
            one.stack.send_request(request(), (hop,))
        await one.wait(ClientTransportFailed, 3)
        assert one.stack.counts.unreachable == 3


async def test_a_large_request_takes_tcp_where_the_peer_has_it() -> None:
    async with party() as one, party() as other:
        hops = (other.hop("udp"), other.hop("tcp"))
        one.stack.send_request(request(body=b"x" * 2000), hops)
        event = await other.wait(RequestReceived)
        assert event.source.transport == "tcp"
        assert event.request.top_via.transport.upper() == "TCP"
        one.stack.send_request(request(body=b"x" * 200), hops)
        assert (await other.wait(RequestReceived, 2)).source.transport == "udp"


async def test_a_large_request_goes_back_to_udp_where_tcp_is_refused() -> None:
    async with party() as one, party(UDP) as other:
        udp = other.hop("udp")
        uri = f"sip:{udp.host}:{udp.port}"
        hops = await one.stack.resolve(uri)
        assert [hop.transport for hop in hops] == ["udp", "tcp"]
        one.stack.send_request(request(body=b"x" * 20_000), hops)
        assert (await other.wait(RequestReceived)).source.transport == "udp"
        await one.wait(ResponseReceived)
        assert await one.stack.resolve(uri) == (udp,), "the refusal is remembered"
        assert await one.stack.resolve(f"{uri};transport=tcp") != (), "where TCP is fixed it is tried again"


async def test_what_no_datagram_can_carry_is_dropped_and_harms_no_other() -> None:
    async with party(UDP) as one, party(UDP) as other:
        one.stack.send_request(request(body=b"x" * 70_000), (other.hop("udp"),))
        one.stack.send_request(request(), (other.hop("udp"),))
        await one.wait(ResponseReceived)
        assert one.stack.counts.dropped == 1
        assert not one.of(ClientTransportFailed)


async def test_the_answer_leaves_by_the_socket_that_the_request_came_to() -> None:
    second = ListenAddress("udp", "127.0.0.8", 0)
    async with party(UDP, second) as one:
        with udp_socket() as peer:
            for listen in one.stack.bound:
                host, port = peer.getsockname()
                peer.sendto(wire(f"UDP {host}:{port}"), (listen.host, listen.port))
                _, sender = await asyncio.to_thread(peer.recvfrom, 65_535)
                assert sender == (listen.host, listen.port)
        assert {event.source.local_host for event in one.of(RequestReceived)} == {"127.0.0.1", "127.0.0.8"}


async def test_a_request_names_the_listener_that_it_leaves_by() -> None:
    second = ListenAddress("udp", "127.0.0.8", 0)
    async with party(UDP, second) as one, party(UDP, answer=ok) as other:
        to = other.hop("udp")
        one.stack.send_request(request(), (Hop("udp", to.host, to.port, flow=2),))
        event = await other.wait(RequestReceived)
        assert (event.source.host, event.source.port) == ("127.0.0.8", one.stack.bound[1].port)
        assert event.request.top_via.sent_by == f"127.0.0.8:{one.stack.bound[1].port}"
        await one.wait(ResponseReceived)


class _FullSocket:
    """A socket whose buffer the test fills and empties: the loopback's never is full."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.full = True
        self.sent: list[bytes] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.sent.append(data)
        return self._sock.sendto(data, address)


class _Nobody:
    def received(self, data: bytes, source: Source) -> None:
        raise AssertionError(data, source)

    def sent(self, data: bytes, peer: Source) -> None:
        assert data
        assert peer.local_port == UDP.port

    def framing_lost(self, error: FramingError, source: Source) -> None:
        raise AssertionError(error, source)

    def transport_failed(self, hop: Hop, trouble: TlsTrouble | None = None) -> None:
        raise AssertionError(hop, trouble)


async def test_what_the_system_does_not_take_waits_in_order_and_within_a_bound() -> None:
    with udp_socket() as sock, udp_socket() as peer:
        sock.setblocking(False)
        full = _FullSocket(sock)
        counts = StackCounts()
        listener = UdpListener(cast("socket.socket", full), UDP, 1, _Nobody(), counts)
        for number in range(1030):
            listener.send(b"%d" % number, *peer.getsockname())
        assert (listener.unsent, counts.dropped) == (1024, 6)
        full.full = False
        await until(lambda: not listener.unsent)
        assert full.sent == [b"%d" % number for number in range(1024)]
        busy = time.process_time()
        await asyncio.sleep(0.05)
        assert time.process_time() - busy < 0.04, "nobody waits for a writable socket any more"
        listener.close()


async def test_tcp_is_listened_on_beside_it_at_another_port() -> None:
    async with party(UDP, TCP) as one:
        assert all(listen.port > 0 for listen in one.stack.bound)
        assert one.stack.contacts["udp"] == f"sip:127.0.0.1:{one.stack.bound[0].port}"
        assert one.stack.contacts["tcp"] == f"sip:127.0.0.1:{one.stack.bound[1].port};transport=tcp"
