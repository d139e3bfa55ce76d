"""baresip as an independent peer over TLS: libre's SIP, OpenSSL by its hand, and audio both ways."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from interop.harness import CARRIER_HOST, DESK_HOST, Gateway, Setup, gateway, media_port, sip_port
from sidestream.config.values import Verify
from sidestream.gateway.sip_options import ListenAddress
from sidestream.gateway.sip_tls import PeerPolicy, SipTls
from sidestream.gateway.tls_contexts import TlsFiles
from sidestream.tools import g711, wav
from sidestream.tools.call import load_frames
from sidestream.tools.certificates import Authority, Leaf
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import PhoneCall

MODULES = Path("/usr/lib/baresip/modules")
SPEECH = Path(__file__).parents[1] / "data" / "audio"
NUMBER = "15551234"
FRAMES = 60
SAMPLES = 160

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(
        shutil.which("baresip") is None or not (MODULES / "sndfile.so").exists(),
        reason="baresip is not installed",
    ),
]

CONFIG = """\
poll_method epoll
net_interface {host}
sip_listen {host}:{plain}
sip_certificate {directory}/baresip.pem
sip_cafile {directory}/ca.pem
audio_source aufile,{speech}
audio_player aubridge,nil
audio_alert aubridge,nil
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports {first}-{last}
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
snd_path {directory}/heard
"""


@contextlib.contextmanager
def tls_gateway(directory: Path, tls: int) -> Iterator[Gateway]:
    """Run a gateway whose trunks are reached over TLS and known by their certificates.

    baresip connects from whatever address the system gives it.
    """

    def rewrite(text: str) -> str:
        text = text.replace("]\n  media:", f", tls://127.0.0.1:{tls}]\n  media:", 1)
        files = f"certificate: {directory}/gateway.pem, key: {directory}/gateway.key"
        tls_section = f"  tls: {{{files}, client_ca: {directory}/ca.pem}}\n  drain_timeout"
        text = text.replace("  drain_timeout", tls_section, 1)
        text = text.replace("match: [", f"tls: {{ca: {directory}/ca.pem}}\n          match: [")
        return text.replace(";transport=udp", ";transport=tls")

    with gateway(directory, Setup(rewrite=rewrite)) as running:
        yield running


@contextlib.contextmanager
def baresip(directory: Path, port: int, *arguments: str) -> Iterator[Path]:
    """Run baresip with its TLS on this port of the desk; yields the file of what it says."""
    settings = directory / "baresip"
    settings.mkdir()
    (directory / "heard").mkdir()
    first = media_port(DESK_HOST)
    speech = SPEECH / "callee.wav"
    values = {"host": DESK_HOST, "plain": port - 1, "directory": directory, "speech": speech}
    text = CONFIG.format(**values, first=first, last=first + 4, modules=MODULES)
    (settings / "config").write_text(text)
    account = f"<sip:+{NUMBER}@{DESK_HOST}:{port};transport=tls>;answermode=auto;regint=0\n"
    (settings / "accounts").write_text(account)
    (settings / "contacts").touch()
    log = directory / "baresip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["baresip", "-v", "-f", str(settings), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield log
        finally:
            process.terminate()
            process.wait(10)


@contextlib.asynccontextmanager
async def our_phone(directory: Path, port: int) -> AsyncIterator[Phone]:
    """Open our phone at the carrier's place."""
    files = TlsFiles(directory / "phone.pem", directory / "phone.key")
    tls = SipTls(files, fallback=PeerPolicy(directory / "ca.pem", Verify.NAME))
    phone = await Phone.open(PhoneOptions(ListenAddress("tls", CARRIER_HOST, port), "+1", tls=tls))
    try:
        yield phone
    finally:
        await phone.close()


async def said(log: Path, words: str) -> None:
    """Wait until baresip has said something."""
    async with asyncio.timeout(20):
        while words not in await asyncio.to_thread(log.read_text, errors="replace"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


def places(pieces: list[bytes], whole: bytes) -> list[int]:
    """Return where pieces stand in a whole; those that are not there are left out."""
    return [at for piece in pieces if (at := whole.find(piece)) >= 0]


def alike(one: array[int], other: array[int]) -> bool:
    """Whether two frames are the same; baresip decodes the two zeros of G.711 as 2 and -2."""
    return all(abs(here - there) <= 2 for here, there in zip(one, other, strict=True))


def in_order(kept: array[int], frames: list[array[int]]) -> list[int]:
    """Return which frame each one that was kept is, as they follow each other."""
    found: list[int] = []
    for at in range(0, len(kept), SAMPLES):
        rest = range(found[-1] + 1 if found else 0, len(frames))
        found += [next(i for i in rest if alike(kept[at : at + SAMPLES], frames[i]))]
    return found


@pytest.mark.parametrize("caller", ["ours", "baresip"])
async def test_audio_both_ways_over_two_legs_of_tls(tmp_path: Path, caller: str) -> None:
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    for name, host in (("gateway", "127.0.0.1"), ("phone", CARRIER_HOST)):
        authority.issue(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", Leaf((host,)))
    authority.issue(tmp_path / "baresip.pem", tmp_path / "baresip.pem", Leaf((DESK_HOST,)))
    tls = sip_port("127.0.0.1")
    with tls_gateway(tmp_path, tls) as site:
        dial = ("-e", f"/dial sip:+4930@127.0.0.1:{tls}") if caller == "baresip" else ()
        async with our_phone(tmp_path, site.carrier) as ada:
            with baresip(tmp_path, site.desk, *dial) as log:
                await said(log, "baresip is ready")
                call = await (take(ada) if caller == "baresip" else dialled(ada, tls))
                ours = load_frames(SPEECH / "caller.wav", "PCMU")[150 : 150 + FRAMES]
                call.media.play(ours)
                await call.media.drained()
                await asyncio.sleep(0.5)
                await call.hang_up()
                await said(log, "session closed")
                text = await asyncio.to_thread(log.read_text, errors="replace")
        await asyncio.to_thread(site.wait_idle, 20.0)
        (record,) = site.records()
        hung_up = "caller-hung-up" if caller == "ours" else "callee-hung-up"
        assert record["verdict"]["slug"] == hung_up  # type: ignore[index] # a record
        counts = site.metrics()
        assert not [name for name in counts if name.startswith("sidestream_sip_tls_failures")]
        shaken = [value for name, value in counts.items() if "sip_tls_handshakes_total" in name]
        assert len(shaken) == 2, "TLS from the caller, and to the callee"
    # What baresip said, in its own G.711, is what its file has.
    theirs = b"".join(load_frames(SPEECH / "callee.wav", "PCMU"))
    heard = [frame.payload for frame in call.media.recorder.frames()]
    assert len(heard) >= FRAMES // 2
    found = places(heard, theirs)
    assert (len(found), found) == (len(heard), sorted(found)), text
    # What it heard, written by its own hand, is what we said; its jitter buffer keeps the last ones back.
    (written,) = (tmp_path / "heard").glob("*-dec.wav")
    frames = [g711.decode("PCMU", frame) for frame in ours]
    assert len(in_order(wav.read(written).channels[0], frames)) >= FRAMES // 2


async def dialled(phone: Phone, tls: int) -> PhoneCall:
    """Call baresip through the gateway."""
    call = await phone.dial(f"sip:+{NUMBER}@127.0.0.1:{tls};transport=tls")
    await call.answered(15)
    return call


async def take(phone: Phone) -> PhoneCall:
    """Answer baresip's call."""
    call = await phone.wait_call(15)
    assert call is not None
    call.answer()
    await asyncio.wait_for(call.acknowledged.wait(), 10)
    return call
