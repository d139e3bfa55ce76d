import pytest

from call_script import CallBench, every, sdp, session
from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import CallHeld, CallResumed, CodecChanged
from sidestream.call.side import Side
from sidestream.sdp.model import Direction

HOLDS = {
    "sendonly": sdp("0 101", direction="sendonly", version=2),
    "inactive": sdp("0 101", direction="inactive", version=2),
    "old form": sdp("0 101", host="0.0.0.0", version=2),  # noqa: S104
}


def media(bench: CallBench) -> dict[Side, UpdateLegMedia]:
    return {order.side: order for order in every(bench.out, UpdateLegMedia)}


@pytest.mark.parametrize("form", list(HOLDS))
@pytest.mark.parametrize("side", list(Side))
def test_hold_and_resume_are_carried_and_told(side: Side, form: str) -> None:
    bench = CallBench().talk()
    bench.request(side, "INVITE", HOLDS[form])
    held = bench.requests("INVITE")[-1]
    offered = session(held.request).media[0].direction
    assert offered is (Direction.INACTIVE if form == "inactive" else Direction.SENDONLY)
    answer = "inactive" if form == "inactive" else "recvonly"
    bench.reply(held, 200, sdp("0 101", port=5000, direction=answer))
    assert all(order.held for order in media(bench).values())
    assert [fact.side for fact in bench.facts(CallHeld)] == [side]
    bench.ack(side=side)
    bench.request(side, "INVITE", sdp("0 101", version=3))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("0 101", port=5000))
    assert set(media(bench)) == set(Side)
    assert not any(order.held for order in media(bench).values())
    assert [fact.side for fact in bench.facts(CallResumed)] == [side]


def test_each_side_may_hold_the_other() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", HOLDS["sendonly"])
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("0", port=5000, direction="recvonly"))
    bench.ack()
    bench.request(Side.B, "INVITE", sdp("0", port=5000, direction="inactive", version=2))
    bench.reply(bench.requests("INVITE", Side.A)[-1], 200, sdp("0", direction="inactive"))
    bench.ack(side=Side.B)
    assert [fact.side for fact in bench.facts(CallHeld)] == [Side.A, Side.B]
    bench.request(Side.B, "INVITE", sdp("0", port=5000, direction="recvonly", version=3))
    bench.reply(bench.requests("INVITE", Side.A)[-1], 200, sdp("0", direction="sendonly"))
    assert [fact.side for fact in bench.facts(CallResumed)] == [Side.B]
    assert all(leg.held for leg in every(bench.log, UpdateLegMedia)[-1:]), "the caller holds on"


def test_the_old_form_of_hold_wants_no_media() -> None:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", HOLDS["old form"])
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("0 101", port=5000, direction="recvonly"))
    assert media(bench)[Side.A].remote is None


def test_the_media_engine_is_told_what_is_new_only() -> None:
    bench = CallBench().talk()
    before = len(every(bench.log, UpdateLegMedia))
    bench.request(Side.A, "INVITE", sdp(version=1))
    bench.reply(bench.requests("INVITE")[-1], 200, sdp("0 101", port=5000, host="192.0.2.20"))
    assert len(every(bench.log, UpdateLegMedia)) == before


def test_packet_times_are_passed_to_the_media_engine() -> None:
    bench = CallBench(offer=sdp() + b"a=ptime:30\r\n").start()
    bench.answer(sdp("0", port=5000) + b"a=ptime:10\r\n")
    assert {side: order.ptime_ms for side, order in media(bench).items()} == {Side.A: 30, Side.B: 10}


def test_the_first_codec_of_each_side_is_told_too() -> None:
    bench = CallBench().talk()
    assert [(fact.side, fact.codec.name) for fact in bench.facts(CodecChanged)] == [
        (Side.A, "PCMU"),
        (Side.B, "PCMU"),
    ]
