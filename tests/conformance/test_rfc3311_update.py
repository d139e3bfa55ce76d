"""UPDATE (RFC 3311): offers before the answer, and those that may not be made."""

import pytest

from call_script import ANSWER, CallBench, every, media_port, sdp, session
from sidestream.call.commands import UpdateLegMedia
from sidestream.call.facts import CallHeld
from sidestream.call.side import Side
from sidestream.call.state import CallState

KNOWS = [("Supported", "100rel")]
METHODS = "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK"
OFFERS = {Side.A: sdp("0 101", port=4100, version=2), Side.B: sdp("0 101", port=5100, host="192.0.2.20")}


def early(*, allow: str = METHODS) -> CallBench:
    """A call that rings, with the first offer and its answer settled on both legs."""
    bench = CallBench(headers=KNOWS).start()
    bench.ring_reliably(1, ANSWER, Allow=allow)
    bench.prack()
    bench.reply(bench.requests("PRACK")[0], 200)
    return bench


@pytest.mark.parametrize("side", Side)
def test_section_5_1_update_offers_before_the_answer(side: Side) -> None:
    bench = early()
    key = bench.request(side, "UPDATE", OFFERS[side])
    sent = bench.requests("UPDATE", side.other)[0]
    assert session(sent.request).media[0].port == (20002 if side is Side.A else 20000)
    assert "Contact" in sent.request.headers
    bench.reply(sent, 200, OFFERS[side.other])
    assert bench.final(key).status == 200
    assert session(bench.final(key)).media[0].port == (20000 if side is Side.A else 20002)
    media = {order.side: media_port(order) for order in every(bench.log, UpdateLegMedia)}
    assert media == {Side.A: 4100, Side.B: 5100}
    bench.answer(b"")
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING


def test_section_5_1_a_party_may_be_held_before_the_answer() -> None:
    bench = early()
    bench.request(Side.B, "UPDATE", sdp("0", direction="sendonly"))
    bench.reply(bench.requests("UPDATE", Side.A)[0], 200, sdp("0", direction="recvonly"))
    assert [fact.side for fact in bench.facts(CallHeld)] == [Side.B]


def test_section_5_1_no_other_offer_goes_to_a_party_that_does_not_allow_update() -> None:
    bench = early(allow="INVITE, ACK, BYE, CANCEL")
    assert bench.final(bench.request(Side.A, "UPDATE", OFFERS[Side.A])).status == 491
    assert not bench.requests("UPDATE")


def test_section_5_2_an_offer_before_the_answer_to_the_last_gets_500() -> None:
    bench = CallBench().start()
    bench.ring()
    final = bench.final(bench.request(Side.A, "UPDATE", OFFERS[Side.A]))
    assert final.status == 500
    assert 0 <= int(final.headers.get("Retry-After") or -1) <= 10


def test_section_5_2_a_second_offer_of_the_same_party_gets_500() -> None:
    bench = early()
    bench.request(Side.A, "UPDATE", OFFERS[Side.A])
    final = bench.final(bench.request(Side.A, "UPDATE", OFFERS[Side.A]))
    assert final.status == 500
    assert "Retry-After" in final.headers


def test_section_5_2_an_offer_that_meets_another_gets_491() -> None:
    bench = early()
    bench.request(Side.A, "UPDATE", OFFERS[Side.A])
    assert bench.final(bench.request(Side.B, "UPDATE", OFFERS[Side.B])).status == 491


def test_section_5_2_an_offer_while_ours_is_open_gets_491() -> None:
    bench = CallBench().start()
    bench.ring()
    bench.callee.tag = "tb"
    assert bench.final(bench.request(Side.B, "UPDATE", OFFERS[Side.B])).status == 491


def test_section_5_2_a_rejected_offer_leaves_the_session() -> None:
    bench = early()
    key = bench.request(Side.A, "UPDATE", OFFERS[Side.A])
    bench.reply(bench.requests("UPDATE", Side.B)[0], 488)
    assert bench.final(key).status == 488
    bench.answer(b"")
    bench.ack(cseq=1)
    assert bench.b2bua.state is CallState.TALKING
