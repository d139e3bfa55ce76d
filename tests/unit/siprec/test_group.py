"""Server groups: order, circuit breaker, probes, memory."""

import random
from collections import Counter

import pytest

from sidestream.siprec.group import TRIAL_S, Circuit, GroupPolicy, ServerGroup
from sidestream.siprec.profile import Server, ServerMemory
from sidestream.siprec.verdicts import Cause


def group(*servers: Server, **policy: object) -> ServerGroup:
    return ServerGroup(servers, GroupPolicy(**policy), random.Random(7).random)  # type: ignore[arg-type]


def names(servers: tuple[Server, ...]) -> list[str]:
    return [server.uri for server in servers]


A, B, C = Server(uri="sip:a"), Server(uri="sip:b", priority=2), Server(uri="sip:c", priority=3)


def test_hunting_goes_by_priority() -> None:
    assert names(group(C, A, B).order(0)) == ["sip:a", "sip:b", "sip:c"]


def test_weight_decides_among_servers_of_one_priority() -> None:
    servers = group(
        Server(uri="sip:x", weight=3), Server(uri="sip:y", weight=1), Server(uri="sip:z", weight=0)
    )
    orders = [names(servers.order(0)) for _ in range(2000)]
    first = Counter(order[0] for order in orders)
    assert 1380 < first["sip:x"] < 1620
    assert first["sip:z"] == 0
    assert {order[2] for order in orders} == {"sip:z"}


def test_round_robin_gives_each_its_turn_by_weight_within_its_priority() -> None:
    servers = group(
        Server(uri="sip:x", weight=2),
        Server(uri="sip:y"),
        Server(uri="sip:last", priority=9),
        strategy="round_robin",
    )
    orders = [names(servers.order(0)) for _ in range(6)]
    assert [order[0] for order in orders] == ["sip:x", "sip:y", "sip:x", "sip:x", "sip:y", "sip:x"]
    assert {order[-1] for order in orders} == {"sip:last"}
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_round_robin_works_without_weights() -> None:
    servers = group(Server(uri="sip:x", weight=0), Server(uri="sip:y", weight=0), strategy="round_robin")
    assert {names(servers.order(0))[0] for _ in range(2)} == {"sip:x", "sip:y"}


def test_servers_to_avoid_come_last() -> None:
    assert names(group(A, B, C).order(0, avoid={"sip:a"})) == ["sip:b", "sip:c", "sip:a"]


@pytest.mark.parametrize(
    "cause", [Cause.UNREACHABLE, Cause.NO_ANSWER, Cause.SILENT, Cause.SERVER_ERROR, Cause.PEER_LOST]
)
def test_failures_in_a_row_open_the_circuit(cause: Cause) -> None:
    servers = group(A, B, failures_to_open=3, open_s=30)
    for _ in range(2):
        servers.failed("sip:a", cause, 0)
    assert servers.circuit("sip:a", 0) is Circuit.CLOSED
    servers.failed("sip:a", cause, 0)
    assert servers.circuit("sip:a", 29) is Circuit.OPEN
    assert names(servers.order(29)) == ["sip:b"]


def test_a_success_closes_it_and_forgets_the_failures() -> None:
    servers = group(A, failures_to_open=2)
    servers.failed("sip:a", Cause.SILENT, 0)
    servers.succeeded("sip:a")
    servers.failed("sip:a", Cause.SILENT, 0)
    assert servers.circuit("sip:a", 0) is Circuit.CLOSED


def test_after_a_while_one_call_tries_it_and_no_other() -> None:
    servers = group(A, failures_to_open=1, open_s=30)
    servers.failed("sip:a", Cause.SILENT, 0)
    assert servers.order(29.9) == ()
    assert names(servers.order(30)) == ["sip:a"]
    assert servers.circuit("sip:a", 30) is Circuit.HALF_OPEN
    servers.attempted("sip:a", 30)
    assert servers.order(31) == ()
    servers.failed("sip:a", Cause.SILENT, 33)
    assert servers.circuit("sip:a", 62) is Circuit.OPEN
    assert servers.circuit("sip:a", 63) is Circuit.HALF_OPEN
    servers.attempted("sip:a", 63)
    servers.succeeded("sip:a")
    assert servers.circuit("sip:a", 63) is Circuit.CLOSED


def test_a_trial_of_which_nothing_is_heard_does_not_block_for_ever() -> None:
    servers = group(A, failures_to_open=1, open_s=1)
    servers.failed("sip:a", Cause.SILENT, 0)
    servers.attempted("sip:a", 1)
    assert servers.circuit("sip:a", 1 + TRIAL_S) is Circuit.HALF_OPEN


@pytest.mark.parametrize(
    "cause", [Cause.REJECTED, Cause.MEDIA_REFUSED, Cause.DECLINED, Cause.ENDED_BY_RECORDER]
)
def test_refusals_of_one_call_say_that_the_server_is_there(cause: Cause) -> None:
    servers = group(A, failures_to_open=2)
    servers.failed("sip:a", Cause.SILENT, 0)
    servers.failed("sip:a", cause, 0)
    servers.failed("sip:a", Cause.SILENT, 0)
    assert servers.circuit("sip:a", 0) is Circuit.CLOSED


def test_failures_of_ours_say_nothing_about_the_server() -> None:
    servers = group(A, failures_to_open=2)
    servers.failed("sip:a", Cause.SILENT, 0)
    servers.failed("sip:a", Cause.MEDIA_FAILED, 0)
    servers.failed("sip:a", Cause.SILENT, 0)
    assert servers.circuit("sip:a", 0) is Circuit.OPEN


def test_retry_after_is_respected_at_once_and_within_reason() -> None:
    servers = group(A, B)
    servers.failed("sip:a", Cause.BUSY, 0, retry_after_s=120)
    assert servers.circuit("sip:a", 119) is Circuit.OPEN
    servers.probed("sip:a", 60, answered=True)  # that it is there was never in doubt
    assert servers.circuit("sip:a", 119) is Circuit.OPEN
    assert servers.circuit("sip:a", 120) is Circuit.HALF_OPEN
    servers.failed("sip:b", Cause.BUSY, 0, retry_after_s=10**7)
    assert servers.circuit("sip:b", 3600) is Circuit.HALF_OPEN


def test_probes_open_and_close_circuits() -> None:
    servers = group(A, B, failures_to_open=1, open_s=1000, probe_s=30)
    assert names(servers.probes_due(0)) == ["sip:a", "sip:b"]
    assert servers.probes_due(29) == ()
    servers.probed("sip:a", 0, answered=False)
    assert servers.circuit("sip:a", 1) is Circuit.OPEN
    assert names(servers.probes_due(30)) == ["sip:a", "sip:b"]
    servers.probed("sip:a", 30, answered=True)
    assert servers.circuit("sip:a", 30) is Circuit.CLOSED
    assert group(A, probe_s=0).probes_due(0) == ()


def test_the_deadline_is_shared_among_the_servers_that_are_left() -> None:
    servers = group(A, B, C, attempt_min_s=1)
    assert servers.attempt_s(5.0, 1) == 5.0
    assert servers.attempt_s(5.0, 2) == 2.5
    assert servers.attempt_s(0.5, 3) == 1.0


def test_what_a_server_has_shown_is_kept() -> None:
    servers = group(A)
    assert servers.memory("sip:a") == ServerMemory()
    servers.remember("sip:a", ServerMemory(update_refused=True))
    assert servers.memory("sip:a").update_refused
