"""How a gateway guards itself: the guard and bounds that its configuration asks for, and its pulse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sidestream.call.overload import Overload
from sidestream.config.model import Configuration, Node
from sidestream.config.signalling import UnknownSources
from sidestream.gateway.sip_options import StreamLimits
from sidestream.observe import metrics
from sidestream.observe.logging import Logger
from sidestream.observe.metrics import Metric, Metrics, Reading
from sidestream.sip.guard import Guard, GuardPolicy, TrunkKey

PULSE_S: Final = 0.5
"""How often the loop's lateness is measured."""


def make_guard(configuration: Configuration, trunk_of: Callable[[str], TrunkKey | None]) -> Guard:
    """Return the guard that a configuration asks for.

    Args:
        configuration: has the rates.
        trunk_of: the trunk of an address, None when it is nobody's.
    """
    wanted = configuration.node.protection
    rates = {
        (account.name, service.name): float(service.trunk.message_rate)
        for account, service in configuration.services()
        if service.trunk is not None and service.trunk.message_rate is not None
    }
    policy = GuardPolicy(
        drop_strangers=wanted.unknown_sources is UnknownSources.DROP,
        strangers=wanted.unknown_rate,
        stranger=wanted.unknown_source_rate,
        source=wanted.source_rate,
        trunks=rates,
    )
    return Guard(policy, trunk_of)


def stream_limits(node: Node) -> StreamLimits:
    """Return the bounds of connections that a configuration asks for."""
    wanted = node.protection
    return StreamLimits(
        max_connections=wanted.connections,
        max_per_source=wanted.connections_per_source,
        idle_timeout=wanted.idle_timeout,
        message_timeout=wanted.message_timeout,
    )


class Pulse:
    """Measures how late and how busy the signalling loop is, and has new calls turned away when it must.

    Args:
        overload: takes the measurements.
        counted: where lateness is counted.
        log: where it is told that calls are turned away, and that they no longer are.
    """

    def __init__(self, overload: Overload, counted: Metrics, log: Logger) -> None:
        self._overload = overload
        self._metrics = counted
        self._log = log

    async def run(self) -> None:
        """Measure for ever."""
        began, used = time.monotonic(), time.thread_time()
        while True:
            due = time.monotonic() + PULSE_S
            await asyncio.sleep(PULSE_S)
            now, cpu = time.monotonic(), time.thread_time()
            lag, busy = max(0.0, now - due), (cpu - used) / max(now - began, 0.001)
            began, used = now, cpu
            self._metrics.observe(metrics.LOOP_LAG_SECONDS, lag)
            self.take(lag, busy)

    def take(self, lag: float, busy: float) -> None:
        """Take a measurement: lateness in seconds, and the part of its processor that the loop used."""
        overload = self._overload
        if not overload.measured(lag, busy):
            return
        facts = {"lag_s": round(overload.lag, 3), "busy": round(overload.busy, 2)}
        if overload.loss > 0.0:
            self._log.warning("too much to do: new calls are turned away", **facts)
        else:
            self._log.info("new calls are taken again", **facts)


def read_metrics(guard: Guard, overload: Overload) -> dict[Metric, Reading]:
    """Return what was turned away and how the loop is."""
    return {
        metrics.SIP_TURNED_AWAY: {(reason.value,): number for reason, number in guard.turned.items()},
        metrics.OVERLOAD_LOSS: overload.loss,
        metrics.LOOP_BUSY: overload.busy,
    }
