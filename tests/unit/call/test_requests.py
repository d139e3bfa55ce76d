import pytest

from call_script import ANSWER, CALLEE, CallBench, sdp
from sidestream.call.events import RequestArrived
from sidestream.call.facts import DtmfReceived
from sidestream.call.features import EVERYTHING
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import EndedBy, Slug
from sidestream.sip.events import ServerKey


@pytest.mark.parametrize(
    ("side", "slug", "by"),
    [
        (Side.A, Slug.CALLER_HUNG_UP, EndedBy.CALLER),
        (Side.B, Slug.CALLEE_HUNG_UP, EndedBy.CALLEE),
    ],
)
def test_a_bye_is_answered_and_crosses_with_its_reason(side: Side, slug: Slug, by: EndedBy) -> None:
    bench = CallBench().talk()
    key = bench.request(side, "BYE", headers=[("Reason", "Q.850;cause=16"), ("X-Score", "5")])
    assert bench.final(key).status == 200
    bye = bench.sent("BYE", side.other)
    assert bye.headers.get("Reason") == "Q.850;cause=16"
    assert bye.headers.get("X-Score") == "5"
    assert not bench.requests("BYE", side)
    assert bench.b2bua.state is CallState.ENDING
    bench.reply(bench.requests("BYE")[0], 200)
    verdict = bench.verdict
    assert (verdict.slug, verdict.ended_by, verdict.sip_status) == (slug, by, 200)


def test_byes_that_cross_are_both_answered() -> None:
    bench = CallBench().talk()
    first = bench.request(Side.A, "BYE")
    second = bench.request(Side.B, "BYE")
    assert bench.final(first).status == bench.final(second).status == 200
    assert bench.finish().slug is Slug.CALLER_HUNG_UP


def test_a_bye_before_the_ack_is_taken() -> None:
    bench = CallBench().start()
    bench.answer()
    key = bench.request(Side.A, "BYE")
    assert bench.final(key).status == 200
    assert not bench.requests("BYE", Side.A)
    assert bench.finish().slug is Slug.CALLER_HUNG_UP


def test_a_callers_bye_in_the_early_dialog_cancels_the_call() -> None:
    bench = CallBench().start()
    bench.ring()
    key = bench.request(Side.A, "BYE", headers=[("Reason", "Q.850;cause=16")])
    assert bench.final(key).status == 200
    assert bench.final().status == 487
    assert bench.cancels()[0].reason == "Q.850;cause=16"
    assert bench.finish().slug is Slug.CANCELLED_BY_CALLER


def test_a_callees_bye_in_the_early_dialog_leaves_the_invite_to_be_answered() -> None:
    bench = CallBench().start()
    bench.ring()
    key = bench.request(Side.B, "BYE")
    assert bench.final(key).status == 200
    bench.reply(bench.invited, 486)
    assert bench.verdict.slug is Slug.BUSY


def test_a_bye_while_ours_waits_for_the_ack_ends_the_waiting() -> None:
    bench = CallBench().start()
    bench.answer()
    bench.request(Side.B, "BYE")
    assert not bench.requests("BYE"), "no BYE before the ACK (RFC 3261 15)"
    key = bench.request(Side.A, "BYE")
    assert bench.final(key).status == 200
    assert bench.verdict.slug is Slug.CALLEE_HUNG_UP
    assert not bench.requests("BYE")


def test_cancel_before_18x_is_answered_487_and_crosses() -> None:
    bench = CallBench().start()
    bench.cancel(Reason='SIP;cause=200;text="Call completed elsewhere"')
    assert bench.final().status == 487
    assert bench.cancels()[0].reason == 'SIP;cause=200;text="Call completed elsewhere"'
    assert bench.b2bua.state is CallState.ENDING
    bench.reply(bench.invited, 487)
    verdict = bench.verdict
    assert (verdict.slug, verdict.sip_status) == (Slug.CANCELLED_BY_CALLER, 487)
    assert bench.b2bua.snapshot().attempts[0].status == 487


def test_cancel_after_18x_is_answered_487_and_crosses() -> None:
    bench = CallBench().start()
    bench.ring(183, ANSWER)
    bench.cancel()
    assert bench.final().status == 487
    assert bench.cancels()[0].reason is None
    assert bench.finish().slug is Slug.CANCELLED_BY_CALLER


def test_a_cancelled_peer_that_never_answers_is_let_go() -> None:
    bench = CallBench().start()
    bench.cancel()
    bench.time_out(bench.invited)
    assert bench.verdict.slug is Slug.CANCELLED_BY_CALLER


def test_a_late_cancel_changes_nothing() -> None:
    bench = CallBench().start()
    bench.answer()
    bench.cancel()
    assert not bench.out
    bench.ack()
    bench.cancel()
    bench.cancel(ServerKey(77))
    assert not bench.out
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize("method", ["REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "FROBNICATE"])
def test_a_method_that_is_not_understood_is_answered_405(method: str) -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, method)
    assert bench.final(key).status == 405
    assert bench.final(key).headers.get("Allow") == EVERYTHING.allow


def test_options_is_answered_here() -> None:
    bench = CallBench().talk()
    key = bench.request(Side.B, "OPTIONS")
    final = bench.final(key)
    assert final.status == 200
    assert final.headers.get("Allow") == EVERYTHING.allow
    assert final.headers.get("Accept") == "application/sdp"
    assert len(bench.requests()) == 1


def test_a_lower_sequence_number_is_answered_500() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "OPTIONS", cseq=10)
    key = bench.request(Side.A, "INFO", cseq=9)
    assert bench.final(key).status == 500
    bye = bench.request(Side.A, "BYE", cseq=3)
    assert bench.final(bye).status == 500
    assert bench.b2bua.state is CallState.TALKING


def test_a_request_of_no_dialog_is_answered_481() -> None:
    bench = CallBench().talk()
    bench.caller.tag = "somebody"
    key = bench.request(Side.A, "BYE")
    assert bench.final(key).status == 481
    assert bench.b2bua.state is CallState.TALKING


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "OPTIONS"])
def test_a_request_in_a_dead_dialog_is_answered_481(method: str) -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "BYE")
    key = bench.request(Side.B, method, sdp())
    assert bench.final(key).status == 481


def test_after_the_end_nothing_is_said() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "BYE")
    bench.finish()
    key = ServerKey(99)
    assert bench.b2bua.apply(RequestArrived(key, bench.invite, CALLEE), bench.now) == []


def test_a_request_of_another_fork_is_heard_while_they_ring() -> None:
    bench = CallBench().start()
    bench.ring(tag="one")
    bench.ring(tag="two")
    bench.callee.tag = "one"
    key = bench.request(Side.B, "OPTIONS")
    assert bench.final(key).status == 200
    bench.callee.call_id = "another"
    assert bench.final(bench.request(Side.B, "OPTIONS")).status == 481
    bench.callee.call_id, bench.callee.tag = bench.invited.request.call_id, "three"
    assert bench.final(bench.request(Side.B, "OPTIONS")).status == 481


@pytest.mark.parametrize("side", list(Side))
def test_a_key_press_by_info_is_told_and_crosses(side: Side) -> None:
    bench = CallBench().talk()
    body = b"Signal=5\r\nDuration=160\r\n"
    key = bench.request(side, "INFO", body, content_type="application/dtmf-relay")
    press = bench.facts(DtmfReceived)[0]
    assert (press.side, press.digit, press.duration_ms, press.source) == (side, "5", 160, "sip-info")
    crossed = bench.sent("INFO", side.other)
    assert crossed.body == body
    assert crossed.content_type == "application/dtmf-relay"
    assert not bench.responses(key)
    bench.reply(bench.requests("INFO")[0], 200)
    assert bench.final(key).status == 200


def test_another_info_only_crosses() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INFO", b"<xml/>", content_type="application/xml", headers=[("Info-Package", "x")])
    assert not bench.facts(DtmfReceived)
    assert bench.sent("INFO").headers.get("Info-Package") == "x"


def test_where_a_party_was_last_heard_is_where_it_is_spoken_to() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "BYE")
    assert bench.requests("BYE")[0].next_hop.heard_from == CALLEE.hop
