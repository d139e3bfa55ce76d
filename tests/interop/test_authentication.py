"""Digest authentication against SIPp, which has its own: it verifies our answers, and answers us."""

from pathlib import Path

import pytest

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
    run_pair,
    sipp,
    verdict_of,
)

pytestmark = [pytest.mark.interop, needs_sipp]

OURS = "          auth: {username: trunk, password: secret, realm: desk.example}"
THEIRS = "          auth: {username: carrier, password: secret, require_auth: true, algorithms: [ALGORITHM]}"


def asked(site: Gateway, calls: int = 1) -> Load:
    """A caller's load; by itself SIPp leaves the user out of the URI that its credentials are for."""
    uri = f"+15559870001@{GATEWAY_HOST}:{site.sip}"
    return Load(calls=calls, rate=5, pause_ms=300, options=("-auth_uri", uri))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipp_verifies_what_we_answer(tmp_path: Path, transport: str) -> None:
    load = Load(trace=True, transport="u1" if transport == "udp" else "t1")
    setup = Setup(trunk=OURS, transport=transport)
    with gateway(tmp_path, setup) as site, new_records(site) as records:
        _, called = run_pair(site, tmp_path, "basic_caller", "challenging_callee", (load, load))
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
    first, second = called.received("INVITE", "INVITE")
    assert (first.header("CSeq"), second.header("CSeq")) == ("1 INVITE", "2 INVITE")
    assert first.header("Call-ID") == second.header("Call-ID")
    assert first.header("From") == second.header("From")
    assert first.text.partition("\n\n")[2] == second.text.partition("\n\n")[2]
    (ack,) = called.received("ACK", "2 ACK")
    assert ack.header("Authorization") == second.header("Authorization")
    (bye,) = called.received("BYE", "BYE")
    assert "nc=00000002" in bye.header("Authorization")


def test_wrong_credentials_are_shown_once_and_the_caller_gets_403(tmp_path: Path) -> None:
    setup = Setup(trunk=OURS.replace("secret", "wrong"))
    with gateway(tmp_path, setup) as site, new_records(site) as records:
        _, called = run_pair(site, tmp_path, "refused_caller", "rejecting_callee", (Load(), Load(trace=True)))
    assert [verdict_of(record) for record in records] == ["credentials-rejected"]
    assert len(called.received("INVITE", "INVITE")) == 2


@pytest.mark.parametrize("algorithms", ["MD5", "MD5, SHA-256"])
def test_sipp_answers_our_challenge(tmp_path: Path, algorithms: str) -> None:
    setup = Setup(carrier=THEIRS.replace("ALGORITHM", algorithms))
    with gateway(tmp_path, setup) as site, new_records(site) as records:
        run_pair(site, tmp_path, "asked_caller", "basic_callee", (asked(site, 3), Load(calls=3)))
        metrics = site.metrics()
    assert [verdict_of(record) for record in records] == ["caller-hung-up"] * 3
    assert metrics['sidestream_sip_auth_total{outcome="accepted"}'] == 3
    assert metrics['sidestream_sip_auth_total{outcome="missing"}'] == 3


def test_a_stranger_is_known_by_its_credentials(tmp_path: Path) -> None:
    keys = THEIRS.replace("ALGORITHM", "MD5").replace("require_auth", "any_source: true, require_auth")
    with (
        gateway(tmp_path, Setup(carrier=keys)) as site,
        new_records(site) as records,
        sipp("basic_callee", tmp_path, (DESK_HOST, site.desk)) as called,
        sipp("asked_caller", tmp_path, ("127.0.0.4", site.carrier), site.sip, asked(site)) as stranger,
    ):
        stranger.finish(60)
        called.finish(10)
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
    assert str(records[0]["source"]).startswith("udp:127.0.0.4:")


def test_a_wrong_password_is_401_again_and_is_told(tmp_path: Path) -> None:
    setup = Setup(carrier=THEIRS.replace("ALGORITHM", "MD5"))
    with gateway(tmp_path, setup) as site, new_records(site) as records:
        with sipp(
            "guessing_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip, asked(site)
        ) as guessing:
            guessing.finish(60)
        metrics = site.metrics()
    assert [verdict_of(record) for record in records] == ["wrong-credentials"]
    assert metrics['sidestream_sip_auth_total{outcome="wrong"}'] == 1
    assert "sesame" not in site.log()
    assert "guess" not in site.log()


def test_a_suspended_account_gets_403(tmp_path: Path) -> None:
    load = Load(trace=True)
    with (
        gateway(tmp_path, Setup(account="    suspended: true")) as site,
        new_records(site) as records,
        sipp("refused_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip, load) as caller,
    ):
        caller.finish(60)
    assert [verdict_of(record) for record in records] == ["account-suspended"]
    (refusal,) = caller.received("SIP/2.0 403", "INVITE")
    assert refusal.header("Reason") == 'SIP;cause=403;text="Account suspended"'
