"""The scripted phone: two of them in conversation, and the command around one."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidestream.gateway.sip_options import ListenAddress
from sidestream.tools import g711, wav
from sidestream.tools.call import CallOptions, CallReport, load_frames, run_call
from sidestream.tools.g711 import Law
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import CallFailedError, PhoneCall

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

SPEECH = Path(__file__).parents[1] / "data" / "audio"


@contextlib.asynccontextmanager
async def phone(user: str, law: Law = "PCMU", transport: str = "udp") -> AsyncIterator[Phone]:
    listen = ListenAddress("tcp" if transport == "tcp" else "udp", "127.0.0.1", 0)
    opened = await Phone.open(PhoneOptions(listen, user, law=law))
    try:
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def pair(law: Law = "PCMU", transport: str = "udp") -> AsyncIterator[tuple[Phone, Phone]]:
    async with phone("+1", law, transport) as ada, phone("+2", "PCMU", transport) as grace:
        yield ada, grace


def uri_of(called: Phone) -> str:
    return f"sip:+2@127.0.0.1:{called.port};transport={called.options.listen.transport}"


async def connected(ada: Phone, grace: Phone) -> tuple[PhoneCall, PhoneCall]:
    outgoing = await ada.dial(uri_of(grace))
    incoming = await grace.wait_call(5)
    assert incoming is not None
    incoming.ring()
    incoming.answer()
    await outgoing.answered(5)
    await asyncio.wait_for(incoming.acknowledged.wait(), 5)
    return outgoing, incoming


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
async def test_both_hear_each_other_bit_for_bit(transport: str, law: Law) -> None:
    async with pair(law, transport) as (ada, grace):
        outgoing, incoming = await connected(ada, grace)
        said = load_frames(SPEECH / "caller.wav", law)[150:180]
        answered = load_frames(SPEECH / "callee.wav", law)[:30]
        outgoing.media.play(said)
        incoming.media.play(answered)
        await asyncio.gather(outgoing.media.drained(), incoming.media.drained())
        await asyncio.sleep(0.1)
        assert [frame.payload for frame in incoming.media.recorder.frames()] == said
        assert [frame.payload for frame in outgoing.media.recorder.frames()] == answered
        await outgoing.hang_up()
        assert await incoming.ended(5)
    assert (outgoing.ending, incoming.ending) == ("we hung up", "the far side hung up")
    assert incoming.agreed is not None
    assert incoming.agreed.law == law


async def test_keys_interrupt_the_audio_and_lose_none_of_it() -> None:
    async with pair() as (ada, grace):
        outgoing, incoming = await connected(ada, grace)
        said = load_frames(SPEECH / "caller.wav", "PCMU")[150:190]
        outgoing.media.play(said)
        outgoing.media.press("12#")
        await outgoing.media.drained()
        await asyncio.sleep(0.1)
        assert "".join(incoming.media.recorder.digits) == "12#"
        assert [frame.payload for frame in incoming.media.recorder.frames()] == said
        await incoming.hang_up()


async def test_hold_stops_both_sides_and_resume_lets_them_go_on() -> None:
    async with pair() as (ada, grace):
        outgoing, incoming = await connected(ada, grace)
        await incoming.hold()
        held = [outgoing.held_by_peer]
        said = load_frames(SPEECH / "caller.wav", "PCMU")[:5]
        outgoing.media.play(said)
        incoming.media.play(said)
        await asyncio.sleep(0.15)
        assert (incoming.media.recorder.packets, outgoing.media.recorder.packets) == (0, 0)
        await incoming.resume()
        held.append(outgoing.held_by_peer)
        await asyncio.gather(outgoing.media.drained(), incoming.media.drained())
        await asyncio.sleep(0.1)
        assert (incoming.media.recorder.packets, outgoing.media.recorder.packets) == (5, 5)
        assert held == [True, False]
        await outgoing.hang_up()


async def test_a_refusal_is_told_with_its_status() -> None:
    async with pair() as (ada, grace):
        outgoing = await ada.dial(uri_of(grace))
        incoming = await grace.wait_call(5)
        assert incoming is not None
        incoming.reject(486)
        with pytest.raises(CallFailedError, match="486") as refused:
            await outgoing.answered(5)
        assert refused.value.status == 486


async def test_a_caller_who_gives_up_cancels() -> None:
    async with pair() as (ada, grace):
        outgoing = await ada.dial(uri_of(grace))
        incoming = await grace.wait_call(5)
        assert incoming is not None
        incoming.ring()
        await asyncio.wait_for(outgoing.ringing.wait(), 5)
        await outgoing.hang_up()
        assert await incoming.ended(5)
        assert (outgoing.status, outgoing.ending) == (487, "cancelled by us")
        assert incoming.ending == "cancelled by the caller"


async def command(options: CallOptions) -> CallReport:
    """Carry a call as the command does."""
    return await run_call(options, lambda *_: None)


async def test_the_command_carries_a_call_as_asked(tmp_path: Path) -> None:
    audio = wav.read(SPEECH / "caller.wav").channels[0][8_000 * 3 : 8_000 * 4]
    wav.write(tmp_path / "say.wav", 8_000, [audio])
    program = (
        "import sys\nfrom pathlib import Path\nfrom sidestream.tools.call import CallOptions, call_command\n"
        "sys.exit(call_command(CallOptions(answer=True, listen_on=sys.argv[1], json=True, timeout=20,"
        "record=Path(sys.argv[2]))))"
    )
    answering = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "udp://127.0.0.1:0", str(tmp_path / "heard.wav"),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert answering.stdout is not None
    listening = json.loads(await asyncio.wait_for(answering.stdout.readline(), 20))
    contact = listening["details"].strip("<>")
    options = CallOptions(to=contact, play=tmp_path / "say.wav", dtmf="5", dtmf_at=0.2, timeout=20)
    report = await command(options)
    printed = (await asyncio.wait_for(answering.communicate(), 20))[0]
    heard = json.loads(printed.splitlines()[-1])
    assert (report.good, answering.returncode, heard["digits"], heard["lost"]) == (True, 0, "5", 0)
    expected = g711.decode("PCMU", g711.encode("PCMU", audio))
    stored = wav.read(tmp_path / "heard.wav").channels[0]
    assert stored[: 160 * 5] == expected[: 160 * 5]


@pytest.mark.parametrize(("expect", "good"), [(486, True), (200, False)])
async def test_the_command_may_expect_a_refusal(expect: int, good: bool) -> None:
    async with phone("+2") as grace:
        call = asyncio.create_task(command(CallOptions(to=uri_of(grace), expect=expect)))
        incoming = await grace.wait_call(5)
        assert incoming is not None
        incoming.reject(486)
        assert (await asyncio.wait_for(call, 10)).good is good


async def test_the_command_fails_when_the_far_side_hangs_up_too_early() -> None:
    async with phone("+2") as grace:
        options = CallOptions(to=uri_of(grace), play=SPEECH / "caller.wav")
        call = asyncio.create_task(command(options))
        incoming = await grace.wait_call(5)
        assert incoming is not None
        incoming.answer()
        await asyncio.sleep(0.3)
        await incoming.hang_up()
        report = await asyncio.wait_for(call, 10)
        assert not report.good
        assert "were not sent" in report.problem


async def test_the_command_holds_and_resumes() -> None:
    async with phone("+2") as grace:
        options = CallOptions(to=uri_of(grace), duration=0.6, hold_at=0.1, hold_for=0.2)
        call = asyncio.create_task(command(options))
        incoming = await grace.wait_call(5)
        assert incoming is not None
        incoming.answer()
        report = await asyncio.wait_for(call, 10)
        assert await incoming.ended(5)
        received = [entry.cseq for entry in grace.trace if entry.direction == "received"]
        assert (report.good, received.count("2 INVITE"), received.count("3 INVITE")) == (True, 1, 1)


async def test_nobody_there_is_a_failed_call() -> None:
    async with phone("+9") as probe:
        port = probe.port
    report = await command(CallOptions(to=f"sip:+2@127.0.0.1:{port}", timeout=5))
    assert not report.good
