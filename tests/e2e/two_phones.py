"""A gateway in this process between two phones, on addresses that a test chooses."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sidestream.config import parse
from sidestream.gateway.service import Gateway
from sidestream.gateway.sip_options import ListenAddress
from sidestream.sip.hop import Transport
from sidestream.tools.phone import Phone, PhoneOptions
from sidestream.tools.phone_call import PhoneCall

CONFIG = """
node:
  name: gw
  sip: ["udp://{listen}:{sip}", "tcp://{listen}:{sip}"]
  media: {{address: "{media}", ports: 30000-30999}}
  database: sqlite:///{directory}/gw.db
{node}
accounts:
  - name: acme
    voice_services:
      - name: carrier
        kind: carrier
        trunk: {{peers: [{{uri: "sip:{phone}:{carrier};transport={transport}"}}]}}
      - name: desk
        kind: contact_center
        trunk: {{peers: [{{uri: "sip:{phone}:{desk};transport={transport}"}}]}}
    routes:
      - {{from: carrier, to: desk}}
"""


@dataclass(frozen=True)
class Place:
    """Where gateway and phones are; addresses without brackets."""

    listen: str
    media: str
    phone: str
    node: str = ""


@dataclass
class Site:
    """A running gateway and its phones."""

    port: int
    carrier: Phone
    desk: Phone

    async def talk(self, to: str, transport: str) -> tuple[PhoneCall, PhoneCall]:
        """Have the carrier's phone call the desk's by way of the gateway's address; they are connected."""
        outgoing = await self.carrier.dial(f"sip:+15551234@{to}:{self.port};transport={transport}")
        incoming = await self.desk.wait_call(10)
        assert incoming is not None
        incoming.ring()
        incoming.answer()
        await outgoing.answered(10)
        await asyncio.wait_for(incoming.acknowledged.wait(), 10)
        return outgoing, incoming

    def invite(self) -> str:
        """Return the INVITE that the desk's phone got, as text."""
        return next(each.text for each in self.desk.trace if each.first_line.startswith("INVITE"))


def bracketed(host: str) -> str:
    """Return a host as it stands in a URI."""
    return f"[{host}]" if ":" in host else host


def free_port(host: str) -> int:
    """Return a port that is free for UDP and TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        with (
            socket.socket(family, socket.SOCK_DGRAM) as one,
            socket.socket(family, socket.SOCK_STREAM) as other,
            contextlib.suppress(OSError),
        ):
            one.bind((host, 0))
            other.bind((host, one.getsockname()[1]))
            return int(one.getsockname()[1])
    raise AssertionError("no port is free")


@contextlib.asynccontextmanager
async def site(directory: Path, place: Place, transport: str) -> AsyncIterator[Site]:
    """Run a gateway between two phones."""
    ports = {name: free_port(place.phone) for name in ("sip", "carrier", "desk")}
    text = CONFIG.format(
        **ports,
        directory=directory,
        transport=transport,
        listen=bracketed(place.listen),
        media=place.media,
        phone=bracketed(place.phone),
        node=place.node,
    )
    gateway = Gateway(parse(text.encode(), "gw.yaml", directory, {}))
    way: Transport = "tcp" if transport == "tcp" else "udp"
    phones = [
        await Phone.open(PhoneOptions(ListenAddress(way, place.phone, ports[name]), f"+{number}"))
        for number, name in enumerate(("carrier", "desk"), 1)
    ]
    try:
        await gateway.start()
        yield Site(ports["sip"], phones[0], phones[1])
    finally:
        for phone in phones:
            await phone.close()
        await gateway.close()
