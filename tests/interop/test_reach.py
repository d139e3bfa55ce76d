"""How calls find their peer: by a real DNS, past targets that refuse or say nothing, and by signs of life."""

import contextlib
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dns_server import DnsServer, dns_server
from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    GATEWAY_HOST,
    Gateway,
    Load,
    Setup,
    gateway,
    needs_sipp,
    new_records,
    sip_port,
    sipp,
    verdict_of,
)

pytestmark = [pytest.mark.interop, needs_sipp]

BACKUP_HOST = "127.0.0.4"
DOMAIN = '{uri: "sip:desk.test;transport=udp"}'


@contextlib.contextmanager
def silent(host: str, port: int) -> Iterator[socket.socket]:
    """Hold a UDP port whose owner never says anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((host, port))
        yield held


def zone(first: tuple[str, int], second: tuple[str, int]) -> dict[tuple[str, str], list[str]]:
    """A domain of two servers."""
    return {
        ("_sip._udp.desk.test.", "SRV"): [
            f"1 0 {first[1]} one.desk.test.",
            f"2 0 {second[1]} two.desk.test.",
        ],
        ("one.desk.test.", "A"): [first[0]],
        ("two.desk.test.", "A"): [second[0]],
    }


def asking(server: DnsServer, more: str = "") -> Setup:
    node = f"  dns: {{servers: ['127.0.0.1:{server.port}'], ttl_min: 0s, timeout: 1s}}\n{more}"
    return Setup(peers=DOMAIN, node=node)


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that a poll of the gateway shows."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def attempts(record: dict[str, object]) -> list[int]:
    found = record["attempts"]
    assert isinstance(found, list)
    return [int(attempt["status"]) for attempt in found]


def test_a_target_that_answers_503_makes_room_for_the_next_of_the_same_peer(tmp_path: Path) -> None:
    first, second = (DESK_HOST, sip_port(DESK_HOST)), (BACKUP_HOST, sip_port(BACKUP_HOST))
    with (
        dns_server(zone(first, second)) as server,
        gateway(tmp_path, asking(server)) as site,
        new_records(site) as records,
        sipp("overloaded_callee", tmp_path, first) as refuser,
        sipp("basic_callee", tmp_path, second) as callee,
        sipp("basic_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip) as caller,
    ):
        caller.finish(60)
        callee.finish(10)
        refuser.finish(10)
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
    assert attempts(records[0]) == [200], "one peer, whatever its targets did"


def test_a_silent_target_costs_the_first_call_some_seconds_and_the_second_nothing(tmp_path: Path) -> None:
    first, second = (DESK_HOST, sip_port(DESK_HOST)), (BACKUP_HOST, sip_port(BACKUP_HOST))
    with (
        dns_server(zone(first, second)) as server,
        gateway(tmp_path, asking(server, "  response_timeout: 1s\n")) as site,
        silent(*first) as held,
        new_records(site) as records,
        sipp("basic_callee", tmp_path, second, load=Load(calls=2)) as callee,
    ):
        for number in range(2):
            directory = tmp_path / str(number)
            directory.mkdir()
            with sipp("basic_caller", directory, (CARRIER_HOST, site.carrier), site.sip) as caller:
                caller.finish(60)
        callee.finish(10)
        held.setblocking(False)
        tried = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                message = held.recv(65_535).decode()
                tried.add(next(line for line in message.splitlines() if line.startswith("Call-ID")))
    assert [verdict_of(record) for record in records] == ["caller-hung-up"] * 2
    assert len(tried) == 1, "only the first call was sent to the silent target"


def test_calls_go_on_while_the_dns_is_dead(tmp_path: Path) -> None:
    first, second = (DESK_HOST, sip_port(DESK_HOST)), (BACKUP_HOST, sip_port(BACKUP_HOST))
    with dns_server(zone(first, second)) as server:
        server.ttl = 1
        with gateway(tmp_path, asking(server)) as site, new_records(site) as records:
            server.silent = True
            time.sleep(2.5)
            with (
                sipp("basic_callee", tmp_path, first, load=Load(calls=5)) as callee,
                sipp(
                    "basic_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip, Load(calls=5, rate=5)
                ) as caller,
            ):
                caller.finish(60)
                callee.finish(10)
            stale = site.metrics()["sidestream_dns_stale_answers_total"]
    assert [verdict_of(record) for record in records] == ["caller-hung-up"] * 5
    assert stale > 0
    assert site.log().count("the DNS does not answer") <= 3, "a line for each question, not for each call"


def test_pings_take_a_peer_out_and_bring_it_back(tmp_path: Path) -> None:
    first, second = (DESK_HOST, sip_port(DESK_HOST)), (BACKUP_HOST, sip_port(BACKUP_HOST))
    uris = [f"sip:{host}:{port};transport=udp" for host, port in (first, second)]
    peers = ", ".join(f'{{uri: "{uri}", priority: {number}}}' for number, uri in enumerate(uris, 1))
    many = Load(calls=1000)

    def up(site: Gateway, uri: str) -> float:
        return site.metrics()[f'sidestream_peer_up{{account="acme",peer="{uri}",trunk="support-desk"}}']

    setup = Setup(peers=peers, trunk="          options_ping: 1s")
    (tmp_path / "again").mkdir()
    with (
        gateway(tmp_path, setup) as site,
        new_records(site) as records,
        sipp("options_callee", tmp_path, second, load=many),
    ):
        with sipp("options_callee", tmp_path / "again", first, load=many):
            until(lambda: site.metrics().get('sidestream_peer_pings_total{outcome="answered"}', 0) >= 4)
            assert (up(site, uris[0]), up(site, uris[1])) == (1, 1)
        until(lambda: up(site, uris[0]) == 0)
        assert up(site, uris[1]) == 1
        with urllib.request.urlopen(f"http://{GATEWAY_HOST}:{site.api}/readyz", timeout=5) as answer:
            detail = answer.read().decode()
        assert f"peer acme/support-desk {uris[0]} down" in detail
        assert detail.startswith("ok\n")
        with sipp("options_callee", tmp_path / "again", first, load=many):
            until(lambda: up(site, uris[0]) == 1)
    assert "peer down" in site.log()
    assert "peer up" in site.log()
    assert not records


def test_a_peer_that_is_down_is_passed_over_and_is_the_last_resort(tmp_path: Path) -> None:
    first, second = (DESK_HOST, sip_port(DESK_HOST)), (BACKUP_HOST, sip_port(BACKUP_HOST))
    uris = [f"sip:{host}:{port};transport=udp" for host, port in (first, second)]
    peers = ", ".join(f'{{uri: "{uri}", priority: {number}}}' for number, uri in enumerate(uris, 1))
    setup = Setup(peers=peers, trunk="          options_ping: 1s")
    with gateway(tmp_path, setup) as site, new_records(site) as records:
        until(lambda: sum("peer down" in line for line in site.lines) == 2)
        # Both are down: the first is tried as ever. Nobody is there, and the second answers.
        with (
            sipp("basic_callee", tmp_path, second) as callee,
            sipp("basic_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip) as caller,
        ):
            caller.finish(60)
            callee.finish(10)
        # Its answer brought it up: the next call goes there at once.
        (tmp_path / "next").mkdir()
        with (
            sipp("basic_callee", tmp_path / "next", second) as callee,
            sipp("basic_caller", tmp_path / "next", (CARRIER_HOST, site.carrier), site.sip) as caller,
        ):
            caller.finish(60)
            callee.finish(10)
    assert [attempts(record) for record in records] == [[503, 200], [200]]


def test_calls_go_through_the_outbound_proxy(tmp_path: Path) -> None:
    proxy = (BACKUP_HOST, sip_port(BACKUP_HOST))
    route = f"sip:{BACKUP_HOST}:{proxy[1]};transport=udp"
    setup = Setup(trunk=f'          outbound_proxy: "{route}"')
    with (
        gateway(tmp_path, setup) as site,
        new_records(site) as records,
        sipp("basic_callee", tmp_path, proxy, load=Load(trace=True)) as callee,
        sipp("basic_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip) as caller,
    ):
        caller.finish(60)
        callee.finish(10)
        (invite,) = callee.received("INVITE", "INVITE")
    assert invite.header("Route") == f"<{route};lr>"
    assert f"@{DESK_HOST}:{site.desk}" in invite.first_line
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
