"""The development recorder, with a client written by hand (tests/siprec_client.py) as its far side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.recorder_bench import UDP, codes, decoded, one_result, port_of, recording, session
from sidestream.tools import wav
from sidestream.tools.recorder import Recorder, RecorderError
from sidestream.tools.recorder_events import RecorderEvent
from sidestream.tools.recorder_findings import Level
from sidestream.tools.recorder_options import Behaviour, RecorderOptions
from sidestream.tools.rtcp import parse_rtcp
from sidestream.tools.stream_receiver import Status
from siprec_client import (
    Client,
    Draft,
    Ids,
    Voice,
    describe,
    dialling,
    held,
    new_id,
    snapshot,
    speech,
    stopped,
    talk,
    voices,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_is_recorded_to_the_sample(tmp_path: Path, transport: str) -> None:
    said = [speech(0, 30), speech(1, 30)]
    async with recording(tmp_path) as recorder:
        async with session(recorder, transport) as (client, sources, ports, ids):
            await talk(sources, ports, said)
            assert (await client.update(stopped(ids))).status == 200
            assert (await client.bye()).status == 200
        result = await one_result(recorder)
    assert (result.status, result.reasons) == (Status.OK, ())
    for number, frames in enumerate(said, 1):
        assert wav.read(result.directory / f"stream-{number}.wav").channels[0] == decoded(frames)
    call = wav.read(result.directory / "call.wav")
    # Both voices began in the same instant, as far as this machine allows, and say so in their reports.
    for channel, frames in zip(call.channels, said, strict=True):
        assert 0 <= channel.tobytes().find(decoded(frames).tobytes()) < 2 * 8 * 100


async def test_the_answer_is_what_the_rfc_wants(tmp_path: Path) -> None:
    with voices() as sources:
        async with recording(tmp_path) as recorder, dialling(port_of(recorder)) as client:
            answer = await client.ask(client.invite(Ids(), (sources[0].port, sources[1].port)))
    assert answer.get("Contact").endswith(";+sip.srs")
    assert answer.sdp.count("a=recvonly") == 2
    assert re.findall(r"a=label:(\d)", answer.sdp) == ["1", "2"]
    assert len(set(answer.ports)) == 2
    assert "UPDATE" in answer.get("Allow")
    assert "application/rs-metadata+xml" in answer.get("Accept")


async def test_every_document_is_kept_with_its_time_and_message(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder:
        async with session(recorder, "tcp") as (client, sources, ports, ids):
            await talk(sources, ports, [speech(0, 5), speech(1, 5)])
            assert (await client.update(held(ids))).status == 200
            again = describe((sources[0].port, sources[1].port), version=1)
            assert (await client.reoffer(again, snapshot(ids))).status == 200
            assert (await client.bye(stopped(ids))).status == 200
        result = await one_result(recorder)
    assert [entry.message for entry in result.documents] == ["INVITE", "UPDATE", "re-INVITE", "BYE"]
    assert [entry.mode for entry in result.documents] == ["complete", "partial", "complete", "partial"]
    assert all(entry.accepted and not entry.findings for entry in result.documents)
    assert (result.directory / "metadata-002.xml").read_text() == held(ids)
    index = [json.loads(line) for line in (result.directory / "metadata.jsonl").read_text().splitlines()]
    assert [line["file"] for line in index] == [f"metadata-{number:03}.xml" for number in range(1, 5)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["at"]) for line in index)
    assert codes(result, Level.REMARK) == {"metadata-in-bye"}
    assert result.status is Status.OK


async def test_the_picture_follows_the_documents(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [speech(0, 3), speech(1, 3)])
            await client.update(held(ids))
            await client.bye()
        result = await one_result(recorder)
    alice, bob = result.parties
    assert (alice.name, alice.aor) == ("Alice", "sip:+3225550100@carrier.example")
    assert (alice.sends, alice.hears) == ((), ("2",))
    assert (bob.sends, bob.hears) == (("2",), ())
    assert result.status is Status.INCOMPLETE
    assert "stop-time" in result.why


async def test_the_summary_and_the_messages_are_left(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [speech(0, 3), speech(1, 3)])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    summary = json.loads((result.directory / "summary.json").read_text())
    assert (summary["status"], summary["ending"]) == ("OK", "the client said BYE")
    assert [stream["label"] for stream in summary["streams"]] == ["1", "2"]
    assert [stream["samples"] for stream in summary["streams"]] == [480, 480]
    assert all(stream["cnames"] and stream["receiverReports"] for stream in summary["streams"])
    assert all(party["gone"] for party in summary["participants"])
    messages = (result.directory / "messages.txt").read_text()
    assert re.findall(r"received\n(\w+)", messages) == ["INVITE", "ACK", "UPDATE", "BYE"]


async def test_the_example_of_rfc_7866_is_recorded(tmp_path: Path) -> None:
    """Figure 12: one stream, the old media type, static payload types, no Date and no Allow."""
    ids = Ids()
    second = f'<stream stream_id="{ids.second}" session_id="{ids.session}"><label>2</label></stream>\n'
    xml = snapshot(ids).replace(second, "")
    xml = xml.replace(f"<recv>{ids.second}</recv>", "").replace(f"<send>{ids.second}</send>", "")
    with voices(1) as sources:
        async with recording(tmp_path) as recorder, dialling(port_of(recorder, "tcp"), "tcp") as client:
            head = (
                client.head("INVITE") + "Require: siprec\r\n"
                "Accept: application/sdp, application/rs-metadata\r\n"
                f"Contact: <sip:2000@127.0.0.1:{client.port};transport=tcp>;+sip.src\r\n"
            )
            sdp = (
                "v=0\r\no=SRS 2890844526 2890844526 IN IP4 127.0.0.1\r\n"
                "s=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                f"m=audio {sources[0].port} RTP/AVP 0 4 8\r\na=sendonly\r\na=label:1\r\n"
            )
            draft = Draft(head, sdp, xml, boundary="foobar")
            answer = await client.ask(draft.edit("rs-metadata+xml", "rs-metadata"))
            assert answer.status == 200, answer.body
            sources[0].payload_type = 0
            await talk(sources, answer.ports, [speech(0, 5)])
            await client.bye()
            result = await one_result(recorder)
    assert not codes(result)
    assert codes(result, Level.REMARK) == {"metadata-type", "date", "allow-update", "one-stream"}
    assert wav.read(result.directory / "stream-1.wav").channels[0] == decoded(speech(0, 5), "PCMU")


BROKEN = [
    ("require-siprec", "Require: siprec\r\n", "Supported: siprec\r\n"),
    ("contact-src", ";+sip.src", ""),
    ("contact-src", ";+sip.src", ";src"),
    ("contact-src", ">;+sip.src", ";+sip.src>"),
    ("date", "Date: ", "Date: Someday "),
    ("body-type", "multipart/mixed", "multipart/alternative"),
    ("multipart", "--{boundary}--", "--{boundary}"),
    ("metadata-disposition", "recording-session", "session"),
    ("sdp", "v=0\r\n", "v=1\r\n"),
    ("sdp-end", "a=label:2\r\n", "a=label:2"),
    ("label-missing", "a=label:2\r\n", ""),
    ("label-duplicate", "a=label:2", "a=label:1"),
    ("label-token", "a=label:2", "a=label:two streams"),
    ("metadata-label", "a=label:2", "a=label:3"),
    ("direction", "a=sendonly", "a=sendrecv"),
    ("address", "c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"),
    ("rtpmap", "a=rtpmap:101 telephone-event/8000\r\n", ""),
    ("metadata-schema", "<datamode>complete</datamode>", "<dataMode>complete</dataMode>"),
    ("metadata-schema", "recording:1", "recording"),
    ("metadata-schema", "09:15:00Z", "09:15:00+0000"),
    ("metadata-schema", "</participant>", "<age>9</age></participant>"),
    ("metadata", "<?xml", "<!DOCTYPE recording><?xml"),
    ("metadata", "2026-03-03T09:15:00Z", "2026-03-03T09:15:00"),
    ("metadata-partial", "complete", "partial"),
    ("metadata-aor", "sip:200@pbx.example", "Bob"),
]


def broken(client: Client, sources: list[Voice], old: str, new: str) -> Draft:
    return client.invite(Ids(), (sources[0].port, sources[1].port)).edit(old, new)


@pytest.mark.parametrize(
    ("code", "old", "new"), BROKEN, ids=[f"{row[0]}-{index}" for index, row in enumerate(BROKEN)]
)
async def test_a_broken_rule_is_refused_and_named(tmp_path: Path, code: str, old: str, new: str) -> None:
    with voices() as sources:
        async with recording(tmp_path) as recorder, dialling(port_of(recorder)) as client:
            answer = await client.ask(broken(client, sources, old, new))
            result = await one_result(recorder)
    assert answer.status == 400
    assert code in codes(result)
    finding = next(each for each in result.findings if each.code == code)
    warned = " ".join(answer.all("Warning"))
    assert warned.startswith("399 127.0.0.1 ")
    assert finding.text[:40].replace('"', '\\"') in warned
    assert finding.text.split('"')[0] in answer.body.decode()
    assert (result.status, result.ending, result.streams) == (Status.MISMATCH, "refused with 400", ())


async def test_ports_that_two_streams_share_are_a_finding(tmp_path: Path) -> None:
    with voices() as sources:
        async with recording(tmp_path) as recorder, dialling(port_of(recorder)) as client:
            answer = await client.ask(client.invite(Ids(), (sources[0].port, sources[0].port)))
            result = await one_result(recorder)
    assert answer.status == 400
    assert "port-shared" in codes(result)


async def test_a_dangling_reference_is_a_finding(tmp_path: Path) -> None:
    ids = Ids()
    with voices() as sources:
        async with recording(tmp_path) as recorder, dialling(port_of(recorder)) as client:
            draft = client.invite(ids, (sources[0].port, sources[1].port))
            answer = await client.ask(draft.edit(f"<send>{ids.first}</send>", f"<send>{new_id()}</send>"))
            result = await one_result(recorder)
    assert answer.status == 400
    assert "metadata-reference" in codes(result)


@pytest.mark.parametrize("part", ["sdp", "xml"])
async def test_a_missing_part_is_a_finding(tmp_path: Path, part: str) -> None:
    with voices() as sources:
        async with recording(tmp_path) as recorder, dialling(port_of(recorder)) as client:
            draft = client.invite(Ids(), (sources[0].port, sources[1].port))
            draft = replace(draft, xml="") if part == "xml" else replace(draft, sdp="")
            answer = await client.ask(draft)
            result = await one_result(recorder)
    assert answer.status == 400
    assert {"sdp": "sdp-missing", "xml": "metadata-missing"}[part] in codes(result)


async def test_a_lenient_recorder_records_what_it_would_refuse(tmp_path: Path) -> None:
    said = [speech(0, 10), speech(1, 10)]
    async with recording(tmp_path, strict=False) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                draft = client.invite(Ids(), (sources[0].port, sources[1].port))
                for old, new in ((";+sip.src", ""), ("Require: siprec\r\n", ""), ("a=label:2\r\n", "")):
                    draft = draft.edit(old, new)
                answer = await client.ask(draft)
                assert answer.status == 200
                await talk(sources, answer.ports, said)
                await client.bye()
                result = await one_result(recorder)
    assert codes(result) == {"contact-src", "require-siprec", "label-missing", "metadata-label"}
    assert result.status is Status.MISMATCH
    assert wav.read(result.directory / "stream-2.wav").channels[0] == decoded(said[1])


async def test_a_pause_is_silence_and_what_comes_in_it_is_told(tmp_path: Path) -> None:
    first, second = speech(0, 15), speech(1, 15)
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [first, second])
            pause = describe((sources[0].port, sources[1].port), version=2, direction="inactive")
            answer = await client.reoffer(pause, snapshot(ids))
            assert answer.sdp.count("a=inactive") == 2
            await asyncio.sleep(0.4)
            sources[1].rtp.sendto(sources[1].packet(b"\x11" * 160), ("127.0.0.1", ports[1]))
            again = describe((sources[0].port, sources[1].port), version=3)
            answer = await client.reoffer(again, snapshot(ids))
            assert answer.sdp.count("a=recvonly") == 2
            assert answer.ports == ports
            await talk(sources, ports, [first, second])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    samples = wav.read(result.directory / "stream-1.wav").channels[0]
    assert samples[: 15 * 160] == decoded(first)
    assert samples[-15 * 160 :] == decoded(first)
    silence = samples[15 * 160 : -15 * 160]
    assert len(silence) >= 19 * 160
    assert not any(silence)
    assert codes(result) == {"media-while-paused"}
    assert [stream.counts.lost for stream in result.streams] == [0, 0]


async def test_a_timestamp_that_stands_still_over_a_pause_does_not_shrink_the_recording(
    tmp_path: Path,
) -> None:
    said = speech(0, 30)
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [said, said])
            await asyncio.sleep(0.5)
            for voice in sources:
                voice.due = None
            await talk(sources, ports, [said, said])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    assert "timestamp" in codes(result)
    samples = wav.read(result.directory / "stream-1.wav").channels[0]
    assert len(samples) > 60 * 160 + 3_500
    assert samples.tobytes().startswith(decoded(said).tobytes())
    assert samples.tobytes().endswith(decoded(said).tobytes())


async def test_a_change_of_codec_is_followed(tmp_path: Path) -> None:
    said = speech(0, 10)
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [said, said])
            offer = describe((sources[0].port, sources[1].port), version=2, payload=(0, "PCMU"))
            answer = await client.reoffer(offer, snapshot(ids))
            assert "PCMU/8000" in answer.sdp
            for voice in sources:
                voice.payload_type = 0
            await talk(sources, ports, [said, said])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    samples = wav.read(result.directory / "stream-2.wav").channels[0]
    assert samples[:1600] == decoded(said, "PCMA")
    assert samples[-1600:] == decoded(said, "PCMU")
    assert not any(samples[1600:-1600])
    assert result.status is Status.OK, result.reasons


async def test_a_stream_is_removed_with_port_0(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [speech(0, 5), speech(1, 5)])
            offer = describe((sources[0].port, 0), version=2)
            answer = await client.reoffer(offer, snapshot(ids))
            assert answer.ports == [ports[0], 0]
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    assert not codes(result)
    assert result.status is Status.OK, result.reasons


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("origin-version", "codec"),
        ("origin-version", "version"),
        ("lines-removed", "one line"),
        ("metadata-label", "labels in an UPDATE"),
        ("metadata-reference", "another participant"),
    ],
)
async def test_broken_changes_are_refused_and_the_session_goes_on(
    tmp_path: Path, code: str, body: str
) -> None:
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            both = (sources[0].port, sources[1].port)
            if body == "codec":
                answer = await client.reoffer(describe(both, payload=(0, "PCMU")), snapshot(ids))
            elif body == "version":
                answer = await client.reoffer(describe(both, version=7), snapshot(ids))
            elif body == "one line":
                sdp = describe(both, version=2)
                answer = await client.reoffer(sdp[: sdp.rindex("m=audio")], held(ids))
            elif body == "another participant":
                answer = await client.update(held(replace(ids, alice=new_id())))
            else:
                answer = await client.update(snapshot(ids))
            assert answer.status == 400
            await talk(sources, ports, [speech(0, 5), speech(1, 5)])
            assert (await client.bye()).status == 200
        result = await one_result(recorder)
    assert codes(result) == {code}
    assert [stream.samples for stream in result.streams] == [800, 800]


async def test_key_presses_loss_and_disorder_are_told(tmp_path: Path) -> None:
    said = speech(0, 12)
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            voice = sources[0]
            packets = [voice.packet(frame) for frame in said]
            for index in (0, 1, 3, 2, 2, 4, 6, 7, 8, 9, 10, 11):  # 2 is late and doubled, 5 is lost
                voice.rtp.sendto(packets[index], ("127.0.0.1", ports[0]))
                await asyncio.sleep(0.01)
            event = voice.packet(bytes((7, 0x8A, 0, 160)), payload_type=101)
            for _ in range(3):
                voice.rtp.sendto(event, ("127.0.0.1", ports[0]))
            await talk([sources[1]], [ports[1]], [speech(1, 3)])
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    stream = result.streams[0]
    assert (stream.counts.lost, stream.counts.disordered, stream.counts.duplicates) == (1, 1, 3)
    assert stream.presses == ((12 * 160, "7"),)
    samples = wav.read(result.directory / "stream-1.wav").channels[0]
    silent = array("h", bytes(320))
    assert samples == decoded(said[:5]) + silent + decoded(said[6:])
    assert result.status is Status.INCOMPLETE


async def test_reports_come_back_to_where_reports_come_from(tmp_path: Path) -> None:
    async with recording(tmp_path, report_interval_s=0.2) as recorder:
        async with session(recorder) as (client, sources, ports, ids):
            await talk(sources, ports, [speech(0, 50), speech(1, 50)])
            reports = []
            for voice in sources:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        reports.append(voice.rtcp.recv(2_048))
            await client.update(stopped(ids))
            await client.bye()
        result = await one_result(recorder)
    assert len(reports) >= 2
    first = reports[0]
    assert first[1] == 201
    assert first[0] & 0x1F == 1, "one source is reported on"
    assert int.from_bytes(first[8:12]) in {0x1000, 0x1001}
    assert first[12] == 0, "nothing was lost"
    assert parse_rtcp(first).names
    assert result.status is Status.OK, result.reasons


async def test_two_streams_of_one_source_are_a_finding(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder:
        async with session(recorder) as (client, sources, ports, _):
            sources[1].ssrc = sources[0].ssrc
            await talk(sources, ports, [speech(0, 5), speech(1, 5)])
            sources[0].rtp.sendto(sources[0].packet(b"\x01" * 160, payload_type=96), ("127.0.0.1", ports[0]))
            sources[1].rtp.sendto(sources[0].packet(b"\x01" * 160), ("127.0.0.1", ports[0]))
            await asyncio.sleep(0.05)
            await client.bye()
        result = await one_result(recorder)
    assert codes(result) == {"ssrc-shared", "payload-type", "not-symmetric"}


async def test_a_session_timer_is_agreed_on(tmp_path: Path) -> None:
    async with recording(tmp_path, behaviour=Behaviour(session_expires_s=120)) as recorder:
        with voices() as sources:
            async with dialling(port_of(recorder)) as client:
                draft = client.invite(Ids(), (sources[0].port, sources[1].port))
                answer = await client.ask(draft)
                assert answer.get("Session-Expires") == "120;refresher=uas"
            async with dialling(port_of(recorder)) as client:
                draft = client.invite(Ids(), (sources[0].port, sources[1].port))
                draft = draft.edit(
                    "Supported: timer", "Session-Expires: 1800;refresher=uac\r\nSupported: timer"
                )
                answer = await client.ask(draft)
    assert answer.get("Session-Expires") == "120;refresher=uac"
    assert answer.get("Require") == "timer"


async def test_many_sessions_are_kept_apart(tmp_path: Path) -> None:
    async def record_one(index: int) -> None:
        async with session(recorder, "tcp" if index % 2 else "udp") as (client, sources, ports, ids):
            await talk(sources, ports, [speech(index, 10), speech(index + 1, 10)])
            await client.update(stopped(ids))
            await client.bye()

    async with recording(tmp_path) as recorder:
        await asyncio.gather(*map(record_one, range(12)))
        assert await recorder.wait_ended(12, 10)
    assert {result.status for result in recorder.results} == {Status.OK}
    assert len({result.directory for result in recorder.results}) == 12
    assert len({result.streams[0].sha256 for result in recorder.results}) == 12


async def test_what_is_no_recording_session_is_answered(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder, dialling(port_of(recorder)) as client:
        options = await client.ask(Draft(client.head("OPTIONS")))
        stray = await client.ask(Draft(client.head("BYE").replace("srs.example>", "srs.example>;tag=none")))
        unknown = await client.ask(Draft(client.head("INVITE") + "Require: 100rel\r\nContact: <sip:a@b>\r\n"))
    assert options.status == 200
    assert "application/rs-metadata+xml" in options.get("Accept")
    assert stray.status == 481
    assert (unknown.status, unknown.get("Unsupported")) == (420, "100rel")


async def test_stopping_ends_every_session_and_writes_it(tmp_path: Path) -> None:
    events: list[RecorderEvent] = []
    async with recording(tmp_path) as recorder:
        recorder.observer = events.append
        async with session(recorder) as (client, sources, ports, _):
            await talk(sources, ports, [speech(0, 5), speech(1, 5)])
            await recorder.stop()
            await client.expect("BYE")
    (result,) = recorder.results
    assert (result.status, result.ending) == (Status.INCOMPLETE, "the recorder was stopped")
    assert wav.read(result.directory / "stream-1.wav").samples == 800
    assert [type(event).__name__ for event in events][-1] == "Ended"


async def test_a_taken_port_is_told_with_a_remedy(tmp_path: Path) -> None:
    async with recording(tmp_path) as recorder:
        taken = replace(UDP, port=port_of(recorder))
        with pytest.raises(RecorderError) as refused:
            await Recorder(RecorderOptions(directory=tmp_path, listen=(taken,))).start()
    assert "--listen" in refused.value.hint


@contextlib.asynccontextmanager
async def program(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidestream", "record", *words, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("form", ["json", "text"])
async def test_the_command_records_and_ends_by_sigint(tmp_path: Path, form: str) -> None:
    words = ["--out", str(tmp_path), "--listen", "udp://127.0.0.1:0"]
    async with program(*words, *(["--json"] if form == "json" else [])) as process:
        assert process.stdout is not None
        first = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", first)
        assert found is not None
        with voices() as sources:
            async with dialling(int(found[1])) as client:
                ids = Ids()
                answer = await client.ask(client.invite(ids, (sources[0].port, sources[1].port)))
                await talk(sources, answer.ports, [speech(0, 5), speech(1, 5)])
                await client.update(stopped(ids))
                await client.bye()
                summary = tmp_path / client.call_id / "summary.json"
                for _ in range(200):
                    if summary.exists():
                        break
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed = (await asyncio.wait_for(process.communicate(), 20))[0].decode()
        assert process.returncode == 0, printed
    if form == "json":
        events = [json.loads(line) for line in printed.splitlines()]
        assert events[0]["event"] == "offered"
        assert events[-1]["event"] == "ended"
        assert events[-1]["status"] == "OK"
    else:
        assert "OK " in printed
        assert "Alice sends 1 and hears 2" in printed
