import pytest

from call_script import ANSWER, OFFER, CallBench, every, media_port, sdp, session
from sidestream.call.commands import BridgeMedia, UpdateLegMedia
from sidestream.call.facts import CallRang, EarlyMediaStarted
from sidestream.call.pending import MAX_EARLY_DIALOGS
from sidestream.call.side import Side
from sidestream.call.state import CallState


def test_100_is_not_relayed() -> None:
    bench = CallBench().start()
    bench.ring(100, tag="")
    assert not bench.out
    assert bench.b2bua.state is CallState.CALLING


@pytest.mark.parametrize("status", [180, 181, 182, 183])
def test_a_provisional_response_is_relayed_with_our_tag(status: int) -> None:
    bench = CallBench().start()
    bench.ring(status, X_Seat="7", P_Early_Media="sendrecv")
    relayed = bench.responses()[0]
    assert relayed.status == status
    assert relayed.to_tag == bench.caller.our_tag
    assert relayed.headers.get("X-Seat") == "7"
    assert relayed.headers.get("P-Early-Media") == "sendrecv"
    assert relayed.body == b""
    assert [fact.status for fact in bench.facts(CallRang)] == [status]
    assert bench.b2bua.state is CallState.RINGING


def test_ringing_is_a_fact_once() -> None:
    bench = CallBench().start()
    bench.ring(180)
    bench.now += 2
    bench.ring(183)
    assert len(bench.responses()) == 2
    assert len(bench.facts(CallRang)) == 1
    rang_at = bench.b2bua.snapshot().rang_at
    assert rang_at is not None
    assert rang_at == bench.setup.started_at


def test_early_media_flows_by_the_preview() -> None:
    bench = CallBench().start()
    bench.ring(183, ANSWER)
    relayed = session(bench.responses()[0]).media[0]
    assert relayed.port == 20000
    assert [codec.name for codec in relayed.codecs] == ["PCMU", "telephone-event"]
    media = {order.side: order for order in every(bench.out, UpdateLegMedia)}
    assert media_port(media[Side.A]) == 4000
    assert media_port(media[Side.B]) == 5000
    assert every(bench.out, BridgeMedia) == [BridgeMedia(on=True)]
    assert len(bench.facts(EarlyMediaStarted)) == 1
    bench.ring(183, ANSWER)
    assert len(bench.facts(EarlyMediaStarted)) == 1
    assert not every(bench.out, BridgeMedia)


def test_the_answer_after_early_media_says_the_same_in_the_same_version() -> None:
    bench = CallBench().start()
    bench.ring(183, ANSWER)
    bench.answer()
    assert bench.final().body == bench.responses()[0].body


def test_each_fork_is_relayed_under_our_one_tag() -> None:
    bench = CallBench().start()
    bench.ring(183, ANSWER, tag="one")
    bench.ring(183, sdp("8", port=7000, host="192.0.2.20"), tag="two")
    first, second = bench.responses()
    assert first.to_tag == second.to_tag == bench.caller.our_tag
    assert session(second).media[0].codecs[0].name == "PCMA"
    version = [session(each).origin.version for each in (first, second)]
    assert version[1] == version[0] + 1
    media = {order.side: order for order in every(bench.out, UpdateLegMedia)}
    assert media_port(media[Side.B]) == 7000


def test_a_response_without_a_tag_makes_no_dialog() -> None:
    bench = CallBench().start()
    bench.ring(180, tag="")
    assert bench.responses()[0].status == 180
    assert bench.final(bench.request(Side.A, "INFO")).status == 480
    bench.answer()
    assert bench.acks()[0].to_tag == "tb"


def test_forks_are_bounded() -> None:
    bench = CallBench().start()
    for number in range(MAX_EARLY_DIALOGS + 5):
        bench.ring(183, ANSWER, tag=f"fork{number}")
    assert len(bench.responses()) == MAX_EARLY_DIALOGS + 5
    bench.answer(tag="fork20")
    assert bench.final().status == 200
    assert bench.b2bua.failure is None


@pytest.mark.parametrize("body", [b"nonsense", sdp("9", port=7000)])
def test_a_preview_that_cannot_be_used_is_left_aside(body: bytes) -> None:
    bench = CallBench().start()
    bench.ring(183, body)
    assert bench.responses()[0].body == b""
    assert not bench.facts(EarlyMediaStarted)
    assert not every(bench.log, BridgeMedia)
    bench.answer()
    assert bench.final().status == 200


def test_without_an_offer_of_ours_a_preview_means_nothing() -> None:
    bench = CallBench(offer=b"").start()
    bench.ring(183, OFFER)
    assert bench.responses()[0].body == b""
    assert not bench.facts(EarlyMediaStarted)


def test_199_of_one_fork_is_kept_from_the_caller() -> None:
    bench = CallBench(headers=[("Supported", "199")]).start()
    bench.ring(180, tag="one")
    bench.ring(180, tag="two")
    bench.ring(199, tag="one")
    assert not bench.out
    bench.ring(199, tag="two")
    assert bench.responses()[-1].status == 199


def test_199_is_kept_from_a_caller_that_does_not_know_it() -> None:
    bench = CallBench().start()
    bench.ring(180)
    bench.ring(199)
    assert not bench.out


def test_nothing_is_relayed_from_a_cancelled_peer() -> None:
    bench = CallBench().start()
    bench.cancel()
    bench.ring(180)
    assert not bench.out
