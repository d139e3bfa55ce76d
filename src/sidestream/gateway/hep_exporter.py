"""Sends packets to a HEP collector from a thread of its own. What does not fit is dropped and counted."""

import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from sidestream.config.observing import Hep
from sidestream.observe.call_trace import TracedMessage
from sidestream.observe.hep import HepAgent, HepPacket, Payload, QualityReport, encode, report_json
from sidestream.observe.logging import Logger, logger

QUEUE_MAX: Final = 10_000
"""Packets that may wait: some seconds of a busy gateway, 10 MB."""
QUEUE_BYTES: Final = 16 * 1024 * 1024
BATCH_MAX: Final = 256
GATHER_S: Final = 0.05
CONNECT_S: Final = 5.0
RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
RESOLVED_S: Final = 60.0
"""How long a name's address is used before it is looked up again."""
PACKET_COST: Final = 256


@dataclass(slots=True)
class HepCounts:
    """What was sent."""

    sent: int = 0
    dropped: int = 0
    """Queue full, too long, or the collector away."""
    errors: int = 0


class HepExporter:
    """The way to one collector.

    Args:
        options: where it is, and who we are to it.
        name: of the gateway.
        log: where a collector that is away is noted.
    """

    def __init__(self, options: Hep, name: str, log: Logger | None = None) -> None:
        self._to = options.to
        password = options.password.reveal() if options.password else ""
        self._agent = HepAgent(options.node_id, name, password)
        self._log = log or logger(part="hep")
        self._waiting: deque[HepPacket] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._failing = False
        self._retry_s = RETRY_FIRST_S
        self._socket: socket.socket | None = None
        self._opened_at = 0.0
        self._thread = threading.Thread(target=self._run, name="hep", daemon=True)
        self.counts = HepCounts()

    @property
    def waiting(self) -> int:
        """Packets that are not sent yet."""
        return len(self._waiting)

    def open(self) -> None:
        """Start sending."""
        self._thread.start()

    def message(self, call_id: str, message: TracedMessage) -> None:
        """Queue a SIP message, masked; returns at once."""
        local = (message.local_host, message.local_port)
        remote = (message.remote_host, message.remote_port)
        source, target = (local, remote) if message.sent else (remote, local)
        self._put(
            HepPacket(
                at_us=message.at_us,
                source=source,
                target=target,
                tcp=message.transport != "udp",
                kind=Payload.SIP,
                data=message.data,
                correlation=call_id,
            )
        )

    def report(
        self, call_id: str, report: QualityReport, party: tuple[str, int], own: tuple[str, int]
    ) -> None:
        """Queue a report of a party's audio; returns at once.

        Args:
            call_id: the call.
            report: the figures.
            party: address and port that its audio came from.
            own: those that it came to.
        """
        self._put(
            HepPacket(
                at_us=time.time_ns() // 1000,
                source=party,
                target=own,
                tcp=False,
                kind=Payload.RTCP_JSON,
                data=report_json(report),
                correlation=call_id,
            )
        )

    def close(self, timeout: float = 2.0) -> None:
        """Send what waits and stop, for `timeout` seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _put(self, packet: HepPacket) -> None:
        size = len(packet.data) + PACKET_COST
        with self._changed:
            if self._closing or len(self._waiting) >= QUEUE_MAX or self._bytes + size > QUEUE_BYTES:
                self.counts.dropped += 1
                return
            self._waiting.append(packet)
            self._bytes += size
            if len(self._waiting) == 1:
                self._changed.notify()

    def _run(self) -> None:
        while batch := self._take():
            self._send_all(batch)
        self._drop_socket()

    def _take(self) -> list[HepPacket]:
        """Wait for packets; none at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, GATHER_S)
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
            self._bytes -= sum(len(packet.data) + PACKET_COST for packet in batch)
            return batch

    def _send_all(self, batch: list[HepPacket]) -> None:
        for number, packet in enumerate(batch):
            data = encode(packet, self._agent)
            if data is None:
                self.counts.dropped += 1
                continue
            try:
                self._send(data)
            except OSError as error:
                self._fail(error, lost=len(batch) - number)
                return
            self.counts.sent += 1
        self._retry_s = RETRY_FIRST_S
        if self._failing:
            self._failing = False
            self._log.info("the HEP collector is reached again", collector=str(self._to))

    def _send(self, data: bytes) -> None:
        stale = self._to.transport == "udp" and time.monotonic() - self._opened_at > RESOLVED_S
        if self._socket is None or stale:
            self._drop_socket()
            self._socket = self._connect()
            self._opened_at = time.monotonic()
        self._socket.sendall(data)

    def _connect(self) -> socket.socket:
        kind = socket.SOCK_DGRAM if self._to.transport == "udp" else socket.SOCK_STREAM
        problem = OSError(f"{self._to.host} has no address")
        for family, _, _, _, address in socket.getaddrinfo(self._to.host, self._to.port, type=kind):
            one = socket.socket(family, kind)
            try:
                one.settimeout(CONNECT_S)
                one.connect(address)
            except OSError as error:
                one.close()
                problem = error
            else:
                return one
        raise problem

    def _fail(self, error: OSError, lost: int) -> None:
        """Let go of the batch and of the connection, and wait before the next try."""
        self.counts.errors += 1
        self.counts.dropped += lost
        self._drop_socket()
        if not self._failing:
            self._failing = True
            self._log.warning("the HEP collector is not reached", collector=str(self._to), error=str(error))
        with self._changed:
            self._changed.wait_for(lambda: self._closing, self._retry_s)
            if self._closing:
                self.counts.dropped += len(self._waiting)
                self._waiting.clear()
        self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
