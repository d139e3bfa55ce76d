"""A DNS server on loopback for tests: a zone that the test writes, and moods that it sets."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SOA = "ns.test. admin.test. 1 3600 600 86400 7"
"""Its last figure is the time of denials (RFC 2308)."""


class DnsServer:
    """Answers over UDP in a thread of its own.

    Attributes:
        port: where.
        zone: records in the text of master files, by name (with a final dot) and type.
        ttl: time to live of every record.
        silent: whether it says nothing.
        failing: whether it says SERVFAIL.
        asked: questions, as `SRV _sip._udp.example.test.`.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(0.05)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="dns server", daemon=True)
        self.port = int(self._sock.getsockname()[1])
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.ttl = 60
        self.silent = False
        self.failing = False
        self.asked: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and let go of the port."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._sock.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                data, peer = self._sock.recvfrom(4096)
            except TimeoutError:
                continue
            try:
                answer = self._answer(data)
            except dns.exception.DNSException:
                continue
            if answer is not None:
                self._sock.sendto(answer, peer)

    def _answer(self, data: bytes) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[f"{kind} {name}"] += 1
        if self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | dns.flags.AA
        if self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        while (alias := self.zone.get((name, "CNAME"))) and kind != "CNAME":
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", *alias))
            name = alias[0]
        records = self.zone.get((name, kind))
        if records:
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *records))
            return response.to_wire()
        response.authority.append(dns.rrset.from_text("test.", 3600, "IN", "SOA", SOA))
        if not any(owner == name for owner, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextmanager
def dns_server(zone: dict[tuple[str, str], list[str]]) -> Iterator[DnsServer]:
    """Serve a zone for a test."""
    server = DnsServer()
    server.zone.update(zone)
    server.start()
    try:
        yield server
    finally:
        server.stop()
