"""Answering challenges: whose, how often, and what is kept for the next request."""

from itertools import count

import pytest

from sidestream.sip.digest import Algorithm, Challenge, Credentials, Qop, credentials_of, parse_credentials
from sidestream.sip.digest_client import (
    MAX_COUNT,
    MAX_REPEATS,
    MAX_SPACES,
    Again,
    DigestClient,
    NotAnswered,
    Trail,
)
from sidestream.sip.message import Request, Response
from sip_script import SDP, outbound, reply

PLACE = "sip:peer"
CHALLENGE = Challenge("r", "n1", Algorithm.MD5, (Qop.AUTH,))


def client(realm: str = "*") -> DigestClient:
    numbers = count(1)
    return DigestClient("u", "p", realm, lambda: f"token{next(numbers)}")


def challenged(sent: Request, *lines: Challenge | str, status: int = 401) -> Response:
    response = reply(sent, status)
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    for line in lines:
        response.headers.add(name, str(line))
    return response


def given(request: Request, name: str = "Authorization") -> list[Credentials]:
    found = [parse_credentials(line) for line in request.headers.get_all(name)]
    return [each for each in found if each is not None]


def again(
    one: DigestClient, request: Request, response: Response, trail: tuple[tuple[str, str], ...] = ()
) -> Again:
    outcome = one.answer(request, response, PLACE, trail)
    assert isinstance(outcome, Again)
    return outcome


def test_the_request_goes_again_with_all_it_had_and_a_higher_cseq() -> None:
    invite = outbound(X_Tenant="acme", Route="<sip:proxy;lr>")
    invite.body = SDP
    sent = again(client(), invite, challenged(invite, CHALLENGE)).request
    assert sent.cseq.number == invite.cseq.number + 1
    assert (sent.call_id, sent.from_tag, sent.body, sent.uri) == (
        invite.call_id,
        invite.from_tag,
        SDP,
        invite.uri,
    )
    kept = [line for line in sent.headers if line[0] not in {"Authorization", "CSeq"}]
    assert kept == [line for line in invite.headers if line[0] != "CSeq"]
    (credentials,) = given(sent)
    assert (credentials.username, credentials.realm, credentials.uri) == ("u", "r", invite.uri)
    assert (credentials.nonce_count, credentials.qop) == (1, Qop.AUTH)


def test_later_requests_carry_credentials_at_once_with_the_count_raised() -> None:
    one, invite = client(), outbound()
    again(one, invite, challenged(invite, CHALLENGE))
    counts = []
    for _ in range(3):
        later = outbound("OPTIONS")
        one.dress(later, PLACE)
        (credentials,) = given(later)
        counts.append(credentials.nonce_count)
    assert counts == [2, 3, 4]


def test_another_place_gets_no_credentials_of_this_one() -> None:
    one, invite = client(), outbound()
    again(one, invite, challenged(invite, CHALLENGE))
    elsewhere = outbound()
    one.dress(elsewhere, "sip:other")
    assert not given(elsewhere)


def test_a_second_challenge_for_the_same_realm_means_wrong_credentials() -> None:
    one, invite = client(), outbound()
    first = again(one, invite, challenged(invite, CHALLENGE))
    outcome = one.answer(first.request, challenged(first.request, CHALLENGE), PLACE, first.trail)
    assert outcome is NotAnswered.REJECTED
    later = outbound()
    one.dress(later, PLACE)
    assert not given(later), "what was rejected is not sent again unasked"


def test_a_stale_nonce_is_answered_once_more_and_no_oftener() -> None:
    one, invite = client(), outbound()
    first = again(one, invite, challenged(invite, CHALLENGE))
    stale = Challenge("r", "n2", Algorithm.MD5, (Qop.AUTH,), stale=True)
    second = again(one, first.request, challenged(first.request, stale), first.trail)
    assert given(second.request)[0].nonce == "n2"
    assert given(second.request)[0].nonce_count == 1
    outcome = one.answer(second.request, challenged(second.request, stale), PLACE, second.trail)
    assert outcome is NotAnswered.REJECTED


def test_credentials_sent_unasked_may_be_challenged_anew_without_stale() -> None:
    one, invite = client(), outbound()
    again(one, invite, challenged(invite, CHALLENGE))
    later = outbound()
    one.dress(later, PLACE)
    fresh = again(one, later, challenged(later, Challenge("r", "n9")))
    assert given(fresh.request)[0].nonce == "n9"


def test_proxy_and_server_both_get_their_answer() -> None:
    one, invite = client(), outbound()
    first = again(one, invite, challenged(invite, Challenge("proxy", "p1"), status=407))
    second = again(one, first.request, challenged(first.request, CHALLENGE), first.trail)
    assert [each.realm for each in given(second.request)] == ["r"]
    assert [each.realm for each in given(second.request, "Proxy-Authorization")] == ["proxy"]
    assert second.request.cseq.number == invite.cseq.number + 2


def test_all_realms_of_one_response_are_answered_on_lines_of_their_own() -> None:
    invite = outbound()
    response = challenged(invite, Challenge("a", "1"), Challenge("b", "2"), status=407)
    sent = again(client(), invite, response).request
    assert [each.realm for each in given(sent, "Proxy-Authorization")] == ["a", "b"]


def test_ever_new_realms_come_to_an_end() -> None:
    one, request = client(), outbound()
    trail: Trail = ()
    for number in range(MAX_REPEATS):
        outcome = again(one, request, challenged(request, Challenge(f"r{number}", "n")), trail)
        request, trail = outcome.request, outcome.trail
    assert (
        one.answer(request, challenged(request, Challenge("last", "n")), PLACE, trail) is NotAnswered.REJECTED
    )


@pytest.mark.parametrize("turned", [False, True])
def test_the_strongest_algorithm_is_answered_whatever_the_order(turned: bool) -> None:
    invite = outbound()
    lines = [Challenge("r", "n", each) for each in (Algorithm.MD5, Algorithm.SHA_512_256, Algorithm.SHA_256)]
    sent = again(client(), invite, challenged(invite, *(reversed(lines) if turned else lines))).request
    (credentials,) = given(sent)
    assert credentials.algorithm is Algorithm.SHA_512_256


def test_of_two_equally_strong_the_topmost_counts() -> None:
    invite = outbound()
    sent = again(client(), invite, challenged(invite, Challenge("r", "top"), Challenge("r", "below"))).request
    assert given(sent)[0].nonce == "top"


@pytest.mark.parametrize(
    ("offered", "taken"),
    [((Qop.AUTH, Qop.AUTH_INT), Qop.AUTH), ((Qop.AUTH_INT,), Qop.AUTH_INT), ((), None)],
)
def test_the_quality_of_protection(offered: tuple[Qop, ...], taken: Qop | None) -> None:
    invite = outbound()
    sent = again(client(), invite, challenged(invite, Challenge("r", "n", None, offered))).request
    (credentials,) = given(sent)
    assert credentials.qop is taken
    assert (credentials.cnonce is None) is (taken is None)
    assert credentials.algorithm is None, "what names no algorithm is answered without one"


def test_opaque_comes_back_as_it_was() -> None:
    invite = outbound()
    sent = again(client(), invite, challenged(invite, Challenge("r", "n", opaque='o"\\'))).request
    assert given(sent)[0].opaque == 'o"\\'


def test_a_realm_that_the_credentials_are_not_for() -> None:
    invite = outbound()
    assert client("mine").answer(invite, challenged(invite, CHALLENGE), PLACE) is NotAnswered.OTHER_REALM
    both = challenged(invite, CHALLENGE, Challenge("mine", "m"))
    outcome = client("mine").answer(invite, both, PLACE)
    assert isinstance(outcome, Again)
    assert [each.realm for each in given(outcome.request)] == ["mine"]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ('Basic realm="r"',),
        ('Digest realm="r"',),
        ('Digest realm="r", nonce="n", algorithm=MD5-sess',),
        ('Digest realm="r", nonce="n", algorithm=X',),
    ],
)
def test_what_cannot_be_answered(lines: tuple[str, ...]) -> None:
    invite = outbound()
    assert client().answer(invite, challenged(invite, *lines), PLACE) is NotAnswered.UNUSABLE


def test_a_malformed_line_does_not_spoil_the_next() -> None:
    invite = outbound()
    assert given(again(client(), invite, challenged(invite, 'Digest realm="', CHALLENGE)).request)


def test_sessions_use_one_key_for_all_requests_of_a_nonce() -> None:
    one, invite = client(), outbound()
    session = Challenge("r", "n", Algorithm.SHA_256_SESS, (Qop.AUTH,))
    sent = again(one, invite, challenged(invite, session)).request
    later = outbound()
    one.dress(later, PLACE)
    assert given(sent)[0].cnonce == given(later)[0].cnonce


def test_what_is_kept_is_bounded() -> None:
    one = client()
    for number in range(MAX_SPACES + 5):
        invite = outbound()
        one.answer(invite, challenged(invite, Challenge(f"r{number}", "n")), PLACE)
    later = outbound()
    one.dress(later, PLACE)
    assert len(given(later)) == MAX_SPACES


def test_a_nonce_whose_count_has_run_out_is_dropped() -> None:
    one, invite = client(), outbound()
    again(one, invite, challenged(invite, CHALLENGE))
    (known,) = one._known.values()
    known.count = MAX_COUNT
    later = outbound()
    one.dress(later, PLACE)
    assert not given(later)


def test_the_ack_repeats_the_credentials() -> None:
    invite = outbound()
    sent = again(client(), invite, challenged(invite, CHALLENGE)).request
    assert [name for name, _ in credentials_of(sent)] == ["Authorization"]


def test_the_password_is_not_shown() -> None:
    one = DigestClient("u", "very secret", "*", str)
    assert "very secret" not in repr(one)
