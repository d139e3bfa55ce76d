"""`sidestream call`: one scripted call from a terminal or a script."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.sip_options import ListenAddress
from sidestream.gateway.sip_sockets import is_wildcard
from sidestream.gateway.sip_tls import SipTls
from sidestream.sip.errors import ParseError
from sidestream.sip.hop import Transport
from sidestream.sip.uri import SipUri
from sidestream.tools import g711, wav
from sidestream.tools.console import interruptible
from sidestream.tools.g711 import Law
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import CallFailedError, Phase, PhoneCall
from sidestream.tools.rtp import CLOCK_RATE, EVENT_SYMBOLS, FRAME_MS, FRAME_SAMPLES
from sidestream.tools.screen import printable
from sidestream.tools.tls_options import TlsOptions

SILENT_CALL_S = 10.0
"""How long a call without audio lasts when nothing else is said."""
LINGER_S = 0.4
"""Between the last packet and the BYE, so that it arrives before it."""
_LISTEN = re.compile(r"(udp|tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^:/\[\]]+)(?::(\d{1,5}))?/?")


_TRANSPORTS: dict[str, Transport] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}


class WrongUseError(SidestreamError):
    """The options cannot be carried out."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The command's options; times in seconds from the answer.

    Attributes:
        to: URI to call; None with `answer`.
        answer: wait for a call and answer it.
        listen_on: `udp://`, `tcp://` or `tls://host:port` that the phone listens on; None for any free port
            of 127.0.0.1, by TLS when the call is made over TLS, else by UDP.
        sender: user or number that it calls from.
        display_name: name that it calls with.
        play: WAV file to play; silence when None.
        record: WAV file for what is heard.
        codec: PCMU or PCMA.
        headers: further header lines of the INVITE.
        dtmf: keys to press.
        dtmf_at: when they are pressed.
        hold_at: when the far side is put on hold, None for never.
        hold_for: for how long.
        duration: when to hang up; None: when all audio was played.
        ring_for: how long it rings before it answers.
        timeout: for the answer, or for a call to come.
        expect: the final status that is wanted; 200 is an answered call.
        json: print the result as JSON.
        tls: directory of the phone's certificate for TLS, made when missing; None for one of the moment.
        ca: authorities that the far side is verified against, the system's when None.
        verify: whether it is.
    """

    to: str | None = None
    answer: bool = False
    listen_on: str | None = None
    sender: str = "phone"
    display_name: str = ""
    play: Path | None = None
    record: Path | None = None
    codec: str = "PCMU"
    headers: tuple[str, ...] = ()
    dtmf: str = ""
    dtmf_at: float = 0.5
    hold_at: float | None = None
    hold_for: float = 2.0
    duration: float | None = None
    ring_for: float = 0.2
    timeout: float = 60.0
    expect: int = 200
    json: bool = False
    tls: Path | None = None
    ca: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class CallReport:
    """How a call went.

    Attributes:
        good: whether it went as asked.
        status: final status of the INVITE.
        ending: why it ended.
        seconds: from the answer to the end.
        sent_frames: audio frames sent.
        unsent_frames: audio that was asked for and not sent.
        received_packets: RTP packets heard.
        lost: packets that never came.
        duplicates: packets that came twice.
        disordered: packets that came behind a newer one.
        jitter_ms: interarrival jitter.
        lateness_ms: how late our latest packet left.
        digits: keys heard.
        problem: what did not go as asked, empty when all did.
    """

    good: bool
    status: int
    ending: str
    seconds: float = 0.0
    sent_frames: int = 0
    unsent_frames: int = 0
    received_packets: int = 0
    lost: int = 0
    duplicates: int = 0
    disordered: int = 0
    jitter_ms: float = 0.0
    lateness_ms: float = 0.0
    digits: str = ""
    problem: str = ""


Say = Callable[[str, str], None]
"""Is told each step as one word and its details."""


def call_command(options: CallOptions) -> int:
    """Carry one call; return 0 when it went as asked, else 1.

    Raises:
        SidestreamError: it could not be tried (wrong options, an unreadable file, a port that is taken).
    """
    return asyncio.run(_call(options))


async def _call(options: CallOptions) -> int:
    report = await run_call(options, _say_json if options.json else _say)
    if options.json:
        _print(msgspec.json.encode({"event": "report"} | dataclasses.asdict(report)).decode())
    else:
        for line in describe(report):
            _print(line)
    return 0 if report.good else 1


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _say(step: str, details: str) -> None:
    _print(printable(f"{step:<9} {details}"))


def _say_json(step: str, details: str) -> None:
    _print(msgspec.json.encode({"event": step, "details": details}).decode())


def describe(report: CallReport) -> list[str]:
    """Return a report for a reader."""
    lines = [f"ended     {report.ending} after {report.seconds:.1f} s"]
    if report.seconds:
        lines += [
            f"sent      {report.sent_frames} frames, the latest {report.lateness_ms:.1f} ms late",
            f"heard     {report.received_packets} packets, {report.lost} lost, {report.duplicates} twice, "
            f"{report.disordered} out of order, jitter {report.jitter_ms:.1f} ms"
            + (f", keys {report.digits}" if report.digits else ""),
        ]
    return [*lines, "good" if report.good else f"FAILED    {report.problem}"]


def parse_listen(text: str) -> ListenAddress:
    """Read `udp://`, `tcp://` or `tls://host:port`; without a port any free one is taken.

    Raises:
        WrongUseError: it is none of them.
    """
    found = _LISTEN.fullmatch(text)
    if found is None or int(found[3] or 0) > 65_535:
        raise WrongUseError(f"{text!r} is no address to listen on", hint="Write it like udp://127.0.0.1:5080")
    return ListenAddress(_TRANSPORTS[found[1]], found[2].strip("[]"), int(found[3] or 0))


def load_frames(path: Path, law: Law) -> list[bytes]:
    """Return the first channel of a WAV file as encoded 20 ms frames, the last one filled with silence.

    Raises:
        WavError: the file cannot be read.
        WrongUseError: it is not sampled at 8,000 Hz.
    """
    audio = wav.read(path)
    if audio.sample_rate != CLOCK_RATE:
        raise WrongUseError(
            f"{path} is sampled at {audio.sample_rate} Hz; a telephone plays {CLOCK_RATE} Hz",
            hint=f"Convert it: sox {path} -r {CLOCK_RATE} -c 1 -b 16 out.wav",
        )
    codes = g711.encode(law, audio.channels[0])
    frames = [codes[begin : begin + FRAME_SAMPLES] for begin in range(0, len(codes), FRAME_SAMPLES)]
    if frames:
        frames[-1] = frames[-1].ljust(FRAME_SAMPLES, bytes((g711.SILENCE[law],)))
    return frames


async def run_call(options: CallOptions, say: Say) -> CallReport:
    """Carry one call and say how it goes.

    Raises:
        SidestreamError: it could not be tried.
    """
    law = _checked(options)
    frames = load_frames(options.play, law) if options.play is not None else _silence(options, law)
    listen = _listen_of(options)
    with tempfile.TemporaryDirectory(prefix="sidestream-tls-") as made:
        tls = _tls_of(options, listen, Path(made))
    phone = await Phone.open(
        PhoneOptions(listen, _user_of(options.sender), options.display_name, law, tls=tls)
    )
    try:
        with interruptible() as interrupted:
            say("listening", f"{phone.contact}")
            return await _carry(phone, options, frames, say, interrupted)
    finally:
        await phone.close()


def _checked(options: CallOptions) -> Law:
    if options.answer == (options.to is not None):
        raise WrongUseError("name a URI with --to, or wait for a call with --answer, and not both")
    if strange := set(options.dtmf.upper()) - set(EVENT_SYMBOLS):
        raise WrongUseError(f"no telephone has the key {min(strange)!r}", hint=f"Keys are {EVENT_SYMBOLS}")
    if any(":" not in header for header in options.headers):
        raise WrongUseError("a header is written 'Name: value'")
    if options.to is not None:
        _parse_uri(options.to)
    return g711.law_of(options.codec)


def _listen_of(options: CallOptions) -> ListenAddress:
    if options.listen_on is not None:
        return parse_listen(options.listen_on)
    return ListenAddress("tls" if _is_tls(options) else "udp", "127.0.0.1", 0)


def _is_tls(options: CallOptions) -> bool:
    """Whether the call is made over TLS."""
    uri = _parse_uri(options.to) if options.to is not None else None
    return uri is not None and (uri.scheme == "sips" or uri.transport == "tls")


def _tls_of(options: CallOptions, listen: ListenAddress, made: Path) -> SipTls | None:
    """Make the TLS of a phone that wants it; `made` is for a certificate of the moment."""
    if listen.transport != "tls" and not _is_tls(options):
        return None
    own = TlsOptions(directory=options.tls or made, ca=options.ca, verify=options.verify)
    return own.make(() if is_wildcard(listen.host) else (listen.host,))


def _user_of(sender: str) -> str:
    return sender if ":" not in sender else _parse_uri(sender).user or "phone"


def _parse_uri(text: str) -> SipUri:
    try:
        return SipUri.parse(text)
    except ParseError as error:
        raise WrongUseError(
            f"{text!r} is no SIP URI", hint="Write it like sip:+1555@127.0.0.1:5060"
        ) from error


def _silence(options: CallOptions, law: Law) -> list[bytes]:
    seconds = options.duration if options.duration is not None else SILENT_CALL_S
    return [bytes((g711.SILENCE[law],)) * FRAME_SAMPLES] * round(seconds * 1_000 / FRAME_MS)


async def _carry(
    phone: Phone, options: CallOptions, frames: list[bytes], say: Say, interrupted: asyncio.Event
) -> CallReport:
    try:
        call = await (_take_call if options.answer else _make_call)(phone, options, say)
    except CallFailedError as error:
        good = error.status == options.expect
        return CallReport(
            good, error.status, printable(str(error)), problem="" if good else printable(str(error))
        )
    begin = asyncio.get_running_loop().time()
    problem = ""
    script = asyncio.create_task(_script(call, options, frames, say))
    stop = asyncio.create_task(interrupted.wait())
    gone = asyncio.create_task(call.over.wait())
    await asyncio.wait([script, stop, gone], return_when=asyncio.FIRST_COMPLETED)
    try:
        if script.done() and not script.cancelled():
            script.result()
    except CallFailedError as error:
        problem = str(error)
    for task in (script, stop, gone):
        task.cancel()
    await asyncio.gather(script, stop, gone, return_exceptions=True)
    seconds = asyncio.get_running_loop().time() - begin
    await call.hang_up()
    if options.record is not None and call.agreed is not None:
        wav.write(options.record, CLOCK_RATE, [call.media.recorder.samples(call.agreed.law)])
        say("recorded", f"{options.record}")
    return _report(call, options, len(frames), seconds, problem)


async def _make_call(phone: Phone, options: CallOptions, say: Say) -> PhoneCall:
    headers = [
        (name.strip(), value.strip()) for name, _, value in (h.partition(":") for h in options.headers)
    ]
    call = await phone.dial(options.to or "", headers)
    say("calling", f"{options.to}")
    try:
        await call.answered(options.timeout)
    except CallFailedError as error:
        await call.hang_up()
        raise error if error.status != 487 else CallFailedError(call.ending, status=487) from error
    _tell_agreed(call, say)
    return call


async def _take_call(phone: Phone, options: CallOptions, say: Say) -> PhoneCall:
    call = await phone.wait_call(options.timeout)
    if call is None or call.invite is None:
        raise CallFailedError(f"no call came within {options.timeout:g} s", status=408)
    say("rings", f"{call.invite.from_.uri}")
    call.ring()
    if await call.ended(options.ring_for):
        raise CallFailedError(call.ending, status=call.status)
    call.answer()
    if not await _set(call.acknowledged, options.timeout):
        raise CallFailedError("our answer was never acknowledged", status=408)
    _tell_agreed(call, say)
    return call


async def _set(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


def _tell_agreed(call: PhoneCall, say: Say) -> None:
    if call.agreed is not None:
        host, port = call.agreed.remote or ("nowhere", 0)
        say("answered", f"{call.agreed.law} to {host}:{port} from {call.media.host}:{call.media.port}")


async def _script(call: PhoneCall, options: CallOptions, frames: list[bytes], say: Say) -> None:
    """Play, press and hold as asked; returns when it is time to hang up."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    call.media.play(frames)
    steps: list[tuple[float, str]] = []
    if options.dtmf:
        steps.append((options.dtmf_at, "press"))
    if options.hold_at is not None:
        steps += [(options.hold_at, "hold"), (options.hold_at + options.hold_for, "resume")]
    for at, step in sorted(steps):
        await asyncio.sleep(max(begin + at - loop.time(), 0.0))
        say(step, f"{options.dtmf if step == 'press' else ''} at {loop.time() - begin:.1f} s".strip())
        if step == "press":
            call.media.press(options.dtmf.upper())
        else:
            await (call.hold() if step == "hold" else call.resume())
    if options.duration is not None:
        await asyncio.sleep(max(begin + options.duration - loop.time(), 0.0))
    elif not options.answer or options.play is not None:
        await call.media.drained()
    if options.answer and options.duration is None:
        await call.over.wait()
    await asyncio.sleep(LINGER_S)


def _report(call: PhoneCall, options: CallOptions, wanted: int, seconds: float, problem: str) -> CallReport:
    recorder = call.media.recorder
    sent = len(call.media.sent)
    unsent = wanted - sent if options.play is not None and options.duration is None else 0
    if not problem and options.expect != 200:
        problem = f"the call was answered, and {options.expect} was expected"
    if not problem and unsent > 0:
        problem = f"{unsent} frames of {options.play} were not sent before the call ended: {call.ending}"
    return CallReport(
        good=not problem and call.phase is Phase.OVER,
        status=call.status,
        ending=call.ending,
        seconds=seconds,
        sent_frames=sent,
        unsent_frames=max(unsent, 0),
        received_packets=recorder.packets,
        lost=recorder.lost,
        duplicates=recorder.duplicates,
        disordered=recorder.disordered,
        jitter_ms=round(recorder.jitter_ms, 3),
        lateness_ms=round(call.media.lateness_ms, 3),
        digits="".join(recorder.digits),
        problem=problem,
    )
