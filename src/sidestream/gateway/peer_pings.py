"""Asks the peers of trunks for a sign of life, and keeps their health by that and by what calls meet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sidestream.call.facts import CallAnswered, CallRang, Fact, PeerGivenUp, PeerTried
from sidestream.call.peer_health import HealthPolicy, PeerBook, PeerChange, PeerReport, PeerState
from sidestream.config.model import Configuration
from sidestream.gateway.clock import Clock
from sidestream.gateway.options_probes import Asker, OptionsProbes, ProbeEvent, ProbeResult
from sidestream.gateway.sip_orders import SipOrders
from sidestream.observe.logging import Logger

LOOK_S: Final = 1.0
"""How often it is looked whose turn it is."""
SPREAD_S: Final = 5.0
"""The first pings go out within this time, so that many trunks do not ping at once for ever."""
DOWN_STATUSES: Final = frozenset({408, 502, 503, 504})
"""Answers that say that calls would fail: the peer, or what is behind it, does not serve. Any other final
answer counts as a sign of life, a refusal of OPTIONS itself among them."""


@dataclass(slots=True)
class _Watch:
    """One peer that is pinged."""

    uri: str
    interval: float
    due: float


class PeerPings:
    """The health of all peers.

    Args:
        configuration: has the trunks, their peers and how often these are pinged.
        chance: gives a random number from 0 up to 1.
        clock: gives the time.
        log: where changes are told.
        policy: how quickly a peer moves.

    Attributes:
        book: how each peer stands.
        pings: results of pings: `answered`, `refused`, `failed`.
        changes: times that a peer has moved, by where to.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        chance: Callable[[], float],
        clock: Clock,
        log: Logger,
        policy: HealthPolicy | None = None,
    ) -> None:
        self._now = clock.monotonic
        self._log = log
        self._places: dict[str, list[tuple[str, str]]] = {}
        self._proxies: dict[str, str] = {}
        intervals: dict[str, float] = {}
        for account, service in configuration.services():
            for peer in service.trunk.peers if service.trunk else ():
                uri, interval = str(peer.uri), service.trunk.options_ping if service.trunk else None
                self._places.setdefault(uri, []).append((account.name, service.name))
                proxy = service.trunk.outbound_proxy if service.trunk else None
                if proxy is not None:
                    self._proxies[uri] = str(proxy)
                if interval is not None:
                    intervals[uri] = min(interval, intervals.get(uri, interval))
        start = self._now()
        self._watched = [
            _Watch(uri, interval, start + chance() * min(SPREAD_S, interval))
            for uri, interval in intervals.items()
        ]
        self.book = PeerBook({uri: uri in intervals for uri in self._places}, policy)
        self.pings: Counter[str] = Counter()
        self.changes: Counter[PeerState] = Counter()
        self._probes: OptionsProbes | None = None
        self._asker: Callable[[str], Asker] | None = None

    def attach(self, sip: SipOrders, asker: Callable[[str], Asker]) -> None:
        """Take the stack to ping by, and who asks a URI."""
        self._probes, self._asker = OptionsProbes(sip), asker

    async def run(self) -> None:
        """Ping for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Send the pings that are due."""
        if self._probes is None or self._asker is None:
            return
        for watch in self._watched:
            if self._now() < watch.due:
                continue
            watch.due = self._now() + watch.interval
            try:
                proxy = self._proxies.get(watch.uri, "")
                asker = replace(self._asker(proxy or watch.uri), proxy=proxy)
                await self._probes.ask(watch.uri, asker, partial(self._pinged, watch.uri))
            except Exception:  # noqa: BLE001 - one peer must not keep the others from being pinged
                self._log.exception("a peer could not be pinged", peer=watch.uri)

    def take(self, event: ProbeEvent) -> bool:
        """Take what became of a ping; false when it is about none."""
        return self._probes is not None and self._probes.take(event)

    def hear(self, fact: Fact, peer: str) -> None:
        """Take note of what a call meets.

        Args:
            fact: of the call.
            peer: URI of the peer that it is with.
        """
        match fact:
            case CallRang() | CallAnswered():
                self._note(self.book.answered(peer, self._now(), a_call=True))
            case PeerGivenUp(uri=uri, status=status, detail=detail, answered=answered):
                if status == 503 or not (answered or status == 487):
                    self._note(self.book.failed(uri, self._now(), detail))
                elif answered and status not in DOWN_STATUSES:
                    self._note(self.book.answered(uri, self._now(), a_call=True))
            case _:
                pass

    def reports(self) -> list[tuple[tuple[str, str], PeerReport]]:
        """How each peer stands, with account and voice service; a peer of two trunks is there twice."""
        return [
            (place, report) for report in self.book.report(self._now()) for place in self._places[report.uri]
        ]

    def lines(self) -> list[str]:
        """The same for people: a line for each peer."""
        return [_line(place, report) for place, report in self.reports()]

    def up(self) -> Mapping[tuple[str, ...], float]:
        """1 for each peer that is up, 0 for others; by account, voice service and URI."""
        return {(*place, report.uri): float(report.state is PeerState.UP) for place, report in self.reports()}

    def _pinged(self, uri: str, result: ProbeResult) -> None:
        now = self._now()
        if result.status is None:
            self.pings["failed"] += 1
            self._note(self.book.failed(uri, now, result.reason))
        elif result.status in DOWN_STATUSES:
            self.pings["refused"] += 1
            self._note(self.book.failed(uri, now, result.reason))
        else:
            self.pings["answered"] += 1
            self._note(self.book.answered(uri, now))

    def _note(self, change: PeerChange | None) -> None:
        if change is None:
            return
        self.changes[change.state] += 1
        trunks = [f"{account}/{service}" for account, service in self._places[change.uri]]
        tell = self._log.info if change.state is PeerState.UP else self._log.warning
        tell("peer " + change.state.value, peer=change.uri, trunks=trunks, reason=change.reason)


def peer_of(fact: Fact, current: str) -> str:
    """The URI of the peer that a call is with after a fact."""
    return fact.uri if isinstance(fact, PeerTried) else current


def _line(place: tuple[str, str], report: PeerReport) -> str:
    text = f"peer {'/'.join(place)} {report.uri} {report.state.value}"
    if report.seconds is not None:
        text += f" for {report.seconds:.0f} s"
    return f"{text}: {report.reason}" if report.reason else text
