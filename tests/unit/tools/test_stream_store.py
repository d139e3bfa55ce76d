"""Names and lines of what an endpoint keeps."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidestream.tools.listen import describe
from sidestream.tools.screen import printable
from sidestream.tools.stream_messages import MessageError, decode
from sidestream.tools.stream_store import StreamStore, decode_frame, safe_name, transcript_line
from stream_script import FRAME, Script, distinct, text

NOW = datetime(2026, 11, 23, 10, 15, 30, 120_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "name"),
    [("0192-ab", "0192-ab"), ("../../etc", "_.._etc"), ("", "unknown"), ("...", "unknown"),
     ("a/b\0c", "a_b_c"),
     ("x" * 500, "x" * 80), (".hidden", "hidden"), ("\u202e\u00e9", "__")],
)  # fmt: skip
def test_identifiers_become_harmless_names(given: str, name: str) -> None:
    assert safe_name(given) == name


@pytest.mark.parametrize("message", ["{}", '{"a":1}', ' {"a" : [1, {"b":"}"}]} ', '{\n"a":\r\n1}', "{ \n }"])
def test_a_line_is_the_message_and_when_it_came(message: str) -> None:
    line = transcript_line(message, NOW, 2)
    assert line.count("\n") == 1
    kept = json.loads(line)
    assert (kept.pop("receivedAt"), kept.pop("connection")) == ("2026-11-23T10:15:30.120000Z", 2)
    assert kept == json.loads(message)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 160])
def test_a_payload_left_out_leaves_its_length(size: int) -> None:
    script = Script()
    message = text(script.media(0, bytes(size)))
    media = json.loads(transcript_line(message, NOW, 1, keep_media=False))["media"]
    assert (media["payloadBytes"], "payload" in media) == (size, False)


def test_lines_wait_for_the_call_they_belong_to(tmp_path: Path) -> None:
    script = Script()
    store = StreamStore(script.stream_id, tmp_path)
    store.connected()
    for message in [script.connect(), script.start(), script.media(0, distinct(0, 0))]:
        store.take(decode(text(message)), text(message), NOW)
    result = store.finish()
    assert result.directory == tmp_path / "0192-call-0192-stream"
    assert len((result.directory / "transcript.jsonl").read_text().splitlines()) == 3


def test_a_second_stream_of_that_name_overwrites_nothing(tmp_path: Path) -> None:
    directories = []
    for _ in range(2):
        script = Script()
        store = StreamStore(script.stream_id, tmp_path)
        store.connected()
        for message in script.conversation(1):
            store.take(decode(text(message)), text(message), NOW)
        directories.append(store.finish().directory.name)
    assert directories == ["0192-call-0192-stream", "0192-call-0192-stream-2"]


def test_what_cannot_be_kept_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = StreamStore("s", tmp_path / "file")
    store.connected()
    result = store.finish()
    assert any("cannot be kept" in finding for finding in result.verdict.findings)


def test_binary_frames_are_no_messages() -> None:
    with pytest.raises(MessageError, match="binary"):
        decode_frame(b"\x00")


def test_messages_are_told_in_a_line() -> None:
    script = Script()
    told = [
        describe(decode(text(message)))
        for message in (script.connect(), script.start(), script.dtmf("5"), script.gap(1, FRAME, 320, "hold"))
    ]
    assert told == [
        "live-transcript, connection 1",
        (
            "inbound call 0192-call at acme/support-desk: caller +1415 and callee +1415, "
            "PCMU 8000 Hz separate in frames of 20 ms"
        ),
        "5 from caller for 100 ms by rfc4733",
        "media.gap hold: 320 samples of channel 1 from 160",
    ]


def test_a_terminal_gets_no_commands() -> None:
    assert printable("a\x1b[2Jb\r\u202ec") == "a\ufffd[2Jb\ufffd\ufffdc"
