"""The sockets of one recorded stream: RTP into its track, RTCP both ways (RFC 7866 section 8.1.1)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sidestream.tools.recorder_track import Track
from sidestream.tools.rtcp import RtcpError, parse_rtcp, receiver_report
from sidestream.tools.rtp import RtpError, parse_rtp
from sidestream.tools.rtp_session import bind_pair
from sidestream.tools.srtp import SrtpParty

RECEIVE_BUFFER_BYTES = 1 << 20
FIRST_REPORT_S = 0.5
"""RFC 3550 section 6.2 lets the first report come early; a short call shall have one too."""

_Take = Callable[[bytes, tuple[str, int]], None]


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, take: _Take) -> None:
        self._take = take

    def datagram_received(self, data: bytes, address: tuple[str | int, ...]) -> None:
        self._take(data, (str(address[0]), int(address[1])))

    def error_received(self, _error: Exception) -> None:
        """A port that does not listen any more refuses our report; it will be seen by what does not come."""


@dataclass(slots=True)
class MediaPort:
    """Receives one stream, and reports on it. Make one with `MediaPort.open`, and close it.

    Attributes:
        host: address that is bound.
        port: RTP port; the one above it is for RTCP.
        track: what the stream becomes.
        remote: host, RTP port and RTCP port that the client described; None before.
        reports_sent: receiver reports sent.
        srtp: opens what comes, and protects our reports.
    """

    host: str
    port: int
    track: Track
    remote: tuple[str, int, int] | None = None
    reports_sent: int = 0
    srtp: SrtpParty = field(default_factory=SrtpParty)
    _interval_s: float = 5.0
    _ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    _cname: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(12)).decode())
    """Random, as RFC 7022 section 4.2 wants."""
    _transports: list[asyncio.DatagramTransport] = field(default_factory=list)
    _heard_rtcp_from: tuple[str, int] | None = None
    _task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, host: str, track: Track, interval_s: float) -> MediaPort:
        """Bind a port pair and begin to receive.

        Raises:
            OSError: the address cannot be bound.
            PortsExhaustedError: no pair of ports is free.
        """
        loop = asyncio.get_running_loop()
        rtp, rtcp = bind_pair(host)
        port = cls(host, rtp.getsockname()[1], track, _interval_s=interval_s)
        for sock, take in ((rtp, port._take_rtp), (rtcp, port._take_rtcp)):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            transport, _ = await loop.create_datagram_endpoint(partial(_Receiver, take), sock=sock)
            port._transports.append(transport)
        port._task = loop.create_task(port._report(), name="recorder rtcp")
        return port

    async def close(self) -> None:
        """Say BYE and close. Closing twice does nothing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._send_report(bye=True)
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def _take_rtp(self, data: bytes, source: tuple[str, int]) -> None:
        opened = self.srtp.unprotect(data)
        if opened is None:
            self.track.counts.unauthentic += 1
            return
        try:
            packet = parse_rtp(opened)
        except RtpError:
            self.track.counts.malformed += 1
            return
        if self.remote is not None and source != self.remote[:2]:
            self.track.counts.elsewhere += 1
        self.track.receive(packet, asyncio.get_running_loop().time())

    def _take_rtcp(self, data: bytes, source: tuple[str, int]) -> None:
        self._heard_rtcp_from = source
        opened = self.srtp.unprotect_report(data)
        if opened is None:
            self.track.counts.unauthentic += 1
            return
        try:
            compound = parse_rtcp(opened)
        except RtcpError:
            self.track.counts.malformed += 1
            return
        self.track.report(compound, asyncio.get_running_loop().time())

    async def _report(self) -> None:
        await asyncio.sleep(FIRST_REPORT_S)
        while True:
            self._send_report()
            await asyncio.sleep(self._interval_s * random.uniform(0.5, 1.5))  # noqa: S311 - RFC 3550 section 6.2

    def _send_report(self, *, bye: bool = False) -> None:
        """Report to where reports come from, or else to where the client said (RFC 4961)."""
        to = self._heard_rtcp_from
        if to is None and self.remote is not None:
            to = self.remote[0], self.remote[2]
        if to is None or len(self._transports) < 2:
            return
        blocks = self.track.blocks(asyncio.get_running_loop().time())
        report = receiver_report(self._ssrc, self._cname, blocks, bye=bye)
        self._transports[1].sendto(self.srtp.protect_report(report), to)
        self.reports_sent += 1
