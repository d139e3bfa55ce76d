"""Calls and recordings over TLS, across a gateway of its own process."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interop.harness import CARRIER_HOST, DESK_HOST, Gateway, Setup, gateway, sip_port
from sidestream.config.values import Verify
from sidestream.gateway.sip_options import ListenAddress
from sidestream.gateway.sip_tls import PeerPolicy, SipTls
from sidestream.gateway.tls_contexts import TlsFiles
from sidestream.tools.call import CallOptions, run_call
from sidestream.tools.certificates import Authority, Leaf
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import CallFailedError, PhoneCall
from sidestream.tools.recorder import Recorder
from sidestream.tools.recorder_options import RecorderOptions
from sidestream.tools.stream_receiver import Status

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

FRAME = 160
CARRIER, DESK, RECORDER = "sip.carrier.test", "sbc.desk.test", "srs.desk.test"
GATEWAY_NAMES = ("127.0.0.1", "gw.operator.test")


@dataclass
class Pki:
    """One authority for all, and what it has issued."""

    authority: Authority
    directory: Path

    @property
    def ca(self) -> Path:
        """Its certificate."""
        return self.directory / "ca.pem"

    def files(self, name: str, *names: str) -> TlsFiles:
        """Issue a certificate."""
        made = TlsFiles(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        self.authority.issue(made.certificate, made.key, Leaf(names))
        return made

    def tls(self, name: str, *names: str, ask: bool = False, verify: Verify = Verify.NAME) -> SipTls:
        """Make the TLS of a phone or a recorder."""
        made = self.files(name, *names)
        files = TlsFiles(made.certificate, made.key, self.ca if ask else None)
        return SipTls(files, fallback=PeerPolicy(self.ca, verify))


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """An authority with the gateway's certificate."""
    made = Pki(Authority(), tmp_path)
    made.authority.write(made.ca)
    made.files("gateway", *GATEWAY_NAMES)
    return made


@dataclass
class Site:
    """A gateway with a TLS listener."""

    gateway: Gateway
    tls: int
    pki: Pki

    def phone(self, host: str, *names: str, verify: Verify = Verify.NAME) -> PhoneOptions:
        """How a phone of one of the trunks is: over TLS, with a certificate that is asked for."""
        port = self.gateway.carrier if host == CARRIER_HOST else self.gateway.desk
        made = self.pki.tls(host, *names, ask=True, verify=verify)
        return PhoneOptions(
            ListenAddress("tls", host, port), "+1" if host == CARRIER_HOST else "+2", tls=made
        )


@contextlib.contextmanager
def site(pki: Pki, *changes: Callable[[str], str], integrations: str = "") -> Iterator[Site]:
    """Run a gateway whose trunks are reached over TLS and known by their certificates."""
    tls = sip_port("127.0.0.1")

    def rewrite(text: str) -> str:
        text = text.replace("]\n  media:", f", tls://127.0.0.1:{tls}]\n  media:", 1)
        files = f"certificate: {pki.directory}/gateway.pem, key: {pki.directory}/gateway.key"
        text = text.replace("  drain_timeout", f"  tls: {{{files}, client_ca: {pki.ca}}}\n  drain_timeout", 1)
        for host, name in ((CARRIER_HOST, CARRIER), (DESK_HOST, DESK)):
            settings = f"tls: {{ca: {pki.ca}, names: [{name}]}}\n          "
            text = text.replace(f"match: [{host}/32]", f"{settings}match: [{host}/32]", 1)
        text = text.replace(";transport=udp", ";transport=tls")
        for change in changes:
            text = change(text)
        return text

    setup = Setup(integrations=integrations, rewrite=rewrite)
    with gateway(pki.directory, setup) as running:
        yield Site(running, tls, pki)


@contextlib.asynccontextmanager
async def phones(*options: PhoneOptions) -> AsyncIterator[list[Phone]]:
    """Open phones."""
    opened = [await Phone.open(one) for one in options]
    try:
        yield opened
    finally:
        for phone in opened:
            await phone.close()


async def connected(caller: Phone, callee: Phone, uri: str) -> tuple[PhoneCall, PhoneCall]:
    """Call through the gateway."""
    outgoing = await caller.dial(uri)
    incoming = await callee.wait_call(10)
    if incoming is None:
        await outgoing.answered(1)
    assert incoming is not None
    incoming.ring()
    incoming.answer()
    await outgoing.answered(10)
    await asyncio.wait_for(incoming.acknowledged.wait(), 10)
    return outgoing, incoming


async def both_hear(*calls: PhoneCall) -> bool:
    """Send random audio both ways at once; whether each heard just what the other said."""
    said = [[os.urandom(FRAME) for _ in range(50)] for _ in calls]
    for call, frames in zip(calls, said, strict=True):
        call.media.play(frames)
    await asyncio.gather(*(call.media.drained() for call in calls))
    await asyncio.sleep(0.2)
    heard = [[frame.payload for frame in call.media.recorder.frames()] for call in calls]
    return heard == list(reversed(said))


async def the_record(where: Site) -> dict[str, Any]:
    """Wait until the one call has its record."""
    await asyncio.to_thread(where.gateway.wait_idle, 20.0)
    (record,) = where.gateway.records()
    return record


def failures(where: Site) -> dict[str, float]:
    """Return what failed of TLS, by direction and reason."""
    found = where.gateway.metrics()
    return {name: value for name, value in found.items() if name.startswith("sidestream_sip_tls_failures")}


@pytest.mark.parametrize("scheme", ["sip", "sips"])
async def test_a_call_over_two_legs_of_tls(pki: Pki, scheme: str) -> None:
    with site(pki) as where:
        async with phones(where.phone(CARRIER_HOST, CARRIER), where.phone(DESK_HOST, DESK)) as (ada, grace):
            suffix = "" if scheme == "sips" else ";transport=tls"
            calls = await connected(ada, grace, f"{scheme}:+15551234@127.0.0.1:{where.tls}{suffix}")
            assert await both_hear(*calls), where.gateway.log()
            await calls[1].hang_up()
            assert await calls[0].ended(10)
            invite = calls[1].invite
            assert invite is not None
            assert invite.uri.startswith(f"{scheme}:+15551234@127.0.0.3")
            assert invite.top_via.transport == "TLS"
            contacts = [str(invite.contacts[0].uri), str(calls[0].dialog and calls[0].dialog.remote_target)]
            tls = f"127.0.0.1:{where.tls}"
            wanted = f"sips:{tls}" if scheme == "sips" else f"sip:{tls};transport=tls"
            assert contacts == [wanted, wanted]
        record = await the_record(where)
        assert record["verdict"]["slug"] == "callee-hung-up"
        counts = where.gateway.metrics()
        assert counts['sidestream_sip_tls_handshakes_total{direction="opened",version="TLSv1.3"}'] == 1
        assert counts['sidestream_sip_tls_handshakes_total{direction="accepted",version="TLSv1.3"}'] == 1
        assert counts["sidestream_sip_tls_certificate_expiry_timestamp_seconds"] > 0
        assert failures(where) == {}


async def test_a_sips_call_is_not_carried_on_in_the_clear(pki: Pki) -> None:
    def by_udp(text: str) -> str:
        return re.sub(r"(127\.0\.0\.3:\d+;transport=)tls", r"\1udp", text)

    with site(pki, by_udp) as where:
        async with phones(where.phone(CARRIER_HOST, CARRIER)) as (ada,):
            call = await ada.dial(f"sips:+15551234@127.0.0.1:{where.tls}")
            with pytest.raises(CallFailedError) as refused:
                await call.answered(10)
            assert refused.value.status == 480
            final = next(entry.text for entry in ada.trace if entry.first_line.startswith("480"))
            assert 'Warning: 380 gateway "SIPS Not Allowed"' in final
        record = await the_record(where)
        assert record["verdict"]["slug"] == "sips-not-allowed"


@pytest.mark.parametrize(
    ("name", "slug", "reason"),
    [("sbc.elsewhere.test", "peer-not-proven", "name-mismatch"), ("", "peer-tls-failed", "not-tls")],
)
async def test_why_a_peer_was_not_spoken_to_is_told_everywhere(
    pki: Pki, name: str, slug: str, reason: str
) -> None:
    with site(pki) as where, contextlib.ExitStack() as opened:
        options = [where.phone(CARRIER_HOST, CARRIER)]
        if name:
            options.append(where.phone(DESK_HOST, name))
        else:
            server = opened.enter_context(socket.create_server((DESK_HOST, where.gateway.desk)))

            def say_plainly() -> None:
                peer, _ = server.accept()
                with peer:
                    peer.sendall(b"SIP/2.0 400 Bad Request\r\n\r\n")
                    peer.recv(100)

            speaking = asyncio.create_task(asyncio.to_thread(say_plainly))
        async with phones(*options) as (ada, *_):
            call = await ada.dial(f"sip:+15551234@127.0.0.1:{where.tls};transport=tls")
            with pytest.raises(CallFailedError) as refused:
                await call.answered(10)
            assert refused.value.status == 503
        if not name:
            await speaking
        record = await the_record(where)
        assert record["verdict"]["slug"] == slug
        assert f"TLS {reason}:" in record["verdict"]["detail"]
        assert f"TLS {reason}:" in json.dumps(record["attempts"])
        assert failures(where) == {
            f'sidestream_sip_tls_failures_total{{direction="opened",reason="{reason}"}}': 1
        }
        assert f'"failure":"{reason}"' in where.gateway.log().replace(" ", "")


async def test_who_shows_another_trunks_certificate_is_not_let_in(pki: Pki) -> None:
    with site(pki) as where:
        async with phones(where.phone(CARRIER_HOST, "sip.stranger.test")) as (ada,):
            call = await ada.dial(f"sip:+15551234@127.0.0.1:{where.tls};transport=tls")
            with pytest.raises(CallFailedError) as refused:
                await call.answered(10)
            assert refused.value.status == 403
        record = await the_record(where)
        assert (record["verdict"]["slug"], "sip.stranger.test" in record["verdict"]["detail"]) == (
            "unknown-trunk",
            True,
        )


async def test_a_trunk_is_known_by_its_certificate_wherever_it_is(pki: Pki) -> None:
    with site(pki) as where:
        moved = PhoneOptions(ListenAddress("tls", "127.0.0.77", 0), "+1", tls=pki.tls("moved", CARRIER))
        async with phones(moved, where.phone(DESK_HOST, DESK)) as (ada, grace):
            calls = await connected(ada, grace, f"sips:+15551234@127.0.0.1:{where.tls}")
            assert await both_hear(*calls)
            await calls[0].hang_up()
        record = await the_record(where)
        assert (record["caller"]["trunk"], record["verdict"]["slug"]) == ("carrier", "caller-hung-up")


async def test_a_certificate_is_renewed_while_a_call_goes_on(pki: Pki) -> None:
    with site(pki) as where:
        async with phones(where.phone(CARRIER_HOST, CARRIER), where.phone(DESK_HOST, DESK)) as (ada, grace):
            calls = await connected(ada, grace, f"sips:+15551234@127.0.0.1:{where.tls}")
            before = where.gateway.metrics()["sidestream_sip_tls_certificate_expiry_timestamp_seconds"]
            await asyncio.sleep(1.1)  # the time of expiry has whole seconds
            pki.files("gateway", *GATEWAY_NAMES)
            where.gateway.process.send_signal(signal.SIGHUP)
            taken = 'sidestream_sip_tls_reloads_total{outcome="taken"}'
            async with asyncio.timeout(10):
                while not where.gateway.metrics()[taken]:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            after = where.gateway.metrics()["sidestream_sip_tls_certificate_expiry_timestamp_seconds"]
            assert after > before
            (pki.directory / "gateway.pem").write_text("broken")
            where.gateway.process.send_signal(signal.SIGHUP)
            refused = 'sidestream_sip_tls_reloads_total{outcome="refused"}'
            async with asyncio.timeout(10):
                while not where.gateway.metrics()[refused]:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            assert where.gateway.metrics()["sidestream_sip_tls_certificate_expiry_timestamp_seconds"] == after
            assert await both_hear(*calls)
            await calls[1].hold()
            await calls[1].resume()
            await calls[0].hang_up()
            assert await calls[1].ended(10)
        assert (await the_record(where))["verdict"]["slug"] == "caller-hung-up"


SIPREC = """\
        integrations:
          - name: keep
            type: siprec
            tls: {{ca: {ca}, names: [{name}]}}
            servers: [{{uri: "{uri}"}}]
"""


@pytest.mark.parametrize("scheme", ["sip", "sips"])
async def test_a_recording_over_tls(pki: Pki, scheme: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    options = RecorderOptions(
        directory=tmp_path_factory.mktemp("srs"),
        listen=(ListenAddress("tls", "127.0.0.1", 0),),
        tls=pki.tls("recorder", RECORDER, ask=True, verify=Verify.OFF),
    )
    recorder = Recorder(options)
    await recorder.start()
    try:
        (told,) = recorder.uris
        assert told.startswith("sip:127.0.0.1:")
        assert told.endswith(";transport=tls")
        uri = told if scheme == "sip" else told.replace("sip:", "sips:").removesuffix(";transport=tls")
        integration = SIPREC.format(ca=pki.ca, name=RECORDER, uri=uri)
        with site(pki, integrations=integration) as where:
            async with phones(where.phone(CARRIER_HOST, CARRIER), where.phone(DESK_HOST, DESK)) as (a, b):
                calls = await connected(a, b, f"sip:+15551234@127.0.0.1:{where.tls};transport=tls")
                assert await both_hear(*calls)
                await calls[0].hang_up()
                assert await recorder.wait_ended(1, 15)
            record = await the_record(where)
            assert [each["verdict"] for each in record["recordings"]] == ["completed"]
    finally:
        await recorder.stop()
    (result,) = recorder.results
    assert result.status is Status.OK, result.to_json()


async def test_the_command_calls_over_tls_and_records_over_tls(pki: Pki, tmp_path: Path) -> None:
    """`sidestream call` on both sides, one of its own process."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom sidestream.tools.call import CallOptions, call_command\n"
        "sys.exit(call_command(CallOptions(answer=True, listen_on='tls://127.0.0.1:0', json=True, timeout=20,"
        "tls=Path(sys.argv[1]))))"
    )
    answering = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "made"), stdout=asyncio.subprocess.PIPE
    )
    assert answering.stdout is not None
    listening = json.loads(await asyncio.wait_for(answering.stdout.readline(), 20))
    contact = listening["details"].strip("<>")
    assert contact.endswith(";transport=tls")
    secure = contact.replace("sip:", "sips:").removesuffix(";transport=tls")
    bad = await run_call(CallOptions(to=secure, timeout=10, ca=pki.ca), lambda *_: None)
    assert (bad.good, bad.status) == (False, 503)
    options = CallOptions(to=secure, duration=0.3, timeout=20, ca=tmp_path / "made" / "ca.pem")
    report = await run_call(options, lambda *_: None)
    await asyncio.wait_for(answering.communicate(), 20)
    assert (report.good, answering.returncode) == (True, 0)
