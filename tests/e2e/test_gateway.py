"""The whole gateway between two phones and a TLS endpoint: audio, streams, their failures, shutting down."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request as UpgradeRequest
from websockets.http11 import Response as UpgradeResponse

from interop.endpoint import Connection, endpoint
from interop.harness import CARRIER_HOST, DESK_HOST, Gateway, Setup, free_port, gateway
from sidestream.gateway.sip_options import ListenAddress
from sidestream.tools.certificates import ensure_certificates
from sidestream.tools.g711 import Law
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import PhoneCall

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

FRAME = 160
STREAM = """\
        integrations:
          - name: live
            type: media_stream
            url: {url}
            ca: {ca}
            encoding: PCMU
            reconnect_window: {window}
            forward_headers: [X-Queue]
            parameters: {{queue: "{{sip.header.X-Queue}}"}}
"""


def integration(url: str, ca: Path, window: str = "60s") -> str:
    return STREAM.format(url=url, ca=ca, window=window)


@dataclass
class Talk:
    """Two phones in a call across the gateway."""

    caller: PhoneCall
    callee: PhoneCall

    async def say(self, frames: int) -> tuple[list[bytes], list[bytes]]:
        """Send random audio both ways at once and return what was sent."""
        said = [os.urandom(FRAME) for _ in range(frames)], [os.urandom(FRAME) for _ in range(frames)]
        self.caller.media.play(said[0])
        self.callee.media.play(said[1])
        await asyncio.gather(self.caller.media.drained(), self.callee.media.drained())
        await asyncio.sleep(0.15)
        return said


def heard(call: PhoneCall) -> list[bytes]:
    return [frame.payload for frame in call.media.recorder.frames()]


@contextlib.asynccontextmanager
async def talk(site: Gateway, law: Law = "PCMU") -> AsyncIterator[Talk]:
    listen = [ListenAddress("udp", CARRIER_HOST, site.carrier), ListenAddress("udp", DESK_HOST, site.desk)]
    phones = [
        await Phone.open(PhoneOptions(one, user, law=law))
        for one, user in zip(listen, ("+1", "+2"), strict=True)
    ]
    try:
        caller = await phones[0].dial(f"sip:+15551234@127.0.0.1:{site.sip}", [("X-Queue", "gold")])
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


@contextlib.contextmanager
def site_with(directory: Path, integrations: str = "") -> Iterator[Gateway]:
    with gateway(directory, Setup(integrations=integrations)) as site:
        yield site


async def the_record(site: Gateway) -> dict[str, Any]:
    """Wait until the one call has its record."""
    await asyncio.to_thread(site.wait_idle, 20.0)
    (record,) = site.records()
    return record


def metadata(stream: Connection) -> list[str]:
    return [str(message["metadata"]["type"]) for message in stream.messages if message["event"] == "metadata"]


def unbroken(audio: list[bytes], said: list[bytes], silence: int) -> bool:
    """Whether all that was said is there in order.

    A frame that a busy machine sent over 100 ms late may be missing, when the stream told it as silence.
    """
    known = set(said)
    arrived = [frame for frame in audio if frame in known]
    late = len(said) - len(arrived)
    return late * FRAME <= silence and arrived == [frame for frame in said if frame in set(arrived)]


def told_silence(stream: Connection, channel: int) -> int:
    """Return the samples of a channel that the stream told as silence."""
    told = (message["metadata"] for message in stream.messages if message["event"] == "metadata")
    gaps = (each["data"] for each in told if each["type"] == "media.gap")
    return sum(gap["samples"] for gap in gaps if gap["channel"] == channel and gap["cause"] == "silence")


async def test_audio_arrives_bit_for_bit_at_both_phones_and_at_the_endpoint(tmp_path: Path) -> None:
    with (
        endpoint(tmp_path) as listener,
        site_with(tmp_path, integration(listener.url, listener.ca)) as site,
    ):
        async with talk(site) as call:
            said = await call.say(100)
            call.caller.media.press("5#")
            await call.caller.media.drained()
            await call.caller.hold()
            await call.caller.resume()
            await call.caller.hang_up()
            assert await call.callee.ended(5)
            assert (heard(call.callee), heard(call.caller)) == said
            record = await the_record(site)
        stream = await asyncio.to_thread(listener.stream)
    for channel in (0, 1):
        assert unbroken(stream.audio(channel), said[channel], told_silence(stream, channel))
    events = stream.events()
    assert (events[:2], events[-1], stream.close_code) == (["connect", "start"], "close", 1000)
    assert [message["sequenceNumber"] for message in stream.messages] == list(range(1, len(events) + 1))
    digits = [message["dtmf"]["digit"] for message in stream.messages if message["event"] == "dtmf"]
    assert digits == ["5", "#"]
    assert [kind for kind in metadata(stream) if kind.startswith("call.")] == [
        "call.headers",
        "call.answered",
        "call.held",
        "call.resumed",
    ]
    start, close = stream.messages[1]["start"], stream.messages[-1]["close"]
    assert (start["parameters"], start["direction"]) == ({"queue": "gold"}, "inbound")
    assert (close["reason"], close["detail"]) == ("call-ended", "The caller hung up.")
    assert [totals["sha256"] for totals in close["totals"]] == [stream.digest(0), stream.digest(1)]
    assert (record["verdict"]["slug"], record["streams"][0]["verdict"]) == ("caller-hung-up", "completed")
    assert [side["received_packets"] >= 100 for side in record["media"]] == [True, True]
    assert record["streams"][0]["delivered"]["messages"] == len(events)


@contextlib.asynccontextmanager
async def refusing_endpoint(directory: Path) -> AsyncIterator[str]:
    """Run an endpoint that answers every upgrade with 401."""

    def refuse(connection: ServerConnection, _request: UpgradeRequest) -> UpgradeResponse:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")

    async def never(_connection: ServerConnection) -> None:
        raise AssertionError("the upgrade was refused")

    tls: ssl.SSLContext = ensure_certificates(directory / "tls").server_context()
    async with serve(never, "127.0.0.1", 0, ssl=tls, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"wss://127.0.0.1:{port}/calls"


@pytest.mark.parametrize("failure", ["certificate", "refused", "unauthorized", "name"])
async def test_failures_of_an_endpoint_are_told_apart_and_leave_the_call_alone(
    tmp_path: Path, failure: str
) -> None:
    expected = {
        "certificate": ("tls-certificate", "tls_certificate"),
        "refused": ("connection-refused", "tcp_refused"),
        "unauthorized": ("unauthorized", "http_status"),
        "name": ("name-not-resolved", "name_not_resolved"),
    }[failure]
    (tmp_path / "other").mkdir()
    ca = ensure_certificates(tmp_path / "tls").ca
    if failure == "certificate":
        ca = ensure_certificates(tmp_path / "other" / "tls").ca
    async with refusing_endpoint(tmp_path) as refusing:
        elsewhere = {
            "refused": f"wss://127.0.0.1:{free_port()}/calls",
            "name": "wss://no-such-host.invalid/calls",
        }
        url = elsewhere.get(failure, refusing)
        with site_with(tmp_path, integration(url, ca, window="0s")) as site:
            async with talk(site) as call:
                said = await call.say(25)
                await call.callee.hang_up()
                assert (heard(call.callee), heard(call.caller)) == said
                record = await the_record(site)
            metrics = site.metrics()
        log = site.log()
    assert record["verdict"]["slug"] == "callee-hung-up"
    assert [stream["verdict"] for stream in record["streams"]] == [expected[0]]
    assert metrics[f'sidestream_streams_total{{result="failed",verdict="{expected[0]}"}}'] == 1
    assert metrics[f'sidestream_stream_connect_failures_total{{reason="{expected[1]}"}}'] >= 1
    ended = [json.loads(line) for line in log.splitlines() if '"stream ended"' in line]
    assert [(line["verdict"], line["call_id"]) for line in ended] == [(expected[0], record["call_id"])]


async def test_what_a_configuration_probably_does_not_mean_is_a_line_of_the_log(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with site_with(tmp_path, integration("wss://127.0.0.1:1/", missing)) as site:
        lines = [json.loads(line) for line in site.log().splitlines() if line.startswith("{")]
        assert not [line for line in site.log().splitlines() if line.startswith("warning")]
    doubts = [line for line in lines if line["event"] == "configuration doubtful"]
    assert [str(missing) in line["detail"] for line in doubts] == [True]
    assert doubts[0]["level"] == "warning"


async def wait_exit(site: Gateway, seconds: float) -> int:
    return await asyncio.to_thread(site.process.wait, seconds)


async def test_sigterm_takes_no_new_calls_then_hangs_up_and_closes_streams_with_shutdown(
    tmp_path: Path,
) -> None:
    with (
        endpoint(tmp_path) as listener,
        site_with(tmp_path, integration(listener.url, listener.ca)) as site,
    ):
        async with talk(site) as call:
            await call.say(10)
            site.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            second = await Phone.open(PhoneOptions(ListenAddress("udp", CARRIER_HOST, 0), "+3"))
            refused = await second.dial(f"sip:+15551234@127.0.0.1:{site.sip}")
            await asyncio.wait_for(refused.settled.wait(), 5)
            assert refused.status == 503
            assert await call.caller.ended(10)
            assert await call.callee.ended(10)
            assert await wait_exit(site, 20) == 0
            await second.close()
        stream = await asyncio.to_thread(listener.stream)
        records = site.records()
    assert stream.messages[-1]["close"]["reason"] == "shutdown"
    assert stream.close_code == 1001
    verdicts = {record["verdict"]["slug"]: record for record in records}  # type: ignore[index]
    assert set(verdicts) == {"draining", "shutdown"}
    assert verdicts["shutdown"]["streams"][0]["verdict"] == "shutdown"  # type: ignore[index]


async def test_a_second_sigterm_ends_at_once_and_still_says_goodbye(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        async with talk(site) as call:
            site.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            site.process.send_signal(signal.SIGTERM)
            assert await wait_exit(site, 3) == 1
            assert await call.caller.ended(2)
            assert await call.callee.ended(2)
        (record,) = site.records()
    assert record["verdict"]["slug"] == "shutdown"  # type: ignore[index]
