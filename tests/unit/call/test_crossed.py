import pytest

from call_script import ANSWER, CallBench, every, media_port, sdp, session
from sidestream.call.commands import CancelRequest, UpdateLegMedia
from sidestream.call.events import AnswerNotAcknowledged, RequestTransportFailed
from sidestream.call.facts import CodecChanged
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import Slug
from sidestream.sip.events import ServerKey

UPDATE_TOO = [("Allow", "INVITE, ACK, BYE, UPDATE")]


def reinvited(side: Side = Side.A) -> tuple[CallBench, ServerKey]:
    bench = CallBench().talk(headers=UPDATE_TOO)
    return bench, bench.request(side, "INVITE", sdp("8 101", port=6000, version=2))


@pytest.mark.parametrize("side", list(Side))
def test_a_codec_change_is_carried_and_told(side: Side) -> None:
    bench, key = reinvited(side)
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8 101", port=7000, version=2))
    assert len(bench.acks(side.other)) == (2 if side is Side.A else 1)
    assert session(bench.final(key)).media[0].codecs[0].name == "PCMA"
    media = {order.side: order for order in every(bench.out, UpdateLegMedia)}
    assert [codec.name for codec in media[side].codecs] == ["PCMA", "telephone-event"]
    assert media_port(media[side]) == 6000
    assert {fact.side for fact in bench.facts(CodecChanged)[2:]} == set(Side)
    bench.ack(side=side)
    assert bench.b2bua.state is CallState.TALKING


def test_a_repeated_2xx_to_a_reinvite_is_acknowledged_again() -> None:
    bench, _ = reinvited()
    sent = bench.requests("INVITE")[-1]
    bench.reply(sent, 200, sdp("8"))
    bench.reply(sent, 200, sdp("8"))
    assert len(bench.acks()) == 3
    assert bench.acks()[-1].cseq.number == sent.request.cseq.number


@pytest.mark.parametrize("status", [400, 403, 488, 491, 500, 503, 603])
def test_a_rejected_reinvite_leaves_the_session_as_it_was(status: int) -> None:
    bench, key = reinvited()
    bench.reply(bench.requests("INVITE")[-1], status, headers=[("Warning", '305 x "no"')])
    assert bench.final(key).status == status
    assert bench.final(key).headers.get("Warning") == '305 x "no"'
    assert not every(bench.out, UpdateLegMedia)
    assert bench.b2bua.state is CallState.TALKING
    bench.request(Side.B, "INVITE", sdp("0", port=5002, version=2))
    bench.reply(bench.requests("INVITE", Side.A)[-1], 200, sdp("0"))
    media = {order.side: order for order in every(bench.out, UpdateLegMedia)}
    assert media_port(media[Side.B]) == 5002


def test_a_challenge_within_the_call_is_told_as_403() -> None:
    bench, key = reinvited()
    bench.reply(bench.requests("INVITE")[-1], 407)
    assert bench.final(key).status == 403


def test_provisional_responses_cross_between_invites() -> None:
    bench, key = reinvited()
    sent = bench.requests("INVITE")[-1]
    bench.reply(sent, 100)
    bench.reply(sent, 180)
    assert [response.status for response in bench.responses(key)] == [180]


@pytest.mark.parametrize("status", [408, 481])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_party_that_lost_its_dialog_ends_the_call(method: str, status: int) -> None:
    bench = CallBench().talk(headers=UPDATE_TOO)
    key = bench.request(Side.A, method, sdp("8", version=2))
    bench.reply(bench.requests(method)[-1], status)
    assert bench.final(key).status == status
    assert bench.sent("BYE", Side.A).headers.get("Reason") == 'SIP;cause=481;text="Dialog lost"'
    assert len(bench.requests("BYE", Side.B)) == (1 if status == 408 else 0)
    assert bench.finish().slug is Slug.SESSION_LOST


def test_a_reinvite_that_is_never_answered_ends_the_call() -> None:
    bench, key = reinvited()
    bench.time_out(bench.requests("INVITE")[-1])
    assert bench.final(key).status == 408
    assert bench.finish().slug is Slug.SESSION_LOST


def test_a_reinvite_that_cannot_be_sent_leaves_the_session_as_it_was() -> None:
    bench, key = reinvited()
    bench.apply(RequestTransportFailed(bench.requests("INVITE")[-1].request_id))
    assert bench.final(key).status == 503
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize("method", ["INFO", "MESSAGE"])
def test_a_party_that_ignores_a_method_keeps_its_call(method: str) -> None:
    bench = CallBench().talk()
    keys = [bench.request(Side.A, method) for _ in range(3)]
    bench.reply(bench.requests(method)[0], 408)
    bench.time_out(bench.requests(method)[1])
    bench.reply(bench.requests(method)[2], 415)
    assert [bench.final(key).status for key in keys] == [504, 504, 415]
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize("status", [408, 481])
def test_in_an_early_dialog_the_answer_to_the_invite_decides(status: int) -> None:
    bench = CallBench().start()
    bench.ring()
    key = bench.request(Side.A, "INFO")
    bench.reply(bench.requests("INFO")[0], status)
    assert bench.final(key).status == 480
    bench.answer()
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING


def test_481_to_an_info_says_that_the_dialog_is_gone() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INFO")
    bench.reply(bench.requests("INFO")[0], 481)
    assert bench.finish().slug is Slug.SESSION_LOST


def test_the_answer_to_a_message_crosses_with_its_body() -> None:
    bench = CallBench().talk()
    key = bench.request(Side.B, "MESSAGE", b"hello", content_type="text/plain")
    sent = bench.requests("MESSAGE", Side.A)[0]
    assert sent.request.body == b"hello"
    bench.reply(sent, 202, b"thanks", content_type="text/plain")
    final = bench.final(key)
    assert (final.status, final.body, final.content_type) == (202, b"thanks", "text/plain")


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("9")])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_answer_that_cannot_be_used_ends_the_call(method: str, body: bytes) -> None:
    bench = CallBench().talk(headers=UPDATE_TOO)
    key = bench.request(Side.A, method, sdp("8", version=2))
    bench.reply(bench.requests(method)[-1], 200, body)
    assert bench.final(key).status == 488
    verdict = bench.finish()
    assert (verdict.slug, verdict.sip_status) == (Slug.ANSWER_UNUSABLE, 200)


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("9")])
def test_an_offer_that_was_asked_for_and_cannot_be_used_ends_the_call(body: bytes) -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, "INVITE")
    bench.reply(bench.requests("INVITE")[-1], 200, body)
    assert bench.final(key).status == 488
    assert len(bench.acks()) == 2
    assert bench.finish().slug is Slug.ANSWER_UNUSABLE


def test_the_target_is_refreshed_on_both_legs() -> None:
    bench = CallBench().talk()
    bench.caller.contact, bench.callee.contact = "sip:new@192.0.2.11:5070", "sip:new@192.0.2.21:5070"
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"))
    assert bench.acks()[-1].uri == "sip:new@192.0.2.21:5070"
    bench.ack()
    bench.request(Side.B, "BYE")
    assert bench.sent("BYE", Side.A).uri == "sip:new@192.0.2.11:5070"


def test_a_rejected_reinvite_refreshes_no_target() -> None:
    bench = CallBench().talk()
    bench.caller.contact = "sip:new@192.0.2.11:5070"
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 488)
    bench.request(Side.B, "BYE")
    assert bench.sent("BYE", Side.A).uri == "sip:a@192.0.2.10:5060"


def test_a_cancelled_reinvite_is_cancelled_across_and_the_session_goes_on() -> None:
    bench, key = reinvited()
    sent = bench.requests("INVITE")[-1]
    bench.cancel(key, Reason="SIP;cause=200")
    bench.cancel(key)
    assert bench.cancels() == [CancelRequest(sent.request_id, "SIP;cause=200")]
    assert not bench.responses(key)
    bench.reply(sent, 487)
    assert bench.final(key).status == 487
    assert bench.b2bua.state is CallState.TALKING


def test_a_cancelled_reinvite_that_is_never_answered_leaves_the_session() -> None:
    bench, key = reinvited()
    bench.cancel(key)
    bench.time_out(bench.requests("INVITE")[-1])
    assert bench.final(key).status == 487
    assert bench.b2bua.state is CallState.TALKING


def test_a_reinvite_whose_ack_is_missing_ends_the_call() -> None:
    bench, key = reinvited()
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"))
    bench.apply(AnswerNotAcknowledged(key))
    assert len(bench.requests("BYE")) == 2
    assert bench.finish().slug is Slug.ANSWER_NOT_ACKNOWLEDGED


def test_bye_during_a_reinvite_answers_it_487() -> None:
    bench, key = reinvited()
    sent = bench.requests("INVITE")[-1]
    bye = bench.request(Side.A, "BYE")
    assert bench.final(key).status == 487
    assert bench.final(bye).status == 200
    assert bench.requests("BYE", Side.B)
    bench.reply(bench.requests("BYE")[0], 200)
    assert not bench.b2bua.ended, "a 2xx to the re-INVITE would need its ACK"
    bench.reply(sent, 487)
    assert bench.verdict.slug is Slug.CALLER_HUNG_UP


def test_a_reinvite_that_was_accepted_all_the_same_is_acknowledged() -> None:
    bench, _ = reinvited()
    sent = bench.requests("INVITE")[-1]
    bench.request(Side.B, "BYE")
    bench.reply(sent, 200, ANSWER)
    assert bench.acks()[-1].cseq.number == sent.request.cseq.number
    assert bench.finish().slug is Slug.CALLEE_HUNG_UP


def test_bye_during_an_info_does_not_wait_for_it() -> None:
    bench = CallBench().talk()
    info = bench.request(Side.A, "INFO")
    bench.request(Side.B, "BYE")
    assert bench.final(info).status == 487
    bench.reply(bench.requests("BYE")[0], 200)
    assert bench.verdict.slug is Slug.CALLEE_HUNG_UP


def test_a_reinvite_that_is_never_answered_at_the_end_is_let_go() -> None:
    bench, _ = reinvited()
    bench.request(Side.B, "BYE")
    bench.reply(bench.requests("BYE")[0], 200)
    bench.time_out(bench.requests("INVITE")[-1])
    assert bench.verdict.slug is Slug.CALLEE_HUNG_UP
