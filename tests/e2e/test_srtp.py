"""Calls with SRTP across the whole gateway; libsrtp plays the phones' part of it where that is said."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from pylibsrtp import Error as LibsrtpError

from e2e.test_gateway import Talk, heard, integration, the_record
from e2e.test_recording import recorders
from e2e.test_recording import site as recording_site
from e2e.test_recording import talk as recorded_talk
from interop.endpoint import endpoint
from interop.harness import CARRIER_HOST, DESK_HOST, Gateway, Setup, gateway
from libsrtp import Party
from sidestream._media import MediaError
from sidestream.config.values import Srtp
from sidestream.gateway.engine_messages import SrtpKey, SrtpPair
from sidestream.gateway.sip_options import ListenAddress
from sidestream.sdp import NegotiationError, crypto
from sidestream.sdp.crypto import CryptoSuite, KeyMaterial, SrtpKeys
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import CallFailedError, PhoneCall

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

REQUIRED, OPTIONAL, OFF = Srtp.REQUIRED, Srtp.OPTIONAL, Srtp.OFF


class OfLibsrtp:
    """In place of the engine's SRTP in the phones: so both ends of a leg are of different makers."""

    def __init__(self, keys: bytes) -> None:
        self._parties: list[Party] = []
        self.rekey(keys)

    def rekey(self, keys: bytes) -> None:
        pair = msgspec.json.decode(keys, type=SrtpPair)
        # The party of `keys` itself: `Party` is the one across.
        self._parties.insert(0, Party(SrtpKeys(_material(pair.receive), _material(pair.send))))

    def protect(self, packet: bytes) -> bytes:
        return self._parties[0].sends.protect(packet)

    def protect_report(self, packet: bytes) -> bytes:
        return self._parties[0].sends.protect_rtcp(packet)

    def unprotect(self, packet: bytes) -> bytes:
        for party in self._parties:
            with contextlib.suppress(LibsrtpError):
                return party.hears.unprotect(packet)
        raise MediaError("libsrtp refuses the packet")

    def unprotect_report(self, packet: bytes) -> bytes:
        for party in self._parties:
            with contextlib.suppress(LibsrtpError):
                return party.hears.unprotect_rtcp(packet)
        raise MediaError("libsrtp refuses the report")


def _material(key: SrtpKey) -> KeyMaterial:
    line = crypto.parse_crypto(f"1 {key.suite} inline:{key.key_salt}")
    return line.material


@pytest.fixture
def _libsrtp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidestream.tools.srtp.Srtp", OfLibsrtp)


def setup_with(carrier: str, desk: str, integrations: str = "") -> Setup:
    """A gateway whose trunks have SRTP like this."""
    return Setup(
        carrier=f"          srtp: {carrier}", trunk=f"          srtp: {desk}", integrations=integrations
    )


@contextlib.asynccontextmanager
async def talk(site: Gateway, policies: tuple[Srtp, Srtp]) -> AsyncIterator[Talk]:
    """Two phones in a call."""
    listen = [ListenAddress("udp", CARRIER_HOST, site.carrier), ListenAddress("udp", DESK_HOST, site.desk)]
    phones = [
        await Phone.open(PhoneOptions(one, user, srtp=policy))
        for one, user, policy in zip(listen, ("+1", "+2"), policies, strict=True)
    ]
    try:
        caller = await phones[0].dial(f"sip:+15551234@127.0.0.1:{site.sip}")
        callee = await phones[1].wait_call(10)
        assert callee is not None, site.log()
        if (
            policies[1] is OFF
            and callee.exchange.pending is not None
            and callee.exchange.pending.audio is None
        ):
            # It was offered SRTP, which it has not, and is called again without.
            with pytest.raises(NegotiationError):
                callee.answer()
            callee = await phones[1].wait_call(10)
            assert callee is not None, site.log()
        callee.ring()
        callee.answer()
        await caller.answered(10)
        await asyncio.wait_for(callee.acknowledged.wait(), 10)
        yield Talk(caller, callee)
    finally:
        for phone in phones:
            await phone.close()


def suite_of(call: PhoneCall) -> CryptoSuite | None:
    keys = call.agreed.srtp if call.agreed is not None else None
    return keys.send.suite if keys is not None else None


@pytest.mark.usefixtures("_libsrtp")
@pytest.mark.parametrize(
    ("trunks", "phones"),
    [
        (("required", "off"), (REQUIRED, OFF)),
        (("off", "required"), (OFF, REQUIRED)),
        (("required", "required"), (REQUIRED, REQUIRED)),
        (("optional", "optional"), (OPTIONAL, OFF)),
    ],
)
async def test_audio_and_streams_arrive_bit_for_bit(
    tmp_path: Path, trunks: tuple[str, str], phones: tuple[Srtp, Srtp]
) -> None:
    with (
        endpoint(tmp_path) as listener,
        gateway(tmp_path, setup_with(*trunks, integration(listener.url, listener.ca))) as site,
    ):
        async with talk(site, phones) as call:
            said = await call.say(60)
            assert heard(call.callee) == said[0]
            assert heard(call.caller) == said[1]
            assert [suite_of(each) is not None for each in (call.caller, call.callee)] == [
                policy is not OFF for policy in phones
            ]
            await call.caller.hang_up()
        record = await the_record(site)
        (stream,) = listener.connections
        for channel, audio in enumerate(said):
            streamed = b"".join(stream.audio(channel))
            assert all(frame in streamed for frame in audio)
        for side in record["media"]:
            assert (side["unauthentic"], side["replayed"], side["malformed"]) == (0, 0, 0)
        for secret in (b"inline:", b"keySalt"):
            assert secret.decode() not in site.log()


@pytest.mark.usefixtures("_libsrtp")
@pytest.mark.parametrize("suite", list(CryptoSuite))
async def test_every_suite_is_spoken_with_libsrtp(
    tmp_path: Path, suite: CryptoSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The caller has only this one; the callee takes the first that the gateway, another process, offers.
    monkeypatch.setattr("sidestream.sdp.protection.OFFERED", (suite,))
    with gateway(tmp_path, setup_with("required", "required")) as site:
        async with talk(site, (REQUIRED, REQUIRED)) as call:
            said = await call.say(30)
            assert suite_of(call.caller) is suite
            assert suite_of(call.callee) is CryptoSuite.AEAD_AES_256_GCM
            assert heard(call.callee) == said[0]
            assert heard(call.caller) == said[1]
            await call.caller.hang_up()


@pytest.mark.usefixtures("_libsrtp")
async def test_new_keys_in_mid_call_lose_nothing(tmp_path: Path) -> None:
    with gateway(tmp_path, setup_with("required", "required")) as site:
        async with talk(site, (REQUIRED, REQUIRED)) as call:
            first = call.caller.agreed
            said = [os.urandom(160) for _ in range(150)], [os.urandom(160) for _ in range(150)]
            call.caller.media.play(said[0])
            call.callee.media.play(said[1])
            await asyncio.sleep(0.6)
            await call.caller.renew_keys()
            await asyncio.sleep(0.6)
            await call.callee.renew_keys()
            await asyncio.gather(call.caller.media.drained(), call.callee.media.drained())
            await asyncio.sleep(0.2)
            assert heard(call.callee) == said[0]
            assert heard(call.caller) == said[1]
            assert first is not None
            assert call.caller.agreed is not None
            assert first.srtp != call.caller.agreed.srtp
            await call.caller.hang_up()
        record = await the_record(site)
        assert [side["unauthentic"] for side in record["media"]] == [0, 0]


async def test_a_trunk_that_requires_srtp_takes_no_call_without(tmp_path: Path) -> None:
    with gateway(tmp_path, setup_with("required", "off")) as site:
        phone = await Phone.open(PhoneOptions(ListenAddress("udp", CARRIER_HOST, site.carrier), "+1"))
        call = await phone.dial(f"sip:+15551234@127.0.0.1:{site.sip}")
        with pytest.raises(CallFailedError, match="488"):
            await call.answered(10)
        await phone.close()


@pytest.mark.parametrize(
    ("settings", "secure"), [({}, True), ({"srtp": "off"}, False), ({"srtp": "required"}, True)]
)
async def test_a_call_with_srtp_is_recorded_as_the_integration_says(
    tmp_path: Path, settings: dict[str, str], *, secure: bool
) -> None:
    async with (
        recorders(tmp_path) as (recorder,),
        recording_site(tmp_path, [recorder], ("required", "off"), **settings) as running,
    ):
        async with recorded_talk(running, srtp=(REQUIRED, OFF)) as call:
            said = await call.say(60)
            await asyncio.sleep(0.3)
            await call.caller.hang_up()
        record = await running.record()
    (session,) = recorder.results
    assert record["recordings"][0]["result"] == "completed", record["recordings"]
    for stream, audio in zip(session.streams, said, strict=True):
        payloads = [frame.payload for frame in stream.frames]
        assert all(frame in payloads for frame in audio)
        assert stream.counts.unauthentic == 0
        assert stream.counts.reports > 0
        assert stream.suite == ("AEAD_AES_256_GCM" if secure else "")
    assert session.findings == ()


async def test_a_call_with_srtp_is_not_recorded_where_there_is_none(tmp_path: Path) -> None:
    async with (
        recorders(tmp_path, srtp=False) as (recorder,),
        recording_site(tmp_path, [recorder], ("required", "off"), retry="off") as running,
    ):
        async with recorded_talk(running, srtp=(REQUIRED, OFF)) as call:
            said = await call.say(30)
            assert call.heard() == said
            await call.caller.hang_up()
        record = await running.record()
    assert record["recordings"][0]["verdict"] != "completed"
    assert all(stream.counts.packets == 0 for session in recorder.results for stream in session.streams)
