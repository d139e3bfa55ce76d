"""Floods a SIP socket with what strangers send: garbage, scans, calls of nobody. For tests on loopback.

    python -m sidestream.testing.flood 127.0.0.1:5060 --rate 5000 --seconds 3

Every datagram is made before the first is sent, so that sending costs little beside what it is sent to.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import itertools
import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

SOURCES: Final = tuple(f"127.0.9.{number}" for number in range(1, 33))
"""Addresses that the flood comes from; on Linux all of 127.0.0.0/8 is loopback."""
KINDS: Final = 8
STEP_S: Final = 0.002
"""How often a portion is sent."""

_HEAD: Final = (
    "{method} sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:{number}@{host}>;tag=t{number}\r\nTo: <sip:100@127.0.0.1>\r\n"
    "Call-ID: {number}@{host}\r\nCSeq: 1 {method}\r\nContact: <sip:{number}@{host}>\r\n"
)
_SDP: Final = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
)


def datagrams(count: int, hosts: Sequence[str] = SOURCES) -> Iterator[bytes]:
    """So many datagrams, of all kinds in turn; no two of the well-formed ones are the same.

    Raises:
        ValueError: a host is not on loopback: nothing else is ever flooded or impersonated.
    """
    if not all(ipaddress.ip_address(host).is_loopback for host in hosts):
        raise ValueError("floods stay on loopback")
    for number, host in zip(range(count), itertools.cycle(hosts), strict=False):
        yield _datagram(number % KINDS, number, host)


def _datagram(kind: int, number: int, host: str) -> bytes:
    invite = _HEAD.format(method="INVITE", number=number, host=host)
    match kind:
        case 0:
            return bytes((number * factor) & 0xFF for factor in range(1, 300))
        case 1:
            return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        case 2:
            head = _HEAD.format(method="OPTIONS", number=number, host=host)
            return f"{head}User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n".encode()
        case 3:
            return invite.encode()[: 40 + number % 200]
        case 4:
            return f"{invite}{'X-Pad: y' * 1200}\r\n\r\n".encode()
        case 5:
            return f"{invite}{''.join(f'X-{n}: y{chr(13)}{chr(10)}' for n in range(240))}\r\n".encode()
        case 6:
            head = _HEAD.format(method="REGISTER", number=number, host=host)
            return f"{head}Content-Length: 0\r\n\r\n".encode()
        case _:
            kinds = f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n\r\n"
            return f"{invite}{kinds}{_SDP}".encode()


def flood(target: tuple[str, int], rate: int, seconds: float) -> int:
    """Send at a rate for a time; returns how many were sent: fewer where the machine cannot keep the rate."""
    socks = [_socket(host) for host in SOURCES]
    made = list(datagrams(min(20_000, max(KINDS, int(rate * seconds)))))
    pairs = itertools.cycle(zip(made, itertools.cycle(socks), strict=False))
    began, sent = time.monotonic(), 0
    try:
        while (passed := time.monotonic() - began) < seconds:
            for data, sock in itertools.islice(pairs, max(0, int(passed * rate) - sent)):
                with contextlib.suppress(OSError):  # a full buffer drops it, as a network would
                    sock.sendto(data, target)
                sent += 1
            time.sleep(STEP_S)
    finally:
        for sock in socks:
            sock.close()
    return sent


def _socket(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def main(arguments: Sequence[str] | None = None) -> int:
    """Flood, and print what was sent as JSON."""
    parser = argparse.ArgumentParser(prog="sidestream.testing.flood")
    parser.add_argument("target", help="127.0.0.1:5060")
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args(arguments)
    host, _, port = asked.target.rpartition(":")
    if not ipaddress.ip_address(host).is_loopback:
        parser.error("floods stay on loopback")
    sys.stdout.write(json.dumps({"sent": flood((host, int(port)), asked.rate, asked.seconds)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
