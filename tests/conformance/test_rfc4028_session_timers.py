"""Session timers (RFC 4028) in both roles on each leg, each test named by its section."""

import pytest

from call_script import ANSWER, OFFER, CallBench, every, sdp, session
from sidestream.call.commands import SendRequest, UpdateLegMedia
from sidestream.call.events import TimerName
from sidestream.call.features import Features, Use
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import Slug

KNOWS = ("Supported", "timer")
OFF, REQUIRED = Features(timer=Use.OFF), Features(timer=Use.REQUIRED)
STRICT = Features(min_se=300)
ALLOW = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
NAMES = {Side.A: TimerName.SESSION_A, Side.B: TimerName.SESSION_B}


def expires(value: str) -> tuple[str, str]:
    return ("Session-Expires", value)


def caller_refreshed(value: str = "600;refresher=uas") -> CallBench:
    """A call whose caller has us refresh its leg."""
    return CallBench(headers=[KNOWS, expires(value)]).talk()


def callee_refreshed(value: str = "600;refresher=uac", *more: tuple[str, str]) -> CallBench:
    """A call whose callee has us refresh its leg."""
    bench = CallBench().start()
    bench.answer(headers=[expires(value), *more])
    bench.ack()
    return bench


def refresh_of(bench: CallBench, side: Side) -> SendRequest:
    """What we send when our turn has come."""
    bench.fire(NAMES[side])
    (sent,) = [each for each in bench.out if isinstance(each, SendRequest)]
    assert sent.side is side
    return sent


@pytest.mark.parametrize(
    ("features", "offered", "required"),
    [(Features(), "1800", None), (Features(session_expires=600, min_se=120), "600", None),
     (REQUIRED, "1800", "timer"), (OFF, None, None)],
)  # fmt: skip
def test_section_7_1_the_invite_asks_for_the_trunks_interval(
    features: Features, offered: str | None, required: str | None
) -> None:
    headers = CallBench(features=(Features(), features)).start().invited.request.headers
    assert headers.get("Session-Expires") == offered
    assert headers.get("Min-SE") == (str(features.min_se) if offered else None)
    assert ("timer" in (headers.get("Supported") or "")) is (offered is not None)
    assert headers.get("Require") == required


def test_section_7_2_without_the_header_in_the_answer_the_session_does_not_expire() -> None:
    bench = CallBench().talk()
    assert TimerName.SESSION_B not in bench.timers
    assert TimerName.SESSION_A not in bench.timers


def test_section_7_3_a_422_is_asked_again_by_the_interval_it_wants() -> None:
    bench = CallBench(features=(Features(), Features(session_expires=300))).start()
    bench.reply(bench.invited, 422, headers=[("Min-SE", "900")])
    again = bench.invited.request
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("900", "900")
    first = bench.requests("INVITE")[0].request
    assert (again.uri, again.call_id, again.from_tag) == (first.uri, first.call_id, first.from_tag)
    assert again.cseq.number == first.cseq.number + 1
    bench.answer(headers=[expires("900;refresher=uac")])
    bench.ack()
    assert bench.timers[TimerName.SESSION_B] == bench.now + 450


@pytest.mark.parametrize("headers", [[], [("Min-SE", "90")], [("Min-SE", "x")], [("Min-SE", "999999999")]])
def test_section_7_3_a_422_that_asks_for_no_longer_interval_is_a_failure(
    headers: list[tuple[str, str]],
) -> None:
    bench = CallBench().start()
    bench.reply(bench.invited, 422, headers=headers)
    assert bench.verdict.slug is Slug.EXTENSION_REFUSED
    assert bench.final().status == 502


def test_section_7_3_a_peer_may_not_ask_for_ever() -> None:
    bench = CallBench().start()
    for least in (2000, 3000, 4000):
        if not bench.b2bua.ended:
            bench.reply(bench.invited, 422, headers=[("Min-SE", str(least))])
    assert len(bench.requests("INVITE")) == 3
    assert bench.b2bua.ended


@pytest.mark.parametrize(
    ("asked", "answered", "required", "after"),
    [
        ([KNOWS], "1800;refresher=uac", "timer", 1768),
        ([KNOWS, expires("600")], "600;refresher=uac", "timer", 568),
        ([KNOWS, expires("600;refresher=uac")], "600;refresher=uac", "timer", 568),
        ([KNOWS, expires("600;refresher=uas")], "600;refresher=uas", None, 300),
        ([expires("600")], "600;refresher=uas", None, 300),
        ([KNOWS, expires("90;refresher=uac")], "90;refresher=uac", "timer", 60),
        ([KNOWS, expires("7200"), ("Min-SE", "3600")], "3600;refresher=uac", "timer", 3568),
    ],
)
def test_section_9_the_answer_says_interval_and_refresher(
    asked: list[tuple[str, str]], answered: str, required: str | None, after: int
) -> None:
    bench = CallBench(headers=asked).talk()
    assert bench.final().headers.get("Session-Expires") == answered
    assert bench.final().headers.get("Require") == required
    assert bench.timers[TimerName.SESSION_A] == pytest.approx(bench.now + after, abs=1)


@pytest.mark.parametrize("features", [OFF, Features()])
def test_section_9_a_caller_that_does_not_know_them_gets_none(features: Features) -> None:
    bench = CallBench(features=(features, Features())).talk()
    assert "Session-Expires" not in bench.final().headers


def test_section_9_a_trunk_without_them_says_nothing() -> None:
    bench = CallBench(headers=[KNOWS, expires("600")], features=(OFF, OFF)).talk()
    assert "Session-Expires" not in bench.final().headers
    assert not {TimerName.SESSION_A, TimerName.SESSION_B} & bench.timers.keys()


def test_section_9_too_short_an_interval_gets_422_with_ours() -> None:
    bench = CallBench(headers=[KNOWS, expires("120")], features=(STRICT, Features())).start()
    assert (bench.final().status, bench.final().headers.get("Min-SE")) == (422, "300")
    assert bench.verdict.slug is Slug.INTERVAL_TOO_SMALL


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_section_9_so_it_does_within_the_call(method: str) -> None:
    bench = CallBench(features=(STRICT, Features())).talk()
    key = bench.request(Side.A, method, OFFER, headers=[KNOWS, expires("120")])
    assert (bench.final(key).status, bench.final(key).headers.get("Min-SE")) == (422, "300")


def test_section_9_who_is_required_and_does_not_know_them_gets_421() -> None:
    bench = CallBench(features=(REQUIRED, Features())).start()
    assert (bench.final().status, bench.final().headers.get("Require")) == (421, "timer")
    assert CallBench(headers=[KNOWS], features=(REQUIRED, Features())).talk().final().status == 200


def test_section_7_4_a_refresh_goes_by_update_where_it_is_allowed() -> None:
    bench = caller_refreshed()
    assert bench.timers[TimerName.SESSION_A] == bench.now + 300
    sent = refresh_of(bench, Side.A)
    assert (sent.request.method, sent.request.body) == ("UPDATE", b"")
    assert sent.request.headers.get("Session-Expires") == "600;refresher=uac"
    assert sent.request.headers.get("Supported") == "timer"
    bench.reply(sent, 200, headers=[expires("600;refresher=uac")])
    assert bench.timers[TimerName.SESSION_A] == bench.now + 300
    assert not bench.requests("UPDATE", Side.B)


def test_section_7_4_a_refresh_by_re_invite_repeats_the_session() -> None:
    bench = callee_refreshed()
    sent = refresh_of(bench, Side.B)
    assert sent.request.method == "INVITE"
    assert sent.request.body == bench.invited.request.body
    bench.reply(sent, 200, ANSWER, headers=[expires("600;refresher=uac")])
    assert bench.acks()[-1].cseq.number == sent.request.cseq.number
    assert bench.timers[TimerName.SESSION_B] == bench.now + 300
    assert bench.b2bua.state is CallState.TALKING


def test_section_7_4_the_refresher_may_change_with_the_answer() -> None:
    bench = caller_refreshed()
    bench.reply(refresh_of(bench, Side.A), 200, headers=[expires("600;refresher=uas")])
    assert bench.timers[TimerName.SESSION_A] == bench.now + 568
    bench.fire(TimerName.SESSION_A)
    assert bench.finish().slug is Slug.SESSION_EXPIRED


@pytest.mark.parametrize("status", [405, 501])
def test_section_7_4_who_refuses_update_gets_a_re_invite(status: int) -> None:
    bench = caller_refreshed()
    bench.reply(refresh_of(bench, Side.A), status)
    assert bench.requests("INVITE", Side.A)
    bench.reply(bench.requests("INVITE", Side.A)[-1], 200, OFFER, headers=[expires("600;refresher=uac")])
    assert bench.timers[TimerName.SESSION_A] == bench.now + 300
    assert refresh_of(bench, Side.A).request.method == "INVITE"


def test_section_7_3_a_refresh_is_asked_again_by_the_interval_that_a_422_wants() -> None:
    bench = caller_refreshed()
    bench.reply(refresh_of(bench, Side.A), 422, headers=[("Min-SE", "1200")])
    again = bench.requests("UPDATE", Side.A)[-1].request.headers
    assert (again.get("Session-Expires"), again.get("Min-SE")) == ("1200;refresher=uac", "1200")


def test_rfc3261_14_1_a_refresh_that_meets_another_request_is_made_later() -> None:
    bench = callee_refreshed()
    bench.reply(refresh_of(bench, Side.B), 491)
    assert bench.now + 2.1 <= bench.timers[TimerName.SESSION_B] <= bench.now + 4
    assert refresh_of(bench, Side.B).request.method == "INVITE"


def test_rfc3261_14_1_a_refresh_waits_for_an_exchange_on_its_way() -> None:
    bench = callee_refreshed()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.fire(TimerName.SESSION_B)
    assert not [each for each in bench.out if isinstance(each, SendRequest)]
    assert bench.timers[TimerName.SESSION_B] == bench.now + 3


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("9"), sdp("0", port=0)])
def test_section_7_4_an_answer_to_a_refresh_that_cannot_be_used_changes_nothing(body: bytes) -> None:
    bench = callee_refreshed()
    before = bench.b2bua.snapshot().callee.codec
    bench.reply(refresh_of(bench, Side.B), 200, body, headers=[expires("600;refresher=uac")])
    assert not every(bench.out, UpdateLegMedia)
    assert bench.b2bua.snapshot().callee.codec == before
    assert bench.final(bench.request(Side.A, "INVITE", b"v=0")).status == 400


@pytest.mark.parametrize("side", Side)
def test_rfc3261_14_2_an_offer_that_meets_our_refresh_gets_491(side: Side) -> None:
    bench = callee_refreshed()
    refresh_of(bench, Side.B)
    assert bench.final(bench.request(side, "INVITE", sdp("8", version=2))).status == 491


@pytest.mark.parametrize("status", [408, 481])
def test_section_10_a_lost_dialog_ends_the_call(status: int) -> None:
    bench = caller_refreshed()
    bench.reply(refresh_of(bench, Side.A), status)
    assert bench.finish().slug is Slug.SESSION_LOST


def test_section_10_silence_to_a_refresh_ends_the_call() -> None:
    bench = caller_refreshed()
    bench.time_out(refresh_of(bench, Side.A))
    assert bench.finish().slug is Slug.SESSION_LOST


def test_section_10_what_is_never_refreshed_is_ended_in_time() -> None:
    bench = callee_refreshed()
    began = bench.now
    bench.reply(refresh_of(bench, Side.B), 500)
    assert bench.timers[TimerName.SESSION_B] == began + 568
    bench.fire(TimerName.SESSION_B)
    assert bench.finish().slug is Slug.SESSION_EXPIRED
    assert {sent.request.headers.get("Reason") for sent in bench.requests("BYE")} == {
        'SIP;cause=408;text="Session expired"'
    }


@pytest.mark.parametrize("side", Side)
def test_section_10_a_party_that_does_not_refresh_is_hung_up_on(side: Side) -> None:
    if side is Side.A:
        bench = CallBench(headers=[KNOWS, expires("90;refresher=uac")]).talk()
    else:
        bench = callee_refreshed("90;refresher=uas")
    assert bench.timers[NAMES[side]] == bench.now + 60
    bench.fire(NAMES[side])
    assert len(bench.requests("BYE")) == 2
    assert bench.finish().slug is Slug.SESSION_EXPIRED


def test_section_9_an_update_that_only_refreshes_is_answered_here() -> None:
    bench = CallBench(headers=[KNOWS, expires("600;refresher=uac")]).start()
    bench.answer(headers=[ALLOW])
    bench.ack()
    bench.now += 200
    key = bench.request(Side.A, "UPDATE", headers=[KNOWS, expires("600;refresher=uac")])
    assert bench.final(key).headers.get("Session-Expires") == "600;refresher=uac"
    assert bench.timers[TimerName.SESSION_A] == bench.now + 568
    assert not bench.requests("UPDATE")
    news = [KNOWS, expires("600;refresher=uac"), ("P-Asserted-Identity", "<sip:+4930999@example.net>")]
    bench.request(Side.A, "UPDATE", headers=news)
    assert len(bench.requests("UPDATE", Side.B)) == 1


def test_section_7_4_a_re_invite_that_crosses_refreshes_both_legs() -> None:
    bench = CallBench(headers=[KNOWS, expires("600;refresher=uac")]).start()
    bench.answer(headers=[expires("900;refresher=uac")])
    bench.ack()
    bench.now += 100
    key = bench.request(
        Side.A, "INVITE", sdp("0 101", version=2), headers=[KNOWS, expires("600;refresher=uac")]
    )
    sent = bench.requests("INVITE", Side.B)[-1]
    assert sent.request.headers.get("Session-Expires") == "900;refresher=uac"
    bench.reply(sent, 200, ANSWER, headers=[expires("900;refresher=uac")])
    assert bench.final(key).headers.get("Session-Expires") == "600;refresher=uac"
    assert bench.timers[TimerName.SESSION_A] == bench.now + 568
    assert bench.timers[TimerName.SESSION_B] == bench.now + 450


def test_section_7_3_the_other_legs_interval_is_not_the_senders_concern() -> None:
    bench = callee_refreshed()
    key = bench.request(Side.A, "INVITE", sdp("0 101", version=2))
    bench.reply(bench.requests("INVITE", Side.B)[-1], 422, headers=[("Min-SE", "1200")])
    assert bench.final(key).status == 491
    bench.request(Side.A, "INVITE", sdp("0 101", version=2))
    sent = bench.requests("INVITE", Side.B)[-1].request
    assert sent.headers.get("Session-Expires") == "1200;refresher=uac"


def test_session_description_of_a_refresh_has_the_same_version() -> None:
    bench = callee_refreshed()
    first, again = session(bench.invited.request), session(refresh_of(bench, Side.B).request)
    assert first.origin == again.origin


def test_section_10_a_call_that_ends_arms_no_timer() -> None:
    bench = caller_refreshed()
    bench.request(Side.B, "BYE")
    assert bench.finish().slug is Slug.CALLEE_HUNG_UP
    assert not bench.timers
