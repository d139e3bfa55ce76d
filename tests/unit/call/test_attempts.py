import pytest

from call_script import CALLEE, OFFER, PEERS, CallBench, every, sdp, session
from sidestream.call.commands import UpdateLegMedia
from sidestream.call.events import RequestSilent, RequestTransportFailed, TimerName
from sidestream.call.facts import CallRang, PeerGivenUp, PeerTried
from sidestream.call.setup import CallLimits, PeerHop
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import EndedBy, ResultClass, Slug
from sidestream.sip.hop import Hop


def test_the_offer_goes_on_with_our_address_and_both_trunks_codecs() -> None:
    bench = CallBench(offer=sdp("9 8 0 101"), codecs=("PCMU", "telephone-event")).start()
    audio = session(bench.invited.request).media[0]
    assert audio.port == 20002
    assert [codec.name for codec in audio.codecs] == ["PCMU", "telephone-event"]


def test_the_first_invite_is_ours_but_for_what_passes() -> None:
    bench = CallBench(
        headers=[("X-Queue", "sales"), ("Diversion", "<sip:1@a.example>"), ("Route", "<sip:r>")]
    )
    bench.start()
    invite = bench.invited.request
    assert invite.uri == "sip:+4930123456@192.0.2.20:5060;transport=udp"
    assert invite.max_forwards == 69
    assert invite.call_id != bench.invite.call_id
    assert invite.from_tag not in {None, bench.invite.from_tag}
    assert invite.to_tag is None
    assert invite.headers.get("X-Queue") == "sales"
    assert invite.headers.get("Diversion") == "<sip:1@a.example>"
    assert "Route" not in invite.headers
    assert invite.headers.get("Contact") == "<sip:192.0.2.1:5060>"
    assert bench.invited.next_hop.uri == PEERS[0].uri
    assert bench.fact_names() == ["CallStarted", "PeerTried"]
    assert bench.b2bua.state is CallState.CALLING


def test_an_offer_without_a_common_codec_is_refused_488_with_a_warning() -> None:
    bench = CallBench(offer=sdp("9")).start()
    assert bench.final().status == 488
    assert (bench.final().headers.get("Warning") or "").startswith("305 gateway ")
    assert bench.verdict.slug is Slug.OFFER_NOT_ACCEPTABLE
    assert not bench.requests()
    assert bench.fact_names() == ["CallEnding", "CallEnded"]


def test_a_body_of_another_type_is_refused_415_with_accept() -> None:
    bench = CallBench(offer=b"hello", content_type="text/plain").start()
    assert bench.final().status == 415
    assert bench.final().headers.get("Accept") == "application/sdp"
    assert bench.verdict.slug is Slug.BODY_UNSUPPORTED


def test_a_malformed_offer_is_refused_400() -> None:
    bench = CallBench(offer=b"v=0\r\nnonsense").start()
    assert bench.final().status == 400
    assert bench.verdict.slug is Slug.OFFER_UNREADABLE
    assert bench.verdict.sip_status == 400


def test_a_route_without_peers_is_refused_503() -> None:
    bench = CallBench(peers=0).start()
    assert bench.final().status == 503
    assert bench.verdict.slug is Slug.NO_PEER


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_broken_peer_makes_room_for_the_next(status: int) -> None:
    bench = CallBench(peers=2).start()
    first = bench.invited
    bench.reply(first, status)
    second = bench.invited
    assert second.next_hop.uri == PEERS[1].uri
    assert second.request.call_id != first.request.call_id
    assert second.request_id != first.request_id
    assert session(second.request).media[0].port == 20002
    assert not bench.responses()
    given_up = bench.facts(PeerGivenUp)[0]
    assert (given_up.attempt, given_up.status, given_up.uri) == (1, status, PEERS[0].uri)
    origins = [session(sent.request).origin for sent in (first, second)]
    assert origins[0].session_id != origins[1].session_id
    bench.answer()
    assert {order.side for order in every(bench.out, UpdateLegMedia)} == set(Side)
    bench.ack()
    assert bench.final().status == 200
    record = bench.b2bua.snapshot()
    assert [attempt.status for attempt in record.attempts] == [status, 200]
    assert [attempt.ended_at is None for attempt in record.attempts] == [False, True]


def test_a_silent_peer_makes_room_for_the_next() -> None:
    bench = CallBench(peers=2).start()
    bench.time_out(bench.invited)
    assert bench.facts(PeerGivenUp)[0].status == 408
    assert [fact.attempt for fact in bench.facts(PeerTried)] == [1, 2]


def test_an_unreachable_peer_makes_room_for_the_next() -> None:
    bench = CallBench(peers=2).start()
    bench.apply(RequestTransportFailed(bench.invited.request_id))
    assert bench.facts(PeerGivenUp)[0].status == 503
    assert bench.invited.next_hop.uri == PEERS[1].uri


@pytest.mark.parametrize("status", [404, 486, 501, 600, 603])
def test_a_decision_of_the_callee_is_not_asked_for_again(status: int) -> None:
    bench = CallBench(peers=2).start()
    bench.reply(bench.invited, status)
    assert len(bench.requests("INVITE")) == 1
    assert bench.final().status == status


def test_no_other_peer_is_tried_once_the_caller_heard_ringing() -> None:
    bench = CallBench(peers=2).start()
    bench.ring()
    bench.reply(bench.invited, 503)
    assert len(bench.requests("INVITE")) == 1
    assert bench.final().status == 503
    assert bench.verdict.slug is Slug.PEER_FAILED


def test_with_all_peers_silent_the_caller_hears_408() -> None:
    bench = CallBench(peers=2).start()
    bench.time_out(bench.invited)
    bench.time_out(bench.invited)
    assert bench.final().status == 408
    assert bench.verdict.slug is Slug.PEER_TIMEOUT


def test_with_all_peers_out_of_reach_the_caller_hears_503() -> None:
    bench = CallBench(peers=3).start()
    for _ in range(3):
        bench.apply(RequestTransportFailed(bench.invited.request_id))
    assert bench.final().status == 503
    assert bench.verdict.slug is Slug.PEER_UNREACHABLE
    assert len(bench.b2bua.snapshot().attempts) == 3


def test_a_failure_passes_status_phrase_and_reason_on() -> None:
    bench = CallBench().start()
    bench.ring()
    bench.reply(bench.invited, 486, headers=[("Reason", "Q.850;cause=17")])
    final = bench.final()
    assert (final.status, final.reason) == (486, "Busy Here")
    assert final.headers.get("Reason") == "Q.850;cause=17"
    verdict = bench.verdict
    assert (verdict.slug, verdict.sip_status, verdict.ended_by) == (Slug.BUSY, 486, EndedBy.CALLEE)
    assert verdict.result is ResultClass.UNANSWERED
    assert "486 Busy Here" in verdict.detail


def test_retry_after_of_a_peer_does_not_turn_the_caller_away_from_us() -> None:
    bench = CallBench().start()
    bench.reply(bench.invited, 503, headers=[("Retry-After", "120")])
    assert bench.final().status == 503
    assert "Retry-After" not in bench.final().headers


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_is_between_the_peer_and_us(status: int) -> None:
    bench = CallBench().start()
    bench.reply(bench.invited, status, headers=[("WWW-Authenticate", 'Digest realm="x"')])
    assert bench.final().status == 403
    assert "WWW-Authenticate" not in bench.final().headers
    assert bench.verdict.slug is Slug.PEER_WANTS_CREDENTIALS


def test_a_peer_that_rings_too_long_is_cancelled_and_the_caller_hears_480() -> None:
    bench = CallBench(peers=2, limits=CallLimits(ring_timeout=30)).start()
    bench.ring()
    assert bench.timers[TimerName.RING] == bench.now + 30
    bench.fire(TimerName.RING)
    assert bench.cancels()[0].reason == 'Q.850;cause=19;text="No answer"'
    assert bench.final().status == 480
    assert len(bench.requests("INVITE")) == 1
    bench.reply(bench.invited, 487)
    assert bench.verdict.slug is Slug.NO_ANSWER
    assert len(bench.facts(CallRang)) == 1


def test_a_peer_that_never_rings_makes_room_for_the_next_in_time() -> None:
    bench = CallBench(peers=2, limits=CallLimits(ring_timeout=30)).start()
    first = bench.invited
    bench.reply(first, 100, tag="")
    bench.fire(TimerName.RING)
    assert bench.cancels()[0].request_id == first.request_id
    assert bench.invited.next_hop.uri == PEERS[1].uri
    assert bench.timers[TimerName.RING] == bench.now + 30
    bench.reply(first, 487)
    bench.answer()
    assert bench.final().status == 200


def test_the_last_answer_of_a_given_up_peer_is_acknowledged_and_hung_up_on() -> None:
    bench = CallBench(peers=2).start()
    first, dialog = bench.invited, bench.callee
    bench.fire(TimerName.RING)
    bench.callee, second = dialog, bench.callee
    bench.reply(first, 200, sdp("0"), tag="late")
    bench.callee = second
    assert [ack.to_tag for ack in bench.acks()] == ["late"]
    assert bench.sent("BYE").to_tag == "late"
    assert bench.sent("BYE").call_id == first.request.call_id
    assert not bench.responses()
    bench.reply(bench.requests("BYE")[0], 200)
    bench.answer()
    bench.ack()
    assert bench.b2bua.state is CallState.TALKING


def test_a_delayed_offer_crosses_without_a_body() -> None:
    bench = CallBench(offer=b"").start()
    assert bench.invited.request.body == b""
    assert "Content-Type" not in bench.invited.request.headers


@pytest.mark.parametrize(
    ("peer", "contact"),
    [
        (PeerHop("sip:192.0.2.20;transport=tcp"), "<sip:192.0.2.1:5060;transport=tcp>"),
        (
            PeerHop("sip:peer.example", (Hop("tcp", "192.0.2.20", 5060),)),
            "<sip:192.0.2.1:5060;transport=tcp>",
        ),
        (PeerHop("sip:peer.example"), "<sip:192.0.2.1:5060>"),
        (PeerHop("sip:peer.example;transport=tls"), "<sip:192.0.2.1:5061;transport=tls>"),
        (PeerHop("sips:peer.example"), "<sips:192.0.2.1:5061>"),
    ],
)
def test_our_contact_is_that_of_the_peers_transport(peer: PeerHop, contact: str) -> None:
    bench = CallBench()
    object.__setattr__(bench.setup, "peers", (peer,))
    bench.start()
    assert bench.invited.request.headers.get("Contact") == contact
    assert bench.invited.next_hop.hops == peer.hops


def test_a_tel_uri_becomes_the_user_of_the_peers_uri() -> None:
    bench = CallBench(offer=OFFER)
    bench.invite.uri = "tel:+49-30-99"
    bench.start()
    assert bench.invited.request.uri == "sip:+493099@192.0.2.20:5060;transport=udp;user=phone"
    assert CALLEE.host in bench.invited.request.uri


def test_a_peer_that_says_nothing_yet_makes_room_for_the_next_and_is_cancelled() -> None:
    bench = CallBench(peers=3).start()
    first = bench.invited
    bench.apply(RequestSilent(first.request_id))
    assert bench.invited is not first
    assert bench.invited.next_hop.uri == PEERS[1].uri
    assert [order.request_id for order in bench.cancels()] == [first.request_id]
    (given_up,) = bench.facts(PeerGivenUp)
    assert (given_up.status, given_up.detail) == (408, "no response")


def test_the_last_peer_has_its_whole_time() -> None:
    bench = CallBench(peers=3).start()
    while len(bench.requests("INVITE", Side.B)) < len(PEERS):
        bench.apply(RequestSilent(bench.invited.request_id))
    cancelled = len(bench.cancels())
    bench.apply(RequestSilent(bench.invited.request_id))
    assert len(bench.cancels()) == cancelled
    assert bench.b2bua.state is CallState.CALLING


def test_a_peer_that_rings_is_not_silent() -> None:
    bench = CallBench(peers=3).start()
    bench.ring(180)
    bench.apply(RequestSilent(bench.invited.request_id))
    assert not bench.cancels()
    assert bench.b2bua.state is CallState.RINGING


def test_a_call_goes_through_the_outbound_proxy_of_its_trunk_as_a_loose_route() -> None:
    bench = CallBench(routes=("<sip:192.0.2.99:5070;transport=tcp;lr>",)).start()
    invite = bench.invited.request
    assert invite.uri == "sip:+4930123456@192.0.2.20:5060;transport=udp"
    assert invite.headers.get_all("Route") == ["<sip:192.0.2.99:5070;transport=tcp;lr>"]
    assert bench.invited.next_hop.uri == "sip:192.0.2.99:5070;transport=tcp;lr"
    assert invite.headers.get("Contact") == "<sip:192.0.2.1:5060;transport=tcp>"
