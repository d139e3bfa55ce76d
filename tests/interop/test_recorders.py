"""Recording servers of every conduct, played by SIPp: what they do to a recording, and never to its call.

Each conduct is met twice: by best effort the call is as if nobody recorded it, and where recording is
mandatory what the policy says comes to pass.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interop.harness import (
    CARRIER_HOST,
    DESK_HOST,
    Gateway,
    Load,
    Setup,
    Sipp,
    gateway,
    needs_sipp,
    new_records,
    run_pair,
    sipp,
    verdict_of,
)
from interop.recorder_script import (
    RECORDER_HOST,
    SNAPSHOT,
    Lines,
    Recorder,
    acknowledge,
    ask,
    playing,
    receive,
    recorders,
    respond,
    serve,
    taken,
    wait,
)
from sidestream.sip.parser import parse_message
from sidestream.siprec.body import read_body
from sidestream.siprec.check import Checker

pytestmark = [pytest.mark.interop, needs_sipp]

INTEGRATION = """\
        integrations:
          - name: keep
            type: siprec
            servers: [{servers}]
            policy: {policy}
            setup_deadline: {deadline}
            options_ping: off
            retry: off
            on_loss: hang_up
            x_headers: {{X-Call-Ref: "{{call.id}}"}}
"""

Script = Callable[[Recorder, str], tuple[str, ...]]
"""The steps of a recorder under a policy."""


def answered(lines: Lines, policy: str) -> str:
    """A recording that began before the answer is told of it."""
    return receive("UPDATE") + respond("200 OK", lines) if policy == "mandatory" else ""


def accept(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    return taken(recorder.lines, catch=False), serve(recorder.lines)


def not_ready(recorder: Recorder, policy: str) -> tuple[str, ...]:
    """`inactive`, and the wish for media by re-INVITE a while later (RFC 7866 figure 7)."""
    return (
        taken(Lines(recorder.lines.ports, "inactive")),
        answered(Lines(recorder.lines.ports, "inactive"), policy),
        wait(300),
        ask("INVITE", 1, recorder.lines),
        receive("100", optional=True),
        receive("200"),
        acknowledge(1),
        serve(recorder.lines),
    )


def one_stream(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    lines = Lines((recorder.sinks[0].port, 0))
    return taken(lines, catch=False), serve(lines)


def no_stream(_recorder: Recorder, _policy: str) -> tuple[str, ...]:
    return taken(Lines((0, 0)), catch=False), receive("BYE"), respond("200 OK")


def no_labels(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    lines = Lines(recorder.lines.ports, labels=False)
    return taken(lines, catch=False), serve(lines)


def multipart(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    return taken(recorder.lines, catch=False, multipart=True), serve(recorder.lines)


def silence(_recorder: Recorder, _policy: str) -> tuple[str, ...]:
    """100, and then nothing until it is given up."""
    return receive("INVITE"), respond("100 Trying"), receive("CANCEL"), respond("200 OK")


def busy(status: str) -> Script:
    def refuse(_recorder: Recorder, _policy: str) -> tuple[str, ...]:
        return receive("INVITE"), respond(status, new=True), receive("ACK")

    return refuse


def leaves(recorder: Recorder, policy: str) -> tuple[str, ...]:
    """BYE in mid-call."""
    return (
        taken(recorder.lines),
        answered(recorder.lines, policy),
        wait(300),
        ask("BYE", 1),
        receive("200"),
    )


def collides(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    """Our first change meets one of its own."""
    return (
        taken(recorder.lines, catch=False),
        receive("UPDATE"),
        respond("491 Request Pending"),
        serve(recorder.lines),
    )


def asks_for_a_snapshot(recorder: Recorder, policy: str) -> tuple[str, ...]:
    return (
        taken(recorder.lines),
        answered(recorder.lines, policy),
        wait(200),
        ask("UPDATE", 1, document=SNAPSHOT),
        receive("200"),
        receive("UPDATE"),
        respond("200 OK", recorder.lines),
        serve(recorder.lines),
    )


def knows_no_update(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    return (
        taken(recorder.lines, catch=False),
        receive("UPDATE"),
        respond("488 Not Acceptable Here"),
        serve(recorder.lines),
    )


def is_slow(recorder: Recorder, _policy: str) -> tuple[str, ...]:
    return (
        receive("INVITE"),
        wait(1200),
        respond("200 OK", recorder.lines, new=True),
        receive("ACK"),
        serve(recorder.lines),
    )


@dataclass(frozen=True)
class Conduct:
    """What recorders do, in the order in which they are asked, and what comes of it.

    Attributes:
        scripts: one for each server.
        verdict: of the recording, by best effort; and of the mandatory one, unless it says so.
        heard: whether each stream arrives at the last server.
        caller: the caller's scenario.
        refused: whether the call is refused where recording is mandatory.
        pause_ms: how long the callers talk.
    """

    scripts: tuple[Script, ...]
    verdict: str = "completed"
    heard: tuple[bool, bool] = (True, True)
    caller: str = "basic"
    refused: bool = False
    pause_ms: int = 1200


CONDUCTS = {
    "accepts": Conduct((accept,)),
    "is inactive, then wants media": Conduct((not_ready,)),
    "refuses one stream": Conduct((one_stream,), heard=(True, False)),
    "refuses all streams": Conduct((no_stream,), "media-refused", (False, False), refused=True),
    "names no labels": Conduct((no_labels,)),
    "answers in multipart": Conduct((multipart,)),
    "says 100 and no more": Conduct((silence,), "no-answer", (False, False), refused=True, pause_ms=2500),
    "is busy": Conduct((busy("486 Busy Here"), accept)),
    "is overloaded": Conduct((busy("503 Service Unavailable"), accept)),
    "leaves in mid-call": Conduct((leaves, accept), "completed-after-failover"),
    "collides": Conduct((collides,), caller="hold", pause_ms=300),
    "asks for a snapshot": Conduct((asks_for_a_snapshot,)),
    "knows no UPDATE": Conduct((knows_no_update,), caller="hold", pause_ms=300),
    "is slow": Conduct((is_slow,), pause_ms=2500),
}


@dataclass
class Played:
    """What came of one call."""

    record: dict[str, Any]
    recording: dict[str, Any]
    recorders: list[Recorder]
    sipps: list[Sipp]
    site: Gateway


@contextlib.contextmanager
def played(directory: Path, conduct: Conduct, policy: str, *, deadline: str = "1s") -> Iterator[Played]:
    """Carry one call, with recorders that behave as told."""
    with recorders(len(conduct.scripts)) as servers:
        listed = ", ".join(f'{{uri: "{each.uri}", priority: {rank}}}' for rank, each in enumerate(servers))
        deadline = "4s" if conduct.scripts == (is_slow,) else deadline
        integration = INTEGRATION.format(servers=listed, policy=policy, deadline=deadline)
        if policy == "best_effort":
            integration = integration.replace("            on_loss: hang_up\n", "")
        scripts = [
            (server, f"recorder-{number}", script(server, policy))
            for number, (server, script) in enumerate(zip(servers, conduct.scripts, strict=True))
        ]
        refused = conduct.refused and policy == "mandatory"
        with (
            gateway(directory, Setup(integrations=integration)) as site,
            playing(directory, scripts) as running,
            new_records(site) as records,
        ):
            load = Load(pause_ms=conduct.pause_ms, trace=True)
            if refused:
                carrier = (CARRIER_HOST, site.carrier)
                with sipp("recording_required_caller", directory, carrier, site.sip, load) as caller:
                    caller.finish(20)
            else:
                carry(site, directory, conduct.caller, load)
            site.wait_idle(20)
            for each in running:
                each.finish(20)
        (record,) = records
        recordings = record["recordings"]
        assert isinstance(recordings, list)
        yield Played(record, recordings[0], servers, running, site)


def carry(site: Gateway, directory: Path, name: str, load: Load) -> None:
    with (
        sipp(f"{name}_callee", directory, (DESK_HOST, site.desk), load=load) as called,
        sipp(f"{name}_caller", directory, (CARRIER_HOST, site.carrier), site.sip, load) as calling,
    ):
        calling.finish(40)
        called.finish(10)


def documents_of(running: Sipp) -> list[tuple[str, bytes, bool]]:
    """Return the metadata that a recorder was sent: method, document, and whether it came with an offer."""
    found = []
    for message in running.messages():
        if message.sent or "rs-metadata" not in message.text:
            continue
        parsed = parse_message(message.text.replace("\n", "\r\n").encode())
        body = read_body(parsed)
        if body.metadata is not None:
            found.append((parsed.cseq.method, body.metadata, body.description is not None))
    return found


def judge(running: Sipp) -> None:
    """Every document validates, and what it names is there."""
    checker = Checker()
    for _, document, with_offer in documents_of(running):
        assert checker.check(document, ("1", "2") if with_offer else None) == []


@pytest.mark.parametrize("name", CONDUCTS)
def test_by_best_effort_the_call_is_as_without_a_recorder(tmp_path: Path, name: str) -> None:
    conduct = CONDUCTS[name]
    with played(tmp_path, conduct, "best_effort") as call:
        assert verdict_of(call.record) == "caller-hung-up"
        assert call.recording["verdict"] == conduct.verdict
        assert [count > 0 for count in call.recorders[-1].heard] == list(conduct.heard)
        for running in call.sipps:
            judge(running)


@pytest.mark.parametrize("name", CONDUCTS)
def test_where_it_is_mandatory_the_named_outcome_comes(tmp_path: Path, name: str) -> None:
    conduct = CONDUCTS[name]
    with played(tmp_path, conduct, "mandatory") as call:
        expected = "recording-required" if conduct.refused else "caller-hung-up"
        assert verdict_of(call.record) == expected
        assert call.recording["verdict"] == conduct.verdict
        assert [count > 0 for count in call.recorders[-1].heard] == list(conduct.heard)
        for running in call.sipps:
            judge(running)


def test_the_loss_of_the_only_recorder_ends_a_call_that_must_be_recorded(tmp_path: Path) -> None:
    with recorders() as (recorder,):
        integration = INTEGRATION.format(
            servers=f'{{uri: "{recorder.uri}"}}', policy="mandatory", deadline="1s"
        )
        script = (recorder, "recorder", leaves(recorder, "mandatory"))
        with (
            gateway(tmp_path, Setup(integrations=integration)) as site,
            playing(tmp_path, [script]) as (running,),
            new_records(site) as records,
            sipp("basic_callee", tmp_path, (DESK_HOST, site.desk)) as called,
            sipp("callee_hangs_up_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip) as calling,
        ):
            calling.finish(20)
            called.finish(10)
            running.finish(10)
    (record,) = records
    assert verdict_of(record) == "policy"


def test_tshark_reads_the_invite_without_a_complaint(tmp_path: Path) -> None:
    """An independent dissector takes apart the multipart, its SDP and its XML."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    with played(tmp_path, CONDUCTS["accepts"], "best_effort") as call:
        (running,) = call.sipps
        invite = next(each for each in running.messages() if each.first_line.startswith("INVITE"))
    packet = invite.text.replace("\n", "\r\n").encode()
    pcap = tmp_path / "invite.pcap"
    text = "\n".join(
        f"{at:06x} " + " ".join(f"{byte:02x}" for byte in packet[at : at + 16])
        for at in range(0, len(packet), 16)
    )
    subprocess.run(
        ["text2pcap", "-q", "-T", "5060,5070", "-", str(pcap)],
        input=text.encode(), check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    fields = ("sip.Method", "sip.Require", "media.type", "sdp.media", "sdp.media_attr", "xml.tag")
    command = ["tshark", "-r", str(pcap), "-d", "tcp.port==5070,sip", "-T", "fields"]
    for each in (*fields, "_ws.malformed", "_ws.expert.message"):
        command += ["-e", each]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    dissected = dict(zip((*fields, "malformed", "expert"), output.rstrip("\n").split("\t"), strict=False))
    assert dissected["sip.Method"] == "INVITE"
    assert dissected["sip.Require"] == "siprec"
    assert dissected["sdp.media"].count("audio") == 2
    assert "label:1" in dissected["sdp.media_attr"]
    assert "<recording" in dissected["xml.tag"]
    assert not dissected.get("malformed")
    complaints = [each for each in dissected.get("expert", "").split(",") if each]
    assert [each for each in complaints if "x-call-ref" not in each and "TCP" not in each] == []


def test_no_header_of_the_call_leaks_to_the_recorder(tmp_path: Path) -> None:
    with played(tmp_path, CONDUCTS["accepts"], "best_effort") as call:
        (running,) = call.sipps
        invite = next(each for each in running.messages() if each.first_line.startswith("INVITE"))
        extensions = [line for line in invite.text.splitlines() if line.startswith("X-")]
        assert extensions == [f"X-Call-Ref: {call.record['call_id']}"]
        assert invite.header("From").startswith("<sip:test-gw@127.0.0.1>")


def test_a_recorder_is_no_trunk_and_a_trunk_no_recorder(tmp_path: Path) -> None:
    """Requests of a recorder that belong to no session are refused, as anybody else's."""
    with recorders() as (recorder,):
        integration = INTEGRATION.format(
            servers=f'{{uri: "{recorder.uri}"}}', policy="mandatory", deadline="1s"
        )
        stranger = (RECORDER_HOST, recorder.port)
        with (
            gateway(tmp_path, Setup(integrations=integration)) as site,
            new_records(site) as records,
            sipp("refused_caller", tmp_path, stranger, site.sip) as caller,
        ):
            caller.finish()
    assert [verdict_of(record) for record in records] == ["unknown-trunk"]


def test_200_recorded_calls_and_nothing_left_behind(tmp_path: Path) -> None:
    with recorders() as (recorder,):
        integration = INTEGRATION.format(
            servers=f'{{uri: "{recorder.uri}"}}', policy="mandatory", deadline="5s"
        )
        script = (recorder, "recorder", accept(recorder, "mandatory"))
        with (
            gateway(tmp_path, Setup(integrations=integration)) as site,
            playing(tmp_path, [script], calls=220) as (running,),
        ):
            load = Load(calls=20, rate=10, pause_ms=300)
            run_pair(site, tmp_path, "basic_caller", "basic_callee", (load, load))
            site.wait_idle(20)
            site.wait_traced(20)
            before = site.footprint()
            load = Load(calls=200, rate=20, pause_ms=1000)
            run_pair(site, tmp_path, "basic_caller", "basic_callee", (load, load))
            site.wait_idle(20)
            running.finish(20)
            after = site.footprint()
            records = site.records()
            metrics = site.metrics()
    verdicts = [record["recordings"][0]["verdict"] for record in records]  # type: ignore[index]
    assert verdicts == ["completed"] * 220
    assert metrics['sidestream_recordings_due_total{integration="keep"}'] == 220
    assert metrics["sidestream_recording_faults_total"] == 0
    assert metrics["sidestream_recordings_active"] == after.ports == 0
    assert after.descriptors <= before.descriptors
    assert after.tasks <= before.tasks


def test_a_recorder_that_dies_under_load_fails_over_with_every_call_up(tmp_path: Path) -> None:
    calls = 60
    with recorders(2) as (first, second):
        servers = ", ".join(f'{{uri: "{each.uri}", priority: {n}}}' for n, each in enumerate((first, second)))
        integration = INTEGRATION.format(servers=servers, policy="mandatory", deadline="5s")
        scripts = [
            (each, f"recorder-{n}", accept(each, "mandatory")) for n, each in enumerate((first, second))
        ]
        load = Load(calls=calls, rate=30, pause_ms=7000)
        with (
            gateway(tmp_path, Setup(integrations=integration)) as site,
            playing(tmp_path, scripts, calls=calls) as (dying, taking_over),
            sipp("basic_callee", tmp_path, (DESK_HOST, site.desk), load=load) as called,
            sipp("basic_caller", tmp_path, (CARRIER_HOST, site.carrier), site.sip, load) as calling,
        ):
            wait_for(lambda: site.metrics()["sidestream_recordings_active"] == calls)
            wait_for(lambda: all(count > 50 * calls for count in first.heard))
            dying.process.kill()
            first.die()
            calling.finish(40)
            called.finish(10)
            site.wait_idle(20)
            taking_over.finish(20)
            records = site.records()
            metrics = site.metrics()
    assert [verdict_of(record) for record in records] == ["caller-hung-up"] * calls
    recordings = [record["recordings"][0] for record in records]  # type: ignore[index]
    assert [each["verdict"] for each in recordings] == ["completed-after-failover"] * calls
    gaps = [each["copies"][0]["gap_s"] for each in recordings]
    assert max(gaps) < 2.0
    assert metrics["sidestream_recording_gap_seconds_count"] == calls


def wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
