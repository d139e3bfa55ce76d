"""A recording client written by hand: plain SIP text and RTP on sockets, nothing of the product's own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
import struct
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate

TIMEOUT_S = 5.0
FRAME = 160
HOST = "127.0.0.1"


def new_id() -> str:
    return base64.b64encode(uuid.uuid4().bytes).decode()


@dataclass(frozen=True)
class Ids:
    """The ids of one recorded call, which stay what they are from document to document."""

    group: str = field(default_factory=new_id)
    session: str = field(default_factory=new_id)
    alice: str = field(default_factory=new_id)
    bob: str = field(default_factory=new_id)
    first: str = field(default_factory=new_id)
    second: str = field(default_factory=new_id)


def snapshot(ids: Ids, at: str = "2026-03-03T09:15:00Z", *, labels: bool = True) -> str:
    one, two = ("<label>1</label>", "<label>2</label>") if labels else ("", "")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>complete</datamode>
<group group_id="{ids.group}"><associate-time>{at}</associate-time></group>
<session session_id="{ids.session}"><group-ref>{ids.group}</group-ref><start-time>{at}</start-time></session>
<participant participant_id="{ids.alice}"><nameID aor="sip:+3225550100@carrier.example"><name xml:lang="en">Alice</name></nameID></participant>
<participant participant_id="{ids.bob}"><nameID aor="sip:200@pbx.example"/></participant>
<stream stream_id="{ids.first}" session_id="{ids.session}">{one}</stream>
<stream stream_id="{ids.second}" session_id="{ids.session}">{two}</stream>
<sessionrecordingassoc session_id="{ids.session}"><associate-time>{at}</associate-time></sessionrecordingassoc>
<participantsessionassoc participant_id="{ids.alice}" session_id="{ids.session}"><associate-time>{at}</associate-time></participantsessionassoc>
<participantsessionassoc participant_id="{ids.bob}" session_id="{ids.session}"><associate-time>{at}</associate-time></participantsessionassoc>
<participantstreamassoc participant_id="{ids.alice}"><send>{ids.first}</send><recv>{ids.second}</recv></participantstreamassoc>
<participantstreamassoc participant_id="{ids.bob}"><send>{ids.second}</send><recv>{ids.first}</recv></participantstreamassoc>
</recording>
"""  # noqa: E501 - as it goes over the wire


def held(ids: Ids) -> str:
    """Bob puts Alice on hold: she hears him no more, and is not heard."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>partial</datamode>
<participantstreamassoc participant_id="{ids.alice}"><recv>{ids.second}</recv></participantstreamassoc>
<participantstreamassoc participant_id="{ids.bob}"><send>{ids.second}</send></participantstreamassoc>
</recording>
"""


def stopped(ids: Ids, at: str = "2026-03-03T09:16:00Z") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>partial</datamode>
<session session_id="{ids.session}"><reason cause="200" protocol="SIP">BYE</reason><stop-time>{at}</stop-time></session>
<sessionrecordingassoc session_id="{ids.session}"><disassociate-time>{at}</disassociate-time></sessionrecordingassoc>
<participantsessionassoc participant_id="{ids.alice}" session_id="{ids.session}"><disassociate-time>{at}</disassociate-time></participantsessionassoc>
<participantsessionassoc participant_id="{ids.bob}" session_id="{ids.session}"><disassociate-time>{at}</disassociate-time></participantsessionassoc>
</recording>
"""  # noqa: E501 - as it goes over the wire


def describe(
    ports: tuple[int, int],
    *,
    version: int = 1,
    direction: str = "sendonly",
    payload: tuple[int, str] = (8, "PCMA"),
) -> str:
    number, name = payload
    lines = ["v=0", f"o=- 4711 {version} IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"]
    for label, port in enumerate(ports, 1):
        lines += [
            f"m=audio {port} RTP/AVP {number} 101",
            f"a=rtpmap:{number} {name}/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=ptime:20",
            f"a={direction}",
            f"a=label:{label}",
        ]
    return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True)
class Draft:
    """A request before it is sent; `edit` breaks it."""

    head: str
    sdp: str = ""
    xml: str = ""
    boundary: str = "rs7Qm2"
    metadata_head: str = (
        "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n"
    )
    content_type: str = "multipart/mixed;boundary={boundary}"
    end: str = "--{boundary}--\r\n"

    def edit(self, old: str, new: str) -> Draft:
        """Replace a text wherever it stands; it must stand somewhere."""
        parts = {}
        for name in ("head", "sdp", "xml", "metadata_head", "content_type", "end"):
            text: str = getattr(self, name)
            if old in text:
                parts[name] = text.replace(old, new)
        assert parts, f"{old!r} is nowhere in the request"
        return replace(self, **parts)

    def wire(self) -> bytes:
        kind, body = self.body()
        head = self.head + (f"Content-Type: {kind}\r\n" if kind else "")
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def body(self) -> tuple[str, bytes]:
        kind = self.content_type.format(boundary=self.boundary)
        if self.sdp and self.xml:
            text = f"--{self.boundary}\r\nContent-Type: application/sdp\r\n\r\n{self.sdp}\r\n"
            text += f"--{self.boundary}\r\n{self.metadata_head}\r\n{self.xml}\r\n"
            text += self.end.format(boundary=self.boundary)
            return kind, text.encode()
        if self.sdp:
            return "application/sdp", self.sdp.encode()
        if self.xml:
            kind = self.metadata_head.split(": ", 1)[1].rstrip("\r\n")
            return kind.replace("\r\n", "\r\n"), self.xml.encode()
        return "", b""


@dataclass(frozen=True)
class Heard:
    """A message of the recorder."""

    first: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return "" if self.status else self.first.split()[0]

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def cseq(self) -> tuple[int, str]:
        number, method = self.get("CSeq").split()
        return int(number), method

    @property
    def sdp(self) -> str:
        text = self.body.decode()
        return text[text.index("v=0") :] if "v=0" in text else ""

    @property
    def ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"^m=audio (\d+)", self.sdp, re.MULTILINE)]


def parse(data: bytes) -> Heard:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [tuple(line.split(": ", 1)) for line in lines]
    return Heard(first, tuple((name, value) for name, value in pairs), body)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self.queue = queue

    def datagram_received(self, data: bytes, _address: object) -> None:
        self.queue.put_nowait(data)


@dataclass
class Client:
    """One recording session from the client's side."""

    port: int
    peer: int
    transport: str
    send: object
    arrived: asyncio.Queue[bytes]
    call_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    tag: str = "rs1"
    to_tag: str = ""
    cseq: int = 0
    requests: asyncio.Queue[Heard] = field(default_factory=asyncio.Queue)
    """What the recorder asked, answered or not."""
    responses: asyncio.Queue[Heard] = field(default_factory=asyncio.Queue)
    auto: bool = True
    """Answer requests of the recorder: OPTIONS, UPDATE and BYE with 200."""

    @property
    def contact(self) -> str:
        return f"<sip:src@{HOST}:{self.port};transport={self.transport}>;+sip.src"

    def head(self, method: str, cseq: int | None = None) -> str:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        branch = f"z9hG4bK{uuid.uuid4().hex[:12]}"
        tag = f";tag={self.to_tag}" if self.to_tag else ""
        return (
            f"{method} sip:rec@{HOST}:{self.peer} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.transport.upper()} {HOST}:{self.port};branch={branch};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:src@sbc.example>;tag={self.tag}\r\n"
            f"To: <sip:rec@srs.example>{tag}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {cseq} {method}\r\n"
        )

    def change_head(self, method: str) -> str:
        """The head of a message that makes or changes the dialog."""
        return (
            self.head(method) + f"Date: {formatdate(time.time(), usegmt=True)}\r\n"
            "Require: siprec\r\n"
            "Supported: timer\r\n"
            "Accept: application/sdp, application/rs-metadata+xml\r\n"
            "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS\r\n"
            f"Contact: {self.contact}\r\n"
        )

    def invite(self, ids: Ids, ports: tuple[int, int]) -> Draft:
        return Draft(self.change_head("INVITE"), describe(ports), snapshot(ids))

    def transmit(self, data: bytes) -> None:
        self.send(data)  # type: ignore[operator]

    async def ask(self, draft: Draft) -> Heard:
        """Send a request; return its final response, acknowledged."""
        self.transmit(draft.wire())
        method = draft.head.split()[0]
        answer = await self.final(method)
        if method == "INVITE":
            if answer.status < 300 and (found := re.search(r"tag=([^;]+)", answer.get("To"))):
                self.to_tag = found[1]
            self.acknowledge(answer, draft)
        return answer

    def acknowledge(self, answer: Heard, draft: Draft) -> None:
        head = self.head("ACK", answer.cseq[0])
        if answer.status >= 300:  # The same transaction, so the same branch (RFC 3261 section 17.1.1.3).
            via = re.search(r"Via: [^\r]+", draft.head)
            assert via is not None
            head = re.sub(r"Via: [^\r]+", lambda _: via[0], head)
            head = head.replace("To: <sip:rec@srs.example>", f"To: {answer.get('To')}")
        self.transmit((head + "Content-Length: 0\r\n\r\n").encode())

    async def final(self, method: str) -> Heard:
        while True:
            heard = await asyncio.wait_for(self.responses.get(), TIMEOUT_S)
            if heard.status >= 200 and heard.cseq[1] == method:
                return heard

    async def expect(self, method: str, timeout_s: float = TIMEOUT_S) -> Heard:
        """Return the next request of the recorder of this method; others are passed over."""
        while True:
            heard = await asyncio.wait_for(self.requests.get(), timeout_s)
            if heard.method == method:
                return heard

    def answer(self, request: Heard, status: str = "200 OK", sdp: str = "", contact: bool = True) -> None:
        lines = [f"SIP/2.0 {status}"]
        lines += [f"Via: {via}" for via in request.all("Via")]
        lines += [f"{name}: {request.get(name)}" for name in ("From", "To", "Call-ID", "CSeq")]
        if contact:
            lines.append(f"Contact: {self.contact}")
        if sdp:
            lines.append("Content-Type: application/sdp")
        body = sdp.encode()
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
        self.transmit(f"{head}\r\n\r\n".encode() + body)

    async def bye(self, xml: str = "") -> Heard:
        return await self.ask(Draft(self.head("BYE"), xml=xml))

    async def update(self, xml: str) -> Heard:
        return await self.ask(Draft(self.change_head("UPDATE"), xml=xml))

    async def reoffer(self, sdp: str, xml: str = "") -> Heard:
        return await self.ask(Draft(self.change_head("INVITE"), sdp, xml))

    async def read(self) -> None:
        while True:
            heard = parse(await self.arrived.get())
            if heard.status:
                self.responses.put_nowait(heard)
            else:
                if self.auto and heard.method in {"BYE", "UPDATE", "OPTIONS"}:
                    self.answer(heard, contact=heard.method == "UPDATE")
                self.requests.put_nowait(heard)


@contextlib.asynccontextmanager
async def dialling(peer: int, transport: str = "udp") -> AsyncIterator[Client]:
    """Open a client towards a recorder's port."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    closing: list[object] = []
    if transport == "udp":
        endpoint, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(queue), local_addr=(HOST, 0), remote_addr=(HOST, peer)
        )
        port = endpoint.get_extra_info("sockname")[1]
        client = Client(port, peer, transport, endpoint.sendto, queue)
        closing.append(endpoint)
        tasks = [asyncio.create_task(client.read())]
    else:
        reader, writer = await asyncio.open_connection(HOST, peer)
        port = writer.get_extra_info("sockname")[1]
        client = Client(port, peer, transport, writer.write, queue)
        closing.append(writer)
        tasks = [asyncio.create_task(client.read()), asyncio.create_task(_cut(reader, queue))]
    try:
        yield client
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for each in closing:
            each.close()  # type: ignore[attr-defined]
        assert not [each for each in results if isinstance(each, Exception)]


async def _cut(reader: asyncio.StreamReader, queue: asyncio.Queue[bytes]) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        found = re.search(rb"Content-Length: (\d+)", head)
        assert found is not None
        queue.put_nowait(head + await reader.readexactly(int(found[1])))


def sender_report(ssrc: int, at: float, timestamp: int, packets: int, cname: str) -> bytes:
    """A compound packet: SR and SDES with CNAME (RFC 3550 section 6)."""
    seconds = at + 2_208_988_800
    words = (ssrc, int(seconds), int(seconds % 1 * 2**32), timestamp & 0xFFFF_FFFF, packets, packets * FRAME)
    report = struct.pack(">BBH6I", 0x80, 200, 6, *words)
    item = struct.pack(">I", ssrc) + bytes((1, len(cname))) + cname.encode()
    item += bytes(4 - len(item) % 4)
    return report + struct.pack(">BBH", 0x81, 202, len(item) // 4) + item


@dataclass
class Voice:
    """One RTP source with its port pair."""

    ssrc: int
    rtp: socket.socket
    rtcp: socket.socket
    payload_type: int = 8
    sequence: int = 65_530
    timestamp: int = 0xFFFF_FF00
    packets: int = 0
    cname: str = ""
    due: float | None = None
    """When the next packet is due; what is said later begins so much later on the voice's clock."""

    @property
    def port(self) -> int:
        port: int = self.rtp.getsockname()[1]
        return port

    def packet(self, payload: bytes, *, payload_type: int | None = None, marker: bool = False) -> bytes:
        number = self.payload_type if payload_type is None else payload_type
        head = struct.pack(
            ">BBHII",
            0x80,
            number | marker << 7,
            self.sequence & 0xFFFF,
            self.timestamp & 0xFFFF_FFFF,
            self.ssrc,
        )
        self.sequence += 1
        self.timestamp += FRAME
        self.packets += 1
        return head + payload

    def report(self, to: int) -> None:
        at = time.time()
        data = sender_report(self.ssrc, at, self.timestamp, self.packets, self.cname or f"c{self.ssrc:x}")
        self.rtcp.sendto(data, (HOST, to + 1))


async def talk(voices: list[Voice], ports: list[int], frames: list[list[bytes]]) -> None:
    """Let every voice say its frames in real time, with a report before and after."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for voice, port in zip(voices, ports, strict=True):
        if voice.due is not None:
            voice.timestamp += max(round((begin - voice.due) * 50), 0) * FRAME
        voice.due = begin + max(map(len, frames)) * 0.02
        voice.report(port)
    for index in range(max(map(len, frames))):
        await asyncio.sleep(max(begin + index * 0.02 - loop.time(), 0))
        for voice, port, said in zip(voices, ports, frames, strict=True):
            if index < len(said) and port:
                voice.rtp.sendto(voice.packet(said[index]), (HOST, port))
    for voice, port in zip(voices, ports, strict=True):
        voice.report(port)


@contextlib.contextmanager
def voices(count: int = 2) -> Iterator[list[Voice]]:
    opened: list[Voice] = []
    try:
        while len(opened) < count:
            rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            rtp.bind((HOST, 0))
            port = rtp.getsockname()[1]
            rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if port % 2 or not _binds(rtcp, port + 1):
                rtp.close()
                rtcp.close()
                continue
            rtcp.setblocking(False)
            opened.append(Voice(0x1000 + len(opened), rtp, rtcp))
        yield opened
    finally:
        for voice in opened:
            voice.rtp.close()
            voice.rtcp.close()


def _binds(sock: socket.socket, port: int) -> bool:
    try:
        sock.bind((HOST, port))
    except OSError:
        return False
    return True


def speech(channel: int, count: int) -> list[bytes]:
    """Frames of which no two are alike, in any channel."""
    return [
        bytes((channel * 83 + index * 7 + position * (channel + 3)) % 251 for position in range(FRAME))
        for index in range(count)
    ]
