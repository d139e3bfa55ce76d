from datetime import timedelta
from typing import ClassVar

import pytest

from call_script import BEGAN, OFFER, CallBench, every, sdp
from sidestream.call.commands import EndCall
from sidestream.call.events import (
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    RequestTimedOut,
    TimerFired,
    TimerName,
)
from sidestream.call.headers_policy import HeaderPolicy
from sidestream.call.setup import CallLimits
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import EndedBy, ResultClass, Slug


@pytest.mark.parametrize(
    ("by", "slug", "ended_by", "status"),
    [
        (HangUpBy.OPERATOR, Slug.HUNG_UP_BY_OPERATOR, EndedBy.OPERATOR, 480),
        (HangUpBy.SHUTDOWN, Slug.SHUTDOWN, EndedBy.GATEWAY, 503),
        (HangUpBy.POLICY, Slug.POLICY, EndedBy.GATEWAY, 503),
    ],
)
def test_somebody_outside_ends_the_call(by: HangUpBy, slug: Slug, ended_by: EndedBy, status: int) -> None:
    ringing = CallBench().start()
    ringing.ring()
    ringing.apply(HangUp(by, "because"))
    assert ringing.final().status == status
    assert ringing.finish().sip_status == status
    talking = CallBench().talk()
    talking.apply(HangUp(by, "because"))
    verdict = talking.finish()
    assert (verdict.slug, verdict.ended_by, verdict.sip_status) == (slug, ended_by, 200)
    assert verdict.detail == "because"
    assert verdict.result is ResultClass.STOPPED
    assert talking.sent("BYE").headers.get("Reason")


def test_the_longest_duration_ends_the_call() -> None:
    bench = CallBench(limits=CallLimits(max_duration=60)).talk()
    bench.fire(TimerName.MAX_DURATION)
    assert bench.sent("BYE").headers.get("Reason") == 'Q.850;cause=102;text="Maximum call duration reached"'
    assert bench.finish().slug is Slug.MAX_DURATION
    assert bench.b2bua.snapshot().duration_s == 60


def test_silence_ends_an_answered_call_only() -> None:
    bench = CallBench().start()
    bench.ring(183, OFFER)
    bench.apply(MediaTimedOut(30_000))
    assert not bench.out
    bench.answer()
    bench.ack()
    bench.apply(MediaTimedOut(30_000))
    assert bench.finish().slug is Slug.MEDIA_TIMEOUT


def test_a_lost_media_engine_ends_the_call_at_any_time() -> None:
    bench = CallBench().start()
    bench.apply(MediaFailed("worker 3 is gone"))
    assert bench.final().status == 500
    verdict = bench.finish()
    assert verdict.slug is Slug.MEDIA_FAILED
    assert "worker 3 is gone" in verdict.detail


def test_a_timer_that_was_disarmed_changes_nothing() -> None:
    bench = CallBench().talk()
    for name in TimerName:
        bench.apply(TimerFired(name))
    bench.apply(RequestTimedOut(77))
    assert not every(bench.log, EndCall)
    assert bench.b2bua.state is CallState.TALKING


def test_an_event_before_the_start_is_understood() -> None:
    bench = CallBench()
    bench.cancel()
    assert bench.verdict.slug is Slug.CANCELLED_BY_CALLER
    assert bench.final().status == 487
    assert bench.b2bua.start() == []


def test_a_call_starts_once() -> None:
    bench = CallBench().start()
    assert bench.b2bua.start() == []


def test_the_dialogs_of_the_call_grow_with_the_peers() -> None:
    bench = CallBench(peers=2)
    assert bench.b2bua.dialog_ids() == (("caller-call-id", bench.caller.our_tag),)
    bench.start()
    first = bench.invited.request
    bench.reply(bench.invited, 503)
    second = bench.invited.request
    assert bench.b2bua.dialog_ids()[1:] == (
        (first.call_id, first.from_tag),
        (second.call_id, second.from_tag),
    )


def test_a_snapshot_tells_how_the_call_stands() -> None:
    bench = CallBench(headers=[("P-Asserted-Identity", "<sip:+4930@a.example>")]).start()
    bench.now += 2
    bench.ring()
    bench.now += 3
    bench.answer()
    bench.ack()
    bench.now += 7
    bench.apply(TimerFired(TimerName.RING))
    live = bench.b2bua.snapshot()
    assert (live.call_id, live.account, live.state) == ("call-1", "acme", "talking")
    assert (live.caller.trunk, live.caller.sip_call_id, live.caller.codec) == (
        "carrier",
        "caller-call-id",
        "PCMU",
    )
    assert (live.callee.trunk, live.callee.sip_call_id, live.callee.codec) == (
        "desk",
        bench.callee.call_id,
        "PCMU",
    )
    assert live.caller.participant.number == "+4930"
    assert live.callee.participant.number == "+4930123456"
    assert (live.rang_at, live.answered_at) == (BEGAN + timedelta(seconds=2), BEGAN + timedelta(seconds=5))
    assert live.ended_at is None
    assert live.duration_s == 7
    assert live.verdict is None
    assert bench.b2bua.answered


def _broken() -> str:
    raise ZeroDivisionError("no token")


def test_a_failure_of_ours_at_the_start_answers_the_caller() -> None:
    bench = CallBench()
    bench.may_fail = True
    object.__setattr__(bench.setup, "token", _broken)
    bench.start()
    assert bench.final().status == 500
    verdict = bench.verdict
    assert (verdict.slug, verdict.sip_status) == (Slug.INTERNAL_ERROR, 500)
    assert "ZeroDivisionError: no token" in verdict.detail
    assert isinstance(bench.b2bua.failure, ZeroDivisionError)


def test_a_failure_of_ours_within_a_call_takes_leave_of_both() -> None:
    bench = CallBench().talk()
    bench.may_fail = True
    object.__setattr__(bench.setup, "token", _broken)
    first = bench.request(Side.A, "INVITE", sdp("8", version=2))
    second = bench.request(Side.A, "INVITE", sdp("8", version=3))  # its Retry-After is drawn by a token
    assert bench.final(first).status == 487
    assert bench.final(second).status == 500
    assert {sent.side for sent in bench.requests("BYE")} == set(Side)
    bench.reply(bench.requests("INVITE")[-1], 487)
    assert bench.finish().slug is Slug.INTERNAL_ERROR


class OnceBroken(HeaderPolicy):
    """A policy that fails at the first header."""

    broken: ClassVar[list[bool]] = []

    def passes(self, name: str) -> bool:
        if self.broken:
            self.broken.pop()
            raise ZeroDivisionError("no policy")
        return super().passes(name)


def test_a_failure_between_request_and_response_leaves_no_request_open() -> None:
    bench = CallBench().talk()
    key = bench.request(Side.A, "INFO")
    bench.may_fail = True
    OnceBroken.broken.append(True)
    object.__setattr__(bench.setup, "headers", OnceBroken())
    bench.reply(bench.requests("INFO")[0], 200)
    assert bench.final(key).status == 487
    assert {sent.side for sent in bench.requests("BYE")} == set(Side)
    assert bench.finish().slug is Slug.INTERNAL_ERROR


def test_a_failure_while_taking_leave_lets_go() -> None:
    bench = CallBench().talk()
    bench.may_fail = True
    object.__setattr__(bench.setup, "identity", None)
    key = bench.request(Side.A, "BYE")
    assert bench.verdict.slug is Slug.INTERNAL_ERROR
    assert isinstance(bench.log[-1], EndCall)
    assert not bench.responses(key)
    assert isinstance(bench.b2bua.failure, AttributeError)
