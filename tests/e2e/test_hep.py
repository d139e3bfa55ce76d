"""What a HEP collector gets of a call: every message of both legs, without secrets, and two reports."""

import json
import socket
from pathlib import Path

import pytest

from e2e.test_gateway import talk, the_record
from hep_decoder import Hep, read_all
from interop.harness import CONFIG, gateway

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]


def packets(collector: socket.socket) -> list[Hep]:
    """Return what has come; nothing more is on its way."""
    found: list[Hep] = []
    collector.settimeout(1)
    try:
        while True:
            found += read_all(collector.recv(65_535))
    except TimeoutError:
        return found


async def test_a_collector_gets_every_message_and_a_report_of_each_party(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        collector.bind(("127.0.0.1", 0))
        hep = f"\n  hep: {{{{to: 'udp://127.0.0.1:{collector.getsockname()[1]}', node_id: 7}}}}"
        monkeypatch.setattr(
            "interop.harness.CONFIG", CONFIG.replace("drain_timeout: 2s", "drain_timeout: 2s" + hep)
        )
        with gateway(tmp_path) as site:
            async with talk(site) as call:
                await call.say(25)
                await call.caller.hang_up()
            record = await the_record(site)
            found = packets(collector)
            metrics = site.metrics()
    assert {each.chunks[0, 17].decode() for each in found} == {record["call_id"]}
    assert {each.number(12) for each in found} == {7}
    sip = [each.chunks[0, 15].split(b" ", 2) for each in found if each.number(11) == 1]
    methods = [first for first, *_ in sip if not first.startswith(b"SIP/2.0")]
    assert sorted(methods) == [b"ACK", b"ACK", b"BYE", b"BYE", b"INVITE", b"INVITE"]
    assert sum(first == b"SIP/2.0" for first, *_ in sip) >= 6
    reports = [json.loads(each.chunks[0, 15]) for each in found if each.number(11) == 5]
    assert [report["sender_information"]["packets"] for report in reports] == [25, 25]
    assert all(report["mos"] > 4 for report in reports)
    assert metrics['sidestream_hep_packets_total{outcome="sent"}'] == len(found)
    assert metrics['sidestream_hep_packets_total{outcome="dropped"}'] == 0
