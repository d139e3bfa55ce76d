"""Recorded calls: two phones across a gateway, and the development recorder, which judges every message."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interop.harness import CARRIER_HOST, CONFIG, DESK_HOST, sip_port
from sidestream.config import parse
from sidestream.config.values import Srtp
from sidestream.gateway.recorder import RecordingView
from sidestream.gateway.service import Gateway
from sidestream.gateway.sip_options import ListenAddress
from sidestream.siprec.xml import parse as parse_metadata
from sidestream.tools import g711
from sidestream.tools.g711 import Law
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import CallFailedError, PhoneCall
from sidestream.tools.recorder import Recorder
from sidestream.tools.recorder_options import Behaviour, RecorderOptions
from sidestream.tools.recorder_result import RecordedStream, SessionResult
from sidestream.tools.stream_receiver import Status

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

FRAME = 160
LISTEN = (ListenAddress("tcp", "127.0.0.1", 0),)
SIPREC = """\
        integrations:
          - name: keep
            type: siprec
            servers: [{servers}]
{settings}
"""


@contextlib.asynccontextmanager
async def recorders(
    directory: Path, count: int = 1, behaviour: Behaviour | None = None, **options: object
) -> AsyncIterator[list[Recorder]]:
    """Run so many recorders; the behaviour is the first one's."""
    made = []
    for number in range(count):
        chosen = RecorderOptions(directory=directory / f"srs-{number}", listen=LISTEN, keep_frames=True)
        if number == 0:
            chosen = replace(chosen, behaviour=behaviour or Behaviour())
            chosen = replace(chosen, **options)  # type: ignore[arg-type] # each test names what is there
        made.append(Recorder(chosen))
    try:
        for recorder in made:
            await recorder.start()
        yield made
    finally:
        for recorder in made:
            await recorder.stop()


@dataclass
class Site:
    """A gateway in this process, so that a test can control its recordings."""

    gateway: Gateway
    directory: Path
    ports: dict[str, int]

    def view(self) -> RecordingView:
        recordings = self.gateway.recordings
        assert recordings is not None
        (call_id,) = recordings._calls
        return recordings.views(call_id)[-1]

    def pause(self) -> None:
        recordings, view = self.gateway.recordings, self.view()
        assert recordings is not None
        recordings.pause(view.call_id, view.recording_id)

    def resume(self) -> None:
        recordings, view = self.gateway.recordings, self.view()
        assert recordings is not None
        recordings.resume(view.call_id, view.recording_id)

    async def record(self) -> dict[str, Any]:
        """Wait until the one call is over, and return its record."""
        path = self.directory / "journal" / "calls.jsonl"
        for _ in range(1000):
            idle = self.gateway.calls is not None and not self.gateway.calls.active
            if idle and path.exists() and path.read_bytes().endswith(b"\n"):
                break
            await asyncio.sleep(0.02)
        (line,) = path.read_text().splitlines()
        record: dict[str, Any] = msgspec.json.decode(line)
        return record


@contextlib.asynccontextmanager
async def site(
    directory: Path, servers: Sequence[Recorder], trunks: tuple[str, str] = ("off", "off"), **settings: str
) -> AsyncIterator[Site]:
    """Run a gateway that records on these servers, in their order."""
    listed = ", ".join(f'{{uri: "{each.uris[0]}", priority: {rank}}}' for rank, each in enumerate(servers))
    lines = "\n".join(f"            {name}: {value}" for name, value in settings.items())
    ports = {"sip": sip_port("127.0.0.1"), "api": sip_port("127.0.0.1")}
    ports |= {"carrier": sip_port(CARRIER_HOST), "desk": sip_port(DESK_HOST)}
    text = CONFIG.format(
        **ports,
        media="12000-17999",
        directory=directory,
        transport="udp",
        peers=f'{{uri: "sip:{DESK_HOST}:{ports["desk"]};transport=udp"}}',
        integrations=SIPREC.format(servers=listed, settings=lines),
        max_calls=100,
        node="",
        account_keys="",
        carrier_keys=f"          srtp: {trunks[0]}",
        trunk=f"          srtp: {trunks[1]}",
    )
    gateway = Gateway(parse(text.encode(), "gateway.yaml", directory, {}))
    try:
        await gateway.start()
        yield Site(gateway, directory, ports)
    finally:
        if gateway.calls is not None:
            gateway.calls.abandon_all()
        await gateway.close()


@dataclass
class Talk:
    """Two phones in a call across the gateway."""

    caller: PhoneCall
    callee: PhoneCall

    async def say(self, frames: int) -> tuple[list[bytes], list[bytes]]:
        """Send random audio both ways at once, and return what was sent."""
        said = [os.urandom(FRAME) for _ in range(frames)], [os.urandom(FRAME) for _ in range(frames)]
        self.caller.media.play(said[0])
        self.callee.media.play(said[1])
        await asyncio.gather(self.caller.media.drained(), self.callee.media.drained())
        await asyncio.sleep(0.15)
        return said

    def heard(self) -> tuple[list[bytes], list[bytes]]:
        """What the callee and the caller have heard."""
        both = self.callee, self.caller
        heard = [[frame.payload for frame in each.media.recorder.frames()] for each in both]
        return heard[0], heard[1]


@contextlib.asynccontextmanager
async def talk(
    running: Site, law: Law = "PCMU", srtp: tuple[Srtp, Srtp] = (Srtp.OFF, Srtp.OFF)
) -> AsyncIterator[Talk]:
    listen = [
        ListenAddress("udp", CARRIER_HOST, running.ports["carrier"]),
        ListenAddress("udp", DESK_HOST, running.ports["desk"]),
    ]
    phones = [
        await Phone.open(PhoneOptions(one, user, law=law, srtp=policy))
        for one, user, policy in zip(listen, ("+1", "+2"), srtp, strict=True)
    ]
    try:
        caller = await phones[0].dial(f"sip:+15551234@127.0.0.1:{running.ports['sip']}")
        callee = await phones[1].wait_call(10)
        if callee is None:
            await caller.answered(1)
        assert callee is not None
        callee.ring()
        callee.answer()
        await caller.answered(10)
        await asyncio.wait_for(callee.acknowledged.wait(), 10)
        yield Talk(caller, callee)
    finally:
        for phone in phones:
            await phone.close()


async def result_of(recorder: Recorder) -> SessionResult:
    assert await recorder.wait_ended(1, 10), "the recording session has not ended"
    return recorder.results[0]


def payloads(stream: RecordedStream) -> list[bytes]:
    """Return the audio of a stream in the order of its timestamps."""
    return [frame.payload for frame in sorted(stream.frames, key=lambda frame: frame.position)]


def kept(stream: RecordedStream, said: list[bytes]) -> list[bytes]:
    """Return what a stream holds of what was said."""
    known = set(said)
    return [payload for payload in payloads(stream) if payload in known]


async def test_both_sides_arrive_bit_for_bit_and_every_rule_is_kept(tmp_path: Path) -> None:
    async with recorders(tmp_path) as servers, site(tmp_path, servers) as running, talk(running) as call:
        said = await call.say(100)
        call.caller.media.press("5#")
        await call.caller.media.drained()
        await asyncio.sleep(0.2)
        await call.caller.hang_up()
        assert await call.callee.ended(5)
        assert call.heard() == said
        result = await result_of(servers[0])
        record = await running.record()
    assert (result.status, result.reasons) == (Status.OK, ())
    for stream, sent in zip(result.streams, said, strict=True):
        assert kept(stream, sent) == sent
    assert [digit for _, digit in result.streams[0].presses] == ["5", "#"]
    assert [entry.message for entry in result.documents] == ["INVITE", "UPDATE"]
    (recording,) = record["recordings"]
    assert (recording["verdict"], recording["sessions"][0]["sip_call_id"]) == ("completed", result.call_id)
    assert recording["session_id"] in (result.directory / "metadata-001.xml").read_text()


async def test_the_first_word_is_recorded_however_slow_the_recorder_is(tmp_path: Path) -> None:
    slow = Behaviour(answer_delay_s=0.8)
    async with (
        recorders(tmp_path, behaviour=slow) as servers,
        site(tmp_path, servers) as running,
        talk(running) as call,
    ):
        said = await call.say(80)
        await call.caller.hang_up()
        result = await result_of(servers[0])
    for stream, sent in zip(result.streams, said, strict=True):
        assert kept(stream, sent) == sent


async def test_two_copies_are_identical(tmp_path: Path) -> None:
    async with (
        recorders(tmp_path, 2) as servers,
        site(tmp_path, servers, copies="2") as running,
        talk(running) as call,
    ):
        said = await call.say(80)
        await call.callee.hang_up()
        results = [await result_of(server) for server in servers]
    for number, sent in enumerate(said):
        first, second = (result.streams[number] for result in results)
        assert kept(first, sent) == kept(second, sent) == sent
        assert {frame.payload for frame in first.frames} == {frame.payload for frame in second.frames}
    documents = [(result.directory / "metadata-001.xml").read_text() for result in results]
    assert (
        documents[0].partition("<sessionrecordingassoc")[0]
        == documents[1].partition("<sessionrecordingassoc")[0]
    )


async def test_hold_resume_and_end_are_told_within_200_ms(tmp_path: Path) -> None:
    async with recorders(tmp_path) as servers, site(tmp_path, servers) as running, talk(running) as call:
        await call.say(10)
        done = []
        for act in (call.caller.hold, call.caller.resume, call.caller.hang_up):
            await asyncio.sleep(0.3)
            done.append(datetime.now(UTC))
            await act()
        result = await result_of(servers[0])
    told = result.documents[1:]
    assert len(told) == 3
    delays = [(entry.at - at).total_seconds() for entry, at in zip(told, done, strict=True)]
    # Two of three: a busy machine delays phones and recorder, which run here too.
    assert sorted(delays)[1] < 0.2, delays
    files = [entry.file.read_bytes() for entry in told if entry.file is not None]
    held, resumed, ended = (parse_metadata(data) for data in files)
    flows = [
        [(len(each.send), len(each.recv)) for each in document.participant_streams]  # type: ignore[union-attr]
        for document in (held, resumed, ended)
    ]
    assert flows == [[(1, 0), (0, 1)], [(1, 1), (1, 1)], [(0, 0), (0, 0)]]


async def test_a_change_of_codec_is_told_and_recorded_within_200_ms(tmp_path: Path) -> None:
    laws: tuple[Law, ...] = ("PCMA", "PCMU", "PCMA")
    loop = asyncio.get_running_loop()
    async with recorders(tmp_path) as servers, site(tmp_path, servers) as running, talk(running) as call:
        parts = [await call.say(20)]
        begun = []
        for law in laws:
            begun.append((datetime.now(UTC), loop.time()))
            await call.caller.change_law(law)
            parts.append(await call.say(20))
        await call.caller.hang_up()
        result = await result_of(servers[0])
    assert (result.status, result.reasons) == (Status.OK, ())
    told = result.documents[1 : 1 + len(laws)]
    assert len(told) == len(laws)
    # One of them has the machine to itself: a busy one delays phones and recorder, which run here too.
    assert min((entry.at - at).total_seconds() for entry, (at, _) in zip(told, begun, strict=True)) < 0.2
    for number, stream in enumerate(result.streams):
        frames = {frame.payload: frame for frame in stream.frames}
        delays = []
        for law, said, (_, at) in zip(laws, parts[1:], begun, strict=True):
            # Until the recorder has agreed to the new law it gets the old one, transcoded.
            same = kept(stream, said[number])
            assert same == said[number][-len(same) :]
            assert len(same) >= len(said[number]) - 10
            assert {frames[payload].law for payload in same} == {law}
            delays.append(frames[same[0]].at - at)
        assert min(delays) < 0.2
        assert kept(stream, parts[0][number]) == parts[0][number]


async def test_a_pause_leaves_out_what_is_said_in_it_and_nothing_else(tmp_path: Path) -> None:
    async with recorders(tmp_path) as servers, site(tmp_path, servers) as running, talk(running) as call:
        before = await call.say(40)
        running.pause()
        await asyncio.sleep(0.2)
        hidden = await call.say(30)
        running.resume()
        await asyncio.sleep(0.3)
        after = await call.say(40)
        await call.caller.hang_up()
        result = await result_of(servers[0])
        record = await running.record()
    assert (result.status, result.reasons) == (Status.OK, ())
    for stream, first, secret, last in zip(result.streams, before, hidden, after, strict=True):
        assert kept(stream, secret) == []
        assert kept(stream, first) == first
        assert kept(stream, last) == last
        places = {frame.payload: frame for frame in stream.frames}
        paused = (places[last[0]].position - places[first[-1]].position) / 8000
        elapsed = places[last[0]].at - places[first[-1]].at
        assert abs(paused - elapsed) < 0.1
        assert len(stream.ssrcs) == 1
    assert len(record["recordings"][0]["paused"]) == 1


async def test_a_pause_under_speech_cuts_one_piece_out(tmp_path: Path) -> None:
    async with recorders(tmp_path) as servers, site(tmp_path, servers) as running, talk(running) as call:
        talking = asyncio.create_task(call.say(150))
        await asyncio.sleep(1.0)
        running.pause()
        await asyncio.sleep(0.6)
        running.resume()
        said = await talking
        await call.caller.hang_up()
        result = await result_of(servers[0])
    for stream, sent in zip(result.streams, said, strict=True):
        places = [index for index, frame in enumerate(sent) if frame in set(kept(stream, sent))]
        gaps = [(before, after) for before, after in pairwise(places) if after != before + 1]
        assert len(gaps) == 1, gaps
        ((before, after),) = gaps
        assert 25 <= after - before - 1 <= 40
        assert (places[0], places[-1]) == (0, len(sent) - 1)


async def test_another_recorder_takes_over_and_the_call_does_not_notice(tmp_path: Path) -> None:
    leaving = Behaviour(bye_after_s=0.6)
    async with (
        recorders(tmp_path, 2, leaving) as servers,
        site(tmp_path, servers) as running,
        talk(running) as call,
    ):
        said = await call.say(100)
        await call.caller.hang_up()
        assert await call.callee.ended(5)
        assert call.heard() == said
        first, second = [await result_of(server) for server in servers]
        record = await running.record()
    for number, sent in enumerate(said):
        halves = kept(first.streams[number], sent), kept(second.streams[number], sent)
        missing = len(sent) - len(halves[0]) - len(halves[1])
        assert all(halves)
        assert missing <= 10, missing
    (recording,) = record["recordings"]
    assert recording["verdict"] == "completed-after-failover"
    assert 0 <= recording["copies"][0]["gap_s"] < 0.2
    ids = [parse_metadata((each.directory / "metadata-001.xml").read_bytes()) for each in (first, second)]
    assert ids[0].sessions[0].session_id == ids[1].sessions[0].session_id  # type: ignore[union-attr]


async def test_a_recorder_that_takes_another_law_gets_it_transcoded(tmp_path: Path) -> None:
    laws: tuple[Law, ...] = ("PCMU",)
    async with (
        recorders(tmp_path, codecs=laws) as servers,
        site(tmp_path, servers) as running,
        talk(running, law="PCMA") as call,
    ):
        said = await call.say(50)
        await call.caller.hang_up()
        result = await result_of(servers[0])
    for stream, sent in zip(result.streams, said, strict=True):
        wanted = [g711.encode("PCMU", g711.decode("PCMA", frame)) for frame in sent]
        assert {frame.law for frame in stream.frames} == {"PCMU"}
        assert kept(stream, wanted) == wanted


async def test_key_presses_are_kept_from_a_recording_that_shall_not_have_them(tmp_path: Path) -> None:
    async with (
        recorders(tmp_path) as servers,
        site(tmp_path, servers, dtmf="suppress") as running,
        talk(running) as call,
    ):
        await call.say(10)
        call.caller.media.press("4711")
        await call.caller.media.drained()
        await asyncio.sleep(0.2)
        assert "".join(call.callee.media.recorder.digits) == "4711"
        await call.caller.hang_up()
        result = await result_of(servers[0])
    assert [stream.presses for stream in result.streams] == [(), ()]


async def test_a_call_that_must_be_recorded_waits_for_its_recorder(tmp_path: Path) -> None:
    slow = Behaviour(answer_delay_s=0.7)
    async with (
        recorders(tmp_path, behaviour=slow) as servers,
        site(tmp_path, servers, policy="mandatory") as running,
    ):
        began = time.monotonic()
        async with talk(running) as call:
            assert time.monotonic() - began > 0.7
            said = await call.say(30)
            await call.caller.hang_up()
            result = await result_of(servers[0])
    assert (result.status, result.reasons) == (Status.OK, ())
    for stream, sent in zip(result.streams, said, strict=True):
        assert kept(stream, sent) == sent


async def test_a_call_that_must_be_recorded_is_refused_without_a_recorder(tmp_path: Path) -> None:
    refusing = Behaviour(reject=486)
    async with (
        recorders(tmp_path, behaviour=refusing) as servers,
        site(tmp_path, servers, policy="mandatory") as running,
    ):
        with pytest.raises(CallFailedError, match="503"):
            async with talk(running):
                pass
        record = await running.record()
    assert record["verdict"]["slug"] == "recording-required"
    assert record["recordings"][0]["verdict"] == "busy"


async def test_a_recorder_that_dies_is_found_out_by_its_media(tmp_path: Path) -> None:
    """No BYE, no answer: the sockets of the first recorder are simply gone."""
    async with (
        recorders(tmp_path, 2) as servers,
        site(tmp_path, servers) as running,
        talk(running) as call,
    ):
        await call.say(20)
        await servers[0].stop()
        said = await call.say(100)
        await call.caller.hang_up()
        assert call.heard()[0][-100:] == said[0]
        second = await result_of(servers[1])
    for stream, sent in zip(second.streams, said, strict=True):
        assert len(kept(stream, sent)) >= 60
