"""OPTIONS as signs of life: sent, waited for briefly, and told (RFC 3261 section 11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidestream.gateway.sip_orders import SipOrders
from sidestream.sip.dialog import MAX_FORWARDS
from sidestream.sip.events import (
    ClientKey,
    ClientSilent,
    ClientTimedOut,
    ClientTransportFailed,
    ResponseReceived,
)
from sidestream.sip.message import Headers, Request
from sidestream.sip.uri import loose

PROBE_WAIT_S: Final = 5.0
"""How long an answer may take; Timer F (32 s) would outlast the next probe."""

ProbeEvent = ResponseReceived | ClientSilent | ClientTimedOut | ClientTransportFailed


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of a probe.

    Attributes:
        status: status of the final answer; None when there was none.
        reason: in words.
    """

    status: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks, as the request says it.

    Attributes:
        from_uri: From.
        contact: Contact value.
        user_agent: User-Agent; empty for none.
        token: makes tags and Call-IDs.
        proxy: URI of the proxy to go through; empty for none.
    """

    from_uri: str
    contact: str
    user_agent: str
    token: Callable[[], str]
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class _Probe:
    told: Callable[[ProbeResult], None]
    patience: asyncio.TimerHandle


class OptionsProbes:
    """Sends OPTIONS and tells what becomes of each, once.

    Args:
        sip: the stack.
    """

    def __init__(self, sip: SipOrders) -> None:
        self._sip = sip
        self._open: dict[ClientKey, _Probe] = {}

    async def ask(self, uri: str, asker: Asker, told: Callable[[ProbeResult], None]) -> None:
        """Send one OPTIONS to a URI; `told` hears what becomes of it, soon or within `PROBE_WAIT_S`."""
        first = asker.proxy or uri
        hops = self._sip.resolve_now(first)
        if hops is None:
            hops = await self._sip.resolve(first)
        if not hops:
            told(ProbeResult(None, "its name leads nowhere"))
            return
        client = self._sip.send_request(_options(uri, asker), hops)
        silent = ProbeResult(None, "no answer")
        loop = asyncio.get_running_loop()
        patience = loop.call_later(PROBE_WAIT_S, partial(self._settle, client, silent))
        self._open[client] = _Probe(told, patience)

    def take(self, event: ProbeEvent) -> bool:
        """Take what became of a probe; false when it is about none."""
        if event.key not in self._open:
            return False
        match event:
            case ResponseReceived(response=response) if response.status >= 200:
                said = f"{response.status} {response.reason}".strip()
                self._settle(event.key, ProbeResult(response.status, said))
            case ClientTimedOut():
                self._settle(event.key, ProbeResult(None, "no answer"))
            case ClientTransportFailed():
                self._settle(event.key, ProbeResult(None, "out of reach"))
            case _:
                pass
        return True

    def _settle(self, client: ClientKey, result: ProbeResult) -> None:
        probe = self._open.pop(client, None)
        if probe is not None:
            probe.patience.cancel()
            probe.told(result)


def _options(uri: str, asker: Asker) -> Request:
    headers = Headers(
        [
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", f"<{asker.from_uri}>;tag={asker.token()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", asker.token()),
            ("CSeq", "1 OPTIONS"),
            ("Contact", asker.contact),
            ("Accept", "application/sdp"),
        ]
    )
    if asker.proxy:
        headers.add("Route", f"<{loose(asker.proxy)}>")
    if asker.user_agent:
        headers.add("User-Agent", asker.user_agent)
    return Request("OPTIONS", uri, headers)
