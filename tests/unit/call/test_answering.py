import pytest

from call_script import ANSWER, OFFER, CallBench, every, sdp, session
from sidestream.call.commands import BridgeMedia, ConfirmAnswer, SendAck, UpdateLegMedia
from sidestream.call.context import MAX_REMEMBERED_ACKS
from sidestream.call.events import AnswerNotAcknowledged, HangUp, HangUpBy, ResponseTransportFailed, TimerName
from sidestream.call.facts import CallAnswered, ParticipantUpdated
from sidestream.call.setup import CallLimits
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import Slug
from sidestream.sip.events import ServerKey


def test_the_answer_is_acknowledged_at_once_and_relayed() -> None:
    bench = CallBench().start()
    bench.answer(headers=[("X-Agent", "9")])
    assert [ack.cseq.number for ack in bench.acks()] == [1]
    assert bench.acks()[0].body == b""
    final = bench.final()
    assert final.status == 200
    assert final.headers.get("X-Agent") == "9"
    assert final.headers.get("Contact") == "<sip:192.0.2.1:5060>"
    assert session(final).media[0].port == 20000
    assert bench.b2bua.state is CallState.ANSWERED
    assert bench.b2bua.answered
    assert len(bench.facts(CallAnswered)) == 1
    kinds = [type(command) for command in bench.out]
    assert kinds.index(UpdateLegMedia) < kinds.index(BridgeMedia)


def test_the_callers_ack_confirms_the_call() -> None:
    bench = CallBench().start()
    bench.answer()
    bench.ack()
    assert bench.b2bua.state is CallState.TALKING
    assert every(bench.out, ConfirmAnswer) == [ConfirmAnswer(bench.invite_key)]


def test_a_repeated_2xx_is_acknowledged_again_and_tells_nothing_new() -> None:
    bench = CallBench().talk()
    bench.reply(bench.invited, 200, ANSWER)
    assert len(bench.out) == 1
    assert isinstance(bench.out[0], SendAck)
    assert len(bench.facts(CallAnswered)) == 1


def test_an_answer_that_repeats_after_its_ack_was_forgotten_does_not_end_the_call() -> None:
    bench = CallBench().talk()
    for number in range(MAX_REMEMBERED_ACKS):
        bench.request(Side.A, "INVITE", sdp("0 101", version=number + 2))
        bench.reply(bench.requests("INVITE")[-1], 200, ANSWER)
        bench.ack()
    first = bench.requests("INVITE")[0]
    bench.reply(first, 200, ANSWER)
    assert [type(command) for command in bench.out] == [SendAck]
    assert not bench.requests("BYE")


def test_a_second_forks_2xx_is_acknowledged_and_hung_up_on() -> None:
    bench = CallBench().start()
    bench.ring(tag="one")
    bench.ring(tag="two")
    bench.answer(tag="two")
    bench.ack()
    bench.reply(bench.invited, 200, ANSWER, tag="one")
    assert bench.acks()[-1].to_tag == "one"
    bye = bench.requests("BYE")[-1]
    assert bye.request.to_tag == "one"
    assert bench.b2bua.state is CallState.TALKING
    bench.reply(bench.invited, 200, ANSWER, tag="one")
    assert [type(command) for command in bench.out] == [SendAck]
    bench.reply(bye, 200, tag="one")
    assert not bench.out
    bench.request(Side.A, "BYE")
    assert bench.sent("BYE").to_tag == "two"


def test_every_forks_2xx_after_a_cancel_is_hung_up_on() -> None:
    bench = CallBench().start()
    bench.ring(tag="one")
    bench.cancel()
    for tag in ("two", "one"):
        bench.reply(bench.invited, 200, ANSWER, tag=tag)
    assert [ack.to_tag for ack in bench.acks()] == ["two", "one"]
    assert [sent.request.to_tag for sent in bench.requests("BYE")] == ["two", "one"]


def test_a_2xx_without_the_answer_repeats_the_preview_of_its_fork() -> None:
    bench = CallBench().start()
    bench.ring(183, sdp("8", port=7000, host="192.0.2.20"), tag="one")
    bench.ring(183, ANSWER, tag="two")
    bench.answer(b"", tag="one")
    assert session(bench.final()).media[0].codecs[0].name == "PCMA"


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("9", port=7000)])
def test_an_answer_that_cannot_be_used_ends_the_call_with_502(body: bytes) -> None:
    bench = CallBench().start()
    bench.answer(body)
    assert len(bench.acks()) == 1
    assert bench.sent("BYE").headers.get("Reason") == 'SIP;cause=488;text="Unusable SDP answer"'
    assert bench.final().status == 502
    verdict = bench.finish()
    assert (verdict.slug, verdict.sip_status) == (Slug.ANSWER_UNUSABLE, 502)
    assert not bench.facts(CallAnswered)


def test_an_answer_that_refuses_the_audio_is_passed_on() -> None:
    bench = CallBench().start()
    bench.answer(sdp("0", port=0))
    assert session(bench.final()).media[0].port == 0


def test_a_delayed_offer_is_answered_in_the_acks() -> None:
    bench = CallBench(offer=b"").start()
    bench.ring()
    bench.answer(sdp("8 0", port=5000, host="192.0.2.20"))
    assert not bench.acks()
    offered = session(bench.final()).media[0]
    assert (offered.port, [codec.name for codec in offered.codecs]) == (20000, ["PCMA", "PCMU"])
    assert not every(bench.log, BridgeMedia)
    bench.reply(bench.invited, 200, sdp("8 0", port=5000))
    assert not bench.out, "a repeated 2xx waits for the same ACK"
    bench.ack(sdp("8"))
    ack = bench.acks()[0]
    assert session(ack).media[0].port == 20002
    assert [codec.name for codec in session(ack).media[0].codecs] == ["PCMA"]
    assert every(bench.log, BridgeMedia) == [BridgeMedia(on=True)]
    assert bench.b2bua.state is CallState.TALKING
    bench.reply(bench.invited, 200, sdp("8 0", port=5000))
    assert bench.acks()[1].body == ack.body
    bench.apply(HangUp(HangUpBy.OPERATOR, "enough"))
    assert len(bench.acks()) == 2, "the ACK is no longer owed"


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("9")])
def test_a_delayed_offer_without_an_answer_ends_the_call(body: bytes) -> None:
    bench = CallBench(offer=b"").start()
    bench.answer(OFFER)
    bench.ack(body)
    assert len(bench.acks()) == 1
    assert bench.requests("BYE", Side.A)
    assert bench.requests("BYE", Side.B)
    verdict = bench.finish()
    assert (verdict.slug, verdict.sip_status) == (Slug.ANSWER_MISSING, 200)


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("9")])
def test_a_2xx_without_the_offer_that_was_asked_for_ends_the_call(body: bytes) -> None:
    bench = CallBench(offer=b"").start()
    bench.answer(body)
    assert len(bench.acks()) == 1
    assert bench.final().status == 502
    assert bench.finish().slug is Slug.ANSWER_UNUSABLE


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up_on() -> None:
    bench = CallBench().start()
    bench.ring()
    bench.cancel()
    bench.answer()
    assert len(bench.acks()) == 1
    assert bench.final().status == 487
    assert bench.sent("BYE").to_tag == "tb"
    assert not bench.b2bua.ended
    assert bench.finish().slug is Slug.CANCELLED_BY_CALLER
    assert not bench.facts(CallAnswered)


def test_a_missing_ack_ends_the_call_with_bye_to_both() -> None:
    bench = CallBench().start()
    bench.answer()
    bench.apply(AnswerNotAcknowledged(bench.invite_key))
    for side in Side:
        assert bench.sent("BYE", side).headers.get("Reason") == 'SIP;cause=408;text="ACK not received"'
    assert bench.finish().slug is Slug.ANSWER_NOT_ACKNOWLEDGED


def test_a_missing_ack_pays_the_ack_that_waited_for_it() -> None:
    bench = CallBench(offer=b"").start()
    bench.answer(OFFER)
    bench.apply(AnswerNotAcknowledged(bench.invite_key))
    assert len(bench.acks()) == 1
    assert bench.finish().slug is Slug.ANSWER_NOT_ACKNOWLEDGED


def test_an_unknown_ack_or_its_absence_changes_nothing() -> None:
    bench = CallBench().start()
    bench.ack()
    assert not bench.out
    bench.answer()
    bench.ack(cseq=77)
    bench.apply(AnswerNotAcknowledged(ServerKey(99)))
    assert not bench.out
    assert bench.b2bua.state is CallState.ANSWERED
    bench.ack()
    bench.ack()
    assert not bench.out


def test_a_caller_that_cannot_be_told_ends_the_call() -> None:
    bench = CallBench().start()
    bench.ring()
    bench.apply(ResponseTransportFailed(bench.invite_key))
    assert bench.cancels()
    assert bench.finish().slug is Slug.CALLER_UNREACHABLE


def test_another_response_that_is_lost_changes_nothing() -> None:
    bench = CallBench().talk()
    bench.apply(ResponseTransportFailed(bench.invite_key))
    assert not bench.out


def test_the_longest_duration_counts_from_the_answer() -> None:
    bench = CallBench(limits=CallLimits(max_duration=60)).start()
    bench.now += 10
    bench.answer()
    assert bench.timers == {TimerName.MAX_DURATION: bench.now + 60}


def test_an_identity_in_the_answer_is_told() -> None:
    bench = CallBench().start()
    bench.answer(headers=[("P-Asserted-Identity", '"Ann" <sip:+4911@desk.example>')])
    participant = bench.facts(ParticipantUpdated)[0].participant
    assert (participant.number, participant.display_name, participant.side) == ("+4911", "Ann", Side.B)
    assert bench.final().headers.get("P-Asserted-Identity") == '"Ann" <sip:+4911@desk.example>'


def test_the_dialogs_route_set_is_that_of_the_2xx() -> None:
    bench = CallBench().start()
    bench.ring(Record_Route="<sip:old.example;lr>")
    bench.answer(headers=[("Record-Route", "<sip:p2.example;lr>, <sip:p1.example;lr>")])
    ack = every(bench.log, SendAck)[0]
    assert ack.request.headers.get_all("Route") == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    assert ack.next_hop.uri == "sip:p1.example;lr"
