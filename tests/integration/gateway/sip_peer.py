"""The other side for tests of the SIP drivers: a second stack, and plain sockets that speak bytes."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from sidestream.gateway.sip_options import ListenAddress, StackOptions, StreamLimits
from sidestream.gateway.sip_stack import SipStack
from sidestream.sip.builder import response_to
from sidestream.sip.events import RequestReceived, SipEvent
from sidestream.sip.hop import Hop, Transport
from sidestream.sip.message import Headers, Request
from sidestream.sip.timers import TimerProfile

Event = TypeVar("Event")

PATIENCE = 5.0
"""Seconds that a test waits for what should come at once; the machine may be busy."""
FAST = TimerProfile(t1=0.04, t2=0.16, t4=0.08, trying_after=0.02)
"""Timers short enough to be waited for: the longest is 64 * T1 = 2.56 s."""
SLOW = TimerProfile()
"""The RFC's own: nothing is sent again within a test, and a failure that comes at once was no timeout."""

METHODS = frozenset({"ACK", "BYE", "CANCEL", "INVITE", "OPTIONS"})
UDP = ListenAddress("udp", "127.0.0.1", 0)
TCP = ListenAddress("tcp", "127.0.0.1", 0)

_numbers = itertools.count(1)


def options(profile: TimerProfile = SLOW, **limits: float) -> StackOptions:
    """Return options with some stream limits of their own."""
    streams = StreamLimits(**limits)  # type: ignore[arg-type] # whole numbers are given where they are wanted
    return StackOptions(allowed_methods=METHODS, profile=profile, streams=streams)


class Party:
    """A stack and what it heard."""

    def __init__(self, answer: Callable[["Party", RequestReceived], None] | None) -> None:
        self.heard: list[SipEvent] = []
        self.stack: SipStack
        self._answer = answer
        self._news = asyncio.Event()

    def on_event(self, event: SipEvent) -> None:
        """Note an event and answer a request."""
        self.heard.append(event)
        self._news.set()
        if self._answer is not None and isinstance(event, RequestReceived):
            self._answer(self, event)

    def of(self, kind: type[Event]) -> list[Event]:
        """Return the events of a kind."""
        return [event for event in self.heard if isinstance(event, kind)]

    async def wait(self, kind: type[Event], count: int = 1) -> Event:
        """Wait for so many events of a kind; returns the last of them."""
        async with asyncio.timeout(PATIENCE):
            while len(self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.of(kind)[count - 1]

    def hop(self, transport: Transport, flow: int | None = None) -> Hop:
        """Return the way to this party's first listener of a transport."""
        found = next(one for one in self.stack.bound if one.transport == transport)
        return Hop(transport, found.host, found.port, flow)


def ok(party: Party, event: RequestReceived) -> None:
    """Answer 200."""
    party.stack.respond(event.key, response_to(event.request, 200, to_tag="t"))


@contextlib.asynccontextmanager
async def party(
    *listeners: ListenAddress,
    answer: Callable[[Party, RequestReceived], None] | None = ok,
    setup: StackOptions | None = None,
) -> AsyncIterator[Party]:
    """Open a stack for a test, on UDP and TCP unless told otherwise."""
    one = Party(answer)
    one.stack = await SipStack.open(listeners or (UDP, TCP), one.on_event, setup or options())
    try:
        yield one
    finally:
        await one.stack.close()


def request(method: str = "OPTIONS", body: bytes = b"") -> Request:
    """Return a new request, complete but for Via."""
    number = next(_numbers)
    headers = Headers(
        [
            ("Max-Forwards", "70"),
            ("From", f"<sip:a@127.0.0.1>;tag=f{number}"),
            ("To", "<sip:b@127.0.0.1>"),
            ("Call-ID", f"call-{number}@test"),
            ("CSeq", f"1 {method}"),
            ("Contact", "<sip:a@127.0.0.1>"),
        ]
    )
    return Request(method, "sip:b@127.0.0.1", headers, body)


def wire(via: str, method: str = "OPTIONS", body: bytes = b"") -> bytes:
    """Return a request as bytes with this Via (`UDP host:port;params`, its branch is added)."""
    made = request(method)
    number = next(_numbers)
    lines = [f"{method} sip:b@127.0.0.1 SIP/2.0", f"Via: SIP/2.0/{via};branch=z9hG4bK-{number}"]
    lines += [f"{name}: {value}" for name, value in made.headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.contextmanager
def udp_socket(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Open a plain datagram socket with a deadline."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(PATIENCE)
        yield sock


@contextlib.contextmanager
def tcp_server(backlog: int = 16) -> Iterator[socket.socket]:
    """Open a plain listening socket with a deadline."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        sock.settimeout(PATIENCE)
        yield sock


def hop_to(transport: Transport, sock: socket.socket) -> Hop:
    """Return the way to a plain socket."""
    host, port = sock.getsockname()[:2]
    return Hop(transport, host, port)


def closed_hop(transport: Transport) -> Hop:
    """Return the way to a port that nobody listens on."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return hop_to(transport, probe)


async def connect(to: Hop, host: str = "127.0.0.1") -> socket.socket:
    """Open a plain connection with a deadline."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.bind((host, 0))
    await asyncio.to_thread(sock.connect, (to.host, to.port))
    return sock


async def accept(server: socket.socket) -> socket.socket:
    """Take a connection that a stack opened."""
    sock, _ = await asyncio.to_thread(server.accept)
    sock.settimeout(PATIENCE)
    return sock


async def receive(sock: socket.socket) -> bytes:
    """Read a datagram, or what a connection has; empty when the peer has closed it."""
    try:
        return await asyncio.to_thread(sock.recv, 65_535)
    except ConnectionResetError:
        return b""


async def receive_until(sock: socket.socket, end: bytes) -> bytes:
    """Read from a connection until these bytes have come."""
    data = b""
    while end not in data:
        more = await receive(sock)
        assert more, f"closed after {data!r}"
        data += more
    return data


async def until(true: Callable[[], bool]) -> None:
    """Wait until something has become true."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
