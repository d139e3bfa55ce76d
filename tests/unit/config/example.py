"""A configuration that is right, for tests that make one thing of it wrong or different."""

from pathlib import Path

from sidestream.config import Configuration, parse

ENVIRONMENT = {"TOKEN": "s3cret"}

TEXT = """\
node:
  name: gw-1
  sip: [udp://127.0.0.1:5060, tcp://127.0.0.1:5060]
  media: {address: 127.0.0.1, ports: 20000-20999}
  limits: {max_calls: 100}
accounts:
  - name: acme
    subscriptions: [voice-integration]
    voice_services:
      - name: carrier
        kind: carrier
        trunk:
          peers: [{uri: "sip:192.0.2.1", priority: 2}, {uri: "sip:192.0.2.2;transport=tcp", weight: 3}]
          match: [192.0.2.0/24]
      - name: desk
        kind: contact_center
        trunk: {peers: [{uri: "sip:198.51.100.1:5090"}]}
        integrations:
          - name: live
            type: media_stream
            url: wss://127.0.0.1:8443/calls
            auth: {bearer: {env: TOKEN}}
    routes:
      - {from: carrier, to: desk}
      - {from: desk, to: carrier, match: "^[0-9]+$"}
"""


def parse_text(text: str, base: Path = Path("/etc/sidestream")) -> Configuration:
    return parse(text.encode(), "test.yaml", base, ENVIRONMENT)


def changed(*changes: tuple[str, str]) -> str:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text
