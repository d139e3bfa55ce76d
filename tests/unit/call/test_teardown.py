import pytest

from call_script import ANSWER, CallBench, every, sdp
from sidestream.call.commands import BridgeMedia, ConfirmAnswer, EndCall
from sidestream.call.events import AnswerNotAcknowledged, HangUp, HangUpBy, RequestTransportFailed, TimerName
from sidestream.call.facts import CallEnded, CallEnding
from sidestream.call.setup import TEARDOWN_TIMEOUT, CallLimits
from sidestream.call.side import Side
from sidestream.call.state import CallState, LegPhase
from sidestream.call.teardown import _LEAVE
from sidestream.call.verdict import Slug
from sidestream.sip.headers import parse_name_addr

ENOUGH = HangUp(HangUpBy.OPERATOR, "Enough.")


def test_every_phase_of_either_leg_knows_how_to_take_leave() -> None:
    assert set(_LEAVE) == {(side, phase) for side in Side for phase in LegPhase}


def test_a_call_ends_in_order() -> None:
    bench = CallBench().talk()
    bench.now += 12
    bench.apply(ENOUGH)
    assert every(bench.out, BridgeMedia) == [BridgeMedia(on=False)]
    assert bench.timers == {TimerName.TEARDOWN: bench.now + TEARDOWN_TIMEOUT}
    assert [sent.side for sent in bench.requests("BYE")] == [Side.A, Side.B]
    assert len(bench.facts(CallEnding)) == 1
    assert not bench.facts(CallEnded)
    bench.now += 3
    bench.finish()
    assert bench.fact_names()[-2:] == ["CallEnding", "CallEnded"]
    assert isinstance(bench.log[-1], EndCall)
    record = bench.log[-1].record
    assert record.state == "ended"
    assert record.duration_s == 12, "the answer to the BYE is no talking time"


def test_no_bye_is_sent_before_the_ack() -> None:
    bench = CallBench().start()
    bench.answer()
    bench.apply(ENOUGH)
    assert [sent.side for sent in bench.requests("BYE")] == [Side.B]
    bench.ack()
    assert bench.sent("BYE", Side.A).headers.get("Reason") == 'SIP;cause=487;text="Ended by operator"'
    assert bench.finish().slug is Slug.HUNG_UP_BY_OPERATOR


def test_a_bye_that_waited_in_vain_for_the_ack_is_sent() -> None:
    bench = CallBench().start()
    bench.answer()
    bench.apply(ENOUGH)
    bench.apply(AnswerNotAcknowledged(bench.invite_key))
    assert bench.requests("BYE", Side.A)
    assert bench.finish().slug is Slug.HUNG_UP_BY_OPERATOR


@pytest.mark.parametrize("status", [200, 401, 408, 481, 500])
def test_whatever_a_bye_is_answered_the_dialog_is_over(status: int) -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "BYE")
    bye = bench.requests("BYE")[0]
    bench.reply(bye, 100)
    assert not bench.b2bua.ended
    bench.reply(bye, status)
    assert bench.verdict.slug is Slug.CALLER_HUNG_UP


def test_a_bye_that_times_out_or_cannot_be_sent_ends_the_call_too() -> None:
    bench = CallBench().talk()
    bench.apply(ENOUGH)
    first, second = bench.requests("BYE")
    bench.time_out(first)
    assert not bench.b2bua.ended
    bench.apply(RequestTransportFailed(second.request_id))
    assert bench.verdict.slug is Slug.HUNG_UP_BY_OPERATOR


def test_patience_with_silent_peers_has_an_end() -> None:
    bench = CallBench(limits=CallLimits(teardown_timeout=40)).talk()
    key = bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"))
    bench.apply(ENOUGH)
    bench.fire(TimerName.TEARDOWN)
    assert every(bench.out, ConfirmAnswer) == [ConfirmAnswer(key)]
    assert bench.verdict.slug is Slug.HUNG_UP_BY_OPERATOR


def test_a_2xx_is_not_re_sent_to_a_party_that_answered_the_bye() -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("8"))
    bench.request(Side.B, "BYE")
    bench.reply(bench.requests("BYE", Side.A)[0], 200)
    assert ConfirmAnswer(key) in bench.out
    assert bench.verdict.slug is Slug.CALLEE_HUNG_UP


def test_the_first_verdict_stands() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "BYE")
    bench.apply(ENOUGH)
    assert not bench.out
    assert bench.finish().slug is Slug.CALLER_HUNG_UP


def test_a_cancelled_peer_that_answers_is_hung_up_on_before_the_call_ends() -> None:
    bench = CallBench().start()
    bench.ring()
    bench.apply(ENOUGH)
    assert bench.final().status == 480
    assert bench.cancels()[0].reason == 'SIP;cause=487;text="Ended by operator"'
    bench.answer(ANSWER)
    assert bench.b2bua.state is CallState.ENDING
    bench.reply(bench.requests("BYE")[0], 200)
    assert bench.verdict.slug is Slug.HUNG_UP_BY_OPERATOR


def test_a_party_whose_route_leads_nowhere_is_let_go() -> None:
    bench = CallBench().talk()
    dialog = bench.b2bua._ctx.callee.dialog
    assert dialog is not None
    dialog.route_set.append(parse_name_addr("<tel:+49>"))
    bench.request(Side.A, "BYE")
    assert not bench.requests("BYE")
    assert bench.verdict.slug is Slug.CALLER_HUNG_UP
    assert bench.b2bua.failure is None
