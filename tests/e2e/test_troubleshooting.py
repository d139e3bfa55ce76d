"""What is kept of calls, as an operator sees it: by `calls`, `call-show`, `trace` and Wireshark."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import zlib
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from e2e.test_gateway import site_with, talk, the_record
from interop.harness import CARRIER_HOST, Gateway, Setup, gateway
from trace_script import SDP, sip

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def token_of(site: Gateway) -> str:
    return (site.directory / "admin.token").read_text().strip()


def run(site: Gateway, *words: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command against the gateway's API."""
    environment = {**os.environ, "SIDESTREAM_API": f"http://127.0.0.1:{site.api}"}
    environment["SIDESTREAM_ADMIN_TOKEN"] = token_of(site) if token is None else token
    return subprocess.run(
        [sys.executable, "-m", "sidestream", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment,
    )


async def asked(site: Gateway, *words: str) -> str:
    """Return what a command prints; it ends well."""
    done = await asyncio.to_thread(run, site, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def tshark(capture: Path, *words: str) -> list[str]:
    """Return the lines that tshark prints of a capture."""
    done = subprocess.run(
        ["tshark", "-r", str(capture), *words], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


async def test_a_live_call_is_listed_and_shown(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        async with talk(site) as call:
            await call.say(25)
            listed = json.loads(await asked(site, "calls", "--state", "active", "--json"))
            (found,) = listed
            shown = json.loads(await asked(site, "call-show", found["call_id"], "--json"))
            picture = await asked(site, "trace", found["call_id"])
            await call.caller.hang_up()
        record = await the_record(site)
        none_live = await asked(site, "calls", "--state", "active")
    assert (found["state"], found["phase"], found["verdict"]) == ("active", "talking", None)
    assert (found["caller"]["trunk"], found["callee"]["trunk"]) == ("carrier", "support-desk")
    assert shown["verdict"] is None
    assert [side["received_packets"] for side in shown["media"]] == [25, 25]
    assert picture.count("200 OK (INVITE)") == 2
    assert "BYE" not in picture
    assert none_live == "no calls\n"
    assert record["call_id"] == found["call_id"]


@needs_tshark
async def test_an_ended_call_is_found_drawn_and_captured(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        async with talk(site) as call:
            await call.say(10)
            await call.caller.hang_up()
        record = await the_record(site)
        call_id = str(record["call_id"])
        table = await asked(site, "calls", "--party", "15551234")
        shown = await asked(site, "call-show", call_id)
        picture = await asked(site, "trace", call_id)
        document = json.loads(await asked(site, "trace", call_id, "--json"))
        capture = tmp_path / "call.pcap"
        await asked(site, "trace", call_id, "--pcap", str(capture))
        elsewhere = await asked(site, "calls", "--party", "nobody", "--json")
    assert call_id in table
    assert "caller-hung-up" in table
    assert "verdict   caller-hung-up (completed, 200): The caller hung up." in shown
    for part in ("INVITE", "180 Ringing (INVITE)", "ACK", "BYE", "200 OK (BYE)"):
        assert picture.count(part) >= 2, picture
    assert "call ended" in picture
    assert "PCMU telephone-event sendrecv" in picture
    assert json.loads(elsewhere) == []
    titles = [message["message"].split("\r\n", 1)[0] for message in document["messages"]]
    lines = await asyncio.to_thread(
        tshark, capture, "-Y", "sip", "-T", "fields", "-e", "sip.Request-Line", "-e", "sip.Status-Line"
    )
    assert [line.strip() for line in lines] == titles
    assert {message["leg"] for message in document["messages"]} == {"caller", "callee"}
    complaints = await asyncio.to_thread(
        tshark, capture, "-Y", "_ws.malformed or _ws.expert.severity >= 0x600000"
    )
    assert complaints == []


async def test_ended_calls_are_found_after_a_restart(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        async with talk(site) as call:
            await call.caller.hang_up()
        first = await the_record(site)
        token = token_of(site)
    with site_with(tmp_path) as site:
        assert token_of(site) == token
        picture = await asked(site, "trace", str(first["call_id"]))
    assert picture.count("─INVITE─") == 2
    for name in ("admin.token", "trace/calls.db"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "trace").stat().st_mode) == 0o700


async def test_without_the_token_nothing_is_told(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        for token in ("", "wrong-wrong-wrong-wrong", token_of(site)[:-1]):
            done = await asyncio.to_thread(partial(run, site, "calls", token=token))
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith("sidestream: the API wants another token. Give it with --token")
        unknown = "019aa000-0000-7000-8000-000000000001"
        done = await asyncio.to_thread(run, site, "trace", unknown)
        assert done.returncode == 1
        assert "No such call is kept" in done.stderr
        assert token_of(site) not in site.log()


async def test_nobody_answers_at_another_address(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        done = await asyncio.to_thread(run, site, "calls", "--api", "http://127.0.0.1:1")
        assert done.returncode == 1
        assert "does not answer" in done.stderr
        done = await asyncio.to_thread(run, site, "calls", "--api", "nonsense")
        assert (done.returncode, "is no URL of an API" in done.stderr) == (2, True)


def status_of(site: Gateway, path: str, token: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", site.api, timeout=5)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        kind = "application/json" if answer.status == 200 else "application/problem+json"
        assert answer.headers["Content-Type"] == kind
        return answer.status, json.load(answer)
    finally:
        connection.close()


async def test_a_token_of_the_environment_is_taken_and_no_file_is_made(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    setup = Setup(environment={"SIDESTREAM_ADMIN_TOKEN": token})
    with gateway(tmp_path, setup) as site:
        assert status_of(site, "/v1/calls", token) == (200, {"calls": [], "next_cursor": None})
        status, told = status_of(site, "/v1/calls?limit=0", token)
        assert (status, told["type"], told["field"]) == (400, "bad-parameter", "limit")
        assert status_of(site, "/v1/calls/x/trace", token)[1]["type"] == "call-not-found"
        assert status_of(site, "/v1/calls", token, "DELETE")[1]["type"] == "method-not-allowed"
    assert not (tmp_path / "admin.token").exists()


SECRETS = (
    b"s3cret-response",
    b"c2VjcmV0LWtleS1vZi1zcnRwLWhlcmUtaXQtaXM",
    b"s3cret-password",
    b"czNjcmV0OmJhc2lj",
)


def with_secrets(site: Gateway) -> bytes:
    """Return an INVITE that has every secret in it."""
    response, key, password, basic = (secret.decode() for secret in SECRETS)
    headers = (
        f'Authorization: Digest username="ada", realm="r", nonce="n", uri="sip:x", response="{response}"',
        f"Proxy-Authorization: Basic {basic}",
        f"Contact: <sip:ada:{password}@{CARRIER_HOST}:{site.carrier}>",
    )
    body = SDP.replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n"
    invite = sip(f"INVITE sip:+15551234@127.0.0.1:{site.sip} SIP/2.0", body, headers)
    return invite.replace(b"192.0.2.1:5080", f"{CARRIER_HOST}:{site.carrier}".encode())


def everything_in(base: Path) -> bytes:
    """Return all that a store holds, decompressed, and the file as it is."""
    with contextlib.closing(sqlite3.connect(base)) as store:
        rows = store.execute("SELECT record FROM call UNION ALL SELECT data FROM trace").fetchall()
    assert len(rows) == 2
    return b"".join(zlib.decompress(row[0]) for row in rows) + base.read_bytes()


async def test_no_secret_is_kept_anywhere(tmp_path: Path) -> None:
    with site_with(tmp_path) as site:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind((CARRIER_HOST, site.carrier))
            phone.settimeout(10)
            phone.sendto(with_secrets(site), ("127.0.0.1", site.sip))
            await asyncio.to_thread(phone.recv, 65_535)
        record = await the_record(site)
        call_id = str(record["call_id"])
        told = [await asked(site, "trace", call_id, *words) for words in ((), ("--full",), ("--json",))]
        capture = tmp_path / "call.pcap"
        await asked(site, "trace", call_id, "--pcap", str(capture))
        told += [await asked(site, "call-show", call_id, "--json"), site.log()]
    assert "inline:***" in told[1]
    assert 'username="ada", realm="r", nonce=***, uri="sip:x", response=***' in told[1]
    kept = "".join(told).encode() + capture.read_bytes() + everything_in(tmp_path / "trace" / "calls.db")
    kept += (tmp_path / "journal" / "calls.jsonl").read_bytes()
    assert b"INVITE" in kept
    for secret in SECRETS:
        assert secret not in kept, secret
