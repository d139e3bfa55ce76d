"""The report escapes all that came from outside, and shows a failure as one."""

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sidestream.tools.compare import Frame, compare
from sidestream.tools.demo_evidence import (
    Check,
    Evidence,
    Lane,
    Mark,
    MetadataStep,
    Party,
    Quality,
    RecordedCall,
    RecordedParty,
    SipStep,
    StreamMessage,
    Witness,
    good,
    judge,
)
from sidestream.tools.recorder_findings import remark
from sidestream.tools.recorder_result import RecordedStream, SessionResult
from sidestream.tools.recorder_track import TrackCounts
from sidestream.tools.report import render
from sidestream.tools.report_svg import Axis, envelope
from sidestream.tools.stream_messages import decode
from sidestream.tools.stream_receiver import Status, StreamReceiver
from sidestream.tools.stream_store import StreamResult
from stream_script import FRAME, Script, distinct, text

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;"


def frames(channel: int, begin: int = 0) -> tuple[Frame, ...]:
    return tuple(
        Frame(begin + index * FRAME, distinct(index, channel), 1.0 + index * 0.02) for index in range(20)
    )


def lane(channel: int, *, broken: bool = False) -> Lane:
    sent, arrived = frames(channel), frames(channel, 3 * FRAME)
    if broken:
        arrived = (*arrived[:5], *arrived[6:])
    return Lane(f"lane {HOSTILE}", sent, arrived, compare(sent, arrived, 0xFF))


def party(role: str) -> Party:
    quality = Quality(20, 20, 0, 0, 0, 0.5, 1.5)
    ending = "we hung up" if role == "caller" else "the far side hung up"
    return Party(
        role,
        HOSTILE,
        HOSTILE,
        HOSTILE,
        frames(0),
        frames(1),
        tuple((0, key) for key in "12#") if role == "caller" else (),
        "12#",
        (180, 200),
        ending,
        quality,
    )


def stream() -> StreamResult:
    script = Script()
    receiver = StreamReceiver(script.stream_id)
    receiver.connected()
    messages = script.conversation(3)[:-1]
    script.number -= 1
    messages += [*(script.dtmf(key) for key in "12#"), script.gap(0, 0, FRAME, "hold"), script.close()]
    for message in messages:
        receiver.accept(decode(text(message)))
    verdict = receiver.verdict()
    presses = tuple((press.channel, press.digit) for press in receiver.presses)
    return StreamResult(
        "s", "c", Path(), verdict.status, verdict, "call-ended", presses, tuple(receiver.gaps)
    )


def recording() -> RecordedCall:
    streams = tuple(
        RecordedStream(
            number, str(number), None, 0.0, 160, HOSTILE, (1,), (), TrackCounts(), 1, (), False, ()
        )
        for number in (1, 2)
    )
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return RecordedCall(
        SessionResult(
            name=HOSTILE,
            call_id=HOSTILE,
            peer=HOSTILE,
            directory=Path(),
            status=Status.OK,
            reasons=(),
            ending=HOSTILE,
            invite_status=200,
            began_at=at,
            ended_at=at,
            headers=((HOSTILE, HOSTILE),),
            streams=streams,
            documents=(),
            parties=(),
            findings=(),
        ),
        (RecordedParty(HOSTILE, HOSTILE, "1", 0.0, 1.0), None),
        (
            MetadataStep("metadata-001.xml", 0.1, HOSTILE, "talking", HOSTILE, (), HOSTILE),
            MetadataStep(HOSTILE, 0.2, HOSTILE, "", HOSTILE, (HOSTILE,), HOSTILE),
        ),
        1.0,
        0.1,
        HOSTILE,
    )


def evidence(*, broken: bool = False) -> Evidence:
    told = [("metadata", "call.held"), ("metadata", "call.resumed"), ("dtmf", HOSTILE), (HOSTILE, HOSTILE)]
    return Evidence(
        at=datetime(2026, 11, 23, tzinfo=UTC),
        law="PCMU",
        parties=(party("caller"), party("callee")),
        witnesses=(
            Witness("phone", HOSTILE, HOSTILE, (lane(0),)),
            Witness("phone", HOSTILE, HOSTILE, (lane(1),)),
            Witness(
                "endpoint",
                HOSTILE,
                HOSTILE,
                (lane(0, broken=broken), lane(1)),
                (Check(HOSTILE, good=True, evidence=HOSTILE),),
            ),
            Witness("recorder", HOSTILE, HOSTILE, (lane(1),)),
        ),
        stream=stream(),
        recording=recording(),
        messages=tuple(
            StreamMessage(number, event, number / 10, summary, HOSTILE)
            for number, (event, summary) in enumerate(told)
        ),
        begin=0.5,
        stream_begin=0.1,
        ladder=(SipStep(0.1, "caller", True, f"INVITE {HOSTILE}", HOSTILE, HOSTILE),),
        marks=(Mark(HOSTILE, HOSTILE, 0.1, 0.2),),
        tls="TLSv1.3",
        record={
            "detail": HOSTILE,
            "streams": [{"verdict": "completed"}],
            "recordings": [{"verdict": "completed"}],
        },
        configuration=HOSTILE,
        log=(HOSTILE,),
        versions=((HOSTILE, HOSTILE),),
        seconds=1.0,
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def section_of(page: str, key: str) -> str:
    """Return one section of the report."""
    return page.partition(f'<section id="{key}"')[2].partition("</section>")[0]


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_nothing_from_outside_becomes_an_element() -> None:
    seen = evidence()
    tags = parsed(render(seen, judge(seen)))
    assert not {"script", "img"} & tags.seen
    assert "onerror" not in tags.attributes


def test_everything_well_is_a_pass() -> None:
    seen = evidence()
    checks = judge(seen)
    assert good(checks), [check for check in checks if not check.good]
    page = render(seen, checks)
    assert "The audio that arrived is the audio that was sent" in page
    assert 'class="differ"' not in page


def test_one_lost_frame_is_shown_and_fails() -> None:
    seen = evidence(broken=True)
    checks = judge(seen)
    assert [check.good for check in checks].count(False) == 1
    page = render(seen, checks)
    assert f"1 of {len(checks)} questions were not answered well" in page
    assert 'class="differ"' in page
    assert "Failed: Sidestream demonstration" in page


def test_every_witness_is_asked_and_drawn() -> None:
    seen = evidence()
    checks = judge(seen)
    assert sum("is it what was sent" in check.question for check in checks) == 5
    page = render(seen, checks)
    for label in ("Waveforms of the stream", "Waveforms of the recording", "Waveforms of the relay"):
        assert f'aria-label="{label}"' in page


def test_the_recording_has_its_section() -> None:
    seen = evidence()
    section = section_of(render(seen, judge(seen)), "recording")
    for words in ("No findings", "not shown", "both talk and hear", "unreadable", "Every SIP message"):
        assert words in section
    silent = replace(seen, recording=None)
    assert "No recording session reached the recorder" in section_of(
        render(silent, judge(silent)), "recording"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": Status.MISMATCH, "reasons": (f"one rule {HOSTILE}",)}, "one rule"),
        ({"findings": (remark("cname-shared", "the same CNAME", "RFC 7866"),)}, "the same CNAME (RFC 7866)"),
    ],
    ids=["verdict", "remark"],
)
def test_what_the_recorder_objects_to_fails_and_is_shown(change: dict[str, object], words: str) -> None:
    seen = evidence()
    assert seen.recording is not None
    result = replace(seen.recording.result, **change)  # type: ignore[arg-type]
    seen = replace(seen, recording=replace(seen.recording, result=result))
    checks = judge(seen)
    failed = [check for check in checks if not check.good]
    assert len(failed) == 1
    assert words in failed[0].evidence
    section = section_of(render(seen, checks), "recording")
    assert words in section
    assert 'class="pill bad"' in section


@pytest.mark.parametrize(
    "change",
    [
        {"stream": None},
        {"tls": ""},
        {"record": None},
        {"record": {"streams": [{"verdict": "completed"}], "recordings": []}},
        {"record": {"streams": [{"verdict": "completed"}], "recordings": [{"verdict": "failed"}]}},
        {"record": {"streams": "completed", "recordings": [{"verdict": "completed"}]}},
        {"recording": None},
        {"messages": ()},
        {"parties": (replace(party("caller"), statuses=(180, 486)), party("callee"))},
        {"parties": (party("caller"), replace(party("callee"), keys_heard="12"))},
        {"parties": (party("caller"), replace(party("callee"), ending="our answer was never acknowledged"))},
    ],
    ids=[
        "stream",
        "tls",
        "record",
        "unrecorded",
        "recording failed",
        "no streams",
        "recording",
        "hold",
        "answer",
        "keys",
        "bye",
    ],
)
def test_each_missing_fact_fails(change: dict[str, object]) -> None:
    seen = replace(evidence(), **change)  # type: ignore[arg-type]
    assert not good(judge(seen))
    assert "Failed" in render(seen, judge(seen))


def test_no_questions_are_no_pass() -> None:
    assert not good([])


def test_the_envelope_holds_every_peak() -> None:
    audio = b"\xff" * 500 + b"\x80" + b"\xff" * 499
    bounds = envelope("PCMU", audio, 10)
    assert len(bounds) == 10
    assert [high for _, high in bounds].index(32_124) == 5
    assert sum(high > 0 for _, high in bounds) == 1


def test_instants_outside_stay_inside_the_drawing() -> None:
    axis = Axis(10.0)
    assert axis.x(-5) == axis.x(0) < axis.x(5) < axis.x(10) == axis.x(50)
    assert axis.ticks()[:3] == [0, 1, 2]
