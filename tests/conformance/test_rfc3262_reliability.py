"""Reliable provisional responses (RFC 3262) on both legs of a call, each test named by its section."""

import pytest

from call_script import ANSWER, OFFER, CallBench, every, media_port, sdp, session
from sidestream.call.commands import BridgeMedia, ConfirmProgress, UpdateLegMedia
from sidestream.call.events import ProgressNotAcknowledged, RequestTimedOut
from sidestream.call.facts import EarlyMediaStarted
from sidestream.call.features import Features, Use
from sidestream.call.progress import MAX_WAITING
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import Slug
from sidestream.sip.events import ServerKey

KNOWS = [("Supported", "100rel")]
WANTS = [("Require", "100rel")]
OFF, REQUIRED = Features(prack=Use.OFF), Features(prack=Use.REQUIRED)
REOFFER = sdp("0 101", port=4100, version=2)
REANSWER = sdp("0 101", port=5100, host="192.0.2.20", version=2)


def rseq_of(bench: CallBench) -> int:
    return int(bench.responses()[-1].headers.get("RSeq") or 0)


def racks(bench: CallBench) -> list[str | None]:
    return [sent.request.headers.get("RAck") for sent in bench.requests("PRACK")]


@pytest.mark.parametrize(
    ("own", "headers", "supported", "required"),
    [
        (Features(), KNOWS, "100rel", None),
        (Features(), [], "100rel", None),
        (REQUIRED, [], "100rel", "100rel"),
        (OFF, KNOWS, None, None),
    ],
)
def test_section_4_the_invite_says_what_the_trunk_knows(
    own: Features, headers: list[tuple[str, str]], supported: str | None, required: str | None
) -> None:
    bench = CallBench(headers=headers, features=(Features(), own)).start()
    known = "100rel" in bench.invited.request.headers.values("Supported")
    assert known is (supported is not None)
    assert bench.invited.request.headers.get("Require") == required
    assert ("PRACK" in (bench.invited.request.headers.get("Allow") or "")) is (own is not OFF)


@pytest.mark.parametrize("headers", [KNOWS, WANTS])
def test_section_3_a_caller_that_knows_them_gets_reliable_responses(headers: list[tuple[str, str]]) -> None:
    bench = CallBench(headers=headers).start()
    bench.ring(180)
    assert bench.responses()[-1].headers.get("Require") == "100rel"
    assert 1 <= rseq_of(bench) < 2**31
    assert not bench.requests("PRACK")


@pytest.mark.parametrize(("features", "headers"), [(Features(), []), (OFF, KNOWS)])
def test_section_3_others_get_unreliable_ones(features: Features, headers: list[tuple[str, str]]) -> None:
    bench = CallBench(headers=headers, features=(features, Features())).start()
    bench.ring(180)
    assert "RSeq" not in bench.responses()[-1].headers
    assert "Require" not in bench.responses()[-1].headers


def test_section_3_who_is_required_and_does_not_know_them_gets_421() -> None:
    bench = CallBench(features=(REQUIRED, Features())).start()
    final = bench.final()
    assert (final.status, final.headers.get("Require")) == (421, "100rel")
    assert bench.verdict.slug is Slug.EXTENSION_REQUIRED


def test_rfc3261_8_2_2_3_a_trunk_without_them_answers_420() -> None:
    bench = CallBench(headers=WANTS, features=(OFF, Features())).start()
    final = bench.final()
    assert (final.status, final.headers.get("Unsupported")) == (420, "100rel")
    assert bench.verdict.slug is Slug.EXTENSION_UNSUPPORTED


@pytest.mark.parametrize("status", [420, 421])
def test_rfc3261_21_4_a_peer_that_wants_other_extensions_is_not_the_callers_concern(status: int) -> None:
    bench = CallBench().start()
    bench.reply(bench.invited, status)
    assert bench.final().status == 502
    assert bench.verdict.slug is Slug.EXTENSION_REFUSED


def test_section_4_the_prack_crosses_when_both_legs_are_reliable() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(7, ANSWER)
    assert session(bench.responses()[-1]).media[0].port == 20000
    assert not bench.requests("PRACK")
    key = bench.prack()
    assert every(bench.out, ConfirmProgress) == [ConfirmProgress(bench.invite_key)]
    assert bench.final(key).status == 200
    assert racks(bench) == ["7 1 INVITE"]
    bench.reply(bench.requests("PRACK")[0], 200)
    bench.answer(b"")
    assert bench.final().body == b""
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING
    assert every(bench.log, BridgeMedia) == [BridgeMedia(on=True)]


def test_section_4_a_callee_alone_gets_its_prack_at_once() -> None:
    bench = CallBench().start()
    bench.ring_reliably(7, ANSWER)
    assert racks(bench) == ["7 1 INVITE"]
    assert "RSeq" not in bench.responses()[-1].headers
    assert bench.facts(EarlyMediaStarted)
    bench.answer(b"")
    assert session(bench.final()).media[0].port == 20000


def test_section_4_the_prack_goes_within_the_early_dialog() -> None:
    bench = CallBench().start()
    bench.ring_reliably(1, tag="one", Record_Route="<sip:proxy.example;lr>")
    prack = bench.requests("PRACK")[0]
    assert prack.request.to_tag == "one"
    assert prack.request.headers.get("Route") == "<sip:proxy.example;lr>"
    assert prack.request.cseq.number == bench.invited.request.cseq.number + 1
    assert prack.next_hop.uri == "sip:proxy.example;lr"


@pytest.mark.parametrize("second", [3, 5, 7, 2])
def test_section_4_what_is_out_of_order_is_neither_acknowledged_nor_relayed(second: int) -> None:
    bench = CallBench().start()
    bench.ring_reliably(3)
    bench.ring_reliably(second)
    assert racks(bench) == ["3 1 INVITE"]
    assert len(bench.responses()) == 1
    bench.ring_reliably(4)
    assert racks(bench) == ["3 1 INVITE", "4 1 INVITE"]


@pytest.mark.parametrize("rseq", ["0", "x", "4294967296"])
def test_section_7_1_a_malformed_rseq_makes_no_reliable_response(rseq: str) -> None:
    bench = CallBench().start()
    bench.ring(183, b"", Require="100rel", RSeq=rseq)
    assert not bench.requests("PRACK")
    assert len(bench.responses()) == 1


def test_section_4_numbers_are_counted_for_each_fork() -> None:
    bench = CallBench().start()
    bench.ring_reliably(3, tag="one")
    bench.ring_reliably(3, tag="two")
    assert racks(bench) == ["3 1 INVITE", "3 1 INVITE"]
    assert [sent.request.to_tag for sent in bench.requests("PRACK")] == ["one", "two"]


def test_section_4_a_trunk_without_them_does_not_acknowledge() -> None:
    bench = CallBench(features=(Features(), OFF)).start()
    bench.ring_reliably(3, ANSWER)
    assert not bench.requests("PRACK")
    assert len(bench.responses()) == 1


@pytest.mark.parametrize("rack", ["99 1 INVITE", "{rseq} 2 INVITE", "{rseq} 1 UPDATE"])
def test_section_3_a_prack_for_an_unknown_response_gets_481(rack: str) -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(180)
    known = rseq_of(bench)
    assert bench.final(bench.prack(rack=rack.format(rseq=known))).status == 481
    assert bench.final(bench.prack(rack=f"{known} 1 INVITE")).status == 200
    assert bench.final(bench.prack(rack=f"{known} 1 INVITE")).status == 481


@pytest.mark.parametrize("rack", ["", "1 INVITE", "a 1 INVITE", "1 1 INV ITE", "1 1 (INVITE)"])
def test_section_7_2_a_malformed_rack_gets_400(rack: str) -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(180)
    key = bench.request(Side.A, "PRACK", headers=[("RAck", rack)] if rack else [])
    assert bench.final(key).status == 400


def test_section_3_a_callee_has_nothing_to_acknowledge() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(180)
    assert bench.final(bench.prack(side=Side.B)).status == 481


def test_section_3_the_second_response_waits_for_the_first_prack() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, status=180)
    bench.ring_reliably(2, ANSWER)
    assert [each.status for each in bench.responses()] == [180]
    first = rseq_of(bench)
    bench.prack()
    assert [each.status for each in bench.responses()] == [180, 183]
    assert rseq_of(bench) == first + 1
    assert racks(bench) == ["1 1 INVITE"]
    bench.prack()
    assert racks(bench) == ["1 1 INVITE", "2 1 INVITE"]


def test_section_3_what_waits_is_bounded() -> None:
    bench = CallBench(headers=KNOWS).start()
    for number in range(MAX_WAITING + 10):
        bench.ring_reliably(number + 1)
    for _ in range(MAX_WAITING + 1):
        bench.prack()
    assert len(racks(bench)) == MAX_WAITING + 1
    bench.ring_reliably(MAX_WAITING + 2)
    assert rseq_of(bench)


def test_section_3_without_a_prack_the_invite_is_refused() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER)
    bench.apply(ProgressNotAcknowledged(bench.invite_key))
    assert bench.final().status == 504
    assert [cancel.reason for cancel in bench.cancels()] == ['SIP;cause=504;text="PRACK not received"']
    bench.reply(bench.invited, 487)
    assert bench.verdict.slug is Slug.PROGRESS_NOT_ACKNOWLEDGED


def test_section_3_the_2xx_waits_for_the_prack_of_a_session() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(183, ANSWER)
    bench.answer()
    assert [each.status for each in bench.responses()] == [183]
    assert not bench.acks()
    bench.prack()
    assert bench.final().status == 200
    assert len(bench.acks()) == 1
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING


def test_section_3_the_2xx_does_not_wait_for_the_prack_of_ringing() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(180)
    bench.answer()
    assert bench.final().status == 200
    known = int(bench.responses()[0].headers.get("RSeq") or 0)
    assert bench.final(bench.prack(rack=f"{known} 1 INVITE")).status == 200


def test_section_3_a_kept_2xx_is_taken_leave_of_when_the_caller_gives_up() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(183, ANSWER)
    bench.answer()
    bench.answer()
    bench.cancel()
    assert bench.final().status == 487
    assert len(bench.acks()) == 1
    assert len(bench.requests("BYE")) == 1
    bench.reply(bench.requests("BYE")[0], 200)
    assert bench.verdict.slug is Slug.CANCELLED_BY_CALLER


def test_section_3_of_two_forks_that_answer_too_early_the_first_is_kept() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(183, ANSWER)
    bench.answer()
    bench.answer(tag="tc")
    bench.answer(tag="tc")
    assert [bye.request.to_tag for bye in bench.requests("BYE")] == ["tc"]
    bench.callee.tag = "tb"
    bench.prack()
    assert bench.final().status == 200
    assert bench.b2bua.state is CallState.ANSWERED


def test_section_3_a_prack_is_understood_after_the_end() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(180)
    bench.cancel()
    assert (
        bench.final(bench.prack(rack=f"{int(bench.responses()[0].headers.get('RSeq') or 0)} 1 INVITE")).status
        == 200
    )


def test_section_5_an_offer_in_a_reliable_response_is_answered_in_the_prack() -> None:
    bench = CallBench(offer=b"", headers=KNOWS).start()
    bench.ring_reliably(1, OFFER)
    offered = session(bench.responses()[-1]).media[0]
    assert (offered.port, rseq_of(bench) > 0) == (20000, True)
    assert not every(bench.log, BridgeMedia)
    assert bench.final(bench.prack(sdp("0", port=4000))).status == 200
    sent = bench.requests("PRACK")[0].request
    assert session(sent).media[0].port == 20002
    assert [codec.name for codec in session(sent).media[0].codecs] == ["PCMU"]
    assert every(bench.log, BridgeMedia) == [BridgeMedia(on=True)]
    bench.answer(b"")
    assert (bench.final().status, bench.final().body) == (200, b"")
    bench.ack(cseq=1)
    assert bench.acks()[0].body == b""
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize("body", [b"", b"v=0\r\nnonsense", sdp("9")])
def test_section_5_a_prack_that_does_not_answer_ends_the_call(body: bytes) -> None:
    bench = CallBench(offer=b"", headers=KNOWS).start()
    bench.ring_reliably(1, sdp("0"))
    assert bench.final(bench.prack(body)).status >= 400
    bench.reply(bench.invited, 487)
    assert bench.final().status == 488
    assert bench.verdict.slug is Slug.ANSWER_MISSING


def test_section_5_who_could_not_answer_in_a_prack_is_asked_for_no_offer_in_one() -> None:
    bench = CallBench(offer=b"").start()
    assert "100rel" not in bench.invited.request.headers.values("Supported")
    refused = CallBench(offer=b"", features=(Features(), REQUIRED)).start()
    assert (refused.final().status, refused.final().headers.get("Require")) == (421, "100rel")


def test_rfc3261_13_2_1_a_reliable_response_without_the_awaited_offer_is_not_sent() -> None:
    bench = CallBench(offer=b"", headers=KNOWS).start()
    bench.ring_reliably(1, status=180)
    assert "RSeq" not in bench.responses()[-1].headers
    assert racks(bench) == ["1 1 INVITE"]
    strict = CallBench(offer=b"", headers=WANTS).start()
    strict.ring_reliably(1, status=180)
    assert strict.responses() == []
    strict.ring_reliably(2, OFFER)
    assert [each.status for each in strict.responses()] == [183]


def test_section_5_of_forks_that_offer_the_first_is_taken() -> None:
    bench = CallBench(offer=b"", headers=KNOWS).start()
    bench.ring_reliably(1, OFFER, tag="one")
    bench.ring_reliably(1, OFFER, tag="two")
    bench.callee.tag = "one"
    bench.prack(sdp("0"))
    assert [sent.request.to_tag for sent in bench.requests("PRACK")] == ["one"]


def test_section_5_an_offer_in_the_prack_crosses_and_its_answer_comes_back() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER)
    key = bench.prack(REOFFER)
    assert not bench.responses(key)
    sent = bench.requests("PRACK")[0]
    assert session(sent.request).media[0].port == 20002
    bench.reply(sent, 200, REANSWER)
    assert session(bench.final(key)).media[0].port == 20000
    media = {order.side: media_port(order) for order in every(bench.log, UpdateLegMedia)}
    assert media == {Side.A: 4100, Side.B: 5100}


def test_section_5_an_offer_that_the_callee_turns_down_leaves_the_session() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER)
    key = bench.prack(REOFFER)
    bench.reply(bench.requests("PRACK")[0], 488)
    assert bench.final(key).status == 488
    bench.answer(b"")
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize(("allow", "status"), [("INVITE, UPDATE", 200), ("INVITE", 491)])
def test_section_5_where_no_prack_is_owed_the_offer_goes_on_as_an_update(allow: str, status: int) -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER, Allow=allow)
    bench.prack()
    bench.ring(180)
    key = bench.prack(REOFFER)
    for sent in bench.requests("UPDATE"):
        bench.reply(sent, 200, REANSWER)
    assert bench.final(key).status == status


def test_section_5_an_offer_before_the_answer_comes_too_early() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring(180)
    final = bench.final(bench.prack(REOFFER))
    assert final.status == 500
    assert "Retry-After" in final.headers


def test_rfc3261_13_2_1_an_answer_that_was_told_reliably_is_not_told_another_way() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER, tag="one")
    bench.prack()
    bench.ring_reliably(1, sdp("0", port=7000, host="192.0.2.20"), tag="two")
    assert bench.responses()[-1].body == b""
    bench.prack()
    bench.answer(b"", tag="two")
    assert (bench.final().status, bench.final().body) == (200, b"")
    media = {order.side: media_port(order) for order in every(bench.log, UpdateLegMedia)}
    assert media[Side.B] == 7000


def test_rfc3261_13_2_1_a_fork_whose_answer_does_not_fit_the_one_told_ends_the_call() -> None:
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER, tag="one")
    bench.prack()
    bench.answer(sdp("8", port=7000, host="192.0.2.20"), tag="two")
    assert bench.final().status == 502
    bench.finish()
    assert bench.verdict.slug is Slug.ANSWER_UNUSABLE


def test_section_4_a_prack_that_is_never_answered_changes_nothing() -> None:
    bench = CallBench().start()
    bench.ring_reliably(1, ANSWER)
    bench.apply(RequestTimedOut(bench.requests("PRACK")[0].request_id))
    bench.answer(b"")
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING


def test_rfc3261_12_2_2_an_extension_that_a_leg_does_not_know_is_refused_within_the_call() -> None:
    bench = CallBench(features=(OFF, Features())).talk()
    key: ServerKey = bench.request(Side.A, "INVITE", OFFER, headers=WANTS)
    assert (bench.final(key).status, bench.final(key).headers.get("Unsupported")) == (420, "100rel")
    known = bench.request(Side.B, "INVITE", REANSWER, headers=WANTS)
    bench.reply(bench.requests("INVITE", Side.A)[-1], 180)
    assert bench.responses(known) == []
