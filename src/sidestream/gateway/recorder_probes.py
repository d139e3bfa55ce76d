"""Asks recording servers for a sign of life, and tells when one goes out of service or comes back."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from sidestream.gateway.clock import Clock
from sidestream.gateway.options_probes import Asker, OptionsProbes, ProbeEvent, ProbeResult
from sidestream.gateway.sip_orders import SipOrders
from sidestream.observe.logging import Logger
from sidestream.siprec.context import ClientIdentity
from sidestream.siprec.group import Circuit, ServerGroup
from sidestream.siprec.profile import Server

LOOK_S: Final = 1.0
"""How often it is looked whose turn it is."""

GroupKey = tuple[str, str]
"""Account and integration."""


class RecorderProbes:
    """Sends OPTIONS to the servers of every group (RFC 3261 section 11).

    Args:
        sip: the stack.
        identify: who we are to a server.
        suspect: told the URI of a server whose probe failed.
        clock: gives the time.
        log: where it is told.
    """

    def __init__(
        self,
        sip: SipOrders,
        identify: Callable[[Server], ClientIdentity],
        suspect: Callable[[str], None],
        *,
        clock: Clock,
        log: Logger,
    ) -> None:
        self._probes = OptionsProbes(sip)
        self._identify = identify
        self._suspect = suspect
        self._now = clock.monotonic
        self._log = log
        self._groups: dict[GroupKey, ServerGroup] = {}
        self._circuits: dict[tuple[GroupKey, str], Circuit] = {}

    def watch(self, key: GroupKey, group: ServerGroup) -> None:
        """Probe the servers of a group from now on."""
        self._groups[key] = group

    async def run(self) -> None:
        """Probe for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Send what is due, and tell whose service has changed."""
        for group in list(self._groups.values()):
            for server in group.probes_due(self._now()):
                try:
                    await self._probe(group, server)
                except Exception:  # noqa: BLE001 - one server must not keep the others from being probed
                    self._log.exception("a recorder could not be probed", server=server.uri)
        self._tell_changes()

    def take(self, event: ProbeEvent) -> bool:
        """Take what became of a probe; false when it is about none."""
        return self._probes.take(event)

    async def _probe(self, group: ServerGroup, server: Server) -> None:
        identity = self._identify(server)
        asker = Asker(
            from_uri=identity.from_uri,
            contact=f"<{identity.contact_uri}>;+sip.src",
            user_agent=identity.user_agent,
            token=identity.token,
        )
        await self._probes.ask(server.uri, asker, partial(self._settle, group, server))

    def _settle(self, group: ServerGroup, server: Server, result: ProbeResult) -> None:
        """Any answer at all says that the server is there."""
        if result.status is None:
            self._failed(group, server)
        else:
            group.probed(server.uri, self._now(), answered=True)
            self._tell_changes()

    def _failed(self, group: ServerGroup, server: Server) -> None:
        group.probed(server.uri, self._now(), answered=False)
        self._suspect(server.uri)
        self._tell_changes()

    def _tell_changes(self) -> None:
        """Write a line for each server that goes out of service or comes back."""
        for key, group in self._groups.items():
            for server in group.servers:
                circuit = group.circuit(server.uri, self._now())
                before = self._circuits.get((key, server.uri), Circuit.CLOSED)
                self._circuits[key, server.uri] = circuit
                if before is circuit:
                    continue
                account, integration = key
                log = self._log.bind(account=account, integration=integration, server=server.uri)
                if circuit is Circuit.CLOSED:
                    log.info("recorder in service")
                elif before is Circuit.CLOSED:
                    log.warning("recorder out of service")
