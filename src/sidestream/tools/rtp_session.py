"""One RTP session of the scripted phone: sends on a monotonic 20 ms schedule, records what comes back."""

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sidestream.errors import SidestreamError
from sidestream.tools.rtp import (
    FRAME_MS,
    FRAME_SAMPLES,
    RtpPacket,
    RtpRecorder,
    event_payload,
)
from sidestream.tools.srtp import SrtpParty

EVENT_FRAMES = 5
"""A key is pressed for 100 ms: twice the 40 ms that every receiver must accept (ITU-T Q.24)."""
EVENT_PAUSE_FRAMES = 3
"""Audio between two keys: 60 ms."""
END_PACKETS = 3
"""RFC 4733 section 2.5.1.4: the last packet of an event is sent three times."""
BIND_ATTEMPTS = 100


class PortsExhaustedError(SidestreamError):
    """No even port with a free odd one above it could be bound."""


@dataclass(frozen=True, slots=True)
class SentFrame:
    """One audio frame that was sent, by its RTP timestamp relative to the first slot of the session.

    `at` is when, in seconds of the event loop's clock.
    """

    timestamp: int
    payload: bytes
    at: float = 0.0


@dataclass(slots=True)
class _Press:
    digit: str
    begin: int = 0
    frames: int = 0


@dataclass(slots=True)
class _Format:
    payload_type: int = 0
    event_payload_type: int | None = None
    silence: bytes = b"\xff" * FRAME_SAMPLES


def bind_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Bind an even port and the odd one above it (RFC 3550 section 11); return both sockets."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(BIND_ATTEMPTS):
        rtp = socket.socket(family, socket.SOCK_DGRAM)
        rtcp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            rtp.bind((host, 0))
            port: int = rtp.getsockname()[1]
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                rtp.setblocking(False)
                rtcp.setblocking(False)
                return rtp, rtcp
        except OSError:
            pass  # The port above is taken: the next attempt finds another pair.
        rtp.close()
        rtcp.close()
    raise PortsExhaustedError(
        f"no pair of free UDP ports on {host}", hint="End some programs, or use another address."
    )


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, recorder: RtpRecorder | None, srtp: SrtpParty) -> None:
        self._recorder = recorder
        self._srtp = srtp
        self._time = asyncio.get_running_loop().time
        self.datagrams = 0

    def datagram_received(self, data: bytes, _address: tuple[str | int, ...]) -> None:
        self.datagrams += 1
        if self._recorder is None:
            self._srtp.unprotect_report(data)
        elif (packet := self._srtp.unprotect(data)) is not None:
            self._recorder.receive(packet, self._time())


@dataclass(slots=True)
class RtpSession:
    """Sends audio frames and key presses in slots of 20 ms; a slot with nothing to send sends nothing.

    The RTP timestamp runs on with the slots while nothing is sent (RFC 3550 section 5.1). `lateness_ms` is
    how late the latest packet left; `sent` holds the audio, and `pressed` the keys with the timestamps of
    their events, both relative to the first slot. Make one with `RtpSession.open`, and close it.
    """

    host: str
    port: int
    recorder: RtpRecorder
    srtp: SrtpParty = field(default_factory=SrtpParty)
    sent: list[SentFrame] = field(default_factory=list)
    pressed: list[tuple[int, str]] = field(default_factory=list)
    lateness_ms: float = 0.0
    _remote: tuple[str, int] | None = None
    _sending: bool = False
    _format: _Format = field(default_factory=_Format)
    _queue: deque[bytes] = field(default_factory=deque)
    _presses: deque[_Press] = field(default_factory=deque)
    _pause_left: int = 0
    _ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    _sequence: int = field(default_factory=lambda: secrets.randbits(15))
    _timestamp_base: int = field(default_factory=lambda: secrets.randbits(32))
    _slot: int = 0
    _talking: bool = False
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _transports: list[asyncio.DatagramTransport] = field(default_factory=list)
    _clock: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, host: str) -> "RtpSession":
        """Bind a port pair on an address and begin to receive."""
        loop = asyncio.get_running_loop()
        recorder = RtpRecorder()
        rtp, rtcp = bind_pair(host)
        session = cls(host, rtp.getsockname()[1], recorder)
        session._idle.set()
        for sock, sink in ((rtp, recorder), (rtcp, None)):
            transport, _ = await loop.create_datagram_endpoint(
                partial(_Receiver, sink, session.srtp), sock=sock
            )
            session._transports.append(transport)
        session._clock = asyncio.create_task(session._run(), name="phone rtp clock")
        return session

    def configure(
        self, remote: tuple[str, int] | None, payload_type: int, event_payload_type: int | None
    ) -> None:
        """Take what offer and answer agreed on; `remote` None means that nothing can be sent."""
        self._remote = remote
        self._format.payload_type = payload_type
        self._format.event_payload_type = event_payload_type
        self.recorder.event_payload_type = event_payload_type

    def set_sending(self, sending: bool) -> None:
        """Let the queue run, or hold it (the call is on hold); its audio waits."""
        self._sending = sending

    def play(self, frames: Sequence[bytes]) -> None:
        """Queue audio, one encoded frame for each 20 ms slot."""
        self._queue.extend(frames)
        self._idle.clear()

    def press(self, digits: str) -> None:
        """Queue key presses before the audio that still waits; the audio goes on behind them."""
        self._presses.extend(_Press(digit) for digit in digits)
        self._idle.clear()

    async def drained(self) -> None:
        """Wait until everything queued has been sent."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop sending and receiving. Closing twice does nothing."""
        if self._clock is not None:
            self._clock.cancel()
            await asyncio.gather(self._clock, return_exceptions=True)
            self._clock = None
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while True:
            due = begin + self._slot * FRAME_MS / 1_000
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if self._run_slot():
                self.lateness_ms = max(self.lateness_ms, (loop.time() - due) * 1_000)
            self._slot += 1

    def _run_slot(self) -> bool:
        """Send what this slot holds; say whether it held anything."""
        if not self._sending or self._remote is None:
            self._talking = False
            return False
        timestamp = self._slot * FRAME_SAMPLES
        if self._presses and self._pause_left == 0:
            self._send_press(timestamp)
        elif self._queue:
            payload = self._queue.popleft()
            self._send(self._format.payload_type, timestamp, payload, marker=not self._talking)
            self.sent.append(SentFrame(timestamp, payload, asyncio.get_running_loop().time()))
            self._talking = True
        else:
            self._talking = False
        self._pause_left = max(self._pause_left - 1, 0)
        if not self._queue and not self._presses:
            self._idle.set()
        return True

    def _send_press(self, timestamp: int) -> None:
        press = self._presses[0]
        if press.frames == 0:
            press.begin = timestamp
            self.pressed.append((timestamp, press.digit))
        press.frames += 1
        end = press.frames == EVENT_FRAMES
        payload = event_payload(press.digit, press.frames * FRAME_SAMPLES, end=end)
        for _ in range(END_PACKETS if end else 1):
            if self._format.event_payload_type is not None:
                self._send(self._format.event_payload_type, press.begin, payload, marker=press.frames == 1)
        if end:
            self._presses.popleft()
            self._pause_left = EVENT_PAUSE_FRAMES + 1
        self._talking = True

    def _send(self, payload_type: int, timestamp: int, payload: bytes, *, marker: bool) -> None:
        packet = RtpPacket(
            payload_type,
            self._sequence,
            self._timestamp_base + timestamp,
            self._ssrc,
            payload,
            marker,
        )
        self._sequence += 1
        self._transports[0].sendto(self.srtp.protect(packet.serialize()), self._remote)
