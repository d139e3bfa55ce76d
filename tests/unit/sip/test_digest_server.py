"""Asking for credentials and judging them."""

from dataclasses import replace

import pytest

import sidestream.sip.digest as module
from sidestream.sip.digest import Algorithm, Challenge, Qop, parse_challenge, parse_credentials
from sidestream.sip.digest_client import Again, DigestClient
from sidestream.sip.digest_server import (
    COUNT_WINDOW,
    NONCE_LIFE_S,
    Accepted,
    Denied,
    DigestServer,
    NonceCounts,
    Nonces,
    Origin,
    Realm,
    Reason,
    realms_named,
)
from sidestream.sip.message import Request
from sip_script import outbound, reply

USERS = {"u": "p"}
REALM = Realm("gw", USERS.get, (Algorithm.SHA_256, Algorithm.MD5))
NOW = 1000.0
HOST = "192.0.2.9"


def server(most: int = 100) -> DigestServer:
    return DigestServer(Nonces(b"key", bytes), NonceCounts(most=most))


def challenge_of(one: DigestServer, now: float = NOW, **changes: bool) -> list[Challenge]:
    found = [parse_challenge(line) for line in one.challenges(REALM, HOST, now, **changes)]
    return [each for each in found if each is not None]


def answered(one: DigestServer, now: float = NOW, *, user: str = "u", password: str = USERS["u"]) -> Request:
    """A request that answers the server's challenge."""
    request = outbound()
    response = reply(request, 401)
    for line in one.challenges(REALM, HOST, now):
        response.headers.add("WWW-Authenticate", line)
    outcome = DigestClient(user, password, "*", lambda: "cnonce").answer(request, response, "")
    assert isinstance(outcome, Again)
    return outcome.request


def test_one_challenge_for_each_algorithm_in_the_servers_order() -> None:
    found = challenge_of(server())
    assert [each.algorithm for each in found] == [Algorithm.SHA_256, Algorithm.MD5]
    assert {each.realm for each in found} == {"gw"}
    assert {each.qop for each in found} == {(Qop.AUTH,)}
    assert not any(each.stale for each in found)
    assert all(each.stale for each in challenge_of(server(), stale=True))


def test_right_credentials_are_accepted_once() -> None:
    one = server()
    request = answered(one)
    assert one.judge(request, REALM, HOST, NOW) == Accepted("u")
    assert one.judge(request, REALM, HOST, NOW) == Denied(Reason.STALE, username="u")


@pytest.mark.parametrize(("user", "password"), [("u", "q"), ("v", "p"), ("v", "")])
def test_a_wrong_password_and_an_unknown_user_are_the_same(user: str, password: str) -> None:
    one = server()
    found = one.judge(answered(one, user=user, password=password), REALM, HOST, NOW)
    assert found == Denied(Reason.WRONG, username=user, answers_us=True)


def test_an_unknown_user_costs_the_same_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[int] = []
    original = module._hash

    def counted(algorithm: Algorithm, data: bytes) -> str:
        hashes.append(1)
        return original(algorithm, data)

    one = server()
    requests = [answered(one, user=user, password="q") for user in ("u", "v")]
    monkeypatch.setattr(module, "_hash", counted)
    costs = []
    for request in requests:
        hashes.clear()
        one.judge(request, REALM, HOST, NOW)
        costs.append(len(hashes))
    assert costs[0] == costs[1] > 0


def test_without_credentials_they_are_missing() -> None:
    assert server().judge(outbound(), REALM, HOST, NOW) == Denied(Reason.MISSING)


def test_credentials_for_another_realm_are_another_servers() -> None:
    one = server()
    request = answered(one)
    request.headers.set("Authorization", (request.headers.get("Authorization") or "").replace('"gw"', '"x"'))
    assert one.judge(request, REALM, HOST, NOW) == Denied(Reason.MISSING)
    request.headers.add("Authorization", answered(one).headers.get("Authorization") or "")
    assert one.judge(request, REALM, HOST, NOW) == Accepted("u")


def test_an_old_nonce_is_stale_and_a_wrong_password_with_it_is_wrong() -> None:
    one = server()
    late = NOW + NONCE_LIFE_S + 1
    assert one.judge(answered(one), REALM, HOST, late) == Denied(Reason.STALE, username="u")
    assert one.judge(answered(one, password="q"), REALM, HOST, late) == Denied(
        Reason.WRONG, username="u", answers_us=True
    )


def test_a_nonce_of_another_process_is_stale() -> None:
    other = DigestServer(Nonces(b"other key", bytes), NonceCounts())
    assert server().judge(answered(other), REALM, HOST, NOW) == Denied(Reason.STALE, username="u")


def test_a_nonce_of_another_realm_or_of_another_spelling_is_not_ours() -> None:
    nonces = Nonces(b"key", lambda size: b"\xff" * size)
    nonce = nonces.make("gw", HOST, NOW)
    assert nonces.known(nonce, "gw", HOST) == Origin(NOW, same_host=True)
    assert nonces.known(nonce, "gw", "192.0.2.10") == Origin(NOW, same_host=False)
    assert nonces.known(nonce, "other", HOST) is None
    for odd in (
        nonce + "=",
        nonce[:8] + "!" + nonce[8:],
        "",
        "ä",
        nonce[:-1],
        "A" * 40,
        nonce.replace("_", "/"),
    ):
        assert nonces.known(odd, "gw", HOST) is None


def test_nonces_of_one_instant_differ_by_their_randomness() -> None:
    blocks = iter([b"a" * 8, b"b" * 8])
    nonces = Nonces(b"key", lambda _: next(blocks))
    assert nonces.make("gw", HOST, NOW) != nonces.make("gw", HOST, NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("algorithm=SHA-256", "algorithm=SHA-512-256"),
        ("qop=auth", "qop=auth-int"),
        (", qop=auth", ""),
        ('uri="sip:bob@192.0.2.9:5090"', 'uri="sip:eve@192.0.2.9:5090"'),
        ('uri="sip:bob@192.0.2.9:5090"', 'uri="junk"'),
        ("nc=00000001", "nc=1"),
        ('response="', 'response="00'),
        ('realm="gw"', 'realm="gw'),
    ],
)
def test_what_does_not_answer_the_question_is_malformed(old: str, new: str) -> None:
    one = server()
    request = answered(one)
    line = request.headers.get("Authorization") or ""
    assert old in line
    request.headers.set("Authorization", line.replace(old, new))
    found = one.judge(request, REALM, HOST, NOW)
    assert isinstance(found, Denied)
    assert found.reason is Reason.MALFORMED
    assert found.detail


def test_a_proxy_may_have_touched_the_request_uri_but_not_whom_it_calls() -> None:
    one = server()
    request = answered(one)
    request.uri = "sip:bob@192.0.2.9:5090;transport=udp"
    assert one.judge(request, REALM, HOST, NOW) == Accepted("u")


def test_a_changed_method_is_wrong() -> None:
    one = server()
    request = answered(one)
    assert one.judge(replace(request, method="BYE"), REALM, HOST, NOW) == Denied(
        Reason.WRONG, username="u", answers_us=True
    )


def test_counts_may_come_out_of_order_within_the_window_and_never_twice() -> None:
    counts = NonceCounts()
    take = [counts.take("n", NOW, count, NOW) for count in (2, 1, 2, 1, 70, 6, 7, 7, 69)]
    assert take == [True, True, False, False, True, False, True, False, True]
    assert COUNT_WINDOW == 64


def test_a_nonce_from_the_future_is_refused() -> None:
    assert not NonceCounts().take("n", NOW + 1, 1, NOW)


def test_at_the_bound_the_oldest_is_forgotten_and_can_still_not_be_used_again() -> None:
    counts = NonceCounts(most=2)
    for number in range(3):
        assert counts.take(f"n{number}", NOW + number, 1, NOW + 3)
    assert len(counts) == 2
    assert not counts.take("n0", NOW, 1, NOW + 3)
    assert counts.take("n1", NOW + 1, 2, NOW + 3), "those still known go on"
    assert not counts.take("older", NOW - 1, 1, NOW + 3), "what is older than the forgotten is stale"


def test_what_is_too_old_is_let_go_of() -> None:
    counts = NonceCounts(life=10)
    for number in range(5):
        assert counts.take(f"n{number}", NOW + 20 * number, 1, NOW + 20 * number)
    assert len(counts) == 1


def test_only_whoever_knows_the_password_fills_the_memory() -> None:
    one = server()
    for number in range(10):
        one.judge(answered(one, NOW + number, password="q"), REALM, HOST, NOW + number)
    assert len(one._counts) == 0


def test_credentials_are_found_behind_a_malformed_line() -> None:
    one = server()
    request = answered(one)
    good = request.headers.get("Authorization") or ""
    request.headers.set("Authorization", "Digest junk")
    request.headers.add("Authorization", good)
    assert parse_credentials(good) is not None
    assert one.judge(request, REALM, HOST, NOW) == Accepted("u")


def test_credentials_from_another_address_count_and_wrong_ones_say_that_they_do_not_answer_us() -> None:
    one = server()
    assert one.judge(answered(one), REALM, "192.0.2.77", NOW) == Accepted("u")
    wrong = one.judge(answered(one, password="q"), REALM, "192.0.2.77", NOW)
    assert wrong == Denied(Reason.WRONG, username="u", answers_us=False)


def test_the_realms_of_a_request_are_those_it_shows_credentials_for() -> None:
    request = answered(server())
    request.headers.add("Authorization", "Digest junk")
    assert realms_named(request) == ["gw"]
