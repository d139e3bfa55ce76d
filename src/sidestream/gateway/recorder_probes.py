"""Asks recording servers for a sign of life, and tells when one goes out of service or comes back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidestream.gateway.clock import Clock
from sidestream.gateway.sip_orders import SipOrders
from sidestream.observe.logging import Logger
from sidestream.sip.dialog import MAX_FORWARDS
from sidestream.sip.events import ClientKey, ClientTimedOut, ClientTransportFailed, ResponseReceived
from sidestream.sip.message import Headers, Request
from sidestream.siprec.context import ClientIdentity
from sidestream.siprec.group import Circuit, ServerGroup
from sidestream.siprec.profile import Server

PROBE_WAIT_S: Final = 5.0
"""How long a server may take to answer; Timer F (32 s) would outlast the next probe."""

LOOK_S: Final = 1.0
"""How often it is looked whose turn it is."""

GroupKey = tuple[str, str]
"""Account and integration."""


@dataclass(frozen=True, slots=True)
class _Probe:
    """An OPTIONS that awaits its answer."""

    key: GroupKey
    group: ServerGroup
    server: Server
    patience: asyncio.TimerHandle


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
        self._sip = sip
        self._identify = identify
        self._suspect = suspect
        self._now = clock.monotonic
        self._log = log
        self._groups: dict[GroupKey, ServerGroup] = {}
        self._open: dict[ClientKey, _Probe] = {}
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
        for key, group in list(self._groups.items()):
            for server in group.probes_due(self._now()):
                try:
                    await self._probe(key, group, server)
                except Exception:  # noqa: BLE001 - one server must not keep the others from being probed
                    self._log.exception("a recorder could not be probed", server=server.uri)
        self._tell_changes()

    def take(self, event: ResponseReceived | ClientTimedOut | ClientTransportFailed) -> bool:
        """Take what became of a probe; false when it is about none."""
        probe = self._open.get(event.key)
        if probe is None:
            return False
        match event:
            case ResponseReceived(response=response):
                if response.status >= 200:
                    self._settle(event.key, answered=True)
            case ClientTimedOut() | ClientTransportFailed():
                self._settle(event.key, answered=False)
        return True

    async def _probe(self, key: GroupKey, group: ServerGroup, server: Server) -> None:
        hops = self._sip.resolve_now(server.uri)
        if hops is None:
            hops = await self._sip.resolve(server.uri)
        if not hops:
            self._failed(group, server)
            return
        client = self._sip.send_request(self._options(server), hops)
        patience = asyncio.get_running_loop().call_later(
            PROBE_WAIT_S, partial(self._settle, client, answered=False)
        )
        self._open[client] = _Probe(key, group, server, patience)

    def _options(self, server: Server) -> Request:
        identity = self._identify(server)
        headers = Headers(
            [
                ("Max-Forwards", str(MAX_FORWARDS)),
                ("From", f"<{identity.from_uri}>;tag={identity.token()}"),
                ("To", f"<{server.uri}>"),
                ("Call-ID", identity.token()),
                ("CSeq", "1 OPTIONS"),
                ("Contact", f"<{identity.contact_uri}>;+sip.src"),
                ("Accept", "application/sdp"),
            ]
        )
        if identity.user_agent:
            headers.add("User-Agent", identity.user_agent)
        return Request("OPTIONS", server.uri, headers)

    def _settle(self, client: ClientKey, *, answered: bool) -> None:
        probe = self._open.pop(client, None)
        if probe is None:
            return
        probe.patience.cancel()
        if answered:
            probe.group.probed(probe.server.uri, self._now(), answered=True)
            self._tell_changes()
        else:
            self._failed(probe.group, probe.server)

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
