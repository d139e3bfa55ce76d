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
    Party,
    Quality,
    SipStep,
    StreamMessage,
    Witness,
    good,
    judge,
)
from sidestream.tools.report import render
from sidestream.tools.report_svg import Axis, envelope
from sidestream.tools.stream_messages import decode
from sidestream.tools.stream_receiver import StreamReceiver
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
        frames(0),
        frames(1),
        "12#" if role == "caller" else "",
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


def evidence(*, broken: bool = False) -> Evidence:
    told = [("metadata", "call.held"), ("metadata", "call.resumed"), ("dtmf", HOSTILE), (HOSTILE, HOSTILE)]
    return Evidence(
        at=datetime(2026, 11, 23, tzinfo=UTC),
        law="PCMU",
        parties=(party("caller"), party("callee")),
        witnesses=(
            Witness("phone", HOSTILE, (lane(0),)),
            Witness("phone", HOSTILE, (lane(1),)),
            Witness(
                "endpoint",
                HOSTILE,
                (lane(0, broken=broken), lane(1)),
                (Check(HOSTILE, good=True, evidence=HOSTILE),),
            ),
            Witness(f"recorder {HOSTILE}", HOSTILE, (lane(1),)),
        ),
        stream=stream(),
        messages=tuple(
            StreamMessage(number, event, number / 10, summary, HOSTILE)
            for number, (event, summary) in enumerate(told)
        ),
        begin=0.5,
        stream_begin=0.1,
        ladder=(SipStep(0.1, "caller", True, f"INVITE {HOSTILE}", HOSTILE, HOSTILE),),
        marks=(Mark(HOSTILE, HOSTILE, 0.1, 0.2),),
        tls="TLSv1.3",
        record={"detail": HOSTILE},
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


def test_another_witness_is_asked_and_drawn() -> None:
    seen = evidence()
    assert sum("is it what was sent" in check.question for check in judge(seen)) == 5
    assert "recorder &lt;script&gt;" in render(seen, judge(seen))


@pytest.mark.parametrize(
    "change",
    [
        {"stream": None},
        {"tls": ""},
        {"record": None},
        {"messages": ()},
        {"parties": (replace(party("caller"), statuses=(180, 486)), party("callee"))},
        {"parties": (party("caller"), replace(party("callee"), keys_heard="12"))},
        {"parties": (party("caller"), replace(party("callee"), ending="our answer was never acknowledged"))},
    ],
    ids=["stream", "tls", "record", "hold", "answer", "keys", "bye"],
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
