"""A configuration and messages that the units of the gateway are tested with."""

from pathlib import Path

from sidestream.config import parse
from sidestream.config.model import Configuration
from sidestream.sip.hop import Source
from sidestream.sip.message import Headers, Request

STREAM = (
    "{name: live, type: media_stream, url: 'wss://127.0.0.1:8443/calls', encoding: PCMU, "
    "parameters: {queue: '{sip.header.X-Queue}', from: '{caller.number}'}, forward_headers: [X-Queue]}"
)

TEXT = """
node:
  name: gw
  sip: [udp://127.0.0.1:5060, tcp://127.0.0.1:5060]
  media: {{address: 127.0.0.1, ports: 20000-29999}}
  limits: {{max_calls: {max_calls}, calls_per_second: {rate}}}
accounts:
  - name: acme
    subscriptions: [voice-integration]
    voice_services:
      - name: carrier
        kind: carrier
        trunk: {{peers: [{{uri: "sip:192.0.2.1:5080"}}], match: [192.0.2.0/28]}}
      - name: desk
        kind: contact_center
        trunk:
          peers: [{{uri: "sip:desk.example:5090", priority: 2}}, {{uri: "sip:192.0.2.33:5090", priority: 1}}]
          max_calls: {desk_calls}
        integrations: [{stream}]
    routes:
      - {{from: carrier, match: "^[+0-9]*$", to: desk}}
      - {{from: desk, to: carrier}}
"""


def configuration(
    *, max_calls: int = 100, rate: int = 100, desk_calls: str = "unlimited", stream: str = STREAM
) -> Configuration:
    text = TEXT.format(max_calls=max_calls, rate=rate, desk_calls=desk_calls, stream=stream)
    return parse(text.encode(), "test.yaml", Path("/"), {})


def source(host: str = "192.0.2.1", port: int = 5080) -> Source:
    return Source("udp", host, port, 1, "127.0.0.1", 5060)


OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)


def request(
    method: str = "INVITE", called: str = "+15551234", to_tag: str = "", body: str = OFFER
) -> Request:
    tag = f";tag={to_tag}" if to_tag else ""
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bK1"),
            ("Max-Forwards", "70"),
            ("From", '"Ada" <sip:+14155550100@192.0.2.1>;tag=abc'),
            ("To", f"<sip:{called}@127.0.0.1>{tag}"),
            ("Call-ID", "call-1@192.0.2.1"),
            ("CSeq", f"1 {method}"),
            ("Contact", "<sip:192.0.2.1:5080>"),
            ("X-Queue", "gold"),
        ]
    )
    if body:
        headers.add("Content-Type", "application/sdp")
    return Request(method, f"sip:{called}@127.0.0.1", headers, body.encode())
