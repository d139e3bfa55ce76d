"""A registration's life: each row of its table, and how each round may end."""

import pytest

from registrar_script import ASKED, CONTACT, FIRST, SECOND, Bench, plan
from sidestream.errors import StateError
from sidestream.sip.digest import parse_credentials
from sidestream.sip.registration import (
    DENIED_PAUSE_S,
    LEAVING_S,
    MAX_REPEATS,
    PAUSE_MAX_S,
    TABLE,
    Input,
    State,
    Verdict,
    diagram,
)

TWO = plan(registrars=(FIRST, SECOND))


def test_each_state_is_reached_and_each_has_its_way_out() -> None:
    reached = {State.IDLE} | {state for state, _ in TABLE.values()}
    assert reached == set(State)
    assert {state for state, _ in TABLE} == set(State)
    for state in State:
        assert (state, Input.STOP) in TABLE
    assert diagram().count("-->") == len(TABLE) + 2


def test_an_unlisted_move_raises() -> None:
    with pytest.raises(StateError):
        Bench().registered().one.start(0.0)


def test_it_is_registered_and_refreshed_at_three_to_four_fifths_of_its_life() -> None:
    bench = Bench(auth=False).registered()
    status = bench.one.status
    assert (status.state, status.verdict, status.registered) == (State.REGISTERED, Verdict.REGISTERED, True)
    assert (status.since, status.expires_at, status.registrar) == (1000.0, 1600.0, FIRST)
    assert status.next_at == bench.step.wake_at == 1000.0 + 600 * 0.75
    first = bench.one.sent
    bench.wake()
    assert bench.one.status.state is State.REFRESHING
    assert bench.one.status.registered
    assert first is not None
    assert bench.request.cseq.number == first.cseq.number + 1
    assert bench.request.call_id == first.call_id
    bench.accept()
    assert bench.one.status.since == 1000.0


def test_the_life_is_what_the_registrar_grants_by_contact_or_by_expires() -> None:
    bench = Bench(auth=False).registered(contact=f"<{CONTACT}>;expires=120")
    assert bench.one.status.expires_at == 1120.0
    bench = Bench(auth=False).registered(contact=f"<sip:other@x>, <{CONTACT}>", Expires="90")
    assert bench.one.status.expires_at == 1090.0


def test_a_very_short_life_does_not_make_it_hammer() -> None:
    bench = Bench(auth=False).registered(contact=f"<{CONTACT}>;expires=1")
    assert bench.step.wake_at == 1005.0


@pytest.mark.parametrize("contact", ["<sip:other@198.51.100.1>", f"<{CONTACT}>;expires=0", "<<nonsense"])
def test_a_200_without_our_contact_is_no_registration(contact: str) -> None:
    bench = Bench(auth=False).registered(contact=contact)
    assert bench.one.status.verdict is Verdict.BINDING_MISSING
    assert bench.one.status.state is State.FAILED


def test_a_challenge_is_answered_with_a_higher_cseq() -> None:
    bench = Bench().start()
    first = bench.request
    bench.answer(401, ASKED)
    second = bench.request
    assert second.cseq.number == first.cseq.number + 1
    credentials = parse_credentials(second.headers.get("Authorization") or "")
    assert credentials is not None
    assert (credentials.username, credentials.uri) == ("desk", "sip:provider.example")
    bench.accept()
    bench.wake()
    later = parse_credentials(bench.request.headers.get("Authorization") or "")
    assert later is not None
    assert later.nonce_count == 2


def test_a_wrong_password_is_tried_once_and_then_not_for_a_while() -> None:
    bench = Bench().start()
    bench.answer(401, ASKED)
    bench.answer(401, ASKED)
    status = bench.one.status
    assert (status.state, status.verdict) == (State.FAILED, Verdict.CREDENTIALS_REJECTED)
    assert bench.step.request is None
    assert bench.step.wake_at == 1000.0 + DENIED_PAUSE_S


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (401, Verdict.WANTS_CREDENTIALS),
        (407, Verdict.WANTS_CREDENTIALS),
        (403, Verdict.FORBIDDEN),
        (404, Verdict.NOT_FOUND),
        (408, Verdict.NO_ANSWER),
        (420, Verdict.REJECTED),
        (423, Verdict.TOO_BRIEF),
        (302, Verdict.REJECTED),
        (500, Verdict.REGISTRAR_FAILED),
        (503, Verdict.REGISTRAR_FAILED),
        (603, Verdict.REJECTED),
    ],
)
def test_each_refusal_has_its_verdict(status: int, verdict: Verdict) -> None:
    bench = Bench(auth=False).start()
    bench.answer(status)
    assert (bench.one.status.verdict, bench.one.status.state) == (verdict, State.FAILED)
    assert str(status) in bench.one.status.detail
    assert FIRST in bench.one.status.detail


@pytest.mark.parametrize("verdict", [Verdict.UNREACHABLE, Verdict.NO_ANSWER])
def test_silence_and_failed_transports_have_theirs(verdict: Verdict) -> None:
    bench = Bench().start()
    bench.step = bench.one.lost(verdict, bench.now)
    assert bench.one.status.verdict is verdict


def test_a_trunk_without_gin_is_not_told_that_gin_is_unsupported_and_one_with_it_is() -> None:
    bench = Bench(plan(gin=True, contact="sip:198.51.100.1:5060;bnc"), auth=False).start()
    bench.answer(420, ("Unsupported", "gin"))
    assert bench.one.status.verdict is Verdict.GIN_UNSUPPORTED


def test_every_verdict_is_reached_by_a_test_here() -> None:
    named = {Verdict.PENDING, Verdict.REGISTERED, Verdict.BINDING_MISSING, Verdict.CREDENTIALS_REJECTED}
    named |= {Verdict.UNREACHABLE, Verdict.GIN_UNSUPPORTED}
    named |= {Verdict.WANTS_CREDENTIALS, Verdict.FORBIDDEN, Verdict.NOT_FOUND, Verdict.NO_ANSWER}
    assert named | {Verdict.REJECTED, Verdict.TOO_BRIEF, Verdict.REGISTRAR_FAILED} == set(Verdict)
    assert Bench().one.status.verdict is Verdict.PENDING


def test_pauses_double_up_to_half_an_hour_and_begin_anew_after_a_success() -> None:
    bench = Bench(auth=False).start()
    pauses = []
    for _ in range(9):
        bench.answer(503)
        assert bench.step.wake_at is not None
        pauses.append(bench.step.wake_at - bench.now)
        bench.wake()
    assert pauses[:4] == [30, 60, 120, 240]
    assert pauses[-1] == PAUSE_MAX_S
    bench.accept()
    bench.wake()
    bench.answer(503)
    assert bench.step.wake_at == bench.now + 30


def test_retry_after_is_waited_for() -> None:
    bench = Bench(auth=False).start()
    bench.answer(503, ("Retry-After", "100 (in a while);duration=5"))
    assert bench.step.wake_at == 1100.0
    bench.wake()
    bench.answer(503, ("Retry-After", "soon"))
    assert bench.step.wake_at == bench.now + 60


def test_a_longer_life_is_asked_for_after_423_and_kept() -> None:
    bench = Bench(auth=False).start()
    bench.answer(423, ("Min-Expires", "1800"))
    assert bench.request.headers.get("Expires") == "1800"
    bench.accept()
    bench.wake()
    assert bench.request.headers.get("Expires") == "1800"


@pytest.mark.parametrize("wanted", ["600", "1", "86401", "-5", "many", ""])
def test_a_423_that_asks_for_nothing_longer_is_a_refusal(wanted: str) -> None:
    bench = Bench(auth=False).start()
    bench.answer(423, *([("Min-Expires", wanted)] if wanted else []))
    assert bench.one.status.verdict is Verdict.TOO_BRIEF


def test_a_registrar_that_wants_ever_more_is_given_up() -> None:
    bench = Bench(auth=False).start()
    for number in range(MAX_REPEATS + 1):
        assert bench.step.request is not None
        bench.answer(423, ("Min-Expires", str(1000 + number)))
    assert bench.one.status.state is State.FAILED


def test_the_next_registrar_is_tried_when_one_fails_and_kept_while_it_serves() -> None:
    bench = Bench(TWO, auth=False).start()
    assert bench.step.way == FIRST
    bench.answer(503)
    assert bench.step.way == SECOND
    bench.accept()
    assert bench.one.status.registrar == SECOND
    bench.wake()
    assert bench.step.way == SECOND
    bench.step = bench.one.lost(Verdict.NO_ANSWER, bench.now)
    assert bench.step.way == FIRST
    bench.step = bench.one.lost(Verdict.NO_ANSWER, bench.now)
    assert bench.one.status.state is State.FAILED
    assert not bench.one.status.registered


def test_a_refusal_is_not_asked_for_again_at_another_registrar() -> None:
    bench = Bench(TWO, auth=False).start()
    bench.answer(403)
    assert bench.one.status.state is State.FAILED


def test_nonces_of_one_registrar_are_not_shown_to_the_next() -> None:
    bench = Bench(TWO).start()
    bench.answer(401, ASKED)
    bench.answer(503)
    assert bench.step.way == SECOND
    assert "Authorization" not in bench.request.headers


def test_it_is_taken_back_with_a_life_of_nothing_and_challenged_if_need_be() -> None:
    bench = Bench().registered()
    bench.step = bench.one.stop(bench.now)
    assert bench.request.headers.get("Expires") == "0"
    assert bench.request.headers.get("Contact") == f"<{CONTACT}>;expires=0"
    assert bench.step.wake_at == bench.now + LEAVING_S
    bench.answer(401, ASKED)
    assert bench.request.headers.get("Expires") == "0"
    assert "Authorization" in bench.request.headers
    bench.answer(200)
    assert bench.one.status.state is State.ENDED


@pytest.mark.parametrize("how", ["answer", "silence", "due", "lost"])
def test_whatever_becomes_of_the_end_it_ends(how: str) -> None:
    bench = Bench().registered()
    bench.step = bench.one.stop(bench.now)
    if how == "answer":
        bench.answer(500)
    elif how == "due":
        bench.wake()
    else:
        bench.step = bench.one.lost(Verdict.NO_ANSWER, bench.now)
    assert bench.one.status.state is State.ENDED
    assert bench.one.stop(bench.now).request is None


def test_stopping_what_was_never_registered_sends_nothing() -> None:
    bench = Bench(auth=False)
    assert bench.one.stop(0.0).request is None
    failed = Bench(auth=False).start()
    failed.answer(403)
    assert failed.one.stop(0.0).request is None
    assert failed.one.status.state is State.ENDED


def test_stopping_while_a_register_is_out_takes_back_whatever_it_may_do() -> None:
    bench = Bench(auth=False).start()
    before = bench.request.cseq.number
    bench.step = bench.one.stop(bench.now)
    assert (bench.request.cseq.number, bench.request.headers.get("Expires")) == (before + 1, "0")


def test_an_outbound_proxy_is_a_route_and_the_way() -> None:
    bench = Bench(plan(proxy="sip:edge.example:5062;transport=tcp"), auth=False).registered()
    assert bench.one.sent is not None
    assert bench.one.sent.headers.get("Route") == "<sip:edge.example:5062;transport=tcp;lr>"
    bench.wake()
    assert bench.step.way == "sip:edge.example:5062;transport=tcp"
    assert bench.one.routes == ("<sip:edge.example:5062;transport=tcp;lr>",)


def test_randomness_only_makes_it_earlier() -> None:
    bench = Bench(auth=False)
    bench.one._random = lambda: 0.0
    bench.start()
    bench.answer(503)
    assert bench.step.wake_at == 1015.0
