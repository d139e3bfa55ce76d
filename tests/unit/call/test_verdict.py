"""Each way a call can end: those of a `B2bua` are played here, those of admission listed."""

from collections.abc import Callable

import pytest

from call_script import OFFER, CallBench, sdp
from sidestream.call.events import (
    AnswerNotAcknowledged,
    HangUp,
    HangUpBy,
    MediaFailed,
    MediaTimedOut,
    ProgressNotAcknowledged,
    RecordingRefused,
    RequestTransportFailed,
    ResponseTransportFailed,
    TimerName,
)
from sidestream.call.features import Features, Use
from sidestream.call.setup import CallLimits
from sidestream.call.side import Side
from sidestream.call.verdict import RULES, EndedBy, ResultClass, Slug, slug_of_status, verdict
from sidestream.sip.digest_client import DigestClient
from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

ADMISSION = {
    Slug.UNKNOWN_TRUNK,
    Slug.WRONG_CREDENTIALS,
    Slug.TOO_MANY_GUESSES,
    Slug.ACCOUNT_SUSPENDED,
    Slug.NO_ROUTE,
    Slug.SIPS_NOT_ALLOWED,
    Slug.CALL_LIMIT,
    Slug.RATE_LIMIT,
    Slug.DRAINING,
    Slug.OVERLOAD,
    Slug.NO_MEDIA_PORTS,
}
"""What is refused before there is a `B2bua`."""


TIMER = [("Supported", "timer")]


def refused(status: int) -> CallBench:
    bench = CallBench().start()
    bench.reply(bench.invited, status)
    return bench


def hung_up(side: Side) -> CallBench:
    bench = CallBench().talk()
    bench.request(side, "BYE")
    return bench


def stopped(by: HangUpBy) -> CallBench:
    bench = CallBench().talk()
    bench.apply(HangUp(by, "because"))
    return bench


def too_long() -> CallBench:
    bench = CallBench(limits=CallLimits(max_duration=60)).talk()
    bench.fire(TimerName.MAX_DURATION)
    return bench


def silent() -> CallBench:
    bench = CallBench().talk()
    bench.apply(MediaTimedOut(30_000))
    return bench


def engine_lost() -> CallBench:
    bench = CallBench().talk()
    bench.apply(MediaFailed("a worker is gone"))
    return bench


def unacknowledged() -> CallBench:
    bench = CallBench().start()
    bench.answer()
    bench.apply(AnswerNotAcknowledged(bench.invite_key))
    return bench


def answer_missing() -> CallBench:
    bench = CallBench(offer=b"").start()
    bench.answer(OFFER)
    bench.ack()
    return bench


def lost() -> CallBench:
    bench = CallBench().talk()
    bench.request(Side.A, "INVITE", sdp("8", version=2))
    bench.reply(bench.requests("INVITE")[-1], 481)
    return bench


def cancelled() -> CallBench:
    bench = CallBench().start()
    bench.cancel()
    return bench


def unanswered() -> CallBench:
    bench = CallBench().start()
    bench.ring()
    bench.fire(TimerName.RING)
    return bench


def timed_out() -> CallBench:
    bench = CallBench().start()
    bench.time_out(bench.invited)
    return bench


def rejected() -> CallBench:
    bench = CallBench(auth={Side.B: DigestClient("u", "wrong", "*", lambda: "c")}).start()
    for _ in range(2):
        bench.reply(bench.invited, 401, headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n"')])
    return bench


def unreachable(failure: TlsFailure | None = None) -> CallBench:
    bench = CallBench().start()
    trouble = None if failure is None else TlsTrouble(failure, "so it was said")
    bench.apply(RequestTransportFailed(bench.invited.request_id, trouble))
    return bench


def unusable() -> CallBench:
    bench = CallBench().start()
    bench.answer(b"nonsense")
    return bench


def caller_gone() -> CallBench:
    bench = CallBench().start()
    bench.apply(ResponseTransportFailed(bench.invite_key))
    return bench


def broken() -> CallBench:
    bench = CallBench()
    bench.may_fail = True
    object.__setattr__(bench.setup, "token", None)
    return bench.start()


def unrecorded() -> CallBench:
    bench = CallBench()
    bench.apply(RecordingRefused("No recording server could be reached.", 'SIP;cause=503;text="Required"'))
    return bench


def unpracked() -> CallBench:
    bench = CallBench(headers=[("Supported", "100rel")]).start()
    bench.ring()
    bench.apply(ProgressNotAcknowledged(bench.invite_key))
    return bench


def expired() -> CallBench:
    bench = CallBench(headers=[*TIMER, ("Session-Expires", "90;refresher=uac")]).talk()
    bench.fire(TimerName.SESSION_A)
    return bench


def led_nowhere() -> CallBench:
    bench = CallBench(features=(Features(), Features(follow_redirects=True))).start()
    bench.reply(bench.invited, 302, headers=[("Contact", "<tel:+4930999>")])
    return bench


def unmet() -> CallBench:
    return CallBench(features=(Features(prack=Use.REQUIRED), Features())).start()


ENDINGS: dict[Slug, Callable[[], CallBench]] = {
    Slug.CALLER_HUNG_UP: lambda: hung_up(Side.A),
    Slug.CALLEE_HUNG_UP: lambda: hung_up(Side.B),
    Slug.HUNG_UP_BY_OPERATOR: lambda: stopped(HangUpBy.OPERATOR),
    Slug.SHUTDOWN: lambda: stopped(HangUpBy.SHUTDOWN),
    Slug.POLICY: lambda: stopped(HangUpBy.POLICY),
    Slug.MAX_DURATION: too_long,
    Slug.MEDIA_TIMEOUT: silent,
    Slug.MEDIA_FAILED: engine_lost,
    Slug.ANSWER_NOT_ACKNOWLEDGED: unacknowledged,
    Slug.PROGRESS_NOT_ACKNOWLEDGED: unpracked,
    Slug.EXTENSION_REFUSED: lambda: refused(420),
    Slug.EXTENSION_REQUIRED: unmet,
    Slug.INTERVAL_TOO_SMALL: lambda: CallBench(headers=[*TIMER, ("Session-Expires", "60")]).start(),
    Slug.SESSION_EXPIRED: expired,
    Slug.EXTENSION_UNSUPPORTED: lambda: CallBench(headers=[("Require", "timetravel")]).start(),
    Slug.ANSWER_MISSING: answer_missing,
    Slug.SESSION_LOST: lost,
    Slug.CANCELLED_BY_CALLER: cancelled,
    Slug.NO_ANSWER: unanswered,
    Slug.BUSY: lambda: refused(486),
    Slug.DECLINED: lambda: refused(603),
    Slug.NUMBER_NOT_FOUND: lambda: refused(404),
    Slug.MEDIA_NOT_ACCEPTED: lambda: refused(488),
    Slug.REJECTED: lambda: refused(403),
    Slug.REDIRECTED: led_nowhere,
    Slug.PEER_FAILED: lambda: refused(500),
    Slug.PEER_TIMEOUT: timed_out,
    Slug.PEER_UNREACHABLE: unreachable,
    Slug.PEER_NOT_PROVEN: lambda: unreachable(TlsFailure.NAME_MISMATCH),
    Slug.PEER_TLS_FAILED: lambda: unreachable(TlsFailure.NO_SHARED_VERSION),
    Slug.PEER_WANTS_CREDENTIALS: lambda: refused(407),
    Slug.CREDENTIALS_REJECTED: rejected,
    Slug.ANSWER_UNUSABLE: unusable,
    Slug.CALLER_UNREACHABLE: caller_gone,
    Slug.NO_PEER: lambda: CallBench(peers=0).start(),
    Slug.RECORDING_REQUIRED: unrecorded,
    Slug.PRIVACY_UNAVAILABLE: lambda: CallBench(
        headers=[("Privacy", "unheard-of;critical")], trusted=(True, False)
    ).start(),
    Slug.BODY_UNSUPPORTED: lambda: CallBench(content_type="text/plain").start(),
    Slug.OFFER_UNREADABLE: lambda: CallBench(offer=b"nonsense").start(),
    Slug.OFFER_NOT_ACCEPTABLE: lambda: CallBench(offer=sdp("9")).start(),
    Slug.INTERNAL_ERROR: broken,
}


def test_every_slug_is_played_here_or_given_by_admission() -> None:
    assert set(ENDINGS) | ADMISSION == set(Slug)
    assert not set(ENDINGS) & ADMISSION


@pytest.mark.parametrize("slug", list(ENDINGS))
def test_a_call_ends_with_its_slug(slug: Slug) -> None:
    bench = ENDINGS[slug]()
    ended = bench.finish()
    assert ended.slug is slug
    assert ended.result is RULES[slug].result
    assert ended.detail
    if not bench.b2bua.answered:
        assert ended.sip_status == bench.final().status == RULES[slug].status
    else:
        assert ended.sip_status == bench.final().status == 200


@pytest.mark.parametrize("slug", list(Slug))
def test_every_slug_has_its_rule(slug: Slug) -> None:
    rule = RULES[slug]
    assert 400 <= rule.status < 700
    assert rule.sentence.endswith(".")
    made = verdict(slug)
    assert (made.sip_status, made.detail, made.ended_by) == (rule.status, rule.sentence, EndedBy.GATEWAY)
    assert slug.value == slug.value.lower()


def test_a_verdict_may_say_more() -> None:
    made = verdict(Slug.BUSY, status=600, detail="Busy everywhere.", ended_by=EndedBy.CALLEE)
    assert (made.sip_status, made.detail, made.ended_by) == (600, "Busy everywhere.", EndedBy.CALLEE)
    assert made.result is ResultClass.UNANSWERED


@pytest.mark.parametrize(
    ("statuses", "slug"),
    [
        ((300, 301, 302, 305, 380), Slug.REDIRECTED),
        ((401, 407), Slug.PEER_WANTS_CREDENTIALS),
        ((404, 410, 484, 485, 604), Slug.NUMBER_NOT_FOUND),
        ((408, 480), Slug.NO_ANSWER),
        ((486, 600), Slug.BUSY),
        ((415, 488, 606), Slug.MEDIA_NOT_ACCEPTED),
        ((603, 607, 608), Slug.DECLINED),
        ((420, 421, 422), Slug.EXTENSION_REFUSED),
        ((400, 402, 403, 405, 481, 482, 483, 487, 491, 699), Slug.REJECTED),
        ((500, 501, 502, 503, 504, 505, 513, 580, 599), Slug.PEER_FAILED),
    ],
)
def test_a_status_has_its_slug(statuses: tuple[int, ...], slug: Slug) -> None:
    assert {slug_of_status(status) for status in statuses} == {slug}
