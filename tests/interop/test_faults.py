"""What the field gets wrong: one call and one record all the same, and never a broken call for it.

`SIDESTREAM_REPEAT=20` runs every scenario so many times, all of them in random order.
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    Sipp,
    gateway,
    needs_sipp,
    new_records,
    run_pair,
    sipp,
    verdict_of,
)
from interop.tcp_peer import OFFER, TcpPeer, Wire, header, tcp_peer

pytestmark = [pytest.mark.interop, needs_sipp]

REPEAT = int(os.environ.get("SIDESTREAM_REPEAT", "1"))
TRACED = Load(trace=True)
TALK = Load(trace=True, pause_ms=2500)
FRAME = 160
FRAMES = 100

Record = dict[str, object]


@pytest.fixture(autouse=True, params=range(REPEAT))
def turn(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def tcp_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway"), Setup(transport="tcp")) as running:
        yield running


@dataclass(frozen=True)
class Outcome:
    """A call as its caller, its callee and its record saw it."""

    caller: Sipp
    callee: Sipp
    record: Record


def carry(
    site: Gateway,
    directory: Path,
    caller: str,
    callee: str,
    loads: tuple[Load, Load] = (TRACED, TRACED),
) -> Outcome:
    """Carry the one call of two scenarios."""
    with new_records(site) as records:
        calling, called = run_pair(site, directory, caller, callee, loads)
    assert len(records) == 1, f"one call left {len(records)} records: {records}"
    return Outcome(calling, called, records[0])


@pytest.mark.parametrize(
    ("caller", "callee", "verdict"),
    [
        ("basic_caller", "forked_answers_callee", "caller-hung-up"),
        ("bye_after_re_invite_caller", "bye_after_re_invite_callee", "caller-hung-up"),
        ("bye_meets_re_invite_caller", "bye_meets_re_invite_callee", "callee-hung-up"),
        ("cancel_while_ringing_caller", "answer_meets_cancel_callee", "cancelled-by-caller"),
        ("ended_dialog_caller", "basic_callee", "caller-hung-up"),
        ("hold_address_caller", "hold_address_callee", "caller-hung-up"),
        ("hold_inactive_caller", "hold_inactive_callee", "caller-hung-up"),
        ("info_caller", "info_callee", "caller-hung-up"),
        ("late_cancel_caller", "basic_callee", "caller-hung-up"),
        ("merged_caller", "slow_callee", "caller-hung-up"),
        ("progress_without_media_caller", "progress_without_media_callee", "caller-hung-up"),
    ],
)
def test_call_follows_its_scenario(
    site: Gateway, tmp_path: Path, caller: str, callee: str, verdict: str
) -> None:
    outcome = carry(site, tmp_path, caller, callee)
    assert verdict_of(outcome.record) == verdict


@pytest.mark.parametrize(
    "name",
    [
        "dead_dialog",
        "known_method",
        "max_forwards",
        "media_type",
        "options",
        "require",
        "scheme",
        "unknown_method",
    ],
)
def test_request_that_is_no_call_is_answered(site: Gateway, tmp_path: Path, name: str) -> None:
    """Status and headers of each answer are in the scenario."""
    with (
        new_records(site) as records,
        sipp(f"{name}_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip) as caller,
    ):
        caller.finish()
    assert records == []


def test_invite_sent_again_is_one_call(site: Gateway, tmp_path: Path) -> None:
    outcome = carry(site, tmp_path, "invite_sent_again_caller", "slow_callee")
    assert verdict_of(outcome.record) == "caller-hung-up"
    assert len(outcome.callee.received("INVITE", "INVITE")) == 1
    ringing = outcome.caller.received("SIP/2.0 180", "INVITE")
    assert len(ringing) >= 2, "the second INVITE was not answered as the first one was"


def test_invite_that_the_callee_does_not_hear_is_sent_again(site: Gateway, tmp_path: Path) -> None:
    outcome = carry(site, tmp_path, "basic_caller", "deaf_callee")
    invites = outcome.callee.received("INVITE", "INVITE")
    assert len(invites) >= 2
    assert len({invite.text for invite in invites}) == 1, "what is sent again is not what was sent"
    assert len(outcome.caller.received("SIP/2.0 200", "INVITE")) == 1


def test_answer_sent_again_is_acknowledged_each_time(site: Gateway, tmp_path: Path) -> None:
    outcome = carry(site, tmp_path, "basic_caller", "answer_sent_again_callee")
    acks = outcome.callee.received("ACK", "ACK")
    assert len(acks) == 3
    assert len({ack.header("To") for ack in acks}) == 1
    assert len(outcome.caller.received("SIP/2.0 200", "INVITE")) == 1
    assert len(outcome.callee.received("BYE", "BYE")) == 1


def test_bye_sent_again_is_answered_each_time_and_crosses_once(site: Gateway, tmp_path: Path) -> None:
    # SIPp's own re-transmission is off: it would take each answer as the question for another BYE.
    loads = (Load(trace=True, options=("-nr",)), TRACED)
    outcome = carry(site, tmp_path, "bye_sent_again_caller", "basic_callee", loads)
    answers = outcome.caller.received("SIP/2.0 200", "BYE")
    assert len(answers) == 3
    assert len({answer.text for answer in answers}) == 1
    assert len(outcome.callee.received("BYE", "BYE")) == 1


def test_lost_200_or_lost_ack_has_the_200_sent_again_until_the_ack(site: Gateway, tmp_path: Path) -> None:
    outcome = carry(site, tmp_path, "ack_lost_caller", "basic_callee")
    answers = outcome.caller.received("SIP/2.0 200", "INVITE")
    assert len(answers) == 3, "500 ms and 1 s after the first, and no more after the ACK (RFC 3261 13.3.1.4)"
    assert len({answer.text for answer in answers}) == 1
    assert verdict_of(outcome.record) == "caller-hung-up"


def test_lost_ack_to_a_re_invite_has_the_200_sent_again(site: Gateway, tmp_path: Path) -> None:
    outcome = carry(site, tmp_path, "re_invite_ack_lost_caller", "re_invited_callee")
    answers = outcome.caller.received("SIP/2.0 200", "2 INVITE")
    assert len(answers) == 2
    assert len({answer.text for answer in answers}) == 1
    assert len(outcome.callee.received("INVITE", "INVITE")) == 2


@pytest.fixture(scope="module")
def never_acknowledged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Outcome]]:
    """Begin a call whose ACK never comes; it takes 32 s, in which other tests run."""
    directory = tmp_path_factory.mktemp("gateway")
    with gateway(directory) as own_site, ThreadPoolExecutor(1) as pool:
        yield pool.submit(carry, own_site, directory, "ack_never_caller", "basic_callee")


@pytest.fixture(autouse=True)
def _early(never_acknowledged: Future[Outcome]) -> None:
    """Have the slow call begin with the first test."""


def test_ack_that_never_comes_ends_the_call_with_bye(never_acknowledged: Future[Outcome]) -> None:
    outcome = never_acknowledged.result(60)
    assert verdict_of(outcome.record) == "answer-not-acknowledged"
    answers = outcome.caller.received("SIP/2.0 200", "INVITE")
    assert 9 <= len(answers) <= 12, "after 0.5, 1, 2, 4 s and so on every 4 s, for 32 s"
    assert len({answer.text for answer in answers}) == 1
    assert len(outcome.callee.received("BYE", "BYE")) == 1


def test_glare_is_491_on_both_sides_and_the_next_re_invite_goes_through(
    site: Gateway, tmp_path: Path
) -> None:
    outcome = carry(site, tmp_path, "glare_caller", "glare_callee")
    assert verdict_of(outcome.record) == "caller-hung-up"
    assert len(outcome.caller.received("SIP/2.0 491", "INVITE")) == 1
    assert len(outcome.callee.received("SIP/2.0 491", "INVITE")) == 1
    assert len(outcome.callee.received("SIP/2.0 200", "2 INVITE")) == 1


def test_forks_that_ring_are_one_early_dialog_of_the_caller(site: Gateway, tmp_path: Path) -> None:
    outcome = carry(site, tmp_path, "forked_ringing_caller", "forked_ringing_callee")
    responses = [
        each for status in (180, 183, 200) for each in outcome.caller.received(f"SIP/2.0 {status}", "INVITE")
    ]
    assert len(responses) == 3
    assert len({each.header("To") for each in responses}) == 1, "a B2BUA is one callee, with one tag"
    assert len(outcome.callee.received("BYE", "BYE")) == 1


def test_re_invite_that_is_rejected_leaves_the_media_flowing(site: Gateway, tmp_path: Path) -> None:
    """The callee echoes, so what each leg has carried shows that it flowed to the end in both directions."""
    (tmp_path / "caller.raw").write_bytes(os.urandom(FRAME * FRAMES))
    loads = (TALK, Load(trace=True, options=("-rtp_echo",)))
    outcome = carry(site, tmp_path, "re_invite_rejected_caller", "re_invite_rejected_callee", loads)
    media = outcome.record["media"]
    assert isinstance(media, list)
    carried = {side["side"]: (side["received_packets"], side["sent_packets"]) for side in media}
    assert carried == {"a": (FRAMES, FRAMES), "b": (FRAMES, FRAMES)}


def dial(peer: TcpPeer, wire: Wire, port: int) -> str:
    """Make the call and return the target of requests within it."""
    wire.send(peer.request("INVITE", f"sip:+15559870001@127.0.0.1:{port}", 1), OFFER.format(host=peer.host))
    answer = wire.expect("SIP/2.0 200")
    peer.to = header(answer, "To")
    target = header(answer, "Contact").strip("<>")
    wire.send(peer.request("ACK", target, 1))
    return target


@contextlib.contextmanager
def callee(site: Gateway, directory: Path, scenario: str) -> Iterator[Sipp]:
    load = Load(transport="t1", trace=True)
    with sipp(scenario, directory, (DESK_HOST, site.desk), load=load) as called:
        yield called


def test_caller_whose_connection_is_dropped_hangs_up_over_a_new_one(
    tcp_site: Gateway, tmp_path: Path
) -> None:
    with (
        new_records(tcp_site) as records,
        callee(tcp_site, tmp_path, "basic_callee") as called,
        tcp_peer(CARRIER_HOST, tcp_site.carrier) as caller,
    ):
        wire = caller.connect(tcp_site.sip)
        target = dial(caller, wire, tcp_site.sip)
        wire.drop()
        again = caller.connect(tcp_site.sip)
        again.send(caller.request("BYE", target, 2))
        again.expect("SIP/2.0 200")
        called.finish(10)
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
    assert len(called.received("BYE", "BYE")) == 1


def test_bye_reaches_a_caller_whose_connection_is_dropped(tcp_site: Gateway, tmp_path: Path) -> None:
    with (
        new_records(tcp_site) as records,
        callee(tcp_site, tmp_path, "callee_hangs_up_callee") as called,
        tcp_peer(CARRIER_HOST, tcp_site.carrier) as caller,
    ):
        wire = caller.connect(tcp_site.sip)
        dial(caller, wire, tcp_site.sip)
        wire.drop()
        reached = caller.accept()
        reached.answer(reached.expect("BYE"), "200 OK")
        called.finish(10)
    assert [verdict_of(record) for record in records] == ["callee-hung-up"]


def test_bye_reaches_a_callee_whose_connection_is_dropped(tcp_site: Gateway, tmp_path: Path) -> None:
    load = Load(transport="t1", pause_ms=300)
    with (
        new_records(tcp_site) as records,
        tcp_peer(DESK_HOST, tcp_site.desk) as called,
        sipp("basic_caller", tmp_path, (CARRIER_HOST, tcp_site.carrier), tcp_site.sip, load) as caller,
    ):
        wire = called.accept()
        wire.answer(wire.expect("INVITE"), "200 OK", (called.contact,), OFFER.format(host=called.host))
        wire.expect("ACK")
        wire.drop()
        reached = called.accept()
        reached.answer(reached.expect("BYE"), "200 OK")
        caller.finish(10)
    assert [verdict_of(record) for record in records] == ["caller-hung-up"]
