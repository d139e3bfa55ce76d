"""SIP over TCP on real sockets: framing, re-use, keep-alives, failures and bounds."""

import asyncio
import socket
import time
from dataclasses import replace

import pytest

from integration.gateway.sip_peer import (
    FAST,
    TCP,
    accept,
    closed_hop,
    connect,
    hop_to,
    options,
    party,
    receive,
    receive_until,
    request,
    tcp_server,
    until,
    wire,
)
from sidestream.gateway.sip_options import CloseReason, ListenAddress
from sidestream.sip.builder import response_to
from sidestream.sip.events import ClientTransportFailed, RequestReceived, ResponseReceived
from sidestream.sip.hop import Hop

pytestmark = pytest.mark.asyncio

VIA = "TCP 127.0.0.1:5060"


async def closed_by_peer(sock: socket.socket) -> bool:
    """Whether the stack closes the connection within the socket's deadline; what it sends before is read."""
    while await receive(sock):
        pass
    return True


async def test_messages_may_come_in_pieces_and_together() -> None:
    async with party(TCP) as one:
        with await connect(one.hop("tcp")) as peer:
            whole = wire(VIA, body=b"hello")
            for index in range(len(whole)):
                peer.sendall(whole[index : index + 1])
                if index % 50 == 0:
                    await asyncio.sleep(0)
            peer.sendall(wire(VIA) + b"\r\n" + wire(VIA)[:20])
            await one.wait(RequestReceived, 2)
            assert one.of(RequestReceived)[0].request.body == b"hello"
            answers = await receive_until(peer, b"call-")
            while answers.count(b"SIP/2.0 200") < 2:
                answers += await receive(peer)
            assert len(one.of(RequestReceived)) == 2


async def test_requests_to_one_peer_share_one_connection() -> None:
    async with party() as one, party() as other:
        for count in (1, 2, 3):
            one.stack.send_request(request(), (other.hop("tcp"),))
            await one.wait(ResponseReceived, count)
        flows = {event.source.flow for event in other.of(RequestReceived)}
        assert len(flows) == 1
        # The way back is the same connection, by its flow and by the address it came from.
        source = other.of(RequestReceived)[0].source
        other.stack.send_request(request(), (source.hop,))
        other.stack.send_request(request(), (Hop("tcp", source.host, source.port),))
        await other.wait(ResponseReceived, 2)
        assert one.stack.counts.opened["tcp"] == other.stack.counts.accepted["tcp"] == 1
        assert one.stack.counts.accepted["tcp"] == other.stack.counts.opened["tcp"] == 0


async def test_what_is_sent_while_connecting_goes_out_in_order() -> None:
    async with party(TCP) as one, party(TCP) as other:
        made = [request() for _ in range(20)]
        for each in made:
            one.stack.send_request(each, (other.hop("tcp"),))
        await one.wait(ResponseReceived, 20)
        assert [event.request.call_id for event in other.of(RequestReceived)] == [one.call_id for one in made]
        assert one.stack.counts.opened["tcp"] == 1


async def test_we_are_known_by_the_address_that_we_listen_on() -> None:
    async with party(ListenAddress("tcp", "127.0.0.9", 0)) as one, party(TCP) as other:
        one.stack.send_request(request(), (other.hop("tcp"),))
        event = await other.wait(RequestReceived)
        assert event.source.host == "127.0.0.9"
        assert event.request.top_via.sent_by == f"127.0.0.9:{one.stack.bound[0].port}"


async def test_a_ping_is_answered_by_one_line_break() -> None:
    async with party(TCP) as one:
        with await connect(one.hop("tcp")) as peer:
            peer.sendall(b"\r\n\r\n")
            assert await receive(peer) == b"\r\n"
            peer.sendall(b"\r\n\r\n\r\n\r\n" + wire(VIA))
            answer = await receive_until(peer, b"SIP/2.0 200")
            answer += await receive(peer) if not answer.endswith(b"\r\n\r\n\r\n\r\n") else b""
            assert answer.count(b"\r\n\r\n\r\n\r\n") == 1, (
                "a pong for each ping, after the answer's last line"
            )


async def test_an_idle_connection_that_we_opened_is_kept_alive() -> None:
    async with party(TCP, setup=options(ping_interval=0.1)) as one:
        with tcp_server() as server:
            one.stack.send_request(request(), (hop_to("tcp", server),))
            with await accept(server) as peer:
                await receive_until(peer, b"\r\n\r\n")
                assert await receive(peer) == b"\r\n\r\n"
                # This peer does not know keep-alives: it is not held against it.
                assert await receive(peer) == b"\r\n\r\n"
                assert not one.of(ClientTransportFailed)


async def test_a_peer_that_stops_answering_pings_is_given_up() -> None:
    async with party(TCP, setup=options(ping_interval=0.1, pong_timeout=0.3)) as one:
        with tcp_server() as server:
            one.stack.send_request(request(), (hop_to("tcp", server),))
            with await accept(server) as peer:
                await receive_until(peer, b"\r\n\r\n")
                assert await receive(peer) == b"\r\n\r\n"
                peer.sendall(b"\r\n")
                assert await closed_by_peer(peer)
                await one.wait(ClientTransportFailed)
                assert one.stack.counts.closed[CloseReason.NO_PONG] == 1


async def test_a_connection_that_breaks_fails_its_requests_at_once() -> None:
    async with party(TCP) as one:
        with tcp_server() as server:
            key = one.stack.send_request(request(), (hop_to("tcp", server),))
            with await accept(server) as peer:
                await receive_until(peer, b"\r\n\r\n")
            assert (await one.wait(ClientTransportFailed)).key == key


async def test_a_connection_that_breaks_leads_to_the_next_hop() -> None:
    async with party(TCP) as one, party(TCP) as other:
        with tcp_server() as server:
            key = one.stack.send_request(request("INVITE"), (hop_to("tcp", server), other.hop("tcp")))
            with await accept(server) as peer:
                await receive_until(peer, b"\r\n\r\n")
            assert (await one.wait(ResponseReceived)).key == key


async def test_a_request_over_a_lost_flow_fails_with_the_connection_that_replaced_it() -> None:
    async with party(TCP) as one:
        with tcp_server() as server:
            hop = replace(hop_to("tcp", server), flow=12_345)
            one.stack.send_request(request(), (hop,))
            with await accept(server) as peer:
                await receive_until(peer, b"\r\n\r\n")
            await one.wait(ClientTransportFailed)


async def test_an_answer_whose_connection_is_gone_takes_another_one() -> None:
    async with party(TCP, answer=None) as one:
        with tcp_server() as server:
            via = f"TCP 127.0.0.1:{server.getsockname()[1]}"
            with await connect(one.hop("tcp")) as peer:
                peer.sendall(wire(via))
                event = await one.wait(RequestReceived)
            await until(lambda: one.stack.counts.closed[CloseReason.PEER] == 1)
            one.stack.respond(event.key, response_to(event.request, 200, to_tag="t"))
            with await accept(server) as second:
                assert (await receive(second)).startswith(b"SIP/2.0 200")


async def test_a_refused_connection_leads_to_the_next_hop() -> None:
    async with party(TCP) as one, party(TCP) as other:
        key = one.stack.send_request(request(), (closed_hop("tcp"), other.hop("tcp")))
        assert (await one.wait(ResponseReceived)).key == key
        one.stack.send_request(request(), (closed_hop("tcp"),))
        await one.wait(ClientTransportFailed)


async def test_a_connection_that_does_not_come_about_has_a_deadline() -> None:
    with tcp_server(backlog=0) as server:
        hop = hop_to("tcp", server)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            # Nobody accepts: once the queue is full the system drops what knocks.
            filler.setblocking(False)
            filler.connect_ex((hop.host, hop.port))
        async with party(TCP, setup=options(connect_timeout=0.3)) as one:
            began = time.monotonic()
            one.stack.send_request(request(), (hop,))
            await one.wait(ClientTransportFailed)
            assert time.monotonic() - began >= 0.3
        for filler in fillers:
            filler.close()


async def test_what_waits_for_a_connection_is_bounded() -> None:
    async with party(TCP, setup=options(max_unsent_bytes=3000)) as one:
        with tcp_server() as server:
            for _ in range(3):
                one.stack.send_request(request(body=b"x" * 1000), (hop_to("tcp", server),))
            assert one.stack.counts.dropped == 1
            with await accept(server) as peer:
                got = b""
                while got.count(b"OPTIONS sip:") < 2:
                    got += await receive(peer)


async def test_a_connection_without_use_is_closed() -> None:
    async with party(TCP, setup=options(idle_timeout=0.3)) as one:
        with await connect(one.hop("tcp")) as peer, await connect(one.hop("tcp")) as kept:
            began = time.monotonic()
            for sock in (peer, kept):
                sock.sendall(wire(VIA))
                await receive_until(sock, b"\r\n\r\n")
            closing = asyncio.ensure_future(closed_by_peer(peer))
            while not closing.done():
                kept.sendall(b"\r\n\r\n")
                assert await receive(kept) == b"\r\n", "a peer that pings wants to keep its connection"
                await asyncio.sleep(0.05)
            assert time.monotonic() - began >= 0.3
            assert one.stack.counts.closed[CloseReason.IDLE] == 1


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n", wire(VIA)[:60], wire(VIA) + wire(VIA, body=b"xx")[:-1]])
async def test_a_message_that_is_not_finished_in_time_closes_the_connection(sent: bytes) -> None:
    async with party(TCP, setup=options(message_timeout=0.2)) as one:
        with await connect(one.hop("tcp")) as peer:
            peer.sendall(sent)
            assert await closed_by_peer(peer)
            await until(lambda: one.stack.counts.closed[CloseReason.SLOW_MESSAGE] == 1)


async def test_connections_are_bounded_in_all_and_for_each_source() -> None:
    setup = options(max_connections=3, max_per_source=2)
    async with party(TCP, setup=setup) as one:
        to = one.hop("tcp")
        kept = [await connect(to), await connect(to), await connect(to, "127.0.0.2")]
        for sock in kept:
            sock.sendall(wire(VIA))
            await receive_until(sock, b"\r\n\r\n")
        for host in ("127.0.0.1", "127.0.0.3"):
            with await connect(to, host) as refused:
                assert await closed_by_peer(refused)
        assert one.stack.counts.closed[CloseReason.REFUSED] == 2
        assert one.stack.counts.connections["tcp"] == 3
        kept.pop(0).close()
        await until(lambda: one.stack.counts.connections["tcp"] == 2)
        kept.append(await connect(to))
        kept[-1].sendall(wire(VIA))
        await receive_until(kept[-1], b"\r\n\r\n")
        for sock in kept:
            sock.close()


async def test_no_connection_is_opened_above_the_bound() -> None:
    async with party(TCP, setup=options(max_connections=1)) as one, party(TCP) as other:
        one.stack.send_request(request(), (other.hop("tcp"),))
        await one.wait(ResponseReceived)
        with tcp_server() as server:
            one.stack.send_request(request(), (hop_to("tcp", server),))
            await one.wait(ClientTransportFailed)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"\x16\x03\x01\x02\x00", b""),
        (wire(VIA).replace(b"Content-Length: 0\r\n", b""), b"SIP/2.0 400"),
        (wire(VIA).replace(b"Content-Length: 0", b"Content-Length: 99999999"), b"SIP/2.0 513"),
        (b"x" * 70_000, b""),
    ],
)
async def test_what_cannot_be_framed_is_refused_and_the_connection_closed(sent: bytes, answer: bytes) -> None:
    async with party(TCP) as one:
        with await connect(one.hop("tcp")) as peer:
            await asyncio.to_thread(peer.sendall, sent + wire(VIA))
            got = b""
            while more := await receive(peer):
                got += more
            assert got.startswith(answer)
            assert got.count(b"SIP/2.0 ") == bool(answer)
            assert not one.of(RequestReceived)
            assert one.stack.counts.closed[CloseReason.GARBAGE] == 1
            assert one.stack.counts.layer.malformed == 1


async def test_a_peer_that_does_not_read_is_not_read_from_and_then_dropped() -> None:
    async with party(TCP, setup=options(send_timeout=0.5, max_unsent_bytes=100_000_000)) as one:
        with await connect(one.hop("tcp")) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.setblocking(False)
            # Each request is answered with its long Via, which nobody reads.
            data = wire(f"{VIA};x={'y' * 8000}")
            head, branch = data.split(b"branch=z9hG4bK-")
            number = unsent = 0
            while not one.stack.counts.closed[CloseReason.SLOW_READER]:
                number += 1
                unsent = max((each.unsent_bytes for each in one.stack._connections._alive), default=unsent)
                with_branch = head + b"branch=z9hG4bK-s%d-" % number + branch
                try:
                    peer.sendall(with_branch)
                except BlockingIOError:
                    await asyncio.sleep(0.02)
                except (BrokenPipeError, ConnectionResetError):
                    break
                if number % 50 == 0:
                    await asyncio.sleep(0)
                assert number < 20_000
            await until(lambda: one.stack.counts.connections["tcp"] == 0)
            assert one.stack.counts.closed[CloseReason.SLOW_READER] == 1
            assert unsent < 1_000_000, "one read's worth of answers above the mark at which reading stops"


async def test_a_peer_that_leaves_too_much_unread_loses_the_connection() -> None:
    async with party(TCP, setup=options(max_unsent_bytes=100_000)) as one:
        with tcp_server() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            hop = hop_to("tcp", server)
            one.stack.send_request(request(), (hop,))
            with await accept(server):
                count = 0
                while not one.of(ClientTransportFailed):
                    one.stack.send_request(request(body=b"x" * 30_000), (hop,))
                    await asyncio.sleep(0)
                    count += 1
                    assert count < 2000
                assert one.stack.counts.closed[CloseReason.SLOW_READER] == 1


async def test_retransmissions_are_udps_alone() -> None:
    async with party(TCP, setup=options(FAST)) as one:
        with tcp_server() as server:
            one.stack.send_request(request("INVITE"), (hop_to("tcp", server),))
            with await accept(server) as peer:
                await receive_until(peer, b"\r\n\r\n")
                await asyncio.sleep(5 * FAST.t1)
                assert one.stack.counts.sent["tcp"] == 1
