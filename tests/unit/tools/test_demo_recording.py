"""What is asked of the demonstration's recording, and that each way of breaking it has its own answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from demo_script import TIMES, Recorded, documents, party
from sidestream.tools.demo_evidence import RecordedCall, Witness
from sidestream.tools.demo_recording import METADATA_DIRECTORY, copy_recording, gather_recording
from sidestream.tools.recorder_result import SessionResult
from sidestream.tools.wav import HEADER_BYTES
from siprec_client import Ids
from stream_script import FRAME

FILES = "Do the recorder's two WAV files hold what was said, sample for sample?"
BOTH = "Does the recorder's WAV file with both sides hold the same?"
KEYS = "Were the keys recorded where they were pressed?"
SCHEMA = "Is every metadata document valid by the schema of RFC 7865?"
PARTIES = "Does the metadata show both participants, the answer and the end?"
HOLD = "Was the recorder told of hold and resume?"
PARTICIPANTS = (party("caller"), party("callee"))


def gather(result: SessionResult | None) -> tuple[RecordedCall | None, Witness]:
    return gather_recording("PCMU", result, PARTICIPANTS, TIMES)


def answers(result: SessionResult | None) -> dict[str, str]:
    """Return the questions that are not answered well, with the evidence; lanes by their titles."""
    _, witness = gather(result)
    failed = {check.question: check.evidence for check in witness.checks if not check.good}
    return failed | {lane.title: lane.comparison.why for lane in witness.lanes if not lane.comparison.equal}


def test_a_whole_recording_is_answered_well(tmp_path: Path) -> None:
    result = Recorded(tmp_path).result()
    recorded, witness = gather(result)
    assert answers(result) == {}
    assert {check.question for check in witness.checks} == {FILES, BOTH, KEYS, SCHEMA, PARTIES, HOLD}
    assert recorded is not None
    caller, callee = recorded.parties
    assert caller is not None
    assert callee is not None
    assert (caller.name, caller.label, caller.joined, caller.left) == ("Alice", "1", 0.0, 3.0)
    assert (callee.name, callee.label, callee.joined, callee.left) == ("sip:200@pbx.example", "2", 1.0, 3.0)
    assert [step.state for step in recorded.documents] == ["talking", "held", "talking", "ended"]
    assert recorded.begin == pytest.approx(1.101, abs=0.001)
    assert "INVITE sip:rec@127.0.0.4" in recorded.messages


def tamper(file: Path, sample: int) -> None:
    """Change one sample by one step of its lowest bit."""
    data = bytearray(file.read_bytes())
    data[HEADER_BYTES + 2 * sample] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("sample", [0, 20 * FRAME + 7, 67 * FRAME], ids=["silence", "speech", "end"])
def test_one_changed_sample_of_a_file_is_named(tmp_path: Path, sample: int) -> None:
    result = Recorded(tmp_path).result()
    tamper(result.directory / "stream-1.wav", sample)
    failed = answers(result)
    assert set(failed) == {FILES}
    assert f"stream-1.wav: 1 of 10,880 samples differ, the first at {sample:,}" in failed[FILES]


def test_a_changed_sample_of_the_file_with_both_sides_is_named(tmp_path: Path) -> None:
    result = Recorded(tmp_path).result()
    tamper(result.directory / "call.wav", 2 * 3_000 + 1)
    failed = answers(result)
    assert set(failed) == {BOTH}
    assert "call.wav: 1 of 10,880 samples differ, the first at 3,000" in failed[BOTH]


def test_a_file_that_ends_too_early_is_named(tmp_path: Path) -> None:
    result = Recorded(tmp_path).result()
    file = result.directory / "stream-2.wav"
    file.write_bytes(file.read_bytes()[: -5 * FRAME * 2])
    assert "stream-2.wav: 320 samples of speech lie outside" in answers(result)[FILES]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = Recorded(tmp_path).result()
    (result.directory / "stream-2.wav").unlink()
    assert "stream-2.wav" in answers(result)[FILES]


def test_a_lost_packet_is_seen_in_the_packets_and_in_every_file(tmp_path: Path) -> None:
    result = Recorded(tmp_path, lost=frozenset({20})).result()
    failed = answers(result)
    assert set(failed) == {"Ada as the recorder has her", FILES, BOTH}
    assert "160 of 8,800 samples differ" in failed["Ada as the recorder has her"]
    assert result.reasons == ("1 packets of stream 1 are missing",)


def test_streams_are_told_apart_by_the_metadata_and_not_by_their_order(tmp_path: Path) -> None:
    failed = answers(Recorded(tmp_path, swapped=True).result())
    assert {"Ada as the recorder has her", "Grace as the recorder has her", FILES, BOTH, KEYS} == set(failed)


@pytest.mark.parametrize("slot", [None, 29], ids=["nowhere", "a slot early"])
def test_a_key_must_be_where_it_was_pressed(tmp_path: Path, slot: int | None) -> None:
    assert set(answers(Recorded(tmp_path, key_slot=slot).result())) == {KEYS}


@pytest.mark.parametrize(
    ("kept", "questions", "words"),
    [
        ([0, 1, 2], {PARTIES, HOLD}, "stop-time not told"),
        ([0, 3], {HOLD}, "talking at 1.00 s, ended at 3.00 s"),
        ([0, 1, 3], {HOLD}, "held at 1.80 s, ended at 3.00 s"),
        ([], {PARTIES, HOLD, SCHEMA, FILES, BOTH, KEYS, "Ada", "Grace"}, "Ada is not shown"),
        ([3], {PARTIES, HOLD, SCHEMA, FILES, BOTH, KEYS, "Ada", "Grace"}, "partial"),
    ],
    ids=["no end", "no hold", "no resume", "none", "only the end"],
)
def test_a_document_that_was_not_sent_is_missed(
    tmp_path: Path, kept: list[int], questions: set[str], words: str
) -> None:
    told = documents(Ids())
    failed = answers(Recorded(tmp_path, [told[number] for number in kept]).result())
    assert {question.replace(" as the recorder has her", "") for question in failed} == questions
    assert words in "; ".join(failed.values())


def test_a_document_that_was_not_kept_is_missed(tmp_path: Path) -> None:
    result = Recorded(tmp_path).result()
    failed = answers(replace(result, documents=(result.documents[0], *result.documents[2:])))
    assert "metadata-003.xml is number 2 of the history" in failed[SCHEMA]
    (result.directory / "metadata-002.xml").unlink()
    assert "metadata-002.xml cannot be read" in answers(result)[SCHEMA]


@pytest.mark.parametrize(
    ("change", "question", "words"),
    [
        (lambda text: text.replace("<group-ref>", "<groupref>", 1), SCHEMA, "metadata-001.xml"),
        (lambda text: text.replace("<datamode>", "<datmode>").replace("</data", "</dat"), SCHEMA, "schema"),
        (lambda text: text.replace("sip:200@", "sip:201@"), PARTIES, "Grace is not shown"),
        (lambda text: text.replace("09:15:01Z", "09:15:02Z"), PARTIES, "Grace joined 2.00 s"),
        (lambda text: text.replace("09:15:01Z", "09:15:00Z"), PARTIES, "Grace joined 0.00 s"),
    ],
    ids=["no XML", "no schema", "nobody", "late", "at once"],
)
def test_a_document_that_tells_something_else_is_named(
    tmp_path: Path, change: Callable[[str], str], question: str, words: str
) -> None:
    (at, message, text), *others = documents(Ids())
    result = Recorded(tmp_path, [(at, message, change(text)), *others]).result()
    assert words in answers(result)[question]


def test_without_a_recording_nothing_is_equal() -> None:
    recorded, witness = gather(None)
    assert recorded is None
    assert [lane.comparison.equal for lane in witness.lanes] == [False, False]


def test_the_files_are_put_beside_those_of_the_others(tmp_path: Path) -> None:
    recorded, _ = gather(Recorded(tmp_path / "recorder").result())
    copies = copy_recording(tmp_path, recorded, ("caller", "callee"))
    names = [f"metadata-{number:03}.xml" for number in range(1, 5)]
    assert sorted(path.name for path in (tmp_path / METADATA_DIRECTORY).iterdir()) == [
        *names,
        "metadata.jsonl",
    ]
    for copy, source in (("recorder-caller.wav", "stream-1.wav"), ("recorder-callee.wav", "stream-2.wav")):
        assert copies[copy].read_bytes() == (tmp_path / "recorder" / "call" / source).read_bytes()
    assert (tmp_path / "recorder.wav").is_file()
    assert copy_recording(tmp_path, None, ("caller", "callee")) == {}
