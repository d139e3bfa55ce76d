"""A SIP peer over TCP whose connections a test makes and drops by hand; it knows nothing of our code."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

OFFER = """\
v=0
o=peer 1 1 IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
m=audio 6200 RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""


def header(message: str, name: str) -> str:
    """Return the value of a message's first header line of that name."""
    lines = message.partition("\r\n\r\n")[0].split("\r\n")[1:]
    return next(
        line.partition(":")[2].strip() for line in lines if line.lower().startswith(f"{name}:".lower())
    )


@dataclass
class Wire:
    """One connection: whole messages out and in."""

    socket: socket.socket
    _buffer: bytes = b""

    def send(self, lines: list[str], body: str = "") -> None:
        """Send a start line, header lines and a body."""
        text = body.replace("\n", "\r\n")
        kind = ["Content-Type: application/sdp"] if body else []
        head = "\r\n".join([*lines, *kind, f"Content-Length: {len(text)}", "", ""])
        self.socket.sendall((head + text).encode())

    def receive(self) -> str:
        """Return the next message; the socket's timeout bounds the wait."""
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        head, _, _ = self._buffer.partition(b"\r\n\r\n")
        end = len(head) + 4 + int(header(head.decode(), "Content-Length"))
        while len(self._buffer) < end:
            self._read()
        message, self._buffer = self._buffer[:end], self._buffer[end:]
        return message.decode()

    def expect(self, begin: str) -> str:
        """Return the next message that is no provisional response; its first line begins so."""
        while (message := self.receive()).startswith("SIP/2.0 1"):
            pass
        assert message.startswith(begin), f"expected {begin!r}, got {message!r}"
        return message

    def answer(self, request: str, status: str, lines: tuple[str, ...] = (), body: str = "") -> None:
        """Respond to a request; the To tag is ours when it has none."""
        to = header(request, "To")
        to += "" if "tag=" in to else ";tag=peer"
        copied = [f"{name}: {header(request, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
        self.send([f"SIP/2.0 {status}", *copied, f"To: {to}", *lines], body)

    def drop(self) -> None:
        """End the connection without a word."""
        self.socket.close()

    def _read(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended; unread: {self._buffer!r}"
        self._buffer += data


@dataclass
class TcpPeer:
    """A party at an address that it listens on; connections of its own have any port."""

    host: str
    port: int
    listener: socket.socket
    call_id: str = field(default_factory=lambda: uuid4().hex)
    to: str = ""
    wires: list[Wire] = field(default_factory=list)

    @property
    def contact(self) -> str:
        """Its Contact line."""
        return f"Contact: <sip:{self.host}:{self.port};transport=tcp>"

    def connect(self, port: int) -> Wire:
        """Open a connection to the gateway."""
        made = socket.create_connection(("127.0.0.1", port), 10, source_address=(self.host, 0))
        return self._keep(made)

    def accept(self) -> Wire:
        """Take the gateway's next connection."""
        return self._keep(self.listener.accept()[0])

    def request(self, method: str, uri: str, cseq: int) -> list[str]:
        """Return the lines of a request of the one call, in which it is the caller."""
        return [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/TCP {self.host}:{self.port};branch=z9hG4bK{uuid4().hex}",
            f"From: <sip:caller@{self.host}:{self.port}>;tag=peer",
            f"To: {self.to or f'<{uri}>'}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            self.contact,
        ]

    def _keep(self, made: socket.socket) -> Wire:
        made.settimeout(10)
        self.wires.append(Wire(made))
        return self.wires[-1]


@contextlib.contextmanager
def tcp_peer(host: str, port: int) -> Iterator[TcpPeer]:
    """Listen on an address; all connections are closed when the block is left."""
    with socket.create_server((host, port)) as listener:
        listener.settimeout(10)
        peer = TcpPeer(host, port, listener)
        try:
            yield peer
        finally:
            for wire in peer.wires:
                wire.drop()
