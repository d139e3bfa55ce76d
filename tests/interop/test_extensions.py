"""SIP extensions with SIPp on one side or both, each scenario named by what it proves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.harness import Gateway, Load, gateway, needs_sipp, new_records, run_pair, verdict_of

pytestmark = [pytest.mark.interop, needs_sipp]

TRACED = Load(trace=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize(
    ("caller", "callee"),
    [
        ("reliable", "reliable"),
        ("early_media", "reliable_alone"),
        ("reliable_alone", "early_media"),
        ("reliable_offer", "reliable_offer"),
    ],
)
def test_reliable_progress(site: Gateway, tmp_path: Path, caller: str, callee: str) -> None:
    with new_records(site) as records:
        calling, _ = run_pair(site, tmp_path, f"{caller}_caller", f"{callee}_callee", (TRACED, TRACED))
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
    if caller == "reliable_alone":
        repeated = {each.text for each in calling.received("SIP/2.0 183", "INVITE")}
        assert len(calling.received("SIP/2.0 183", "INVITE")) >= 2
        assert len(repeated) == 1


def test_session_timers(site: Gateway, tmp_path: Path) -> None:
    with new_records(site) as records:
        run_pair(site, tmp_path, "interval_caller", "interval_callee", (TRACED, TRACED))
    assert [verdict_of(record) for record in records] == ["interval-too-small", "caller-hung-up"]
    attempts = records[1]["attempts"]
    assert isinstance(attempts, list)
    assert [attempt["status"] for attempt in attempts] == [422, 200]
