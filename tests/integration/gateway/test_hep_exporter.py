"""Packets on their way to a real HEP collector, over UDP and TCP, and without one."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from hep_decoder import Hep, read_all
from sidestream.config.observing import Hep as HepOptions
from sidestream.config.values import CollectorAddress, Secret
from sidestream.gateway import hep_exporter as module
from sidestream.gateway.hep_exporter import QUEUE_MAX, HepExporter
from sidestream.observe.hep import QualityReport
from trace_script import message, sip

INVITE = sip("INVITE sip:x SIP/2.0")
REPORT = QualityReport(packets=1, lost=0, jitter_ms=0.0, round_trip_ms=None, sent=1, far_lost=None, mos=4.4)


def options(transport: str, port: int, host: str = "127.0.0.1") -> HepOptions:
    to = CollectorAddress("tcp" if transport == "tcp" else "udp", host, port)
    return HepOptions(to=to, node_id=7, password=Secret("s3cret"))


@contextlib.contextmanager
def exporter(to: HepOptions) -> Iterator[HepExporter]:
    one = HepExporter(to, "gw")
    one.open()
    try:
        yield one
    finally:
        one.close()


def until(wanted: object, holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, wanted
        time.sleep(0.01)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_messages_and_reports_arrive_over_udp_in_order(host: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        with exporter(options("udp", collector.getsockname()[1], host)) as hep:
            hep.message("call-1", message(INVITE))
            hep.message("call-1", message(INVITE, 0.5, sent=True))
            hep.report("call-1", REPORT, ("192.0.2.1", 4001), ("127.0.0.1", 20_001))
            found = [read_all(collector.recv(65_535))[0] for _ in range(3)]
    assert [each.addresses for each in found] == [
        ("192.0.2.1", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1"),
        ("192.0.2.1", "127.0.0.1"),
    ]
    assert [each.number(11) for each in found] == [1, 1, 5]
    assert {each.chunks[0, 17] for each in found} == {b"call-1"}
    assert {each.chunks[0, 14] for each in found} == {b"s3cret"}
    assert (hep.counts.sent, hep.counts.dropped) == (3, 0)


def test_over_tcp_packets_follow_each_other_on_one_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(10)
        with exporter(options("tcp", collector.getsockname()[1])) as hep:
            for number in range(500):
                hep.message(f"call-{number}", message(INVITE))
            connection, _ = collector.accept()
        connection.settimeout(10)
        data = b""
        with connection:
            while part := connection.recv(65_536):
                data += part
    found: list[Hep] = read_all(data)
    assert [each.chunks[0, 17].decode() for each in found] == [f"call-{number}" for number in range(500)]


def test_a_collector_that_is_away_costs_packets_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hep = HepExporter(options("tcp", port), "gw")
    hep.open()
    hep.message("call-1", message(INVITE))
    until("an error", lambda: hep.counts.errors)
    assert (hep.counts.sent, hep.counts.dropped) == (0, 1)
    with socket.create_server(("127.0.0.1", port)) as collector:
        collector.settimeout(10)
        hep.message("call-2", message(INVITE))
        connection, _ = collector.accept()
        with connection:
            connection.settimeout(10)
            (found,) = read_all(connection.recv(65_536))
        assert found.chunks[0, 17] == b"call-2"
        hep.close()


def test_too_many_packets_are_dropped_and_counted() -> None:
    hep = HepExporter(options("udp", 9), "gw")
    for _ in range(QUEUE_MAX + 3):
        hep.message("call", message(INVITE))
    assert (hep.waiting, hep.counts.dropped) == (QUEUE_MAX, 3)
    big = HepExporter(options("udp", 9), "gw")
    for _ in range(300):
        big.message("call", message(b"x" * 64_000))
    assert 200 < big.waiting < 300
    assert big.counts.dropped == 300 - big.waiting
