"""From a scene that has been played to its evidence: reads what each witness left behind and compares it."""

from __future__ import annotations

import json
import platform
import shutil
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sidestream import __version__
from sidestream.tools import g711, stream_messages, wav
from sidestream.tools.compare import Frame, compare
from sidestream.tools.demo_evidence import (
    CALLEE,
    CALLER,
    Evidence,
    Lane,
    Party,
    Quality,
    SipStep,
    StreamMessage,
    Witness,
)
from sidestream.tools.demo_recording import CallTimes, copy_recording, gather_recording
from sidestream.tools.demo_scene import LAW, Scene
from sidestream.tools.demo_wav import StoredLane, check_wav
from sidestream.tools.gateway_process import read_records
from sidestream.tools.listen import describe
from sidestream.tools.phone import Phone
from sidestream.tools.phone_call import PhoneCall
from sidestream.tools.rtp import CLOCK_RATE, FRAME_SAMPLES
from sidestream.tools.stream_store import StreamResult

MAX_LOG_LINES = 2_000
PARTICIPANTS = ((0, CALLER, "Ada"), (1, CALLEE, "Grace"))


def gather(scene: Scene) -> Evidence:
    """Return the evidence of a scene that has been played to its end, and write the phones' WAV files."""
    outgoing, incoming = scene.calls
    caller_phone, callee_phone = scene.phones
    caller = _party(CALLER, caller_phone, outgoing)
    callee = _party(CALLEE, callee_phone, incoming)
    files = _write_audio(scene.directory, (caller, callee))
    stream = scene.listener.results[0] if scene.listener.results else None
    messages: list[StreamMessage] = []
    stream_begin = 0.0
    witnesses = [_phone_witness(callee, caller), _phone_witness(caller, callee)]
    if stream is not None:
        lines = list(_transcript(stream.directory / "transcript.jsonl"))
        messages = [_message(line, scene) for line in lines if line.get("event") != "media"]
        stream_begin = _stream_begin(lines, scene)
        witnesses.append(_endpoint_witness(stream, lines, (caller, callee), scene))
        files |= _copy_stream(scene.directory, stream)
    result = scene.recorder.results[0] if scene.recorder.results else None
    times = CallTimes(scene.at, scene.begin, scene.answered, scene.seconds)
    recording, recorder = gather_recording(LAW, result, (caller, callee), times)
    witnesses.append(recorder)
    files |= copy_recording(scene.directory, recording, (CALLER, CALLEE))
    records = read_records(scene.journal)
    return Evidence(
        at=scene.at,
        law=LAW,
        parties=(caller, callee),
        witnesses=tuple(witnesses),
        stream=stream,
        recording=recording,
        messages=tuple(messages),
        begin=scene.begin,
        stream_begin=stream_begin,
        ladder=tuple(_ladder(scene, (caller_phone, callee_phone))),
        marks=tuple(scene.marks),
        tls=scene.tls,
        record=records[-1] if records else None,
        configuration=scene.gateway.configuration.read_text(),
        log=tuple(scene.gateway.lines[-MAX_LOG_LINES:]),
        versions=_versions(),
        seconds=scene.seconds,
        files=files,
    )


def _party(role: str, phone: Phone, call: PhoneCall) -> Party:
    media, recorder = call.media, call.media.recorder
    sent = [Frame(frame.timestamp, frame.payload, frame.at) for frame in media.sent]
    heard = [Frame(frame.timestamp, frame.payload, frame.at) for frame in recorder.frames()]
    return Party(
        role=role,
        name=phone.options.display_name,
        number=phone.options.user,
        address=f"{phone.options.user} at {phone.options.listen.host}:{phone.port}",
        sent=tuple(sent),
        heard=tuple(_from_zero(heard)),
        presses=tuple(media.pressed),
        keys_heard="".join(recorder.digits),
        statuses=tuple(call.statuses),
        ending=call.ending,
        quality=Quality(
            sent=len(media.sent),
            heard=recorder.packets,
            lost=recorder.lost,
            duplicates=recorder.duplicates,
            disordered=recorder.disordered,
            jitter_ms=recorder.jitter_ms,
            lateness_ms=media.lateness_ms,
        ),
    )


def _from_zero(frames: list[Frame]) -> Iterator[Frame]:
    """Count positions from the first frame: RTP timestamps begin anywhere (RFC 3550 section 5.1)."""
    for frame in frames:
        yield Frame(frame.position - frames[0].position, frame.payload, frame.at)


def _phone_witness(listener: Party, speaker: Party) -> Witness:
    found = compare(speaker.sent, listener.heard, g711.SILENCE[LAW])
    title = f"{speaker.name} as {listener.name}'s phone heard her"
    return Witness(
        "phone",
        f"{listener.name}'s phone",
        "RTP relayed by the gateway, packet by packet.",
        (Lane(title, speaker.sent, listener.heard, found),),
    )


def _endpoint_witness(
    stream: StreamResult, lines: list[dict[str, object]], parties: tuple[Party, Party], scene: Scene
) -> Witness:
    lanes = []
    for (channel, _, name), party in zip(PARTICIPANTS, parties, strict=True):
        arrived = tuple(_stream_frames(lines, channel, scene))
        found = compare(party.sent, arrived, g711.SILENCE[LAW])
        title = f"{name} on channel {channel} of the stream"
        lanes.append(Lane(title, party.sent, arrived, found))
    file = stream.directory / "call.wav"
    stored = [StoredLane(lane, file, channel) for channel, lane in enumerate(lanes)]
    check = check_wav("Does the endpoint's WAV file hold what was said, sample for sample?", LAW, stored)
    return Witness(
        "endpoint",
        "The endpoint",
        "JSON messages over a TLS WebSocket, as a customer gets them.",
        tuple(lanes),
        (check,),
    )


def _transcript(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            message = json.loads(line)
            if isinstance(message, dict):
                yield message


def _arrival(line: dict[str, object], scene: Scene) -> float:
    at = datetime.fromisoformat(str(line["receivedAt"])).timestamp()
    return at - scene.wall_offset


def _stream_begin(lines: list[dict[str, object]], scene: Scene) -> float:
    """Return where sample 0 of the stream lies, in seconds since the call began."""
    starts = [line["start"] for line in lines if isinstance(line.get("start"), dict)]
    try:
        return (datetime.fromisoformat(str(starts[0]["startedAt"])) - scene.at).total_seconds()  # type: ignore[index]
    except (IndexError, KeyError, ValueError):
        return 0.0


def _stream_frames(lines: list[dict[str, object]], channel: int, scene: Scene) -> Iterator[Frame]:
    for line in lines:
        media = line.get("media")
        if isinstance(media, dict) and media.get("channel") == channel:
            message = stream_messages.decode(json.dumps(line))
            if message.media is not None:
                payload = stream_messages.payload_of(message.media)
                yield Frame(message.media.timestamp, payload, _arrival(line, scene))


def _message(line: dict[str, object], scene: Scene) -> StreamMessage:
    text = json.dumps(line, indent=2, ensure_ascii=False)
    at = _arrival(line, scene) - scene.begin
    try:
        message = stream_messages.decode(json.dumps(line))
    except stream_messages.MessageError as error:
        return StreamMessage(0, "malformed", at, str(error), text)
    body = message.metadata or message.dtmf
    return StreamMessage(
        message.sequence_number,
        message.event,
        at,
        describe(message),
        text,
        body.timestamp if body is not None else None,
    )


def _ladder(scene: Scene, phones: tuple[Phone, Phone]) -> list[SipStep]:
    steps = [
        SipStep(
            entry.at - scene.begin,
            role,
            entry.direction == "sent",
            entry.first_line,
            entry.cseq,
            entry.text,
        )
        for role, phone in zip((CALLER, CALLEE), phones, strict=True)
        for entry in phone.trace
    ]
    return sorted(steps, key=lambda step: step.at)


def _write_audio(directory: Path, parties: tuple[Party, Party]) -> dict[str, Path]:
    files = {}
    for party in parties:
        for what, frames in (("sent", party.sent), ("heard", party.heard)):
            path = directory / f"{party.role}-{what}.wav"
            wav.write(path, CLOCK_RATE, [_samples(frames)])
            files[f"{party.role}-{what}"] = path
    return files


def _samples(frames: tuple[Frame, ...]) -> array[int]:
    audio = array("h")
    for frame in frames:
        begin = frame.position - frames[0].position
        if begin > len(audio):
            audio.extend(array("h", bytes(2 * (begin - len(audio)))))
        audio[begin : begin + FRAME_SAMPLES] = g711.decode(LAW, frame.payload)
    return audio


def _copy_stream(directory: Path, stream: StreamResult) -> dict[str, Path]:
    files = {}
    for name, copy in (("call.wav", "endpoint.wav"), ("transcript.jsonl", "transcript.jsonl")):
        source = stream.directory / name
        if source.is_file():
            shutil.copyfile(source, directory / copy)
            files[copy] = directory / copy
    return files


def _versions() -> tuple[tuple[str, str], ...]:
    return (
        ("Sidestream", __version__),
        ("Python", platform.python_version()),
        ("System", f"{platform.system()} {platform.machine()}"),
    )
