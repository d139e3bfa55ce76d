"""Challenges to what a call sends: answered once, and what becomes of those that can't be."""

import pytest

from call_script import OFFER, PEERS, CallBench, sdp, session
from sidestream.call.commands import SendRequest
from sidestream.call.events import TimerName
from sidestream.call.facts import PeerGivenUp, PeerTried
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import Slug
from sidestream.sip.digest import Credentials, parse_credentials
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.message import Request

ASKED = ("WWW-Authenticate", 'Digest realm="peer", nonce="n1", qop="auth", algorithm=SHA-256')
ASKED_ANEW = ("WWW-Authenticate", 'Digest realm="peer", nonce="n2", qop="auth", algorithm=SHA-256')
STALE = ("WWW-Authenticate", 'Digest realm="peer", nonce="n3", qop="auth", algorithm=SHA-256, stale=true')


def client(realm: str = "*") -> DigestClient:
    return DigestClient("trunk", "secret", realm, lambda: "cnonce")


def challenge(bench: CallBench, sent: SendRequest, *headers: tuple[str, str], status: int = 401) -> None:
    bench.reply(sent, status, headers=headers or [ASKED])


def given(request: Request) -> Credentials:
    (line,) = request.headers.get_all("Authorization")
    found = parse_credentials(line)
    assert found is not None
    return found


def test_the_invite_goes_again_with_credentials_and_the_same_session() -> None:
    bench = CallBench(auth={Side.B: client()}, headers=[("X-Queue", "sales")]).start()
    first = bench.invited
    challenge(bench, first)
    second = bench.invited
    assert second.request_id != first.request_id
    assert second.next_hop.uri == first.next_hop.uri
    assert second.request.cseq.number == first.request.cseq.number + 1
    assert second.request.call_id == first.request.call_id
    assert second.request.from_tag == first.request.from_tag
    assert second.request.body == first.request.body
    assert second.request.headers.get("X-Queue") == "sales"
    assert given(second.request).uri == second.request.uri
    assert not bench.responses(), "the caller hears nothing of it"
    assert len(bench.facts(PeerTried)) == 1


def test_the_call_goes_on_as_any_other_and_its_ack_has_the_credentials() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    challenge(bench, bench.invited)
    bench.ring()
    bench.answer()
    bench.ack()
    assert bench.b2bua.state is CallState.TALKING
    (ack,) = bench.acks()
    assert ack.cseq.number == bench.invited.request.cseq.number
    assert ack.headers.get_all("Authorization") == bench.invited.request.headers.get_all("Authorization")


@pytest.mark.parametrize(("status", "name"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_both_kinds_of_challenge(status: int, name: str) -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    asked = (ASKED[0] if status == 401 else "Proxy-Authenticate", ASKED[1])
    challenge(bench, bench.invited, asked, status=status)
    assert name in bench.invited.request.headers


def test_a_delayed_offer_stays_one() -> None:
    bench = CallBench(auth={Side.B: client()}, offer=b"").start()
    challenge(bench, bench.invited)
    assert bench.invited.request.body == b""
    bench.answer(OFFER)
    bench.ack(sdp("0"))
    assert bench.b2bua.state is CallState.TALKING
    (ack,) = bench.acks()
    assert session(ack).audio is not None
    assert "Authorization" in ack.headers


def test_requests_within_the_call_carry_credentials_at_once_with_the_count_raised() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    challenge(bench, bench.invited)
    bench.answer()
    bench.ack()
    bench.request(Side.A, "INFO", b"x", content_type="text/plain")
    info = bench.sent("INFO")
    assert (given(info).nonce_count, given(info).nonce) == (2, "n1")
    bench.request(Side.A, "BYE")
    assert given(bench.sent("BYE")).nonce_count == 3


@pytest.mark.parametrize("method", ["INVITE", "INFO", "MESSAGE"])
def test_requests_within_the_call_are_sent_again_when_challenged(method: str) -> None:
    bench = CallBench(auth={Side.B: client()}).talk()
    body, kind = (sdp("8", version=2), "application/sdp") if method == "INVITE" else (b"hi", "text/plain")
    key = bench.request(Side.A, method, body, content_type=kind)
    first = bench.requests(method, Side.B)[-1]
    challenge(bench, first)
    second = bench.requests(method, Side.B)[-1]
    assert second.request.cseq.number == first.request.cseq.number + 1
    assert second.request.body == first.request.body
    assert second.request.to_tag == first.request.to_tag is not None
    assert given(second.request).nonce_count == 1
    assert not bench.responses(key)
    bench.reply(second, 200, sdp("8", version=2) if method == "INVITE" else b"")
    assert bench.final(key).status == 200
    if method == "INVITE":
        assert bench.acks()[-1].cseq.number == second.request.cseq.number


def test_a_request_challenged_late_goes_behind_what_was_sent_since() -> None:
    bench = CallBench(auth={Side.B: client()}).talk()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    invite = bench.requests("INVITE", Side.B)[-1]
    bench.request(Side.A, "INFO", b"x", content_type="text/plain")
    info = bench.requests("INFO", Side.B)[-1]
    challenge(bench, invite)
    assert bench.requests("INVITE", Side.B)[-1].request.cseq.number == info.request.cseq.number + 1


def test_a_bye_is_sent_again_when_challenged_and_the_call_ends_with_its_answer() -> None:
    bench = CallBench(auth={Side.B: client()}).talk()
    bench.request(Side.A, "BYE")
    first = bench.requests("BYE", Side.B)[-1]
    challenge(bench, first)
    second = bench.requests("BYE", Side.B)[-1]
    assert second.request.cseq.number == first.request.cseq.number + 1
    assert given(second.request).nonce == "n1"
    assert not bench.b2bua.ended
    bench.reply(second, 200)
    assert bench.verdict.slug is Slug.CALLER_HUNG_UP


def test_a_bye_whose_credentials_are_rejected_ends_the_call_all_the_same() -> None:
    bench = CallBench(auth={Side.B: client()}).talk()
    bench.request(Side.A, "BYE")
    challenge(bench, bench.requests("BYE", Side.B)[-1])
    challenge(bench, bench.requests("BYE", Side.B)[-1], ASKED_ANEW)
    assert len(bench.requests("BYE", Side.B)) == 2
    assert bench.verdict.slug is Slug.CALLER_HUNG_UP


def test_the_callers_trunk_may_challenge_too() -> None:
    bench = CallBench(auth={Side.A: client()}).talk()
    bench.request(Side.B, "BYE")
    challenge(bench, bench.requests("BYE", Side.A)[-1])
    assert given(bench.requests("BYE", Side.A)[-1].request).username == "trunk"


def test_wrong_credentials_are_tried_once_and_the_caller_hears_403_and_no_more() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    challenge(bench, bench.invited)
    bench.reply(bench.invited, 401, headers=[ASKED_ANEW, ("Warning", '399 peer "wrong password"')])
    assert len(bench.requests("INVITE")) == 2
    final = bench.final()
    assert (final.status, final.reason) == (403, "Forbidden")
    assert {"WWW-Authenticate", "Warning", "Authorization"}.isdisjoint(name for name, _ in final.headers)
    assert bench.verdict.slug is Slug.CREDENTIALS_REJECTED
    assert "secret" not in bench.verdict.detail
    assert "401 Unauthorized to the credentials of the trunk" in bench.verdict.detail


def test_a_nonce_that_became_stale_is_followed() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    challenge(bench, bench.invited)
    challenge(bench, bench.invited, STALE)
    assert given(bench.invited.request).nonce == "n3"
    bench.answer()
    bench.ack()
    assert bench.b2bua.state is CallState.TALKING


def test_another_peer_may_take_what_one_rejects() -> None:
    bench = CallBench(auth={Side.B: client()}, peers=2).start()
    challenge(bench, bench.invited)
    challenge(bench, bench.invited, ASKED_ANEW)
    assert bench.invited.next_hop.uri == PEERS[1].uri
    assert "Authorization" not in bench.invited.request.headers, "one peer's nonce is not shown to another"
    assert bench.facts(PeerGivenUp)[0].status == 401
    bench.answer()
    assert bench.final().status == 200


@pytest.mark.parametrize(
    ("auth", "headers", "words"),
    [
        ({}, [ASKED], "401 Unauthorized."),
        ({Side.B: client("other")}, [ASKED], "for a realm that the trunk's credentials are not for"),
        (
            {Side.B: client()},
            [("WWW-Authenticate", 'Basic realm="peer"')],
            "without a challenge that can be answered",
        ),
        ({Side.B: client()}, [], "without a challenge that can be answered"),
    ],
)
def test_a_challenge_that_cannot_be_met(
    auth: dict[Side, DigestClient], headers: list[tuple[str, str]], words: str
) -> None:
    bench = CallBench(auth=auth).start()
    bench.reply(bench.invited, 401, headers=headers)
    assert bench.verdict.slug is Slug.PEER_WANTS_CREDENTIALS
    assert words in bench.verdict.detail
    assert bench.final().status == 403


def test_a_call_that_was_given_up_is_not_sent_again() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    bench.cancel()
    challenge(bench, bench.invited)
    assert len(bench.requests("INVITE")) == 1
    assert bench.verdict.slug is Slug.CANCELLED_BY_CALLER


def test_cancelling_after_a_challenge_cancels_the_second_invite() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    challenge(bench, bench.invited)
    bench.cancel()
    assert bench.cancels()[-1].request_id == bench.invited.request_id


def test_the_ring_time_goes_on_over_a_challenge() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    due = bench.timers[TimerName.RING]
    bench.now += 10
    challenge(bench, bench.invited)
    assert bench.timers[TimerName.RING] == due


def test_a_challenge_within_the_call_that_cannot_be_met_is_403_to_its_sender_and_the_call_goes_on() -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, "INVITE", sdp("8", version=2))
    challenge(bench, bench.requests("INVITE", Side.B)[-1])
    assert bench.final(key).status == 403
    assert bench.b2bua.state is CallState.TALKING


def test_a_fork_that_rang_before_the_challenge_is_forgotten() -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    bench.ring(tag="gone")
    challenge(bench, bench.invited)
    bench.ring(tag="tb")
    bench.answer()
    bench.ack()
    assert bench.acks()[-1].to_tag == "tb"


@pytest.mark.parametrize("allow", ["INVITE, UPDATE", "INVITE"])
def test_a_refresh_of_the_session_goes_again_with_credentials(allow: str) -> None:
    bench = CallBench(auth={Side.B: client()}).start()
    timed = ("Session-Expires", "600;refresher=uac")
    bench.answer(headers=[timed, ("Allow", allow)])
    bench.ack()
    bench.fire(TimerName.SESSION_B)
    first = bench.requests()[-1]
    challenge(bench, first)
    second = bench.requests()[-1]
    assert second.request.method == first.request.method
    assert second.request.cseq.number == first.request.cseq.number + 1
    assert given(second.request).nonce == "n1"
    bench.reply(second, 200, sdp("0 101", port=5000, host="192.0.2.20"), headers=[timed])
    assert bench.timers[TimerName.SESSION_B] == bench.now + 300
