"""The verdict on a recording session, and where its streams begin."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sidestream.tools.recorder_findings import remark, violation
from sidestream.tools.recorder_metadata import Party
from sidestream.tools.recorder_result import Facts, RecordedStream, begins, judge, judge_tracks
from sidestream.tools.recorder_track import Track, TrackCounts
from sidestream.tools.rtcp import Compound, SenderReport
from sidestream.tools.rtp import RtpPacket
from sidestream.tools.stream_receiver import Status

FACTS = Facts(
    call_id="c",
    peer="127.0.0.1:5060",
    ending="the client said BYE",
    wanted_end=True,
    ended_by_recorder=False,
    invite_status=200,
    began_at=datetime(2026, 3, 3, tzinfo=UTC),
    headers=(),
    parties=(Party("id", "sip:a@b", "", ("1",), (), gone=True),),
    metadata_ended=True,
)
STREAM = RecordedStream(1, "1", None, 0.0, 160, "", (1,), (), TrackCounts(), 1, (), False, ())


def test_a_whole_session_is_ok_and_remarks_do_not_matter() -> None:
    assert judge(FACTS, [STREAM], [remark("a", "b")]) == (Status.OK, ())


@pytest.mark.parametrize(
    ("facts", "stream", "why"),
    [
        (replace(FACTS, invite_status=503), STREAM, "refused with 503"),
        (replace(FACTS, wanted_end=False), STREAM, "did not end by a BYE"),
        (replace(FACTS, parties=()), STREAM, "no metadata"),
        (replace(FACTS, metadata_ended=False), STREAM, "stop-time"),
        (FACTS, replace(STREAM, samples=0), "no audio came on stream 1"),
        (FACTS, replace(STREAM, refused=True), "stream 1 was refused"),
        (FACTS, replace(STREAM, counts=TrackCounts(lost=3)), "3 packets of stream 1"),
    ],
)
def test_what_is_missing_is_incomplete(facts: Facts, stream: RecordedStream, why: str) -> None:
    status, reasons = judge(facts, [stream], [])
    assert status is Status.INCOMPLETE
    assert why in reasons[0]


def test_a_broken_rule_is_a_mismatch_and_comes_first() -> None:
    status, reasons = judge(
        replace(FACTS, metadata_ended=False), [STREAM], [violation("a", "broken", "RFC 1")]
    )
    assert status is Status.MISMATCH
    assert reasons[0] == "broken (RFC 1)"
    assert len(reasons) == 2


def test_a_recorder_that_ended_the_session_awaits_no_end_in_the_metadata() -> None:
    assert judge(replace(FACTS, metadata_ended=False, ended_by_recorder=True), [STREAM], [])[0] is Status.OK


def track(number: int, begin: float, *, ssrc: int, wall: float | None, seconds: float = 1.0) -> Track:
    made = Track(number, lambda _position, _samples: None)
    made.open("PCMU", 0, None)
    for index in range(round(seconds * 50)):
        made.receive(RtpPacket(0, index, index * 160, ssrc, b"\xff" * 160), begin + index * 0.02)
    if wall is not None:
        made.report(Compound([SenderReport(ssrc, wall, 0, 0, 0, 0)], {ssrc: "n"}, [], True), begin + seconds)
    made.finish()
    return made


def test_reports_say_where_streams_begin() -> None:
    tracks = [track(1, 10.0, ssrc=1, wall=1_000.5), track(2, 10.0, ssrc=2, wall=1_000.0)]
    assert begins(tracks) == pytest.approx([0.5, 0.0])


def test_arrival_says_it_where_a_stream_has_no_report() -> None:
    silent = Track(3, lambda _position, _samples: None)
    tracks = [track(1, 10.0, ssrc=1, wall=1_000.5), track(2, 10.25, ssrc=2, wall=None), silent]
    assert begins(tracks) == pytest.approx([0.0, 0.25, 0.0])


def test_streams_are_judged_beside_each_other() -> None:
    tracks = [track(1, 0.0, ssrc=7, wall=1.0), track(2, 0.0, ssrc=7, wall=None, seconds=11.0)]
    assert [finding.code for finding in judge_tracks(tracks)] == ["ssrc-shared", "rtcp-missing"]
    named = [track(1, 0.0, ssrc=1, wall=1.0), track(2, 0.0, ssrc=2, wall=1.0)]
    assert [finding.code for finding in judge_tracks(named)] == ["cname-shared"]
