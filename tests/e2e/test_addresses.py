"""Which addresses a gateway tells: over IPv6 alone (RFC 5118, RFC 6157), and behind one-to-one NAT."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from e2e.two_phones import Place, Site, bracketed, site
from sidestream.tools.phone_call import PhoneCall

FRAME = 160
SIX = Place("::1", "::1", "::1")
BEHIND_NAT = Place("0.0.0.0", "0.0.0.0", "127.0.0.5", "  advertise: 127.0.0.88")  # noqa: S104 - as an operator would
"""The phones reach it at 127.0.0.88, where nothing is bound by that address."""


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]
needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


async def check_call(gateway: Site, told: str, transport: str, *, audio: bool) -> None:
    """Have the phones talk by an address of the gateway, and look at what the callee was told."""
    outgoing, incoming = await gateway.talk(bracketed(told), transport)
    if audio:
        await check_audio(outgoing, incoming)
    invite, place = gateway.invite(), f"{bracketed(told)}:{gateway.port}"
    assert f"c=IN IP{6 if ':' in told else 4} {told}" in invite
    assert place in invite.partition("Via:")[2].partition("\n")[0]
    assert f"<sip:{place}" in invite.partition("Contact:")[2].partition("\n")[0]
    await incoming.hang_up()
    assert await outgoing.ended(5), "the BYE went to our Contact and came through"


async def check_audio(outgoing: PhoneCall, incoming: PhoneCall) -> None:
    """Half a second of random audio arrives in order."""
    said = [os.urandom(FRAME) for _ in range(25)]
    outgoing.media.play(said)
    await outgoing.media.drained()
    await asyncio.sleep(0.2)
    heard = [frame.payload for frame in incoming.media.recorder.frames()]
    known = set(said)
    assert [frame for frame in heard if frame in known] == [frame for frame in said if frame in set(heard)]
    assert len(set(heard) & known) >= 20


@needs_ipv6
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_over_ipv6(tmp_path: Path, transport: str) -> None:
    async with site(tmp_path, SIX, transport) as gateway:
        await check_call(gateway, "::1", transport, audio=True)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_behind_nat_the_advertised_address_is_in_via_contact_and_sdp(
    tmp_path: Path, transport: str
) -> None:
    async with site(tmp_path, BEHIND_NAT, transport) as gateway:
        # Loopback rewrites no addresses, so media that is sent to the advertised one finds no socket here.
        await check_call(gateway, "127.0.0.88", transport, audio=False)
