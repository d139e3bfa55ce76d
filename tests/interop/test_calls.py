"""Calls between two SIPp processes across the gateway, each scenario named by what it proves."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    free_port,
    gateway,
    needs_sipp,
    new_records,
    run_pair,
    sip_port,
    sipp,
    verdict_of,
)

pytestmark = [pytest.mark.interop, needs_sipp]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@contextlib.contextmanager
def silent_socket(host: str, port: int) -> Iterator[None]:
    """Hold a UDP port whose owner never says anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((host, port))
        yield


def carry(site: Gateway, directory: Path, name: str, load: Load | None = None) -> None:
    load = load or Load()
    run_pair(site, directory, f"{name}_caller", f"{name}_callee", (load, load))


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("basic", "caller-hung-up"),
        ("callee_hangs_up", "callee-hung-up"),
        ("early_media", "caller-hung-up"),
        ("cancel_before_ringing", "cancelled-by-caller"),
        ("cancel_while_ringing", "cancelled-by-caller"),
        ("busy", "busy"),
        ("unavailable", "no-answer"),
        ("hold", "caller-hung-up"),
        ("codec_change", "caller-hung-up"),
        ("update", "caller-hung-up"),
        ("delayed_offer", "caller-hung-up"),
    ],
)
def test_call(site: Gateway, tmp_path: Path, name: str, verdict: str) -> None:
    with new_records(site) as records:
        carry(site, tmp_path, name)
    assert [verdict_of(record) for record in records] == [verdict]


@pytest.mark.parametrize("name", ["basic", "hold", "cancel_while_ringing"])
def test_call_over_tcp(tmp_path: Path, name: str) -> None:
    with gateway(tmp_path, Setup(transport="tcp")) as site, new_records(site) as records:
        carry(site, tmp_path, name, Load(transport="t1"))
    assert len(records) == 1


def test_the_second_peer_is_tried_when_the_first_answers_503(tmp_path: Path) -> None:
    first = sip_port(DESK_HOST)
    setup = Setup(first_peer=f"sip:{DESK_HOST}:{first};transport=udp")
    with (
        gateway(tmp_path, setup) as site,
        new_records(site) as records,
        sipp("overloaded_callee", tmp_path, (DESK_HOST, first)) as refuser,
    ):
        carry(site, tmp_path, "basic")
        refuser.finish()
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
    attempts = records[0]["attempts"]
    assert isinstance(attempts, list)
    assert [attempt["status"] for attempt in attempts] == [503, 200]


def test_the_second_peer_is_tried_when_the_first_cannot_be_reached(tmp_path: Path) -> None:
    first = sip_port(DESK_HOST)
    with (
        gateway(tmp_path, Setup(first_peer=f"sip:{DESK_HOST}:{first};transport=tcp")) as site,
        new_records(site) as records,
    ):
        carry(site, tmp_path, "basic")
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]


def test_a_source_that_is_no_trunk_is_refused(site: Gateway, tmp_path: Path) -> None:
    stranger = ("127.0.0.9", free_port("127.0.0.9"))
    with new_records(site) as records, sipp("refused_caller", tmp_path, stranger, site.sip) as caller:
        caller.finish()
    assert [verdict_of(record) for record in records] == ["unknown-trunk"]


def test_a_callee_that_never_answers_is_a_timeout(site: Gateway, tmp_path: Path) -> None:
    with (
        new_records(site) as records,
        silent_socket(DESK_HOST, site.desk),
        sipp("timeout_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip) as caller,
    ):
        caller.finish(45)
    assert [verdict_of(record) for record in records] == ["peer-timeout"]


def test_1000_calls_at_50_a_second_and_nothing_left_behind(tmp_path: Path) -> None:
    load = Load(calls=1000, rate=50, pause_ms=1000, options=("-l", "400"))
    with gateway(tmp_path) as site:
        carry(site, tmp_path, "basic", Load(calls=50, rate=50, pause_ms=100))
        site.wait_idle()
        site.wait_traced(50)
        before = site.footprint()
        carry(site, tmp_path, "basic", load)
        site.wait_idle()
        after = site.footprint()
        records = site.records()
    assert len(records) == 1050
    assert {verdict_of(record) for record in records} == {"caller-hung-up"}
    assert after.descriptors <= before.descriptors
    assert after.ports == before.ports == 0
    assert after.tasks <= before.tasks
    assert after.resident_kb - before.resident_kb < 30_000
