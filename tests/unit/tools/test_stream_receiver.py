"""The receiver proves what is right and names what is wrong, rule by rule of the protocol page."""

from collections.abc import Callable

import pytest

from sidestream.tools.stream_messages import MessageError, decode
from sidestream.tools.stream_receiver import NumberSet, Status, StreamReceiver, StreamVerdict
from stream_script import FRAME, Message, Script, distinct, text


def received(messages: list[Message], receiver: StreamReceiver | None = None) -> StreamReceiver:
    receiver = receiver or StreamReceiver("0192-stream")
    receiver.connected()
    for message in messages:
        receiver.accept(decode(text(message)))
    return receiver


def verdict_of(messages: list[Message]) -> StreamVerdict:
    return received(messages).verdict()


def test_a_whole_stream_is_proven() -> None:
    verdict = verdict_of(Script().conversation(10))
    assert verdict.status is Status.OK
    assert verdict.findings == ()
    assert [(line.chunks, line.samples) for line in verdict.channels] == [(10, 10 * FRAME)] * 2


def test_before_close_nothing_is_proven() -> None:
    assert verdict_of(Script().conversation(2)[:-1]).status is Status.OPEN


@pytest.mark.parametrize("layout", ["separate", "interleaved", "mixed"])
@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16"])
def test_every_layout_and_encoding_is_counted_in_samples_of_one_channel(layout: str, encoding: str) -> None:
    script = Script(layout=layout, encoding=encoding)
    size = FRAME * (2 if encoding == "L16" else 1) * (2 if layout == "interleaved" else 1)
    channels = {"separate": (0, 1), "interleaved": (-1,), "mixed": (0,)}[layout]
    messages = [script.connect(), script.start()]
    messages += [script.media(channel, bytes((index,)) * size) for index in range(3) for channel in channels]
    verdict = verdict_of([*messages, script.close()])
    assert verdict.status is Status.OK, verdict
    assert {line.samples for line in verdict.channels} == {3 * FRAME}


def without(index: int) -> Callable[[list[Message]], None]:
    return lambda messages: messages.__delitem__(index)


def change(index: int, **fields: object) -> Callable[[list[Message]], None]:
    return lambda messages: messages[index][messages[index]["event"]].update(fields)


def renumber(index: int, number: int) -> Callable[[list[Message]], None]:
    return lambda messages: messages[index].update(sequenceNumber=number)


OPUS = {
    "encoding": "OPUS",
    "sampleRate": 48_000,
    "frameDurationMs": 20,
    "layout": "separate",
    "channels": [0, 1],
}

BROKEN: dict[str, tuple[Callable[[list[Message]], None], str]] = {
    "a lost frame": (without(4), "messages are missing"),
    "a lost connect": (without(0), "message 1 of connection 1 is start, not connect"),
    "a lost start": (without(1), "message 2 of connection 1 is media, not start"),
    "a number twice": (renumber(5, 5), "came twice"),
    "a number too high": (renumber(5, 60), "came after 60"),
    "a wrong protocol": (change(0, protocol="other"), "connect names other"),
    "a wrong version": (change(0, version="2.0"), "connect names sidestream 2.0"),
    "a wrong resumed": (change(0, resumed=True), "connect says resumed"),
    "a short frame": (change(4, payload="AAAA"), "has 3 bytes, not 160"),
    "no base64": (change(4, payload="*"), "not base64"),
    "an unknown channel": (change(4, channel=7), "which start does not name"),
    "a timestamp too low": (change(6, timestamp=0), "below"),
    "a timestamp too high": (change(-2, timestamp=99_999), "no media.gap accounts for them"),
    "a chunk too low": (change(6, chunk=1), "came after chunk"),
    "an encoding that is not played": (change(1, media=OPUS), "cannot decode OPUS"),
    "start twice": (lambda messages: messages.insert(4, dict(messages[1])), "in mid connection"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_named(name: str) -> None:
    messages = Script().conversation(10)
    breaking, finding = BROKEN[name]
    breaking(messages)
    verdict = verdict_of(messages)
    assert verdict.status is Status.MISMATCH
    assert any(finding in found for found in verdict.findings), verdict.findings


@pytest.mark.parametrize("field", ["chunks", "samples", "sha256"])
def test_each_total_is_compared(field: str) -> None:
    script = Script()
    messages = script.conversation(2)[:-1]
    script.number -= 1
    verdict = verdict_of([*messages, script.close(**{field: "0" if field == "sha256" else 9_999})])
    assert verdict.status is Status.MISMATCH
    assert verdict.channels[0].status is Status.MISMATCH
    assert verdict.channels[1].status is Status.OK


def test_a_channel_without_totals_is_no_proof() -> None:
    messages = Script().conversation(2)
    del messages[-1]["close"]["totals"][1]
    assert verdict_of(messages).status is Status.MISMATCH


def test_what_the_stream_accounts_for_is_incomplete_and_no_mismatch() -> None:
    script = Script()
    messages = [script.connect(), script.start()]
    messages += [script.media(0, distinct(index, 0)) for index in range(5)]
    lost = [script.media(0, distinct(index, 0)) for index in (5, 6)]
    messages += [script.media(1, distinct(index, 1)) for index in range(5)]
    messages += [
        script.gap(0, 5 * FRAME, 2 * FRAME, "reconnect"),
        script.media(0, distinct(7, 0)),
        script.close(),
    ]
    assert len(lost) == 2
    verdict = verdict_of(messages)
    assert verdict.status is Status.INCOMPLETE
    assert (verdict.channels[0].missing_chunks, verdict.channels[1].status) == (2, Status.OK)


def test_a_gap_that_accounts_for_too_little_is_a_mismatch() -> None:
    script = Script()
    messages = [
        script.connect(),
        script.start(),
        script.media(0, distinct(0, 0)),
        script.media(1, distinct(0, 1)),
    ]
    messages += [
        script.gap(0, FRAME, FRAME, "paused"),
        script.media(0, distinct(1, 0), 3 * FRAME),
        script.close(),
    ]
    assert "samples 160 to 480" in " ".join(verdict_of(messages).findings)


def test_a_paused_stream_is_whole() -> None:
    script = Script()
    messages = [
        script.connect(),
        script.start(),
        script.media(0, distinct(0, 0)),
        script.media(1, distinct(0, 1)),
    ]
    for channel in (0, 1):
        messages.append(script.gap(channel, FRAME, 3 * FRAME, "paused"))
        messages.append(script.media(channel, distinct(1, channel), 4 * FRAME))
    assert verdict_of([*messages, script.close()]).status is Status.OK


def test_a_replay_is_no_duplicate_audio() -> None:
    script = Script()
    first = script.conversation(5)[:-1]
    script.number -= 1
    receiver = received(first[:-2])
    again = [script.connect(), script.start(), *first[-4:], script.close()]
    assert received(again, receiver).verdict().status is Status.OK
    assert (receiver.verdict().duplicates, receiver.verdict().connections) == (2, 2)


def test_a_replay_out_of_order_is_found() -> None:
    script = Script()
    first = script.conversation(5)[:-1]
    script.number -= 1
    receiver = received(first)
    again = [script.connect(), script.start(), first[-1], first[-2], script.close()]
    assert any("came after" in found for found in received(again, receiver).verdict().findings)


def test_what_may_be_acknowledged_never_runs_ahead() -> None:
    script = Script()
    messages = script.conversation(3)
    receiver = received(messages[:2])
    before = receiver.acknowledge
    receiver.accept(decode(text(messages[2])))
    assert (before, receiver.acknowledge) == (None, 3)


def test_findings_are_bounded() -> None:
    script = Script()
    messages = [
        script.connect(),
        script.start(),
        *(script.media(0, b"x") for _ in range(300)),
        script.close(),
    ]
    verdict = verdict_of(messages)
    assert len(verdict.findings) <= 103
    assert verdict.findings[-1].startswith("and ")


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "null", '{"event":"media"}', '{"event":"media","sequenceNumber":1,"streamId":"s"}',
     '{"event":"connect","sequenceNumber":"1","streamId":"s"}', b"\xff"],
)  # fmt: skip
def test_what_is_no_message_is_refused(frame: str | bytes) -> None:
    with pytest.raises(MessageError):
        decode(frame)


def test_unknown_keys_and_events_are_ignored() -> None:
    script = Script()
    messages = script.conversation(1)
    messages[0]["new"] = {"key": [1]}
    messages.insert(2, script.message("novelty", {}))
    messages[2]["sequenceNumber"] = 3
    for number, message in enumerate(messages, 1):
        message["sequenceNumber"] = number
    assert verdict_of(messages).status is Status.OK


def test_numbers_are_kept_as_ranges() -> None:
    numbers = NumberSet()
    assert all(numbers.add(number) for number in (1, 2, 5, 4, 3, 9, 7))
    assert not numbers.add(4)
    assert numbers.ranges == [[1, 5], [7, 7], [9, 9]]
    assert (numbers.count, numbers.missing) == (7, 2)
