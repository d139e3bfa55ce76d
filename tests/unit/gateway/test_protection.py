"""What the configuration asks of the guard, and the pulse that turns new calls away."""

import random
from pathlib import Path

import pytest

from sidestream.call.overload import Overload, OverloadPolicy
from sidestream.config import parse
from sidestream.config.model import Configuration
from sidestream.gateway.protection import Pulse, make_guard, read_metrics, stream_limits
from sidestream.observe import metrics
from sidestream.observe.logging import logger
from sidestream.observe.metrics import Metrics
from sidestream.sip.guard import Turned

TEXT = """
node:
  name: gw
  sip: [udp://127.0.0.1:5060]
  media: {address: 127.0.0.1}
  protection: {unknown_sources: drop, source_rate: 5, connections: 10, connections_per_source: 3,
               idle_timeout: 11s, message_timeout: 12s}
accounts:
  - name: acme
    voice_services:
      - {name: desk, kind: contact_center, trunk: {match: [192.0.2.0/28], message_rate: 2}}
"""
INVITE = b"INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n"


def configuration() -> Configuration:
    return parse(TEXT.encode(), "test.yaml", Path("/"), {})


def test_the_guard_is_as_the_configuration_wants_it() -> None:
    guard = make_guard(configuration(), {"192.0.2.1": ("acme", "desk")}.get)
    assert not guard.admits(INVITE, "203.0.113.1", 0.0, datagram=True)
    assert sum(guard.admits(INVITE, "192.0.2.1", 0.0, datagram=True) for _ in range(20)) == 4
    assert guard.turned == {Turned.UNKNOWN_SOURCE: 1, Turned.TRUNK_RATE: 6, Turned.SOURCE_RATE: 10}


def test_connections_are_bounded_as_the_configuration_wants_it() -> None:
    limits = stream_limits(configuration().node)
    assert (limits.max_connections, limits.max_per_source) == (10, 3)
    assert (limits.idle_timeout, limits.message_timeout) == (11, 12)


def test_turning_calls_away_is_told_when_it_begins_and_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    overload = Overload(OverloadPolicy(smoothing=1.0), random.Random(1))
    pulse = Pulse(overload, Metrics(), logger())
    for lag in (0.01, 0.5, 0.5, 0.01, 0.01, 0.01, 0.01, 0.01):
        pulse.take(lag, 0.1)
    assert overload.loss == 0.0
    said = capsys.readouterr().out
    assert said.count("new calls are turned away") == 1
    assert said.count("new calls are taken again") == 1


def test_what_was_turned_away_is_in_the_metrics() -> None:
    guard = make_guard(configuration(), lambda _host: None)
    guard.admits(INVITE, "203.0.113.1", 0.0, datagram=True)
    overload = Overload(OverloadPolicy(), random.Random(1))
    overload.loss, overload.busy = 0.25, 0.5
    read = read_metrics(guard, overload)
    assert read[metrics.SIP_TURNED_AWAY] == {("unknown-source",): 1}
    assert (read[metrics.OVERLOAD_LOSS], read[metrics.LOOP_BUSY]) == (0.25, 0.5)
